//! What the generator makes: `gen_stats [COUNT] [--from SEED] [--rules VERSION] [--old] [--show SEED] [--reason TEXT]`.
//!
//! Goes over seeds, examines each case, and prints the tables: shares, lengths, features (generated and accepted), reasons for
//! rejection with numbers blanked, and what the time went to. `--old` keeps to what kernels before 6.6 know. `--show` prints one case; `--reason` also the first seeds that are
//! refused with a text.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use loopdiff::generator::{Feature, Features, Lowered, Spec, lower, spec_from_seed};
use loopdiff::isa::{NoNames, disassemble};
use loopdiff::kernel::{KernelVersion, Rules};
use loopdiff::oracle::{Examiner, Options, Report, Status};
use loopdiff::verifier::SiteState;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// Cases that are made and then examined together, so that the time of each part can be told.
const BATCH: u64 = 256;

/// Time that this thread has run, where the system tells it; else the time that has passed.
fn cpu_time() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = told.as_deref().and_then(|t| t.split(' ').next()).and_then(|t| t.parse().ok());
    nanos.map_or_else(|| START.elapsed(), Duration::from_nanos)
}

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

struct Arguments {
    count: u64,
    from: u64,
    version: KernelVersion,
    old: bool,
    show: Option<u64>,
    reason: Option<String>,
}

fn arguments() -> Option<Arguments> {
    let mut parsed =
        Arguments { count: 20_000, from: 0, version: KernelVersion::V7_3, old: false, show: None, reason: None };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--from" => parsed.from = args.next()?.parse().ok()?,
            "--rules" => parsed.version = args.next()?.parse().ok()?,
            "--old" => parsed.old = true,
            "--show" => parsed.show = Some(args.next()?.parse().ok()?),
            "--reason" => parsed.reason = args.next(),
            count => parsed.count = count.parse().ok()?,
        }
    }
    Some(parsed)
}

#[derive(Default)]
struct Tally {
    cases: u64,
    accepted: u64,
    unsupported: BTreeMap<String, u64>,
    inlined: u64,
    kept: u64,
    both: u64,
    sites: [u64; 4],
    lengths: Vec<u32>,
    all_lengths: Vec<u32>,
    walked: Vec<u32>,
    steps: Vec<u64>,
    runs: u64,
    compared: u64,
    vacuous: BTreeMap<String, u64>,
    findings: BTreeMap<String, (u64, u64)>,
    reasons: BTreeMap<String, (u64, u64)>,
    planted: u64,
    features: BTreeMap<Feature, (u64, u64)>,
    generating: Duration,
    lowering: Duration,
    examining: Duration,
    slowest: Vec<(Duration, u64)>,
}

fn main() {
    let Some(args) = arguments() else {
        eprintln!("usage: gen_stats [COUNT] [--from SEED] [--rules VERSION] [--old] [--show SEED] [--reason TEXT]");
        std::process::exit(2);
    };
    let rules = Rules::of(args.version);
    let mut examiner = Examiner::new(Options::default());
    if let Some(seed) = args.show {
        return show(seed, &rules, &mut examiner);
    }
    let mut tally = Tally::default();
    let mut seed = args.from;
    while seed < args.from + args.count {
        let end = (seed + BATCH).min(args.from + args.count);
        tally.batch(seed..end, &rules, &mut examiner, &args);
        seed = end;
    }
    tally.print(args.version);
}

fn show(seed: u64, rules: &Rules, examiner: &mut Examiner) {
    let spec = spec_from_seed(seed).settled();
    println!("{spec:#?}");
    let lowered = lower(&spec);
    for feature in lowered.features.iter() {
        println!("  {feature}");
    }
    println!("{}", disassemble(&lowered.program.insns, &NoNames));
    for input in &lowered.program.inputs {
        println!("{input:?}");
    }
    let report = examiner.examine(&lowered.program, rules);
    match &report.status {
        Status::Accepted { facts, .. } => {
            println!("accepted: {} walked, stack {:?}, {:?}", facts.insns_processed, facts.stack_depth, facts.loops);
        }
        other => println!("{other:?}"),
    }
    println!("{:?}", report.vacuous);
    for run in &report.runs {
        println!("{:?} / {:?}", run.original.end, run.rewritten.end);
    }
    for finding in &report.findings {
        println!("{}: {}", finding.signature, finding.evidence);
    }
}

