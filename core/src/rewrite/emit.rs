//! The passes, in the kernel's order: loops, dead branches, dead code, nops.

use super::patches::Patches;
use super::plan::{LoopInlining, Plan};
use super::removal::Removal;
use super::text::{JumpTooLong, Text, reference};
use crate::isa::{Insn, InsnIdx, opcode};
use crate::kernel::NopForms;
use crate::kernel::limits::{INLINED_LOOP_LEN, LOOPS_MAX};
use crate::program::{Layout, SubprogIdx};
use std::ops::Range;

/// Where the local call stands in the inlined loop.
const CALLBACK_CALL: u32 = 12;
const E2BIG: i32 = -7;

/// Replaces each planned call by its loop. Answers the site that cannot be patched.
///
/// Kernel: `optimize_bpf_loop`, `inline_bpf_loop` (6.1 … 7.3).
#[doc(alias = "inline_bpf_loop")]
pub(super) fn inline_loops(text: &mut Text, plan: &Plan) -> Result<(), InsnIdx> {
    let mut patches = Patches::new(std::mem::take(text));
    for l in &plan.loops {
        let Some(at) = patches.text().place_of(l.site) else {
            continue;
        };
        let mut patch = loop_insns(l);
        let call = patches.place(at as i64) + i64::from(CALLBACK_CALL);
        // A plan that names no subprogram leaves the call pointing at itself, as far as it can be seen from here.
        let start = match patches.text().subprog(l.callback).map(|s| i64::from(s.start)) {
            Some(start) if start <= at as i64 => patches.place(start),
            Some(start) => patches.place(start) + i64::from(INLINED_LOOP_LEN) - 1,
            None => call,
        };
        patch[CALLBACK_CALL as usize].imm = (start - call - 1) as i32;
        patches.replace(at, &patch);
    }
    // No pass was before this one, so that a place is still the original one.
    *text = patches.commit().map_err(|(at, JumpTooLong)| InsnIdx(at as u32))?;
    for (n, bytes) in plan.extra_stack.iter().enumerate() {
        text.grow_stack(SubprogIdx(n as u16), *bytes);
    }
    Ok(())
}

/// The loop, with the distance of its callback still open.
///
/// R1 is checked against the limit, R6 to R8 are saved and become bound, counter and context, the callback runs until it
/// answers non-zero or the counter reaches the bound, and R0 is the counter.
fn loop_insns(l: &LoopInlining) -> [Insn; INLINED_LOOP_LEN as usize] {
    const MOV32: u8 = 0xb4;
    const MOV64: u8 = 0xbf;
    const ADD64: u8 = 0x07;
    const JLE: u8 = 0xb5;
    const JGE_REG: u8 = 0x3d;
    const JEQ: u8 = 0x15;
    const STORE: u8 = 0x7b;
    const LOAD: u8 = 0x79;
    const FP: u8 = 10;
    const BOUND: u8 = 6;
    const COUNTER: u8 = 7;
    const CTX: u8 = 8;
    let slot = |n: i16| l.spill_base.wrapping_add(8 * n);
    [
        Insn::new(JLE, 1, 0, 2, LOOPS_MAX as i32),
        Insn::new(MOV32, 0, 0, 0, E2BIG),
        Insn::new(opcode::JA, 0, 0, 16, 0),
        Insn::new(STORE, FP, BOUND, slot(0), 0),
        Insn::new(STORE, FP, COUNTER, slot(1), 0),
        Insn::new(STORE, FP, CTX, slot(2), 0),
        Insn::new(MOV64, BOUND, 1, 0, 0),
        Insn::new(MOV32, COUNTER, 0, 0, 0),
        Insn::new(MOV64, CTX, 3, 0, 0),
        Insn::new(JGE_REG, COUNTER, BOUND, 5, 0),
        Insn::new(MOV64, 1, COUNTER, 0, 0),
        Insn::new(MOV64, 2, CTX, 0, 0),
        Insn::new(opcode::CALL, 0, opcode::PSEUDO_CALL, 0, 0),
        Insn::new(ADD64, COUNTER, 0, 0, 1),
        Insn::new(JEQ, 0, 0, -6, 0),
        Insn::new(MOV64, 0, COUNTER, 0, 0),
        Insn::new(LOAD, BOUND, FP, slot(0), 0),
        Insn::new(LOAD, COUNTER, FP, slot(1), 0),
        Insn::new(LOAD, CTX, FP, slot(2), 0),
    ]
}

