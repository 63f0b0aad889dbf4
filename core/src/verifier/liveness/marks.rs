//! Which stack slots are live, learnt from the reads and writes that the walk meets.
//!
//! Stands for `liveness.c` of Linux 6.18. While an instruction is walked, the slots that it may read and those that it surely
//! writes are marked; marks of several visits are joined (reads united, writes intersected). At each end of a path, and at each
//! return from a function, the marks of the functions on that path are passed on backwards, innermost function first:
//! what is live at a function's entry, and what is written on all its ways, then counts for the call. Told at length in
//! `core/docs/liveness-6.18.md`.
//!
//! Invariants: marks are kept for each chain of calls and each instruction; may-read only grows, and must-write only shrinks after
//! an instruction's first visit. What was live stays the start of the next pass, as in the kernel: nothing is computed anew.

use super::{FrameAt, Liveness};
use crate::isa::InsnIdx;
use crate::kernel::EarlierWrites;
use smallvec::SmallVec;
use std::collections::BTreeMap;

/// A set of whole slots of a frame: bit n is the slot at −8·(n + 1).
pub type WholeSlots = u64;

/// Frames of the longest chain of calls.
const FRAMES_MAX: usize = 8;

/// What is known of one frame's slots at one instruction.
#[doc(alias = "per_frame_masks")]
#[derive(Clone, Copy, Default)]
struct Marks {
    may_read: WholeSlots,
    must_write: WholeSlots,
    /// Written by this instruction or, whatever the way, after it in its function.
    #[doc(alias = "must_write_acc")]
    written: WholeSlots,
    live: WholeSlots,
}

/// A function under a chain of calls.
#[doc(alias = "func_instance")]
struct Instance {
    /// The caller's instance and the call.
    outer: Option<(usize, InsnIdx)>,
    subprog: usize,
    start: u32,
    len: usize,
    /// For each frame up to the own one, the marks of each instruction; none while there are no marks at all.
    frames: SmallVec<[Vec<Marks>; 2]>,
    /// The instructions that were visited: their must-write marks say something.
    visited: Vec<bool>,
    /// Marks are to be passed on.
    updated: bool,
    /// Some must-write mark was taken back.
    dropped: bool,
}

impl Instance {
    fn marks(&self, frame: usize, at: InsnIdx) -> Marks {
        let marks = self.frames.get(frame).and_then(|marks| marks.get(at.0.wrapping_sub(self.start) as usize));
        marks.copied().unwrap_or_default()
    }

    fn marks_mut(&mut self, frame: usize, at: InsnIdx) -> Option<&mut Marks> {
        let marks = self.frames.get_mut(frame)?;
        if marks.is_empty() {
            marks.resize(self.len, Marks::default());
        }
        marks.get_mut(at.0.wrapping_sub(self.start) as usize)
    }

    /// Kernel: `mark_stack_read` (6.18).
    fn read(&mut self, frame: usize, at: InsnIdx, slots: WholeSlots) {
        let Some(marks) = self.marks_mut(frame, at) else { return };
        let news = slots & !marks.may_read != 0 && (marks.may_read | slots) & !marks.live != 0;
        marks.may_read |= slots;
        self.updated |= news;
    }

    /// `seen`: the slots whose earlier marks are looked at.
    ///
    /// Kernel: `commit_stack_write_marks` (6.18).
    #[doc(alias = "commit_stack_write_marks")]
    fn commit(&mut self, at: InsnIdx, writes: &[WholeSlots], seen: WholeSlots) {
        let Some(visited) = self.visited.get_mut(at.0.wrapping_sub(self.start) as usize) else { return };
        let again = std::mem::replace(visited, true);
        for (frame, &slots) in writes.iter().enumerate().take(self.frames.len()) {
            if slots == 0 && (!again || self.frames[frame].is_empty()) {
                continue;
            }
            let Some(marks) = self.marks_mut(frame, at) else { continue };
            let old = marks.must_write & seen;
            let new = if again { slots & old } else { slots };
            if new != old {
                marks.must_write = new;
                self.updated = true;
            }
            self.dropped |= old & !new != 0;
        }
    }

