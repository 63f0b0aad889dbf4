//! Numbers of which nothing is left: comparisons that exclude each other lead to a side that is never taken, and not every
//! kernel knows that it is not.
//!
//! Stands for `reg_bounds_sanity_check` and its callers (6.8 … 7.3). Left out: the check of what a helper returns, and the
//! warning in the kernel's log, after which the walk goes on.

use super::state::Kind;
use super::verdict::Errno;
use super::walker::{Check, Stop, Walker};
use crate::domain::Scalar;
use crate::isa::{Op, Reg as RegNo};
use crate::kernel::BugReport;

/// `BPF_F_TEST_REG_INVARIANTS`.
const TEST_REG_INVARIANTS: u32 = 1 << 7;

impl Walker<'_> {
    /// A number as the kernel goes on with it: one that contradicts itself loses its ranges, or is an error when the program
    /// asks for that. `context` is the kernel's word for where the number comes from.
    ///
    /// Kernel: `reg_bounds_sanity_check` (6.8 … 7.3).
    #[doc(alias = "reg_bounds_sanity_check")]
    pub fn consistent(&self, value: Scalar, context: &str) -> Check<Scalar> {
        let Some(violation) = value.violation(&self.rules.domain) else { return Ok(value) };
        if self.program.prog_flags & TEST_REG_INVARIANTS == 0 {
            return Ok(value.without_ranges());
        }
        let text = value.violation_text(violation, context);
        Err(match self.rules.walk.bug_report {
            BugReport::Line => Stop::bug(text),
            BugReport::Warning => Stop::Reject { errno: Errno::EFAULT, text },
        })
    }

    /// The check after an operation.
    pub fn check_result(&mut self, op: &Op) -> Check {
        let (Op::Alu { dst, .. } | Op::Neg { dst, .. } | Op::Endian { dst, .. } | Op::MovSx { dst, .. }) = *op else {
            return Ok(());
        };
        self.check_register(dst, "alu")
    }

    /// The check of what an instruction has put into a register.
    pub fn check_register(&mut self, dst: RegNo, context: &str) -> Check {
        let reg = *self.reg(dst);
        if reg.kind == Kind::Scalar {
            let value = self.consistent(reg.value, context)?;
            if value != reg.value {
                self.reg_mut(dst).value = value;
            }
        }
        Ok(())
    }
}
