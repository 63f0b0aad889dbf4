//! Loops whose later iterations do what the first one does not.
//!
//! Such a loop is safe, or as it looks, when its callback is walked once. Kernels up to 6.6 walked it once and accepted
//! them all; those that count the iterations refuse the ones that go out of bounds. Counts lie around the last one that is
//! safe, and mostly on its safe side.

use super::features::Feature;
use super::fun::{Fun, cell};
use super::kinds::Later;
use super::lower::Lowering;
use super::maps::{MapUse, VALUE_BYTES};
use super::spec::Step;
use crate::isa::{AluOp, Cond, Imm64, Op, Operand, Reg, Size, Width};
use crate::kernel::limits::HELPER_LOOP;

/// Bytes of an access.
const ACCESS: i16 = 4;
/// The word of the map of results that callbacks write.
const SEEN: u32 = 8;
/// Iterations of an inner loop.
const INNER: i32 = 2;

/// What a step of this kind comes to: one callback serves all steps that have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scene {
    pub(super) what: Later,
    /// Which of four paces.
    pace: u8,
}

impl Scene {
    pub(super) fn of(step: &Step) -> Scene {
        let what = Later::ALL[usize::from(step.b) % Later::ALL.len()];
        let paced = !matches!(what, Later::Flags | Later::Callback);
        Scene { what, pace: if paced { step.a & 3 } else { 0 } }
    }

    /// Whether its callback has a loop of its own.
    pub(super) fn has_inner(self) -> bool {
        matches!(self.what, Later::Flags | Later::Callback)
    }

    /// Bytes by which each iteration moves on.
    fn stride(self) -> i16 {
        [8, 4, 16, 12][usize::from(self.pace & 3)]
    }

    /// The state that steers the branch: 0 in the first iteration, one more in each.
    fn turn(self) -> i16 {
        1 + i16::from(self.pace)
    }
}

impl Fun<'_, '_> {
    /// A loop with all that belongs to it.
    pub(super) fn later(&mut self, step: &Step) {
        let callback = self.l.plan.later(self.me, step);
        // Each iteration is a walk of its own, which should not be multiplied.
        let Some(node) = callback.filter(|_| self.areas() > 0 && !self.in_jumps && !self.in_may_goto) else {
            return self.alu(step);
        };
        let scene = Scene::of(step);
        self.note(Feature::Later(scene.what));
        let area = self.area(step.a >> 2);
        let safe = self.set_up(scene, area, step);
        let most = [safe, (safe - 1).max(1), safe, safe + 1][usize::from(step.imm.0 & 3)];
        self.later_count(step, i32::from(most));
        self.l.code.mov(Reg::R3, Reg::R10);
        self.l.code.alu_imm(AluOp::Add, Reg::R3, i32::from(area));
        if step.imm.0 & 0x30 == 0x30 {
            self.opaque(Reg::R4);
        } else {
            self.l.code.imm(Reg::R4, 0);
        }
        let entry = self.l.refer(node);
        self.l.code.func(Reg::R2, entry);
        self.l.code.helper(HELPER_LOOP);
        self.fold(Reg::R0, step.b >> 3);
        self.use_up(scene, area, step);
    }

