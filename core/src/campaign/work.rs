//! A case through the oracles, whatever happens.

use crate::caught::caught;
use crate::kernel::Rules;
use crate::oracle::{Examiner, Finding, Report};
use crate::program::Program;

/// Examines a program and gives the findings apart; a panic of ours is one, without a report.
pub(super) fn findings_caught(
    examiner: &mut Examiner,
    program: &Program,
    rules: &Rules,
) -> (Option<Report>, Vec<Finding>) {
    match examine_caught(examiner, program, rules) {
        Ok(mut report) => {
            let findings = std::mem::take(&mut report.findings);
            (Some(report), findings)
        }
        Err(finding) => (None, vec![finding]),
    }
}

/// Examines a program; a panic of ours is a finding of class `internal`.
pub fn examine_caught(examiner: &mut Examiner, program: &Program, rules: &Rules) -> Result<Report, Finding> {
    caught(|| examiner.examine(program, rules)).map_err(|panic| {
        *examiner = Examiner::new(examiner.options());
        Finding::of_panic(&panic)
    })
}
