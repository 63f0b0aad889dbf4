//! What a case expects, against what the model says.

use super::read::Case;
use crate::exec::{End, Limits, Outcome};
use crate::isa::{Insn, InsnIdx, decode};
use crate::kernel::{KernelVersion, Rules};
use crate::oracle::{Class, Examiner, Options, Report, Status, Vacuous};
use crate::program::text::{Check, Expect, Expectation};
use crate::rewrite::{Rewritten, as_dumped};
use crate::verifier::{Facts, SiteState};
use std::fmt;

/// Instructions that a run may take.
const FUEL: u64 = 400_000_000;

/// Something that is not as expected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mismatch {
    /// Line of the file, 1 for the whole of it.
    pub line: u32,
    /// What was expected.
    pub expected: String,
    /// What came.
    pub got: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}\n    got {}", self.line, self.expected, self.got)
    }
}

/// The checks that a case has under a kernel: those that it names, else all that apply.
pub fn checks(case: &Case, version: KernelVersion) -> Vec<Check> {
    let mut apply = vec![Check::Verify];
    if case.file.expect.accepts(version) {
        let of_the_rewrite =
            |e: &&Expectation| matches!(e.what, Expect::Insns(_) | Expect::NoInsns(_) | Expect::FuncInfo(_));
        if case.file.expect.under(version).iter().any(of_the_rewrite) {
            apply.push(Check::Inline);
        }
        apply.extend([Check::Run, Check::Equivalence, Check::Stack]);
    }
    apply.retain(|check| case.file.checks.is_empty() || case.file.checks.contains(check));
    apply
}

/// Verifies, rewrites and runs a case under the rules of a kernel.
pub fn examine(case: &Case, version: KernelVersion) -> Report {
    let limits = Limits { fuel: FUEL, ..Limits::default() };
    Examiner::new(Options { limits, ..Options::default() }).examine(&case.file.program, &Rules::of(version))
}

/// What is not as expected. Empty when the check holds.
pub fn check(case: &Case, version: KernelVersion, check: Check, report: &Report) -> Vec<Mismatch> {
    let mut checker = Checker { expect: case.file.expect.under(version), report, found: Vec::new() };
    match check {
        Check::Verify => checker.verify(),
        Check::Inline => checker.inline(),
        Check::Run => checker.run(),
        Check::Equivalence => checker.findings(|class| class != Class::Stack),
        Check::Stack => checker.findings(|class| class == Class::Stack),
    }
    checker.found
}

struct Checker<'a> {
    expect: Vec<&'a Expectation>,
    report: &'a Report,
    found: Vec<Mismatch>,
}

impl<'a> Checker<'a> {
    fn mismatch(&mut self, line: u32, expected: impl Into<String>, got: impl Into<String>) {
        self.found.push(Mismatch { line, expected: expected.into(), got: got.into() });
    }

    /// The facts and the rewritten program; says so when there are none.
    fn accepted(&mut self) -> Option<(&'a Facts, &'a Rewritten)> {
        if let Status::Accepted { facts, rewritten } = &self.report.status {
            return Some((facts, rewritten));
        }
        self.mismatch(1, "an accepted program", verdict_text(&self.report.status));
        None
    }

    fn verify(&mut self) {
        self.verdict();
        for e in self.expect.clone() {
            if let Expect::InsnsProcessed(n) = e.what {
                let got = insns_processed(&self.report.status);
                if got != Some(n) {
                    self.mismatch(e.line, format!("{n} instructions walked"), format!("{got:?}"));
                }
            }
        }
        if let Status::Accepted { facts, rewritten } = &self.report.status {
            self.sites(facts);
            self.stack(facts, rewritten);
        }
    }

    fn verdict(&mut self) {
        let verdict =
            |e: &&&Expectation| matches!(e.what, Expect::Accept | Expect::Reject { .. } | Expect::Unsupported { .. });
        let said = self.expect.iter().find(verdict).copied();
        let line = said.map_or(1, |e| e.line);
        let at = said.and_then(|e| e.at);
        let (expected, holds) = match (said.map(|e| &e.what), &self.report.status) {
            (None | Some(Expect::Accept), status) => ("accept".to_owned(), matches!(status, Status::Accepted { .. })),
            (Some(Expect::Reject { text, errno }), status) => {
                let holds = matches!(status, Status::Rejected(r) if text.as_ref().is_none_or(|t| r.text.contains(t) || r.reason().contains(t))
                    && errno.is_none_or(|n| r.errno.0 == n)
                    && (at.is_none() || r.at == at));
                (reject_text(*errno, text.as_deref(), at), holds)
            }
            (Some(Expect::Unsupported { what }), status) => {
                let holds = matches!(status, Status::Unsupported(u) if what.as_ref().is_none_or(|w| u.what.contains(w))
                    && (at.is_none() || u.at == at));
                (format!("unsupported{}: {what:?}", place_text(at)), holds)
            }
            (Some(_), _) => return,
        };
        if !holds {
            self.mismatch(line, expected, verdict_text(&self.report.status));
        }
    }

