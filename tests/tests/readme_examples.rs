//! The examples of `tests/README.md` are what the format is: each is read, and written and read again.

use loopdiff::program::text;

const README: &str = include_str!("../README.md");
const FENCE: &str = "```";

/// The examples, each with the line of the page before its first.
fn examples() -> Vec<(usize, String)> {
    let mut out = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (number, line) in (1..).zip(README.lines()) {
        match (&mut open, line.strip_prefix(FENCE)) {
            (None, Some(language)) => {
                assert_eq!(language, "bpf", "line {number}: a fence in another language");
                open = Some((number, String::new()));
            }
            (Some(_), Some(_)) => out.extend(open.take()),
            (Some((_, text)), None) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "the last fence is open");
    out
}

#[test]
fn every_example_reads_and_is_written_as_it_was_read() {
    let examples = examples();
    assert!(examples.len() >= 8, "{} examples", examples.len());
    for (number, source) in examples {
        let file = text::parse(&source).unwrap_or_else(|e| panic!("the example at line {number}: {e}"));
        assert!(!file.program.insns.is_empty(), "line {number}");
        let written = text::write_test(&file);
        let back =
            text::parse(&written).unwrap_or_else(|e| panic!("what was written of line {number}: {e}\n{written}"));
        assert_eq!(back.program, file.program, "line {number}\n{written}");
        assert_eq!((back.rules, back.checks), (file.rules, file.checks), "line {number}\n{written}");
        assert_eq!(back.expect.all().len(), file.expect.all().len(), "line {number}\n{written}");
    }
}

/// An example with one line made wrong is refused on that line.
#[test]
fn no_line_of_an_example_is_ignored() {
    for (number, source) in examples() {
        for (n, line) in source.lines().enumerate() {
            let wrong = match line.strip_prefix(";;! ") {
                Some(_) if line.ends_with(['[', ',', ']', '}']) => continue,
                Some(toml) if toml.starts_with(|c: char| c.is_ascii_lowercase()) => format!(";;! x{toml}"),
                Some(_) => continue,
                None if line.trim().is_empty() || line.trim_start().starts_with('#') => continue,
                None => format!("?{line}"),
            };
            let changed: Vec<&str> =
                source.lines().enumerate().map(|(m, old)| if m == n { wrong.as_str() } else { old }).collect();
            let error = text::parse(&changed.join("\n")).expect_err("a wrong line");
            assert_eq!(error.line, Some(n as u32 + 1), "the example at line {number}: {error}");
        }
    }
}
