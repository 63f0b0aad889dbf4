//! Checkpoints: where states are remembered, compared, evicted, and how marks travel between them.
//!
//! Stands for `is_state_visited`, `update_branch_counts`, `propagate_liveness`, `propagate_precision`, and since 6.17 the
//! visits of loops with their back edges (`maybe_enter_scc`, `maybe_exit_scc`, `propagate_backedges`).
//!
//! Invariant: a checkpoint is compared loosely only when no branch below it waits and no loop visit is open on it.

use super::history::History;
use super::liveness::{FrameAt, Liveness, Query, SlotSet, WholeSlots};
use super::precision::{Wanted, mark_all};
use super::prune::{Comparison, Exactness, maybe_looping};
use super::state::{Byte, Cell, Kind, Marks, Place, Reg, Slot, State};
use super::structure::Marks as Points;
use super::walker::{Check, Checkpoint, Stop, Walker};
use crate::isa::{InsnIdx, Op};
use crate::kernel::{
    Backtracking, CallbackWalk, ForcedCheckpoints, LoopPrecision, LoopStates, RangeModel, SingularIds, StateCleaning,
};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Entries of jump history after which a checkpoint is forced.
const HISTORY_MAX: usize = 40;
/// `BPF_F_TEST_STATE_FREQ`: checkpoints wherever there may be one.
const TEST_STATE_FREQ: u32 = 1 << 3;
/// Rounds of passing precision over back edges before everything is marked.
#[doc(alias = "MAX_BACKEDGE_ITERS")]
const BACK_EDGE_ROUNDS_MAX: u32 = 64;

/// The calls that lead to a loop, and the loop's number.
#[doc(alias = "bpf_scc_callchain")]
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
struct LoopKey {
    callsites: SmallVec<[u32; 8]>,
    scc: u32,
}

/// A loop that is being walked.
#[doc(alias = "bpf_scc_visit")]
#[derive(Default)]
struct LoopVisit {
    entry: Option<u32>,
    back_edges: Vec<BackEdge>,
}

/// A path that met a checkpoint of its own loop.
#[doc(alias = "bpf_scc_backedge")]
struct BackEdge {
    state: State,
    equal: u32,
}

/// Checkpoints by place, and open loops.
pub(super) struct Visits {
    buckets: Vec<Vec<u32>>,
    loops: BTreeMap<LoopKey, LoopVisit>,
    /// Back edges of all open loops.
    waiting_edges: usize,
    prev_jumps: u32,
    prev_insns: u32,
}

impl Visits {
    /// No checkpoints yet, for a program of that many instructions.
    pub fn new(insns: usize) -> Visits {
        Visits {
            buckets: vec![Vec::new(); insns.max(1)],
            loops: BTreeMap::new(),
            waiting_edges: 0,
            prev_jumps: 0,
            prev_insns: 0,
        }
    }

    /// Forgets the checkpoints of a function; the counters go on.
    pub fn clear(&mut self) {
        self.buckets.iter_mut().for_each(Vec::clear);
        self.loops.clear();
        self.waiting_edges = 0;
    }

    /// Back edges of loops that are being walked.
    pub fn back_edges(&self) -> usize {
        self.waiting_edges
    }

    /// Bytes of memory of those.
    pub fn bytes(&self) -> usize {
        self.loops.values().flat_map(|visit| &visit.back_edges).map(|edge| edge.state.bytes()).sum()
    }

    /// The checkpoints that may be those of an instruction under a call, newest first; others may share their list,
    /// which matters for eviction.
    ///
    /// Kernel: `explored_state` (6.1 … 7.3).
    #[doc(alias = "explored_state")]
    pub fn newest(&self, at: InsnIdx, state: &State) -> impl Iterator<Item = u32> + '_ {
        self.buckets[self.bucket(at, state)].iter().rev().copied()
    }

    fn bucket(&self, at: InsnIdx, state: &State) -> usize {
        let callsite = state.top().callsite.map_or(u32::MAX, |c| c.0);
        (at.0 ^ callsite) as usize % self.buckets.len()
    }
}