    fn sites(&mut self, facts: &Facts) {
        for site in &facts.loops {
            let said = self.expect.iter().copied().find(|e| {
                e.at == Some(site.insn) && matches!(e.what, Expect::Inlined { .. } | Expect::NotInlined { .. })
            });
            let got = site_text(facts, site.state);
            let Some(e) = said else {
                if site.state != SiteState::NeverReached {
                    let expected = format!("a word on the loop at instruction {}", site.insn);
                    self.mismatch(1, expected, got);
                }
                continue;
            };
            let holds = match (&e.what, site.state) {
                (Expect::Inlined { callback }, SiteState::Fit(subprog)) => {
                    callback.is_none_or(|at| facts.layout.starting(at) == Some(subprog))
                }
                (Expect::NotInlined { why }, state @ (SiteState::Unfit(_) | SiteState::NeverReached)) => {
                    why.as_ref().is_none_or(|why| site_text(facts, state).contains(why.as_str()))
                }
                _ => false,
            };
            if !holds {
                self.mismatch(e.line, site_expectation(&e.what), got);
            }
        }
        for e in self.expect.clone() {
            let of_site = matches!(e.what, Expect::Inlined { .. } | Expect::NotInlined { .. });
            if of_site && !facts.loops.iter().any(|site| Some(site.insn) == e.at) {
                self.mismatch(e.line, site_expectation(&e.what), "no call of bpf_loop");
            }
        }
    }

    fn stack(&mut self, facts: &Facts, rewritten: &Rewritten) {
        let origin = |start: &InsnIdx| {
            let original = rewritten.origin.get(start.at()).copied().unwrap_or_default();
            facts.layout.starts().get(facts.layout.containing(original).at()).copied()
        };
        let originals: Vec<_> = rewritten.layout.starts().iter().map(origin).collect();
        for e in self.expect.clone() {
            let Expect::Stack { func, bytes } = e.what else { continue };
            let place = originals.iter().position(|start| *start == Some(func));
            let got = place.and_then(|n| rewritten.stack_depth.get(n)).copied();
            if got.map(u32::from) != Some(bytes) {
                let got = got.map_or("no such function any more".to_owned(), |n| format!("{n} bytes"));
                self.mismatch(e.line, format!("{bytes} bytes of stack in the function at {func}"), got);
            }
        }
    }

    fn inline(&mut self) {
        let Some((_, rewritten)) = self.accepted() else { return };
        let dump = as_dumped(&rewritten.program.insns, &rewritten.layout);
        for e in self.expect.clone() {
            match &e.what {
                Expect::Insns(pattern) if pattern.find(&dump).is_none() => {
                    let expected = format!("instructions\n        {}", pattern.text().join("\n        "));
                    self.mismatch(e.line, expected, program_text(&dump));
                }
                Expect::NoInsns(pattern) if pattern.find(&dump).is_some() => {
                    let expected = format!("no instructions\n        {}", pattern.text().join("\n        "));
                    self.mismatch(e.line, expected, program_text(&dump));
                }
                Expect::FuncInfo(all) => {
                    let got: Vec<_> = rewritten.program.funcs.iter().map(|f| (f.insn, f.name.clone())).collect();
                    if *all != got {
                        self.mismatch(e.line, format!("func_info {all:?}"), format!("{got:?}"));
                    }
                }
                _ => {}
            }
        }
    }

    fn run(&mut self) {
        if self.accepted().is_none() {
            return;
        }
        if self.report.runs.is_empty() {
            self.mismatch(1, "a run", vacuous_text(&self.report.vacuous));
        }
        let known_bad = self.expect.iter().any(|e| matches!(e.what, Expect::Finding { .. }));
        for (n, pair) in self.report.runs.iter().enumerate() {
            let said = retval_of(&self.expect, n);
            for (form, outcome) in [("helper", &pair.original), ("inlined", &pair.rewritten)] {
                // A kernel runs the inlined form; where it is known to be wrong, that is what it returns.
                if known_bad && (form == "helper" || said.is_none()) {
                    continue;
                }
                let expected = |value: u32| format!("{value} ({:#x}) from the {form} form on input {n}", value);
                match (said, &outcome.end) {
                    (None, End::Returned(_)) => {}
                    (None, _) => {
                        self.mismatch(1, format!("a result of the {form} form on input {n}"), end_text(outcome))
                    }
                    (Some((_, value)), End::Returned(r0)) if *r0 as u32 == value => {}
                    (Some((line, value)), _) => self.mismatch(line, expected(value), end_text(outcome)),
                }
            }
        }
        for e in self.expect.clone() {
            if let Expect::Retval { input: Some(n), .. } = e.what
                && n >= self.report.runs.len()
            {
                self.mismatch(e.line, format!("a run on input {n}"), format!("{} runs", self.report.runs.len()));
            }
        }
    }

