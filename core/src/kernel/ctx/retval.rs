//! What main must return.
//!
//! Stands for the ranges in `check_return_code` (6.1, 6.12) and `return_retval_range` (7.3). The comparison is the verifier's,
//! and so is the wording: 6.1 compares tnums and writes `should have been in (0x0; 0x1)`, later versions compare signed 64-bit
//! ranges and write `should have been in [0, 1]`.

use super::ProgKind;
use crate::kernel::{KernelVersion, ProgType, Rules, span::Span};

/// The numbers that main may leave in R0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RetvalRange {
    /// All. R0 must still be readable, and no address may be in it ("R0 leaks addr as return value" without `CAP_PERFMON`).
    Any,
    /// From the first to the second, both included; R0 must be a number.
    Within(i32, i32),
    /// Depends on what the program is attached to.
    Unmodelled,
}

const EGRESS: u32 = 1;
const INET4_BIND: u32 = 8;
const INET6_BIND: u32 = 9;
/// `BPF_CGROUP_UDP4_RECVMSG`, `UDP6_RECVMSG`, the `GETPEERNAME` and `GETSOCKNAME` of IPv4 and IPv6.
const MUST_ALLOW: [u32; 6] = [19, 20, 29, 30, 31, 32];
/// The same of Unix sockets: `RECVMSG`, `GETPEERNAME`, `GETSOCKNAME`.
const MUST_ALLOW_UNIX: [u32; 3] = [51, 52, 53];
const TRACE_RAW_TP: u32 = 23;
const TRACE_FENTRY: u32 = 24;
const TRACE_FEXIT: u32 = 25;
const MODIFY_RETURN: u32 = 26;
const TRACE_ITER: u32 = 28;
const KPROBE_SESSION: u32 = 56;
const UPROBE_SESSION: u32 = 57;

/// The numbers that main may return.
///
/// Kernel: `check_return_code`, `return_retval_range` (6.1 … 7.3).
#[doc(alias = "check_return_code")]
#[doc(alias = "return_retval_range")]
pub fn retval_range(prog: ProgKind, rules: &Rules) -> RetvalRange {
    let since = |version| Span::since(version).holds(rules.tables.context);
    match (prog.prog_type, prog.attach_type) {
        (ProgType::CgroupSockAddr, attach) => {
            let unix = MUST_ALLOW_UNIX.contains(&attach) && since(KernelVersion::V6_12);
            match attach {
                _ if MUST_ALLOW.contains(&attach) || unix => RetvalRange::Within(1, 1),
                INET4_BIND | INET6_BIND => RetvalRange::Within(0, 3),
                _ => RetvalRange::Within(0, 1),
            }
        }
        (ProgType::CgroupSkb, EGRESS) => RetvalRange::Within(0, 3),
        (ProgType::CgroupSkb | ProgType::CgroupSock | ProgType::SockOps | ProgType::CgroupDevice, _)
        | (ProgType::CgroupSysctl | ProgType::CgroupSockopt, _) => RetvalRange::Within(0, 1),
        // SK_DROP and SK_PASS; NF_DROP and NF_ACCEPT.
        (ProgType::SkLookup | ProgType::Netfilter, _) => RetvalRange::Within(0, 1),
        (ProgType::Kprobe, KPROBE_SESSION) if since(KernelVersion::V6_12) => RetvalRange::Within(0, 1),
        (ProgType::Kprobe, UPROBE_SESSION) if since(KernelVersion::V6_18) => RetvalRange::Within(0, 1),
        (ProgType::Tracing, TRACE_FENTRY | TRACE_FEXIT) => RetvalRange::Within(0, 0),
        (ProgType::Tracing, TRACE_RAW_TP | MODIFY_RETURN) => RetvalRange::Any,
        (ProgType::Tracing, TRACE_ITER) => RetvalRange::Within(0, 1),
        (ProgType::Tracing | ProgType::Lsm | ProgType::StructOps | ProgType::Ext, _) => RetvalRange::Unmodelled,
        _ => RetvalRange::Any,
    }
}
