//! Numbers that are linked: one is another plus a distance, and what is learnt of one is known of the others.
//!
//! The step of that name links a number with a distance, does something that drops the link or keeps it, links again, compares
//! one of the two and asks about the other. What is asked is near the value that the other has in some run, by as much as a
//! distance that is forgotten, or remembered for too long, would be wrong. So the step goes along with the value of one run,
//! the witness, and has an input put there. Between the second link and the comparison may lie another step: a call, a loop,
//! whatever comes next.

use super::features::Feature;
use super::fun::Fun;
use super::inputs::Dice;
use super::kinds::{Shape, Unlink};
use super::spec::Step;
use crate::isa::{AluOp, Cond, Endian, Op, Operand, Reg, Size, Width};

/// Operations that leave no link behind, or another one.
const OPS: [AluOp; 8] =
    [AluOp::Xor, AluOp::And, AluOp::Or, AluOp::Mul, AluOp::Sub, AluOp::Rsh, AluOp::Arsh, AluOp::Lsh];
/// A helper that any program may call.
const KTIME: i32 = 5;

/// A register, and what it holds in the run of the witness.
#[derive(Clone, Copy)]
struct Number {
    reg: Reg,
    value: u64,
}

/// How the second link is made.
#[derive(Clone, Copy, PartialEq)]
enum Relink {
    Move,
    Move32,
    /// Through this slot.
    Spill(i16),
}

impl Fun<'_, '_> {
    /// Links, drops, links again, compares and asks; how many of the following steps it has taken in.
    pub(super) fn linked(&mut self, step: &Step, after: &[Step]) -> usize {
        if !self.may_fork() || !self.may_fork() {
            self.alu(step);
            return 0;
        }
        let mut dice = Dice::of(step);
        let what = Unlink::ALL[usize::from(step.b) % Unlink::ALL.len()];
        self.note(Feature::Unlink(what));
        let (y, z) = (self.live(step.a), self.live(step.a.wrapping_add(1)));
        let x = self.first_number(step, &mut dice);
        let first = distance(&mut dice);
        self.l.code.mov(y, x.reg);
        self.l.code.alu_imm(AluOp::Add, y, first);
        self.origin[y.at()] = None;
        let y = self.unlink(what, x.reg, Number { reg: y, value: plus(x.value, first) }, &mut dice);

        let relink = match dice.below(8) {
            0..=1 if self.data_slots() > 0 => Relink::Spill(self.slot(step.a >> 4)),
            2 => Relink::Move32,
            _ => Relink::Move,
        };
        let z = self.copy(relink, y, z);
        let second = distance(&mut dice);
        let (y, z) = match dice.below(8) {
            0..=2 => (self.plus(y, second), z),
            3 => (y, z),
            _ if matches!(relink, Relink::Spill(_)) => (self.plus(y, second), z),
            _ => (y, self.plus(z, second)),
        };
        // What was spilled comes back before the comparison or after it.
        let late = matches!(relink, Relink::Spill(_)) && dice.below(2) == 0;
        if !late {
            self.fill(relink, z.reg);
        }
        let taken = usize::from(step.a & 128 != 0).min(after.len());
        self.steps(&after[..taken]);

        let over = self.l.code.label();
        let (seen, asked) = if late || dice.below(2) == 0 { (y, z) } else { (z, y) };
        self.learn(seen, &mut dice, over);
        if late {
            self.fill(relink, z.reg);
        }
        let wrong_by = [0, 0, first, first, -first, second, -second, first - second, second - first, 1];
        let by = wrong_by[dice.below(wrong_by.len() as u64) as usize];
        self.ask(Number { reg: asked.reg, value: plus(asked.value, by) }, &mut dice);
        self.l.code.bind(over);
        taken
    }

