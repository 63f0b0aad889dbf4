//! Maps in C: those defined by types, and data sections for those that are used by their value.

use super::asm::{Source, push};
use super::words::Identifiers;
use crate::isa::{Imm64, Op};
use crate::kernel::MapType;
use crate::program::MapDef;
use std::collections::{BTreeMap, BTreeSet};

/// How a map is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum MapForm {
    /// As a structure in `.maps`.
    Defined,
    /// As a variable, whose section becomes the map.
    Variable,
}

/// How instructions refer to a map.
#[derive(Clone, Debug, Default)]
struct Uses {
    by_map: bool,
    /// Offsets into its value.
    offsets: BTreeSet<u32>,
}

fn uses(source: &Source<'_>) -> BTreeMap<u32, Uses> {
    let mut all: BTreeMap<u32, Uses> = BTreeMap::new();
    for (_, op) in &source.ops {
        match *op {
            Ok(Op::LdImm64 { imm: Imm64::Map(map), .. }) => all.entry(map).or_default().by_map = true,
            Ok(Op::LdImm64 { imm: Imm64::MapValue { map, off }, .. }) => {
                all.entry(map).or_default().offsets.insert(off);
            }
            _ => {}
        }
    }
    all
}

impl MapForm {
    /// A map that programs address by value alone can be a variable, if it looks like the map of a section.
    fn of(map: &MapDef, uses: &Uses) -> MapForm {
        let sizes = map.key_size == 4 && map.max_entries == 1 && (1..=VARIABLE_BYTES_MAX).contains(&map.value_size);
        let plain = (map.flags, map.frozen) == (0, false) || (map.flags, map.frozen) == (RDONLY_PROG, true);
        let alike = map.map_type == MapType::Array && sizes && plain;
        if alike && !uses.by_map && !uses.offsets.is_empty() { MapForm::Variable } else { MapForm::Defined }
    }
}

/// Flag of a map that programs cannot write.
const RDONLY_PROG: u32 = 1 << 7;
/// Bytes of a variable up to which it is written.
const VARIABLE_BYTES_MAX: u32 = 1 << 16;

/// A map in C.
struct Written {
    name: String,
    form: MapForm,
    uses: Uses,
}

/// The maps of a program with their names in C, by index.
pub(super) struct Maps(Vec<Written>);

impl Maps {
    pub fn new(source: &Source<'_>, identifiers: &mut Identifiers) -> Maps {
        let mut all = uses(source);
        let written = (0u32..).zip(&source.program.maps).map(|(n, map)| {
            let uses = all.remove(&n).unwrap_or_default();
            let name = identifiers.give(&map.name, &format!("map_{n}"));
            Written { name, form: MapForm::of(map, &uses), uses }
        });
        Maps(written.collect())
    }

    /// A map's name, if it is written in that form.
    pub fn name(&self, index: u32, form: MapForm) -> Option<&str> {
        self.0.get(index as usize).filter(|map| map.form == form).map(|map| map.name.as_str())
    }

    pub fn definitions(&self, source: &Source<'_>, out: &mut String) {
        for (Written { name, form, uses }, map) in self.0.iter().zip(&source.program.maps) {
            out.push('\n');
            match form {
                MapForm::Defined => defined(name, map, out),
                MapForm::Variable => {
                    variable(name, map, out);
                    places(uses, name, out);
                }
            }
        }
    }

    /// What the definitions do not say.
    pub fn left_out(&self, source: &Source<'_>, left_out: &mut Vec<String>) {
        for (Written { name, form, .. }, map) in self.0.iter().zip(&source.program.maps) {
            if *form == MapForm::Variable {
                continue;
            }
            if map.max_entries == 0 {
                left_out.push(format!("Map {name} has no entries; a loader gives it some before the load."));
            }
            let filled = map.init.iter().flatten().any(|byte| *byte != 0);
            if filled {
                left_out.push(format!("Map {name} holds values before the run; here it starts as zeros."));
            }
            if map.frozen {
                left_out.push(format!("Map {name} is frozen before the load; here it is not."));
            }
        }
    }
}

/// The name of a map type in the kernel's headers.
pub(super) fn type_name(map_type: MapType) -> String {
    format!("BPF_MAP_TYPE_{}", map_type.name().to_ascii_uppercase())
}

fn defined(name: &str, map: &MapDef, out: &mut String) {
    push(out, format_args!("struct {{\n\t__uint(type, {});\n", type_name(map.map_type)));
    let fields = [("key_size", map.key_size), ("value_size", map.value_size), ("max_entries", map.max_entries)];
    for (field, value) in fields {
        push(out, format_args!("\t__uint({field}, {value});\n"));
    }
    if map.flags != 0 {
        push(out, format_args!("\t__uint(map_flags, {:#x});\n", map.flags));
    }
    push(out, format_args!("}} {name} SEC(\".maps\");\n"));
}

/// The symbol of a place in a variable: an assembler loses what is added to a symbol.
pub(super) fn place(name: &str, off: u32) -> String {
    format!("{name}.at_{off}")
}

fn places(uses: &Uses, name: &str, out: &mut String) {
    for off in uses.offsets.iter().filter(|off| **off != 0) {
        let place = place(name, *off);
        push(out, format_args!("asm(\".globl {place}\\n.set {place}, {name} + {off}\");\n"));
    }
}

fn variable(name: &str, map: &MapDef, out: &mut String) {
    let (qualifier, section) = if map.frozen { ("const ", ".rodata") } else { ("", ".data") };
    push(out, format_args!("{qualifier}char {name}[{}] SEC(\"{section}.{name}\") = {{", map.value_size));
    let bytes = map.init.first().map_or(&[][..], Vec::as_slice);
    // A value that was given more bytes than it has keeps the first.
    let bytes = bytes.get(..map.value_size as usize).unwrap_or(bytes);
    let shown = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    if shown == 0 {
        out.push_str(" 0 };\n");
        return;
    }
    for line in bytes.get(..shown).unwrap_or_default().chunks(16) {
        let line: Vec<String> = line.iter().map(|b| format!("{:#04x}", b)).collect();
        push(out, format_args!("\n\t{},", line.join(", ")));
    }
    out.push_str("\n};\n");
}
