//! The command `loopdiff` as people and scripts call it: exit codes, what is written where, fields of `--json`.
//!
//! `core/docs/formats.md` is the contract.

#[path = "support/command.rs"]
mod command;

use command::{Folder, command};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

/// A program with one loop, inlined.
const LOOP: &str = "\
main:
    *(u64 *)(r10 - 8) = 0
    r1 = 5
    r2 = add ll
    r3 = r10
    r3 += -8
    r4 = 0
    call bpf_loop
    r0 = *(u64 *)(r10 - 8)
    exit
add:
    r3 = *(u64 *)(r2 + 0)
    r3 += r1
    *(u64 *)(r2 + 0) = r3
    r0 = 0
    exit
";

/// The same with flags that are not known.
const KEPT: &str = "\
main:
    r4 = *(u64 *)(r1 + 0)
    r1 = 2
    r2 = cb ll
    r3 = 0
    call bpf_loop
    exit
cb:
    r0 = 0
    exit
";

const REJECTED: &str = "main:\n    r0 = 1\n    r0 = r2\n    exit\n";

/// The helper answers in 64 bits, the inlined loop in 32.
const DIFFERENT: &str = "\
main:
    r1 = 8388609
    r2 = cb ll
    r3 = 0
    r4 = 0
    call bpf_loop
    exit
cb:
    r0 = 0
    exit
";

/// A helper that is not modelled.
const UNSUPPORTED: &str = "\
main:
    r1 = map.m ll
    r0 = *(u32 *)(r1 + 0)
    exit
";

fn all() -> Folder {
    let unsupported = format!(
        ";;! maps = [{{ name = \"m\", type = \"array\", key_size = 4, value_size = 8, max_entries = 1 }}]\n{UNSUPPORTED}"
    );
    Folder::new(&[
        ("a-loop.bpf", LOOP),
        ("b-kept.bpf", KEPT),
        ("c-rejected.bpf", REJECTED),
        ("d-unsupported.bpf", &unsupported),
        ("notes.txt", "no program"),
    ])
}

#[test]
fn verify_has_the_fields_of_the_contract() {
    let folder = all();
    let lines = folder.json(0, &["verify", "--json", "."]);
    let names: Vec<_> = lines.iter().map(|l| l["name"].as_str().unwrap_or_default()).collect();
    assert_eq!(names, ["a-loop", "b-kept", "c-rejected", "d-unsupported"]);
    let [looped, kept, rejected, unsupported] = &lines[..] else { panic!("{lines:?}") };

    assert_eq!((&looped["rules"], &looped["verdict"], &looped["errno"]), (&"7.3".into(), &"accept".into(), &0.into()));
    assert!(looped["insns_processed"].as_u64() > Some(10), "{looped}");
    assert_eq!(looped["stack_depth"], serde_json::json!({"main": 32, "add": 0}));
    assert_eq!(looped["loops"], serde_json::json!([{"insn": 7, "inlined": true, "callback": "add"}]));
    let xlated: Vec<&str> = looped["xlated"].as_array().expect("instructions").iter().flat_map(Value::as_str).collect();
    assert_eq!(xlated.len(), 15 + 18);
    assert!(xlated.windows(2).any(|w| w == ["b501020000008000", "b4000000f9ffffff"]), "{xlated:?}");

    assert_eq!(kept["loops"], serde_json::json!([{"insn": 5, "inlined": false, "why": "flags may be non-zero"}]));

    assert_eq!((&rejected["verdict"], &rejected["errno"], &rejected["at"]), (&"reject".into(), &13.into(), &1.into()));
    assert_eq!(rejected["message"], "R2 !read_ok");
    assert_eq!(unsupported["verdict"], "unsupported");
    assert!(unsupported["message"].as_str().is_some_and(|m| !m.is_empty()), "{unsupported}");
}

