//! Passes over instructions: functions, ranges, operations.

use super::search::Search;
use crate::isa::{AluOp, AtomicOp, Imm64, Insn, InsnIdx, Op, Operand, Reg, Width, operations};
use crate::program::{Layout, Program, edit, subprog_target};
use std::collections::BTreeSet;

/// Operations up to which pairs are tried.
const PAIR_OPS_MAX: usize = 150;
/// How far apart the two of a pair may lie, in operations.
const PAIR_REACH: usize = 12;

/// Cuts all calls of a function, and all references to it, so that it goes.
pub(super) fn cut_functions(search: &mut Search<'_>) {
    let mut n = Layout::of(&search.best).len();
    while n > 1 {
        n -= 1;
        let Some(start) = Layout::of(&search.best).starts().get(n).copied() else { continue };
        let mut changes = edit::Changes::new();
        for (at, op) in operations(&search.best.insns) {
            if let Ok(op) = op
                && subprog_target(at, &op) == Some(start)
            {
                changes.insert(at, vec![zero(result_of(&op))]);
            }
        }
        attempt_changes(search, &changes);
    }
}

/// Removes ranges of operations, large ones first.
pub(super) fn drop_ranges(search: &mut Search<'_>) {
    // Code behind the range may go with it: the candidate is tried with and without.
    let count = |p: &Program| operations(&p.insns).len();
    search.ranges(count, |program, range| {
        let gone = operations(&program.insns).get(range)?.iter().map(|(at, _)| *at).collect();
        Some(without_unreachable(&edit::remove(program, &gone)))
    });
    search.ranges(count, |program, range| {
        let gone = operations(&program.insns).get(range)?.iter().map(|(at, _)| *at).collect();
        let removed = edit::remove(program, &gone);
        // Without such code the candidate was tried before.
        (!unreachable(&removed).is_empty()).then_some(removed)
    });
}

/// Removes two operations that lie close together, such as a push and its pop.
pub(super) fn drop_pairs(search: &mut Search<'_>) {
    let mut first = 0;
    loop {
        let ops = operations(&search.best.insns);
        if first >= ops.len() || ops.len() > PAIR_OPS_MAX || search.end.is_some() {
            return;
        }
        let Some((at, _)) = ops.get(first) else { return };
        let removed = ops.iter().skip(first + 1).take(PAIR_REACH).any(|(other, _)| {
            let candidate = edit::remove(&search.best, &BTreeSet::from([*at, *other]));
            search.attempt(without_unreachable(&candidate))
        });
        first += usize::from(!removed);
    }
}

/// Replaces operations by simpler ones, from the last to the first.
pub(super) fn simplify_operations(search: &mut Search<'_>) {
    let mut n = operations(&search.best.insns).len();
    while n > 0 && search.end.is_none() {
        n -= 1;
        let Some((at, Ok(op))) = operations(&search.best.insns).get(n).copied() else { continue };
        let change = |new| edit::Changes::from([(at, vec![new])]);
        if simpler(&op).into_iter().any(|new| attempt_changes(search, &change(new))) {
            // What it became may become simpler again.
            n += 1;
        }
        n = n.min(operations(&search.best.insns).len());
    }
}

/// Tries changes together with what they cut off, else alone.
fn attempt_changes(search: &mut Search<'_>, changes: &edit::Changes) -> bool {
    let Ok(changed) = edit::apply(&search.best, changes) else { return false };
    let gone = unreachable(&changed);
    if !gone.is_empty() && search.attempt(edit::remove(&changed, &gone)) {
        return true;
    }
    search.attempt(changed)
}

fn zero(dst: Reg) -> Op {
    mov(dst, Operand::Imm(0))
}

fn mov(dst: Reg, src: Operand) -> Op {
    Op::Alu { width: Width::W64, op: AluOp::Mov, dst, src }
}

/// The register that holds what an operation makes.
fn result_of(op: &Op) -> Reg {
    match *op {
        Op::Alu { dst, .. }
        | Op::MovSx { dst, .. }
        | Op::Neg { dst, .. }
        | Op::Endian { dst, .. }
        | Op::AddrSpaceCast { dst, .. }
        | Op::LdImm64 { dst, .. }
        | Op::Load { dst, .. } => dst,
        Op::Atomic { op: AtomicOp::LoadAcquire, src, .. } => src,
        _ => Reg::R0,
    }
}

