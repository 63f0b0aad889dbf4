//! The passes, in the kernel's order: loops, dead branches, dead code, nops.

use super::plan::{LoopInlining, Plan};
use super::text::{JumpTooLong, Text, reference};
use crate::isa::{Insn, InsnIdx, opcode};
use crate::kernel::NopForms;
use crate::kernel::limits::{INLINED_LOOP_LEN, LOOPS_MAX};
use crate::program::{Layout, SubprogIdx};

/// Where the local call stands in the inlined loop.
const CALLBACK_CALL: u32 = 12;
const E2BIG: i32 = -7;

/// Replaces each planned call by its loop. Answers the site that cannot be patched.
///
/// Kernel: `optimize_bpf_loop`, `inline_bpf_loop` (6.1 … 7.3).
#[doc(alias = "inline_bpf_loop")]
pub(super) fn inline_loops(text: &mut Text, plan: &Plan) -> Result<(), InsnIdx> {
    for l in &plan.loops {
        let Some(at) = text.place_of(l.site) else {
            continue;
        };
        text.replace(at, &loop_insns(l)).map_err(|JumpTooLong| l.site)?;
        let call = at as u32 + CALLBACK_CALL;
        // A plan that names no subprogram leaves the call pointing at itself, as far as it can be seen from here.
        let start = text.subprog(l.callback).map_or(call, |s| s.start);
        let rel = i64::from(start) - i64::from(call) - 1;
        text.set_insn(call as usize, Insn::new(opcode::CALL, 0, opcode::PSEUDO_CALL, 0, rel as i32));
    }
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
    let mut at = 0;
    while at < text.len() {
        let dead = (at..text.len()).take_while(|n| !text.is_seen(*n)).count();
        text.remove(at, dead);
        at += 1;
    }
}

/// Removes nops, first to last. What becomes a nop by that is removed too when it comes later, or directly before a
/// removed `may_goto`.
///
/// Kernel: `opt_remove_nops` (6.1 … 7.3).
#[doc(alias = "opt_remove_nops")]
pub(super) fn remove_nops(text: &mut Text, forms: NopForms) {
    const GOTO: Insn = Insn::new(opcode::JA, 0, 0, 0, 0);
    const MAY_GOTO: Insn = Insn::new(opcode::MAY_GOTO, 0, 0, 0, 0);
    let mut at = 0;
    while let Some(insn) = text.insn(at) {
        let may_goto = forms == NopForms::GotoAndMayGoto && insn == MAY_GOTO;
        if insn == GOTO || may_goto {
            text.remove(at, 1);
            at = if may_goto { at.saturating_sub(1) } else { at };
        } else {
            at += 1;
        }
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
