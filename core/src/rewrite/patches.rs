//! Many patches of a text at once.
//!
//! Stands for no kernel code of its own: the outcome is that of one [`Text::replace`] after the other, as kernels patch
//! (`bpf_patch_insn_data`), whose time is quadratic in a program's size. Here every instruction moves once.
//!
//! Patches are given in ascending order. A patch is written as the kernel writes it, with distances that hold when it is put
//! in: what stands before it has its final place, what comes after it does not yet.

use super::text::{JumpTooLong, Text, reference, with_reference};
use crate::isa::Insn;

/// An instruction that is replaced.
struct Site {
    at: usize,
    /// Where its patch begins among all patches, and its length.
    first: usize,
    len: usize,
    /// By how much instructions move that come after it.
    shift: usize,
}

/// A text with patches that wait.
pub(super) struct Patches {
    text: Text,
    sites: Vec<Site>,
    insns: Vec<Insn>,
}

impl Patches {
    /// No patches yet.
    pub fn new(text: Text) -> Patches {
        Patches { text, sites: Vec::new(), insns: Vec::new() }
    }

    /// The text before all patches.
    pub fn text(&self) -> &Text {
        &self.text
    }

    /// Where an instruction of the text, or the end of the program, is after the patches so far; of a replaced one, the first
    /// of its patch.
    pub fn place(&self, at: i64) -> i64 {
        self.place_after(self.sites.len(), at)
    }

    /// The instruction at a place of the text behind the last patch, with the distance that it has now.
    pub fn insn(&self, at: usize) -> Option<Insn> {
        let insn = self.text.insn(at)?;
        self.moved(self.sites.len(), at, insn)
    }

    /// Replaces the instruction at a place behind the last patch. Nothing happens where there is none.
    pub fn replace(&mut self, at: usize, patch: &[Insn]) {
        if at >= self.text.len() || patch.is_empty() || self.sites.last().is_some_and(|s| s.at >= at) {
            return;
        }
        let shift = self.sites.last().map_or(0, |s| s.shift) + patch.len() - 1;
        self.sites.push(Site { at, first: self.insns.len(), len: patch.len(), shift });
        self.insns.extend_from_slice(patch);
    }

    /// The text with all patches, or the first instruction whose patch some jump cannot reach across.
    pub fn commit(self) -> Result<Text, (usize, JumpTooLong)> {
        if self.sites.is_empty() {
            return Ok(self.text);
        }
        if let Some(text) = self.with(self.sites.len()) {
            return Ok(text);
        }
        // A jump that is too long stays so, whatever else is patched.
        let (mut fits, mut fails) = (0, self.sites.len());
        while fails - fits > 1 {
            let middle = (fits + fails) / 2;
            *if self.with(middle).is_some() { &mut fits } else { &mut fails } = middle;
        }
        Err((self.sites.get(fits).map_or(0, |s| s.at), JumpTooLong))
    }

    /// The text with the first patches; `None` when a jump would be too long.
    fn with(&self, count: usize) -> Option<Text> {
        let mut out = self.text.emptied();
        let mut sites = self.sites.iter().take(count).peekable();
        for at in 0..self.text.len() {
            let Some(site) = sites.next_if(|s| s.at == at) else {
                out.push(self.moved(count, at, self.text.insn(at)?)?, &self.text, at);
                continue;
            };
            let start = self.place_after(count, at as i64);
            let end = start + site.len as i64;
            let patch = self.insns.iter().skip(site.first).take(site.len);
            for (n, insn) in (start..).zip(patch) {
                let insn = match reference(*insn) {
                    Some(distance) if n + 1 + distance >= end => {
                        let target = n + 1 + distance - end + at as i64 + 1;
                        with_reference(*insn, self.place_after(count, target) - n - 1)?
                    }
                    _ => *insn,
                };
                out.push(insn, &self.text, at);
            }
        }
        out.move_starts(|start| self.place_after(count, i64::from(start)) as u32);
        crate::work::count(out.len());
        Some(out)
    }

    /// An instruction of the text with the distance that it has after the first patches.
    fn moved(&self, count: usize, at: usize, insn: Insn) -> Option<Insn> {
        let Some(distance) = reference(insn) else { return Some(insn) };
        let at = at as i64;
        let moved = self.place_after(count, at + 1 + distance) - self.place_after(count, at) - 1;
        if moved == distance { Some(insn) } else { with_reference(insn, moved) }
    }

    fn place_after(&self, count: usize, at: i64) -> i64 {
        let before = self.sites.get(..count).unwrap_or_default().partition_point(|s| (s.at as i64) < at);
        let last = before.checked_sub(1).and_then(|n| self.sites.get(n));
        at + last.map_or(0, |s| s.shift as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::opcode;
    use crate::program::{Layout, Program};
    use proptest::prelude::*;

    fn goto(off: i16) -> Insn {
        Insn::new(opcode::JA, 0, 0, off, 0)
    }

    fn text_of(insns: &[Insn]) -> Text {
        let program = Program { insns: insns.to_vec(), ..Program::default() };
        Text::resume(insns, &Layout::of(&program), &[])
    }

    /// Any instructions with jumps of any distance, calls and plain ones.
    fn some_insns() -> impl Strategy<Value = Vec<Insn>> {
        let one = (0..4u8, -70..70i16).prop_map(|(kind, off)| match kind {
            0 => goto(off),
            1 => Insn::new(0x15, 1, 0, off, 0),
            2 => Insn::new(opcode::CALL, 0, opcode::PSEUDO_CALL, 0, off.into()),
            _ => Insn::new(0xb7, 0, 0, 0, off.into()),
        });
        proptest::collection::vec(one, 1..60)
    }

    proptest! {
        /// All at once is one after the other, whatever jumps where.
        #[test]
        fn patches_are_replacements(insns in some_insns(), patches in proptest::collection::btree_map(0..60usize, some_insns(), 0..20)) {
            let mut one_by_one = text_of(&insns);
            let mut all = Patches::new(one_by_one.clone());
            let mut moved = 0;
            for (at, patch) in patches.iter().filter(|(at, _)| **at < insns.len()) {
                prop_assert_eq!(all.place(*at as i64), (at + moved) as i64);
                prop_assert_eq!(all.insn(*at), one_by_one.insn(at + moved));
                prop_assert_eq!(one_by_one.replace(at + moved, patch), Ok(()));
                all.replace(*at, patch);
                moved += patch.len() - 1;
            }
            prop_assert_eq!(all.commit().ok(), Some(one_by_one));
        }
    }

    #[test]
    fn the_first_patch_that_a_jump_cannot_cross_is_named() {
        let len = i16::MAX as usize + 1;
        let mut insns = vec![Insn::new(0xb7, 0, 0, 0, 0); len + 10];
        insns[0] = goto(i16::MAX - 2);
        let mut patches = Patches::new(text_of(&insns));
        let two = [Insn::new(0xb7, 0, 0, 0, 1); 2];
        for at in [5, 17, 100, 3000, 32767] {
            patches.replace(at, &two);
        }
        assert_eq!(patches.commit().err(), Some((100, JumpTooLong)));
    }

    #[test]
    fn instructions_move_once_however_many_are_patched() {
        let moved = |n: usize| {
            let insns = vec![goto(0); n];
            crate::work::tests::steps(|| {
                let mut patches = Patches::new(text_of(&insns));
                (0..n).for_each(|at| patches.replace(at, &[goto(0); 3]));
                assert_eq!(patches.commit().map(|t| t.len()).ok(), Some(3 * n));
            })
        };
        assert!(moved(8000) <= 9 * moved(1000), "{} for {}", moved(8000), moved(1000));
    }
}