/// What an operation may become, simplest first.
fn simpler(op: &Op) -> Vec<Op> {
    match *op {
        Op::Alu { op: AluOp::Mov, dst, src: Operand::Imm(_), width: Width::W32 } => vec![zero(dst)],
        Op::Alu { op: AluOp::Mov, src: Operand::Imm(_), .. } | Op::Exit => Vec::new(),
        Op::Alu { op: AluOp::Mov, dst, .. } => vec![zero(dst)],
        Op::Alu { width, op, dst, src: Operand::Reg(src) } => {
            let with = |op, src| Op::Alu { width, op, dst, src };
            vec![zero(dst), mov(dst, Operand::Reg(src)), with(op, Operand::Imm(0)), with(op, Operand::Imm(1))]
        }
        Op::LdImm64 { dst, imm: Imm64::Const(n) } => {
            let short = i32::try_from(n as i64).ok().map(|n| mov(dst, Operand::Imm(n)));
            [Some(zero(dst)), short].into_iter().flatten().collect()
        }
        Op::MovSx { dst, src, .. } | Op::AddrSpaceCast { dst, src, .. } => {
            vec![zero(dst), mov(dst, Operand::Reg(src))]
        }
        Op::Load { dst, size, base, off, signed } => {
            let plain = signed.then_some(Op::Load { dst, size, base, off, signed: false });
            [Some(zero(dst)), plain].into_iter().flatten().collect()
        }
        Op::Store { size, base, off, src: Operand::Reg(_) } => {
            vec![Op::Store { size, base, off, src: Operand::Imm(0) }]
        }
        Op::Store { .. } => Vec::new(),
        Op::Atomic { size, base, off, src, .. } => {
            vec![zero(result_of(op)), Op::Store { size, base, off, src: Operand::Reg(src) }]
        }
        Op::Jump { off, wide } => match i16::try_from(off) {
            Ok(_) if wide => vec![Op::Jump { off, wide: false }],
            _ => Vec::new(),
        },
        Op::JumpIf { width, cond, dst, src, off } => {
            let with = |n| Op::JumpIf { width, cond, dst, src: Operand::Imm(n), off };
            let mut all = vec![Op::Jump { off: i32::from(off), wide: false }];
            if matches!(src, Operand::Reg(_)) {
                all.extend([with(0), with(1)]);
            }
            all
        }
        Op::MayGoto { off } => vec![Op::Jump { off: i32::from(off), wide: false }],
        Op::Alu { dst, .. } | Op::Neg { dst, .. } | Op::Endian { dst, .. } | Op::LdImm64 { dst, .. } => {
            vec![zero(dst)]
        }
        Op::LdAbs { .. } | Op::LdInd { .. } | Op::CallHelper { .. } | Op::CallLocal { .. } | Op::CallKfunc { .. } => {
            vec![zero(Reg::R0)]
        }
    }
}

fn without_unreachable(program: &Program) -> Program {
    edit::remove(program, &unreachable(program))
}

/// The operations that no path from the first one reaches: by falling through, jumps, calls or references to functions.
fn unreachable(program: &Program) -> BTreeSet<InsnIdx> {
    let ops = operations(&program.insns);
    let find = |at: InsnIdx| ops.binary_search_by_key(&at, |(n, _)| *n).ok();
    let mut seen = vec![false; ops.len()];
    let mut open = vec![0];
    while let Some(n) = open.pop() {
        let (Some(seen), Some((at, op))) = (seen.get_mut(n), ops.get(n)) else { continue };
        if std::mem::replace(seen, true) {
            continue;
        }
        open.extend(successors(*at, op).into_iter().flatten().filter_map(find));
    }
    ops.iter().zip(&seen).filter(|(_, seen)| !**seen).map(|((at, _), _)| *at).collect()
}

fn successors(at: InsnIdx, op: &Result<Op, Insn>) -> [Option<InsnIdx>; 2] {
    let Ok(op) = op else { return [Some(at.next()), None] };
    let next = match op {
        Op::Exit | Op::Jump { .. } => None,
        _ => Some(InsnIdx(at.0 + op.len())),
    };
    [next, op.target(at)]
}
