//! The body of a `.bpf` file: labels, operations, `.byte` and `.rept`, and expectations behind them.
//!
//! Reading goes over the lines once and then resolves names, as an assembler does.

use super::annotation::{self, Annotation};
use super::expect::{Expect, Expectation};
use crate::isa::{Assembled, Insn, InsnIdx, Op, Symbol, SymbolKind, assemble, is_label};
use crate::kernel::helpers::helper_id;
use crate::program::{InputError, MapDef};
use std::collections::BTreeMap;

/// Instructions that a body may have. The kernel takes fewer; the limit is for `.rept`.
const INSNS_MAX: usize = 1 << 21;

const MAIN: &str = "main";

/// What the body says.
#[derive(Debug, Default)]
pub(super) struct Body {
    pub(super) insns: Vec<Insn>,
    pub(super) labels: Labels,
    pub(super) expect: Vec<Expectation>,
}

/// Places by name, and the name of each place: the first label there that is not a local one (`.L…`).
#[derive(Debug, Default)]
pub(super) struct Labels {
    places: BTreeMap<String, InsnIdx>,
    names: BTreeMap<InsnIdx, String>,
}

impl Labels {
    pub(super) fn place(&self, name: &str) -> Option<InsnIdx> {
        self.places.get(name).copied()
    }

    pub(super) fn names(&self) -> &BTreeMap<InsnIdx, String> {
        &self.names
    }

    fn insert(&mut self, name: &str, at: InsnIdx) -> bool {
        if self.places.insert(name.to_owned(), at).is_some() {
            return false;
        }
        if !name.starts_with(".L") {
            self.names.entry(at).or_insert_with(|| name.to_owned());
        }
        true
    }

    /// Without a label of its own, the first instruction is `main`.
    fn name_main(&mut self) {
        let start = InsnIdx(0);
        if !self.names.contains_key(&start) && !self.places.contains_key(MAIN) {
            self.insert(MAIN, start);
        }
    }

    /// What there is to choose from, for a hint.
    pub(super) fn listed(&self) -> String {
        const SHOWN: usize = 8;
        let names: Vec<&str> = self.places.keys().take(SHOWN).map(String::as_str).collect();
        let more = if self.places.len() > SHOWN { ", …" } else { "" };
        format!("the labels are {}{more}", names.join(", "))
    }
}

/// A line's code and where it stands.
#[derive(Clone, Copy)]
struct Code<'a> {
    text: &'a str,
    line: u32,
    /// Column of the first character, from 1.
    column: u32,
}

impl Code<'_> {
    fn error(&self, message: impl Into<String>) -> InputError {
        InputError::new(message).at_line(self.line).at_column(self.column)
    }
}

/// An operation or raw instruction that is still to be resolved.
#[derive(Clone, Copy)]
enum Item<'a> {
    Op(Assembled<'a>),
    Raw(Insn),
}

impl Item<'_> {
    fn len(&self) -> u32 {
        match self {
            Item::Op(line) => line.op.len(),
            Item::Raw(_) => 1,
        }
    }
}

/// A `.rept` that is open.
struct Repeat<'a> {
    count: usize,
    first_item: usize,
    first_insn: InsnIdx,
    code: Code<'a>,
}

/// Reads the lines of a body, each with its number from 1.
pub(super) fn read<'a>(lines: impl Iterator<Item = (u32, &'a str)>, maps: &[MapDef]) -> Result<Body, InputError> {
    let mut reader =
        Reader { maps, items: Vec::new(), at: InsnIdx(0), repeat: None, notes: Vec::new(), body: Body::default() };
    for (number, line) in lines {
        reader.line(number, line).map_err(|e| if e.line.is_none() { e.at_line(number) } else { e })?;
    }
    if let Some(repeat) = reader.repeat {
        return Err(repeat.code.error("`.rept` without `.endr`"));
    }
    reader.resolve()
}

struct Reader<'a, 'm> {
    maps: &'m [MapDef],
    items: Vec<(InsnIdx, Code<'a>, Item<'a>)>,
    at: InsnIdx,
    repeat: Option<Repeat<'a>>,
    notes: Vec<(Option<InsnIdx>, u32, Annotation<'a>)>,
    body: Body,
}

impl<'a> Reader<'a, '_> {
    fn line(&mut self, line: u32, text: &'a str) -> Result<(), InputError> {
        let (code, notes) = split_line(text);
        let mut code = Code { text: code, line, column: 1 };
        let here = self.at;
        let mut labelled = false;
        while let Some((label, rest)) = split_label(code) {
            self.label(label)?;
            (code, labelled) = (rest, true);
        }
        let code = trimmed(code);
        let holds_insn = if code.text.is_empty() {
            false
        } else if let Some(directive) = code.text.strip_prefix('.') {
            self.directive(directive, code)?
        } else {
            let found = assemble(code.text).map_err(|e| {
                let error = code.error(e.message).at_column(code.column + e.column - 1);
                if let Some(hint) = e.hint { error.hint(hint) } else { error }
            })?;
            self.push(code, Item::Op(found))?;
            true
        };
        for (column, note) in notes {
            let note = annotation::parse(note, column)?;
            self.note(note, holds_insn.then_some(here), labelled, line)?;
        }
        Ok(())
    }

