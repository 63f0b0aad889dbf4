//! Numbers in the min/max model: known bits, and four ends for each width.
//!
//! Kernel: `struct bpf_reg_state` and its helpers in `verifier.c` (6.1 … 7.0). Exact for 6.1.

use super::bounds::Bounds;
use super::branch::{Sides, assume_bits, assume_by_ranges};
use super::number::{Bitwise, Division, Number, Shift};
use super::relation::Relation;
use super::tnum::Tnum;
use crate::isa::Width;
use crate::kernel::{BoundsSync, BranchRefine, DomainRules, Truncation};

/// Known bits and ranges.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct MinMax {
    pub bits: Tnum,
    pub r64: Bounds<u64>,
    pub r32: Bounds<u32>,
}

impl MinMax {
    /// Each width's ranges inform each other and, since 6.8, the other width's. Kernel: `__reg_deduce_bounds` (6.1 … 7.0).
    #[inline]
    fn deduce(&mut self, rule: BoundsSync) {
        if rule == BoundsSync::SignOnly {
            self.r32.share_sign_once();
            self.r64.share_sign_once();
            return;
        }
        self.deduce_32_from_64();
        let crosses = self.r32.share_sign();
        if crosses && rule == BoundsSync::CrossWidthAndSigns {
            self.r32.drop_unmet_piece();
        }
        let crosses = self.r64.share_sign();
        if crosses && rule != BoundsSync::CrossWidth {
            self.r64.drop_unmet_piece();
        }
        self.deduce_64_from_32();
    }

    /// Kernel: first part of `__reg32_deduce_bounds` (6.8 … 7.0).
    fn deduce_32_from_64(&mut self) {
        let Bounds { umin, umax, smin, smax } = self.r64;
        if umin >> 32 == umax >> 32 {
            self.r32.cut_unsigned(umin as u32, umax as u32);
            if umin as i32 <= umax as i32 {
                self.r32.cut_signed(umin as i32, umax as i32);
            }
        }
        if smin >> 32 == smax >> 32 {
            if smin as u32 <= smax as u32 {
                self.r32.cut_unsigned(smin as u32, smax as u32);
            }
            if smin as i32 <= smax as i32 {
                self.r32.cut_signed(smin as i32, smax as i32);
            }
        }
        // Upper halves that follow each other, with a low half that goes from negative to positive in between.
        if ((umin >> 32) as u32).wrapping_add(1) == (umax >> 32) as u32 && (umin as i32) < 0 && umax as i32 >= 0 {
            self.r32.cut_signed(umin as i32, umax as i32);
        }
        if ((smin >> 32) as u32).wrapping_add(1) == (smax >> 32) as u32 && (smin as i32) < 0 && smax as i32 >= 0 {
            self.r32.cut_signed(smin as i32, smax as i32);
        }
    }

    /// Kernel: `__reg_deduce_mixed_bounds` (6.8 … 7.0).
    fn deduce_64_from_32(&mut self) {
        let upper = !u64::from(u32::MAX);
        let (low, high) = (u64::from(self.r32.umin), u64::from(self.r32.umax));
        self.r64.cut_unsigned(self.r64.umin & upper | low, self.r64.umax & upper | high);
        let with_low = |end: i64, low: u64| (end as u64 & upper | low) as i64;
        self.r64.cut_signed(with_low(self.r64.smin, low), with_low(self.r64.smax, high));
        // A sign-extended 32-bit number whose low half is not negative is its low half.
        let extended = self.r64.smin >= i64::from(i32::MIN) && self.r64.smax <= i64::from(i32::MAX);
        if self.r32.smin >= 0 && extended {
            let (min, max) = (i64::from(self.r32.smin) as u64, i64::from(self.r32.smax) as u64);
            self.r64 = Bounds::both(min, max);
            self.bits = self.bits.intersect(Tnum::range(min, max));
        }
    }

    /// Bits that the ranges imply. Kernel: `__reg_bound_offset` (6.1 … 7.3).
    #[inline]
    fn bits_from_ranges(&mut self) {
        self.bits = known_bits(self.bits, (self.r64.umin, self.r64.umax), (self.r32.umin, self.r32.umax));
    }

    /// The 64-bit range of a number whose upper half is zero. Kernel: `__reg_assign_32_into_64` (6.1 … 7.0).
    #[inline]
    fn assign_32_into_64(&mut self) {
        let Bounds { umin, umax, smin, smax } = self.r32;
        let (smin, smax) =
            if smin >= 0 && smax >= 0 { (i64::from(smin), i64::from(smax)) } else { (0, i64::from(u32::MAX)) };
        self.r64 = Bounds { umin: umin.into(), umax: umax.into(), smin, smax };
    }

