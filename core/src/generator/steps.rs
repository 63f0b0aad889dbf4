//! The steps of a function, except for memory and loops.

use super::features::Feature;
use super::fun::{Base, Fun};
use super::inputs::Dice;
use super::kinds::{Contract, Mistake, Prog, Role, Shape, StepKind};
use super::plan::{AREA_BYTES, site_of};
use super::spec::{Imm, Step};
use super::{code::Label, kinds::Carried};
use crate::isa::{AluOp, Cond, Endian, Op, Operand, Reg, Size, Width};

const HELPERS: [i32; 5] = [5, 7, 8, 118, 125];
const CONDS: [Cond; 11] =
    [Cond::Eq, Cond::Ne, Cond::Gt, Cond::Ge, Cond::Lt, Cond::Le, Cond::SGt, Cond::SGe, Cond::SLt, Cond::SLe, Cond::Set];

/// How often a loop by jumps goes round.
pub(super) fn times(step: &Step) -> u32 {
    2 + step.imm.below(3)
}

impl Fun<'_, '_> {
    /// All steps.
    pub(super) fn steps(&mut self, steps: &[Step]) {
        let mut rest = steps;
        while let Some((step, after)) = rest.split_first() {
            let taken = self.step(step, after).min(after.len());
            rest = &after[taken..];
        }
    }

    /// One step, and how many of those after it it has taken in.
    fn step(&mut self, step: &Step, after: &[Step]) -> usize {
        self.note(Feature::StepKind(step.kind));
        match step.kind {
            StepKind::Alu => self.alu(step),
            StepKind::Loop => match site_of(self.body, step) {
                Some(site) => self.site(site),
                None => self.alu(step),
            },
            StepKind::Branch => return self.branch(step, after),
            StepKind::Known => return self.known_branch(step, after),
            StepKind::Repeat | StepKind::MayGoto => return self.repeat(step, after),
            StepKind::Call => self.call(step),
            StepKind::Helper => self.helper(step),
            StepKind::Source => {
                let dst = self.live(step.a);
                self.source(dst, step.b);
            }
            StepKind::Swap => self.swap(step),
            StepKind::Leave => self.leave_early(step),
            StepKind::SlotStore => self.slot_store(step),
            StepKind::SlotLoad => self.slot_load(step),
            StepKind::Counter => self.counter(step),
            StepKind::Index => self.index(step),
            StepKind::Carry => self.carry(step),
            StepKind::Variable => self.variable(step),
            StepKind::MapDirect => self.map_direct(step),
            StepKind::MapLookup => self.map_lookup(step),
            StepKind::Atomic => self.atomic(step),
            StepKind::CtxWrite => self.ctx_write(step),
            StepKind::Packet => self.packet(step),
            StepKind::PtrSpill => self.pointer_spill(step),
            StepKind::Later => self.later(step),
            StepKind::Linked => return self.linked(step, after),
            StepKind::Squeeze => self.squeeze(step),
            StepKind::Either => self.either(step),
        }
        0
    }

    /// Arithmetic on a live value, and sometimes into the accumulator.
    pub(super) fn alu(&mut self, step: &Step) {
        let dst = self.live(step.a);
        self.origin[dst.at()] = None;
        let width = if step.b & 1 == 0 { Width::W64 } else { Width::W32 };
        let bits = if width == Width::W64 { 64 } else { 32 };
        self.shape(if width == Width::W64 { Shape::Alu64 } else { Shape::Alu32 });
        let other = self.live(step.a >> 4);
        let src = if step.b & 2 == 0 { Operand::Imm(step.imm.get()) } else { Operand::Reg(other) };
        let nonzero = if step.b & 2 == 0 { Operand::Imm(step.imm.get().max(1)) } else { src };
        let shift = Operand::Imm(step.imm.get().rem_euclid(bits));
        let old = self.l.spec.swarm.is_old();
        let code = &mut self.l.code;
        match step.b >> 2 & 31 {
            0..=4 => code.alu(width, AluOp::Add, dst, src),
            5..=6 => code.alu(width, AluOp::Sub, dst, src),
            7..=8 => code.alu(width, AluOp::Mul, dst, src),
            9..=10 => code.alu(width, AluOp::Xor, dst, src),
            11..=12 => code.alu(width, AluOp::And, dst, src),
            13 => code.alu(width, AluOp::Or, dst, src),
            14 => code.alu(width, AluOp::Lsh, dst, shift),
            15..=16 => code.alu(width, AluOp::Rsh, dst, shift),
            17..=18 => code.alu(width, AluOp::Arsh, dst, shift),
            19 => code.alu(width, AluOp::Mov, dst, src),
            20..=23 => {
                let ops = [AluOp::Div, AluOp::Mod, AluOp::SDiv, AluOp::SMod];
                let pick = step.b >> 2 & if old { 1 } else { 3 };
                code.alu(width, ops[usize::from(pick)], dst, nonzero);
                self.shape(Shape::Divided);
            }
            24 => code.op(Op::Neg { width, dst }),
            25..=27 if !old => {
                let bits = [8, 16, if width == Width::W64 { 32 } else { 8 }][usize::from(step.imm.0 % 3)];
                code.op(Op::MovSx { width, bits, dst, src: other });
                self.shape(Shape::SignExtended);
            }
            28..=29 => {
                let kind =
                    [Endian::ToLe, Endian::ToBe, Endian::Bswap][usize::from(step.imm.0 % if old { 2 } else { 3 })];
                let bits = [16, 32, 64][usize::from(step.imm.0 / 3 % 3)];
                code.op(Op::Endian { kind, bits, dst });
                self.shape(Shape::Swapped);
            }
            _ => {
                code.alu(width, AluOp::And, dst, Operand::Imm(255));
                code.alu(width, AluOp::Add, dst, src);
            }
        }
        if step.b & 128 == 0 {
            self.fold(dst, step.a >> 2);
        }
    }

