//! The data flow that is computed once before the walk: constants, loops, live registers and live stack slots.
//!
//! Stands for `liveness.c`, `const_fold.c` and the later half of `cfg.c` of Linux 7.3, and for the order in which
//! `bpf_check` runs them. What they answer and what the walk does with it is told in `core/docs/liveness-7.3.md`.
//! 6.18 computes only registers and loops beforehand; its walk learns of the stack from [`StackMarks`] (`core/docs/liveness-6.18.md`).
//! 6.1 and 6.12 learn all liveness from marks on states; that is not here.
//!
//! Left out: log lines, `zext_dst`, arguments on the stack (R11), jump tables (`gotox`).
//!
//! Invariants: a program is analysed in one go and nothing is reported back to the analysis, marks of the stack aside; queries
//! look up masks and do not search the program. Jump targets are taken to be valid: one outside of its subprogram is no edge.

mod access;
mod constants;
mod facts;
mod graph;
mod marks;
mod origin;
mod pointers;
mod registers;
mod stack;

#[cfg(test)]
mod concrete;
#[cfg(test)]
mod marks_tests;
#[cfg(test)]
mod recorded;
#[cfg(test)]
mod tests;

pub use access::SlotSet;
pub use facts::{Access, Callee, Direction, Facts, MapSizes, Prototype};
pub use graph::helper_calls_callback;
pub use marks::{Change, Learnt, Pass, StackMarks, WholeSlots};

use crate::isa::{InsnIdx, Op, Reg};
use crate::program::{Layout, SubprogIdx};
use constants::Constants;
use graph::{Graph, HiddenExits};
use registers::Effect;
use stack::{FRAMES_MAX, Instance, Stack};
use thiserror::Error;

/// The program to analyse.
pub struct Code<'a> {
    /// Its operations; `None` for the second half of an `ld_imm64`.
    pub ops: &'a [Option<Op>],
    /// Its subprograms.
    pub layout: &'a Layout,
    /// What the operations do not tell.
    pub facts: &'a dyn Facts,
    /// Whether branches between constants are still to be decided.
    pub branches: Branches,
}

/// Branches whose outcome is constant.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Branches {
    /// They stay as they are: the rules do not decide them, or the operations are those of a program in which they are decided.
    Kept,
    /// They are decided here.
    Decided,
}

/// Why a program is refused before the walk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Refused {
    /// A call leads back to a subprogram on the way to it, where references to callbacks count as calls. EINVAL,
    /// "recursive call from %s() to %s()" with the names of both.
    #[error("recursive call from subprogram {} to {}", caller.0, callee.0)]
    Recursion {
        /// The call that closes the circle.
        at: InsnIdx,
        /// The subprogram that holds it.
        caller: SubprogIdx,
        /// The subprogram that it calls.
        callee: SubprogIdx,
    },
    /// Too many functions had to be analysed for the arguments of their calls. E2BIG; the text is the kernel's.
    #[error("liveness analysis exceeded complexity limit ({calls} calls)")]
    TooManyCalls {
        /// How many.
        calls: u32,
    },
    /// A chain of more than 16 calls passes a pointer into a stack on. EINVAL, and the kernel says nothing in its log.
    #[error("a pointer into a stack is passed through more than 16 frames")]
    TooDeep {
        /// The call that is too deep.
        at: InsnIdx,
    },
}

/// What is known about one instruction.
#[derive(Clone, Copy, Default)]
struct Insn {
    live: u16,
    calls_callback: bool,
    hardwired: Option<i16>,
    component: u32,
}

/// What each instruction says of itself.
fn each_alone(code: &Code) -> (Vec<Insn>, Vec<Effect>) {
    let one = |op: &Option<Op>| match op {
        Some(op) => {
            let insn = Insn { calls_callback: stack::calls_callback(op, code.facts), ..Insn::default() };
            (insn, registers::effect(op, code.facts))
        }
        None => (Insn::default(), Effect::default()),
    };
    code.ops.iter().map(one).unzip()
}

/// The data flow of a program.
pub struct Liveness {
    graph: Graph,
    insns: Vec<Insn>,
    constants: Constants,
    stack: Stack,
    callees_first: Vec<u16>,
}

impl Liveness {
    /// Analyses a program as 6.18 does: registers and loops of jumps alone. Of stack slots nothing is known, so that all are live;
    /// [`StackMarks`] learns more.
    pub fn of_registers(code: &Code) -> Liveness {
        let graph = Graph::new(code.ops, code.layout, HiddenExits::Ignored);
        let (mut insns, effects) = each_alone(code);
        let found = graph.loops(|_| false).into_iter().zip(registers::live(&graph, &effects));
        for (insn, (component, live)) in insns.iter_mut().zip(found) {
            (insn.component, insn.live) = (component, live);
        }
        Liveness { graph, insns, constants: Constants::default(), stack: Stack::default(), callees_first: Vec::new() }
    }

