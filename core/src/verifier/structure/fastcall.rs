//! Spills and fills around calls that need not clobber R1 to R5.
//!
//! Stands for `mark_fastcall_patterns`, `mark_fastcall_pattern_for_call` and `bpf_get_call_summary` (6.12 … 7.3). A pattern is a
//! helper call between stores of registers to slots of R10 and the loads of the same registers from the same slots, laid out like
//! parentheses. The slots are the lowest of the subprogram; the walk sees whether anything else uses them.
//!
//! Left out: calls of kernel functions, which end in "not modelled" before.

use super::{Marks, Structure};
use crate::isa::{Insn, InsnIdx, opcode};
use crate::kernel::ctx::ProgKind;
use crate::kernel::helpers::{self, Arg, HelperLookup, Ret, Traits};
use crate::kernel::{FastcallSpills, Rules};
use crate::program::{Program, SubprogIdx};

/// R0 to R5, bit n for Rn.
const CALLER_SAVED: u8 = 0b11_1111;
const SLOT_BYTES: i16 = 8;
const STORE: u8 = 0x7b;
const LOAD: u8 = 0x79;
const FP: u8 = 10;

/// The patterns of a program.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Fastcall {
    /// For each instruction, whether it spills or fills in a pattern; empty when there is none.
    #[doc(alias = "fastcall_pattern")]
    in_pattern: Vec<bool>,
    /// The calls whose spills may go, with how many pairs each has, ascending.
    #[doc(alias = "fastcall_spills_num")]
    pub calls: Vec<(InsnIdx, u8)>,
    /// By subprogram, what its patterns say of its stack; empty when there is no pattern.
    subprogs: Vec<FastcallStack>,
}

/// What the patterns of a subprogram say of its stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FastcallStack {
    /// Offset from R10 below which only patterns may use the stack; the lowest there is without patterns.
    #[doc(alias = "fastcall_stack_off")]
    pub off: i16,
    /// Some of the patterns stay, so their slots do.
    #[doc(alias = "keep_fastcall_stack")]
    pub keep: bool,
}

impl FastcallStack {
    /// No pattern, or none that may be removed.
    pub const NONE: FastcallStack = FastcallStack { off: i16::MIN, keep: false };
}

impl Fastcall {
    /// Whether an instruction spills or fills in a pattern.
    pub fn holds(&self, at: InsnIdx) -> bool {
        self.in_pattern.get(at.at()).copied().unwrap_or(false)
    }

    /// What the patterns of a subprogram say of its stack.
    pub fn stack(&self, subprog: SubprogIdx) -> FastcallStack {
        self.subprogs.get(subprog.at()).copied().unwrap_or(FastcallStack::NONE)
    }
}

/// Finds the patterns.
#[doc(alias = "mark_fastcall_patterns")]
pub(super) fn find(program: &Program, structure: &Structure, rules: &Rules) -> Fastcall {
    let mut found = Fastcall::default();
    if rules.rewrite.fastcall_spills == FastcallSpills::Kept {
        return found;
    }
    for n in 0..structure.layout.len() {
        let subprog = SubprogIdx(n as u16);
        let (start, end) = (structure.layout.start(subprog), structure.layout.end(subprog));
        let insns = program.insns.get(start.at()..end.at()).unwrap_or_default();
        let spills = insns.iter().filter(|i| i.code == STORE && i.dst() == FP);
        let Some(lowest) = spills.map(|i| i.off).min().filter(|off| *off < 0) else { continue };
        for (at, call) in (start.0..).map(InsnIdx).zip(insns) {
            // Few calls stand between a spill and a fill; only for those is the helper looked up.
            let beside =
                |at: Option<usize>, code| at.and_then(|at| program.insns.get(at)).is_some_and(|i| i.code == code);
            if !beside(at.at().checked_sub(1), STORE) || !beside(at.at().checked_add(1), LOAD) {
                continue;
            }
            let Some((expected, fast)) = around_call(*call, program, rules) else { continue };
            let pairs = pairs_around(program, structure, at, lowest, expected);
            if pairs > 0 {
                found.add(program, structure, subprog, Pattern { call: at, pairs, lowest, fast });
            }
        }
    }
    found
}

/// One pattern.
struct Pattern {
    call: InsnIdx,
    pairs: u8,
    /// Offset of its lowest slot.
    lowest: i16,
    /// The call keeps R1 to R5.
    fast: bool,
}

impl Fastcall {
    fn add(&mut self, program: &Program, structure: &Structure, subprog: SubprogIdx, pattern: Pattern) {
        self.in_pattern.resize(program.insns.len(), false);
        self.subprogs.resize(structure.layout.len(), FastcallStack::NONE);
        for n in 1..=usize::from(pattern.pairs) {
            for at in [pattern.call.at().wrapping_sub(n), pattern.call.at() + n] {
                if let Some(slot) = self.in_pattern.get_mut(at) {
                    *slot = true;
                }
            }
        }
        if pattern.fast {
            self.calls.push((pattern.call, pattern.pairs));
        }
        if let Some(stack) = self.subprogs.get_mut(subprog.at()) {
            let above = pattern.lowest.saturating_add(SLOT_BYTES * i16::from(pattern.pairs)).min(0);
            stack.off = if *stack == FastcallStack::NONE { above } else { stack.off.min(above) };
            stack.keep |= !pattern.fast;
        }
    }
}

/// The registers that may be saved around a helper call: those that it neither takes nor sets; and whether it keeps them.
#[doc(alias = "bpf_get_call_summary")]
fn around_call(call: Insn, program: &Program, rules: &Rules) -> Option<(u8, bool)> {
    if call.code != opcode::CALL || call.src() != 0 {
        return None;
    }
    let prog = ProgKind { prog_type: program.prog_type, attach_type: program.expected_attach_type };
    let HelperLookup::Proto(proto) = helpers::lookup_attached(call.imm, prog, rules) else { return None };
    let taken = proto.args.iter().take_while(|a| **a != Arg::Unused).count();
    let clobbered = (2u8 << taken) - 1;
    let set = if proto.ret == Ret::Void { clobbered & !1 } else { clobbered };
    Some((CALLER_SAVED & !set, proto.is(Traits::FASTCALL)))
}

/// How many pairs of a spill and a fill stand around a call. No path may come to the call or into the pairs from elsewhere.
#[doc(alias = "mark_fastcall_pattern_for_call")]
fn pairs_around(program: &Program, structure: &Structure, call: InsnIdx, lowest: i16, mut expected: u8) -> u8 {
    let insn = |at: usize| program.insns.get(at).copied();
    let is_target = |at: usize| structure.marks.get(at).is_some_and(|m| m.contains(Marks::JUMP_TARGET));
    let mut off = lowest;
    let mut pairs = 0;
    for n in 1..=CALLER_SAVED.count_ones() as usize {
        let Some(before) = call.at().checked_sub(n) else { break };
        let (Some(spill), Some(fill)) = (insn(before), insn(call.at() + n)) else { break };
        let reg = 1u8.checked_shl(spill.src().into()).unwrap_or(0);
        let slots = spill.code == STORE && fill.code == LOAD && spill.dst() == FP && fill.src() == FP;
        let same = spill.src() == fill.dst() && spill.off == off && fill.off == off;
        if !slots || !same || expected & reg == 0 || is_target(before + 1) || is_target(call.at() + n) {
            break;
        }
        expected &= !reg;
        off = off.saturating_add(SLOT_BYTES);
        pairs = n as u8;
    }
    pairs
}
