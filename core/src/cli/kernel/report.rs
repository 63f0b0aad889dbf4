//! What a comparison has found, as tables for people: 80 columns, the worst first.

use super::columns::Column;
use super::summary::{Counts, Found, Group, OfKernel};
use crate::cli::exit::Failure;
use crate::cli::output::{Output, Tone};
use crate::oracle::parity::Aspect;
use crate::oracle::severity;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Columns of a terminal.
const WIDTH: usize = 80;
/// Columns of the names of aspects.
const NAMES: usize = 8;
/// Causes that are shown of a difference.
const CAUSES: usize = 3;

/// Tables, with the names of so many programs for each signature.
pub fn tables(
    Found { columns, of_kernels, groups, messages }: Found<'_>,
    examples: usize,
    output: &mut Output,
) -> Result<(), Failure> {
    agreement(columns, of_kernels, output)?;
    for (column, of_kernel) in columns.iter().zip(of_kernels) {
        against_model(column, of_kernel, examples, output)?;
    }
    let lists = [("kernels differ from each other", groups), ("what every kernel says alike", messages)];
    for (heading, groups) in lists {
        if columns.len() > 1 || !groups.is_empty() {
            between(heading, columns, groups, examples, output)?;
        }
    }
    Ok(())
}

/// Shares of agreement, a column a kernel; as many kernels beside each other as there is space for.
fn agreement(columns: &[Column<'_>], of_kernels: &[OfKernel], output: &mut Output) -> Result<(), Failure> {
    let cells: Vec<Vec<String>> = columns.iter().zip(of_kernels).map(|(column, of)| cells_of(column, of)).collect();
    let width = 2 + cells.iter().flatten().map(|cell| cell.chars().count()).max().unwrap_or(0);
    let beside = (WIDTH.saturating_sub(NAMES) / width).max(1);
    for (n, some) in cells.chunks(beside).enumerate() {
        if n > 0 {
            output.line("")?;
        }
        let names = [""].into_iter().chain(Aspect::ALL.map(Aspect::name)).chain(["guests"]);
        for (row, name) in names.enumerate() {
            let cells: Vec<&str> = some.iter().filter_map(|cells| cells.get(row)).map(String::as_str).collect();
            if cells.iter().all(|cell| cell.is_empty()) {
                continue;
            }
            let line: String = cells.iter().map(|cell| format!("{cell:>width$}")).collect();
            let line = format!("{name:NAMES$}{line}");
            output.line(if row == 0 { output.paint(Tone::Strong, line) } else { line })?;
        }
    }
    Ok(())
}

/// A kernel's column, from its name down.
fn cells_of(column: &Column<'_>, OfKernel { tally, .. }: &OfKernel) -> Vec<String> {
    let share = |aspect: Aspect| {
        let [same, different, _] = tally.aspects.get(&aspect).copied().unwrap_or_default();
        match same + different {
            0 => "-".to_owned(),
            all => format!("{same}/{all} {:.2} %", 100.0 * same as f64 / all as f64),
        }
    };
    let speed = column.guest.map(|kernel| {
        let tally = kernel.tally();
        format!("{:.0}/CPU-s", tally.programs as f64 / tally.cpu_seconds.max(1e-9))
    });
    // Two images of one release are told apart by their names.
    let name = if column.label.contains('/') { column.label } else { column.point };
    [name.to_owned()].into_iter().chain(Aspect::ALL.map(share)).chain([speed.unwrap_or_default()]).collect()
}

/// What differs between the model and a kernel, and what was not compared.
fn against_model(
    column: &Column<'_>,
    OfKernel { tally, known, .. }: &OfKernel,
    examples: usize,
    output: &mut Output,
) -> Result<(), Failure> {
    let heading = if tally.compared() == 0 {
        let what = output.paint(Tone::Bad, "nothing was compared with the model");
        format!("{}: {what}", column.label)
    } else {
        let total: usize = tally.signatures.values().map(Vec::len).sum();
        let heading = output.paint(Tone::Strong, format!("{}: the model and the kernel differ", column.label));
        let known: usize = known.values().flat_map(Counts::values).sum();
        let known = if known > 0 { format!(", {known} of them known") } else { String::new() };
        format!("{heading}: {total} in {} groups{known}", tally.signatures.len())
    };
    output.line(format_args!("\n{heading}"))?;
    let mut all: Vec<_> = tally.signatures.iter().collect();
    all.sort_by_key(|(signature, names)| (severity(signature), Reverse(names.len())));
    for (signature, names) in all {
        output.line(format_args!("{:>6}  {signature}", names.len()))?;
        known_lines(known.get(signature), output)?;
        example_lines(names, examples, output)?;
    }
    for (why, count) in &tally.not_compared {
        let (aspect, why) = why.split_once(": ").unwrap_or(("", why));
        output.line(output.paint(Tone::Faint, format!("{count:>6}  {aspect} not compared: {why}")))?;
    }
    Ok(())
}

/// What kernels do, each with its causes, and with what is known of it.
fn between(
    heading: &str,
    columns: &[Column<'_>],
    groups: &BTreeMap<String, Group>,
    examples: usize,
    output: &mut Output,
) -> Result<(), Failure> {
    let total: usize = groups.values().map(|group| group.names.len()).sum();
    let known: usize = total - groups.values().map(Group::unknown).sum::<usize>();
    let known = if known > 0 { format!(", {known} of them known") } else { String::new() };
    let heading = output.paint(Tone::Strong, heading);
    output.line(format_args!("\n{heading}: {total} in {} groups{known}", groups.len()))?;
    let labels: Vec<&str> = columns.iter().map(|column| column.label).collect();
    let mut all: Vec<_> = groups.iter().collect();
    all.sort_by_key(|(signature, group)| (severity(signature), Reverse(group.names.len())));
    for (signature, group) in all {
        let (what, sides) = sides(signature, &labels);
        output.line(format_args!("{:>6}  {what}", group.names.len()))?;
        for (kernels, did) in sides {
            output.line(format_args!("          {kernels}: {did}"))?;
        }
        let mut causes: Vec<_> = group.causes.iter().collect();
        causes.sort_by_key(|(_, count)| Reverse(**count));
        for (cause, count) in causes.iter().take(CAUSES) {
            output.line(format_args!("        cause, {count} times: {}", output.paint(Tone::Good, cause)))?;
        }
        if causes.len() > CAUSES {
            output.line(output.paint(Tone::Faint, format!("        {} more causes", causes.len() - CAUSES)))?;
        }
        known_lines(Some(&group.known), output)?;
        example_lines(&group.names, examples, output)?;
    }
    Ok(())
}

/// What a signature is about, and what each kernel did; kernels that did the same stand together.
fn sides<'a>(signature: &'a str, labels: &[&str]) -> (&'a str, Vec<(String, &'a str)>) {
    let Some((what, mut rest)) = signature.split_once(": ") else { return (signature, Vec::new()) };
    let begins = |text: &'a str, label: &str| text.strip_prefix(label).and_then(|text| text.strip_prefix(' '));
    let mut sides: Vec<(String, &str)> = Vec::new();
    let is_named = |label: &&&str| begins(rest, label).is_some() || rest.contains(&format!("; {label} "));
    let named: Vec<&&str> = labels.iter().filter(is_named).collect();
    let mut labels = named.into_iter();
    let mut label = labels.next();
    while let Some(now) = label {
        let Some(text) = begins(rest, now) else { return (signature, Vec::new()) };
        label = labels.next();
        let end = label.and_then(|next| text.find(&format!("; {next} ")));
        let did = end.and_then(|end| text.get(..end)).unwrap_or(text);
        rest = end.and_then(|end| text.get(end + 2..)).unwrap_or_default();
        match sides.iter_mut().find(|(_, other)| *other == did) {
            Some((kernels, _)) => *kernels += &format!(", {now}"),
            None => sides.push(((*now).to_owned(), did)),
        }
    }
    if sides.is_empty() { (signature, sides) } else { (what, sides) }
}

