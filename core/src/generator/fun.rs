//! One function: what its registers hold, how it begins and how it ends.
//!
//! R6 to R9 have roles that stay the same throughout, though which register has which is drawn: the base (the context in
//! main, the area that a callback is given), the accumulator, and two or three live values. The accumulator takes in
//! everything that is worth seeing and steers nothing, so it never needs to be precise; live values steer branches, counts
//! and offsets. R0 to R5 hold nothing from one step to the next.
//!
//! On the stack lie slots with numbers and areas for callbacks, all initialised before the first step.

use super::features::Feature;
use super::inputs::{self, Edge};
use super::kinds::{Carried, Contract, End, Mistake, Prog, Role, Shape};
use super::lower::Lowering;
use super::maps::MapUse;
use super::plan::{AREA_BYTES, Source};
use super::spec::{Body, Func, Imm};
use crate::isa::{AluOp, Cond, Imm64, Op, Operand, Reg, Size, Width};
use smallvec::SmallVec;

/// What the base register holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    /// There is none.
    None,
    /// The program's context.
    Ctx(Reg),
    /// An address `delta` bytes after the start of an area in a caller's frame.
    Area { reg: Reg, delta: i16, carried: Carried },
}

/// Offsets in an area, in bytes.
pub(super) mod cell {
    pub(crate) const COUNTER: i16 = 0;
    pub(crate) const STATE: i16 = 8;
    pub(crate) const POINTER: i16 = 16;
    pub(crate) const BUFFER: i16 = 24;
}

/// What a counter that may steer is masked with: few values, as each is a state of its own to the verifier.
pub(super) const COUNTER_MASK: i32 = 3;

/// A function under construction.
pub(super) struct Fun<'l, 'a> {
    pub(super) l: &'l mut Lowering<'a>,
    pub(super) me: usize,
    pub(super) body: &'a Body,
    pub(super) base: Base,
    pub(super) acc: Reg,
    pub(super) live: SmallVec<[Reg; 3]>,
    /// The word that a register was loaded from.
    pub(super) origin: [Option<u8>; 11],
    /// The most iterations that a loop may have here.
    pub(super) cap: u32,
    /// Loops by jumps around the step that is emitted.
    pub(super) depth: u8,
    pub(super) in_jumps: bool,
    pub(super) in_may_goto: bool,
    /// Whether the pointer in the area has moved on.
    pub(super) moved: bool,
    /// How many more unknown branches there may be: in nested callbacks the walks of each multiply.
    forks: u8,
    in_callback: bool,
}

/// Unknown branches of a function, by the number of loops around it.
const FORKS: [u8; 4] = [8, 5, 2, 1];

const ROLES: [[u8; 4]; 8] =
    [[6, 7, 8, 9], [9, 6, 7, 8], [8, 9, 6, 7], [7, 8, 9, 6], [6, 9, 8, 7], [7, 6, 9, 8], [8, 7, 6, 9], [9, 8, 7, 6]];

fn saved(n: u8) -> Reg {
    Reg::new(n).unwrap_or(Reg::R6)
}

impl<'l, 'a> Fun<'l, 'a> {
    pub(super) fn new(l: &'l mut Lowering<'a>, me: usize) -> Fun<'l, 'a> {
        let spec = l.spec;
        let body = l.plan.nodes[me].func().map_or(&spec.main, |f| &f.body);
        let cap = l.plan.nodes[me].cap();
        let nested = l.plan.nodes[me].nested;
        Fun {
            l,
            me,
            body,
            base: Base::None,
            acc: Reg::R7,
            live: SmallVec::new(),
            origin: [None; 11],
            cap,
            depth: 0,
            in_jumps: false,
            in_may_goto: false,
            moved: false,
            forks: FORKS[usize::from(nested.min(3))],
            in_callback: nested > 0,
        }
    }

