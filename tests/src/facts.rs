//! Facts of kernels, and the programs that tell their values apart.

use loopdiff::kernel::{Difference, KernelVersion, Rules};
use loopdiff::oracle::{Answer, Aspect};
use loopdiff::program::{Format, Loaded, Program, load_bytes, text};
use loopdiff::verifier::{LogLevel, verify_with_log};
use std::io;
use std::path::{Path, PathBuf};

/// A fact that changes from a version to the next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// The older version.
    pub from: KernelVersion,
    /// The newer version.
    pub to: KernelVersion,
    /// The fact with both values.
    pub difference: Difference,
}

impl Step {
    /// The versions.
    pub fn name(&self) -> String {
        format!("{} to {}", self.from, self.to)
    }

    /// True when the fact says how the log is written.
    pub fn is_of_log(&self) -> bool {
        self.difference.name.starts_with("log.")
    }

    /// Rules in which this fact alone is that of the other version, with the version that all others are of.
    pub fn rules(&self) -> [(KernelVersion, Rules); 2] {
        let set = |version, value: &str| {
            let mut rules = Rules::of(version);
            rules.set(&self.difference.name, value).expect("a value of another version");
            (version, rules)
        };
        [set(self.from, &self.difference.right), set(self.to, &self.difference.left)]
    }
}

/// All facts that change, by version.
pub fn steps() -> Vec<Step> {
    KernelVersion::ALL
        .windows(2)
        .flat_map(|pair| {
            let (from, to) = (pair[0], pair[1]);
            let differences = Rules::differences(&Rules::of(from), &Rules::of(to));
            differences.into_iter().map(move |difference| Step { from, to, difference })
        })
        .collect()
}

/// An answer; with the log in place of the message when it is asked for.
pub fn answer(program: &Program, rules: &Rules, log: bool) -> Answer {
    let answer = Answer::of(program, rules);
    if log { answer.with_message(verify_with_log(program, rules, LogLevel::All).1) } else { answer }
}

/// The weightiest aspect in which two answers differ; what is not modelled tells nothing.
pub fn difference(left: &Answer, right: &Answer) -> Option<Aspect> {
    if left.is_unsupported() || right.is_unsupported() {
        return None;
    }
    Aspect::ALL.into_iter().find(|aspect| !left.agrees(right, *aspect))
}

/// In what the answers to a program differ by this fact alone.
pub fn tells_apart_in(program: &Program, step: &Step) -> Option<Aspect> {
    let log = step.is_of_log();
    let differs = |(version, rules): (KernelVersion, Rules)| {
        difference(&answer(program, &Rules::of(version), log), &answer(program, &rules, log))
    };
    step.rules().into_iter().filter_map(differs).min()
}

/// Whether the answers to a program differ by this fact alone.
pub fn tells_apart(program: &Program, step: &Step) -> bool {
    tells_apart_in(program, step).is_some()
}

/// A program that tells values apart, and the fact that its file is named after.
pub struct Witness {
    /// The fact.
    pub fact: String,
    /// Its file.
    pub path: PathBuf,
    /// The program.
    pub program: Program,
}

/// The witnesses of a folder: `FACT.bpf` or `FACT.WHAT.bpf`.
pub fn witnesses(folder: &Path) -> io::Result<Vec<Witness>> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)?.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "bpf"));
    paths.sort();
    let facts: Vec<String> = Rules::of(KernelVersion::NEWEST).facts().into_iter().map(|f| f.name).collect();
    paths
        .into_iter()
        .map(|path| {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let named = |fact: &&String| stem == **fact || stem.starts_with(&format!("{fact}."));
            let fact = facts.iter().find(named).cloned();
            let fact = fact.ok_or_else(|| io::Error::other(format!("{}: no such fact", path.display())))?;
            let source = std::fs::read_to_string(&path)?;
            let file = text::parse(&source).map_err(|e| io::Error::other(format!("{}: {e}", path.display())))?;
            Ok(Witness { fact, path, program: file.program })
        })
        .collect()
}

/// The programs of files and folders; what is no program for us is left out.
pub fn programs(paths: &[PathBuf]) -> io::Result<Vec<Program>> {
    let mut open = paths.to_vec();
    let mut programs = Vec::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path)?.flatten().map(|entry| entry.path()));
        } else if Format::of_path(&path).is_some() {
            let parse = |source: &str| Ok(vec![Loaded::Program(text::parse(source)?.program)]);
            let loaded = load_bytes(&path, &std::fs::read(&path)?, parse).map_err(io::Error::other)?;
            programs.extend(loaded.into_iter().filter_map(|l| match l {
                Loaded::Program(program) => Some(program),
                Loaded::Unsupported { .. } => None,
            }));
        }
    }
    Ok(programs)
}
