//! Known bits: a number of which some bits are known and the rest are not.
//!
//! Kernel: `kernel/bpf/tnum.c` (6.1 … 7.3). A bit is known 0 (value 0, mask 0), known 1 (value 1, mask 0) or unknown
//! (value 0, mask 1); value and mask never share a bit, and every operation keeps that. Shift amounts are below 64.

use crate::kernel::TnumMul;

/// A 64-bit number of which the bits outside of `mask` are known to be those of `value`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[doc(alias = "struct tnum")]
pub struct Tnum {
    /// The known ones.
    pub value: u64,
    /// The unknown bits.
    pub mask: u64,
}

impl Tnum {
    /// Nothing known.
    pub const UNKNOWN: Tnum = Tnum { value: 0, mask: u64::MAX };

    /// All bits known.
    #[inline]
    pub const fn constant(value: u64) -> Tnum {
        Tnum { value, mask: 0 }
    }

    /// The bits that all numbers of an unsigned range have in common at the top. Kernel: `tnum_range` (6.1 … 7.3).
    #[inline]
    #[doc(alias = "tnum_range")]
    pub const fn range(min: u64, max: u64) -> Tnum {
        let zeros = (min ^ max).leading_zeros();
        // A shift by 64 is no shift of a word, hence the case.
        let free = if zeros == 64 { 0 } else { u64::MAX >> zeros };
        Tnum { value: min & !free, mask: free }
    }

    /// The number, if all bits are known.
    #[inline]
    pub const fn as_const(self) -> Option<u64> {
        if self.mask == 0 { Some(self.value) } else { None }
    }

    /// The low 32 bits as a number, if they are known.
    #[inline]
    pub const fn as_const32(self) -> Option<u32> {
        if self.mask as u32 == 0 { Some(self.value as u32) } else { None }
    }

    /// Whether all bits are known.
    #[inline]
    pub const fn is_const(self) -> bool {
        self.mask == 0
    }

    /// Whether no bit is known.
    #[inline]
    pub const fn is_unknown(self) -> bool {
        self.mask == u64::MAX
    }

    /// Whether `x` agrees with the known bits.
    #[inline]
    pub const fn contains(self, x: u64) -> bool {
        x & !self.mask == self.value
    }

    /// The least number.
    #[inline]
    pub const fn min(self) -> u64 {
        self.value
    }

    /// The greatest number.
    #[inline]
    pub const fn max(self) -> u64 {
        self.value | self.mask
    }

    /// Shift left.
    #[inline]
    #[doc(alias = "tnum_lshift")]
    pub const fn shl(self, by: u32) -> Tnum {
        Tnum { value: self.value.wrapping_shl(by), mask: self.mask.wrapping_shl(by) }
    }

    /// Logical shift right.
    #[inline]
    #[doc(alias = "tnum_rshift")]
    pub const fn shr(self, by: u32) -> Tnum {
        Tnum { value: self.value.wrapping_shr(by), mask: self.mask.wrapping_shr(by) }
    }

    /// Arithmetic shift right of 64 bits: an unknown sign spreads as unknown bits.
    #[inline]
    #[doc(alias = "tnum_arshift")]
    pub const fn sar64(self, by: u32) -> Tnum {
        Tnum { value: (self.value as i64).wrapping_shr(by) as u64, mask: (self.mask as i64).wrapping_shr(by) as u64 }
    }

    /// Arithmetic shift right of the low 32 bits; the upper half is zero.
    #[inline]
    #[doc(alias = "tnum_arshift")]
    pub const fn sar32(self, by: u32) -> Tnum {
        let value = (self.value as i32).wrapping_shr(by) as u32;
        let mask = (self.mask as i32).wrapping_shr(by) as u32;
        Tnum { value: value as u64, mask: mask as u64 }
    }