    /// Sets the cells of the area; the largest count that is safe.
    fn set_up(&mut self, scene: Scene, area: i16, step: &Step) -> i16 {
        let wanted = 1 + i16::from(step.a >> 4) % 6;
        let counter = area + cell::COUNTER;
        // Bytes from the first access to the last one that is in bounds.
        let room = match scene.what {
            Later::MapOffset | Later::MapPointer => VALUE_BYTES as i16 - ACCESS,
            _ => -(area + cell::BUFFER) - ACCESS,
        };
        // After n iterations n strides were taken; the last iteration itself is one before that.
        let moves = match scene.what {
            Later::MapOffset | Later::StackOffset => wanted,
            _ => wanted - 1,
        };
        let moves = moves.min(room / scene.stride());
        let start = (room - moves * scene.stride()) & !(ACCESS - 1);
        self.l.code.store(Size::Dw, Reg::R10, area + cell::STATE, Operand::Imm(0));
        match scene.what {
            Later::MapOffset | Later::StackOffset => {
                self.l.code.store(Size::Dw, Reg::R10, counter, Operand::Imm(i32::from(start)));
                moves.max(1)
            }
            Later::ParentOffset => {
                self.l.code.store(Size::Dw, Reg::R10, counter, Operand::Imm(i32::from(start)));
                moves + 1
            }
            Later::MapPointer => {
                self.value_address(Reg::R0, MapUse::Out, start as u32);
                self.l.code.store(Size::Dw, Reg::R10, area + cell::POINTER, Operand::Reg(Reg::R0));
                moves + 1
            }
            Later::Pointer => {
                // The counter, or a word of the map of results.
                if scene.pace & 1 == 0 {
                    self.l.code.mov(Reg::R0, Reg::R10);
                    self.l.code.alu_imm(AluOp::Add, Reg::R0, i32::from(counter));
                    self.l.code.store(Size::Dw, Reg::R10, counter, Operand::Imm(0));
                } else {
                    self.value_address(Reg::R0, MapUse::Out, SEEN);
                }
                self.l.code.store(Size::Dw, Reg::R10, area + cell::POINTER, Operand::Reg(Reg::R0));
                1
            }
            Later::DeadUnsafe => scene.turn(),
            Later::DeadVisible => scene.turn() + wanted % 3,
            Later::Flags => wanted,
            Later::Callback => {
                let inner = self.l.plan.inner(0);
                let entry = self.l.refer(inner);
                self.l.code.func(Reg::R0, entry);
                self.l.code.store(Size::Dw, Reg::R10, area + cell::POINTER, Operand::Reg(Reg::R0));
                // Where callbacks are walked once, the other one is never reached.
                self.l.has_dead_callback = true;
                wanted
            }
        }
    }

    /// R1: a constant, or an unknown number that is no larger.
    fn later_count(&mut self, step: &Step, most: i32) {
        if step.imm.0 & 12 != 12 || !self.may_fork() {
            return self.l.code.imm(Reg::R1, most);
        }
        let fits = self.l.code.label();
        self.source(Reg::R1, step.a);
        self.compared(Reg::R1, most);
        self.l.code.jump_if_imm(Cond::Le, Reg::R1, most, fits);
        self.l.code.imm(Reg::R1, most);
        self.l.code.bind(fits);
    }

    /// Uses the counter as an offset, and leaves numbers in the cells.
    fn use_up(&mut self, scene: Scene, area: i16, step: &Step) {
        let (r0, r1) = (Reg::R0, Reg::R1);
        match scene.what {
            Later::MapOffset => {
                self.l.code.load(Size::Dw, r0, Reg::R10, area + cell::COUNTER);
                self.value_address(r1, MapUse::Out, 0);
                self.l.code.alu_reg(AluOp::Add, r1, r0);
                self.access(step, 0);
            }
            Later::StackOffset => {
                self.l.code.load(Size::Dw, r0, Reg::R10, area + cell::COUNTER);
                self.l.code.mov(r1, Reg::R10);
                self.l.code.alu_reg(AluOp::Add, r1, r0);
                // Stores only: not everything above has been written.
                let live = self.live(step.a);
                self.l.code.store(Size::W, r1, area + cell::BUFFER, Operand::Reg(live));
            }
            Later::Flags | Later::Callback => {
                self.l.code.load(Size::Dw, r0, Reg::R10, area + cell::COUNTER);
                self.fold(r0, step.a);
            }
            _ => {}
        }
        let state = self.live(0);
        self.l.code.store(Size::Dw, Reg::R10, area + cell::COUNTER, Operand::Imm(0));
        self.l.code.store(Size::Dw, Reg::R10, area + cell::STATE, Operand::Reg(state));
        self.l.code.store(Size::Dw, Reg::R10, area + cell::POINTER, Operand::Imm(0));
    }

    fn access(&mut self, step: &Step, off: i16) {
        if step.a & 128 == 0 {
            let live = self.live(step.a >> 4);
            self.l.code.store(Size::W, Reg::R1, off, Operand::Reg(live));
        } else {
            self.l.code.load(Size::W, Reg::R0, Reg::R1, off);
            self.fold(Reg::R0, step.a);
        }
    }
}

