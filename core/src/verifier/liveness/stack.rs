//! Which stack slots are live before each instruction, by function and call.
//!
//! Stands for `analyze_subprog`, `bpf_compute_subprog_arg_access` and the instances of `liveness.c` (7.3). An
//! instance is a function called from one instruction at one depth; a function that gets no pointer into a stack is
//! its own instance at depth 0, wherever it is called from. Several chains of calls that end in the same call at the
//! same depth share an instance.
//!
//! Invariant: the functions that are being analysed form one chain of at most 16, whose depths are 0, 1, ….

use super::access::{Recorder, Slots};
use super::constants::Constants;
use super::facts::Facts;
use super::graph::{
    Graph, HELPER_FIND_VMA, HELPER_FOR_EACH_MAP_ELEM, HELPER_USER_RINGBUF_DRAIN, helper_calls_callback,
};
use super::origin::Origin;
use super::pointers::{Pointers, Spills};
use super::{Code, Refused};
use crate::isa::{InsnIdx, Op, Reg};
use crate::kernel::limits;
use crate::program::subprog_target;
use std::ops::Range;

/// Frames of a chain of calls.
pub(super) const FRAMES_MAX: usize = 16;
/// Functions that are analysed before the kernel gives up.
const RUNS_MAX: u32 = 10_000;
const NONE: u32 = u32::MAX;

/// A function that was called from one place at one depth.
pub(super) struct Instance {
    depth: u8,
    start: u32,
    len: usize,
    /// Slots of frame f and instruction i of the function are at `f * len + i`.
    slots: Vec<Slots>,
    /// The next instance with the same call, or `NONE`.
    next: u32,
    analysed: bool,
}

impl Instance {
    /// Depth of the function in the chain that it was analysed for.
    pub(super) fn depth(&self) -> u8 {
        self.depth
    }

    /// Slots of the frame at `frame` that are live before an instruction of the function.
    pub(super) fn live(&self, frame: u8, at: u32) -> u128 {
        let i = at.wrapping_sub(self.start) as usize;
        if frame > self.depth || i >= self.len {
            return 0;
        }
        self.slots.get(usize::from(frame) * self.len + i).map_or(0, |slots| slots.live)
    }

    /// Adds what another analysis of the same instance recorded: reads are united, writes are only certain in both.
    ///
    /// Kernel: `merge_instances` (7.3).
    #[doc(alias = "merge_instances")]
    fn merge(&mut self, recorded: Vec<Slots>) {
        if !std::mem::replace(&mut self.analysed, true) {
            self.slots = recorded;
            return;
        }
        for (old, new) in self.slots.iter_mut().zip(recorded) {
            old.read |= new.read;
            old.written &= new.written;
        }
    }

    /// Computes the live slots from what is read and written.
    ///
    /// Kernel: `update_instance` (7.3).
    #[doc(alias = "update_instance")]
    fn update(&mut self, graph: &Graph, subprog: usize) {
        for slots in self.slots.chunks_exact_mut(self.len.max(1)) {
            let mut changed = slots.iter().any(|s| s.read != 0);
            while changed {
                changed = false;
                for &at in graph.postorder(subprog) {
                    let next = graph.successors(at);
                    let i = (at - self.start) as usize;
                    if next.is_empty() {
                        continue;
                    }
                    let after = next.iter().fold(0, |set, to| set | slots[(to - self.start) as usize].live);
                    let before = after & !slots[i].written | slots[i].read;
                    changed |= before != slots[i].live;
                    slots[i].live = before;
                }
            }
        }
    }
}

/// All instances.
#[derive(Default)]
pub(super) struct Stack {
    instances: Vec<Instance>,
    /// First instance by the instruction that calls it (depth above 0), or `NONE`.
    called_at: Vec<u32>,
    /// The instance at depth 0 by subprogram, or `NONE`.
    alone: Vec<u32>,
}

impl Stack {
    /// The instance at exactly that depth. `call` is the instruction that called, and not looked at for depth 0.
    fn find(&self, subprog: usize, call: Option<u32>, depth: u8) -> Option<u32> {
        let mut n = if depth == 0 { *self.alone.get(subprog)? } else { *self.called_at.get(call? as usize)? };
        while let Some(instance) = self.instances.get(n as usize) {
            if instance.depth == depth {
                return Some(n);
            }
            n = instance.next;
        }
        None
    }

