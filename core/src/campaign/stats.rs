//! Counts over a campaign.

use super::case::Case;
use crate::generator::Feature;
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
    /// Counts by rule set.
    pub rules: BTreeMap<String, RuleStats>,
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
pub(super) struct Counts {
    pub cases: u64,
    pub features: BTreeMap<Feature, u64>,
    pub rules: Vec<RuleStats>,
    pub accepted_features: Vec<BTreeMap<Feature, u64>>,
}

impl Counts {
    pub fn new(rules: usize) -> Counts {
        Counts {
            rules: vec![RuleStats::default(); rules],
            accepted_features: vec![BTreeMap::new(); rules],
            ..Counts::default()
        }
    }

    pub fn add_case(&mut self, case: &Case) {
        self.cases += 1;
        for feature in case.features.iter() {
            *self.features.entry(feature).or_default() += 1;
        }
    }

    pub fn add_report(&mut self, n: usize, case: &Case, report: &Report) {
        let (Some(rules), Some(features)) = (self.rules.get_mut(n), self.accepted_features.get_mut(n)) else {
            return;
        };
        rules.tally.add(report);
        match &report.status {
            Status::Accepted { rewritten, .. } => {
                rules.accepted_insns += case.program.insns.len() as u64;
                rules.with_inlined += u64::from(!rewritten.inlined.is_empty());
                rules.with_kept += u64::from(!rewritten.kept.is_empty());
                for feature in case.features.iter() {
                    *features.entry(feature).or_default() += 1;
                }
            }
            Status::Rejected(rejection) => *rules.reasons.entry(blank_numbers(rejection.reason())).or_default() += 1,
            Status::Unsupported(unsupported) => {
                let what = format!("unsupported: {}", blank_numbers(&unsupported.what));
                *rules.reasons.entry(what).or_default() += 1;
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
    }

    /// Counts over all rule sets.
    pub fn total(&self) -> Tally {
        let mut total = Tally::default();
        self.rules.values().for_each(|rules| total.merge(&rules.tally));
        total
    }
}

impl RuleStats {
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