    fn push(&mut self, code: Code<'a>, item: Item<'a>) -> Result<(), InputError> {
        if self.items.len() >= INSNS_MAX {
            return Err(code.error(format!("more than {INSNS_MAX} instructions")));
        }
        self.items.push((self.at, code, item));
        self.at = InsnIdx(self.at.0 + item.len());
        Ok(())
    }

    fn label(&mut self, label: Code<'a>) -> Result<(), InputError> {
        if !is_label(label.text) {
            let hint = "letters, digits, `_`, `.` and `$`; no register, not `pc`, not `map.…`, `map_idx.…`, `btf.…`, `kfunc.…`";
            return Err(label.error(format!("`{}` cannot be a label", label.text)).hint(hint));
        }
        if self.repeat.is_some() {
            return Err(label.error("no label can stand in `.rept`"));
        }
        if !self.body.labels.insert(label.text, self.at) {
            return Err(label.error(format!("the label `{}` is there already", label.text)));
        }
        Ok(())
    }

    /// A directive, without its dot. Answers whether it is an instruction.
    fn directive(&mut self, text: &'a str, code: Code<'a>) -> Result<bool, InputError> {
        let (word, argument) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let argument = argument.trim();
        match word {
            "byte" => {
                let hint = "eight bytes of an instruction: .byte 0xb7, 0x01, 0, 0, 0x0a, 0, 0, 0";
                let bytes = bytes(argument).ok_or_else(|| code.error("`.byte` takes eight bytes").hint(hint))?;
                self.push(code, Item::Raw(Insn::from_bytes(bytes)))?;
                return Ok(true);
            }
            "rept" => {
                let count =
                    argument.parse().map_err(|_| code.error("`.rept` takes how often the lines are repeated"))?;
                if self.repeat.is_some() {
                    return Err(code.error("`.rept` in `.rept`"));
                }
                let (first_item, first_insn) = (self.items.len(), self.at);
                self.repeat = Some(Repeat { count, first_item, first_insn, code });
            }
            "endr" if argument.is_empty() => self.end_repeat(code)?,
            _ => return Err(code.error(format!("no directive `.{word}`")).hint(".byte, .rept and .endr")),
        }
        Ok(false)
    }

    fn end_repeat(&mut self, code: Code<'a>) -> Result<(), InputError> {
        let Some(repeat) = self.repeat.take() else {
            return Err(code.error("`.endr` without `.rept`"));
        };
        let lines = self.items.split_off(repeat.first_item.min(self.items.len()));
        self.at = repeat.first_insn;
        let total = lines.len().checked_mul(repeat.count).filter(|n| *n <= INSNS_MAX);
        if total.is_none() {
            return Err(code.error(format!("more than {INSNS_MAX} instructions")));
        }
        // A count without lines repeats nothing, however large it is.
        let count = if lines.is_empty() { 0 } else { repeat.count };
        for _ in 0..count {
            for (_, code, item) in &lines {
                self.push(*code, *item)?;
            }
        }
        Ok(())
    }

    fn note(&mut self, note: Annotation<'a>, at: Option<InsnIdx>, labelled: bool, line: u32) -> Result<(), InputError> {
        let fail = |message: &str| Err(InputError::new(message).at_line(line).at_column(note.column));
        if self.repeat.is_some() {
            return fail("no expectation can stand in `.rept`");
        }
        if at.is_none() && labelled {
            return fail("an expectation stands on the line of an instruction, or on its own for the whole program");
        }
        if at.is_none() && matches!(note.what, Expect::Inlined { .. } | Expect::NotInlined { .. }) {
            return fail("this expectation stands on the line of the call that it speaks of");
        }
        self.notes.push((at, line, note));
        Ok(())
    }

    fn resolve(mut self) -> Result<Body, InputError> {
        self.body.labels.name_main();
        for (at, code, item) in &self.items {
            let (first, second) = match item {
                Item::Raw(insn) => (*insn, None),
                Item::Op(Assembled { op, symbol: None, .. }) => op.encode(),
                Item::Op(Assembled { op, symbol: Some(symbol), .. }) => {
                    self.resolve_symbol(*at, *code, *op, *symbol)?.encode()
                }
            };
            self.body.insns.push(first);
            self.body.insns.extend(second);
        }
        for (at, line, note) in std::mem::take(&mut self.notes) {
            let mut what = note.what;
            if let Some(name) = note.callback {
                let place = self.body.labels.place(name).ok_or_else(|| {
                    let error = InputError::new(format!("no label `{name}`")).at_line(line).at_column(note.column);
                    error.hint(self.body.labels.listed())
                })?;
                what = Expect::Inlined { callback: Some(place) };
            }
            self.body.expect.push(Expectation { what, at, rules: note.rules, line });
        }
        Ok(self.body)
    }

