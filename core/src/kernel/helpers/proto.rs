//! What a helper takes and gives, in the verifier's terms.

use crate::kernel::ctx::{KernelSock, SockKind};
use crate::kernel::{KernelVersion, Rules, span::Span};

/// The prototype of a helper.
///
/// Kernel: `struct bpf_func_proto` (6.1 … 7.3).
#[doc(alias = "bpf_func_proto")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HelperProto {
    /// Number.
    pub id: i32,
    /// Name without `bpf_`.
    pub name: &'static str,
    /// What R0 holds after the call.
    pub ret: Ret,
    /// What R1 to R5 must hold.
    pub args: [Arg; 5],
    /// Further properties.
    pub traits: Traits,
}

bitflags::bitflags! {
    /// Properties of a helper besides its types.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Traits: u8 {
        /// Only for programs with a licence that is compatible with the GPL (`gpl_only`).
        const GPL_ONLY = 1;
        /// Memory arguments may lie in the packet (`pkt_access`).
        const PACKET_ARGS = 2;
        /// Packet pointers are void after the call (`bpf_helper_changes_pkt_data`).
        const CHANGES_PACKET = 4;
        /// Only for sleepable programs (`might_sleep`).
        const MIGHT_SLEEP = 8;
        /// Scratches only R0 and its own arguments (`allow_fastcall`).
        const FASTCALL = 16;
        /// What it returns has to be released, unless it is null (`is_acquire_function`).
        const ACQUIRES = 32;
        /// What it returns is its argument under another type (`is_ptr_cast_function`).
        const CASTS = 64;
    }
}

impl HelperProto {
    /// Whether the helper has a property.
    pub const fn is(&self, property: Traits) -> bool {
        self.traits.contains(property)
    }
}

/// What R0 holds after a call.
///
/// Kernel: `enum bpf_return_type` (6.1 … 7.3), as far as modelled prototypes use it.
#[doc(alias = "bpf_return_type")]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Ret {
    /// Any 64-bit number; see [`ret_range`] (`RET_INTEGER`).
    Integer,
    /// Nothing: R0 may not be read (`RET_VOID`).
    Void,
    /// The value of an element of the map argument (`RET_PTR_TO_MAP_VALUE`).
    MapValue,
    /// The same, or null (`RET_PTR_TO_MAP_VALUE_OR_NULL`).
    MapValueOrNull,
    /// A record of a ring buffer as large as the `AllocSizeOrZero` argument, or null; the call acquires a reference
    /// (`RET_PTR_TO_RINGBUF_MEM_OR_NULL`, in 6.1 `RET_PTR_TO_ALLOC_MEM_OR_NULL`).
    RingbufMemOrNull,
    /// A full socket, or null (`RET_PTR_TO_SOCKET_OR_NULL`).
    SocketOrNull,
    /// The common part of a socket, or null (`RET_PTR_TO_SOCK_COMMON_OR_NULL`).
    SockCommonOrNull,
    /// A TCP socket, or null (`RET_PTR_TO_TCP_SOCK_OR_NULL`).
    TcpSockOrNull,
    /// A kernel's socket, or null (`RET_PTR_TO_BTF_ID_OR_NULL`).
    KernelSockOrNull(KernelSock),
    /// A task (`RET_PTR_TO_BTF_ID`).
    Task,
    /// A task that is known to be alive (`RET_PTR_TO_BTF_ID_TRUSTED`).
    TrustedTask,
}

impl Ret {
    /// The kind of socket, where one is returned.
    pub const fn socket(self) -> Option<SockKind> {
        match self {
            Ret::SocketOrNull => Some(SockKind::Full),
            Ret::SockCommonOrNull => Some(SockKind::Common),
            Ret::TcpSockOrNull => Some(SockKind::Tcp),
            _ => None,
        }
    }
}