    pub(super) fn emit(mut self) {
        let source = self.l.plan.nodes[self.me].source;
        self.assign_roles(source);
        match source {
            Source::Func(func) => self.enter(func),
            _ => self.enter_main(),
        }
        self.init_frame();
        let body = self.body;
        self.steps(&body.steps);
        match source {
            Source::Func(func) => self.leave(func),
            _ => self.leave_main(),
        }
    }

    pub(super) fn note(&mut self, feature: Feature) {
        self.l.note(feature);
    }

    pub(super) fn shape(&mut self, shape: Shape) {
        self.l.shape(shape);
    }

    pub(super) fn slip(&mut self, mistake: Mistake) -> bool {
        self.l.slip(mistake)
    }

    pub(super) fn prog(&self) -> Prog {
        self.l.spec.prog
    }

    pub(super) fn is_main(&self) -> bool {
        self.me == 0
    }

    /// Takes one of the unknown branches that this function may have.
    pub(super) fn may_fork(&mut self) -> bool {
        let free = self.forks > 0;
        self.forks = self.forks.saturating_sub(1);
        free
    }

    /// Whether a loop runs this function, however many calls lie between.
    pub(super) fn below_callback(&self) -> bool {
        self.in_callback
    }

    pub(super) fn is_callback(&self) -> bool {
        !self.is_main() && self.l.plan.nodes[self.me].role == Role::Callback
    }

    pub(super) fn slots(&self) -> u8 {
        self.l.plan.nodes[self.me].slots
    }

    pub(super) fn areas(&self) -> u8 {
        self.l.plan.nodes[self.me].areas
    }

    /// Offset of a slot.
    pub(super) fn slot(&self, n: u8) -> i16 {
        -8 * (i16::from(n % self.data_slots().max(1)) + 1)
    }

    /// Offset of an area.
    pub(super) fn area(&self, n: u8) -> i16 {
        let node = &self.l.plan.nodes[self.me];
        let n = i16::from(n % node.areas.max(1)) + 1;
        // At the lowest addresses, next to where an inlined loop keeps its registers, or at the highest.
        let lowest = node.extra.is_multiple_of(8) && self.body.init & 1 == 1;
        let shift = if lowest { node.extra as i16 } else { 0 };
        -8 * i16::from(node.slots) - shift - AREA_BYTES as i16 * n
    }

    /// One of the live values.
    pub(super) fn live(&self, pick: u8) -> Reg {
        self.live.get(usize::from(pick) % self.live.len().max(1)).copied().unwrap_or(Reg::R8)
    }

    fn assign_roles(&mut self, source: Source<'a>) {
        let roles = ROLES[usize::from(self.body.registers % 8)].map(saved);
        self.acc = roles[1];
        self.live = SmallVec::from_slice(&roles[2..]);
        let base = match source {
            Source::Func(func) => base_of(func, roles[0]),
            // Main may do without its context.
            _ if self.body.registers < 224 => Base::Ctx(roles[0]),
            _ => Base::None,
        };
        self.base = base;
        if base == Base::None {
            self.live.push(roles[0]);
        }
    }

    fn enter_main(&mut self) {
        let init = self.body.init;
        if let Base::Ctx(reg) = self.base {
            self.l.code.mov(reg, Reg::R1);
        }
        self.l.code.imm(self.acc, i32::from(init));
        for n in 0..self.live.len() as u8 {
            let reg = self.live(n);
            self.source(reg, init.rotate_left(u32::from(n) * 3).wrapping_add(n));
        }
    }

    fn enter(&mut self, func: &'a Func) {
        self.note(Feature::Contract(func.contract));
        if let Base::Area { carried, .. } = self.base {
            self.note(Feature::Carried(carried));
        }
        match func.role {
            Role::Callback => self.enter_callback(func),
            Role::Static | Role::Global => {
                // Arguments: an address or a number, and two numbers.
                let first = if let Base::Area { reg, .. } | Base::Ctx(reg) = self.base { reg } else { self.acc };
                self.l.code.mov(first, Reg::R1);
                if first != self.acc {
                    self.l.code.mov(self.acc, Reg::R2);
                }
                let (a, b) = (self.live(0), self.live(1));
                self.l.code.mov(a, Reg::R2);
                self.l.code.mov(b, Reg::R3);
                if let Some(third) = self.live.get(2).copied() {
                    self.l.code.imm(third, func.end_imm.get());
                }
            }
        }
    }

