//! `loopdiff kernel` as people and scripts call it, without guests: exit codes and tables from recorded answers.

use loopdiff::guest::{Answer, Entry, Recorder, Recording, Verdict};
use loopdiff::program::{Input, Program, text};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

const SOURCE: &str = ";;! name = \"seven\"\n;;! prog_type = \"raw_tracepoint\"\n    r0 = 7\n    exit\n";

/// What every modelled kernel answers to that, as the model says too.
const ANSWER: &str = r#"{"name":"seven","verdict":"accept","errno":0,"message":"","insns_processed":2,
    "stack_by_name":{},"stack_line":"0","xlated":["b700000007000000","9500000000000000"],"runs":[{"retval":7}]}"#;

fn program() -> Program {
    let mut program = text::parse(SOURCE).expect("a program").program;
    program.inputs.push(Input { ctx: vec![0; 8], ..Input::default() });
    program
}

fn answer(change: impl Fn(&mut Answer)) -> Answer {
    let mut answer = serde_json::from_str(ANSWER).expect("an answer");
    change(&mut answer);
    answer
}

/// A recording of each kernel, of one program.
fn record(folder: &Path, path: &str, kernels: &[(&str, Answer)]) {
    for (kernel, answer) in kernels {
        let recorder =
            Recorder { kernel: (*kernel).into(), point: format!("{kernel}.9"), release: format!("{kernel}.9-x") };
        let entry = Entry { path: path.to_owned(), program: program(), answer: answer.clone() };
        let bytes = Recording { kernel: recorder, entries: vec![entry] }.write().expect("a recording");
        std::fs::create_dir_all(folder.join(kernel)).expect("a folder");
        std::fs::write(folder.join(kernel).join("a.jsonl.gz"), bytes).expect("written");
    }
}