/// A conditional jump with one successor that no path reached becomes a jump to the other one.
///
/// Kernel: `opt_hard_wire_dead_code_branches` (6.1 … 7.3).
#[doc(alias = "opt_hard_wire_dead_code_branches")]
pub(super) fn hard_wire_branches(text: &mut Text) {
    for at in 0..text.len() {
        let Some(insn) = text.insn(at).filter(|i| is_conditional(i.code)) else {
            continue;
        };
        let target = (at as i64 + 1).saturating_add(i64::from(insn.off));
        let off = if !text.is_seen(at + 1) {
            insn.off
        } else if !usize::try_from(target).is_ok_and(|t| text.is_seen(t)) {
            0
        } else {
            continue;
        };
        text.set_insn(at, Insn::new(opcode::JA, 0, 0, off, 0));
    }
}

fn is_conditional(code: u8) -> bool {
    const JMP: u8 = 5;
    const JMP32: u8 = 6;
    let operation = code & 0xf0;
    match code & 7 {
        JMP => operation != opcode::JA & 0xf0 && operation != opcode::CALL & 0xf0 && operation != opcode::EXIT & 0xf0,
        JMP32 => operation != opcode::JA & 0xf0,
        _ => false,
    }
}

/// Removes every run of instructions that no path reached.
///
/// Kernel: `opt_remove_dead_code` (6.1 … 7.3).
#[doc(alias = "opt_remove_dead_code")]
pub(super) fn remove_dead_code(text: &mut Text) {
    let mut dead: Vec<Range<usize>> = Vec::new();
    for at in (0..text.len()).filter(|at| !text.is_seen(*at)) {
        match dead.last_mut().filter(|range| range.end == at) {
            Some(range) => range.end += 1,
            None => dead.push(at..at + 1),
        }
    }
    remove(text, &dead);
}

fn remove(text: &mut Text, ranges: &[Range<usize>]) {
    if !ranges.is_empty() {
        *text = Removal::new(ranges, text.len()).apply(text);
    }
}

/// Removes nops, first to last. What becomes a nop by that is removed too when it comes later, or directly before a
/// removed `may_goto`.
///
/// Kernel: `opt_remove_nops` (6.1 … 7.3).
#[doc(alias = "opt_remove_nops")]
pub(super) fn remove_nops(text: &mut Text, forms: NopForms) {
    let mut removed = Vec::new();
    // What stays of the instructions so far. Nothing behind them is removed yet.
    let mut kept: Vec<usize> = Vec::new();
    for at in 0..text.len() {
        let mut nop = nop(text, at, at, forms);
        match nop {
            None => kept.push(at),
            Some(_) => removed.push(at),
        }
        while nop == Some(Nop::MayGoto) {
            nop = kept.last().and_then(|before| self::nop(text, *before, at, forms));
            removed.extend(nop.and_then(|_| kept.pop()));
        }
    }
    removed.sort_unstable();
    // One by one: a jump to the second of two nops goes where a jump to the first one goes.
    let ranges: Vec<Range<usize>> = removed.into_iter().map(|at| at..at + 1).collect();
    remove(text, &ranges);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Nop {
    Goto,
    MayGoto,
}

/// Whether an instruction is a nop once those behind it, up to `last`, are gone.
fn nop(text: &Text, at: usize, last: usize, forms: NopForms) -> Option<Nop> {
    const GOTO: Insn = Insn::new(opcode::JA, 0, 0, 0, 0);
    const MAY_GOTO: Insn = Insn::new(opcode::MAY_GOTO, 0, 0, 0, 0);
    let insn = text.insn(at)?;
    let target = at as i64 + i64::from(insn.off);
    if target < at as i64 || target > last as i64 {
        return None;
    }
    match (Insn { off: 0, ..insn }) {
        GOTO => Some(Nop::Goto),
        MAY_GOTO if forms == NopForms::GotoAndMayGoto => Some(Nop::MayGoto),
        _ => None,
    }
}

/// The first function reference or local call that points to no subprogram, and where it points.
///
/// With main alone there is nothing that the kernel would look up. Kernel: `jit_subprogs` (6.1 … 7.3).
#[doc(alias = "jit_subprogs")]
pub(super) fn dangling_reference(insns: &[Insn], layout: &Layout) -> Option<(usize, i64)> {
    if layout.len() <= 1 {
        return None;
    }
    insns.iter().enumerate().find_map(|(at, insn)| {
        let distance = reference(*insn).filter(|_| matches!(insn.code, opcode::LD_IMM64 | opcode::CALL))?;
        let target = at as i64 + 1 + distance;
        let start = u32::try_from(target).ok().and_then(|t| layout.starting(InsnIdx(t)));
        start.is_none().then_some((at, target))
    })
}
