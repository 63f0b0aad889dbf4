//! Which scalars a path relied on: backwards from a use, over the instructions that made the value.
//!
//! A checkpoint prunes a later path when that path's scalars lie within its own, but only the scalars that some
//! continuation relied on need to be compared. Stands for `mark_chain_precision` and `backtrack_insn` (6.1 … 7.3).
//!
//! Two generations exist. The older one ([`Backtracking::SingleFrame`]) stays within a frame and marks everything when
//! it meets a call or an exit; the newer one follows calls, callbacks, and linked scalars.

use super::history::{Histories, History, HistoryEntry};
use super::log::{self, Log};
use super::state::{Cell, Kind, State};
use super::walker::{Checkpoint, Stop};
use crate::isa::{AluOp, AtomicOp, InsnIdx, Op, Operand, Reg as RegNo};
use crate::kernel::{
    ASYNC_CALLBACK_HELPERS, Backtracking, CallbackExit, FetchPrecision, HELPER_TAIL_CALL, Rules, SYNC_CALLBACK_HELPERS,
    SpillPointers,
};
use smallvec::SmallVec;
use std::collections::BTreeSet;

/// Registers and slots by frame whose origin is still looked for.
#[doc(alias = "backtrack_state")]
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Wanted {
    frame: usize,
    regs: [u16; FRAMES_MAX],
    slots: [u64; FRAMES_MAX],
}

/// The largest number of frames that any kernel allows.
const FRAMES_MAX: usize = 16;
/// R1 to R5.
const ARGS: u16 = 0b11_1110;
/// R0.
const RESULT: u16 = 1;

/// What following one instruction backwards came to.
enum Step {
    Done,
    /// The instruction cannot be followed: every scalar has to count.
    GiveUp,
}

impl Wanted {
    /// Nothing yet, in the given frame.
    pub fn nothing(frame: usize) -> Wanted {
        Wanted { frame, regs: [0; FRAMES_MAX], slots: [0; FRAMES_MAX] }
    }

    /// Asks for a register or slot of a frame.
    pub fn add(&mut self, frame: usize, cell: Cell) {
        match cell {
            Cell::Reg(n) => self.regs[frame % FRAMES_MAX] |= 1 << n,
            Cell::Slot(n) => self.slots[frame % FRAMES_MAX] |= 1 << (n % 64),
        }
    }

    fn has(&self, frame: u8, cell: Cell) -> bool {
        let frame = usize::from(frame) % FRAMES_MAX;
        match cell {
            Cell::Reg(n) => self.regs[frame] & 1 << n != 0,
            Cell::Slot(n) => self.slots[frame] & 1 << (n % 64) != 0,
        }
    }

    /// True when nothing is looked for any more.
    pub fn is_empty(&self) -> bool {
        self.regs[..=self.frame].iter().all(|r| *r == 0) && self.slots[..=self.frame].iter().all(|s| *s == 0)
    }

    fn regs(&mut self) -> &mut u16 {
        &mut self.regs[self.frame]
    }

    fn reg_wanted(&self, reg: RegNo) -> bool {
        self.regs[self.frame] & bit(reg) != 0
    }

    fn enter(&mut self, frames_max: usize) -> Result<(), Stop> {
        if self.frame + 1 >= frames_max.min(FRAMES_MAX) {
            return Err(Stop::bug_said(
                format!("subprog enter from frame {}", self.frame),
                format!("BUG subprog enter from frame {}", self.frame),
            ));
        }
        self.frame += 1;
        Ok(())
    }

    fn leave(&mut self) -> Result<(), Stop> {
        if self.frame == 0 {
            return Err(Stop::bug_said("subprog exit from frame 0", "BUG subprog exit from frame 0"));
        }
        self.frame -= 1;
        Ok(())
    }

    /// Asks for all of a linked group when one of them is asked for.
    #[doc(alias = "bt_sync_linked_regs")]
    fn sync_linked(&mut self, entry: Option<&HistoryEntry>) {
        let Some(entry) = entry else { return };
        if entry.linked.iter().any(|(f, c)| self.has(*f, *c)) {
            for (frame, cell) in &entry.linked {
                self.add(usize::from(*frame), *cell);
            }
        }
    }
}

