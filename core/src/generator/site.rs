//! Loops: the four arguments by every means, one or two paths to the call, and what is read back afterwards.

use super::features::Feature;
use super::fun::{Base, Fun, cell};
use super::inputs;
use super::kinds::{Carried, Contract, Count, Ctx, Flags, Join, Kind, Mistake, Role, Shape};
use super::maps::{MapUse, RODATA};
use super::plan::AREA_BYTES;
use super::spec::{Paths, Setup, Site};
use crate::isa::{AluOp, Cond, Imm64, Op, Operand, Reg, Size, Width};
use crate::kernel::limits::{HELPER_LOOP, LOOPS_MAX};

/// Most iterations with a pointer that moves on.
const MOVES_MAX: u32 = 4;
const RANDOM: i32 = 7;

/// The arguments of one path, with what they come to here.
#[derive(Clone, Copy)]
struct Path {
    setup: Setup,
    callback: usize,
    number: u8,
}

impl Fun<'_, '_> {
    /// A loop with all that belongs to it.
    pub(super) fn site(&mut self, site: &Site) {
        self.note_place();
        let differs = if site.paths.fork() && self.may_fork() { site.paths } else { Paths(0) };
        let paths = self.paths(site, differs);
        self.prepare_cells(&paths);
        let kept = site.order >> 4;
        let spilled = kept & 1 == 1 && self.data_slots() > 0;
        if spilled {
            let (slot, reg) = (self.slot(kept), self.live(kept));
            self.l.code.store(Size::Dw, Reg::R10, slot, Operand::Reg(reg));
            self.shape(Shape::LiveSpilled);
        }
        if differs.fork() {
            self.fork(site, &paths);
        } else {
            self.arguments(&paths[0], site.order);
        }
        self.call_loop(site);
        self.read_back(site, spilled);
    }

    fn note_place(&mut self) {
        let place = match self.l.plan.nodes[self.me].role {
            _ if self.is_main() => Shape::LoopInMain,
            Role::Callback => Shape::LoopInCallback,
            Role::Static => Shape::LoopInStatic,
            Role::Global => Shape::LoopInGlobal,
        };
        self.shape(place);
        if self.in_jumps {
            self.shape(Shape::LoopInJumps);
        }
        if self.in_may_goto {
            self.shape(Shape::LoopInMayGoto);
        }
        self.shape(Shape::LiveRegisters);
    }

    /// Both paths; without a fork the second is not used.
    fn paths(&mut self, site: &Site, differs: Paths) -> [Path; 2] {
        let (first, second) = (&site.first, &site.second);
        let callback = self.usable(self.l.plan.callback(self.me, first));
        let mut setup = *first;
        let mut other = callback;
        if differs.callback() {
            let candidate = self.usable(self.l.plan.callback(self.me, second));
            // Both may be given the same pointer cell.
            if self.carried(candidate) == self.carried(callback) || self.carried(candidate) == Carried::Nothing {
                (setup.callback, other) = (second.callback, candidate);
            }
        }
        if differs.flags() {
            setup.flags = second.flags;
        }
        if differs.count() {
            (setup.count, setup.count_imm) = (second.count, second.count_imm);
        }
        if differs.ctx() {
            setup.ctx = second.ctx;
        }
        if differs.fork() {
            self.note(Feature::Join(site.join));
            let mut same = true;
            for (differs, shape) in [
                (setup.flags != first.flags, Shape::PathsFlags),
                (other != callback, Shape::PathsCallback),
                ((setup.count, setup.count_imm) != (first.count, first.count_imm), Shape::PathsCount),
                (setup.ctx != first.ctx, Shape::PathsCtx),
            ] {
                if differs {
                    same = false;
                    self.shape(shape);
                }
            }
            if same {
                self.shape(Shape::PathsSame);
            }
        }
        [Path { setup: *first, callback, number: 0 }, Path { setup, callback: other, number: 1 }]
    }

