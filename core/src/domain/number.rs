//! What the two range models have in common: the interface of one, and the arithmetic that is written over it.
//!
//! Kernel: `adjust_scalar_min_max_vals`, `is_safe_to_compute_dst_reg_range` (6.1 … 7.3).

use super::bounds::Bounds;
use super::branch::Sides;
use super::relation::Relation;
use super::tnum::Tnum;
use super::word::Word;
use crate::isa::{AluOp, Endian, Width};
use crate::kernel::{ByteSwap, DivMod, DomainRules, Negation, SecondOperand, TnumMul};

/// A bitwise operation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Bitwise {
    And,
    Or,
    Xor,
}

impl Bitwise {
    #[inline]
    fn on_bits(self, a: Tnum, b: Tnum) -> Tnum {
        match self {
            Bitwise::And => a.and(b),
            Bitwise::Or => a.or(b),
            Bitwise::Xor => a.xor(b),
        }
    }

    /// The unsigned range of the result: one end from the operands if they bound it, the others from its known bits.
    #[inline]
    pub fn unsigned_range<W: Word>(self, a: (W, W), b: (W, W), value: W, mask: W) -> (W, W) {
        match self {
            Bitwise::And => (value, a.1.min(b.1)),
            Bitwise::Or => (a.0.max(b.0), value | mask),
            Bitwise::Xor => (value, value | mask),
        }
    }
}

/// A division by a constant other than 0.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Division {
    Quotient,
    SignedQuotient,
    Remainder,
    SignedRemainder,
}

/// Known bits and ranges of one model. Methods that change ranges leave the bits to the caller unless they say otherwise.
pub(super) trait Number: Copy + PartialEq {
    /// Nothing known.
    const UNKNOWN: Self;

    fn constant(x: u64) -> Self;
    fn bits(&self) -> Tnum;
    fn set_bits(&mut self, bits: Tnum);
    /// Forgets both ranges, not the bits.
    fn forget_ranges(&mut self);
    /// Forgets the 32-bit range.
    fn forget_32(&mut self);

    /// The 64-bit range as four ends.
    fn ends64(&self) -> Bounds<u64>;
    /// The 32-bit range as four ends.
    fn ends32(&self) -> Bounds<u32>;

    /// The parts of the knowledge inform each other. Kernel: `reg_bounds_sync` (6.1 … 7.3).
    fn sync(&mut self, rules: &DomainRules);
    /// The low 32 bits are known, bits and range; the rest stays. Kernel: `__mark_reg32_known` (6.1 … 7.3).
    fn set_const32(&mut self, x: u32);
    /// Bits and the 64-bit range become those of a zero-extended 32-bit number. Kernel: `zext_32_to_64` (6.1 … 7.3).
    fn zero_extend(&mut self);
    /// Cuts the ranges by the known bits. Kernel: `__update_reg_bounds` (6.1 … 7.3).
    fn learn_bits(&mut self);
    /// Cuts the 32-bit range by the known bits. Kernel: `__update_reg32_bounds` (6.1 … 7.3).
    fn learn_bits_32(&mut self);

    fn add(&mut self, src: &Self, rules: &DomainRules);
    fn sub(&mut self, src: &Self, rules: &DomainRules);
    fn mul(&mut self, src: &Self, rules: &DomainRules);
    /// The 32-bit range of a bitwise result; the bits are those of the result already.
    fn bitwise32(&mut self, op: Bitwise, src: &Self, rules: &DomainRules);
    /// The 64-bit range of a bitwise result; the bits are those of the result already.
    fn bitwise64(&mut self, op: Bitwise, src: &Self, rules: &DomainRules);
    /// Bits and ranges of a shift by less than the width.
    fn shift(&mut self, op: Shift, width: Width, by: u32);
    /// Bits and ranges of a division by a constant other than 0, given as its low bits.
    fn divide(&mut self, op: Division, width: Width, by: u64);

    /// Truncation to 1, 2 or 4 bytes. Kernel: `coerce_reg_to_size` (6.1 … 7.3).
    fn truncate_to(&mut self, bytes: u32, rules: &DomainRules);
    /// Sign extension from 1, 2 or 4 bytes to 64 bits. Kernel: `coerce_reg_to_size_sx` (6.6 … 7.3).
    fn sign_extend_to_64(&mut self, bytes: u32);
    /// Sign extension from 1 or 2 bytes to 32 bits; the upper half is the caller's. Kernel: `coerce_subreg_to_size_sx` (6.6 … 7.3).
    fn sign_extend_to_32(&mut self, bytes: u32);

