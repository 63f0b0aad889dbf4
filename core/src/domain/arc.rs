//! A range as an arc on the circle of all numbers of one width, signed and unsigned at once.
//!
//! Kernel: `kernel/bpf/cnum.c`, `cnum_defs.h`, `struct cnum32`, `struct cnum64` (7.1 … 7.3). The arc starts at `base` and goes
//! up, wrapping, for `size` further numbers. Two arcs can meet in two pieces; [`Arc::intersect`] then answers the shorter of
//! the two arcs, which is more than the meeting. The whole circle has several representations, one of which means "empty".

use super::word::Word;

/// The numbers base, base + 1, … base + size, wrapping.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[doc(alias = "cnum64")]
#[doc(alias = "cnum32")]
pub struct Arc<W> {
    /// The first number.
    pub base: W,
    /// How many numbers follow.
    pub size: W,
}

/// An arc of 64-bit numbers.
pub type Arc64 = Arc<u64>;
/// An arc of 32-bit numbers.
pub type Arc32 = Arc<u32>;

impl<W: Word> Arc<W> {
    /// All numbers.
    pub const FULL: Arc<W> = Arc { base: W::ZERO, size: W::MAX };
    /// No number.
    pub const EMPTY: Arc<W> = Arc { base: W::MAX, size: W::MAX };

    /// One number.
    #[inline]
    pub fn point(x: W) -> Arc<W> {
        Arc { base: x, size: W::ZERO }
    }

    /// All numbers but one.
    #[inline]
    pub fn all_but(x: W) -> Arc<W> {
        Arc { base: x.wrapping_add(W::ONE), size: W::MAX.wrapping_sub(W::ONE) }
    }

    /// The unsigned numbers min … max; with min above max it wraps.
    #[inline]
    pub fn from_urange(min: W, max: W) -> Arc<W> {
        Arc { base: min, size: max.wrapping_sub(min) }
    }

    /// The signed numbers min … max; with min above max it wraps.
    #[inline]
    pub fn from_srange(min: W::Signed, max: W::Signed) -> Arc<W> {
        let arc = Arc::from_urange(W::unsigned(min), W::unsigned(max));
        if arc.size == W::MAX { Arc::FULL } else { arc }
    }

    /// The least arc around the numbers with these known bits, as the kernel sees it: signed if the sign bit may be set.
    #[inline]
    pub fn from_bits(value: W, mask: W) -> Arc<W> {
        if (value | mask) & W::SIGN == W::ZERO {
            Arc::from_urange(value, value | mask)
        } else {
            Arc::from_srange((value | (mask & W::SIGN)).signed(), (value | (mask & !W::SIGN)).signed())
        }
    }

    /// The last number, for an arc that is not empty.
    #[inline]
    fn last(self) -> W {
        self.base.wrapping_add(self.size)
    }

    /// Whether the arc passes from the greatest unsigned number to 0.
    #[inline]
    fn wraps(self) -> bool {
        self.size > W::MAX.wrapping_sub(self.base)
    }

    /// Whether the arc passes from the greatest signed number to the least.
    #[inline]
    fn wraps_signed(self) -> bool {
        self.contains(W::unsigned(W::SMAX)) && self.contains(W::unsigned(W::SMIN))
    }

    /// The least unsigned number.
    #[inline]
    pub fn umin(self) -> W {
        if self.wraps() { W::ZERO } else { self.base }
    }

    /// The greatest unsigned number.
    #[inline]
    pub fn umax(self) -> W {
        if self.wraps() { W::MAX } else { self.last() }
    }

    /// The least signed number.
    #[inline]
    pub fn smin(self) -> W::Signed {
        if self.wraps_signed() { W::SMIN } else { self.base.signed().min(self.last().signed()) }
    }

    /// The greatest signed number.
    #[inline]
    pub fn smax(self) -> W::Signed {
        if self.wraps_signed() { W::SMAX } else { self.base.signed().max(self.last().signed()) }
    }

    /// Whether there is no number.
    #[inline]
    pub fn is_empty(self) -> bool {
        self == Arc::EMPTY
    }

    /// The number, if it is the only one.
    #[inline]
    pub fn as_const(self) -> Option<W> {
        (self.size == W::ZERO).then_some(self.base)
    }

    /// Whether `x` is on the arc.
    #[inline]
    pub fn contains(self, x: W) -> bool {
        !self.is_empty() && x.wrapping_sub(self.base) <= self.size
    }