fn bit(reg: RegNo) -> u16 {
    1 << reg.n()
}

/// The program as the backtracker sees it.
pub(super) struct Trail<'a> {
    pub ops: &'a [Option<Op>],
    pub rules: &'a Rules,
    /// The jump histories of the states.
    pub histories: &'a Histories,
    /// Which subprogram starts are global functions.
    pub is_global: &'a dyn Fn(InsnIdx) -> bool,
    /// Whether an instruction calls a helper that calls back.
    pub calls_callback: &'a dyn Fn(InsnIdx) -> bool,
}

/// Follows what is wanted from the end of `start` backwards and marks it precise in the checkpoints on the way.
/// Answers whether a mark was new.
///
/// Kernel: `bpf_mark_chain_precision`, `__mark_chain_precision` (6.1 … 7.3).
#[doc(alias = "mark_chain_precision")]
pub(super) fn mark_chain(
    trail: &Trail<'_>,
    start: &State,
    checkpoints: &mut [Checkpoint],
    mut wanted: Wanted,
    mut walked: Option<&mut Walked>,
    mut log: Option<&mut Log<'_>>,
) -> Result<bool, Stop> {
    let mut changed = false;
    let mut at = Some(start.insn);
    let mut way = Way { subseq: None, skip_first: true };
    let mut node: Option<u32> = None;
    if wanted.is_empty() {
        return Ok(false);
    }
    loop {
        let here: &State = match node {
            None => start,
            Some(n) => &checkpoints[n as usize].state,
        };
        if let Some(log) = &mut log {
            log_segment(log, trail, &wanted, at, here.first_insn, way.subseq);
        }
        let Some(last) = at else {
            return at_entry(node, checkpoints, &mut wanted).map(|c| c || changed);
        };
        // What is remembered of the way back holds for the path's own segment: the checkpoints before it are marked then.
        let walked = walked.take();
        match segment(trail, here, last, &mut way, &mut wanted, walked, &mut log)? {
            Segment::Found => return Ok(changed),
            Segment::GiveUp => {
                let from = match trail.rules.walk.backtracking {
                    Backtracking::SingleFrame => here.parent,
                    Backtracking::AllFrames => start.parent,
                };
                force_all(trail, start, from, checkpoints, &mut log);
                return Ok(true);
            }
            Segment::Start => {}
        }
        let first = here.first_insn;
        let Some(parent) = here.parent else { break };
        let outcome = mark_in_parent(trail, parent, checkpoints, &mut wanted, &mut log)?;
        changed |= outcome.new_marks;
        if wanted.is_empty() || (outcome.all_were_precise && trail.rules.walk.backtracking == Backtracking::SingleFrame)
        {
            return Ok(changed);
        }
        if outcome.gave_up {
            return Ok(true);
        }
        way.subseq = Some(first);
        at = checkpoints[parent as usize].state.last_insn;
        node = Some(parent);
    }
    if trail.rules.walk.backtracking == Backtracking::AllFrames && !wanted.is_empty() {
        force_all(trail, start, start.parent, checkpoints, &mut log);
        changed = true;
    }
    Ok(changed)
}

enum Segment {
    /// Everything was found within the segment.
    Found,
    /// The segment's first instruction was reached with something still wanted.
    Start,
    GiveUp,
}

/// How far the way back has come, from one segment to the next.
struct Way {
    /// The instruction that was walked after the one that is looked at.
    subseq: Option<InsnIdx>,
    /// The next instruction asked for precision itself.
    skip_first: bool,
}

