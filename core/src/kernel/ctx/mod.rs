//! The context: which loads and stores of it a program type may do, what main may return, and what else a program type is
//! able to do.
//!
//! Stands for the `is_valid_access` callbacks of the verifier and the tables around them (6.1 … 7.3). Left out: contexts that
//! BTF describes; they are [`CtxAccess::Unmodelled`] by name. Nothing here looks at
//! registers: the caller has folded a constant offset of the context pointer into the offset, as far as
//! [`pointer_rule`] lets it.

mod abilities;
mod attached;
mod layout;
mod retval;
mod socket;

pub use abilities::{
    LegacyLoads, PacketAccess, PacketEnd, TestRun, exists, legacy_loads, packet_access, packet_end, rewrites_ctx,
    test_run,
};
pub use layout::{Field, PERF_EVENT_DATA, SK_BUFF, SK_LOOKUP, Shape, XDP_MD};
pub use retval::{RetvalRange, retval_range};
pub use socket::{FLOW_KEYS_BYTES, KernelSock, SOCK, SockKind, TCP_SOCK, XDP_SOCK, socket_load};

use super::{KernelVersion, ProgType, Rules, span::Span};
use KernelVersion::{V6_18, V7_3};
use layout::Policy;

/// A program type together with the attach type that it is loaded for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProgKind {
    /// Program type.
    pub prog_type: ProgType,
    /// Expected attach type, by number.
    pub attach_type: u32,
}

/// What an instruction does to the context.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CtxUse {
    /// Loads it.
    Read,
    /// Loads it with sign extension.
    ReadSigned,
    /// Stores to it.
    Write,
}

/// Whether a pointer may be null.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MayBeNull {
    /// It points to something.
    No,
    /// It has to be compared with null first.
    Yes,
}

/// What an access of the context is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CtxAccess {
    /// A number. `field_bytes` is the size of the field that is loaded when the access is narrower, where that is allowed.
    Scalar {
        /// Size of the whole field in bytes.
        field_bytes: Option<u32>,
    },
    /// The start of the packet.
    Packet,
    /// The start of the metadata before the packet.
    PacketMeta,
    /// The end of the packet.
    PacketEnd,
    /// A socket.
    Socket(SockKind, MayBeNull),
    /// The keys that a flow dissector fills in.
    FlowKeys,
    /// The buffer of a writable tracepoint.
    TracepointBuffer,
    /// The state of a netfilter hook, an object of the kernel.
    HookState,
    /// The packet, as an object of the kernel.
    SkBuff,
    /// Something that is not modelled, by the log's name of its type or by the program type's.
    Unmodelled(&'static str),
    /// Refused: see [`refusal`].
    Invalid,
}

/// A number that is loaded or stored as it stands.
const PLAIN: CtxAccess = CtxAccess::Scalar { field_bytes: None };

/// Error number of a refused access, as in errno.h: `EACCES`.
pub const REFUSAL_ERRNO: i32 = 13;

/// The line of the log that refuses an access; the load fails with [`REFUSAL_ERRNO`].
pub fn refusal(off: i32, size: u32) -> String {
    format!("invalid bpf_context access off={off} size={size}")
}

/// Bytes of the arguments of a raw tracepoint: twelve of eight bytes.
const RAW_TP_BYTES: u32 = 96;
/// Bytes of `struct pt_regs` on x86-64.
const PT_REGS_BYTES: u32 = 168;
/// Bytes of a tracepoint's record; the first eight belong to the kernel.
#[doc(alias = "PERF_MAX_TRACE_SIZE")]
const TRACEPOINT_BYTES: u32 = 8192;
/// Bytes of the context of a syscall program that may be addressed.
const SYSCALL_BYTES: u32 = 65535;
/// Attach type of an XDP program in a device map.
const BPF_XDP_DEVMAP: u32 = 33;

