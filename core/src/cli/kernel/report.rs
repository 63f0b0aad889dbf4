//! What a comparison has found, as tables and as JSON.

use super::columns::Column;
use crate::campaign::Difference;
use crate::cli::exit::Failure;
use crate::cli::output::{Output, Tone};
use crate::guest::Kernel;
use crate::oracle::parity::{Aspect, ParityTally};
use serde_json::{Map, Value, json};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// What was found: by kernel, and between them by signature.
#[derive(Clone, Copy)]
pub struct Found<'a> {
    /// The kernels.
    pub columns: &'a [Column<'a>],
    /// How the model agrees with each of them.
    pub tallies: &'a [ParityTally],
    /// In what they differ from each other.
    pub groups: &'a BTreeMap<String, Difference>,
}

/// Tables for people, with the names of so many programs for each signature.
pub fn tables(
    Found { columns, tallies, groups }: Found<'_>,
    examples: usize,
    output: &mut Output,
) -> Result<(), Failure> {
    agreement(columns, tallies, output)?;
    for (column, tally) in columns.iter().zip(tallies) {
        let heading = format!("{}: the model and the kernel differ", column.label);
        list(&heading, &tally.signatures, examples, output)?;
        for (why, count) in &tally.not_compared {
            output.line(output.paint(Tone::Faint, format!("{count:>6}  not compared, {why}")))?;
        }
    }
    if columns.len() > 1 {
        between(groups, examples, output)?;
    }
    Ok(())
}

/// Summaries as JSON, a line a kernel and one for what lies between them.
pub fn summaries(Found { columns, tallies, groups }: Found<'_>, output: &mut Output) -> Result<(), Failure> {
    let counts = |all: &BTreeMap<String, Vec<String>>| -> Map<String, Value> {
        all.iter().map(|(signature, names)| (signature.clone(), names.len().into())).collect()
    };
    let of_groups = |value: fn(&Difference) -> Value| -> Map<String, Value> {
        groups.iter().map(|(signature, group)| (signature.clone(), value(group))).collect()
    };
    for (column, tally) in columns.iter().zip(tallies) {
        let aspects: Map<String, Value> = tally
            .aspects
            .iter()
            .map(|(aspect, [same, different, not])| {
                let counts = json!({ "same": same, "different": different, "not_compared": not });
                (aspect.name().to_owned(), counts)
            })
            .collect();
        output.json(&json!({ "summary": {
            "kernel": column.label, "release": column.release, "programs": tally.programs,
            "aspects": aspects, "signatures": counts(&tally.signatures), "not_compared": tally.not_compared,
            "guest": column.guest.map(speed),
        } }))?;
    }
    output.json(&json!({ "summary": {
        "between": of_groups(|group| group.names.len().into()), "causes": of_groups(|group| json!(group.causes)),
    } }))
}

fn speed(kernel: &Kernel) -> Value {
    let tally = kernel.tally();
    let rate = tally.programs as f64 / tally.cpu_seconds.max(1e-9);
    json!({
        "programs": tally.programs, "guests": tally.guests, "flukes": tally.flukes,
        "cpu_seconds": tally.cpu_seconds, "programs_per_cpu_second": rate.round(),
    })
}

/// Shares of agreement, a column a kernel.
fn agreement(columns: &[Column<'_>], tallies: &[ParityTally], output: &mut Output) -> Result<(), Failure> {
    let mut head = format!("{:10}", "");
    for column in columns {
        head += &format!("{:>24}", column.point);
    }
    let head = output.paint(Tone::Strong, head);
    output.line(head)?;
    for aspect in Aspect::ALL {
        let mut row = format!("{:10}", aspect.name());
        for tally in tallies {
            let [same, different, _] = tally.aspects.get(&aspect).copied().unwrap_or_default();
            let all = same + different;
            let share = 100.0 * same as f64 / all.max(1) as f64;
            row += &if all == 0 {
                format!("{:>24}", "-")
            } else {
                format!("{:>24}", format!("{same}/{all} {share:6.2} %"))
            };
        }
        output.line(row)?;
    }
    let mut row = format!("{:10}", "guests");
    for column in columns {
        let Some(kernel) = column.guest else { return Ok(()) };
        let tally = kernel.tally();
        let rate = tally.programs as f64 / tally.cpu_seconds.max(1e-9);
        row += &format!("{:>24}", format!("{rate:.0} programs/CPU-s"));
    }
    output.line(row)
}

/// Differences between kernels by how many programs have them, each with its causes.
fn between(groups: &BTreeMap<String, Difference>, examples: usize, output: &mut Output) -> Result<(), Failure> {
    const CAUSES: usize = 3;
    let total: usize = groups.values().map(|group| group.names.len()).sum();
    let heading = output.paint(Tone::Strong, "kernels differ from each other");
    output.line(format_args!("\n{heading}: {total} in {} groups", groups.len()))?;
    let mut all: Vec<_> = groups.iter().collect();
    all.sort_by_key(|(_, group)| Reverse(group.names.len()));
    for (signature, group) in all {
        line(signature, &group.names, examples, output)?;
        let mut causes: Vec<_> = group.causes.iter().collect();
        causes.sort_by_key(|(_, count)| Reverse(**count));
        for (cause, count) in causes.iter().take(CAUSES) {
            output.line(format_args!("        {count:>6}  {}", output.paint(Tone::Good, cause)))?;
        }
        if causes.len() > CAUSES {
            output.line(output.paint(Tone::Faint, format!("                {} more causes", causes.len() - CAUSES)))?;
        }
    }
    Ok(())
}

/// A signature, how many programs have it, and the first of them.
fn line(signature: &str, names: &[String], examples: usize, output: &mut Output) -> Result<(), Failure> {
    let shown: Vec<&str> = names.iter().take(examples).map(String::as_str).collect();
    let shown = output.paint(Tone::Faint, shown.join(" "));
    output.line(format_args!("{:>6}  {signature}  {shown}", names.len()))
}

/// Signatures by how many programs they have.
fn list(
    heading: &str,
    signatures: &BTreeMap<String, Vec<String>>,
    examples: usize,
    output: &mut Output,
) -> Result<(), Failure> {
    let heading = output.paint(Tone::Strong, heading);
    let total: usize = signatures.values().map(Vec::len).sum();
    output.line(format_args!("\n{heading}: {total} in {} groups", signatures.len()))?;
    let mut all: Vec<_> = signatures.iter().collect();
    all.sort_by_key(|(_, names)| Reverse(names.len()));
    all.into_iter().try_for_each(|(signature, names)| line(signature, names, examples, output))
}
