//! Campaigns as processes: killed, gone on with, started with other options, blind.
//!
//! `core/docs/formats.md` is the contract of the folder and of exit codes.

use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

fn fuzz(args: &[&str], out: Option<&Path>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loopdiff"));
    command.arg("fuzz").args(args);
    if let Some(out) = out {
        command.arg("--out").arg(out);
    }
    command
}

fn said(args: &[&str], out: Option<&Path>) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = fuzz(args, out).output().expect("the command");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// All files below a folder but `time.json`, with their bytes.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut open = vec![folder.to_owned()];
    let mut files = BTreeMap::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).expect("a folder").flatten().map(|entry| entry.path()));
        } else if !path.ends_with("time.json") {
            files.insert(path.strip_prefix(folder).expect("below").to_owned(), fs::read(&path).expect("a file"));
        }
    }
    files
}

/// Seven findings in one block, which take a while to make smaller.
const STRICT: [&str; 10] =
    ["--rules", "6.1", "--strict", "--seed", "5", "--count", "256", "--reduce-attempts", "100", "--jobs=2"];

#[test]
fn a_campaign_that_a_signal_ends_goes_on_as_if_nothing_had_been() {
    let folder = tempfile::tempdir().expect("a folder");
    let whole = folder.path().join("whole");
    assert_eq!(said(&STRICT, Some(&whole)).0, Some(1));
    let expected = files(&whole);
    let findings = fs::read_dir(whole.join("findings")).expect("findings").count();
    assert!(findings >= 5, "{findings}");
    for signal in ["KILL", "TERM", "HUP", "INT"] {
        for kept_before in [0, 2] {
            let out = folder.path().join(format!("{signal}-{kept_before}"));
            let mut child =
                fuzz(&STRICT, Some(&out)).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the command");
            let start = Instant::now();
            let kept = || fs::read_dir(out.join("findings")).map_or(0, |all| all.count());
            while !(out.join("state.json").exists() && kept() >= kept_before)
                && child.try_wait().expect("alive").is_none()
            {
                assert!(start.elapsed() < Duration::from_secs(120), "nothing is kept");
                std::thread::sleep(Duration::from_millis(1));
            }
            let kill = Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).output();
            kill.expect("kill");
            let ended = child.wait().expect("an end");
            assert!(signal == "KILL" || ended.code().is_some(), "{signal} ends a campaign in its own time: {ended}");
            assert_eq!(said(&STRICT, Some(&out)).0, Some(1), "{signal}, {kept_before}");
            assert!(files(&out) == expected, "{signal}, {kept_before}: another folder than that of a whole campaign");
        }
    }
}

#[test]
fn other_options_in_a_folder_are_an_error_that_names_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("c");
    let options = ["--rules", "6.12", "--seed", "5", "--count", "20", "--reduce-attempts", "0"];
    assert_eq!(said(&options, Some(&out)).0, Some(0));
    let before = files(&out);
    for (more, what) in [
        (&["--set", "walk.frames_max=4"][..], "walk.frames_max=4"),
        (&["--strict"], "known"),
        (&["--reduce-attempts", "1"], "reduce-attempts 0 (asked for: 1)"),
        (&["--seed", "6"], "seed 5 (asked for: 6)"),
        (&["--rules", "6.12,7.3"], "rules 6.12 (asked for: 6.12; 7.3)"),
    ] {
        let given = more[0];
        let kept = options.chunks(2).filter(|pair| pair[0] != given).flatten().copied();
        let args: Vec<&str> = kept.chain(more.iter().copied()).collect();
        let (exit, _, error) = said(&args, Some(&out));
        assert!(exit == Some(2) && error.contains(what), "{args:?}: {exit:?}: {error}");
        assert!(files(&out) == before, "{args:?} changes the folder");
    }
    fs::write(out.join("state.json"), "{\"schema\":1,\"seed\":5,\"rules\":[\"6.12\"]}").expect("written");
    let (exit, _, error) = said(&options, Some(&out));
    assert!(exit == Some(2) && error.contains("state.json") && error.contains("schema 1"), "{error}");
}