fn known_lines(known: Option<&Counts>, output: &mut Output) -> Result<(), Failure> {
    for (why, count) in known.into_iter().flatten() {
        output.line(format_args!("        {count} known: {}", output.paint(Tone::Good, why)))?;
    }
    Ok(())
}

/// The first programs, as many as fit.
fn example_lines(names: &[String], examples: usize, output: &mut Output) -> Result<(), Failure> {
    if examples == 0 {
        return Ok(());
    }
    let shown: Vec<&str> = names.iter().take(examples).map(String::as_str).collect();
    output.line(output.paint(Tone::Faint, format!("        {}", shown.join(" "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_that_did_the_same_stand_together() {
        let of = |signature: &'static str| sides(signature, &["6.1", "6.12", "a/b", "7.3"]);
        let (what, all) = of("verdict: 6.1 accept; 6.12 13 [a; 7 b]; a/b accept; 7.3 13 [a; 7 b]");
        assert_eq!(
            (what, all),
            ("verdict", vec![("6.1, a/b".to_owned(), "accept"), ("6.12, 7.3".to_owned(), "13 [a; 7 b]")])
        );
        // Kernels that reject have no part in what only accepted programs have.
        assert_eq!(of("inlining: 6.12 0 of 1 inlined; 7.3 1 of 1 inlined").1.len(), 2);
        for whole in ["result: 6.1=0 6.12=1", "blow-up: 7.3 walks more than 10 times what 6.1 does", "stack"] {
            let (what, all) = of(whole);
            assert!(
                what == whole && all.is_empty() || all == [("7.3".to_owned(), &whole[13..])],
                "{whole}: {what} {all:?}"
            );
        }
    }
}
