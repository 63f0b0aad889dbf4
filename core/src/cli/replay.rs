//! `loopdiff replay`: a corpus against what is expected of it, as CI does.

use super::exit::{Exit, Failure};
use super::files::{files, files_where};
use super::items::{self, in_order, load_file, no_program_files};
use super::options::Jobs;
use super::output::{Output, Tone};
use crate::bounded::{PROGRAM_FILE_BYTES_MAX, read_file};
use crate::campaign::{Compared, Differences, Known, Stored, cases, replay_item, wrong_between};
use crate::caught::caught;
use crate::guest::{Entry, Recorder, Recording};
use crate::kernel::KernelVersion;
use crate::program::program_text;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Arguments of `replay`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Folders or files of the corpus.
    #[arg(required = true, value_name = "DIR")]
    paths: Vec<PathBuf>,
    /// One JSON object a line on standard output, and nothing else.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    jobs: Jobs,
}

pub fn main(args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let start = Instant::now();
    let known = Known::built_in().map_err(|e| Failure::Usage(e.to_string()))?;
    let (items, unsupported) = stored(&args.paths, output);
    let work = |(path, stored): &(PathBuf, Stored)| caught(|| replay_item(path, stored, &known));
    let (mut trials, mut wrong) = (0, 0);
    let mut show = |lines: &[String], output: &mut Output| {
        wrong += lines.len();
        lines.iter().try_for_each(|line| {
            if args.json { output.json(&json!({ "wrong": line })) } else { output.line(output.paint(Tone::Bad, line)) }
        })
    };
    in_order(&items, args.jobs, work, |n, replay| match replay {
        Ok(replay) => {
            trials += replay.trials;
            show(&replay.wrong, output)
        }
        Err(panic) => {
            output.mark(Exit::Internal);
            let path = items.get(n).map(|(path, _)| path.display().to_string()).unwrap_or_default();
            show(&[format!("{path}: {panic}\n    {}", Failure::REPORT_HINT)], output)
        }
    })?;
    let mut answers = Compared::default();
    for path in &args.paths {
        let (compared, lines) = recordings(path, args.jobs, &known, output)?;
        answers.merge(compared);
        show(&lines, output)?;
    }
    if trials == 0 && wrong == 0 && answers.is_empty() {
        return Err(match (items.is_empty() && unsupported == 0, output.worst() >= Exit::Input) {
            (true, false) => no_program_files(&args.paths),
            (_, true) => Failure::Said(Exit::Input),
            (false, false) => Failure::Usage("nothing was tried: there is no program that the model takes".to_owned()),
        });
    }
    let seconds = (start.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
    if args.json {
        let summary = json!({
            "programs": items.len(), "trials": trials, "unsupported": unsupported,
            "recorded_answers": answers.len(), "recorded_left_out": answers.left_out, "wrong": wrong, "seconds": seconds,
        });
        output.json(&json!({ "summary": summary }))?;
    } else {
        let recorded = match (answers.len(), answers.left_out) {
            (0, 0) => String::new(),
            (n, left_out) => format!(", {n} recorded answers of kernels ({left_out} long walks left out)"),
        };
        let left_out = if unsupported > 0 { format!(", {unsupported} unsupported") } else { String::new() };
        let line = format!("{} programs{left_out}, {trials} trials{recorded} in {seconds:.1} s: ", items.len());
        let end =
            if wrong == 0 { output.paint(Tone::Good, "all as expected") } else { format!("{wrong} not as expected") };
        output.line(format_args!("{line}{end}"))?;
    }
    Ok(if wrong == 0 { Exit::Fine } else { Exit::Found })
}

/// What is stored below the paths, and the number of programs that are none for us. What cannot be read is complained of.
fn stored(paths: &[PathBuf], output: &mut Output) -> (Vec<(PathBuf, Stored)>, usize) {
    let (mut items, mut unsupported) = (Vec::new(), 0);
    for path in paths {
        for file in files(path, output).into_iter().filter(|file| !is_recording(file) && !is_seed(file)) {
            match read(&file) {
                Ok((stored, left_out)) => {
                    unsupported += left_out;
                    items.extend(stored.into_iter().map(|stored| (file.clone(), stored)));
                }
                Err(failure) => output.complain(&failure),
            }
        }
        for file in files_where(path, output, is_seed).into_iter().filter(|file| is_seed(file)) {
            match items::read(&file) {
                Ok(bytes) => items.push((file, Stored::Seed(bytes))),
                Err(failure) => output.complain(&failure),
            }
        }
    }
    (items, unsupported)
}

/// The model against the recordings below a path, as the list of differences beside them says.
fn recordings(path: &Path, jobs: Jobs, known: &Known, output: &mut Output) -> Result<(Compared, Vec<String>), Failure> {
    /// A longer walk is compared by `kernel parity --recorded`.
    const WALK_MAX: u32 = 100_000;
    let (mut all, mut wrong) = (Compared::default(), Vec::new());
    for (folder, files) in recording_files(path, output) {
        let differences = listed(&folder.join("differences.toml"))?;
        let mut recordings = Vec::new();
        for file in &files {
            match Recording::open(file) {
                Ok(recording) => recordings.push(recording),
                Err(error) => output.complain(&error.into()),
            }
        }
        let pairs: Vec<(&Recorder, &Entry)> =
            recordings.iter().flat_map(|r| r.entries.iter().map(|entry| (&r.kernel, entry))).collect();
        let work = |(recorder, entry): &(&Recorder, &Entry)| {
            let mut compared = Compared::default();
            compared.add(recorder, entry, WALK_MAX);
            compared
        };
        let mut compared = Compared::default();
        in_order(&pairs, jobs, work, |_, one| {
            compared.merge(one);
            Ok(())
        })?;
        wrong.extend(differences.wrong(&compared));
        wrong.extend(wrong_between(known, &pairs));
        all.merge(compared);
    }
    Ok((all, wrong))
}

/// The list of differences beside recordings; an empty one where there is none.
fn listed(list: &Path) -> Result<Differences, Failure> {
    let bytes = match read_file(list, PROGRAM_FILE_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Differences::default()),
        Err(e) => return Err(Failure::file(list, e)),
    };
    let parsed = String::from_utf8(bytes).map_err(|e| e.to_string()).and_then(|text| Differences::parse(&text));
    parsed.map_err(|e| Failure::Usage(format!("{}: {e}", list.display())))
}

