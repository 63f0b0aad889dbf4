//! A selftest in the style of `verifier/*.c`: an initializer of `struct bpf_test`, with instructions as macros.

use super::array_insn::{Macro, macros};
use super::asm::push;
use super::words;
use super::{Claims, Load};
use crate::isa::Insn;
use crate::kernel::MapType;
use crate::program::{MapDef, Program, TypeInfo};
use std::collections::BTreeMap;

/// A header of our own with the names that [`selftest_array`] uses, to compile one outside of the kernel's tree.
pub const ARRAY_PRELUDE: &str = include_str!("prelude/array.h");

/// Words of BTF types that a line holds.
const WORDS_PER_LINE: usize = 6;

/// A selftest as an initializer.
pub fn selftest_array(program: &Program, claims: &Claims) -> String {
    let mut out = String::from("{\n");
    let comments = claims.comments.iter().map(String::as_str);
    out += &words::block_comment(comments).lines().map(|l| format!("\t{l}\n")).collect::<String>();
    let name = if program.name.is_empty() { "unnamed" } else { &program.name };
    push(&mut out, format_args!("\t\"{}\",\n", words::escaped(name.as_bytes())));
    insns(&mut out, "insns", &macros(&program.insns, program));
    for (field, all) in [("expected_insns", &claims.expected_insns), ("unexpected_insns", &claims.unexpected_insns)] {
        if !all.is_empty() {
            insns(&mut out, field, &macros(all, program));
        }
    }
    maps(&mut out, program);
    push(&mut out, format_args!("\t.prog_type = {},\n", program_type(program)));
    if program.expected_attach_type != 0 {
        push(&mut out, format_args!("\t.expected_attach_type = {},\n", program.expected_attach_type));
    }
    if program.prog_flags != 0 {
        push(&mut out, format_args!("\t.flags = {:#x}, /* of the load */\n", program.prog_flags));
    }
    result(&mut out, claims);
    if let Some(types) = program.type_info() {
        type_info(&mut out, &types);
    }
    out.push_str("},\n");
    out
}

fn program_type(program: &Program) -> String {
    format!("BPF_PROG_TYPE_{}", program.prog_type.name().to_ascii_uppercase())
}

fn insns(out: &mut String, field: &str, all: &[Macro]) {
    push(out, format_args!("\t.{field} = {{\n"));
    for one in all {
        for line in one.before.iter() {
            push(out, format_args!("\t/* {} */\n", words::comment(line)));
        }
        push(out, format_args!("\t{},", one.text));
        if let Some(note) = &one.note {
            push(out, format_args!(" /* {} */", words::comment(note)));
        }
        out.push('\n');
    }
    out.push_str("\t},\n");
}

fn result(out: &mut String, claims: &Claims) {
    match &claims.load {
        Load::Unsaid | Load::Success => out.push_str("\t.result = ACCEPT,\n"),
        Load::Failure(message) => {
            let message = words::escaped(message.as_bytes());
            push(out, format_args!("\t.result = REJECT,\n\t.errstr = \"{message}\",\n"));
        }
    }
    match claims.retval {
        Some(value) => push(out, format_args!("\t.retval = {},\n\t.runs = 1,\n", value)),
        None => out.push_str("\t.runs = 0,\n"),
    }
}

/// The tests give instructions maps by fields for each kind of map.
fn maps(out: &mut String, program: &Program) {
    let mut all_places: BTreeMap<i32, Vec<String>> = BTreeMap::new();
    let by_map = |i: &Insn| i.is_ld_imm64() && matches!(i.src(), 1 | 2);
    for (at, insn) in program.insns.iter().enumerate().filter(|(_, i)| by_map(i)) {
        crate::work::count(1);
        all_places.entry(insn.imm).or_default().push(at.to_string());
    }
    for (n, map) in program.maps.iter().enumerate() {
        let places = all_places.remove(&(n as i32)).unwrap_or_default();
        let what = format!(
            "map {n}: {} key_size={} value_size={} max_entries={} flags={:#x}",
            map.map_type, map.key_size, map.value_size, map.max_entries, map.flags
        );
        match fixup(map) {
            _ if places.is_empty() => {}
            Some(field) => push(out, format_args!("\t.{field} = {{ {} }}, /* {what} */\n", places.join(", "))),
            None => push(out, format_args!("\t/* no field gives {what}; used at {} */\n", places.join(", "))),
        }
    }
}

/// The field for maps that the tests create just like this one.
fn fixup(map: &MapDef) -> Option<&'static str> {
    let plain = map.flags == 0 && map.max_entries == 1 && map.init.is_empty();
    match (map.map_type, map.key_size, map.value_size) {
        (MapType::Hash, 8, 8) if plain => Some("fixup_map_hash_8b"),
        (MapType::Hash, 8, 16) if plain => Some("fixup_map_hash_16b"),
        (MapType::Hash, 8, 48) if plain => Some("fixup_map_hash_48b"),
        (MapType::Array, 4, 48) if plain => Some("fixup_map_array_48b"),
        _ => None,
    }
}

/// func_info, and the BTF in the form that the tests take: strings, and types as words.
fn type_info(out: &mut String, types: &TypeInfo) {
    let records: Vec<String> = types.func_info.iter().map(|f| format!("{{ {}, {} }}", f.insn_off, f.type_id)).collect();
    push(out, format_args!("\t.func_info = {{ {} }},\n", records.join(", ")));
    push(out, format_args!("\t.func_info_cnt = {},\n", records.len()));
    let Some((words_of_types, strings)) = sections(&types.btf) else {
        out.push_str("\t/* the BTF is none that can be taken apart */\n");
        return;
    };
    // The last NUL is the one that ends every string in C.
    let strings = strings.strip_suffix(b"\0").unwrap_or(strings);
    push(out, format_args!("\t.btf_strings = \"{}\",\n\t.btf_types = {{\n", words::escaped(strings)));
    for line in words_of_types.chunks(WORDS_PER_LINE) {
        let line: Vec<String> = line.iter().map(|w| format!("{w:#010x}")).collect();
        push(out, format_args!("\t{},\n", line.join(", ")));
    }
    out.push_str("\tBTF_END_RAW,\n\t},\n");
}

/// The types as words and the strings of a BTF, by its header; `None` when it has none that fits.
fn sections(btf: &[u8]) -> Option<(Vec<u32>, &[u8])> {
    let word = |at: usize| btf.get(at..at + 4)?.first_chunk().copied().map(u32::from_le_bytes);
    let header = word(4)? as usize;
    let part = |off: usize, len: usize| {
        let start = header.checked_add(word(off)? as usize)?;
        btf.get(start..start.checked_add(word(len)? as usize)?)
    };
    let types = part(8, 12)?.chunks_exact(4).filter_map(|b| b.first_chunk().copied()).map(u32::from_le_bytes);
    Some((types.collect(), part(16, 20)?))
}
