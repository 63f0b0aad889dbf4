//! Edits of instructions: what no Spec says.
//!
//! Jumps, calls, function references and `func_info` are led along when instructions come or go, so that most edited
//! programs stay well-formed.

use crate::isa::{AluOp, Cond, Insn, InsnIdx, Op, Operand, Reg, Width, decode, opcode};
use crate::kernel::limits::HELPER_LOOP;
use crate::program::{Layout, Program};
use rand::{Rng, RngExt};

/// Edits a program: mostly one edit, sometimes several.
pub fn mutate_program(program: &mut Program, rng: &mut impl Rng) {
    let edits = 1 + rng.random_range(0..8u32).saturating_sub(5);
    for _ in 0..edits {
        if !program.insns.is_empty() {
            edit(program, rng);
        }
    }
}

fn edit(program: &mut Program, rng: &mut impl Rng) {
    let at = rng.random_range(0..program.insns.len());
    if is_second_half(&program.insns, at) {
        return edit_input(program, rng);
    }
    match rng.random_range(0..20u32) {
        0..=2 => edit_imm(program, at, rng),
        3 => edit_off(program, at, rng),
        4..=5 => edit_reg(program, at, rng),
        6..=8 => edit_op(program, at, rng),
        9 => retarget(program, at, rng),
        10 => duplicate(program, at),
        11..=12 => delete(program, at),
        13..=14 => {
            let op = simple_op(rng);
            splice(program, at, 0, &[op.encode().0]);
        }
        15 => {
            let next = (at + 1).min(program.insns.len() - 1);
            program.insns.swap(at, next);
        }
        16 => swap_callbacks(program, rng),
        17..=18 => before_loop(program, rng),
        _ => edit_input(program, rng),
    }
}

fn is_second_half(insns: &[Insn], at: usize) -> bool {
    // Only the first half has this opcode, and a second half starts no other.
    at > 0 && insns.get(at - 1).is_some_and(|i| i.is_ld_imm64()) && insns.get(at).is_some_and(|i| i.code == 0)
}

fn op_at(program: &Program, at: usize) -> Option<Op> {
    decode(*program.insns.get(at)?, program.insns.get(at + 1).copied()).ok()
}

fn put(program: &mut Program, at: usize, op: Op) {
    let (first, second) = op.encode();
    if let Some(insn) = program.insns.get_mut(at) {
        *insn = first;
    }
    if let (Some(second), Some(insn)) = (second, program.insns.get_mut(at + 1)) {
        *insn = second;
    }
}

fn interesting(rng: &mut impl Rng) -> i32 {
    const EDGES: [i32; 12] = [0, 1, -1, 2, 7, 8, 16, i32::MIN, i32::MAX, 0x80_0000, 0x80_0001, 512];
    EDGES[rng.random_range(0..EDGES.len())]
}

fn edit_imm(program: &mut Program, at: usize, rng: &mut impl Rng) {
    let Some(insn) = program.insns.get_mut(at) else { return };
    // Distances and maps are not numbers to be played with here.
    let is_distance = insn.code == opcode::CALL || insn.code == opcode::JA32 || (insn.is_ld_imm64() && insn.src() != 0);
    if is_distance {
        return;
    }
    insn.imm = match rng.random_range(0..5u32) {
        0 => insn.imm.wrapping_add(1),
        1 => insn.imm.wrapping_sub(1),
        2 => insn.imm.wrapping_neg(),
        3 => insn.imm ^ 1 << rng.random_range(0..32u32),
        _ => interesting(rng),
    };
}

fn edit_off(program: &mut Program, at: usize, rng: &mut impl Rng) {
    let Some(insn) = program.insns.get_mut(at) else { return };
    if matches!(insn.code & 7, 1..=3) {
        let by = [1, -1, 4, -4, 8, -8, 24, -24][rng.random_range(0..8usize)];
        insn.off = insn.off.wrapping_add(by);
    }
}

fn edit_reg(program: &mut Program, at: usize, rng: &mut impl Rng) {
    let Some(insn) = program.insns.get_mut(at) else { return };
    if insn.is_ld_imm64() || insn.code & 7 == 5 && matches!(insn.code & 0xf0, 0 | 0x80 | 0x90 | 0xe0) {
        return;
    }
    let reg = rng.random_range(0..11u8);
    let uses_src = insn.code & 8 != 0 || matches!(insn.code & 7, 1 | 3);
    *insn = if uses_src && rng.random_bool(0.5) {
        Insn::new(insn.code, insn.dst(), reg, insn.off, insn.imm)
    } else {
        Insn::new(insn.code, reg, insn.src(), insn.off, insn.imm)
    };
}

fn other_width(width: Width) -> Width {
    if width == Width::W64 { Width::W32 } else { Width::W64 }
}

fn edit_op(program: &mut Program, at: usize, rng: &mut impl Rng) {
    let Some(op) = op_at(program, at) else { return };
    let flip = rng.random_bool(0.4);
    let op = match op {
        Op::Alu { width, op, dst, src } if flip => Op::Alu { width: other_width(width), op, dst, src },
        Op::Alu { width, dst, src, .. } => {
            Op::Alu { width, op: AluOp::ALL[rng.random_range(0..AluOp::ALL.len())], dst, src }
        }
        Op::JumpIf { width, cond, dst, src, off } if flip => {
            Op::JumpIf { width: other_width(width), cond, dst, src, off }
        }
        Op::JumpIf { width, dst, src, off, .. } => {
            Op::JumpIf { width, cond: Cond::ALL[rng.random_range(0..Cond::ALL.len())], dst, src, off }
        }
        other => other,
    };
    put(program, at, op);
}

