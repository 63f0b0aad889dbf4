//! `loopdiff kernel parity`: the model against kernels, and kernels against each other.

use super::columns::{self, Column};
use super::guests::Guests;
use crate::cli::exit::{Exit, Failure};
use crate::cli::items;
use crate::cli::options::Jobs;
use crate::cli::output::{Output, Tone};
use crate::guest::{Answer, Ask, Kernel, Pool};
use crate::isa::Insn;
use crate::kernel::{KernelVersion, Rules};
use crate::oracle::parity::{self, Aspect, Match, Parity, ParityTally};
use crate::oracle::versions::{self, Side};
use crate::program::Program;
use serde_json::{Map, Value, json};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Arguments of `kernel parity`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Program files (.bpf, .json, .jsonl, .o), or directories of them.
    #[arg(required_unless_present = "recorded", value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    guests: Guests,
    /// Answers of recordings, `VERSION/*.jsonl.gz` in this folder, instead of guests; their own programs.
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["paths", "kernel", "image"])]
    recorded: Option<PathBuf>,
    #[command(flatten)]
    jobs: Jobs,
    /// One JSON object a line: the differences, then a summary.
    #[arg(long)]
    json: bool,
    /// Names of programs that are shown for each signature.
    #[arg(long, value_name = "N", default_value_t = 3)]
    examples: usize,
}

pub fn main(args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    if let Some(folder) = &args.recorded {
        let recorded = columns::recorded(folder)?;
        let mut comparison = Comparison::new(recorded.columns(), None, args.jobs);
        for (programs, answers) in recorded.chunks(CHUNK) {
            comparison.chunk(&programs, answers, show(args, &recorded.columns(), output))?;
        }
        return comparison.report(args.json, args.examples, output).map(|()| Exit::Fine);
    }
    let pool = args.guests.start()?;
    let items = items::load(&args.paths)?;
    let programs: Vec<Program> = items.into_iter().filter_map(|item| item.into_program()).collect();
    let columns = columns::of_pool(&pool);
    let mut comparison = Comparison::new(columns.clone(), Some(&pool), args.jobs);
    for chunk in programs.chunks(CHUNK) {
        let answers = pool.answer_all(chunk, &Ask::default())?;
        comparison.chunk(chunk, answers, show(args, &columns, output))?;
    }
    comparison.report(args.json, args.examples, output).map(|()| Exit::Fine)
}

/// Writes the differences of a program, where JSON is wanted.
fn show<'a>(
    args: &'a Args,
    columns: &'a [Column<'a>],
    output: &'a mut Output,
) -> impl FnMut(&str, &Compared) -> Result<(), Failure> + 'a {
    move |name, compared| {
        if !args.json {
            return Ok(());
        }
        for (column, parity) in columns.iter().zip(&compared.parity) {
            let mut lines = parity.iter().flat_map(|parity| differences(column.label, name, parity));
            lines.try_for_each(|line| output.json(&line))?;
        }
        compared
            .differences
            .iter()
            .try_for_each(|signature| output.json(&json!({ "between": { "name": name, "signature": signature } })))
    }
}

/// Programs that are answered before the first of them is compared.
pub const CHUNK: usize = 512;

/// What is found out about a program.
pub struct Compared {
    /// By kernel; nothing for kernels that are not modelled.
    pub parity: Vec<Option<Parity>>,
    /// In what kernels differ from each other, by signature.
    pub differences: Vec<String>,
}

impl Compared {
    /// All signatures, each with the kernel or kernels that it is about.
    pub fn signatures(&self, columns: &[Column<'_>]) -> Vec<String> {
        let mut all = self.differences.clone();
        for (column, parity) in columns.iter().zip(&self.parity) {
            let different = parity.iter().flatten().filter_map(|(_, result)| match result {
                Match::Different { signature, .. } => Some(format!("{}: {signature}", column.label)),
                Match::Same | Match::NotCompared(_) => None,
            });
            all.extend(different);
        }
        all.dedup();
        all
    }
}

/// Programs compared with kernels, and what that comes to.
pub struct Comparison<'a> {
    columns: Vec<Column<'a>>,
    pool: Option<&'a Pool>,
    jobs: Jobs,
    tallies: Vec<ParityTally>,
    groups: BTreeMap<String, Vec<String>>,
}