#[test]
fn rules_are_chosen_by_flag_then_by_file() {
    let folder = Folder::new(&[("x.bpf", LOOP), ("y.bpf", &format!(";;! rules = [\"6.1\", \"6.12\"]\n{LOOP}"))]);
    let rules = |args: &[&str]| -> Vec<String> {
        folder.json(0, args).iter().map(|l| format!("{} {}", l["name"], l["rules"]).replace('"', "")).collect()
    };
    assert_eq!(rules(&["verify", "--json", "."]), ["x 7.3", "y 6.1", "y 6.12"]);
    assert_eq!(rules(&["verify", "--json", "--rules", "6.18", "."]), ["x 6.18", "y 6.18"]);
    let (exit, out, err) = folder.said(&["verify", "--rules", "5.4", "x.bpf"]);
    assert_eq!((exit, out.as_str()), (2, ""));
    assert!(err.contains("5.4") && err.contains("6.12"), "{err}");
}

#[test]
fn run_has_the_fields_of_the_contract() {
    let folder = Folder::new(&[("x.bpf", LOOP)]);
    let lines = folder.json(0, &["run", "--json", "x.bpf"]);
    let [line] = &lines[..] else { panic!("{lines:?}") };
    let run = &line["runs"][0];
    assert_eq!((&run["input"], &run["equal"]), (&0.into(), &true.into()));
    for form in ["helper", "inlined"] {
        let form = &run[form];
        assert_eq!((&form["outcome"], &form["r0"]), (&"returned".into(), &"000000000000000a".into()), "{form}");
        assert!(form["insns"].as_u64() > Some(0) && form["maps"].is_array() && form["ctx"].is_string(), "{form}");
    }
    assert!(run["inlined"]["insns"].as_u64() > run["helper"]["insns"].as_u64());
}

#[test]
fn check_ends_with_a_summary_and_an_exit_code() {
    let folder = all();
    let lines = folder.json(0, &["check", "--json", "--seed", "7", "."]);
    let [programs @ .., summary] = &lines[..] else { panic!("{lines:?}") };
    let of_program = |n: usize, field: &str| programs[n]["program"][field].clone();
    let verdicts: Vec<_> = (0..programs.len()).map(|n| of_program(n, "verdict")).collect();
    assert_eq!(verdicts, ["accept", "accept", "reject", "unsupported"]);
    assert_eq!(
        (of_program(0, "name"), of_program(0, "rules"), of_program(0, "findings")),
        ("a-loop".into(), "7.3".into(), serde_json::json!([]))
    );
    assert!(
        of_program(0, "case").as_str().is_some_and(|c| c.ends_with("a-loop.bpf")) && of_program(0, "compared") == 1
    );
    assert_eq!((of_program(2, "message"), of_program(2, "errno")), ("R2 !read_ok".into(), 13.into()));
    assert!(of_program(3, "message").as_str().is_some_and(|m| m.contains("map")), "{programs:?}");
    let summary = &summary["summary"];
    assert_eq!(summary["reasons"]["rejected"], serde_json::json!({"R2 !read_ok (errno 13)": 1}));
    assert_eq!(summary["reasons"]["unsupported"].as_object().map(|all| all.len()), Some(1), "{summary}");
    for (field, value) in [
        ("programs", 4),
        ("accepted", 2),
        ("rejected", 1),
        ("unsupported", 1),
        ("loop_sites", 2),
        ("inlined", 1),
        ("known", 0),
        ("seed", 7),
    ] {
        assert_eq!(summary[field], value, "{field} in {summary}");
    }
    assert!(summary["compared"].as_u64() >= Some(1) && summary["seconds"].is_number(), "{summary}");
    assert!(summary["vacuous"].is_object() && summary["findings"] == serde_json::json!({}), "{summary}");

    std::fs::write(folder.file("e-different.bpf"), DIFFERENT).expect("a file");
    let lines = folder.json(1, &["check", "--json", "."]);
    let [.., program, finding, summary] = &lines[..] else { panic!("{lines:?}") };
    let finding = &finding["finding"];
    assert_eq!(program["program"]["findings"], serde_json::json!([finding["signature"]]));
    assert_eq!((&finding["oracle"], &finding["rules"]), (&"equivalence".into(), &"7.3".into()));
    assert_eq!(finding["name"], "e-different");
    assert!(finding["signature"].as_str().is_some_and(|s| s.starts_with("equivalence:")), "{finding}");
    assert!(finding["evidence"].as_str().is_some_and(|e| e.contains("fffffffffffffff9")), "{finding}");
    assert!(finding["case"].as_str().is_some_and(|c| c.ends_with("e-different.bpf")), "{finding}");
    assert_eq!(summary["summary"]["findings"], serde_json::json!({"equivalence": 1}));
}

