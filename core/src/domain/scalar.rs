//! A scalar: what the verifier knows of a number, in either range model.

use std::fmt;

use super::arc::Arc;
use super::bounds::Bounds;
use super::branch::{self, Branch, Sides};
use super::circular::Circular;
use super::minmax::MinMax;
use super::number::{self, Number};
use super::tnum::Tnum;
use crate::isa::{AluOp, Cond, Endian, Width};
use crate::kernel::{AddOverflow, DomainRules, Invariants, RangeModel, SignMaskFork};

/// What is known of a 64-bit number: bits, a 64-bit range, and a 32-bit range of its low half.
///
/// Also the variable part of a pointer. Two scalars that meet in an operation are of one model; if they are not, nothing is
/// known of the result.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[doc(alias = "bpf_reg_state")]
pub struct Scalar(Repr);

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Repr {
    MinMax(MinMax),
    Circular(Circular),
}

/// The same expression on the number of either model.
macro_rules! on {
    ($scalar:expr, $n:ident => $e:expr) => {
        match &$scalar.0 {
            Repr::MinMax($n) => $e,
            Repr::Circular($n) => $e,
        }
    };
}

/// The same change to the number of either model.
macro_rules! changed {
    ($scalar:expr, $n:ident => $e:expr) => {{
        let mut out = *$scalar;
        match &mut out.0 {
            Repr::MinMax($n) => $e,
            Repr::Circular($n) => $e,
        }
        out
    }};
}

impl From<MinMax> for Scalar {
    #[inline]
    fn from(n: MinMax) -> Scalar {
        Scalar(Repr::MinMax(n))
    }
}

impl From<Circular> for Scalar {
    #[inline]
    fn from(n: Circular) -> Scalar {
        Scalar(Repr::Circular(n))
    }
}

impl Scalar {
    /// Nothing known. Kernel: `__mark_reg_unknown` (6.1 … 7.3).
    #[inline]
    #[doc(alias = "__mark_reg_unknown")]
    pub const fn unknown(model: RangeModel) -> Scalar {
        match model {
            RangeModel::MinMax => Scalar(Repr::MinMax(MinMax::UNKNOWN)),
            RangeModel::Circular => Scalar(Repr::Circular(Circular::UNKNOWN)),
        }
    }

    /// One number. Kernel: `___mark_reg_known` (6.1 … 7.3).
    #[inline]
    #[doc(alias = "__mark_reg_known")]
    pub fn constant(model: RangeModel, x: u64) -> Scalar {
        match model {
            RangeModel::MinMax => MinMax::constant(x).into(),
            RangeModel::Circular => Circular::constant(x).into(),
        }
    }

    /// The signed numbers min … max.
    pub fn from_srange(model: RangeModel, min: i64, max: i64, rules: &DomainRules) -> Scalar {
        let mut out = Scalar::unknown(model);
        match &mut out.0 {
            Repr::MinMax(n) => (n.r64.smin, n.r64.smax) = (min, max),
            Repr::Circular(n) => n.r64 = Arc::from_srange(min, max),
        }
        out.sync(rules)
    }

    /// The unsigned numbers min … max.
    pub fn from_urange(model: RangeModel, min: u64, max: u64, rules: &DomainRules) -> Scalar {
        let mut out = Scalar::unknown(model);
        match &mut out.0 {
            Repr::MinMax(n) => (n.r64.umin, n.r64.umax) = (min, max),
            Repr::Circular(n) => n.r64 = Arc::from_urange(min, max),
        }
        out.sync(rules)
    }

    /// Nothing known, in the same model.
    #[inline]
    pub const fn to_unknown(&self) -> Scalar {
        Scalar::unknown(self.model())
    }

    /// The range model.
    #[inline]
    pub const fn model(&self) -> RangeModel {
        match self.0 {
            Repr::MinMax(_) => RangeModel::MinMax,
            Repr::Circular(_) => RangeModel::Circular,
        }
    }

    /// The known bits.
    #[inline]
    #[doc(alias = "var_off")]
    pub const fn bits(&self) -> Tnum {
        match &self.0 {
            Repr::MinMax(n) => n.bits,
            Repr::Circular(n) => n.bits,
        }
    }

    /// The number, if all its bits are known, whatever its ranges.
    #[inline]
    #[doc(alias = "tnum_is_const")]
    pub const fn as_const(&self) -> Option<u64> {
        self.bits().as_const()
    }

    /// The low half, if its bits are known, whatever its ranges.
    #[inline]
    #[doc(alias = "tnum_subreg_is_const")]
    pub const fn as_const32(&self) -> Option<u32> {
        self.bits().as_const32()
    }