    /// Whether no number is left. Kernel: `range_bounds_violation` (7.1 … 7.3), the first test of `reg_bounds_sanity_check`
    /// (6.8 … 7.0).
    fn is_contradictory(&self) -> bool;
    /// What a comparison that holds teaches about both operands. Kernel: `reg_set_min_max` (6.1 … 7.0), `regs_refine_cond_op`
    /// and `reg_bounds_sync` (6.8 … 7.3).
    fn assume(relation: Relation, width: Width, pair: (Self, Self), sides: Sides, rules: &DomainRules) -> (Self, Self);
    /// Both ranges of that width become the common one.
    fn equate(width: Width, a: &mut Self, b: &mut Self);
    /// The range of that width loses one number.
    fn exclude(&mut self, width: Width, c: u64);
    /// Both ranges of that width are cut by `a` being less than (or equal to) `b`.
    fn cut_less(relation: Relation, width: Width, a: &mut Self, b: &mut Self);

    /// The number that the known bits of that width leave. Kernel: `is_reg_const`, `reg_const_value` (6.8 … 7.3).
    #[inline]
    fn as_const(&self, width: Width) -> Option<u64> {
        match width {
            Width::W32 => self.bits().as_const32().map(u64::from),
            Width::W64 => self.bits().as_const(),
        }
    }

    /// The second operand as the number it is: bits and range agree on one value of that width.
    #[inline]
    fn is_point(&self, width: Width) -> bool {
        match width {
            Width::W32 => {
                let d = self.ends32();
                self.bits().as_const32().is_some() && d.umin == d.umax && d.smin == d.smax
            }
            Width::W64 => {
                let d = self.ends64();
                self.bits().is_const() && d.umin == d.umax && d.smin == d.smax
            }
        }
    }

    /// Whether the kernel takes the bounds for contradictory: inverted, or constant bits with a range of more than one.
    #[inline]
    fn is_tainted(&self, width: Width) -> bool {
        match width {
            Width::W32 => {
                let d = self.ends32();
                d.smin > d.smax
                    || d.umin > d.umax
                    || (self.bits().as_const32().is_some() && (d.smin != d.smax || d.umin != d.umax))
            }
            Width::W64 => {
                let d = self.ends64();
                d.smin > d.smax || d.umin > d.umax || (self.bits().is_const() && (d.smin != d.smax || d.umin != d.umax))
            }
        }
    }
}

/// A shift.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shift {
    Left,
    Right,
    ArithmeticRight,
}

/// How an operation is computed.
enum Plan {
    Sum,
    Difference,
    Product,
    Bitwise(Bitwise),
    Shift(Shift),
    Division(Division),
    Move,
}

const fn plan(op: AluOp) -> Plan {
    match op {
        AluOp::Add => Plan::Sum,
        AluOp::Sub => Plan::Difference,
        AluOp::Mul => Plan::Product,
        AluOp::And => Plan::Bitwise(Bitwise::And),
        AluOp::Or => Plan::Bitwise(Bitwise::Or),
        AluOp::Xor => Plan::Bitwise(Bitwise::Xor),
        AluOp::Lsh => Plan::Shift(Shift::Left),
        AluOp::Rsh => Plan::Shift(Shift::Right),
        AluOp::Arsh => Plan::Shift(Shift::ArithmeticRight),
        AluOp::Div => Plan::Division(Division::Quotient),
        AluOp::SDiv => Plan::Division(Division::SignedQuotient),
        AluOp::Mod => Plan::Division(Division::Remainder),
        AluOp::SMod => Plan::Division(Division::SignedRemainder),
        AluOp::Mov => Plan::Move,
    }
}

/// What to do with an operation, seen from its second operand.
#[derive(PartialEq, Eq)]
enum Ability {
    Compute,
    /// The result is unknown and then treated like any result, so that a 32-bit one is zero-extended.
    UnknownResult,
    /// The result is unknown in all 64 bits.
    UnknownWord,
}

#[inline]
fn ability<N: Number>(plan: &Plan, width: Width, src: &N, rules: &DomainRules) -> Ability {
    let bits = match width {
        Width::W32 => 32,
        Width::W64 => 64,
    };
    match rules.second_operand {
        SecondOperand::AddSubAnd => {
            let constant = src.as_const(width).is_some();
            let any = matches!(plan, Plan::Sum | Plan::Difference | Plan::Bitwise(Bitwise::And));
            if src.is_tainted(width) || !(constant || any) {
                return Ability::UnknownWord;
            }
            match plan {
                Plan::Shift(_) if src.ends64().umax >= bits => Ability::UnknownResult,
                Plan::Division(_) if rules.div_mod == DivMod::Unknown => Ability::UnknownResult,
                _ => Ability::Compute,
            }
        }
        SecondOperand::AllButShiftAndDivision => {
            let able = match plan {
                Plan::Shift(_) => src.is_point(width) && src.ends64().umax < bits,
                Plan::Division(_) => rules.div_mod == DivMod::ConstDivisor && src.is_point(width),
                _ => true,
            };
            if able { Ability::Compute } else { Ability::UnknownWord }
        }
    }
}

