//! A program while it is rewritten: instructions that can be replaced or removed, with everything that points to them.
//!
//! Stands for `bpf_patch_insn_data`, `bpf_remove_insns` and what they drag along: `bpf_adj_branches`,
//! `adjust_insn_aux_data`, `adjust_subprog_starts`, `adjust_subprog_starts_after_remove` (6.1 … 7.3).
//! Line info, poke descriptors and instruction arrays are left out: nothing here carries them.
//!
//! One rule moves everything. When the instructions `[at, old_end)` become `[at, new_end)`, an index below `old_end` stays
//! and every other one moves by `new_end - old_end`; jumps, calls, function references and subprogram starts follow it.
//! So a jump *to* a replaced instruction reaches the first new one, and a reference *into* a removed range keeps its
//! number, whatever now stands there: that is how a kernel comes to call a function that is not one.

use crate::isa::{Insn, InsnIdx, opcode};
use crate::program::{Layout, Program, SubprogIdx};
use crate::verifier::Facts;
use std::ops::Range;

/// A subprogram of the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Subprog {
    /// Its number in the original program.
    pub original: SubprogIdx,
    /// Its first instruction now.
    pub start: u32,
    /// Its stack depth in bytes.
    pub depth: u16,
}

/// A jump of 16 bits would have to reach too far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct JumpTooLong;

/// The program that is being rewritten.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Text {
    insns: Vec<Insn>,
    seen: Vec<bool>,
    origin: Vec<InsnIdx>,
    subprogs: Vec<Subprog>,
}

impl Text {
    /// The original program with its folded branches and without spills around calls that keep R1 to R5; instructions of which the facts say nothing count as seen.
    pub fn new(program: &Program, facts: &Facts) -> Text {
        let len = program.insns.len();
        let mut seen = facts.seen.clone();
        seen.resize(len, true);
        let depth = |n: usize| facts.depth_left(SubprogIdx(n as u16));
        let subprogs = facts.layout.starts().iter().enumerate();
        let mut insns = program.insns.clone();
        for (at, off) in &facts.folded {
            if let Some(insn) = insns.get_mut(at.at()) {
                *insn = Insn::new(opcode::JA, 0, 0, *off, 0);
            }
        }
        for (call, pairs) in &facts.fastcall.calls {
            let call = call.at();
            let around = (1..=usize::from(*pairs)).flat_map(|n| [call.checked_sub(n), call.checked_add(n)]);
            for at in around.flatten() {
                if let Some(insn) = insns.get_mut(at) {
                    *insn = Insn::new(opcode::JA, 0, 0, 0, 0);
                }
            }
        }
        Text {
            insns,
            seen,
            origin: (0..len as u32).map(InsnIdx).collect(),
            subprogs: subprogs
                .map(|(n, s)| Subprog { original: SubprogIdx(n as u16), start: s.0, depth: depth(n) })
                .collect(),
        }
    }

    /// A rewritten program again, for the passes that come after.
    pub fn resume(insns: &[Insn], layout: &Layout, stack_depth: &[u16]) -> Text {
        let subprogs = layout.starts().iter().enumerate();
        Text {
            insns: insns.to_vec(),
            seen: vec![true; insns.len()],
            origin: (0..insns.len() as u32).map(InsnIdx).collect(),
            subprogs: subprogs
                .map(|(n, s)| Subprog {
                    original: SubprogIdx(n as u16),
                    start: s.0,
                    depth: stack_depth.get(n).copied().unwrap_or(0),
                })
                .collect(),
        }
    }

    /// How many instructions there are.
    pub fn len(&self) -> usize {
        self.insns.len()
    }

    /// The instructions.
    pub fn insns(&self) -> &[Insn] {
        &self.insns
    }

    /// The instruction at an index.
    pub fn insn(&self, at: usize) -> Option<Insn> {
        self.insns.get(at).copied()
    }

    /// Overwrites one instruction, if it is there.
    pub fn set_insn(&mut self, at: usize, insn: Insn) {
        if let Some(old) = self.insns.get_mut(at) {
            *old = insn;
        }
    }

    /// Whether some path reached the instruction; false outside of the program.
    pub fn is_seen(&self, at: usize) -> bool {
        self.seen.get(at).copied().unwrap_or(false)
    }

