//! What a test file expects: of the verdict, of the rewritten program, of the runs.
//!
//! Stands for the fields of `struct bpf_test` in the kernel's `test_verifier.c` (6.1 … 7.3) and its search for
//! instructions. Left out: expectations for unprivileged loads, and of logs of more than the line that says why.
//!
//! Invariant: under one kernel no two expectations speak of the same thing, except for patterns and findings.

use crate::isa::{AnyFields, AsmError, Insn, InsnIdx, SymbolKind, assemble_pattern};
use crate::kernel::KernelVersion;
use crate::kernel::helpers::helper_id;
use crate::program::InputError;

/// One expectation, and which kernels it holds for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expectation {
    /// What is expected.
    pub what: Expect,
    /// The instruction that it speaks of.
    pub at: Option<InsnIdx>,
    /// The kernels that it holds for; empty for all that have no expectation of their own on the same subject.
    pub rules: Vec<KernelVersion>,
    /// Line of the file, from 1.
    pub line: u32,
}

/// What can be expected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Expect {
    /// The program is accepted.
    Accept,
    /// The program is refused, at [`Expectation::at`] where that is given.
    Reject {
        /// A part of the log line that says why.
        text: Option<String>,
        /// Error number of the load, positive.
        errno: Option<i32>,
    },
    /// The program needs something that is not modelled.
    Unsupported {
        /// A part of its name.
        what: Option<String>,
    },
    /// The `bpf_loop` call is inlined.
    Inlined {
        /// First instruction of the callback.
        callback: Option<InsnIdx>,
    },
    /// The `bpf_loop` call stays.
    NotInlined {
        /// A part of the reason.
        why: Option<String>,
    },
    /// What the program returns, the low 32 bits of R0.
    Retval {
        /// Which input, from 0; `None` for all without an expectation of their own.
        input: Option<usize>,
        /// The value.
        value: u32,
    },
    /// An oracle has something to say, which a run of a program that a kernel is wrong about is known for.
    Finding {
        /// The start of its signature.
        signature: String,
    },
    /// How many instructions the verifier walks.
    InsnsProcessed(u32),
    /// The stack that a function uses after the rewrite.
    Stack {
        /// First instruction of the function, in the original program.
        func: InsnIdx,
        /// Depth in bytes.
        bytes: u32,
    },
    /// The rewritten program holds the pattern.
    Insns(Pattern),
    /// The rewritten program does not hold the pattern.
    NoInsns(Pattern),
    /// The `func_info` after the rewrite: first instructions and names, in order.
    FuncInfo(Vec<(InsnIdx, String)>),
}

/// What an expectation speaks of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Subject {
    Verdict,
    Site(Option<InsnIdx>),
    Retval(Option<usize>),
    Finding,
    InsnsProcessed,
    Stack(InsnIdx),
    Insns,
    NoInsns,
    FuncInfo,
}

impl Expectation {
    fn subject(&self) -> Subject {
        match self.what {
            Expect::Accept | Expect::Reject { .. } | Expect::Unsupported { .. } => Subject::Verdict,
            Expect::Inlined { .. } | Expect::NotInlined { .. } => Subject::Site(self.at),
            Expect::Retval { input, .. } => Subject::Retval(input),
            Expect::Finding { .. } => Subject::Finding,
            Expect::InsnsProcessed(_) => Subject::InsnsProcessed,
            Expect::Stack { func, .. } => Subject::Stack(func),
            Expect::Insns(_) => Subject::Insns,
            Expect::NoInsns(_) => Subject::NoInsns,
            Expect::FuncInfo(_) => Subject::FuncInfo,
        }
    }

    fn holds_under(&self, version: KernelVersion) -> bool {
        self.rules.is_empty() || self.rules.contains(&version)
    }
}

/// All expectations of a file, in its order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Expectations {
    all: Vec<Expectation>,
}

impl Expectations {
    /// Gathers expectations; an error when two of them contradict or repeat each other under some kernel.
    pub fn new(all: Vec<Expectation>) -> Result<Expectations, InputError> {
        let expectations = Expectations { all };
        for version in KernelVersion::ALL {
            expectations.check(version)?;
        }
        Ok(expectations)
    }

    /// Every expectation, for whichever kernel.
    pub fn all(&self) -> &[Expectation] {
        &self.all
    }

