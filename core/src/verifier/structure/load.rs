//! The attributes of `BPF_PROG_LOAD`.

use super::Refusal;
use crate::kernel::limits::INSNS_MAX;
use crate::kernel::{ProgType, StructureRules, UnixAddresses};
use crate::program::Program;
use crate::verifier::Errno;

/// `BPF_F_SLEEPABLE`.
const F_SLEEPABLE: u32 = 1 << 4;
/// `BPF_F_TOKEN_FD`.
const F_TOKEN_FD: u32 = 1 << 16;
/// The higher of the two attach types that a cgroup's packet program takes.
const CGROUP_INET_EGRESS: u32 = 1;

/// The attach type of a netfilter program, which 6.1 does not have.
const NETFILTER: u32 = 45;
/// The attach type of a socket lookup program.
const SK_LOOKUP: u32 = 36;

/// Whether a program asks to be allowed to sleep.
pub(super) fn is_sleepable(program: &Program) -> bool {
    program.prog_flags & F_SLEEPABLE != 0
}

/// Checks flags, length, program type and attach type.
///
/// Kernel: `bpf_prog_load`, `bpf_prog_load_check_attach` (6.1 … 7.3).
#[doc(alias = "bpf_prog_load")]
pub(super) fn check(program: &Program, rules: &StructureRules) -> Result<(), Refusal> {
    let unknown = program.prog_flags & !rules.prog_flags;
    if unknown != 0 {
        return invalid(format!("(unknown program flags 0x{unknown:x})"));
    }
    if program.prog_flags & F_TOKEN_FD != 0 {
        return Err(Refusal::unsupported(None, "token"));
    }
    let len = program.insns.len();
    if len == 0 || len > INSNS_MAX as usize {
        return Err(Refusal::rejected(None, Errno::E2BIG, format!("(a program of {len} instructions)")));
    }
    let attach = program.expected_attach_type;
    match program.prog_type {
        ProgType::Unspec => invalid("(no program type)".to_owned()),
        ProgType::CgroupSkb if attach > CGROUP_INET_EGRESS => invalid(format!("(attach type {attach})")),
        ProgType::CgroupSock if !matches!(attach, 0 | 2 | 12 | 13 | 34) => invalid(format!("(attach type {attach})")),
        ProgType::CgroupSockAddr if !attaches_to_address(attach, rules) => invalid(format!("(attach type {attach})")),
        ProgType::CgroupSockopt if !matches!(attach, 21 | 22) => invalid(format!("(attach type {attach})")),
        ProgType::Netfilter if attach != NETFILTER || rules.unix_addresses == UnixAddresses::Unknown => {
            invalid(format!("(attach type {attach})"))
        }
        ProgType::SkReuseport if !matches!(attach, 0 | 39 | 40) => invalid(format!("(attach type {attach})")),
        ProgType::SkLookup if attach != SK_LOOKUP => invalid(format!("(attach type {attach})")),
        ProgType::Syscall if attach != 0 => invalid(format!("(attach type {attach})")),
        ProgType::Tracing => Ok(()),
        _ if rules.tracing_attach_types.list().contains(&attach) => invalid(format!("(attach type {attach})")),
        t if !is_modelled(t) => Err(Refusal::unsupported(None, format!("program type {t}"))),
        _ => Ok(()),
    }
}

/// Whether an attach type is one of programs of socket addresses: of IP, and since 6.7 of Unix sockets.
fn attaches_to_address(attach: u32, rules: &StructureRules) -> bool {
    let unix = rules.unix_addresses == UnixAddresses::Known;
    matches!(attach, 8..=11 | 14 | 15 | 19 | 20 | 29..=32) || unix && matches!(attach, 49..=53)
}

/// Program types whose context, helpers and return values are modelled.
fn is_modelled(prog_type: ProgType) -> bool {
    use ProgType::*;
    matches!(
        prog_type,
        SocketFilter
            | Kprobe
            | SchedCls
            | SchedAct
            | Tracepoint
            | Xdp
            | PerfEvent
            | CgroupSkb
            | LwtIn
            | LwtOut
            | LwtXmit
            | LwtSeg6local
            | FlowDissector
            | SkLookup
            | SkSkb
            | SkMsg
            | SkReuseport
            | SockOps
            | CgroupSock
            | CgroupSockAddr
            | CgroupSockopt
            | CgroupSysctl
            | CgroupDevice
            | Netfilter
            | Lsm
            | RawTracepoint
            | RawTracepointWritable
            | Syscall
    )
}

/// Checks that a program that asks for sleep may have it.
///
/// Programs of tracing and of security hooks come without what they attach to, which the container does not hold.
///
/// Kernel: `check_attach_btf_id`, `bpf_check_attach_target`, `can_be_sleepable` (6.1 … 7.3).
#[doc(alias = "bpf_check_attach_target")]
#[doc(alias = "check_attach_btf_id")]
pub(super) fn check_sleepable(program: &Program, rules: &StructureRules) -> Result<(), Refusal> {
    match (program.prog_type, is_sleepable(program)) {
        (ProgType::Syscall, false) => invalid("Syscall programs can only be sleepable".to_owned()),
        (ProgType::Tracing, true) => Err(Refusal::unsupported(None, "a program of a target that may sleep")),
        (ProgType::Tracing, false) | (ProgType::Lsm, _) => invalid("Tracing programs must provide btf_id".to_owned()),
        (t, true) if !rules.sleepable_types.list().contains(&t) => {
            invalid(rules.sleepable_types_text.text().to_owned())
        }
        _ => Ok(()),
    }
}

fn invalid(text: String) -> Result<(), Refusal> {
    Err(Refusal::rejected(None, Errno::EINVAL, text))
}