    /// One step of the backward pass; true when something changed.
    ///
    /// Kernel: `update_insn` (6.18).
    fn pass(&mut self, liveness: &Liveness, frame: usize, at: InsnIdx, report: &mut Option<Changes>) -> bool {
        let successors = liveness.graph.successors(at.0);
        if successors.is_empty() {
            return false;
        }
        let (mut after, mut written) = (0, WholeSlots::MAX);
        for &to in successors {
            let next = self.marks(frame, InsnIdx(to));
            after |= next.live;
            written &= next.written;
        }
        let old = self.marks(frame, at);
        written |= old.must_write;
        let live = after & !old.must_write | old.may_read;
        if live == old.live && written == old.written {
            return false;
        }
        if let Some(changes) = report {
            let marked = old.may_read | old.must_write != 0 || at.0 == self.start;
            let changed = |what, old, new| Change { frame, at, marked, what, old, new };
            changes.push(changed(Learnt::Live, old.live, live));
            changes.push(changed(Learnt::Written, old.written, written));
        }
        if let Some(marks) = self.marks_mut(frame, at) {
            (marks.live, marks.written) = (live, written);
        }
        true
    }

    /// Passes marks on backwards until nothing changes; answers in how many rounds.
    ///
    /// Kernel: `update_instance` (6.18).
    #[doc(alias = "update_instance")]
    fn settle(&mut self, liveness: &Liveness, report: &mut Option<Changes>) -> u32 {
        if std::mem::take(&mut self.dropped) {
            self.frames.iter_mut().flatten().for_each(|marks| marks.written = 0);
        }
        self.updated = false;
        let mut rounds = 0;
        loop {
            rounds += 1;
            let mut changed = false;
            for frame in 0..self.frames.len() {
                if self.frames[frame].is_empty() {
                    continue;
                }
                for &at in liveness.graph.postorder(self.subprog) {
                    changed |= self.pass(liveness, frame, InsnIdx(at), report);
                }
            }
            if !changed {
                return rounds;
            }
        }
    }
}

/// What a backward pass learns of an instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Learnt {
    /// Which slots are live before it.
    Live,
    /// Which slots are written from it on, whatever the way.
    Written,
}

/// A change at one instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Change {
    /// The frame whose slots these are.
    pub frame: usize,
    /// The instruction.
    pub at: InsnIdx,
    /// Whether it reads or writes the stack itself, or begins its function.
    pub marked: bool,
    /// What is known of it.
    pub what: Learnt,
    /// Before.
    pub old: WholeSlots,
    /// Now.
    pub new: WholeSlots,
}

type Changes = Vec<Change>;

/// What passing on the marks of one function did, for the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pass {
    /// The calls that lead to the function, and its first instruction.
    pub chain: SmallVec<[u32; 8]>,
    /// What changed, in order.
    pub changes: Vec<Change>,
    /// Rounds until nothing changed.
    pub rounds: u32,
}

/// Marks of all chains of calls.
#[doc(alias = "bpf_liveness")]
#[derive(Default)]
pub struct StackMarks {
    instances: Vec<Instance>,
    /// By the caller's instance (from 1 on; 0 for none), the call, and the function.
    by_chain: BTreeMap<(usize, u32, u16), usize>,
    /// The instance of the path that is walked; none after a change of its chain.
    current: Option<usize>,
    at: InsnIdx,
    writes: [WholeSlots; FRAMES_MAX],
    /// The slots whose earlier must-write marks are looked at.
    seen: WholeSlots,
}

impl StackMarks {
    /// No marks yet.
    pub fn new(earlier: EarlierWrites) -> StackMarks {
        let seen = match earlier {
            EarlierWrites::UpperSlots => WholeSlots::from(u32::MAX),
            EarlierWrites::AllSlots => WholeSlots::MAX,
        };
        StackMarks { seen, ..StackMarks::default() }
    }

    /// An instruction is about to be walked; `chain` tells the frames of its path, outermost first.
    ///
    /// Kernel: `bpf_reset_stack_write_marks` (6.18).
    #[doc(alias = "bpf_reset_stack_write_marks")]
    pub fn begin<C: AsRef<[FrameAt]>>(&mut self, liveness: &Liveness, at: InsnIdx, chain: impl FnOnce() -> C) {
        if self.current.is_none() {
            self.current = self.instances_of(liveness, chain().as_ref()).pop();
        }
        self.at = at;
        self.writes = [0; FRAMES_MAX];
    }

    /// The instruction may read a slot of a frame.
    #[doc(alias = "bpf_mark_stack_read")]
    pub fn read(&mut self, frame: usize, slot: usize) {
        if let Some(instance) = self.current.and_then(|n| self.instances.get_mut(n)) {
            instance.read(frame, self.at, bit(slot));
        }
    }

    /// The instruction writes all of a slot of a frame.
    #[doc(alias = "bpf_mark_stack_write")]
    pub fn write(&mut self, frame: usize, slot: usize) {
        if let Some(slots) = self.writes.get_mut(frame) {
            *slots |= bit(slot);
        }
    }