impl Walker<'_> {
    /// Arrives at the current instruction; true when all that follows is covered already.
    ///
    /// Kernel: the head of `do_check` (6.1 … 7.3).
    pub fn arrive(&mut self) -> Check<bool> {
        let at = self.at;
        let single = self.rules.walk.backtracking == Backtracking::SingleFrame;
        let jump_point = self.has_points(at, Points::JMP_POINT);
        if self.has_points(at, Points::PRUNE_POINT) {
            match self.visit()? {
                Visit::Covered => return Ok(true),
                // The older kernels start the history of a new checkpoint empty.
                Visit::Remembered if single => return Ok(false),
                Visit::Remembered | Visit::New => {}
            }
        }
        if jump_point {
            self.push_history(|_| {});
        }
        Ok(false)
    }

    /// Kernel: `is_state_visited` (6.1 … 7.3).
    #[doc(alias = "is_state_visited")]
    fn visit(&mut self) -> Check<Visit> {
        let at = self.at;
        let due = self.rules.walk.forced_checkpoints == ForcedCheckpoints::Yes
            && (self.has_points(at, Points::FORCE_CHECKPOINT) || self.histories.len(self.cur.history) > HISTORY_MAX);
        let forced = due || self.program.prog_flags & TEST_STATE_FREQ != 0;
        let far =
            self.jumps_processed - self.visits.prev_jumps >= 2 && self.insns_processed - self.visits.prev_insns >= 8;
        let mut add = forced || far;
        let bucket = self.visits.bucket(at, &self.cur);
        match self.rules.walk.state_cleaning {
            StateCleaning::Finished => self.clean_finished(bucket),
            StateCleaning::Current => self.clean_current(),
        }
        let mut n = self.visits.buckets[bucket].len();
        let states = n as u32;
        while n > 0 {
            n -= 1;
            let old = self.visits.buckets[bucket][n];
            if self.checkpoints[old as usize].state.insn != at {
                continue;
            }
            self.meter.compares();
            match self.compare(old, forced, &mut add)? {
                Outcome::Hit { in_loop } => {
                    self.hit(old, in_loop)?;
                    return Ok(Visit::Covered);
                }
                Outcome::Miss => {}
            }
            let checkpoint = &mut self.checkpoints[old as usize];
            if add {
                checkpoint.misses += 1;
            }
            let open_checkpoint = self.rules.walk.forced_checkpoints == ForcedCheckpoints::Yes
                && self.structure.marks.get(at.at()).is_some_and(|m| m.contains(Points::FORCE_CHECKPOINT))
                && checkpoint.state.branches > 0;
            let patience = if open_checkpoint { 64 } else { 3 };
            if checkpoint.misses > checkpoint.hits * patience + patience {
                if checkpoint.state.branches == 0 {
                    self.statistics.states_kept = self.statistics.states_kept.saturating_sub(1);
                }
                checkpoint.evicted = true;
                self.visits.buckets[bucket].remove(n);
                self.forget_evicted(old);
            }
        }
        self.statistics.states_per_insn_max = self.statistics.states_per_insn_max.max(states);
        if !add {
            return Ok(Visit::New);
        }
        self.remember(bucket)?;
        Ok(Visit::Remembered)
    }

    /// Compares the current state with a checkpoint of the same instruction.
    fn compare(&mut self, old: u32, forced: bool, add: &mut bool) -> Check<Outcome> {
        let at = self.at;
        let checkpoint = &self.checkpoints[old as usize].state;
        if checkpoint.branches == 0 {
            let in_loop = self.loop_is_open(checkpoint);
            let exactness = if in_loop { Exactness::RangeWithin } else { Exactness::Loose };
            let equal = self.states_equal(checkpoint, exactness);
            return Ok(if equal { Outcome::Hit { in_loop } } else { Outcome::Miss });
        }
        let counts = self.rules.walk.callback_walk == CallbackWalk::UnknownCount;
        if counts {
            let may_goto = matches!(self.structure.ops.get(at.at()), Some(Some(Op::MayGoto { .. })));
            if may_goto
                && checkpoint.may_goto_depth != self.cur.may_goto_depth
                && self.states_equal(checkpoint, Exactness::RangeWithin)
            {
                return Ok(Outcome::Hit { in_loop: true });
            }
            if self.has_points(at, Points::CALLS_CALLBACK) {
                if self.states_equal(checkpoint, Exactness::RangeWithin) {
                    let in_loop = self.rules.walk.loop_precision == LoopPrecision::Propagated;
                    return Ok(Outcome::Hit { in_loop });
                }
                self.hold_back(forced, add);
                return Ok(Outcome::Miss);
            }
        }
        let exactness = if counts { Exactness::Exact } else { Exactness::Loose };
        if maybe_looping(checkpoint, &self.cur)
            && self.states_equal(checkpoint, exactness)
            && checkpoint.may_goto_depth == self.cur.may_goto_depth
            && checkpoint.callback_unroll_depth == self.cur.callback_unroll_depth
        {
            return Err(self.infinite_loop(old));
        }
        self.hold_back(forced, add);
        Ok(Outcome::Miss)
    }

    fn infinite_loop(&mut self, old: u32) -> Stop {
        let (at, depth) = (self.at, self.cur.depth());
        if let Some(log) = &mut self.log {
            log.message(&format!("infinite loop detected at insn {at}"));
            if self.rules.log.loop_states == LoopStates::Written {
                log.put(format_args!("cur state:"));
                log.state(&self.cur, depth);
                log.put(format_args!("old state:"));
                log.state(&self.checkpoints[old as usize].state, depth);
            }
        }
        Stop::invalid(format!("infinite loop detected at insn {at}"))
    }

    /// Within a loop, states are remembered less often.
    fn hold_back(&self, forced: bool, add: &mut bool) {
        let near =
            self.jumps_processed - self.visits.prev_jumps < 20 && self.insns_processed - self.visits.prev_insns < 100;
        if !forced && near {
            *add = false;
        }
    }

    fn states_equal(&self, old: &State, exactness: Exactness) -> bool {
        let comparison = Comparison {
            rules: self.rules,
            exactness,
            live_regs: &|at| self.liveness.map_or(u16::MAX, |l| l.live_regs(at)),
            id_gen: self.id_gen,
        };
        comparison.states_equal(old, &self.cur)
    }

    /// What follows is covered by a checkpoint: what it relied on, this path relied on as well.
    fn hit(&mut self, old: u32, in_loop: bool) -> Check {
        self.checkpoints[old as usize].hits += 1;
        if self.by_read_marks() {
            self.propagate_reads(old);
        }
        if self.has_points(self.at, Points::JMP_POINT) {
            self.push_history(|_| {});
        }
        self.propagate_precision(old)?;
        if in_loop && self.rules.walk.loop_precision != LoopPrecision::Ignored {
            self.histories.share();
            let state = self.cur.clone();
            if let Some(key) = self.loop_key(&self.checkpoints[old as usize].state) {
                self.log_loop("backedge", &key);
                self.statistics.keep_one_more();
                self.visits.loops.entry(key).or_default().back_edges.push(BackEdge { state, equal: old });
                self.visits.waiting_edges += 1;
            }
        }
        Ok(())
    }

    /// Kernel: `propagate_liveness` (6.1 … 6.17).
    #[doc(alias = "propagate_liveness")]
    fn propagate_reads(&mut self, old: u32) {
        let depth = self.cur.depth();
        for frame in 0..=depth {
            let lowest = if frame < depth { 6 } else { 0 };
            let slots = self.checkpoints[old as usize].state.frame(frame).stack.len();
            let cells = (lowest..10u8).map(Cell::Reg).chain((0..slots.min(64)).map(|n| Cell::Slot(n as u8)));
            for cell in cells {
                let old_reg = self.checkpoints[old as usize].state.frame(frame).cell(cell);
                let was_read = old_reg.is_some_and(|r| r.marks.read);
                let Some(marks) = self.cur.frame(frame).cell(cell).map(|r| r.marks) else { continue };
                if was_read && !marks.read {
                    if let Some(reg) = self.cur.frame_mut(frame).cell_mut(cell) {
                        reg.marks.read = true;
                    }
                    self.mark_read(marks);
                }
            }
        }
    }

    /// Kernel: `propagate_precision` (6.1 … 7.3).
    fn propagate_precision(&mut self, old: u32) -> Check {
        let precise = self.precise_cells(&self.checkpoints[old as usize].state);
        if self.rules.walk.backtracking == Backtracking::SingleFrame {
            for (frame, cell) in precise {
                if let Some(log) = self.log.as_mut().filter(|log| log.is_all()) {
                    log.line(format_args!("frame {frame}: propagating {}", cell_name(cell)));
                }
                let mut wanted = Wanted::nothing(frame);
                wanted.add(frame, cell);
                let held = match cell {
                    Cell::Reg(n) => self.cur.frame(frame).regs[usize::from(n)].kind == Kind::Scalar,
                    Cell::Slot(n) => {
                        self.cur.frame(frame).stack.get(usize::from(n)).is_some_and(|s| s.is_scalar_spill())
                    }
                };
                if held {
                    self.mark_wanted(wanted)?;
                }
            }
            return Ok(());
        }
        let mut wanted = Wanted::nothing(self.cur.depth());
        self.log_propagated(&precise);
        for (frame, cell) in precise {
            wanted.add(frame, cell);
        }
        self.mark_wanted(wanted).map(|_| ())
    }

    /// Which scalars of an equal checkpoint count for this path: a line a frame.
    fn log_propagated(&mut self, precise: &[(usize, Cell)]) {
        let Some(log) = self.log.as_mut().filter(|log| log.is_all()) else { return };
        for frame in precise.chunk_by(|a, b| a.0 == b.0) {
            let names: Vec<String> = frame.iter().map(|(_, cell)| cell_name(*cell)).collect();
            let n = frame.first().map_or(0, |(n, _)| *n);
            log.line(format_args!("frame {n}: propagating {}", names.join(",")));
        }
    }

    fn log_loop(&mut self, what: &str, key: &LoopKey) {
        let Some(log) = self.log.as_mut().filter(|log| log.is_all()) else { return };
        let callsites: String = key.callsites.iter().map(|c| format!("{c},")).collect();
        log.line(format_args!("SCC {what} ({callsites}{})", key.scc));
    }

    /// The scalars of a checkpoint that count, innermost frame first.
    fn precise_cells(&self, old: &State) -> Vec<(usize, Cell)> {
        let by_marks = self.by_read_marks();
        let mut cells = Vec::new();
        for (n, frame) in old.frames().iter().enumerate().rev() {
            for (cell, reg) in frame.cells() {
                let counts = reg.kind == Kind::Scalar && reg.precise && (!by_marks || reg.marks.read);
                if counts && cell != Cell::Reg(10) {
                    cells.push((n, cell));
                }
            }
        }
        cells
    }

    /// Remembers the current state at the current instruction.
    fn remember(&mut self, bucket: usize) -> Check {
        self.visits.prev_jumps = self.jumps_processed;
        self.visits.prev_insns = self.insns_processed;
        self.cur.for_each_reg(|r| r.kind == Kind::Scalar && r.precise, |r| r.precise = false);
        if self.rules.walk.singular_ids == SingularIds::Dropped {
            self.clear_singular_ids();
        }
        let n = self.checkpoints.len() as u32;
        self.statistics.states += 1;
        self.statistics.keep_one_more();
        self.checkpoints.push(Checkpoint {
            state: self.cur.clone(),
            misses: 0,
            hits: 0,
            cleaned: false,
            evicted: false,
            all_precise: false,
        });
        if self.rules.walk.loop_precision != LoopPrecision::Ignored
            && let Some(key) = self.loop_key(&self.cur)
        {
            if self.visits.loops.get(&key).is_none_or(|visit| visit.entry.is_none()) {
                self.log_loop("enter", &key);
            }
            self.visits.loops.entry(key).or_default().entry.get_or_insert(n);
        }
        self.visits.buckets[bucket].push(n);
        self.cur.parent = Some(n);
        self.cur.first_insn = self.at;
        self.cur.dfs_depth += 1;
        self.cur.history = History::EMPTY;
        self.in_history = false;
        if self.by_read_marks() {
            self.link_to_parent(n);
        }
        Ok(())
    }

    /// Ties every register of the current state to its twin in the new checkpoint.
    fn link_to_parent(&mut self, checkpoint: u32) {
        let depth = self.cur.depth();
        for n in 0..=depth {
            let frame = self.cur.frame_mut(n);
            let place = |cell| Some(Place { checkpoint, frame: n as u8, cell });
            for (i, reg) in frame.regs.iter_mut().take(10).enumerate() {
                let parent = if n < depth && i < 6 { reg.marks.parent } else { place(Cell::Reg(i as u8)) };
                reg.marks = Marks { read: false, written: false, parent };
            }
            let marks = |i| Marks { read: false, written: false, parent: place(Cell::Slot(i as u8)) };
            frame.stack.change(|_, _| true, |i, slot| slot.spilled.marks = marks(i));
        }
    }

    /// An id that only one scalar has says nothing.
    ///
    /// Kernel: `bpf_clear_singular_ids` (7.0 … 7.3).
    fn clear_singular_ids(&mut self) {
        let mut seen: SmallVec<[(u32, u32); 16]> = SmallVec::new();
        for reg in self.cur.frames().iter().flat_map(|f| f.cells().map(|(_, r)| r)) {
            if reg.kind == Kind::Scalar && reg.id != 0 {
                match seen.iter_mut().find(|(id, _)| *id == reg.id) {
                    Some((_, count)) => *count += 1,
                    None => seen.push((reg.id, 1)),
                }
            }
        }
        seen.retain(|(_, count)| *count == 1);
        if !seen.is_empty() {
            let single = |r: &Reg| r.kind == Kind::Scalar && seen.iter().any(|(id, _)| *id == r.id);
            self.cur.for_each_reg(single, Reg::unlink);
        }
    }

    /// Kernel: `clean_live_states` (6.17 … 6.19).
    #[doc(alias = "clean_live_states")]
    fn clean_finished(&mut self, bucket: usize) {
        let Some(liveness) = self.liveness else { return };
        for n in 0..self.visits.buckets[bucket].len() {
            let old = self.visits.buckets[bucket][n] as usize;
            let checkpoint = &self.checkpoints[old];
            let due = !checkpoint.cleaned
                && checkpoint.state.branches == 0
                && checkpoint.state.insn == self.at
                && checkpoint.state.same_callsites(&self.cur)
                && !self.loop_is_open(&checkpoint.state);
            if !due {
                continue;
            }
            let chain = chain_of(&checkpoint.state);
            let live: SmallVec<[SlotSet; 8]> = match &mut self.stack_marks {
                Some(marks) => marks.live_slots(liveness, &chain).into_iter().map(both_halves).collect(),
                None => live_halves(liveness, &chain).into_iter().map(whole_slots).collect(),
            };
            let checkpoint = &mut self.checkpoints[old];
            checkpoint.cleaned = true;
            clean(&mut checkpoint.state, liveness, &live, self.rules.range_model);
        }
    }

    fn clean_current(&mut self) {
        if let Some(liveness) = self.liveness {
            let live = live_halves(liveness, &chain_of(&self.cur));
            clean(&mut self.cur, liveness, &live, self.rules.range_model);
        }
    }

    /// A path ends: checkpoints without waiting branches are final.
    ///
    /// Kernel: `update_branch_counts` (6.1 … 7.3).
    #[doc(alias = "update_branch_counts")]
    pub fn finish_path(&mut self) -> Check {
        let mut next = self.cur.parent;
        while let Some(n) = next {
            let state = &mut self.checkpoints[n as usize].state;
            state.branches = state.branches.saturating_sub(1);
            if state.branches > 0 {
                break;
            }
            self.leave_loop(n)?;
            self.forget_evicted(n);
            next = self.checkpoints[n as usize].state.parent;
        }
        Ok(())
    }

    /// A checkpoint that no path is compared with any more, and below which none waits, is not looked at again, unless a path
    /// that met its loop still has to hand on what counts.
    ///
    /// Kernel: `maybe_free_verifier_state` (6.17 … 7.3), `is_state_visited` (before).
    #[doc(alias = "maybe_free_verifier_state")]
    fn forget_evicted(&mut self, n: u32) {
        let checkpoint = &self.checkpoints[n as usize];
        if checkpoint.evicted && checkpoint.state.branches == 0 && !self.loop_is_open(&checkpoint.state) {
            let nothing = Rc::clone(&self.nothing);
            self.checkpoints[n as usize].state.forget(&nothing);
        }
    }

    /// Kernel: `compute_scc_callchain` (6.17 … 7.3).
    #[doc(alias = "compute_scc_callchain")]
    fn loop_key(&self, state: &State) -> Option<LoopKey> {
        let liveness = self.liveness?;
        let mut key = LoopKey::default();
        for n in 0..=state.depth() {
            let insn = state.frame_insn(n);
            key.scc = liveness.scc(insn);
            if key.scc != 0 {
                return Some(key);
            }
            key.callsites.push(insn.0);
        }
        None
    }

    /// Kernel: `incomplete_read_marks` (6.17 … 7.3).
    #[doc(alias = "incomplete_read_marks")]
    fn loop_is_open(&self, state: &State) -> bool {
        self.rules.walk.loop_precision != LoopPrecision::Ignored
            && !self.visits.loops.is_empty()
            && self
                .loop_key(state)
                .and_then(|key| self.visits.loops.get(&key))
                .is_some_and(|visit| !visit.back_edges.is_empty())
    }

    /// Kernel: `maybe_exit_scc`, `propagate_backedges` (6.17 … 7.3).
    #[doc(alias = "maybe_exit_scc")]
    #[doc(alias = "propagate_backedges")]
    fn leave_loop(&mut self, checkpoint: u32) -> Check {
        if self.visits.loops.is_empty() {
            return Ok(());
        }
        let Some(key) = self.loop_key(&self.checkpoints[checkpoint as usize].state) else {
            return Ok(());
        };
        let Some(visit) = self.visits.loops.get_mut(&key) else { return Ok(()) };
        if visit.entry != Some(checkpoint) {
            return Ok(());
        }
        visit.entry = None;
        // The last one comes first.
        let mut back_edges = std::mem::take(&mut visit.back_edges);
        back_edges.reverse();
        self.visits.waiting_edges = self.visits.waiting_edges.saturating_sub(back_edges.len());
        self.statistics.states_kept = self.statistics.states_kept.saturating_sub(back_edges.len() as u32);
        self.log_loop("exit", &key);
        for round in 0.. {
            if round >= BACK_EDGE_ROUNDS_MAX {
                back_edges.iter().for_each(|edge| mark_all(edge.state.parent, &mut self.checkpoints));
                break;
            }
            let mut changed = false;
            for edge in &back_edges {
                changed |= self.propagate_round(edge)?;
            }
            if !changed {
                break;
            }
        }
        Ok(())
    }

    fn propagate_round(&mut self, edge: &BackEdge) -> Check<bool> {
        let mut wanted = Wanted::nothing(edge.state.depth());
        let precise = self.precise_cells(&self.checkpoints[edge.equal as usize].state);
        self.log_propagated(&precise);
        for (frame, cell) in precise {
            wanted.add(frame, cell);
        }
        self.mark_wanted_from(&edge.state, wanted)
    }
}

