//! Rules of the walk over all paths: what the verifier's room `verifier/` reads.

use super::rules_values::{
    EarlierWrites, FetchPrecision, FillIds, LostLink, NullCheck, PointerLowHalf, SpillPointers, ZeroReads,
};
use serde::{Deserialize, Serialize};

/// How a callback of a synchronous helper is walked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallbackWalk {
    /// Like a call that happens exactly once, whatever the count (up to 6.6; 6.1 never changed).
    Once,
    /// Any number of times up to the largest count: the path returns to the call until nothing new comes (6.7).
    UnknownCount,
}

/// How far precision is followed backwards.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backtracking {
    /// Within the frame; at calls and exits every scalar of the path is marked (up to 6.3).
    SingleFrame,
    /// Through calls, callbacks and linked scalars (6.4, 6.8).
    AllFrames,
}

/// What following precision over a callback's exit does with the caller's R1 to R5.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallbackExit {
    /// They are no longer wanted (up to 7.2), although the call reads them again.
    ForgetArguments,
    /// They stay wanted (7.3).
    KeepArguments,
}

/// Where the verifier knows from which registers and slots matter later.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LivenessModel {
    /// Read marks, handed from path to checkpoint during the walk (up to 6.17).
    ReadMarks,
    /// Registers from an analysis before the walk; the stack from reads and writes that the walk marks at instructions under their
    /// chain of calls, passed on backwards whenever a path ends (6.18).
    Recorded,
    /// Analysis of the whole program before the walk (7.0).
    Static,
}

/// How packet pointers beyond the packet's end, or at it, are compared with those in it when states are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BeyondPacket {
    /// Their mark is a range below 0, which any range covers: a path that may read is taken for covered by one that may not
    /// (before 7.1).
    AnyRange,
    /// Only the same mark covers it (7.1, and 6.1.192 and 6.12.95 by backport).
    SameMark,
}

/// How a pointer's offset is kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PointerOffset {
    /// A fixed part beside the variable part (up to 7.0).
    Split,
    /// All of it in the variable part (7.1).
    Folded,
}

/// Which scalars are known to be equal, or to differ by a constant.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScalarLinks {
    /// Copies by 64-bit moves; ids are not compared when states are (up to 6.2).
    Copies,
    /// Also narrow copies, spills and sums with a constant; ids are compared (6.4, 6.11).
    CopiesAndSums,
    /// Also differences, 32-bit sums and negative distances (7.0).
    CopiesAndDifferences,
}

/// What becomes of a pointer's id once it is known not to be NULL.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckedPointerId {
    /// It is dropped (up to 7.0).
    Dropped,
    /// It stays (7.1).
    Kept,
}

/// How spilled and filled scalars are tracked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScalarSpills {
    /// Only bounded non-zero scalars keep their range; a store through another pointer than R10 needs it precise (6.1).
    BoundedOnly,
    /// Every scalar (6.8).
    All,
}

/// What is asked of a callback's return value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReturnCheck {
    /// The known bits lie within those of the range (up to 6.7).
    KnownBits,
    /// The signed 64-bit range lies within (6.8).
    SignedRange,
}

/// What a count in R1 of `bpf_loop` must be.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoopCount {
    /// Not looked at (up to 6.6).
    Ignored,
    /// Made precise; anything but a scalar contradicts the verifier (6.7).
    Precise,
}

/// A function reference to main.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MainAsCallback {
    /// Taken, and refused for its depth when it is called (6.12, 6.18).
    Allowed,
    /// Refused where it is loaded (7.3, and 6.1.192 by backport).
    Refused,
}

/// When global subprograms are verified.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GlobalSubprogs {
    /// All of them, before main (up to 6.7).
    AllFirst,
    /// Those that were called, after main (6.8).
    CalledAfterMain,
}

/// How much stack a frame costs in a chain of calls.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StackRounding {
    /// A multiple of 32 bytes, at least 32 (up to 6.7).
    To32,
    /// A multiple of 16 bytes, at least none: programs are JITed (6.8).
    To16,
}

/// Whether programs of the tracing types get a stack for each subprogram of 64 bytes and more.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PrivateStack {
    /// All frames share 512 bytes (up to 6.12).
    No,
    /// Kprobe, tracepoint, perf event and raw tracepoint programs without tail calls (6.13, x86-64).
    ForTracing,
}

/// What a store with a variable offset leaves of a spilled register beside the bytes that it may write.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VariableStore {
    /// Bytes of a register that is no longer there: they cannot be read (6.1, 6.18.15).
    LeavesSpill,
    /// Plain data (7.3, and 6.12.95 by backport).
    Scrubs,
}