    /// The callback itself, or the leaf when this function cannot give it what it needs.
    fn usable(&self, callback: usize) -> usize {
        let contract = self.l.plan.nodes[callback].contract();
        let needs_area = matches!(contract, Contract::Area | Contract::AreaEnd);
        if needs_area && self.areas() == 0 && !self.can_pass_on(callback) {
            self.l.plan.nodes.len() - 1
        } else {
            callback
        }
    }

    fn carried(&self, callback: usize) -> Carried {
        let func = self.l.plan.nodes[callback].func();
        func.filter(|f| f.contract != Contract::Ignore).map_or(Carried::Nothing, |f| f.carried)
    }

    pub(super) fn moves_on(&self, callback: usize) -> bool {
        // A callback may not put an address of a stack into its caller's frame.
        self.carried(callback) == Carried::Map
            && self.l.plan.nodes[callback].func().is_some_and(|f| f.moves_on && f.role == Role::Callback)
    }

    /// Whether the area that this function was given will do for a callback of its own.
    fn can_pass_on(&self, callback: usize) -> bool {
        let Base::Area { carried, .. } = self.base else { return false };
        let wanted = self.carried(callback);
        (wanted == Carried::Nothing || wanted == carried) && !self.moves_on(callback)
    }

    /// Puts the pointers that a callback expects into the areas.
    fn prepare_cells(&mut self, paths: &[Path; 2]) {
        let mut carried = self.carried(paths[0].callback);
        if carried == Carried::Nothing {
            carried = self.carried(paths[1].callback);
        }
        self.point_areas(carried);
    }

    pub(super) fn point_areas(&mut self, carried: Carried) {
        if carried == Carried::Nothing || self.areas() == 0 {
            return;
        }
        self.note(Feature::Carried(carried));
        match carried {
            Carried::Stack => {
                let target = if self.data_slots() > 0 { self.slot(0) } else { self.area(0) + cell::BUFFER };
                self.l.code.mov(Reg::R0, Reg::R10);
                self.l.code.alu_imm(AluOp::Add, Reg::R0, i32::from(target));
            }
            _ => {
                let map = self.l.maps.index(MapUse::Out);
                self.l.code.op(Op::LdImm64 { dst: Reg::R0, imm: Imm64::MapValue { map, off: 8 } });
            }
        }
        for n in 0..self.areas() {
            let off = self.area(n) + cell::POINTER;
            self.l.code.store(Size::Dw, Reg::R10, off, Operand::Reg(Reg::R0));
        }
    }

    fn fork(&mut self, site: &Site, paths: &[Path; 2]) {
        let (other, join) = (self.l.code.label(), self.l.code.label());
        self.test(site.second.die, site.order, site.second.count_imm, other);
        let spills = if site.join == Join::Spills { self.data_slots().min(3) } else { 0 };
        self.arguments(&paths[0], site.order);
        self.spill_arguments(spills);
        self.l.code.jump(join);
        self.l.code.bind(other);
        self.arguments(&paths[1], site.order);
        self.spill_arguments(spills);
        self.l.code.bind(join);
        for n in 0..spills {
            let (slot, reg) = (self.slot(n), SPILL_ORDER[usize::from(n)]);
            self.l.code.load(Size::Dw, reg, Reg::R10, slot);
            // The slot holds a number again.
            self.l.code.store(Size::Dw, Reg::R10, slot, Operand::Imm(i32::from(n)));
        }
    }

    fn spill_arguments(&mut self, spills: u8) {
        for n in 0..spills {
            let (slot, reg) = (self.slot(n), SPILL_ORDER[usize::from(n)]);
            self.l.code.store(Size::Dw, Reg::R10, slot, Operand::Reg(reg));
            // What was in the register before must not be what is used.
            self.l.code.imm(reg, 99);
        }
    }