/// Follows one state's instructions, from `last` to its first one.
fn segment(
    trail: &Trail<'_>,
    state: &State,
    last: InsnIdx,
    way: &mut Way,
    wanted: &mut Wanted,
    mut walked: Option<&mut Walked>,
    log: &mut Option<&mut Log<'_>>,
) -> Result<Segment, Stop> {
    let mut history = state.history;
    let mut at = last;
    let mut steps = 0u32;
    loop {
        steps += 1;
        crate::work::count(1);
        if way.skip_first {
            way.skip_first = false;
        } else {
            let entry = trail.histories.entry(history).filter(|e| e.insn == at);
            if let (Some(log), Some(Some(_))) = (&mut *log, trail.ops.get(at.at())) {
                log_step(log, trail, wanted, at);
            }
            let step = match trail.rules.walk.backtracking {
                Backtracking::SingleFrame => back_single_frame(trail, at, entry, wanted)?,
                Backtracking::AllFrames => back_all_frames(trail, at, way.subseq, entry, wanted)?,
            };
            if let Step::GiveUp = step {
                return Ok(Segment::GiveUp);
            }
        }
        if wanted.is_empty() {
            return Ok(Segment::Found);
        }
        way.subseq = Some(at);
        if let Some(walked) = walked.as_deref_mut()
            && steps > WAYPOINT_STEPS
            && is_waypoint(trail, at, history)
            && !walked.is_new(Waypoint { parent: state.parent, history, at, wanted: wanted.clone() })
        {
            return Ok(Segment::Found);
        }
        match previous(trail, state, at, &mut history) {
            Previous::Insn(insn) => at = insn,
            Previous::SegmentStart => return Ok(Segment::Start),
            Previous::None => {
                let text = format!("backtracking idx {}", at.0.wrapping_sub(1) as i32);
                return Err(Stop::bug_said(text.clone(), format!("BUG {text}")));
            }
        }
    }
}

/// Steps of the way back between two waypoints, about: what is shorter leaves none.
const WAYPOINT_STEPS: u32 = 64;
/// Entries of a history between two waypoints, in loops that hold none of the others.
const WAYPOINT_ENTRIES: usize = 16;
/// Waypoints that are kept.
const WAYPOINTS_MAX: usize = 1 << 14;

fn is_waypoint(trail: &Trail<'_>, at: InsnIdx, history: History) -> bool {
    let at_entry = || trail.histories.entry(history).is_some_and(|e| e.insn == at);
    at.0.is_multiple_of(WAYPOINT_STEPS) || at_entry() && trail.histories.len(history).is_multiple_of(WAYPOINT_ENTRIES)
}

/// A place on the way back, and what is looked for there: enough to know how the way goes on.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Waypoint {
    parent: Option<u32>,
    history: History,
    at: InsnIdx,
    wanted: Wanted,
}

/// Waypoints from which the way back was followed to its end. Without them a long straight path in which every instruction
/// relies on a value from its beginning would be followed back from each of them.
///
/// Stands for no kernel code: there the time is quadratic.
#[derive(Debug, Default)]
pub(super) struct Walked(BTreeSet<Waypoint>);

impl Walked {
    /// Forgets all paths.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether the way was not followed from there, which it will be now.
    fn is_new(&mut self, waypoint: Waypoint) -> bool {
        if self.0.len() >= WAYPOINTS_MAX {
            self.0.clear();
        }
        self.0.insert(waypoint)
    }
}

enum Previous {
    Insn(InsnIdx),
    SegmentStart,
    None,
}

/// The instruction before `at` on the path.
///
/// Kernel: `get_prev_insn_idx` (6.1 … 7.3).
#[doc(alias = "get_prev_insn_idx")]
fn previous(trail: &Trail<'_>, state: &State, at: InsnIdx, history: &mut History) -> Previous {
    let (entry, before) = (trail.histories.entry(*history), trail.histories.before(*history));
    if at == state.first_insn && entry.is_none_or(|e| e.insn == at && before == History::EMPTY) {
        return Previous::SegmentStart;
    }
    let prev = match entry {
        Some(entry) if entry.insn == at => {
            *history = before;
            entry.prev
        }
        _ => at.offset(-1),
    };
    prev.map_or(Previous::None, Previous::Insn)
}

