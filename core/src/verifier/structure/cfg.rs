//! Control flow: every instruction is reachable, and where the walk stops to compare states.
//!
//! Kernel: `check_cfg` (6.1 … 6.18), `bpf_check_cfg` (7.3).

use super::flow::{Flow, len};
use super::{Refusal, Subprog};
use crate::isa::{Insn, InsnIdx, opcode};
use crate::kernel::{
    ASYNC_CALLBACK_HELPERS, BackEdges, CallbackCallMarks, PACKET_CHANGING_HELPERS, SYNC_CALLBACK_HELPERS,
    StructureRules,
};
use crate::program::{Layout, Program};
use bitflags::bitflags;

bitflags! {
    /// What the control-flow pass says of an instruction.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct Marks: u8 {
        /// The walk compares its state with earlier ones here: at conditional jumps, targets of jumps, starts of
        /// subprograms that are called or referred to, those calls and references, and after every call.
        #[doc(alias = "prune_point")]
        const PRUNE_POINT = 1 << 0;
        /// A path may come here from elsewhere than the instruction before, so the walk records where it came from.
        #[doc(alias = "jmp_point")]
        const JMP_POINT = 1 << 1;
        /// The walk always stores its state here (6.7 and later).
        #[doc(alias = "force_checkpoint")]
        const FORCE_CHECKPOINT = 1 << 2;
        /// The call runs callbacks before it returns (6.7 and later).
        #[doc(alias = "calls_callback")]
        const CALLS_CALLBACK = 1 << 3;
        /// The target of a jump or call; read from 7.3 on.
        #[doc(alias = "jump_target")]
        const JUMP_TARGET = 1 << 4;
    }
}

/// How an edge is drawn; whether it may close a cycle depends on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Edge {
    /// To the next instruction, from one that is no jump.
    Straight,
    /// Of a jump, taken or not, or of a function reference.
    Jump,
    /// Of a call.
    Call,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    New,
    Open,
    Done,
}

/// Checks reachability and sets the marks; notes in `subprogs` who changes packet data.
#[doc(alias = "check_cfg")]
#[doc(alias = "bpf_check_cfg")]
pub(super) fn check(
    program: &Program,
    rules: &StructureRules,
    layout: &Layout,
    subprogs: &mut [Subprog],
) -> Result<Vec<Marks>, Refusal> {
    let mut search = Search {
        program,
        rules,
        states: vec![State::New; program.insns.len()],
        stack: Vec::new(),
        marks: vec![Marks::default(); program.insns.len()],
    };
    search.open(InsnIdx(0));
    while let Some((at, next_edge)) = search.stack.pop() {
        let Some(insn) = program.insn(at) else {
            continue;
        };
        let flow = Flow::of(at, insn);
        if flow == Flow::Indirect {
            return Err(no_jump_table(layout, at));
        }
        match edges(at, insn, flow).get(next_edge) {
            Some((edge, target)) => {
                search.stack.push((at, next_edge + 1));
                search.follow(at, *edge, *target)?;
            }
            None => {
                search.close(at);
                note_packet_change(layout, subprogs, at, insn, flow);
            }
        }
    }
    check_reached(program, &search.states)?;
    Ok(search.marks)
}

/// The edges of an instruction, in the order in which they are followed.
fn edges(at: InsnIdx, insn: Insn, flow: Flow) -> smallvec::SmallVec<[(Edge, i64); 2]> {
    let next = i64::from(at.0) + i64::from(len(insn));
    let (first, second) = match flow {
        Flow::Exit | Flow::Indirect => (None, None),
        Flow::Jump(target) => (Some((Edge::Jump, target)), None),
        Flow::Branch(target) => (Some((Edge::Jump, next)), Some((Edge::Jump, target))),
        Flow::CallLocal(target) => (Some((Edge::Straight, next)), Some((Edge::Call, target))),
        Flow::FuncRef(target) => (Some((Edge::Straight, next)), Some((Edge::Jump, target))),
        Flow::Straight | Flow::CallOut => (Some((Edge::Straight, next)), None),
    };
    first.into_iter().chain(second).collect()
}

/// A jump through a register needs a map of instructions, and those cannot be created here.
fn no_jump_table(layout: &Layout, at: InsnIdx) -> Refusal {
    let start = layout.start(layout.containing(at));
    Refusal::invalid(at, format!("no jump tables found for subprog starting at {start}"))
}

/// A depth-first search from the program's start.
struct Search<'a> {
    program: &'a Program,
    rules: &'a StructureRules,
    states: Vec<State>,
    /// Instructions on the current path, each with the number of its next edge.
    stack: Vec<(InsnIdx, usize)>,
    marks: Vec<Marks>,
}

