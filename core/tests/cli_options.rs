//! Every option of the command line that takes a number, at its extremes: an answer or an input error, never a panic.

#[path = "support/command.rs"]
mod command;

use clap::builder::ValueParser;
use command::Folder;
use loopdiff::campaign::Percent;
use std::any::TypeId;

const PROGRAM: &str = "main:\n    r0 = 0\n    exit\n";
const DIFFERENT: &str = "main:\n    r1 = 8388609\n    r2 = cb ll\n    r3 = 0\n    r4 = 0\n    call bpf_loop\n    exit\ncb:\n    r0 = 0\n    exit\n";

/// The ends of every type of number, and what is beyond them.
const EXTREMES: [&str; 14] = [
    "0",
    "1",
    "-1",
    "255",
    "65535",
    "2147483647",
    "-2147483648",
    "4294967295",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "nan",
    "-inf",
    "1e309",
];

fn is_number(parser: &ValueParser) -> bool {
    let id = parser.type_id();
    let integers =
        [TypeId::of::<u8>(), TypeId::of::<u16>(), TypeId::of::<u32>(), TypeId::of::<u64>(), TypeId::of::<usize>()];
    let others = [TypeId::of::<i32>(), TypeId::of::<i64>(), TypeId::of::<f64>(), TypeId::of::<Percent>()];
    integers.iter().chain(&others).any(|number| id == *number)
}

/// What else a command needs, so that it comes to use the option, and is soon done.
fn others(command: &str, option: &str) -> Vec<&'static str> {
    match command {
        "check" | "verify" | "inline" | "run" | "explain" => vec!["x.bpf"],
        "fuzz" if option == "seconds" => vec!["--count", "8"],
        "fuzz" if option == "count" => vec!["--seconds", "1"],
        "fuzz" => vec!["--count", "8", "--seconds", "5"],
        "replay" => vec!["."],
        "faults" if option == "count" => vec!["slots-overlap"],
        "faults" => vec!["--count", "3"],
        "convert" => vec!["x.bpf", "--to", "json"],
        "reduce" => vec!["y.bpf"],
        "bench" if option == "iterations" => vec!["--samples", "1"],
        "bench" => vec!["--iterations", "10"],
        "kernel record" => vec!["x.bpf", "--kernel", "6.1", "--out", "recorded"],
        "kernel run" | "kernel parity" | "kernel confirm" | "kernel reduce" => vec!["x.bpf", "--kernel", "6.1"],
        other => panic!("say what `{other}` needs, so that --{option} is tried"),
    }
}

fn numbers(command: &clap::Command, name: &str, found: &mut Vec<(String, String)>) {
    for option in command.get_opts().filter(|option| is_number(option.get_value_parser())) {
        found.push((name.to_owned(), option.get_long().expect("a long name").to_owned()));
    }
    for sub in command.get_subcommands() {
        numbers(sub, format!("{name} {}", sub.get_name()).trim_start(), found);
    }
}

#[test]
fn numbers_at_their_extremes_are_answered() {
    let folder = Folder::new(&[("x.bpf", PROGRAM), ("y.bpf", DIFFERENT)]);
    let mut options = Vec::new();
    numbers(&loopdiff::cli::command(), "", &mut options);
    assert!(options.len() > 30 && options.contains(&("fuzz".to_owned(), "accepted-min".to_owned())), "{options:?}");
    for (command, option) in &options {
        for value in EXTREMES {
            let set = format!("--{option}={value}");
            let args: Vec<&str> = command.split(' ').chain(others(command, option)).chain([set.as_str()]).collect();
            // Guests are not started: the cache is empty.
            let output =
                command::command().current_dir(folder.path()).env("LOOPDIFF_CACHE", folder.path()).args(&args).output();
            let output = output.expect("the command");
            let err = String::from_utf8_lossy(&output.stderr);
            let exit = output.status.code();
            assert!(matches!(exit, Some(0..=3)), "{args:?}: {exit:?}\n{err}");
            assert!(exit < Some(2) || !err.trim().is_empty(), "{args:?} ends with {exit:?} and no word");
        }
    }
}
