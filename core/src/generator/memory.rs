//! Steps that read and write memory: slots, areas, map values, the context and the packet.

use super::fun::{Base, COUNTER_MASK, Fun, cell};
use super::inputs::PACKET_WORD;
use super::kinds::{Carried, Mistake, Prog, Shape, StepKind};
use super::lower::has_packet;
use super::maps::MapUse;
use super::spec::Step;
use crate::isa::{AluOp, AtomicOp, Cond, Imm64, Op, Operand, Reg, Size, Width};

const LOOKUP: i32 = 1;
const SKB_LOAD_BYTES: i32 = 26;
const SIZES: [Size; 4] = [Size::Dw, Size::W, Size::H, Size::B];

/// Offsets of the packet's two pointers in the context.
const fn packet_fields(prog: Prog) -> (i16, i16) {
    if matches!(prog, Prog::Xdp) { (0, 4) } else { (76, 80) }
}

impl Fun<'_, '_> {
    /// Slots that the counters of loops by jumps do not take.
    pub(super) fn data_slots(&self) -> u8 {
        self.slots().saturating_sub(self.counters())
    }

    fn counters(&self) -> u8 {
        let loops = |s: &&Step| matches!(s.kind, StepKind::Repeat | StepKind::MayGoto);
        (self.body.steps.iter().filter(loops).count() as u8).min(2)
    }

    /// The slot of the counter of a loop by jumps at this depth.
    pub(super) fn counter_slot(&self) -> Option<i16> {
        let depth = self.depth;
        let free = depth < self.counters() && self.slots() >= self.counters();
        free.then(|| -8 * (i16::from(self.slots()) - i16::from(depth)))
    }

    pub(super) fn slot_store(&mut self, step: &Step) {
        if self.data_slots() == 0 {
            return self.alu(step);
        }
        let (slot, reg) = (self.slot(step.a), self.live(step.a >> 4));
        let size = SIZES[usize::from(step.b % 4)];
        let room = 8 - size.bytes() as i16;
        let off = slot + (i16::from(step.b >> 2) * size.bytes() as i16) % (room + 1);
        let src = if step.b & 128 == 0 { Operand::Reg(reg) } else { Operand::Imm(step.imm.get()) };
        self.l.code.store(size, Reg::R10, off - off.rem_euclid(size.bytes() as i16), src);
    }

    pub(super) fn slot_load(&mut self, step: &Step) {
        if self.data_slots() == 0 {
            return self.alu(step);
        }
        let slot = self.slot(step.a);
        let size = SIZES[usize::from(step.b % 4)];
        if step.b & 64 == 0 {
            self.l.code.load(size, Reg::R0, Reg::R10, slot);
            self.fold(Reg::R0, step.a);
        } else {
            let dst = self.live(step.a >> 4);
            let signed = step.b & 32 != 0 && size != Size::Dw && !self.l.spec.swarm.is_old();
            self.l.code.op(Op::Load { size, signed, dst, base: Reg::R10, off: slot });
            self.origin[dst.at()] = None;
        }
    }

    /// The area that this function works on: what it was given, or its own.
    fn any_area(&self, pick: u8) -> Option<(Reg, i16)> {
        match self.base {
            Base::Area { reg, delta, .. } => Some((reg, -delta)),
            _ if self.areas() > 0 => Some((Reg::R10, self.area(pick))),
            _ => None,
        }
    }

    fn note_area(&mut self, base: Reg, write: bool) {
        if base != Reg::R10 {
            self.shape(if write { Shape::ParentWritten } else { Shape::ParentRead });
        }
    }

