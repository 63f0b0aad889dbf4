//! `loopdiff kernel parity`: the model against kernels, and kernels against each other.

use super::columns::{self, Column};
use super::comparison::{Between, CHUNK, Compared, Comparison};
use super::guests::Guests;
use crate::cli::exit::{Exit, Failure};
use crate::cli::items;
use crate::cli::options::{Jobs, RulesOption};
use crate::cli::output::Output;
use crate::guest::Ask;
use crate::oracle::parity::{Match, Parity};
use crate::program::Program;
use serde_json::{Value, json};
use std::path::PathBuf;

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
}

pub fn main(args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    args.rules.check_for_kernels()?;
    if let Some(folder) = &args.recorded {
        let recorded = columns::recorded(folder)?;
        let mut comparison = Comparison::new(recorded.columns(&args.rules), None, args.jobs);
        for (programs, answers) in recorded.chunks(CHUNK) {
            comparison.chunk(&programs, answers, show(args, &recorded.columns(&args.rules), output))?;
        }
        return comparison.report(args.json, args.examples, output).map(|()| Exit::Fine);
    }
    let pool = args.guests.start()?;
    let items = items::load(&args.paths, output)?;
    let programs: Vec<Program> = items.into_iter().filter_map(|item| item.into_program()).collect();
    let columns = columns::of_pool(&pool, &args.rules);
    let mut comparison = Comparison::new(columns.clone(), Some(&pool), args.jobs);
    for chunk in programs.chunks(CHUNK) {
        let answers = pool.answer_all(chunk, &Ask::default())?;
        comparison.chunk(chunk, answers, show(args, &columns, output))?;
    }
    comparison.report(args.json, args.examples, output).map(|()| Exit::Fine)
}

/// Writes the differences of a program, where JSON is wanted.
fn show<'a>(
    args: &'a Args,
    columns: &'a [Column<'a>],
    output: &'a mut Output,
) -> impl FnMut(&str, &Compared) -> Result<(), Failure> + 'a {
    move |name, compared| {
        if !args.json {
            return Ok(());
        }
        for (column, parity) in columns.iter().zip(&compared.parity) {
            let mut lines = parity.iter().flat_map(|parity| differences(column.label, name, parity));
            lines.try_for_each(|line| output.json(&line))?;
        }
        compared.differences.iter().try_for_each(|Between { signature, cause }| {
            output.json(&json!({ "between": { "name": name, "signature": signature, "cause": cause } }))
        })
    }
}
fn differences<'a>(kernel: &'a str, name: &'a str, parity: &'a Parity) -> impl Iterator<Item = Value> + 'a {
    parity.iter().filter_map(move |(aspect, result)| match result {
        Match::Different { signature, evidence } => Some(json!({ "difference": {
            "kernel": kernel, "name": name, "aspect": aspect.name(),
            "signature": signature, "evidence": evidence,
        } })),
        Match::Same | Match::NotCompared(_) => None,
    })
}
