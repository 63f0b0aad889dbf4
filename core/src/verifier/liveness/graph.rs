//! The graph of instructions: successors, an order to sweep it, loops, and the order of subprograms.
//!
//! Stands for `cfg.c` without `check_cfg`, and for `sort_subprogs_topo` of `verifier.c` (7.3). Orders and numbers are
//! the kernel's, since joins of [`super::pointers`] depend on the order in which they happen.
//!
//! Invariants: successors lie in the subprogram of their instruction; a call is an instruction like any other.

use super::Refused;
use crate::isa::{Imm64, InsnIdx, Op};
use crate::kernel::limits;
use crate::program::{Layout, SubprogIdx};
use std::ops::Range;

/// Helper that never returns when it succeeds.
const HELPER_TAIL_CALL: i32 = 12;
/// Helper `bpf_for_each_map_elem`.
pub(super) const HELPER_FOR_EACH_MAP_ELEM: i32 = 164;
/// Helper `bpf_find_vma`.
pub(super) const HELPER_FIND_VMA: i32 = 180;
/// Helper `bpf_user_ringbuf_drain`.
pub(super) const HELPER_USER_RINGBUF_DRAIN: i32 = 209;

/// Whether a helper calls a callback before it returns.
///
/// Kernel: `is_sync_callback_calling_function` (7.3).
#[doc(alias = "is_sync_callback_calling_function")]
pub fn helper_calls_callback(id: i32) -> bool {
    matches!(id, HELPER_FOR_EACH_MAP_ELEM | HELPER_FIND_VMA | limits::HELPER_LOOP | HELPER_USER_RINGBUF_DRAIN)
}

/// At most two successors, in the kernel's order: fall-through, then target.
#[derive(Clone, Copy, Default)]
struct Successors {
    to: [u32; 2],
    count: u8,
}

impl Successors {
    fn push(&mut self, to: i64, within: &Range<u32>) {
        if let (Ok(to), Some(slot)) = (u32::try_from(to), self.to.get_mut(usize::from(self.count)))
            && within.contains(&to)
        {
            *slot = to;
            self.count += 1;
        }
    }
}

/// Whether instructions that may leave their function have an edge to its last `exit`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum HiddenExits {
    /// They only go on (6.18).
    Ignored,
    /// Tail calls and packet loads have one (7.3).
    Edges,
}

/// The graph of a program's instructions.
pub(super) struct Graph {
    successors: Vec<Successors>,
    postorder: Vec<u32>,
    /// Where each subprogram starts in `postorder`, and its end.
    bounds: Vec<u32>,
    ranges: Vec<Range<u32>>,
}

impl Graph {
    /// The graph of the program as it was loaded.
    pub(super) fn new(ops: &[Option<Op>], layout: &Layout, hidden: HiddenExits) -> Graph {
        let len = ops.len() as u32;
        let subprogs = 0..layout.len().min(usize::from(u16::MAX)) as u16;
        let ranges: Vec<Range<u32>> =
            subprogs.map(|n| layout.start(SubprogIdx(n)).0.min(len)..layout.end(SubprogIdx(n)).0.min(len)).collect();
        let mut successors = vec![Successors::default(); ops.len()];
        for within in &ranges {
            let body = within.start as usize..within.end as usize;
            let last = || ops.get(body.clone())?.iter().rposition(|op| *op == Some(Op::Exit));
            let exit = if hidden == HiddenExits::Edges { last() } else { None };
            let exit = exit.map(|n| i64::from(within.start) + n as i64);
            for at in body {
                successors[at] = successors_of(at as i64, ops[at].as_ref(), exit, within);
            }
        }
        let mut graph = Graph { successors, postorder: Vec::new(), bounds: Vec::new(), ranges };
        graph.order();
        graph
    }

    /// The successors of an instruction.
    pub(super) fn successors(&self, at: u32) -> &[u32] {
        match self.successors.get(at as usize) {
            Some(s) => &s.to[..usize::from(s.count)],
            None => &[],
        }
    }

    /// The instructions of a subprogram that its entry reaches, in the order in which the kernel leaves them.
    pub(super) fn postorder(&self, subprog: usize) -> &[u32] {
        match (self.bounds.get(subprog), self.bounds.get(subprog + 1)) {
            (Some(&from), Some(&to)) => &self.postorder[from as usize..to as usize],
            _ => &[],
        }
    }

