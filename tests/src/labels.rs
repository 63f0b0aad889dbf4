//! Programs with the recorded answers of real kernels, and how far the model agrees with them.
//!
//! The recordings are gzipped JSON lines: `programs.jsonl.gz` in the format of `core/docs/formats.md`, and `kernel-VERSION.jsonl.gz`
//! with one answer a line, in the same order.

use flate2::read::GzDecoder;
use loopdiff::guest::{Answer, number_helpers};
use loopdiff::isa::Insn;
use loopdiff::kernel::{KernelVersion, Rules};
use loopdiff::program::{Program, json};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

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

/// An answer's dump with the helpers' numbers in helper calls, for the builds that were recorded.
pub fn dump(answer: &Answer, rules: &Rules) -> Vec<Insn> {
    number_helpers(&answer.xlated, |imm| rules.rewrite.build.helper_imms().number(imm))
}