    /// R1 to R4 of one path.
    fn arguments(&mut self, path: &Path, order: u8) {
        // A helper leaves no argument register alone.
        let rotate = if path.setup.count == Count::Helper { 0 } else { order % 4 };
        for n in 0..4 {
            match (n + rotate) % 4 {
                0 => self.count(path),
                1 => self.callback(path),
                2 => self.ctx(path),
                _ => self.flags(path),
            }
        }
    }

    fn callback(&mut self, path: &Path) {
        let entry = self.l.refer(path.callback);
        self.l.code.func(Reg::R2, entry);
        if self.slip(Mistake::CallbackScalar) {
            self.l.code.imm(Reg::R2, 8);
        } else if self.slip(Mistake::CallbackOffset) {
            self.l.code.alu_imm(AluOp::Add, Reg::R2, 8);
        } else if path.setup.die & 0x70 == 0x70 {
            self.l.code.alu_imm(AluOp::Add, Reg::R2, 8);
            self.l.code.alu_imm(AluOp::Add, Reg::R2, -8);
        }
    }

    fn call_loop(&mut self, site: &Site) {
        if site.join == Join::Arguments {
            let wrapper = self.l.plan.wrapper(site.order);
            self.note(Feature::Join(Join::Arguments));
            let entry = self.l.refer(wrapper);
            self.shape(Shape::LoopInStatic);
            self.l.code.call(entry);
        } else {
            self.l.code.helper(HELPER_LOOP);
        }
    }

    fn read_back(&mut self, site: &Site, spilled: bool) {
        self.fold(Reg::R0, site.order);
        if site.order & 64 == 0 {
            let reg = self.live(site.order);
            self.fold(reg, site.order >> 2);
        }
        if spilled {
            let slot = self.slot(site.order >> 4);
            self.l.code.load(Size::Dw, Reg::R1, Reg::R10, slot);
            self.fold(Reg::R1, site.first.die);
        }
        if self.areas() > 0 && site.order & 3 != 3 {
            let area = self.area(site.first.die);
            let off = area + if site.order & 4 == 0 { cell::COUNTER } else { cell::BUFFER };
            self.l.code.load(Size::Dw, Reg::R1, Reg::R10, off);
            self.fold(Reg::R1, site.second.die);
        }
    }

    /// R3: the context.
    fn ctx(&mut self, path: &Path) {
        let contract = self.l.plan.nodes[path.callback].contract();
        let die = path.setup.die;
        if self.slip(Mistake::CtxScalar) {
            return self.l.code.imm(Reg::R3, 5);
        }
        if self.slip(Mistake::CtxMapValue) {
            let map = self.l.maps.index(MapUse::Out);
            return self.l.code.op(Op::LdImm64 { dst: Reg::R3, imm: Imm64::MapValue { map, off: 0 } });
        }
        if contract == Contract::Nullable && self.slip(Mistake::CtxOftenNull) {
            return self.often_null(die);
        }
        match contract {
            Contract::Ignore => self.any_ctx(path),
            Contract::Area => self.area_ctx(path, 0),
            Contract::AreaEnd => self.area_ctx(path, AREA_BYTES as i16),
            Contract::Nullable => {
                let null = matches!(path.setup.ctx, Ctx::Null | Ctx::KnownNull);
                let forked_null = path.setup.ctx == Ctx::NullOrArea && path.number == 1;
                if null || forked_null || (self.areas() == 0 && !self.can_pass_on(path.callback)) {
                    return self.null(path.setup.ctx, die);
                }
                self.area_ctx(path, 0);
                if path.setup.ctx == Ctx::NullOrArea && self.may_fork() {
                    let keep = self.l.code.label();
                    self.test(die, die >> 3, path.setup.count_imm, keep);
                    self.l.code.imm(Reg::R3, 0);
                    self.l.code.bind(keep);
                }
            }
        }
    }

