//! The `.bpf` file: a program in LLVM's BPF dialect, its surroundings, and what is expected of it.
//!
//! `tests/README.md` is the reference of the format. Left out: sections, macros and symbols of several files.
//!
//! Invariants: every line is understood or an error; what [`write()`] makes of a program reads back to that program.

mod annotation;
mod body;
mod expect;
mod funcs;
mod header;
mod write;

#[cfg(test)]
mod tests;

pub use expect::{Expect, Expectation, Expectations, InsnPattern, Pattern};
pub use write::{ProgramNames, write, write_test};

use super::{InputError, Program};
use crate::kernel::KernelVersion;
use header::MARK;

/// What a test file says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TestFile {
    /// The program. Its name is empty when the header has none.
    pub program: Program,
    /// The kernels to check under; empty for all.
    pub rules: Vec<KernelVersion>,
    /// The checks to run; empty for all that apply.
    pub checks: Vec<Check>,
    /// What is expected.
    pub expect: Expectations,
}

/// Something that a runner does with a program.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Check {
    /// The verdict, and what it says of loops and stack.
    Verify,
    /// The rewritten program.
    Inline,
    /// What runs return.
    Run,
    /// Both forms do the same.
    Equivalence,
    /// The stack that runs use is the stack that was counted.
    Stack,
}

impl Check {
    /// All of them.
    pub const ALL: [Check; 5] = [Check::Verify, Check::Inline, Check::Run, Check::Equivalence, Check::Stack];

    /// The word in a header.
    pub const fn name(self) -> &'static str {
        match self {
            Check::Verify => "verify",
            Check::Inline => "inline",
            Check::Run => "run",
            Check::Equivalence => "equivalence",
            Check::Stack => "stack",
        }
    }
}

/// Largest text that is read: what is made of it takes a hundred times as much at most.
const SOURCE_BYTES_MAX: usize = 16 << 20;

/// A carriage return that ends no line of ours: what stands behind it would be taken for a part of the line, in a comment for nothing.
fn old_line_ends(source: &str) -> Option<InputError> {
    let (line, text) =
        (1..).zip(source.split('\n')).find(|(_, line)| line.strip_suffix('\r').unwrap_or(line).contains('\r'))?;
    let column = text.split('\r').next().unwrap_or_default().chars().count();
    let error = InputError::new("a carriage return within a line").at_line(line).at_column(column as u32 + 1);
    Some(error.hint("lines end with a line feed, or a carriage return and a line feed: tr '\\r' '\\n' < FILE"))
}

/// Reads a `.bpf` text. An error has a line, and a column where there is one; the caller adds the file.
pub fn parse(source: &str) -> Result<TestFile, InputError> {
    if source.len() > SOURCE_BYTES_MAX {
        let hint = "a program has at most a million instructions; `.rept` repeats lines";
        return Err(InputError::new(format!("too large: more than {} MiB", SOURCE_BYTES_MAX >> 20)).hint(hint));
    }
    if let Some(error) = old_line_ends(source) {
        return Err(error);
    }
    let mut header = header::Source::default();
    let mut body: Vec<(u32, &str)> = Vec::new();
    let mut body_starts = None;
    for (number, line) in (1..).zip(source.split('\n')) {
        let line = line.strip_suffix('\r').unwrap_or(line);
        let text = line.trim_start();
        let indent = (line.chars().count() - text.chars().count()) as u32;
        let Some(text) = text.strip_prefix(MARK) else {
            if body_starts.is_none() && !(text.is_empty() || text.starts_with('#') || text.starts_with("//")) {
                body_starts = Some(number);
            }
            body.push((number, line));
            continue;
        };
        if let Some(start) = body_starts {
            let error = InputError::new("the header stands before the program").at_line(number).at_column(indent + 1);
            return Err(error.hint(format!("the program starts on line {start}")));
        }
        header.push(number, indent, text);
    }
    let header = header.parse()?;
    let maps = header.maps()?;
    let body = body::read(body.into_iter(), &maps)?;
    let mut program = Program { insns: body.insns, maps, ..Program::default() };
    header.complete(&mut program, &body.labels)?;
    let rules = header.rules()?;
    let mut expect = header.expectations(&body.labels)?;
    expect.extend(body.expect);
    for e in &expect {
        if let Some(version) = e.rules.iter().find(|v| !rules.is_empty() && !rules.contains(v)) {
            let error = InputError::new(format!("the file is not checked under {version}")).at_line(e.line);
            return Err(error.hint("add it to `rules`, or take it off the expectation"));
        }
    }
    let expect = Expectations::new(expect)?;
    let checks = header.checks()?;
    if program.insns.is_empty() {
        let error = InputError::new("no instructions").at_line(source.lines().count().max(1) as u32);
        return Err(error.hint("a program has at least one, such as `exit`"));
    }
    Ok(TestFile { program, rules, checks, expect })
}