    /// Where the 64-bit range begins: the start of the arc, or the least unsigned number.
    #[inline]
    pub fn base(&self) -> u64 {
        match &self.0 {
            Repr::MinMax(n) => n.r64.umin,
            Repr::Circular(n) => n.r64.base,
        }
    }

    /// The least unsigned number.
    #[inline]
    pub fn umin(&self) -> u64 {
        on!(self, n => n.ends64().umin)
    }

    /// The greatest unsigned number.
    #[inline]
    pub fn umax(&self) -> u64 {
        on!(self, n => n.ends64().umax)
    }

    /// The least signed number.
    #[inline]
    pub fn smin(&self) -> i64 {
        on!(self, n => n.ends64().smin)
    }

    /// The greatest signed number.
    #[inline]
    pub fn smax(&self) -> i64 {
        on!(self, n => n.ends64().smax)
    }

    /// The least unsigned low half.
    #[inline]
    pub fn u32_min(&self) -> u32 {
        on!(self, n => n.ends32().umin)
    }

    /// The greatest unsigned low half.
    #[inline]
    pub fn u32_max(&self) -> u32 {
        on!(self, n => n.ends32().umax)
    }

    /// The least signed low half.
    #[inline]
    pub fn s32_min(&self) -> i32 {
        on!(self, n => n.ends32().smin)
    }

    /// The greatest signed low half.
    #[inline]
    pub fn s32_max(&self) -> i32 {
        on!(self, n => n.ends32().smax)
    }

    /// Whether `x` is allowed by all that is known.
    pub fn contains(&self, x: u64) -> bool {
        let ranges = match &self.0 {
            Repr::MinMax(n) => n.r64.contains(x) && n.r32.contains(x as u32),
            Repr::Circular(n) => n.r64.contains(x) && n.r32.contains(x as u32),
        };
        ranges && self.bits().contains(x)
    }

    /// Whether nothing is known. Kernel: `__is_scalar_unbounded` (6.1).
    #[doc(alias = "__is_scalar_unbounded")]
    pub fn is_unknown(&self) -> bool {
        *self == self.to_unknown()
    }

    /// Whether what is known of `self` is enough where `old` was, so that a state with it need not be looked at again.
    /// Kernel: `range_within(old, self) && tnum_in(old, self)` (6.1 … 7.3).
    #[doc(alias = "range_within")]
    pub fn is_within(&self, old: &Scalar) -> bool {
        let ranges = match (&self.0, &old.0) {
            (Repr::MinMax(new), Repr::MinMax(old)) => old.r64.includes(&new.r64) && old.r32.includes(&new.r32),
            (Repr::Circular(new), Repr::Circular(old)) => old.r64.includes(new.r64) && old.r32.includes(new.r32),
            _ => false,
        };
        ranges && old.bits().includes(self.bits())
    }

    /// The parts of the knowledge inform each other. Kernel: `reg_bounds_sync` (6.1 … 7.3).
    #[inline]
    #[must_use]
    #[doc(alias = "reg_bounds_sync")]
    pub fn sync(&self, rules: &DomainRules) -> Scalar {
        changed!(self, n => n.sync(rules))
    }

    /// The result of `dst op src`. Kernel: `adjust_scalar_min_max_vals` (6.1 … 7.3), and `BPF_MOV` of a scalar.
    ///
    /// Shifts by an immediate of the width or more, and divisions by an immediate 0, are rejected before.
    #[inline]
    #[must_use]
    #[doc(alias = "adjust_scalar_min_max_vals")]
    pub fn alu(op: AluOp, width: Width, dst: &Scalar, src: &Scalar, rules: &DomainRules) -> Scalar {
        match (&dst.0, &src.0) {
            (Repr::MinMax(d), Repr::MinMax(s)) => number::alu(op, width, d, s, rules).into(),
            (Repr::Circular(d), Repr::Circular(s)) => number::alu(op, width, d, s, rules).into(),
            _ => dst.to_unknown(),
        }
    }

    /// The two numbers to go on with instead of one before an `and` or `or` with the constant `src`: the first is for a new
    /// state that does the operation again, the second for this state. `None` if one state is enough. Kernel:
    /// `maybe_fork_scalars` (7.0 … 7.3, and 6.12.95 by backport).
    #[doc(alias = "maybe_fork_scalars")]
    pub fn fork(&self, op: AluOp, src: &Scalar, rules: &DomainRules) -> Option<(Scalar, Scalar)> {
        if rules.sign_mask_fork == SignMaskFork::Never
            || !matches!(op, AluOp::And | AluOp::Or)
            || src.as_const().is_none()
        {
            return None;
        }
        if (self.smin(), self.smax()) == (-1, 0) {
            Some((Scalar::constant(self.model(), 0), Scalar::constant(self.model(), u64::MAX)))
        } else if (self.s32_min(), self.s32_max()) == (-1, 0) {
            Some((changed!(self, n => n.set_const32(0)), changed!(self, n => n.set_const32(u32::MAX))))
        } else {
            None
        }
    }

