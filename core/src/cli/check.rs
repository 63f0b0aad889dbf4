//! `loopdiff check`: verify, inline, run both forms, compare.

use super::exit::{Exit, Failure};
use super::items::{self, Task};
use super::options::Common;
use super::output::{Output, Tone};
use super::run::Seed;
use super::{run, verify};
use crate::exec::Limits;
use crate::kernel::Rules;
use crate::oracle::{Examiner, Options, Report, Tally};
use crate::program::Loaded;
use serde_json::json;
use std::time::Instant;

/// Arguments of `check`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    seed: Seed,
    /// Instructions that a run may take.
    #[arg(long, value_name = "N", default_value_t = 20_000_000)]
    fuel: u64,
    /// Only findings and the summary; the default for more than 40 programs.
    #[arg(long, short)]
    quiet: bool,
    /// Every program.
    #[arg(long, short, conflicts_with = "quiet")]
    verbose: bool,
}

/// Programs up to which each is shown.
const SHOWN_MAX: usize = 40;

pub fn main(args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let start = Instant::now();
    let budget = args.common.memory.budget();
    let limits = Limits { fuel: args.fuel, layout_seed: args.seed.seed, ..Limits::default() };
    let items = items::load(&args.common.paths)?;
    let tasks = items::tasks(&items, &args.common.rules);
    let every = args.verbose || !args.quiet && tasks.len() <= SHOWN_MAX;
    let work = |task: &Task<'_>| {
        let rules = args.common.rules.rules(task.version);
        task.item.program().map(|p| Examiner::new(Options { limits, budget, ..Options::default() }).examine(p, &rules))
    };
    let mut tally = Tally::default();
    items::in_order(&tasks, args.common.jobs, work, |n, report| {
        let Some(task) = tasks.get(n) else { return Ok(()) };
        match &report {
            Some(report) => tally.add(report),
            None => tally.add_unreadable(),
        }
        if args.common.json {
            return report.iter().try_for_each(|r| findings_json(task, r, output));
        }
        match &report {
            Some(report) if every || !report.findings.is_empty() => {
                show(task, report, &args.common.rules.rules(task.version), output)
            }
            None if every => {
                verify::heading(task, output)?;
                verify::describe_unsupported(&task.item.loaded, output)
            }
            _ => Ok(()),
        }
    })?;
    let seconds = start.elapsed().as_secs_f64();
    if args.common.json {
        output.json(&json!({ "summary": summary_json(&tally, seconds, args.seed.seed) }))?;
    } else {
        describe_tally(&tally, output)?;
    }
    Ok(if tally.findings.is_empty() { Exit::Fine } else { Exit::Found })
}

fn show(task: &Task<'_>, report: &Report, rules: &Rules, output: &mut Output) -> Result<(), Failure> {
    let Loaded::Program(program) = &task.item.loaded else { return Ok(()) };
    verify::heading(task, output)?;
    verify::describe(program, &report.status, output)?;
    verify::describe_notes(program, rules, output)?;
    run::describe(report, output)
}

fn findings_json(task: &Task<'_>, report: &Report, output: &mut Output) -> Result<(), Failure> {
    for finding in &report.findings {
        output.json(&json!({ "finding": {
            "oracle": finding.class.name(),
            "signature": finding.signature,
            "name": task.item.loaded.name(),
            "rules": task.version.name(),
            "input": finding.input,
            "evidence": finding.evidence,
            "case": task.item.path.display().to_string(),
        }}))?;
    }
    Ok(())
}

/// The object of a summary line.
pub fn summary_json(tally: &Tally, seconds: f64, seed: u64) -> serde_json::Value {
    let by_class: serde_json::Map<_, _> =
        tally.findings.iter().map(|(class, count)| (class.name().to_owned(), (*count).into())).collect();
    let vacuous: serde_json::Map<_, _> =
        tally.vacuous.iter().map(|(why, count)| (why.to_string(), (*count).into())).collect();
    json!({
        "programs": tally.programs,
        "accepted": tally.accepted,
        "rejected": tally.rejected,
        "unsupported": tally.unsupported,
        "loop_sites": tally.loop_sites,
        "inlined": tally.inlined,
        "compared": tally.compared,
        "vacuous": vacuous,
        "findings": by_class,
        "known": tally.known,
        "seconds": (seconds * 1000.0).round() / 1000.0,
        "seed": seed,
    })
}

fn describe_tally(tally: &Tally, output: &mut Output) -> Result<(), Failure> {
    let line = format!(
        "{} programs: {} accepted, {} rejected, {} unsupported; {} loops, {} inlined; {} runs of both forms compared",
        tally.programs,
        tally.accepted,
        tally.rejected,
        tally.unsupported,
        tally.loop_sites,
        tally.inlined,
        tally.compared
    );
    output.line(output.paint(Tone::Strong, line))?;
    let mut findings: Vec<String> = tally.findings.iter().map(|(class, n)| format!("{n} {class}")).collect();
    if findings.is_empty() {
        findings.push(output.paint(Tone::Good, "none"));
    }
    output.line(format_args!("findings: {}", findings.join(", ")))
}