impl Tally {
    fn batch(&mut self, seeds: Range<u64>, rules: &Rules, examiner: &mut Examiner, args: &Arguments) {
        let start = cpu_time();
        let mut specs: Vec<Spec> = seeds.clone().map(spec_from_seed).collect();
        if args.old {
            specs.iter_mut().for_each(|s| s.swarm.old = 0);
        }
        let generated = cpu_time();
        let cases: Vec<Lowered> = specs.iter().map(lower).collect();
        let end = cpu_time();
        let mut reports = Vec::with_capacity(cases.len());
        self.generating += generated.saturating_sub(start);
        self.lowering += end.saturating_sub(generated);
        for (seed, lowered) in seeds.zip(&cases) {
            let start = Instant::now();
            let report = examiner.examine(&lowered.program, rules);
            self.slowest.push((start.elapsed(), seed));
            reports.push((seed, report));
        }
        self.examining += cpu_time().saturating_sub(end);
        for ((seed, report), lowered) in reports.iter().zip(&cases) {
            self.case(*seed, lowered, report, args.reason.as_deref());
        }
        self.keep_slowest();
    }

    fn case(&mut self, seed: u64, lowered: &Lowered, report: &Report, reason: Option<&str>) {
        self.cases += 1;
        let len = lowered.program.insns.len() as u32;
        self.all_lengths.push(len);
        let accepted = matches!(report.status, Status::Accepted { .. });
        self.count_features(&lowered.features, accepted);
        self.planted += u64::from(lowered.features.iter().any(|f| matches!(f, Feature::Mistake(_))));
        match &report.status {
            Status::Accepted { facts, .. } => {
                self.accepted += 1;
                self.lengths.push(len);
                self.walked.push(facts.insns_processed);
                let fit = facts.loops.iter().filter(|s| matches!(s.state, SiteState::Fit(_))).count();
                let unfit = facts.loops.iter().filter(|s| matches!(s.state, SiteState::Unfit(_))).count();
                let dead = facts.loops.len() - fit - unfit;
                self.inlined += u64::from(fit > 0);
                self.kept += u64::from(unfit > 0);
                self.both += u64::from(fit > 0 && unfit > 0);
                for (sum, n) in self.sites.iter_mut().zip([facts.loops.len(), fit, unfit, dead]) {
                    *sum += n as u64;
                }
            }
            Status::Rejected(rejection) => {
                self.walked.push(rejection.insns_processed);
                let text = blanked(&rejection.text);
                if reason.is_some_and(|r| text.contains(r)) {
                    println!("seed {seed}: {} (planted: {})", rejection.text, planted(&lowered.features));
                }
                let entry = self.reasons.entry(text).or_default();
                entry.0 += 1;
                entry.1 += u64::from(planted(&lowered.features) != "nothing");
            }
            Status::Unsupported(u) => *self.unsupported.entry(blanked(&u.what)).or_default() += 1,
        }
        for run in &report.runs {
            self.runs += 1;
            self.steps.push(run.original.insns);
        }
        self.compared += report.compared as u64;
        for why in &report.vacuous {
            *self.vacuous.entry(blanked(&why.to_string())).or_default() += 1;
        }
        for finding in &report.findings {
            let entry = self.findings.entry(finding.signature.clone()).or_insert((0, seed));
            entry.0 += 1;
        }
    }

    fn count_features(&mut self, features: &Features, accepted: bool) {
        for feature in features.iter() {
            let entry = self.features.entry(feature).or_default();
            entry.0 += 1;
            entry.1 += u64::from(accepted);
        }
    }

