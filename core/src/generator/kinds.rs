//! The kinds of everything that a [`Spec`](super::Spec) chooses: small enums whose variants have a weight and a name.
//!
//! A kind reads one byte of the generator's input; the weights say how the 256 values are shared out. The first variant is the
//! simplest: it is what an exhausted input gives, and where the minimizer goes.

use arbitrary::{Arbitrary, Unstructured};

/// A kind that the swarm may switch and weigh.
pub(super) trait Kind: Copy + PartialEq + 'static {
    /// All variants, the simplest first.
    const ALL: &'static [Self];
    /// The place in [`Kind::ALL`].
    fn at(self) -> usize;
}

macro_rules! kinds {
    ($(#[$doc:meta])* $name:ident: $($variant:ident $weight:literal $text:literal,)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $(#[doc = $text] $variant,)*
        }

        impl $name {
            /// All variants, the simplest first.
            pub const ALL: &[$name] = &[$($name::$variant,)*];

            /// The name in statistics.
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }
        }

        impl Kind for $name {
            const ALL: &'static [$name] = $name::ALL;

            fn at(self) -> usize {
                self as usize
            }
        }

        impl<'a> Arbitrary<'a> for $name {
            fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<$name> {
                const WEIGHTS: &[u32] = &[$($weight,)*];
                Ok($name::ALL[weighted(WEIGHTS, u8::arbitrary(u)?)])
            }

            fn size_hint(_depth: usize) -> (usize, Option<usize>) {
                (1, Some(1))
            }
        }
    };
}

/// The entry of a table of weights that a byte falls on.
fn weighted(weights: &[u32], byte: u8) -> usize {
    let total: u32 = weights.iter().sum();
    let mut rest = u32::from(byte) * total / 256;
    for (n, weight) in weights.iter().enumerate() {
        match rest.checked_sub(*weight) {
            None => return n,
            Some(less) => rest = less,
        }
    }
    0
}

kinds! {
    /// Program type.
    Prog:
    RawTracepoint 30 "raw tracepoint",
    Syscall 16 "syscall",
    SocketFilter 10 "socket filter",
    SchedCls 12 "sched_cls",
    Xdp 12 "xdp",
    CgroupSkb 6 "cgroup_skb",
    Tracepoint 6 "tracepoint",
    Kprobe 6 "kprobe",
}

kinds! {
    /// Where a loop's count comes from.
    Count:
    Zero 4 "zero",
    One 5 "one",
    Small 22 "small constant",
    Masked 14 "masked",
    Unknown 10 "unknown",
    CmpU64 8 "bounded by a 64-bit unsigned compare",
    CmpS64 6 "bounded by 64-bit signed compares",
    CmpU32 5 "bounded by a 32-bit unsigned compare",
    CmpS32 4 "bounded by 32-bit signed compares",
    Shifted 5 "shifted down",
    Modulo 4 "remainder",
    Narrow 6 "narrow load",
    Filled 5 "filled from the stack",
    Helper 4 "from a helper",
    Rodata 4 "read-only map",
    Limit 4 "at the limit",
    PastLimit 4 "past the limit",
    Negative 3 "negative",
    Wide 2 "64-bit constant",
    Unknown32 3 "32-bit load",
}

kinds! {
    /// Where a loop's flags come from.
    Flags:
    Imm64 22 "zero: 64-bit move",
    Imm32 14 "zero: 32-bit move",
    Wide 5 "zero: ld_imm64",
    Mask 8 "zero: mask",
    Disjoint 5 "zero: disjoint masks",
    Shift 4 "zero: shifted out",
    Product 4 "zero: product",
    CompareEq 7 "zero: equal branch",
    CompareGt 5 "zero: unsigned branch",
    Filled 7 "zero: filled from the stack",
    Rodata 5 "zero: read-only map",
    One 5 "non-zero: one",
    High 4 "non-zero: high half",
    Sign 3 "non-zero: negative",
    Branch 3 "non-zero: by branch",
    Unknown 10 "opaque: unknown",
    LowBit 3 "opaque: low bit",
    Xor 5 "opaque: x ^ x",
    Compare32 4 "opaque: 32-bit compare",
    Pointer 2 "opaque: pointer",
}