/// What a campaign calls a case is taken for a path, unless there is a file of that name.
#[test]
fn names_of_cases_stand_for_them() {
    let folder = all();
    let name = |args: &[&str]| folder.json(0, args)[0]["name"].as_str().map(str::to_owned);
    assert_eq!(name(&["verify", "s7n12", "--json"]).as_deref(), Some("s7n12"));
    std::fs::copy(folder.file("a-loop.bpf"), folder.file("s7n12")).expect("copied");
    let rewritten = |name| folder.json(0, &["verify", name, "--json"])[0]["xlated"].clone();
    assert_eq!(rewritten("s7n12"), rewritten("a-loop.bpf"), "the file");
    let (missing, _, error) = folder.said(&["verify", "s7n012"]);
    assert_eq!((missing, error.contains("s7n012")), (2, true), "{error}");
}

#[test]
fn expected_verdicts_decide_the_exit_code() {
    let folder = all();
    let exit = |args: &[&str]| folder.said(args).0;
    assert_eq!(exit(&["verify", "c-rejected.bpf"]), 0);
    assert_eq!(exit(&["verify", "--expect", "accept", "a-loop.bpf"]), 0);
    assert_eq!(exit(&["verify", "--expect", "accept", "c-rejected.bpf"]), 1);
    assert_eq!(exit(&["verify", "--expect", "reject", "c-rejected.bpf"]), 0);
    assert_eq!(exit(&["verify", "--expect", "reject", "a-loop.bpf"]), 1);
}

#[test]
fn unreadable_input_and_flags_end_with_2_and_a_place() {
    let folder = Folder::new(&[
        ("x.bpf", "main:\n    r0 = = 1\n    exit\n"),
        ("y.json", "{\n  \"name\": \"y\",\n  \"prog_typ\": \"xdp\"\n}"),
        ("z.o", "\u{7f}ELF"),
        ("empty.json", "{\"name\": \"e\", \"prog_type\": \"xdp\", \"insns\": []}"),
    ]);
    for command in ["check", "verify", "inline", "run"] {
        for (file, place) in [
            ("x.bpf", "x.bpf:2:"),
            ("y.json", "y.json:3:"),
            ("z.o", "z.o: "),
            ("empty.json", "empty.json:1:"),
            ("missing.bpf", "missing.bpf: "),
        ] {
            for args in [vec![command, file], vec![command, "--json", file]] {
                let (exit, out, err) = folder.said(&args);
                assert_eq!((exit, out.as_str()), (2, ""), "{args:?}: {err}");
                assert!(err.starts_with(&format!("loopdiff: {place}")), "{args:?}: {err}");
            }
        }
    }
    for args in
        [&["verify"][..], &["nonsense"], &["verify", "--nonsense", "x.bpf"], &["convert", "x.bpf", "--to", "pdf"]]
    {
        let (exit, out, err) = folder.said(args);
        assert_eq!((exit, out.as_str()), (2, ""), "{args:?}: {err}");
        assert!(!err.is_empty(), "{args:?}");
    }
    let nothing = Folder::new(&[("notes.txt", "")]);
    assert_eq!(nothing.said(&["check", "."]).0, 2);
}

#[test]
fn what_people_read_says_what_matters() {
    let folder = all();
    let (exit, out, err) = folder.said(&["check", "."]);
    assert_eq!((exit, err.as_str()), (0, ""));
    for words in [
        "a-loop",
        "inlined, callback add",
        "flags may be non-zero",
        "R2 !read_ok",
        "unsupported",
        "equal",
        "findings: none",
    ] {
        assert!(out.contains(words), "{words} in\n{out}");
    }
    assert!(!out.contains('\x1b'), "no colour where no terminal is");
    assert!(out.lines().all(|l| l.chars().count() <= 160), "{out}");

    let (_, out, _) = folder.said(&["inline", "a-loop.bpf"]);
    assert!(out.contains("before  after"), "{out}");
    assert!(out.lines().any(|l| l.trim_start().starts_with('-') && l.contains("call bpf_loop")), "{out}");
    assert!(out.lines().any(|l| l.trim_start().starts_with('+') && l.contains("8388608")), "{out}");
}