    /// A jump to `to` that depends on a live value.
    pub(super) fn test(&mut self, pick: u8, how: u8, imm: Imm, to: Label) {
        let cond = CONDS[usize::from(how >> 2) % CONDS.len()];
        let width = if how & 1 == 0 { Width::W64 } else { Width::W32 };
        let left = self.live(pick);
        let right = self.live(pick >> 4);
        self.shape(if width == Width::W64 { Shape::Branch64 } else { Shape::Branch32 });
        if cond == Cond::Set {
            self.shape(Shape::BranchSet);
        }
        if how & 3 == 3 && left != right {
            self.shape(Shape::BranchRegisters);
            self.l.code.jump_if(width, cond, left, Operand::Reg(right), to);
        } else {
            self.compared(left, imm.get());
            self.l.code.jump_if(width, cond, left, Operand::Imm(imm.get()), to);
        }
    }

    /// Comparisons of one number with constants that lie close together, so that some exclude others.
    fn squeeze(&mut self, step: &Step) {
        const PIVOTS: [i32; 8] = [0, 0, 1, -1, i32::MAX, i32::MIN, 0x7fff, 0x1_0000];
        let mut dice = Dice::of(step);
        let reg = self.live(step.a);
        if step.a & 4 == 0 {
            self.source(reg, step.a >> 3);
        }
        let pivot = if step.b & 1 == 0 { PIVOTS[usize::from(step.b >> 1 & 7)] } else { step.imm.get() };
        let end = self.l.code.label();
        for _ in 0..2 + dice.below(3) {
            if !self.may_fork() {
                break;
            }
            let next = self.l.code.label();
            let cond = CONDS[dice.below(CONDS.len() as u64) as usize];
            let width = if dice.below(2) == 0 { Width::W64 } else { Width::W32 };
            let imm = pivot.wrapping_add(dice.below(4) as i32 - 1);
            let leaves = dice.below(3) == 0;
            self.compared(reg, imm);
            self.l.code.jump_if(width, cond, reg, Operand::Imm(imm), if leaves { end } else { next });
            self.l.code.alu_imm(AluOp::Add, self.acc, 1 + dice.below(200) as i32);
            self.l.code.bind(next);
        }
        self.l.code.bind(end);
    }

    fn branch(&mut self, step: &Step, after: &[Step]) -> usize {
        if !self.may_fork() {
            self.alu(step);
            return 0;
        }
        let then = (1 + usize::from(step.a >> 6 & 1)).min(after.len());
        let otherwise = usize::from(step.b >> 7).min(after.len() - then);
        let (other, join) = (self.l.code.label(), self.l.code.label());
        self.test(step.a, step.b, step.imm, other);
        self.steps(&after[..then]);
        if otherwise > 0 {
            self.l.code.jump(join);
        }
        self.l.code.bind(other);
        self.steps(&after[then..then + otherwise]);
        self.l.code.bind(join);
        then + otherwise
    }

