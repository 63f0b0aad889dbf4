//! Conditional jumps: whether one is taken, and what each way teaches.
//!
//! Kernel: `is_branch_taken`, `is_scalar_branch_taken`, `simulate_both_branches_taken`, `reg_set_min_max`,
//! `regs_refine_cond_op` and the scalar part of `check_cond_jmp_op` (6.1 … 7.3). Comparisons with a pointer are the
//! verifier's.

use super::bounds::Bounds;
use super::number::Number;
use super::relation::Relation;
use super::word::Word;
use crate::isa::{Cond, Width};
use crate::kernel::{BranchKnown, DomainRules, SameRegister};

/// Whether the two sides of a comparison are one register.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Sides {
    /// Two registers, or a register and an immediate.
    Distinct,
    /// The same register twice.
    SameRegister,
}

/// Where a conditional jump goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Branch<N> {
    /// Always to its target.
    Jumps,
    /// Never to its target.
    FallsThrough,
    /// Either way; each with the left and right side as they are known there. When both sides are one register, each pair
    /// holds it twice.
    Either {
        /// The next instruction.
        fall: (N, N),
        /// The target.
        jump: (N, N),
    },
}

impl<N> Branch<N> {
    /// The outcome as the verifier counts it: whether the jump is taken, if that is known.
    pub fn known(&self) -> Option<bool> {
        match self {
            Branch::Jumps => Some(true),
            Branch::FallsThrough => Some(false),
            Branch::Either { .. } => None,
        }
    }

    const fn always(taken: bool) -> Branch<N> {
        if taken { Branch::Jumps } else { Branch::FallsThrough }
    }

    pub(super) fn map<M>(self, f: impl Fn(N) -> M) -> Branch<M> {
        match self {
            Branch::Jumps => Branch::Jumps,
            Branch::FallsThrough => Branch::FallsThrough,
            Branch::Either { fall, jump } => {
                Branch::Either { fall: (f(fall.0), f(fall.1)), jump: (f(jump.0), f(jump.1)) }
            }
        }
    }
}

/// Where the jump goes and what is known there.
pub(super) fn branch<N: Number>(
    cond: Cond,
    width: Width,
    a: &N,
    b: &N,
    sides: Sides,
    rules: &DomainRules,
) -> Branch<N> {
    if sides == Sides::SameRegister && rules.same_register == SameRegister::Known {
        return match with_itself(cond, width, a) {
            Some(taken) => Branch::always(taken),
            None => Branch::Either { fall: (*a, *a), jump: (*a, *a) },
        };
    }
    if let Some(taken) = decided(cond, width, a, b, rules) {
        return Branch::always(taken);
    }
    let simulate = rules.branch_known == BranchKnown::Simulate;
    if simulate && is_bit_test_of_unknowns(cond, width, a, b) {
        return Branch::Either { fall: (*a, *b), jump: (*a, *b) };
    }
    let fall = N::assume(Relation::of(cond, false), width, (*a, *b), sides, rules);
    if simulate && is_dead(&fall) {
        return Branch::Jumps;
    }
    let jump = N::assume(Relation::of(cond, true), width, (*a, *b), sides, rules);
    if simulate && is_dead(&jump) {
        return Branch::FallsThrough;
    }
    Branch::Either { fall, jump }
}

/// What is known on one way of a jump that may go either way.
pub(super) fn refine<N: Number>(
    cond: Cond,
    width: Width,
    taken: bool,
    pair: (N, N),
    sides: Sides,
    rules: &DomainRules,
) -> (N, N) {
    let known_self = sides == Sides::SameRegister && rules.same_register == SameRegister::Known;
    let simulate = rules.branch_known == BranchKnown::Simulate;
    if known_self || (simulate && is_bit_test_of_unknowns(cond, width, &pair.0, &pair.1)) {
        return pair;
    }
    N::assume(Relation::of(cond, taken), width, pair, sides, rules)
}

fn is_dead<N: Number>(pair: &(N, N)) -> bool {
    pair.0.is_contradictory() || pair.1.is_contradictory()
}

fn is_bit_test_of_unknowns<N: Number>(cond: Cond, width: Width, a: &N, b: &N) -> bool {
    cond == Cond::Set && a.as_const(width).is_none() && b.as_const(width).is_none()
}

/// A register compared with itself. Kernel: first part of `is_scalar_branch_taken` (7.0 … 7.3).
fn with_itself<N: Number>(cond: Cond, width: Width, a: &N) -> Option<bool> {
    match cond {
        Cond::Eq | Cond::Ge | Cond::Le | Cond::SGe | Cond::SLe => Some(true),
        Cond::Ne | Cond::Gt | Cond::Lt | Cond::SGt | Cond::SLt => Some(false),
        Cond::Set => match a.as_const(width) {
            Some(x) => Some(x != 0),
            None => {
                let may_be_zero = match width {
                    Width::W32 => a.ends32().smin <= 0 && a.ends32().smax >= 0,
                    Width::W64 => a.ends64().smin <= 0 && a.ends64().smax >= 0,
                };
                (!may_be_zero).then_some(true)
            }
        },
    }
}

/// What ranges and bits decide without assuming anything.
#[inline]
pub(super) fn decided<N: Number>(cond: Cond, width: Width, a: &N, b: &N, rules: &DomainRules) -> Option<bool> {
    let const_right = rules.branch_known == BranchKnown::ConstRight;
    if const_right && b.as_const(width).is_none() {
        return None;
    }
    match cond {
        Cond::Eq | Cond::Ne => equal(width, a, b, rules).map(|same| same == (cond == Cond::Eq)),
        Cond::Set => bit_in_common(width, a, b),
        // 6.1 takes the constant from the known bits, whatever the range says.
        _ if const_right => {
            let c = b.as_const(width).unwrap_or(0);
            match width {
                Width::W32 => order(cond, &a.ends32(), &Bounds::point(c as u32)),
                Width::W64 => order(cond, &a.ends64(), &Bounds::point(c)),
            }
        }
        _ => match width {
            Width::W32 => order(cond, &a.ends32(), &b.ends32()),
            Width::W64 => order(cond, &a.ends64(), &b.ends64()),
        },
    }
}

