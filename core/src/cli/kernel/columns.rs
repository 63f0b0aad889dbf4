//! What a comparison has a column for: a kernel of a pool, or one that answered earlier.

use crate::cli::exit::Failure;
use crate::cli::options::RulesOption;
use crate::guest::{Answer, Kernel, Pool, Recorder, Recording};
use crate::isa::Insn;
use crate::kernel::{KernelVersion, Rules};
use crate::program::Program;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A kernel's name, and how its answers are read.
#[derive(Clone)]
pub struct Column<'a> {
    /// What people call it.
    pub label: &'a str,
    /// The point release.
    pub point: &'a str,
    /// What `uname -r` says.
    pub release: &'a str,
    /// The rules that it is compared under, where there are any.
    pub rules: Option<Rules>,
    /// The kernel, when it runs.
    pub guest: Option<&'a Kernel>,
}

impl Column<'_> {
    /// An answer's dump with the helpers' numbers.
    pub fn dump(&self, answer: &Answer) -> Vec<Insn> {
        match self.guest {
            Some(kernel) => kernel.facts().with_helper_numbers(&answer.xlated),
            // A recording has them already.
            None => answer.xlated.clone(),
        }
    }
}

/// The kernels of a pool, each compared under its own rules, or under those that were asked for.
pub fn of_pool<'a>(pool: &'a Pool, rules: &RulesOption) -> Vec<Column<'a>> {
    let column = |kernel: &'a Kernel| {
        let image = kernel.image();
        Column {
            label: kernel.name(),
            point: &image.point,
            release: &image.release,
            rules: rules.of_kernel(image.version),
            guest: Some(kernel),
        }
    };
    pool.kernels().iter().map(column).collect()
}

/// Answers of several kernels to the same programs.
pub struct Recorded {
    kernels: Vec<Recorder>,
    programs: Vec<Program>,
    /// By kernel, then by program.
    answers: Vec<Vec<Answer>>,
}

/// Recordings of one kernel, and the place of each entry in them.
struct OfKernel {
    recorder: Recorder,
    places: BTreeMap<(String, String), usize>,
    entries: Vec<(Program, Answer)>,
}

/// Reads the recordings `VERSION/*.jsonl.gz` of a folder. Programs that not all kernels answered are left out.
pub fn recorded(folder: &Path) -> Result<Recorded, Failure> {
    let mut kernels = Vec::new();
    for path in below(folder)?.into_iter().filter(|path| path.is_dir()) {
        let mut of_kernel: Option<OfKernel> = None;
        for file in below(&path)?.into_iter().filter(|path| path.to_string_lossy().ends_with(".jsonl.gz")) {
            let recording = Recording::open(&file)?;
            let recorder = recording.kernel;
            let all =
                of_kernel.get_or_insert_with(|| OfKernel { recorder, places: BTreeMap::new(), entries: Vec::new() });
            for entry in recording.entries {
                all.places.insert((entry.path, entry.program.name.clone()), all.entries.len());
                all.entries.push((entry.program, entry.answer));
            }
        }
        kernels.extend(of_kernel);
    }
    let Some(first) = kernels.first() else {
        return Err(Failure::Usage(format!("{}: no recordings (VERSION/*.jsonl.gz)", folder.display())));
    };
    let in_all = |key: &&(String, String)| kernels.iter().all(|kernel| kernel.places.contains_key(*key));
    let mut keys: Vec<&(String, String)> = first.places.keys().filter(in_all).collect();
    keys.sort_by_key(|key| first.places.get(*key));
    let of = |kernel: &OfKernel| -> Vec<(Program, Answer)> {
        keys.iter().filter_map(|key| kernel.entries.get(*kernel.places.get(*key)?).cloned()).collect()
    };
    let programs = of(first).into_iter().map(|(program, _)| program).collect();
    let answers = kernels.iter().map(|kernel| of(kernel).into_iter().map(|(_, answer)| answer).collect()).collect();
    Ok(Recorded { programs, answers, kernels: kernels.into_iter().map(|kernel| kernel.recorder).collect() })
}

/// What a folder holds, in the order of versions and names.
fn below(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = std::fs::read_dir(folder).map_err(|e| Failure::file(folder, e))?;
    let paths: Result<Vec<PathBuf>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.map_err(|e| Failure::file(folder, e))?;
    let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<KernelVersion>().ok();
    paths.sort_by_key(|path| (version(path), path.clone()));
    Ok(paths)
}

impl Recorded {
    /// The kernels.
    pub fn columns(&self, rules: &RulesOption) -> Vec<Column<'_>> {
        let all = self.kernels.iter();
        all.map(|recorder| Column {
            label: &recorder.kernel,
            point: &recorder.point,
            release: &recorder.release,
            rules: rules.of_kernel(recorder.version()),
            guest: None,
        })
        .collect()
    }

    /// Programs, so many at a time, with their answers by kernel.
    pub fn chunks(&self, size: usize) -> impl Iterator<Item = (Vec<Program>, Vec<Vec<Answer>>)> + '_ {
        (0..self.programs.len()).step_by(size).map(move |start| {
            let end = self.programs.len().min(start + size);
            let some = |all: &Vec<Answer>| all.get(start..end).unwrap_or_default().to_vec();
            let programs = self.programs.get(start..end).unwrap_or_default().to_vec();
            (programs, self.answers.iter().map(some).collect())
        })
    }
}
