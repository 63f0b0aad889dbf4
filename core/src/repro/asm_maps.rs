//! Maps in C: those defined by types, and data sections for those that are used by their value.

use super::asm::push;
use super::words::Identifiers;
use crate::isa::{Imm64, Op, operations};
use crate::kernel::MapType;
use crate::program::{MapDef, Program};
use std::collections::{BTreeMap, BTreeSet};

/// How a map is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum MapForm {
    /// As a structure in `.maps`.
    Defined,
    /// As a variable, whose section becomes the map.
    Variable,
}

impl MapForm {
    /// A map that programs address by value alone can be a variable, if it looks like the map of a section.
    pub fn of(program: &Program, index: u32) -> MapForm {
        let (mut by_value, mut by_map) = (false, false);
        for (_, op) in operations(&program.insns) {
            match op {
                Ok(Op::LdImm64 { imm: Imm64::Map(map), .. }) => by_map |= map == index,
                Ok(Op::LdImm64 { imm: Imm64::MapValue { map, .. }, .. }) => by_value |= map == index,
                _ => {}
            }
        }
        let alike = program.maps.get(index as usize).is_some_and(|map| {
            let sizes = map.key_size == 4 && map.max_entries == 1 && (1..=VARIABLE_BYTES_MAX).contains(&map.value_size);
            let plain = (map.flags, map.frozen) == (0, false) || (map.flags, map.frozen) == (RDONLY_PROG, true);
            map.map_type == MapType::Array && sizes && plain
        });
        if by_value && !by_map && alike { MapForm::Variable } else { MapForm::Defined }
    }
}

/// Flag of a map that programs cannot write.
const RDONLY_PROG: u32 = 1 << 7;
/// Bytes of a variable up to which it is written.
const VARIABLE_BYTES_MAX: u32 = 1 << 16;

/// The maps of a program with their names in C.
pub(super) struct Maps(BTreeMap<u32, (String, MapForm)>);

impl Maps {
    pub fn new(program: &Program, identifiers: &mut Identifiers) -> Maps {
        let named = (0u32..).zip(&program.maps).map(|(n, map)| {
            let name = identifiers.give(&map.name, &format!("map_{n}"));
            (n, (name, MapForm::of(program, n)))
        });
        Maps(named.collect())
    }

    /// A map's name, if it is written in that form.
    pub fn name(&self, index: u32, form: MapForm) -> Option<&str> {
        self.0.get(&index).filter(|(_, f)| *f == form).map(|(name, _)| name.as_str())
    }

    pub fn definitions(&self, program: &Program, out: &mut String) {
        for ((n, (name, form)), map) in self.0.iter().zip(&program.maps) {
            out.push('\n');
            match form {
                MapForm::Defined => defined(name, map, out),
                MapForm::Variable => {
                    variable(name, map, out);
                    places(program, *n, name, out);
                }
            }
        }
    }

    pub fn remarks(&self, program: &Program, left_out: &mut Vec<String>) {
        for (n, (name, form)) in &self.0 {
            let map = program.maps.get(*n as usize);
            if map.is_some_and(|m| m.frozen) && *form == MapForm::Defined {
                left_out.push(format!("Map {name} is frozen before the load."));
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

fn places(program: &Program, index: u32, name: &str, out: &mut String) {
    let offsets: BTreeSet<u32> = operations(&program.insns)
        .into_iter()
        .filter_map(|(_, op)| match op {
            Ok(Op::LdImm64 { imm: Imm64::MapValue { map, off }, .. }) if map == index && off != 0 => Some(off),
            _ => None,
        })
        .collect();
    for off in offsets {
        let place = place(name, off);
        push(out, format_args!("asm(\".globl {place}\\n.set {place}, {name} + {off}\");\n"));
    }
}

fn variable(name: &str, map: &MapDef, out: &mut String) {
    let (qualifier, section) = if map.frozen { ("const ", ".rodata") } else { ("", ".data") };
    push(out, format_args!("{qualifier}char {name}[{}] SEC(\"{section}.{name}\") = {{", map.value_size));
    let bytes = map.init.first().map_or(&[][..], Vec::as_slice);
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
