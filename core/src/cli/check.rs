//! `loopdiff check`: verify, inline, run both forms, compare.

use super::exit::{Exit, Failure};
use super::items::{self, Style, Task};
use super::options::Common;
use super::output::{Output, Tone};
use super::reasons::Reasons;
use super::run::Seed;
use super::{json, run, verify};
use crate::campaign::examine_caught;
use crate::exec::Limits;
use crate::kernel::Rules;
use crate::oracle::{Examiner, Finding, Options, Report, Tally};
use serde_json::{Map, Value, json};
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
    let items = items::load(&args.common.paths, output)?;
    let unreadable = output.complaints();
    let tasks = items::tasks(&items, &args.common.rules);
    let every = args.verbose || !args.quiet && tasks.len() <= SHOWN_MAX;
    let work = |task: &Task<'_>| {
        let rules = args.common.rules.rules(task.version);
        let mut examiner = Examiner::new(Options { limits, budget, ..Options::default() });
        task.item.program().map(|p| examine_caught(&mut examiner, p, &rules))
    };
    let (mut tally, mut reasons) = (Tally::default(), Reasons::default());
    let mut exit = Exit::Fine;
    let style = Style::of(&args.common);
    items::answer(&tasks, args.common.jobs, style, output, work, |task, answer, output| {
        match &answer {
            Some(Ok(report)) => tally.add(report),
            Some(Err(panic)) => tally.add_finding(panic),
            None => tally.add_unreadable(),
        }
        let report = answer.as_ref().and_then(|answer| answer.as_ref().ok());
        reasons.add(task, report);
        let findings = match &answer {
            Some(Ok(report)) => report.findings.as_slice(),
            Some(Err(panic)) => std::slice::from_ref(panic),
            None => &[],
        };
        exit = exit.max(Exit::of_findings(findings));
        if args.common.json {
            output.json(&json!({ "program": program_json(task, &answer) }))?;
            return findings.iter().try_for_each(|finding| output.json(&json::finding(task, finding)));
        }
        if every || !findings.is_empty() {
            show(task, &answer, &args.common.rules.rules(task.version), output)
        } else {
            Ok(())
        }
    })?;
    let seconds = start.elapsed().as_secs_f64();
    if args.common.json {
        let mut summary = summary_json(&tally, seconds, args.seed.seed);
        if let Some(fields) = summary.as_object_mut() {
            fields.insert("reasons".into(), reasons.json());
            fields.insert("unreadable".into(), unreadable.into());
        }
        output.json(&json!({ "summary": summary }))?;
    } else {
        // What is shown program by program needs no table.
        if !every || args.verbose && tasks.len() > SHOWN_MAX {
            reasons.describe(args.verbose, output)?;
        }
        describe_tally(&tally, items.len(), unreadable, output)?;
    }
    Ok(exit)
}

/// A report, the panic that it came to, or nothing for what is no program.
type Checked = Option<Result<Report, Finding>>;

fn show(task: &Task<'_>, checked: &Checked, rules: &Rules, output: &mut Output) -> Result<(), Failure> {
    match (checked, task.item.program()) {
        (Some(Ok(report)), Some(program)) => {
            verify::describe(program, &report.status, output)?;
            verify::describe_notes(program, rules, output)?;
            run::describe(report, output)
        }
        (Some(Err(panic)), _) => {
            run::describe_finding(panic, output)?;
            output.line(format_args!("  {}", Failure::REPORT_HINT))
        }
        _ => verify::describe_unsupported(&task.item.loaded, output),
    }
}

fn program_json(task: &Task<'_>, checked: &Checked) -> Value {
    match (checked, task.item.program()) {
        (Some(Ok(report)), Some(program)) => json::checked(task, report, program),
        (Some(Err(panic)), _) => json::failed(task, panic),
        _ => json::not_a_program(task),
    }
}

/// The object of a summary line.
pub fn summary_json(tally: &Tally, seconds: f64, seed: u64) -> Value {
    let by_class: Map<_, _> =
        tally.findings.iter().map(|(class, count)| (class.name().to_owned(), (*count).into())).collect();
    let vacuous: Map<_, _> = tally.vacuous.iter().map(|(why, count)| (why.to_string(), (*count).into())).collect();
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

fn describe_tally(tally: &Tally, programs: usize, unreadable: usize, output: &mut Output) -> Result<(), Failure> {
    let verdicts = match tally.programs as usize {
        verdicts if verdicts == programs => String::new(),
        verdicts => format!(", {verdicts} verdicts"),
    };
    let unreadable = if unreadable > 0 { format!("; {unreadable} could not be read") } else { String::new() };
    let line = format!(
        "{programs} programs{verdicts}: {} accepted, {} rejected, {} unsupported{unreadable}",
        tally.accepted, tally.rejected, tally.unsupported
    );
    output.line(output.paint(Tone::Strong, line))?;
    output.line(format_args!(
        "{} loops, {} inlined; {} runs of both forms compared",
        tally.loop_sites, tally.inlined, tally.compared
    ))?;
    let mut findings: Vec<String> = tally.findings.iter().map(|(class, n)| format!("{n} {class}")).collect();
    if findings.is_empty() {
        findings.push(output.paint(Tone::Good, "none"));
    }
    output.line(format_args!("findings: {}", findings.join(", ")))
}
