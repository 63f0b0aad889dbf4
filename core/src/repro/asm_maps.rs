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
    fn of(program: &Program, index: u32, uses: &Uses) -> MapForm {
        let (by_value, by_map) = (uses.by_value.contains_key(&index), uses.by_map.contains(&index));
        let alike = program.maps.get(index as usize).is_some_and(|map| {
            let sizes = map.key_size == 4 && map.max_entries == 1 && (1..=VARIABLE_BYTES_MAX).contains(&map.value_size);
            let plain = (map.flags, map.frozen) == (0, false) || (map.flags, map.frozen) == (RDONLY_PROG, true);
            map.map_type == MapType::Array && sizes && plain
        });
        if by_value && !by_map && alike { MapForm::Variable } else { MapForm::Defined }
    }
}

/// How a program refers to its maps.
struct Uses {
    /// Maps that are handed on.
    by_map: BTreeSet<u32>,
    /// Places in the values of maps.
    by_value: BTreeMap<u32, BTreeSet<u32>>,
}

impl Uses {
    fn of(program: &Program) -> Uses {
        let mut uses = Uses { by_map: BTreeSet::new(), by_value: BTreeMap::new() };
        for (_, op) in operations(&program.insns) {
            crate::work::count(1);
            match op {
                Ok(Op::LdImm64 { imm: Imm64::Map(map), .. }) => {
                    uses.by_map.insert(map);
                }
                Ok(Op::LdImm64 { imm: Imm64::MapValue { map, off }, .. }) => {
                    uses.by_value.entry(map).or_default().insert(off);
                }
                _ => {}
            }
        }
        uses
    }
}

/// Flag of a map that programs cannot write.
const RDONLY_PROG: u32 = 1 << 7;
/// Bytes of a variable up to which it is written.
const VARIABLE_BYTES_MAX: u32 = 1 << 16;

/// The maps of a program with their names in C.
pub(super) struct Maps {
    named: BTreeMap<u32, (String, MapForm)>,
    uses: Uses,
}

impl Maps {
    pub fn new(program: &Program, identifiers: &mut Identifiers) -> Maps {
        let uses = Uses::of(program);
        let named = (0u32..).zip(&program.maps).map(|(n, map)| {
            let name = identifiers.give(&map.name, &format!("map_{n}"));
            (n, (name, MapForm::of(program, n, &uses)))
        });
        Maps { named: named.collect(), uses }
    }

    /// A map's name, if it is written in that form.
    pub fn name(&self, index: u32, form: MapForm) -> Option<&str> {
        self.named.get(&index).filter(|(_, f)| *f == form).map(|(name, _)| name.as_str())
    }

    /// The form of a map.
    pub fn form(&self, index: u32) -> Option<MapForm> {
        self.named.get(&index).map(|(_, form)| *form)
    }

    pub fn definitions(&self, program: &Program, out: &mut String) {
        for ((n, (name, form)), map) in self.named.iter().zip(&program.maps) {
            out.push('\n');
            match form {
                MapForm::Defined => defined(name, map, out),
                MapForm::Variable => {
                    variable(name, map, out);
                    places(self.uses.by_value.get(n), name, out);
                }
            }
        }
    }

    pub fn remarks(&self, program: &Program, left_out: &mut Vec<String>) {
        for (n, (name, form)) in &self.named {
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

fn places(offsets: Option<&BTreeSet<u32>>, name: &str, out: &mut String) {
    for off in offsets.into_iter().flatten().filter(|off| **off != 0) {
        let place = place(name, *off);
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
