//! Programs and test files as `.bpf` text.

use super::annotation::{errno_name, quoted};
use super::expect::{Expect, Expectation};
use super::funcs::{self, LINKAGES};
use super::{Check, TestFile};
use crate::btf::Linkage;
use crate::isa::{InsnIdx, ListedInsn, Names, listing};
use crate::kernel::KernelVersion;
use crate::kernel::helpers::helper_name;
use crate::program::json::to_hex;
use crate::program::{Func, Input, MapDef, Program};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Writes a program. The text reads back to the same program.
pub fn write(program: &Program) -> String {
    write_test(&TestFile { program: program.clone(), ..TestFile::default() })
}

/// Writes a program with its rules, checks and expectations.
pub fn write_test(file: &TestFile) -> String {
    let program = &file.program;
    let names = ProgramNames::new(program);
    let lines = listing(&program.insns, &names);
    let labels: BTreeMap<InsnIdx, String> =
        lines.iter().filter_map(|line| line.func.clone().map(|name| (line.at, name))).collect();
    let mut out = Header(String::new());
    out.program(program, &labels);
    out.list("rules", file.rules.iter().map(|v| quoted(v.name())));
    out.list("checks", file.checks.iter().map(|c: &Check| quoted(c.name())));
    let mut notes: BTreeMap<Option<InsnIdx>, Vec<String>> = BTreeMap::new();
    for e in file.expect.all() {
        match annotation(e, &labels) {
            Some(note) => notes.entry(e.at).or_default().push(note),
            None => out.expectation(e, &labels),
        }
    }
    let mut out = out.0;
    out.push('\n');
    for note in notes.get(&None).into_iter().flatten() {
        push(&mut out, format_args!("; {note}\n"));
    }
    for line in &lines {
        body_line(&mut out, line, notes.get(&Some(line.at)).map_or(&[], Vec::as_slice));
    }
    out
}

/// Names of a program that can stand in its text.
pub struct ProgramNames<'a> {
    funcs: BTreeMap<InsnIdx, &'a str>,
    maps: Vec<Option<&'a str>>,
}

impl<'a> ProgramNames<'a> {
    /// The names of a program's functions and maps; two maps of one name have none.
    pub fn new(program: &'a Program) -> ProgramNames<'a> {
        let mut funcs = BTreeMap::new();
        for func in &program.funcs {
            funcs.entry(func.insn).or_insert(func.name.as_str());
        }
        let mut count: BTreeMap<&str, usize> = BTreeMap::new();
        for map in &program.maps {
            *count.entry(&map.name).or_default() += 1;
        }
        // A name that starts with a letter is no index.
        let plain = |name: &str| name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && is_symbol(name);
        let usable = |map: &'a MapDef| {
            (plain(&map.name) && count.get(map.name.as_str()) == Some(&1)).then_some(map.name.as_str())
        };
        ProgramNames { funcs, maps: program.maps.iter().map(usable).collect() }
    }
}

/// Whether a name can stand in a symbol behind `map.`
fn is_symbol(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$'))
}

impl Names for ProgramNames<'_> {
    fn func(&self, at: InsnIdx) -> Option<&str> {
        self.funcs.get(&at).copied()
    }

    fn helper(&self, id: i32) -> Option<String> {
        helper_name(id).map(|name| format!("bpf_{name}"))
    }

    fn map(&self, index: u32) -> Option<&str> {
        self.maps.get(index as usize).copied().flatten()
    }
}

fn body_line(out: &mut String, line: &ListedInsn, notes: &[String]) {
    for label in line.func.iter().chain(&line.label) {
        push(out, format_args!("{label}:\n"));
    }
    push(out, format_args!("    {}", line.text));
    for note in notes {
        push(out, format_args!(" ; {note}"));
    }
    out.push('\n');
}

/// Writing to a text cannot fail.
fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}

fn versions(rules: &[KernelVersion]) -> String {
    let names: Vec<&str> = rules.iter().map(|v| v.name()).collect();
    if names.is_empty() { String::new() } else { format!("@{}", names.join(",")) }
}