    fn enter_callback(&mut self, func: &'a Func) {
        if func.end == End::StopAt {
            let go_on = self.l.code.label();
            self.l.code.jump_if_imm(Cond::Lt, Reg::R1, func.end_imm.below(12) as i32, go_on);
            self.l.code.imm(Reg::R0, 1);
            self.l.code.exit();
            self.l.code.bind(go_on);
        }
        if func.contract == Contract::Nullable {
            let there = self.l.code.label();
            self.l.code.jump_if_imm(Cond::Ne, Reg::R2, 0, there);
            self.l.code.imm(Reg::R0, i32::from(func.end == End::Stop));
            self.l.code.exit();
            self.l.code.bind(there);
        }
        let index = self.live(0);
        self.l.code.mov(index, Reg::R1);
        if let Base::Area { reg, .. } = self.base {
            self.l.code.mov(reg, Reg::R2);
        }
        self.l.code.mov(self.acc, Reg::R1);
        for n in 1..self.live.len() as u8 {
            let reg = self.live(n);
            self.source(reg, self.body.init.rotate_left(u32::from(n) * 3));
        }
        if self.slip(Mistake::UninitRegister) {
            self.l.code.mov(Reg::R0, Reg::R3);
        }
    }

    /// Stores something everywhere.
    fn init_frame(&mut self) {
        for n in 0..self.slots() {
            let off = -8 * (i16::from(n) + 1);
            let src = if n == 1 { Operand::Reg(self.live(0)) } else { Operand::Imm(i32::from(n)) };
            self.l.code.store(Size::Dw, Reg::R10, off, src);
        }
        for n in 0..self.areas() {
            let area = self.area(n);
            let state = Operand::Reg(self.live(n));
            self.l.code.store(Size::Dw, Reg::R10, area + cell::COUNTER, Operand::Imm(i32::from(n)));
            self.l.code.store(Size::Dw, Reg::R10, area + cell::STATE, state);
            self.l.code.store(Size::Dw, Reg::R10, area + cell::POINTER, Operand::Imm(0));
            self.l.code.store(Size::Dw, Reg::R10, area + cell::BUFFER, Operand::Imm(0));
        }
        let node = &self.l.plan.nodes[self.me];
        let (bytes, extra) = (node.bytes() as i16, node.extra);
        let (frame, over) = (self.body.frame, self.is_main() && self.slip(Mistake::StackOver));
        self.note(Feature::Frame(frame));
        if over {
            self.l.code.store(Size::Dw, Reg::R10, -520, Operand::Imm(0));
        } else if extra > 0 {
            let size = match bytes % 8 {
                0 => Size::Dw,
                4 => Size::W,
                2 | 6 => Size::H,
                _ => Size::B,
            };
            self.l.code.store(size, Reg::R10, -bytes, Operand::Imm(7));
        }
    }

    fn leave_main(&mut self) {
        let spec = self.l.spec;
        let site = &spec.main_site;
        if spec.swarm.is_long() {
            self.long_loop(site);
        } else {
            self.site(site);
        }
        if spec.chain.links != super::kinds::Links::None {
            self.chain();
        }
        self.late_mistakes();
        self.keep_last_alive();
        self.observe();
        if !self.slip(Mistake::R0Missing) {
            self.return_value();
            self.l.code.exit();
        } else {
            // Whatever was in R0 is gone after the call of a helper's argument registers; R1 never holds a value here.
            self.l.code.mov(Reg::R0, Reg::R5);
            self.l.code.exit();
        }
        if self.slip(Mistake::Unreachable) {
            self.l.code.imm(Reg::R0, 0);
            self.l.code.exit();
        }
    }

