//! What a rewrite answers.

use crate::isa::InsnIdx;
use crate::program::{Layout, Program};

/// A rewritten program and how it came from the original.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rewritten {
    /// The program: instructions, and `funcs` with adjusted places. Maps and inputs are those of the original.
    pub program: Program,
    /// Its subprograms.
    pub layout: Layout,
    /// For each new instruction, the original one that it came from; all of an inlined loop came from its call.
    pub origin: Vec<InsnIdx>,
    /// Deepest use of the stack by new subprogram, in bytes, with the slots that inlined loops added.
    pub stack_depth: Vec<u16>,
    /// The loops that were inlined, in program order.
    pub inlined: Vec<InlinedLoop>,
    /// The helper calls of `bpf_loop` that stayed: original place and new place.
    pub kept: Vec<(InsnIdx, InsnIdx)>,
    /// The helper calls around which spills and fills were removed, ascending: they keep R1 to R5.
    pub keeping_calls: Vec<InsnIdx>,
    /// The loads and stores of the context, by their place in the original program, ascending.
    pub ctx_accesses: Vec<InsnIdx>,
    /// The helper calls that are always given the same map, by their place in the original program, with the map's index,
    /// ascending.
    pub call_maps: Vec<(InsnIdx, u32)>,
    /// The program writes to the packet through a pointer, which some kernels prepare at its entry.
    pub writes_packet: bool,
}

/// One inlined loop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InlinedLoop {
    /// The call in the original program.
    pub site: InsnIdx,
    /// First of its instructions in the new program; there are [`INLINED_LOOP_LEN`](crate::kernel::limits::INLINED_LOOP_LEN).
    pub start: InsnIdx,
    /// Offset from R10 of the lowest of the three eight-byte slots, negative.
    pub spill_base: i16,
}
