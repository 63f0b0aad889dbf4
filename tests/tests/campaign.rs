//! Campaigns: what a short one reaches, that it can be repeated, and that it goes on where it was stopped.

use loopdiff::campaign::{Campaign, Config, Floors, Folder, Known, Limit, Model, Summary, case_options, make};
use loopdiff::kernel::{KernelVersion, Rules};
use loopdiff::oracle::Examiner;
use loopdiff::program::Program;
use loopdiff_tests::facts;
use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;

fn config(seed: u64, count: u64, jobs: usize) -> Config {
    Config { seed, limit: Limit { count: Some(count), time: None }, jobs, reduce_attempts: 200 }
}

fn model(versions: &[KernelVersion]) -> Model {
    Model {
        rules: versions.iter().map(|v| Rules::of(*v)).collect(),
        options: case_options(),
        known: Known::built_in().expect("the list of known divergences"),
    }
}

fn strict(version: KernelVersion) -> Model {
    Model { known: Known::none(), ..model(&[version]) }
}

fn run(config: &Config, model: &Model, folder: Option<&Folder>) -> Summary {
    let campaign = Campaign::new(config, model, folder).expect("a campaign");
    campaign.run(&AtomicBool::new(false), &mut |_| ()).expect("a summary")
}

#[test]
fn a_short_campaign_is_not_vacuous_and_finds_nothing_new() {
    let summary = run(&config(11, 2_000, 2), &model(&[KernelVersion::V6_1, KernelVersion::V7_3]), None);
    assert_eq!(summary.kept, [], "findings that are not known");
    let rules = &summary.stats.rules["7.3"];
    let share = |n: u64, of: u64| 100.0 * n as f64 / of as f64;
    assert!(share(rules.tally.accepted, summary.stats.cases) >= 70.0, "accepted: {rules:?}");
    assert!(share(rules.with_inlined, rules.tally.accepted) >= 60.0, "inlined: {rules:?}");
    assert!(share(rules.with_kept, rules.tally.accepted) >= 20.0, "kept: {rules:?}");
    assert!(rules.mean_accepted_len() >= 30.0, "length: {rules:?}");
    assert!(rules.tally.compared > rules.tally.accepted, "compared: {rules:?}");
    assert!(rules.reasons.len() >= 20, "reasons: {:?}", rules.reasons);
    assert!(rules.tally.known > 0, "the known divergences are met");
}

#[test]
fn the_same_seed_and_count_give_the_same_whatever_the_workers() {
    let strict = strict(KernelVersion::V7_3);
    let one = run(&config(5, 600, 1), &strict, None);
    let three = run(&config(5, 600, 3), &strict, None);
    assert_eq!(one.stats, three.stats);
    assert_eq!(one.kept, three.kept);
    assert!(!one.kept.is_empty(), "without the list, the known divergences are findings");
}

#[test]
fn a_campaign_goes_on_in_its_folder() {
    let dir = tempfile::tempdir().expect("a folder");
    let strict = strict(KernelVersion::V7_3);
    {
        let folder = Folder::open(dir.path()).expect("a folder");
        run(&config(5, 300, 2), &strict, Some(&folder));
        assert!(Folder::open(dir.path()).is_err(), "one campaign at a time");
    }
    let folder = Folder::open(dir.path()).expect("the same folder");
    let resumed = run(&config(5, 600, 2), &strict, Some(&folder));
    let at_once = run(&config(5, 600, 2), &strict, None);
    assert_eq!(resumed.stats, at_once.stats);
    assert_eq!(resumed.kept, at_once.kept);
    for kept in &resumed.kept {
        for file in ["case.json", "case.bpf", "repro.c", "story.md", "finding.json"] {
            let path = dir.path().join("findings").join(&kept.folder).join(file);
            assert!(path.exists(), "{}", path.display());
        }
    }
    assert!(Campaign::new(&config(6, 600, 1), &strict, Some(&folder)).is_err(), "another seed is another campaign");
}

/// The older or newer value of each fact, planted by itself: what an entry of the list explains then goes away with the entry's
/// own fact while the planted one stays; an entry without a fact explains what is there without the planted one too.
#[test]
fn no_known_entry_swallows_what_a_planted_fact_brings_about() {
    let known = Known::built_in().expect("the list of known divergences");
    let mut examiner = Examiner::new(case_options());
    let (mut explained, mut planted) = (0, BTreeSet::new());
    let programs: Vec<Program> = (0..120).map(|number| make(3, number).program).collect();
    for step in facts::steps().iter().filter(|step| !step.is_of_log()) {
        for (version, rules) in step.rules() {
            for program in &programs {
                for finding in examiner.examine(program, &rules).findings {
                    let Some(entry) = known.explains(&finding, program, &rules, &mut examiner) else { continue };
                    let mut other = Rules::of(version);
                    if let Some(fact) = &entry.fact {
                        other = rules.clone();
                        other.set_text(fact).expect("a fact of the list");
                    }
                    let findings = examiner.examine(program, &other).findings;
                    let shows = findings.iter().any(|f| f.signature == finding.signature);
                    let what =
                        format!("{} under {version} with {:?}, {}", finding.signature, step.difference, program.name);
                    assert_eq!(shows, entry.fact.is_none(), "{}: {what}", entry.name);
                    explained += 1;
                    planted.insert((step.difference.name.clone(), version));
                }
            }
        }
    }
    assert!(explained > 100 && planted.len() > 50, "{explained} explained with {} facts planted", planted.len());
}

#[test]
fn normal_campaigns_of_any_rules_and_length_are_not_blind() {
    for version in KernelVersion::ALL {
        for count in [1, 2, 5, 30, 300] {
            for seed in 0..6 {
                let summary = run(&config(seed, count, 1), &model(&[version]), None);
                let missed = Floors::default().missed(&summary.stats);
                // A few cases may by chance all be rejected, or hold no inlined loop: then nothing was compared.
                let compared = summary.stats.rules.values().all(|rules| rules.tally.compared > 0);
                assert_eq!(missed.is_empty(), compared, "{version}, {count} cases of seed {seed}: {missed:?}");
                assert!(compared || count < 30, "{version}, {count} cases of seed {seed}: nothing was compared");
            }
        }
        let mut blind = model(&[version]);
        // A kernel that cannot hold a frame for a callback accepts no loop.
        blind.rules[0].set_text("walk.frames_max=1").expect("a fact");
        let summary = run(&config(1, 600, 2), &blind, None);
        assert!(!Floors::default().missed(&summary.stats).is_empty(), "{version}: {:?}", summary.stats.rules);
    }
}
