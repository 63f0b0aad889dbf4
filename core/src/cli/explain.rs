//! `loopdiff explain`: which single fact turns the answers of neighbouring kernels.

use super::exit::{Exit, Failure};
use super::items::{self, Item, Style, Task};
use super::options::{Jobs, RulesOption};
use super::output::{Output, Tone};
use crate::kernel::{Difference, KernelVersion, Rules};
use crate::oracle::{Answer, Aspect, Cause, Change, Options, explain};
use crate::program::shown;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Arguments of `explain`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Program files (.bpf, .json, .jsonl, .o), or directories of them.
    #[arg(required_unless_present = "facts", value_name = "CASE")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    rules: RulesOption,
    /// List all facts with their values by version.
    #[arg(long)]
    facts: bool,
    /// One JSON object a line on standard output, and nothing else.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    jobs: Jobs,
}

pub fn main(args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    if args.facts {
        return list_facts(args, output);
    }
    let versions = args.versions();
    let items = items::load(&args.paths, output)?;
    let work = |task: &Task<'_>| {
        let program = task.item.program()?;
        let rules = |version| args.rules.rules(version);
        let answers: Vec<Answer> = versions.iter().map(|v| Answer::of(program, &rules(*v))).collect();
        Some((answers, explain(program, &versions, rules, &Aspect::ALL, Options::default())))
    };
    let newest = versions.last().copied().unwrap_or(KernelVersion::NEWEST);
    let tasks: Vec<Task<'_>> = items.iter().map(|item| Task { item, version: newest }).collect();
    let style = if args.json { Style::Json } else { Style::Bare };
    items::answer(&tasks, args.jobs, style, output, work, |task, found, output| match (task.item, found) {
        (item, Some((answers, changes))) if args.json => json_line(item, &versions, &answers, &changes, output),
        (item, Some((answers, changes))) => describe(item, &versions, &answers, &changes, output),
        (_, None) if args.json => output.json(&super::json::not_a_program(task)),
        (item, None) => {
            heading(item, output)?;
            super::verify::describe_unsupported(&item.loaded, output)
        }
    })?;
    Ok(Exit::Fine)
}

impl Args {
    /// The versions that are compared, oldest first: all of them unless some were named.
    fn versions(&self) -> Vec<KernelVersion> {
        let mut versions = self.rules.versions(&KernelVersion::ALL);
        versions.sort();
        versions
    }
}

fn heading(item: &Item, output: &mut Output) -> Result<(), Failure> {
    let name = output.paint(Tone::Strong, shown(item.loaded.name()));
    let place = output.paint(Tone::Faint, shown(&item.path.to_string_lossy()));
    output.line(format_args!("{name}  {place}"))
}

fn describe(
    item: &Item,
    versions: &[KernelVersion],
    answers: &[Answer],
    changes: &[Change],
    output: &mut Output,
) -> Result<(), Failure> {
    heading(item, output)?;
    for (version, answer) in versions.iter().zip(answers) {
        let mut parts = vec![answer.describe(Aspect::Verdict), answer.describe(Aspect::Inlining)];
        parts.push(answer.describe(Aspect::Count));
        parts.retain(|part| !part.is_empty());
        output.line(format_args!("  {version:<5} {}", shown(&parts.join("; "))))?;
    }
    if changes.is_empty() {
        return output.line("  nothing differs");
    }
    for change in changes {
        let head = format!("{} to {}, {}", change.from, change.to, change.aspect);
        output.line(format_args!("  {}", output.paint(Tone::Notable, head)))?;
        let (how, facts) = match &change.cause {
            Cause::Alone(facts) => ("alone", facts),
            Cause::Together(facts) => ("together", facts),
        };
        for Difference { name, left, right } in facts {
            output.line(format_args!("    {how}: {} = {left} to {right}", output.paint(Tone::Good, name)))?;
        }
    }
    Ok(())
}

fn json_line(
    item: &Item,
    versions: &[KernelVersion],
    answers: &[Answer],
    changes: &[Change],
    output: &mut Output,
) -> Result<(), Failure> {
    let answers: serde_json::Map<String, Value> = versions
        .iter()
        .zip(answers)
        .map(|(version, answer)| (version.name().to_owned(), answer.describe(Aspect::Verdict).into()))
        .collect();
    let fact = |d: &Difference| json!({ "fact": d.name, "from": d.left, "to": d.right });
    let change = |change: &Change| {
        let (how, facts) = match &change.cause {
            Cause::Alone(facts) => ("alone", facts),
            Cause::Together(facts) => ("together", facts),
        };
        json!({
            "from": change.from.name(),
            "to": change.to.name(),
            "aspect": change.aspect.name(),
            "before": change.before.describe(change.aspect),
            "after": change.after.describe(change.aspect),
            how: facts.iter().map(fact).collect::<Vec<_>>(),
        })
    };
    let changes: Vec<Value> = changes.iter().map(change).collect();
    output.json(&json!({ "name": item.loaded.name(), "case": item.path.display().to_string(), "answers": answers, "changes": changes }))
}

/// All facts, with the value of the oldest version and from which versions on it is another; or a line of JSON each.
fn list_facts(args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let versions = args.versions();
    let rules: Vec<Vec<String>> =
        versions.iter().map(|v| args.rules.rules(*v).facts().into_iter().map(|f| f.value).collect()).collect();
    let names: Vec<String> = Rules::of(KernelVersion::NEWEST).facts().into_iter().map(|f| f.name).collect();
    let width = names.iter().map(String::len).max().unwrap_or(0);
    for (n, name) in names.iter().enumerate() {
        let values = versions.iter().zip(&rules).map(|(v, rules)| (v.name(), rules.get(n).map_or("", String::as_str)));
        if args.json {
            let values: serde_json::Map<String, Value> =
                values.map(|(v, value)| (v.to_owned(), value.into())).collect();
            output.json(&json!({ "fact": name, "values": values }))?;
            continue;
        }
        let mut values: Vec<(&str, &str)> = values.collect();
        values.dedup_by_key(|(_, value)| *value);
        let values: Vec<String> = values.iter().map(|(v, value)| format!("{v} {value}")).collect();
        output.line(format_args!(
            "{}  {}",
            output.paint(Tone::Strong, format!("{name:<width$}")),
            values.join(", ")
        ))?;
    }
    Ok(Exit::Fine)
}
