//! The engine: what is on disk after a kill at each operation, and after the next start.

use super::disk::{Disk, RealDisk};
use super::*;
use crate::kernel::{KernelVersion, Rules};
use crate::program::Program;
use std::collections::{BTreeMap, BTreeSet};
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

/// A target that answers at once: of seven kinds, one in three cases shows one.
struct Quick;

struct QuickWorker(u64);

impl Target for Quick {
    fn identity(&self) -> Identity {
        Identity { target: "quick".to_owned(), ..Identity::default() }
    }

    fn columns(&self) -> Vec<String> {
        vec!["column".to_owned()]
    }

    fn block_len(&self) -> u64 {
        16
    }

    fn worker<'a>(&'a self, seed: u64, _shown: &BTreeSet<String>) -> Box<dyn Worker + 'a> {
        Box::new(QuickWorker(seed))
    }

    fn judge<'a>(&'a self, _column: usize, _signature: &'a str) -> Judge<'a> {
        Box::new(|_| Ok(false))
    }

    fn gone_with(&self, found: &Found, _program: &Program) -> Result<Vec<String>, CampaignError> {
        Ok(found.cause.iter().cloned().collect())
    }

    fn tell(&self, _campaign: &Identity, kept: &Kept, _program: &Program) -> Told {
        Told { story: kept.signature.repeat(100), ..Told::default() }
    }
}

impl Worker for QuickWorker {
    fn block(&mut self, first: u64, count: u64, _stop: &AtomicBool) -> Result<Block, CampaignError> {
        let mut block = Block { counts: Counts::new(1), found: Vec::new(), shown: BTreeSet::new() };
        for number in first..first + count {
            let case = make(self.0, number);
            block.counts.add_case(&case);
            block.shown.insert(format!("shown {}", number % 11));
            if number.is_multiple_of(3) {
                let (signature, program) = (format!("kind: {}", number % 7), case.program);
                let (evidence, cause) = (format!("number {number}"), Some("fact=value".to_owned()));
                block.found.push(Found { number, column: 0, signature, evidence, cause, program });
            }
        }
        Ok(block)
    }
}

fn config(count: u64) -> Config {
    Config { seed: 5, limit: Limit { count: Some(count), time: None }, jobs: 1, reduce_attempts: 3 }
}

fn start(disk: impl Disk + 'static, path: &Path, stop: bool) -> Result<Summary, CampaignError> {
    let config = config(40);
    let folder = Folder::open_on(Box::new(disk), path)?;
    let campaign = Campaign::new(&config, &Quick, Some(&folder))?;
    campaign.run(&AtomicBool::new(stop), &mut |_| ())
}

#[test]
fn a_kill_at_any_operation_changes_nothing_in_the_end() {
    let whole = tempfile::tempdir().expect("a folder");
    let counted = Dying::after(u64::MAX);
    let summary = start(counted.clone(), whole.path(), false).expect("a campaign");
    assert_eq!((summary.kept.len(), summary.stats.cases), (7, 40), "several findings in a block, several blocks");
    let expected = files(whole.path());
    let operations = u64::MAX - counted.left.load(Ordering::Relaxed);
    assert!(operations > 60, "{operations}");
    let mut kills = 0;
    for n in 0..=operations {
        let dir = tempfile::tempdir().expect("a folder");
        kills += u64::from(start(Dying::after(n), dir.path(), false).is_err());
        for (name, bytes) in files(dir.path()) {
            let is_temporary = |part: std::path::Component<'_>| part.as_os_str().to_string_lossy().ends_with(".new");
            let is_whole = expected.get(&name) == Some(&bytes);
            let is_state = name == Path::new("state.json");
            assert!(
                is_state || is_whole || name.components().any(is_temporary),
                "kill {n}: {} in part",
                name.display()
            );
        }
        start(RealDisk, dir.path(), false).expect("a start after the kill");
        let found = files(dir.path());
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "kill {n}");
        assert!(found == expected, "kill {n}: the bytes differ");
    }
    assert!(kills > 60, "{kills}");
}

#[test]
fn a_stop_loses_nothing() {
    let (whole, dir) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    start(RealDisk, whole.path(), false).expect("a campaign");
    start(RealDisk, dir.path(), true).expect("stopped");
    assert!(files(dir.path()) != files(whole.path()));
    start(RealDisk, dir.path(), false).expect("a start after the stop");
    assert!(files(dir.path()) == files(whole.path()));
}

/// A finding's folder that is damaged from outside is written anew by the start that finds it again.
#[test]
fn a_damaged_folder_of_a_block_that_does_not_count_is_replaced() {
    let (whole, dir) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    start(RealDisk, whole.path(), false).expect("a campaign");
    assert!(start(Dying::after(30), dir.path(), false).is_err());
    let findings = fs::read_dir(dir.path().join("findings")).expect("findings").flatten();
    let mut damaged = 0;
    for finding in findings.filter(|finding| finding.path().join("finding.json").exists()) {
        fs::write(finding.path().join("finding.json"), "{").expect("written");
        damaged += 1;
    }
    assert!(damaged > 0);
    start(RealDisk, dir.path(), false).expect("a start after that");
    assert!(files(dir.path()) == files(whole.path()));
}

fn model() -> Model {
    let rules = vec![Rules::of(KernelVersion::V6_1)];
    Model { rules, options: case_options(), known: Known::none() }
}

#[test]
fn another_campaign_in_a_folder_is_rejected_by_name() {
    let dir = tempfile::tempdir().expect("a folder");
    {
        let config = config(10);
        let folder = Folder::open(dir.path()).expect("a folder");
        let model = model();
        let campaign = Campaign::new(&config, &model, Some(&folder)).expect("a campaign");
        campaign.run(&AtomicBool::new(false), &mut |_| ()).expect("a summary");
    }
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
        (Config { reduce_attempts: 41, ..config(10) }, model(), "reduce-attempts 3 (asked for: 41)"),
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