    /// x + `distance`, with the ranges as the addition leaves them: they do not inform each other any further.
    /// Kernel: the sum in `sync_linked_regs` (6.11 … 6.19). Min/max only.
    #[must_use]
    pub fn plus_unsynced(&self, distance: i64, rules: &DomainRules) -> Scalar {
        let Repr::MinMax(n) = &self.0 else { return self.to_unknown() };
        let (mut sum, distance) = (*n, MinMax::constant(distance as u64));
        sum.add(&distance, rules);
        sum.set_bits(n.bits().add(distance.bits()));
        sum.into()
    }

    /// 0 − x. Kernel: `BPF_NEG` in `check_alu_op` (6.1 … 7.3).
    #[must_use]
    pub fn neg(&self, width: Width, rules: &DomainRules) -> Scalar {
        on!(self, n => number::negate(width, n, rules).into())
    }

    /// Byte-order conversion of the low 16, 32 or 64 bits. Kernel: `BPF_END` in `check_alu_op` (6.1 … 7.3).
    #[must_use]
    #[doc(alias = "scalar_byte_swap")]
    pub fn endian(&self, kind: Endian, bits: u8, rules: &DomainRules) -> Scalar {
        on!(self, n => number::byte_swap(kind, bits, n, rules).into())
    }

    /// The low half, zero-extended: a 32-bit move. Kernel: `zext_32_to_64` and `reg_bounds_sync` (6.1 … 7.3).
    #[inline]
    #[must_use]
    #[doc(alias = "zext_32_to_64")]
    pub fn mov32(&self, rules: &DomainRules) -> Scalar {
        on!(self, n => number::zero_extended(n, rules).into())
    }

    /// The low 8, 16 or 32 bits, sign-extended to the width; a 32-bit result is zero-extended. For a move, and with
    /// [`Width::W64`] for a load. Other sizes give an unknown number. Kernel: `coerce_reg_to_size_sx`,
    /// `coerce_subreg_to_size_sx` (6.6 … 7.3).
    #[must_use]
    #[doc(alias = "coerce_reg_to_size_sx")]
    pub fn sign_extend(&self, width: Width, bits: u8, rules: &DomainRules) -> Scalar {
        let bytes = u32::from(bits) / 8;
        match (width, bits) {
            (Width::W64, 8 | 16 | 32) => changed!(self, n => n.sign_extend_to_64(bytes)),
            (Width::W32, 8 | 16) => changed!(self, n => {
                n.sign_extend_to_32(bytes);
                n.zero_extend();
                n.sync(rules);
            }),
            _ => self.to_unknown(),
        }
    }

    /// The low 1, 2 or 4 bytes, zero-extended: a load of that size. 8 bytes change nothing. Kernel: `coerce_reg_to_size`
    /// (6.1 … 7.3).
    #[inline]
    #[must_use]
    #[doc(alias = "coerce_reg_to_size")]
    pub fn truncate_to(&self, bytes: u32, rules: &DomainRules) -> Scalar {
        match bytes {
            1 | 2 | 4 => changed!(self, n => n.truncate_to(bytes, rules)),
            _ => *self,
        }
    }

    /// The number gets the signed range min … max in both widths, whatever was known of its range; its bits stay, and in the
    /// min/max model its unsigned ranges. Kernel: `do_refine_retval_range` (6.1 … 7.3).
    #[must_use]
    #[doc(alias = "do_refine_retval_range")]
    pub fn with_srange(&self, min: i64, max: i64, rules: &DomainRules) -> Scalar {
        let mut out = *self;
        match &mut out.0 {
            Repr::MinMax(n) => {
                (n.r64.smin, n.r64.smax) = (min, max);
                (n.r32.smin, n.r32.smax) = (min as i32, max as i32);
            }
            Repr::Circular(n) => {
                n.r64 = Arc::from_srange(min, max);
                n.r32 = Arc::from_srange(min as i32, max as i32);
            }
        }
        out.sync(rules)
    }