    /// The findings of some classes: those that are expected, and no others.
    fn findings(&mut self, wanted: impl Fn(Class) -> bool) {
        let Some((_, rewritten)) = self.accepted() else { return };
        if !rewritten.inlined.is_empty() && self.report.compared < self.report.runs.len().max(1) {
            self.mismatch(1, "a comparison of both forms on each input", vacuous_text(&self.report.vacuous));
        }
        let said: Vec<(u32, &str)> = self
            .expect
            .iter()
            .filter_map(|e| match &e.what {
                Expect::Finding { signature } => Some((e.line, signature.as_str())),
                _ => None,
            })
            .collect();
        for finding in self.report.findings.iter().filter(|f| wanted(f.class)) {
            if !said.iter().any(|(_, text)| finding.signature.starts_with(text)) {
                self.mismatch(1, "no finding", format!("{}\n        {}", finding.signature, finding.evidence));
            }
        }
        let known = |text: &str| Class::ALL.into_iter().find(|c| text.starts_with(c.name()));
        for (line, text) in said {
            let Some(class) = known(text) else {
                self.mismatch(line, "the name of a class of findings", text);
                continue;
            };
            if wanted(class) && !self.report.findings.iter().any(|f| f.signature.starts_with(text)) {
                let all: Vec<_> = self.report.findings.iter().map(|f| f.signature.as_str()).collect();
                self.mismatch(line, format!("a finding `{text}`"), format!("{all:?}"));
            }
        }
    }
}

/// What is expected of one input: said of it, or else of all.
fn retval_of(expect: &[&Expectation], input: usize) -> Option<(u32, u32)> {
    let of = |wanted: Option<usize>| {
        expect.iter().find_map(|e| match e.what {
            Expect::Retval { input, value } if input == wanted => Some((e.line, value)),
            _ => None,
        })
    };
    of(Some(input)).or_else(|| of(None))
}

fn insns_processed(status: &Status) -> Option<u32> {
    match status {
        Status::Accepted { facts, .. } => Some(facts.insns_processed),
        Status::Rejected(rejection) => Some(rejection.insns_processed),
        Status::Unsupported(_) => None,
    }
}

fn place_text(at: Option<InsnIdx>) -> String {
    at.map_or(String::new(), |at| format!(" at instruction {at}"))
}

fn reject_text(errno: Option<i32>, text: Option<&str>, at: Option<InsnIdx>) -> String {
    let errno = errno.map_or(String::new(), |n| format!(" with errno {n}"));
    let text = text.map_or(String::new(), |t| format!(": {t}"));
    format!("reject{}{errno}{text}", place_text(at))
}

fn verdict_text(status: &Status) -> String {
    match status {
        Status::Accepted { .. } => "accept".to_owned(),
        Status::Rejected(r) => reject_text(Some(r.errno.0), Some(&r.text), r.at),
        Status::Unsupported(u) => format!("unsupported{}: {}", place_text(u.at), u.what),
    }
}

fn site_text(facts: &Facts, state: SiteState) -> String {
    match state {
        SiteState::NeverReached => "not inlined: never reached".to_owned(),
        SiteState::Fit(callback) => {
            let start = facts.layout.starts().get(callback.at()).copied().unwrap_or_default();
            format!("inlined, with the callback at {start}")
        }
        SiteState::Unfit(why) => format!("not inlined: {why}"),
    }
}

fn site_expectation(what: &Expect) -> String {
    match what {
        Expect::Inlined { callback: Some(at) } => format!("inlined, with the callback at {at}"),
        Expect::NotInlined { why: Some(why) } => format!("not inlined: {why}"),
        Expect::NotInlined { why: None } => "not inlined".to_owned(),
        _ => "inlined".to_owned(),
    }
}

/// A dump in the words that patterns have.
fn program_text(dump: &[Insn]) -> String {
    /// More lines than a person wants to see.
    const LINES_MAX: usize = 120;
    let mut lines = Vec::new();
    let mut at = 0;
    while let (Some(insn), true) = (dump.get(at), lines.len() < LINES_MAX) {
        let op = decode(*insn, dump.get(at + 1).copied());
        lines.push(op.as_ref().map_or_else(|e| e.to_string(), |op| format!("{at:4}: {op}")));
        at += op.map_or(1, |op| op.len() as usize);
    }
    format!("the program\n    {}", lines.join("\n    "))
}

fn end_text(outcome: &Outcome) -> String {
    match &outcome.end {
        End::Returned(r0) => format!("{} ({r0:#x})", *r0 as u32),
        End::Trapped(trap) => format!("a trap at instruction {}: {}", trap.at, trap.kind),
        End::OutOfFuel => "no end".to_owned(),
        End::Unsupported(what) => format!("unsupported: {what}"),
    }
}

fn vacuous_text(vacuous: &[Vacuous]) -> String {
    let all: Vec<String> = vacuous.iter().map(ToString::to_string).collect();
    format!("nothing: {}", all.join(", "))
}
