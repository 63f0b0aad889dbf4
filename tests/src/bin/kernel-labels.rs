//! Compares the model with recorded answers of real kernels: `kernel-labels FOLDER [VERSION…]`.
//!
//! Prints, by rule set, the shares of agreement and the disagreements by signature. `loopdiff kernel parity` does the same with
//! kernels that run.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use loopdiff::kernel::{KernelVersion, Rules};
use loopdiff::oracle::parity::{self, Aspect, ParityTally};
use loopdiff_tests::labels;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let Some(folder) = args.next() else {
        eprintln!("usage: kernel-labels FOLDER [VERSION…]");
        return ExitCode::from(2);
    };
    let mut versions: Vec<KernelVersion> = args.filter_map(|v| v.parse().ok()).collect();
    if versions.is_empty() {
        versions = KernelVersion::ALL.to_vec();
    }
    for version in versions {
        if let Err(error) = compare(Path::new(&folder), version) {
            eprintln!("{folder}: {error}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn compare(folder: &Path, version: KernelVersion) -> std::io::Result<()> {
    let rules = Rules::of(version);
    let mut tally = ParityTally::default();
    let mut findings: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (program, kernel) in labels::programs(folder)?.iter().zip(&labels::answers(folder, version)?) {
        let reports = parity::examine(program, &rules);
        for finding in reports.first().into_iter().flat_map(|report| &report.findings) {
            let names = findings.entry(finding.signature.clone()).or_default();
            if names.last() != Some(&kernel.name) {
                names.push(kernel.name.clone());
            }
        }
        let dump = labels::dump(kernel, &rules);
        tally.add(&program.name, &parity::compare(program, &reports, kernel, &dump, &rules));
    }
    print(version, &tally, &findings);
    Ok(())
}

fn print(version: KernelVersion, tally: &ParityTally, findings: &BTreeMap<String, Vec<String>>) {
    println!("rules {version}, {} programs", tally.programs);
    for aspect in Aspect::ALL {
        let [same, different, not] = tally.aspects.get(&aspect).copied().unwrap_or_default();
        let share = 100.0 * same as f64 / (same + different).max(1) as f64;
        println!("  {:8} {share:6.2} % of {:>5} agree, {not} not compared", aspect.name(), same + different);
    }
    for (why, count) in &tally.not_compared {
        println!("  {count:>5}  not compared, {why}");
    }
    list("finding ", findings);
    list("", &tally.signatures);
    println!();
}

fn list(what: &str, signatures: &BTreeMap<String, Vec<String>>) {
    let mut all: Vec<_> = signatures.iter().collect();
    all.sort_by_key(|(_, names)| Reverse(names.len()));
    for (signature, names) in all.iter().take(40) {
        let some = names.iter().take(3).cloned().collect::<Vec<_>>().join(" ");
        println!("  {:>5}  {what}{signature}  ({some})", names.len());
    }
}
