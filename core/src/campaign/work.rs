//! A block of cases through the oracles.

use super::case::{self, Case};
use super::known::Known;
use super::stats::Counts;
use crate::caught::caught;
use crate::kernel::Rules;
use crate::oracle::{Examiner, Finding, Report};
use crate::program::Program;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

/// A finding with its case.
#[derive(Clone, Debug)]
pub struct Found {
    /// The case's number.
    pub number: u64,
    /// Index of the rule set.
    pub rules: usize,
    /// What was found.
    pub finding: Finding,
    /// The program.
    pub program: Program,
}

/// What a block of cases came to.
pub(super) struct Block {
    pub counts: Counts,
    /// The first finding of each signature and rule set.
    pub found: Vec<Found>,
}

/// Cases in a block.
pub(super) const BLOCK: u64 = 256;

/// Works on blocks; keeps its buffers.
pub(super) struct Worker<'a> {
    pub seed: u64,
    pub rules: &'a [Rules],
    pub known: &'a Known,
    pub examiner: Examiner,
}

impl Worker<'_> {
    /// Cases from `first`, `count` of them, or fewer when `stop` is set.
    pub fn block(&mut self, first: u64, count: u64, stop: &AtomicBool) -> Block {
        let mut block = Block { counts: Counts::new(self.rules.len()), found: Vec::new() };
        let mut seen = BTreeSet::new();
        for number in first..first + count {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let case = case::make(self.seed, number);
            block.counts.add_case(&case);
            for n in 0..self.rules.len() {
                self.case(number, n, &case, &mut block, &mut seen);
            }
        }
        block
    }

    fn case(&mut self, number: u64, n: usize, case: &Case, block: &mut Block, seen: &mut BTreeSet<(usize, String)>) {
        let Some(rules) = self.rules.get(n) else { return };
        let (report, findings) = match examine_caught(&mut self.examiner, &case.program, rules) {
            Ok(mut report) => {
                let findings = std::mem::take(&mut report.findings);
                (Some(report), findings)
            }
            Err(finding) => (None, vec![finding]),
        };
        if let Some(report) = &report {
            block.counts.add_report(n, case, report);
        }
        let mut once = BTreeSet::new();
        for finding in findings {
            if !once.insert(finding.signature.clone()) {
                continue;
            }
            let known = self.known.explains(&finding, &case.program, rules, &mut self.examiner);
            let Some(counts) = block.counts.rules.get_mut(n) else { continue };
            match known {
                Some(known) => {
                    counts.tally.known += 1;
                    *counts.signatures.entry(format!("known: {}", known.name)).or_default() += 1;
                }
                None => {
                    *counts.tally.findings.entry(finding.class).or_default() += 1;
                    *counts.signatures.entry(finding.signature.clone()).or_default() += 1;
                    if seen.insert((n, finding.signature.clone())) {
                        let program = case.program.clone();
                        block.found.push(Found { number, rules: n, finding, program });
                    }
                }
            }
        }
    }
}

/// Examines a program; a panic of ours is a finding of class `internal`.
pub fn examine_caught(examiner: &mut Examiner, program: &Program, rules: &Rules) -> Result<Report, Finding> {
    caught(|| examiner.examine(program, rules)).map_err(|panic| {
        *examiner = Examiner::new(examiner.options());
        Finding::of_panic(&panic)
    })
}