/// What an argument register must hold.
///
/// Kernel: `enum bpf_arg_type` (6.1 … 7.3), as far as modelled prototypes use it.
#[doc(alias = "bpf_arg_type")]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Arg {
    /// Not looked at (`ARG_DONTCARE`).
    Unused,
    /// Any initialised register (`ARG_ANYTHING`).
    Anything,
    /// A number (`ARG_SCALAR`).
    Scalar,
    /// A map (`ARG_CONST_MAP_PTR`).
    ConstMapPtr,
    /// Memory as large as the map's key (`ARG_PTR_TO_MAP_KEY`).
    MapKey,
    /// Memory as large as the map's value (`ARG_PTR_TO_MAP_VALUE`).
    MapValue(MemAccess),
    /// Memory (`ARG_PTR_TO_MEM` and what derives from it).
    Mem(MemArg),
    /// Size of the memory argument before it, in bytes, at least 1 (`ARG_CONST_SIZE`, in 7.3 `ARG_MEM_SIZE`).
    Size,
    /// Size of the memory argument before it, in bytes (`ARG_CONST_SIZE_OR_ZERO`, in 7.3 `ARG_MEM_SIZE_OR_ZERO`).
    SizeOrZero,
    /// A known size of memory to be allocated, in bytes (`ARG_CONST_ALLOC_SIZE_OR_ZERO`).
    AllocSizeOrZero,
    /// The context (`ARG_PTR_TO_CTX`).
    Ctx,
    /// The context or null (`ARG_PTR_TO_CTX_OR_NULL`).
    CtxOrNull,
    /// A record of a ring buffer; the call releases its reference (`ARG_PTR_TO_RINGBUF_MEM | OBJ_RELEASE`).
    RingbufMem,
    /// A socket (`ARG_PTR_TO_SOCK_COMMON`).
    Sock,
    /// A full socket or null (`ARG_PTR_TO_SOCKET_OR_NULL`).
    SocketOrNull,
    /// A socket, or a kernel's object that is one (`ARG_PTR_TO_BTF_ID_SOCK_COMMON`).
    AnySock,
    /// The same or null (`ARG_PTR_TO_BTF_ID_SOCK_COMMON | PTR_MAYBE_NULL`).
    AnySockOrNull,
    /// The same; the call releases its reference (`ARG_PTR_TO_BTF_ID_SOCK_COMMON | OBJ_RELEASE`).
    ReleasedSock,
    /// A lock in a map's value (`ARG_PTR_TO_SPIN_LOCK`).
    SpinLock,
    /// A timer in a map's value (`ARG_PTR_TO_TIMER`).
    Timer,
    /// A task (`ARG_PTR_TO_BTF_ID` of `task_struct`).
    Task,
    /// A subprogram (`ARG_PTR_TO_FUNC`).
    Func,
    /// An address on the stack or null (`ARG_PTR_TO_STACK_OR_NULL`).
    StackOrNull,
    /// A string that ends in zero in a read-only map (`ARG_PTR_TO_CONST_STR`).
    ConstStr,
}

/// A memory argument.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MemArg {
    /// What the helper does to it.
    pub access: MemAccess,
    /// How large it is.
    pub size: MemSize,
    /// Whether it may be null.
    pub null: Null,
}

/// What a helper does to memory that it is given.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MemAccess {
    /// Reads; read-only memory will do (`MEM_RDONLY`, and map values without flag).
    Read,
    /// No flag: checked like a read, but memory of a read-only type is refused. Some of these helpers write.
    Plain,
    /// Reads or writes and may leave bytes as they are: checked like a write (`MEM_WRITE`).
    Write,
    /// Fills all of it; it need not be initialised (`MEM_UNINIT | MEM_WRITE`).
    Fill,
}

/// Where the size of a memory argument comes from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MemSize {
    /// From the next argument.
    NextArg,
    /// Fixed, in bytes (`MEM_FIXED_SIZE`).
    Fixed(u32),
    /// Fixed, in bytes, and the address must be a multiple of it (`MEM_FIXED_SIZE | MEM_ALIGNED`).
    FixedAligned(u32),
}

/// Whether an argument may be null.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Null {
    /// It may not.
    Forbidden,
    /// It may (`PTR_MAYBE_NULL`).
    Allowed,
}

impl Arg {
    /// Memory of the size that the next argument says.
    pub(super) const fn mem(access: MemAccess) -> Arg {
        Arg::Mem(MemArg { access, size: MemSize::NextArg, null: Null::Forbidden })
    }

    /// The same, or null.
    pub(super) const fn mem_or_null(access: MemAccess) -> Arg {
        Arg::Mem(MemArg { access, size: MemSize::NextArg, null: Null::Allowed })
    }

    /// Aligned memory of a fixed size.
    pub(super) const fn aligned(access: MemAccess, bytes: u32) -> Arg {
        Arg::Mem(MemArg { access, size: MemSize::FixedAligned(bytes), null: Null::Forbidden })
    }

