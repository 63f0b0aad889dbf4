//! The folder of a campaign: its state, and a folder for each finding.
//!
//! `state.json` says what the campaign is and how far it came, so that a later start goes on; `time.json` how long it took, which
//! no second campaign repeats. `findings/NAME/` holds `case.json`, `case.bpf`, `repro.c`, `story.md` and `finding.json`. One campaign
//! works in a folder at a time.
//!
//! Invariants: whatever is killed when, a file or a finding's folder is there whole or not at all; a finding whose block is not
//! in the state yet is found again and taken as it lies there; what a killed start left under a temporary name is removed
//! by the next.

use super::disk::{Disk, RealDisk};
use super::files::stable_hash;
use super::identity::Identity;
use super::run::Summary;
use super::stats::Stats;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Schema of the state. 2: what changes findings is in `campaign`, seconds are in a file of their own.
const SCHEMA: u32 = 2;
/// Schema of `finding.json`.
const FINDING_SCHEMA: u32 = 1;

const STATE: &str = "state.json";
const TIME: &str = "time.json";
const FINDINGS: &str = "findings";
const FINDING: &str = "finding.json";
/// Names that nothing keeps: a new folder of a finding, and one that is replaced.
const NEW: &str = ".new";
const OLD: &str = ".old";

/// What a campaign is and how far it came.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    pub schema: u32,
    pub campaign: Identity,
    /// The first case that is not in the counts.
    pub next: u64,
    pub stats: Stats,
    pub kept: Vec<Kept>,
    /// What cases have shown of the model, where only new ones go to the target.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub shown: BTreeSet<String>,
}

/// Seconds that all starts took together.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
struct Time {
    seconds: f64,
}

/// A finding that was kept.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Its signature.
    pub signature: String,
    /// Where it was found: the version of the rules, the name of a kernel, or `kernels` for a difference between them.
    pub column: String,
    /// The case's number.
    pub number: u64,
    /// Its folder below `findings/`.
    pub folder: String,
    /// Instructions of the case before and after it was made smaller.
    pub insns: (usize, usize),
    /// The evidence, in a line.
    pub evidence: String,
    /// The facts of the rules that are not those of their version, as `--set` takes them.
    pub set: Vec<String>,
    /// Facts that take it away, each by itself, as `--set` takes them; for differences between kernels what `explain` names.
    pub gone_with: Vec<String>,
}

/// `finding.json`.
#[derive(Serialize, Deserialize)]
struct FindingFile {
    schema: u32,
    campaign: Identity,
    finding: Kept,
}

/// The folder.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    disk: Box<dyn Disk>,
    /// Held as long as the campaign works in the folder.
    _lock: File,
}

/// A folder that cannot be used.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The file system says no.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it says.
        error: io::Error,
    },
    /// Another campaign works in it.
    #[error("{}: another campaign works in this folder", .0.display())]
    Busy(PathBuf),
    /// The state is not one of ours.
    #[error("{}: {why}", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl Folder {
    /// Opens a folder; makes it when it is not there.
    ///
    /// # Errors
    ///
    /// When it cannot be written, or another campaign works in it.
    pub fn open(path: &Path) -> Result<Folder, StoreError> {
        Folder::open_on(Box::new(RealDisk), path)
    }

    /// The same on another disk.
    pub(super) fn open_on(disk: Box<dyn Disk>, path: &Path) -> Result<Folder, StoreError> {
        let findings = path.join(FINDINGS);
        disk.make_folder(&findings).map_err(io_error(&findings))?;
        let lock = path.join("lock");
        let file = File::create(&lock).map_err(io_error(&lock))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::Busy(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(io_error(&lock)(error)),
        }
        let folder = Folder { path: path.to_owned(), disk, _lock: file };
        for left in [new_file(STATE), new_file(TIME)].into_iter().map(|name| path.join(name)) {
            folder.disk.remove(&left).map_err(io_error(&left))?;
        }
        for left in [NEW, OLD].map(|name| findings.join(name)) {
            folder.disk.remove(&left).map_err(io_error(&left))?;
        }
        Ok(folder)
    }

    /// What the campaign of a folder is, and what it has come to so far; nothing when none was kept there. A campaign may be at
    /// work in it.
    ///
    /// # Errors
    ///
    /// When its state cannot be read.
    pub fn read_summary(path: &Path) -> Result<Option<(Identity, Summary)>, StoreError> {
        let Some(state) = load_state(&path.join(STATE))? else { return Ok(None) };
        let seconds = load::<Time>(&path.join(TIME))?.unwrap_or_default().seconds;
        let this_start = (state.next, seconds);
        Ok(Some((state.campaign, Summary { stats: state.stats, kept: state.kept, seconds, this_start, left: 0 })))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The state, and the seconds of all starts so far.
    pub(super) fn load(&self) -> Result<Option<(State, f64)>, StoreError> {
        let state = load_state(&self.path.join(STATE))?;
        let time = load::<Time>(&self.path.join(TIME))?.unwrap_or_default();
        Ok(state.map(|state| (state, time.seconds)))
    }

    pub(super) fn save(&self, state: &State, seconds: f64) -> Result<(), StoreError> {
        self.replace(STATE, &json_bytes(state, &self.path.join(STATE))?)?;
        self.replace(TIME, &json_bytes(&Time { seconds }, &self.path.join(TIME))?)
    }

    /// Replaces a file of the folder at once.
    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let (path, new) = (self.path.join(name), self.path.join(new_file(name)));
        self.disk.write(&new, bytes).map_err(io_error(&new))?;
        self.disk.rename(&new, &path).map_err(io_error(&path))
    }

    /// The name of a finding's folder: the signature in letters that a file system takes, cut to a length that it takes, where it
    /// was found, and a hash of both, so that two findings never share a folder.
    pub(super) fn name_of(signature: &str, column: &str) -> String {
        const LEN_MAX: usize = 100;
        let mut name = String::new();
        for c in signature.chars().chain(['-']).chain(column.chars()).map(letter) {
            if c != '-' || !name.ends_with('-') {
                name.push(c);
            }
            if name.len() >= LEN_MAX {
                break;
            }
        }
        let hash = stable_hash(column.bytes().chain([0]).chain(signature.bytes()));
        format!("{}-{hash:016x}", name.trim_matches(['-', '.']))
    }

    /// The finding of a campaign that a folder of that name holds, whole.
    pub(super) fn kept(&self, campaign: &Identity, name: &str) -> Option<Kept> {
        let bytes = fs::read(self.path.join(FINDINGS).join(name).join(FINDING)).ok()?;
        let file: FindingFile = serde_json::from_slice(&bytes).ok()?;
        (file.schema == FINDING_SCHEMA && file.campaign == *campaign).then_some(file.finding)
    }

    /// Keeps a finding with its files, at once.
    pub(super) fn keep(&self, campaign: &Identity, kept: &Kept, files: &[(&str, String)]) -> Result<(), StoreError> {
        let findings = self.path.join(FINDINGS);
        let (path, new, old) = (findings.join(&kept.folder), findings.join(NEW), findings.join(OLD));
        let finding = FindingFile { schema: FINDING_SCHEMA, campaign: campaign.clone(), finding: kept.clone() };
        self.disk.remove(&new).map_err(io_error(&new))?;
        self.disk.make_folder(&new).map_err(io_error(&new))?;
        for (name, content) in files {
            let file = new.join(name);
            self.disk.write(&file, content.as_bytes()).map_err(io_error(&file))?;
        }
        let file = new.join(FINDING);
        self.disk.write(&file, &json_bytes(&finding, &file)?).map_err(io_error(&file))?;
        if path.exists() {
            self.disk.rename(&path, &old).map_err(io_error(&path))?;
        }
        self.disk.rename(&new, &path).map_err(io_error(&path))?;
        self.disk.remove(&old).map_err(io_error(&old))
    }
}