    /// An arc with all numbers that are on both, possibly more (see the module).
    #[inline]
    #[doc(alias = "cnum64_intersect")]
    pub fn intersect(self, other: Arc<W>) -> Arc<W> {
        if self.is_empty() || other.is_empty() {
            return Arc::EMPTY;
        }
        let (first, second) = if self.base > other.base { (other, self) } else { (self, other) };
        // Distances are counted from the base of `first`.
        let gap = second.base.wrapping_sub(first.base);
        let turned = Arc { base: gap, size: second.size };
        let reached = gap <= first.size;
        match (turned.wraps(), reached) {
            (true, true) if first.size <= second.size => first,
            (true, true) => second,
            (true, false) => Arc { base: first.base, size: first.size.min(turned.last()) },
            (false, true) => Arc { base: second.base, size: first.size.wrapping_sub(gap).min(second.size) },
            (false, false) => Arc::EMPTY,
        }
    }

    /// The whole circle gets one base, except when it starts at 0 or at the greatest signed number.
    #[inline]
    fn normalized(self) -> Arc<W> {
        if self.size == W::MAX && self.base != W::unsigned(W::SMAX) { Arc::FULL } else { self }
    }

    /// All sums.
    #[inline]
    #[doc(alias = "cnum64_add")]
    #[allow(clippy::should_implement_trait, reason = "operations on what is known, not on a number")]
    pub fn add(self, other: Arc<W>) -> Arc<W> {
        if self.is_empty() || other.is_empty() {
            return Arc::EMPTY;
        }
        match self.size.checked_add(other.size) {
            Some(size) => Arc { base: self.base.wrapping_add(other.base), size }.normalized(),
            None => Arc::FULL,
        }
    }

    /// All negated numbers.
    #[inline]
    #[doc(alias = "cnum64_negate")]
    pub fn negate(self) -> Arc<W> {
        if self.is_empty() {
            return Arc::EMPTY;
        }
        Arc { base: W::ZERO.wrapping_sub(self.last()), size: self.size }.normalized()
    }

    /// Whether every number of `inner` is on this arc. Kernel: `cnum64_is_subset` (7.1 … 7.3).
    #[inline]
    #[doc(alias = "cnum64_is_subset")]
    pub fn includes(self, inner: Arc<W>) -> bool {
        if inner.is_empty() {
            return true;
        }
        if self.is_empty() {
            return false;
        }
        let turned = Arc { base: inner.base.wrapping_sub(self.base), size: inner.size };
        if turned.wraps() { self.size == W::MAX } else { turned.last() <= self.size }
    }

    /// The low halves of all numbers. Kernel: `cnum32_from_cnum64` (7.1 … 7.3).
    #[inline]
    #[doc(alias = "cnum32_from_cnum64")]
    pub fn low_half<H: Word>(self) -> Arc<H> {
        if self.is_empty() {
            Arc::EMPTY
        } else if self.size >= W::truncate(H::MAX.widen()) {
            Arc::FULL
        } else {
            Arc { base: H::truncate(self.base.widen()), size: H::truncate(self.size.widen()) }
        }
    }

    /// The arc, shortened at both ends as far as the ends' low halves are not in `low`. Kernel: `cnum64_cnum32_intersect`
    /// (7.1 … 7.3).
    #[inline]
    #[doc(alias = "cnum64_cnum32_intersect")]
    pub fn intersect_low_half<H: Word>(self, low: Arc<H>) -> Arc<W> {
        if self.is_empty() || low.is_empty() {
            return Arc::EMPTY;
        }
        let half = |x: W| H::truncate(x.widen());
        let full = |x: H| W::truncate(x.widen());
        // All is counted from the arc's base, so that the arc begins at low half 0. `end` is the low half of its last number.
        let turned = Arc { base: low.base.wrapping_sub(half(self.base)), size: low.size };
        let (from, to) = (turned.base, turned.last());
        let end = half(self.size);
        if turned.wraps() {
            // The arc begins within `low`; only its end can be in the hole between `to` and `from`.
            let cut = if end > to && end < from { full(end.wrapping_sub(to)) } else { W::ZERO };
            return Arc { base: self.base, size: self.size.wrapping_sub(cut) };
        }
        if self.size < full(from) {
            return Arc::EMPTY;
        }
        let size = self.size.wrapping_sub(full(from));
        let cut = if end < from {
            // Back to `to` of the turn before.
            full(end).wrapping_add(full(H::MAX).wrapping_sub(full(to))).wrapping_add(W::ONE)
        } else if end >= to {
            full(end.wrapping_sub(to))
        } else {
            W::ZERO
        };
        if size < cut {
            return Arc::EMPTY;
        }
        Arc { base: self.base.wrapping_add(full(from)), size: size.wrapping_sub(cut) }
    }
}
