//! A comparison that holds: one of a conditional jump, or the opposite of one.

use crate::isa::Cond;

/// A comparison that holds between two numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Relation {
    Eq,
    Ne,
    /// Some bit in common.
    Set,
    /// No bit in common.
    Clear,
    Ult,
    Ule,
    Ugt,
    Uge,
    Slt,
    Sle,
    Sgt,
    Sge,
}

impl Relation {
    /// What holds when the jump is taken, or is not. Kernel: `rev_opcode` (6.8 … 7.3).
    #[inline]
    pub const fn of(cond: Cond, taken: bool) -> Relation {
        match (cond, taken) {
            (Cond::Eq, true) | (Cond::Ne, false) => Relation::Eq,
            (Cond::Ne, true) | (Cond::Eq, false) => Relation::Ne,
            (Cond::Set, true) => Relation::Set,
            (Cond::Set, false) => Relation::Clear,
            (Cond::Lt, true) | (Cond::Ge, false) => Relation::Ult,
            (Cond::Le, true) | (Cond::Gt, false) => Relation::Ule,
            (Cond::Gt, true) | (Cond::Le, false) => Relation::Ugt,
            (Cond::Ge, true) | (Cond::Lt, false) => Relation::Uge,
            (Cond::SLt, true) | (Cond::SGe, false) => Relation::Slt,
            (Cond::SLe, true) | (Cond::SGt, false) => Relation::Sle,
            (Cond::SGt, true) | (Cond::SLe, false) => Relation::Sgt,
            (Cond::SGe, true) | (Cond::SLt, false) => Relation::Sge,
        }
    }

    /// What holds with the sides exchanged. Kernel: `flip_opcode` (6.1 … 7.3).
    #[inline]
    pub const fn flipped(self) -> Relation {
        match self {
            Relation::Eq | Relation::Ne | Relation::Set | Relation::Clear => self,
            Relation::Ult => Relation::Ugt,
            Relation::Ule => Relation::Uge,
            Relation::Ugt => Relation::Ult,
            Relation::Uge => Relation::Ule,
            Relation::Slt => Relation::Sgt,
            Relation::Sle => Relation::Sge,
            Relation::Sgt => Relation::Slt,
            Relation::Sge => Relation::Sle,
        }
    }

    /// Whether the first side is the greater one, so that it is read from the other side.
    #[inline]
    pub const fn is_greater(self) -> bool {
        matches!(self, Relation::Ugt | Relation::Uge | Relation::Sgt | Relation::Sge)
    }
}
