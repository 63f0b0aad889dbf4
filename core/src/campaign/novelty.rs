//! New coverage of the model: what a case's verification shows that no case before it has shown.
//!
//! The verifier's log at its most talkative level, with its numbers left out, is what is covered: for each instruction code the kinds
//! of values that it left behind and what was known of them, each kind of step of precision tracking, each branch and reason.
//! It costs the model a millisecond, which decides whether a case is worth the guests' time.
//!
//! Kernel: none; the log's words are the kernel's.

use super::case_options;
use crate::kernel::Rules;
use crate::program::Program;
use crate::verifier::{Budget, LogLevel, verify_within_with_log};
use std::collections::BTreeSet;

/// What has been shown so far.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Novelty {
    seen: BTreeSet<String>,
}

/// A longer walk is worth the guests' time for its length alone.
const WALK_MAX: u32 = 4_000;

impl Novelty {
    /// Nothing shown yet.
    pub fn new() -> Novelty {
        Novelty::default()
    }

    /// Takes in what a case shows, and says how much of it is new.
    pub fn add(&mut self, marks: BTreeSet<String>) -> usize {
        let before = self.seen.len();
        self.seen.extend(marks);
        self.seen.len() - before
    }

    /// How much has been shown.
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// Whether nothing was shown.
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }
}

/// What the verification of a program shows under some rules.
pub fn marks(program: &Program, rules: &Rules) -> BTreeSet<String> {
    let (_, log) =
        verify_within_with_log(program, rules, LogLevel::All, Budget { insns: WALK_MAX, ..case_options().budget });
    let mut marks = BTreeSet::new();
    // Indented lines are the table of live registers.
    for line in log.lines().filter(|line| !line.starts_with(' ')) {
        match instruction(line) {
            Some((code, states)) => marks.extend(states.split([' ', ',']).filter_map(|state| kind(code, state))),
            None => _ = marks.insert(event(line)),
        }
    }
    marks
}

/// What a part of a state is about: the kind of a value (`R1=scalar(id=1`), or what is known of it (`umax=9`).
fn kind(code: &str, state: &str) -> Option<String> {
    let (name, value) = state.split_once('=')?;
    let is_place = name.starts_with(['R', 'f']);
    let what = if is_place { value.split(['(', '[']).next().unwrap_or_default() } else { name };
    Some(format!("{code} {}", without_numbers(what)))
}

/// What a line that is no instruction tells of: its first words, without states.
fn event(line: &str) -> String {
    const WORDS: usize = 6;
    let words = line.split(' ').filter(|word| !word.is_empty() && !word.contains('='));
    words.take(WORDS).map(without_numbers).collect::<Vec<_>>().join(" ")
}

/// The code and the states of `12: (0f) r3 += r2    ; R2=0 R3=fp-8`.
fn instruction(line: &str) -> Option<(&str, &str)> {
    let (number, rest) = line.split_once(": (")?;
    let (code, rest) = rest.split_once(") ")?;
    let is_instruction = number.bytes().all(|b| b.is_ascii_digit()) && code.len() == 2;
    is_instruction.then(|| (code, rest.split_once("; ").map_or("", |(_, states)| states)))
}

/// A text with one letter for each number, decimal or hexadecimal.
fn without_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if c.is_ascii_digit() {
            let hex = rest.strip_prefix("0x").map(|hex| hex.trim_start_matches(|c: char| c.is_ascii_hexdigit()));
            rest = hex.unwrap_or_else(|| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
            out.push('N');
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::KernelVersion;
    use crate::program::text;

    #[test]
    fn numbers_do_not_count_and_kinds_do() {
        assert_eq!(without_numbers("R1=scalar(umax=0xff,id=12) fp-8"), "RN=scalar(umax=N,id=N) fp-N");
        assert_eq!(instruction("12: (0f) r3 += r2   ; R2=0 R3=fp-8"), Some(("0f", "R2=0 R3=fp-8")));
        assert_eq!(instruction("from 1 to 2: R1=ctx()"), None);
        let kinds: Vec<_> =
            "R1_w=scalar(id=7,umax=9) R2=fp-8".split([' ', ',']).filter_map(|s| kind("0f", s)).collect();
        assert_eq!(kinds, ["0f scalar", "0f umax", "0f fp-N"]);
        assert_eq!(
            event("mark_precise: frame0: regs=r4 stack= before 7: (b7) r4 = 0"),
            "mark_precise: frameN: before N: (bN) rN"
        );
    }

    #[test]
    fn only_what_is_new_counts() {
        let marks = |body: &str| {
            let source = format!(";;! prog_type = \"raw_tracepoint\"\n{body}");
            let program = text::parse(&source).expect("a program").program;
            marks(&program, &Rules::of(KernelVersion::NEWEST))
        };
        let mut novelty = Novelty::new();
        assert!(novelty.add(marks("    r0 = 7\n    exit\n")) > 0);
        assert_eq!(novelty.add(marks("    r0 = 9\n    exit\n")), 0);
        assert!(novelty.add(marks("    r0 = *(u64 *)(r1 + 8)\n    exit\n")) > 0);
        assert!(novelty.add(marks("    r0 = r3\n    exit\n")) > 0);
    }
}
