//! From a Spec to a program.
//!
//! Functions are emitted in the order of the plan, each when something before it has referred to it, so that nothing is
//! unreachable. What a function holds in its registers and on its stack stays of one kind from its first step to its last;
//! therefore steps can stand in any order, in branches and in loops. See [`Fun`](super::fun::Fun).

use super::code::{Code, Label};
use super::features::{Feature, Features};
use super::fun::Fun;
use super::inputs::{self, Edge};
use super::kinds::{Links, Mistake, Prog, Role, Shape};
use super::maps::Maps;
use super::plan::{Plan, Source};
use super::spec::Spec;
use crate::btf::Linkage;
use crate::isa::{AluOp, InsnIdx, Operand, Reg, Size};
use crate::kernel::limits::HELPER_LOOP;
use crate::program::{Func, Program};
use smallvec::SmallVec;

/// What a Spec comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lowered {
    /// The program with its maps, functions and inputs.
    pub program: Program,
    /// What is in it.
    pub features: Features,
}

/// Lowers a Spec. The program is well-formed, though not always acceptable; the same Spec gives the same program.
pub fn lower(spec: &Spec) -> Lowered {
    let settled = spec.settled();
    let mut code = Code::new();
    let plan = Plan::new(&settled, &mut code);
    let mistakes = settled.mistakes.iter().copied().collect();
    let lowering = Lowering {
        spec: &settled,
        plan,
        code,
        maps: Maps::default(),
        features: Features::default(),
        edges: SmallVec::new(),
        mistakes,
        referred: SmallVec::new(),
        has_dead_callback: false,
    };
    lowering.run()
}

/// A case under construction.
pub(super) struct Lowering<'a> {
    pub(super) spec: &'a Spec,
    pub(super) plan: Plan<'a>,
    pub(super) code: Code,
    pub(super) maps: Maps,
    pub(super) features: Features,
    /// Compares whose outcome an input decides.
    pub(super) edges: SmallVec<[Edge; 16]>,
    /// Mistakes that are still to be planted.
    mistakes: SmallVec<[Mistake; 2]>,
    /// Functions that emitted code refers to.
    referred: SmallVec<[usize; 16]>,
    /// Whether some callback may never be called.
    pub(super) has_dead_callback: bool,
}

impl<'a> Lowering<'a> {
    pub(super) fn note(&mut self, feature: Feature) {
        self.features.insert(feature);
    }

    pub(super) fn shape(&mut self, shape: Shape) {
        self.note(Feature::Shape(shape));
    }

    /// Whether a mistake is to be planted here. It is planted once.
    pub(super) fn slip(&mut self, mistake: Mistake) -> bool {
        let Some(at) = self.mistakes.iter().position(|m| *m == mistake) else { return false };
        self.mistakes.swap_remove(at);
        self.note(Feature::Mistake(mistake));
        true
    }

    /// The label of a function, which is emitted from now on.
    pub(super) fn refer(&mut self, node: usize) -> Label {
        if !self.referred.contains(&node) {
            self.referred.push(node);
        }
        self.plan.nodes[node].entry
    }

    /// A callback that refers to this one, or this one.
    pub(super) fn earlier_callback(&self, node: usize) -> Label {
        let nodes = &self.plan.nodes;
        let earlier = |n: &usize| *n > 0 && *n <= node && nodes[*n].role == Role::Callback;
        let first = self.referred.iter().copied().filter(earlier).min();
        nodes[first.unwrap_or(node)].entry
    }

    fn run(mut self) -> Lowered {
        self.note(Feature::Prog(self.spec.prog));
        self.note(Feature::Links(self.spec.chain.links));
        self.referred.push(0);
        let mut funcs: SmallVec<[(usize, u32); 16]> = SmallVec::new();
        for node in 0..self.plan.nodes.len() {
            if !self.referred.contains(&node) {
                continue;
            }
            funcs.push((node, self.code.here()));
            self.code.bind(self.plan.nodes[node].entry);
            self.function(node);
        }
        self.note_shapes();
        self.finish(&funcs)
    }

    fn function(&mut self, node: usize) {
        if node > 0 {
            self.note(Feature::Role(self.plan.nodes[node].role));
        }
        match self.plan.nodes[node].source {
            Source::Main | Source::Func(_) => Fun::new(self, node).emit(),
            Source::Link { next, loops } => self.link(node, next, loops),
            Source::Wrapper => self.wrapper(node),
            Source::Later(scene) => self.later_callback(scene),
            Source::Inner(number) => self.inner_callback(number),
            Source::Leaf => {
                self.code.imm(Reg::R0, 0);
                self.code.exit();
            }
        }
    }

