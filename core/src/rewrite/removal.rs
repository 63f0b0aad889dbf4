//! Many removals from a text at once.
//!
//! Stands for no kernel code of its own: the outcome is that of one [`Text::remove`] after the other, first to last, as kernels
//! remove (`verifier_remove_insns`), whose time is quadratic in a program's size. Here every instruction moves once.

use super::text::{Text, reference, with_reference};
use std::ops::Range;

/// Ranges that are removed, and where everything else goes. Subprograms that lie wholly in them vanish; main never does.
///
/// Kernel: `verifier_remove_insns` (6.1 … 7.3).
#[doc(alias = "verifier_remove_insns")]
pub(super) struct Removal<'a> {
    ranges: &'a [Range<usize>],
    /// For each index up to the end, how many before it are removed.
    before: Vec<u32>,
}

impl Removal<'_> {
    /// A removal of ranges that are ascending and do not overlap, from a text of that length.
    pub fn new(ranges: &[Range<usize>], len: usize) -> Removal<'_> {
        let mut before = Vec::with_capacity(len + 1);
        let mut gone = 0;
        for range in ranges {
            before.resize((range.start + 1).min(len + 1), gone);
            for _ in range.clone() {
                gone += 1;
                before.push(gone);
            }
        }
        before.resize(len + 1, gone);
        Removal { ranges, before }
    }

    /// Takes the ranges out of a text.
    pub fn apply(&self, text: &Text) -> Text {
        let mut out = text.emptied();
        let mut from = 0;
        for range in self.ranges.iter().chain([&(text.len()..text.len())]) {
            for at in from..range.start {
                let Some(insn) = text.insn(at) else { continue };
                let moved = reference(insn).and_then(|distance| {
                    let target = self.target(at as i64 + 1 + distance);
                    with_reference(insn, target - self.place(at as i64) - 1)
                });
                out.push(moved.unwrap_or(insn), text, at);
            }
            from = range.end;
        }
        out.drop_subprogs(text.len(), |subprog| self.place(subprog.start.into()) == self.place(subprog.end.into()));
        out.move_starts(|start| self.place(start.into()) as u32);
        crate::work::count(text.len());
        out
    }

    /// Where an index goes; one in a removed range to that range's start.
    fn place(&self, at: i64) -> i64 {
        let all = self.before.last().copied().unwrap_or(0);
        let gone = match usize::try_from(at) {
            Ok(at) => self.before.get(at).copied().unwrap_or(all),
            Err(_) => 0,
        };
        at - i64::from(gone)
    }

    /// Where a reference goes. One into a removed range keeps its number when that is removed, so that the ranges after it may
    /// move it, or come to lie where it points.
    fn target(&self, at: i64) -> i64 {
        let Ok(index) = usize::try_from(at) else { return at };
        let n = self.ranges.partition_point(|r| r.end <= index);
        match self.ranges.get(n) {
            Some(range) if range.start < index => {
                let mut target = at - i64::from(self.before.get(range.start).copied().unwrap_or(0));
                for later in self.ranges.iter().skip(n + 1) {
                    let start = self.place(later.start as i64);
                    if target < start {
                        break;
                    }
                    if target >= start + later.len() as i64 {
                        target -= later.len() as i64;
                    }
                }
                target
            }
            _ => self.place(at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::{Insn, opcode};
    use crate::program::{Layout, Program};
    use proptest::prelude::*;

    fn text_of(insns: Vec<Insn>) -> Text {
        let program = Program { insns, ..Program::default() };
        Text::resume(&program.insns, &Layout::of(&program), &[])
    }

    fn some_text() -> impl Strategy<Value = Text> {
        let one = (0..4u8, -60..60i16).prop_map(|(kind, off)| match kind {
            0 => Insn::new(opcode::JA, 0, 0, off, 0),
            1 => Insn::new(opcode::LD_IMM64, 0, opcode::PSEUDO_FUNC, 0, off.into()),
            2 => Insn::new(opcode::CALL, 0, opcode::PSEUDO_CALL, 0, off.into()),
            _ => Insn::new(0xb7, 0, 0, 0, off.into()),
        });
        proptest::collection::vec(one, 2..60).prop_map(text_of)
    }

    proptest! {
        /// All at once is one after the other, also for what points into a removed range. The first instruction stays, as in
        /// every program.
        #[test]
        fn a_removal_is_many_removals(text in some_text(), gone in proptest::collection::vec(any::<bool>(), 60), alone: bool) {
            let dead = |at: &usize| *at > 0 && gone[*at % gone.len()];
            let mut ranges: Vec<Range<usize>> = Vec::new();
            for at in (0..text.len()).filter(dead) {
                match ranges.last_mut().filter(|r| r.end == at && !alone) {
                    Some(range) => range.end += 1,
                    None => ranges.push(at..at + 1),
                }
            }
            let mut one_by_one = text.clone();
            let mut removed = 0;
            for range in &ranges {
                one_by_one.remove(range.start - removed, range.len());
                removed += range.len();
            }
            prop_assert_eq!(Removal::new(&ranges, text.len()).apply(&text), one_by_one);
        }
    }

    #[test]
    fn instructions_move_once_however_much_is_removed() {
        let moved = |n: usize| {
            let text = text_of(vec![Insn::new(opcode::JA, 0, 0, 0, 0); n]);
            let ranges: Vec<_> = (1..n).step_by(2).map(|at| at..at + 1).collect();
            crate::work::tests::steps(|| assert_eq!(Removal::new(&ranges, n).apply(&text).len(), n - ranges.len()))
        };
        assert!(moved(8000) <= 9 * moved(1000), "{} for {}", moved(8000), moved(1000));
    }
}
