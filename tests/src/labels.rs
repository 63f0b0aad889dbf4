//! Programs with the recorded answers of real kernels, and how far the model agrees with them.
//!
//! The recordings are gzipped JSON lines: `programs.jsonl.gz` in the format of `core/docs/formats.md`, and `kernel-VERSION.jsonl.gz`
//! with one answer a line, in the same order.

use flate2::read::GzDecoder;
use loopdiff::kernel::{KernelVersion, Rules};
use loopdiff::program::{Program, json};
use loopdiff::rewrite;
use loopdiff::verifier::{Facts, Rejection, SiteState, Verdict, verify};
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
    pub ctx: Option<String>,
    /// Values of the maps afterwards, in hexadecimal.
    #[serde(default)]
    pub maps: serde_json::Value,
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

/// The model's answer for a program: the verifier's, or that of the rewrite when it fails.
pub enum Ours {
    /// Accepted, with the facts.
    Accepted(Box<Facts>),
    /// Refused by verifier or rewrite.
    Rejected(Rejection),
    /// Not modelled.
    Unsupported(String),
}

/// Verifies and rewrites a program.
pub fn answer(program: &Program, rules: &Rules) -> Ours {
    match verify(program, rules) {
        Verdict::Accepted(facts) => match rewrite::rewrite(program, &facts, rules) {
            Ok(_) => Ours::Accepted(Box::new(facts)),
            Err(rejection) => Ours::Rejected(rejection),
        },
        Verdict::Rejected(rejection) => Ours::Rejected(rejection),
        Verdict::Unsupported(unsupported) => Ours::Unsupported(unsupported.what),
    }
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

/// A message without its numbers, so that messages of one kind count together.
pub fn message_kind(text: &str) -> String {
    let mut kind = String::new();
    let mut in_number = false;
    for c in text.chars() {
        if c.is_ascii_digit() {
            if !in_number {
                kind.push('N');
            }
            in_number = true;
        } else {
            in_number = false;
            kind.push(c);
        }
    }
    kind.replace("-N", "N").replace("NxN", "N")
}
