//! Which functions there will be, who refers to whom, how often each runs and how much stack each gets.
//!
//! Functions are in one order: main, the links of the chain, the Spec's functions, the wrappers, the leaf. A function refers to
//! later ones only, so there is no recursion unless it is planted, and going over the functions once is enough.

use super::code::{Code, Label};
use super::kinds::{Contract, Count, Ctx, End, Frame, Join, Links, Mistake, Prog, Role, StepKind};
use super::later::Scene;
use super::spec::{Body, Func, Setup, Site, Spec, Step};
use crate::kernel::limits::STACK_BYTES_MAX;
use smallvec::SmallVec;

/// Bytes of an area: a counter, a state, a pointer, a buffer of eight bytes each.
pub(super) const AREA_BYTES: u16 = 32;
/// Iterations that the loops of one function should not exceed together with those around it.
const ITERATIONS_MAX: u32 = 96;
/// Frames below main that the newest kernel allows.
const FRAMES_MAX: u8 = 16;

/// What a function is lowered from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source<'a> {
    Main,
    /// A link of the chain; the next one, and whether it is a callback.
    Link {
        next: Option<usize>,
        loops: bool,
    },
    Func(&'a Func),
    /// A subprogram that gets a loop's arguments as its own.
    Wrapper,
    /// The callback of a loop whose later iterations differ.
    Later(Scene),
    /// A callback of its inner loop.
    Inner(u8),
    /// The callback that does next to nothing.
    Leaf,
}

/// A function of the program.
#[derive(Debug)]
pub(super) struct Node<'a> {
    pub(super) source: Source<'a>,
    pub(super) role: Role,
    pub(super) entry: Label,
    /// Whether something refers to it.
    pub(super) reached: bool,
    /// How often it may run.
    pub(super) runs: u32,
    /// Loops around it.
    pub(super) nested: u8,
    /// Frames up to and including it.
    pub(super) frames: u8,
    /// Slots of eight bytes.
    pub(super) slots: u8,
    /// Areas for callbacks.
    pub(super) areas: u8,
    /// Bytes beside them.
    pub(super) extra: u16,
    /// Loops that have it as callback.
    pub(super) referrers: u8,
}

impl<'a> Node<'a> {
    fn new(source: Source<'a>, role: Role, code: &mut Code) -> Node<'a> {
        Node {
            source,
            role,
            entry: code.label(),
            reached: false,
            runs: 0,
            nested: 0,
            frames: 0,
            slots: 0,
            areas: 0,
            extra: 0,
            referrers: 0,
        }
    }

    /// Bytes of stack.
    pub(super) fn bytes(&self) -> u16 {
        u16::from(self.slots) * 8 + u16::from(self.areas) * AREA_BYTES + self.extra
    }

    pub(super) fn func(&self) -> Option<&'a Func> {
        if let Source::Func(func) = self.source { Some(func) } else { None }
    }

    /// What it does with its pointer.
    pub(super) fn contract(&self) -> Contract {
        self.func().map_or(Contract::Ignore, |f| f.contract)
    }

    /// Whether each of its runs ends the loop soon, whatever the count.
    pub(super) fn stops_soon(&self) -> bool {
        self.func().is_some_and(|f| matches!(f.end, End::Stop | End::StopAt))
    }

    /// The most iterations of one loop in this function.
    pub(super) fn cap(&self) -> u32 {
        (ITERATIONS_MAX / self.runs.max(1)).clamp(1, 20)
    }
}

/// All functions.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub(super) nodes: Vec<Node<'a>>,
    /// References, from and to.
    edges: Vec<(usize, usize)>,
    wrappers: usize,
    /// Deepest chain of frames.
    pub(super) frames: u8,
    /// Bytes of the deepest chain.
    pub(super) chain_bytes: u32,
}