/// A tail call or legacy packet load in a callback.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeavesCallback {
    /// Allowed (up to 6.18).
    Allowed,
    /// Refused (7.3).
    Refused,
}

/// What a legacy packet load in a subprogram means for the walk.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LegacyLoadPaths {
    /// It loads (6.12, 6.18).
    Falls,
    /// It loads, or ends the subprogram with 0 where the packet has no such byte (7.3, and 6.1.192 by backport).
    FallsAndReturns,
}

/// What a tail call in a subprogram means for the walk.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TailCallPaths {
    /// Only the path on which it fails goes on (up to 6.17).
    Falls,
    /// The path on which it succeeds returns to the caller as well (6.18).
    FallsAndReturns,
}

/// A call of a global function that may move the packet, as its body and what it calls say.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[doc(alias = "changes_pkt_data")]
pub enum GlobalPacketMoves {
    /// The caller's packet pointers stay valid (6.1; CVE-2024-58098).
    Ignored,
    /// They are void after the call (6.13, and 6.12 by backport).
    Followed,
}

/// NULL for an argument of a global function that must not be NULL.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NullForNonnull {
    /// A constant NULL passes for memory of any size; a pointer that may be NULL does not (6.8 to 6.18).
    Passes,
    /// It is refused (7.3).
    Refused,
}

/// When it is checked that a load-acquire has a pointer that it may have.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[doc(alias = "check_atomic_load")]
pub enum LoadAcquireCheck {
    /// After the load, when the register may hold what was loaded (6.15 to 6.18).
    AfterLoad,
    /// Before it (7.3).
    BeforeLoad,
}

/// Whether loops keep the precision that later iterations ask for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoopPrecision {
    /// A state that was reached in a loop keeps what it has (up to 6.16).
    Ignored,
    /// Precision is passed round loops of jumps until nothing changes; a callback keeps what it has (6.17).
    OfJumps,
    /// It is passed round callbacks as well (6.19).
    Propagated,
}

/// A NULL that is passed where a pointer may be NULL.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NullArgument {
    /// Its scalar is not made precise (up to 7.2).
    Imprecise,
    /// It is (7.3).
    Precise,
}

/// Which comparisons are decided because a pointer cannot be NULL, or teach that one is not.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NullCompare {
    /// Of a pointer on the left with a known 0, for the fewest types of pointers (up to 6.1).
    Immediate,
    /// On either side, for more types, and with another pointer that is known not to be NULL (6.3).
    AnyKnown,
}

/// An immediate stored to the context.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreToCtx {
    /// Refused by its opcode (up to 6.5).
    RegisterOnly,
    /// Checked like a register (6.6).
    Any,
}

/// References held while a callback runs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReferenceScope {
    /// Each frame has its own list; a callback must release what it acquires and may not touch the caller's (up to 6.12).
    PerFrame,
    /// One list for the path (6.13).
    PerPath,
}

/// What is known of `map_lookup_elem` in an array with a constant key below its size.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[doc(alias = "can_elide_value_nullness")]
pub enum ConstantKey {
    /// The result may be NULL, as that of any look-up (up to 6.14).
    MayMiss,
    /// It finds an element (6.15).
    Finds,
}

/// How a refused access of the stack reads in the log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StackRefusal {
    /// A variable offset stands alone (6.1).
    Bare,
    /// A variable offset is followed by the fixed one (6.12 and later).
    WithOffset,
}

/// How a pointer that was moved is refused where a reference is released.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MovedRelease {
    /// As any other that must not be moved, `EACCES` (6.1).
    Dereference,
    /// By a line of its own, `EINVAL` (6.12).
    Release,
}

/// What is made of a socket that is the cast of one which has to be released.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CastOfReference {
    /// It has an id of its own, by which it is compared with NULL, besides the reference (up to 6.18).
    OwnId,
    /// The reference is its id; NULL is walked as a path of its own (7.3).
    SharesId,
}

/// When a look-up in a map of sockets gives a socket.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FoundSocket {
    /// Once it was compared with NULL; until then it is a map's value (up to 6.18).
    AfterCheck,
    /// From the call on (7.3).
    AtOnce,
}

/// The error number where a lock or timer is not where a helper wants it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FieldErrno {
    /// `EACCES` (6.1).
    Access,
    /// `EINVAL` (6.12).
    Invalid,
}