/// The entry of a function that is verified on its own: its arguments are all that may still be wanted.
fn at_entry(node: Option<u32>, checkpoints: &mut [Checkpoint], wanted: &mut Wanted) -> Result<bool, Stop> {
    if let Some(n) = node {
        let state = &mut checkpoints[n as usize].state;
        let entry = state.frame(0);
        let only_args = wanted.slots[0] == 0 && wanted.regs[0] & !ARGS == 0;
        if state.depth() == 0 && entry.subprog.0 > 0 && entry.callsite.is_none() && only_args {
            for n in 1..=5u8 {
                if wanted.regs[0] & 1 << n != 0 && state.frame(0).regs[usize::from(n)].kind == Kind::Scalar {
                    state.frame_mut(0).regs[usize::from(n)].precise = true;
                }
            }
            return Ok(true);
        }
    }
    let text = format!(
        "func entry subprog 0 reg_mask {:x} stack_mask {:x}",
        wanted.regs[wanted.frame], wanted.slots[wanted.frame]
    );
    Err(Stop::bug_said(format!("backtracking {text}"), format!("BUG backtracking {text}")))
}

fn wrong_regs(what: &str, regs: u16) -> Stop {
    Stop::bug_said(format!("{what}regs {regs:x}"), format!("BUG regs {regs:x}"))
}

fn wrong_slots(what: &str, slots: u64) -> Stop {
    Stop::bug_said(format!("{what} leftover stack slots {slots:x}"), format!("BUG stack slots {slots:x}"))
}

struct ParentMarks {
    new_marks: bool,
    all_were_precise: bool,
    gave_up: bool,
}

/// Marks what is wanted in a checkpoint; what it holds already, or as something else than a number, is wanted no more.
fn mark_in_parent(
    trail: &Trail<'_>,
    parent: u32,
    checkpoints: &mut [Checkpoint],
    wanted: &mut Wanted,
    log: &mut Option<&mut Log<'_>>,
) -> Result<ParentMarks, Stop> {
    let single = trail.rules.walk.backtracking == Backtracking::SingleFrame;
    let mut out = ParentMarks { new_marks: false, all_were_precise: true, gave_up: false };
    let lowest = if single { wanted.frame } else { 0 };
    for frame in (lowest..=wanted.frame).rev() {
        let mut cells: SmallVec<[Cell; 8]> =
            (0..11).filter(|n| wanted.regs[frame] & 1 << n != 0).map(Cell::Reg).collect();
        cells.extend((0..64).filter(|n| wanted.slots[frame] & 1 << n != 0).map(Cell::Slot));
        for cell in cells {
            let state = &mut checkpoints[parent as usize].state;
            let holder = state.frame(frame);
            if let Cell::Slot(n) = cell
                && usize::from(n) >= holder.stack.len()
            {
                if single {
                    mark_all(checkpoints[parent as usize].state.parent, checkpoints);
                    out.gave_up = true;
                    return Ok(out);
                }
                let text = format!("stack slot {n}, total slots {}", holder.stack.len());
                return Err(Stop::bug_said(text.clone(), format!("BUG backtracking ({text})")));
            }
            let is_number = match cell {
                Cell::Reg(n) => holder.regs[usize::from(n)].kind == Kind::Scalar,
                Cell::Slot(n) => holder.stack[usize::from(n)].is_scalar_spill(),
            };
            let precise = holder.cell(cell).is_some_and(|r| r.precise);
            if is_number && !precise {
                out.new_marks = true;
                out.all_were_precise = false;
                if let Some(reg) = state.frame_mut(frame).cell_mut(cell) {
                    reg.precise = true;
                }
            }
            if !is_number || (precise && !single) {
                match cell {
                    Cell::Reg(n) => wanted.regs[frame] &= !(1 << n),
                    Cell::Slot(n) => wanted.slots[frame] &= !(1 << n),
                }
            }
        }
        if let Some(log) = log {
            let (regs, slots) = (wanted.regs[frame], wanted.slots[frame]);
            if single {
                let had = if out.new_marks { "didn't have" } else { "already had" };
                log.put(format_args!("parent {had} regs={regs:x} stack={slots:x} marks:"));
            } else {
                let (regs, slots) = (log::reg_mask(regs), log::slot_mask(slots));
                log.put(format_args!("mark_precise: frame{frame}: parent state regs={regs} stack={slots}: "));
            }
            log.state(&checkpoints[parent as usize].state, frame);
        }
    }
    Ok(out)
}

