//! `loopdiff replay`: a corpus against what is expected of it, as CI does.

use super::exit::{Exit, Failure};
use super::items::{files, in_order, load_file};
use super::options::Jobs;
use super::output::{Output, Tone};
use crate::campaign::{Known, Stored, cases, replay_item};
use crate::program::Loaded;
use serde_json::json;
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
        for file in files(path)? {
            for stored in read(&file)? {
                items.push((file.clone(), stored));
            }
        }
    }
    let work = |(path, stored): &(PathBuf, Stored)| replay_item(path, stored, &known);
    let (mut trials, mut wrong) = (0, 0);
    in_order(&items, args.jobs, work, |_, replay| {
        trials += replay.trials;
        wrong += replay.wrong.len();
        replay.wrong.iter().try_for_each(|line| {
            if args.json { output.json(&json!({ "wrong": line })) } else { output.line(output.paint(Tone::Bad, line)) }
        })
    })?;
    let seconds = (start.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
    if args.json {
        let summary = json!({ "programs": items.len(), "trials": trials, "wrong": wrong, "seconds": seconds });
        output.json(&json!({ "summary": summary }))?;
    } else {
        let line = format!("{} programs, {trials} trials in {seconds:.1} s: ", items.len());
        let end =
            if wrong == 0 { output.paint(Tone::Good, "all as expected") } else { format!("{wrong} not as expected") };
        output.line(format_args!("{line}{end}"))?;
    }
    Ok(if wrong == 0 { Exit::Fine } else { Exit::Found })
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
