//! `loopdiff run`: what one or both forms return.

use super::exit::{Exit, Failure};
use super::items::{self, Style, Task};
use super::json;
use super::options::Common;
use super::output::{Output, Tone};
use super::verify;
use crate::exec::{End, Limits, Outcome};
use crate::oracle::{Examiner, Finding, Options, Report, Status};
use crate::program::shown;

/// Arguments of `run`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    seed: Seed,
    /// Instructions that a run may take.
    #[arg(long, value_name = "N", default_value_t = 200_000_000)]
    fuel: u64,
}

/// The seed of everything that is not in the input.
#[derive(clap::Args, Debug)]
pub struct Seed {
    /// Where things lie in memory, and what stack bytes hold that nobody wrote.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
}

pub fn main(args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let mut exit = Exit::Fine;
    let limits = Limits { fuel: args.fuel, layout_seed: args.seed.seed, ..Limits::default() };
    let work = |task: &Task<'_>| {
        let rules = args.common.rules.rules(task.version);
        task.item.program().map(|p| {
            Examiner::new(Options { limits, budget: args.common.memory.budget(), ..Options::default() })
                .examine(p, &rules)
        })
    };
    items::each(&args.common, Style::of(&args.common), output, work, |task, answer, output| {
        let Some(report) = answer else {
            if args.common.json {
                return output.json(&json::not_a_program(task));
            }
            return verify::describe_unsupported(&task.item.loaded, output);
        };
        exit = exit.max(Exit::of_findings(&report.findings));
        if args.common.json {
            return output.json(&json::runs(task, &report));
        }
        if let (Some(program), false) = (task.item.program(), matches!(report.status, Status::Accepted { .. })) {
            return verify::describe(program, &report.status, output);
        }
        describe(&report, output)
    })?;
    Ok(exit)
}

/// The runs of a report, a line each where both forms do the same.
pub fn describe(report: &Report, output: &mut Output) -> Result<(), Failure> {
    for (n, pair) in report.runs.iter().enumerate() {
        let differs = report.findings.iter().any(|f| f.input == Some(n));
        if differs {
            let word = output.paint(Tone::Bad, "different");
            output.line(format_args!("  input {n}: {word}"))?;
            output.line(format_args!("    helper form:  {}", end(&pair.original)))?;
            output.line(format_args!("    inlined form: {}", end(&pair.rewritten)))?;
        } else if pair.original.is_final() && pair.rewritten.is_final() {
            let word = output.paint(Tone::Good, "equal");
            let (helper, inlined) = (pair.original.insns, pair.rewritten.insns);
            let returned = short_end(&pair.original);
            output.line(format_args!(
                "  input {n}: {word}, {returned}; {helper} instructions with the helper, {inlined} inlined"
            ))?;
        } else {
            let word = output.paint(Tone::Notable, "not compared");
            output.line(format_args!(
                "  input {n}: {word}; helper form: {}; inlined form: {}",
                end(&pair.original),
                end(&pair.rewritten)
            ))?;
        }
    }
    report.findings.iter().try_for_each(|finding| describe_finding(finding, output))
}

/// A finding with its evidence.
pub fn describe_finding(finding: &Finding, output: &mut Output) -> Result<(), Failure> {
    let word = output.paint(Tone::Bad, format!("finding {}", finding.signature));
    output.line(format_args!("  {word}: {}", shown(&finding.evidence)))
}

fn short_end(outcome: &Outcome) -> String {
    match outcome.end {
        End::Returned(r0) if (r0 as i64) < 0 && r0 as i64 >= -4095 => format!("both return {r0:#x} ({})", r0 as i64),
        End::Returned(r0) => format!("both return {r0:#x}"),
        _ => format!("both {}", outcome.end),
    }
}

fn end(outcome: &Outcome) -> String {
    format!("{} after {} instructions", outcome.end, outcome.insns)
}