    /// Sum: bits that a carry from unknown bits can reach are unknown.
    #[inline]
    #[doc(alias = "tnum_add")]
    #[allow(clippy::should_implement_trait, reason = "operations on what is known, not on a number")]
    pub const fn add(self, other: Tnum) -> Tnum {
        let least = self.value.wrapping_add(other.value);
        let greatest = least.wrapping_add(self.mask.wrapping_add(other.mask));
        let mask = (least ^ greatest) | self.mask | other.mask;
        Tnum { value: least & !mask, mask }
    }

    /// Difference: bits that a borrow from unknown bits can reach are unknown.
    #[inline]
    #[doc(alias = "tnum_sub")]
    #[allow(clippy::should_implement_trait, reason = "operations on what is known, not on a number")]
    pub const fn sub(self, other: Tnum) -> Tnum {
        let base = self.value.wrapping_sub(other.value);
        let mask = (base.wrapping_add(self.mask) ^ base.wrapping_sub(other.mask)) | self.mask | other.mask;
        Tnum { value: base & !mask, mask }
    }

    /// 0 − x.
    #[inline]
    #[doc(alias = "tnum_neg")]
    #[allow(clippy::should_implement_trait, reason = "operations on what is known, not on a number")]
    pub const fn neg(self) -> Tnum {
        Tnum::constant(0).sub(self)
    }

    /// Bitwise and.
    #[inline]
    #[doc(alias = "tnum_and")]
    pub const fn and(self, other: Tnum) -> Tnum {
        let value = self.value & other.value;
        Tnum { value, mask: self.max() & other.max() & !value }
    }

    /// Bitwise or.
    #[inline]
    #[doc(alias = "tnum_or")]
    pub const fn or(self, other: Tnum) -> Tnum {
        let value = self.value | other.value;
        Tnum { value, mask: (self.mask | other.mask) & !value }
    }

    /// Bitwise exclusive or.
    #[inline]
    #[doc(alias = "tnum_xor")]
    pub const fn xor(self, other: Tnum) -> Tnum {
        let mask = self.mask | other.mask;
        Tnum { value: (self.value ^ other.value) & !mask, mask }
    }

    /// Product. Kernel: `tnum_mul` (6.1 … 7.3), which has had two algorithms of different precision.
    #[doc(alias = "tnum_mul")]
    pub fn mul(self, other: Tnum, rule: TnumMul) -> Tnum {
        match rule {
            TnumMul::ValuePlusMask => self.mul_value_plus_mask(other),
            TnumMul::JoinPerBit => self.mul_join_per_bit(other),
        }
    }

    fn mul_value_plus_mask(self, other: Tnum) -> Tnum {
        let known = Tnum::constant(self.value.wrapping_mul(other.value));
        let (mut left, mut right) = (self, other);
        let mut unknown = Tnum::constant(0);
        while left.max() != 0 {
            if left.value & 1 == 1 {
                unknown = unknown.add(Tnum { value: 0, mask: right.mask });
            } else if left.mask & 1 == 1 {
                unknown = unknown.add(Tnum { value: 0, mask: right.max() });
            }
            left = left.shr(1);
            right = right.shl(1);
        }
        known.add(unknown)
    }

    fn mul_join_per_bit(self, other: Tnum) -> Tnum {
        let (mut left, mut right) = (self, other);
        let mut sum = Tnum::constant(0);
        while left.max() != 0 {
            if left.value & 1 == 1 {
                sum = sum.add(right);
            } else if left.mask & 1 == 1 {
                sum = sum.union(sum.add(right));
            }
            left = left.shr(1);
            right = right.shl(1);
        }
        sum
    }

    /// Whether some number may agree with both. Kernel: `tnum_overlap` (6.18 … 7.3).
    #[inline]
    #[doc(alias = "tnum_overlap")]
    pub const fn overlaps(self, other: Tnum) -> bool {
        (self.value ^ other.value) & !self.mask & !other.mask == 0
    }