    /// The instruction was walked: that it wrote no more than it did counts too.
    #[doc(alias = "bpf_commit_stack_write_marks")]
    pub fn commit(&mut self) {
        if let Some(instance) = self.current.and_then(|n| self.instances.get_mut(n)) {
            instance.commit(self.at, &self.writes, self.seen);
        }
    }

    /// The path went into a function: what its call writes is known when the function returns.
    #[doc(alias = "bpf_reset_live_stack_callchain")]
    pub fn enter(&mut self) {
        self.current = None;
    }

    /// A path ends or leaves a function: passes the marks on in all functions of its chain. Tells what changed when asked to.
    ///
    /// Kernel: `bpf_update_live_stack` (6.18).
    #[doc(alias = "bpf_update_live_stack")]
    pub fn update(&mut self, liveness: &Liveness, chain: &[FrameAt], mut report: Option<&mut Vec<Pass>>) {
        self.current = None;
        for n in self.instances_of(liveness, chain).into_iter().rev() {
            if !self.instances[n].updated {
                continue;
            }
            let mut changes = report.as_ref().map(|_| Vec::new());
            let rounds = self.instances[n].settle(liveness, &mut changes);
            if let (Some(passes), Some(changes)) = (&mut report, changes) {
                passes.push(Pass { chain: self.calls(n), changes, rounds });
            }
            self.hand_out(n);
        }
    }

    /// What a function's entry needs and what all its ways write counts for the call.
    ///
    /// Kernel: `propagate_to_outer_instance` (6.18).
    #[doc(alias = "propagate_to_outer_instance")]
    fn hand_out(&mut self, n: usize) {
        let Some((outer, call)) = self.instances[n].outer else { return };
        let mut writes = [0; FRAMES_MAX];
        for frame in 0..self.instances[outer].frames.len() {
            let instance = &self.instances[n];
            if instance.frames[frame].is_empty() {
                continue;
            }
            let entry = instance.marks(frame, InsnIdx(instance.start));
            if let Some(slots) = writes.get_mut(frame) {
                *slots = entry.written;
            }
            self.instances[outer].read(frame, call, entry.live);
        }
        self.instances[outer].commit(call, &writes, self.seen);
    }

    /// The instances of a chain, outermost first.
    fn instances_of(&mut self, liveness: &Liveness, chain: &[FrameAt]) -> SmallVec<[usize; 8]> {
        let mut found: SmallVec<[usize; 8]> = SmallVec::new();
        let mut outer = None;
        for frame in chain {
            let key = (
                outer.map_or(0, |(n, _)| n + 1),
                outer.map_or(0, |(_, call): (usize, InsnIdx)| call.0),
                frame.subprog.0,
            );
            let n = *self.by_chain.entry(key).or_insert_with(|| {
                let range = liveness.graph.range(frame.subprog.at());
                self.instances.push(Instance {
                    outer,
                    subprog: frame.subprog.at(),
                    start: range.start,
                    len: range.len(),
                    frames: smallvec::smallvec![Vec::new(); found.len() + 1],
                    visited: vec![false; range.len()],
                    updated: false,
                    dropped: false,
                });
                self.instances.len() - 1
            });
            found.push(n);
            outer = Some((n, frame.at));
        }
        found
    }

    fn calls(&self, n: usize) -> SmallVec<[u32; 8]> {
        let mut calls: SmallVec<[u32; 8]> = smallvec::smallvec![self.instances[n].start];
        let mut outer = self.instances[n].outer;
        while let Some((n, call)) = outer {
            calls.insert(0, call.0);
            outer = self.instances[n].outer;
        }
        calls
    }

    /// The live slots of each frame of a state, outermost first.
    ///
    /// Kernel: `bpf_live_stack_query_init`, `bpf_stack_slot_alive` (6.18), for all slots at once.
    #[doc(alias = "bpf_stack_slot_alive")]
    pub fn live_slots(&mut self, liveness: &Liveness, chain: &[FrameAt]) -> SmallVec<[WholeSlots; 8]> {
        let instances = self.instances_of(liveness, chain);
        let inner = chain.len().saturating_sub(1);
        let live_of = |frame: usize| {
            let frames = chain.iter().zip(&instances).enumerate().skip(frame);
            frames.fold(0, |live, (n, (place, instance))| {
                // A callback may run again, so that its call is still ahead.
                let ahead = n == inner || liveness.calls_callback(place.at);
                let at = if ahead { place.at } else { place.at.next() };
                live | self.instances[*instance].marks(frame, at).live
            })
        };
        (0..chain.len()).map(live_of).collect()
    }
}

fn bit(slot: usize) -> WholeSlots {
    u32::try_from(slot).ok().and_then(|slot| 1u64.checked_shl(slot)).unwrap_or(0)
}