/// How long a path may be before a checkpoint is forced.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForcedCheckpoints {
    /// Never (up to 6.6).
    No,
    /// At marked instructions, and after 40 entries of jump history (6.7, 6.12).
    Yes,
}

/// What is known of a helper's use of memory that it is given.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HelperAccess {
    /// Nothing: on the stack it counts as a write, whatever the prototype says (up to 6.12).
    Unknown,
    /// The prototype says whether it reads or writes (6.13).
    Known,
}

/// When the id of a scalar matters to the comparison of two states.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScalarIds {
    /// Always: a scalar without id counts as one with an id of its own, and both must be linked alike (up to 6.19).
    Compared,
    /// Only where the older state has one (7.0, and 6.12.95 by backport).
    ComparedIfOld,
}

/// Which states lose what no path from them on reads, where liveness is known before the walk.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StateCleaning {
    /// Remembered states below which nothing waits, before they are compared, by whole slots (up to 6.19).
    Finished,
    /// The current state, before it is compared and remembered, by half slots (7.0).
    Current,
}

/// An id that only one scalar has.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SingularIds {
    /// It stays (up to 6.19).
    Kept,
    /// It is dropped when a state is remembered (7.0).
    Dropped,
}

/// Which slots of a loop's states must be of the same type, byte by byte.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoopSlots {
    /// All of them (up to 6.19).
    SameTypes,
    /// Those that the older state needs (7.0).
    Needed,
}

/// Which part of a slot is compared as a scalar.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SlotScalars {
    /// All eight bytes (up to 6.19).
    Whole,
    /// Also the lower four (7.0).
    Halves,
}

/// When an imprecise scalar has changed from round to round.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Widening {
    /// When its value or what it is linked with changed (up to 6.19).
    ValueOrId,
    /// When its value changed (7.0).
    Value,
}

/// How a kernel reports that it contradicts itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BugReport {
    /// By a warning in its own log; some also leave a line in the program's (up to 6.15).
    Warning,
    /// By a line "verifier bug: …" in the program's log (6.16).
    Line,
}

/// Rules of the walk.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WalkRules {
    /// How many frames a chain of calls may have: 8, since 7.0 16.
    #[doc(alias = "MAX_CALL_FRAMES")]
    pub frames_max: usize,
    /// How a callback is walked.
    pub callback_walk: CallbackWalk,
    /// How far precision is followed.
    pub backtracking: Backtracking,
    /// Precision of what an atomic operation fetches.
    pub fetch_precision: FetchPrecision,
    /// What a callback's exit does to wanted arguments.
    pub callback_exit: CallbackExit,
    /// Packet pointers beyond the end.
    pub beyond_packet: BeyondPacket,
    /// Where liveness comes from.
    pub liveness: LivenessModel,
    /// Which recorded writes are seen again.
    pub earlier_writes: EarlierWrites,
    /// How a pointer's offset is kept.
    pub pointer_offset: PointerOffset,
    /// Which scalars are linked.
    pub scalar_links: ScalarLinks,
    /// Deltas of links that are gone.
    pub lost_link: LostLink,
    /// Ids of pointers that passed a NULL check.
    pub checked_pointer_id: CheckedPointerId,
    /// How scalars are spilled.
    pub scalar_spills: ScalarSpills,
    /// Spills that precision follows.
    pub spill_pointers: SpillPointers,
    /// Ids of what is filled.
    pub fill_ids: FillIds,
    /// Zero bytes.
    pub zero_reads: ZeroReads,
    /// What a callback must return.
    pub return_check: ReturnCheck,
    /// What the count of a loop must be.
    pub loop_count: LoopCount,
    /// Whether main may be a callback.
    pub main_as_callback: MainAsCallback,
    /// When global subprograms are verified.
    pub global_subprogs: GlobalSubprogs,
    /// What a frame costs.
    pub stack_rounding: StackRounding,
    /// Who has a private stack.
    pub private_stack: PrivateStack,
    /// Whether a callback may end the program.
    pub leaves_callback: LeavesCallback,
    /// Spilled registers that a store may go through.
    pub variable_store: VariableStore,
    /// Paths after a legacy packet load.
    pub legacy_load_paths: LegacyLoadPaths,
    /// Paths after a tail call.
    pub tail_call_paths: TailCallPaths,
    /// Global functions that move the packet.
    pub global_packet_moves: GlobalPacketMoves,
    /// NULL for an argument that must not be NULL.
    pub null_for_nonnull: NullForNonnull,
    /// Pointers of load-acquires.
    pub load_acquire_check: LoadAcquireCheck,
    /// Precision in loops.
    pub loop_precision: LoopPrecision,
    /// Precision of NULL arguments.
    pub null_argument: NullArgument,
    /// Comparisons with NULL of pointers that are known.
    pub null_compare: NullCompare,
    /// Comparisons with NULL of pointers that are not.
    pub null_check: NullCheck,
    /// Comparisons of 32 bits with NULL.
    pub pointer_low_half: PointerLowHalf,
    /// Stores to the context.
    pub store_to_ctx: StoreToCtx,
    /// References and frames.
    pub reference_scope: ReferenceScope,
    /// Array look-ups with a constant key.
    pub constant_key: ConstantKey,
    /// Refused accesses of the stack.
    pub stack_refusal: StackRefusal,
    /// Refused releases.
    pub moved_release: MovedRelease,
    /// Locks and timers that are not there.
    pub field_errno: FieldErrno,
    /// Casts of sockets that have to be released.
    pub cast_of_reference: CastOfReference,
    /// Look-ups in maps of sockets.
    pub found_socket: FoundSocket,
    /// Forced checkpoints.
    pub forced_checkpoints: ForcedCheckpoints,
    /// What is known of helpers' accesses.
    pub helper_access: HelperAccess,
    /// Ids in the comparison of states.
    pub scalar_ids: ScalarIds,
    /// Which states are cleaned.
    pub state_cleaning: StateCleaning,
    /// Ids without a twin.
    pub singular_ids: SingularIds,
    /// Slots in the comparison of a loop's states.
    pub loop_slots: LoopSlots,
    /// Slots as scalars.
    pub slot_scalars: SlotScalars,
    /// What counts as a change in a loop.
    pub widening: Widening,
    /// How bugs are reported.
    pub bug_report: BugReport,
    /// How a program with too many pending branches fails: `EFAULT` (14), since 7.0 `E2BIG` (7; 6.12.118 by
    /// backport).
    pub pending_errno: i32,
    /// How many CPUs the machine may have, which bounds `get_smp_processor_id`: that of the measured guests.
    pub cpus: u32,
}

