//! Programs compared: the model with each kernel, kernels with each other, and why.

use super::columns::Column;
use super::report::{self, Found};
use crate::campaign::{Difference, case_options};
use crate::cli::exit::Failure;
use crate::cli::items;
use crate::cli::options::Jobs;
use crate::cli::output::Output;
use crate::guest::{Answer, Ask, Pool};
use crate::isa::Insn;
use crate::kernel::{KernelVersion, Rules};
use crate::oracle::parity::{self, Match, Parity, ParityTally};
use crate::oracle::versions::{self, Side};
use crate::oracle::{Aspect, explain};
use crate::program::Program;
use std::collections::BTreeMap;

/// Programs that are answered before the first of them is compared.
pub const CHUNK: usize = 512;

/// What is found out about a program.
pub struct Compared {
    /// By kernel; nothing for kernels that are not modelled.
    pub parity: Vec<Option<Parity>>,
    /// In what kernels differ from each other.
    pub differences: Vec<Between>,
}

/// A difference between kernels.
pub struct Between {
    /// What each of them did.
    pub signature: String,
    /// The facts that turn the model's answers alike, each with the version that has the new value. `None` where there are none,
    /// or nobody has looked.
    pub cause: Option<String>,
}

impl Compared {
    /// All signatures, each with the kernel or kernels that it is about.
    pub fn signatures(&self, columns: &[Column<'_>]) -> Vec<String> {
        let mut all: Vec<String> = self.differences.iter().map(|between| between.signature.clone()).collect();
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

    /// Finds the causes of the differences between kernels, in the model.
    fn explain(&mut self, program: &Program, columns: &[Column<'_>]) {
        let mut aspects: Vec<Aspect> =
            self.differences.iter().flat_map(|between| versions::aspects(&between.signature)).copied().collect();
        aspects.sort();
        aspects.dedup();
        if aspects.is_empty() {
            return;
        }
        let rules: BTreeMap<KernelVersion, &Rules> = rules_of(columns).map(|rules| (rules.version, rules)).collect();
        let versions: Vec<KernelVersion> = rules.keys().copied().collect();
        let rules_of = |version| rules.get(&version).map_or_else(|| Rules::of(version), |rules| (*rules).clone());
        let changes = explain(program, &versions, rules_of, &aspects, case_options());
        for between in &mut self.differences {
            let aspects = versions::aspects(&between.signature);
            let about = changes.iter().filter(|change| aspects.contains(&change.aspect));
            let causes: Vec<String> = about.map(|change| format!("{} ({})", change.cause, change.to)).collect();
            between.cause = (!causes.is_empty()).then(|| causes.join(", "));
        }
    }
}

/// Programs compared with kernels, and what that comes to.
pub struct Comparison<'a> {
    columns: Vec<Column<'a>>,
    pool: Option<&'a Pool>,
    jobs: Jobs,
    tallies: Vec<ParityTally>,
    groups: BTreeMap<String, Difference>,
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
        let work = |(program, answers): &(&Program, Vec<Answer>)| {
            let mut compared = compare(program, answers, &self.columns);
            compared.explain(program, &self.columns);
            compared
        };
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
            for Between { signature, cause } in &compared.differences {
                let group = groups.entry(signature.clone()).or_default();
                group.names.push(program.name.clone());
                cause.iter().for_each(|cause| *group.causes.entry(cause.clone()).or_default() += 1);
            }
            take(&program.name, &compared)
        })
    }

    /// What it comes to: how the model agrees with each kernel, and in what kernels differ from each other.
    pub fn into_parts(self) -> (Vec<ParityTally>, BTreeMap<String, Difference>) {
        (self.tallies, self.groups)
    }

    /// The tables, or the summaries as JSON.
    pub fn report(&self, as_json: bool, examples: usize, output: &mut Output) -> Result<(), Failure> {
        let found = Found { columns: &self.columns, tallies: &self.tallies, groups: &self.groups };
        if as_json { report::summaries(found, output) } else { report::tables(found, examples, output) }
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
    let of_results = |between: &Between| between.signature.starts_with(versions::RESULT);
    if compared.differences.iter().any(of_results) {
        let reports = parity::examine(program, &newest(columns));
        for _ in 0..AGAIN {
            let again = pool.answer_all(std::slice::from_ref(program), &Ask::default())?;
            let mut pairs = answers.iter().zip(again.iter().filter_map(|answers| answers.first()));
            if !pairs.all(|(first, again)| versions::same_results(program, &reports, first, again)) {
                compared.differences.retain(|between| !of_results(between));
                break;
            }
        }
    }
    for (n, (first, parity)) in answers.iter().zip(&mut compared.parity).enumerate() {
        let mut runs: Vec<(usize, &mut Match)> = parity
            .iter_mut()
            .flatten()
            .filter(|(aspect, _)| *aspect == parity::Aspect::Run)
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

/// The rules of the kernels that have some.
fn rules_of<'a>(columns: &'a [Column<'_>]) -> impl Iterator<Item = &'a Rules> {
    columns.iter().filter_map(|column| column.rules.as_ref())
}

/// The newest rules of the kernels; those of the newest version where they have none.
fn newest(columns: &[Column<'_>]) -> Rules {
    let newest = rules_of(columns).max_by_key(|rules| rules.version).cloned();
    newest.unwrap_or_else(|| Rules::of(KernelVersion::NEWEST))
}

/// Compares the model with what kernels say of a program, and these with each other.
pub fn compare(program: &Program, answers: &[Answer], columns: &[Column<'_>]) -> Compared {
    let dumps: Vec<Vec<Insn>> = columns.iter().zip(answers).map(|(column, answer)| column.dump(answer)).collect();
    let mut reports = BTreeMap::new();
    for rules in rules_of(columns) {
        reports.entry(rules.version).or_insert_with(|| parity::examine(program, rules));
    }
    let by_kernel = columns.iter().zip(answers).zip(&dumps);
    let against_model = by_kernel.clone().map(|((column, answer), dump)| {
        let rules = column.rules.as_ref()?;
        Some(parity::compare(program, reports.get(&rules.version)?, answer, dump, rules))
    });
    let against_model = against_model.collect();
    let sides: Vec<Side<'_>> =
        by_kernel.map(|((column, answer), dump)| Side { name: column.label, answer, dump }).collect();
    let rules = newest(columns);
    let reports = reports.remove(&rules.version).unwrap_or_else(|| parity::examine(program, &rules));
    let differences = versions::differences(program, &reports, &sides).into_iter();
    let differences = differences.map(|signature| Between { signature, cause: None }).collect();
    Compared { parity: against_model, differences }
}
