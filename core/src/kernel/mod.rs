//! Every kernel fact that varies or that a table can hold: versions, [`Rules`], limits, names of the user interface,
//! helper prototypes. Pure data: nothing here decides anything.
//!
//! Stands for `include/uapi/linux/bpf.h` and the tables of the verifier (6.1 … 7.3). A version is turned into [`Rules`]
//! here and nowhere else; every other room reads named fields.

pub mod ctx;
mod facts;
pub mod helpers;
pub mod limits;
pub mod maps;
mod rules;
mod rules_domain;
mod rules_log;
mod rules_rewrite;
mod rules_structure;
mod rules_values;
mod rules_walk;
mod span;
mod uapi;

pub use facts::{Difference, Fact, FactError};
pub use rules::{
    BtfLayout, BtfRules, BtfSectionName, BtfTagFlag, KernelVersion, RangeModel, Rules, TableRules, UnknownVersion,
};
pub use rules_domain::{
    AddOverflow, BitwiseSigned, BoundsSync, BranchKnown, BranchRefine, ByteSwap, DivMod, DomainRules, Invariants,
    MulRange, Negation, SameRegister, SecondOperand, SignMaskFork, TnumMul, Truncation,
};
pub use rules_log::{GlobalCalls, LiveRegisters, LogRules, LoopStates, ReferenceStyle, RegisterStyle, Shown};
pub use rules_rewrite::{
    Build, FastcallSpills, HelperImms, MayGotoForm, MissingSubprog, NopForms, RewriteRules, SmpProcessorId, UpperHalves,
};
pub use rules_structure::{
    ASYNC_CALLBACK_HELPERS, ArgTags, AttachCheck, BackEdges, CallbackCallMarks, ConstFold, DirectValueMaps, FieldCheck,
    FuncInfoCheck, HELPER_TAIL_CALL, InsnSet, KfuncLookup, MapUse, PACKET_CHANGING_HELPERS, SYNC_CALLBACK_HELPERS,
    SleepableMaps, SleepableMapsText, SleepableTypes, SleepableTypesText, StructureRules, TracingAttachTypes,
    UnixAddresses,
};
pub use rules_values::{
    EarlierWrites, FetchPrecision, FillIds, LostLink, NullCheck, PointerLowHalf, SpillPointers, ZeroReads,
};
pub use rules_walk::{
    Backtracking, BeyondPacket, BugReport, CallbackExit, CallbackWalk, CastOfReference, CheckedPointerId, ConstantKey,
    FieldErrno, ForcedCheckpoints, FoundSocket, GlobalPacketMoves, GlobalSubprogs, HelperAccess, LeavesCallback,
    LegacyLoadPaths, LivenessModel, LoadAcquireCheck, LoopCount, LoopPrecision, LoopSlots, MainAsCallback,
    MovedRelease, NullArgument, NullCompare, NullForNonnull, PointerOffset, PrivateStack, ReferenceScope, ReturnCheck,
    ScalarIds, ScalarLinks, ScalarSpills, SingularIds, SlotScalars, StackRefusal, StackRounding, StateCleaning,
    StoreToCtx, TailCallPaths, VariableStore, WalkRules, Widening,
};
pub use span::Span;
pub use uapi::{MapType, ProgType, UnknownName};