    /// Analyses a program.
    pub fn analyse(code: &Code) -> Result<Liveness, Refused> {
        let mut graph = Graph::new(code.ops, code.layout, HiddenExits::Edges);
        let constants = Constants::analyse(code.ops, code.layout, &graph, code.facts);
        let decided = match code.branches {
            Branches::Kept => Vec::new(),
            Branches::Decided => constants.decided(code.ops),
        };
        graph.decide(&decided);
        let callees_first = graph.callees_first(code.ops, code.layout)?;

        let (mut insns, mut effects) = each_alone(code);
        for &(at, off) in &decided {
            insns[at as usize].hardwired = Some(off);
            effects[at as usize] = Effect::default();
        }
        let components = graph.loops(|at| insns[at as usize].calls_callback);
        insns.iter_mut().zip(components).for_each(|(insn, component)| insn.component = component);
        let stack = stack::analyse(code, &graph, &constants, &callees_first)?;
        for (insn, live) in insns.iter_mut().zip(registers::live(&graph, &effects)) {
            insn.live = live;
        }
        Ok(Liveness { graph, insns, constants, stack, callees_first })
    }

    fn insn(&self, at: InsnIdx) -> Insn {
        self.insns.get(at.at()).copied().unwrap_or_default()
    }

    /// The registers that are live before an instruction, bit n for Rn. Before a packet load all 16 bits are set.
    #[doc(alias = "live_regs_before")]
    pub fn live_regs(&self, at: InsnIdx) -> u16 {
        self.insn(at).live
    }

    /// The number of the strongly connected component (loop) that holds an instruction, from 1 on; 0 when it is in
    /// none. A call that calls a callback is one by itself.
    pub fn scc(&self, at: InsnIdx) -> u32 {
        self.insn(at).component
    }

    /// The offset of the `goto` that stands for a conditional jump whose outcome is constant. The walk, and
    /// everything after it, has that `goto` in place of the conditional jump.
    #[doc(alias = "bpf_prune_dead_branches")]
    pub fn hardwired(&self, at: InsnIdx) -> Option<i16> {
        self.insn(at).hardwired
    }

    /// Whether an instruction calls a callback before it goes on.
    #[doc(alias = "bpf_calls_callback")]
    pub fn calls_callback(&self, at: InsnIdx) -> bool {
        self.insn(at).calls_callback
    }

    /// The constant that R0 to R9 hold before an instruction on every path, if it fits 32 bits.
    #[doc(alias = "const_reg_vals")]
    pub fn constant(&self, at: InsnIdx, reg: Reg) -> Option<u32> {
        self.constants.constant(at.0, reg)
    }

    /// The subprograms with callees before their callers.
    #[doc(alias = "subprog_topo_order")]
    pub fn callees_first(&self) -> impl DoubleEndedIterator<Item = SubprogIdx> + '_ {
        self.callees_first.iter().map(|n| SubprogIdx(*n))
    }
}

/// Where a frame is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FrameAt {
    /// Its subprogram.
    pub subprog: SubprogIdx,
    /// The instruction that it is at: for an outer frame, the one that called the next.
    pub at: InsnIdx,
}

/// A question about the stacks of one state: its frames, outermost first.
///
/// Kernel: `bpf_live_stack_query_init` (7.3).
#[doc(alias = "bpf_live_stack_query_init")]
pub struct Query<'a> {
    liveness: &'a Liveness,
    frames: &'a [FrameAt],
    instances: [Option<&'a Instance>; FRAMES_MAX],
}

impl<'a> Query<'a> {
    /// Looks up the analysis of each frame. Of more than 16 frames the others are not looked at, and everything in
    /// them is live.
    pub fn new(liveness: &'a Liveness, frames: &'a [FrameAt]) -> Query<'a> {
        let frames = &frames[..frames.len().min(FRAMES_MAX)];
        let mut instances = [None; FRAMES_MAX];
        let mut call = None;
        for (n, frame) in frames.iter().enumerate() {
            instances[n] = liveness.stack.lookup(frame.subprog.at(), call, n as u8);
            call = Some(frame.at.0);
        }
        Query { liveness, frames, instances }
    }

    /// The slots of a frame (0 is the outermost) that may be read after this state.
    ///
    /// Kernel: `bpf_stack_slot_alive` (7.3), for all slots at once.
    #[doc(alias = "bpf_stack_slot_alive")]
    pub fn live_slots(&self, frame: usize) -> SlotSet {
        let Some((current, callers)) = self.frames.split_last() else {
            return access::ALL;
        };
        let (Some(instance), true) = (self.instances[callers.len()], frame <= callers.len()) else {
            return access::ALL;
        };
        let mut live = match depth_in(instance, callers.len(), frame) {
            Some(depth) => instance.live(depth, current.at.0),
            None => 0,
        };
        for (n, caller) in callers.iter().enumerate().skip(frame) {
            let Some((instance, depth)) = self.instances[n].and_then(|i| Some((i, depth_in(i, n, frame)?))) else {
                return access::ALL;
            };
            // A callback may run again, so that its call is still ahead.
            let at = if self.liveness.calls_callback(caller.at) { caller.at } else { caller.at.next() };
            live |= instance.live(depth, at.0);
        }
        live
    }
}

/// The depth that frame `frame` had when the instance of frame `own` was analysed; `None` when it was no part of that
/// chain.
fn depth_in(instance: &Instance, own: usize, frame: usize) -> Option<u8> {
    let depth = (frame + usize::from(instance.depth())).checked_sub(own)?;
    u8::try_from(depth).ok().filter(|depth| *depth <= instance.depth())
}