    /// Memory of a fixed size.
    pub(super) const fn fixed(access: MemAccess, bytes: u32) -> Arg {
        Arg::Mem(MemArg { access, size: MemSize::Fixed(bytes), null: Null::Forbidden })
    }

    /// Whether null (a number known to be zero) is taken without a look at the type.
    pub const fn may_be_null(self) -> bool {
        matches!(
            self,
            Arg::CtxOrNull
                | Arg::StackOrNull
                | Arg::SocketOrNull
                | Arg::AnySockOrNull
                | Arg::Mem(MemArg { null: Null::Allowed, .. })
        )
    }

    /// Whether the call releases the argument's reference (`OBJ_RELEASE`).
    pub const fn is_released(self) -> bool {
        matches!(self, Arg::RingbufMem | Arg::ReleasedSock)
    }

    /// The types that the register may have, in the order of the log's "expected=" list. Before the comparison the
    /// read-only flag is dropped where the access is [`MemAccess::Read`] and the null flag where null is allowed.
    /// Empty for arguments whose type is not compared.
    ///
    /// Kernel: `compatible_reg_types` (6.1 … 7.3).
    #[doc(alias = "compatible_reg_types")]
    pub fn accepts(self, rules: &Rules) -> &'static [RegClass] {
        match self {
            Arg::Unused | Arg::Anything => &[],
            Arg::Scalar | Arg::Size | Arg::SizeOrZero | Arg::AllocSizeOrZero => &[RegClass::Scalar],
            Arg::ConstMapPtr => &[RegClass::MapPtr],
            Arg::MapKey | Arg::MapValue(_) if Span::until(KernelVersion::V6_1).holds(rules.tables.helpers) => {
                KEY_CLASSES_6_1
            }
            Arg::MapKey | Arg::MapValue(_) | Arg::Mem(_) => mem_classes(rules),
            Arg::Ctx | Arg::CtxOrNull => &[RegClass::Ctx],
            Arg::RingbufMem => &[RegClass::RingbufMem],
            Arg::Sock => SOCK_CLASSES.get(..4).unwrap_or(SOCK_CLASSES),
            Arg::SocketOrNull => &[RegClass::Sock(SockKind::Full)],
            Arg::AnySock | Arg::AnySockOrNull | Arg::ReleasedSock
                if Span::until(KernelVersion::V6_1).holds(rules.tables.helpers) =>
            {
                SOCK_CLASSES.get(..5).unwrap_or(SOCK_CLASSES)
            }
            Arg::AnySock | Arg::AnySockOrNull | Arg::ReleasedSock => SOCK_CLASSES,
            Arg::Func => &[RegClass::Func],
            Arg::StackOrNull => &[RegClass::Stack],
            Arg::Timer => &[RegClass::MapValue],
            Arg::SpinLock if Span::until(KernelVersion::V6_1).holds(rules.tables.helpers) => &[RegClass::MapValue],
            Arg::SpinLock => &[RegClass::MapValue, RegClass::BtfId],
            Arg::Task if Span::until(KernelVersion::V6_1).holds(rules.tables.helpers) => &[RegClass::BtfId],
            Arg::Task => &[RegClass::BtfId, RegClass::TrustedBtfId, RegClass::RcuBtfId],
            Arg::ConstStr => &[RegClass::MapValue],
        }
    }
}

/// A register type that an argument may have.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RegClass {
    /// A number.
    Scalar,
    /// The context.
    Ctx,
    /// A map.
    MapPtr,
    /// Key of an element, as a callback is given it.
    MapKey,
    /// Value of an element.
    MapValue,
    /// Stack.
    Stack,
    /// Packet.
    Packet,
    /// Metadata before the packet.
    PacketMeta,
    /// Memory of a known size.
    Mem,
    /// A record of a ring buffer.
    RingbufMem,
    /// A buffer of an iterator or a writable tracepoint.
    Buf,
    /// A socket.
    Sock(SockKind),
    /// A kernel object.
    BtfId,
    /// A kernel object that is trusted.
    TrustedBtfId,
    /// A kernel object that RCU protects.
    RcuBtfId,
    /// A subprogram.
    Func,
}