/// What is looked for, at the start of a segment.
fn log_segment(
    log: &mut Log<'_>,
    trail: &Trail<'_>,
    wanted: &Wanted,
    last: Option<InsnIdx>,
    first: InsnIdx,
    subseq: Option<InsnIdx>,
) {
    let (last, subseq) = (log::index(last), log::index(subseq));
    match trail.rules.walk.backtracking {
        Backtracking::SingleFrame => log.line(format_args!("last_idx {last} first_idx {first}")),
        Backtracking::AllFrames => {
            let frame = wanted.frame;
            log.line(format_args!(
                "mark_precise: frame{frame}: last_idx {last} first_idx {first} subseq_idx {subseq} "
            ));
        }
    }
}

/// What is looked for, before an instruction is followed.
fn log_step(log: &mut Log<'_>, trail: &Trail<'_>, wanted: &Wanted, at: InsnIdx) {
    let (frame, regs, slots) = (wanted.frame, wanted.regs[wanted.frame], wanted.slots[wanted.frame]);
    match trail.rules.walk.backtracking {
        Backtracking::SingleFrame => log.put(format_args!("regs={regs:x} stack={slots:x} before {at}: ")),
        Backtracking::AllFrames => {
            let (regs, slots) = (log::reg_mask(regs), log::slot_mask(slots));
            log.put(format_args!("mark_precise: frame{frame}: regs={regs} stack={slots} before {at}: "));
        }
    }
    log.insn(at);
    log.line(format_args!(""));
}

/// Marks everything when an instruction could not be followed, and says so.
fn force_all(
    trail: &Trail<'_>,
    start: &State,
    from: Option<u32>,
    checkpoints: &mut [Checkpoint],
    log: &mut Option<&mut Log<'_>>,
) {
    if let Some(log) = log
        && trail.rules.walk.backtracking == Backtracking::AllFrames
    {
        let depth = start.depth();
        log.line(format_args!("mark_precise: frame{depth}: falling back to forcing all scalars precise"));
        log_forced(log, from, checkpoints);
    }
    mark_all(from, checkpoints);
}

fn log_forced(log: &mut Log<'_>, from: Option<u32>, checkpoints: &[Checkpoint]) {
    let mut next = from;
    while let Some(state) = next.and_then(|n| checkpoints.get(n as usize)).map(|c| &c.state) {
        for (n, frame) in state.frames().iter().enumerate() {
            for (cell, _) in frame.cells().filter(|(_, r)| r.kind == Kind::Scalar && !r.precise) {
                match cell {
                    Cell::Reg(r) => log.line(format_args!("force_precise: frame{n}: forcing r{r} to be precise")),
                    Cell::Slot(s) => {
                        let off = -(i64::from(s) + 1) * 8;
                        log.line(format_args!("force_precise: frame{n}: forcing fp{off} to be precise"));
                    }
                }
            }
        }
        next = state.parent;
    }
}

/// Marks every number of a checkpoint and of those before it.
///
/// Kernel: `mark_all_scalars_precise` (6.1 … 7.3).
#[doc(alias = "mark_all_scalars_precise")]
pub(super) fn mark_all(from: Option<u32>, checkpoints: &mut [Checkpoint]) {
    let mut next = from;
    while let Some(n) = next {
        let checkpoint = &mut checkpoints[n as usize];
        if checkpoint.all_precise {
            break;
        }
        checkpoint.all_precise = true;
        checkpoint.state.for_each_reg(|r| r.kind == Kind::Scalar && !r.precise, |r| r.precise = true);
        next = checkpoint.state.parent;
    }
}

/// The register that a load gives a value to, its base and offset; with atomic operations that fetch, where rules follow them.
fn load_target(op: &Op, rules: &Rules) -> Option<(RegNo, RegNo, i16)> {
    match *op {
        Op::Load { dst, base, off, .. } => Some((dst, base, off)),
        Op::Atomic { op: AtomicOp::LoadAcquire, base, off, src, .. } => Some((src, base, off)),
        Op::Atomic { op, base, off, src, .. } if rules.walk.fetch_precision == FetchPrecision::Followed => match op {
            AtomicOp::CmpXchg => Some((RegNo::R0, base, off)),
            AtomicOp::Add { fetch: true }
            | AtomicOp::Or { fetch: true }
            | AtomicOp::And { fetch: true }
            | AtomicOp::Xor { fetch: true }
            | AtomicOp::Xchg => Some((src, base, off)),
            _ => None,
        },
        _ => None,
    }
}