/// Where the frames of a state are, outermost first.
pub(super) fn chain_of(state: &State) -> SmallVec<[FrameAt; 8]> {
    let frames = state.frames().iter().enumerate();
    frames.map(|(n, f)| FrameAt { subprog: f.subprog, at: state.frame_insn(n) }).collect()
}

/// The live half slots of each frame.
fn live_halves(liveness: &Liveness, chain: &[FrameAt]) -> SmallVec<[SlotSet; 8]> {
    let query = Query::new(liveness, chain);
    (0..chain.len()).map(|n| query.live_slots(n)).collect()
}

/// Drops what no path from a state on reads, as far as the rules know: registers, and slots that are not in `live_slots`.
///
/// Kernel: `clean_verifier_state` (6.17 … 7.3).
#[doc(alias = "clean_verifier_state")]
fn clean(state: &mut State, liveness: &Liveness, live_slots: &[SlotSet], model: RangeModel) {
    for (n, &live_slots) in live_slots.iter().enumerate() {
        let live_regs = liveness.live_regs(state.frame_insn(n));
        let frame = state.frame(n);
        let dead_reg = |i: usize, r: &Reg| live_regs & 1 << i == 0 && r.kind != Kind::NotInit;
        let regs_dirty = frame.regs.iter().take(10).enumerate().any(|(i, r)| dead_reg(i, r));
        let slots_dirty = frame.stack.iter().enumerate().any(|(i, s)| slot_is_dirty(s, live_slots, i));
        if !regs_dirty && !slots_dirty {
            continue;
        }
        let frame = state.frame_mut(n);
        for (i, reg) in frame.regs.iter_mut().take(10).enumerate() {
            if live_regs & 1 << i == 0 {
                reg.assign(Reg::not_init(model));
            }
        }
        frame.stack.change(
            |i, slot| slot_is_dirty(slot, live_slots, i),
            |i, slot| clean_slot(slot, live_slots >> (2 * i) & 1 != 0, live_slots >> (2 * i + 1) & 1 != 0, model),
        );
    }
}

