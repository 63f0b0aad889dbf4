//! `loopdiff explain`: which single fact changes the answers of neighbouring kernels.
//!
//! It walks each program once a kernel and some hundred times with mixtures of their facts. What all threads keep at a time is
//! bounded together, so that the command takes less than a gigabyte whatever it is given.

use super::exit::{Exit, Failure};
use super::items::{self, Item, Style, Task};
use super::options::{Jobs, RulesOption};
use super::output::{Output, Tone, note};
use crate::kernel::{Difference, KernelVersion, Rules};
use crate::oracle::{Answer, Aspect, Cause, Change, Options, Untried, explain, status_within};
use crate::program::shown;
use crate::verifier::Budget;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

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
    /// MiB of memory that the states of all verifications at a time may take; what needs more is named as not tried.
    #[arg(long, value_name = "MIB", default_value_t = 640, value_parser = clap::value_parser!(u32).range(1..))]
    memory: u32,
}

/// Threads at most: each gets its share of the memory.
const JOBS_MAX: usize = 4;

pub fn main(args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    if args.facts {
        return list_facts(args, output);
    }
    let versions = args.versions();
    let items = items::load(&args.paths, output)?;
    let jobs = args.jobs.count().min(items.len()).clamp(1, JOBS_MAX);
    let budget = Budget { bytes: (args.memory as usize).saturating_mul(1 << 20) / jobs, ..Budget::default() };
    let options = Options { budget, ..Options::default() };
    let progress = Progress::new(items.len());
    let work = |task: &Task<'_>| {
        let found = task.item.program().map(|program| {
            let rules = |version| args.rules.rules(version);
            let answer = |v: &KernelVersion| Answer::of_status(status_within(program, &rules(*v), budget), &rules(*v));
            let answers: Vec<Answer> = versions.iter().map(answer).collect();
            (answers, explain(program, &versions, rules, &Aspect::ALL, options, || progress.tried()))
        });
        progress.done();
        found
    };
    let newest = versions.last().copied().unwrap_or(KernelVersion::NEWEST);
    let tasks: Vec<Task<'_>> = items.iter().map(|item| Task { item, version: newest }).collect();
    let style = if args.json { Style::Json } else { Style::Bare };
    let jobs = Jobs { jobs: Some(jobs as u16) };
    items::answer(&tasks, jobs, style, output, work, |task, found, output| match (task.item, found) {
        (item, Some((answers, changes))) if args.json => json_line(item, &versions, &answers, &changes, output),
        (item, Some((answers, changes))) => describe(item, &versions, &answers, &changes, output),
        (_, None) if args.json => output.json(&super::json::not_a_program(task)),
        (item, None) => {
            heading(item, output)?;
            super::verify::describe_unsupported(&item.loaded, output)
        }
    })?;
    progress.end();
    Ok(Exit::Fine)
}

/// How far the work is: a line that moves on a terminal, elsewhere a plain line now and then.
struct Progress {
    bar: Option<ProgressBar>,
    shown: Mutex<Instant>,
    programs: usize,
    done: AtomicUsize,
    tried: AtomicUsize,
}

impl Progress {
    fn new(programs: usize) -> Progress {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:20} {msg}");
            ProgressBar::new(programs as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        let (done, tried) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Progress { bar, shown: Mutex::new(Instant::now()), programs, done, tried }
    }

    fn tried(&self) {
        self.tried.fetch_add(1, Ordering::Relaxed);
        self.show();
    }

    fn done(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    fn show(&self) {
        let every = if self.bar.is_some() { Duration::from_millis(250) } else { Duration::from_secs(10) };
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.elapsed() < every {
            return;
        }
        *shown = Instant::now();
        let (done, tried) = (self.done.load(Ordering::Relaxed), self.tried.load(Ordering::Relaxed));
        let text = format!("{done} of {} programs, {tried} walks", self.programs);
        match &self.bar {
            Some(bar) => {
                bar.set_position(done as u64);
                bar.set_message(text);
            }
            None => note(text),
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
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
    for (pair, answers) in versions.windows(2).zip(answers.windows(2)) {
        if let ([from, to], true) = (pair, answers.iter().any(Answer::is_spent)) {
            output.line(format_args!("  {from} to {to}: not compared, since there are not two answers"))?;
        }
    }
    if changes.is_empty() {
        let all = !answers.iter().any(Answer::is_spent);
        return if all { output.line("  nothing differs") } else { Ok(()) };
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
        describe_untried(&change.untried, output)?;
    }
    Ok(())
}

/// What may also be a cause: single facts by name, greater mixtures by number.
fn describe_untried(untried: &[Untried], output: &mut Output) -> Result<(), Failure> {
    for one in untried {
        let what = match one.facts.as_slice() {
            [fact] => fact.name.clone(),
            facts => format!("{} facts together", facts.len()),
        };
        output.line(output.paint(Tone::Faint, format!("    not tried: {what}: {}", one.why)))?;
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
    let untried = |u: &Untried| json!({ "facts": u.facts.iter().map(fact).collect::<Vec<_>>(), "why": u.why });
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
            "untried": change.untried.iter().map(untried).collect::<Vec<_>>(),
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
