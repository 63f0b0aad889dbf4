//! Where instructions lead: the edges of the control flow, and the order that a depth-first walk leaves them in.

use crate::isa::{Insn, InsnIdx, Op, opcode};
use crate::kernel::HELPER_TAIL_CALL;
use crate::program::{Layout, SubprogIdx};
use smallvec::SmallVec;
use std::ops::Range;

/// Instructions that one instruction takes: two for an `ld_imm64`.
pub(super) fn len(insn: Insn) -> u32 {
    if insn.is_ld_imm64() { 2 } else { 1 }
}

/// The class of an instruction, the low three bits of its opcode.
pub(super) mod class {
    pub const LD: u8 = 0;
    pub const LDX: u8 = 1;
    pub const ST: u8 = 2;
    pub const STX: u8 = 3;
    pub const ALU: u8 = 4;
    pub const JMP: u8 = 5;
    pub const JMP32: u8 = 6;
}

/// How control leaves an instruction, judged by its opcode alone: its fields may still be wrong.
///
/// Targets are instruction numbers that may lie outside of the program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Flow {
    /// To the next instruction.
    Straight,
    /// Back to the caller.
    Exit,
    /// To a target.
    Jump(i64),
    /// To the next instruction or to a target.
    Branch(i64),
    /// To the next instruction, by way of a subprogram.
    CallLocal(i64),
    /// To the next instruction, by way of a helper or kernel function.
    CallOut,
    /// To the next instruction, with the address of a subprogram that may be called back.
    FuncRef(i64),
    /// To an address in a register.
    Indirect,
}

impl Flow {
    pub(super) fn of(at: InsnIdx, insn: Insn) -> Flow {
        let target = |distance: i32| i64::from((at.0 as i32).wrapping_add(distance).wrapping_add(1));
        if insn.is_ld_imm64() && insn.src() == opcode::PSEUDO_FUNC {
            return Flow::FuncRef(target(insn.imm));
        }
        if !matches!(insn.code & 7, class::JMP | class::JMP32) {
            return Flow::Straight;
        }
        match insn.code & 0xf0 {
            0x00 if insn.code & 8 != 0 => Flow::Indirect,
            0x00 if insn.code == opcode::JA32 => Flow::Jump(target(insn.imm)),
            0x00 => Flow::Jump(target(i32::from(insn.off))),
            0x80 if insn.src() == opcode::PSEUDO_CALL => Flow::CallLocal(target(insn.imm)),
            0x80 => Flow::CallOut,
            0x90 => Flow::Exit,
            _ => Flow::Branch(target(i32::from(insn.off))),
        }
    }
}

/// The edges within subprograms: calls lead to the next instruction, and an instruction that may leave the program
/// half-way (a packet load, a tail call) leads to the subprogram's exit as well.
///
/// Kernel: `bpf_insn_successors`, `visit_abnormal_return_insn` (6.16 … 7.3).
#[doc(alias = "bpf_insn_successors")]
pub struct Successors<'a> {
    ops: &'a [Option<Op>],
    layout: &'a Layout,
    exits: Vec<Option<InsnIdx>>,
}

impl<'a> Successors<'a> {
    pub(super) fn new(ops: &'a [Option<Op>], layout: &'a Layout, exits: Vec<Option<InsnIdx>>) -> Successors<'a> {
        Successors { ops, layout, exits }
    }

    /// How many instructions the program has.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// True for a program without instructions.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// The instructions that may follow the one at `at`, in the kernel's order.
    pub fn of(&self, at: InsnIdx) -> SmallVec<[InsnIdx; 2]> {
        let op = self.ops.get(at.at()).copied().flatten();
        let jump = |off: i64| at.offset(off + 1);
        let next = Some(InsnIdx(at.0.saturating_add(op.as_ref().map_or(1, Op::len))));
        let (first, second) = match op {
            Some(Op::Exit) => (None, None),
            Some(Op::Jump { off, .. }) => (None, jump(i64::from(off))),
            Some(Op::JumpIf { off, .. } | Op::MayGoto { off }) => (next, jump(i64::from(off))),
            Some(Op::LdAbs { .. } | Op::LdInd { .. } | Op::CallHelper { id: HELPER_TAIL_CALL }) => {
                // A subprogram that never exits has its hidden exit at the program's start, as in the kernel.
                let exit = self.exits.get(self.layout.containing(at).at()).copied().flatten();
                (next, Some(exit.unwrap_or_default()))
            }
            _ => (next, None),
        };
        first.into_iter().chain(second).filter(|s| s.at() < self.ops.len()).collect()
    }
}

/// The instructions of each subprogram in the order in which a depth-first walk leaves them.
///
/// Kernel: `bpf_compute_postorder` (6.16 … 7.3).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[doc(alias = "bpf_compute_postorder")]
pub struct Postorder {
    order: Vec<InsnIdx>,
    starts: Vec<usize>,
}

impl Postorder {
    /// Walks each subprogram from its start; edges between subprograms are not followed.
    pub(super) fn of(graph: &Successors<'_>) -> Postorder {
        let mut post = Postorder { order: Vec::with_capacity(graph.len()), starts: Vec::new() };
        let mut seen = vec![false; graph.len()];
        let mut expanded = vec![false; graph.len()];
        let mut stack = Vec::new();
        for start in graph.layout.starts() {
            post.starts.push(post.order.len());
            mark(&mut seen, *start);
            stack.push(*start);
            while let Some(top) = stack.last().copied() {
                if mark(&mut expanded, top) {
                    post.order.push(top);
                    stack.pop();
                    continue;
                }
                for next in graph.of(top) {
                    if !mark(&mut seen, next) {
                        stack.push(next);
                    }
                }
            }
        }
        post.starts.push(post.order.len());
        post
    }

    /// All instructions that a walk reaches, subprogram by subprogram.
    pub fn all(&self) -> &[InsnIdx] {
        &self.order
    }

    /// The instructions of one subprogram.
    pub fn subprog(&self, n: SubprogIdx) -> &[InsnIdx] {
        let range: Option<Range<usize>> = self.starts.get(n.at()).zip(self.starts.get(n.at() + 1)).map(|(a, b)| *a..*b);
        range.and_then(|r| self.order.get(r)).unwrap_or_default()
    }
}

/// Sets the mark of `at`, and says whether it was set before.
fn mark(marks: &mut [bool], at: InsnIdx) -> bool {
    marks.get_mut(at.at()).is_none_or(|m| std::mem::replace(m, true))
}

/// The register that an operation on memory loads into, for atomic operations.
///
/// Kernel: `bpf_atomic_load_reg` (7.3).
#[doc(alias = "bpf_atomic_load_reg")]
pub(super) fn atomic_load_reg(insn: Insn) -> Option<u8> {
    /// `BPF_FETCH`, `BPF_CMPXCHG`, `BPF_LOAD_ACQ`.
    const FETCH: i32 = 1;
    const CMPXCHG: i32 = 0xf1;
    const LOAD_ACQUIRE: i32 = 0x100;
    match insn.imm {
        _ if insn.code & 7 != class::STX || insn.code >> 5 != 6 => None,
        LOAD_ACQUIRE => Some(insn.dst()),
        CMPXCHG => Some(0),
        imm if imm & FETCH != 0 => Some(insn.src()),
        _ => None,
    }
}
