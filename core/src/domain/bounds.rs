//! A range as four numbers: least and greatest, unsigned and signed, of one width.
//!
//! Kernel: the fields `umin_value` … `s32_max_value` of `struct bpf_reg_state` and `scalar_min_max_*` (6.1 … 7.0). A minimum
//! above its maximum is possible: it is what is left on a branch that is never taken, and 6.1 goes on with it.

use super::number::Bitwise;
use super::relation::Relation;
use super::word::Word;
use crate::kernel::{AddOverflow, BitwiseSigned, MulRange};

/// Unsigned and signed ends of a range.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Bounds<W: Word> {
    pub umin: W,
    pub umax: W,
    pub smin: W::Signed,
    pub smax: W::Signed,
}

impl<W: Word> Bounds<W> {
    /// All numbers.
    pub const FULL: Bounds<W> = Bounds { umin: W::ZERO, umax: W::MAX, smin: W::SMIN, smax: W::SMAX };

    /// One number.
    #[inline]
    pub fn point(x: W) -> Bounds<W> {
        Bounds { umin: x, umax: x, smin: x.signed(), smax: x.signed() }
    }

    /// An unsigned range, nothing known about the signed one.
    #[inline]
    pub fn unsigned(umin: W, umax: W) -> Bounds<W> {
        Bounds { umin, umax, ..Bounds::FULL }
    }

    /// The same ends for both readings.
    #[inline]
    pub fn both(umin: W, umax: W) -> Bounds<W> {
        Bounds { umin, umax, smin: umin.signed(), smax: umax.signed() }
    }

    #[inline]
    pub fn contains(&self, x: W) -> bool {
        self.umin <= x && x <= self.umax && self.smin <= x.signed() && x.signed() <= self.smax
    }

    /// Whether each end of `inner` lies within.
    #[inline]
    pub fn includes(&self, inner: &Bounds<W>) -> bool {
        self.umin <= inner.umin && self.umax >= inner.umax && self.smin <= inner.smin && self.smax >= inner.smax
    }

    /// Whether a minimum is above its maximum.
    #[inline]
    pub fn is_inverted(&self) -> bool {
        self.umin > self.umax || self.smin > self.smax
    }

    #[inline]
    pub fn is_point(&self, x: W) -> bool {
        *self == Bounds::point(x)
    }

    /// Both ranges cut by the other's, reading by reading.
    #[inline]
    pub fn meet(&self, other: &Bounds<W>) -> Bounds<W> {
        Bounds {
            umin: self.umin.max(other.umin),
            umax: self.umax.min(other.umax),
            smin: self.smin.max(other.smin),
            smax: self.smax.min(other.smax),
        }
    }

    #[inline]
    pub fn cut_unsigned(&mut self, min: W, max: W) {
        self.umin = self.umin.max(min);
        self.umax = self.umax.min(max);
    }

    #[inline]
    pub fn cut_signed(&mut self, min: W::Signed, max: W::Signed) {
        self.smin = self.smin.max(min);
        self.smax = self.smax.min(max);
    }

    /// Cuts by what the known bits allow. Kernel: `__update_reg64_bounds` (6.1 … 7.0).
    #[inline]
    pub fn learn_bits(&mut self, value: W, mask: W) {
        self.cut_signed((value | (mask & W::SIGN)).signed(), (value | (mask & !W::SIGN)).signed());
        self.cut_unsigned(value, value | mask);
    }

    /// Signed and unsigned inform each other once. Kernel: `__reg64_deduce_bounds` (6.1).
    #[inline]
    pub fn share_sign_once(&mut self) {
        let signed_stays = self.smin >= W::SZERO || self.smax < W::SZERO;
        let low = W::unsigned(self.smin).max(self.umin);
        let high = W::unsigned(self.smax).min(self.umax);
        if signed_stays {
            *self = Bounds::both(low, high);
        } else if self.umax.signed() >= W::SZERO {
            self.smin = self.umin.signed();
            (self.smax, self.umax) = (high.signed(), high);
        } else if self.umin.signed() < W::SZERO {
            (self.smin, self.umin) = (low.signed(), low);
            self.smax = self.umax.signed();
        }
    }