    /// The instructions that some entry reaches, subprogram by subprogram.
    pub(super) fn reachable(&self) -> &[u32] {
        &self.postorder
    }

    /// The instructions of a subprogram.
    pub(super) fn range(&self, subprog: usize) -> Range<u32> {
        self.ranges.get(subprog).cloned().unwrap_or(0..0)
    }

    /// How many subprograms there are.
    pub(super) fn subprogs(&self) -> usize {
        self.ranges.len()
    }

    /// Replaces conditional jumps by jumps to one target.
    pub(super) fn decide(&mut self, decided: &[(u32, i16)]) {
        for &(at, off) in decided {
            if let Some(within) = self.ranges.iter().find(|r| r.contains(&at)) {
                let mut only = Successors::default();
                only.push(i64::from(at) + i64::from(off) + 1, within);
                self.successors[at as usize] = only;
            }
        }
        if !decided.is_empty() {
            self.order();
        }
    }

    /// Kernel: `bpf_compute_postorder` (7.3). Successors are pushed together, so this is not the textbook postorder.
    #[doc(alias = "bpf_compute_postorder")]
    fn order(&mut self) {
        const PUSHED: u8 = 1;
        const EXPANDED: u8 = 2;
        self.postorder.clear();
        self.bounds.clear();
        let mut state = vec![0u8; self.successors.len()];
        self.postorder.reserve(state.len());
        let mut stack = Vec::with_capacity(state.len());
        for range in &self.ranges {
            self.bounds.push(self.postorder.len() as u32);
            if range.is_empty() {
                continue;
            }
            stack.push(range.start);
            while let Some(&top) = stack.last() {
                let seen = &mut state[top as usize];
                if *seen & EXPANDED != 0 {
                    self.postorder.push(top);
                    stack.pop();
                    continue;
                }
                *seen = PUSHED | EXPANDED;
                let next = self.successors[top as usize];
                for &to in &next.to[..usize::from(next.count)] {
                    if state[to as usize] == 0 {
                        state[to as usize] = PUSHED;
                        stack.push(to);
                    }
                }
            }
        }
        self.bounds.push(self.postorder.len() as u32);
    }

    /// For each instruction the number of its loop from 1 on, 0 when it is in none. `implicit` tells the instructions
    /// that are a loop by themselves because they call a callback.
    ///
    /// Kernel: `bpf_compute_scc` (7.3).
    #[doc(alias = "bpf_compute_scc")]
    pub(super) fn loops(&self, implicit: impl Fn(u32) -> bool) -> Vec<u32> {
        let nodes = vec![Node::default(); self.successors.len()];
        let (open, path) = (Vec::with_capacity(nodes.len()), Vec::with_capacity(nodes.len()));
        let mut walk = LoopWalk { nodes, open, path, next_preorder: 1, next_loop: 1 };
        for range in &self.ranges {
            let backwards = |at: u32| self.successors(at).iter().any(|to| *to <= at);
            if !range.clone().any(|at| backwards(at) || implicit(at)) {
                continue;
            }
            for at in range.clone() {
                if walk.nodes[at as usize].preorder == 0 {
                    walk.visit(self, at, &implicit);
                }
            }
        }
        walk.nodes.into_iter().map(|node| node.component).collect()
    }

    /// The subprograms, callees before callers; references to callbacks count as calls, but may be recursive.
    ///
    /// Kernel: `sort_subprogs_topo` (7.3).
    #[doc(alias = "sort_subprogs_topo")]
    pub(super) fn callees_first(&self, ops: &[Option<Op>], layout: &Layout) -> Result<Vec<u16>, Refused> {
        #[derive(Clone, Copy, PartialEq)]
        enum Color {
            New,
            Open,
            Done,
        }
        let mut order = Vec::with_capacity(self.subprogs());
        let mut color = vec![Color::New; self.subprogs()];
        let mut stack: Vec<(u16, usize)> = Vec::new();
        for root in 0..self.subprogs() as u16 {
            if color[usize::from(root)] != Color::New {
                continue;
            }
            color[usize::from(root)] = Color::Open;
            stack.push((root, 0));
            while let Some((current, cursor)) = stack.last_mut() {
                let Some(&at) = self.postorder(usize::from(*current)).get(*cursor) else {
                    color[usize::from(*current)] = Color::Done;
                    order.push(*current);
                    stack.pop();
                    continue;
                };
                *cursor += 1;
                let Some((callee, kind)) = reference(at, ops, layout) else {
                    continue;
                };
                match (color.get(callee.at()), kind) {
                    (Some(Color::New), _) => {
                        color[callee.at()] = Color::Open;
                        stack.push((callee.0, 0));
                    }
                    (Some(Color::Open), Reference::Call) => {
                        return Err(Refused::Recursion { at: InsnIdx(at), caller: SubprogIdx(*current), callee });
                    }
                    _ => {}
                }
            }
        }
        Ok(order)
    }
}