    /// A branch whose outcome is known, over a step that may be dead.
    fn known_branch(&mut self, step: &Step, after: &[Step]) -> usize {
        let over = self.l.code.label();
        let cond = if step.b & 3 == 0 { Cond::Ne } else { Cond::Eq };
        let taken = after.len().min(1);
        if cond == Cond::Eq && after.first().is_some_and(|s| s.kind == StepKind::Loop) {
            self.shape(Shape::LoopDead);
            self.l.has_dead_callback = true;
        }
        self.l.code.imm(Reg::R0, step.imm.get());
        self.l.code.jump_if_imm(cond, Reg::R0, step.imm.get(), over);
        self.steps(&after[..taken]);
        self.l.code.bind(over);
        taken
    }

    /// A loop by jumps over the steps that follow; its counter has a slot of its own.
    fn repeat(&mut self, step: &Step, after: &[Step]) -> usize {
        let taken = (1 + usize::from(step.a & 1)).min(after.len());
        let Some(slot) = self.counter_slot() else {
            self.alu(step);
            return 0;
        };
        let (head, out) = (self.l.code.label(), self.l.code.label());
        let times = times(step);
        self.l.code.store(Size::Dw, Reg::R10, slot, Operand::Imm(times as i32));
        self.l.code.bind(head);
        let may = step.kind == StepKind::MayGoto && !self.l.spec.swarm.is_old();
        if may {
            self.l.code.may_goto(out);
        }
        let (cap, jumps, in_may) = (self.cap, self.in_jumps, self.in_may_goto);
        self.cap = (cap / times).max(1);
        (self.in_jumps, self.in_may_goto) = (jumps || !may, in_may || may);
        self.depth += 1;
        self.steps(&after[..taken]);
        self.depth -= 1;
        (self.in_jumps, self.in_may_goto, self.cap) = (jumps, in_may, cap);
        self.l.code.load(Size::Dw, Reg::R0, Reg::R10, slot);
        self.l.code.alu_imm(AluOp::Sub, Reg::R0, 1);
        self.l.code.store(Size::Dw, Reg::R10, slot, Operand::Reg(Reg::R0));
        self.l.code.jump_if_imm(Cond::Ne, Reg::R0, 0, head);
        self.l.code.bind(out);
        taken
    }

    fn call(&mut self, step: &Step) {
        let Some(callee) = self.l.plan.subprogram(self.me, step) else {
            return self.alu(step);
        };
        let Some(func) = self.l.plan.nodes[callee].func() else { return };
        let (role, contract, carried) = (func.role, func.contract, func.carried);
        match (role, contract) {
            (Role::Global, _) | (_, Contract::Ignore) => {
                let first = self.live(step.a);
                self.l.code.mov(Reg::R1, first);
            }
            (_, Contract::Nullable) => match self.base {
                Base::Ctx(ctx) => self.l.code.mov(Reg::R1, ctx),
                _ => return self.alu(step),
            },
            (_, Contract::Area | Contract::AreaEnd) => {
                let delta = if contract == Contract::Area { 0 } else { AREA_BYTES as i16 };
                if !self.area_argument(carried, delta, step.imm.0) {
                    return self.alu(step);
                }
            }
        }
        let (second, third) = (self.live(step.b), self.live(step.b >> 4));
        self.l.code.mov(Reg::R2, second);
        self.l.code.mov(Reg::R3, third);
        let entry = self.l.refer(callee);
        self.l.code.call(entry);
        if self.is_callback() {
            self.shape(Shape::CallbackCalls);
        }
        self.fold(Reg::R0, step.b);
    }

    /// R1: an area for a subprogram. False when there is none to be had.
    fn area_argument(&mut self, carried: Carried, delta: i16, pick: u8) -> bool {
        if self.areas() > 0 {
            self.point_areas(carried);
            let off = self.area(pick) + delta;
            self.l.code.mov(Reg::R1, Reg::R10);
            self.l.code.alu_imm(AluOp::Add, Reg::R1, i32::from(off));
            return true;
        }
        match self.base {
            Base::Area { reg, delta: mine, carried: given } if carried == Carried::Nothing || carried == given => {
                self.l.code.mov(Reg::R1, reg);
                self.l.code.alu_imm(AluOp::Add, Reg::R1, i32::from(delta - mine));
                true
            }
            _ => false,
        }
    }

    fn helper(&mut self, step: &Step) {
        self.l.code.helper(HELPERS[usize::from(step.a) % HELPERS.len()]);
        if self.is_callback() {
            self.shape(Shape::CallbackHelper);
        }
        self.fold(Reg::R0, step.b);
    }

    fn swap(&mut self, step: &Step) {
        let (a, b) = (self.live(step.a), self.live(step.a.wrapping_add(1)));
        self.l.code.mov(Reg::R0, a);
        self.l.code.mov(a, b);
        self.l.code.mov(b, Reg::R0);
        self.origin.swap(a.at(), b.at());
    }

