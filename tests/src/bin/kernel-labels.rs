//! Compares the model with recorded answers of real kernels: `kernel-labels FOLDER [VERSION…]`.
//!
//! Prints, by rule set, the confusion table of verdicts, the disagreements by kind of message, and the shares of agreement.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use loopdiff::kernel::{KernelVersion, Rules};
use loopdiff::oracle::{Report, Status};
use loopdiff::repro::blank_numbers;
use loopdiff_tests::labels::{self, Answer, RunMatch};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

#[derive(Default)]
struct Tally {
    accept_accept: u32,
    reject_reject: u32,
    accept_reject: u32,
    reject_accept: u32,
    unsupported: u32,
    same_message: u32,
    same_count: u32,
    sites: u32,
    same_sites: u32,
    kinds: BTreeMap<String, Vec<String>>,
    counts: BTreeMap<String, u32>,
    runs: BTreeMap<RunMatch, u32>,
    findings: BTreeMap<String, Vec<String>>,
}

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
    let programs = labels::programs(folder)?;
    let answers = labels::answers(folder, version)?;
    let mut tally = Tally::default();
    for (program, kernel) in programs.iter().zip(&answers) {
        let reports = labels::examine(program, &rules);
        let Some(report) = reports.first() else { continue };
        tally.add(report, kernel, &rules);
        if kernel.verdict == "accept" && matches!(report.status, Status::Accepted { .. }) {
            let runs = labels::compare_runs(program, &reports, kernel);
            if runs.contains(&RunMatch::Different) {
                tally.kinds.entry("a run differs".to_owned()).or_default().push(kernel.name.clone());
            }
            runs.into_iter().for_each(|run| *tally.runs.entry(run).or_default() += 1);
        }
    }
    tally.print(version, programs.len() as u32);
    Ok(())
}

impl Tally {
    fn add(&mut self, report: &Report, kernel: &Answer, rules: &Rules) {
        let theirs = blank_numbers(&kernel.message);
        for finding in &report.findings {
            let names = self.findings.entry(finding.signature.clone()).or_default();
            if names.last() != Some(&kernel.name) {
                names.push(kernel.name.clone());
            }
        }
        let kind = match (&report.status, kernel.verdict == "accept") {
            (Status::Accepted { facts, .. }, true) => {
                self.accept_accept += 1;
                self.same_count += u32::from(facts.insns_processed == kernel.insns_processed);
                let ours = labels::sites_of(facts);
                let kernel_sites = labels::sites_in_dump(&kernel.xlated, helper_imm(rules));
                self.sites += kernel_sites.len() as u32;
                if ours.len() == kernel_sites.len() {
                    self.same_sites += ours.iter().zip(&kernel_sites).filter(|(a, b)| a == b).count() as u32;
                }
                if facts.insns_processed == kernel.insns_processed && ours == kernel_sites {
                    return;
                }
                if ours != kernel_sites {
                    "sites differ".to_owned()
                } else {
                    let more = facts.insns_processed > kernel.insns_processed;
                    let kind = if more { "count above the kernel's" } else { "count below the kernel's" };
                    *self.counts.entry(kind.to_owned()).or_default() += 1;
                    format!("{kind} (both accept)")
                }
            }
            (Status::Rejected(r), false) => {
                self.reject_reject += 1;
                if r.text == kernel.message && r.errno.0 == kernel.errno {
                    self.same_message += 1;
                    if r.insns_processed == kernel.insns_processed || kernel.errno == 14 {
                        self.same_count += 1;
                        return;
                    }
                    "count differs (both reject)".to_owned()
                } else {
                    format!(
                        "message: kernel {} [{theirs}] ours {} [{}]",
                        kernel.errno,
                        r.errno.0,
                        blank_numbers(&r.text)
                    )
                }
            }
            (Status::Accepted { .. }, false) => {
                self.accept_reject += 1;
                format!("WE ACCEPT, kernel {} [{theirs}]", kernel.errno)
            }
            (Status::Rejected(r), true) => {
                self.reject_accept += 1;
                format!("WE REJECT [{}], kernel accepts", blank_numbers(&r.text))
            }
            (Status::Unsupported(unsupported), _) => {
                self.unsupported += 1;
                format!("unsupported: {}", unsupported.what)
            }
        };
        self.kinds.entry(kind).or_default().push(kernel.name.clone());
    }

    fn print(&self, version: KernelVersion, programs: u32) {
        let share = |n: u32, of: u32| 100.0 * f64::from(n) / f64::from(of.max(1));
        let agree = self.accept_accept + self.reject_reject;
        println!("rules {version}, {programs} programs");
        println!("                    kernel accepts   kernel rejects");
        println!("  we accept         {:>14}   {:>14}", self.accept_accept, self.accept_reject);
        println!("  we reject         {:>14}   {:>14}", self.reject_accept, self.reject_reject);
        println!("  unsupported       {:>14}", self.unsupported);
        println!("  verdicts agree            {:>6.2} %", share(agree, programs));
        println!("  rejections, same message  {:>6.2} %", share(self.same_message, self.reject_reject));
        println!("  instructions walked agree {:>6.2} %", share(self.same_count, programs));
        println!("  sites agree               {:>6.2} % of {}", share(self.same_sites, self.sites), self.sites);
        let runs = |m| self.runs.get(&m).copied().unwrap_or(0);
        let compared = runs(RunMatch::Same) + runs(RunMatch::Different);
        println!("  runs agree                {:>6.2} % of {compared}", share(runs(RunMatch::Same), compared));
        println!(
            "  runs not compared         {} (addresses decide the way), {} (not run)",
            runs(RunMatch::AddressesDecide),
            runs(RunMatch::NotRun)
        );
        for (signature, names) in &self.findings {
            println!(
                "  finding {signature}: {} programs ({})",
                names.len(),
                names.iter().take(3).cloned().collect::<Vec<_>>().join(" ")
            );
        }
        let mut kinds: Vec<_> = self.kinds.iter().collect();
        kinds.sort_by_key(|(_, names)| std::cmp::Reverse(names.len()));
        for (kind, names) in kinds.iter().take(40) {
            println!("  {:>5}  {kind}  ({})", names.len(), names.iter().take(3).cloned().collect::<Vec<_>>().join(" "));
        }
        println!();
    }
}

fn helper_imm(rules: &Rules) -> i32 {
    match rules.version {
        KernelVersion::V6_1 => 189_712,
        KernelVersion::V6_12 => 270_640,
        KernelVersion::V6_18 => 342_000,
        KernelVersion::V7_3 => 392_784,
    }
}
