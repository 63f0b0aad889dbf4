//! Real kernels as the target of a campaign: the model is compared with each of them, and they with each other.
//!
//! Every case, or those whose verification shows something new of the model, is asked of all kernels. The engine
//! (`campaign::Campaign`) does the rest, as it does for the model alone.

use super::columns::{self, Column};
use super::comparison::{Compared, Comparison, compare};
use super::guests::Guests;
use super::reduce::signatures;
use super::report;
use super::summary::{self, Found as Comparisons, OfKernel};
use crate::campaign::{
    Block, CampaignError, Case, Counts, Found, Identity, Judge, Kept, Known, Novelty, RuleSet, Stats, Target, Told,
    Worker, cause_of, make, marks,
};
use crate::cli::exit::Failure;
use crate::cli::items;
use crate::cli::options::{Jobs, RulesOption};
use crate::cli::output::Output;
use crate::guest::{Answer, Ask, Pool, Verdict};
use crate::kernel::Rules;
use crate::oracle::parity::{Aspect, Match, Parity};
use crate::program::Program;
use crate::repro::{Claims, Side, Story};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

/// Which cases guests are asked about.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sample {
    /// All.
    All,
    /// Those whose verification by the model shows what no case before has shown.
    New,
}

/// What findings are of that are about kernels against each other.
const BETWEEN: &str = "kernels";

/// Kernels that cases are put to.
pub struct Kernels<'a> {
    pool: &'a Pool,
    columns: Vec<Column<'a>>,
    guests: &'a Guests,
    jobs: Jobs,
    sample: Sample,
    known: &'a Known,
}

impl<'a> Kernels<'a> {
    /// The kernels of a pool, compared under rules, with differences between them that are known.
    pub fn new(
        pool: &'a Pool,
        guests: &'a Guests,
        rules: &RulesOption,
        jobs: Jobs,
        sample: Sample,
        known: &'a Known,
    ) -> Kernels<'a> {
        Kernels { pool, columns: columns::of_pool(pool, rules), guests, jobs, sample, known }
    }

    /// How the model agrees with each kernel, and in what they differ: tables, or lines of JSON.
    pub fn report(&self, stats: &Stats, as_json: bool, output: &mut Output) -> Result<(), Failure> {
        const EXAMPLES: usize = 3;
        let of = |column: &Column<'_>| stats.parity.get(column.label).cloned().unwrap_or_default();
        let of_kernels: Vec<OfKernel> =
            self.columns.iter().map(|column| OfKernel { tally: of(column), ..OfKernel::default() }).collect();
        let found = Comparisons { columns: &self.columns, of_kernels: &of_kernels, groups: &stats.between };
        if as_json { summary::json(found, output) } else { report::tables(found, EXAMPLES, output) }
    }

    /// The rules that kernels are compared under, each once.
    fn rules(&self) -> Vec<&Rules> {
        let all: BTreeMap<_, _> = self.columns.iter().filter_map(|c| Some((c.rules.as_ref()?.version, c))).collect();
        all.into_values().filter_map(|column| column.rules.as_ref()).collect()
    }

    /// What a case shows of the model under the rules of all kernels.
    fn marks(&self, program: &Program) -> BTreeSet<String> {
        let under = |rules: &Rules| -> Vec<String> {
            marks(program, rules).into_iter().map(|mark| format!("{} {mark}", rules.version)).collect()
        };
        self.rules().into_iter().flat_map(under).collect()
    }
}