/// How an instruction names a subprogram.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reference {
    Call,
    Address,
}

fn reference(at: u32, ops: &[Option<Op>], layout: &Layout) -> Option<(SubprogIdx, Reference)> {
    let op = ops.get(at as usize)?.as_ref()?;
    let kind = match op {
        Op::CallLocal { .. } => Reference::Call,
        Op::LdImm64 { imm: Imm64::Func { .. }, .. } => Reference::Address,
        _ => return None,
    };
    let target = crate::program::subprog_target(InsnIdx(at), op)?;
    Some((layout.starting(target)?, kind))
}

/// Kernel: `bpf_insn_successors` (7.3), with the hidden exit of tail calls and packet loads. `exit` is the last exit
/// of the subprogram, where it counts; where a subprogram has none the kernel takes instruction 0, which is left out here.
#[doc(alias = "bpf_insn_successors")]
fn successors_of(at: i64, op: Option<&Op>, exit: Option<i64>, within: &Range<u32>) -> Successors {
    let mut next = Successors::default();
    match op {
        Some(Op::Exit) => {}
        Some(Op::Jump { off, .. }) => next.push(at + i64::from(*off) + 1, within),
        Some(Op::JumpIf { off, .. } | Op::MayGoto { off }) => {
            next.push(at + 1, within);
            next.push(at + i64::from(*off) + 1, within);
        }
        Some(Op::CallHelper { id: HELPER_TAIL_CALL } | Op::LdAbs { .. } | Op::LdInd { .. }) => {
            next.push(at + 1, within);
            if let Some(exit) = exit {
                next.push(exit, within);
            }
        }
        Some(op) => next.push(at + i64::from(op.len()), within),
        None => next.push(at + 1, within),
    }
    next
}

/// Tarjan's algorithm with its own stack.
struct LoopWalk {
    nodes: Vec<Node>,
    /// Visited instructions whose component is not closed.
    open: Vec<u32>,
    /// From the root to the current instruction.
    path: Vec<u32>,
    next_preorder: u32,
    next_loop: u32,
}

#[derive(Clone, Copy, Default)]
struct Node {
    /// 0 before the visit.
    preorder: u32,
    /// Smallest number known to be reachable, or [`Node::CLOSED`].
    low: u32,
    component: u32,
}

impl Node {
    const CLOSED: u32 = u32::MAX;
}

impl LoopWalk {
    fn visit(&mut self, graph: &Graph, root: u32, implicit: &impl Fn(u32) -> bool) {
        self.path.push(root);
        while let Some(&at) = self.path.last() {
            let mut node = self.nodes[at as usize];
            if node.preorder == 0 {
                node.preorder = self.next_preorder;
                node.low = self.next_preorder;
                self.next_preorder += 1;
                self.open.push(at);
                self.nodes[at as usize] = node;
            }
            let next = graph.successors(at);
            let unvisited = next.iter().find(|to| self.nodes[**to as usize].preorder == 0);
            if let Some(to) = unvisited {
                self.path.push(*to);
                continue;
            }
            let low = next.iter().fold(node.low, |low, to| low.min(self.nodes[*to as usize].low));
            self.nodes[at as usize].low = low;
            self.path.pop();
            if low == node.preorder {
                let counts = self.open.last() != Some(&at) || next.contains(&at) || implicit(at);
                self.close(at, counts);
            }
        }
    }

    fn close(&mut self, root: u32, counts: bool) {
        while let Some(member) = self.open.pop() {
            let node = &mut self.nodes[member as usize];
            node.low = Node::CLOSED;
            node.component = if counts { self.next_loop } else { 0 };
            if member == root {
                break;
            }
        }
        self.next_loop += u32::from(counts);
    }
}
