//! Which registers are live before each instruction.
//!
//! Stands for `bpf_compute_live_registers` of `liveness.c` (7.3), without `zext_dst`, which x86-64 has no use for. The kernel
//! follows the halves of a register apart; every definition is of both, so that their union needs no halves.

use super::constants::atomic_result;
use super::facts::{Callee, Facts};
use super::graph::Graph;
use crate::isa::{AluOp, AtomicOp, Op, Operand, Reg};

/// A set of registers: bit n is Rn.
type Regs = u16;

/// R0 to R5.
const CALLER_SAVED: Regs = 0x3f;
/// R1 to R5.
const ARGUMENTS: Regs = 0x3e;

/// Registers that an instruction reads and writes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Effect {
    pub(super) used: Regs,
    pub(super) defined: Regs,
}

const fn bit(reg: Reg) -> Regs {
    1 << reg.n()
}

fn operand(src: Operand) -> Regs {
    match src {
        Operand::Reg(reg) => bit(reg),
        Operand::Imm(_) => 0,
    }
}

/// Kernel: `compute_insn_live_regs` (7.3). Packet loads use every register.
#[doc(alias = "compute_insn_live_regs")]
pub(super) fn effect(op: &Op, facts: &dyn Facts) -> Effect {
    let (used, defined) = match *op {
        Op::Alu { op: AluOp::Mov, dst, src, .. } => (operand(src), bit(dst)),
        Op::Alu { dst, src, .. } => (bit(dst) | operand(src), bit(dst)),
        Op::MovSx { dst, src, .. } | Op::AddrSpaceCast { dst, src, .. } => (bit(src), bit(dst)),
        Op::Neg { dst, .. } | Op::Endian { dst, .. } => (bit(dst), bit(dst)),
        Op::LdImm64 { dst, .. } => (0, bit(dst)),
        Op::LdAbs { .. } | Op::LdInd { .. } => (Regs::MAX, 0),
        Op::Load { dst, base, .. } => (bit(base), bit(dst)),
        Op::Store { base, src, .. } => (bit(base) | operand(src), 0),
        Op::Atomic { op, base, src, .. } => {
            let used = match op {
                AtomicOp::CmpXchg => bit(Reg::R0) | bit(base) | bit(src),
                AtomicOp::LoadAcquire => bit(base),
                _ => bit(base) | bit(src),
            };
            (used, atomic_result(op, src).map_or(0, bit))
        }
        Op::Jump { .. } | Op::MayGoto { .. } => (0, 0),
        Op::JumpIf { dst, src, .. } => (bit(dst) | operand(src), 0),
        Op::CallHelper { id } => (arguments(Callee::Helper(id), facts), CALLER_SAVED),
        Op::CallKfunc { id, off } => (arguments(Callee::Kfunc(id, off), facts), CALLER_SAVED),
        Op::CallLocal { .. } => (ARGUMENTS, CALLER_SAVED),
        Op::Exit => (bit(Reg::R0), 0),
    };
    Effect { used, defined }
}

fn arguments(callee: Callee, facts: &dyn Facts) -> Regs {
    match facts.prototype(callee) {
        Some(prototype) => ((1 << (prototype.args.min(5) + 1)) - 1) & ARGUMENTS,
        None => ARGUMENTS,
    }
}

/// The registers that are live before each instruction; none where nothing leads.
#[doc(alias = "bpf_compute_live_registers")]
pub(super) fn live(graph: &Graph, effects: &[Effect]) -> Vec<Regs> {
    let mut live = vec![0; effects.len()];
    let mut changed = true;
    while changed {
        changed = false;
        for &at in graph.reachable() {
            let after = graph.successors(at).iter().fold(0, |set, to| set | live[*to as usize]);
            let Effect { used, defined } = effects[at as usize];
            let before = after & !defined | used;
            changed |= before != live[at as usize];
            live[at as usize] = before;
        }
    }
    live
}