impl RegClass {
    /// The log's name.
    ///
    /// Kernel: `reg_type_str` (6.1 … 7.3).
    #[doc(alias = "reg_type_str")]
    pub fn log_name(self, rules: &Rules) -> &'static str {
        match self {
            RegClass::Scalar => "scalar",
            RegClass::Ctx => "ctx",
            RegClass::MapPtr => "map_ptr",
            RegClass::MapKey => "map_key",
            RegClass::MapValue => "map_value",
            RegClass::Stack => "fp",
            RegClass::Packet => "pkt",
            RegClass::PacketMeta => "pkt_meta",
            RegClass::Mem => "mem",
            RegClass::RingbufMem if Span::until(KernelVersion::V6_1).holds(rules.tables.helpers) => "alloc_mem",
            RegClass::RingbufMem => "ringbuf_mem",
            RegClass::Buf => "buf",
            RegClass::Sock(kind) => kind.log_name(),
            RegClass::BtfId => "ptr_",
            RegClass::TrustedBtfId => "trusted_ptr_",
            RegClass::RcuBtfId => "rcu_ptr_",
            RegClass::Func => "func",
        }
    }
}

const KEY_CLASSES_6_1: &[RegClass] =
    &[RegClass::Stack, RegClass::Packet, RegClass::PacketMeta, RegClass::MapKey, RegClass::MapValue];

/// The socket types; for some arguments, and in 6.1, only a beginning of the list.
const SOCK_CLASSES: &[RegClass] = &[
    RegClass::Sock(SockKind::Common),
    RegClass::Sock(SockKind::Full),
    RegClass::Sock(SockKind::Tcp),
    RegClass::Sock(SockKind::Xdp),
    RegClass::BtfId,
    RegClass::TrustedBtfId,
];

/// The memory types of 7.3; older versions know a beginning of the list.
const MEM_CLASSES: &[RegClass] = &[
    RegClass::Stack,
    RegClass::Packet,
    RegClass::PacketMeta,
    RegClass::MapKey,
    RegClass::MapValue,
    RegClass::Mem,
    RegClass::RingbufMem,
    RegClass::Buf,
    RegClass::TrustedBtfId,
    RegClass::Ctx,
];

fn mem_classes(rules: &Rules) -> &'static [RegClass] {
    let known = match rules.tables.helpers {
        KernelVersion::V6_1 => 8,
        KernelVersion::V6_12 | KernelVersion::V6_18 => 9,
        KernelVersion::V7_3 => 10,
    };
    MEM_CLASSES.get(..known).unwrap_or(MEM_CLASSES)
}

/// What is known of the number that a helper returns.
///
/// Kernel: `do_refine_retval_range` (6.1 … 7.3).
#[doc(alias = "do_refine_retval_range")]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RetRange {
    /// Nothing.
    Any,
    /// From −4095 to the largest value of the size argument, over 64 and over 32 bits.
    ErrnoToSize,
    /// From 0 to the number of possible CPUs of the machine less 1, over 64 and over 32 bits.
    CpuNumber,
    /// From −4095 to 0, over 64 and over 32 bits.
    ErrnoOrZero,
}

/// The lowest negative error number that a helper returns, negated.
#[doc(alias = "MAX_ERRNO")]
pub const ERRNO_MAX: i64 = 4095;

/// What is known of the number that helper `id` returns, if it returns one.
#[doc(alias = "do_refine_retval_range")]
pub fn ret_range(id: i32, rules: &Rules) -> RetRange {
    RET_RANGES
        .iter()
        .find(|(n, span, _)| *n == id && span.holds(rules.tables.helpers))
        .map_or(RetRange::Any, |(_, _, range)| *range)
}

const RET_RANGES: &[(i32, Span, RetRange)] = &[
    (super::id_of("probe_read_str"), Span::ALL, RetRange::ErrnoToSize),
    (super::id_of("get_stack"), Span::ALL, RetRange::ErrnoToSize),
    (super::id_of("probe_read_user_str"), Span::ALL, RetRange::ErrnoToSize),
    (super::id_of("probe_read_kernel_str"), Span::ALL, RetRange::ErrnoToSize),
    (super::id_of("get_task_stack"), Span::ALL, RetRange::ErrnoToSize),
    (super::id_of("get_smp_processor_id"), Span::since(KernelVersion::V6_12), RetRange::CpuNumber),
    (super::id_of("get_retval"), Span::since(KernelVersion::V7_3), RetRange::ErrnoOrZero),
];