    /// The expectations that hold under one kernel. One that names the kernel displaces those on the same subject that
    /// name none.
    pub fn under(&self, version: KernelVersion) -> Vec<&Expectation> {
        let mut named: Vec<Subject> = Vec::new();
        for e in self.all.iter().filter(|e| !e.rules.is_empty() && e.holds_under(version)) {
            named.push(e.subject());
        }
        let kept = |e: &&Expectation| e.holds_under(version) && (!e.rules.is_empty() || !named.contains(&e.subject()));
        self.all.iter().filter(kept).collect()
    }

    /// Whether the program is to be accepted under one kernel: so it is when nothing is said of the verdict.
    pub fn accepts(&self, version: KernelVersion) -> bool {
        let refused = |e: &&Expectation| matches!(e.what, Expect::Reject { .. } | Expect::Unsupported { .. });
        !self.under(version).iter().any(refused)
    }

    fn check(&self, version: KernelVersion) -> Result<(), InputError> {
        let held = self.under(version);
        let mut seen: Vec<(Subject, u32)> = Vec::new();
        for e in held {
            let subject = e.subject();
            if matches!(subject, Subject::Insns | Subject::NoInsns | Subject::Finding) {
                continue;
            }
            if let Some((_, first)) = seen.iter().find(|(s, _)| *s == subject) {
                let message = format!("a second expectation of the same thing under {version}");
                return Err(InputError::new(message).at_line(e.line).hint(format!("the first is on line {first}")));
            }
            seen.push((subject, e.line));
        }
        Ok(())
    }
}

/// One instruction of a pattern; a field that is `None` takes any value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InsnPattern {
    /// Opcode.
    pub code: u8,
    /// Registers, as in [`Insn::regs`].
    pub regs: u8,
    /// Offset.
    pub off: Option<i16>,
    /// Immediate.
    pub imm: Option<i32>,
}

impl InsnPattern {
    fn new(insn: Insn, any_off: bool, any_imm: bool) -> InsnPattern {
        let Insn { code, regs, off, imm } = insn;
        InsnPattern { code, regs, off: (!any_off).then_some(off), imm: (!any_imm).then_some(imm) }
    }

    /// Whether an instruction is one of those that the pattern stands for.
    ///
    /// Kernel: `compare_masked_insn` of `test_verifier.c` (6.1 … 7.3).
    #[doc(alias = "compare_masked_insn")]
    pub fn matches(&self, insn: &Insn) -> bool {
        self.code == insn.code
            && self.regs == insn.regs
            && self.off.is_none_or(|off| off == insn.off)
            && self.imm.is_none_or(|imm| imm == insn.imm)
    }
}

/// Runs of instructions that follow one another with any distance between the runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern {
    runs: Vec<Vec<InsnPattern>>,
    text: Vec<String>,
}

/// Any number of instructions, as a line of a pattern.
const GAP: &str = "...";

impl Pattern {
    /// Reads a pattern: an instruction or `...` a line. The error says which line, from 0.
    pub fn parse(lines: &[&str]) -> Result<Pattern, (usize, AsmError)> {
        let mut runs = vec![Vec::new()];
        for (n, line) in lines.iter().enumerate() {
            if line.trim() == GAP {
                runs.push(Vec::new());
                continue;
            }
            let insns = pattern_line(line).map_err(|e| (n, e))?;
            if let Some(run) = runs.last_mut() {
                run.extend(insns);
            }
        }
        runs.retain(|run| !run.is_empty());
        if runs.is_empty() {
            let message = "a pattern without instructions fits every program".to_owned();
            return Err((0, AsmError { column: 1, message, hint: None }));
        }
        Ok(Pattern { runs, text: lines.iter().map(|l| l.trim().to_owned()).collect() })
    }

    /// The lines that the pattern was read from.
    pub fn text(&self) -> &[String] {
        &self.text
    }

    /// The runs, none of them empty.
    pub fn runs(&self) -> &[Vec<InsnPattern>] {
        &self.runs
    }

    /// Where each run starts: the first place for the first run, then the first place after it for the second, and so on.
    /// `None` when some run is not found.
    ///
    /// Kernel: `find_all_insn_subseqs` of `test_verifier.c` (6.1 … 7.3).
    #[doc(alias = "find_all_insn_subseqs")]
    pub fn find(&self, insns: &[Insn]) -> Option<Vec<usize>> {
        let mut from = 0;
        let mut found = Vec::with_capacity(self.runs.len());
        for run in &self.runs {
            let fits = |window: &[Insn]| window.iter().zip(run).all(|(insn, pattern)| pattern.matches(insn));
            let at = from + insns.get(from..)?.windows(run.len()).position(fits)?;
            from = at + run.len();
            found.push(at);
        }
        Some(found)
    }
}

