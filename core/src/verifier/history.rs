//! Jump histories: what instructions of each path say of themselves, for the way back.
//!
//! Stands for `struct bpf_jmp_history_entry` and the arrays of it that every state has (6.1 … 7.3). Paths that part share what
//! lies before: all entries are one tree, and a state holds the newest of its own. So a branch that waits costs nothing,
//! however long its path is.
//!
//! Invariant: an entry that a second state may see is not changed any more.

use super::state::Cell;
use crate::isa::InsnIdx;
use smallvec::SmallVec;

/// What a jump history remembers of an instruction.
#[doc(alias = "bpf_jmp_history_entry")]
#[derive(Clone, Debug)]
pub(super) struct HistoryEntry {
    /// The instruction.
    pub insn: InsnIdx,
    /// The one before it on the path.
    pub prev: Option<InsnIdx>,
    /// The stack slot that it read or wrote as a register, with its frame.
    pub slot: Option<(u8, u8)>,
    /// True when the destination register of a comparison was a stack pointer.
    pub dst_is_stack: bool,
    /// True when the source register of a comparison was a stack pointer.
    pub src_is_stack: bool,
    /// Scalars that gained a range together here.
    pub linked: LinkedCells,
}

/// Scalars that share an id: frame and place.
pub(super) type LinkedCells = SmallVec<[(u8, Cell); 6]>;

impl HistoryEntry {
    /// An entry that says only where the path came from.
    fn new(insn: InsnIdx, prev: Option<InsnIdx>) -> HistoryEntry {
        HistoryEntry { insn, prev, slot: None, dst_is_stack: false, src_is_stack: false, linked: LinkedCells::new() }
    }
}

/// The newest entry of a path; none since the last checkpoint.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) struct History(Option<u32>);

impl History {
    /// No entries.
    pub const EMPTY: History = History(None);
}

#[derive(Debug)]
struct Node {
    entry: HistoryEntry,
    before: History,
    /// How many entries the path has up to here.
    len: u32,
}

/// The histories of all paths of a walk.
#[derive(Debug, Default)]
pub(super) struct Histories {
    nodes: Vec<Node>,
    /// Entries below this number may be seen by more than one state.
    shared: u32,
}

impl Histories {
    /// Forgets all paths.
    pub fn clear(&mut self) {
        self.nodes.clear();
        self.shared = 0;
    }

    /// The newest entry of a history.
    pub fn entry(&self, history: History) -> Option<&HistoryEntry> {
        self.node(history).map(|node| &node.entry)
    }

    /// A history without its newest entry.
    pub fn before(&self, history: History) -> History {
        self.node(history).map_or(History::EMPTY, |node| node.before)
    }

    /// How many entries a history has.
    pub fn len(&self, history: History) -> usize {
        self.node(history).map_or(0, |node| node.len as usize)
    }

    /// A history with one entry more.
    pub fn push(&mut self, history: History, insn: InsnIdx, prev: Option<InsnIdx>) -> History {
        self.add(HistoryEntry::new(insn, prev), history)
    }

    /// The same history with its newest entry filled in.
    pub fn fill(&mut self, history: History, fill: impl FnOnce(&mut HistoryEntry)) -> History {
        let Some(n) = history.0 else { return history };
        if n < self.shared {
            let Some((mut entry, before)) = self.node(history).map(|n| (n.entry.clone(), n.before)) else {
                return history;
            };
            fill(&mut entry);
            return self.add(entry, before);
        }
        if let Some(node) = self.nodes.get_mut(n as usize) {
            fill(&mut node.entry);
        }
        history
    }

    /// A state is copied: from now on two see what there is.
    pub fn share(&mut self) {
        self.shared = self.nodes.len() as u32;
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        let spilled = |node: &Node| if node.entry.linked.spilled() { node.entry.linked.capacity() * 3 } else { 0 };
        self.nodes.capacity() * size_of::<Node>() + self.nodes.iter().map(spilled).sum::<usize>()
    }

    fn node(&self, history: History) -> Option<&Node> {
        self.nodes.get(history.0? as usize)
    }

    fn add(&mut self, entry: HistoryEntry, before: History) -> History {
        let len = self.len(before) as u32 + 1;
        self.nodes.push(Node { entry, before, len });
        History(Some(self.nodes.len() as u32 - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_share_what_lies_before_they_part() {
        let mut all = Histories::default();
        let one = all.push(History::EMPTY, InsnIdx(1), None);
        let two = all.push(one, InsnIdx(2), Some(InsnIdx(1)));
        all.share();
        // One of the two paths learns more of the entry; the other does not.
        let filled = all.fill(two, |entry| entry.slot = Some((0, 3)));
        assert_eq!(all.entry(two).map(|e| e.slot), Some(None));
        assert_eq!(all.entry(filled).map(|e| (e.insn, e.slot)), Some((InsnIdx(2), Some((0, 3)))));
        assert_eq!((all.before(filled), all.before(two), all.len(filled), all.len(two)), (one, one, 2, 2));
        assert_eq!(all.fill(filled, |entry| entry.dst_is_stack = true), filled, "an own entry is filled in place");
        assert_eq!(all.before(one), History::EMPTY);
        assert_eq!(all.nodes.len(), 3);
    }
}
