//! Numbers in the circular model: known bits, and one arc for each width.
//!
//! Kernel: `struct bpf_reg_state` with `r64` and `r32`, and its helpers in `verifier.c` (7.1 … 7.3). Exact for 7.3.

use super::arc::{Arc, Arc32, Arc64};
use super::bounds::{Bounds, mul_signed, mul_unsigned};
use super::branch::{Sides, assume_by_ranges};
use super::minmax::{known_bits, sign_extend, sign_extended_range, signed_limits, truncated_range};
use super::number::{Bitwise, Division, Number, Shift};
use super::relation::Relation;
use super::tnum::Tnum;
use super::word::Word;
use crate::isa::Width;
use crate::kernel::DomainRules;

/// Known bits and arcs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Circular {
    pub bits: Tnum,
    pub r64: Arc64,
    pub r32: Arc32,
}

impl Circular {
    /// Kernel: `__update_reg64_bounds` (7.1 … 7.3). When bits and unsigned range have one number in common, it is that number;
    /// an arc that just became empty counts as the whole circle here, so that the number can come back from the dead.
    #[inline]
    fn learn_bits_64(&mut self) {
        self.r64 = self.r64.intersect(Arc::from_bits(self.bits.value, self.bits.mask));
        let (umin, umax) = (self.r64.umin(), self.r64.umax());
        let next = self.bits.next_above(umin);
        let only = if self.bits.contains(umin) {
            (next > umax).then_some(umin)
        } else if next == self.bits.max() {
            Some(next)
        } else {
            (next <= umax && self.bits.next_above(next) > umax).then_some(next)
        };
        if let Some(x) = only {
            *self = Circular::constant(x);
        }
    }

    #[inline]
    fn deduce(&mut self) {
        self.r32 = self.r32.intersect(self.r64.low_half());
        self.r64 = self.r64.intersect_low_half(self.r32);
    }
}

impl Number for Circular {
    const UNKNOWN: Circular = Circular { bits: Tnum::UNKNOWN, r64: Arc::FULL, r32: Arc::FULL };

    #[inline]
    fn constant(x: u64) -> Circular {
        Circular { bits: Tnum::constant(x), r64: Arc::point(x), r32: Arc::point(x as u32) }
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
        (self.r64, self.r32) = (Arc::FULL, Arc::FULL);
    }

    #[inline]
    fn forget_32(&mut self) {
        self.r32 = Arc::FULL;
    }

    #[inline]
    fn ends64(&self) -> Bounds<u64> {
        let r = self.r64;
        Bounds { umin: r.umin(), umax: r.umax(), smin: r.smin(), smax: r.smax() }
    }

    #[inline]
    fn ends32(&self) -> Bounds<u32> {
        let r = self.r32;
        Bounds { umin: r.umin(), umax: r.umax(), smin: r.smin(), smax: r.smax() }
    }

    #[inline]
    fn sync(&mut self, _rules: &DomainRules) {
        if self.is_contradictory() {
            return;
        }
        self.learn_bits();
        self.deduce();
        self.deduce();
        self.bits = known_bits(self.bits, (self.r64.umin(), self.r64.umax()), (self.r32.umin(), self.r32.umax()));
        self.learn_bits();
    }

    #[inline]
    fn set_const32(&mut self, x: u32) {
        self.bits = self.bits.with_subreg(Tnum::constant(x.into()));
        self.r32 = Arc::point(x);
    }

    #[inline]
    fn zero_extend(&mut self) {
        self.bits = self.bits.subreg();
        self.r64 = Arc::from_urange(self.r32.umin().into(), self.r32.umax().into());
    }

    #[inline]
    fn learn_bits(&mut self) {
        self.learn_bits_32();
        self.learn_bits_64();
    }

    #[inline]
    fn learn_bits_32(&mut self) {
        self.r32 = self.r32.intersect(Arc::from_bits(self.bits.value as u32, self.bits.mask as u32));
    }

    #[inline]
    fn add(&mut self, src: &Circular, _rules: &DomainRules) {
        self.r32 = self.r32.add(src.r32);
        self.r64 = self.r64.add(src.r64);
    }

    #[inline]
    fn sub(&mut self, src: &Circular, _rules: &DomainRules) {
        self.r32 = self.r32.add(src.r32.negate());
        self.r64 = self.r64.add(src.r64.negate());
    }

    #[inline]
    fn mul(&mut self, src: &Circular, _rules: &DomainRules) {
        self.r32 = product(self.r32, src.r32);
        self.r64 = product(self.r64, src.r64);
    }

    #[inline]
    fn bitwise32(&mut self, op: Bitwise, src: &Circular, _rules: &DomainRules) {
        self.r32 = bitwise(op, self.r32, src.r32, self.bits.value as u32, self.bits.mask as u32);
    }