    /// What is known from either. Where the two contradict each other, the bit is a known 1.
    #[inline]
    #[doc(alias = "tnum_intersect")]
    pub const fn intersect(self, other: Tnum) -> Tnum {
        let mask = self.mask & other.mask;
        Tnum { value: (self.value | other.value) & !mask, mask }
    }

    /// What is known from both: the least knowledge that allows the numbers of either. Kernel: `tnum_union` (6.18 … 7.3).
    #[inline]
    #[doc(alias = "tnum_union")]
    pub const fn union(self, other: Tnum) -> Tnum {
        let mask = (self.value ^ other.value) | self.mask | other.mask;
        Tnum { value: self.value & other.value & !mask, mask }
    }

    /// The low `bytes` bytes, the rest zero; 8 and more change nothing.
    #[inline]
    #[doc(alias = "tnum_cast")]
    pub const fn cast(self, bytes: u32) -> Tnum {
        let keep = if bytes >= 8 { u64::MAX } else { (1 << (bytes * 8)) - 1 };
        Tnum { value: self.value & keep, mask: self.mask & keep }
    }

    /// The low half, the upper half zero.
    #[inline]
    #[doc(alias = "tnum_subreg")]
    pub const fn subreg(self) -> Tnum {
        self.cast(4)
    }

    /// The upper half, the low half zero.
    #[inline]
    #[doc(alias = "tnum_clear_subreg")]
    pub const fn clear_subreg(self) -> Tnum {
        Tnum { value: self.value >> 32 << 32, mask: self.mask >> 32 << 32 }
    }

    /// The upper half of this with the low half of `low`.
    #[inline]
    #[doc(alias = "tnum_with_subreg")]
    pub const fn with_subreg(self, low: Tnum) -> Tnum {
        self.clear_subreg().or(low.subreg())
    }

    /// Whether every number is a multiple of `size`, a power of two; any is of 0.
    #[inline]
    #[doc(alias = "tnum_is_aligned")]
    pub const fn is_aligned(self, size: u64) -> bool {
        size == 0 || self.max() & (size - 1) == 0
    }

    /// Whether every number of `inner` agrees with this. Kernel: `tnum_in(this, inner)` (6.1 … 7.3).
    #[inline]
    #[doc(alias = "tnum_in")]
    pub const fn includes(self, inner: Tnum) -> bool {
        inner.mask & !self.mask == 0 && self.value == inner.value & !self.mask
    }

    /// The low 16, 32 or all 64 bits with their bytes reversed, the rest zero. Kernel: `tnum_bswap16` and so on (7.0 … 7.3).
    #[doc(alias = "tnum_bswap64")]
    pub const fn swap_bytes(self, bits: u8) -> Tnum {
        match bits {
            16 => Tnum { value: (self.value as u16).swap_bytes() as u64, mask: (self.mask as u16).swap_bytes() as u64 },
            32 => Tnum { value: (self.value as u32).swap_bytes() as u64, mask: (self.mask as u32).swap_bytes() as u64 },
            _ => Tnum { value: self.value.swap_bytes(), mask: self.mask.swap_bytes() },
        }
    }

    /// The least number above `floor`, or the greatest one if there is none. Kernel: `tnum_step` (7.0 … 7.3).
    #[doc(alias = "tnum_step")]
    pub const fn next_above(self, floor: u64) -> u64 {
        if floor >= self.max() {
            return self.max();
        }
        if floor < self.value {
            return self.value;
        }
        // A number is value + s for a subset s of the mask, so the least subset above this distance is wanted. Counting up by
        // one within the mask: all other bits are set, so that the carry passes over them. Below the highest distance bit
        // that is outside of the mask no subset reaches the distance, so that part is filled as well.
        let distance = floor - self.value;
        let zeros = (distance & !self.mask).leading_zeros();
        let below = if zeros == 64 { 0 } else { u64::MAX >> zeros };
        let next = (distance | below | !self.mask).wrapping_add(1) & self.mask;
        self.value | next
    }
}
