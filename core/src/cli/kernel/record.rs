//! `loopdiff kernel record`: answers in files, for tests without guests.

use super::guests::{self, Guests};
use super::progress::Progress;
use crate::campaign::write_whole;
use crate::cli::exit::{Exit, Failure};
use crate::cli::items;
use crate::cli::output::{Output, note};
use crate::guest::{Answer, Ask, Entry, Kernel, Pool, Recorder, Recording, headlines, settle};
use crate::kernel::HelperImms;
use crate::program::Program;
use crate::rewrite::normalise;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Arguments of `kernel record`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Program files (.bpf, .json, .jsonl, .o), or directories of them: a recording each.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    guests: Guests,
    /// Where `VERSION/NAME.jsonl.gz` is written for each kernel and path.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Keep the answers that are there to programs that have not changed, and ask about the others.
    #[arg(long)]
    update: bool,
}

pub fn main(args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let pool = args.guests.start()?;
    let labels: BTreeSet<&str> = pool.kernels().iter().map(|kernel| kernel.image().label()).collect();
    if labels.len() < pool.kernels().len() {
        return Err(Failure::Usage("two kernels of one series cannot be recorded into one folder".to_owned()));
    }
    let progress = Progress::new();
    for path in &args.paths {
        let items = items::load(std::slice::from_ref(path), output)?;
        guests::skip_unsupported(&items, false, output)?;
        let (places, programs): (Vec<String>, Vec<Program>) = items
            .into_iter()
            .map(|item| (place_of(&item.path, path), item))
            .filter_map(|(place, item)| Some((place, item.into_program()?)))
            .unzip();
        let name = format!("{}.jsonl.gz", path.file_stem().unwrap_or_default().to_string_lossy());
        let file_of = |kernel: &Kernel| args.out.join(kernel.image().label()).join(&name);
        let old: Vec<Vec<Entry>> = match args.update {
            true => {
                pool.kernels().iter().map(|kernel| still_true(&file_of(kernel), kernel)).collect::<Result<_, _>>()?
            }
            false => vec![Vec::new(); pool.kernels().len()],
        };
        let has = |old: &Vec<Entry>, n: usize| {
            old.iter().any(|e| places.get(n) == Some(&e.path) && programs.get(n) == Some(&e.program))
        };
        let new: Vec<usize> = (0..programs.len()).filter(|n| !old.iter().all(|old| has(old, *n))).collect();
        let asked: Vec<Program> = new.iter().filter_map(|n| programs.get(*n).cloned()).collect();
        let answers = ask_twice(&progress, &pool, &asked)?;
        for ((kernel, answers), old) in pool.kernels().iter().zip(answers).zip(&old) {
            let file = file_of(kernel);
            let folder = file.parent().unwrap_or(&args.out);
            std::fs::create_dir_all(folder).map_err(|e| Failure::file(folder, e))?;
            let mut answers: BTreeMap<usize, Answer> = new.iter().copied().zip(answers).collect();
            let entry = |(n, (place, program)): (usize, (&String, &Program))| match answers.remove(&n) {
                Some(answer) => Some(Entry { path: place.clone(), program: program.clone(), answer }),
                None => old.iter().find(|e| e.path == *place && e.program == *program).cloned(),
            };
            let entries = places.iter().zip(&programs).enumerate().filter_map(entry).collect();
            let recording = Recording { kernel: Recorder::of(kernel.image()), entries };
            let written = recording.write().and_then(|bytes| write_whole(&file, &bytes).map(|()| bytes.len()));
            let bytes = written.map_err(|e| Failure::file(&file, e))?;
            let (count, asked, release) = (programs.len(), asked.len(), &kernel.facts().release);
            output.line(format_args!(
                "{}  {count} answers of {release}, {asked} of them new, {bytes} bytes",
                file.display()
            ))?;
        }
    }
    Ok(Exit::Fine)
}

/// The entries of an earlier recording of the same kernel; none when there is no such file.
fn still_true(file: &Path, kernel: &Kernel) -> Result<Vec<Entry>, Failure> {
    if !file.exists() {
        return Ok(Vec::new());
    }
    let mut recording = Recording::open(file)?;
    if recording.kernel != Recorder::of(kernel.image()) {
        return Ok(Vec::new());
    }
    // What is left out of messages is a rule that may have become stricter.
    recording.entries.iter_mut().for_each(|entry| entry.answer.kmsg = headlines(&entry.answer.kmsg));
    Ok(recording.entries)
}

/// A file's path from the parent of the folder that was named.
fn place_of(file: &Path, named: &Path) -> String {
    let root = named.parent().unwrap_or(named);
    file.strip_prefix(root).unwrap_or(file).to_string_lossy().into_owned()
}

/// Answers of each kernel without what belongs to one boot: asked a second time, in the other order.
fn ask_twice(progress: &Progress, pool: &Pool, programs: &[Program]) -> Result<Vec<Vec<Answer>>, Failure> {
    let backwards: Vec<Program> = programs.iter().rev().cloned().collect();
    let (one, all) = (programs.len(), 2 * programs.len());
    let first = guests::asking(progress, pool, 0, all, || pool.answer_all(programs, &Ask::default()))?;
    let second = guests::asking(progress, pool, one, all, || pool.answer_all(&backwards, &Ask::default()))?;
    let by_kernel = pool.kernels().iter().zip(first.iter().zip(&second));
    Ok(by_kernel.map(|(kernel, (first, second))| settled(kernel, first, second)).collect())
}

fn settled(kernel: &Kernel, first: &[Answer], backwards: &[Answer]) -> Vec<Answer> {
    let pairs = first.iter().zip(backwards.iter().rev());
    let one = |(first, second): (&Answer, &Answer)| {
        let normal = |answer: &Answer| Answer {
            xlated: normalise(&kernel.facts().with_helper_numbers(&answer.xlated), HelperImms::NUMBERS),
            ..answer.clone()
        };
        let (first, second) = (normal(first), normal(second));
        let settled = settle(&first, &second);
        let again = settle(&second, &first);
        if unlike(&settled, &again) {
            note(format_args!("{}, {}: two answers differ; the first is kept", kernel.image().label(), first.name));
        }
        settled
    };
    pairs.map(one).collect()
}

/// Whether answers differ in what is recorded.
fn unlike(a: &Answer, b: &Answer) -> bool {
    let recorded = |answer: &Answer| Answer { log: String::new(), load_ns: 0, ..answer.clone() };
    let (mut a, mut b) = (recorded(a), recorded(b));
    a.runs.iter_mut().chain(&mut b.runs).for_each(|run| run.duration_ns = 0);
    a != b
}
