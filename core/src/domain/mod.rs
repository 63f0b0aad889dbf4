//! Numbers: known bits, ranges, scalars.
//!
//! Stands for `kernel/bpf/tnum.c`, `kernel/bpf/cnum.c`, and those parts of `verifier.c` that compute with a register's number:
//! arithmetic (`adjust_scalar_min_max_vals`, `adjust_ptr_min_max_vals`), conditional jumps (`is_branch_taken`,
//! `reg_set_min_max`, `regs_refine_cond_op`), conversions (`coerce_reg_to_size` and kin) and `reg_bounds_sync` (6.1 … 7.3).
//! A kernel's rule is kept as it is, with its imprecision and its oddities; which one applies is read from
//! [`DomainRules`](crate::kernel::DomainRules). 6.1 and 7.3 are exact, 6.12 and 6.18 approximate.
//!
//! Left out: register types, ids and links between registers, precision marks, Spectre limits; those are the verifier's.
//!
//! Invariants: [`Scalar::alu`], conversions and [`Scalar::branch`] keep every number that can occur, as long as their operands
//! did, except where a doc comment names a kernel's fault. Nothing allocates but [`Scalar::violation_text`].

mod arc;
mod bounds;
mod branch;
mod circular;
mod minmax;
mod number;
mod relation;
mod scalar;
mod tnum;
mod word;

#[cfg(test)]
mod tests;

pub use arc::{Arc, Arc32, Arc64};
pub use branch::{Branch, Sides};
pub use scalar::{Scalar, Violation};
pub use tnum::Tnum;
pub use word::Word;