    /// The instance of a frame: that of its call at the frame's own depth, else at the next smaller one.
    ///
    /// Kernel: `lookup_instance` (7.3).
    #[doc(alias = "lookup_instance")]
    pub(super) fn lookup(&self, subprog: usize, call: Option<u32>, frame: u8) -> Option<&Instance> {
        let n = (0..=frame).rev().find_map(|depth| self.find(subprog, call, depth))?;
        self.instances.get(n as usize)
    }

    fn find_or_add(&mut self, subprog: usize, call: Option<u32>, depth: u8, body: &Range<u32>) -> u32 {
        if let Some(n) = self.find(subprog, call, depth) {
            return n;
        }
        let n = self.instances.len() as u32;
        let head = match call {
            Some(call) if depth > 0 => self.called_at.get_mut(call as usize),
            _ => self.alone.get_mut(subprog),
        };
        let next = head.map_or(NONE, |head| std::mem::replace(head, n));
        let (start, len) = (body.start, body.len());
        self.instances.push(Instance { depth, start, len, slots: Vec::new(), next, analysed: false });
        n
    }
}

/// What a call instruction calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Target {
    /// A subprogram with R1 to R5 as they are.
    Local(u16),
    /// A callback whose parameter `to` is the argument `from`.
    Callback { subprog: u16, from: Reg, to: Reg },
    /// A callback that the constants do not tell, with its context in `from`.
    UnknownCallback { from: Reg },
}

/// A call that the analysis may follow.
struct Call {
    at: u32,
    target: Target,
    /// What R1 to R5 pointed to when its function was analysed last, …
    arguments: [Origin; 5],
    /// … and what the function had spilled.
    spills: Option<Box<Spills>>,
}

/// A function that is being analysed.
struct Run {
    subprog: u16,
    depth: u8,
    instance: u32,
    slots: Vec<Slots>,
    /// The next call to follow.
    cursor: usize,
}

/// Analyses the stacks of all functions.
///
/// Kernel: `bpf_compute_subprog_arg_access` (7.3).
#[doc(alias = "bpf_compute_subprog_arg_access")]
pub(super) fn analyse(
    code: &Code,
    graph: &Graph,
    constants: &Constants,
    callees_first: &[u16],
) -> Result<Stack, Refused> {
    let mut analysis = Analysis {
        code,
        graph,
        constants,
        calls: Vec::new(),
        call_bounds: Vec::new(),
        analysed: vec![false; graph.subprogs()],
        pointers: Pointers::new(),
        stack: Stack {
            instances: Vec::new(),
            called_at: vec![NONE; code.ops.len()],
            alone: vec![NONE; graph.subprogs()],
        },
        chain: Vec::new(),
        runs: 0,
    };
    analysis.collect_calls();
    for &subprog in callees_first.iter().rev() {
        let seen = analysis.analysed.get(usize::from(subprog)).copied().unwrap_or(true);
        if !seen || code.facts.is_global(crate::program::SubprogIdx(subprog)) {
            analysis.analyse(subprog)?;
        }
    }
    Ok(analysis.stack)
}

struct Analysis<'a> {
    code: &'a Code<'a>,
    graph: &'a Graph,
    constants: &'a Constants,
    /// The calls of all functions, in postorder.
    calls: Vec<Call>,
    /// Where the calls of each subprogram start in `calls`, and their end.
    call_bounds: Vec<usize>,
    /// Whether a subprogram was analysed at any depth.
    analysed: Vec<bool>,
    pointers: Pointers,
    stack: Stack,
    chain: Vec<Run>,
    runs: u32,
}