    /// Stores through a register that points to the stack on one path and into a map on the other, and reads the stack.
    pub(super) fn either(&mut self, step: &Step) {
        let own = self.data_slots() > 0 && (step.a & 4 == 0 || self.base_area().is_none());
        let place = if own { Some((Reg::R10, self.slot(step.a))) } else { self.any_area(step.a) };
        let Some((base, place)) = place.filter(|_| self.may_fork()) else { return self.map_direct(step) };
        let place = if own { place } else { place + cell::BUFFER };
        // How much of the way is in the register, and how much in the store.
        let near = [0, place, place & !7, place / 2][usize::from(step.b >> 1 & 3)];
        let far = place - near;
        let (over, live) = (self.l.code.label(), self.live(step.a >> 4));
        let in_map = (8 * (i32::from(step.imm.0) % 4) - i32::from(far)).clamp(0, 56);
        let stack_first = step.b & 1 == 0;
        for round in 0..2 {
            if (round == 0) == stack_first {
                self.l.code.mov(Reg::R2, base);
                self.l.code.alu_imm(AluOp::Add, Reg::R2, i32::from(near));
            } else {
                self.value_address(Reg::R2, MapUse::Out, in_map as u32);
            }
            if round == 0 {
                self.test(step.a, step.b, step.imm, over);
            }
        }
        self.l.code.bind(over);
        let size = if step.b & 0xc0 == 0 { SIZES[usize::from(step.b >> 3 & 3)] } else { Size::Dw };
        let src = if step.b & 32 == 0 { Operand::Reg(live) } else { Operand::Imm(step.imm.get()) };
        self.l.code.store(size, Reg::R2, far, src);
        self.note_area(base, true);
        self.l.code.load(Size::Dw, Reg::R0, base, place);
        self.fold(Reg::R0, step.b >> 4);
    }

    fn base_area(&self) -> Option<Reg> {
        if let Base::Area { reg, .. } = self.base { Some(reg) } else { None }
    }

    /// Adds to the counter of an area.
    pub(super) fn counter(&mut self, step: &Step) {
        let Some((base, area)) = self.any_area(step.a) else { return self.alu(step) };
        self.note_area(base, true);
        let masked = self.l.spec.swarm.masked_counters();
        let live = self.live(step.a >> 4);
        let code = &mut self.l.code;
        code.load(Size::Dw, Reg::R0, base, area + cell::COUNTER);
        if step.b & 3 == 0 {
            code.alu_reg(AluOp::Add, Reg::R0, live);
        } else {
            code.alu_imm(AluOp::Add, Reg::R0, 1 + i32::from(step.b >> 2 & 1));
        }
        if masked {
            code.alu_imm(AluOp::And, Reg::R0, COUNTER_MASK);
        }
        code.store(Size::Dw, base, area + cell::COUNTER, Operand::Reg(Reg::R0));
        self.fold(Reg::R0, step.b >> 3);
        if masked && step.b & 128 != 0 {
            // Now it may steer.
            let dst = self.live(step.a);
            self.l.code.load(Size::Dw, dst, base, area + cell::COUNTER);
            self.l.code.alu_imm(AluOp::And, dst, COUNTER_MASK);
            self.origin[dst.at()] = None;
        }
    }

    /// Keeps a live value in an area, or takes the one that was kept.
    pub(super) fn index(&mut self, step: &Step) {
        let Some((base, area)) = self.any_area(step.a) else { return self.alu(step) };
        let write = step.b & 1 == 0;
        self.note_area(base, write);
        // The first live value is the index or something unknown, so that states do not go on for ever.
        let kept = self.live(0);
        if write {
            self.l.code.store(Size::Dw, base, area + cell::STATE, Operand::Reg(kept));
        } else {
            self.l.code.load(Size::Dw, Reg::R0, base, area + cell::STATE);
            self.fold(Reg::R0, step.b >> 1);
        }
    }

    /// Reads and writes through the pointer in the area.
    pub(super) fn carry(&mut self, step: &Step) {
        let Base::Area { reg, delta, carried } = self.base else { return self.counter(step) };
        if carried == Carried::Nothing {
            return self.counter(step);
        }
        let moves = !self.moved && !self.in_jumps && !self.in_may_goto && self.moves_on(self.me);
        let size = if moves { Size::B } else { SIZES[usize::from(step.b % 4)] };
        let live = self.live(step.a);
        let pointer = cell::POINTER - delta;
        self.shape(Shape::ParentRead);
        let code = &mut self.l.code;
        code.load(Size::Dw, Reg::R1, reg, pointer);
        code.load(size, Reg::R0, Reg::R1, 0);
        if step.b & 8 == 0 {
            code.alu_imm(AluOp::Mul, Reg::R0, 5);
            code.alu_reg(AluOp::Add, Reg::R0, live);
            code.store(size, Reg::R1, 0, Operand::Reg(Reg::R0));
        }
        if moves {
            code.alu_imm(AluOp::Add, Reg::R1, 1);
            code.store(Size::Dw, reg, pointer, Operand::Reg(Reg::R1));
            self.moved = true;
            self.shape(Shape::PointerMovesOn);
        }
        self.fold(Reg::R0, step.b >> 4);
    }