    /// Calls the last function. A kernel refuses a program whose last function is removed as dead while another one stays
    /// and something still refers to the removed one: that would be the fate of most programs with dead callbacks.
    fn keep_last_alive(&mut self) {
        if self.l.has_dead_callback && self.body.registers & 0x38 != 0x38 {
            let leaf = self.l.plan.nodes.len() - 1;
            let entry = self.l.refer(leaf);
            self.l.code.call(entry);
            self.fold(Reg::R0, self.body.init);
        }
    }

    /// R0 as main may return it.
    pub(super) fn return_value(&mut self) {
        if self.prog() == Prog::CgroupSkb {
            // 0 or 1, and therefore precise: not from the accumulator.
            self.l.code.mov(Reg::R0, self.live(0));
            self.l.code.alu_imm(AluOp::And, Reg::R0, 1);
        } else {
            self.l.code.mov(Reg::R0, self.acc);
        }
    }

    /// Puts all 64 bits of the accumulator where they can be seen.
    pub(super) fn observe(&mut self) {
        match (self.prog(), self.base) {
            (Prog::Syscall, Base::Ctx(ctx)) => {
                self.l.code.store(Size::Dw, ctx, 88, Operand::Reg(self.acc));
            }
            _ => {
                let map = self.l.maps.index(MapUse::Out);
                self.l.code.op(Op::LdImm64 { dst: Reg::R1, imm: Imm64::MapValue { map, off: 0 } });
                self.l.code.store(Size::Dw, Reg::R1, 0, Operand::Reg(self.acc));
            }
        }
    }

    fn leave(&mut self, func: &'a Func) {
        match func.role {
            Role::Callback => self.leave_callback(func),
            Role::Static | Role::Global => self.l.code.mov(Reg::R0, self.acc),
        }
        self.l.code.exit();
    }

    fn leave_callback(&mut self, func: &'a Func) {
        self.callback_mistakes();
        if func.end_imm.0 & 3 == 0 {
            self.publish(func.end_imm);
        }
        self.note(Feature::End(func.end));
        let pick = func.end_imm.0;
        if self.slip(Mistake::ReturnsTwo) {
            self.l.code.imm(Reg::R0, 2);
        } else if self.slip(Mistake::ReturnsUnknown) {
            self.l.code.mov(Reg::R0, self.live(0));
        } else if self.slip(Mistake::ReturnsPointer) {
            self.l.code.mov(Reg::R0, Reg::R10);
        } else {
            self.end(func.end, pick);
        }
        if pick & 12 == 0 {
            for n in 6..10 {
                self.l.code.imm(saved(n), i32::from(n) * 1111 - 5000);
            }
            self.shape(Shape::Clobbered);
        }
    }

    /// The value that a callback returns: 0 or 1.
    fn end(&mut self, end: End, pick: u8) {
        let code = &mut self.l.code;
        match (end, self.base) {
            (End::Continue | End::StopAt, _) => code.imm(Reg::R0, 0),
            (End::Stop, _) => code.imm(Reg::R0, 1),
            (End::State, Base::Area { reg, delta, .. }) if self.l.spec.swarm.masked_counters() => {
                code.load(Size::Dw, Reg::R1, reg, cell::COUNTER - delta);
                code.alu_imm(AluOp::And, Reg::R1, COUNTER_MASK);
                self.zero_unless(Cond::Ge, Reg::R1, i32::from(pick >> 4 & 3));
            }
            (End::LowBit, _) => {
                let width = if pick & 8 == 0 { Width::W64 } else { Width::W32 };
                let live = self.live(pick);
                self.l.code.mov(Reg::R0, live);
                self.l.code.alu(width, AluOp::And, Reg::R0, Operand::Imm(1));
            }
            (End::State | End::Compare, _) => {
                let live = self.live(pick);
                self.zero_unless(Cond::SGt, live, Imm(pick).get());
            }
        }
    }