/// ALU operations and constants, which both generations follow alike. `None`: not such an operation.
fn back_value(op: &Op, wanted: &mut Wanted, follow_fp: bool) -> Option<Step> {
    let (dst, src) = match *op {
        Op::Alu { op: AluOp::Mov, dst, src, .. } => {
            if wanted.reg_wanted(dst) {
                *wanted.regs() &= !bit(dst);
                if let Operand::Reg(src) = src
                    && (follow_fp || src != RegNo::R10)
                {
                    *wanted.regs() |= bit(src);
                }
            }
            return Some(Step::Done);
        }
        Op::MovSx { dst, src, .. } | Op::AddrSpaceCast { dst, src, .. } => {
            if wanted.reg_wanted(dst) {
                *wanted.regs() &= !bit(dst);
                if follow_fp || src != RegNo::R10 {
                    *wanted.regs() |= bit(src);
                }
            }
            return Some(Step::Done);
        }
        Op::Alu { dst, src, .. } => (dst, src),
        Op::Neg { .. } | Op::Endian { .. } => return Some(Step::Done),
        Op::LdImm64 { dst, .. } => {
            *wanted.regs() &= !bit(dst);
            return Some(Step::Done);
        }
        _ => return None,
    };
    if let Operand::Reg(src) = src
        && wanted.reg_wanted(dst)
        && (follow_fp || src != RegNo::R10)
    {
        *wanted.regs() |= bit(src);
    }
    Some(Step::Done)
}

/// Kernel: `backtrack_insn` (6.1).
fn back_single_frame(
    trail: &Trail<'_>,
    at: InsnIdx,
    entry: Option<&HistoryEntry>,
    wanted: &mut Wanted,
) -> Result<Step, Stop> {
    let Some(op) = trail.ops.get(at.at()).copied().flatten() else {
        return Ok(Step::Done);
    };
    if let Some(step) = back_value(&op, wanted, true) {
        return Ok(step);
    }
    if let Some((target, base, off)) = load_target(&op, trail.rules) {
        if wanted.reg_wanted(target) {
            *wanted.regs() &= !bit(target);
            match slot_within(trail, base, off, entry, wanted)? {
                Within::Slot(slot) => wanted.slots[wanted.frame] |= slot,
                Within::OtherFrame => return Ok(Step::GiveUp),
                Within::None => {}
            }
        }
        return Ok(Step::Done);
    }
    match op {
        Op::Store { base, off, src, .. } => {
            let slot = slot_within(trail, base, off, entry, wanted)?;
            Ok(back_own_store(base, src, slot, wanted))
        }
        Op::Atomic { base, off, src, .. } => {
            let slot = slot_within(trail, base, off, entry, wanted)?;
            Ok(back_own_store(base, Operand::Reg(src), slot, wanted))
        }
        Op::CallLocal { .. } | Op::Exit => Ok(Step::GiveUp),
        Op::CallKfunc { .. } => Ok(Step::GiveUp),
        Op::CallHelper { id } => {
            if SYNC_CALLBACK_HELPERS.contains(&id) || ASYNC_CALLBACK_HELPERS.contains(&id) {
                return Ok(Step::GiveUp);
            }
            *wanted.regs() &= !RESULT;
            if *wanted.regs() & (ARGS | RESULT) != 0 {
                return Err(wrong_regs("", *wanted.regs()));
            }
            Ok(Step::Done)
        }
        Op::JumpIf { dst, src: Operand::Reg(src), .. } => {
            if *wanted.regs() & (bit(dst) | bit(src)) != 0 {
                *wanted.regs() |= bit(dst) | bit(src);
            }
            Ok(Step::Done)
        }
        Op::LdAbs { .. } | Op::LdInd { .. } => {
            if *wanted.regs() & RESULT == 0 {
                return Ok(Step::Done);
            }
            *wanted.regs() &= !RESULT;
            Ok(Step::GiveUp)
        }
        _ => Ok(Step::Done),
    }
}

