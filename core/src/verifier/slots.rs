//! The stack slots of a frame, in blocks that states share until one of them writes.
//!
//! Stands for no kernel code. A frame may have 64 slots of which a path writes one or two between two checkpoints: copies of a
//! frame then differ in a block, not in its whole stack.

use super::state::Slot;
use crate::kernel::RangeModel;
use smallvec::SmallVec;
use std::ops::{Index, IndexMut};
use std::rc::Rc;

/// Slots of a block.
const BLOCK: usize = 4;
type Block = [Slot; BLOCK];

/// Slots from the frame pointer downwards.
#[derive(Clone, Debug, Default)]
pub(super) struct Slots {
    blocks: SmallVec<[Rc<Block>; 4]>,
    len: usize,
}

impl Slots {
    /// How many slots there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// A slot, if it is there.
    pub fn get(&self, n: usize) -> Option<&Slot> {
        if n < self.len { self.blocks.get(n / BLOCK).map(|block| &block[n % BLOCK]) } else { None }
    }

    /// A slot to change, if it is there.
    pub fn get_mut(&mut self, n: usize) -> Option<&mut Slot> {
        if n >= self.len {
            return None;
        }
        self.blocks.get_mut(n / BLOCK).map(|block| &mut Rc::make_mut(block)[n % BLOCK])
    }

    /// All slots.
    pub fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.blocks.iter().flat_map(|block| block.iter()).take(self.len)
    }

    /// Grows to that many slots; new ones were never written.
    pub fn grow(&mut self, len: usize, model: RangeModel) {
        let empty = Slot::invalid(model);
        // Slots of the last block beyond the end were never written either.
        while self.blocks.len() * BLOCK < len {
            self.blocks.push(Rc::new([empty; BLOCK]));
        }
        self.len = self.len.max(len);
    }

    /// Changes the slots that are wanted, and copies no block in which there is none.
    pub fn change(&mut self, mut wanted: impl FnMut(usize, &Slot) -> bool, mut change: impl FnMut(usize, &mut Slot)) {
        for (b, block) in self.blocks.iter_mut().enumerate() {
            let first = b * BLOCK;
            let there = BLOCK.min(self.len.saturating_sub(first));
            for i in 0..there {
                if wanted(first + i, &block[i]) {
                    change(first + i, &mut Rc::make_mut(block)[i]);
                }
            }
        }
    }

    /// Bytes of memory that this copy answers for: each block by as much as it has owners.
    pub fn bytes(&self) -> usize {
        /// The two counts of an `Rc`.
        const COUNTS: usize = 2 * size_of::<usize>();
        let spilled = if self.blocks.spilled() { self.blocks.capacity() * size_of::<Rc<Block>>() } else { 0 };
        let blocks = self.blocks.iter().map(|block| (size_of::<Block>() + COUNTS) / Rc::strong_count(block));
        spilled + blocks.sum::<usize>()
    }
}

impl Index<usize> for Slots {
    type Output = Slot;

    fn index(&self, n: usize) -> &Slot {
        &self.blocks[n / BLOCK][n % BLOCK]
    }
}

impl IndexMut<usize> for Slots {
    fn index_mut(&mut self, n: usize) -> &mut Slot {
        &mut Rc::make_mut(&mut self.blocks[n / BLOCK])[n % BLOCK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verifier::state::Byte;

    const MODEL: RangeModel = RangeModel::Circular;

    fn shared(a: &Slots, b: &Slots) -> usize {
        a.blocks.iter().zip(&b.blocks).filter(|(a, b)| Rc::ptr_eq(a, b)).count()
    }

    #[test]
    fn copies_share_all_but_the_block_that_is_written() {
        let mut slots = Slots::default();
        slots.grow(62, MODEL);
        let copy = slots.clone();
        assert_eq!((slots.len(), slots.iter().count(), shared(&slots, &copy)), (62, 62, 16));
        slots[61].bytes[0] = Byte::Misc;
        slots.change(|n, _| n == 60, |_, slot| slot.bytes[1] = Byte::Zero);
        assert_eq!(shared(&slots, &copy), 15);
        assert_eq!((slots[60].bytes[1], copy[60].bytes[1]), (Byte::Zero, Byte::Invalid));
        assert!(slots.get(62).is_none() && slots.get_mut(62).is_none());
        slots.change(|_, slot| slot.bytes[0] == Byte::Poison, |_, _| {});
        assert_eq!(shared(&slots, &copy), 15, "a change of nothing copies nothing");
    }

    #[test]
    fn a_block_counts_once_however_many_share_it() {
        let mut slots = Slots::default();
        slots.grow(64, MODEL);
        let alone = slots.bytes();
        let copies = vec![slots.clone(); 9];
        let together: usize = copies.iter().map(Slots::bytes).sum::<usize>() + slots.bytes();
        let pointers = copies.len() * 16 * size_of::<usize>();
        assert!(together <= alone + pointers, "{together} for {alone}");
    }
}
