//! Programs as JSON: one object, an array of objects, or one object a line.
//!
//! Stands for nothing in the kernel; `core/docs/formats.md` is the contract. Field names are checked, so that a slip of
//! the pen is an error and not a default. Whether instructions mean anything is not looked at here.
//!
//! Invariant: what is written is read back as the same programs.

use super::{Func, Input, InputError, MapDef, Program};
use crate::btf::Linkage;
use crate::isa::{Insn, InsnIdx};
use crate::kernel::{MapType, ProgType, UnknownName};
use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
use serde::ser::{Serialize, Serializer};
use std::fmt::{self, Write as _};
use std::str::FromStr;

/// How programs stand in a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// One object, or an array of them (`*.json`).
    Document,
    /// One object a line; empty lines are skipped (`*.jsonl`).
    Lines,
}

/// Reads programs.
///
/// # Errors
///
/// The first thing that is not as the contract says, with the item (from 1), the field and the line.
pub fn read(text: &[u8], form: Form) -> Result<Vec<Program>, InputError> {
    check_size(text)?;
    let mut programs = Vec::new();
    match form {
        Form::Document if text.trim_ascii_start().starts_with(b"[") => {
            let docs: Vec<Doc> = serde_json::from_slice(text).map_err(|e| explain(&e, text))?;
            programs.extend(docs.into_iter().map(Doc::into_program));
        }
        Form::Document => {
            let doc: Doc = serde_json::from_slice(text).map_err(|e| explain(&e, text))?;
            programs.push(doc.into_program());
        }
        Form::Lines => {
            for line in lines(text) {
                programs.push(line?);
            }
        }
    }
    Ok(programs)
}

/// Reads JSON lines, of which some may be wrong: the programs of the others, and what is wrong with each.
///
/// # Errors
///
/// When the whole text is more than is read.
pub fn read_lines(text: &[u8]) -> Result<(Vec<Program>, Vec<InputError>), InputError> {
    check_size(text)?;
    let (mut programs, mut wrong) = (Vec::new(), Vec::new());
    for line in lines(text) {
        match line {
            Ok(program) => programs.push(program),
            Err(error) => wrong.push(error),
        }
    }
    Ok((programs, wrong))
}

/// The program of each line that is not empty.
fn lines(text: &[u8]) -> impl Iterator<Item = Result<Program, InputError>> + '_ {
    let written = (1u32..).zip(text.split(|b| *b == b'\n')).filter(|(_, line)| !line.trim_ascii().is_empty());
    written.zip(1u32..).map(|((number, line), item)| match serde_json::from_slice::<Doc>(line) {
        Ok(doc) => Ok(doc.into_program()),
        Err(e) => {
            let error = explain(&e, line);
            Err(InputError { message: format!("item {item}: {}", error.message), ..error }.at_line(number))
        }
    })
}

/// Objects and texts of a file: the smallest ones take a hundred times as much memory as the three bytes that they are in a file.
const OBJECTS_MAX: usize = 4 << 20;
const STRINGS_MAX: usize = 16 << 20;

/// Refuses what would take more than some gigabytes when it is read.
fn check_size(text: &[u8]) -> Result<(), InputError> {
    let count = |wanted: u8| text.iter().filter(|b| **b == wanted).count();
    for (what, is, max) in [("objects", count(b'{'), OBJECTS_MAX), ("texts", count(b'"') / 2, STRINGS_MAX)] {
        if is > max {
            let error = InputError::new(format!("too large: {is} {what}, at most {max} are read"));
            return Err(error.hint("put the programs into several files"));
        }
    }
    Ok(())
}

