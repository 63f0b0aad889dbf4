//! The engine: what is on disk after a kill at each operation, and after the next start.

use super::disk::{Disk, RealDisk};
use super::*;
use crate::kernel::{KernelVersion, Rules};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A disk that does so many operations, the last of them in part, and then nothing more: what a kill leaves.
#[derive(Clone, Debug)]
struct Dying {
    left: Arc<AtomicU64>,
}

impl Dying {
    fn after(operations: u64) -> Dying {
        Dying { left: Arc::new(AtomicU64::new(operations)) }
    }

    /// What is left before this operation, counted down.
    fn next(&self) -> io::Result<u64> {
        let before = self.left.load(Ordering::Relaxed);
        self.left.store(before.saturating_sub(1), Ordering::Relaxed);
        if before == 0 { Err(io::Error::other("killed")) } else { Ok(before) }
    }
}

impl Disk for Dying {
    fn make_folder(&self, path: &Path) -> io::Result<()> {
        self.next()?;
        RealDisk.make_folder(path)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let whole = self.next()? > 1;
        RealDisk.write(path, if whole { bytes } else { &bytes[..bytes.len() / 2] })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.next()?;
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        if self.next()? > 1 || !path.is_dir() {
            return RealDisk.remove(path);
        }
        // The first file of the folder.
        fs::read_dir(path)?.flatten().take(1).try_for_each(|entry| RealDisk.remove(&entry.path()))
    }
}

/// All files below a folder but `time.json`, with their bytes.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut open = vec![folder.to_owned()];
    let mut files = BTreeMap::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).expect("a folder").flatten().map(|entry| entry.path()));
        } else if !path.ends_with("time.json") {
            let name = path.strip_prefix(folder).expect("below").to_owned();
            files.insert(name, fs::read(&path).expect("a file"));
        }
    }
    files
}

fn model() -> Model {
    let rules = vec![Rules::of(KernelVersion::V6_1)];
    Model { rules, options: case_options(), known: Known::none() }
}

fn config(count: u64) -> Config {
    Config { seed: 5, limit: Limit { count: Some(count), time: None }, jobs: 1, reduce_attempts: 40 }
}

fn start(disk: impl Disk + 'static, path: &Path, count: u64) -> Result<Summary, CampaignError> {
    let (model, config) = (model(), config(count));
    let folder = Folder::open_on(Box::new(disk), path)?;
    let campaign = Campaign::new(&config, &model, Some(&folder))?;
    campaign.run(&AtomicBool::new(false), &mut |_| ())
}

#[test]
fn a_kill_at_any_operation_changes_nothing_in_the_end() {
    const COUNT: u64 = 300;
    let whole = tempfile::tempdir().expect("a folder");
    let counted = Dying::after(u64::MAX);
    let summary = start(counted.clone(), whole.path(), COUNT).expect("a campaign");
    assert!(summary.kept.len() >= 3, "several findings in one block: {:?}", summary.kept);
    let expected = files(whole.path());
    // Saves by time may add some.
    let operations = u64::MAX - counted.left.load(Ordering::Relaxed);
    assert!(operations > 20, "{operations}");
    for n in 0..operations {
        let dir = tempfile::tempdir().expect("a folder");
        if start(Dying::after(n), dir.path(), COUNT).is_ok() {
            continue;
        }
        for (name, bytes) in files(dir.path()) {
            let is_temporary = name.components().any(|part| part.as_os_str().to_string_lossy().ends_with(".new"));
            let is_whole = expected.get(&name) == Some(&bytes);
            assert!(
                is_temporary || is_whole || name.ends_with("state.json"),
                "kill {n}: {} is no whole file",
                name.display()
            );
        }
        start(RealDisk, dir.path(), COUNT).expect("a start after the kill");
        let found = files(dir.path());
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "kill {n}");
        assert!(found == expected, "kill {n}: the bytes differ");
    }
}

#[test]
fn a_stop_during_a_reduction_loses_nothing() {
    let (whole, dir) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    start(RealDisk, whole.path(), 300).expect("a campaign");
    {
        let (model, config) = (model(), config(300));
        let folder = Folder::open(dir.path()).expect("a folder");
        let campaign = Campaign::new(&config, &model, Some(&folder)).expect("a campaign");
        campaign.run(&AtomicBool::new(true), &mut |_| ()).expect("stopped");
    }
    start(RealDisk, dir.path(), 300).expect("a start after the stop");
    assert!(files(dir.path()) == files(whole.path()));
}

#[test]
fn another_campaign_in_a_folder_is_rejected_by_name() {
    let dir = tempfile::tempdir().expect("a folder");
    start(RealDisk, dir.path(), 10).expect("a campaign");
    let folder = Folder::open(dir.path()).expect("a folder");
    let other = |config: &Config, model: &Model| match Campaign::new(config, model, Some(&folder)) {
        Ok(_) => "the same campaign".to_owned(),
        Err(error) => error.to_string(),
    };
    let mut set = model();
    set.rules[0].set_text("walk.frames_max=4").expect("a fact");
    let newer = Model { rules: vec![Rules::of(KernelVersion::V7_3)], ..model() };
    let known = Model { known: Known::built_in().expect("the list"), ..model() };
    for (config, model, what) in [
        (config(10), set, "rules 6.1 (asked for: 6.1 with walk.frames_max=4)"),
        (config(10), newer, "rules 6.1 (asked for: 7.3)"),
        (config(10), known, "known none"),
        (Config { seed: 6, ..config(10) }, model(), "seed 5 (asked for: 6)"),
        (Config { reduce_attempts: 41, ..config(10) }, model(), "reduce-attempts 40"),
    ] {
        let error = other(&config, &model);
        assert!(error.contains(what), "{error}");
    }
    assert_eq!(other(&Config { jobs: 3, ..config(20) }, &model()), "the same campaign");
}

#[test]
fn what_a_set_fact_brings_about_is_not_known() {
    // Under the rules of 6.12 the count of callbacks is unknown; taken once, it makes wild pointers.
    let mut rules = Rules::of(KernelVersion::V6_12);
    rules.set_text("walk.callback_walk=once").expect("a fact");
    let model = Model { rules: vec![rules], options: case_options(), known: Known::built_in().expect("the list") };
    let config = Config { seed: 1, limit: Limit { count: Some(600), time: None }, jobs: 2, reduce_attempts: 0 };
    let summary = Campaign::new(&config, &model, None).expect("a campaign");
    let summary = summary.run(&AtomicBool::new(false), &mut |_| ()).expect("a summary");
    assert!(summary.kept.iter().any(|k| k.signature == "safety:both forms:wild pointer"), "{:?}", summary.kept);
    // One cause, one group.
    let groups = grouped(&summary.kept);
    let fact = groups.first().and_then(|group| group.fact);
    assert_eq!(fact, Some("walk.callback_walk=unknown-count"), "{groups:?}");
    assert!(groups[0].members.len() * 10 >= summary.kept.len() * 9, "{groups:?}");
}