/// Leads a jump somewhere else in its function.
fn retarget(program: &mut Program, at: usize, rng: &mut impl Rng) {
    let Some(op @ (Op::Jump { .. } | Op::JumpIf { .. } | Op::MayGoto { .. })) = op_at(program, at) else { return };
    let layout = Layout::of(program);
    let subprog = layout.containing(InsnIdx(at as u32));
    let (start, end) = (layout.start(subprog).0, layout.end(subprog).0);
    if start >= end {
        return;
    }
    let to = rng.random_range(start..end);
    if !is_second_half(&program.insns, to as usize)
        && let Some(op) = op.with_distance(i64::from(to) - at as i64 - 1)
    {
        put(program, at, op);
    }
}

fn duplicate(program: &mut Program, at: usize) {
    let Some(op) = op_at(program, at) else { return };
    // A copied jump or reference would need a distance of its own.
    if op.distance().is_none() {
        let copy: Vec<Insn> = program.insns.iter().skip(at).take(op.len() as usize).copied().collect();
        splice(program, at, 0, &copy);
    }
}

fn delete(program: &mut Program, at: usize) {
    let Some(op) = op_at(program, at) else { return };
    if !matches!(op, Op::Exit | Op::CallLocal { .. } | Op::Jump { .. }) {
        splice(program, at, op.len() as usize, &[]);
    }
}

fn simple_op(rng: &mut impl Rng) -> Op {
    let mut reg = || Reg::new(rng.random_range(0..10u8)).unwrap_or(Reg::R0);
    let (dst, other) = (reg(), reg());
    let src = if rng.random_bool(0.5) { Operand::Reg(other) } else { Operand::Imm(interesting(rng)) };
    let width = if rng.random_bool(0.5) { Width::W64 } else { Width::W32 };
    Op::Alu { width, op: AluOp::ALL[rng.random_range(0..AluOp::ALL.len())], dst, src }
}

/// Gives a function reference the target of another.
fn swap_callbacks(program: &mut Program, rng: &mut impl Rng) {
    let refs: Vec<usize> = (0..program.insns.len())
        .filter(|n| program.insns[*n].is_ld_imm64() && program.insns[*n].src() == opcode::PSEUDO_FUNC)
        .collect();
    if refs.len() < 2 {
        return;
    }
    let (a, b) = (refs[rng.random_range(0..refs.len())], refs[rng.random_range(0..refs.len())]);
    let target = b as i64 + i64::from(program.insns[b].imm);
    if let Ok(imm) = i32::try_from(target - a as i64) {
        program.insns[a].imm = imm;
    }
}

/// Puts another argument before a loop.
fn before_loop(program: &mut Program, rng: &mut impl Rng) {
    let is_loop = |i: &Insn| i.code == opcode::CALL && i.src() == 0 && i.imm == HELPER_LOOP;
    let loops: Vec<usize> = (0..program.insns.len()).filter(|n| is_loop(&program.insns[*n])).collect();
    if loops.is_empty() {
        return;
    }
    let at = loops[rng.random_range(0..loops.len())];
    let dst = [Reg::R1, Reg::R3, Reg::R4][rng.random_range(0..3usize)];
    let width = if rng.random_bool(0.5) { Width::W64 } else { Width::W32 };
    let src = if rng.random_bool(0.7) { Operand::Imm(interesting(rng)) } else { Operand::Reg(Reg::R7) };
    let op = Op::Alu { width, op: AluOp::Mov, dst, src };
    splice(program, at, 0, &[op.encode().0]);
}

fn edit_input(program: &mut Program, rng: &mut impl Rng) {
    let count = program.inputs.len();
    if count == 0 {
        return;
    }
    let input = &mut program.inputs[rng.random_range(0..count)];
    let bytes = if input.data.is_empty() || rng.random_bool(0.5) { &mut input.ctx } else { &mut input.data };
    let words = bytes.len() / 8;
    if words > 0 {
        let word = rng.random_range(0..words) * 8;
        let value = i64::from(interesting(rng)).to_le_bytes();
        if let Some(place) = bytes.get_mut(word..word + 8) {
            place.copy_from_slice(&value);
        }
    } else {
        input.seed = rng.random();
    }
}

/// Replaces `removed` instructions at `at`, and leads along everything that points over or behind them. What pointed to a
/// removed instruction points behind it; what pointed to `at` points to what was inserted.
pub fn splice(program: &mut Program, at: usize, removed: usize, inserted: &[Insn]) {
    let removed = removed.min(program.insns.len().saturating_sub(at));
    let by = inserted.len() as i64 - removed as i64;
    let moved = |n: i64| {
        if n < (at + removed).max(at + 1) as i64 && n <= at as i64 {
            n
        } else if n < (at + removed) as i64 {
            (at + inserted.len()) as i64
        } else {
            n + by
        }
    };
    // An instruction itself moves when it stands at `at` and something is inserted before it.
    let own = |n: i64| if n < at as i64 { n } else { n + by };
    let mut changed = Vec::new();
    let mut n = 0;
    while n < program.insns.len() {
        let op = op_at(program, n);
        let len = op.map_or(1, |op| op.len()) as usize;
        if (n < at || n >= at + removed)
            && let Some(op) = op
            && let Some(distance) = op.distance()
        {
            let to = n as i64 + i64::from(distance) + 1;
            if let Some(op) = op.with_distance(moved(to) - own(n as i64) - 1) {
                changed.push((n, op));
            }
        }
        n += len;
    }
    for (n, op) in changed {
        put(program, n, op);
    }
    program.insns.splice(at..at + removed, inserted.iter().copied());
    for func in &mut program.funcs {
        let start = i64::from(func.insn.0);
        func.insn = InsnIdx(u32::try_from(moved(start)).unwrap_or_default());
    }
}