    /// Whichever reading does not cross the other's seam cuts the other. Answers whether the signed range crosses zero, so that
    /// it did not. Kernel: end of `__reg64_deduce_bounds` (6.8 … 7.0).
    #[inline]
    pub fn share_sign(&mut self) -> bool {
        if self.umin.signed() <= self.umax.signed() {
            self.cut_signed(self.umin.signed(), self.umax.signed());
        }
        let (low, high) = (W::unsigned(self.smin), W::unsigned(self.smax));
        if low <= high {
            self.cut_unsigned(low, high);
        }
        low > high
    }

    /// A signed range across zero has a piece at each end of the unsigned range; if the unsigned range meets one of them only,
    /// both ranges are that piece. Kernel: `__reg64_deduce_bounds` (6.17 … 7.0), `__reg32_deduce_bounds` (7.0).
    #[inline]
    pub fn drop_unmet_piece(&mut self) {
        if self.umax < W::unsigned(self.smin) {
            self.smin = self.umin.signed();
            self.umax = self.umax.min(W::unsigned(self.smax));
        } else if W::unsigned(self.smax) < self.umin {
            self.smax = self.umax.signed();
            self.umin = self.umin.max(W::unsigned(self.smin));
        }
    }

    /// Sums. Kernel: `scalar_min_max_add` (6.1 … 7.0).
    #[inline]
    pub fn add(&mut self, src: &Bounds<W>, overflow: AddOverflow) {
        (self.smin, self.smax) = match (W::checked_sadd(self.smin, src.smin), W::checked_sadd(self.smax, src.smax)) {
            (Some(min), Some(max)) => (min, max),
            _ => (W::SMIN, W::SMAX),
        };
        let (min, max) = (self.umin.wrapping_add(src.umin), self.umax.wrapping_add(src.umax));
        let lost = match overflow {
            AddOverflow::Drop => min < src.umin || max < src.umax,
            AddOverflow::KeepIfBoth => min >= src.umin && max < src.umax,
        };
        (self.umin, self.umax) = if lost { (W::ZERO, W::MAX) } else { (min, max) };
    }

    /// Differences. Kernel: `scalar_min_max_sub` (6.1 … 7.0).
    #[inline]
    pub fn sub(&mut self, src: &Bounds<W>, overflow: AddOverflow) {
        (self.smin, self.smax) = match (W::checked_ssub(self.smin, src.smax), W::checked_ssub(self.smax, src.smin)) {
            (Some(min), Some(max)) => (min, max),
            _ => (W::SMIN, W::SMAX),
        };
        let lost = match overflow {
            AddOverflow::Drop => self.umin < src.umax,
            AddOverflow::KeepIfBoth => self.umin < src.umax && self.umax >= src.umin,
        };
        (self.umin, self.umax) =
            if lost { (W::ZERO, W::MAX) } else { (self.umin.wrapping_sub(src.umax), self.umax.wrapping_sub(src.umin)) };
    }

    /// Cuts by a comparison with a constant that holds; equality and bit tests are not for ranges.
    #[inline]
    pub fn cut_by(&mut self, relation: Relation, c: W) {
        let (below, above) = (c.wrapping_sub(W::ONE), c.wrapping_add(W::ONE));
        match relation {
            Relation::Ult => self.umax = self.umax.min(below),
            Relation::Ule => self.umax = self.umax.min(c),
            Relation::Ugt => self.umin = self.umin.max(above),
            Relation::Uge => self.umin = self.umin.max(c),
            Relation::Slt => self.smax = self.smax.min(below.signed()),
            Relation::Sle => self.smax = self.smax.min(c.signed()),
            Relation::Sgt => self.smin = self.smin.max(above.signed()),
            Relation::Sge => self.smin = self.smin.max(c.signed()),
            Relation::Eq | Relation::Ne | Relation::Set | Relation::Clear => {}
        }
    }

    /// Cuts off `c` where it is an end.
    #[inline]
    pub fn exclude(&mut self, c: W) {
        let (below, above) = (c.wrapping_sub(W::ONE), c.wrapping_add(W::ONE));
        if self.umin == c {
            self.umin = above;
        }
        if self.umax == c {
            self.umax = below;
        }
        if self.smin == c.signed() {
            self.smin = above.signed();
        }
        if self.smax == c.signed() {
            self.smax = below.signed();
        }
    }

