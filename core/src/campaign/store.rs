//! The folder of a campaign: its state, and a folder for each finding.
//!
//! `state.json` says how far the campaign is, so that a later start goes on. `findings/NAME/` holds `case.json`, `case.bpf`,
//! `repro.c` and `story.md`; it appears whole. One campaign works in a folder at a time.

use super::files::write_whole;
use super::run::Summary;
use super::stats::Stats;
use super::story::Told;
use crate::program::{Program, json, text};
use crate::repro;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Schema of the state.
const SCHEMA: u32 = 1;

/// What a campaign is and how far it came.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    pub schema: u32,
    pub seed: u64,
    /// Names of the rule sets.
    pub rules: Vec<String>,
    /// The first case that is not in the counts.
    pub next: u64,
    /// Seconds that all starts took together.
    pub seconds: f64,
    pub stats: Stats,
    pub kept: Vec<Kept>,
}

/// A finding that was kept.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Its signature.
    pub signature: String,
    /// The rules that it was found under.
    pub rules: String,
    /// The case's number.
    pub number: u64,
    /// Its folder below `findings/`.
    pub folder: String,
    /// Instructions of the case before and after it was made smaller.
    pub insns: (usize, usize),
    /// The evidence, in a line.
    pub evidence: String,
}

/// The folder.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
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
        let io = |path: &Path| {
            let path = path.to_owned();
            move |error| StoreError::Io { path, error }
        };
        let findings = path.join("findings");
        fs::create_dir_all(&findings).map_err(io(&findings))?;
        let lock = path.join("lock");
        let file = File::create(&lock).map_err(io(&lock))?;
        match file.try_lock() {
            Ok(()) => Ok(Folder { path: path.to_owned(), _lock: file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Busy(path.to_owned())),
            Err(TryLockError::Error(error)) => Err(StoreError::Io { path: lock, error }),
        }
    }

    /// What the campaign of a folder has come to so far; nothing when none was kept there. A campaign may be at work in it.
    ///
    /// # Errors
    ///
    /// When its state cannot be read.
    pub fn read_summary(path: &Path) -> Result<Option<Summary>, StoreError> {
        let state = load(&path.join("state.json"))?;
        Ok(state.map(|state| Summary {
            stats: state.stats,
            kept: state.kept,
            seconds: state.seconds,
            this_start: (state.next, state.seconds),
        }))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn load(&self) -> Result<Option<State>, StoreError> {
        load(&self.path.join("state.json"))
    }

    pub(super) fn save(&self, state: &State) -> Result<(), StoreError> {
        let path = self.path.join("state.json");
        let mut bytes = serde_json::to_vec_pretty(state)
            .map_err(|e| StoreError::State { path: path.clone(), why: e.to_string() })?;
        bytes.push(b'\n');
        write_whole(&path, &bytes).map_err(|error| StoreError::Io { path, error })
    }

    /// The name of a finding's folder: the signature in letters that a file system takes, and the rules.
    pub(super) fn name_of(signature: &str, rules: &str) -> String {
        let mut name = String::new();
        for c in signature.chars() {
            let c = if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
            if c != '-' || !name.ends_with('-') {
                name.push(c);
            }
        }
        format!("{}-{rules}", name.trim_matches('-'))
    }

    /// Keeps a case with its story. A folder of that name that is already there is replaced file by file.
    pub(super) fn keep(&self, name: &str, program: &Program, told: &Told) -> Result<(), StoreError> {
        let folder = self.path.join("findings").join(name);
        fs::create_dir_all(&folder).map_err(|error| StoreError::Io { path: folder.clone(), error })?;
        let json = json::write(std::slice::from_ref(program), json::Form::Document);
        let files = [
            ("case.json", json),
            ("case.bpf", text::write(program)),
            ("repro.c", repro::selftest_asm(program, &told.claims).text),
            ("story.md", told.story.clone()),
        ];
        for (file, content) in files {
            let path = folder.join(file);
            write_whole(&path, content.as_bytes()).map_err(|error| StoreError::Io { path, error })?;
        }
        Ok(())
    }
}

impl State {
    pub fn new(seed: u64, rules: Vec<String>) -> State {
        State { schema: SCHEMA, seed, rules, next: 0, seconds: 0.0, stats: Stats::default(), kept: Vec::new() }
    }
}

fn load(path: &Path) -> Result<Option<State>, StoreError> {
    let path = path.to_owned();
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::Io { path, error }),
    };
    let state: State =
        serde_json::from_slice(&bytes).map_err(|e| StoreError::State { path: path.clone(), why: e.to_string() })?;
    if state.schema != SCHEMA {
        let why = format!("schema {} is not {SCHEMA}", state.schema);
        return Err(StoreError::State { path, why });
    }
    Ok(Some(state))
}
