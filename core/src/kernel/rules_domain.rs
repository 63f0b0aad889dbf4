//! The rules of the numeric domain: which knowledge about a number each kernel keeps, learns and uses.
//!
//! Read by `domain` only. 6.1, 6.12 and 7.3 are exact, with what was backported to 6.12.95; 6.18 follows the same fields from
//! knowledge of when each change was made. Fields that say "min/max only" are not read by the circular model.

use super::rules::KernelVersion;
use serde::{Deserialize, Serialize};

/// How the product of two known-bits numbers is formed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TnumMul {
    /// The product of the known bits, plus the sum of the unknown partial products (before 6.18).
    ValuePlusMask,
    /// Long multiplication in which an unknown bit joins the sum with and the sum without its partial product (6.18 and later).
    JoinPerBit,
}

/// For which operations the second operand may be unknown.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecondOperand {
    /// Addition, subtraction and `and`; anything else with an unknown second operand gives an unknown number. A second
    /// operand with contradictory bounds gives an unknown number for every operation (before 6.10).
    AddSubAnd,
    /// Everything but shifts and division (6.10 and later). Contradictory bounds are looked at for those two only.
    AllButShiftAndDivision,
}

/// What is known of a quotient or remainder.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DivMod {
    /// Nothing (before 7.0). Whether a 32-bit one is at least known to have a zero upper half follows [`SecondOperand`].
    Unknown,
    /// The range, when the divisor is a constant (7.0 and later).
    ConstDivisor,
}

/// What is known of a negated number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Negation {
    /// Nothing, not even that a 32-bit result has a zero upper half (before 6.17).
    Unknown,
    /// What 0 − x gives (6.17 and later).
    AsSubtraction,
}

/// What is known after a byte-order conversion.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ByteSwap {
    /// Nothing, not even that a narrow result has zero upper bits (before 7.0).
    Unknown,
    /// The bits are followed; ranges are derived from them again (7.0 and later).
    Bits,
}

/// When the range of a product is known. Min/max only.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MulRange {
    /// When neither operand may be negative and both fit half of the width (before 6.14).
    SmallNonNegative,
    /// When no product of two ends overflows; signed and unsigned on their own (6.14 and later).
    NoOverflow,
}

/// What overflow does to the unsigned range of a sum or difference. Min/max only.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AddOverflow {
    /// If any end overflows, the range is lost (before 6.17).
    Drop,
    /// If both ends overflow, the range is kept (6.17 and later).
    KeepIfBoth,
}

/// When `and`, `or` and `xor` give a signed range. Min/max only.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BitwiseSigned {
    /// When neither operand may be negative (before 6.10).
    NonNegative,
    /// When the unsigned range of the result does not cross the sign (6.10 and later).
    FromUnsigned,
}

/// How the ranges inform each other. Min/max only; the circular model has one way.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BoundsSync {
    /// Signed and unsigned of the same width inform each other, once; the two widths do not (before 6.8).
    SignOnly,
    /// The widths inform each other too, in two rounds (6.8 to 6.16).
    CrossWidth,
    /// In three rounds, and a signed 64-bit range that crosses zero can be cut by the unsigned range (6.17 and later).
    CrossWidthAndSign,
    /// The same for 32-bit ranges too (7.0, and 6.12.95 by backport).
    CrossWidthAndSigns,
}

/// What a truncation to 1, 2 or 4 bytes does after it cut the 64-bit range. Min/max only.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Truncation {
    /// Below 4 bytes the 32-bit range is copied from the 64-bit one if it fits; at 4 bytes nothing more (before 6.8).
    CopyTo32,
    /// Below 4 bytes the 32-bit range is dropped; then the ranges inform each other (6.8 and later).
    Resync,
}

/// When it is known whether a conditional jump is taken.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BranchKnown {
    /// When the right side is constant and the left side's range decides; equality needs two constants (before 6.8).
    ConstRight,
    /// When the two ranges decide (6.8 and later).
    Ranges,
    /// As before, and equality is excluded when known bits differ (6.18 and later, and 6.12.95 by backport).
    RangesAndBits,
    /// As before, and a side is impossible when assuming it leaves no value (7.0 and later).
    Simulate,
}

/// What a conditional jump teaches.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BranchRefine {
    /// Something about the other operand when one is constant; and two equal numbers share 64-bit knowledge (before 6.8).
    ConstOnly,
    /// Something about both operands from each other's range (6.8 and later).
    RangeVsRange,
}