    /// The number gets the unsigned range min … max in both widths and, in the min/max model, in both readings. Kernel:
    /// `do_refine_retval_range` for `bpf_get_smp_processor_id` (6.8 … 7.3).
    #[must_use]
    pub fn with_urange(&self, min: u32, max: u32, rules: &DomainRules) -> Scalar {
        let mut out = *self;
        match &mut out.0 {
            Repr::MinMax(n) => {
                n.r64 = Bounds::both(min.into(), max.into());
                n.r32 = Bounds::both(min, max);
            }
            Repr::Circular(n) => {
                n.r64 = Arc::from_urange(min.into(), max.into());
                n.r32 = Arc::from_urange(min, max);
            }
        }
        out.sync(rules)
    }

    /// The number is known to be within the signed range min … max in both widths. Kernel: `__mark_reg_s32_range`
    /// (6.12 … 7.3).
    #[must_use]
    #[doc(alias = "__mark_reg_s32_range")]
    pub fn clamp_s32(&self, min: i32, max: i32, rules: &DomainRules) -> Scalar {
        let (wide_min, wide_max) = (self.smin().max(min.into()), self.smax().min(max.into()));
        let (low_min, low_max) = (self.s32_min().max(min), self.s32_max().min(max));
        let mut out = *self;
        match &mut out.0 {
            Repr::MinMax(n) => {
                (n.r64.smin, n.r64.smax) = (wide_min, wide_max);
                (n.r32.smin, n.r32.smax) = (low_min, low_max);
            }
            Repr::Circular(n) => {
                n.r64 = Arc::from_srange(wide_min, wide_max);
                n.r32 = Arc::from_srange(low_min, low_max);
            }
        }
        out.sync(rules)
    }
}

/// Conditional jumps.
impl Scalar {
    /// Where a conditional jump with these sides goes, and what is known there: [`Scalar::compare`] and both ways of
    /// [`Scalar::refine`] at once. An immediate is a constant, sign-extended to 64 bits. Kernel: `is_branch_taken` and what
    /// `check_cond_jmp_op` does with two scalars (6.1 … 7.3); the check for contradictions is the caller's
    /// ([`Scalar::violation`]).
    #[doc(alias = "is_branch_taken")]
    #[doc(alias = "reg_set_min_max")]
    pub fn branch(
        cond: Cond,
        width: Width,
        a: &Scalar,
        b: &Scalar,
        sides: Sides,
        rules: &DomainRules,
    ) -> Branch<Scalar> {
        match (&a.0, &b.0) {
            (Repr::MinMax(x), Repr::MinMax(y)) => branch::branch(cond, width, x, y, sides, rules).map(Scalar::from),
            (Repr::Circular(x), Repr::Circular(y)) => branch::branch(cond, width, x, y, sides, rules).map(Scalar::from),
            _ => Branch::Either { fall: (*a, *b), jump: (*a, *b) },
        }
    }

    /// Whether the jump is taken, if that is known. Kernel: `is_branch_taken` (6.1 … 7.3).
    pub fn compare(
        cond: Cond,
        width: Width,
        a: &Scalar,
        b: &Scalar,
        sides: Sides,
        rules: &DomainRules,
    ) -> Option<bool> {
        Scalar::branch(cond, width, a, b, sides, rules).known()
    }

    /// Both sides as they are known where the jump was, or was not, taken. They may be contradictory: 6.1 goes on with that,
    /// later kernels check. Kernel: `reg_set_min_max` (6.1 … 7.0), `regs_refine_cond_op` (6.8 … 7.3).
    #[must_use]
    #[doc(alias = "regs_refine_cond_op")]
    pub fn refine(
        cond: Cond,
        width: Width,
        taken: bool,
        (a, b): (&Scalar, &Scalar),
        sides: Sides,
        rules: &DomainRules,
    ) -> (Scalar, Scalar) {
        match (&a.0, &b.0) {
            (Repr::MinMax(x), Repr::MinMax(y)) => {
                let (x, y) = branch::refine(cond, width, taken, (*x, *y), sides, rules);
                (x.into(), y.into())
            }
            (Repr::Circular(x), Repr::Circular(y)) => {
                let (x, y) = branch::refine(cond, width, taken, (*x, *y), sides, rules);
                (x.into(), y.into())
            }
            _ => (*a, *b),
        }
    }
}

/// The variable part of a pointer. Kernel: `adjust_ptr_min_max_vals` (6.1 … 7.3). Results are not yet synchronized: the kernel
/// looks at them first.
impl Scalar {
    /// Whether an offset has contradictory bounds, in which case the result of pointer arithmetic is an unknown scalar.
    pub fn is_tainted_offset(&self) -> bool {
        on!(self, n => n.is_tainted(Width::W64))
    }

    /// The same number with nothing known of its low half's range: pointers carry none.
    #[inline]
    #[must_use]
    pub fn without_32(&self) -> Scalar {
        changed!(self, n => n.forget_32())
    }