impl<'a> Comparison<'a> {
    /// Nothing compared yet. With a pool, what differs is asked for again.
    pub fn new(columns: Vec<Column<'a>>, pool: Option<&'a Pool>, jobs: Jobs) -> Comparison<'a> {
        let tallies = vec![ParityTally::default(); columns.len()];
        Comparison { columns, pool, jobs, tallies, groups: BTreeMap::new() }
    }

    /// Compares programs with their answers, by kernel; hands on what was found out about each, in order.
    pub fn chunk(
        &mut self,
        programs: &[Program],
        answers: Vec<Vec<Answer>>,
        mut take: impl FnMut(&str, &Compared) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut by_kernel: Vec<_> = answers.into_iter().map(Vec::into_iter).collect();
        let cases: Vec<(&Program, Vec<Answer>)> = programs
            .iter()
            .map(|program| (program, by_kernel.iter_mut().filter_map(Iterator::next).collect()))
            .collect();
        let work = |(program, answers): &(&Program, Vec<Answer>)| compare(program, answers, &self.columns);
        let (pool, columns) = (self.pool, &self.columns);
        let (tallies, groups) = (&mut self.tallies, &mut self.groups);
        items::in_order(&cases, self.jobs, work, |n, mut compared| {
            let Some((program, answers)) = cases.get(n) else { return Ok(()) };
            if let Some(pool) = pool {
                measure_again(program, answers, pool, columns, &mut compared)?;
            }
            for (tally, parity) in tallies.iter_mut().zip(&compared.parity) {
                parity.iter().for_each(|parity| tally.add(&program.name, parity));
            }
            for signature in &compared.differences {
                groups.entry(signature.clone()).or_default().push(program.name.clone());
            }
            take(&program.name, &compared)
        })
    }

    /// Programs that were compared.
    pub fn programs(&self) -> u64 {
        self.tallies.iter().map(|t| t.programs).max().unwrap_or(0)
    }

    /// The tables, or the summaries as JSON.
    pub fn report(&self, as_json: bool, examples: usize, output: &mut Output) -> Result<(), Failure> {
        let (columns, tallies, groups) = (&self.columns, &self.tallies, &self.groups);
        if as_json {
            return summaries(columns, tallies, groups, output);
        }
        table(columns, tallies, output)?;
        for (column, tally) in columns.iter().zip(tallies) {
            let heading = format!("{}: the model and the kernel differ", column.label);
            list(&heading, &tally.signatures, examples, output)?;
            for (why, count) in &tally.not_compared {
                output.line(output.paint(Tone::Faint, format!("{count:>6}  not compared, {why}")))?;
            }
        }
        if columns.len() > 1 {
            list("kernels differ from each other", groups, examples, output)?;
        }
        Ok(())
    }
}

/// Times that a kernel runs a program again whose results are not the model's.
const AGAIN: usize = 3;

