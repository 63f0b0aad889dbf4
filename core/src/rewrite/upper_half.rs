//! Which 32-bit `cmpxchg` have a result whose upper half is read.
//!
//! The instruction leaves R0 alone where it succeeds, so its upper half may be old. Kernels add an instruction that clears it
//! where that may be seen, on every machine. Stands for what the marks of `check_reg_arg` and `propagate_liveness` say of it
//! (up to 6.18), and `bpf_compute_live_registers` (7.3); [`UpperHalves`] tells them apart.
//!
//! Left out: reads that the older kernels' walk knows to be impossible although their code stays.

use crate::isa::{AluOp, AtomicOp, InsnIdx, Op, Operand, Reg, Size, Width, decode};
use crate::kernel::UpperHalves;
use crate::program::{Layout, Program, SubprogIdx, subprog_target};
use std::collections::BTreeSet;

/// What an instruction does with R0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Use {
    /// Reads all of it.
    Whole,
    /// Gives it another value, after reading at most its lower half.
    Over,
    /// Neither.
    Other,
}

/// The instructions of a program after which the upper half of R0 has to be cleared.
pub(super) fn to_clear(program: &Program, layout: &Layout, rule: UpperHalves) -> BTreeSet<InsnIdx> {
    let search = Search { program, layout, rule };
    let all = || (0..program.insns.len() as u32).map(InsnIdx);
    let exchanges: BTreeSet<InsnIdx> = all().filter(|at| search.is_narrow_exchange(*at)).collect();
    if exchanges.is_empty() {
        return exchanges;
    }
    let read = search.read_before();
    exchanges.into_iter().filter(|at| read.get(at.at() + 1).copied().unwrap_or(false)).collect()
}

struct Search<'a> {
    program: &'a Program,
    layout: &'a Layout,
    rule: UpperHalves,
}

impl Search<'_> {
    fn op(&self, at: InsnIdx) -> Option<Op> {
        decode(self.program.insn(at)?, self.program.insn(at.next())).ok()
    }

    fn is_narrow_exchange(&self, at: InsnIdx) -> bool {
        matches!(self.op(at), Some(Op::Atomic { size: Size::W, op: AtomicOp::CmpXchg, .. }))
    }

    /// For each instruction whether a path from there reads all of R0 before it has another value. Found backwards from the
    /// reads, over each edge once; a function's exits lead, by way of an index behind the program, to what follows its calls.
    fn read_before(&self) -> Vec<bool> {
        let len = self.program.insns.len();
        let mut before: Vec<Vec<usize>> = vec![Vec::new(); len + self.layout.len()];
        let mut open = Vec::new();
        for at in (0..len as u32).map(InsnIdx) {
            crate::work::count(1);
            let Some(op) = self.op(at) else { continue };
            let mut leads = |from: usize, to: usize| before.get_mut(to).into_iter().for_each(|b| b.push(from));
            if let Op::CallLocal { .. } = op
                && let Some(callee) = subprog_target(at, &op).and_then(|t| self.layout.starting(t))
            {
                leads(len + callee.at(), at.at() + 1);
            }
            if let Op::Exit = op {
                let subprog = self.layout.containing(at);
                if subprog == SubprogIdx::MAIN || self.rule == UpperHalves::ByAnalysis {
                    open.push(at.at());
                } else {
                    leads(at.at(), len + subprog.at());
                }
                continue;
            }
            match use_of(&op, self.rule) {
                Use::Whole => open.push(at.at()),
                Use::Over => {}
                Use::Other => successors(at, &op).filter(|to| to.at() < len).for_each(|to| leads(at.at(), to.at())),
            }
        }
        let mut read = vec![false; before.len()];
        while let Some(at) = open.pop() {
            if !std::mem::replace(&mut read[at], true) {
                crate::work::count(before[at].len());
                open.append(&mut before[at]);
            }
        }
        read.truncate(len);
        read
    }
}

fn successors(at: InsnIdx, op: &Op) -> impl Iterator<Item = InsnIdx> {
    let target = |off: i32| at.offset(i64::from(off) + 1);
    let next = Some(InsnIdx(at.0 + op.len()));
    let both = match *op {
        Op::Jump { off, .. } => [target(off), None],
        Op::JumpIf { off, .. } | Op::MayGoto { off } => [target(off.into()), next],
        _ => [next, None],
    };
    both.into_iter().flatten()
}