/// Writes programs, with a line break at the end. A document of one program is an object, of several an array.
pub fn write(programs: &[Program], form: Form) -> String {
    let docs: Vec<_> = programs.iter().map(Doc::of).collect();
    let mut text = match (form, docs.as_slice()) {
        (Form::Document, [doc]) => pretty(doc),
        (Form::Document, docs) => pretty(docs),
        (Form::Lines, docs) => docs.iter().map(line).collect::<Vec<_>>().join("\n"),
    };
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

// Writing to a string fails only for maps with keys that are no strings, of which there are none.
fn pretty<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn line(doc: &Doc) -> String {
    serde_json::to_string(doc).unwrap_or_default()
}

const SCHEMA: u32 = 1;

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Doc {
    #[serde(default = "schema", deserialize_with = "read_schema")]
    schema: u32,
    name: String,
    prog_type: Named<ProgType>,
    #[serde(default, skip_serializing_if = "is_default")]
    expected_attach_type: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    prog_flags: u32,
    #[serde(deserialize_with = "read_insns")]
    insns: Vec<InsnHex>,
    #[serde(default, skip_serializing_if = "is_default")]
    funcs: Vec<FuncDoc>,
    #[serde(default, skip_serializing_if = "is_default")]
    btf: Option<Hex>,
    #[serde(default, skip_serializing_if = "is_default")]
    btf_optional: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    maps: Vec<MapDoc>,
    #[serde(default, skip_serializing_if = "is_default")]
    inputs: Vec<InputDoc>,
    #[serde(default, skip_serializing_if = "is_default")]
    notes: Vec<String>,
}

#[derive(PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct FuncDoc {
    insn: u32,
    name: String,
    linkage: Named<Linkage>,
    #[serde(default)]
    args: u8,
    #[serde(default, skip_serializing_if = "is_default")]
    type_id: Option<u32>,
}

#[derive(PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct MapDoc {
    #[serde(default, skip_serializing_if = "is_default")]
    name: String,
    r#type: Named<MapType>,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    flags: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    init: Vec<Hex>,
    #[serde(default, skip_serializing_if = "is_default")]
    frozen: bool,
}

#[derive(PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct InputDoc {
    #[serde(default, skip_serializing_if = "is_default")]
    ctx: Hex,
    #[serde(default, skip_serializing_if = "is_default")]
    data: Hex,
    #[serde(default, skip_serializing_if = "is_default")]
    seed: u64,
}

impl Doc {
    fn into_program(self) -> Program {
        Program {
            name: self.name,
            prog_type: self.prog_type.0,
            expected_attach_type: self.expected_attach_type,
            prog_flags: self.prog_flags,
            insns: self.insns.into_iter().map(|i| i.0).collect(),
            funcs: self.funcs.into_iter().map(FuncDoc::into_func).collect(),
            btf: self.btf.map(|b| b.0),
            btf_optional: self.btf_optional,
            maps: self.maps.into_iter().map(MapDoc::into_map).collect(),
            inputs: self.inputs.into_iter().map(|i| Input { ctx: i.ctx.0, data: i.data.0, seed: i.seed }).collect(),
            notes: self.notes,
        }
    }

    fn of(program: &Program) -> Doc {
        Doc {
            schema: SCHEMA,
            name: program.name.clone(),
            prog_type: Named(program.prog_type),
            expected_attach_type: program.expected_attach_type,
            prog_flags: program.prog_flags,
            insns: program.insns.iter().copied().map(InsnHex).collect(),
            funcs: program.funcs.iter().map(FuncDoc::of).collect(),
            btf: program.btf.clone().map(Hex),
            btf_optional: program.btf_optional,
            maps: program.maps.iter().map(MapDoc::of).collect(),
            inputs: program.inputs.iter().map(InputDoc::of).collect(),
            notes: program.notes.clone(),
        }
    }
}

impl FuncDoc {
    fn into_func(self) -> Func {
        let FuncDoc { insn, name, linkage, args, type_id } = self;
        Func { insn: InsnIdx(insn), name, linkage: linkage.0, args, type_id }
    }

    fn of(func: &Func) -> FuncDoc {
        let Func { insn, name, linkage, args, type_id } = func.clone();
        FuncDoc { insn: insn.0, name, linkage: Named(linkage), args, type_id }
    }
}

impl MapDoc {
    fn into_map(self) -> MapDef {
        MapDef {
            name: self.name,
            map_type: self.r#type.0,
            key_size: self.key_size,
            value_size: self.value_size,
            max_entries: self.max_entries,
            flags: self.flags,
            init: self.init.into_iter().map(|h| h.0).collect(),
            frozen: self.frozen,
        }
    }