    /// For each instruction the original one.
    pub fn origin(&self) -> &[InsnIdx] {
        &self.origin
    }

    /// The first instruction that came from an original one.
    pub fn place_of(&self, original: InsnIdx) -> Option<usize> {
        let at = self.origin.partition_point(|o| *o < original);
        (self.origin.get(at) == Some(&original)).then_some(at)
    }

    /// The subprograms, in order.
    pub fn subprogs(&self) -> &[Subprog] {
        &self.subprogs
    }

    /// The subprogram of an original number, if it is still there.
    pub fn subprog(&self, original: SubprogIdx) -> Option<&Subprog> {
        let at = self.subprogs.binary_search_by_key(&original, |s| s.original).ok()?;
        self.subprogs.get(at)
    }

    /// Lets a subprogram's stack grow.
    pub fn grow_stack(&mut self, original: SubprogIdx, bytes: u16) {
        if let Some(s) = self.subprogs.iter_mut().find(|s| s.original == original) {
            s.depth = s.depth.saturating_add(bytes);
        }
    }

    /// Where the subprograms lie.
    pub fn layout(&self) -> Layout {
        Layout::from_starts(self.subprogs.iter().map(|s| InsnIdx(s.start)).collect(), InsnIdx(self.len() as u32))
    }

    /// A text with the same subprograms and no instructions yet.
    pub fn emptied(&self) -> Text {
        let mut out = Text { insns: Vec::new(), seen: Vec::new(), origin: Vec::new(), subprogs: self.subprogs.clone() };
        out.insns.reserve(self.len());
        out.seen.reserve(self.len());
        out.origin.reserve(self.len());
        out
    }

    /// Adds an instruction that comes from one of another text.
    pub fn push(&mut self, insn: Insn, from: &Text, at: usize) {
        self.insns.push(insn);
        self.seen.push(from.is_seen(at));
        self.origin.push(from.origin.get(at).copied().unwrap_or_default());
    }

    /// Moves the starts of all subprograms.
    pub fn move_starts(&mut self, place: impl Fn(u32) -> u32) {
        self.subprogs.iter_mut().for_each(|s| s.start = place(s.start));
    }

    /// Replaces the instruction at `at` by a patch, which is written as it is: its own jumps are not adjusted.
    /// Nothing changes when a jump elsewhere would no longer reach its target.
    ///
    /// Kernel: `bpf_patch_insn_data` (6.1 … 7.3). It looks for such jumps only in programs of more than 32767
    /// instructions; in shorter ones there are none.
    #[doc(alias = "bpf_patch_insn_data")]
    pub fn replace(&mut self, at: usize, patch: &[Insn]) -> Result<(), JumpTooLong> {
        let (Some(origin), true) = (self.origin.get(at).copied(), !patch.is_empty()) else {
            return Ok(());
        };
        let span = Span { start: at, old_end: at + 1, new_end: at + patch.len() };
        if self.references_outside(span).any(|(_, moved)| moved.is_none()) {
            return Err(JumpTooLong);
        }
        crate::work::count(self.len());
        let seen = self.is_seen(at);
        self.move_references(span);
        self.insns.splice(at..=at, patch.iter().copied());
        self.seen.splice(at..=at, patch.iter().map(|_| seen));
        self.origin.splice(at..=at, patch.iter().map(|_| origin));
        self.move_starts(|start| span.start_moved(start));
        Ok(())
    }

    /// Removes `count` instructions. Subprograms that lay wholly in the range vanish; main never does. Passes remove many ranges
    /// at once, with the same outcome: [`Removal`](super::removal::Removal).
    ///
    /// Kernel: `verifier_remove_insns` (6.1 … 7.3).
    #[cfg(test)]
    pub fn remove(&mut self, at: usize, count: usize) {
        let end = at.saturating_add(count).min(self.len());
        if at >= end {
            return;
        }
        let span = Span { start: at, old_end: end, new_end: at };
        self.drop_subprogs(self.len(), |subprog| subprog.start as usize >= at && subprog.end as usize <= end);
        self.move_references(span);
        self.insns.drain(at..end);
        self.seen.drain(at..end);
        self.origin.drain(at..end);
        self.move_starts(|start| span.start_moved(start));
    }