/// The instructions of one line: one, or two for an `ld_imm64`.
fn pattern_line(line: &str) -> Result<Vec<InsnPattern>, AsmError> {
    let at = |column, message: String, hint: &str| AsmError { column, message, hint: Some(hint.to_owned()) };
    if let Some(fields) = line.trim_start().strip_prefix(".insn ") {
        return raw_insn(fields).map(|p| vec![p]).ok_or_else(|| {
            at(1, "expected five fields".into(), ".insn CODE, DST, SRC, OFF, IMM, where OFF and IMM may be `?`")
        });
    }
    let mut line = assemble_pattern(line)?;
    if let Some(symbol) = line.symbol {
        match helper_id(symbol.name) {
            Some(id) if symbol.kind == SymbolKind::Call => line.op = crate::isa::Op::CallHelper { id },
            _ => {
                let message = format!("a pattern cannot name `{}`", symbol.name);
                return Err(at(symbol.column, message, "write a distance or a number, or `?` for any"));
            }
        }
    }
    let AnyFields { off, imm, imm_hi } = line.any;
    let (first, second) = line.op.encode();
    let mut out = vec![InsnPattern::new(first, off, imm)];
    out.extend(second.map(|insn| InsnPattern::new(insn, false, imm_hi)));
    Ok(out)
}