    /// Ends the function when a test does not hold.
    fn leave_early(&mut self, step: &Step) {
        if !self.may_fork() {
            return self.alu(step);
        }
        let stay = self.l.code.label();
        self.test(step.a, step.b, step.imm, stay);
        if self.is_main() {
            self.observe();
            self.return_value();
        } else if self.is_callback() {
            let stops = step.b & 1 == 1 || self.l.plan.nodes[self.me].stops_soon();
            self.l.code.imm(Reg::R0, i32::from(stops));
        } else {
            self.l.code.mov(Reg::R0, self.acc);
        }
        self.l.code.exit();
        self.l.code.bind(stay);
    }

    /// The chain of small functions.
    pub(super) fn chain(&mut self) {
        use crate::kernel::limits::HELPER_LOOP;
        let entry = self.l.refer(1);
        if self.l.spec.chain.loops & 1 == 1 {
            self.l.code.imm(Reg::R1, 1);
            self.l.code.func(Reg::R2, entry);
            self.l.code.imm(Reg::R3, 0);
            self.l.code.imm(Reg::R4, 0);
            self.l.code.helper(HELPER_LOOP);
        } else {
            self.l.code.call(entry);
        }
        self.fold(Reg::R0, self.l.spec.chain.more);
    }

    /// A loop under a jump whose distance comes to the 16-bit limit when the loop is inlined.
    pub(super) fn long_loop(&mut self, site: &super::spec::Site) {
        self.shape(Shape::Long);
        let end = self.l.code.label();
        let far = site.second.die & 1 == 0;
        let live = self.live(0);
        if far {
            let near = self.l.code.label();
            self.l.code.jump_if_imm(Cond::Ne, live, 5, near);
            self.l.code.jump_wide(end);
            self.l.code.bind(near);
        } else {
            self.shape(Shape::JumpLimit);
            self.l.code.jump_if_imm(Cond::Eq, live, 5, end);
        }
        let start = self.l.code.here();
        self.site(site);
        let emitted = self.l.code.here() - start;
        // The inlined form is 18 longer than the call: below, at and above the limit.
        let total = i32::from(i16::MAX) - [0, 17, 18, 19, 36][usize::from(site.second.count_imm.0 % 5)];
        let total = if far { total + 3000 } else { total };
        for _ in 0..(total as u32).saturating_sub(emitted) {
            self.l.code.alu_imm(AluOp::Add, self.acc, 1);
        }
        self.l.code.bind(end);
    }

    /// Mistakes at the end of main.
    pub(super) fn late_mistakes(&mut self) {
        if self.slip(Mistake::EndlessLoop) {
            let head = self.l.code.label();
            let live = self.live(0);
            self.l.code.bind(head);
            self.l.code.jump_if_imm(Cond::Ne, live, 3, head);
        }
        if self.slip(Mistake::CallbackMain) {
            let entry = self.l.plan.nodes[0].entry;
            self.l.code.func(Reg::R2, entry);
        }
        if self.slip(Mistake::SelfCall) {
            let entry = self.l.plan.nodes[0].entry;
            self.l.code.call(entry);
        }
        if self.slip(Mistake::CtxBad)
            && let Base::Ctx(ctx) = self.base
        {
            // The hidden bytes of a tracepoint's record come before it.
            let off = if matches!(self.prog(), Prog::Syscall | Prog::Tracepoint) { -8 } else { 30000 };
            self.l.code.load(Size::Dw, Reg::R0, ctx, off);
        }
        if self.slip(Mistake::PointerArithmetic) {
            self.l.code.mov(Reg::R0, Reg::R10);
            self.l.code.alu_imm(AluOp::Mul, Reg::R0, 2);
        }
        self.memory_mistakes();
    }

    /// Mistakes at the end of a callback.
    pub(super) fn callback_mistakes(&mut self) {
        if self.slip(Mistake::Recursion) {
            let entry = self.l.earlier_callback(self.me);
            self.l.code.func(Reg::R2, entry);
            self.l.code.imm(Reg::R1, 0);
            self.l.code.imm(Reg::R3, 0);
            self.l.code.imm(Reg::R4, 0);
            self.l.code.helper(crate::kernel::limits::HELPER_LOOP);
        }
        if self.slip(Mistake::OwnAddress) {
            // For the check of the stack that is a call, which never comes to an end.
            let entry = self.l.earlier_callback(self.me);
            self.l.code.func(Reg::R2, entry);
        }
        self.area_mistakes();
    }
}