    fn resolve_symbol(&self, at: InsnIdx, code: Code<'_>, op: Op, symbol: Symbol<'_>) -> Result<Op, InputError> {
        let name = symbol.name;
        let error = |message: String| code.error(message).at_column(code.column + symbol.column - 1);
        if symbol.kind == SymbolKind::Map {
            return self.resolve_map(op, name).map_err(error);
        }
        let Some(place) = self.body.labels.place(name) else {
            return match (symbol.kind, op, name.starts_with("bpf_").then(|| helper_id(name)).flatten()) {
                (SymbolKind::Call, Op::CallLocal { off: 0, .. }, Some(id)) => Ok(Op::CallHelper { id }),
                (SymbolKind::Call, ..) => {
                    Err(error(format!("no function or helper `{name}`")).hint(self.body.labels.listed()))
                }
                _ => Err(error(format!("no label `{name}`")).hint(self.body.labels.listed())),
            };
        };
        let distance = i64::from(place.0) - i64::from(at.0) - 1;
        op.with_distance(distance).ok_or_else(|| {
            let error = error(format!("`{name}` is {distance} instructions away, too far for 16 bits"));
            error.hint("`gotol` has 32 bits")
        })
    }

    fn resolve_map(&self, op: Op, name: &str) -> Result<Op, String> {
        use crate::isa::Imm64::{Map, MapValue};
        let mut found = self.maps.iter().enumerate().filter(|(_, map)| map.name == name);
        let (index, _) = found.next().ok_or_else(|| {
            let names: Vec<&str> = self.maps.iter().map(|m| m.name.as_str()).collect();
            format!("no map `{name}`; the maps are [{}]", names.join(", "))
        })?;
        if found.next().is_some() {
            return Err(format!("two maps are called `{name}`; write their index"));
        }
        let map = index as u32;
        Ok(match op {
            Op::LdImm64 { dst, imm: MapValue { off, .. } } => Op::LdImm64 { dst, imm: MapValue { map, off } },
            Op::LdImm64 { dst, .. } => Op::LdImm64 { dst, imm: Map(map) },
            other => other,
        })
    }
}

/// Cuts a line into code and the texts after each `;`, each with the column where it starts. Comments are gone.
fn split_line(text: &str) -> (&str, Vec<(u32, &str)>) {
    let mut cuts: Vec<(usize, u32)> = Vec::new();
    let mut end = text.len();
    let (mut quoted, mut escaped) = (false, false);
    for (n, (byte, c)) in text.char_indices().enumerate() {
        if escaped {
            escaped = false;
            continue;
        }
        match c {
            '\\' if quoted => escaped = true,
            '"' if !cuts.is_empty() => quoted = !quoted,
            ';' if !quoted => cuts.push((byte, n as u32)),
            '#' if !quoted => end = byte,
            '/' if !quoted && text.get(byte..).is_some_and(|rest| rest.starts_with("//")) => end = byte,
            _ => {}
        }
        if end == byte {
            break;
        }
    }
    let stop = |n: usize| cuts.get(n).map_or(end, |(byte, _)| *byte);
    let code = text.get(..stop(0)).unwrap_or("");
    let note = |(n, (byte, chars)): (usize, &(usize, u32))| (chars + 2, text.get(byte + 1..stop(n + 1)).unwrap_or(""));
    let notes = cuts.iter().enumerate().map(note).collect();
    (code, notes)
}

fn trimmed(code: Code<'_>) -> Code<'_> {
    let text = code.text.trim_start();
    let blanks = code.text.chars().count() - text.chars().count();
    Code { text: text.trim_end(), column: code.column + blanks as u32, ..code }
}

/// Cuts the label at the start of a line off. No operation has a colon.
fn split_label(code: Code<'_>) -> Option<(Code<'_>, Code<'_>)> {
    let (label, rest) = code.text.split_once(':')?;
    let column = code.column + label.chars().count() as u32 + 1;
    Some((trimmed(Code { text: label, ..code }), Code { text: rest, column, ..code }))
}

/// Eight bytes, separated by commas.
fn bytes(text: &str) -> Option<[u8; 8]> {
    let mut out = [0; 8];
    let mut fields = text.split(',').map(str::trim);
    for byte in &mut out {
        let field = fields.next()?;
        *byte = match field.strip_prefix("0x") {
            Some(hex) => u8::from_str_radix(hex, 16).ok()?,
            None => field.parse().ok()?,
        };
    }
    fields.next().is_none().then_some(out)
}
