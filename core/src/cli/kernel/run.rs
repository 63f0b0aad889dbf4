//! `loopdiff kernel run`: what kernels answer.

use super::guests::{self, Guests};
use crate::cli::exit::{Exit, Failure};
use crate::cli::items;
use crate::cli::options::Log;
use crate::cli::output::{Output, Tone};
use crate::guest::{Answer, Ask, Jit, LogLevel, Runs, Verdict};
use crate::program::{Program, shown};
use crate::verifier;
use serde::Serialize;
use std::path::PathBuf;

/// Arguments of `kernel run`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Program files (.bpf, .json, .jsonl, .o), or directories of them.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    guests: Guests,
    /// One JSON object a line: an answer as in a recording, with `kernel` and `release`.
    #[arg(long)]
    json: bool,
    /// Load only.
    #[arg(long)]
    no_runs: bool,
    /// Load with the JIT compiler off.
    #[arg(long)]
    no_jit: bool,
    #[command(flatten)]
    log: Log,
}

/// The line of `--json`.
#[derive(Serialize)]
struct Line<'a> {
    kernel: &'a str,
    release: &'a str,
    #[serde(flatten)]
    answer: &'a Answer,
    #[serde(skip_serializing_if = "str::is_empty")]
    log: &'a str,
}

pub fn main(args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let items = items::load(&args.paths, output)?;
    let pool = args.guests.start()?;
    let ask = Ask {
        log: match args.log.level() {
            None => LogLevel::Statistics,
            Some(verifier::LogLevel::Path) => LogLevel::Path,
            Some(verifier::LogLevel::All) => LogLevel::Full,
        },
        log_bytes_max: if args.log.level().is_some() { 1 << 20 } else { Ask::default().log_bytes_max },
        runs: if args.no_runs { Runs::None } else { Runs::All },
        jit: if args.no_jit { Jit::Off } else { Jit::On },
        ..Ask::default()
    };
    guests::each(&items, &pool, &ask, args.json, output, |item, program, answers, output| {
        if !args.json {
            let name = output.paint(Tone::Strong, shown(&program.name));
            let place = output.paint(Tone::Faint, item.path.display());
            output.line(format_args!("{name}  {place}"))?;
        }
        for (kernel, answer) in pool.kernels().iter().zip(answers) {
            let log = if args.log.level().is_some() { answer.log.as_str() } else { "" };
            if args.json {
                output.json(&Line { kernel: kernel.name(), release: &kernel.image().release, answer, log })?;
            } else {
                describe(kernel.name(), program, answer, log, output)?;
            }
        }
        Ok(())
    })?;
    Ok(Exit::Fine)
}

/// An answer as people read it.
fn describe(kernel: &str, program: &Program, answer: &Answer, log: &str, output: &mut Output) -> Result<(), Failure> {
    let tone = match answer.verdict {
        Verdict::Accept => Tone::Good,
        Verdict::Reject => Tone::Notable,
        _ => Tone::Bad,
    };
    let verdict = output.paint(tone, &answer.verdict);
    let what = match answer.verdict {
        Verdict::Accept => {
            let (before, after) = (program.insns.len(), answer.xlated.len());
            format!(", {} walked; {before} instructions, {after} after the rewrite", answer.insns_processed)
        }
        Verdict::Reject => format!(", errno {}: {}", answer.errno, answer.message),
        // What happened is in the verdict.
        Verdict::Died { .. } | Verdict::TimedOut { .. } | Verdict::NotRun(_) => String::new(),
    };
    output.line(format_args!("  {kernel:8} {verdict}{what}"))?;
    for (n, run) in answer.runs.iter().enumerate() {
        match run.err {
            0 => output.line(format_args!("    input {n}: {:#x}", run.retval))?,
            err => output.line(format_args!("    input {n}: the test run failed with errno {err}"))?,
        }
    }
    guests::messages(&answer.kmsg, output)?;
    for line in log.lines() {
        output.line(format_args!("    | {line}"))?;
    }
    Ok(())
}
