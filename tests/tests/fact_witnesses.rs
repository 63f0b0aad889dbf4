//! Every fact of the rules is told apart by a program, or `core/docs/kernel-rules.md` says that none is known.
//!
//! The programs are `tests/facts/FACT.VERSION.bpf`: setting the fact to what it is before VERSION, under the rules of VERSION or the
//! other way round, changes the answer. The tool `fact-witness` looks for such programs.

use loopdiff::kernel::{KernelVersion, Rules};
use loopdiff_tests::facts::{self, Step, Witness};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const PAGE: &str = include_str!("../../core/docs/kernel-rules.md");

fn witnesses() -> Vec<Witness> {
    facts::witnesses(&Path::new(env!("CARGO_MANIFEST_DIR")).join("facts")).expect("the folder of witnesses")
}

/// The steps of each witness that it tells apart.
fn told() -> BTreeMap<String, Vec<Step>> {
    witnesses()
        .into_iter()
        .map(|witness| {
            let of_fact = |step: &Step| step.difference.name == witness.fact;
            let steps = facts::steps().into_iter().filter(of_fact).filter(|s| facts::tells_apart(&witness.program, s));
            (witness.path.file_name().unwrap_or_default().to_string_lossy().into_owned(), steps.collect())
        })
        .collect()
}

#[test]
fn every_witness_does_its_work() {
    let idle: Vec<String> = told().into_iter().filter(|(_, steps)| steps.is_empty()).map(|(name, _)| name).collect();
    assert!(idle.is_empty(), "these tell nothing apart: {idle:#?}");
}

/// What the page lists as not told apart is exactly what is not told apart.
#[test]
fn facts_without_a_witness_are_listed() {
    let told: BTreeSet<String> =
        told().into_values().flatten().map(|step| format!("`{}` {}", step.difference.name, step.name())).collect();
    let all: BTreeSet<String> =
        facts::steps().iter().map(|step| format!("`{}` {}", step.difference.name, step.name())).collect();
    let section = PAGE.split("## Facts without a witness").nth(1).expect("the section");
    let section = section.split("\n## ").next().unwrap_or(section);
    let listed: BTreeSet<String> = section
        .lines()
        .filter_map(|line| line.strip_prefix("- "))
        .map(|line| line.split_once(": ").map_or(line, |(fact, _)| fact).to_owned())
        .collect();
    let untold: BTreeSet<String> = all.difference(&told).cloned().collect();
    assert_eq!(untold, listed);
}

#[test]
fn every_fact_is_described() {
    for fact in Rules::of(KernelVersion::NEWEST).facts() {
        assert!(PAGE.contains(&format!("| `{}` |", fact.name)), "{} is not on the page", fact.name);
    }
}
