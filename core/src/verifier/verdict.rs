//! What verification answers.

use crate::isa::InsnIdx;
use crate::program::{Layout, SubprogIdx};

/// A positive error number, as in errno.h.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Errno(pub i32);

impl Errno {
    /// Operation not permitted.
    pub const EPERM: Errno = Errno(1);
    /// Argument list too long: the verifier's limits.
    pub const E2BIG: Errno = Errno(7);
    /// Out of memory: also what a rewrite that does not fit ends as.
    pub const ENOMEM: Errno = Errno(12);
    /// Permission denied: most refusals of values.
    pub const EACCES: Errno = Errno(13);
    /// Bad address: a verifier that contradicts itself.
    pub const EFAULT: Errno = Errno(14);
    /// Invalid argument: most refusals of structure.
    pub const EINVAL: Errno = Errno(22);
    /// Operation not supported on this object.
    pub const EOPNOTSUPP: Errno = Errno(95);
    /// Result out of range.
    pub const ERANGE: Errno = Errno(34);
    /// Operation not supported.
    pub const ENOTSUPP: Errno = Errno(524);
}

/// The answer of the verifier.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The program is acceptable.
    Accepted(Facts),
    /// The program is refused.
    Rejected(Rejection),
    /// The program needs something that is not modelled.
    Unsupported(Unsupported),
}

/// Why a program is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rejection {
    /// The instruction, where one is to blame.
    pub at: Option<InsnIdx>,
    /// Error number of the load.
    pub errno: Errno,
    /// The line of the log that says why, in the kernel's wording.
    pub text: String,
    /// Instructions walked until then.
    pub insns_processed: u32,
    /// What the kernel prints in its own log, not in the program's, because it contradicts itself.
    pub warning: Option<String>,
}

impl Rejection {
    /// What tells a person why: the line of the log, or the kernel's warning where there is one.
    pub fn reason(&self) -> &str {
        self.warning.as_deref().unwrap_or(&self.text)
    }
}

/// Something that is not modelled: an answer in its own right, never a guess.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unsupported {
    /// Where.
    pub at: Option<InsnIdx>,
    /// What, by name: a helper, a map type, a program type, a relocation.
    pub what: String,
    /// Nothing is missing: the walk was given up because its [`Budget`](super::Budget) was spent.
    pub spent: bool,
}

/// What was learnt while an accepted program was verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// The subprograms.
    pub layout: Layout,
    /// For each instruction, whether some path reached it; the second half of an `ld_imm64` goes with the first.
    pub seen: Vec<bool>,
    /// Conditional jumps between constants that became unconditional before the walk, with the distance that they then
    /// have, ascending; empty under rules without constant folding.
    pub folded: Vec<(InsnIdx, i16)>,
    /// The `bpf_loop` calls, in program order, reached or not.
    pub loops: Vec<LoopSite>,
    /// Deepest use of the stack by subprogram, in bytes, before any rewrite.
    pub stack_depth: Vec<u16>,
    /// What of the stack is left once spills around calls that keep R1 to R5 are removed.
    pub fastcall: FastcallRemoval,
    /// The loads and stores of the context, ascending.
    pub ctx_accesses: Vec<InsnIdx>,
    /// The helper calls that all paths give the same map, with that map's index, ascending.
    pub call_maps: Vec<(InsnIdx, u32)>,
    /// Instructions walked, over all paths.
    pub insns_processed: u32,
    /// Some path writes to the packet through a pointer.
    #[doc(alias = "seen_direct_write")]
    pub writes_packet: bool,
}

/// Spills and fills around calls that keep R1 to R5, which the rewrite removes. All empty where there are none.
///
/// Kernel: `remove_fastcall_spills_fills` (6.12 … 7.3).
#[doc(alias = "remove_fastcall_spills_fills")]
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FastcallRemoval {
    /// The calls with the number of their spills, each of which has a fill, ascending.
    pub calls: Vec<(InsnIdx, u8)>,
    /// Use of the stack by subprogram, in bytes, without what was removed.
    pub stack_depth: Vec<u16>,
    /// Bytes below R10 by subprogram that hold the same whether or not spills were removed.
    pub same_stack: Vec<u16>,
}

impl Facts {
    /// Use of a subprogram's stack when loops are inlined, in bytes.
    pub fn depth_left(&self, subprog: SubprogIdx) -> u16 {
        let depths = if self.fastcall.calls.is_empty() { &self.stack_depth } else { &self.fastcall.stack_depth };
        depths.get(subprog.at()).copied().unwrap_or(0)
    }
}

/// One call of `bpf_loop` in the program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LoopSite {
    /// The call.
    pub insn: InsnIdx,
    /// The subprogram that holds it.
    pub subprog: SubprogIdx,
    /// What all visits together say.
    pub state: SiteState,
}

/// What the visits of a call site say of it.
///
/// Kernel: `struct bpf_loop_inline_state`, `update_loop_inline_state` (6.1 … 7.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SiteState {
    /// No path reached the call.
    NeverReached,
    /// On every visit the flags were known to be zero and the callback was this one.
    Fit(SubprogIdx),
    /// The helper call stays.
    Unfit(Unfit),
}

/// Why a call is not inlined; the first reason that was met.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Unfit {
    /// On some visit the flags were not known to be zero.
    Flags,
    /// Two visits had different callbacks.
    Callback,
}

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Unfit::Flags => "flags may be non-zero",
            Unfit::Callback => "more than one callback",
        })
    }
}
