//! Targets over cases: verification, both forms, the minimizer.

use super::super::case_options;
use super::super::faults::Fault;
use super::super::known::Known;
use super::Input;
use crate::kernel::{KernelVersion, Rules};
use crate::oracle::{Class, Examiner};
use crate::program::Program;
use crate::reduce::{self, Budget, Keep};
use crate::verifier;
use std::sync::OnceLock;

/// The verifier ends, twice with the same answer, under the rules of every kernel.
pub fn verify(input: &Input) {
    for version in KernelVersion::ALL {
        let rules = Rules::of(version);
        let verify = || verifier::verify_within(&input.0, &rules, case_options().budget);
        assert_eq!(verify(), verify(), "{version}: the same program, the same answer");
    }
}

/// Both forms of an accepted program do the same, but for what is known.
pub fn equivalence(input: &Input) {
    hold(input, |class| class == Class::Equivalence || class == Class::Rewrite);
}

/// Both forms keep to the stack that was verified, and an accepted program does nothing that it must not.
pub fn stack(input: &Input) {
    hold(input, |class| matches!(class, Class::Stack | Class::Safety));
}

/// The known divergences, read once: a fuzzer calls a target thousands of times a second.
fn known() -> &'static Known {
    static KNOWN: OnceLock<Known> = OnceLock::new();
    KNOWN.get_or_init(|| Known::built_in().unwrap_or_default())
}

fn hold(input: &Input, about: impl Fn(Class) -> bool) {
    let known = known();
    let mut examiner = Examiner::new(case_options());
    for version in KernelVersion::ALL {
        let rules = Rules::of(version);
        let report = examiner.examine(&input.0, &rules);
        for finding in report.findings.iter().filter(|f| about(f.class)) {
            let known = known.explains(finding, &input.0, &rules, &mut examiner);
            assert!(known.is_some(), "{version}: {}: {}\n{input:?}", finding.signature, finding.evidence);
        }
    }
}

/// The minimizer gives a program of which the predicate holds, and no larger one.
pub fn reduce(input: &Input) {
    let rules = Rules::of(KernelVersion::NEWEST);
    let accepted = |p: &Program| {
        matches!(verifier::verify_within(p, &rules, case_options().budget), verifier::Verdict::Accepted(_))
    };
    let is = accepted(&input.0);
    let mut keep = |p: &Program| Keep::from(accepted(p) == is);
    let reduced = reduce::reduce(&input.0, Budget { attempts_max: 200 }, &mut keep);
    assert_eq!(accepted(&reduced.program), is, "the predicate holds");
    assert!(reduced.program.insns.len() <= input.0.insns.len(), "no longer than before");
}

/// As [`equivalence`] and [`stack`], with the fault planted that takes the most cases to notice: it must be found, or the
/// fuzzer is blind.
pub fn canary(input: &Input) {
    let Some(fault) = Fault::named("callback-walked-once") else { return };
    let (rules, options) = fault.plant(case_options());
    let report = Examiner::new(options).examine(&input.0, &rules);
    let known = known();
    let mut without = Examiner::new(case_options());
    for finding in &report.findings {
        if known.explains(finding, &input.0, &rules, &mut without).is_none() {
            panic!("the planted fault {} is found: {}", fault.name, finding.evidence);
        }
    }
}