kinds! {
    /// What a loop passes as context.
    Ctx:
    Null 14 "NULL",
    Area 30 "own frame",
    FramePointer 7 "frame pointer",
    AnyOffset 8 "frame pointer at any offset",
    Parent 14 "parent's frame",
    TwoAreas 10 "two alternatives",
    NullOrArea 9 "NULL or own frame",
    KnownNull 6 "NULL by branch",
}

kinds! {
    /// What a function does with the pointer that it is given.
    Contract:
    Ignore 10 "ignored",
    Area 14 "to the start of an area",
    AreaEnd 9 "to the end of an area",
    Nullable 6 "may be NULL",
}

kinds! {
    /// What the pointer cell of an area holds.
    Carried:
    Nothing 10 "no pointer",
    Stack 5 "pointer to the stack",
    Map 5 "pointer to a map value",
}

kinds! {
    /// How a callback ends.
    End:
    Continue 24 "goes on",
    Stop 4 "stops at once",
    StopAt 10 "stops at an index",
    State 7 "stops by state",
    LowBit 6 "low bit of a value",
    Compare 6 "by a compare",
}

kinds! {
    /// What a function is.
    Role:
    Callback 14 "callback",
    Static 5 "static subprogram",
    Global 4 "global subprogram",
}

kinds! {
    /// How much stack a function uses beside what it needs.
    Frame:
    Needed 24 "what is needed",
    Odd 8 "not a multiple of 8",
    Step 8 "around a rounding step",
    Private 4 "around 64 bytes",
    Half 3 "around 256 bytes",
    Full 3 "512 bytes",
}

kinds! {
    /// A step of a function.
    StepKind:
    Alu 16 "arithmetic",
    Loop 22 "loop",
    Branch 12 "branch",
    Known 4 "branch known beforehand",
    Call 9 "call of a subprogram",
    SlotStore 4 "store to a slot",
    SlotLoad 4 "load from a slot",
    Counter 9 "counter in the context",
    Index 7 "index in the context",
    Carry 7 "through a pointer in the context",
    Variable 8 "variable offset",
    MapDirect 6 "map value by address",
    MapLookup 5 "map look-up",
    Atomic 3 "atomic operation",
    Helper 5 "helper",
    Source 8 "fresh unknown value",
    CtxWrite 3 "store to the context",
    Packet 4 "packet access",
    Swap 3 "registers swapped",
    Repeat 4 "loop by jumps",
    MayGoto 3 "may_goto",
    PtrSpill 3 "pointer spilled and filled",
    Leave 2 "early exit",
    Later 10 "later iterations",
    Linked 8 "linked numbers",
    Squeeze 4 "comparisons in a row",
    Either 2 "store to the stack or to a map",
}

kinds! {
    /// What only later iterations of a loop do.
    Later:
    MapOffset 1 "counter as an offset in a map value",
    StackOffset 1 "counter as an offset in the own frame",
    ParentOffset 1 "counter as an offset in the parent's frame",
    MapPointer 1 "pointer moved on in a map value",
    DeadVisible 1 "branch of a later iteration",
    DeadUnsafe 1 "unsafe branch of a later iteration",
    Flags 1 "flags of an inner loop change",
    Callback 1 "callback of an inner loop changes",
    Pointer 1 "pointer becomes a number",
}

kinds! {
    /// What becomes of the link between two numbers.
    Unlink:
    Kept 1 "kept",
    SecondSum 1 "second sum",
    Register 1 "sum with a register",
    Sum32 1 "32-bit sum",
    Operation 1 "operation",
    Operation32 1 "32-bit operation",
    Move32 1 "32-bit move",
    SignExtended 1 "sign extension",
    Narrow 1 "narrow spill or fill",
    Swapped 1 "bytes swapped",
    Negated 1 "negated",
    Partner 1 "the other number goes",
}

kinds! {
    /// How the paths to a loop join.
    Join:
    Moves 10 "moves",
    Spills 6 "spills and fills",
    Arguments 5 "subprogram arguments",
}

kinds! {
    /// A long chain of frames.
    Links:
    None 200 "none",
    Few 16 "a few",
    AtEight 14 "around 8 frames",
    AtSixteen 14 "around 16 frames",
    Past 3 "past 16 frames",
}

