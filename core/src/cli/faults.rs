//! `loopdiff faults`: how many cases it takes to notice each planted fault.

use super::exit::{Exit, Failure};
use super::items::in_order;
use super::options::Jobs;
use super::output::{Output, Tone};
use crate::campaign::{Evaluation, FAULTS, Fault, Known, case_options};
use serde_json::json;

/// Arguments of `faults`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Only this fault.
    #[arg(value_name = "FAULT")]
    name: Option<String>,
    /// Seed of the cases.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Cases after which a fault counts as missed.
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    count: u64,
    /// One JSON object a line on standard output, and nothing else.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    jobs: Jobs,
}

pub fn main(args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let faults: Vec<&Fault> =
        FAULTS.iter().filter(|f| args.name.as_deref().is_none_or(|name| name == f.name)).collect();
    if faults.is_empty() {
        let names: Vec<&str> = FAULTS.iter().map(|f| f.name).collect();
        return Err(Failure::Usage(format!("no such fault; there are: {}", names.join(", "))));
    }
    let known = Known::built_in().map_err(|e| Failure::Usage(e.to_string()))?;
    let options = case_options();
    let mut exit = Exit::Fine;
    let work = |fault: &&Fault| fault.evaluate(args.seed, args.count, options, &known);
    in_order(&faults, args.jobs, work, |n, evaluation| {
        let Some(fault) = faults.get(n) else { return Ok(()) };
        let (noticed, cases, signature, evidence) = match &evaluation {
            Evaluation::Noticed { cases, finding, .. } => {
                (true, *cases, finding.signature.as_str(), finding.evidence.as_str())
            }
            Evaluation::Missed { cases } => (false, *cases, "", ""),
        };
        if !noticed {
            exit = Exit::Found;
        }
        if args.json {
            return output.json(&json!({ "fault": fault.name, "noticed": noticed, "cases": cases,
                "signature": signature, "evidence": evidence }));
        }
        let word = if noticed { output.paint(Tone::Good, "noticed") } else { output.paint(Tone::Bad, "missed ") };
        let name = output.paint(Tone::Strong, format!("{:<22}", fault.name));
        output.line(format_args!("{name} {word} after {cases:>6} cases  {signature}"))?;
        output.line(output.paint(Tone::Faint, format!("    {}", fault.story)))
    })?;
    Ok(exit)
}
