//! The walk over all paths: one instruction at a time, branches put aside and taken up again, last in first out.
//!
//! Stands for `do_check`, `do_check_common`, `push_stack`, `pop_stack` (6.1 … 7.3). What an instruction does is in the rooms
//! beside this one: `alu`, `branch`, `memory`, `stack`, `call`.
//!
//! Left out: speculative paths (programs are loaded with all privileges, so no kernel walks them), locks, kfuncs.

use super::budget::{self, Budget, Meter};
use super::history::{Histories, HistoryEntry};
use super::liveness::{Liveness, StackMarks};
use super::log::{Log, Touched};
use super::precision::{self, Trail, Walked, Wanted};
use super::state::{Cell, Frame, Kind, Marks, Reg, State};
use super::structure::{self, ArgKind, Marks as Points, Structure};
use super::verdict::{Errno, Unfit};
use super::visit::{Visits, chain_of};
use crate::btf::Linkage;
use crate::isa::{InsnIdx, Op, Reg as RegNo};
use crate::kernel::limits::{INSNS_PROCESSED_MAX, PENDING_BRANCHES_MAX};
use crate::kernel::{GlobalCalls, LivenessModel, RangeModel, Rules, Shown};
use crate::program::{Program, SubprogIdx};
use std::rc::Rc;

/// Why the walk ends before all paths are seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Stop {
    /// The program is refused. The last line of the text is the reason; lines before it stand in the log alone.
    Reject { errno: Errno, text: String },
    /// The kernel contradicts itself: `EFAULT`. Newer ones say so in the program's log, older ones in their own; `line` is
    /// what some of those put into the program's log besides.
    Bug { warning: String, line: Option<String> },
    /// The program needs what is not modelled.
    Unsupported(String),
    /// The budget of the walk is spent.
    Spent(String),
}

impl Stop {
    /// Refused with `EACCES`.
    pub fn access(text: impl Into<String>) -> Stop {
        Stop::Reject { errno: Errno::EACCES, text: text.into() }
    }

    /// Refused with `EINVAL`.
    pub fn invalid(text: impl Into<String>) -> Stop {
        Stop::Reject { errno: Errno::EINVAL, text: text.into() }
    }

    /// Refused with `E2BIG`.
    pub fn too_big(text: impl Into<String>) -> Stop {
        Stop::Reject { errno: Errno::E2BIG, text: text.into() }
    }

    /// The kernel contradicts itself.
    pub fn bug(text: impl Into<String>) -> Stop {
        Stop::Bug { warning: text.into(), line: None }
    }

    /// The kernel contradicts itself, and older ones say so in the program's log in other words.
    pub fn bug_said(text: impl Into<String>, line: impl Into<String>) -> Stop {
        Stop::Bug { warning: text.into(), line: Some(line.into()) }
    }

    /// Not modelled.
    pub fn unsupported(what: impl Into<String>) -> Stop {
        Stop::Unsupported(what.into())
    }
}

/// The outcome of a check.
pub(super) type Check<T = ()> = Result<T, Stop>;

/// Where a path goes after an instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Next {
    /// To the instruction that follows.
    Straight,
    /// Elsewhere.
    To(InsnIdx),
    /// The path ends here.
    End,
}

/// A state that was remembered to prune later paths.
#[doc(alias = "bpf_verifier_state_list")]
#[derive(Clone, Debug)]
pub(super) struct Checkpoint {
    pub state: State,
    pub misses: u32,
    pub hits: u32,
    /// What no path reads was dropped.
    pub cleaned: bool,
    /// No path is compared with it any more.
    pub evicted: bool,
    /// Every number here, and in the checkpoints before this one, is marked precise: there is nothing left to mark.
    pub all_precise: bool,
}

/// A branch that waits.
#[doc(alias = "bpf_verifier_stack_elem")]
struct Pending {
    state: State,
    at: InsnIdx,
    prev: Option<InsnIdx>,
    remark: Option<Rc<str>>,
    /// How long the log was then.
    log_position: usize,
}