/// What an access of `size` bytes at `off` is.
///
/// Kernel: `check_ctx_access` and the `is_valid_access` callbacks (6.1 … 7.3).
#[doc(alias = "check_ctx_access")]
#[doc(alias = "is_valid_access")]
pub fn access(prog: ProgKind, off: i32, size: u32, how: CtxUse, rules: &Rules) -> CtxAccess {
    if size == 0 {
        return CtxAccess::Invalid;
    }
    let Ok(off) = u32::try_from(off) else {
        return before_start(prog.prog_type, off, size, how);
    };
    match prog.prog_type {
        ProgType::SocketFilter => by_field(&layout::SOCKET_FILTER, off, size, how),
        ProgType::SchedCls | ProgType::SchedAct => by_field(&layout::SCHED_CLS, off, size, how),
        ProgType::CgroupSkb => by_field(&layout::CGROUP_SKB, off, size, how),
        ProgType::LwtIn | ProgType::LwtOut | ProgType::LwtXmit | ProgType::LwtSeg6local => {
            by_field(&layout::LWT, off, size, how)
        }
        ProgType::FlowDissector => by_field(&layout::FLOW_DISSECTOR, off, size, how),
        ProgType::Xdp if prog.attach_type == BPF_XDP_DEVMAP => by_field(&layout::XDP_DEVMAP, off, size, how),
        ProgType::Xdp => by_field(&layout::XDP, off, size, how),
        ProgType::SkLookup => by_field(&layout::SK_LOOKUP_ACCESS, off, size, how),
        ProgType::SkSkb => by_field(&layout::SK_SKB, off, size, how),
        ProgType::CgroupSock
        | ProgType::CgroupSockAddr
        | ProgType::CgroupSockopt
        | ProgType::CgroupDevice
        | ProgType::CgroupSysctl
        | ProgType::SockOps
        | ProgType::SkMsg
        | ProgType::SkReuseport => attached::access(prog, off, size, how, rules),
        ProgType::PerfEvent => by_field(&layout::PERF_EVENT, off, size, how),
        ProgType::RawTracepoint => flat(0, RAW_TP_BYTES, off, size, how),
        ProgType::RawTracepointWritable => tracepoint_buffer(off, size, how),
        ProgType::Netfilter => netfilter(off, size, how),
        ProgType::Tracepoint => flat(8, TRACEPOINT_BYTES, off, size, how),
        ProgType::Kprobe => kprobe(off, size, how, rules),
        ProgType::Syscall => syscall(off, size, rules),
        other => CtxAccess::Unmodelled(other.name()),
    }
}

/// Whether [`access`] knows the context of a program type.
pub const fn is_modelled(prog_type: ProgType) -> bool {
    matches!(
        prog_type,
        ProgType::SocketFilter
            | ProgType::SchedCls
            | ProgType::SchedAct
            | ProgType::CgroupSkb
            | ProgType::LwtIn
            | ProgType::LwtOut
            | ProgType::LwtXmit
            | ProgType::LwtSeg6local
            | ProgType::FlowDissector
            | ProgType::Xdp
            | ProgType::SkLookup
            | ProgType::SkSkb
            | ProgType::CgroupSock
            | ProgType::CgroupSockAddr
            | ProgType::CgroupSockopt
            | ProgType::CgroupDevice
            | ProgType::CgroupSysctl
            | ProgType::SockOps
            | ProgType::SkMsg
            | ProgType::SkReuseport
            | ProgType::PerfEvent
            | ProgType::RawTracepoint
            | ProgType::RawTracepointWritable
            | ProgType::Tracepoint
            | ProgType::Kprobe
            | ProgType::Netfilter
            | ProgType::Syscall
    )
}

/// A context of numbers in `from..end`, read only.
fn flat(from: u32, end: u32, off: u32, size: u32, how: CtxUse) -> CtxAccess {
    if off >= from && off < end && off.is_multiple_of(size) && how != CtxUse::Write {
        PLAIN
    } else {
        CtxAccess::Invalid
    }
}

/// An access before the context's first byte. The kernel refuses a tracepoint's hidden first eight bytes by a comparison in
/// which a negative offset counts as a large number, and so lets aligned loads from before them pass.
fn before_start(prog_type: ProgType, off: i32, size: u32, how: CtxUse) -> CtxAccess {
    let passes = prog_type == ProgType::Tracepoint && how != CtxUse::Write && off.unsigned_abs().is_multiple_of(size);
    match prog_type {
        _ if passes => PLAIN,
        other if is_modelled(other) => CtxAccess::Invalid,
        other => CtxAccess::Unmodelled(other.name()),
    }
}

/// The first argument of a writable raw tracepoint is its buffer.
fn tracepoint_buffer(off: u32, size: u32, how: CtxUse) -> CtxAccess {
    match (off, size, how) {
        (0, 8, CtxUse::Read | CtxUse::ReadSigned) => CtxAccess::TracepointBuffer,
        (0, ..) => CtxAccess::Invalid,
        _ => flat(0, RAW_TP_BYTES, off, size, how),
    }
}

/// Two addresses of kernel objects, which are read whole.
///
/// Kernel: `nf_is_valid_access` (6.12 … 7.3).
#[doc(alias = "nf_is_valid_access")]
fn netfilter(off: u32, size: u32, how: CtxUse) -> CtxAccess {
    match (off, size, how) {
        (_, _, CtxUse::Write) => CtxAccess::Invalid,
        (0, 8, _) => CtxAccess::HookState,
        (8, 8, _) => CtxAccess::SkBuff,
        _ => CtxAccess::Invalid,
    }
}

/// Registers of a probe; since 6.18 a program may write them (and is then refused when it is attached to a kernel probe).
fn kprobe(off: u32, size: u32, how: CtxUse, rules: &Rules) -> CtxAccess {
    let inside = off.checked_add(size).is_some_and(|end| end <= PT_REGS_BYTES);
    let allowed = how != CtxUse::Write || Span::since(V6_18).holds(rules.tables.context);
    if inside && off.is_multiple_of(size) && allowed { PLAIN } else { CtxAccess::Invalid }
}

