//! `loopdiff kernel record`: answers in files, for tests without guests.

use super::guests::Guests;
use crate::campaign::write_whole;
use crate::cli::exit::{Exit, Failure};
use crate::cli::items;
use crate::cli::output::{Output, note};
use crate::guest::{Answer, Ask, Entry, Kernel, Pool, Recorder, Recording, settle};
use crate::kernel::HelperImms;
use crate::program::Program;
use crate::rewrite::normalise;
use std::collections::BTreeSet;
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
}

pub fn main(args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let pool = args.guests.start()?;
    let labels: BTreeSet<&str> = pool.kernels().iter().map(|kernel| kernel.image().label()).collect();
    if labels.len() < pool.kernels().len() {
        return Err(Failure::Usage("two kernels of one series cannot be recorded into one folder".to_owned()));
    }
    for path in &args.paths {
        let items = items::load(std::slice::from_ref(path))?;
        let (places, programs): (Vec<String>, Vec<Program>) = items
            .into_iter()
            .map(|item| (place_of(&item.path, path), item))
            .filter_map(|(place, item)| Some((place, item.into_program()?)))
            .unzip();
        let answers = ask_twice(&pool, &programs)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        for (kernel, answers) in pool.kernels().iter().zip(answers) {
            let folder = args.out.join(kernel.image().label());
            std::fs::create_dir_all(&folder).map_err(|e| Failure::file(&folder, e))?;
            let file = folder.join(format!("{name}.jsonl.gz"));
            let entries = places.iter().zip(&programs).zip(answers).map(|((place, program), answer)| Entry {
                path: place.clone(),
                program: program.clone(),
                answer,
            });
            let recording = Recording { kernel: Recorder::of(kernel.image()), entries: entries.collect() };
            let written = recording.write().and_then(|bytes| write_whole(&file, &bytes).map(|()| bytes.len()));
            let bytes = written.map_err(|e| Failure::file(&file, e))?;
            let (count, release) = (programs.len(), &kernel.facts().release);
            output.line(format_args!("{}  {count} answers of {release}, {bytes} bytes", file.display()))?;
        }
    }
    Ok(Exit::Fine)
}

/// A file's path from the parent of the folder that was named.
fn place_of(file: &Path, named: &Path) -> String {
    let root = named.parent().unwrap_or(named);
    file.strip_prefix(root).unwrap_or(file).to_string_lossy().into_owned()
}

/// Answers of each kernel without what belongs to one boot: asked a second time, in the other order.
fn ask_twice(pool: &Pool, programs: &[Program]) -> Result<Vec<Vec<Answer>>, Failure> {
    let backwards: Vec<Program> = programs.iter().rev().cloned().collect();
    let first = pool.answer_all(programs, &Ask::default())?;
    let second = pool.answer_all(&backwards, &Ask::default())?;
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
