//! The rules that the verifier's structure pass reads: what a kernel checks before it walks paths.
//!
//! Values for 6.1 and 7.3 were read in their sources and measured; those for 6.12 and 6.18 follow the history of the
//! sources and agree with the measured answers of these kernels.

use super::KernelVersion::{self, V6_12, V6_18, V7_3};
use super::{MapType, ProgType};
use serde::{Deserialize, Serialize};

/// How many instructions of the architecture a kernel knows; each step includes those before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InsnSet {
    /// Up to 6.5: versions 1 to 3, and `gotol` by backport.
    V3,
    /// 6.6 and later: version 4 (sign extension, signed division, byte swap), address space casts, `may_goto`.
    V4,
    /// 6.15 and later: load-acquire and store-release.
    Ordered,
    /// 7.0 and later: `gotox`; 7.3: arguments on the stack through R11.
    Indirect,
}

/// When the fields of an instruction are checked: registers that exist, fields that must be zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FieldCheck {
    /// When a path reaches the instruction; dead code may hold anything that has a known opcode (up to 7.0).
    AtVisit,
    /// Once, for all instructions, before any path is walked; only those of atomic operations wait (7.1 and later). That
    /// a program ends in the middle of an `ld_imm64` is found before anything else.
    BeforeWalk,
}

/// In how many steps `func_info` is checked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FuncInfoCheck {
    /// All at once, after the subprograms are known (up to 6.6).
    Late,
    /// Order and types before the subprograms are looked for, number and places after (6.7 and later).
    EarlyAndLate,
}

/// When it is checked that a program of this type may sleep.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttachCheck {
    /// Before map references are resolved (6.1).
    BeforeResolve,
    /// After the control flow is checked (6.13 and later, and 6.12 by backport).
    AfterCfg,
}

/// Where calls of kernel functions are looked up.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KfuncLookup {
    /// While subprograms are looked for.
    WithSubprogs,
    /// After instructions are resolved (7.1 and later).
    AfterResolve,
}

/// Which back-edges the control flow of a privileged program may have.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackEdges {
    /// Those of jumps; not of calls, nor of an instruction that falls through into a loop (up to 6.6).
    JumpsOnly,
    /// All (6.7 and later).
    Any,
}

/// What a call of a helper that calls back at once, such as `bpf_loop`, is marked as.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallbackCallMarks {
    /// As any other call: the callback is walked once (up to 6.6).
    None,
    /// A checkpoint, because the walk comes back to it after each iteration (6.7 and later).
    Checkpoint,
}

/// Whether branches that constants decide are rewritten before paths are walked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConstFold {
    /// No (up to 7.0).
    Off,
    /// Yes; and recursion is refused when subprograms are put in topological order (7.1 and later).
    On,
}

/// Whether programs of addresses attach to Unix sockets.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnixAddresses {
    /// They do not (up to 6.6).
    Unknown,
    /// They do (6.7).
    Known,
}

/// The order of checks on a map that an instruction refers to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MapUse {
    /// The program's limit of maps is checked last, and nothing is said of it (6.1).
    LimitLast,
    /// The limit first, with a line in the log; then type against program, then the offset into a value, up to
    /// 2²⁹ (6.12, 6.18).
    LimitFirst,
    /// As before, without a bound of its own for the offset (7.1 and later).
    LimitFirstAnyOffset,
}

/// The tags of arguments of global functions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArgTags {
    /// They mean nothing (up to 6.7).
    None,
    /// `ctx`, `nonnull`, `nullable`, `trusted`, `arena` (6.8, 6.9).
    WithArena,
    /// Also `untrusted` (6.17), and a function may return nothing (7.1).
    WithUntrusted,
}

/// Attach types that only a tracing program may name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TracingAttachTypes {
    /// None (up to 7.0).
    None,
    /// Those of sets of functions (7.1 and later).
    FunctionSets,
}

impl TracingAttachTypes {
    /// Their numbers.
    pub const fn list(self) -> &'static [u32] {
        match self {
            TracingAttachTypes::None => &[],
            TracingAttachTypes::FunctionSets => &[59, 60, 61],
        }
    }
}

/// Modelled program types that may sleep.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SleepableTypes {
    /// Syscall and kprobe programs (up to 7.0).
    SyscallAndKprobe,
    /// Also raw tracepoints and tracepoints (7.1 and later).
    AndTracepoints,
}

impl SleepableTypes {
    /// The types.
    pub const fn list(self) -> &'static [ProgType] {
        match self {
            SleepableTypes::SyscallAndKprobe => &[ProgType::Syscall, ProgType::Kprobe],
            SleepableTypes::AndTracepoints => {
                &[ProgType::Syscall, ProgType::Kprobe, ProgType::RawTracepoint, ProgType::Tracepoint]
            }
        }
    }
}