    /// Where it begins: a number that the verifier does not know, and its witness.
    fn first_number(&mut self, step: &Step, dice: &mut Dice) -> Number {
        let third = self.live(step.a.wrapping_add(2));
        let has_third = self.live.len() > 2;
        // What a callback is given may be what this step has made of it in the iteration before: sums of that never end.
        let in_callback = self.below_callback();
        let (reg, fresh) = match step.a >> 2 & 3 {
            0 if has_third && !in_callback => (third, false),
            1 if has_third => (third, true),
            _ => (Reg::R0, true),
        };
        let pick = dice.below(256) as u8 | if in_callback { 2 } else { 0 };
        let told = if fresh { self.source(reg, pick) } else { None };
        let value = told.unwrap_or(step.imm.get());
        self.compared(reg, value);
        Number { reg, value: i64::from(value) as u64 }
    }

    /// Drops the link between `x` and a number that was made from it, or keeps it.
    fn unlink(&mut self, what: Unlink, x: Reg, y: Number, dice: &mut Dice) -> Number {
        let op = OPS[dice.below(OPS.len() as u64) as usize];
        let imm = 1 + dice.below(15) as i32;
        let slot = (self.data_slots() > 0).then(|| self.slot(imm as u8));
        let (reg, old) = (y.reg, self.l.spec.swarm.is_old());
        let code = &mut self.l.code;
        let value = match (what, slot) {
            (Unlink::Kept, _) => y.value,
            (Unlink::SecondSum, _) => {
                code.alu_imm(AluOp::Add, reg, imm);
                plus(y.value, imm)
            }
            (Unlink::Register, _) => {
                code.imm(Reg::R1, imm);
                code.alu_reg(AluOp::Add, reg, Reg::R1);
                plus(y.value, imm)
            }
            (Unlink::Sum32, _) => {
                code.alu(Width::W32, AluOp::Add, reg, Operand::Imm(imm));
                low(plus(y.value, imm))
            }
            (Unlink::Operation32, _) => {
                code.alu(Width::W32, op, reg, Operand::Imm(imm));
                applied(op, Width::W32, y.value, imm)
            }
            (Unlink::Move32, _) => {
                code.alu(Width::W32, AluOp::Mov, reg, Operand::Reg(reg));
                low(y.value)
            }
            (Unlink::SignExtended, _) if !old => {
                code.op(Op::MovSx { width: Width::W64, bits: 32, dst: reg, src: reg });
                y.value as i32 as i64 as u64
            }
            (Unlink::Narrow, Some(slot)) => {
                let size = if imm & 1 == 0 { Size::W } else { Size::Dw };
                code.store(size, Reg::R10, slot, Operand::Reg(reg));
                code.load(Size::W, reg, Reg::R10, slot);
                low(y.value)
            }
            (Unlink::Swapped, _) => {
                code.op(Op::Endian { kind: Endian::ToBe, bits: 64, dst: reg });
                code.op(Op::Endian { kind: Endian::ToBe, bits: 64, dst: reg });
                y.value
            }
            (Unlink::Negated, _) => {
                code.op(Op::Neg { width: Width::W64, dst: reg });
                y.value.wrapping_neg()
            }
            (Unlink::Partner, _) => {
                if x != Reg::R0 || imm & 1 == 0 {
                    code.imm(x, imm);
                } else {
                    code.helper(KTIME);
                }
                self.origin[x.at()] = None;
                y.value
            }
            (Unlink::Operation | Unlink::SignExtended | Unlink::Narrow, _) => {
                code.alu_imm(op, reg, imm);
                applied(op, Width::W64, y.value, imm)
            }
        };
        Number { reg, value }
    }

    /// A copy of `y`, in `z` or, until it is filled, in a slot.
    fn copy(&mut self, relink: Relink, y: Number, z: Reg) -> Number {
        self.origin[z.at()] = None;
        match relink {
            Relink::Move => self.l.code.mov(z, y.reg),
            Relink::Move32 => {
                self.l.code.alu(Width::W32, AluOp::Mov, z, Operand::Reg(y.reg));
                return Number { reg: z, value: low(y.value) };
            }
            Relink::Spill(slot) => {
                self.l.code.store(Size::Dw, Reg::R10, slot, Operand::Reg(y.reg));
                self.shape(Shape::LiveSpilled);
            }
        }
        Number { reg: z, value: y.value }
    }

