//! The runner of `corpus/programs` itself: a wrong expectation of each kind fails, and what nobody expects fails, too.

use loopdiff::campaign::{Known, Stored, replay_item};
use loopdiff::kernel::KernelVersion;
use loopdiff::program::text::Check;
use loopdiff_tests::cases::{self, Mismatch};
use std::path::Path;

/// An accepted program of which everything is said.
const ACCEPTED: &str = r#"# A case that holds.
;;! inputs = [{ ctx = "00" }, { ctx = "01" }]
;;! rules = ["7.3"]
;;! [[expect]]
;;! insns_processed = 20
;;! stack = { main = 24, cb = 0 }
;;! insns = ["*(u64 *)(r10 - 24) = r6", "...", "call pc@?+1"]
;;! no_insns = ["call ?"]
;;! func_info = [{ insn = 0, name = "main" }, { insn = 28, name = "cb" }]
main:
    r6 = *(u64 *)(r1 + 0)
    r1 = 1
    if r6 == 0 goto go
    r1 = 2
go:
    r2 = cb ll
    r3 = 0
    r4 = 0
    call bpf_loop       ; inlined: cb
    exit                ; retval[0]: 1 ; retval: 2
cb:
    r0 = 0
    exit
"#;

/// A refused one.
const REJECTED: &str = r#"# A case that is refused.
;;! rules = ["7.3"]
main:
    r0 = r2         ; reject: EACCES "R2 !read_ok"
    exit
"#;

/// A program of which a kernel is wrong, as its file says.
const UNSOUND: &str = r#"# A case with a finding.
;;! rules = ["7.3"]
; finding: "equivalence:loop end:r0:upper half"
main:
    r1 = 8388609
    r2 = cb ll
    r3 = 0
    r4 = 0
    call bpf_loop   ; inlined: cb
    exit            ; retval: -7
cb:
    r0 = 0
    exit
"#;

/// All that does not hold of a case, each with its check.
fn mismatches(source: &str) -> Vec<(Check, Mismatch)> {
    let case = cases::read(Path::new("case.bpf"), source).unwrap_or_else(|e| panic!("{e}\n{source}"));
    let mut found = Vec::new();
    for version in case.versions() {
        assert_eq!(version, KernelVersion::V7_3);
        let report = cases::examine(&case, version);
        for check in cases::checks(&case, version) {
            found.extend(cases::check(&case, version, check, &report).into_iter().map(|m| (check, m)));
        }
    }
    found
}

/// Changes a case that holds, and wants one mismatch of that check, at that line (1 for the whole), with that expectation and answer.
fn must_fail(base: &str, from: &str, to: &str, check: Check, line_of: Option<&str>, expected: &str, got: &str) {
    assert!(base.contains(from), "{from}");
    let source = base.replacen(from, to, 1);
    let found = mismatches(&source);
    let line = line_of.map_or(1, |text| {
        let at = source.lines().position(|l| l.contains(text)).unwrap_or_else(|| panic!("{text}"));
        at as u32 + 1
    });
    let (first_check, first) = found.first().unwrap_or_else(|| panic!("nothing fails with `{to}`"));
    assert_eq!(*first_check, check, "{to}: {first}");
    assert_eq!(first.line, line, "{to}: {first}");
    assert!(first.expected.contains(expected), "{to}: {first}");
    assert!(first.got.contains(got), "{to}: {first}");
}