    fn keep_slowest(&mut self) {
        self.slowest.sort_unstable_by(|a, b| b.cmp(a));
        self.slowest.truncate(8);
    }

    fn print(&mut self, version: KernelVersion) {
        let (cases, accepted) = (self.cases, self.accepted);
        println!("{cases} cases, rules {version}");
        println!("  accepted                {:>6.2} %", share(accepted, cases));
        println!("  mistakes planted        {:>6.2} %", share(self.planted, cases));
        println!("  length, all             {}", spread(&mut self.all_lengths));
        println!("  length, accepted        {}", spread(&mut self.lengths));
        println!("  accepted with inlined   {:>6.2} %", share(self.inlined, accepted));
        println!("  accepted with kept      {:>6.2} %", share(self.kept, accepted));
        println!("  accepted with both      {:>6.2} %", share(self.both, accepted));
        let [sites, fit, unfit, dead] = self.sites;
        println!("  sites of accepted       {sites}: {fit} inlined, {unfit} kept, {dead} dead");
        println!("  instructions walked     {}", spread(&mut self.walked));
        println!("  inputs                  {}, {} compared", self.runs, self.compared);
        println!("  instructions run        {}", spread(&mut self.steps));
        let us = |d: Duration| d.as_secs_f64() * 1e6 / cases as f64;
        println!(
            "  per case                {:.1} us to generate, {:.1} us to lower, {:.1} us to examine: {:.0} cases a second",
            us(self.generating),
            us(self.lowering),
            us(self.examining),
            1e6 / us(self.generating + self.lowering + self.examining)
        );
        for (time, seed) in &self.slowest {
            println!("    slow: {:>8.1} ms seed {seed}", time.as_secs_f64() * 1e3);
        }
        table("not compared", self.vacuous.iter().map(|(k, n)| (k.clone(), *n, String::new())));
        table("unsupported", self.unsupported.iter().map(|(k, n)| (k.clone(), *n, String::new())));
        table("findings", self.findings.iter().map(|(k, (n, seed))| (k.clone(), *n, format!("seed {seed}"))));
        let reasons = self.reasons.iter();
        table("reasons", reasons.map(|(k, (n, p))| (k.clone(), *n, format!("{p} planted"))));
        println!("features: generated, accepted");
        for feature in Feature::all() {
            let (generated, accepted) = self.features.get(&feature).copied().unwrap_or_default();
            println!("  {generated:>7} {accepted:>7}  {feature}");
        }
    }
}

fn planted(features: &Features) -> String {
    let found = features.iter().find(|f| matches!(f, Feature::Mistake(_)));
    found.map_or_else(|| "nothing".to_owned(), |f| f.short_name().to_owned())
}

fn table(title: &str, rows: impl Iterator<Item = (String, u64, String)>) {
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by_key(|(_, n, _)| std::cmp::Reverse(*n));
    println!("{title}: {}", rows.len());
    for (what, n, note) in rows.iter().take(70) {
        println!("  {n:>7}  {what}  {note}");
    }
}

fn share(n: u64, of: u64) -> f64 {
    100.0 * n as f64 / of.max(1) as f64
}

fn spread<T: Copy + Ord + Into<u64>>(values: &mut [T]) -> String {
    values.sort_unstable();
    let at = |share: f64| values.get((values.len() as f64 * share) as usize).map_or(0, |v| (*v).into());
    let sum: u64 = values.iter().map(|v| (*v).into()).sum();
    let mean = sum as f64 / values.len().max(1) as f64;
    let max = values.last().map_or(0, |v| (*v).into());
    format!("mean {mean:.1}, median {}, 90 % {}, 99 % {}, largest {max}", at(0.5), at(0.9), at(0.99))
}

/// A text without its numbers.
fn blanked(text: &str) -> String {
    let mut out = String::new();
    for c in text.lines().next().unwrap_or_default().chars() {
        match c {
            '0'..='9' if out.ends_with('#') => {}
            '0'..='9' => out.push('#'),
            c => out.push(c),
        }
    }
    out
}
