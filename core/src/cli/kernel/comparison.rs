//! Programs compared: the model with each kernel, kernels with each other, and why.

use super::columns::Column;
use super::report;
use super::summary::{self, Found, OfKernel};
use crate::campaign::{Difference, Differences, Known, case_options};
use crate::cli::exit::Failure;
use crate::cli::items;
use crate::cli::options::Jobs;
use crate::cli::output::Output;
use crate::guest::{Answer, Ask, Pool, series_of};
use crate::isa::Insn;
use crate::kernel::{KernelVersion, Rules};
use crate::oracle::parity::{self, Match, Parity, ParityTally};
use crate::oracle::versions::{self, Side};
use crate::oracle::{Aspect, explain};
use crate::program::Program;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Programs that are answered before the first of them is compared.
pub const CHUNK: usize = 512;

/// What is found out about a program.
pub struct Compared {
    /// By kernel.
    pub parity: Vec<Parity>,
    /// In what kernels differ from each other.
    pub differences: Vec<Between>,
    /// What all kernels say alike, as a signature.
    pub message: Option<String>,
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
        all.extend(self.message.clone());
        for (column, parity) in columns.iter().zip(&self.parity) {
            let different = parity.iter().filter_map(|(_, result)| match result {
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
        let changes = explain(program, &versions, rules_of, &aspects, case_options(), || {});
        for between in &mut self.differences {
            let aspects = versions::aspects(&between.signature);
            let about = changes.iter().filter(|change| aspects.contains(&change.aspect));
            let causes: Vec<String> = about.map(|change| format!("{} ({})", change.cause, change.to)).collect();
            between.cause = (!causes.is_empty()).then(|| causes.join(", "));
        }
    }
}

/// What is known of differences: the lists of the corpus.
struct Expected {
    divergences: Known,
    differences: Differences,
}

/// Programs compared with kernels, and what that comes to.
pub struct Comparison<'a> {
    columns: Vec<Column<'a>>,
    pool: Option<&'a Pool>,
    jobs: Jobs,
    expected: Expected,
    of_kernels: Vec<OfKernel>,
    groups: BTreeMap<String, Difference>,
}

impl<'a> Comparison<'a> {
    /// Nothing compared yet. With a pool, what differs is asked for again.
    pub fn new(columns: Vec<Column<'a>>, pool: Option<&'a Pool>, jobs: Jobs) -> Comparison<'a> {
        let of_kernels = columns.iter().map(|_| OfKernel::default()).collect();
        // Tests read both lists: they are never broken in a build that passed.
        let expected = Expected {
            divergences: Known::built_in().unwrap_or_default(),
            differences: Differences::built_in().unwrap_or_default(),
        };
        Comparison { columns, pool, jobs, expected, of_kernels, groups: BTreeMap::new() }
    }

    /// Compares programs with their answers, by kernel; hands on what was found out about each, in order.
    pub fn chunk(
        &mut self,
        programs: &[Program],
        answers: Vec<Vec<Answer>>,
        mut take: impl FnMut(&str, &Compared) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.chunk_of(programs, &[], answers, |program, compared, _| take(&program.name, compared))
    }

    /// The same for programs that come from files, by whose paths known differences are listed. Hands on, too, why each
    /// aspect of each kernel is known to differ.
    pub fn chunk_of(
        &mut self,
        programs: &[Program],
        places: &[PathBuf],
        answers: Vec<Vec<Answer>>,
        mut take: impl FnMut(&Program, &Compared, &Why<'_>) -> Result<(), Failure>,
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
        let (pool, columns, expected) = (self.pool, &self.columns, &self.expected);
        let (of_kernels, groups) = (&mut self.of_kernels, &mut self.groups);
        items::in_order(&cases, self.jobs, work, |n, mut compared| {
            let Some((program, answers)) = cases.get(n) else { return Ok(()) };
            if let Some(pool) = pool {
                measure_again(program, answers, pool, columns, &mut compared)?;
            }
            let why = Why { expected, place: places.get(n).map_or(Path::new(""), PathBuf::as_path) };
            for ((of_kernel, column), parity) in of_kernels.iter_mut().zip(columns).zip(&compared.parity) {
                of_kernel.add(&program.name, parity, |signature| why.of_model(column, signature));
            }
            let between = compared.differences.iter().map(|between| (&between.signature, &between.cause));
            for (signature, cause) in between.chain(compared.message.iter().map(|message| (message, &None))) {
                let group = groups.entry(signature.clone()).or_default();
                group.names.push(program.name.clone());
                group.known = why.between(signature).map(str::to_owned);
                cause.iter().for_each(|cause| *group.causes.entry(cause.clone()).or_default() += 1);
            }
            take(program, &compared, &why)
        })
    }

    /// Programs that were compared.
    pub fn programs(&self) -> u64 {
        self.of_kernels.iter().map(|of_kernel| of_kernel.tally.programs).max().unwrap_or(0)
    }

    /// The kernels.
    pub fn columns(&self) -> Vec<Column<'a>> {
        self.columns.clone()
    }

    /// What was found.
    pub fn found(&self) -> Found<'_> {
        Found { columns: &self.columns, of_kernels: &self.of_kernels, groups: &self.groups }
    }

    /// What it comes to: how the model agrees with each kernel, and in what kernels differ from each other.
    pub fn into_parts(self) -> (Vec<ParityTally>, BTreeMap<String, Difference>) {
        (self.of_kernels.into_iter().map(|of_kernel| of_kernel.tally).collect(), self.groups)
    }

    /// The tables, or the summaries as JSON.
    pub fn report(&self, as_json: bool, examples: usize, output: &mut Output) -> Result<(), Failure> {
        if as_json { summary::json(self.found(), output) } else { report::tables(self.found(), examples, output) }
    }
}

/// Why a program differs, where that is known.
pub struct Why<'a> {
    expected: &'a Expected,
    place: &'a Path,
}

impl Why<'_> {
    /// Why the model is not like a kernel.
    pub fn of_model(&self, column: &Column<'_>, signature: &str) -> Option<&str> {
        self.expected.differences.why(self.place, column.rules.as_ref()?.version.name(), signature)
    }

    /// Which known divergence a difference between kernels is.
    pub fn between(&self, signature: &str) -> Option<&str> {
        let all = self.expected.divergences.all();
        all.iter().find(|known| known.is_between(signature)).map(|known| known.name.as_str())
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
    let against_model = by_kernel.clone().map(|((column, answer), dump)| match &column.rules {
        Some(rules) => {
            let reports = reports.get(&rules.version).map_or(&[][..], Vec::as_slice);
            parity::compare(program, reports, answer, dump, rules)
        }
        None => {
            let why = format!("no rules for {}", series_of(column.release));
            vec![(parity::Aspect::Verdict, Match::NotCompared(why))]
        }
    });
    let against_model = against_model.collect();
    let sides: Vec<Side<'_>> =
        by_kernel.map(|((column, answer), dump)| Side { name: column.label, answer, dump }).collect();
    let rules = newest(columns);
    let reports = reports.remove(&rules.version).unwrap_or_else(|| parity::examine(program, &rules));
    let differences = versions::differences(program, &reports, &sides).into_iter();
    let differences = differences.map(|signature| Between { signature, cause: None }).collect();
    Compared { parity: against_model, differences, message: versions::common_message(&sides) }
}