fn back_own_store(base: RegNo, src: Operand, slot: Within, wanted: &mut Wanted) -> Step {
    if wanted.reg_wanted(base) {
        return Step::GiveUp;
    }
    if let Within::Slot(slot) = slot
        && wanted.slots[wanted.frame] & slot != 0
    {
        wanted.slots[wanted.frame] &= !slot;
        if let Operand::Reg(src) = src {
            *wanted.regs() |= bit(src);
        }
    }
    Step::Done
}

/// What a spill or fill of a walk within one frame speaks of.
enum Within {
    /// No slot that is followed.
    None,
    /// A slot of the frame, as a mask.
    Slot(u64),
    /// A slot of another frame.
    OtherFrame,
}

/// The slot of a spill or fill: by its own offset from R10, or as the history has it.
fn slot_within(
    trail: &Trail<'_>,
    base: RegNo,
    off: i16,
    entry: Option<&HistoryEntry>,
    wanted: &Wanted,
) -> Result<Within, Stop> {
    Ok(match trail.rules.walk.spill_pointers {
        SpillPointers::FramePointer if base == RegNo::R10 => Within::Slot(1 << own_slot(off)?),
        SpillPointers::FramePointer => Within::None,
        SpillPointers::Any => match entry.and_then(|e| e.slot) {
            Some((frame, slot)) if usize::from(frame) == wanted.frame => Within::Slot(1 << (slot % 64)),
            Some(_) => Within::OtherFrame,
            None => Within::None,
        },
    })
}

fn own_slot(off: i16) -> Result<u32, Stop> {
    let slot = (-i32::from(off) - 1) / 8;
    u32::try_from(slot)
        .ok()
        .filter(|s| *s < 64)
        .ok_or_else(|| Stop::bug_said(format!("spi {slot}"), format!("BUG spi {slot}")))
}

/// Kernel: `backtrack_insn` (6.12 … 7.3).
fn back_all_frames(
    trail: &Trail<'_>,
    at: InsnIdx,
    subseq: Option<InsnIdx>,
    entry: Option<&HistoryEntry>,
    wanted: &mut Wanted,
) -> Result<Step, Stop> {
    let Some(op) = trail.ops.get(at.at()).copied().flatten() else {
        return Ok(Step::Done);
    };
    wanted.sync_linked(entry);
    let step = back_op(trail, &op, at, subseq, entry, wanted)?;
    wanted.sync_linked(entry);
    Ok(step)
}

fn back_op(
    trail: &Trail<'_>,
    op: &Op,
    at: InsnIdx,
    subseq: Option<InsnIdx>,
    entry: Option<&HistoryEntry>,
    wanted: &mut Wanted,
) -> Result<Step, Stop> {
    if let Some(step) = back_value(op, wanted, false) {
        return Ok(step);
    }
    let slot = entry.and_then(|e| e.slot);
    if let Some((target, _, _)) = load_target(op, trail.rules) {
        if wanted.reg_wanted(target) {
            *wanted.regs() &= !bit(target);
            if let Some((frame, slot)) = slot {
                wanted.add(usize::from(frame), Cell::Slot(slot));
            }
        }
        return Ok(Step::Done);
    }
    match *op {
        Op::Store { base, src, .. } => Ok(back_store(base, src, slot, wanted)),
        Op::Atomic { base, src, .. } => Ok(back_store(base, Operand::Reg(src), slot, wanted)),
        Op::CallLocal { rel, .. } => back_local_call(trail, at, rel, wanted),
        Op::CallHelper { id } => back_helper(trail, id, at, subseq, wanted),
        Op::CallKfunc { .. } => Ok(Step::GiveUp),
        Op::Exit => back_exit(trail, subseq, wanted),
        Op::JumpIf { dst, src: Operand::Reg(src), .. } => {
            if *wanted.regs() & (bit(dst) | bit(src)) != 0 {
                if !entry.is_some_and(|e| e.src_is_stack) {
                    *wanted.regs() |= bit(src);
                }
                if !entry.is_some_and(|e| e.dst_is_stack) {
                    *wanted.regs() |= bit(dst);
                }
            }
            Ok(Step::Done)
        }
        Op::LdAbs { .. } | Op::LdInd { .. } => {
            if *wanted.regs() & RESULT != 0 {
                return Ok(Step::GiveUp);
            }
            if subseq != Some(at.next()) {
                wanted.enter(trail.rules.walk.frames_max)?;
            }
            Ok(Step::Done)
        }
        _ => Ok(Step::Done),
    }
}