impl Analysis<'_> {
    fn collect_calls(&mut self) {
        for subprog in 0..self.graph.subprogs() {
            self.call_bounds.push(self.calls.len());
            for &at in self.graph.postorder(subprog) {
                if let Some(target) = self.target(at) {
                    self.calls.push(Call { at, target, arguments: [Origin::Nowhere; 5], spills: None });
                }
            }
        }
        self.call_bounds.push(self.calls.len());
    }

    /// Kernel: `find_callback_subprog` (7.3).
    #[doc(alias = "find_callback_subprog")]
    fn target(&self, at: u32) -> Option<Target> {
        let op = self.code.ops.get(at as usize)?.as_ref()?;
        let id = match op {
            Op::CallLocal { .. } => {
                let start = subprog_target(InsnIdx(at), op)?;
                return Some(Target::Local(self.code.layout.starting(start)?.0));
            }
            Op::CallHelper { id } if helper_calls_callback(*id) => *id,
            _ => return None,
        };
        // The register with the callback, the one with the context, and the callback's parameter that it becomes.
        let (callback, from, to) = match id {
            HELPER_FOR_EACH_MAP_ELEM => (Reg::R2, Reg::R3, Reg::R4),
            HELPER_FIND_VMA => (Reg::R3, Reg::R4, Reg::R3),
            limits::HELPER_LOOP | HELPER_USER_RINGBUF_DRAIN => (Reg::R2, Reg::R3, Reg::R2),
            _ => return None,
        };
        Some(match self.constants.subprog(at, callback) {
            Some(subprog) => Target::Callback { subprog, from, to },
            None => Target::UnknownCallback { from },
        })
    }

    fn calls_of(&self, subprog: u16) -> Range<usize> {
        let n = usize::from(subprog);
        match (self.call_bounds.get(n), self.call_bounds.get(n + 1)) {
            (Some(&from), Some(&to)) => from..to,
            _ => 0..0,
        }
    }

    /// Analyses a function that is called without pointers into a stack, and what it passes pointers to.
    ///
    /// Kernel: `analyze_subprog` (7.3), where it is recursive.
    #[doc(alias = "analyze_subprog")]
    fn analyse(&mut self, subprog: u16) -> Result<(), Refused> {
        self.enter(subprog, None, &[Origin::Nowhere; 5])?;
        while let Some(run) = self.chain.last_mut() {
            if run.cursor < self.call_bounds.get(usize::from(run.subprog) + 1).copied().unwrap_or(0) {
                let call = run.cursor;
                run.cursor += 1;
                self.follow(call)?;
            } else {
                self.leave();
            }
        }
        Ok(())
    }

    /// Starts a function and records its own accesses.
    fn enter(&mut self, subprog: u16, call: Option<u32>, arguments: &[Origin; 5]) -> Result<(), Refused> {
        self.runs += 1;
        if self.runs > RUNS_MAX {
            return Err(Refused::TooManyCalls { calls: self.runs });
        }
        let depth = self.chain.len() as u8;
        let body = self.graph.range(usize::from(subprog));
        let instance = self.stack.find_or_add(usize::from(subprog), call, depth, &body);
        let slots = vec![Slots::default(); body.len() * (usize::from(depth) + 1)];
        let callers: Vec<Option<&Spills>> = self
            .chain
            .iter()
            .map(|caller| self.calls.get(caller.cursor.wrapping_sub(1)).and_then(|call| call.spills.as_deref()))
            .collect();
        self.pointers.analyse(self.code.ops, self.graph, usize::from(subprog), depth, arguments, &callers);
        if let Some(seen) = self.analysed.get_mut(usize::from(subprog)) {
            *seen = true;
        }
        let calls = self.calls_of(subprog);
        let cursor = calls.start;
        for call in &mut self.calls[calls] {
            call.arguments = [Origin::Nowhere; 5];
            if let Some(registers) = self.pointers.registers(call.at) {
                call.arguments.copy_from_slice(&registers[1..=5]);
            }
            let spills = self.pointers.spills(call.at);
            call.spills = (!spills.is_empty()).then(|| Box::new(spills.clone()));
        }
        self.chain.push(Run { subprog, depth, instance, slots, cursor });
        self.record(&body);
        Ok(())
    }

    fn record(&mut self, body: &Range<u32>) {
        let Some(run) = self.chain.last_mut() else {
            return;
        };
        let mut recorder = Recorder { slots: &mut run.slots, len: body.len(), depth: run.depth };
        for &at in self.graph.postorder(usize::from(run.subprog)) {
            let i = (at - body.start) as usize;
            if let (Some(Some(op)), Some(registers)) = (self.code.ops.get(at as usize), self.pointers.registers(at)) {
                recorder.record(i, at, op, registers, self.constants, self.code.facts);
            }
        }
    }

    /// Follows a call of the innermost function, if a pointer into a stack is passed.
    fn follow(&mut self, call: usize) -> Result<(), Refused> {
        let Some(Call { at, target, arguments, .. }) = self.calls.get(call) else {
            return Ok(());
        };
        let argument = |reg: Reg| arguments.get(reg.at().wrapping_sub(1)).copied().unwrap_or_default();
        let (callee, passed) = match *target {
            Target::Local(subprog) => (subprog, *arguments),
            Target::Callback { subprog, from, to } => {
                let mut passed = [Origin::Nowhere; 5];
                if let Some(parameter) = passed.get_mut(to.at().wrapping_sub(1)) {
                    *parameter = argument(from);
                }
                (subprog, passed)
            }
            Target::UnknownCallback { from } => {
                if let (true, Some(run)) = (argument(from).is_stack(), self.chain.last_mut()) {
                    let body = self.graph.range(usize::from(run.subprog));
                    let i = at.wrapping_sub(body.start) as usize;
                    Recorder { slots: &mut run.slots, len: body.len(), depth: run.depth }.read_everything(i);
                }
                return Ok(());
            }
        };
        if !passed.iter().any(Origin::is_stack) {
            return Ok(());
        }
        if self.chain.len() == FRAMES_MAX {
            return Err(Refused::TooDeep { at: InsnIdx(*at) });
        }
        let at = *at;
        self.enter(callee, Some(at), &passed)
    }

    /// Ends the innermost function: what is live at its entry is read by the call.
    fn leave(&mut self) {
        let Some(run) = self.chain.pop() else {
            return;
        };
        let Some(instance) = self.stack.instances.get_mut(run.instance as usize) else {
            return;
        };
        instance.merge(run.slots);
        instance.update(self.graph, usize::from(run.subprog));
        let Some(caller) = self.chain.last_mut() else {
            return;
        };
        let Some(call) = self.calls.get(caller.cursor.wrapping_sub(1)) else {
            return;
        };
        let body = self.graph.range(usize::from(caller.subprog));
        let i = call.at.wrapping_sub(body.start) as usize;
        let mut recorder = Recorder { slots: &mut caller.slots, len: body.len(), depth: caller.depth };
        for frame in 0..run.depth {
            recorder.read(frame, i, instance.live(frame, instance.start));
        }
    }
}

