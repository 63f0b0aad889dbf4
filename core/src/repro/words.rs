//! Names and texts in C.

use std::collections::{BTreeMap, BTreeSet};

/// Words that cannot name a function or map here: C's own, and those of the preludes and of the kernel's headers.
const TAKEN: &[&str] = &[
    "auto",
    "break",
    "case",
    "char",
    "const",
    "continue",
    "default",
    "do",
    "double",
    "else",
    "enum",
    "extern",
    "float",
    "for",
    "goto",
    "if",
    "inline",
    "int",
    "long",
    "register",
    "restrict",
    "return",
    "short",
    "signed",
    "sizeof",
    "static",
    "struct",
    "switch",
    "typedef",
    "union",
    "unsigned",
    "void",
    "volatile",
    "while",
    "asm",
    "typeof",
    "main",
    "linux",
    "unix",
    "bpf",
    "bool",
    "true",
    "false",
    "barrier",
    "barrier_var",
    "likely",
    "unlikely",
    "offsetof",
    "container_of",
    "_license",
];

/// Words of the BPF assembler, which reads a function's name as part of an instruction.
const OF_THE_ASSEMBLER: &[&str] = &[
    "exit",
    "lock",
    "call",
    "callx",
    "ll",
    "skb",
    "gotol",
    "gotox",
    "may_goto",
    "pc",
    "s",
    "u8",
    "u16",
    "u32",
    "u64",
    "s8",
    "s16",
    "s32",
    "s64",
    "be16",
    "be32",
    "be64",
    "le16",
    "le32",
    "le64",
    "bswap16",
    "bswap32",
    "bswap64",
    "ld_pseudo",
    "atomic_fetch_add",
    "atomic_fetch_and",
    "atomic_fetch_or",
    "atomic_fetch_xor",
    "xchg_64",
    "xchg32_32",
    "cmpxchg_64",
    "cmpxchg32_32",
    "addr_space_cast",
    "load_acquire",
    "store_release",
];

/// Functions of C's library that clang knows: it warns of another function of that name, and takes no variable for one.
const OF_THE_LIBRARY: &str = include_str!("prelude/library_names.txt");

/// Names that are identifiers, each given once.
#[derive(Clone, Debug, Default)]
pub(super) struct Identifiers {
    given: BTreeSet<String>,
    counts: BTreeMap<String, u32>,
}

impl Identifiers {
    /// None given yet. A section has a symbol of its name, which no function or map can have too.
    pub fn beside_sections(sections: &[&str]) -> Identifiers {
        Identifiers { given: sections.iter().map(|name| (*name).to_owned()).collect(), ..Identifiers::default() }
    }

    /// An identifier as close to the wanted one as there is.
    pub fn give(&mut self, wanted: &str, otherwise: &str) -> String {
        let base = if is_identifier(wanted) && !is_taken(wanted) { wanted } else { otherwise };
        let mut name = base.to_owned();
        while !self.given.insert(name.clone()) {
            // Names are counted by what they are made from: many of one name take no longer than many of many.
            crate::work::count(1);
            let n = self.counts.entry(base.to_owned()).or_insert(1);
            *n += 1;
            name = format!("{base}_{n}");
        }
        name
    }
}

fn is_taken(name: &str) -> bool {
    let register = |prefix| name.strip_prefix(prefix).is_some_and(|n: &str| n.parse::<u8>().is_ok());
    // Labels of jumps are called l12_3.
    let is_label = name.strip_prefix('l').is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || c == '_'));
    // Macros and numbers of enumerations.
    let is_constant = !name.contains(|c: char| c.is_ascii_lowercase());
    let listed = TAKEN.contains(&name) || OF_THE_ASSEMBLER.contains(&name);
    let prefixed = name.starts_with("bpf_") || name.starts_with("__") || register("r") || register("w");
    is_constant || is_label || listed || prefixed || OF_THE_LIBRARY.split_whitespace().any(|word| word == name)
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