#[test]
fn formats_convert_to_one_another() {
    let folder = Folder::new(&[("x.bpf", LOOP)]);
    let (exit, json, _) = folder.said(&["convert", "x.bpf", "--to", "json"]);
    assert_eq!(exit, 0);
    std::fs::write(folder.file("y.json"), &json).expect("a file");
    let (exit, text, _) = folder.said(&["convert", "y.json", "--to", "bpf"]);
    assert_eq!(exit, 0);
    std::fs::write(folder.file("z.bpf"), &text).expect("a file");
    let insns = |file: &str| folder.json(0, &["inline", "--json", file])[0]["before"].clone();
    assert_eq!(insns("x.bpf"), insns("y.json"));
    assert_eq!(insns("x.bpf"), insns("z.bpf"));
    let raw = folder.run(&["convert", "x.bpf", "--to", "raw"]);
    assert_eq!(raw.stdout.len(), 15 * 8);
    assert_eq!(raw.stdout.get(..8), Some(&[0x7a, 0x0a, 0xf8, 0xff, 0, 0, 0, 0][..]));
}

#[test]
fn a_pipe_that_closes_early_is_no_error() {
    let folder = Folder::new(&[("x.bpf", LOOP)]);
    let many: Vec<&str> = vec!["x.bpf"; 3000];
    for args in [&["verify", "--json"][..], &["check", "--verbose"]] {
        let mut child = command()
            .current_dir(folder.path())
            .args(args)
            .args(&many)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command");
        let mut first = String::new();
        let mut reader = BufReader::new(child.stdout.take().expect("its output"));
        reader.read_line(&mut first).expect("a line");
        assert!(!first.is_empty());
        drop(reader);
        let mut err = String::new();
        child.stderr.take().expect("its errors").read_to_string(&mut err).expect("text");
        assert_eq!((child.wait().expect("an end").code(), err.as_str()), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn answers_are_the_same_whatever_the_number_of_threads() {
    let folder = all();
    let said = |jobs: &str| folder.said(&["verify", "--json", "--jobs", jobs, ".", ".", "."]);
    assert_eq!(said("1"), said("4"));
}

/// A loop that a walk never leaves: under these rules nothing but the limit of instructions ends it.
const COUNTER: &str = "\
;;! maps = [{ name = \"m\", type = \"array\", key_size = 4, value_size = 8, max_entries = 5 }]
main:
    *(u64 *)(r10 - 8) = 0
    r1 = map.m ll
    r2 = cb ll
    r3 = r10
    r3 += -8
    r4 = 0
    call bpf_for_each_map_elem
    r1 = *(u64 *)(r10 - 8)
    r0 = 1
    if r1 > 1 goto many
    exit
many:
    r0 = 2
    exit
cb:
    r1 = *(u64 *)(r4 + 0)
    r1 += 1
    *(u64 *)(r4 + 0) = r1
    r0 = 0
    exit
";

#[test]
fn a_spent_budget_is_no_verdict_and_has_a_name() {
    let folder = Folder::new(&[("counter.bpf", COUNTER)]);
    let rules = ["--rules", "6.12", "--set", "walk.forced_checkpoints=no", "--memory", "4"];
    let what = "a walk whose states take more than 4 MiB";
    let line = &folder.json(0, &[&["verify", "--json", "counter.bpf"][..], &rules].concat())[0];
    assert_eq!((&line["verdict"], &line["message"]), (&"unsupported".into(), &what.into()));
    assert_eq!(line["budget_spent"], true);
    for command in ["verify", "inline", "run", "check"] {
        let (_, out, _) = folder.said(&[&[command, "counter.bpf"][..], &rules].concat());
        assert!(out.contains(what), "{command}: {out}");
    }
    for verdict in ["accept", "reject"] {
        let expect = [&["verify", "counter.bpf", "--expect", verdict][..], &rules].concat();
        assert_eq!(folder.said(&expect).0, 1, "a spent budget is no {verdict}");
    }
}