/// Whether an instruction calls a callback before it goes on.
///
/// Kernel: `bpf_is_sync_callback_calling_insn` (7.3).
#[doc(alias = "bpf_is_sync_callback_calling_insn")]
pub(super) fn calls_callback(op: &Op, facts: &dyn Facts) -> bool {
    match *op {
        Op::CallHelper { id } => helper_calls_callback(id),
        Op::CallKfunc { id, .. } => facts.kfunc_calls_callback(id),
        _ => false,
    }
}
/// What instances read and write, for tests: by depth and call (depth 0: first instruction), then by instruction and
/// frame.
#[cfg(test)]
pub(super) type Accesses =
    std::collections::BTreeMap<(u8, u32), std::collections::BTreeMap<(u32, usize), (u128, u128)>>;

#[cfg(test)]
impl Stack {
    pub(super) fn accesses(&self) -> Accesses {
        let mut all = Accesses::new();
        for (call, &head) in self.called_at.iter().enumerate().chain(self.alone.iter().enumerate()) {
            let mut n = head;
            while let Some(instance) = self.instances.get(n as usize) {
                let call = if instance.depth == 0 { instance.start } else { call as u32 };
                let accesses = all.entry((instance.depth, call)).or_default();
                for (place, slots) in instance.slots.iter().enumerate().filter(|(_, s)| s.read | s.written != 0) {
                    let at = instance.start + (place % instance.len) as u32;
                    accesses.insert((at, place / instance.len), (slots.read, slots.written));
                }
                n = instance.next;
            }
        }
        all
    }
}