    fn null(&mut self, ctx: Ctx, die: u8) {
        if ctx != Ctx::KnownNull || !self.may_fork() {
            self.note(Feature::Ctx(Ctx::Null));
            return self.l.code.imm(Reg::R3, 0);
        }
        self.note(Feature::Ctx(Ctx::KnownNull));
        let known = self.l.code.label();
        self.source(Reg::R3, die);
        self.l.code.jump_if_imm(Cond::Eq, Reg::R3, 0, known);
        self.l.code.imm(Reg::R3, 0);
        self.l.code.bind(known);
    }

    /// A number that is zero on the path that is walked first, or on the other one.
    fn often_null(&mut self, die: u8) {
        let go_on = self.l.code.label();
        self.source(Reg::R3, die);
        self.compared(Reg::R3, 0);
        let cond = if die & 0x18 == 0x18 { Cond::Eq } else { [Cond::Ne, Cond::Gt][usize::from(die & 1)] };
        self.l.code.jump_if_imm(cond, Reg::R3, 0, go_on);
        self.l.code.bind(go_on);
    }

    /// The context of a callback that does not look at it.
    fn any_ctx(&mut self, path: &Path) {
        let die = path.setup.die;
        match (path.setup.ctx, self.base) {
            (Ctx::Null | Ctx::KnownNull, _) => self.null(path.setup.ctx, die),
            (Ctx::NullOrArea, _) if path.number == 1 => self.null(Ctx::Null, die),
            (Ctx::Parent, Base::Area { reg, .. }) => {
                self.note(Feature::Ctx(Ctx::Parent));
                self.l.code.mov(Reg::R3, reg);
            }
            (ctx, _) => {
                let off = match ctx {
                    Ctx::FramePointer => 0,
                    Ctx::AnyOffset => -i16::from(die) * 2,
                    _ if self.areas() > 0 => self.area(die.wrapping_add(path.number)),
                    _ => -i16::from(die >> 3) * 8,
                };
                self.note(Feature::Ctx(if ctx == Ctx::Parent { Ctx::AnyOffset } else { ctx }));
                self.frame_address(off);
            }
        }
    }

    fn frame_address(&mut self, off: i16) {
        self.l.code.mov(Reg::R3, Reg::R10);
        if off != 0 {
            self.l.code.alu_imm(AluOp::Add, Reg::R3, i32::from(off));
        }
    }

    /// The context of a callback that uses an area, which lies `delta` bytes before the pointer.
    fn area_ctx(&mut self, path: &Path, delta: i16) {
        let pass_on = self.can_pass_on(path.callback);
        if let Base::Area { reg, delta: mine, .. } = self.base
            && pass_on
            && (path.setup.ctx == Ctx::Parent || self.areas() == 0)
        {
            self.note(Feature::Ctx(Ctx::Parent));
            self.l.code.mov(Reg::R3, reg);
            if delta != mine {
                self.l.code.alu_imm(AluOp::Add, Reg::R3, i32::from(delta - mine));
            }
            return;
        }
        let ctx = if path.setup.ctx == Ctx::Parent { Ctx::Area } else { path.setup.ctx };
        let pick = path.setup.die.wrapping_add(path.number);
        let off = self.area(pick) + delta;
        self.note(Feature::Ctx(if off == 0 { Ctx::FramePointer } else { Ctx::Area }));
        self.frame_address(off);
        if ctx == Ctx::TwoAreas && self.areas() > 1 && self.may_fork() {
            self.note(Feature::Ctx(Ctx::TwoAreas));
            let keep = self.l.code.label();
            self.test(path.setup.die >> 2, path.setup.die, path.setup.count_imm, keep);
            self.frame_address(self.area(pick.wrapping_add(1)) + delta);
            self.l.code.bind(keep);
        }
        if ctx == Ctx::NullOrArea {
            self.note(Feature::Ctx(Ctx::NullOrArea));
        }
    }