fn back_store(base: RegNo, src: Operand, slot: Option<(u8, u8)>, wanted: &mut Wanted) -> Step {
    if wanted.reg_wanted(base) {
        // A number that is used as an address came from a difference of pointers.
        return Step::GiveUp;
    }
    if let Some((frame, slot)) = slot
        && wanted.has(frame, Cell::Slot(slot))
    {
        wanted.slots[usize::from(frame) % FRAMES_MAX] &= !(1 << (slot % 64));
        if let Operand::Reg(src) = src {
            *wanted.regs() |= bit(src);
        }
    }
    Step::Done
}

fn back_local_call(trail: &Trail<'_>, at: InsnIdx, rel: i32, wanted: &mut Wanted) -> Result<Step, Stop> {
    let target = at.offset(i64::from(rel) + 1).unwrap_or_default();
    if (trail.is_global)(target) {
        if *wanted.regs() & ARGS != 0 {
            return Err(wrong_regs("global subprog unexpected ", *wanted.regs()));
        }
        *wanted.regs() &= !RESULT;
        return Ok(Step::Done);
    }
    // The walk leaves the callee by its entry: its arguments are the caller's registers.
    if *wanted.regs() & !ARGS != 0 {
        return Err(wrong_regs("static subprog unexpected ", *wanted.regs()));
    }
    if wanted.slots[wanted.frame] != 0 {
        return Err(wrong_slots("static subprog", wanted.slots[wanted.frame]));
    }
    let args = std::mem::take(wanted.regs());
    wanted.leave()?;
    *wanted.regs() |= args;
    Ok(Step::Done)
}

fn back_helper(
    trail: &Trail<'_>,
    id: i32,
    at: InsnIdx,
    subseq: Option<InsnIdx>,
    wanted: &mut Wanted,
) -> Result<Step, Stop> {
    let straight = subseq == Some(at.next());
    if (trail.calls_callback)(at) && !straight {
        // The walk leaves the callback by its entry; its arguments are made up by the helper.
        if *wanted.regs() & !ARGS != 0 {
            return Err(wrong_regs("callback unexpected ", *wanted.regs()));
        }
        if wanted.slots[wanted.frame] != 0 {
            return Err(wrong_slots("callback", wanted.slots[wanted.frame]));
        }
        *wanted.regs() = 0;
        wanted.leave()?;
        return Ok(Step::Done);
    }
    *wanted.regs() &= !RESULT;
    if *wanted.regs() & ARGS != 0 {
        return Err(wrong_regs("backtracking call unexpected ", *wanted.regs()));
    }
    if id == HELPER_TAIL_CALL && !straight {
        wanted.enter(trail.rules.walk.frames_max)?;
    }
    Ok(Step::Done)
}

fn back_exit(trail: &Trail<'_>, subseq: Option<InsnIdx>, wanted: &mut Wanted) -> Result<Step, Stop> {
    let call = subseq.and_then(|s| s.offset(-1)).and_then(|s| trail.ops.get(s.at()).copied().flatten());
    let from_call = matches!(call, Some(Op::CallLocal { .. }));
    if trail.rules.walk.callback_exit == CallbackExit::ForgetArguments {
        // These kernels clear the outer R1 to R5 for callbacks as well, although the call will be made again.
        let from_callback = subseq.is_some_and(|s| (trail.calls_callback)(s));
        if from_callback {
            *wanted.regs() &= !ARGS;
        }
    }
    if *wanted.regs() & ARGS != 0 && (from_call || trail.rules.walk.callback_exit == CallbackExit::ForgetArguments) {
        return Err(wrong_regs("backtracking exit unexpected ", *wanted.regs()));
    }
    let result_wanted = from_call && *wanted.regs() & RESULT != 0;
    *wanted.regs() &= !RESULT;
    wanted.enter(trail.rules.walk.frames_max)?;
    if result_wanted {
        *wanted.regs() |= RESULT;
    }
    Ok(Step::Done)
}