/// Exit code and what was written on both.
fn run(command: &mut Command) -> (i32, String) {
    let output = command.output().expect("it runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().expect("an exit code"), String::from_utf8_lossy(&text).into_owned())
}

fn loopdiff(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loopdiff"));
    command.args(args);
    command
}

fn parity(kernels: &[(&str, Answer)], args: &[&str]) -> (i32, String) {
    let folder = tempfile::tempdir().expect("a folder");
    record(folder.path(), "programs/seven.bpf", kernels);
    run(loopdiff(&["kernel", "parity", "--recorded"]).arg(folder.path()).args(args))
}

/// What is compared, and a change of an answer in it.
type Change = (&'static str, fn(&mut Answer));

/// A change in each aspect.
fn changes() -> Vec<Change> {
    vec![
        ("verdict", |answer| answer.verdict = Verdict::Reject),
        ("sites", |answer| answer.xlated.push(loopdiff::isa::Insn::new(0x85, 0, 0, 0, 181))),
        ("xlated", |answer| answer.xlated.swap(0, 1)),
        ("stack", |answer| answer.stack_line = "8".to_owned()),
        ("count", |answer| answer.insns_processed = 9),
        ("run", |answer| answer.runs[0].retval = 8),
    ]
}

#[test]
fn parity_fails_when_the_model_is_not_like_a_kernel() {
    assert_eq!(parity(&[("7.3", answer(|_| {}))], &[]).0, 0);
    for (aspect, change) in changes() {
        let kernels = [("6.12", answer(|_| {})), ("7.3", answer(change))];
        let (code, text) = parity(&kernels, &[]);
        assert!(code == 1 && text.contains("loopdiff: the model and the kernels differ in"), "{aspect}: {text}");
        assert_eq!(parity(&kernels, &["--fail-on", aspect]).0, 1, "{aspect}");
        assert_eq!(parity(&kernels, &["--fail-on", "errno"]).0, 0, "{aspect}");
        assert_eq!(parity(&kernels, &["--fail-on", "nothing"]).0, 0, "{aspect}");
    }
}

#[test]
fn parity_takes_the_differences_that_are_listed_for_known() {
    let hang = [("7.3", answer(|a| a.verdict = Verdict::TimedOut { phase: loopdiff::guest::Phase::Load }))];
    let folder = tempfile::tempdir().expect("a folder");
    record(folder.path(), "corpus/known/recursion-hangs/case.bpf", &hang);
    let (code, text) = run(loopdiff(&["kernel", "parity", "--recorded"]).arg(folder.path()));
    assert!(code == 0 && text.contains("1 known: 7.3 never comes back"), "{text}");
    assert_eq!(parity(&hang, &[]).0, 1, "the same of another program is not known");
}

#[test]
fn kernels_that_differ_are_history_unless_asked() {
    let kernels = [("6.12", answer(|_| {})), ("7.3", answer(|a| a.runs[0].retval = 8))];
    let only_kernels = |args: &[&str]| parity(&kernels, args);
    let (code, text) = only_kernels(&["--fail-on", "kernels"]);
    assert!(code == 1 && text.contains("kernels differ from each other in 1 places"), "{text}");
    assert_eq!(only_kernels(&["--fail-on", "verdict"]).0, 0);
    // One kernel has nothing to differ from.
    assert_eq!(parity(&kernels[..1], &["--fail-on", "kernels"]).0, 1);
}

#[test]
fn a_kernel_without_rules_is_said_not_to_be_compared() {
    let (code, text) = parity(&[("6.16", answer(|_| {}))], &[]);
    assert!(code == 1 && text.contains("6.16: nothing was compared with the model"), "{text}");
    assert!(text.contains("1  verdict not compared: no rules for 6.16") && !text.contains("differ: 0"), "{text}");
    let (code, text) = parity(&[("6.16", answer(|_| {})), ("7.3", answer(|_| {}))], &[]);
    assert!(code == 0 && text.contains("no rules for 6.16"), "another kernel was compared: {text}");
    let (_, lines) = parity(&[("6.16", answer(|_| {}))], &["--json", "--fail-on", "nothing"]);
    let summary: Value = serde_json::from_str(lines.lines().next().expect("a line")).expect("JSON");
    assert_eq!(summary["summary"]["not_compared"]["verdict: no rules for 6.16"], 1, "{lines}");
    assert!(summary["summary"]["rules"].is_null());
}

#[test]
fn what_all_kernels_say_alike_is_no_difference_between_them() {
    let warns = |at: &str| {
        let kmsg = format!("WARNING: CPU: 0 PID: 1 at {at} some_function+0x12/0x20\n");
        answer(|answer| answer.kmsg = kmsg.clone())
    };
    let (code, text) = parity(&[("6.12", warns("a.c:1")), ("7.3", warns("b.c:2"))], &["--fail-on", "kernels"]);
    assert!(code == 0 && text.contains("kernels differ from each other: 0 in 0 groups"), "{text}");
    assert!(text.contains("what every kernel says alike: 1 in 1 groups"), "{text}");
    assert!(text.contains("6.12, 7.3: WARNING in some_function"), "{text}");
    let (code, text) = parity(&[("6.12", answer(|_| {})), ("7.3", warns("b.c:2"))], &["--fail-on", "kernels"]);
    assert!(code == 1 && text.contains("kernels differ from each other: 1 in 1 groups"), "{text}");
}

#[test]
fn tables_are_no_wider_than_a_terminal() {
    let all = ["6.1", "6.12", "6.16", "6.18", "7.3"].map(|kernel| (kernel, answer(|a| a.insns_processed = 5)));
    let (_, text) = parity(&all, &[]);
    let widest = text.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(80), "{text}");
}

#[test]
fn without_a_place_for_kernels_there_is_a_hint() {
    for args in [&["kernel", "list"][..], &["kernel", "fetch"], &["kernel", "run", "s1n1", "--kernel", "6.1"]] {
        let (code, text) = run(loopdiff(args).env_clear());
        assert!(code == 3 && text.contains("hint: set LOOPDIFF_CACHE"), "{args:?}: {text}");
    }
}

#[test]
fn a_cached_kernel_that_was_altered_is_not_run() {
    let cache = tempfile::tempdir().expect("a folder");
    let folder = cache.path().join("kernels/6.1.5-x");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("vmlinuz"), "\x7fELF Linux version 6.1.5-x (y)").expect("written");
    std::fs::write(folder.join("vmlinuz.sha256"), "00\n").expect("written");
    let with = |args: &[&str]| run(loopdiff(args).env("LOOPDIFF_CACHE", cache.path()));
    let (code, text) = with(&["kernel", "run", "s1n1", "--kernel", "6.1"]);
    assert!(code == 3 && (text.contains("fetch it again") || text.contains("no guest agent")), "{text}");
    let (code, text) = with(&["kernel", "list"]);
    assert!(code == 0 && text.contains("is not the file that was fetched"), "{text}");
}

#[test]
fn help_says_what_may_be_repeated() {
    for command in ["run", "parity", "confirm", "record", "reduce"] {
        let (_, text) = run(&mut loopdiff(&["kernel", command, "--help"]));
        let of = |flag: &str| {
            let (_, rest) = text.split_once(flag).expect("the option");
            rest.split("--").next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert!(of("--kernel <").contains("repeated") && of("--image <").contains("repeated"), "{command}: {text}");
    }
}