    /// Reads or writes a byte at an offset that a live value gives.
    pub(super) fn variable(&mut self, step: &Step) {
        let over = self.l.code.label();
        let index = self.live(step.a);
        self.l.code.mov(Reg::R0, index);
        if self.slip(Mistake::IndexUnchecked) {
            self.l.code.alu_imm(AluOp::And, Reg::R0, 1023);
        } else if step.b & 1 == 0 {
            self.shape(Shape::IndexMasked);
            let width = if step.b & 8 == 0 { Width::W64 } else { Width::W32 };
            self.l.code.alu(width, AluOp::And, Reg::R0, Operand::Imm(7));
        } else {
            self.shape(Shape::IndexCompared);
            self.compared(index, 7);
            self.l.code.jump_if_imm(Cond::Gt, Reg::R0, 7, over);
        }
        let pick = step.b >> 1 & 3;
        match (pick, self.any_area(step.a)) {
            (0 | 1, Some((base, area))) => {
                self.shape(if base == Reg::R10 { Shape::OwnVariable } else { Shape::ParentVariable });
                self.l.code.mov(Reg::R1, base);
                self.l.code.alu_imm(AluOp::Add, Reg::R1, i32::from(area + cell::BUFFER));
            }
            (2, _) if self.data_slots() > 0 => {
                self.shape(Shape::OwnVariable);
                let slot = self.slot(step.a);
                self.l.code.mov(Reg::R1, Reg::R10);
                self.l.code.alu_imm(AluOp::Add, Reg::R1, i32::from(slot));
            }
            _ => {
                self.shape(Shape::MapVariable);
                self.value_address(Reg::R1, MapUse::Out, 8 * (1 + u32::from(step.imm.0 % 6)));
            }
        }
        self.l.code.alu_reg(AluOp::Add, Reg::R1, Reg::R0);
        if step.b & 16 == 0 {
            let value = self.live(step.a >> 4);
            self.l.code.store(Size::B, Reg::R1, 0, Operand::Reg(value));
        } else {
            self.l.code.load(Size::B, Reg::R0, Reg::R1, 0);
            self.fold(Reg::R0, step.b >> 5);
        }
        self.l.code.bind(over);
    }

    /// The address of a map's value.
    pub(super) fn value_address(&mut self, dst: Reg, map: MapUse, off: u32) {
        let map = self.l.maps.index(map);
        self.l.code.op(Op::LdImm64 { dst, imm: Imm64::MapValue { map, off } });
        if self.is_callback() {
            self.shape(Shape::CallbackMap);
        }
    }

    pub(super) fn map_direct(&mut self, step: &Step) {
        let live = self.live(step.a);
        let size = SIZES[usize::from(step.b % 4)];
        self.value_address(Reg::R1, MapUse::Out, 8 * u32::from(step.imm.0 % 8));
        self.l.code.load(size, Reg::R0, Reg::R1, 0);
        if step.b & 4 == 0 {
            self.l.code.alu_reg(AluOp::Add, Reg::R0, live);
            self.l.code.store(size, Reg::R1, 0, Operand::Reg(Reg::R0));
        }
        self.fold(Reg::R0, step.b >> 3);
    }