impl State {
    pub fn new(campaign: Identity) -> State {
        State { schema: SCHEMA, campaign, next: 0, stats: Stats::default(), kept: Vec::new(), shown: BTreeSet::new() }
    }
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |error| StoreError::Io { path, error }
}

fn new_file(name: &str) -> String {
    format!("{name}{NEW}")
}

fn letter(c: char) -> char {
    if c.is_ascii_alphanumeric() || c == '.' { c.to_ascii_lowercase() } else { '-' }
}

fn json_bytes(value: &impl Serialize, path: &Path) -> Result<Vec<u8>, StoreError> {
    let bad = |error: serde_json::Error| StoreError::State { path: path.to_owned(), why: error.to_string() };
    let mut bytes = serde_json::to_vec_pretty(value).map_err(bad)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// The content of a file; nothing when there is none.
fn load<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StoreError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(path)(error)),
    };
    let bad = |error: serde_json::Error| StoreError::State { path: path.to_owned(), why: error.to_string() };
    serde_json::from_slice(&bytes).map(Some).map_err(bad)
}

fn load_state(path: &Path) -> Result<Option<State>, StoreError> {
    #[derive(Deserialize)]
    struct Schema {
        schema: u32,
    }
    let why = match load::<Schema>(path)? {
        None => return Ok(None),
        Some(Schema { schema: SCHEMA }) => return load(path),
        Some(Schema { schema }) if schema < SCHEMA => format!(
            "the folder is of schema {schema}, which an earlier loopdiff wrote; this one has schema {SCHEMA} and cannot go on \
             with it: use another folder"
        ),
        Some(Schema { schema }) => {
            format!("the folder is of schema {schema}, which a later loopdiff wrote; this one has schema {SCHEMA}")
        }
    };
    Err(StoreError::State { path: path.to_owned(), why })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_findings_apart_and_fit() {
        let long = "verdict: 6.1 accept; ".repeat(40);
        let signatures =
            ["a:b", "a-b", "A:b", "a b", "", "é", "-", &long, &format!("{long}x"), &format!("{long}y"), "../../etc"];
        let columns = ["6.1", "6.12", "kernels", "6.1-"];
        let mut seen = BTreeSet::new();
        for (signature, column) in signatures.iter().flat_map(|s| columns.iter().map(move |c| (s, c))) {
            let name = Folder::name_of(signature, column);
            assert!(name.len() <= 128 && !name.starts_with('.') && !name.contains('/'), "{name}");
            assert!(seen.insert(name.clone()), "{name} is shared");
        }
        assert_eq!(Folder::name_of("equivalence:loop end:r0", "7.3"), "equivalence-loop-end-r0-7.3-71c5df0d5d8dd4a6");
    }

    #[test]
    fn folders_of_other_schemas_are_rejected_with_a_reason() {
        let dir = tempfile::tempdir().expect("a folder");
        for (text, why) in [
            ("{\"schema\":1,\"seed\":1,\"rules\":[\"7.3\"]}", "an earlier loopdiff"),
            ("{\"schema\":3}", "a later loopdiff"),
            ("{}", "schema"),
            ("[", "EOF"),
        ] {
            fs::write(dir.path().join(STATE), text).expect("written");
            let error = Folder::read_summary(dir.path()).expect_err(text).to_string();
            assert!(error.contains(why) && error.contains(STATE), "{error}");
        }
    }
}