    /// Lets every jump to `target` reach `delta` further, except those of the `delta` instructions from there on.
    ///
    /// Kernel: `adjust_jmp_off` (6.12 … 7.3).
    #[doc(alias = "adjust_jmp_off")]
    pub fn redirect_jumps(&mut self, target: usize, delta: usize) {
        for at in (0..target).chain(target + delta..self.len()) {
            let insn = self.insn(at).filter(|i| !matches!(i.code, opcode::LD_IMM64 | opcode::CALL));
            let Some((insn, distance)) = insn.and_then(|i| Some((i, reference(i)?))) else {
                continue;
            };
            let reaches = at as i64 + 1 + distance == target as i64;
            if let Some(moved) = with_reference(insn, distance + delta as i64).filter(|_| reaches) {
                self.set_insn(at, moved);
            }
        }
    }

    /// Everything outside of the span that points somewhere, with its new form, or `None` when that does not fit.
    fn references_outside(&self, span: Span) -> impl Iterator<Item = (usize, Option<Insn>)> + '_ {
        let outside = move |n: &usize| *n < span.start || *n >= span.old_end;
        let insns = self.insns.iter().enumerate().filter(move |(n, _)| outside(n));
        insns.filter_map(move |(n, insn)| {
            let distance = reference(*insn)?;
            let at = n as i64;
            let moved = span.moved(at + 1 + distance) - span.moved(at) - 1;
            (moved != distance).then(|| (n, with_reference(*insn, moved)))
        })
    }

    fn move_references(&mut self, span: Span) {
        let moved: Vec<(usize, Option<Insn>)> = self.references_outside(span).collect();
        for (at, insn) in moved {
            if let Some(insn) = insn {
                self.set_insn(at, insn);
            }
        }
    }

    /// Drops subprograms that lie wholly in what is removed, by their range.
    ///
    /// Kernel: `adjust_subprog_starts_after_remove` (6.1 … 7.3).
    #[doc(alias = "adjust_subprog_starts_after_remove")]
    pub fn drop_subprogs(&mut self, len: usize, is_removed: impl Fn(Range<u32>) -> bool) {
        let ends: Vec<u32> = self.subprogs.iter().skip(1).map(|s| s.start).chain([len as u32]).collect();
        let mut ends = ends.into_iter();
        self.subprogs.retain(|s| {
            let end = ends.next().unwrap_or(0);
            s.original == SubprogIdx::MAIN || !is_removed(s.start..end)
        });
    }
}

/// A range of instructions and what becomes of it.
#[derive(Clone, Copy)]
struct Span {
    start: usize,
    old_end: usize,
    new_end: usize,
}

impl Span {
    /// Where a subprogram's start goes. One inside of a removed range belongs to a subprogram that keeps its later part.
    fn start_moved(self, start: u32) -> u32 {
        let inside = (self.start..self.old_end).contains(&(start as usize));
        if inside { self.start as u32 } else { self.moved(start.into()) as u32 }
    }

    /// Where an index goes.
    fn moved(self, index: i64) -> i64 {
        if index < self.old_end as i64 { index } else { index - self.old_end as i64 + self.new_end as i64 }
    }
}

/// The distance that an instruction holds: that of a jump, of a local call or of a function reference.
pub(super) fn reference(insn: Insn) -> Option<i64> {
    const JMP: u8 = 5;
    const JMP32: u8 = 6;
    match insn.code {
        opcode::LD_IMM64 => (insn.src() == opcode::PSEUDO_FUNC).then_some(i64::from(insn.imm)),
        opcode::CALL => (insn.src() == opcode::PSEUDO_CALL).then_some(i64::from(insn.imm)),
        opcode::EXIT => None,
        opcode::JA32 => Some(i64::from(insn.imm)),
        code if matches!(code & 7, JMP | JMP32) => Some(i64::from(insn.off)),
        _ => None,
    }
}

/// The instruction with another distance, or `None` when the field is too small.
pub(super) fn with_reference(insn: Insn, distance: i64) -> Option<Insn> {
    Some(match insn.code {
        opcode::LD_IMM64 | opcode::CALL | opcode::JA32 => Insn { imm: i32::try_from(distance).ok()?, ..insn },
        _ => Insn { off: i16::try_from(distance).ok()?, ..insn },
    })
}