    #[inline]
    fn bitwise64(&mut self, op: Bitwise, src: &Circular, _rules: &DomainRules) {
        self.r64 = bitwise(op, self.r64, src.r64, self.bits.value, self.bits.mask);
        if op != Bitwise::Xor {
            self.learn_bits();
        }
    }

    fn shift(&mut self, op: Shift, width: Width, by: u32) {
        match width {
            Width::W32 => {
                let low = self.bits.subreg();
                (self.r32, self.bits) = match op {
                    Shift::Left => (shl(self.r32, by, 32), low.shl(by).subreg()),
                    Shift::Right => (shr(self.r32, by), low.shr(by)),
                    Shift::ArithmeticRight => (sar(self.r32, by), low.sar32(by)),
                };
                self.r64 = Arc::FULL;
                self.learn_bits_32();
            }
            Width::W64 => {
                (self.r64, self.r32, self.bits) = match op {
                    Shift::Left => {
                        // A low half moved to the top keeps its sign.
                        let signed = if by == 32 {
                            Arc::from_srange(i64::from(self.r32.smin()) << 32, i64::from(self.r32.smax()) << 32)
                        } else {
                            Arc::FULL
                        };
                        (shl(self.r64, by, 64).intersect(signed), shl(self.r32, by, 32), self.bits.shl(by))
                    }
                    Shift::Right => (shr(self.r64, by), Arc::FULL, self.bits.shr(by)),
                    Shift::ArithmeticRight => (sar(self.r64, by), Arc::FULL, self.bits.sar64(by)),
                };
                self.learn_bits();
            }
        }
    }

    fn divide(&mut self, op: Division, width: Width, by: u64) {
        match width {
            Width::W32 => {
                if let Some(r32) = divide(op, self.r32, by as u32) {
                    *self = Circular { r32, ..Circular::UNKNOWN };
                }
            }
            Width::W64 => {
                if let Some(r64) = divide(op, self.r64, by) {
                    *self = Circular { r64, ..Circular::UNKNOWN };
                }
            }
        }
    }

    fn truncate_to(&mut self, bytes: u32, rules: &DomainRules) {
        self.bits = self.bits.cast(bytes);
        let (min, max) = truncated_range((self.r64.umin(), self.r64.umax()), bytes);
        self.r64 = Arc::from_urange(min, max);
        if bytes < 4 {
            self.r32 = Arc::FULL;
        }
        self.sync(rules);
    }

    #[inline]
    fn is_contradictory(&self) -> bool {
        self.r32.is_empty() || self.r64.is_empty()
    }

    #[inline]
    fn assume(
        relation: Relation,
        width: Width,
        pair: (Circular, Circular),
        _sides: Sides,
        rules: &DomainRules,
    ) -> (Circular, Circular) {
        let (mut a, mut b) = assume_by_ranges(relation, width, pair);
        a.sync(rules);
        b.sync(rules);
        (a, b)
    }

    #[inline]
    fn equate(width: Width, a: &mut Circular, b: &mut Circular) {
        match width {
            Width::W32 => {
                a.r32 = a.r32.intersect(b.r32);
                b.r32 = a.r32;
            }
            Width::W64 => {
                a.r64 = a.r64.intersect(b.r64);
                b.r64 = a.r64;
            }
        }
    }

    #[inline]
    fn exclude(&mut self, width: Width, c: u64) {
        match width {
            Width::W32 => self.r32 = self.r32.intersect(Arc::all_but(c as u32)),
            Width::W64 => self.r64 = self.r64.intersect(Arc::all_but(c)),
        }
    }

    #[inline]
    fn cut_less(relation: Relation, width: Width, a: &mut Circular, b: &mut Circular) {
        match width {
            Width::W32 => cut_less(relation, &mut a.r32, &mut b.r32),
            Width::W64 => cut_less(relation, &mut a.r64, &mut b.r64),
        }
    }

    fn sign_extend_to_64(&mut self, bytes: u32) {
        let bits = bytes * 8;
        if let Some(x) = self.bits.as_const() {
            *self = Circular::constant(sign_extend(x, bits) as u64);
            return;
        }
        let known = sign_extended_range((self.r64.smin(), self.r64.smax()), bits);
        let (min, max) = known.unwrap_or(signed_limits(bits));
        self.r64 = Arc::from_srange(min, max);
        self.r32 = Arc::from_srange(min as i32, max as i32);
        self.bits = known.map_or(Tnum::UNKNOWN, |(min, max)| Tnum::range(min as u64, max as u64));
    }

    fn sign_extend_to_32(&mut self, bytes: u32) {
        let bits = bytes * 8;
        if let Some(x) = self.bits.as_const() {
            let x = sign_extend(x, bits);
            self.bits = Tnum::constant(x as u64);
            self.r32 = Arc::point(x as u32);
            return;
        }
        let known = sign_extended_range((self.r32.smin().into(), self.r32.smax().into()), bits);
        let (min, max) = known.unwrap_or(signed_limits(bits));
        self.r32 = Arc::from_srange(min as i32, max as i32);
        self.bits = known.map_or(Tnum::UNKNOWN, |(min, max)| Tnum::range(min as u64, max as u64)).subreg();
    }
}