impl Lowering<'_> {
    /// The callback: R1 is the index, R2 the area.
    pub(super) fn later_callback(&mut self, scene: Scene) {
        match scene.what {
            Later::MapOffset | Later::StackOffset => self.count_up(cell::COUNTER, scene.stride()),
            Later::ParentOffset => {
                self.code.load(Size::Dw, Reg::R0, Reg::R2, cell::COUNTER);
                self.code.mov(Reg::R3, Reg::R2);
                self.code.alu_reg(AluOp::Add, Reg::R3, Reg::R0);
                self.code.store(Size::W, Reg::R3, cell::BUFFER, Operand::Reg(Reg::R1));
                self.count_up(cell::COUNTER, scene.stride());
            }
            Later::MapPointer => {
                self.code.load(Size::Dw, Reg::R3, Reg::R2, cell::POINTER);
                self.code.store(Size::W, Reg::R3, 0, Operand::Reg(Reg::R1));
                self.code.alu_imm(AluOp::Add, Reg::R3, i32::from(scene.stride()));
                self.code.store(Size::Dw, Reg::R2, cell::POINTER, Operand::Reg(Reg::R3));
            }
            Later::Pointer => {
                self.code.load(Size::Dw, Reg::R3, Reg::R2, cell::POINTER);
                if scene.pace & 2 == 0 {
                    self.code.load(Size::W, Reg::R0, Reg::R3, 0);
                } else {
                    self.code.store(Size::W, Reg::R3, 0, Operand::Reg(Reg::R1));
                }
                // Anything that is no address: the index, or a constant.
                let number = if scene.pace == 1 { Operand::Reg(Reg::R1) } else { Operand::Imm(0xdead) };
                self.code.store(Size::Dw, Reg::R2, cell::POINTER, number);
            }
            Later::DeadVisible | Later::DeadUnsafe => {
                let over = self.code.label();
                self.code.load(Size::Dw, Reg::R0, Reg::R2, cell::STATE);
                self.code.jump_if_imm(Cond::Ne, Reg::R0, i32::from(scene.turn()), over);
                let off = if scene.what == Later::DeadVisible { 0 } else { VALUE_BYTES as i16 };
                self.add_to_out(off, 77);
                self.code.bind(over);
                self.count_up(cell::STATE, 1);
            }
            Later::Flags => {
                self.inner_loop(|code| code.load(Size::Dw, Reg::R4, Reg::R6, cell::STATE));
                self.code.store(Size::Dw, Reg::R6, cell::STATE, Operand::Imm(1));
            }
            Later::Callback => {
                self.inner_loop(|code| {
                    code.load(Size::Dw, Reg::R2, Reg::R6, cell::POINTER);
                    code.imm(Reg::R4, 0);
                });
                let other = self.plan.inner(1);
                let entry = self.refer(other);
                self.code.func(Reg::R1, entry);
                self.code.store(Size::Dw, Reg::R6, cell::POINTER, Operand::Reg(Reg::R1));
            }
        }
        self.code.imm(Reg::R0, 0);
        self.code.exit();
    }

    /// A loop whose result is added to the counter; `set` gives it flags, and may give it a callback.
    fn inner_loop(&mut self, set: impl FnOnce(&mut super::code::Code)) {
        let inner = self.plan.inner(0);
        let entry = self.refer(inner);
        self.code.mov(Reg::R6, Reg::R2);
        self.code.imm(Reg::R1, INNER);
        self.code.func(Reg::R2, entry);
        self.code.imm(Reg::R3, 0);
        set(&mut self.code);
        self.code.helper(HELPER_LOOP);
        self.code.load(Size::Dw, Reg::R1, Reg::R6, cell::COUNTER);
        self.code.alu(Width::W64, AluOp::Add, Reg::R1, Operand::Reg(Reg::R0));
        self.code.store(Size::Dw, Reg::R6, cell::COUNTER, Operand::Reg(Reg::R1));
    }

    /// A callback of an inner loop.
    pub(super) fn inner_callback(&mut self, number: u8) {
        self.add_to_out(0, 1 + 1000 * i32::from(number));
        self.code.imm(Reg::R0, 0);
        self.code.exit();
    }

    fn count_up(&mut self, cell: i16, by: i16) {
        self.code.load(Size::Dw, Reg::R0, Reg::R2, cell);
        self.code.alu_imm(AluOp::Add, Reg::R0, i32::from(by));
        self.code.store(Size::Dw, Reg::R2, cell, Operand::Reg(Reg::R0));
    }

    /// Adds to a word of the map of results, or to what lies `off` bytes after it.
    fn add_to_out(&mut self, off: i16, number: i32) {
        let map = self.maps.index(MapUse::Out);
        let word = if off == 0 { SEEN } else { 0 };
        self.code.op(Op::LdImm64 { dst: Reg::R3, imm: Imm64::MapValue { map, off: word } });
        self.code.load(Size::Dw, Reg::R4, Reg::R3, off);
        self.code.alu_imm(AluOp::Add, Reg::R4, number);
        self.code.store(Size::Dw, Reg::R3, off, Operand::Reg(Reg::R4));
    }
}
