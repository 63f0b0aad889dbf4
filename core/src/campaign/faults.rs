//! Planted faults: mistakes like those that the feature had, and how many cases it takes to notice each.
//!
//! A fault is one or more kernel facts that are set wrongly under the newest rules, or an edit of the rewrite's plan; the code that is
//! tested has no word about faults. `loopdiff faults` and the `canary` target run with them: a harness that does not
//! notice them is not trusted.

use super::case;
use super::known::Known;
use super::work::examine_caught;
use crate::kernel::{KernelVersion, Rules};
use crate::oracle::{Examiner, Finding, Options};
use crate::program::{Program, SubprogIdx};
use crate::rewrite::Plan;
use crate::verifier::Facts;

/// A planted fault.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// Its name.
    pub name: &'static str,
    /// What goes wrong, and where the feature's history has it.
    pub story: &'static str,
    /// How it is planted.
    pub kind: FaultKind,
}

/// How a fault is planted.
#[derive(Clone, Copy, Debug)]
pub enum FaultKind {
    /// Each `fact=value` on top of the newest rules.
    Facts(&'static [&'static str]),
    /// An edit of the plan.
    Plan(fn(&mut Plan, &Facts)),
}

/// All planted faults.
pub const FAULTS: &[Fault] = &[
    Fault {
        name: "slots-overlap",
        story: "the slots for R6 to R8 lie eight bytes too high, over the program's own stack",
        kind: FaultKind::Plan(|plan, _| plan.loops.iter_mut().for_each(|l| l.spill_base += 8)),
    },
    Fault {
        name: "slots-of-main",
        story: "slots are placed by the depth of main, also in other functions (second version of the series)",
        kind: FaultKind::Plan(|plan, facts| {
            let depth = facts.stack_depth.first().copied().unwrap_or(0);
            let bytes = i32::from(depth) + 24 + i32::from(depth.wrapping_neg() % 8);
            for l in &mut plan.loops {
                l.spill_base = i16::try_from(-bytes).unwrap_or(i16::MIN);
            }
        }),
    },
    Fault {
        name: "stack-not-grown",
        story: "the depth of a function with a loop stays what it was, so that the slots lie below its frame",
        kind: FaultKind::Plan(|plan, _| plan.extra_stack.iter_mut().for_each(|extra| *extra = 0)),
    },
    Fault {
        name: "next-callback",
        story: "the number of the callback is off by one (third version of the series, after dead code was removed)",
        kind: FaultKind::Plan(|plan, facts| {
            for l in &mut plan.loops {
                if usize::from(l.callback.0) + 1 < facts.layout.len() {
                    l.callback = SubprogIdx(l.callback.0 + 1);
                }
            }
        }),
    },
    Fault {
        name: "callback-walked-once",
        story: "callbacks are verified as if they ran once (up to 6.6)",
        // Static liveness relies on the return to the call.
        kind: FaultKind::Facts(&["walk.liveness=read-marks", "walk.callback_walk=once"]),
    },
];

/// What looking for a fault came to.
#[derive(Clone, Debug)]
pub enum Evaluation {
    /// Noticed.
    Noticed {
        /// Cases until then.
        cases: u64,
        /// The finding.
        finding: Finding,
        /// The case.
        program: Box<Program>,
    },
    /// Not noticed in that many cases.
    Missed {
        /// Cases.
        cases: u64,
    },
}

impl Fault {
    /// The fault of that name.
    pub fn named(name: &str) -> Option<&'static Fault> {
        FAULTS.iter().find(|f| f.name == name)
    }

    /// The rules and options to examine with, so that the fault is there.
    pub fn plant(&self, options: Options) -> (Rules, Options) {
        let mut rules = Rules::of(KernelVersion::NEWEST);
        match self.kind {
            FaultKind::Facts(facts) => {
                for fact in facts {
                    // A test sets every one of them.
                    let _ = rules.set_text(fact);
                }
                (rules, options)
            }
            FaultKind::Plan(edit) => (rules, Options { edit_plan: Some(edit), ..options }),
        }
    }

    /// Looks for the fault with generated cases. A finding that is there without the fault does not count.
    pub fn evaluate(&self, seed: u64, cases_max: u64, options: Options, known: &Known) -> Evaluation {
        let (rules, planted) = self.plant(options);
        let right = Rules::of(KernelVersion::NEWEST);
        let (mut with, mut without) = (Examiner::new(planted), Examiner::new(options));
        for number in 0..cases_max {
            let program = case::make(seed, number).program;
            let findings = match examine_caught(&mut with, &program, &rules) {
                Ok(report) => report.findings,
                Err(finding) => vec![finding],
            };
            for finding in findings {
                if known.explains(&finding, &program, &rules, &mut with).is_some() {
                    continue;
                }
                let also_without = match examine_caught(&mut without, &program, &right) {
                    Ok(report) => report.findings.iter().any(|f| f.signature == finding.signature),
                    Err(other) => other.signature == finding.signature,
                };
                if !also_without {
                    return Evaluation::Noticed { cases: number + 1, finding, program: Box::new(program) };
                }
            }
        }
        Evaluation::Missed { cases: cases_max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_planted_fact_can_be_set() {
        for fault in FAULTS {
            if let FaultKind::Facts(facts) = fault.kind {
                for fact in facts {
                    assert_eq!(Rules::of(KernelVersion::NEWEST).set_text(fact), Ok(()), "{}", fault.name);
                }
            }
        }
    }

    #[test]
    fn every_fault_is_noticed() {
        let options = crate::campaign::case_options();
        let known = Known::built_in().expect("corpus/known/known.toml");
        for fault in FAULTS {
            let evaluation = fault.evaluate(7, 2_000, options, &known);
            assert!(matches!(evaluation, Evaluation::Noticed { .. }), "{}: {evaluation:?}", fault.name);
        }
    }
}