    /// The variable part after an offset was added.
    #[must_use]
    pub fn pointer_add(&self, offset: &Scalar) -> Scalar {
        let bits = self.bits().add(offset.bits());
        match (self.0, offset.0) {
            (Repr::MinMax(mut p), Repr::MinMax(o)) => {
                p.r64.add(&o.r64, AddOverflow::Drop);
                MinMax { bits, r32: Bounds::FULL, ..p }.into()
            }
            (Repr::Circular(p), Repr::Circular(o)) => Circular { bits, r64: p.r64.add(o.r64), r32: Arc::FULL }.into(),
            _ => self.to_unknown(),
        }
    }

    /// The variable part after an offset was subtracted.
    #[must_use]
    pub fn pointer_sub(&self, offset: &Scalar) -> Scalar {
        let bits = self.bits().sub(offset.bits());
        match (self.0, offset.0) {
            (Repr::MinMax(mut p), Repr::MinMax(o)) => {
                p.r64.sub(&o.r64, AddOverflow::Drop);
                MinMax { bits, r32: Bounds::FULL, ..p }.into()
            }
            (Repr::Circular(p), Repr::Circular(o)) => {
                Circular { bits, r64: p.r64.add(o.r64.negate()), r32: Arc::FULL }.into()
            }
            _ => self.to_unknown(),
        }
    }

    /// Cuts the 32-bit range by the known bits; in 7.3 all that is done for a packet pointer whose range must not move.
    /// Kernel: `__update_reg32_bounds` (6.1 … 7.3).
    #[must_use]
    #[doc(alias = "__update_reg32_bounds")]
    pub fn learn_bits_32(&self) -> Scalar {
        changed!(self, n => n.learn_bits_32())
    }
}

/// How what is known of a number contradicts itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Violation {
    /// A range has no number.
    Range,
    /// All bits are known, but the 64-bit range is not that number.
    Const,
    /// The bits of the low half are known, but the 32-bit range is not that number.
    Const32,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Violation::Range => "range bounds violation",
            Violation::Const => "const tnum out of sync with range bounds",
            Violation::Const32 => "const subreg tnum out of sync with range bounds",
        })
    }
}

/// Contradictions.
impl Scalar {
    /// The first contradiction, for a kernel that looks. Kernel: `reg_bounds_sanity_check` (6.8 … 7.3).
    #[doc(alias = "reg_bounds_sanity_check")]
    pub fn violation(&self, rules: &DomainRules) -> Option<Violation> {
        if rules.invariants == Invariants::Unchecked {
            return None;
        }
        let (word, low) = (self.as_const(), self.as_const32());
        let (empty, is_word, is_low) = match &self.0 {
            Repr::MinMax(n) => {
                (n.is_contradictory(), word.is_none_or(|x| n.r64.is_point(x)), low.is_none_or(|x| n.r32.is_point(x)))
            }
            Repr::Circular(n) => (
                n.is_contradictory(),
                word.is_none_or(|x| n.r64.as_const() == Some(x)),
                low.is_none_or(|x| n.r32.as_const() == Some(x)),
            ),
        };
        if empty {
            Some(Violation::Range)
        } else if !is_word {
            Some(Violation::Const)
        } else if !is_low {
            Some(Violation::Const32)
        } else {
            None
        }
    }

    /// The number with its ranges forgotten: how a kernel goes on after a contradiction, unless the program asked for an error.
    #[must_use]
    pub fn without_ranges(&self) -> Scalar {
        changed!(self, n => n.forget_ranges())
    }

    /// The kernel's text for a contradiction found at `context`, such as `alu` or `true_reg1`, without prefix and line end.
    pub fn violation_text(&self, violation: Violation, context: &str) -> String {
        let Tnum { value, mask } = self.bits();
        let ranges = match &self.0 {
            Repr::MinMax(MinMax { r64, r32, .. }) => format!(
                "u64=[{:#x}, {:#x}] s64=[{:#x}, {:#x}] u32=[{:#x}, {:#x}] s32=[{:#x}, {:#x}]",
                r64.umin, r64.umax, r64.smin, r64.smax, r32.umin, r32.umax, r32.smin, r32.smax
            ),
            Repr::Circular(Circular { r64, r32, .. }) => format!(
                "r64={{.base={:#x}, .size={:#x}}} r32={{.base={:#x}, .size={:#x}}}",
                r64.base, r64.size, r32.base, r32.size
            ),
        };
        format!("REG INVARIANTS VIOLATION ({context}): {violation} {ranges} var_off=({value:#x}, {mask:#x})")
    }
}
