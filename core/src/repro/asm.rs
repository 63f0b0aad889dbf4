//! A selftest in the style of `progs/verifier_*.c`: each function is a naked one of inline assembly.
//!
//! The file compiles in the kernel's tree and alone: without the kernel's `bpf_misc.h` a prelude of our own is taken.

use super::asm_body::{Body, Names};
use super::asm_maps::{MapForm, Maps};
use super::words::{self, Identifiers};
use super::{Claims, Load};
use crate::btf::Linkage;
use crate::isa::{InsnIdx, Listed, operations};
use crate::kernel::helpers::helper_name;
use crate::program::{Layout, Program, SubprogIdx, elf, subprog_target};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

const PRELUDE: &str = include_str!("prelude/asm.h");
/// How the file is compiled alone.
const COMPILE: &str = "clang -target bpf -mcpu=v3 -g -O2 -c";

/// A selftest in C with inline assembly.
pub fn selftest_asm(program: &Program, claims: &Claims) -> String {
    let layout = Layout::of(program);
    let mut identifiers = Identifiers::default();
    let names =
        Names { funcs: func_names(program, &layout, &mut identifiers), maps: Maps::new(program, &mut identifiers) };
    let mut left_out = Vec::new();
    let ops = operations(&program.insns);
    let bodies: Vec<Body> = (0..layout.len())
        .map(|n| Body::new(within(&ops, &layout, SubprogIdx(n as u16)), &names, &mut left_out))
        .collect();
    names.maps.remarks(program, &mut left_out);
    order_remark(&ops, &layout, &names, &mut left_out);
    other_remarks(program, &layout, &names.maps, &mut left_out);
    let mut out = String::from("// SPDX-License-Identifier: GPL-2.0\n");
    let alone = format!("Compiles alone: {COMPILE}");
    let comments = claims.comments.iter().map(String::as_str).chain([alone.as_str()]);
    out += &words::block_comment(comments);
    prelude(&mut out, program, &bodies);
    names.maps.definitions(program, &mut out);
    declarations(&mut out, program, &names);
    for (n, body) in bodies.iter().enumerate().rev() {
        out.push('\n');
        let start = layout.start(SubprogIdx(n as u16));
        if n == 0 {
            out += &words::block_comment(left_out.iter().map(String::as_str));
            heading(&mut out, program, claims);
        }
        push(&mut out, format_args!("{}\n{{\n{}}}\n", signature(program, start, &names), body.text()));
    }
    out += "\nchar _license[] SEC(\"license\") = \"GPL\";\n";
    out
}

/// The operations of a function.
fn within<'o>(ops: &'o [Listed], layout: &Layout, subprog: SubprogIdx) -> &'o [Listed] {
    let place = |end: InsnIdx| ops.partition_point(|(at, _)| *at < end);
    ops.get(place(layout.start(subprog))..place(layout.end(subprog))).unwrap_or_default()
}

/// Writing to a text cannot fail.
pub(super) fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}

fn func_names(program: &Program, layout: &Layout, identifiers: &mut Identifiers) -> BTreeMap<InsnIdx, String> {
    let name = |start: &InsnIdx| {
        let given = program.func_name(*start).unwrap_or_default();
        let given = if start.0 == 0 && given == "main" { program.name.as_str() } else { given };
        let otherwise = if start.0 == 0 { "prog".to_owned() } else { format!("func_{start}") };
        identifiers.give(given, &otherwise)
    };
    layout.starts().iter().copied().zip(layout.starts().iter().map(name).collect::<Vec<_>>()).collect()
}

fn prelude(out: &mut String, program: &Program, bodies: &[Body]) {
    out.push('\n');
    *out += PRELUDE;
    let types: BTreeSet<_> = program.maps.iter().map(|m| m.map_type).collect();
    for map_type in types {
        push(out, format_args!("#define {} {}\n", super::asm_maps::type_name(map_type), map_type.number()));
    }
    let helpers: BTreeSet<i32> = bodies.iter().flat_map(|b| b.helpers.iter().copied()).collect();
    for (id, name) in helpers.iter().filter_map(|id| Some((id, helper_name(*id)?))) {
        push(out, format_args!("static long (*const bpf_{name})(void) = (void *){id};\n"));
    }
    out.push_str("#endif\n");
}

/// Functions are defined from the last to the first, so that most references meet what is known; the others are declared.
fn declarations(out: &mut String, program: &Program, names: &Names) {
    let funcs: Vec<_> = names.funcs.keys().filter(|at| at.0 != 0).collect();
    if !funcs.is_empty() {
        out.push('\n');
    }
    for start in funcs {
        push(out, format_args!("{};\n", signature(program, *start, names)));
    }
}

fn heading(out: &mut String, program: &Program, claims: &Claims) {
    push(out, format_args!("SEC(\"{}\")\n", section(program).0));
    if !program.name.is_empty() {
        push(out, format_args!("__description(\"{}\")\n", words::escaped(program.name.as_bytes())));
    }
    match &claims.load {
        Load::Unsaid => {}
        Load::Success => out.push_str("__success\n"),
        Load::Failure(message) => {
            push(out, format_args!("__failure __msg(\"{}\")\n", words::escaped(message.as_bytes())));
        }
    }
    if let Some(value) = claims.retval {
        push(out, format_args!("__retval({})\n", value as i32));
    }
    for name in flags(program) {
        push(out, format_args!("__flag({name})\n"));
    }
}