    /// Cuts both ranges by `a` being less than (or equal to) `b`.
    #[inline]
    pub fn cut_less(relation: Relation, a: &mut Bounds<W>, b: &mut Bounds<W>) {
        match relation {
            Relation::Ule | Relation::Ult => {
                let strict = if relation == Relation::Ult { W::ONE } else { W::ZERO };
                a.umax = a.umax.min(b.umax.wrapping_sub(strict));
                b.umin = b.umin.max(a.umin.wrapping_add(strict));
            }
            Relation::Sle | Relation::Slt => {
                let strict = if relation == Relation::Slt { W::ONE } else { W::ZERO };
                a.smax = a.smax.min(W::unsigned(b.smax).wrapping_sub(strict).signed());
                b.smin = b.smin.max(W::unsigned(a.smin).wrapping_add(strict).signed());
            }
            _ => {}
        }
    }

    /// Products. Kernel: `scalar_min_max_mul` (6.1 … 7.0).
    #[inline]
    pub fn mul(&mut self, src: &Bounds<W>, rule: MulRange) {
        *self = match rule {
            MulRange::SmallNonNegative => self.mul_small(src),
            MulRange::NoOverflow => {
                let (umin, umax) = mul_unsigned((self.umin, self.umax), (src.umin, src.umax));
                let (smin, smax) = mul_signed::<W>((self.smin, self.smax), (src.smin, src.smax));
                Bounds { umin, umax, smin, smax }
            }
        };
    }

    fn mul_small(&self, src: &Bounds<W>) -> Bounds<W> {
        let negative = self.smin < W::SZERO || src.smin < W::SZERO;
        if negative || self.umax > W::HALF_MAX || src.umax > W::HALF_MAX {
            return Bounds::FULL;
        }
        let (umin, umax) = (self.umin.wrapping_mul(src.umin), self.umax.wrapping_mul(src.umax));
        if umax > W::unsigned(W::SMAX) { Bounds::unsigned(umin, umax) } else { Bounds::both(umin, umax) }
    }

    /// The range of a bitwise result whose known bits are `value` and `mask`. Kernel: `scalar_min_max_and` and so on (6.1 … 7.0).
    #[inline]
    pub fn bitwise(&mut self, op: Bitwise, src: &Bounds<W>, value: W, mask: W, rule: BitwiseSigned) {
        let (umin, umax) = op.unsigned_range((self.umin, self.umax), (src.umin, src.umax), value, mask);
        let share = match rule {
            BitwiseSigned::NonNegative => self.smin >= W::SZERO && src.smin >= W::SZERO,
            BitwiseSigned::FromUnsigned => umin.signed() <= umax.signed(),
        };
        *self = if share { Bounds::both(umin, umax) } else { Bounds::unsigned(umin, umax) };
    }

    /// Shift left: the range is lost if a set bit might leave. Kernel: `__scalar32_min_max_lsh` (6.1 … 7.0).
    #[inline]
    pub fn shl(&self, by: u32, bits: u32) -> Bounds<W> {
        if by >= bits || self.umax > W::ONE.shl(bits - 1 - by) {
            Bounds::FULL
        } else {
            Bounds::unsigned(self.umin.shl(by), self.umax.shl(by))
        }
    }

    /// Logical shift right.
    #[inline]
    pub fn shr(&self, by: u32) -> Bounds<W> {
        Bounds::unsigned(self.umin.shr(by), self.umax.shr(by))
    }

    /// Arithmetic shift right.
    #[inline]
    pub fn sar(&self, by: u32) -> Bounds<W> {
        Bounds { smin: W::sshr(self.smin, by), smax: W::sshr(self.smax, by), ..Bounds::FULL }
    }
}

/// The unsigned products of two ranges, all numbers if an end overflows.
#[inline]
pub(super) fn mul_unsigned<W: Word>(a: (W, W), b: (W, W)) -> (W, W) {
    match (a.0.checked_mul(b.0), a.1.checked_mul(b.1)) {
        (Some(min), Some(max)) => (min, max),
        _ => (W::ZERO, W::MAX),
    }
}

/// The signed products of two ranges, all numbers if a product of ends overflows.
#[inline]
pub(super) fn mul_signed<W: Word>(a: (W::Signed, W::Signed), b: (W::Signed, W::Signed)) -> (W::Signed, W::Signed) {
    let products = [(a.0, b.0), (a.0, b.1), (a.1, b.0), (a.1, b.1)];
    let mut range: Option<(W::Signed, W::Signed)> = None;
    for (x, y) in products {
        let Some(p) = W::checked_smul(x, y) else { return (W::SMIN, W::SMAX) };
        range = Some(range.map_or((p, p), |(min, max)| (min.min(p), max.max(p))));
    }
    range.unwrap_or((W::SMIN, W::SMAX))
}