/// The loader's own bytes, read and written; only 7.3 lets them be unaligned.
fn syscall(off: u32, size: u32, rules: &Rules) -> CtxAccess {
    let aligned = off.is_multiple_of(size) || Span::since(V7_3).holds(rules.tables.context);
    if off < SYSCALL_BYTES && aligned { PLAIN } else { CtxAccess::Invalid }
}

/// An access of a context that has fields.
fn by_field(policy: &Policy, off: u32, size: u32, how: CtxUse) -> CtxAccess {
    let Some(field) = policy.fields.iter().find(|f| (f.off..f.off + f.bytes).contains(&off)) else {
        return CtxAccess::Invalid;
    };
    let forbidden = policy.hidden.contains(&field.name)
        || (how == CtxUse::Write && !policy.writable.contains(&field.name))
        || !off.is_multiple_of(size);
    if forbidden { CtxAccess::Invalid } else { by_shape(field, off, size, how) }
}

fn by_shape(field: &Field, off: u32, size: u32, how: CtxUse) -> CtxAccess {
    let writes = how == CtxUse::Write;
    let found = match field.shape {
        Shape::Whole(bytes) => (size == bytes).then_some(PLAIN),
        Shape::Narrow(bytes) if writes => (size == bytes).then_some(PLAIN),
        Shape::Narrow(bytes) => narrow(bytes, size),
        Shape::NarrowStart(bytes) if off == field.off => narrow(bytes, size),
        Shape::NarrowStart(_) => (size == 4).then_some(PLAIN),
        Shape::WideStart => (size == if off == field.off { 8 } else { 4 }).then_some(PLAIN),
        Shape::Address => address(field, off, size, how),
        Shape::Port if size == 4 => Some(PLAIN),
        Shape::Port => narrow(2, size),
        Shape::Bytes => (off.saturating_add(size) <= field.off + field.bytes).then_some(PLAIN),
        Shape::Packet(pointer) => (size == 4 && how == CtxUse::Read).then_some(pointer),
        Shape::WidePacket(object) | Shape::Object(object) => (size == 8 && !writes).then_some(object),
        Shape::ReadOnly(bytes) => (size == bytes && !writes).then_some(PLAIN),
        Shape::Closed => None,
    };
    found.unwrap_or(CtxAccess::Invalid)
}

/// An IPv6 address, which also goes by halves.
///
/// Kernel: `bpf_ctx_wide_access_ok` (6.1 … 7.3).
#[doc(alias = "bpf_ctx_wide_access_ok")]
fn address(field: &Field, off: u32, size: u32, how: CtxUse) -> Option<CtxAccess> {
    match (size, how) {
        (8, _) => (off + 8 <= field.off + field.bytes).then_some(PLAIN),
        (_, CtxUse::Write) => (size == 4).then_some(PLAIN),
        _ => narrow(4, size),
    }
}

/// Kernel: `bpf_ctx_narrow_access_ok` (6.1 … 7.3).
#[doc(alias = "bpf_ctx_narrow_access_ok")]
fn narrow(field_bytes: u32, size: u32) -> Option<CtxAccess> {
    (size <= field_bytes && size.is_power_of_two()).then_some(CtxAccess::Scalar { field_bytes: Some(field_bytes) })
}

/// What a context pointer may have been added to before it is dereferenced.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PointerRule {
    /// Nothing: offset 0 ("dereference of modified ctx ptr").
    Unmodified,
    /// A known number that is not negative.
    Fixed,
    /// Any number, as long as all of the access stays inside so many bytes.
    Region(u32),
}

/// What the context pointer of a program type may have been added to.
///
/// Kernel: `check_ctx_access`, `is_var_ctx_off_allowed` (7.3), `check_ptr_off_reg` (before).
#[doc(alias = "is_var_ctx_off_allowed")]
pub fn pointer_rule(prog_type: ProgType, rules: &Rules) -> PointerRule {
    if !Span::since(V7_3).holds(rules.tables.context) || rewrites_ctx(prog_type) {
        PointerRule::Unmodified
    } else if prog_type == ProgType::Syscall {
        PointerRule::Region(SYSCALL_BYTES)
    } else {
        PointerRule::Fixed
    }
}

/// Whether a helper's memory argument may be the context.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum HelperMemory {
    /// It may not: "type=ctx expected=" and the types that the argument accepts, up to 6.18; only "fp" in 7.3.
    Refused,
    /// It may, as long as all of it lies inside so many bytes.
    Region(u32),
}

/// Whether a helper may be given the context as memory.
///
/// Kernel: `check_helper_mem_access` (7.3), `compatible_reg_types` (before).
#[doc(alias = "check_helper_mem_access")]
pub fn helper_memory(prog_type: ProgType, rules: &Rules) -> HelperMemory {
    match pointer_rule(prog_type, rules) {
        PointerRule::Region(bytes) => HelperMemory::Region(bytes),
        PointerRule::Unmodified | PointerRule::Fixed => HelperMemory::Refused,
    }
}

#[cfg(test)]
mod tests;