impl WalkRules {
    /// True when a refused stack access is reported with the pointer's whole offset (7.1) and not its fixed part alone.
    pub fn stack_message_has_whole_offset(&self) -> bool {
        self.pointer_offset == PointerOffset::Folded
    }

    /// Linux 6.1.192.
    pub const V6_1: WalkRules = WalkRules {
        frames_max: 8,
        callback_walk: CallbackWalk::Once,
        backtracking: Backtracking::SingleFrame,
        fetch_precision: FetchPrecision::Followed,
        callback_exit: CallbackExit::ForgetArguments,
        beyond_packet: BeyondPacket::SameMark,
        liveness: LivenessModel::ReadMarks,
        earlier_writes: EarlierWrites::AllSlots,
        pointer_offset: PointerOffset::Split,
        scalar_links: ScalarLinks::Copies,
        lost_link: LostLink::DropsDelta,
        singular_ids: SingularIds::Kept,
        checked_pointer_id: CheckedPointerId::Dropped,
        scalar_spills: ScalarSpills::BoundedOnly,
        spill_pointers: SpillPointers::FramePointer,
        fill_ids: FillIds::Copied,
        zero_reads: ZeroReads::ZeroBytes,
        return_check: ReturnCheck::KnownBits,
        loop_count: LoopCount::Ignored,
        main_as_callback: MainAsCallback::Refused,
        global_subprogs: GlobalSubprogs::AllFirst,
        stack_rounding: StackRounding::To32,
        private_stack: PrivateStack::No,
        leaves_callback: LeavesCallback::Allowed,
        variable_store: VariableStore::LeavesSpill,
        legacy_load_paths: LegacyLoadPaths::FallsAndReturns,
        tail_call_paths: TailCallPaths::Falls,
        global_packet_moves: GlobalPacketMoves::Ignored,
        null_for_nonnull: NullForNonnull::Passes,
        load_acquire_check: LoadAcquireCheck::AfterLoad,
        loop_precision: LoopPrecision::Ignored,
        null_argument: NullArgument::Imprecise,
        null_compare: NullCompare::Immediate,
        null_check: NullCheck::Immediate,
        pointer_low_half: PointerLowHalf::NotZero,
        store_to_ctx: StoreToCtx::RegisterOnly,
        reference_scope: ReferenceScope::PerFrame,
        constant_key: ConstantKey::MayMiss,
        stack_refusal: StackRefusal::Bare,
        moved_release: MovedRelease::Dereference,
        field_errno: FieldErrno::Access,
        cast_of_reference: CastOfReference::OwnId,
        found_socket: FoundSocket::AfterCheck,
        forced_checkpoints: ForcedCheckpoints::No,
        helper_access: HelperAccess::Unknown,
        scalar_ids: ScalarIds::Compared,
        state_cleaning: StateCleaning::Finished,
        loop_slots: LoopSlots::SameTypes,
        slot_scalars: SlotScalars::Whole,
        widening: Widening::ValueOrId,
        bug_report: BugReport::Warning,
        pending_errno: 14,
        cpus: 1,
    };

