//! Unsigned machine words of several widths, so that a range is written once and proved on a small width.

use std::fmt::Debug;
use std::ops::{BitAnd, BitOr, Not};

/// An unsigned word and the signed word of the same width. Arithmetic wraps unless the name says `checked`.
pub trait Word:
    Copy + Ord + Debug + BitAnd<Output = Self> + BitOr<Output = Self> + Not<Output = Self> + 'static
{
    /// The signed word of the same width.
    type Signed: Copy + Ord + Debug;
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// The greatest unsigned value.
    const MAX: Self;
    /// The greatest value of half the width.
    const HALF_MAX: Self;
    /// The sign bit.
    const SIGN: Self;
    /// The least signed value.
    const SMIN: Self::Signed;
    /// The greatest signed value.
    const SMAX: Self::Signed;
    /// 0.
    const SZERO: Self::Signed;

    /// The low bits of a 64-bit number.
    fn truncate(x: u64) -> Self;
    /// Zero extension to 64 bits.
    fn widen(self) -> u64;
    /// The same bits, read as signed.
    fn signed(self) -> Self::Signed;
    /// The same bits, read as unsigned.
    fn unsigned(s: Self::Signed) -> Self;
    /// Sum.
    fn wrapping_add(self, other: Self) -> Self;
    /// Difference.
    fn wrapping_sub(self, other: Self) -> Self;
    /// Product.
    fn wrapping_mul(self, other: Self) -> Self;
    /// Unsigned sum, if it does not overflow.
    fn checked_add(self, other: Self) -> Option<Self>;
    /// Unsigned product, if it does not overflow.
    fn checked_mul(self, other: Self) -> Option<Self>;
    /// Signed sum, if it does not overflow.
    fn checked_sadd(a: Self::Signed, b: Self::Signed) -> Option<Self::Signed>;
    /// Signed difference, if it does not overflow.
    fn checked_ssub(a: Self::Signed, b: Self::Signed) -> Option<Self::Signed>;
    /// Signed product, if it does not overflow.
    fn checked_smul(a: Self::Signed, b: Self::Signed) -> Option<Self::Signed>;
    /// Unsigned quotient, 0 for a divisor of 0.
    fn div(self, other: Self) -> Self;
    /// Signed quotient; it wraps, and is 0 for a divisor of 0.
    fn sdiv(a: Self::Signed, b: Self::Signed) -> Self::Signed;
    /// Arithmetic negation.
    fn sneg(a: Self::Signed) -> Self::Signed;
    /// Logical shift right by less than the width.
    fn shr(self, by: u32) -> Self;
    /// Shift left by less than the width.
    fn shl(self, by: u32) -> Self;
    /// Arithmetic shift right by less than the width.
    fn sshr(a: Self::Signed, by: u32) -> Self::Signed;
}

macro_rules! word {
    ($u:ty, $s:ty, $half:expr) => {
        impl Word for $u {
            type Signed = $s;
            const ZERO: $u = 0;
            const ONE: $u = 1;
            const MAX: $u = <$u>::MAX;
            const HALF_MAX: $u = $half;
            const SIGN: $u = 1 << (<$u>::BITS - 1);
            const SMIN: $s = <$s>::MIN;
            const SMAX: $s = <$s>::MAX;
            const SZERO: $s = 0;

            #[inline]
            fn truncate(x: u64) -> $u {
                x as $u
            }
            #[inline]
            #[allow(clippy::unnecessary_cast, reason = "the same text serves every width")]
            fn widen(self) -> u64 {
                self as u64
            }
            #[inline]
            fn signed(self) -> $s {
                self as $s
            }
            #[inline]
            fn unsigned(s: $s) -> $u {
                s as $u
            }
            #[inline]
            fn wrapping_add(self, other: $u) -> $u {
                <$u>::wrapping_add(self, other)
            }
            #[inline]
            fn wrapping_sub(self, other: $u) -> $u {
                <$u>::wrapping_sub(self, other)
            }
            #[inline]
            fn wrapping_mul(self, other: $u) -> $u {
                <$u>::wrapping_mul(self, other)
            }
            #[inline]
            fn checked_add(self, other: $u) -> Option<$u> {
                <$u>::checked_add(self, other)
            }
            #[inline]
            fn checked_mul(self, other: $u) -> Option<$u> {
                <$u>::checked_mul(self, other)
            }
            #[inline]
            fn checked_sadd(a: $s, b: $s) -> Option<$s> {
                a.checked_add(b)
            }
            #[inline]
            fn checked_ssub(a: $s, b: $s) -> Option<$s> {
                a.checked_sub(b)
            }
            #[inline]
            fn checked_smul(a: $s, b: $s) -> Option<$s> {
                a.checked_mul(b)
            }
            #[inline]
            fn div(self, other: $u) -> $u {
                self.checked_div(other).unwrap_or(0)
            }
            #[inline]
            fn sdiv(a: $s, b: $s) -> $s {
                if b == 0 { 0 } else { a.wrapping_div(b) }
            }
            #[inline]
            fn sneg(a: $s) -> $s {
                a.wrapping_neg()
            }
            #[inline]
            fn shr(self, by: u32) -> $u {
                self.wrapping_shr(by)
            }
            #[inline]
            fn shl(self, by: u32) -> $u {
                self.wrapping_shl(by)
            }
            #[inline]
            fn sshr(a: $s, by: u32) -> $s {
                a.wrapping_shr(by)
            }
        }
    };
}

word!(u8, i8, 0xf);
word!(u16, i16, u8::MAX as u16);
word!(u32, i32, u16::MAX as u32);
word!(u64, i64, u32::MAX as u64);