    /// R4: the flags.
    fn flags(&mut self, path: &Path) {
        let (r4, die) = (Reg::R4, path.setup.die);
        if self.slip(Mistake::FlagsUninit) {
            return self.l.code.mov(r4, Reg::R5);
        }
        let mut flags = path.setup.flags;
        if flags == Flags::Filled && self.data_slots() == 0 {
            flags = Flags::Imm32;
        }
        let forks = matches!(flags, Flags::CompareEq | Flags::CompareGt | Flags::Branch | Flags::Compare32);
        if forks && !self.may_fork() {
            flags = if matches!(flags, Flags::CompareEq | Flags::CompareGt) { Flags::Mask } else { Flags::Unknown };
        }
        self.note(Feature::Flags(flags));
        match flags {
            Flags::Imm64 => self.l.code.imm(r4, 0),
            Flags::Imm32 => self.l.code.alu(Width::W32, AluOp::Mov, r4, Operand::Imm(0)),
            Flags::Wide => self.l.code.wide(r4, 0),
            Flags::Mask => self.flags_by(die, &[(AluOp::And, 0)]),
            Flags::Disjoint => self.flags_by(die, &[(AluOp::And, 0xf0), (AluOp::And, 0x0f)]),
            Flags::Shift => self.flags_by(die, &[(AluOp::Rsh, 63), (AluOp::Rsh, 1)]),
            Flags::Product => self.flags_by(die, &[(AluOp::Mul, 0)]),
            Flags::CompareEq => self.flags_unless(die, Width::W64, Cond::Eq, 0, 0),
            Flags::CompareGt => self.flags_unless(die, Width::W64, Cond::Lt, 1, 0),
            Flags::Branch => self.flags_unless(die, Width::W64, Cond::Ne, 0, 1),
            Flags::Filled => {
                let slot = self.slot(die);
                self.l.code.store(Size::Dw, Reg::R10, slot, Operand::Imm(0));
                let size = if die & 8 == 0 { Size::Dw } else { Size::W };
                self.l.code.load(size, r4, Reg::R10, slot);
            }
            Flags::Rodata => self.constant(r4, if die & 1 == 0 { 0 } else { 4 }),
            Flags::One => self.l.code.imm(r4, 1),
            Flags::High => self.l.code.wide(r4, 1 << 32),
            Flags::Sign => self.l.code.imm(r4, -1),
            Flags::Unknown => self.opaque(r4),
            Flags::LowBit => {
                self.opaque(r4);
                self.l.code.alu_imm(AluOp::And, r4, 1);
            }
            Flags::Xor => {
                self.source(r4, die);
                self.l.code.alu_reg(AluOp::Xor, r4, r4);
            }
            Flags::Compare32 => {
                self.opaque(r4);
                let zero = self.l.code.label();
                self.l.code.jump_if(Width::W32, Cond::Eq, r4, Operand::Imm(0), zero);
                self.l.code.imm(r4, 0);
                self.l.code.bind(zero);
            }
            Flags::Pointer => self.l.code.mov(r4, Reg::R10),
        }
    }

    fn flags_by(&mut self, die: u8, ops: &[(AluOp, i32)]) {
        self.source(Reg::R4, die);
        ops.iter().for_each(|(op, imm)| self.l.code.alu_imm(*op, Reg::R4, *imm));
    }

    /// An unknown number that becomes `otherwise` unless the compare holds.
    fn flags_unless(&mut self, die: u8, width: Width, cond: Cond, imm: i32, otherwise: i32) {
        let holds = self.l.code.label();
        self.source(Reg::R4, die);
        self.l.code.jump_if(width, cond, Reg::R4, Operand::Imm(imm), holds);
        self.l.code.imm(Reg::R4, otherwise);
        self.l.code.bind(holds);
    }

    /// A number that is zero in most runs, which the verifier does not know.
    pub(super) fn opaque(&mut self, dst: Reg) {
        match self.base {
            Base::Ctx(ctx) if inputs::words(self.prog()) > 0 => self.word(dst, ctx, inputs::FLAGS_WORD),
            _ => self.word_of_map(dst, 2, Size::Dw),
        }
    }