/// A binary operation on what is known.
#[inline]
pub(super) fn alu<N: Number>(op: AluOp, width: Width, dst: &N, src: &N, rules: &DomainRules) -> N {
    let plan = plan(op);
    let mut out = *dst;
    if let Plan::Move = plan {
        return if width == Width::W32 { zero_extended(src, rules) } else { *src };
    }
    match ability(&plan, width, src, rules) {
        Ability::Compute => compute(&plan, width, &mut out, src, rules),
        Ability::UnknownResult => out = N::UNKNOWN,
        Ability::UnknownWord => return N::UNKNOWN,
    }
    if width == Width::W32 {
        out.zero_extend();
    }
    out.sync(rules);
    out
}

#[inline]
fn compute<N: Number>(plan: &Plan, width: Width, out: &mut N, src: &N, rules: &DomainRules) {
    match plan {
        Plan::Sum => {
            out.add(src, rules);
            out.set_bits(out.bits().add(src.bits()));
        }
        Plan::Difference => {
            out.sub(src, rules);
            out.set_bits(out.bits().sub(src.bits()));
        }
        Plan::Product => {
            out.set_bits(product(out.bits(), src.bits(), rules.tnum_mul));
            out.mul(src, rules);
        }
        Plan::Bitwise(op) => {
            out.set_bits(op.on_bits(out.bits(), src.bits()));
            match (src.bits().as_const32(), out.bits().as_const32()) {
                (Some(_), Some(x)) => out.set_const32(x),
                _ => out.bitwise32(*op, src, rules),
            }
            match (src.bits().as_const(), out.bits().as_const()) {
                (Some(_), Some(x)) => *out = N::constant(x),
                _ => out.bitwise64(*op, src, rules),
            }
        }
        Plan::Shift(op) => {
            let by = match width {
                Width::W32 => src.ends32().umin,
                Width::W64 => src.ends64().umin as u32,
            };
            out.shift(*op, width, by);
        }
        Plan::Division(op) => {
            let by = match width {
                Width::W32 => u64::from(src.ends32().umin),
                Width::W64 => src.ends64().umin,
            };
            match (by, op) {
                (0, Division::Quotient | Division::SignedQuotient) => *out = N::constant(0),
                (0, Division::Remainder | Division::SignedRemainder) => {}
                _ => out.divide(*op, width, by),
            }
        }
        Plan::Move => {}
    }
}

/// Two known factors are by far the most common, and every rule gives their product.
#[inline]
fn product(a: Tnum, b: Tnum, rule: TnumMul) -> Tnum {
    match (a.as_const(), b.as_const()) {
        (Some(a), Some(b)) => Tnum::constant(a.wrapping_mul(b)),
        _ => a.mul(b, rule),
    }
}

/// A 32-bit move. Kernel: `check_alu_op` for `BPF_MOV` (6.1 … 7.3).
#[inline]
pub(super) fn zero_extended<N: Number>(src: &N, rules: &DomainRules) -> N {
    let mut out = *src;
    out.zero_extend();
    out.sync(rules);
    out
}

/// Negation.
pub(super) fn negate<N: Number>(width: Width, x: &N, rules: &DomainRules) -> N {
    if rules.negation == Negation::Unknown {
        return N::UNKNOWN;
    }
    let mut out = N::constant(0);
    out.sub(x, rules);
    out.set_bits(x.bits().neg());
    if width == Width::W32 {
        out.zero_extend();
    }
    out.sync(rules);
    out
}

/// Byte-order conversion on a little-endian machine. Kernel: `scalar_byte_swap` (7.0 … 7.3).
pub(super) fn byte_swap<N: Number>(kind: Endian, bits: u8, x: &N, rules: &DomainRules) -> N {
    if rules.byte_swap == ByteSwap::Unknown {
        return N::UNKNOWN;
    }
    let mut out = *x;
    if matches!(kind, Endian::ToBe | Endian::Bswap) {
        out.set_bits(out.bits().swap_bytes(bits));
        out.forget_ranges();
    }
    if bits < 64 {
        out.truncate_to(u32::from(bits) / 8, rules);
    }
    out.sync(rules);
    out
}
