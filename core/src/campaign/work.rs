//! A case through the oracles, whatever happens.

use crate::kernel::Rules;
use crate::oracle::{Class, Examiner, Finding, Report};
use crate::program::Program;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

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
        Finding {
            class: Class::Internal,
            signature: format!("internal:panic:{}", panic.place),
            evidence: format!("panicked at {}: {}", panic.place, panic.message),
            input: None,
            at: None,
        }
    })
}

/// A panic of ours.
#[derive(Clone, Debug, Default)]
pub(super) struct Panic {
    /// File and line.
    pub place: String,
    pub message: String,
}

/// What a function gives, or that it panicked; nothing is printed.
pub(super) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Panic> {
    quiet_panics();
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| PANIC.with_borrow_mut(|panic| panic.take()).unwrap_or_default())
}

thread_local! {
    /// The thread's last panic.
    static PANIC: RefCell<Option<Panic>> = const { RefCell::new(None) };
}

/// Has panics noted instead of printed, on threads that examine.
fn quiet_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            let place = info.location().map(|l| format!("{}:{}", l.file(), l.line())).unwrap_or_default();
            let message = info.payload_as_str().unwrap_or_default().to_owned();
            PANIC.with_borrow_mut(|panic| *panic = Some(Panic { place, message }));
        }));
    });
}