impl Search<'_> {
    fn state(&self, at: InsnIdx) -> State {
        self.states.get(at.at()).copied().unwrap_or(State::Done)
    }

    fn mark(&mut self, at: i64, marks: Marks) {
        if let Some(m) = usize::try_from(at).ok().and_then(|at| self.marks.get_mut(at)) {
            m.insert(marks);
        }
    }

    fn open(&mut self, at: InsnIdx) {
        if let Some(state) = self.states.get_mut(at.at()) {
            *state = State::Open;
            self.stack.push((at, 0));
        }
    }

    /// Kernel: `push_insn` (6.1 … 7.3), with the privileges to loop.
    fn follow(&mut self, at: InsnIdx, edge: Edge, target: i64) -> Result<(), Refusal> {
        let to = u32::try_from(target).ok().map(InsnIdx).filter(|t| t.at() < self.states.len());
        let Some(to) = to else {
            return Err(Refusal::invalid(at, format!("jump out of range from insn {at} to {target}")));
        };
        match self.state(to) {
            State::New => self.open(to),
            State::Open if edge != Edge::Jump && self.rules.back_edges == BackEdges::JumpsOnly => {
                return Err(Refusal::invalid(at, format!("back-edge from insn {at} to {to}")));
            }
            State::Open | State::Done => {}
        }
        Ok(())
    }

    /// All that follows an instruction was searched.
    fn close(&mut self, at: InsnIdx) {
        if let Some(state) = self.states.get_mut(at.at()) {
            *state = State::Done;
        }
        if let Some(insn) = self.program.insn(at) {
            self.set_marks(at, insn);
        }
    }

    /// Kernel: `visit_insn`, `visit_func_call_insn` (6.1 … 7.3).
    #[doc(alias = "visit_insn")]
    fn set_marks(&mut self, at: InsnIdx, insn: Insn) {
        const ENTRY: Marks = Marks::PRUNE_POINT.union(Marks::JMP_POINT).union(Marks::JUMP_TARGET);
        const RETURN: Marks = Marks::PRUNE_POINT.union(Marks::JMP_POINT);
        let here = i64::from(at.0);
        let next = here + i64::from(len(insn));
        match Flow::of(at, insn) {
            Flow::Straight | Flow::Exit | Flow::Indirect => {}
            Flow::Jump(target) => self.mark(target, ENTRY),
            Flow::Branch(target) => {
                self.mark(here, Marks::PRUNE_POINT);
                self.mark(target, ENTRY);
                if insn.code == opcode::MAY_GOTO {
                    self.mark(here, Marks::FORCE_CHECKPOINT);
                }
            }
            Flow::CallLocal(target) | Flow::FuncRef(target) => {
                self.mark(next, RETURN);
                self.mark(here, Marks::PRUNE_POINT);
                self.mark(target, ENTRY);
            }
            Flow::CallOut => {
                self.mark(next, RETURN);
                self.mark(here, self.callback_marks(insn));
            }
        }
    }

    fn callback_marks(&self, insn: Insn) -> Marks {
        if insn.src() != 0 {
            Marks::default()
        } else if ASYNC_CALLBACK_HELPERS.contains(&insn.imm) {
            Marks::PRUNE_POINT
        } else if SYNC_CALLBACK_HELPERS.contains(&insn.imm)
            && self.rules.callback_call_marks == CallbackCallMarks::Checkpoint
        {
            Marks::CALLS_CALLBACK | Marks::FORCE_CHECKPOINT | Marks::PRUNE_POINT | Marks::JMP_POINT
        } else {
            Marks::default()
        }
    }
}

/// Kernel: `mark_subprog_changes_pkt_data`, `merge_callee_effects` (6.13 … 7.3).
#[doc(alias = "merge_callee_effects")]
fn note_packet_change(layout: &Layout, subprogs: &mut [Subprog], at: InsnIdx, insn: Insn, flow: Flow) {
    let changes = match flow {
        Flow::CallOut => insn.src() == 0 && PACKET_CHANGING_HELPERS.contains(&insn.imm),
        Flow::CallLocal(target) | Flow::FuncRef(target) => u32::try_from(target)
            .ok()
            .and_then(|t| subprogs.get(layout.containing(InsnIdx(t)).at()))
            .is_some_and(|callee| callee.changes_packet_data),
        _ => false,
    };
    if changes && let Some(caller) = subprogs.get_mut(layout.containing(at).at()) {
        caller.changes_packet_data = true;
    }
}

fn check_reached(program: &Program, states: &[State]) -> Result<(), Refusal> {
    let state = |at: InsnIdx| states.get(at.at()).copied();
    let mut at = InsnIdx(0);
    while let Some(insn) = program.insn(at) {
        if state(at) != Some(State::Done) {
            return Err(Refusal::invalid(at, format!("unreachable insn {at}")));
        }
        if insn.is_ld_imm64() && !matches!(state(at.next()), None | Some(State::New)) {
            return Err(Refusal::invalid(at, format!("jump into the middle of ldimm64 insn {at}")));
        }
        at = InsnIdx(at.0 + len(insn));
    }
    Ok(())
}