    /// What a comparison teaches when only constants teach. Kernel: `reg_set_min_max`, `reg_set_min_max_inv`,
    /// `reg_combine_min_max`, and their use in `check_cond_jmp_op` (6.1).
    fn assume_const_only(
        relation: Relation,
        width: Width,
        (mut a, mut b): (MinMax, MinMax),
        sides: Sides,
        rules: &DomainRules,
    ) -> (MinMax, MinMax) {
        if let Some(c) = b.as_const(width) {
            a.assume_const(relation, width, c, rules);
        } else if let Some(c) = a.as_const(width) {
            b.assume_const(relation.flipped(), width, c, rules);
        } else if relation == Relation::Eq && width == Width::W64 {
            // The 32-bit ranges stay apart.
            MinMax::equate(width, &mut a, &mut b);
            let bits = a.bits.intersect(b.bits);
            (a.bits, b.bits) = (bits, bits);
            a.sync(rules);
            b.sync(rules);
            if sides == Sides::SameRegister {
                a.sync(rules);
            }
        }
        if sides == Sides::SameRegister { (a, a) } else { (a, b) }
    }

    /// What a comparison with a constant teaches. Kernel: one branch of `reg_set_min_max` (6.1).
    fn assume_const(&mut self, relation: Relation, width: Width, c: u64, rules: &DomainRules) {
        match (relation, width) {
            (Relation::Eq, Width::W32) => self.set_const32(c as u32),
            (Relation::Eq, Width::W64) => *self = MinMax::constant(c),
            (Relation::Set | Relation::Clear, _) => assume_bits(self, relation, width, c),
            (_, Width::W32) => self.r32.cut_by(relation, c as u32),
            (_, Width::W64) => self.r64.cut_by(relation, c),
        }
        match width {
            Width::W32 => self.combine_32_into_64(rules),
            Width::W64 => self.combine_64_into_32(rules),
        }
    }

    /// After the low half became better known by a comparison. Kernel: `__reg_combine_32_into_64` (6.1).
    fn combine_32_into_64(&mut self, rules: &DomainRules) {
        if self.bits.max() >> 32 == 0 {
            self.assign_32_into_64();
        } else {
            self.r64 = Bounds::FULL;
        }
        self.sync(rules);
    }

    /// After the 64-bit range became better known by a comparison. Kernel: `__reg_combine_64_into_32` (6.1).
    fn combine_64_into_32(&mut self, rules: &DomainRules) {
        self.r32 = Bounds::FULL;
        if let (Ok(min), Ok(max)) = (i32::try_from(self.r64.smin), i32::try_from(self.r64.smax)) {
            (self.r32.smin, self.r32.smax) = (min, max);
        }
        if let (Ok(min), Ok(max)) = (u32::try_from(self.r64.umin), u32::try_from(self.r64.umax)) {
            (self.r32.umin, self.r32.umax) = (min, max);
        }
        self.sync(rules);
    }
}

/// `bits`, cut by the unsigned ranges of both widths.
#[inline]
pub(super) fn known_bits(bits: Tnum, r64: (u64, u64), r32: (u32, u32)) -> Tnum {
    let word = bits.intersect(Tnum::range(r64.0, r64.1));
    let low = word.subreg().intersect(Tnum::range(r32.0.into(), r32.1.into()));
    word.clear_subreg().or(low)
}

impl Number for MinMax {
    const UNKNOWN: MinMax = MinMax { bits: Tnum::UNKNOWN, r64: Bounds::FULL, r32: Bounds::FULL };

    #[inline]
    fn constant(x: u64) -> MinMax {
        MinMax { bits: Tnum::constant(x), r64: Bounds::point(x), r32: Bounds::point(x as u32) }
    }

    #[inline]
    fn bits(&self) -> Tnum {
        self.bits
    }

    #[inline]
    fn set_bits(&mut self, bits: Tnum) {
        self.bits = bits;
    }

    #[inline]
    fn forget_ranges(&mut self) {
        (self.r64, self.r32) = (Bounds::FULL, Bounds::FULL);
    }

    #[inline]
    fn forget_32(&mut self) {
        self.r32 = Bounds::FULL;
    }

    #[inline]
    fn ends64(&self) -> Bounds<u64> {
        self.r64
    }

    #[inline]
    fn ends32(&self) -> Bounds<u32> {
        self.r32
    }

