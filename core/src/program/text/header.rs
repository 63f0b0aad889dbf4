//! The header of a `.bpf` file: TOML in lines that start with `;;!`.

use super::annotation;
use super::body::Labels;
use super::expect::{Expect, Expectation, Pattern};
use super::{Check, funcs};
use crate::btf::Linkage;
use crate::isa::InsnIdx;
use crate::kernel::{KernelVersion, MapType, ProgType};
use crate::program::{Func, Input, InputError, MapDef, Program};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ops::Range;
use toml::Spanned;

/// Starts a line of the header.
pub(super) const MARK: &str = ";;!";

/// The header's text and where in the file its lines stand.
#[derive(Debug, Default)]
pub(super) struct Source {
    toml: String,
    /// For each line of `toml`: its first byte there, its line in the file, and the columns that were cut off.
    lines: Vec<(usize, u32, u32)>,
}

impl Source {
    /// Adds a line; `text` is what follows the mark. One blank after the mark belongs to it.
    pub(super) fn push(&mut self, line: u32, indent: u32, text: &str) {
        let (text, cut) = text.strip_prefix(' ').map_or((text, 0), |text| (text, 1));
        self.lines.push((self.toml.len(), line, indent + MARK.len() as u32 + cut));
        self.toml.push_str(text);
        self.toml.push('\n');
    }

    /// An error at a byte of the TOML text.
    fn error(&self, span: Range<usize>, message: impl Into<String>) -> InputError {
        let error = InputError::new(message);
        let known = self.lines.partition_point(|(start, ..)| *start <= span.start).checked_sub(1);
        let Some((start, line, cut)) = known.and_then(|n| self.lines.get(n)) else { return error };
        let before = self.toml.get(*start..span.start).map_or(0, |text| text.chars().count());
        error.at_line(*line).at_column(cut + before as u32 + 1)
    }

    fn line_of(&self, span: &Range<usize>) -> u32 {
        self.error(span.clone(), "").line.unwrap_or(1)
    }

    /// Reads the TOML text.
    pub(super) fn parse(self) -> Result<Header, InputError> {
        let keys = toml::from_str(&self.toml).map_err(|e: toml::de::Error| {
            let (message, hint) = match e.message().split_once(", expected ") {
                Some((message, hint)) => (message, Some(format!("expected {hint}"))),
                None => (e.message(), None),
            };
            let error = self.error(e.span().unwrap_or(0..0), message.replace('\n', " "));
            if let Some(hint) = hint { error.hint(hint) } else { error }
        })?;
        Ok(Header { source: self, keys })
    }
}

