//! Counts over a campaign.

use super::case::Case;
use super::store::Kept;
use crate::generator::Feature;
use crate::guest::{Answer, Phase, Verdict};
use crate::isa::Insn;
use crate::oracle::parity::{self, ParityTally, sites_in_dump};
use crate::oracle::{Report, Status, Tally};
use crate::repro::blank_numbers;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Counts over a campaign.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Stats {
    /// Cases that were made.
    pub cases: u64,
    /// Cases with a feature, by the feature's name.
    pub features: BTreeMap<String, u64>,
    /// Counts by rule set, or by kernel.
    pub rules: BTreeMap<String, RuleStats>,
    /// How the model agrees with each kernel, where there are any.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parity: BTreeMap<String, ParityTally>,
    /// In what kernels differ from each other, by signature.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub between: BTreeMap<String, Difference>,
}

/// Programs with one difference between kernels.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Difference {
    /// Their names.
    pub names: Vec<String>,
    /// How many of them have each cause that was found.
    pub causes: BTreeMap<String, usize>,
    /// The known divergence that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<String>,
}

/// Counts under one rule set.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RuleStats {
    /// Verdicts, loops, comparisons, findings.
    pub tally: Tally,
    /// Instructions of accepted programs, together.
    pub accepted_insns: u64,
    /// Accepted programs with an inlined loop.
    pub with_inlined: u64,
    /// Accepted programs in which a helper call stays.
    pub with_kept: u64,
    /// Accepted programs with a feature, by the feature's name.
    pub features: BTreeMap<String, u64>,
    /// Rejections by message without numbers.
    pub reasons: BTreeMap<String, u64>,
    /// Findings by signature, known ones by `known: NAME`.
    pub signatures: BTreeMap<String, u64>,
}

/// What a block counts before names are needed: as [`Stats`], with features by number.
#[derive(Default)]
pub struct Counts {
    /// Cases that were made.
    pub cases: u64,
    /// Cases with a feature.
    pub features: BTreeMap<Feature, u64>,
    /// Counts by rule set, or by kernel.
    pub rules: Vec<RuleStats>,
    /// Accepted programs with a feature, by rule set or kernel.
    pub accepted_features: Vec<BTreeMap<Feature, u64>>,
    /// How the model agrees with each kernel.
    pub parity: BTreeMap<String, ParityTally>,
    /// In what kernels differ from each other.
    pub between: BTreeMap<String, Difference>,
}

impl Counts {
    /// Nothing counted yet, for so many rule sets or kernels.
    pub fn new(rules: usize) -> Counts {
        Counts {
            rules: vec![RuleStats::default(); rules],
            accepted_features: vec![BTreeMap::new(); rules],
            ..Counts::default()
        }
    }

    /// Adds a case.
    pub fn add_case(&mut self, case: &Case) {
        self.cases += 1;
        for feature in case.features.iter() {
            *self.features.entry(feature).or_default() += 1;
        }
    }

    /// Adds what the model says of a case under a rule set, by index.
    pub fn add_report(&mut self, n: usize, case: &Case, report: &Report) {
        let (Some(rules), Some(features)) = (self.rules.get_mut(n), self.accepted_features.get_mut(n)) else {
            return;
        };
        rules.tally.add(report);
        match &report.status {
            Status::Accepted { rewritten, .. } => {
                rules.add_accepted(case, !rewritten.inlined.is_empty(), !rewritten.kept.is_empty());
                case.features.iter().for_each(|feature| *features.entry(feature).or_default() += 1);
            }
            Status::Rejected(rejection) => *rules.reasons.entry(blank_numbers(rejection.reason())).or_default() += 1,
            Status::Unsupported(unsupported) => {
                let what = format!("unsupported: {}", blank_numbers(&unsupported.what));
                *rules.reasons.entry(what).or_default() += 1;
            }
        }
    }
}