/// The log line for a program that may not sleep.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SleepableTypesText {
    /// It names the types that may (6.1).
    NamesAllowed,
    /// It names them, struct_ops among them (6.2 to 6.19).
    NamesMore,
    /// It speaks of this type (7.0 and later).
    NamesThis,
}

impl SleepableTypesText {
    /// The line.
    pub const fn text(self) -> &'static str {
        match self {
            SleepableTypesText::NamesAllowed => {
                "Only fentry/fexit/fmod_ret, lsm, and kprobe/uprobe programs can be sleepable"
            }
            SleepableTypesText::NamesMore => {
                "Only fentry/fexit/fmod_ret, lsm, iter, uprobe, and struct_ops programs can be sleepable"
            }
            SleepableTypesText::NamesThis => "Program of this type cannot be sleepable",
        }
    }
}

/// Map types that a program that sleeps may use.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SleepableMaps {
    /// Hashes, arrays and ring buffers (6.1).
    Basic,
    /// Also queues and stacks (6.12).
    AndQueues,
    /// Also tries and arrays of programs (7.1 and later).
    AndTries,
}

impl SleepableMaps {
    /// The types.
    pub const fn list(self) -> &'static [MapType] {
        match self {
            SleepableMaps::Basic => SLEEPABLE_MAPS_6_1,
            SleepableMaps::AndQueues => SLEEPABLE_MAPS_6_12,
            SleepableMaps::AndTries => SLEEPABLE_MAPS_7_3,
        }
    }
}

/// The log line for another map in a program that sleeps.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SleepableMapsText {
    /// Arrays, hashes and ring buffers (6.1).
    Basic,
    /// Also local storage (6.2 and later).
    AndLocalStorage,
}

impl SleepableMapsText {
    /// The line.
    pub const fn text(self) -> &'static str {
        match self {
            SleepableMapsText::Basic => "Sleepable programs can only use array, hash, and ringbuf maps",
            SleepableMapsText::AndLocalStorage => {
                "Sleepable programs can only use array, hash, ringbuf and local storage maps"
            }
        }
    }
}

/// Map types whose values can be addressed directly.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DirectValueMaps {
    /// Arrays (up to 7.0).
    Arrays,
    /// Also per-CPU arrays (7.1 and later).
    AndPercpuArrays,
}

impl DirectValueMaps {
    /// The types.
    pub const fn list(self) -> &'static [MapType] {
        match self {
            DirectValueMaps::Arrays => &[MapType::Array],
            DirectValueMaps::AndPercpuArrays => &[MapType::Array, MapType::PercpuArray],
        }
    }
}

/// Rules of the checks before the walk.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StructureRules {
    /// Flags that `BPF_PROG_LOAD` knows. `BPF_F_XDP_DEV_BOUND_ONLY` since 6.3, `BPF_F_TEST_REG_INVARIANTS` since 6.8,
    /// `BPF_F_TOKEN_FD` since 6.9.
    pub prog_flags: u32,
    /// Attach types that only a tracing program may name.
    pub tracing_attach_types: TracingAttachTypes,
    /// Program types that may sleep.
    pub sleepable_types: SleepableTypes,
    /// The log line for another type.
    pub sleepable_types_text: SleepableTypesText,
    /// When that is checked.
    pub attach_check: AttachCheck,
    /// Map types that a program that sleeps may use.
    pub sleepable_maps: SleepableMaps,
    /// The log line for another map.
    pub sleepable_maps_text: SleepableMapsText,
    /// Map types whose values can be addressed directly.
    pub direct_value_maps: DirectValueMaps,
    /// The order of checks on a map.
    pub map_use: MapUse,
    /// Attach types of Unix sockets' addresses.
    pub unix_addresses: UnixAddresses,
    /// Flags that a ring buffer knows besides that of a NUMA node. `BPF_F_RB_OVERWRITE` since 6.19.
    pub ringbuf_flags: u32,
    /// Which instructions there are.
    pub insn_set: InsnSet,
    /// When fields are checked.
    pub field_check: FieldCheck,
    /// How `func_info` is checked.
    pub func_info: FuncInfoCheck,
    /// Where calls of kernel functions are looked up.
    pub kfunc_lookup: KfuncLookup,
    /// Which back-edges there may be.
    pub back_edges: BackEdges,
    /// How calls that call back are marked.
    pub callback_call_marks: CallbackCallMarks,
    /// Whether constant branches are rewritten.
    pub const_fold: ConstFold,
    /// How tags of arguments are read.
    pub arg_tags: ArgTags,
}

/// `BPF_F_RB_OVERWRITE`.
const RB_OVERWRITE: u32 = 1 << 19;