impl<'a> Plan<'a> {
    pub(super) fn new(spec: &'a Spec, code: &mut Code) -> Plan<'a> {
        let mut nodes = vec![Node::new(Source::Main, Role::Global, code)];
        add_links(spec, code, &mut nodes);
        nodes.extend(spec.funcs.iter().map(|f| Node::new(Source::Func(f), f.role, code)));
        let wrappers = nodes.len();
        nodes.extend((0..2).map(|_| Node::new(Source::Wrapper, Role::Static, code)));
        add_later(spec, code, &mut nodes);
        nodes.push(Node::new(Source::Leaf, Role::Callback, code));
        let mut plan = Plan { nodes, edges: Vec::with_capacity(32), wrappers, frames: 1, chain_bytes: 0 };
        plan.reach(spec);
        plan.allot_stack(spec);
        plan
    }

    /// The callback that a setup in function `from` picks.
    pub(super) fn callback(&self, from: usize, setup: &Setup) -> usize {
        self.pick(from, setup.callback, |role| role == Role::Callback).unwrap_or(self.nodes.len() - 1)
    }

    /// The subprogram that a step in function `from` picks.
    pub(super) fn subprogram(&self, from: usize, step: &Step) -> Option<usize> {
        self.pick(from, step.a, |role| role != Role::Callback)
    }

    /// The wrapper of that number.
    pub(super) fn wrapper(&self, number: u8) -> usize {
        self.wrappers + usize::from(number % 2)
    }

    /// The callback of a step that a function has about later iterations; few loops may be around it.
    pub(super) fn later(&self, from: usize, step: &Step) -> Option<usize> {
        let scene = Scene::of(step);
        let found = || self.nodes.iter().position(|n| matches!(n.source, Source::Later(s) if s == scene));
        if self.nodes[from].nested > 1 { None } else { found() }
    }

    /// The callback of that number of an inner loop.
    pub(super) fn inner(&self, number: u8) -> usize {
        let found = self.nodes.iter().position(|n| matches!(n.source, Source::Inner(n) if n == number));
        found.unwrap_or(self.nodes.len() - 1)
    }

    fn pick(&self, from: usize, pick: u8, wanted: impl Fn(Role) -> bool) -> Option<usize> {
        let fits = |n: &usize| matches!(self.nodes[*n].source, Source::Func(f) if wanted(f.role));
        let candidates = || (from + 1..self.nodes.len()).filter(fits);
        let count = candidates().count();
        if count == 0 { None } else { candidates().nth(usize::from(pick) % count) }
    }

    /// Goes over the functions in order and notes who is referred to, how often and how deep.
    fn reach(&mut self, spec: &'a Spec) {
        self.nodes[0].reached = true;
        self.nodes[0].runs = 1;
        self.nodes[0].frames = 1;
        for from in 0..self.nodes.len() {
            if !self.nodes[from].reached {
                continue;
            }
            match self.nodes[from].source {
                Source::Main => {
                    if spec.chain.links != Links::None {
                        self.refer(from, 1, 1, spec.chain.loops & 1 == 1);
                    }
                    self.reach_body(from, &spec.main);
                    self.reach_site(from, &spec.main_site, 1);
                }
                Source::Func(func) => self.reach_body(from, &func.body),
                Source::Link { next: Some(next), loops } => self.refer(from, next, 1, loops),
                Source::Later(scene) if scene.has_inner() => {
                    self.refer(from, self.inner(0), 2, true);
                    self.refer(from, self.inner(1), 2, true);
                }
                Source::Link { .. } | Source::Wrapper | Source::Later(_) | Source::Inner(_) | Source::Leaf => {}
            }
        }
        let reached = self.nodes.iter().filter(|n| n.reached);
        self.frames = reached.map(|n| n.frames).max().unwrap_or(1);
    }

    fn reach_body(&mut self, from: usize, body: &Body) {
        let mut times = 1;
        for step in body.steps.iter() {
            match step.kind {
                StepKind::Loop => {
                    if let Some(site) = site_of(body, step) {
                        self.reach_site(from, site, times);
                    }
                }
                StepKind::Call => {
                    if let Some(to) = self.subprogram(from, step) {
                        self.refer(from, to, times, false);
                    }
                }
                StepKind::Later => {
                    if let Some(to) = self.later(from, step) {
                        self.refer(from, to, times.saturating_mul(6), true);
                    }
                }
                StepKind::Repeat | StepKind::MayGoto => times = times.saturating_mul(super::steps::times(step)),
                _ => {}
            }
        }
    }

    fn reach_site(&mut self, from: usize, site: &Site, times: u32) {
        let cap = self.nodes[from].cap();
        let first = self.callback(from, &site.first);
        let mut callbacks: SmallVec<[(usize, Count); 2]> = SmallVec::from_slice(&[(first, site.first.count)]);
        if site.paths.callback() {
            callbacks.push((self.callback(from, &site.second), site.second.count));
        }
        let wrapped = site.join == Join::Arguments;
        if wrapped {
            let wrapper = self.wrapper(site.order);
            self.refer(from, wrapper, times, false);
        }
        for (to, count) in callbacks {
            let iterations = match count {
                Count::Zero | Count::One | Count::PastLimit | Count::Negative => 1,
                _ => cap,
            };
            self.refer(from, to, times.saturating_mul(iterations), true);
            let frames = if wrapped { self.nodes[from].frames.saturating_add(2) } else { 0 };
            let node = &mut self.nodes[to];
            node.referrers = node.referrers.saturating_add(1);
            node.frames = node.frames.max(frames);
        }
    }

    fn refer(&mut self, from: usize, to: usize, times: u32, loops: bool) {
        let (runs, frames, nested) = (self.nodes[from].runs, self.nodes[from].frames, self.nodes[from].nested);
        self.edges.push((from, to));
        let node = &mut self.nodes[to];
        node.reached = true;
        node.runs = node.runs.saturating_add(runs.saturating_mul(times)).min(1 << 16);
        node.frames = node.frames.max(frames.saturating_add(1));
        node.nested = node.nested.max(nested.saturating_add(u8::from(loops)));
    }

    /// Gives every function the stack it wants, then takes back until all chains fit.
    fn allot_stack(&mut self, spec: &'a Spec) {
        for at in 0..self.nodes.len() {
            let node = &mut self.nodes[at];
            match node.source {
                Source::Main => want_stack(node, &spec.main, Some(&spec.main_site)),
                Source::Func(func) => want_stack(node, &func.body, None),
                Source::Link { .. } => node.extra = u16::from(spec.chain.eights % 5) * 8,
                Source::Wrapper => node.extra = u16::from(spec.main_site.order % 3) * 8,
                Source::Later(_) | Source::Inner(_) | Source::Leaf => {}
            }
        }
        // Only the tracing types have a stack for each function; the others share one.
        let own = matches!(spec.prog, Prog::RawTracepoint | Prog::Tracepoint | Prog::Kprobe);
        let over = spec.mistakes.contains(&Mistake::StackOver);
        for _ in 0..3 * self.nodes.len() {
            let (total, path) = self.deepest(own && !spec.swarm.is_old(), spec.swarm.is_old());
            self.chain_bytes = total;
            let fattest = path.iter().copied().max_by_key(|n| (self.nodes[*n].extra, self.nodes[*n].bytes()));
            let Some(fattest) = fattest.filter(|_| total > STACK_BYTES_MAX && !over) else { return };
            let node = &mut self.nodes[fattest];
            match (node.extra, node.slots, node.areas) {
                (1.., ..) => node.extra = 0,
                (0, 1.., _) => node.slots = 0,
                (0, 0, 2..) => node.areas = 1,
                _ => node.areas = 0,
            }
        }
    }

    /// The chain with the most bytes: how many, and its functions.
    fn deepest(&self, own: bool, old: bool) -> (u32, SmallVec<[usize; 20]>) {
        let count = self.nodes.len();
        let mut below: SmallVec<[(u32, usize); 32]> = SmallVec::from_elem((0, usize::MAX), count);
        for at in (0..count).rev() {
            let bytes = u32::from(self.nodes[at].bytes());
            let bytes = if old { bytes.max(1).next_multiple_of(32) } else { bytes.next_multiple_of(16) };
            // A function that has a stack of its own takes nothing from the others.
            let cost = if own && bytes >= 64 { bytes.saturating_sub(STACK_BYTES_MAX) } else { bytes };
            let callees = self.edges.iter().filter(|(from, _)| *from == at).map(|(_, to)| *to);
            let worst = callees.max_by_key(|to| below[*to].0);
            below[at] = (cost + worst.map_or(0, |to| below[to].0), worst.unwrap_or(usize::MAX));
        }
        let mut path = SmallVec::new();
        let mut at = 0;
        while let Some((_, next)) = below.get(at) {
            path.push(at);
            at = *next;
        }
        (below[0].0, path)
    }
}

/// The loop that a step stands for.
pub(super) fn site_of<'b>(body: &'b Body, step: &Step) -> Option<&'b Site> {
    if body.sites.is_empty() { None } else { body.sites.get(usize::from(step.a) % body.sites.len()) }
}