    fn fill(&mut self, relink: Relink, z: Reg) {
        if let Relink::Spill(slot) = relink {
            self.l.code.load(Size::Dw, z, Reg::R10, slot);
        }
    }

    fn plus(&mut self, number: Number, distance: i32) -> Number {
        self.l.code.alu_imm(AluOp::Add, number.reg, distance);
        Number { reg: number.reg, value: plus(number.value, distance) }
    }

    /// Goes on where a comparison holds, as it does for the witness, and to `over` elsewhere.
    fn learn(&mut self, seen: Number, dice: &mut Dice, over: super::code::Label) {
        let slack = dice.below(3) as i32;
        let (fails, by) = match dice.below(8) {
            0..=3 => (Cond::Ne, 0),
            4 => (Cond::Gt, slack),
            5 => (Cond::Lt, -slack),
            6 => (Cond::SGt, slack),
            _ => (Cond::SLt, -slack),
        };
        let (width, imm) = comparable(plus(seen.value, by), dice.below(8) == 0);
        self.l.code.jump_if(width, fails, seen.reg, Operand::Imm(imm), over);
    }

    /// A branch with something to see on both sides.
    fn ask(&mut self, asked: Number, dice: &mut Dice) {
        const CONDS: [Cond; 8] = [Cond::Eq, Cond::Eq, Cond::Ne, Cond::Ne, Cond::Gt, Cond::Le, Cond::SGe, Cond::SLt];
        let (holds, join) = (self.l.code.label(), self.l.code.label());
        let cond = CONDS[dice.below(8) as usize];
        let (width, imm) = comparable(asked.value, dice.below(8) == 0);
        self.shape(if width == Width::W64 { Shape::Branch64 } else { Shape::Branch32 });
        let acc = self.acc;
        let code = &mut self.l.code;
        code.jump_if(width, cond, asked.reg, Operand::Imm(imm), holds);
        code.alu_imm(AluOp::Add, acc, 0x101);
        code.jump(join);
        code.bind(holds);
        code.alu_imm(AluOp::Xor, acc, 0x5005);
        code.bind(join);
    }
}

/// How far a number is from the one that it is made from: mostly a little, and mostly up.
fn distance(dice: &mut Dice) -> i32 {
    const FAR: [i32; 8] = [64, 100, 255, 4096, 0x7fff, 0x10000, -0x10000, i32::MAX / 2];
    let near = 1 + dice.below(12) as i32;
    match dice.below(8) {
        0 => FAR[dice.below(8) as usize],
        1 => -near,
        _ => near,
    }
}

/// The constant that a number is compared with, and over which width that can be done.
fn comparable(value: u64, narrow: bool) -> (Width, i32) {
    match i32::try_from(value as i64) {
        Ok(imm) if !narrow => (Width::W64, imm),
        _ => (Width::W32, value as i32),
    }
}

fn plus(value: u64, distance: i32) -> u64 {
    value.wrapping_add_signed(i64::from(distance))
}

fn low(value: u64) -> u64 {
    value & u64::from(u32::MAX)
}

/// What an operation of [`OPS`] makes of a number.
fn applied(op: AluOp, width: Width, value: u64, imm: i32) -> u64 {
    let right = i64::from(imm) as u64;
    let wide = width == Width::W64;
    let value = if wide { value } else { low(value) };
    let result = match op {
        AluOp::Xor => value ^ right,
        AluOp::And => value & right,
        AluOp::Or => value | right,
        AluOp::Mul => value.wrapping_mul(right),
        AluOp::Sub => value.wrapping_sub(right),
        AluOp::Lsh => value << (right & 31),
        AluOp::Rsh => value >> (right & 31),
        AluOp::Arsh if wide => (value as i64 >> (right & 31)) as u64,
        AluOp::Arsh => (value as i32 >> (right & 31)) as u64,
        _ => value,
    };
    if wide { result } else { low(result) }
}