/// `CODE, DST, SRC, OFF, IMM`
fn raw_insn(text: &str) -> Option<InsnPattern> {
    let mut fields = text.split(',').map(str::trim);
    let mut number = |min: i64, max: i64| match fields.next()? {
        "?" => Some(None),
        text => {
            let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
            let magnitude = match digits.strip_prefix("0x") {
                Some(hex) => i64::from_str_radix(hex, 16).ok()?,
                None => digits.parse().ok()?,
            };
            let value = if negative { magnitude.checked_neg()? } else { magnitude };
            (min..=max).contains(&value).then_some(Some(value))
        }
    };
    let (code, dst, src) = (number(0, 255)??, number(0, 15)??, number(0, 15)??);
    let off = number(i64::from(i16::MIN), i64::from(i16::MAX))?;
    let imm = number(i64::from(i32::MIN), i64::from(u32::MAX))?;
    if fields.next().is_some() {
        return None;
    }
    let insn = Insn::new(code as u8, dst as u8, src as u8, off.unwrap_or(0) as i16, imm.unwrap_or(0) as i32);
    Some(InsnPattern::new(insn, off.is_none(), imm.is_none()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn insns(lines: &[&str]) -> Vec<Insn> {
        let all = lines.iter().flat_map(|line| {
            let (first, second) = assemble_pattern(line).expect(line).op.encode();
            [Some(first), second].into_iter().flatten()
        });
        all.collect()
    }

    fn pattern(lines: &[&str]) -> Pattern {
        Pattern::parse(lines).unwrap_or_else(|(n, e)| panic!("{}: {e}", lines[n]))
    }

    #[test]
    fn fields_that_are_given_have_to_be_equal() {
        let one = |pattern_line: &str, insn: &str| pattern(&[pattern_line]).find(&insns(&[insn])).is_some();
        assert!(one("*(u64 *)(r10 - ?) = r6", "*(u64 *)(r10 - 40) = r6"));
        assert!(!one("*(u64 *)(r10 - ?) = r6", "*(u64 *)(r10 - 40) = r7"));
        assert!(!one("*(u64 *)(r10 - 32) = r6", "*(u64 *)(r10 - 40) = r6"));
        assert!(one("call pc@?+?", "call pc@7+2"));
        assert!(!one("call pc+?", "call pc@7+2"));
        assert!(!one("call ?", "call pc@7+2"));
        assert!(one("call ?", "call 181"));
        assert!(one("call bpf_loop", "call 181"));
        assert!(!one("call bpf_loop", "call 5"));
        assert!(one(".insn 0x85, 0, 1, ?, ?", "call pc@7+2"));
        assert!(!one(".insn 0x85, 0, 1, ?, 3", "call pc@7+2"));
        assert!(one(".insn 0x85, 0, 1, 7, 2", "call pc@7+2"));
        assert!(one("r2 = ? ll", "r2 = 0x1234567890 ll"));
        assert!(!one("r2 = 5 ll", "r2 = 0x100000005 ll"));
        assert!(one("r2 = map.?+8 ll", "r2 = map.3+8 ll"));
        assert!(!one("r2 = map.?+8 ll", "r2 = map.3+9 ll"));
    }

    #[test]
    fn runs_follow_one_another() {
        let program = insns(&["r1 = 1", "r2 = 2", "r1 = 1", "r3 = 3", "exit"]);
        let find = |lines: &[&str]| pattern(lines).find(&program);
        assert_eq!(find(&["r1 = 1", "r3 = 3"]), Some(vec![2]));
        assert_eq!(find(&["r1 = 1", "...", "r3 = 3"]), Some(vec![0, 3]));
        assert_eq!(find(&["...", "exit", "..."]), Some(vec![4]));
        assert_eq!(find(&["r1 = ?", "...", "r1 = ?", "...", "r1 = ?"]), None);
        assert_eq!(find(&["r3 = 3", "...", "r2 = 2"]), None);
        // Each run takes its first place, as in the kernel's search: nothing is tried again.
        assert_eq!(find(&["r1 = 1", "r2 = 2", "r1 = 1", "...", "r1 = 1"]), None);
        assert_eq!(find(&["exit", "exit"]), None);
    }

    proptest! {
        #[test]
        fn a_program_holds_every_part_of_itself(codes in prop::collection::vec(0..4u8, 1..12), a: usize, b: usize, gap: bool) {
            let program: Vec<Insn> = codes.iter().map(|c| Insn::new(0xb7, *c, 0, 0, 0)).collect();
            let (a, b) = (a % program.len(), b % program.len());
            let part = a.min(b)..=a.max(b);
            let lines: Vec<String> = codes[part.clone()].iter().map(|c| format!("r{c} = 0")).collect();
            let mut lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            if gap {
                lines.insert(lines.len() / 2, GAP);
            }
            let found = pattern(&lines).find(&program);
            prop_assert!(found.is_some());
            let first = found.and_then(|runs| runs.first().copied());
            // An earlier place may fit as well, never a later one only.
            prop_assert!(first <= Some(*part.start()));
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for (lines, line, column) in [
            (vec![], 0, 1),
            (vec!["..."], 0, 1),
            (vec!["exit", "goto out"], 1, 6),
            (vec!["call cb"], 0, 6),
            (vec!["r1 = map.m ll"], 0, 6),
            (vec![".insn 1, 2, 3"], 0, 1),
            (vec![".insn 1, 2, 3, 4, 5, 6"], 0, 1),
            (vec![".insn ?, 2, 3, 4, 5"], 0, 1),
            (vec![".insn 0x85, 16, 3, 4, 5"], 0, 1),
            (vec!["r1 = r?"], 0, 6),
        ] {
            let error = Pattern::parse(&lines).expect_err("no pattern");
            assert_eq!((error.0, error.1.column), (line, column), "{lines:?}");
        }
    }

    #[test]
    fn an_expectation_that_names_a_kernel_displaces_one_that_names_none() {
        use KernelVersion::{V6_1, V6_12, V7_3};
        let expect = |what, rules: &[KernelVersion], line| Expectation { what, at: None, rules: rules.to_vec(), line };
        let reject = Expect::Reject { text: None, errno: None };
        let retval = |value| Expect::Retval { input: None, value };
        let all = vec![
            expect(Expect::Accept, &[], 1),
            expect(reject.clone(), &[V6_1], 2),
            expect(retval(1), &[], 3),
            expect(retval(2), &[V6_1, V6_12], 4),
        ];
        let all = Expectations::new(all).expect("no contradiction");
        let lines = |version| all.under(version).iter().map(|e| e.line).collect::<Vec<_>>();
        assert_eq!((lines(V6_1), lines(V6_12), lines(V7_3)), (vec![2, 4], vec![1, 4], vec![1, 3]));
        assert!(!all.accepts(V6_1) && all.accepts(V6_12) && Expectations::default().accepts(V6_1));

        let twice = Expectations::new(vec![expect(Expect::Accept, &[V6_1], 1), expect(reject, &[V6_1, V7_3], 2)]);
        assert_eq!(twice.map_err(|e| e.line), Err(Some(2)));
    }
}
