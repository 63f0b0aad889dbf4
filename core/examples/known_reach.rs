//! How soon and how often a campaign comes by what is known: `known_reach [COUNT] [SEED]…`.
//!
//! Makes the cases of the campaigns with these seeds (1 without any), under the rules of all kernels, and prints for each entry of
//! `corpus/known/known.toml` the first case that shows it and how many do. The model shows most by a finding; what only
//! kernels show is told by what the model says of such a program: see [`Verdicts::shows`].

#![allow(clippy::print_stdout, clippy::print_stderr)]

use loopdiff::campaign::{Known, KnownDivergence, case_options, examine_caught, make};
use loopdiff::isa::{Imm64, InsnIdx, Op, decode};
use loopdiff::kernel::{KernelVersion, Rules};
use loopdiff::oracle::{Examiner, Finding, Report, Status};
use loopdiff::program::{Layout, Program};
use loopdiff::verifier::SiteState;
use std::collections::BTreeMap;

const TEST_REG_INVARIANTS: u32 = 1 << 7;

fn main() {
    let mut numbers = std::env::args().skip(1).map(|a| a.parse::<u64>());
    let (Ok(count), Ok(mut seeds)) = (numbers.next().unwrap_or(Ok(60_000)), numbers.collect::<Result<Vec<u64>, _>>())
    else {
        eprintln!("usage: known_reach [COUNT] [SEED]…");
        std::process::exit(2);
    };
    if seeds.is_empty() {
        seeds.push(1);
    }
    let known = match Known::built_in() {
        Ok(known) => known,
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1);
        }
    };
    let columns: Vec<BTreeMap<&str, Met>> = seeds.iter().map(|seed| campaign(*seed, count, &known)).collect();
    println!("{count} cases; first case, cases that show it");
    let head: String = seeds.iter().map(|seed| format!("{:>18}", format!("seed {seed}"))).collect();
    println!("{:<26}{head}", "");
    for entry in known.all() {
        let cell = |met: &BTreeMap<&str, Met>| {
            met.get(entry.name.as_str()).map_or("-".to_owned(), |m| format!("{} ({})", m.first, m.times))
        };
        let row: String = columns.iter().map(|met| format!("{:>18}", cell(met))).collect();
        println!("{:<26}{row}", entry.name);
    }
}

struct Met {
    first: u64,
    times: u64,
}

fn campaign(seed: u64, count: u64, known: &Known) -> BTreeMap<&str, Met> {
    let rules = KernelVersion::ALL.map(Rules::of);
    let mut examiner = Examiner::new(case_options());
    let mut met = BTreeMap::new();
    for number in 0..count {
        let program = make(seed, number).program;
        let reports = rules.each_ref().map(|r| examine_caught(&mut examiner, &program, r).ok());
        let contradiction = contradicts(&program, &rules[2], &mut examiner);
        let verdicts = Verdicts { program: &program, reports, contradiction };
        let mut explained = Vec::new();
        for (rules, report) in rules.iter().zip(&verdicts.reports) {
            for finding in report.iter().flat_map(|r| &r.findings) {
                if let Some(entry) = known.explains(finding, &program, rules, &mut examiner) {
                    explained.push((entry.name.as_str(), finding));
                }
            }
        }
        for entry in known.all().iter().filter(|entry| verdicts.shows(entry, &explained)) {
            met.entry(entry.name.as_str()).or_insert(Met { first: number, times: 0 }).times += 1;
        }
    }
    met
}

/// What the models say of a program.
struct Verdicts<'a> {
    program: &'a Program,
    reports: [Option<Report>; 4],
    contradiction: bool,
}

impl Verdicts<'_> {
    fn shows(&self, entry: &KnownDivergence, explained: &[(&str, &Finding)]) -> bool {
        let [v6_1, v6_12, v6_18, v7_3] = [0, 1, 2, 3].map(|n| self.refused(n));
        let by = |name| explained.iter().filter(move |(n, _)| *n == name);
        match entry.name.as_str() {
            // What follows from callbacks that are walked once counts as that.
            "callback-kills-kernel" => by("callback-walked-once").any(|(_, f)| entry.has(&f.signature)),
            "callback-wrong-inlining" => {
                by("callback-walked-once").next().is_some() && self.inlined_in_the_oldest_alone()
            }
            "store-to-stack-or-map" => v7_3.contains("poisoned by dead code elimination"),
            "dead-callback-warns" => [v6_1, v6_12, v6_18, v7_3].iter().any(|text| text.contains("No program ")),
            "pointer-count-warns" => v6_18.contains("backtracking misuse") && v7_3.contains("expected=scalar"),
            "range-check-warns" => self.contradiction,
            "recursion-hangs" => v7_3.contains("combined stack size of") && refers_to_itself(self.program),
            name => by(name).next().is_some(),
        }
    }

    /// Why the kernel of that number refuses; empty where it does not.
    fn refused(&self, n: usize) -> &str {
        match self.reports[n].as_ref().map(|r| &r.status) {
            Some(Status::Rejected(rejection)) => rejection.reason(),
            _ => "",
        }
    }

    fn inlined_in_the_oldest_alone(&self) -> bool {
        let sites = |n: usize| match self.reports[n].as_ref().map(|r| &r.status) {
            Some(Status::Accepted { facts, .. }) => facts.loops.clone(),
            _ => Vec::new(),
        };
        let both = sites(0).into_iter().zip(sites(3));
        both.into_iter().any(|(old, new)| matches!((old.state, new.state), (SiteState::Fit(_), SiteState::Unfit(_))))
    }
}

/// Whether the ranges contradict each other somewhere: the kernel says so when it is asked to refuse such programs.
fn contradicts(program: &Program, rules: &Rules, examiner: &mut Examiner) -> bool {
    let asking = Program { prog_flags: program.prog_flags | TEST_REG_INVARIANTS, ..program.clone() };
    let report = examine_caught(examiner, &asking, rules);
    report.is_ok_and(|r| matches!(r.status, Status::Rejected(why) if why.text.contains("INVARIANTS")))
}

/// Whether a function calls itself, or takes its own address, at any distance.
fn refers_to_itself(program: &Program) -> bool {
    let layout = Layout::of(program);
    let mut edges = Vec::new();
    let mut at = InsnIdx(0);
    while let Some(insn) = program.insn(at) {
        let Ok(op) = decode(insn, program.insn(at.next())) else { return false };
        let refers = matches!(op, Op::CallLocal { .. } | Op::LdImm64 { imm: Imm64::Func { .. }, .. });
        if let (true, Some(target)) = (refers, op.target(at)) {
            edges.push((layout.containing(at), layout.containing(target)));
        }
        at = InsnIdx(at.0 + op.len());
    }
    // Without those that lead nowhere, again and again: what is left goes round.
    loop {
        let before = edges.len();
        let starts: Vec<_> = edges.iter().map(|(from, _)| *from).collect();
        edges.retain(|(_, to)| starts.contains(to));
        if edges.len() == before {
            return !edges.is_empty();
        }
    }
}
