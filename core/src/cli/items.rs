//! From paths to programs, and work on many of them in order.

use super::exit::Failure;
use super::options::{Common, Jobs, RulesOption};
use crate::campaign::{Case, Envelope, named};
use crate::kernel::KernelVersion;
use crate::program::{Format, Input, Loaded, load_bytes, text};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

/// A program of the command line.
pub struct Item {
    /// The file that it came from.
    pub path: PathBuf,
    /// The program.
    pub loaded: Loaded,
    /// The kernels that the file names; empty when it names none.
    pub rules: Vec<KernelVersion>,
}

impl Item {
    /// The program, if it is one.
    pub fn program(&self) -> Option<&crate::program::Program> {
        match &self.loaded {
            Loaded::Program(program) => Some(program),
            Loaded::Unsupported { .. } => None,
        }
    }

    /// The program itself, if it is one.
    pub fn into_program(self) -> Option<crate::program::Program> {
        match self.loaded {
            Loaded::Program(program) => Some(program),
            Loaded::Unsupported { .. } => None,
        }
    }
}

/// The case that an input of the fuzz targets stands for.
pub fn fuzzer_input(path: &Path) -> Result<Case, Failure> {
    let bytes = std::fs::read(path).map_err(|e| Failure::file(path, e))?;
    let mut case = Envelope::from_bytes(&bytes).case();
    if case.program.name.is_empty() {
        case.program.name = "case".to_owned();
    }
    Ok(case)
}

/// An item under the rules of one kernel.
pub struct Task<'a> {
    /// The program.
    pub item: &'a Item,
    /// The kernel.
    pub version: KernelVersion,
}

/// Reads all programs below the paths, in the order of the paths and of names in a directory. What is no path but the name of a
/// campaign's case, such as `s7n12`, is that case.
pub fn load(paths: &[PathBuf]) -> Result<Vec<Item>, Failure> {
    let mut items = Vec::new();
    for path in paths {
        if let Some(case) = path.to_str().filter(|_| !path.exists()).and_then(named) {
            items.push(Item { path: path.clone(), loaded: Loaded::Program(case.program), rules: Vec::new() });
            continue;
        }
        for file in files(path)? {
            items.extend(load_file(&file)?);
        }
    }
    if items.is_empty() {
        return Err(Failure::Usage(format!("{}: no program files (.bpf, .json, .jsonl, .o)", shown(paths))));
    }
    Ok(items)
}

fn shown(paths: &[PathBuf]) -> String {
    paths.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(" ")
}

/// The files that a path stands for; a directory stands for all program files below it.
pub fn files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    files_where(path, |file| Format::of_path(file).is_some())
}

/// The path itself, or the files below it that are wanted, in name order.
pub fn files_where(path: &Path, wanted: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>, Failure> {
    let mut out = Vec::new();
    let mut open = vec![path.to_owned()];
    while let Some(path) = open.pop() {
        if !path.is_dir() {
            out.push(path);
            continue;
        }
        let entries = std::fs::read_dir(&path).map_err(|e| Failure::file(&path, e))?;
        let mut below = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| Failure::file(&path, e))?.path();
            if entry.is_dir() || wanted(&entry) {
                below.push(entry);
            }
        }
        below.sort();
        open.extend(below.into_iter().rev());
    }
    Ok(out)
}

/// Reads one file.
pub fn load_file(path: &Path) -> Result<Vec<Item>, Failure> {
    let bytes = std::fs::read(path).map_err(|e| Failure::file(path, e))?;
    let mut rules = Vec::new();
    let mut loaded = load_bytes(path, &bytes, |source| {
        let file = text::parse(source)?;
        rules = file.rules;
        Ok(vec![Loaded::Program(file.program)])
    })?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    for one in &mut loaded {
        if let Loaded::Program(program) = one {
            if program.name.is_empty() {
                program.name = stem.clone().into_owned();
            }
            if program.inputs.is_empty() {
                program.inputs.push(plain_input());
            }
        }
    }
    let item = |loaded| Item { path: path.to_owned(), loaded, rules: rules.clone() };
    Ok(loaded.into_iter().map(item).collect())
}

/// What a program is run on that comes without inputs: a context and a packet of zeros, as long as test runs take them.
fn plain_input() -> Input {
    Input { ctx: vec![0; 96], data: vec![0; 64], seed: 0 }
}

/// Each item under each of its kernels.
pub fn tasks<'a>(items: &'a [Item], rules: &RulesOption) -> Vec<Task<'a>> {
    let under = |item: &'a Item| rules.versions(&item.rules).into_iter().map(move |version| Task { item, version });
    items.iter().flat_map(under).collect()
}

/// Reads the programs of a command, works on each on all threads, and hands on the answers in order.
pub fn each<T: Send>(
    common: &Common,
    work: impl Fn(&Task<'_>) -> T + Sync,
    mut take: impl FnMut(&Task<'_>, T) -> Result<(), Failure>,
) -> Result<usize, Failure> {
    let items = load(&common.paths)?;
    let tasks = tasks(&items, &common.rules);
    in_order(&tasks, common.jobs, work, |n, answer| take(&tasks[n], answer))?;
    Ok(tasks.len())
}

/// Works on each element on several threads, and hands on the answers in order.
pub fn in_order<T: Sync, A: Send>(
    all: &[T],
    jobs: Jobs,
    work: impl Fn(&T) -> A + Sync,
    mut take: impl FnMut(usize, A) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let next = AtomicUsize::new(0);
    let (send, receive) = mpsc::sync_channel::<(usize, A)>(1024);
    std::thread::scope(|scope| {
        let receive = receive;
        for _ in 0..jobs.count().min(all.len().max(1)) {
            let (send, next, work) = (send.clone(), &next, &work);
            scope.spawn(move || {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let Some(one) = all.get(n) else { return };
                    if send.send((n, work(one))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        let mut waiting = BTreeMap::new();
        let mut due = 0;
        for (n, answer) in receive {
            waiting.insert(n, answer);
            while let Some(answer) = waiting.remove(&due) {
                take(due, answer)?;
                due += 1;
            }
        }
        Ok(())
    })
}