#[inline]
fn order<W: Word>(cond: Cond, a: &Bounds<W>, b: &Bounds<W>) -> Option<bool> {
    match cond {
        Cond::Gt => greater((a.umin, a.umax), (b.umin, b.umax)),
        Cond::Lt => greater((b.umin, b.umax), (a.umin, a.umax)),
        Cond::Ge => greater_or_equal((a.umin, a.umax), (b.umin, b.umax)),
        Cond::Le => greater_or_equal((b.umin, b.umax), (a.umin, a.umax)),
        Cond::SGt => greater((a.smin, a.smax), (b.smin, b.smax)),
        Cond::SLt => greater((b.smin, b.smax), (a.smin, a.smax)),
        Cond::SGe => greater_or_equal((a.smin, a.smax), (b.smin, b.smax)),
        Cond::SLe => greater_or_equal((b.smin, b.smax), (a.smin, a.smax)),
        Cond::Eq | Cond::Ne | Cond::Set => None,
    }
}

#[inline]
fn greater<T: Ord>(a: (T, T), b: (T, T)) -> Option<bool> {
    if a.0 > b.1 {
        Some(true)
    } else if a.1 <= b.0 {
        Some(false)
    } else {
        None
    }
}

#[inline]
fn greater_or_equal<T: Ord>(a: (T, T), b: (T, T)) -> Option<bool> {
    if a.0 >= b.1 {
        Some(true)
    } else if a.1 < b.0 {
        Some(false)
    } else {
        None
    }
}

#[inline]
fn equal<N: Number>(width: Width, a: &N, b: &N, rules: &DomainRules) -> Option<bool> {
    if let (Some(x), Some(y)) = (a.as_const(width), b.as_const(width)) {
        return Some(x == y);
    }
    let (bits, ranges) = match rules.branch_known {
        BranchKnown::ConstRight => return None,
        BranchKnown::Ranges => (false, true),
        BranchKnown::RangesAndBits | BranchKnown::Simulate => (true, true),
    };
    let (x, y) = match width {
        Width::W32 => (a.bits().subreg(), b.bits().subreg()),
        Width::W64 => (a.bits(), b.bits()),
    };
    let apart = (bits && !x.overlaps(y))
        || (ranges && width == Width::W64 && are_apart(&a.ends64(), &b.ends64()))
        || (ranges && are_apart(&a.ends32(), &b.ends32()));
    if apart { Some(false) } else { None }
}

#[inline]
fn are_apart<W: Word>(a: &Bounds<W>, b: &Bounds<W>) -> bool {
    a.umin > b.umax || a.umax < b.umin || a.smin > b.smax || a.smax < b.smin
}

#[inline]
fn bit_in_common<N: Number>(width: Width, a: &N, b: &N) -> Option<bool> {
    let (x, c) = match (b.as_const(width), a.as_const(width)) {
        (Some(c), _) => (a.bits(), c),
        (None, Some(c)) => (b.bits(), c),
        (None, None) => return None,
    };
    if x.min() & c != 0 {
        Some(true)
    } else if x.max() & c == 0 {
        Some(false)
    } else {
        None
    }
}

/// What a comparison that holds teaches the two sides, without making the parts of each agree. Kernel: `regs_refine_cond_op`
/// (6.8 … 7.3).
#[inline]
pub(super) fn assume_by_ranges<N: Number>(relation: Relation, width: Width, (mut a, mut b): (N, N)) -> (N, N) {
    match relation {
        Relation::Eq => {
            N::equate(width, &mut a, &mut b);
            match width {
                Width::W32 => {
                    let low = a.bits().subreg().intersect(b.bits().subreg());
                    a.set_bits(a.bits().with_subreg(low));
                    b.set_bits(b.bits().with_subreg(low));
                }
                Width::W64 => {
                    let bits = a.bits().intersect(b.bits());
                    a.set_bits(bits);
                    b.set_bits(bits);
                }
            }
        }
        Relation::Ne | Relation::Set | Relation::Clear => {
            let (side, c) = match (b.as_const(width), a.as_const(width)) {
                (Some(c), _) => (&mut a, c),
                (None, Some(c)) => (&mut b, c),
                (None, None) => return (a, b),
            };
            if relation == Relation::Ne {
                side.exclude(width, c);
            } else {
                assume_bits(side, relation, width, c);
            }
        }
        _ if relation.is_greater() => N::cut_less(relation.flipped(), width, &mut b, &mut a),
        _ => N::cut_less(relation, width, &mut a, &mut b),
    }
    (a, b)
}

/// What a bit test with a constant teaches: all bits of it are 0, or its only bit is 1. In the first case the ranges are
/// forgotten, so that a branch that is never taken does not get contradictory ones.
#[inline]
pub(super) fn assume_bits<N: Number>(x: &mut N, relation: Relation, width: Width, c: u64) {
    let all = x.bits();
    let changed = match relation {
        Relation::Clear => {
            x.forget_ranges();
            all.and(super::Tnum::constant(!c))
        }
        _ if c.is_power_of_two() => all.or(super::Tnum::constant(c)),
        _ => return,
    };
    x.set_bits(match width {
        Width::W32 => all.with_subreg(changed),
        Width::W64 => changed,
    });
}