    /// A link of the chain: calls the next one, or loops over it once.
    fn link(&mut self, node: usize, next: Option<usize>, loops: bool) {
        self.own_stack(node);
        self.code.imm(Reg::R0, 0);
        if let Some(next) = next {
            let entry = self.refer(next);
            if loops {
                self.code.imm(Reg::R1, 1);
                self.code.func(Reg::R2, entry);
                self.code.imm(Reg::R3, 0);
                self.code.imm(Reg::R4, 0);
                self.code.helper(HELPER_LOOP);
                self.code.imm(Reg::R0, 0);
            } else {
                self.code.call(entry);
            }
        }
        self.code.exit();
    }

    /// A subprogram whose arguments are those of its loop.
    fn wrapper(&mut self, node: usize) {
        self.own_stack(node);
        self.code.imm(Reg::R6, 77);
        self.code.imm(Reg::R8, -5);
        self.code.helper(HELPER_LOOP);
        self.code.alu_reg(AluOp::Xor, Reg::R0, Reg::R6);
        self.code.alu_reg(AluOp::Sub, Reg::R0, Reg::R8);
        self.code.exit();
    }

    fn own_stack(&mut self, node: usize) {
        let bytes = self.plan.nodes[node].extra as i16;
        if bytes >= 8 {
            self.code.store(Size::Dw, Reg::R10, -(bytes & !7), Operand::Imm(i32::from(bytes)));
        }
    }

    fn note_shapes(&mut self) {
        let frames = self.plan.frames;
        match frames {
            8 => self.shape(Shape::FramesEight),
            9..=15 => self.shape(Shape::FramesNine),
            16 => self.shape(Shape::FramesSixteen),
            17.. => self.shape(Shape::FramesPast),
            _ => {}
        }
        let nested = self.plan.nodes.iter().filter(|n| n.reached).map(|n| n.nested).max().unwrap_or(0);
        if nested >= 3 {
            self.shape(Shape::NestedThree);
        }
        if nested >= 5 {
            self.shape(Shape::NestedDeep);
        }
        let callbacks = || self.plan.nodes.iter().filter(|n| n.reached && n.role == Role::Callback);
        let (shared, apart) = (callbacks().any(|n| n.referrers > 1), callbacks().count() > 1);
        if shared {
            self.shape(Shape::CallbackShared);
        }
        if apart {
            self.shape(Shape::CallbacksApart);
        }
        if self.plan.chain_bytes >= 256 {
            self.shape(Shape::StackChain);
        }
        if self.plan.nodes.iter().any(|n| n.reached && n.bytes() >= 512) {
            self.shape(Shape::StackFull);
        }
        if self.plan.nodes.iter().any(|n| n.reached && n.bytes() % 8 != 0) {
            self.shape(Shape::StackOdd);
        }
        if self.plan.nodes[0].bytes() == 0 {
            self.shape(Shape::StackNone);
        }
        if self.spec.chain.links == Links::Past {
            self.shape(Shape::FramesPast);
        }
    }

    fn finish(mut self, functions: &[(usize, u32)]) -> Lowered {
        let prog_type = inputs::prog_type(self.spec.prog);
        let no_types = self.slip(Mistake::NoFuncInfo);
        let global = self.slip(Mistake::CallbackGlobal);
        let mut funcs = Vec::new();
        if !no_types {
            funcs.reserve(functions.len());
            for (node, start) in functions {
                funcs.push(self.func(*node, *start, global));
            }
        }
        let inputs = inputs::inputs(self.spec, &self.edges, &mut self.features);
        let maps = self.maps.finish(self.spec);
        let insns = self.code.finish();
        let prog_flags = inputs::prog_flags(self.spec.prog);
        let name = "case".to_owned();
        let program = Program { name, prog_type, prog_flags, insns, funcs, maps, inputs, ..Program::default() };
        Lowered { program, features: self.features }
    }

    fn func(&self, node: usize, start: u32, global_callbacks: bool) -> Func {
        let node_of = &self.plan.nodes[node];
        let global = node_of.role == Role::Global || (global_callbacks && node_of.role == Role::Callback);
        let (name, args) = match node_of.source {
            Source::Main => ("main".to_owned(), 1),
            Source::Link { .. } => (format!("link{node}"), 2),
            Source::Wrapper => (format!("wrap{node}"), 4),
            Source::Later(_) => (format!("later{node}"), 2),
            Source::Inner(_) => (format!("inner{node}"), 2),
            Source::Leaf => ("leaf".to_owned(), 2),
            Source::Func(f) if f.role == Role::Callback => (format!("cb{node}"), 2),
            Source::Func(_) => (format!("sub{node}"), 3),
        };
        let linkage = if global { Linkage::Global } else { Linkage::Static };
        Func { insn: InsnIdx(start), name, linkage, args, type_id: None }
    }
}

/// Whether the packet can be reached through the context's pointers.
pub(super) const fn has_packet(prog: Prog) -> bool {
    matches!(prog, Prog::SchedCls | Prog::Xdp | Prog::CgroupSkb)
}