/// Slots of which a half is live, as whole ones.
fn whole_slots(live_halves: SlotSet) -> SlotSet {
    const LOW: SlotSet = SlotSet::MAX / 3;
    let either = (live_halves | live_halves >> 1) & LOW;
    either | either << 1
}

/// Whole slots as sets of halves.
fn both_halves(slots: WholeSlots) -> SlotSet {
    (0..WholeSlots::BITS).filter(|n| slots >> n & 1 != 0).fold(0, |halves, n| halves | 3 << (2 * n))
}

/// What became of an arrival.
enum Visit {
    /// All that follows is covered.
    Covered,
    /// The state was remembered.
    Remembered,
    /// Nothing was remembered.
    New,
}

enum Outcome {
    Hit { in_loop: bool },
    Miss,
}

/// A register or slot as the log names it.
fn cell_name(cell: Cell) -> String {
    match cell {
        Cell::Reg(n) => format!("r{n}"),
        Cell::Slot(n) => format!("fp{}", -(i64::from(n) + 1) * 8),
    }
}

fn slot_is_dirty(slot: &Slot, live_slots: SlotSet, n: usize) -> bool {
    live_slots >> (2 * n) & 3 != 3 && slot.bytes.iter().any(|b| *b != Byte::Poison)
}

/// Drops the dead halves of a slot.
fn clean_slot(slot: &mut Slot, low_live: bool, high_live: bool, model: RangeModel) {
    if low_live && high_live {
        return;
    }
    if !high_live {
        if low_live && slot.is_spill() {
            // A pointer, or a zero that may become precise, stays whole.
            if slot.spilled.kind != Kind::Scalar || slot.spilled.is_null() {
                return;
            }
            for byte in &mut slot.bytes[..4] {
                if *byte == Byte::Spill {
                    *byte = Byte::Misc;
                }
            }
        }
        slot.spilled.assign(Reg::not_init(model));
        slot.bytes[4..].fill(Byte::Poison);
    }
    if !low_live {
        slot.bytes[..4].fill(Byte::Poison);
    }
}