    /// Linux 6.12.95.
    pub const V6_12: WalkRules = WalkRules {
        global_packet_moves: GlobalPacketMoves::Followed,
        variable_store: VariableStore::Scrubs,
        legacy_load_paths: LegacyLoadPaths::Falls,
        stack_refusal: StackRefusal::WithOffset,
        moved_release: MovedRelease::Release,
        field_errno: FieldErrno::Invalid,
        callback_walk: CallbackWalk::UnknownCount,
        backtracking: Backtracking::AllFrames,
        fetch_precision: FetchPrecision::Ignored,
        scalar_links: ScalarLinks::CopiesAndSums,
        lost_link: LostLink::KeepsDelta,
        scalar_spills: ScalarSpills::All,
        spill_pointers: SpillPointers::Any,
        return_check: ReturnCheck::SignedRange,
        loop_count: LoopCount::Precise,
        main_as_callback: MainAsCallback::Allowed,
        global_subprogs: GlobalSubprogs::CalledAfterMain,
        stack_rounding: StackRounding::To16,
        null_compare: NullCompare::AnyKnown,
        store_to_ctx: StoreToCtx::Any,
        forced_checkpoints: ForcedCheckpoints::Yes,
        scalar_ids: ScalarIds::ComparedIfOld,
        ..WalkRules::V6_1
    };

    /// Linux 6.18.15.
    pub const V6_18: WalkRules = WalkRules {
        variable_store: VariableStore::LeavesSpill,
        stack_refusal: StackRefusal::WithOffset,
        private_stack: PrivateStack::ForTracing,
        tail_call_paths: TailCallPaths::FallsAndReturns,
        reference_scope: ReferenceScope::PerPath,
        beyond_packet: BeyondPacket::AnyRange,
        liveness: LivenessModel::Recorded,
        earlier_writes: EarlierWrites::UpperSlots,
        loop_precision: LoopPrecision::OfJumps,
        helper_access: HelperAccess::Known,
        scalar_ids: ScalarIds::Compared,
        bug_report: BugReport::Line,
        constant_key: ConstantKey::Finds,
        ..WalkRules::V6_12
    };

    /// Linux 7.3.4.
    pub const V7_3: WalkRules = WalkRules {
        beyond_packet: BeyondPacket::SameMark,
        liveness: LivenessModel::Static,
        earlier_writes: EarlierWrites::AllSlots,
        variable_store: VariableStore::Scrubs,
        legacy_load_paths: LegacyLoadPaths::FallsAndReturns,
        frames_max: 16,
        callback_exit: CallbackExit::KeepArguments,
        pointer_offset: PointerOffset::Folded,
        fetch_precision: FetchPrecision::Followed,
        scalar_links: ScalarLinks::CopiesAndDifferences,
        lost_link: LostLink::DropsDelta,
        fill_ids: FillIds::Given,
        zero_reads: ZeroReads::WithZeroSpills,
        null_check: NullCheck::KnownZero,
        pointer_low_half: PointerLowHalf::Unknown,
        pending_errno: 7,
        checked_pointer_id: CheckedPointerId::Kept,
        main_as_callback: MainAsCallback::Refused,
        leaves_callback: LeavesCallback::Refused,
        null_for_nonnull: NullForNonnull::Refused,
        load_acquire_check: LoadAcquireCheck::BeforeLoad,
        loop_precision: LoopPrecision::Propagated,
        null_argument: NullArgument::Precise,
        cast_of_reference: CastOfReference::SharesId,
        found_socket: FoundSocket::AtOnce,
        scalar_ids: ScalarIds::ComparedIfOld,
        state_cleaning: StateCleaning::Current,
        singular_ids: SingularIds::Dropped,
        loop_slots: LoopSlots::Needed,
        slot_scalars: SlotScalars::Halves,
        widening: Widening::Value,
        ..WalkRules::V6_18
    };
}
