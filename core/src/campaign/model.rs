//! The model as a target: both forms of a case compared under each rule set.

use super::case::{self, Case};
use super::cause;
use super::identity::{Identity, RuleSet};
use super::known::Known;
use super::run::CampaignError;
use super::stats::Counts;
use super::store::Kept;
use super::story::{self, Origin};
use super::target::{Block, Found, Judge, Target, Told, Worker};
use super::work::findings_caught;
use crate::kernel::Rules;
use crate::oracle::{Examiner, Options, Report};
use crate::program::Program;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

/// The model under some rule sets.
#[derive(Clone, Debug)]
pub struct Model {
    /// The rule sets.
    pub rules: Vec<Rules>,
    /// How cases are examined.
    pub options: Options,
    /// Known divergences, which are counted apart.
    pub known: Known,
}

impl Target for Model {
    fn identity(&self) -> Identity {
        Identity {
            target: "model".to_owned(),
            rules: self.rules.iter().map(RuleSet::of).collect(),
            sample: "all".to_owned(),
            known: self.known.digest(),
            ..Identity::default()
        }
    }

    fn columns(&self) -> Vec<String> {
        self.rules.iter().map(|rules| rules.version.name().to_owned()).collect()
    }

    fn worker<'a>(&'a self, seed: u64, _shown: &BTreeSet<String>) -> Box<dyn Worker + 'a> {
        Box::new(ModelWorker { seed, model: self, examiner: Examiner::new(self.options) })
    }

    fn judge<'a>(&'a self, column: usize, signature: &'a str) -> Judge<'a> {
        let mut examiner = Examiner::new(self.options);
        Box::new(move |program| {
            let Some(rules) = self.rules.get(column) else { return Ok(false) };
            let (_, findings) = findings_caught(&mut examiner, program, rules);
            Ok(findings.iter().any(|f| f.signature == signature))
        })
    }

    fn gone_with(&self, found: &Found, program: &Program) -> Result<Vec<String>, CampaignError> {
        let mut examiner = Examiner::new(self.options);
        let Some(rules) = self.rules.get(found.column) else { return Ok(Vec::new()) };
        let facts = cause::in_model(program, &found.signature, rules, &mut examiner);
        Ok(facts.iter().map(ToString::to_string).collect())
    }

    fn tell(&self, campaign: &Identity, kept: &Kept, program: &Program) -> Told {
        let Some(rules) = self.rules.iter().find(|rules| rules.version.name() == kept.column) else {
            return Told::default();
        };
        let mut examiner = Examiner::new(self.options);
        let gone_with = kept.gone_with.clone();
        let origin = Origin { case: Some((campaign.seed, kept.number)), gone_with: Some(gone_with) };
        story::of(program, &kept.signature, rules, &origin, &mut examiner)
    }
}

/// Works on blocks; keeps its buffers.
struct ModelWorker<'a> {
    seed: u64,
    model: &'a Model,
    examiner: Examiner,
}

impl Worker for ModelWorker<'_> {
    fn block(&mut self, first: u64, count: u64, stop: &AtomicBool) -> Result<Block, CampaignError> {
        let counts = Counts::new(self.model.rules.len());
        let mut block = Block { counts, found: Vec::new(), shown: BTreeSet::new() };
        let mut seen = BTreeSet::new();
        for number in first..first.saturating_add(count) {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let case = case::make(self.seed, number);
            block.counts.add_case(&case);
            for n in 0..self.model.rules.len() {
                self.case(number, n, &case, &mut block, &mut seen);
            }
        }
        Ok(block)
    }
}

impl ModelWorker<'_> {
    fn case(&mut self, number: u64, n: usize, case: &Case, block: &mut Block, seen: &mut BTreeSet<(usize, String)>) {
        let Some(rules) = self.model.rules.get(n) else { return };
        let (report, findings): (Option<Report>, _) = findings_caught(&mut self.examiner, &case.program, rules);
        if let Some(report) = &report {
            block.counts.add_report(n, case, report);
        }
        let mut once = BTreeSet::new();
        for finding in findings {
            if !once.insert(finding.signature.clone()) {
                continue;
            }
            let known = self.model.known.explains(&finding, &case.program, rules, &mut self.examiner);
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
                        let (signature, evidence) = (finding.signature, finding.evidence);
                        let program = case.program.clone();
                        block.found.push(Found { number, column: n, signature, evidence, cause: None, program });
                    }
                }
            }
        }
    }
}