fn use_of(op: &Op, rule: UpperHalves) -> Use {
    let is = |reg: Reg| reg == Reg::R0;
    let operand = |src: Operand| matches!(src, Operand::Reg(Reg::R0));
    let (reads, over) = match *op {
        Op::Alu { width, op: AluOp::Mov, dst, src } => (width == Width::W64 && operand(src), is(dst)),
        Op::Alu { width, dst, src, .. } => (width == Width::W64 && (is(dst) || operand(src)), is(dst)),
        Op::MovSx { width, dst, src, .. } => (width == Width::W64 && is(src), is(dst)),
        Op::AddrSpaceCast { dst, src, .. } => (is(src), is(dst)),
        Op::Neg { width, dst, .. } => (width == Width::W64 && is(dst), is(dst)),
        Op::Endian { dst, .. } => (is(dst), is(dst)),
        Op::LdImm64 { dst, .. } => (false, is(dst)),
        Op::Load { dst, base, .. } => (is(base), is(dst)),
        Op::Store { size, base, src, .. } => (is(base) || size == Size::Dw && operand(src), false),
        Op::Atomic { size, op, base, src, .. } => {
            let value = size == Size::Dw && (is(src) || op == AtomicOp::CmpXchg);
            let over = op == AtomicOp::CmpXchg || is(src) && fetches(op);
            (is(base) || value, over)
        }
        Op::JumpIf { width, dst, src, .. } => (width == Width::W64 && (is(dst) || operand(src)), false),
        Op::LdAbs { .. } | Op::LdInd { .. } => (rule == UpperHalves::ByAnalysis, true),
        Op::CallHelper { .. } | Op::CallLocal { .. } | Op::CallKfunc { .. } => (false, true),
        Op::Jump { .. } | Op::MayGoto { .. } | Op::Exit => (false, false),
    };
    match (reads, over) {
        (true, _) => Use::Whole,
        (false, true) => Use::Over,
        (false, false) => Use::Other,
    }
}

fn fetches(op: AtomicOp) -> bool {
    matches!(
        op,
        AtomicOp::Add { fetch: true }
            | AtomicOp::Or { fetch: true }
            | AtomicOp::And { fetch: true }
            | AtomicOp::Xor { fetch: true }
            | AtomicOp::Xchg
            | AtomicOp::LoadAcquire
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Insn;
    use crate::kernel::ProgType;

    fn clears(after: &[Insn], rule: UpperHalves) -> bool {
        let exchange = Insn::new(0xc3, 10, 2, -8, 0xf1);
        let insns = [&[exchange], after, &[Insn::new(0xb7, 0, 0, 0, 0), Insn::new(0x95, 0, 0, 0, 0)]].concat();
        let program = Program { insns, prog_type: ProgType::RawTracepoint, ..Program::default() };
        to_clear(&program, &Layout::of(&program), rule).contains(&InsnIdx(0))
    }

    #[test]
    fn only_a_read_of_all_eight_bytes_counts() {
        let both = [UpperHalves::ByWalk, UpperHalves::ByAnalysis];
        for rule in both {
            for (insn, expected) in [
                (Insn::new(0xbf, 6, 0, 0, 0), true),
                (Insn::new(0xbc, 6, 0, 0, 0), false),
                (Insn::new(0x0f, 6, 0, 0, 0), true),
                (Insn::new(0x0c, 6, 0, 0, 0), false),
                (Insn::new(0x7b, 10, 0, -16, 0), true),
                (Insn::new(0x63, 10, 0, -16, 0), false),
                (Insn::new(0x15, 0, 0, 0, 1), true),
                (Insn::new(0x16, 0, 0, 0, 1), false),
                (Insn::new(0xc3, 10, 2, -8, 0xf1), false),
                (Insn::new(0xdb, 10, 2, -8, 0xf1), true),
                (Insn::new(0x95, 0, 0, 0, 0), true),
            ] {
                assert_eq!(clears(&[insn], rule), expected, "{insn:?} {rule:?}");
            }
        }
        let load = Insn::new(0x30, 0, 0, 0, 12);
        assert!(!clears(&[load], UpperHalves::ByWalk) && clears(&[load], UpperHalves::ByAnalysis));
    }
}