/// What a comparison of a register with itself means.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SameRegister {
    /// Nothing special (before 7.0).
    AsAnyOther,
    /// Its outcome is known except for a bit test, which then teaches nothing (7.0 and later).
    Known,
}

/// Whether `and` or `or` with a constant goes on twice when the first operand is −1 or 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignMaskFork {
    /// No (before 7.0, but for stable kernels).
    Never,
    /// Yes: once with 0 and once with −1 (7.0 and later; 6.12.95 by backport).
    Fork,
}

/// Whether the verifier checks that what it knows of a number is free of contradiction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Invariants {
    /// No: a contradiction lives on (before 6.8).
    Unchecked,
    /// Yes: after an operation and after a branch. A contradiction is logged and the ranges are forgotten, or it is an error
    /// under `BPF_F_TEST_REG_INVARIANTS` (6.8 and later).
    Checked,
}

/// The rules of the numeric domain.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct DomainRules {
    /// Product of known bits.
    pub tnum_mul: TnumMul,
    /// Which operations take an unknown second operand.
    pub second_operand: SecondOperand,
    /// Quotient and remainder.
    pub div_mod: DivMod,
    /// Negation.
    pub negation: Negation,
    /// Byte-order conversion.
    pub byte_swap: ByteSwap,
    /// Range of a product.
    pub mul_range: MulRange,
    /// Overflowing sum or difference.
    pub add_overflow: AddOverflow,
    /// Signed range of `and`, `or`, `xor`.
    pub bitwise_signed: BitwiseSigned,
    /// How ranges inform each other.
    pub bounds_sync: BoundsSync,
    /// Truncation.
    pub truncation: Truncation,
    /// When a branch is known.
    pub branch_known: BranchKnown,
    /// What a branch teaches.
    pub branch_refine: BranchRefine,
    /// Comparison of a register with itself.
    pub same_register: SameRegister,
    /// Exploring −1 and 0 apart.
    pub sign_mask_fork: SignMaskFork,
    /// Checks for contradiction.
    pub invariants: Invariants,
}

impl DomainRules {
    /// The rules of a version.
    pub fn of(version: KernelVersion) -> DomainRules {
        use KernelVersion::{V6_1, V6_12, V6_18, V7_3};
        let oldest = DomainRules {
            tnum_mul: TnumMul::ValuePlusMask,
            second_operand: SecondOperand::AddSubAnd,
            div_mod: DivMod::Unknown,
            negation: Negation::Unknown,
            byte_swap: ByteSwap::Unknown,
            mul_range: MulRange::SmallNonNegative,
            add_overflow: AddOverflow::Drop,
            bitwise_signed: BitwiseSigned::NonNegative,
            bounds_sync: BoundsSync::SignOnly,
            truncation: Truncation::CopyTo32,
            branch_known: BranchKnown::ConstRight,
            branch_refine: BranchRefine::ConstOnly,
            same_register: SameRegister::AsAnyOther,
            sign_mask_fork: SignMaskFork::Never,
            invariants: Invariants::Unchecked,
        };
        let v6_12 = DomainRules {
            second_operand: SecondOperand::AllButShiftAndDivision,
            bitwise_signed: BitwiseSigned::FromUnsigned,
            bounds_sync: BoundsSync::CrossWidthAndSigns,
            truncation: Truncation::Resync,
            branch_known: BranchKnown::RangesAndBits,
            branch_refine: BranchRefine::RangeVsRange,
            sign_mask_fork: SignMaskFork::Fork,
            invariants: Invariants::Checked,
            ..oldest
        };
        let v6_18 = DomainRules {
            tnum_mul: TnumMul::JoinPerBit,
            negation: Negation::AsSubtraction,
            mul_range: MulRange::NoOverflow,
            add_overflow: AddOverflow::KeepIfBoth,
            bounds_sync: BoundsSync::CrossWidthAndSign,
            branch_known: BranchKnown::RangesAndBits,
            sign_mask_fork: SignMaskFork::Never,
            ..v6_12
        };
        let v7_3 = DomainRules {
            div_mod: DivMod::ConstDivisor,
            byte_swap: ByteSwap::Bits,
            branch_known: BranchKnown::Simulate,
            same_register: SameRegister::Known,
            sign_mask_fork: SignMaskFork::Fork,
            ..v6_18
        };
        match version {
            V6_1 => oldest,
            V6_12 => v6_12,
            V6_18 => v6_18,
            V7_3 => v7_3,
        }
    }
}
