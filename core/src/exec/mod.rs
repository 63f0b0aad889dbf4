//! The executor: a checked interpreter of original and rewritten programs.
//!
//! What it models: one run of an accepted program on one processor, as `BPF_PROG_TEST_RUN` starts it: instructions
//! (`kernel/bpf/core.c` and the x86-64 JIT where they agree), memory, helpers, `bpf_loop` both as a helper and inlined
//! (6.1 … 7.3). An [`Image`] is decoded once from a [`Form`]; a [`Machine`] keeps its buffers from run to run.
//!
//! What is left out: kfuncs, arenas, tail calls, packets that change their size, more than one processor. These end a run as
//! [`End::Unsupported`].
//!
//! Invariants:
//! - No run panics, recurses in the host, or goes on for longer than its fuel.
//! - All that an accepted program must not do ends the run as [`End::Trapped`].
//! - Both forms of a program, under one layout seed, see the same addresses, times and random numbers, and give the
//!   same trace as long as they do the same. R1 to R5 have no value after a loop, in both.
//! - The verifier's code about the meaning of instructions is not used here.

use crate::kernel::ctx::PacketEnd;

pub mod alu;
mod context;
mod helpers;
mod image;
mod machine;
mod maps;
mod memory;
mod outcome;
mod step;
mod trace;

#[cfg(test)]
mod tests;

pub(crate) use helpers::answers_from_seed;
pub use image::{Form, Image, Site, SiteKind, Unsupported};
pub use machine::Machine;
pub use outcome::{
    AddressMask, Difference, DifferentEvent, End, LAYOUT_SEEDS, Outcome, Place, RegionName, Trap, TrapKind,
    first_difference, first_different_event,
};
pub use trace::{Detail, EVENTS_MAX, Event, Trace};

/// What reading a stack byte means that the invocation never wrote.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum UninitStackRead {
    /// The verifier refuses it, so it is a trap (up to 6.2).
    Trap,
    /// Privileged programs may: the byte has some value, the same in all forms (6.3 and later).
    Masked,
}

/// What depends on the kernel that accepted the program.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ExecRules {
    /// Reading stack bytes that were never written.
    pub uninit_stack_read: UninitStackRead,
    /// Frames that there may be at once, at most 16: 8 up to 6.18, 16 in 7.3.
    pub frames_max: u8,
    /// A call of a global function begins a new count of frames (7.3).
    pub global_calls_restart: bool,
    /// Whether the context says where the packet ends.
    pub packet_end: PacketEnd,
}

/// What bounds and parametrizes a run.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Limits {
    /// Instructions; the calls that the helper `bpf_loop` makes count one each.
    pub fuel: u64,
    /// Where things lie in memory. Runs that are compared with [`first_difference`] need the same one.
    pub layout_seed: u64,
    /// How much of the trace is kept.
    pub detail: Detail,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { fuel: 1 << 24, layout_seed: 0, detail: Detail::Hash }
    }
}