/// What the visits of one instruction left behind.
#[doc(alias = "bpf_insn_aux_data")]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct InsnFacts {
    /// Some path came here.
    pub seen: bool,
    /// The pointer type that a load or store was first seen with.
    pub pointer: Option<Kind>,
    /// For a call of `bpf_loop`, what its visits say; `None` before the first.
    pub site: Option<Result<SubprogIdx, Unfit>>,
    /// The map of a helper call, while all visits agree; `Some(None)` when they do not.
    pub map: Option<Option<u32>>,
}

/// What was learnt of a subprogram.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SubprogFacts {
    /// Deepest use of the stack in bytes.
    pub depth: u16,
    /// Some helper calls it back.
    pub is_callback: bool,
    /// A global function that some path calls.
    pub called: bool,
    /// A global function that was verified.
    pub verified: bool,
    /// Offset from R10 below which only fastcall patterns use the stack, as far as paths have shown.
    pub patterns_below: i16,
    /// A caller did not fit the prototype: it is not looked at again.
    pub unreliable: bool,
}

impl SubprogFacts {
    fn before_walk(structure: &Structure, n: usize) -> SubprogFacts {
        let stack = structure.fastcall.stack(SubprogIdx(n as u16));
        SubprogFacts { patterns_below: stack.off, ..SubprogFacts::default() }
    }
}

/// What the last line of a log counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Statistics {
    /// Most checkpoints that were looked through at one instruction.
    pub states_per_insn_max: u32,
    /// Checkpoints.
    pub states: u32,
    /// Checkpoints and paths at back edges that are kept.
    pub states_kept: u32,
    /// The most that were at a time.
    pub states_peak: u32,
    /// The longest way of a read mark.
    pub mark_read: u32,
}

impl Statistics {
    /// One more checkpoint is kept.
    pub fn keep_one_more(&mut self) {
        self.states_kept += 1;
        self.states_peak = self.states_peak.max(self.states_kept);
    }
}

/// The walk.
pub(super) struct Walker<'a> {
    pub program: &'a Program,
    pub structure: &'a Structure,
    pub rules: &'a Rules,
    pub liveness: Option<&'a Liveness>,
    /// What the walk learns of the stack's liveness, where the rules have it so.
    pub stack_marks: Option<StackMarks>,
    pub cur: State,
    pub at: InsnIdx,
    pub prev: Option<InsnIdx>,
    pending: Vec<Pending>,
    pub checkpoints: Vec<Checkpoint>,
    pub visits: Visits,
    /// The jump histories of all states.
    pub histories: Histories,
    /// What was followed backwards already.
    walked: Walked,
    /// What a checkpoint holds that is not needed any more.
    pub nothing: Rc<Frame>,
    pub insns: Vec<InsnFacts>,
    pub subprogs: Vec<SubprogFacts>,
    pub id_gen: u32,
    pub insns_processed: u32,
    pub(super) meter: Meter,
    pub jumps_processed: u32,
    /// Whether the current instruction has an entry in the path's history, the newest one.
    pub in_history: bool,
    /// The last line that the path left in the log without being refused.
    pub remark: Option<Rc<str>>,
    /// What instructions touched since states were last logged.
    pub touched: Touched,
    pub log: Option<Log<'a>>,
    pub statistics: Statistics,
    /// Some path wrote to the packet through a pointer.
    pub writes_packet: bool,
}