impl Counts {
    /// Adds what a kernel, by index, answers about a case. `dump` is the answer's, with the helpers' numbers; `compared` says whether
    /// the answer was held against another one.
    pub fn add_answer(&mut self, n: usize, case: &Case, answer: &Answer, dump: &[Insn], compared: bool) {
        let (Some(rules), Some(features)) = (self.rules.get_mut(n), self.accepted_features.get_mut(n)) else {
            return;
        };
        rules.tally.programs += 1;
        rules.tally.compared += u64::from(compared);
        match &answer.verdict {
            Verdict::Accept | Verdict::Died { phase: Phase::Run } | Verdict::TimedOut { phase: Phase::Run } => {
                let sites = sites_in_dump(dump);
                let inlined = sites.iter().filter(|inlined| **inlined).count();
                rules.tally.accepted += 1;
                rules.tally.loop_sites += sites.len() as u64;
                rules.tally.inlined += inlined as u64;
                rules.add_accepted(case, inlined > 0, inlined < sites.len());
                case.features.iter().for_each(|feature| *features.entry(feature).or_default() += 1);
            }
            Verdict::Reject => {
                rules.tally.rejected += 1;
                *rules.reasons.entry(blank_numbers(parity::reason(answer))).or_default() += 1;
            }
            other => {
                rules.tally.unsupported += 1;
                *rules.reasons.entry(blank_numbers(&other.to_string())).or_default() += 1;
            }
        }
    }
}

impl Stats {
    /// Adds a block's counts; `names` are those of the rule sets.
    pub(super) fn add(&mut self, counts: &Counts, names: &[String]) {
        self.cases += counts.cases;
        for (feature, n) in &counts.features {
            *self.features.entry(feature.name()).or_default() += n;
        }
        for ((name, rules), features) in names.iter().zip(&counts.rules).zip(&counts.accepted_features) {
            let into = self.rules.entry(name.clone()).or_default();
            into.merge(rules);
            for (feature, n) in features {
                *into.features.entry(feature.name()).or_default() += n;
            }
        }
        counts.parity.iter().for_each(|(kernel, tally)| self.parity.entry(kernel.clone()).or_default().merge(tally));
        for (signature, difference) in &counts.between {
            let into = self.between.entry(signature.clone()).or_default();
            into.names.extend(difference.names.iter().cloned());
            difference.causes.iter().for_each(|(cause, n)| *into.causes.entry(cause.clone()).or_default() += n);
            into.known.clone_from(&difference.known);
        }
    }

    /// How many cases have a finding that was kept.
    pub fn cases_with(&self, kept: &Kept) -> u64 {
        let of_column = self.rules.get(&kept.column).and_then(|rules| rules.signatures.get(&kept.signature).copied());
        let between = || self.between.get(&kept.signature).map(|difference| difference.names.len() as u64);
        of_column.or_else(between).unwrap_or(1)
    }

    /// Counts over all rule sets.
    pub fn total(&self) -> Tally {
        let mut total = Tally::default();
        self.rules.values().for_each(|rules| total.merge(&rules.tally));
        total
    }
}

impl RuleStats {
    fn add_accepted(&mut self, case: &Case, inlined: bool, kept: bool) {
        self.accepted_insns += case.program.insns.len() as u64;
        self.with_inlined += u64::from(inlined);
        self.with_kept += u64::from(kept);
    }

    fn merge(&mut self, other: &RuleStats) {
        self.tally.merge(&other.tally);
        self.accepted_insns += other.accepted_insns;
        self.with_inlined += other.with_inlined;
        self.with_kept += other.with_kept;
        add_all(&mut self.features, &other.features);
        add_all(&mut self.reasons, &other.reasons);
        add_all(&mut self.signatures, &other.signatures);
    }

    /// Mean length of accepted programs, in instructions.
    pub fn mean_accepted_len(&self) -> f64 {
        self.accepted_insns as f64 / self.tally.accepted.max(1) as f64
    }
}

fn add_all(into: &mut BTreeMap<String, u64>, from: &BTreeMap<String, u64>) {
    for (name, n) in from {
        *into.entry(name.clone()).or_default() += n;
    }
}