/// A header that was read, its values not yet looked at.
#[derive(Debug)]
pub(super) struct Header {
    source: Source,
    keys: Keys,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    name: Option<String>,
    prog_type: Option<Spanned<NameOrNumber>>,
    expected_attach_type: Option<u32>,
    prog_flags: Option<u32>,
    #[serde(default)]
    maps: Vec<MapKeys>,
    #[serde(default)]
    inputs: Vec<InputKeys>,
    funcs: Option<Vec<Spanned<FuncKeys>>>,
    #[serde(default)]
    func: BTreeMap<Spanned<String>, FuncChange>,
    btf: Option<Spanned<String>>,
    #[serde(default)]
    btf_optional: bool,
    #[serde(default)]
    notes: Vec<String>,
    btf_types: Option<Spanned<Vec<u32>>>,
    btf_strings: Option<Spanned<String>>,
    #[serde(default)]
    rules: Vec<Spanned<String>>,
    #[serde(default)]
    checks: Vec<Spanned<String>>,
    #[serde(default)]
    expect: Vec<Spanned<ExpectKeys>>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a name or a number")]
enum NameOrNumber {
    Name(String),
    Number(u32),
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a number, or a text such as \"0xffffffffffffffff\"")]
enum Seed {
    Number(u64),
    Hex(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MapKeys {
    #[serde(default)]
    name: String,
    r#type: Spanned<NameOrNumber>,
    #[serde(default)]
    key_size: u32,
    #[serde(default)]
    value_size: u32,
    #[serde(default)]
    max_entries: u32,
    #[serde(default)]
    flags: u32,
    #[serde(default)]
    init: Vec<Spanned<String>>,
    #[serde(default)]
    frozen: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct InputKeys {
    ctx: Option<Spanned<String>>,
    data: Option<Spanned<String>>,
    seed: Option<Spanned<Seed>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FuncKeys {
    insn: Option<u32>,
    at: Option<String>,
    name: Option<String>,
    linkage: Option<Spanned<String>>,
    args: Option<u8>,
    type_id: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FuncChange {
    linkage: Option<Spanned<String>>,
    args: Option<u8>,
    type_id: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectKeys {
    #[serde(default)]
    rules: Vec<Spanned<String>>,
    verdict: Option<Spanned<String>>,
    text: Option<Spanned<String>>,
    errno: Option<Spanned<NameOrNumber>>,
    insns_processed: Option<u32>,
    retval: Option<Spanned<Retvals>>,
    #[serde(default)]
    stack: BTreeMap<Spanned<String>, u32>,
    insns: Option<Spanned<Vec<Spanned<String>>>>,
    no_insns: Option<Spanned<Vec<Spanned<String>>>>,
    func_info: Option<Vec<FuncInfoKeys>>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a number of 32 bits, or a list with one for each input")]
enum Retvals {
    Same(i64),
    Each(Vec<i64>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FuncInfoKeys {
    insn: u32,
    name: String,
}

impl Header {
    /// The maps; the body names them.
    pub(super) fn maps(&self) -> Result<Vec<MapDef>, InputError> {
        let map = |keys: &MapKeys| {
            Ok(MapDef {
                name: keys.name.clone(),
                map_type: self.kind(&keys.r#type, MapType::from_number)?,
                key_size: keys.key_size,
                value_size: keys.value_size,
                max_entries: keys.max_entries,
                flags: keys.flags,
                init: keys.init.iter().map(|text| self.hex(text)).collect::<Result<_, _>>()?,
                frozen: keys.frozen,
            })
        };
        self.keys.maps.iter().map(map).collect()
    }

    /// Fills in what the header says of a program whose instructions and maps are there.
    pub(super) fn complete(&self, program: &mut Program, labels: &Labels) -> Result<(), InputError> {
        let keys = &self.keys;
        program.name = keys.name.clone().unwrap_or_default();
        if let Some(prog_type) = &keys.prog_type {
            program.prog_type = self.kind(prog_type, ProgType::from_number)?;
        }
        program.expected_attach_type = keys.expected_attach_type.unwrap_or(0);
        program.prog_flags = keys.prog_flags.unwrap_or(0);
        program.inputs = keys.inputs.iter().map(|input| self.input(input)).collect::<Result<_, _>>()?;
        program.btf = self.btf()?;
        program.btf_optional = keys.btf_optional;
        program.notes.clone_from(&keys.notes);
        program.funcs = match &keys.funcs {
            Some(all) => all.iter().map(|func| self.func(func, labels)).collect::<Result<_, _>>()?,
            None => funcs::default_funcs(program, labels.names()),
        };
        for (name, change) in &keys.func {
            self.change_func(program, name, change)?;
        }
        Ok(())
    }

    /// The kernels to check under; empty when the header names none.
    pub(super) fn rules(&self) -> Result<Vec<KernelVersion>, InputError> {
        self.versions(&self.keys.rules)
    }

    /// The checks to run; empty when the header names none.
    pub(super) fn checks(&self) -> Result<Vec<Check>, InputError> {
        let check = |text: &Spanned<String>| {
            Check::ALL.into_iter().find(|c| c.name() == text.get_ref()).ok_or_else(|| {
                let names = Check::ALL.map(Check::name).join(", ");
                self.source.error(text.span(), format!("no check is called `{}`", text.get_ref())).hint(names)
            })
        };
        self.keys.checks.iter().map(check).collect()
    }

    /// The expectations of the header.
    pub(super) fn expectations(&self, labels: &Labels) -> Result<Vec<Expectation>, InputError> {
        let mut out = Vec::new();
        for keys in &self.keys.expect {
            let (rules, line) = (self.versions(&keys.get_ref().rules)?, self.source.line_of(&keys.span()));
            let before = out.len();
            for what in self.expected(keys.get_ref(), labels)? {
                out.push(Expectation { what, at: None, rules: rules.clone(), line });
            }
            if out.len() == before {
                return Err(self.source.error(keys.span(), "this `expect` expects nothing"));
            }
        }
        Ok(out)
    }

    fn versions(&self, texts: &[Spanned<String>]) -> Result<Vec<KernelVersion>, InputError> {
        let version =
            |text: &Spanned<String>| text.get_ref().parse().map_err(|e| self.source.error(text.span(), format!("{e}")));
        texts.iter().map(version).collect()
    }

    fn kind<T: std::str::FromStr<Err: std::fmt::Display>>(
        &self,
        value: &Spanned<NameOrNumber>,
        from_number: fn(u32) -> Option<T>,
    ) -> Result<T, InputError> {
        match value.get_ref() {
            NameOrNumber::Name(name) => name.parse().map_err(|e: T::Err| e.to_string()),
            NameOrNumber::Number(n) => from_number(*n).ok_or_else(|| format!("no type has the number {n}")),
        }
        .map_err(|message| self.source.error(value.span(), message))
    }

    fn hex(&self, text: &Spanned<String>) -> Result<Vec<u8>, InputError> {
        from_hex(text.get_ref()).ok_or_else(|| {
            let error = self.source.error(text.span(), "expected bytes in hexadecimal");
            error.hint("two digits a byte; blanks may stand between bytes")
        })
    }

    fn input(&self, keys: &InputKeys) -> Result<Input, InputError> {
        let bytes = |text: &Option<Spanned<String>>| text.as_ref().map_or(Ok(Vec::new()), |text| self.hex(text));
        let seed = match &keys.seed {
            None => 0,
            Some(seed) => match seed.get_ref() {
                Seed::Number(n) => *n,
                Seed::Hex(text) => {
                    let number = text.strip_prefix("0x").and_then(|hex| u64::from_str_radix(hex, 16).ok());
                    number.ok_or_else(|| self.source.error(seed.span(), "expected a number such as \"0x1f\""))?
                }
            },
        };
        Ok(Input { ctx: bytes(&keys.ctx)?, data: bytes(&keys.data)?, seed })
    }

    fn btf(&self) -> Result<Option<Vec<u8>>, InputError> {
        let keys = &self.keys;
        match (&keys.btf, &keys.btf_types, &keys.btf_strings) {
            (Some(text), None, None) => self.hex(text).map(Some),
            (None, Some(types), strings) => {
                let strings = strings.as_ref().map_or("\0", |s| s.get_ref());
                Ok(Some(raw_btf(types.get_ref(), strings)))
            }
            (None, None, None) => Ok(None),
            (None, None, Some(strings)) => Err(self.source.error(strings.span(), "`btf_strings` without `btf_types`")),
            (Some(text), ..) => Err(self.source.error(text.span(), "`btf` is a whole BTF; take away the other keys")),
        }
    }

    fn linkage(&self, text: &Spanned<String>) -> Result<Linkage, InputError> {
        funcs::LINKAGES.iter().find(|(name, _)| name == text.get_ref()).map(|(_, linkage)| *linkage).ok_or_else(|| {
            let error = self.source.error(text.span(), format!("no linkage is called `{}`", text.get_ref()));
            error.hint("static, global, extern")
        })
    }

    fn func(&self, spanned: &Spanned<FuncKeys>, labels: &Labels) -> Result<Func, InputError> {
        let keys = spanned.get_ref();
        let fail = |message: String| self.source.error(spanned.span(), message);
        let insn = match (keys.insn, &keys.at) {
            (Some(n), None) => InsnIdx(n),
            (None, Some(label)) => {
                labels.place(label).ok_or_else(|| fail(format!("no label `{label}`")).hint(labels.listed()))?
            }
            _ => return Err(fail("a function has either `insn` or `at`".to_owned())),
        };
        let name = keys.name.clone().unwrap_or_else(|| funcs::name_of(insn, labels.names()));
        let linkage = keys.linkage.as_ref().map_or(Ok(funcs::default_linkage(insn)), |text| self.linkage(text))?;
        let args = keys.args.unwrap_or(funcs::ARGS_DEFAULT);
        Ok(Func { insn, name, linkage, args, type_id: keys.type_id })
    }

    fn change_func(
        &self,
        program: &mut Program,
        name: &Spanned<String>,
        change: &FuncChange,
    ) -> Result<(), InputError> {
        let names: Vec<String> = program.funcs.iter().map(|f| f.name.clone()).collect();
        let Some(func) = program.funcs.iter_mut().find(|f| f.name == *name.get_ref()) else {
            let error = self.source.error(name.span(), format!("no function is called `{}`", name.get_ref()));
            return Err(error.hint(format!("the functions are {}", names.join(", "))));
        };
        if let Some(linkage) = &change.linkage {
            func.linkage = self.linkage(linkage)?;
        }
        func.args = change.args.unwrap_or(func.args);
        func.type_id = change.type_id.or(func.type_id);
        Ok(())
    }

    fn expected(&self, keys: &ExpectKeys, labels: &Labels) -> Result<Vec<Expect>, InputError> {
        let mut out = Vec::new();
        out.extend(self.verdict(keys)?);
        out.extend(keys.insns_processed.map(Expect::InsnsProcessed));
        if let Some(retval) = &keys.retval {
            let value = |n: &i64| {
                let in_range = (i64::from(i32::MIN)..=i64::from(u32::MAX)).contains(n);
                in_range
                    .then_some(*n as u32)
                    .ok_or_else(|| self.source.error(retval.span(), format!("{n} has not 32 bits")))
            };
            match retval.get_ref() {
                Retvals::Same(n) => out.push(Expect::Retval { input: None, value: value(n)? }),
                Retvals::Each(all) => {
                    for (n, each) in all.iter().enumerate() {
                        out.push(Expect::Retval { input: Some(n), value: value(each)? });
                    }
                }
            }
        }
        for (name, bytes) in &keys.stack {
            let func = labels.place(name.get_ref()).ok_or_else(|| {
                self.source.error(name.span(), format!("no label `{}`", name.get_ref())).hint(labels.listed())
            })?;
            out.push(Expect::Stack { func, bytes: *bytes });
        }
        out.extend(keys.insns.as_ref().map(|p| self.pattern(p)).transpose()?.map(Expect::Insns));
        out.extend(keys.no_insns.as_ref().map(|p| self.pattern(p)).transpose()?.map(Expect::NoInsns));
        let info = |funcs: &Vec<FuncInfoKeys>| funcs.iter().map(|f| (InsnIdx(f.insn), f.name.clone())).collect();
        out.extend(keys.func_info.as_ref().map(info).map(Expect::FuncInfo));
        Ok(out)
    }

    fn verdict(&self, keys: &ExpectKeys) -> Result<Option<Expect>, InputError> {
        let text = keys.text.as_ref().map(|t| t.get_ref().clone());
        let errno = match &keys.errno {
            None => None,
            Some(errno) => {
                let written = match errno.get_ref() {
                    NameOrNumber::Name(name) => name.clone(),
                    NameOrNumber::Number(n) => n.to_string(),
                };
                let fail = || self.source.error(errno.span(), format!("`{written}` is no error number"));
                Some(annotation::errno(&written).ok_or_else(fail)?)
            }
        };
        let extra = keys.text.as_ref().map(Spanned::span).or(keys.errno.as_ref().map(Spanned::span));
        let Some(verdict) = &keys.verdict else {
            return match extra {
                Some(span) => Err(self.source.error(span, "`text` and `errno` go with a `verdict`")),
                None => Ok(None),
            };
        };
        match (verdict.get_ref().as_str(), extra) {
            ("accept", None) => Ok(Some(Expect::Accept)),
            ("accept", Some(span)) => {
                Err(self.source.error(span, "an accepted program has neither `text` nor `errno`"))
            }
            ("reject", _) => Ok(Some(Expect::Reject { text, errno })),
            ("unsupported", _) if errno.is_none() => Ok(Some(Expect::Unsupported { what: text })),
            ("unsupported", _) => Err(self.source.error(verdict.span(), "what is not modelled has no `errno`")),
            (other, _) => {
                let error = self.source.error(verdict.span(), format!("no verdict is called `{other}`"));
                Err(error.hint("accept, reject, unsupported"))
            }
        }
    }

    fn pattern(&self, lines: &Spanned<Vec<Spanned<String>>>) -> Result<Pattern, InputError> {
        let texts: Vec<&str> = lines.get_ref().iter().map(|l| l.get_ref().as_str()).collect();
        Pattern::parse(&texts).map_err(|(n, e)| {
            let (span, column) = match lines.get_ref().get(n) {
                // The text starts after its quote; a text with escapes is longer than it looks.
                Some(line) => (line.span(), e.column),
                None => (lines.span(), 0),
            };
            let error = self.source.error(span, e.message);
            let column = error.column.map_or(1, |c| c + column);
            let error = error.at_column(column);
            if let Some(hint) = e.hint { error.hint(hint) } else { error }
        })
    }
}

/// Bytes from hexadecimal digits; blanks may stand between bytes.
fn from_hex(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 2);
    for word in text.split_whitespace() {
        for pair in word.as_bytes().chunks(2) {
            let [high, low] = pair else { return None };
            let digit = |b: u8| char::from(b).to_digit(16);
            out.push((digit(*high)? << 4 | digit(*low)?) as u8);
        }
    }
    Some(out)
}

/// A BTF blob of raw type words and a string section, with the usual header before them.
fn raw_btf(types: &[u32], strings: &str) -> Vec<u8> {
    const MAGIC: u16 = 0xeb9f;
    const HEADER_LEN: u32 = 24;
    let type_len = types.len() as u32 * 4;
    let mut out = Vec::new();
    out.extend(MAGIC.to_le_bytes());
    out.extend([1, 0]); // version, flags
    for word in [HEADER_LEN, 0, type_len, type_len, strings.len() as u32].iter().chain(types) {
        out.extend(word.to_le_bytes());
    }
    out.extend(strings.as_bytes());
    out
}