fn add_links<'a>(spec: &'a Spec, code: &mut Code, nodes: &mut Vec<Node<'a>>) {
    let more = spec.chain.more;
    let len = match spec.chain.links {
        Links::None => return,
        Links::Few => 1 + more % 5,
        Links::AtSixteen if !spec.swarm.is_old() => 14 + more % 2,
        Links::AtEight | Links::AtSixteen if spec.swarm.is_old() => 5 + more % 3,
        Links::AtEight | Links::AtSixteen => 6 + more % 3,
        Links::Past => FRAMES_MAX + more % 3,
    };
    for n in 0..len {
        let role = if spec.chain.loops >> (n % 16) & 1 == 1 { Role::Callback } else { Role::Static };
        let next = (n + 1 < len).then_some(usize::from(n) + 2);
        let loops = spec.chain.loops >> ((n + 1) % 16) & 1 == 1;
        nodes.push(Node::new(Source::Link { next, loops }, role, code));
    }
}

/// The callbacks of steps about later iterations, each once.
fn add_later<'a>(spec: &'a Spec, code: &mut Code, nodes: &mut Vec<Node<'a>>) {
    let first = nodes.len();
    let bodies = std::iter::once(&spec.main).chain(spec.funcs.iter().map(|f| &f.body));
    for step in bodies.flat_map(|b| b.steps.iter()).filter(|s| s.kind == StepKind::Later) {
        let scene = Scene::of(step);
        if !nodes[first..].iter().any(|n| matches!(n.source, Source::Later(s) if s == scene)) {
            nodes.push(Node::new(Source::Later(scene), Role::Callback, code));
        }
    }
    if nodes[first..].iter().any(|n| matches!(n.source, Source::Later(s) if s.has_inner())) {
        nodes.extend((0..2).map(|n| Node::new(Source::Inner(n), Role::Callback, code)));
    }
}