#[test]
fn cases_that_hold_pass() {
    for source in [ACCEPTED, REJECTED, UNSOUND] {
        let found: Vec<String> = mismatches(source).iter().map(|(c, m)| format!("{}: {m}", c.name())).collect();
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
}

#[test]
fn wrong_verdicts_fail() {
    let line = Some("; reject");
    let why = "reject at instruction 0 with errno 13: R2 !read_ok";
    must_fail(REJECTED, "; reject: EACCES \"R2 !read_ok\"", "", Check::Verify, None, "accept", why);
    must_fail(REJECTED, "R2 !read_ok", "R3 !read_ok", Check::Verify, line, "R3 !read_ok", why);
    must_fail(REJECTED, "EACCES", "EINVAL", Check::Verify, line, "errno 22", why);
    let moved = "    exit        ; reject: EACCES \"R2 !read_ok\"\n";
    must_fail(
        REJECTED,
        "; reject: EACCES \"R2 !read_ok\"\n    exit\n",
        &format!("\n{moved}"),
        Check::Verify,
        line,
        "instruction 1",
        why,
    );
    must_fail(
        REJECTED,
        "; reject: EACCES \"R2 !read_ok\"",
        "; unsupported",
        Check::Verify,
        Some("; unsupported"),
        "unsupported",
        why,
    );
    let refused = "; reject: EACCES \"R2 !read_ok\"\n    exit";
    must_fail(
        ACCEPTED,
        "    exit                ; retval[0]: 1 ; retval: 2",
        refused,
        Check::Verify,
        line,
        "reject",
        "accept",
    );
}

#[test]
fn wrong_words_on_loops_fail() {
    let site = Some("call bpf_loop");
    must_fail(ACCEPTED, "inlined: cb", "inlined: go", Check::Verify, site, "callback at 4", "callback at 10");
    must_fail(
        ACCEPTED,
        "; inlined: cb",
        "; not-inlined",
        Check::Verify,
        site,
        "not inlined",
        "inlined, with the callback",
    );
    must_fail(ACCEPTED, "; inlined: cb", "", Check::Verify, None, "a word on the loop at instruction 8", "inlined");
    let flags = "r4 = r6\n    call bpf_loop       ; inlined: cb";
    must_fail(
        ACCEPTED,
        "r4 = 0\n    call bpf_loop       ; inlined: cb",
        flags,
        Check::Verify,
        site,
        "inlined",
        "flags may be non-zero",
    );
    let reason = "r4 = r6\n    call bpf_loop       ; not-inlined: more than one callback";
    must_fail(
        ACCEPTED,
        "r4 = 0\n    call bpf_loop       ; inlined: cb",
        reason,
        Check::Verify,
        site,
        "more than one callback",
        "flags may be non-zero",
    );
    must_fail(
        ACCEPTED,
        "r3 = 0",
        "r3 = 0      ; inlined",
        Check::Verify,
        Some("r3 = 0"),
        "inlined",
        "no call of bpf_loop",
    );
}

#[test]
fn wrong_figures_of_the_verifier_fail() {
    let header = Some(";;! [[expect]]");
    must_fail(ACCEPTED, "insns_processed = 20", "insns_processed = 21", Check::Verify, header, "21 instructions", "20");
    must_fail(ACCEPTED, "main = 24", "main = 32", Check::Verify, header, "32 bytes", "24 bytes");
    must_fail(ACCEPTED, "cb = 0", "go = 0", Check::Verify, header, "function at 4", "no such function");
}

#[test]
fn wrong_words_on_the_rewrite_fail() {
    let header = Some(";;! [[expect]]");
    must_fail(
        ACCEPTED,
        "(r10 - 24) = r6",
        "(r10 - 16) = r6",
        Check::Inline,
        header,
        "(r10 - 16) = r6",
        "*(u64 *)(r10 - 24) = r6",
    );
    must_fail(ACCEPTED, "\"call ?\"", "\"call pc@?+?\"", Check::Inline, header, "no instructions", "call pc@");
    must_fail(ACCEPTED, "insn = 28", "insn = 10", Check::Inline, header, "#10", "#28");
    must_fail(ACCEPTED, "name = \"cb\"", "name = \"bc\"", Check::Inline, header, "bc", "cb");
}

#[test]
fn wrong_results_fail() {
    let line = Some("; retval");
    must_fail(
        ACCEPTED,
        "retval[0]: 1",
        "retval[0]: 3",
        Check::Run,
        line,
        "3 (0x3) from the helper form on input 0",
        "1 (0x1)",
    );
    must_fail(ACCEPTED, "retval: 2", "retval: -1", Check::Run, line, "on input 1", "2 (0x2)");
    must_fail(ACCEPTED, "retval[0]: 1", "retval[2]: 1", Check::Run, line, "on input 0", "1 (0x1)");
    let more = "retval[0]: 1 ; retval[1]: 2 ; retval[7]: 1";
    must_fail(ACCEPTED, "retval[0]: 1 ; retval: 2", more, Check::Run, line, "a run on input 7", "2 runs");
    must_fail(UNSOUND, "retval: -7", "retval: 7", Check::Run, line, "7 (0x7) from the inlined form", "0xfffffff9");
}

#[test]
fn findings_fail_unless_they_are_expected() {
    must_fail(
        UNSOUND,
        "; finding: \"equivalence:loop end:r0:upper half\"\n",
        "",
        Check::Equivalence,
        None,
        "no finding",
        "equivalence:loop end:r0:upper half",
    );
    let line = Some("; finding");
    must_fail(
        UNSOUND,
        "\"equivalence:loop end:r0:upper half\"\n",
        "equivalence:end\n",
        Check::Equivalence,
        None,
        "no finding",
        "equivalence:loop end:r0:upper half",
    );
    let two = "equivalence:loop end:r0:upper half\"\n; finding: \"safety";
    must_fail(
        UNSOUND,
        "equivalence:loop end:r0:upper half",
        two,
        Check::Equivalence,
        Some("\"safety"),
        "a finding `safety`",
        "equivalence:loop end:r0:upper half",
    );
    must_fail(ACCEPTED, "main:", "; finding: stack\nmain:", Check::Stack, line, "a finding `stack`", "[]");
    must_fail(ACCEPTED, "main:", "; finding: other\nmain:", Check::Equivalence, line, "name of a class", "other");
}

#[test]
fn runs_that_cannot_be_compared_fail() {
    let source = UNSOUND
        .replace("; finding: \"equivalence:loop end:r0:upper half\"\n", "")
        .replace("    r1 = 8388609\n", "    call bpf_ktime_get_tai_ns\n    r1 = 1\n");
    let found = mismatches(&source.replace("; retval: -7", ""));
    let of = |check| found.iter().find(|(c, _)| *c == check).map(|(_, m)| m.to_string()).unwrap_or_default();
    assert!(of(Check::Run).contains("unsupported: helper"), "{found:?}");
    assert!(of(Check::Equivalence).contains("a comparison of both forms"), "{found:?}");
}

#[test]
fn a_case_says_what_it_is_for_and_how_it_is_refused() {
    let read = |source: &str| cases::read(Path::new("case.bpf"), source).map(|c| c.rule).map_err(|e| e.to_string());
    assert_eq!(read(ACCEPTED).as_deref(), Ok("A case that holds."));
    let first = read("main:\n    exit\n").expect_err("no comment");
    assert!(first.starts_with("case.bpf:1: the first line does not say"), "{first}");
    let vague = read(&REJECTED.replace(" \"R2 !read_ok\"", "")).expect_err("no text");
    assert!(vague.starts_with("case.bpf:4: `reject` without"), "{vague}");
}

#[test]
fn checks_are_those_that_apply() {
    let checks = |source: &str| {
        let case = cases::read(Path::new("case.bpf"), source).expect("a case");
        cases::checks(&case, KernelVersion::V7_3)
    };
    use Check::{Equivalence, Inline, Run, Stack, Verify};
    assert_eq!(checks(ACCEPTED), [Verify, Inline, Run, Equivalence, Stack]);
    assert_eq!(checks(REJECTED), [Verify]);
    assert_eq!(checks(UNSOUND), [Verify, Run, Equivalence, Stack]);
    assert_eq!(checks(&UNSOUND.replace(";;! rules", ";;! checks = [\"run\"]\n;;! rules")), [Run]);
}

/// A check that is not there, and checks of which none applies, would let everything pass.
#[test]
fn checks_that_do_nothing_are_errors() {
    for name in ["range", "parity", "Verify", "all", ""] {
        let source = UNSOUND.replace(";;! rules", &format!(";;! checks = [\"run\", \"{name}\"]\n;;! rules"));
        let error = cases::read(Path::new("case.bpf"), &source).expect_err("no such check").to_string();
        let place = format!("case.bpf:2:22: no check is called `{name}`");
        assert!(error.starts_with(&place) && error.contains("hint: verify, inline, run"), "{error}");
    }
    let known = Known::built_in().expect("the list");
    let replay = |source: &str| {
        let case = cases::read(Path::new("case.bpf"), source).expect("a case");
        replay_item(Path::new("case.bpf"), &Stored::Case(Box::new(case)), &known)
    };
    assert_eq!((replay(REJECTED).trials, replay(REJECTED).wrong), (1, vec![]));
    let nothing = replay(&REJECTED.replace(";;! rules", ";;! checks = [\"run\"]\n;;! rules"));
    assert_eq!(nothing.trials, 0);
    assert_eq!(nothing.wrong, ["case.bpf:1: none of its `checks` applies (rules 7.3)"]);
}