    fn of(map: &MapDef) -> MapDoc {
        MapDoc {
            name: map.name.clone(),
            r#type: Named(map.map_type),
            key_size: map.key_size,
            value_size: map.value_size,
            max_entries: map.max_entries,
            flags: map.flags,
            init: map.init.iter().cloned().map(Hex).collect(),
            frozen: map.frozen,
        }
    }
}

impl InputDoc {
    fn of(input: &Input) -> InputDoc {
        InputDoc { ctx: Hex(input.ctx.clone()), data: Hex(input.data.clone()), seed: input.seed }
    }
}

fn schema() -> u32 {
    SCHEMA
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn read_schema<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    match u32::deserialize(from)? {
        SCHEMA => Ok(SCHEMA),
        other => Err(D::Error::custom(format_args!("schema {other} is unknown, this program reads schema {SCHEMA}"))),
    }
}

fn read_insns<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<InsnHex>, D::Error> {
    let insns = Vec::deserialize(from)?;
    if insns.is_empty() { Err(D::Error::custom("a program has at least one instruction")) } else { Ok(insns) }
}

/// A value that is written by name.
#[derive(PartialEq)]
struct Named<T>(T);

/// What has a name, and what to call it in an error.
trait HasName: Copy {
    const WHAT: &'static str;
    fn name(self) -> &'static str;
    fn from_text(text: &str) -> Option<Self>;
}

impl HasName for ProgType {
    const WHAT: &'static str = "a program type, by name or number";
    fn name(self) -> &'static str {
        ProgType::name(self)
    }
    fn from_text(text: &str) -> Option<ProgType> {
        ProgType::from_str(text).map_err(|UnknownName { .. }| ()).ok()
    }
}

impl HasName for MapType {
    const WHAT: &'static str = "a map type, by name or number";
    fn name(self) -> &'static str {
        MapType::name(self)
    }
    fn from_text(text: &str) -> Option<MapType> {
        MapType::from_str(text).map_err(|UnknownName { .. }| ()).ok()
    }
}

impl HasName for Linkage {
    const WHAT: &'static str = "`static`, `global` or `extern`";
    fn name(self) -> &'static str {
        Linkage::name(self)
    }
    fn from_text(text: &str) -> Option<Linkage> {
        Linkage::ALL.into_iter().find(|l| l.name() == text)
    }
}

impl<T: HasName> Serialize for Named<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.0.name())
    }
}

impl<'de, T: HasName> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Named<T>, D::Error> {
        struct ByName<T>(std::marker::PhantomData<T>);
        impl<T: HasName> Visitor<'_> for ByName<T> {
            type Value = Named<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::WHAT)
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Named<T>, E> {
                let unknown = || E::invalid_value(serde::de::Unexpected::Str(text), &self);
                T::from_text(text).map(Named).ok_or_else(unknown)
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Named<T>, E> {
                let unknown = || E::invalid_value(serde::de::Unexpected::Unsigned(number), &self);
                T::from_text(&number.to_string()).map(Named).ok_or_else(unknown)
            }
        }
        from.deserialize_any(ByName(std::marker::PhantomData))
    }
}

/// Bytes, written as hex digits.
#[derive(Clone, PartialEq, Default)]
struct Hex(Vec<u8>);

/// An instruction, written as sixteen hex digits.
#[derive(Clone, Copy, PartialEq)]
struct InsnHex(Insn);

/// Bytes as lower-case hex digits, two a byte.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Reads hex digits, two a byte, without anything between them.
fn from_hex(text: &str) -> Result<Vec<u8>, String> {
    let digit = |b: u8| char::from(b).to_digit(16);
    if let Some(odd) = text.chars().find(|c| !c.is_ascii_hexdigit()) {
        return Err(format!("{odd:?} is no hex digit"));
    }
    if !text.len().is_multiple_of(2) {
        return Err(format!("{} hex digits make no whole number of bytes", text.len()));
    }
    let bytes = text.as_bytes().chunks_exact(2);
    Ok(bytes.filter_map(|b| Some((digit(*b.first()?)? << 4 | digit(*b.last()?)?) as u8)).collect())
}

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&to_hex(&self.0))
    }
}