impl<'a> Walker<'a> {
    /// A walk that has not begun.
    pub fn new(
        program: &'a Program,
        structure: &'a Structure,
        rules: &'a Rules,
        liveness: Option<&'a Liveness>,
        log: Option<Log<'a>>,
        budget: Budget,
    ) -> Walker<'a> {
        let main = Frame::new(rules.range_model, None, 0, SubprogIdx::MAIN);
        let nothing = Rc::new(main.clone());
        Walker {
            program,
            structure,
            rules,
            liveness,
            stack_marks: (rules.walk.liveness == LivenessModel::Recorded)
                .then(|| StackMarks::new(rules.walk.earlier_writes)),
            cur: State::new(main, InsnIdx(0)),
            at: InsnIdx(0),
            prev: None,
            pending: Vec::new(),
            checkpoints: Vec::new(),
            visits: Visits::new(program.insns.len()),
            histories: Histories::default(),
            walked: Walked::default(),
            nothing,
            insns: vec![InsnFacts::default(); program.insns.len()],
            subprogs: (0..structure.layout.len()).map(|n| SubprogFacts::before_walk(structure, n)).collect(),
            id_gen: 0,
            insns_processed: 0,
            meter: Meter::new(budget),
            jumps_processed: 0,
            in_history: false,
            remark: None,
            touched: Touched::ALL,
            log,
            statistics: Statistics::default(),
            writes_packet: false,
        }
    }

    /// Walks all paths of a function from its entry.
    ///
    /// Kernel: `do_check_common` (6.1 … 7.3).
    #[doc(alias = "do_check_common")]
    pub fn walk_function(&mut self, subprog: SubprogIdx) -> Check {
        let model = self.model();
        let start = self.structure.layout.start(subprog);
        let mut frame = Frame::new(model, None, 0, subprog);
        self.log_function_begin(subprog);
        if subprog == SubprogIdx::MAIN {
            frame.regs[1] = Reg::pointer(model, Kind::Ctx);
        } else {
            self.arguments(subprog, &mut frame)?;
        }
        self.cur = State::new(frame, start);
        self.at = start;
        self.prev = None;
        self.pending.clear();
        self.checkpoints.clear();
        self.visits.clear();
        self.histories.clear();
        self.walked.clear();
        self.touched = Touched::ALL;
        if subprog == SubprogIdx::MAIN {
            self.look_at_main()?;
        }
        self.walk_paths()?;
        self.log_function_end(subprog);
        self.remark = None;
        Ok(())
    }

    /// What main's prototype says does not matter, unless main is called.
    fn look_at_main(&mut self) -> Check {
        match self.rules.log.global_calls {
            GlobalCalls::ByNumber => {
                let _remarked = self.fit_arguments(SubprogIdx::MAIN)?;
            }
            GlobalCalls::ByName => {
                let main = &self.structure.subprogs[0].signature;
                let fits = matches!(main, Some(Ok(signature)) if signature.args == [ArgKind::Ctx]);
                self.subprogs[0].unreliable = !fits;
            }
        }
        Ok(())
    }

    /// Kernel: `do_check` (6.1 … 7.3).
    #[doc(alias = "do_check")]
    fn walk_paths(&mut self) -> Check {
        loop {
            self.in_history = false;
            if self.at.at() >= self.insns.len() {
                let text = format!("invalid insn idx {} insn_cnt {}", self.at, self.insns.len());
                return Err(Stop::Reject { errno: Errno::EFAULT, text });
            }
            self.insns_processed += 1;
            if self.meter.is_due(self.insns_processed) {
                self.look_at_budget()?;
            }
            if self.insns_processed > INSNS_PROCESSED_MAX {
                let text = format!("BPF program is too large. Processed {} insn", self.insns_processed);
                return Err(Stop::too_big(text));
            }
            self.cur.last_insn = self.prev;
            self.cur.insn = self.at;
            let next = if self.arrive()? {
                if let Some(log) = &mut self.log {
                    log.safe(self.prev, self.at);
                }
                Next::End
            } else {
                if let Some(log) = &mut self.log {
                    log.instruction(self.prev, self.at, &self.cur, &mut self.touched);
                }
                self.begin_marks();
                let next = self.step()?;
                if let Some(marks) = &mut self.stack_marks {
                    marks.commit();
                }
                next
            };
            match next {
                Next::Straight => self.at = self.at.next(),
                Next::To(at) => self.at = at,
                Next::End => {
                    self.touched = Touched::ALL;
                    self.finish_path()?;
                    self.pass_on_marks();
                    let Some(pending) = self.pending.pop() else { return Ok(()) };
                    self.cur = pending.state;
                    self.at = pending.at;
                    self.prev = pending.prev;
                    self.remark = pending.remark;
                    if let Some(log) = &mut self.log {
                        log.resume(pending.log_position);
                    }
                }
            }
        }
    }

    /// Gives the walk up when it takes more than it may.
    fn look_at_budget(&mut self) -> Check {
        let budget = self.meter.budget();
        if self.insns_processed > budget.insns {
            return Err(Stop::Spent(budget.insns_spent()));
        }
        if self.meter.has_compared_too_many() {
            return Err(Stop::Spent(Budget::comparisons_spent()));
        }
        let states = self.checkpoints.len() + self.pending.len() + self.visits.back_edges();
        if self.meter.look(self.insns_processed, states) && self.bytes() > budget.bytes {
            return Err(Stop::Spent(budget.bytes_spent()));
        }
        Ok(())
    }

    /// Bytes of memory that the walk keeps.
    fn bytes(&self) -> usize {
        let checkpoints: usize = self.checkpoints.iter().map(|c| c.state.bytes()).sum();
        let pending: usize = self.pending.iter().map(|p| p.state.bytes()).sum();
        let unused = (self.checkpoints.capacity() - self.checkpoints.len()) * size_of::<Checkpoint>();
        budget::allocated(checkpoints + pending + self.visits.bytes() + unused) + self.histories.bytes()
    }

    fn log_function_begin(&mut self, subprog: SubprogIdx) {
        if let Some(log) = &mut self.log {
            log.begin();
        }
        if subprog != SubprogIdx::MAIN {
            let name = self.structure.subprogs[subprog.at()].name.as_deref().unwrap_or_default();
            self.remark_on_global(format!("Validating {name}() func#{}...", subprog.0));
        }
    }

    /// The same of a global function, which the oldest kernels say only to those who want a long log.
    pub fn remark_on_global(&mut self, line: String) {
        match (self.rules.log.global_calls, &mut self.log) {
            (GlobalCalls::ByName, _) => self.remark(line),
            (GlobalCalls::ByNumber, Some(log)) => log.line(format_args!("{line}")),
            (GlobalCalls::ByNumber, None) => {}
        }
    }

    /// Leaves a line in the log that does not refuse the program.
    pub fn remark(&mut self, line: impl Into<Rc<str>>) {
        let line = line.into();
        if let Some(log) = &mut self.log {
            log.line(format_args!("{line}"));
        }
        self.remark = Some(match line.rsplit_once('\n') {
            Some((_, last)) => last.into(),
            None => line,
        });
    }

    fn log_function_end(&mut self, subprog: SubprogIdx) {
        let Some(log) = &mut self.log else { return };
        log.end();
        if subprog != SubprogIdx::MAIN {
            let n = subprog.0;
            match (self.rules.log.global_calls, self.structure.subprogs[subprog.at()].name.as_deref()) {
                (GlobalCalls::ByName, name) => {
                    let name = name.unwrap_or_default();
                    log.line(format_args!("Func#{n} ('{name}') is safe for any args that match its prototype"));
                }
                (GlobalCalls::ByNumber, _) => {
                    log.line(format_args!("Func#{n} is safe for any args that match its prototype"));
                }
            }
        }
    }

    fn step(&mut self) -> Check<Next> {
        let at = self.at;
        self.insns[at.at()].seen = true;
        self.prev = Some(at);
        let Some(op) = self.structure.ops.get(at.at()).copied().flatten() else {
            return self.refuse_fields();
        };
        match op {
            Op::Alu { .. } | Op::MovSx { .. } | Op::Neg { .. } | Op::Endian { .. } | Op::AddrSpaceCast { .. } => {
                self.check_alu(&op)?;
                Ok(Next::Straight)
            }
            Op::Load { size, signed, dst, base, off } => {
                self.check_load(size, signed, dst, base, off, false)?;
                Ok(Next::Straight)
            }
            Op::Store { size, base, off, src } => {
                self.check_store(size, base, off, src)?;
                Ok(Next::Straight)
            }
            Op::Atomic { size, op, base, off, src } => {
                self.check_atomic(size, op, base, off, src)?;
                Ok(Next::Straight)
            }
            Op::LdImm64 { dst, imm } => {
                self.check_ld_imm64(dst, imm)?;
                if let Some(second) = self.insns.get_mut(at.at() + 1) {
                    second.seen = true;
                }
                Ok(Next::To(InsnIdx(at.0 + 2)))
            }
            Op::LdAbs { .. } => self.check_ld_abs(None),
            Op::LdInd { src, .. } => self.check_ld_abs(Some(src)),
            _ => {
                self.jumps_processed += 1;
                self.step_jump(&op)
            }
        }
    }

    /// An instruction whose fields are refused when a path comes to it.
    fn refuse_fields(&mut self) -> Check<Next> {
        let at = self.at;
        let insn = self.program.insn(at).unwrap_or_default();
        match structure::check_fields(insn, &self.rules.structure) {
            Ok(()) => Err(Stop::bug(format!("no instruction at {at}"))),
            Err(fault) => {
                for reg in fault.reads {
                    self.read_reg(reg)?;
                }
                Err(Stop::Reject { errno: fault.errno, text: fault.text })
            }
        }
    }

    fn step_jump(&mut self, op: &Op) -> Check<Next> {
        match *op {
            Op::Jump { off, .. } => Ok(Next::To(self.target(off))),
            Op::JumpIf { width, cond, dst, src, off } => {
                let next = self.check_jump_if(width, cond, dst, src, off)?;
                if let Some(log) = &mut self.log {
                    log.touched(self.at, &self.cur, &mut self.touched);
                }
                Ok(next)
            }
            Op::MayGoto { off } => self.check_may_goto(off),
            Op::CallLocal { rel, .. } => {
                self.touch_result();
                self.check_local_call(rel)
            }
            Op::CallHelper { id } => {
                self.touch_result();
                self.check_helper_call(id)
            }
            // One that a loader could not find does nothing; what is left of it after the walk refuses the program.
            Op::CallKfunc { id: 0, .. } => {
                self.touch_result();
                Ok(Next::Straight)
            }
            Op::CallKfunc { id, .. } => Err(Stop::unsupported(format!("kfunc {id}"))),
            Op::Exit => self.check_exit(),
            _ => Err(Stop::bug("not a jump")),
        }
    }

    fn touch_result(&mut self) {
        if self.rules.log.shown >= Shown::AndReads {
            self.touched.reg(RegNo::R0.n());
        }
    }

    /// The target of a jump from the current instruction.
    pub fn target(&self, off: i32) -> InsnIdx {
        self.at.offset(i64::from(off) + 1).unwrap_or(InsnIdx(u32::MAX))
    }

    /// Puts a branch aside.
    ///
    /// Kernel: `push_stack` (6.1 … 7.3).
    #[doc(alias = "push_stack")]
    pub fn push_branch(&mut self, at: InsnIdx) -> Check<&mut State> {
        self.histories.share();
        let state = self.cur.clone();
        if let Some(parent) = state.parent {
            self.checkpoints[parent as usize].state.branches += 1;
        }
        let log_position = self.log.as_ref().map_or(0, Log::position);
        let remark = self.remark.clone();
        self.pending.push(Pending { state, at, prev: Some(self.at), remark, log_position });
        let waiting = self.pending.len();
        if waiting > PENDING_BRANCHES_MAX {
            return Err(Stop::Reject {
                errno: Errno(self.rules.walk.pending_errno),
                text: format!("The sequence of {waiting} jumps is too complex."),
            });
        }
        match self.pending.last_mut() {
            Some(pending) => Ok(&mut pending.state),
            None => Err(Stop::bug("no pending branch")),
        }
    }

    /// The state of the branch that was put aside last.
    pub fn last_pushed(&mut self) -> Option<&mut State> {
        self.pending.last_mut().map(|p| &mut p.state)
    }

    /// How ranges are represented.
    pub fn model(&self) -> RangeModel {
        self.rules.range_model
    }

    /// A fresh id.
    pub fn new_id(&mut self) -> u32 {
        self.id_gen += 1;
        self.id_gen
    }

    /// True when `points` are set at an instruction.
    pub fn has_points(&self, at: InsnIdx, points: Points) -> bool {
        self.structure.marks.get(at.at()).is_some_and(|m| m.contains(points))
    }

    /// A register of the current frame.
    pub fn reg(&self, reg: RegNo) -> &Reg {
        &self.cur.top().regs[reg.at()]
    }

    /// A register of the current frame, to change it.
    pub fn reg_mut(&mut self, reg: RegNo) -> &mut Reg {
        &mut self.cur.top_mut().regs[reg.at()]
    }

    /// Checks that a register may be read, and remembers that it was.
    ///
    /// Kernel: `check_reg_arg` with `SRC_OP` (6.1 … 7.3).
    #[doc(alias = "check_reg_arg")]
    pub fn read_reg(&mut self, reg: RegNo) -> Check {
        self.touched.reg(reg.n());
        let state = self.reg(reg);
        if state.kind == Kind::NotInit {
            return Err(Stop::access(format!("R{} !read_ok", reg.n())));
        }
        let marks = state.marks;
        if reg != RegNo::R10 {
            self.mark_read(marks);
        }
        Ok(())
    }

    /// Checks that a register may be written, and remembers that it was.
    ///
    /// Kernel: `check_reg_arg` with `DST_OP_NO_MARK` (6.1 … 7.3).
    pub fn write_reg(&mut self, reg: RegNo) -> Check {
        self.touched.reg(reg.n());
        if reg == RegNo::R10 {
            return Err(Stop::access("frame pointer is read only"));
        }
        if self.by_read_marks() {
            self.reg_mut(reg).marks.written = true;
        }
        Ok(())
    }

    /// Gives a register a content; its marks stay.
    pub fn set_reg(&mut self, reg: RegNo, content: Reg) {
        self.reg_mut(reg).assign(content);
    }

    /// Makes a register an unknown number.
    pub fn set_unknown(&mut self, reg: RegNo) {
        let unknown = Reg::unknown(self.model());
        self.set_reg(reg, unknown);
    }

    /// True when liveness comes from read marks.
    pub fn by_read_marks(&self) -> bool {
        self.rules.walk.liveness == LivenessModel::ReadMarks
    }

    /// Hands a read to the checkpoints whose value was read.
    ///
    /// Kernel: `mark_reg_read` (6.1 … 6.17).
    #[doc(alias = "mark_reg_read")]
    pub fn mark_read(&mut self, mut marks: Marks) {
        if !self.by_read_marks() {
            return;
        }
        let mut steps = 0;
        while let Some(place) = marks.parent {
            if marks.written {
                break;
            }
            let frame = self.checkpoints[place.checkpoint as usize].state.frame_mut(usize::from(place.frame));
            let Some(reg) = frame.cell_mut(place.cell) else { break };
            if reg.marks.read {
                break;
            }
            reg.marks.read = true;
            marks = reg.marks;
            steps += 1;
        }
        self.statistics.mark_read = self.statistics.mark_read.max(steps);
    }

    /// An instruction of the path may read a slot.
    ///
    /// Kernel: `bpf_mark_stack_read` (6.18).
    pub fn mark_slot_read(&mut self, frame: usize, slot: usize) {
        if let Some(marks) = &mut self.stack_marks {
            marks.read(frame, slot);
        }
    }

    fn begin_marks(&mut self) {
        if let (Some(marks), Some(liveness)) = (&mut self.stack_marks, self.liveness) {
            marks.begin(liveness, self.at, || chain_of(&self.cur));
        }
    }

    /// The path ends, or leaves a function: what it read and wrote counts for all before it.
    ///
    /// Kernel: `bpf_update_live_stack` (6.18).
    pub fn pass_on_marks(&mut self) {
        let (Some(marks), Some(liveness)) = (&mut self.stack_marks, self.liveness) else { return };
        let mut log = self.log.as_mut().filter(|log| log.is_all());
        let mut passes = Vec::new();
        marks.update(liveness, &chain_of(&self.cur), log.is_some().then_some(&mut passes));
        if let Some(log) = &mut log {
            passes.iter().for_each(|pass| log.stack_marks(pass));
        }
    }

    /// Records the current instruction in the path's history, or adds to its entry.
    ///
    /// Kernel: `push_jmp_history` (6.1 … 7.3).
    #[doc(alias = "push_jmp_history")]
    pub fn push_history(&mut self, fill: impl FnOnce(&mut HistoryEntry)) {
        if !std::mem::replace(&mut self.in_history, true) {
            self.cur.history = self.histories.push(self.cur.history, self.at, self.cur.last_insn);
        }
        self.cur.history = self.histories.fill(self.cur.history, fill);
    }

    /// Makes a register's value count on the path that led here.
    ///
    /// Kernel: `mark_chain_precision` (6.1 … 7.3).
    #[doc(alias = "mark_chain_precision")]
    pub fn mark_precise(&mut self, reg: RegNo) -> Check {
        if self.reg(reg).kind != Kind::Scalar {
            return Err(Stop::bug("backtracking misuse"));
        }
        let frame = self.cur.depth();
        let mut wanted = Wanted::nothing(frame);
        wanted.add(frame, Cell::Reg(reg.n()));
        self.mark_wanted(wanted).map(|_| ())
    }

    /// Makes registers and slots count on the path that led here; answers whether that was news to a checkpoint.
    pub fn mark_wanted(&mut self, wanted: Wanted) -> Check<bool> {
        let (structure, rules) = (self.structure, self.rules);
        let mut marking = Marking {
            structure,
            rules,
            histories: &self.histories,
            checkpoints: &mut self.checkpoints,
            log: &mut self.log,
        };
        marking.mark(&self.cur, wanted, Some(&mut self.walked))
    }

    /// The same for another path that ended, at a back edge.
    pub fn mark_wanted_from(&mut self, start: &State, wanted: Wanted) -> Check<bool> {
        let (structure, rules) = (self.structure, self.rules);
        let mut marking = Marking {
            structure,
            rules,
            histories: &self.histories,
            checkpoints: &mut self.checkpoints,
            log: &mut self.log,
        };
        marking.mark(start, wanted, None)
    }
}

/// The part of a walk that the way back needs, beside the path that it starts from.
struct Marking<'w, 'a> {
    structure: &'w Structure,
    rules: &'w Rules,
    histories: &'w Histories,
    checkpoints: &'w mut [Checkpoint],
    log: &'w mut Option<Log<'a>>,
}

impl Marking<'_, '_> {
    fn mark(&mut self, start: &State, wanted: Wanted, walked: Option<&mut Walked>) -> Check<bool> {
        let structure = self.structure;
        let trail = Trail {
            ops: &structure.ops,
            rules: self.rules,
            histories: self.histories,
            is_global: &|start| {
                let subprog = structure.layout.starting(start);
                subprog.is_some_and(|s| structure.subprogs[s.at()].linkage == Some(Linkage::Global))
            },
            calls_callback: &|at| structure.marks.get(at.at()).is_some_and(|m| m.contains(Points::CALLS_CALLBACK)),
        };
        let log = self.log.as_mut().filter(|log| log.is_all());
        // With a log, every step of the way back is written.
        let walked = walked.filter(|_| log.is_none());
        precision::mark_chain(&trail, start, self.checkpoints, wanted, walked, log)
    }
}
