//! The command `loopdiff` on folders as they are: with files that cannot be read, links that lead back, and names that are no names.

#[path = "support/command.rs"]
mod command;

use command::{Folder, command};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::process::Stdio;

const ACCEPTED: &str = "# Fine.\nmain:\n    r0 = 0\n    exit\n";
const REJECTED: &str = "# Not fine.\nmain:\n    r0 = r2 ; reject: EACCES \"R2 !read_ok\"\n    exit\n";
/// The helper answers in 64 bits, the inlined loop in 32.
const DIFFERENT: &str = "\
# Different.
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

/// Commands that answer for each program of a folder, with what their output has for one.
const READERS: [(&[&str], &str); 7] = [
    (&["check", "--json"], "\"name\":\"NAME\""),
    (&["check", "--verbose"], "NAME.bpf"),
    (&["verify"], "NAME.bpf"),
    (&["run", "--json"], "\"name\":\"NAME\""),
    (&["inline"], "NAME.bpf"),
    (&["explain"], "NAME.bpf"),
    (&["convert", "--to", "jsonl"], "\"name\":\"NAME\""),
];

#[test]
fn a_file_that_cannot_be_read_leaves_the_others_their_answers() {
    let folder = Folder::new(&[
        ("a.bpf", ACCEPTED),
        ("b.bpf", "main:\n    r0 = = 1\n"),
        ("c.bpf", REJECTED),
        ("d.json", "{\n  \"nam\": 1\n}"),
        ("e.o", "no object"),
        ("z.bpf", ACCEPTED),
    ]);
    symlink("gone", folder.file("f.bpf")).expect("a link");
    for (args, shown) in READERS {
        let (exit, out, err) = folder.said(&[args, &["."]].concat());
        assert_eq!(exit, 2, "{args:?}: {err}");
        for name in ["a", "c", "z"] {
            assert!(out.contains(&shown.replace("NAME", name)), "{args:?}: {name} in\n{out}");
        }
        let complaints: Vec<&str> = err.lines().filter(|line| line.starts_with("loopdiff: ")).collect();
        let places = ["./b.bpf:2:", "./d.json:2:", "./e.o: ", "./f.bpf: "].map(|place| format!("loopdiff: {place}"));
        assert_eq!(complaints.len(), places.len(), "{args:?}: {err}");
        for (line, place) in complaints.iter().zip(&places) {
            assert!(line.starts_with(place), "{args:?}: {line}");
        }
    }
    let (exit, out, err) = folder.said(&["replay", "."]);
    assert_eq!((exit, err.lines().filter(|line| line.starts_with("loopdiff: ./")).count()), (2, 4), "{out}{err}");
    assert!(out.contains("3 programs, ") && out.contains("all as expected"), "{out}");
    // Paths that are named one by one, too.
    let (exit, out, _) = folder.said(&["verify", "--json", "b.bpf", "z.bpf", "missing.bpf", "a.bpf"]);
    assert_eq!((exit, out.lines().count()), (2, 2), "{out}");
}

