//! A selftest in the style of `verifier/*.c`: an initializer of `struct bpf_test`, with instructions as macros.

use super::array_insn::{Macro, macros};
use super::asm::push;
use super::words;
use super::{Claims, Load, Selftest};
use crate::kernel::{MapType, ProgType};
use crate::program::{MapDef, Program, TypeInfo};
use std::collections::BTreeMap;

/// A header of our own with the names that [`selftest_array`] uses, to compile one outside of the kernel's tree.
pub const ARRAY_PRELUDE: &str = include_str!("prelude/array.h");

/// Words of BTF types that a line holds.
const WORDS_PER_LINE: usize = 6;

/// What an entry of the kernel's table has space for (`test_verifier.c`, 6.1 … 7.3).
mod space {
    pub const INSNS: usize = 4096;
    pub const PATTERN: usize = 32;
    /// Without the 0 at the end.
    pub const FIXUPS: usize = 7;
    pub const FUNC_INFOS: usize = 8;
    pub const BTF_STRINGS: usize = 256;
    /// Without the word that ends them.
    pub const BTF_TYPES: usize = 255;
}

/// A selftest as an initializer.
pub fn selftest_array(program: &Program, claims: &Claims) -> Selftest {
    let mut left_out = Vec::new();
    let mut fields = String::new();
    insns(&mut fields, "insns", &macros(&program.insns, program));
    room("instructions", program.insns.len(), space::INSNS, &mut left_out);
    for (field, all) in [("expected_insns", &claims.expected_insns), ("unexpected_insns", &claims.unexpected_insns)] {
        if !all.is_empty() {
            insns(&mut fields, field, &macros(all, program));
            room(field, all.len(), space::PATTERN, &mut left_out);
        }
    }
    maps(&mut fields, program, &mut left_out);
    load(&mut fields, program, &mut left_out);
    result(&mut fields, claims, &mut left_out);
    if let Some(types) = program.type_info() {
        type_info(&mut fields, &types, &mut left_out);
    }
    let mut out = String::from("{\n");
    let comments = claims.comments.iter().chain(&left_out).map(String::as_str);
    out += &words::block_comment(comments).lines().map(|l| format!("\t{l}\n")).collect::<String>();
    let name = if program.name.is_empty() { "unnamed" } else { &program.name };
    push(&mut out, format_args!("\t\"{}\",\n", words::escaped(name.as_bytes())));
    out += &fields;
    out.push_str("},\n");
    Selftest { text: out, left_out }
}

/// Says that something is too long for the kernel's table.
fn room(what: &str, len: usize, max: usize, left_out: &mut Vec<String>) {
    if len > max {
        left_out.push(format!("The table of the kernel's tests has space for {max} {what}; here are {len}."));
    }
}

/// Type, attach type and flags.
fn load(out: &mut String, program: &Program, left_out: &mut Vec<String>) {
    push(out, format_args!("\t.prog_type = {},\n", program_type(program)));
    if program.prog_type == ProgType::Unspec {
        left_out.push("The runner of the kernel's tests takes no type for a socket filter.".to_owned());
    }
    if program.expected_attach_type != 0 {
        push(out, format_args!("\t.expected_attach_type = {},\n", program.expected_attach_type));
    }
    match flags(program.prog_flags) {
        Some(flags) if flags.is_empty() => {}
        Some(flags) => push(out, format_args!("\t.flags = {flags},\n")),
        None => left_out.push(format!("No field gives the flags {:#x} of the load.", program.prog_flags)),
    }
}

