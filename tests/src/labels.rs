//! Programs with the recorded answers of real kernels, and how far the model agrees with them.
//!
//! The recordings are gzipped JSON lines: `programs.jsonl.gz` in the format of `core/docs/formats.md`, and `kernel-VERSION.jsonl.gz`
//! with one answer a line, in the same order.

use flate2::read::GzDecoder;
use loopdiff::exec::{AddressMask, End, LAYOUT_SEEDS, Limits, Outcome};
use loopdiff::kernel::{KernelVersion, ProgType, Rules};
use loopdiff::oracle::{Examiner, Options, Report};
use loopdiff::program::{Program, json};
use loopdiff::verifier::{Facts, SiteState};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// What a kernel answered for a program.
#[derive(Clone, Debug, Deserialize)]
pub struct Answer {
    /// Name of the program.
    pub name: String,
    /// `accept` or `reject`.
    pub verdict: String,
    /// Positive error number.
    pub errno: i32,
    /// The line of the log that says why.
    pub message: String,
    /// Instructions walked.
    pub insns_processed: u32,
    /// Stack depth by subprogram after inlining, where the kernel names them.
    #[serde(default)]
    pub stack_by_name: BTreeMap<String, u16>,
    /// The same as `main+sub1+…`.
    #[serde(default)]
    pub stack_line: String,
    /// The rewritten instructions as dumped.
    pub xlated: Vec<String>,
    /// Test runs.
    pub runs: Vec<Run>,
}

/// A test run of a program.
#[derive(Clone, Debug, Deserialize)]
pub struct Run {
    /// Error of the test run, 0 for none.
    #[serde(default)]
    pub err: i32,
    /// Low 32 bits of R0.
    #[serde(default)]
    pub retval: u32,
    /// The context afterwards, in hexadecimal.
    #[serde(default)]
    pub ctx: String,
    /// The value of the array map afterwards, in hexadecimal.
    #[serde(default)]
    pub maps: String,
}

fn read_gzip(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    GzDecoder::new(File::open(path)?).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads the programs of a folder.
pub fn programs(folder: &Path) -> io::Result<Vec<Program>> {
    let text = read_gzip(&folder.join("programs.jsonl.gz"))?;
    json::read(&text, json::Form::Lines).map_err(io::Error::other)
}

/// Reads a kernel's answers.
pub fn answers(folder: &Path, version: KernelVersion) -> io::Result<Vec<Answer>> {
    let text = read_gzip(&folder.join(format!("kernel-{version}.jsonl.gz")))?;
    text.split(|b| *b == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).map_err(io::Error::other))
        .collect()
}

/// Instructions that a run may take before it counts as endless.
const FUEL: u64 = 200_000_000;

/// Verifies, rewrites and runs a program, once for each layout of memory.
///
/// The first report is the answer; the others tell which bytes of the runs come from addresses. Programs that are refused are
/// looked at once.
pub fn examine(program: &Program, rules: &Rules) -> Vec<Report> {
    let mut reports = Vec::new();
    for layout_seed in LAYOUT_SEEDS {
        let limits = Limits { fuel: FUEL, layout_seed, ..Limits::default() };
        let report = Examiner::new(Options { limits, ..Options::default() }).examine(program, rules);
        let ran = !report.runs.is_empty();
        reports.push(report);
        if !ran {
            break;
        }
    }
    reports
}

/// How a run of the model compares with a kernel's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum RunMatch {
    /// The same result.
    Same,
    /// The way through the program depends on addresses: nothing can be compared.
    AddressesDecide,
    /// The kernel refused the input, or the model does not run it.
    NotRun,
    /// Different results.
    Different,
}

/// Compares the inlined form on each input, which is what the kernel ran, with the kernel's runs.
pub fn compare_runs(program: &Program, reports: &[Report], kernel: &Answer) -> Vec<RunMatch> {
    let outcomes = |n: usize| -> Vec<Outcome> {
        reports.iter().filter_map(|r| r.runs.get(n)).map(|pair| pair.rewritten.clone()).collect()
    };
    kernel.runs.iter().enumerate().map(|(n, run)| compare_run(program, &outcomes(n), run)).collect()
}

fn compare_run(program: &Program, ours: &[Outcome], kernel: &Run) -> RunMatch {
    let Some(first) = ours.first() else { return RunMatch::NotRun };
    let End::Returned(r0) = first.end else {
        return if kernel.err != 0 { RunMatch::NotRun } else { RunMatch::Different };
    };
    if kernel.err != 0 {
        return RunMatch::NotRun;
    }
    let mask = AddressMask::of(ours);
    if mask.flow {
        return RunMatch::AddressesDecide;
    }
    let same = |ours: &[u8], theirs: &[u8], mask: &[bool]| {
        theirs
            .iter()
            .enumerate()
            .all(|(n, byte)| mask.get(n).copied().unwrap_or(false) || ours.get(n).copied().unwrap_or(0) == *byte)
    };
    let maps = first.maps.first().map_or(&[][..], Vec::as_slice);
    let map_mask = mask.maps.first().map_or(&[][..], Vec::as_slice);
    let agrees = same(&r0.to_le_bytes()[..4], &kernel.retval.to_le_bytes(), &mask.r0)
        && same(maps, &unhex(&kernel.maps), map_mask)
        && (program.prog_type != ProgType::Syscall || same(&first.ctx, &unhex(&kernel.ctx), &mask.ctx));
    if agrees { RunMatch::Same } else { RunMatch::Different }
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |b: u8| (b as char).to_digit(16).unwrap_or(0) as u8;
    text.as_bytes().chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// Which `bpf_loop` calls of a dump were inlined and which stayed, in order: `true` for an inlined one.
///
/// The inlined sequence begins with the comparison with 2²³ and the load of −E2BIG; the helper call carries the address that
/// `helper_imm` names.
pub fn sites_in_dump(xlated: &[String], helper_imm: i32) -> Vec<bool> {
    let helper = format!("85000000{}", hex(&helper_imm.to_le_bytes()));
    let mut sites = Vec::new();
    for (n, insn) in xlated.iter().enumerate() {
        if *insn == helper {
            sites.push(false);
        } else if insn == "b501020000008000" && xlated.get(n + 1).is_some_and(|i| i == "b4000000f9ffffff") {
            sites.push(true);
        }
    }
    sites
}

/// The same of the model: dead calls are not in the rewritten program.
pub fn sites_of(facts: &Facts) -> Vec<bool> {
    let live = facts.loops.iter().filter(|l| l.state != SiteState::NeverReached);
    live.map(|l| matches!(l.state, SiteState::Fit(_))).collect()
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