fn is_seed(file: &Path) -> bool {
    file.parent().and_then(Path::parent).is_some_and(|folder| folder.ends_with("seeds"))
}

fn is_recording(file: &Path) -> bool {
    file.to_string_lossy().ends_with(".jsonl.gz")
}

/// The recordings below a path, `VERSION/*.jsonl.gz`, by the folder that the versions lie in; or the one that it is.
fn recording_files(path: &Path, output: &mut Output) -> BTreeMap<PathBuf, Vec<PathBuf>> {
    let mut found: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    for path in files_where(path, output, is_recording).into_iter().filter(|file| is_recording(file)) {
        let version = path.parent().and_then(|folder| folder.file_name()?.to_str()?.parse::<KernelVersion>().ok());
        if version.is_some()
            && let Some(folder) = path.parent().and_then(Path::parent)
        {
            found.entry(folder.to_owned()).or_default().push(path);
        }
    }
    found
}

/// What is stored in a file, and the number of programs that are none for us.
fn read(file: &Path) -> Result<(Vec<Stored>, usize), Failure> {
    if file.extension().is_some_and(|e| e == "bpf") {
        let bytes = items::read(file)?;
        let source = program_text(&bytes).map_err(|e| e.in_file(file))?;
        return Ok((vec![Stored::Case(Box::new(cases::read(file, source)?))], 0));
    }
    let items = load_file(file)?;
    let all = items.len();
    let programs = items.into_iter().filter_map(|item| Some(Stored::Program(Box::new(item.into_program()?))));
    let programs: Vec<Stored> = programs.collect();
    let unsupported = all - programs.len();
    Ok((programs, unsupported))
}
