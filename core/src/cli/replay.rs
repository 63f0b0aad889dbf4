//! `loopdiff replay`: a corpus against what is expected of it, as CI does.

use super::exit::{Exit, Failure};
use super::items::{files, files_where, in_order, load_file};
use super::options::Jobs;
use super::output::{Output, Tone};
use crate::campaign::{Compared, Differences, Known, Stored, cases, replay_item, wrong_between};
use crate::guest::{Entry, Recorder, Recording};
use crate::kernel::KernelVersion;
use crate::program::Loaded;
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
    let mut items: Vec<(PathBuf, Stored)> = Vec::new();
    for path in &args.paths {
        for file in files(path)?.into_iter().filter(|file| !is_recording(file) && !is_seed(file)) {
            for stored in read(&file)? {
                items.push((file.clone(), stored));
            }
        }
        for file in files_where(path, is_seed)?.into_iter().filter(|file| is_seed(file)) {
            let bytes = std::fs::read(&file).map_err(|e| Failure::file(&file, e))?;
            items.push((file, Stored::Seed(bytes)));
        }
    }
    let work = |(path, stored): &(PathBuf, Stored)| replay_item(path, stored, &known);
    let (mut trials, mut wrong) = (0, 0);
    let mut show = |lines: &[String], output: &mut Output| {
        wrong += lines.len();
        lines.iter().try_for_each(|line| {
            if args.json { output.json(&json!({ "wrong": line })) } else { output.line(output.paint(Tone::Bad, line)) }
        })
    };
    in_order(&items, args.jobs, work, |_, replay| {
        trials += replay.trials;
        show(&replay.wrong, output)
    })?;
    let mut answers = Compared::default();
    for path in &args.paths {
        let (compared, lines) = recordings(path, args.jobs, &known)?;
        answers.merge(compared);
        show(&lines, output)?;
    }
    let seconds = (start.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
    if args.json {
        let summary = json!({
            "programs": items.len(), "trials": trials, "recorded_answers": answers.len(),
            "recorded_left_out": answers.left_out, "wrong": wrong, "seconds": seconds,
        });
        output.json(&json!({ "summary": summary }))?;
    } else {
        let recorded = match (answers.len(), answers.left_out) {
            (0, 0) => String::new(),
            (n, left_out) => format!(", {n} recorded answers of kernels ({left_out} long walks left out)"),
        };
        let line = format!("{} programs, {trials} trials{recorded} in {seconds:.1} s: ", items.len());
        let end =
            if wrong == 0 { output.paint(Tone::Good, "all as expected") } else { format!("{wrong} not as expected") };
        output.line(format_args!("{line}{end}"))?;
    }
    Ok(if wrong == 0 { Exit::Fine } else { Exit::Found })
}

/// The model against the recordings below a path, as the list of differences beside them says.
fn recordings(path: &Path, jobs: Jobs, known: &Known) -> Result<(Compared, Vec<String>), Failure> {
    /// A longer walk is compared by `kernel parity --recorded`.
    const WALK_MAX: u32 = 100_000;
    let (mut all, mut wrong) = (Compared::default(), Vec::new());
    for (folder, files) in recording_files(path)? {
        let list = folder.join("differences.toml");
        let differences = match std::fs::read_to_string(&list) {
            Ok(text) => Differences::parse(&text).map_err(|e| Failure::Usage(format!("{}: {e}", list.display())))?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Differences::default(),
            Err(e) => return Err(Failure::file(&list, e)),
        };
        let recordings: Result<Vec<Recording>, _> = files.iter().map(|file| Recording::open(file)).collect();
        let recordings = recordings?;
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

fn is_seed(file: &Path) -> bool {
    file.parent().and_then(Path::parent).is_some_and(|folder| folder.ends_with("seeds"))
}

fn is_recording(file: &Path) -> bool {
    file.to_string_lossy().ends_with(".jsonl.gz")
}

/// The recordings below a path, `VERSION/*.jsonl.gz`, by the folder that the versions lie in; or the one that it is.
fn recording_files(path: &Path) -> Result<BTreeMap<PathBuf, Vec<PathBuf>>, Failure> {
    let mut found: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    for path in files_where(path, is_recording)?.into_iter().filter(|file| is_recording(file)) {
        let version = path.parent().and_then(|folder| folder.file_name()?.to_str()?.parse::<KernelVersion>().ok());
        if version.is_some()
            && let Some(folder) = path.parent().and_then(Path::parent)
        {
            found.entry(folder.to_owned()).or_default().push(path);
        }
    }
    Ok(found)
}

fn read(file: &Path) -> Result<Vec<Stored>, Failure> {
    if file.extension().is_some_and(|e| e == "bpf") {
        let source = std::fs::read_to_string(file).map_err(|e| Failure::file(file, e))?;
        return Ok(vec![Stored::Case(Box::new(cases::read(file, &source)?))]);
    }
    let programs = load_file(file)?.into_iter().filter_map(|item| match item.loaded {
        Loaded::Program(program) => Some(Stored::Program(Box::new(program))),
        Loaded::Unsupported { .. } => None,
    });
    Ok(programs.collect())
}