/// Cuts `a` by the greatest `b`, then `b` by the least of what is left of `a`.
#[inline]
fn cut_less<W: Word>(relation: Relation, a: &mut Arc<W>, b: &mut Arc<W>) {
    match relation {
        Relation::Ule | Relation::Ult => {
            let strict = if relation == Relation::Ult { W::ONE } else { W::ZERO };
            *a = a.intersect(Arc::from_urange(W::ZERO, b.umax().wrapping_sub(strict)));
            *b = b.intersect(Arc::from_urange(a.umin().wrapping_add(strict), W::MAX));
        }
        Relation::Sle | Relation::Slt => {
            let strict = if relation == Relation::Slt { W::ONE } else { W::ZERO };
            let most = W::unsigned(b.smax()).wrapping_sub(strict).signed();
            *a = a.intersect(Arc::from_srange(W::SMIN, most));
            let least = W::unsigned(a.smin()).wrapping_add(strict).signed();
            *b = b.intersect(Arc::from_srange(least, W::SMAX));
        }
        _ => {}
    }
}

/// Kernel: `scalar_min_max_mul` (7.1 … 7.3).
#[inline]
fn product<W: Word>(a: Arc<W>, b: Arc<W>) -> Arc<W> {
    let (umin, umax) = mul_unsigned((a.umin(), a.umax()), (b.umin(), b.umax()));
    let (smin, smax) = mul_signed::<W>((a.smin(), a.smax()), (b.smin(), b.smax()));
    Arc::from_urange(umin, umax).intersect(Arc::from_srange(smin, smax))
}

#[inline]
fn bitwise<W: Word>(op: Bitwise, a: Arc<W>, b: Arc<W>, value: W, mask: W) -> Arc<W> {
    let (min, max) = op.unsigned_range((a.umin(), a.umax()), (b.umin(), b.umax()), value, mask);
    Arc::from_urange(min, max)
}

/// Shift left: the range is lost if a set bit might leave.
#[inline]
fn shl<W: Word>(a: Arc<W>, by: u32, bits: u32) -> Arc<W> {
    if by >= bits || a.umax() > W::ONE.shl(bits - 1 - by) {
        Arc::FULL
    } else {
        Arc::from_urange(a.umin().shl(by), a.umax().shl(by))
    }
}

#[inline]
fn shr<W: Word>(a: Arc<W>, by: u32) -> Arc<W> {
    Arc::from_urange(a.umin().shr(by), a.umax().shr(by))
}

#[inline]
fn sar<W: Word>(a: Arc<W>, by: u32) -> Arc<W> {
    Arc::from_srange(W::sshr(a.smin(), by), W::sshr(a.smax(), by))
}

/// The range of a division by a constant other than 0; `None` when a remainder is the dividend, about which all knowledge stays.
/// Kernel: `scalar_min_max_udiv`, `…_sdiv`, `…_umod`, `…_smod` (7.0 … 7.3).
fn divide<W: Word>(op: Division, a: Arc<W>, by: W) -> Option<Arc<W>> {
    match op {
        Division::Quotient => Some(Arc::from_urange(a.umin().div(by), a.umax().div(by))),
        Division::SignedQuotient => Some(signed_quotient(a, by)),
        Division::Remainder => {
            let greatest = by.wrapping_sub(W::ONE);
            (a.umax() > greatest).then(|| Arc::from_urange(W::ZERO, greatest))
        }
        Division::SignedRemainder => {
            let magnitude = if by.signed() > W::SZERO { by } else { W::ZERO.wrapping_sub(by) };
            let most = magnitude.wrapping_sub(W::ONE).signed();
            let least = W::sneg(most);
            let (smin, smax) = (a.smin(), a.smax());
            if smin >= least && smax <= most {
                None
            } else if smin >= W::SZERO {
                Some(Arc::from_srange(W::SZERO, smax.min(most)))
            } else if smax <= W::SZERO {
                Some(Arc::from_srange(smin.max(least), W::SZERO))
            } else {
                Some(Arc::from_srange(least, most))
            }
        }
    }
}

/// The least number divided by −1 is itself; a range that has it and others becomes all numbers.
fn signed_quotient<W: Word>(a: Arc<W>, by: W) -> Arc<W> {
    let (smin, smax) = (a.smin(), a.smax());
    if smin == W::SMIN && by == W::MAX {
        return if smax == W::SMIN { Arc::point(W::unsigned(smin)) } else { Arc::FULL };
    }
    let (x, y) = (W::sdiv(smin, by.signed()), W::sdiv(smax, by.signed()));
    Arc::from_srange(x.min(y), x.max(y))
}