/// An expectation as it stands behind a `;`, `None` for one that stands in the header.
fn annotation(e: &Expectation, labels: &BTreeMap<InsnIdx, String>) -> Option<String> {
    let (word, argument) = match &e.what {
        Expect::Accept => ("accept".to_owned(), None),
        Expect::Unsupported { what } => ("unsupported".to_owned(), what.as_deref().map(quoted)),
        Expect::Reject { text, errno } => {
            let errno = errno.map(|n| errno_name(n).map_or_else(|| n.to_string(), str::to_owned));
            let both: Vec<String> = errno.into_iter().chain(text.as_deref().map(quoted)).collect();
            ("reject".to_owned(), (!both.is_empty()).then(|| both.join(" ")))
        }
        Expect::Inlined { callback } => ("inlined".to_owned(), callback.and_then(|at| labels.get(&at)).cloned()),
        Expect::NotInlined { why } => ("not-inlined".to_owned(), why.as_deref().map(quoted)),
        Expect::Retval { input: None, value } => ("retval".to_owned(), Some(value.to_string())),
        Expect::Retval { input: Some(n), value } => (format!("retval[{n}]"), Some(value.to_string())),
        Expect::Finding { signature } => ("finding".to_owned(), Some(quoted(signature))),
        Expect::InsnsProcessed(_)
        | Expect::Stack { .. }
        | Expect::Insns(_)
        | Expect::NoInsns(_)
        | Expect::FuncInfo(_) => {
            return None;
        }
    };
    let head = format!("{word}{}", versions(&e.rules));
    Some(argument.map_or(head.clone(), |argument| format!("{head}: {argument}")))
}

fn hex(bytes: &[u8]) -> String {
    format!("\"{}\"", to_hex(bytes))
}

/// The header's lines.
struct Header(String);

impl Header {
    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        push(&mut self.0, format_args!("{} {text}\n", super::MARK));
    }

    fn number(&mut self, key: &str, value: u32) {
        if value != 0 {
            self.line(format_args!("{key} = {value}"));
        }
    }

    fn list(&mut self, key: &str, items: impl Iterator<Item = String>) {
        let items: Vec<String> = items.collect();
        if !items.is_empty() {
            self.line(format_args!("{key} = [{}]", items.join(", ")));
        }
    }

    fn long_list(&mut self, key: &str, items: impl Iterator<Item = String>) {
        let items: Vec<String> = items.collect();
        if items.is_empty() {
            return;
        }
        self.line(format_args!("{key} = ["));
        for item in items {
            self.line(format_args!("  {item},"));
        }
        self.line(format_args!("]"));
    }

    fn program(&mut self, program: &Program, labels: &BTreeMap<InsnIdx, String>) {
        if !program.name.is_empty() {
            self.line(format_args!("name = {}", quoted(&program.name)));
        }
        self.line(format_args!("prog_type = {}", quoted(program.prog_type.name())));
        self.number("expected_attach_type", program.expected_attach_type);
        self.number("prog_flags", program.prog_flags);
        self.long_list("maps", program.maps.iter().map(map));
        self.long_list("inputs", program.inputs.iter().map(input));
        self.funcs(program, labels);
        if let Some(btf) = &program.btf {
            self.line(format_args!("btf = {}", hex(btf)));
        }
        if program.btf_optional {
            self.line(format_args!("btf_optional = true"));
        }
        self.long_list("notes", program.notes.iter().map(|note| quoted(note)));
    }

    /// Nothing when the functions are the default ones, else only what differs, else all.
    fn funcs(&mut self, program: &Program, labels: &BTreeMap<InsnIdx, String>) {
        let default = funcs::default_funcs(program, labels);
        let same_places = default.iter().map(|f| (f.insn, &f.name)).eq(program.funcs.iter().map(|f| (f.insn, &f.name)));
        let names: BTreeSet<&str> = default.iter().map(|f| f.name.as_str()).collect();
        if !same_places || names.len() != default.len() {
            if program.funcs.is_empty() {
                self.line(format_args!("funcs = []"));
            }
            return self.long_list("funcs", program.funcs.iter().map(func));
        }
        for (was, now) in default.iter().zip(&program.funcs).filter(|(was, now)| was != now) {
            let mut changes = Vec::new();
            if was.linkage != now.linkage {
                changes.push(format!("linkage = {}", quoted(linkage_name(now.linkage))));
            }
            if was.args != now.args {
                changes.push(format!("args = {}", now.args));
            }
            changes.extend(now.type_id.map(|id| format!("type_id = {id}")));
            self.line(format_args!("func.{} = {{ {} }}", key(&now.name), changes.join(", ")));
        }
    }

    fn expectation(&mut self, e: &Expectation, labels: &BTreeMap<InsnIdx, String>) {
        self.line(format_args!("[[expect]]"));
        self.list("rules", e.rules.iter().map(|v| quoted(v.name())));
        match &e.what {
            Expect::InsnsProcessed(n) => self.line(format_args!("insns_processed = {n}")),
            Expect::Stack { func, bytes } => {
                let name = funcs::name_of(*func, labels);
                self.line(format_args!("stack = {{ {} = {bytes} }}", key(&name)));
            }
            Expect::Insns(pattern) => self.long_list("insns", pattern.text().iter().map(|l| quoted(l))),
            Expect::NoInsns(pattern) => self.long_list("no_insns", pattern.text().iter().map(|l| quoted(l))),
            Expect::FuncInfo(all) => {
                let item = |(insn, name): &(InsnIdx, String)| format!("{{ insn = {insn}, name = {} }}", quoted(name));
                let items: Vec<String> = all.iter().map(item).collect();
                self.line(format_args!("func_info = [{}]", items.join(", ")));
            }
            _ => {}
        }
    }
}