    fn word_of_map(&mut self, dst: Reg, n: u32, size: Size) {
        let map = self.l.maps.index(MapUse::Words);
        self.l.code.op(Op::LdImm64 { dst, imm: Imm64::MapValue { map, off: 8 * n } });
        self.l.code.load(size, dst, dst, 0);
    }

    /// A number of the read-only map.
    fn constant(&mut self, dst: Reg, n: u32) {
        let map = self.l.maps.index(MapUse::Rodata);
        self.l.code.op(Op::LdImm64 { dst, imm: Imm64::MapValue { map, off: 8 * n } });
        self.l.code.load(Size::Dw, dst, dst, 0);
    }

    /// R1: the count. At most [`Fun::cap`] iterations at run time, or none, or as many as the callback lets happen.
    fn count(&mut self, path: &Path) {
        let r1 = Reg::R1;
        if self.slip(Mistake::CountPointer) {
            let pointer = match self.base {
                Base::Ctx(reg) | Base::Area { reg, .. } if path.setup.die & 1 == 0 => reg,
                _ => Reg::R10,
            };
            return self.l.code.mov(r1, pointer);
        }
        let kind = self.count_kind(path);
        self.note(Feature::Count(kind));
        let (die, cap) = (path.setup.die, self.cap);
        let cap = if self.moves_on(path.callback) { cap.min(MOVES_MAX) } else { cap };
        // Mostly few: each may be a walk of its own to the verifier.
        let most = if die & 0x30 == 0x30 { cap } else { cap.min(6) };
        let upto = 1 + path.setup.count_imm.below(most) as i32;
        let bits = cap.ilog2().max(1);
        match kind {
            Count::Zero => {
                self.l.has_dead_callback = true;
                if self.l.plan.nodes[path.callback].referrers <= 1 {
                    self.shape(Shape::CallbackDead);
                }
                self.l.code.imm(r1, 0);
            }
            Count::One => self.l.code.imm(r1, 1),
            Count::Small => self.l.code.imm(r1, upto),
            Count::Masked => {
                self.source(r1, die);
                let width = if die & 8 == 0 { Width::W64 } else { Width::W32 };
                self.l.code.alu(width, AluOp::And, r1, Operand::Imm((1 << bits) - 1));
            }
            Count::Unknown => self.unknown_count(Size::Dw),
            Count::Unknown32 => self.unknown_count(Size::W),
            Count::CmpU64 => self.bounded(die, Width::W64, upto, &[(Cond::Le, upto)]),
            Count::CmpU32 => self.bounded(die, Width::W32, upto, &[(Cond::Le, upto)]),
            Count::CmpS64 => self.bounded(die, Width::W64, upto, &[(Cond::SGe, 0), (Cond::SLe, upto)]),
            Count::CmpS32 => self.bounded(die, Width::W32, upto, &[(Cond::SGt, -1), (Cond::SLe, upto)]),
            Count::Shifted => {
                self.source(r1, die);
                // A word may have 32 bits only: shift those.
                self.l.code.alu(Width::W32, AluOp::Rsh, r1, Operand::Imm(32 - bits as i32));
            }
            Count::Modulo => {
                self.source(r1, die);
                self.l.code.alu_imm(AluOp::Mod, r1, upto + 1);
            }
            Count::Narrow => self.word_of_map(r1, u32::from(cap < 8), Size::B),
            Count::Filled => {
                let slot = self.slot(die);
                self.l.code.store(Size::Dw, Reg::R10, slot, Operand::Imm(upto));
                self.l.code.load(Size::Dw, r1, Reg::R10, slot);
            }
            Count::Helper => {
                self.l.code.helper(RANDOM);
                self.l.code.mov(r1, Reg::R0);
                self.l.code.alu_imm(AluOp::And, r1, (1 << bits) - 1);
            }
            Count::Rodata => {
                let fits = |n: &usize| RODATA[*n] <= u64::from(cap);
                let n = (0..8).filter(fits).nth(usize::from(die % 3)).unwrap_or(0);
                self.l.has_dead_callback |= RODATA[n] == 0;
                self.constant(r1, n as u32);
            }
            Count::Limit => self.l.code.imm(r1, LOOPS_MAX as i32),
            Count::PastLimit => self.l.code.imm(r1, LOOPS_MAX as i32 + 1 + i32::from(die & 1) * 1000),
            Count::Negative => {
                let width = if die & 1 == 0 { Width::W64 } else { Width::W32 };
                self.l.code.alu(width, AluOp::Mov, r1, Operand::Imm(-upto));
            }
            Count::Wide if self.l.spec.swarm.wide_counts() => self.l.code.wide(r1, (1 << 32) + u64::from(die % 4)),
            Count::Wide if die & 1 == 0 && self.may_be_refused(path) => {
                self.l.code.wide(r1, 0x1_0080_0001 + u64::from(die))
            }
            Count::Wide => self.l.code.wide(r1, upto as u64),
        }
    }