    fn zero_unless(&mut self, cond: Cond, reg: Reg, imm: i32) {
        let stop = self.l.code.label();
        self.l.code.imm(Reg::R0, 1);
        self.l.code.jump_if_imm(cond, reg, imm, stop);
        self.l.code.imm(Reg::R0, 0);
        self.l.code.bind(stop);
    }

    /// Adds the accumulator to a word of the map of results.
    fn publish(&mut self, imm: Imm) {
        self.shape(Shape::CallbackMap);
        let map = self.l.maps.index(MapUse::Out);
        let off = 8 * (1 + u32::from(imm.0 >> 2) % 6);
        self.l.code.op(Op::LdImm64 { dst: Reg::R1, imm: Imm64::MapValue { map, off } });
        self.l.code.load(Size::Dw, Reg::R2, Reg::R1, 0);
        self.l.code.alu_imm(AluOp::Mul, Reg::R2, 3);
        self.l.code.alu_reg(AluOp::Add, Reg::R2, self.acc);
        self.l.code.store(Size::Dw, Reg::R1, 0, Operand::Reg(Reg::R2));
    }

    /// Takes a number into the accumulator.
    pub(super) fn fold(&mut self, reg: Reg, die: u8) {
        let acc = self.acc;
        let code = &mut self.l.code;
        match die % 4 {
            0 => code.alu_reg(AluOp::Add, acc, reg),
            1 => code.alu_reg(AluOp::Xor, acc, reg),
            2 => {
                code.alu_imm(AluOp::Mul, acc, 31);
                code.alu_reg(AluOp::Add, acc, reg);
            }
            _ => code.alu_reg(AluOp::Sub, acc, reg),
        }
    }

    /// Loads an unknown number, from whatever there is here. From a map, which the verifier does not look into, the number is given.
    pub(super) fn source(&mut self, dst: Reg, pick: u8) -> Option<i32> {
        let prog = self.prog();
        match self.base {
            Base::Ctx(ctx) if inputs::words(prog) > 0 && pick % 8 < 6 => {
                let n = inputs::DATA_WORD + pick % (inputs::words(prog) - inputs::DATA_WORD);
                self.word(dst, ctx, n);
            }
            Base::Area { reg, delta, .. } if pick % 4 < 2 => {
                self.l.code.load(Size::Dw, dst, reg, cell::STATE - delta);
                self.origin[dst.at()] = None;
                self.shape(Shape::ParentRead);
            }
            _ => {
                let map = self.l.maps.index(MapUse::Words);
                let off = 8 * (3 + u32::from(pick) % 5);
                self.l.code.op(Op::LdImm64 { dst, imm: Imm64::MapValue { map, off } });
                self.l.code.load(Size::Dw, dst, dst, 0);
                self.origin[dst.at()] = None;
                return self.l.spec.words.get(usize::from((3 + pick % 5) % 4)).map(|word| word.get());
            }
        }
        None
    }

    /// Loads a word of the context.
    pub(super) fn word(&mut self, dst: Reg, ctx: Reg, n: u8) {
        if let Some((off, size)) = inputs::word(self.prog(), n) {
            self.l.code.load(size, dst, ctx, off);
            self.origin[dst.at()] = Some(n);
        }
    }

    /// Notes that a register is compared with a constant, so that inputs can be put on both sides.
    pub(super) fn compared(&mut self, reg: Reg, value: i32) {
        if let Some(word) = self.origin[reg.at()] {
            self.l.edges.push(Edge { word, value });
        }
    }
}

/// What a function has in its base register.
fn base_of(func: &Func, reg: Reg) -> Base {
    let area = |delta| Base::Area { reg, delta, carried: func.carried };
    match (func.role, func.contract) {
        (Role::Global, _) | (_, Contract::Ignore) => Base::None,
        (_, Contract::Area) => area(0),
        (_, Contract::AreaEnd) => area(AREA_BYTES as i16),
        (Role::Callback, Contract::Nullable) => area(0),
        // A subprogram cannot be given NULL, but it can be given the context.
        (Role::Static, Contract::Nullable) => Base::Ctx(reg),
    }
}
