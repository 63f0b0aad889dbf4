//! Names and texts in C.

use std::collections::{BTreeMap, BTreeSet};

/// Words that cannot name a function or map here: C's own, and those of the preludes.
const TAKEN: &[&str] = &[
    "auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else", "enum", "extern", "float",
    "for", "goto", "if", "inline", "int", "long", "register", "restrict", "return", "short", "signed", "sizeof",
    "static", "struct", "switch", "typedef", "union", "unsigned", "void", "volatile", "while", "asm", "typeof", "main",
    "exit", "lock", "call", "ll", "skb", "gotol", "may_goto", "pc", "linux", "unix", "bpf", "SEC", "NULL", "bool",
    "true", "false",
];

/// Names that are identifiers, each given once.
#[derive(Clone, Debug, Default)]
pub(super) struct Identifiers {
    given: BTreeSet<String>,
    /// The last number behind each name that was wanted more than once.
    numbers: BTreeMap<String, usize>,
}

impl Identifiers {
    /// An identifier as close to the wanted one as there is.
    pub fn give(&mut self, wanted: &str, otherwise: &str) -> String {
        let base = if is_identifier(wanted) && !is_taken(wanted) { wanted } else { otherwise };
        let mut name = base.to_owned();
        while is_taken(&name) || !self.given.insert(name.clone()) {
            crate::work::count(1);
            let n = self.numbers.entry(base.to_owned()).or_insert(1);
            *n += 1;
            name = format!("{base}_{n}");
        }
        name
    }
}

fn is_taken(name: &str) -> bool {
    let register = |prefix| name.strip_prefix(prefix).is_some_and(|n: &str| n.parse::<u8>().is_ok());
    TAKEN.contains(&name) || name.starts_with("bpf_") || name.starts_with("__") || register("r") || register("w")
}

pub(super) fn is_identifier(name: &str) -> bool {
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    starts && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A text as the inside of a C string.
pub(super) fn escaped(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text {
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\t' => out.push_str("\\t"),
            // Two question marks may start a trigraph.
            b'?' => out.push_str("\\?"),
            b' '..=b'~' => out.push(char::from(*byte)),
            _ => out.push_str(&format!("\\{byte:03o}")),
        }
    }
    out
}

/// A text inside of a C comment.
pub(super) fn comment(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    plain.replace("*/", "* /").replace("/*", "/ *")
}

/// Lines as a block comment, in the kernel's style.
pub(super) fn block_comment<'a>(lines: impl IntoIterator<Item = &'a str>) -> String {
    let lines: Vec<String> = lines.into_iter().flat_map(str::lines).map(comment).collect();
    match lines.as_slice() {
        [] => String::new(),
        [one] => format!("/* {one} */\n"),
        many => {
            let body: String = many.iter().map(|l| format!(" * {l}").trim_end().to_owned() + "\n").collect();
            format!("/*\n{body} */\n")
        }
    }
}