    #[inline]
    fn sync(&mut self, rules: &DomainRules) {
        self.learn_bits();
        let rounds = match rules.bounds_sync {
            BoundsSync::SignOnly => 1,
            BoundsSync::CrossWidth => 2,
            BoundsSync::CrossWidthAndSign | BoundsSync::CrossWidthAndSigns => 3,
        };
        for _ in 0..rounds {
            self.deduce(rules.bounds_sync);
        }
        self.bits_from_ranges();
        self.learn_bits();
    }

    #[inline]
    fn set_const32(&mut self, x: u32) {
        self.bits = self.bits.with_subreg(Tnum::constant(x.into()));
        self.r32 = Bounds::point(x);
    }

    #[inline]
    fn zero_extend(&mut self) {
        self.bits = self.bits.subreg();
        self.assign_32_into_64();
    }

    #[inline]
    fn learn_bits(&mut self) {
        self.learn_bits_32();
        self.r64.learn_bits(self.bits.value, self.bits.mask);
    }

    #[inline]
    fn learn_bits_32(&mut self) {
        self.r32.learn_bits(self.bits.value as u32, self.bits.mask as u32);
    }

    #[inline]
    fn add(&mut self, src: &MinMax, rules: &DomainRules) {
        self.r32.add(&src.r32, rules.add_overflow);
        self.r64.add(&src.r64, rules.add_overflow);
    }

    #[inline]
    fn sub(&mut self, src: &MinMax, rules: &DomainRules) {
        self.r32.sub(&src.r32, rules.add_overflow);
        self.r64.sub(&src.r64, rules.add_overflow);
    }

    #[inline]
    fn mul(&mut self, src: &MinMax, rules: &DomainRules) {
        self.r32.mul(&src.r32, rules.mul_range);
        self.r64.mul(&src.r64, rules.mul_range);
    }

    #[inline]
    fn bitwise32(&mut self, op: Bitwise, src: &MinMax, rules: &DomainRules) {
        let (value, mask) = (self.bits.value as u32, self.bits.mask as u32);
        self.r32.bitwise(op, &src.r32, value, mask, rules.bitwise_signed);
    }

    #[inline]
    fn bitwise64(&mut self, op: Bitwise, src: &MinMax, rules: &DomainRules) {
        self.r64.bitwise(op, &src.r64, self.bits.value, self.bits.mask, rules.bitwise_signed);
        self.learn_bits();
    }

    fn shift(&mut self, op: Shift, width: Width, by: u32) {
        match width {
            Width::W32 => {
                let low = self.bits.subreg();
                (self.r32, self.bits) = match op {
                    Shift::Left => (self.r32.shl(by, 32), low.shl(by).subreg()),
                    Shift::Right => (self.r32.shr(by), low.shr(by)),
                    Shift::ArithmeticRight => (self.r32.sar(by), low.sar32(by)),
                };
                self.r64 = Bounds::FULL;
                self.learn_bits_32();
            }
            Width::W64 => {
                (self.r64, self.r32, self.bits) = match op {
                    Shift::Left => {
                        let mut word = self.r64.shl(by, 64);
                        // A low half moved to the top keeps its sign.
                        if by == 32 {
                            word.smin = i64::from(self.r32.smin) << 32;
                            word.smax = i64::from(self.r32.smax) << 32;
                        }
                        (word, self.r32.shl(by, 32), self.bits.shl(by))
                    }
                    Shift::Right => (self.r64.shr(by), Bounds::FULL, self.bits.shr(by)),
                    Shift::ArithmeticRight => (self.r64.sar(by), Bounds::FULL, self.bits.sar64(by)),
                };
                self.learn_bits();
            }
        }
    }

    /// No kernel with this model follows divisions, so nothing is known.
    fn divide(&mut self, _op: Division, _width: Width, _by: u64) {
        *self = MinMax::UNKNOWN;
    }

    fn truncate_to(&mut self, bytes: u32, rules: &DomainRules) {
        self.bits = self.bits.cast(bytes);
        let (min, max) = truncated_range((self.r64.umin, self.r64.umax), bytes);
        self.r64 = Bounds::both(min, max);
        match rules.truncation {
            Truncation::CopyTo32 if bytes < 4 => self.combine_64_into_32(rules),
            Truncation::CopyTo32 => {}
            Truncation::Resync => {
                if bytes < 4 {
                    self.r32 = Bounds::FULL;
                }
                self.sync(rules);
            }
        }
    }

    #[inline]
    fn is_contradictory(&self) -> bool {
        self.r64.is_inverted() || self.r32.is_inverted()
    }

