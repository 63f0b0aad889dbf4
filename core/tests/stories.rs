//! What a campaign keeps of a finding can be repeated by what it says.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn loopdiff(args: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_loopdiff")).args(args).current_dir(folder).output().expect("the command")
}

fn read(path: PathBuf) -> String {
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Signatures that a command finds.
fn found(command: &str, folder: &Path) -> Vec<String> {
    let args: Vec<&str> = command.split(' ').skip(1).chain(["--json"]).collect();
    let run = loopdiff(&args, folder);
    assert_eq!(run.status.code(), Some(1), "{command}: {}", String::from_utf8_lossy(&run.stderr));
    let out = String::from_utf8(run.stdout).expect("text");
    let lines = out.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    lines.filter_map(|line| Some(line["finding"]["signature"].as_str()?.to_owned())).collect()
}

/// Every story of a campaign names what it takes to repeat it, and its commands repeat it.
fn check(rules: &str, set: &[&str], count: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut args = vec!["fuzz", "--strict", "--seed", "3", "--count", count, "--out", "out", "--rules", rules];
    args.extend(["--reduce-attempts", "300"]);
    set.iter().for_each(|fact| args.extend(["--set", fact]));
    assert_eq!(loopdiff(&args, folder.path()).status.code(), Some(1));
    let findings = folder.path().join("out/findings");
    let (mut stories, mut caused) = (0, 0);
    for entry in std::fs::read_dir(&findings).expect("findings") {
        let at = entry.expect("an entry").path();
        let (story, repro) = (read(at.join("story.md")), read(at.join("repro.c")));
        let line = |name: &str| {
            let start = format!("- {name}: `");
            let line =
                story.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_else(|| panic!("{name}: {story}"));
            line.trim_end_matches('`').to_owned()
        };
        let signature = line("signature");
        // The reproduction says the same as the story.
        let title = story.lines().next().and_then(|line| line.strip_prefix("# ")).expect("a title");
        for text in [title, &signature, &line("rules"), &line("case"), &line("found with")] {
            assert!(repro.contains(&text.replace("*/", "* /")), "{text}\n{repro}");
        }
        assert_eq!(line("found with"), format!("loopdiff {}", loopdiff::campaign::RELEASE));
        assert!(set.iter().all(|fact| line("rules").contains(fact)), "{story}");
        assert!(story.contains("## What the verifier believed"), "{story}");
        assert!(story.contains("R10=fp") || story.contains("on no path"), "{story}");
        let commands: Vec<&str> = story.lines().filter(|line| line.starts_with("loopdiff ")).collect();
        for start in [
            "loopdiff check case.json",
            "loopdiff check s3n",
            "loopdiff fuzz",
            "loopdiff kernel run case.json",
            "loopdiff kernel confirm case.json",
        ] {
            assert!(commands.iter().any(|command| command.starts_with(start)), "{start}: {story}");
        }
        for command in &commands {
            assert!(repro.contains(command), "{command}\n{repro}");
        }
        for command in commands.iter().filter(|command| !command.contains(" kernel ")) {
            assert!(found(command, &at).contains(&signature), "{command} does not find {signature}");
        }
        gone(&story, &signature, rules, set, &at);
        let cause = set.first().and_then(|fact| fact.split('=').next());
        caused += usize::from(cause.is_some_and(|name| story.contains(&format!("- `{name}="))));
        stories += 1;
    }
    assert!(stories > 0, "nothing was found");
    assert!(caused > 0 || set.is_empty(), "the fact that was set takes nothing away");
}

/// With each fact that is said to take a finding away, it is gone.
fn gone(story: &str, signature: &str, rules: &str, set: &[&str], at: &Path) {
    let facts: Vec<&str> = story.lines().filter_map(|line| line.strip_prefix("- `")?.split('`').next()).collect();
    assert!(facts.is_empty() != story.contains("alone takes it away"), "{story}");
    for fact in facts {
        let mut args = vec!["check", "case.json", "--json", "--rules", rules];
        set.iter().chain([&fact]).for_each(|fact| args.extend(["--set", fact]));
        let run = loopdiff(&args, at);
        let out = String::from_utf8(run.stdout).expect("text");
        assert!(run.status.code() == Some(0) || !out.contains(signature), "with {fact}: {out}");
    }
}

#[test]
fn a_story_without_set_facts_is_repeated_by_its_commands() {
    check("6.1", &[], "400");
}

#[test]
fn a_story_with_set_facts_is_repeated_by_its_commands() {
    check("6.12", &["walk.callback_walk=once", "walk.forced_checkpoints=no"], "300");
}

/// What a form has no words for is said on standard error and as JSON, in both styles, and in the text.
#[test]
fn what_a_selftest_leaves_out_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("a file");
    write(
        "both.bpf",
        ";;! prog_flags = 8\n;;! maps = [{ type = \"array\", key_size = 4, value_size = 12, max_entries = 1, init = [\"01\"] }]
    r1 = map.0 ll\n    r1 = map.0+4 ll\n    r0 = 0\n    exit\n",
    );
    write("whole.bpf", "    r1 = 0\n    r0 = 0\n    exit\n");
    for style in ["asm", "array"] {
        let run = loopdiff(&["convert", "both.bpf", "--to", "selftest", "--style", style], folder.path());
        let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
        assert!(err.contains("both: not as the original: ") && err.contains("before the run"), "{err}");
        let args = ["convert", "both.bpf", "--to", "selftest", "--style", style, "--json"];
        let json = loopdiff(&args, folder.path()).stdout;
        let line: Value = serde_json::from_slice(&json).expect("a line");
        let left_out = line["converted"]["left_out"].as_array().expect("a list");
        assert_eq!(line["converted"]["text"], *out);
        assert_eq!(left_out.len(), err.lines().count());
        for what in left_out.iter().map(|what| what.as_str().expect("a sentence")) {
            assert!(out.contains(what) && err.contains(what), "{what}\n{out}");
        }
    }
    let run = loopdiff(&["convert", "whole.bpf", "--to", "selftest", "--rules", "7.3"], folder.path());
    assert_eq!((run.status.code(), run.stderr.len()), (Some(0), 0), "{}", String::from_utf8_lossy(&run.stderr));
}