/// Runs again what differs: a result that is not the same each time on one kernel depends on the moment, and cannot be held
/// against the model or another kernel.
fn measure_again(
    program: &Program,
    answers: &[Answer],
    pool: &Pool,
    columns: &[Column<'_>],
    compared: &mut Compared,
) -> Result<(), Failure> {
    let of_results = |signature: &String| signature.starts_with(versions::RESULT);
    if compared.differences.iter().any(of_results) {
        let reports = parity::examine(program, &Rules::of(newest(columns)));
        for _ in 0..AGAIN {
            let again = pool.answer_all(std::slice::from_ref(program), &Ask::default())?;
            let mut pairs = answers.iter().zip(again.iter().filter_map(|answers| answers.first()));
            if !pairs.all(|(first, again)| versions::same_results(program, &reports, first, again)) {
                compared.differences.retain(|signature| !of_results(signature));
                break;
            }
        }
    }
    for (n, (first, parity)) in answers.iter().zip(&mut compared.parity).enumerate() {
        let mut runs: Vec<(usize, &mut Match)> = parity
            .iter_mut()
            .flatten()
            .filter(|(aspect, _)| *aspect == Aspect::Run)
            .map(|(_, result)| result)
            .enumerate()
            .filter(|(_, result)| matches!(result, Match::Different { .. }))
            .collect();
        for _ in 0..AGAIN {
            if runs.is_empty() {
                break;
            }
            let again = pool.answer(n, std::slice::from_ref(program), &Ask::default())?;
            let again = again.first().map_or(&[][..], |answer| &answer.runs);
            runs.retain_mut(|(input, result)| match (first.runs.get(*input), again.get(*input)) {
                (Some(first), Some(again)) if !first.same_results(again) => {
                    **result = Match::NotCompared("the kernel's own runs differ".to_owned());
                    false
                }
                _ => true,
            });
        }
    }
    Ok(())
}

/// The newest modelled version of the kernels.
fn newest(columns: &[Column<'_>]) -> KernelVersion {
    columns.iter().filter_map(|column| column.version).max().unwrap_or(KernelVersion::NEWEST)
}

/// Compares the model with what kernels say of a program, and these with each other.
pub fn compare(program: &Program, answers: &[Answer], columns: &[Column<'_>]) -> Compared {
    let dumps: Vec<Vec<Insn>> = columns.iter().zip(answers).map(|(column, answer)| column.dump(answer)).collect();
    let mut reports = BTreeMap::new();
    for version in columns.iter().filter_map(|column| column.version) {
        reports.entry(version).or_insert_with(|| parity::examine(program, &Rules::of(version)));
    }
    let by_kernel = columns.iter().zip(answers).zip(&dumps);
    let against_model = by_kernel.clone().map(|((column, answer), dump)| {
        let version = column.version?;
        Some(parity::compare(program, reports.get(&version)?, answer, dump, &Rules::of(version)))
    });
    let sides: Vec<Side<'_>> =
        by_kernel.map(|((column, answer), dump)| Side { name: column.label, answer, dump }).collect();
    let reports = reports.get(&newest(columns)).map_or(&[][..], Vec::as_slice);
    Compared { parity: against_model.collect(), differences: versions::differences(program, reports, &sides) }
}

fn differences<'a>(kernel: &'a str, name: &'a str, parity: &'a Parity) -> impl Iterator<Item = Value> + 'a {
    parity.iter().filter_map(move |(aspect, result)| match result {
        Match::Different { signature, evidence } => Some(json!({ "difference": {
            "kernel": kernel, "name": name, "aspect": aspect.name(),
            "signature": signature, "evidence": evidence,
        } })),
        Match::Same | Match::NotCompared(_) => None,
    })
}

fn summaries(
    columns: &[Column<'_>],
    tallies: &[ParityTally],
    groups: &BTreeMap<String, Vec<String>>,
    output: &mut Output,
) -> Result<(), Failure> {
    let counts = |all: &BTreeMap<String, Vec<String>>| -> Map<String, Value> {
        all.iter().map(|(signature, names)| (signature.clone(), names.len().into())).collect()
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
    output.json(&json!({ "summary": { "between": counts(groups) } }))
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
fn table(columns: &[Column<'_>], tallies: &[ParityTally], output: &mut Output) -> Result<(), Failure> {
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
    for (signature, names) in all {
        let shown: Vec<&str> = names.iter().take(examples).map(String::as_str).collect();
        let shown = output.paint(Tone::Faint, shown.join(" "));
        output.line(format_args!("{:>6}  {signature}  {shown}", names.len()))?;
    }
    Ok(())
}
