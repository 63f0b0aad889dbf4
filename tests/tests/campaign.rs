//! Campaigns: what a short one reaches, that it can be repeated, and that it goes on where it was stopped.

use loopdiff::campaign::{Campaign, Config, Folder, Known, Limit, Summary, case_options};
use loopdiff::kernel::{KernelVersion, Rules};
use std::sync::atomic::AtomicBool;

fn config(seed: u64, count: u64, jobs: usize, versions: &[KernelVersion]) -> Config {
    Config {
        seed,
        limit: Limit { count: Some(count), time: None },
        jobs,
        rules: versions.iter().map(|v| Rules::of(*v)).collect(),
        options: case_options(),
        known: Known::built_in().expect("the list of known divergences"),
        reduce_attempts: 200,
    }
}

fn run(config: &Config, folder: Option<&Folder>) -> Summary {
    let campaign = Campaign::new(config, folder).expect("a campaign");
    campaign.run(&AtomicBool::new(false), &mut |_| ()).expect("a summary")
}

#[test]
fn a_short_campaign_is_not_vacuous_and_finds_nothing_new() {
    let summary = run(&config(11, 2_000, 2, &[KernelVersion::V6_1, KernelVersion::V7_3]), None);
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
    let mut strict = config(5, 600, 1, &[KernelVersion::V7_3]);
    strict.known = Known::none();
    let one = run(&strict, None);
    strict.jobs = 3;
    let three = run(&strict, None);
    assert_eq!(one.stats, three.stats);
    assert_eq!(one.kept, three.kept);
    assert!(!one.kept.is_empty(), "without the list, the known divergences are findings");
}

#[test]
fn a_campaign_goes_on_in_its_folder() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut strict = config(5, 300, 2, &[KernelVersion::V7_3]);
    strict.known = Known::none();
    {
        let folder = Folder::open(dir.path()).expect("a folder");
        run(&strict, Some(&folder));
        assert!(Folder::open(dir.path()).is_err(), "one campaign at a time");
    }
    strict.limit.count = Some(600);
    let folder = Folder::open(dir.path()).expect("the same folder");
    let resumed = run(&strict, Some(&folder));
    let at_once = run(&strict, None);
    assert_eq!(resumed.stats, at_once.stats);
    assert_eq!(resumed.kept, at_once.kept);
    for kept in &resumed.kept {
        for file in ["case.json", "case.bpf", "repro.c", "story.md"] {
            let path = dir.path().join("findings").join(&kept.folder).join(file);
            assert!(path.exists(), "{}", path.display());
        }
    }
    let other = config(6, 600, 1, &[KernelVersion::V7_3]);
    assert!(Campaign::new(&other, Some(&folder)).is_err(), "another seed is another campaign");
}