    pub(super) fn map_lookup(&mut self, step: &Step) {
        if self.data_slots() == 0 {
            return self.map_direct(step);
        }
        let over = self.l.code.label();
        let slot = self.slot(step.a);
        let live = self.live(step.a >> 4);
        let map = if step.b & 3 == 0 { MapUse::Hash } else { MapUse::Array };
        let map = self.l.maps.index(map);
        if self.is_callback() {
            self.shape(Shape::CallbackMap);
        }
        let code = &mut self.l.code;
        if step.b & 4 == 0 {
            code.store(Size::W, Reg::R10, slot, Operand::Imm(i32::from(step.imm.0 % 5)));
        } else {
            code.mov(Reg::R0, live);
            code.alu_imm(AluOp::And, Reg::R0, 3);
            code.store(Size::W, Reg::R10, slot, Operand::Reg(Reg::R0));
        }
        code.mov(Reg::R2, Reg::R10);
        code.alu_imm(AluOp::Add, Reg::R2, i32::from(slot));
        code.op(Op::LdImm64 { dst: Reg::R1, imm: Imm64::Map(map) });
        code.helper(LOOKUP);
        code.jump_if_imm(Cond::Eq, Reg::R0, 0, over);
        code.load(Size::Dw, Reg::R1, Reg::R0, 0);
        code.alu_reg(AluOp::Add, Reg::R1, live);
        if step.b & 8 == 0 {
            code.store(Size::Dw, Reg::R0, 8, Operand::Reg(Reg::R1));
        }
        self.fold(Reg::R1, step.b >> 4);
        self.l.code.bind(over);
    }

    pub(super) fn atomic(&mut self, step: &Step) {
        let live = self.live(step.a);
        let size = if step.b & 1 == 0 { Size::Dw } else { Size::W };
        let fetch = step.b & 2 == 0;
        let op = match step.b >> 2 & 7 {
            0..=2 => AtomicOp::Add { fetch },
            3 => AtomicOp::Or { fetch },
            4 => AtomicOp::And { fetch },
            5 => AtomicOp::Xor { fetch },
            6 => AtomicOp::Xchg,
            _ => AtomicOp::CmpXchg,
        };
        let (base, off) = if step.b & 32 == 0 && self.data_slots() > 0 {
            (Reg::R10, self.slot(step.a))
        } else {
            self.value_address(Reg::R1, MapUse::Out, 8 * u32::from(step.imm.0 % 8));
            (Reg::R1, 0)
        };
        self.l.code.mov(Reg::R2, live);
        self.l.code.imm(Reg::R0, step.imm.get());
        self.l.code.op(Op::Atomic { size, op, base, off, src: Reg::R2 });
        self.fold(Reg::R2, step.b >> 6);
        self.fold(Reg::R0, step.b >> 5);
    }

    pub(super) fn ctx_write(&mut self, step: &Step) {
        let live = self.live(step.a);
        match (self.base, self.prog()) {
            (Base::Ctx(ctx), Prog::Syscall) => {
                let size = SIZES[usize::from(step.b % 4)];
                self.l.code.store(size, ctx, 80, Operand::Reg(live));
            }
            (Base::Ctx(ctx), Prog::SocketFilter | Prog::SchedCls | Prog::CgroupSkb) => {
                self.l.code.store(Size::W, ctx, 64, Operand::Reg(live));
            }
            _ => self.map_direct(step),
        }
    }

    pub(super) fn packet(&mut self, step: &Step) {
        let Base::Ctx(ctx) = self.base else { return self.map_direct(step) };
        let loads = matches!(self.prog(), Prog::SocketFilter | Prog::SchedCls);
        // The legacy loads take the context from R6.
        if loads && ctx == Reg::R6 && step.b & 1 == 0 && !self.below_callback() && self.is_main() {
            let size = [Size::B, Size::H, Size::W][usize::from(step.b >> 1 & 3) % 3];
            self.l.code.op(Op::LdAbs { size, imm: i32::from(step.imm.0 % 12) });
            self.fold(Reg::R0, step.a);
        } else if has_packet(self.prog()) {
            self.packet_read(ctx, step);
        } else if self.prog() == Prog::SocketFilter && self.data_slots() > 0 {
            let slot = self.slot(step.a);
            let code = &mut self.l.code;
            code.mov(Reg::R1, ctx);
            code.imm(Reg::R2, i32::from(step.imm.0 % 8));
            code.mov(Reg::R3, Reg::R10);
            code.alu_imm(AluOp::Add, Reg::R3, i32::from(slot));
            code.imm(Reg::R4, 8);
            code.helper(SKB_LOAD_BYTES);
            self.fold(Reg::R0, step.a);
        } else {
            self.map_direct(step);
        }
    }