const SLEEPABLE_MAPS_6_1: &[MapType] = &[
    MapType::Hash,
    MapType::LruHash,
    MapType::Array,
    MapType::PercpuHash,
    MapType::PercpuArray,
    MapType::LruPercpuHash,
    MapType::Ringbuf,
    MapType::UserRingbuf,
];
const SLEEPABLE_MAPS_6_12: &[MapType] = &[
    MapType::Hash,
    MapType::LruHash,
    MapType::Array,
    MapType::PercpuHash,
    MapType::PercpuArray,
    MapType::LruPercpuHash,
    MapType::Ringbuf,
    MapType::UserRingbuf,
    MapType::Queue,
    MapType::Stack,
];
const SLEEPABLE_MAPS_7_3: &[MapType] = &[
    MapType::Hash,
    MapType::LruHash,
    MapType::Array,
    MapType::PercpuHash,
    MapType::PercpuArray,
    MapType::LruPercpuHash,
    MapType::Ringbuf,
    MapType::UserRingbuf,
    MapType::Queue,
    MapType::Stack,
    MapType::LpmTrie,
    MapType::ProgArray,
];

impl StructureRules {
    /// The rules of a version.
    pub(super) fn of(version: KernelVersion) -> StructureRules {
        if version >= V7_3 {
            StructureRules::v7_3()
        } else if version >= V6_12 {
            StructureRules::v6_12(version)
        } else {
            StructureRules::v6_1()
        }
    }

    fn v6_1() -> StructureRules {
        StructureRules {
            prog_flags: 0x3f,
            tracing_attach_types: TracingAttachTypes::None,
            sleepable_types: SleepableTypes::SyscallAndKprobe,
            sleepable_types_text: SleepableTypesText::NamesAllowed,
            attach_check: AttachCheck::BeforeResolve,
            sleepable_maps: SleepableMaps::Basic,
            sleepable_maps_text: SleepableMapsText::Basic,
            direct_value_maps: DirectValueMaps::Arrays,
            map_use: MapUse::LimitLast,
            unix_addresses: UnixAddresses::Unknown,
            ringbuf_flags: 0,
            insn_set: InsnSet::V3,
            field_check: FieldCheck::AtVisit,
            func_info: FuncInfoCheck::Late,
            kfunc_lookup: KfuncLookup::WithSubprogs,
            back_edges: BackEdges::JumpsOnly,
            callback_call_marks: CallbackCallMarks::None,
            const_fold: ConstFold::Off,
            arg_tags: ArgTags::None,
        }
    }

    fn v6_12(version: KernelVersion) -> StructureRules {
        StructureRules {
            prog_flags: 0x100ff,
            sleepable_types_text: SleepableTypesText::NamesMore,
            attach_check: AttachCheck::AfterCfg,
            sleepable_maps: SleepableMaps::AndQueues,
            sleepable_maps_text: SleepableMapsText::AndLocalStorage,
            map_use: MapUse::LimitFirst,
            unix_addresses: UnixAddresses::Known,
            insn_set: if version >= V6_18 { InsnSet::Ordered } else { InsnSet::V4 },
            func_info: FuncInfoCheck::EarlyAndLate,
            back_edges: BackEdges::Any,
            callback_call_marks: CallbackCallMarks::Checkpoint,
            arg_tags: ArgTags::WithArena,
            ..StructureRules::v6_1()
        }
    }

    fn v7_3() -> StructureRules {
        StructureRules {
            tracing_attach_types: TracingAttachTypes::FunctionSets,
            sleepable_types: SleepableTypes::AndTracepoints,
            sleepable_types_text: SleepableTypesText::NamesThis,
            sleepable_maps: SleepableMaps::AndTries,
            direct_value_maps: DirectValueMaps::AndPercpuArrays,
            map_use: MapUse::LimitFirstAnyOffset,
            ringbuf_flags: RB_OVERWRITE,
            insn_set: InsnSet::Indirect,
            field_check: FieldCheck::BeforeWalk,
            kfunc_lookup: KfuncLookup::AfterResolve,
            const_fold: ConstFold::On,
            arg_tags: ArgTags::WithUntrusted,
            ..StructureRules::v6_12(V7_3)
        }
    }
}

/// Helper `bpf_tail_call`.
pub const HELPER_TAIL_CALL: i32 = 12;
/// Helpers that call back before they return: `bpf_for_each_map_elem`, `bpf_find_vma`, `bpf_loop`,
/// `bpf_user_ringbuf_drain`.
#[doc(alias = "is_sync_callback_calling_function")]
pub const SYNC_CALLBACK_HELPERS: [i32; 4] = [164, 180, 181, 209];
/// Helpers that store a callback for later: `bpf_timer_set_callback`.
#[doc(alias = "is_async_callback_calling_function")]
pub const ASYNC_CALLBACK_HELPERS: [i32; 1] = [170];
/// Helpers that may move or resize a packet's data, ascending.
#[doc(alias = "bpf_helper_changes_pkt_data")]
pub const PACKET_CHANGING_HELPERS: [i32; 23] =
    [9, 10, 11, 12, 13, 18, 19, 31, 38, 39, 43, 44, 50, 54, 63, 65, 73, 74, 75, 76, 90, 91, 143];