impl Target for Kernels<'_> {
    fn identity(&self) -> Identity {
        let options = self.guests.options_text();
        let kernel = |column: &Column<'_>| format!("{} ({}){options}", column.label, column.release);
        Identity {
            target: BETWEEN.to_owned(),
            rules: self.rules().into_iter().map(RuleSet::of).collect(),
            kernels: self.columns.iter().map(kernel).collect(),
            sample: if self.sample == Sample::New { "new" } else { "all" }.to_owned(),
            known: self.known.digest(),
            ..Identity::default()
        }
    }

    fn columns(&self) -> Vec<String> {
        self.columns.iter().map(|column| column.label.to_owned()).chain([BETWEEN.to_owned()]).collect()
    }

    /// The guests are shared; what they answer is compared on all threads.
    fn workers(&self, _wanted: usize) -> usize {
        1
    }

    /// A signal waits for the block in hand, and a start that was killed does it again: small, also where guests are slow.
    fn block_len(&self) -> u64 {
        128
    }

    fn worker<'a>(&'a self, seed: u64, shown: &BTreeSet<String>) -> Box<dyn Worker + 'a> {
        let mut novelty = Novelty::new();
        novelty.add(shown.clone());
        Box::new(KernelWorker { seed, kernels: self, novelty })
    }

    fn judge<'a>(&'a self, _column: usize, signature: &'a str) -> Judge<'a> {
        Box::new(move |program| Ok(signatures(program, self.pool, &self.columns)?.iter().any(|s| s == signature)))
    }

    /// What `explain` named, for kernels against each other; for the model against a kernel, what makes the model agree with it.
    fn gone_with(&self, found: &Found, program: &Program) -> Result<Vec<String>, CampaignError> {
        let rules = self.columns.get(found.column).and_then(|column| column.rules.as_ref());
        let Some(rules) = rules else { return Ok(found.cause.iter().cloned().collect()) };
        let mut program = program.clone();
        if !found.signature.contains(": run: ") {
            // It is about the load: runs would take their time for each fact.
            program.inputs.clear();
        }
        let answer = self.pool.answer(found.column, std::slice::from_ref(&program), &Ask::default())?;
        let facts = cause_of(rules, |other, _| {
            let column = self.columns.get(found.column).cloned().map(|c| Column { rules: Some(other.clone()), ..c });
            let columns = Vec::from_iter(column);
            Ok::<bool, CampaignError>(
                !compare(&program, &answer, &columns).signatures(&columns).contains(&found.signature),
            )
        });
        Ok(facts?.iter().map(ToString::to_string).collect())
    }

    fn tell(&self, campaign: &Identity, kept: &Kept, program: &Program) -> Told {
        let rules: Vec<String> = campaign.rules.iter().map(ToString::to_string).collect();
        let set = match campaign.rules.first() {
            Some(rules) => rules.set.iter().map(|fact| format!(" --set {fact}")).collect(),
            None => String::new(),
        };
        let kernels = self.guests.command_text();
        let gone_with = match kept.gone_with.as_slice() {
            [] => Vec::new(),
            facts => vec![format!("In the model, what tells the kernels apart is {}.", facts.join(", "))],
        };
        let story = Story {
            title: match kept.column.as_str() {
                BETWEEN => "Kernels treat a program differently".to_owned(),
                kernel => format!("The model and kernel {kernel} treat a program differently"),
            },
            identity: vec![
                ("signature", kept.signature.clone()),
                ("kernels", campaign.kernels.join(", ")),
                ("rules of the model", rules.join("; ")),
                ("case", format!("seed {}, number {}", campaign.seed, kept.number)),
                ("found with", format!("loopdiff {}", campaign.release)),
            ],
            compared: COMPARED.to_owned(),
            evidence: kept.evidence.clone(),
            sides: vec![Side { name: "The program".to_owned(), program, mark: None, result: String::new() }],
            gone_with,
            commands: vec![
                (
                    "The difference: the model against kernels, and kernels against each other.".to_owned(),
                    format!("loopdiff kernel parity case.json {kernels}{set} --fail-on model,kernels"),
                ),
                (
                    "The case before it was made smaller, and the campaign up to it.".to_owned(),
                    format!(
                        "loopdiff kernel parity s{seed}n{number} {kernels}{set} --fail-on model,kernels\n\
                         loopdiff fuzz {kernels}{set} --seed {seed} --count {count} --strict",
                        seed = campaign.seed,
                        number = kept.number,
                        count = kept.number.saturating_add(1),
                    ),
                ),
                ("What the kernels say.".to_owned(), format!("loopdiff kernel run case.json {kernels}")),
            ],
            ..Story::default()
        };
        Told { story: story.markdown(), claims: Claims { comments: story.comments(), ..Claims::default() } }
    }
}

const COMPARED: &str = "What real kernels, in guests, and the model say of one program: verdict, error number and message, which loops are \
    inlined, the rewritten instructions, stack depths, how many instructions were walked, and the results of test runs.";

/// Works on blocks, one after another.
struct KernelWorker<'a> {
    seed: u64,
    kernels: &'a Kernels<'a>,
    novelty: Novelty,
}

impl Worker for KernelWorker<'_> {
    fn block(&mut self, first: u64, count: u64, stop: &AtomicBool) -> Result<Block, CampaignError> {
        let kernels = self.kernels;
        let counts = Counts::new(kernels.columns.len());
        let mut block = Block { counts, found: Vec::new(), shown: BTreeSet::new() };
        let (cases, counts, shown) = self.cases(first, count)?;
        // A block that was not asked about is taken again by a later start.
        if stop.load(Ordering::Relaxed) {
            return Ok(block);
        }
        (block.counts, block.shown) = (counts, shown);
        let programs: Vec<Program> = cases.iter().map(|(_, case)| case.program.clone()).collect();
        let answers = kernels.pool.answer_all(&programs, &Ask::default())?;
        let mut comparison = Comparison::new(kernels.columns.clone(), Some(kernels.pool), kernels.jobs);
        let mut taken = Taken { kernels, block: &mut block, seen: BTreeSet::new() };
        let mut of_cases = cases.iter().enumerate();
        comparison
            .chunk(&programs, answers.clone(), |_, compared| {
                if let Some((n, (number, case))) = of_cases.next() {
                    let answers: Vec<&Answer> = answers.iter().filter_map(|of_kernel| of_kernel.get(n)).collect();
                    taken.case(*number, case, &answers, compared);
                }
                Ok(())
            })
            .map_err(target_error)?;
        let (tallies, between) = comparison.into_parts();
        let labels = kernels.columns.iter().map(|column| column.label.to_owned());
        block.counts.parity = labels.zip(tallies).collect();
        block.counts.between = between;
        for (signature, difference) in &mut block.counts.between {
            difference.known = kernels.known.all().iter().find(|k| k.is_between(signature)).map(|k| k.name.clone());
        }
        Ok(block)
    }
}