    /// Reads eight bytes of the packet into a live value when there are so many.
    fn packet_read(&mut self, ctx: Reg, step: &Step) {
        let (data, end) = packet_fields(self.prog());
        let over = self.l.code.label();
        let word = step.imm.0 % 7;
        let writes = step.b & 8 != 0 && self.prog() != Prog::CgroupSkb;
        let (dst, other) = (self.live(step.a), self.live(step.a >> 4));
        let code = &mut self.l.code;
        code.load(Size::W, Reg::R1, ctx, data);
        code.load(Size::W, Reg::R2, ctx, end);
        code.mov(Reg::R3, Reg::R1);
        code.alu_imm(AluOp::Add, Reg::R3, 8 * (i32::from(word) + 1));
        code.jump_if(Width::W64, Cond::Gt, Reg::R3, Operand::Reg(Reg::R2), over);
        code.load(Size::Dw, dst, Reg::R1, 8 * i16::from(word));
        if writes {
            code.store(Size::B, Reg::R1, 8 * i16::from(word) + 3, Operand::Reg(other));
        }
        self.l.code.bind(over);
        let link_layer = self.prog() != Prog::CgroupSkb;
        self.origin[dst.at()] = link_layer.then_some(PACKET_WORD + word);
    }

    /// Spills the base, overwrites it and fills it again.
    pub(super) fn pointer_spill(&mut self, step: &Step) {
        if self.data_slots() == 0 {
            return self.alu(step);
        }
        let slot = self.slot(step.a);
        let reg = match self.base {
            Base::Ctx(reg) | Base::Area { reg, .. } => reg,
            Base::None => self.live(step.b),
        };
        let code = &mut self.l.code;
        code.store(Size::Dw, Reg::R10, slot, Operand::Reg(reg));
        code.imm(reg, step.imm.get());
        code.load(Size::Dw, reg, Reg::R10, slot);
        code.store(Size::Dw, Reg::R10, slot, Operand::Imm(0));
    }

    /// Mistakes with an area.
    pub(super) fn area_mistakes(&mut self) {
        if self.slip(Mistake::LeavesByLdAbs) {
            self.l.code.op(Op::LdAbs { size: Size::B, imm: 0 });
        }
        let Base::Area { reg, delta, .. } = self.base else { return };
        if self.slip(Mistake::PointerLeak) {
            self.l.code.store(Size::Dw, reg, cell::STATE - delta, Operand::Reg(Reg::R10));
        }
        if self.slip(Mistake::AreaOverrun) {
            self.l.code.store(Size::Dw, reg, 520 - delta, Operand::Imm(0));
        }
    }

    /// Mistakes with maps and the packet, in main.
    pub(super) fn memory_mistakes(&mut self) {
        if self.slip(Mistake::BadMapOffset) {
            self.value_address(Reg::R1, MapUse::Out, 0);
            self.l.code.load(Size::Dw, Reg::R0, Reg::R1, 60);
        }
        if let Base::Ctx(ctx) = self.base
            && has_packet(self.prog())
            && self.slip(Mistake::PacketUnchecked)
        {
            self.l.code.load(Size::W, Reg::R1, ctx, packet_fields(self.prog()).0);
            self.l.code.load(Size::B, Reg::R0, Reg::R1, 0);
        }
        if self.data_slots() > 0 && self.slip(Mistake::NullUnchecked) {
            let (slot, map) = (self.slot(0), self.l.maps.index(MapUse::Hash));
            let code = &mut self.l.code;
            code.mov(Reg::R2, Reg::R10);
            code.alu_imm(AluOp::Add, Reg::R2, i32::from(slot));
            code.op(Op::LdImm64 { dst: Reg::R1, imm: Imm64::Map(map) });
            code.helper(LOOKUP);
            code.load(Size::Dw, Reg::R0, Reg::R0, 0);
        }
    }
}