fn signature(program: &Program, start: InsnIdx, names: &Names) -> String {
    let func = program.func(start);
    let linkage = match func.map(|f| f.linkage) {
        _ if start.0 == 0 => "__naked",
        Some(Linkage::Global | Linkage::Extern) => "__naked __noinline __used",
        Some(Linkage::Static) | None => "static __naked __noinline __used",
    };
    let args: Vec<String> = match func.map_or(0, |f| f.args) {
        0 => vec!["void".to_owned()],
        1 if start.0 == 0 => vec!["void *ctx".to_owned()],
        args => (1..=args).map(|n| format!("long a{n}")).collect(),
    };
    let name = names.funcs.get(&start).map_or("prog", String::as_str);
    format!("{linkage} int {name}({})", args.join(", "))
}

/// The section that says most of the program's type, and how much it says.
fn section(program: &Program) -> (&'static str, Said) {
    let (prog_type, attach, flags) = (program.prog_type, program.expected_attach_type, program.prog_flags);
    let unnamed = flags & !SECTION_FLAGS;
    if let Some(name) = elf::section_name(prog_type, attach, flags - unnamed) {
        return (name, Said::All);
    }
    match elf::section_name(prog_type, 0, 0).or_else(|| elf::section_name_of_type(prog_type)) {
        Some(name) => (name, Said::Type),
        None => ("raw_tp", Said::Nothing),
    }
}

/// What a section's name says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Said {
    All,
    Type,
    Nothing,
}

/// `BPF_F_SLEEPABLE` and `BPF_F_XDP_HAS_FRAGS`, which are part of a section's name.
const SECTION_FLAGS: u32 = 1 << 4 | 1 << 5;

/// The other flags of a load, by name.
fn flags(program: &Program) -> impl Iterator<Item = &'static str> {
    const NAMES: [(u32, &str); 6] = [
        (1 << 0, "BPF_F_STRICT_ALIGNMENT"),
        (1 << 1, "BPF_F_ANY_ALIGNMENT"),
        (1 << 2, "BPF_F_TEST_RND_HI32"),
        (1 << 3, "BPF_F_TEST_STATE_FREQ"),
        (1 << 6, "BPF_F_XDP_DEV_BOUND_ONLY"),
        (1 << 7, "BPF_F_TEST_REG_INVARIANTS"),
    ];
    let flags = program.prog_flags;
    NAMES.into_iter().filter(move |(bit, _)| flags & bit != 0).map(|(_, name)| name)
}

/// A linker puts each function where it is first referred to.
fn order_remark(ops: &[Listed], layout: &Layout, names: &Names, left_out: &mut Vec<String>) {
    let mut linked = Vec::new();
    let mut seen = BTreeSet::new();
    let mut open = vec![InsnIdx(0)];
    while let Some(start) = open.pop() {
        let Some(subprog) = layout.starting(start).filter(|_| seen.insert(start)) else {
            continue;
        };
        linked.push(start);
        let targets =
            within(ops, layout, subprog).iter().rev().filter_map(|(at, op)| subprog_target(*at, op.as_ref().ok()?));
        open.extend(targets.filter(|t| layout.starting(*t).is_some()));
    }
    if !linked.is_sorted() {
        let name = |start: &InsnIdx| names.funcs.get(start).map_or("?", String::as_str);
        let order: Vec<&str> = layout.starts().iter().map(name).collect();
        left_out.push(format!("The original has its functions in the order {}.", order.join(", ")));
    }
}

fn other_remarks(program: &Program, layout: &Layout, maps: &Maps, left_out: &mut Vec<String>) {
    let type_and_attach = format!("program type {}, attach type {}", program.prog_type, program.expected_attach_type);
    match section(program).1 {
        Said::All => {}
        Said::Type => left_out.push(format!("No section says {type_and_attach}, flags {:#x}.", program.prog_flags)),
        Said::Nothing => left_out.push(format!("No section says {type_and_attach}: set it before the load.")),
    }
    if program.funcs.is_empty() {
        left_out.push("The original comes without BTF.".to_owned());
    }
    if program.btf.is_some() {
        left_out.push("The original has a BTF of its own; here clang writes one.".to_owned());
    }
    for func in program.funcs.iter().filter(|f| layout.starting(f.insn).is_none()) {
        left_out.push(format!("func_info also names \"{}\" at {}, where no function starts.", func.name, func.insn));
    }
    for (n, map) in program.maps.iter().enumerate().filter(|(_, m)| !m.init.is_empty()) {
        if maps.form(n as u32) == Some(MapForm::Defined) {
            left_out.push(format!("Map {n} (\"{}\") holds values before the run; here it starts as zeros.", map.name));
        }
    }
}