    #[inline]
    fn assume(
        relation: Relation,
        width: Width,
        pair: (MinMax, MinMax),
        sides: Sides,
        rules: &DomainRules,
    ) -> (MinMax, MinMax) {
        match rules.branch_refine {
            BranchRefine::ConstOnly => MinMax::assume_const_only(relation, width, pair, sides, rules),
            BranchRefine::RangeVsRange => {
                let (mut a, mut b) = assume_by_ranges(relation, width, pair);
                if sides == Sides::SameRegister {
                    // Both names write into one register, and it is synchronized under each name.
                    a = MinMax { bits: a.bits.intersect(b.bits), r64: a.r64.meet(&b.r64), r32: a.r32.meet(&b.r32) };
                    a.sync(rules);
                    a.sync(rules);
                    return (a, a);
                }
                a.sync(rules);
                b.sync(rules);
                (a, b)
            }
        }
    }

    #[inline]
    fn equate(width: Width, a: &mut MinMax, b: &mut MinMax) {
        match width {
            Width::W32 => (a.r32, b.r32) = (a.r32.meet(&b.r32), a.r32.meet(&b.r32)),
            Width::W64 => (a.r64, b.r64) = (a.r64.meet(&b.r64), a.r64.meet(&b.r64)),
        }
    }

    #[inline]
    fn exclude(&mut self, width: Width, c: u64) {
        match width {
            Width::W32 => self.r32.exclude(c as u32),
            Width::W64 => self.r64.exclude(c),
        }
    }

    #[inline]
    fn cut_less(relation: Relation, width: Width, a: &mut MinMax, b: &mut MinMax) {
        match width {
            Width::W32 => Bounds::cut_less(relation, &mut a.r32, &mut b.r32),
            Width::W64 => Bounds::cut_less(relation, &mut a.r64, &mut b.r64),
        }
    }

    fn sign_extend_to_64(&mut self, bytes: u32) {
        let bits = bytes * 8;
        if let Some(x) = self.bits.as_const() {
            *self = MinMax::constant(sign_extend(x, bits) as u64);
        } else if let Some((min, max)) = sign_extended_range((self.r64.smin, self.r64.smax), bits) {
            self.r64 = Bounds::both(min as u64, max as u64);
            self.r32 = Bounds::both(min as u32, max as u32);
            self.bits = Tnum::range(min as u64, max as u64);
        } else {
            *self = MinMax::UNKNOWN;
            let (min, max) = signed_limits(bits);
            (self.r64.smin, self.r64.smax) = (min, max);
            (self.r32.smin, self.r32.smax) = (min as i32, max as i32);
        }
    }

    fn sign_extend_to_32(&mut self, bytes: u32) {
        let bits = bytes * 8;
        let ends = (i64::from(self.r32.smin), i64::from(self.r32.smax));
        if let Some(x) = self.bits.as_const() {
            let x = sign_extend(x, bits);
            self.bits = Tnum::constant(x as u64);
            self.r32 = Bounds::point(x as u32);
        } else if let Some((min, max)) = sign_extended_range(ends, bits) {
            self.r32 = Bounds::both(min as u32, max as u32);
            self.bits = Tnum::range(min as u64, max as u64).subreg();
        } else {
            let (min, max) = signed_limits(bits);
            self.r32 = Bounds { smin: min as i32, smax: max as i32, ..Bounds::FULL };
            self.bits = Tnum::UNKNOWN.subreg();
        }
    }
}

/// The least and greatest signed number of `bits` bits, 8, 16 or 32.
#[inline]
pub(super) const fn signed_limits(bits: u32) -> (i64, i64) {
    let half = 1i64 << (bits - 1);
    (-half, half - 1)
}

/// The low `bits` bits, read as signed.
#[inline]
pub(super) const fn sign_extend(x: u64, bits: u32) -> i64 {
    let unused = 64 - bits;
    ((x << unused) as i64) >> unused
}

/// The range of a signed range's members after sign extension from `bits` bits: known when the bits above agree at both ends,
/// and the extended ends have the same sign.
#[inline]
pub(super) fn sign_extended_range(ends: (i64, i64), bits: u32) -> Option<(i64, i64)> {
    if ends.0 >> bits != ends.1 >> bits {
        return None;
    }
    let (a, b) = (sign_extend(ends.0 as u64, bits), sign_extend(ends.1 as u64, bits));
    ((a < 0) == (b < 0)).then_some((a.min(b), a.max(b)))
}

/// The low `bytes` bytes of an unsigned range: kept when the bytes above agree at both ends.
#[inline]
pub(super) const fn truncated_range((min, max): (u64, u64), bytes: u32) -> (u64, u64) {
    let keep = (1u64 << (bytes * 8)) - 1;
    if min & !keep == max & !keep { (min & keep, max & keep) } else { (0, keep) }
}