/// Cases with their numbers.
type Numbered = Vec<(u64, Case)>;

impl KernelWorker<'_> {
    /// The cases that guests are asked about, with their numbers; the counts of all; and what they have shown that is new.
    fn cases(&mut self, first: u64, count: u64) -> Result<(Numbered, Counts, BTreeSet<String>), CampaignError> {
        let mut counts = Counts::new(self.kernels.columns.len());
        let (mut chosen, mut shown) = (Vec::new(), BTreeSet::new());
        let numbers: Vec<u64> = (first..first.saturating_add(count)).collect();
        let is_new = self.kernels.sample == Sample::New;
        let work = |number: &u64| {
            let case = make(self.seed, *number);
            let marks = if is_new { self.kernels.marks(&case.program) } else { BTreeSet::new() };
            (case, marks)
        };
        let novelty = &mut self.novelty;
        items::in_order(&numbers, self.kernels.jobs, work, |n, (case, marks)| {
            counts.add_case(&case);
            if !is_new || novelty.add(marks.clone()) > 0 {
                shown.extend(marks);
                chosen.extend(numbers.get(n).map(|number| (*number, case)));
            }
            Ok(())
        })
        .map_err(target_error)?;
        Ok((chosen, counts, shown))
    }
}

/// Takes in what was found out about each case.
struct Taken<'a, 'b> {
    kernels: &'a Kernels<'a>,
    block: &'b mut Block,
    seen: BTreeSet<String>,
}

impl Taken<'_, '_> {
    fn case(&mut self, number: u64, case: &Case, answers: &[&Answer], compared: &Compared) {
        let kernels = self.kernels;
        let answered = answers.iter().filter(|a| !matches!(a.verdict, Verdict::NotRun(_))).count();
        for (n, column) in kernels.columns.iter().enumerate() {
            let parity = compared.parity.get(n);
            let with_model = parity.is_some_and(|p| p.iter().any(|(_, m)| !matches!(m, Match::NotCompared(_))));
            let Some(answer) = answers.get(n) else { continue };
            let with_kernels = answered > 1 && !matches!(answer.verdict, Verdict::NotRun(_));
            self.block.counts.add_answer(n, case, answer, &column.dump(answer), with_model || with_kernels);
            for (signature, evidence) in parity.into_iter().flat_map(|parity| different(column.label, parity)) {
                if let Some(counts) = self.block.counts.rules.get_mut(n) {
                    *counts.signatures.entry(signature.clone()).or_default() += 1;
                }
                self.found(number, n, signature, evidence, None, case);
            }
        }
        let between = compared.differences.iter().map(|between| (&between.signature, between.cause.clone()));
        for (signature, cause) in between.chain(compared.message.iter().map(|message| (message, None))) {
            if !kernels.known.all().iter().any(|known| known.is_between(signature)) {
                let evidence = said(&kernels.columns, answers);
                self.found(number, kernels.columns.len(), signature.clone(), evidence, cause, case);
            }
        }
    }

    fn found(
        &mut self,
        number: u64,
        column: usize,
        signature: String,
        evidence: String,
        cause: Option<String>,
        case: &Case,
    ) {
        if self.seen.insert(signature.clone()) {
            let program = case.program.clone();
            self.block.found.push(Found { number, column, signature, evidence, cause, program });
        }
    }
}

/// In what the model differs from a kernel, each kind once. A count that the model alone has otherwise says how exact the model
/// is, and nothing of kernels: it stands in the table and is no finding.
fn different(label: &str, parity: &Parity) -> BTreeMap<String, String> {
    let found = parity.iter().filter(|(aspect, _)| *aspect != Aspect::Count);
    let different = found.filter_map(|(_, result)| match result {
        Match::Different { signature, evidence } => Some((format!("{label}: {signature}"), evidence.clone())),
        Match::Same | Match::NotCompared(_) => None,
    });
    different.collect()
}

/// What each kernel said, in a line.
fn said(columns: &[Column<'_>], answers: &[&Answer]) -> String {
    let said = columns.iter().zip(answers).map(|(column, answer)| {
        let what = match &answer.verdict {
            Verdict::Reject => format!("reject, {} ({})", answer.errno, crate::oracle::parity::reason(answer)),
            other => other.to_string(),
        };
        let results: Vec<String> = answer.runs.iter().map(|run| format!("{:#x}", run.retval)).collect();
        let results = if results.is_empty() { String::new() } else { format!(", returns {}", results.join(" ")) };
        format!("{}: {what}, {} instructions walked{results}", column.label, answer.insns_processed)
    });
    said.collect::<Vec<_>>().join("; ")
}

fn target_error(failure: Failure) -> CampaignError {
    match failure {
        Failure::Guest(error) => CampaignError::Guest(error),
        other => CampaignError::Target(other.to_string()),
    }
}
