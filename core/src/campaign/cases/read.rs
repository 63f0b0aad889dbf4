//! From files to cases.

use crate::kernel::{KernelVersion, ProgType};
use crate::program::text::{self, Expect, Expectation, TestFile};
use crate::program::{Input, InputError};
use std::io;
use std::path::{Path, PathBuf};

/// A test file.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its path, for people.
    pub path: PathBuf,
    /// The rule that it is for: its first line.
    pub rule: String,
    /// What it says. The program has at least one input.
    pub file: TestFile,
}

/// All `.bpf` files below a folder, in name order.
pub fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "bpf") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Reads the text of a test file.
pub fn read(path: &Path, source: &str) -> Result<Case, InputError> {
    let first = source.lines().next().unwrap_or_default();
    let Some(rule) = first.strip_prefix("# ").filter(|rule| !rule.is_empty()) else {
        let error = InputError::new("the first line does not say what rule the file is for").at_line(1);
        return Err(error.hint("# and a few words").in_file(path));
    };
    let mut file = text::parse(source).map_err(|e| e.in_file(path))?;
    let vague =
        |e: &&Expectation| matches!(e.what, Expect::Reject { text: None, .. } | Expect::Reject { errno: None, .. });
    if let Some(vague) = file.expect.all().iter().find(vague) {
        let error = InputError::new("`reject` without error number or text").at_line(vague.line);
        return Err(error.hint("reject: EINVAL \"a part of the log line\"").in_file(path));
    }
    if file.program.inputs.is_empty() {
        file.program.inputs.push(default_input(file.program.prog_type));
    }
    Ok(Case { path: path.to_owned(), rule: rule.to_owned(), file })
}

/// What a program without inputs is run on: a context or a packet of zeros.
fn default_input(prog_type: ProgType) -> Input {
    const RAW_TRACEPOINT_BYTES: usize = 96;
    const SYSCALL_BYTES: usize = 64;
    const PACKET_BYTES: usize = 64;
    match prog_type {
        ProgType::RawTracepoint => Input { ctx: vec![0; RAW_TRACEPOINT_BYTES], ..Input::default() },
        ProgType::Syscall => Input { ctx: vec![0; SYSCALL_BYTES], ..Input::default() },
        ProgType::Tracepoint | ProgType::Kprobe | ProgType::PerfEvent => Input::default(),
        _ => Input { data: vec![0; PACKET_BYTES], ..Input::default() },
    }
}

impl Case {
    /// The kernels to check under.
    pub fn versions(&self) -> Vec<KernelVersion> {
        if self.file.rules.is_empty() { KernelVersion::ALL.to_vec() } else { self.file.rules.clone() }
    }
}