    /// The kind of count that can be had here.
    fn count_kind(&mut self, path: &Path) -> Count {
        let kind = path.setup.count;
        match kind {
            _ if self.moves_on(path.callback) => match kind {
                Count::Zero | Count::One => kind,
                _ => Count::Small,
            },
            Count::Limit if !self.l.plan.nodes[path.callback].stops_soon() || self.cap < 4 => Count::Small,
            Count::Unknown | Count::Unknown32 | Count::Narrow if self.cap < 4 => Count::Masked,
            Count::Filled if self.data_slots() == 0 => Count::Small,
            Count::CmpU64 | Count::CmpU32 | Count::CmpS64 | Count::CmpS32 if !self.may_fork() => Count::Masked,
            Count::PastLimit | Count::Negative if !self.may_be_refused(path) => Count::Small,
            _ => kind,
        }
    }

    /// Whether a count that the loop refuses is wanted: where the helper call stays, the two forms agree on it.
    fn may_be_refused(&self, path: &Path) -> bool {
        self.l.spec.swarm.past_limit() || path.setup.flags.at() >= Flags::One.at()
    }

    fn unknown_count(&mut self, size: Size) {
        match self.base {
            Base::Ctx(ctx) if inputs::words(self.prog()) > 0 && self.cap >= 16 => {
                if let Some((off, full)) = inputs::word(self.prog(), 0) {
                    let size = if size == Size::W { size } else { full };
                    self.l.code.load(size, Reg::R1, ctx, off);
                }
            }
            _ => self.word_of_map(Reg::R1, u32::from(self.cap < 8), size),
        }
    }

    /// An unknown number that becomes `otherwise` unless all compares hold.
    fn bounded(&mut self, die: u8, width: Width, otherwise: i32, compares: &[(Cond, i32)]) {
        self.source(Reg::R1, die);
        if width == Width::W32 && !self.l.spec.swarm.wide_counts() {
            // The helper takes 32 bits of the count and the inlined loop 64: without this the two differ.
            self.l.code.alu(Width::W32, AluOp::Mov, Reg::R1, Operand::Reg(Reg::R1));
        }
        for (cond, imm) in compares {
            let holds = self.l.code.label();
            self.compared(Reg::R1, *imm);
            self.l.code.jump_if(width, *cond, Reg::R1, Operand::Imm(*imm), holds);
            let value = if *imm <= 0 { 0 } else { otherwise };
            self.l.code.imm(Reg::R1, value);
            self.l.code.bind(holds);
        }
    }
}

/// Which arguments are spilled first.
const SPILL_ORDER: [Reg; 3] = [Reg::R4, Reg::R2, Reg::R1];
