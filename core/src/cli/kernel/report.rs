//! What a comparison has found, as tables for people: 80 columns, the worst first.

use super::columns::Column;
use super::summary::{Counts, Found, OfKernel, sides};
use crate::campaign::Difference;
use crate::cli::exit::Failure;
use crate::cli::output::{Output, Tone};
use crate::oracle::parity::Aspect;
use crate::oracle::severity;
use std::cmp::Reverse;

/// Columns of a terminal.
const WIDTH: usize = 80;
/// Columns of the names of aspects.
const NAMES: usize = 8;
/// Causes that are shown of a difference.
const CAUSES: usize = 3;

/// Tables, with the names of so many programs for each signature.
pub fn tables(found: Found<'_>, examples: usize, output: &mut Output) -> Result<(), Failure> {
    agreement(found.columns, found.of_kernels, output)?;
    for (column, of_kernel) in found.columns.iter().zip(found.of_kernels) {
        against_model(column, of_kernel, examples, output)?;
    }
    let differences: Vec<_> = found.differences().collect();
    if found.columns.len() > 1 {
        between("kernels differ from each other", found.columns, differences, examples, output)?;
    }
    let messages: Vec<_> = found.messages().collect();
    if !messages.is_empty() {
        between("what every kernel says alike", found.columns, messages, examples, output)?;
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
        folded(&counted(names.len()), signature, None, output)?;
        known_lines(known.get(signature), output)?;
        example_lines(names, examples, output)?;
    }
    for (why, count) in &tally.not_compared {
        let (aspect, why) = why.split_once(": ").unwrap_or(("", why));
        folded(&counted(count), &format!("{aspect} not compared: {why}"), Some(Tone::Faint), output)?;
    }
    Ok(())
}

/// What kernels do, each with its causes, and with what is known of it.
fn between(
    heading: &str,
    columns: &[Column<'_>],
    mut groups: Vec<(&str, &Difference)>,
    examples: usize,
    output: &mut Output,
) -> Result<(), Failure> {
    let count = |groups: &[(&str, &Difference)], wanted: fn(&Difference) -> bool| -> usize {
        groups.iter().filter(|(_, group)| wanted(group)).map(|(_, group)| group.names.len()).sum()
    };
    let (total, known) = (count(&groups, |_| true), count(&groups, |group| group.known.is_some()));
    let known = if known > 0 { format!(", {known} of them known") } else { String::new() };
    let heading = output.paint(Tone::Strong, heading);
    output.line(format_args!("\n{heading}: {total} in {} groups{known}", groups.len()))?;
    groups.sort_by_key(|(signature, group)| (severity(signature), Reverse(group.names.len())));
    for (signature, group) in groups {
        let (what, sides) = sides(signature, columns);
        output.line(format_args!("{:>6}  {what}", group.names.len()))?;
        for (kernels, did) in sides {
            folded(SIDE, &format!("{}: {did}", kernels.join(", ")), None, output)?;
        }
        let mut causes: Vec<_> = group.causes.iter().collect();
        causes.sort_by_key(|(_, count)| Reverse(**count));
        for (cause, count) in causes.iter().take(CAUSES) {
            folded(DETAIL, &format!("cause, {count} times: {cause}"), Some(Tone::Good), output)?;
        }
        if causes.len() > CAUSES {
            output.line(output.paint(Tone::Faint, format!("        {} more causes", causes.len() - CAUSES)))?;
        }
        if let Some(known) = &group.known {
            folded(DETAIL, &format!("known: {known}"), Some(Tone::Good), output)?;
        }
        example_lines(&group.names, examples, output)?;
    }
    Ok(())
}

fn known_lines(known: Option<&Counts>, output: &mut Output) -> Result<(), Failure> {
    for (why, count) in known.into_iter().flatten() {
        folded(DETAIL, &format!("{count} known: {why}"), Some(Tone::Good), output)?;
    }
    Ok(())
}

/// The first programs, as many as fit.
fn example_lines(names: &[String], examples: usize, output: &mut Output) -> Result<(), Failure> {
    if examples == 0 {
        return Ok(());
    }
    let shown: Vec<&str> = names.iter().take(examples).map(String::as_str).collect();
    folded(DETAIL, &shown.join(" "), Some(Tone::Faint), output)
}

/// Text behind what stands in front of it, over as many lines as it needs.
fn folded(front: &str, text: &str, tone: Option<Tone>, output: &mut Output) -> Result<(), Failure> {
    let indent = front.chars().count();
    for (n, line) in fold(text, WIDTH.saturating_sub(indent)).into_iter().enumerate() {
        // What goes on stands behind what it belongs to.
        let front = if n > 0 { " ".repeat(indent + HANG) } else { front.to_owned() };
        let line = format!("{front}{line}");
        let line = tone.map_or_else(|| line.clone(), |tone| output.paint(tone, &line));
        output.line(line)?;
    }
    Ok(())
}

/// A number of programs, in front of what they have.
fn counted(count: impl std::fmt::Display) -> String {
    format!("{count:>6}  ")
}

const DETAIL: &str = "        ";
const SIDE: &str = "          ";

/// Columns by which lines after the first stand further right.
const HANG: usize = 2;

/// Lines of words, none longer than the width, where no word is; the first may have all of it.
fn fold(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let width = if lines.len() > 1 { width.saturating_sub(HANG) } else { width };
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_folded_between_words() {
        assert_eq!(fold("one two three four", 9), ["one two", "three", "four"]);
        assert_eq!(fold("a longerthanall b", 6), ["a", "longerthanall", "b"]);
        assert_eq!(fold("", 6), [""]);
        let text = "word ".repeat(100);
        assert!(fold(&text, 40).iter().enumerate().all(|(n, line)| line.len() <= if n > 0 { 38 } else { 40 }));
    }
}