kinds! {
    /// A mistake that is planted on purpose, so that programs are refused for many reasons.
    Mistake:
    ReturnsTwo 4 "callback returns 2",
    ReturnsUnknown 4 "callback returns anything",
    ReturnsPointer 3 "callback returns a pointer",
    UninitRegister 4 "register without a value",
    FlagsUninit 2 "flags without a value",
    CtxScalar 4 "context is a number",
    CtxMapValue 3 "context is a map value",
    CtxOftenNull 8 "context is a number that is zero on one path",
    CountPointer 3 "count is a pointer",
    CallbackScalar 3 "callback is a number",
    CallbackOffset 3 "callback with an offset",
    CallbackMain 2 "main as callback",
    CallbackGlobal 3 "global callback",
    IndexUnchecked 6 "index as an unchecked offset",
    AreaOverrun 4 "access past the area",
    StackOver 4 "more than 512 bytes",
    NullUnchecked 4 "NULL unchecked",
    PointerLeak 4 "own frame's pointer in the parent's frame",
    PacketUnchecked 3 "packet unchecked",
    Recursion 3 "callbacks refer to each other",
    SelfCall 2 "function calls itself",
    OwnAddress 3 "callback takes its own address",
    EndlessLoop 3 "loop without end",
    R0Missing 3 "exit without R0",
    Unreachable 2 "unreachable instruction",
    NoFuncInfo 2 "no func_info",
    LeavesByLdAbs 2 "packet load in a callback",
    BadMapOffset 3 "map value out of bounds",
    CtxBad 3 "context out of bounds",
    PointerArithmetic 3 "forbidden arithmetic on a pointer",
}

kinds! {
    /// What comes out of the choices together.
    Shape:
    LoopInMain 1 "loop in main",
    LoopInStatic 1 "loop in a static subprogram",
    LoopInGlobal 1 "loop in a global subprogram",
    LoopInCallback 1 "loop in a callback",
    LoopInJumps 1 "loop inside of a loop by jumps",
    LoopInMayGoto 1 "loop inside of a may_goto loop",
    NestedThree 1 "callbacks nested three deep",
    NestedDeep 1 "callbacks nested five deep or more",
    FramesEight 1 "8 frames",
    FramesNine 1 "9 to 15 frames",
    FramesSixteen 1 "16 frames",
    FramesPast 1 "17 frames and more",
    PathsSame 1 "two paths, same arguments",
    PathsFlags 1 "two paths, different flags",
    PathsCallback 1 "two paths, different callbacks",
    PathsCount 1 "two paths, different counts",
    PathsCtx 1 "two paths, different contexts",
    CallbackShared 1 "callback shared by loops",
    CallbacksApart 1 "callbacks not shared",
    CallbackDead 1 "callback referred to and never called",
    LoopDead 1 "loop in dead code",
    LiveRegisters 1 "live values in R6 to R9",
    LiveSpilled 1 "live values spilled across a loop",
    ParentRead 1 "parent's frame read",
    ParentWritten 1 "parent's frame written",
    ParentVariable 1 "parent's frame at a variable offset",
    OwnVariable 1 "own frame at a variable offset",
    MapVariable 1 "map value at a variable offset",
    IndexCompared 1 "index bounded by a compare",
    IndexMasked 1 "index masked",
    PointerMovesOn 1 "pointer moved on by each iteration",
    Clobbered 1 "all callee-saved registers clobbered",
    CallbackHelper 1 "helper in a callback",
    CallbackCalls 1 "subprogram called by a callback",
    CallbackMap 1 "map in a callback",
    StackNone 1 "no stack in main",
    StackOdd 1 "stack not a multiple of 8",
    StackFull 1 "512 bytes of stack in a function",
    StackChain 1 "256 bytes and more along a chain",
    Alu32 1 "32-bit arithmetic",
    Alu64 1 "64-bit arithmetic",
    SignExtended 1 "sign extension",
    Divided 1 "division or remainder",
    Swapped 1 "byte swap",
    Branch32 1 "32-bit compare",
    Branch64 1 "64-bit compare",
    BranchSet 1 "test of bits",
    BranchRegisters 1 "compare of two registers",
    Long 1 "long program",
    JumpLimit 1 "jump at the 16-bit limit",
    Edges 1 "inputs on the boundaries of compares",
}