#[test]
fn facts_that_are_set_stand_wherever_a_finding_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("c");
    let set = "walk.callback_walk=once";
    let gone_with = "walk.callback_walk=unknown-count";
    let args = ["--rules", "6.12", "--set", set, "--count", "600", "--seed", "1", "--reduce-attempts", "0", "--json"];
    let (exit, text, _) = said(&args, Some(&out));
    assert_eq!(exit, Some(1));
    let lines = json_lines(&text);
    let finding = &lines[0]["finding"];
    assert_eq!((&finding["set"][0], &finding["rules"]), (&set.into(), &"6.12".into()), "{finding}");
    assert_eq!(finding["gone_with"][0], gone_with, "{finding}");
    let summary = &lines.last().expect("a line")["summary"];
    assert_eq!(summary["campaign"]["rules"][0]["set"][0], set, "{summary}");
    assert_eq!(summary["groups"][0]["fact"], gone_with, "{}", summary["groups"]);
    assert!(summary["groups"][0]["signatures"].as_array().expect("signatures").len() >= 3, "{}", summary["groups"]);
    let case = PathBuf::from(finding["case"].as_str().expect("a path"));
    let beside = fs::read_to_string(case.with_file_name("finding.json")).expect("finding.json");
    let state = fs::read_to_string(out.join("state.json")).expect("state.json");
    let report = Command::new(env!("CARGO_BIN_EXE_loopdiff")).arg("report").arg(&out).output().expect("the command");
    let report = String::from_utf8(report.stdout).expect("text");
    for text in [&beside, &state, &report] {
        assert!(text.contains(set) && text.contains(gone_with), "{text}");
    }
    assert!(report.contains(&format!("findings that `{gone_with}` takes away")), "{report}");
    let (_, text, _) = said(&args[..10], Some(&out));
    assert!(text.contains(&format!("under the rules of 6.12 with {set}")), "{text}");
    assert!(text.contains(&format!("findings that {gone_with} takes away")), "{text}");
}

#[test]
fn a_campaign_that_tries_next_to_nothing_fails() {
    // Static liveness of 7.3 needs the return of the callback to the call: all is rejected.
    let blind = ["--set", "walk.callback_walk=once", "--count", "600", "--reduce-attempts", "0"];
    let (exit, _, error) = said(&blind, None);
    assert!(exit == Some(1) && error.contains("accepted: next to nothing"), "{exit:?}: {error}");
    let with = |more: &[&'static str]| said(&[&blind[..], more].concat(), None);
    assert_eq!(with(&["--accepted-min", "0"]).0, Some(0));
    assert_eq!(with(&["--accepted-min", "1"]).0, Some(1));
    assert_eq!(said(&["--count", "30", "--accepted-min", "100"], None).0, Some(1));
    assert_eq!(said(&["--count", "3"], None).0, Some(0), "a short campaign is not blind");
    for option in ["--accepted-min", "--inlined-min"] {
        for bad in ["nan", "-1", "100.5", "inf", "x", ""] {
            let (exit, _, error) = said(&["--count", "1", option, bad], None);
            assert!(exit == Some(2) && error.contains(option), "{option} {bad}: {exit:?}: {error}");
        }
    }
}

#[test]
fn options_that_mean_nothing_to_a_target_are_rejected_by_name() {
    for (args, what) in [
        (&["--sample", "new"][..], "--sample new"),
        (&["--memory", "512"], "--memory"),
        (&["--guests", "2"], "--guests"),
        (&["--kvm"], "--kvm"),
        (&["--boot-arg", "quiet"], "--boot-arg"),
        (&["--load-timeout", "9"], "--load-timeout"),
        (&["--run-timeout", "9"], "--run-timeout"),
        (&["--kernel", "6.1", "--rules", "6.1,7.3"], "--rules"),
    ] {
        let (exit, _, error) = said(&[&["--count", "1"], args].concat(), None);
        assert!(exit == Some(2) && error.contains(what), "{args:?}: {exit:?}: {error}");
    }
}
