//! `loopdiff kernel parity`: the model against kernels, and kernels against each other.

use super::columns::{self, Column};
use super::comparison::{Between, CHUNK, Compared, Comparison, Why};
use super::guests::{self, Guests};
use super::progress::Progress;
use super::summary::FailOn;
use crate::cli::exit::{Exit, Failure};
use crate::cli::items;
use crate::cli::options::{Jobs, RulesOption};
use crate::cli::output::{Output, note};
use crate::guest::{Answer, Ask};
use crate::oracle::parity::Match;
use crate::program::Program;
use serde_json::json;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

/// Arguments of `kernel parity`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Program files (.bpf, .json, .jsonl, .o), or directories of them.
    #[arg(required_unless_present = "recorded", value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    guests: Guests,
    /// Answers of recordings, `VERSION/*.jsonl.gz` in this folder, instead of guests; their own programs.
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["paths", "kernel", "image"])]
    recorded: Option<PathBuf>,
    #[command(flatten)]
    rules: RulesOption,
    #[command(flatten)]
    jobs: Jobs,
    /// One JSON object a line: the differences, then a summary.
    #[arg(long)]
    json: bool,
    /// Names of programs that are shown for each signature.
    #[arg(long, value_name = "N", default_value_t = 3)]
    examples: usize,
    #[arg(
        long,
        value_name = "WHAT",
        value_enum,
        value_delimiter = ',',
        default_value = "model",
        hide_possible_values = true,
        help = "What makes the command end with 1, apart from differences that are known: model (in any aspect), \
                  verdict, errno, message, sites, xlated, stack, count, run (the model, in these alone), kernels (they differ \
                  from each other), nothing"
    )]
    fail_on: Vec<FailOn>,
}

pub fn main(args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    args.rules.check_for_kernels()?;
    let progress = Progress::new();
    if let Some(folder) = &args.recorded {
        let recorded = columns::recorded(folder)?;
        let mut comparison = Comparison::new(recorded.columns(&args.rules), None, args.jobs);
        for (places, programs, answers) in recorded.chunks(CHUNK) {
            one_chunk(args, &progress, recorded.len(), &mut comparison, (&places, &programs), answers, output)?;
        }
        return finish(args, &comparison, output);
    }
    let items = items::load(&args.paths, output)?;
    let pool = args.guests.start()?;
    guests::skip_unsupported(&items, args.json, output)?;
    let (places, programs): (Vec<PathBuf>, Vec<Program>) =
        items.into_iter().filter_map(|item| Some((item.path.clone(), item.into_program()?))).unzip();
    let mut comparison = Comparison::new(columns::of_pool(&pool, &args.rules), Some(&pool), args.jobs);
    for (n, (places, chunk)) in places.chunks(CHUNK).zip(programs.chunks(CHUNK)).enumerate() {
        let ask = || pool.answer_all(chunk, &Ask::default());
        let answers = guests::asking(&progress, &pool, n * CHUNK, programs.len(), ask)?;
        one_chunk(args, &progress, programs.len(), &mut comparison, (places, chunk), answers, output)?;
    }
    finish(args, &comparison, output)
}

/// Compares some programs, with progress.
fn one_chunk(
    args: &Args,
    progress: &Progress,
    all: usize,
    comparison: &mut Comparison<'_>,
    (places, programs): (&[PathBuf], &[Program]),
    answers: Vec<Vec<Answer>>,
    output: &mut Output,
) -> Result<(), Failure> {
    let columns = comparison.columns();
    let compared = AtomicU64::new(comparison.programs());
    let work = || {
        comparison.chunk_of(programs, places, answers, |program, found, why| {
            compared.fetch_add(1, Ordering::Relaxed);
            if args.json { show(&columns, &program.name, found, why, output) } else { Ok(()) }
        })
    };
    progress.during("comparing with the model", all as u64, || compared.load(Ordering::Relaxed), work)
}

/// Reports, and says why the command fails if it does.
fn finish(args: &Args, comparison: &Comparison<'_>, output: &mut Output) -> Result<Exit, Failure> {
    comparison.report(args.json, args.examples, output)?;
    output.flush()?;
    let failures = comparison.found().failures(&args.fail_on);
    failures.iter().for_each(|why| note(format_args!("loopdiff: {why}")));
    Ok(if failures.is_empty() { Exit::Fine } else { Exit::Found })
}

/// Writes the differences of a program as JSON.
fn show(
    columns: &[Column<'_>],
    name: &str,
    compared: &Compared,
    why: &Why<'_>,
    output: &mut Output,
) -> Result<(), Failure> {
    for (column, parity) in columns.iter().zip(&compared.parity) {
        for (aspect, result) in parity {
            let Match::Different { signature, evidence } = result else { continue };
            output.json(&json!({ "difference": {
                "kernel": column.label, "name": name, "aspect": aspect.name(),
                "signature": signature, "evidence": evidence, "known": why.of_model(column, signature),
            } }))?;
        }
    }
    for Between { signature, cause } in &compared.differences {
        let known = why.between(signature);
        output.json(&json!({ "between": { "name": name, "signature": signature, "cause": cause, "known": known } }))?;
    }
    match &compared.message {
        Some(signature) => {
            let known = why.between(signature);
            output.json(&json!({ "message": { "name": name, "signature": signature, "known": known } }))
        }
        None => Ok(()),
    }
}
