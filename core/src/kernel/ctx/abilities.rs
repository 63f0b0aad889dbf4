//! What a program type is able to do besides reading its context.
//!
//! Stands for `may_access_direct_pkt_data`, `may_access_skb`, the presence of a `convert_ctx_access` callback and the
//! `test_run` callbacks (6.1 … 7.3).

use crate::kernel::{KernelVersion, ProgType, Rules, span::Span};

/// Whether a version has the program type.
pub fn exists(prog_type: ProgType, rules: &Rules) -> bool {
    match prog_type {
        ProgType::Unspec => false,
        ProgType::Netfilter => Span::since(KernelVersion::V6_12).holds(rules.tables.context),
        _ => true,
    }
}

/// How the packet may be accessed through pointers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PacketAccess {
    /// Not at all.
    None,
    /// Read. A store is refused with "cannot write into packet" (`EACCES`).
    Read,
    /// Read and written.
    ReadWrite,
}

/// How a program type may access the packet through pointers. Helpers additionally need
/// [`Traits::PACKET_ARGS`](crate::kernel::helpers::Traits::PACKET_ARGS), else "helper access to the packet is not allowed".
///
/// Kernel: `may_access_direct_pkt_data` (6.1 … 7.3).
#[doc(alias = "may_access_direct_pkt_data")]
pub const fn packet_access(prog_type: ProgType) -> PacketAccess {
    match prog_type {
        ProgType::LwtIn
        | ProgType::LwtOut
        | ProgType::LwtSeg6local
        | ProgType::SkReuseport
        | ProgType::FlowDissector
        | ProgType::CgroupSkb => PacketAccess::Read,
        ProgType::SchedCls
        | ProgType::SchedAct
        | ProgType::Xdp
        | ProgType::LwtXmit
        | ProgType::SkSkb
        | ProgType::SkMsg
        | ProgType::CgroupSockopt => PacketAccess::ReadWrite,
        _ => PacketAccess::None,
    }
}

/// Whether the legacy packet loads (`LD_ABS`, `LD_IND`) are for a program type.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LegacyLoads {
    /// They are.
    Allowed,
    /// "BPF_LD_[ABS|IND] instructions not allowed for this program type" (`EINVAL`).
    Refused,
}

/// Whether a program type may use `LD_ABS` and `LD_IND`.
///
/// Kernel: `may_access_skb` (6.1 … 7.3).
#[doc(alias = "may_access_skb")]
pub const fn legacy_loads(prog_type: ProgType) -> LegacyLoads {
    match prog_type {
        ProgType::SocketFilter | ProgType::SchedCls | ProgType::SchedAct => LegacyLoads::Allowed,
        _ => LegacyLoads::Refused,
    }
}

/// Whether the kernel rewrites accesses of the context, so that what runs is not what was verified.
///
/// Kernel: the types whose `bpf_verifier_ops` have a `convert_ctx_access` (6.1 … 7.3).
#[doc(alias = "convert_ctx_access")]
pub const fn rewrites_ctx(prog_type: ProgType) -> bool {
    !matches!(
        prog_type,
        ProgType::Kprobe
            | ProgType::Tracepoint
            | ProgType::RawTracepoint
            | ProgType::RawTracepointWritable
            | ProgType::Tracing
            | ProgType::Lsm
            | ProgType::StructOps
            | ProgType::Ext
            | ProgType::LircMode2
            | ProgType::CgroupDevice
            | ProgType::Netfilter
            | ProgType::Syscall
    )
}

/// What `BPF_PROG_TEST_RUN` wants of a program type, and gives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TestRun {
    /// There is none: error 524 (`ENOTSUPP`).
    Unsupported,
    /// A context of so many bytes at most; no repetitions; nothing but R0 comes back.
    Ctx {
        /// Largest context in bytes.
        bytes_max: u32,
    },
    /// A context that comes back as it was left; no repetitions.
    CtxInOut,
    /// A packet of at least so many bytes; repetitions and their duration.
    Packet {
        /// Smallest packet in bytes.
        bytes_min: u32,
    },
    /// Calls of test functions that the program is attached to; no input.
    Attached,
    /// Needs a complete context of its own, which is not modelled.
    OwnCtx,
}

/// What `BPF_PROG_TEST_RUN` wants of a program type. R0 comes back as 32 bits. A raw tracepoint's or a syscall program's
/// context that ends before the last byte that some verified path accesses is refused with `EINVAL`.
///
/// Kernel: the `test_run` callbacks of `bpf_prog_ops`, measured on 6.1, 6.12, 6.18 and 7.3.
#[doc(alias = "bpf_prog_test_run_skb")]
pub fn test_run(prog_type: ProgType, rules: &Rules) -> TestRun {
    match prog_type {
        _ if !exists(prog_type, rules) => TestRun::Unsupported,
        ProgType::RawTracepoint => TestRun::Ctx { bytes_max: 96 },
        ProgType::Syscall => TestRun::CtxInOut,
        ProgType::SocketFilter
        | ProgType::SchedCls
        | ProgType::SchedAct
        | ProgType::Xdp
        | ProgType::CgroupSkb
        | ProgType::LwtIn
        | ProgType::LwtOut
        | ProgType::LwtXmit
        | ProgType::LwtSeg6local
        | ProgType::FlowDissector
        | ProgType::Netfilter => TestRun::Packet { bytes_min: 14 },
        ProgType::Tracing => TestRun::Attached,
        ProgType::SkLookup | ProgType::SkSkb | ProgType::StructOps => TestRun::OwnCtx,
        _ => TestRun::Unsupported,
    }
}

/// What a test run puts into the context's `data_end`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PacketEnd {
    /// The end of the packet.
    Set,
    /// Nothing: it is 0, and the packet looks empty to a program that compares with it.
    Unset,
}

/// Whether a program in a test run can find the end of its packet.
///
/// Kernel: `bpf_prog_test_run_skb` (6.1 … 7.3).
pub fn packet_end(prog_type: ProgType, rules: &Rules) -> PacketEnd {
    match prog_type {
        ProgType::CgroupSkb if Span::until(KernelVersion::V6_12).holds(rules.tables.context) => PacketEnd::Unset,
        _ => PacketEnd::Set,
    }
}