/// A name as a TOML key.
fn key(name: &str) -> String {
    let bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if bare { name.to_owned() } else { quoted(name) }
}

fn linkage_name(linkage: Linkage) -> &'static str {
    LINKAGES.iter().find(|(_, l)| *l == linkage).map_or("static", |(name, _)| name)
}

/// An inline table of the fields that are not zero or empty.
fn table(fields: impl IntoIterator<Item = (&'static str, Option<String>)>) -> String {
    let given = fields.into_iter().filter_map(|(key, value)| value.map(|value| format!("{key} = {value}")));
    format!("{{ {} }}", given.collect::<Vec<_>>().join(", "))
}

fn nonzero(n: u32) -> Option<String> {
    (n != 0).then(|| n.to_string())
}

fn map(map: &MapDef) -> String {
    let init: Vec<String> = map.init.iter().map(|bytes| hex(bytes)).collect();
    table([
        ("name", (!map.name.is_empty()).then(|| quoted(&map.name))),
        ("type", Some(quoted(map.map_type.name()))),
        ("key_size", nonzero(map.key_size)),
        ("value_size", nonzero(map.value_size)),
        ("max_entries", nonzero(map.max_entries)),
        ("flags", nonzero(map.flags)),
        ("init", (!init.is_empty()).then(|| format!("[{}]", init.join(", ")))),
        ("frozen", map.frozen.then(|| "true".to_owned())),
    ])
}

fn input(input: &Input) -> String {
    // A TOML number has a sign.
    let seed = i64::try_from(input.seed).map_or_else(|_| format!("\"{:#x}\"", input.seed), |n| n.to_string());
    table([
        ("ctx", (!input.ctx.is_empty()).then(|| hex(&input.ctx))),
        ("data", (!input.data.is_empty()).then(|| hex(&input.data))),
        ("seed", (input.seed != 0).then_some(seed)),
    ])
}

fn func(func: &Func) -> String {
    table([
        ("insn", Some(func.insn.to_string())),
        ("name", Some(quoted(&func.name))),
        ("linkage", Some(quoted(linkage_name(func.linkage)))),
        ("args", Some(func.args.to_string())),
        ("type_id", func.type_id.map(|id| id.to_string())),
    ])
}