/// A line of JSON lines that cannot be read is one program, and what could not be read is counted.
#[test]
fn a_bad_line_leaves_the_other_lines_their_answers() {
    let line = |name: &str| {
        format!(r#"{{"name": "{name}", "prog_type": "xdp", "insns": ["b700000000000000", "9500000000000000"]}}"#)
    };
    let text = format!("{}\n{{\"nam\": 1}}\n\n{}\nnot JSON\n{}\n", line("a"), line("c"), line("z"));
    let folder = Folder::new(&[("many.jsonl", &text), ("b.bpf", "nonsense")]);
    // Commands that show the name of a program, not that of its file.
    for (args, shown) in READERS.into_iter().filter(|(_, shown)| shown.contains("name")) {
        let (exit, out, err) = folder.said(&[args, &["."]].concat());
        assert_eq!(exit, 2, "{args:?}: {err}");
        for place in ["many.jsonl:2:", "many.jsonl:5:", "b.bpf:1:"] {
            assert!(err.contains(place), "{args:?}: {place}: {err}");
        }
        assert!(["a", "c", "z"].iter().all(|name| out.contains(&shown.replace("NAME", name))), "{args:?}: {out}");
    }
    let (_, out, _) = folder.said(&["check", "."]);
    assert!(out.contains("3 programs: 3 accepted, 0 rejected, 0 unsupported; 3 could not be read"), "{out}");
    assert!(folder.said(&["check", "--json", "."]).1.contains("\"unreadable\":3"));
}

#[test]
fn what_cannot_be_read_is_graver_than_a_finding() {
    let folder = Folder::new(&[("a.bpf", DIFFERENT), ("b.bpf", "nonsense")]);
    assert_eq!(folder.said(&["check", "a.bpf"]).0, 1);
    let (exit, out, _) = folder.said(&["check", "."]);
    assert_eq!(exit, 2, "{out}");
    assert!(out.contains("findings: 1 equivalence"), "{out}");
}

/// A folder of which each program fails has no answers, and a folder that holds none is an error.
#[test]
fn nothing_to_work_on_is_an_error() {
    let bad = Folder::new(&[("a.bpf", "nonsense"), ("b.json", "")]);
    let none = Folder::new(&[("notes.txt", "")]);
    let empty = Folder::new(&[]);
    for command in ["check", "verify", "run", "inline", "explain", "replay"] {
        let (exit, out, err) = bad.said(&[command, "."]);
        assert_eq!((exit, out.as_str()), (2, ""), "{command}: {err}");
        assert_eq!(err.lines().filter(|line| line.starts_with("loopdiff: ")).count(), 2, "{command}: {err}");
        for folder in [&none, &empty] {
            let (exit, out, err) = folder.said(&[command, "."]);
            assert_eq!((exit, out.as_str()), (2, ""), "{command}: {err}");
            assert!(err.contains("no program files") && err.contains("  hint: "), "{command}: {err}");
        }
    }
}

#[test]
fn each_file_is_read_once_however_many_links_lead_to_it() {
    let folder = Folder::new(&[("x.bpf", ACCEPTED)]);
    std::fs::create_dir(folder.file("sub")).expect("a folder");
    std::fs::write(folder.file("sub/y.bpf"), ACCEPTED).expect("a file");
    for (to, name) in [(".", "a"), (".", "b"), ("..", "sub/up"), ("../sub", "sub/again"), ("x.bpf", "link.bpf")] {
        symlink(to, folder.file(name)).expect("a link");
    }
    for args in [&["verify", "--json", "."][..], &["run", "--json", "."], &["explain", "--json", "."]] {
        let lines = folder.json(0, args);
        let cases: Vec<&str> = lines.iter().flat_map(|line| line["case"].as_str()).collect();
        assert_eq!(cases, ["./sub/y.bpf", "./x.bpf"], "{args:?}");
    }
    assert!(folder.said(&["replay", "."]).1.starts_with("2 programs, "));
}

/// Neither a FIFO nor a socket or a device is waited for; standard input is read.
#[test]
fn only_regular_files_and_standard_input_are_read() {
    let folder = Folder::new(&[("x.bpf", ACCEPTED)]);
    let made = std::process::Command::new("mkfifo").arg(folder.file("fifo.json")).status().expect("mkfifo");
    assert!(made.success());
    let _socket = UnixListener::bind(folder.file("socket.bpf")).expect("a socket");
    symlink("/dev/zero", folder.file("zero.o")).expect("a link");
    for args in [&["verify", "."][..], &["check", "."], &["convert", "--to", "jsonl", "."], &["replay", "."]] {
        let (exit, out, err) = folder.said(args);
        assert_eq!((exit, out.is_empty()), (2, false), "{args:?}: {err}");
        for line in
            ["./fifo.json: a FIFO", "./socket.bpf: a socket", "./zero.o: a device", "  hint: only regular files"]
        {
            assert!(err.contains(line), "{args:?}: {line} in\n{err}");
        }
    }
    for args in [&["verify", "fifo.json"][..], &["reduce", "--fuzzer-input", "fifo.json"], &["reduce", "zero.o"]] {
        assert_eq!(folder.said(args).0, 2, "{args:?}");
    }
    let mut child = command()
        .args(["verify", "--json", "/dev/stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the command");
    child.stdin.take().expect("its input").write_all(ACCEPTED.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("an end");
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stdout).contains("\"verdict\":\"accept\""));
}

#[test]
fn sources_are_told_from_programs() {
    let folder = Folder::new(&[("x.c", "int main() { return 0; }"), ("x.rs", "fn main() {}")]);
    for name in ["x.c", "x.rs"] {
        let (exit, _, err) = folder.said(&["check", name]);
        assert_eq!(exit, 2);
        assert!(err.contains(": a source file") && err.contains("hint: compile it: clang -target bpf"), "{err}");
    }
}

/// Whatever stands in a file: no control character of it reaches a terminal, and it makes no lines of its own.
#[test]
fn names_give_no_orders_to_terminals() {
    const EVIL: &str = "\\u001b]0;owned\\u0007\\u001b[31mred\\nloopdiff: fake\\r\\u009b2J";
    let program = |insns: &str, more: &str| {
        format!("{{\"name\": \"{EVIL}\", \"prog_type\": \"raw_tracepoint\", \"insns\": [{insns}]{more}}}")
    };
    let exit = "\"b700000000000000\", \"9500000000000000\"";
    let func = format!(", \"funcs\": [{{\"insn\": 0, \"name\": \"{EVIL}\", \"linkage\": \"global\", \"args\": 1}}]");
    let folder = Folder::new(&[
        ("a.json", &program(exit, "")),
        ("b.json", &program(exit, &func)),
        ("c.json", &program("\"bf20000000000000\", \"9500000000000000\"", "")),
        ("d.json", &program("\"8500000063000000\", \"9500000000000000\"", "")),
        ("e.json", &format!("{{\"{EVIL}\": 1}}")),
        ("f.bpf", ";;! name = \"\\u001b[31mred\\n\"\n;;! rules = [\"\\u001b[2J\"]\nmain:\n    exit\n"),
        ("g\u{1b}[31m.bpf", "\u{1b}[31m\n"),
        (
            "h.bpf",
            "# Title\n;;! name = \"\\u001b[31m\"\nmain:\n    r0 = 0\n    call bpf_loop ; reject: EINVAL \"\\u001b\"\n    exit\n",
        ),
    ]);
    let of_all = ["check", "verify", "run", "inline", "explain", "replay", "convert"];
    for command in of_all {
        let to = if command == "convert" { &["--to", "bpf"][..] } else { &[] };
        let (_, out, err) = folder.said(&[&[command, "."], to].concat());
        for text in [&out, &err] {
            let control = text.chars().find(|c| c.is_control() && *c != '\n');
            assert_eq!(control, None, "{command}: {text:?}");
            assert!(!text.lines().any(|line| line.starts_with("loopdiff: fake")), "{command}: {text}");
        }
        assert!(format!("{out}{err}").contains("\\u{1b}"), "{command} shows the name: {out}{err}");
    }
    for args in [
        &["reduce", "a.json"][..],
        &["reduce", "c.json", "--keep", "verdict"],
        &["convert", ".", "--to", "raw"],
        &["reduce", "."],
    ] {
        let (_, _, err) = folder.said(args);
        assert_eq!(err.chars().find(|c| c.is_control() && *c != '\n'), None, "{args:?}: {err:?}");
    }
}

#[test]
fn rules_that_agree_share_an_answer() {
    let folder = Folder::new(&[("a.bpf", REJECTED), ("b.bpf", DIFFERENT)]);
    for command in ["verify", "check", "run", "inline"] {
        let (_, out, _) = folder.said(&[command, "--rules", "all", "a.bpf"]);
        assert_eq!(out.matches("R2 !read_ok").count(), 1, "{command}: {out}");
        assert!(out.contains("rules 6.1, 6.12, 6.18, 7.3"), "{command}: {out}");
    }
    // The walks of a loop are not as long under all rules.
    let (_, out, _) = folder.said(&["verify", "--rules", "all", "b.bpf"]);
    assert!(out.matches("accepted").count() > 1, "{out}");
    assert_eq!(folder.json(0, &["verify", "--json", "--rules", "all", "a.bpf"]).len(), 4);
}

#[test]
fn a_folder_has_its_reasons() {
    let mut files: Vec<(String, &str)> = (0..50).map(|n| (format!("a{n}.bpf"), ACCEPTED)).collect();
    files.extend((0..20).map(|n| (format!("r{n}.bpf"), REJECTED)));
    files.push(("u.bpf".to_owned(), "main:\n    call 9999\n    exit\n"));
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), *text)).collect();
    let folder = Folder::new(&files);
    let (exit, out, _) = folder.said(&["check", "--rules", "all", "."]);
    assert_eq!(exit, 0);
    assert!(out.contains("\n      20  R2 !read_ok (errno 13)\n"), "{out}");
    assert!(!out.contains("r19"), "too many to be named: {out}");
    assert!(out.contains("71 programs, 284 verdicts: "), "{out}");
    assert!(out.contains("\n          u\n"), "few programs are named: {out}");
}