impl Serialize for InsnHex {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&to_hex(&self.0.to_bytes()))
    }
}

/// Reads a string and turns it into something else; the error then stands at the string.
fn parsed<'de, D: Deserializer<'de>, T>(
    from: D,
    what: &'static str,
    parse: fn(&str) -> Result<T, String>,
) -> Result<T, D::Error> {
    struct Text<T>(&'static str, fn(&str) -> Result<T, String>);
    impl<T> Visitor<'_> for Text<T> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
            (self.1)(text).map_err(E::custom)
        }
    }
    from.deserialize_str(Text(what, parse))
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Hex, D::Error> {
        parsed(from, "a string of hex digits", |text| from_hex(text).map(Hex))
    }
}

impl<'de> Deserialize<'de> for InsnHex {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<InsnHex, D::Error> {
        parsed(from, "an instruction as a string of sixteen hex digits", |text| {
            let bytes = <[u8; 8]>::try_from(from_hex(text)?);
            let bytes = bytes.map_err(|b| format!("an instruction has eight bytes, not {}", b.len()))?;
            Ok(InsnHex(Insn::from_bytes(bytes)))
        })
    }
}

/// Turns an error of the JSON reader into ours: the field is looked up in the text.
fn explain(error: &serde_json::Error, text: &[u8]) -> InputError {
    let place = format!(" at line {} column {}", error.line(), error.column());
    let message = error.to_string();
    let message = message.strip_suffix(&place).unwrap_or(&message);
    let path = path_to(text, error.line(), error.column());
    let error = InputError::new(if path.is_empty() { message.to_owned() } else { format!("{path}: {message}") })
        .at_line(error.line() as u32)
        .at_column(error.column() as u32);
    if message.starts_with("trailing characters") {
        return error.hint("several programs stand in an array, or one a line in a file named *.jsonl");
    }
    error
}

/// An object or array around a place: the last key that was read, or how many elements were passed.
enum Around {
    Object(String),
    Array(usize),
}

/// Which field stands at a place of a JSON text (line and column from 1): `funcs[2].insn`, in an array `item 3: insns[0]`.
/// Counts from 0, but items from 1. Empty when the place is in no field.
fn path_to(text: &[u8], line: usize, column: usize) -> String {
    let before: usize = text.split_inclusive(|b| *b == b'\n').take(line.saturating_sub(1)).map(<[u8]>::len).sum();
    let text = text.get(..before.saturating_add(column)).unwrap_or(text);
    let mut around = Vec::new();
    let mut string = None;
    let mut bytes = text.iter().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => {
                let mut end = text.len();
                while let Some((at, byte)) = bytes.next() {
                    match byte {
                        b'\\' => drop(bytes.next()),
                        b'"' => {
                            end = at;
                            break;
                        }
                        _ => {}
                    }
                }
                string = text.get(at + 1..end);
            }
            b':' => {
                if let Some(Around::Object(key)) = around.last_mut() {
                    *key = String::from_utf8_lossy(string.unwrap_or_default()).into_owned();
                }
            }
            b'{' => around.push(Around::Object(String::new())),
            b'[' => around.push(Around::Array(0)),
            b',' => match around.last_mut() {
                Some(Around::Object(key)) => key.clear(),
                Some(Around::Array(passed)) => *passed += 1,
                None => {}
            },
            b'}' | b']' => drop(around.pop()),
            _ => {}
        }
    }
    let mut path = String::new();
    for (depth, around) in around.iter().enumerate() {
        match around {
            Around::Array(passed) if depth == 0 => path = format!("item {}", passed + 1),
            Around::Array(passed) => path += &format!("[{passed}]"),
            Around::Object(key) if key.is_empty() => {}
            Around::Object(key) if path.is_empty() => path.clone_from(key),
            Around::Object(key) if depth == 1 => path = format!("{path}: {key}"),
            Around::Object(key) => path += &format!(".{key}"),
        }
    }
    path
}

#[cfg(test)]
mod tests;