/// The field that gives a load's flags, empty for none; `None` where there is no such field. Alignment has flags of its own
/// there, whose bits are those of the load when others stand beside them.
fn flags(flags: u32) -> Option<String> {
    const STRICT_ALIGNMENT: u32 = 1 << 0;
    const ANY_ALIGNMENT: u32 = 1 << 1;
    const BOTH: u32 = STRICT_ALIGNMENT | ANY_ALIGNMENT;
    Some(match flags {
        0 => String::new(),
        STRICT_ALIGNMENT => "F_LOAD_WITH_STRICT_ALIGNMENT".to_owned(),
        ANY_ALIGNMENT => "F_NEEDS_EFFICIENT_UNALIGNED_ACCESS".to_owned(),
        BOTH => "F_LOAD_WITH_STRICT_ALIGNMENT | F_NEEDS_EFFICIENT_UNALIGNED_ACCESS".to_owned(),
        0..=0xff if flags & BOTH == 0 || flags & BOTH == BOTH => format!("{flags:#x}"),
        _ => return None,
    })
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

fn result(out: &mut String, claims: &Claims, left_out: &mut Vec<String>) {
    match &claims.load {
        Load::Unsaid => {
            left_out.push("No verdict is claimed; the result is ACCEPT because one must stand there.".to_owned());
            out.push_str("\t.result = ACCEPT,\n");
        }
        Load::Success => out.push_str("\t.result = ACCEPT,\n"),
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

/// The tests give instructions maps by fields, one for each kind of map; all instructions of a field get the same map.
fn maps(out: &mut String, program: &Program, left_out: &mut Vec<String>) {
    let mut places: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (at, insn) in program.insns.iter().enumerate() {
        if insn.is_ld_imm64() && matches!(insn.src(), 1 | 2) {
            places.entry(insn.imm as u32 as usize).or_default().push(at);
        }
    }
    let mut given = Vec::new();
    for (n, map) in program.maps.iter().enumerate() {
        let Some(places) = places.get(&n) else { continue };
        let (kind, sizes) = (map.map_type, (map.key_size, map.value_size, map.max_entries, map.flags));
        let what = format!(
            "map {n}: {kind} key_size={} value_size={} max_entries={} flags={:#x}",
            sizes.0, sizes.1, sizes.2, sizes.3
        );
        let shown: Vec<String> = places.iter().map(ToString::to_string).collect();
        let shown = shown.join(", ");
        // A list of places ends with 0.
        let is_list = places.len() <= space::FIXUPS && !places.contains(&0);
        match fixup(map).filter(|field| is_list && !given.contains(field)) {
            Some(field) => {
                given.push(field);
                push(out, format_args!("\t.{field} = {{ {shown} }}, /* {what} */\n"));
                if field == "fixup_map_array_48b" {
                    left_out.push(format!("Map {n} holds values before the run, which test_verifier gives it."));
                }
            }
            None => left_out.push(format!("No field gives {what}; it is used at {shown}.")),
        }
        if map.init.iter().flatten().any(|byte| *byte != 0) || map.frozen {
            let frozen = if map.frozen { " and is frozen" } else { "" };
            left_out.push(format!("Map {n} holds values before the run{frozen}."));
        }
    }
}

/// The field for maps that the tests create just like this one.
fn fixup(map: &MapDef) -> Option<&'static str> {
    if map.flags != 0 || map.frozen {
        return None;
    }
    Some(match (map.map_type, map.key_size, map.value_size, map.max_entries) {
        (MapType::Hash, 8, 8, 1) => "fixup_map_hash_8b",
        (MapType::Hash, 8, 16, 1) => "fixup_map_hash_16b",
        (MapType::Hash, 8, 48, 1) => "fixup_map_hash_48b",
        (MapType::Array, 4, 48, 1) => "fixup_map_array_48b",
        (MapType::Sockmap, 4, 4, 1) => "fixup_map_sockmap",
        (MapType::Sockhash, 4, 4, 1) => "fixup_map_sockhash",
        (MapType::Xskmap, 4, 4, 1) => "fixup_map_xskmap",
        (MapType::StackTrace, 4, 8, 1) => "fixup_map_stacktrace",
        (MapType::PerfEventArray, 4, 4, 1) => "fixup_map_event_output",
        (MapType::ReuseportSockarray, 4, 8, 1) => "fixup_map_reuseport_array",
        (MapType::Ringbuf, 0, 0, 4096) => "fixup_map_ringbuf",
        _ => return None,
    })
}

/// func_info, and the BTF in the form that the tests take: strings, and types as words.
fn type_info(out: &mut String, types: &TypeInfo, left_out: &mut Vec<String>) {
    let records: Vec<String> = types.func_info.iter().map(|f| format!("{{ {}, {} }}", f.insn_off, f.type_id)).collect();
    push(out, format_args!("\t.func_info = {{ {} }},\n", records.join(", ")));
    push(out, format_args!("\t.func_info_cnt = {},\n", records.len()));
    room("records of func_info", records.len(), space::FUNC_INFOS, left_out);
    let Some((words_of_types, strings)) = sections(&types.btf) else {
        left_out.push("The BTF cannot be taken apart into types and strings.".to_owned());
        return;
    };
    if plain(&words_of_types, strings) != types.btf {
        left_out.push("The original's BTF has another header, or more than types and strings.".to_owned());
    }
    room("bytes of BTF strings", strings.len(), space::BTF_STRINGS, left_out);
    room("words of BTF types", words_of_types.len(), space::BTF_TYPES, left_out);
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

/// The BTF that the runner of the tests makes of types and strings.
fn plain(types: &[u32], strings: &[u8]) -> Vec<u8> {
    const MAGIC_AND_VERSION: u32 = 0x1_eb9f;
    const HEADER_BYTES: u32 = 24;
    let (types_len, strings_len) = (types.len() as u32 * 4, strings.len() as u32);
    let header = [MAGIC_AND_VERSION, HEADER_BYTES, 0, types_len, types_len, strings_len];
    let mut bytes: Vec<u8> = header.iter().chain(types).flat_map(|word| word.to_le_bytes()).collect();
    bytes.extend_from_slice(strings);
    bytes
}
