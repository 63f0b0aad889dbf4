//! A stored program against what is expected of it.
//!
//! What is expected follows from where it lies: below a folder `known/NAME` of the list it shows that entry's signature under
//! each of its kernels; a `.bpf` file says it on its lines; the targets of the folder take a file below `seeds/FOLDER`; any
//! other program has no finding that is not known, under any kernel.

use super::cases::{self, Case};
use super::known::{Known, KnownDivergence};
use super::targets;
use super::work::examine_caught;
use crate::caught::caught;
use crate::exec::Limits;
use crate::kernel::{KernelVersion, Rules};
use crate::oracle::{Examiner, Options};
use crate::program::{Program, shown};
use std::path::Path;

/// Something stored.
#[derive(Debug)]
pub enum Stored {
    /// A `.bpf` file.
    Case(Box<Case>),
    /// A program of another file.
    Program(Box<Program>),
    /// An input of the fuzz targets.
    Seed(Vec<u8>),
}

/// What a replay of one item came to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Replay {
    /// Kernel × check trials.
    pub trials: usize,
    /// What is not as expected, a line each.
    pub wrong: Vec<String>,
}

/// Instructions that a run may take.
const FUEL: u64 = 1 << 24;

/// Replays one item.
pub fn replay_item(path: &Path, stored: &Stored, known: &Known) -> Replay {
    let entry = known.all().iter().find(|k| {
        let folder = path.parent().unwrap_or(path);
        folder.ends_with(Path::new("known").join(&k.name))
    });
    match (stored, entry) {
        // What only real kernels show, the case says on its lines.
        (Stored::Case(case), Some(entry)) if entry.signatures.is_empty() => replay_case(case),
        (Stored::Case(case), Some(entry)) => replay_known(path, &case.file.program, entry),
        (Stored::Program(program), Some(entry)) => replay_known(path, program, entry),
        (Stored::Case(case), None) => replay_case(case),
        (Stored::Program(program), None) => replay_program(path, program, known),
        (Stored::Seed(bytes), _) => replay_seed(path, bytes),
    }
}

fn replay_case(case: &Case) -> Replay {
    let mut replay = Replay::default();
    for version in case.versions() {
        let checks = cases::checks(case, version);
        if checks.is_empty() {
            let line = format!("{}:1: none of its `checks` applies (rules {version})", case.path.display());
            replay.wrong.push(line);
            continue;
        }
        let report = cases::examine(case, version);
        for check in checks {
            replay.trials += 1;
            for mismatch in cases::check(case, version, check, &report) {
                let name = check.name();
                replay.wrong.push(format!("{}:{mismatch} (rules {version}, {name})", case.path.display()));
            }
        }
    }
    replay
}

/// The folder's targets on a seed.
fn replay_seed(path: &Path, bytes: &[u8]) -> Replay {
    let folder = path.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
    let mut replay = Replay::default();
    for target in targets::of_seeds(folder) {
        replay.trials += 1;
        if let Err(panic) = caught(|| (target.run)(bytes)) {
            let (path, name) = (path.display(), target.name);
            replay.wrong.push(format!("{path}: target {name}, {}: {}", panic.place, panic.message));
        }
    }
    if replay.trials == 0 {
        replay.wrong.push(format!("{}: no fuzz target takes the seeds of a folder \"{folder}\"", path.display()));
    }
    replay
}

fn signatures(program: &Program, rules: &Rules) -> Vec<crate::oracle::Finding> {
    let limits = Limits { fuel: FUEL, ..Limits::default() };
    let mut examiner = Examiner::new(Options { limits, ..Options::default() });
    match examine_caught(&mut examiner, program, rules) {
        Ok(report) => report.findings,
        Err(finding) => vec![finding],
    }
}

fn replay_known(path: &Path, program: &Program, entry: &KnownDivergence) -> Replay {
    let mut replay = Replay::default();
    for version in KernelVersion::ALL {
        let listed = entry.rules.iter().any(|v| v == version.name());
        let found = signatures(program, &Rules::of(version));
        let shown = found.iter().any(|f| entry.has(&f.signature));
        replay.trials += 1;
        if listed && !shown {
            let found: Vec<&str> = found.iter().map(|f| f.signature.as_str()).collect();
            let found = if found.is_empty() { "nothing".to_owned() } else { found.join(", ") };
            replay.wrong.push(format!("{}: not found under {version}; found: {found}", path.display()));
        } else if !listed && shown {
            replay.wrong.push(format!("{}: found under {version}, which is not listed", path.display()));
        }
    }
    replay
}

fn replay_program(path: &Path, program: &Program, known: &Known) -> Replay {
    let mut replay = Replay::default();
    let limits = Limits { fuel: FUEL, ..Limits::default() };
    let mut examiner = Examiner::new(Options { limits, ..Options::default() });
    for version in KernelVersion::ALL {
        let rules = Rules::of(version);
        replay.trials += 1;
        for finding in signatures(program, &rules) {
            if known.explains(&finding, program, &rules, &mut examiner).is_none() {
                let (path, name) = (path.display(), shown(&program.name));
                replay
                    .wrong
                    .push(format!("{path}: {name}, rules {version}: {}: {}", finding.signature, finding.evidence));
            }
        }
    }
    replay
}