fn want_stack(node: &mut Node<'_>, body: &Body, always: Option<&Site>) {
    let sites = || body.sites.iter().chain(always);
    let wants_area = |setup: &Setup| !matches!(setup.ctx, Ctx::Null | Ctx::KnownNull);
    let two = |site: &Site| matches!(site.first.ctx, Ctx::TwoAreas | Ctx::NullOrArea);
    let any = sites().any(|s| wants_area(&s.first))
        || body.steps.iter().any(|s| matches!(s.kind, StepKind::Call | StepKind::Later));
    node.areas = u8::from(any) + u8::from(sites().any(two));
    let needs_slot = |step: &Step| {
        let kind = step.kind;
        let stores = matches!(kind, StepKind::SlotStore | StepKind::PtrSpill | StepKind::Linked | StepKind::Either);
        stores || matches!(kind, StepKind::SlotLoad | StepKind::MapLookup)
    };
    node.slots = match body.init >> 6 {
        0 => u8::from(body.steps.iter().any(needs_slot)),
        1 => 1,
        2 => 2,
        _ => 3,
    };
    let bytes = node.bytes();
    let imm = body.frame_imm.0;
    let up_to = |total: u16| total.saturating_sub(bytes);
    node.extra = match body.frame {
        Frame::Needed => 0,
        Frame::Odd => [1, 2, 4, 12, 20, 7][usize::from(imm % 6)],
        Frame::Step => up_to(bytes.next_multiple_of(16) + [0, 8, 16, 24][usize::from(imm % 4)]),
        Frame::Private => up_to([56, 64, 72, 80][usize::from(imm % 4)]),
        Frame::Half => up_to([248, 256, 264, 240][usize::from(imm % 4)]),
        Frame::Full => up_to([512, 504, 496, 480][usize::from(imm % 4)]),
    };
}
