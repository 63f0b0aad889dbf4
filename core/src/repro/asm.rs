//! A selftest in the style of `progs/verifier_*.c`: each function is a naked one of inline assembly.
//!
//! The file compiles in the kernel's tree and alone: without the kernel's `bpf_misc.h` a prelude of our own is taken.

use super::asm_body::{Body, Names};
use super::asm_func::{self, Form};
use super::asm_maps::{self, Maps};
use super::left_out;
use super::words::{self, Identifiers};
use super::{Claims, Load, Selftest};
use crate::isa::{InsnIdx, Listed, operations};
use crate::kernel::helpers::helper_name;
use crate::program::{Func, Layout, Program, SubprogIdx, elf};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

const PRELUDE: &str = include_str!("prelude/asm.h");
/// How the file is compiled alone.
const COMPILE: &str = "clang -target bpf -mcpu=v3 -g -O2 -c";

/// A program with what its functions are, looked up once.
pub(super) struct Source<'a> {
    pub program: &'a Program,
    pub layout: Layout,
    pub ops: Vec<Listed>,
    /// The records of `func_info`, by first instruction; of several the first.
    pub funcs: BTreeMap<InsnIdx, &'a Func>,
}

impl<'a> Source<'a> {
    pub fn of(program: &'a Program) -> Source<'a> {
        let funcs = program.funcs.iter().rev().map(|f| (f.insn, f)).collect();
        Source { program, layout: Layout::of(program), ops: operations(&program.insns), funcs }
    }

    /// The operations of a function.
    pub fn ops_of(&self, subprog: SubprogIdx) -> &[Listed] {
        let place = |end: InsnIdx| self.ops.partition_point(|(at, _)| *at < end);
        let range = place(self.layout.start(subprog))..place(self.layout.end(subprog));
        self.ops.get(range).unwrap_or_default()
    }
}

/// A selftest in C with inline assembly.
pub fn selftest_asm(program: &Program, claims: &Claims) -> Selftest {
    let source = Source::of(program);
    let mut identifiers = Identifiers::beside_sections(&[section(program).0, "license"]);
    let names = Names { funcs: func_names(&source, &mut identifiers), maps: Maps::new(&source, &mut identifiers) };
    let mut left_out = Vec::new();
    let bodies: Vec<Body> = (0..source.layout.len())
        .map(|n| Body::new(source.ops_of(SubprogIdx(n as u16)), &names, &mut left_out))
        .collect();
    left_out::of_asm(&source, &names, &mut left_out);
    let mut out = String::from("// SPDX-License-Identifier: GPL-2.0\n");
    let alone = format!("Compiles alone: {COMPILE}");
    let comments = claims.comments.iter().map(String::as_str).chain([alone.as_str()]);
    out += &words::block_comment(comments);
    prelude(&mut out, program, &bodies);
    names.maps.definitions(&source, &mut out);
    declarations(&mut out, &source, &names);
    for (n, body) in bodies.iter().enumerate().rev() {
        let start = source.layout.start(SubprogIdx(n as u16));
        let form = Form::of(&source, start);
        out.push('\n');
        if n == 0 {
            out += &words::block_comment(left_out.iter().map(String::as_str));
            heading(&mut out, program, claims);
        }
        push(&mut out, format_args!("{}\n{{\n", form.signature(names.func(start))));
        form.body(body, &mut out);
        out.push_str("}\n");
    }
    out += "\nchar _license[] SEC(\"license\") = \"GPL\";\n";
    Selftest { text: out, left_out }
}

/// Writing to a text cannot fail.
pub(super) fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}

fn func_names(source: &Source<'_>, identifiers: &mut Identifiers) -> BTreeMap<InsnIdx, String> {
    let mut name = |start: &InsnIdx| {
        let given = source.funcs.get(start).map_or("", |f| f.name.as_str());
        let given = if start.0 == 0 && given == "main" { source.program.name.as_str() } else { given };
        let otherwise = if start.0 == 0 { "prog".to_owned() } else { format!("func_{start}") };
        (*start, identifiers.give(given, &otherwise))
    };
    source.layout.starts().iter().map(&mut name).collect()
}

fn prelude(out: &mut String, program: &Program, bodies: &[Body]) {
    out.push('\n');
    *out += PRELUDE;
    let types: BTreeSet<_> = program.maps.iter().map(|m| m.map_type).collect();
    for map_type in types {
        push(out, format_args!("#define {} {}\n", asm_maps::type_name(map_type), map_type.number()));
    }
    let helpers: BTreeSet<i32> = bodies.iter().flat_map(|b| b.helpers.iter().copied()).collect();
    for (id, name) in helpers.iter().filter_map(|id| Some((id, helper_name(*id)?))) {
        push(out, format_args!("static long (*const bpf_{name})(void) = (void *){id};\n"));
    }
    out.push_str("#endif\n");
}

/// Functions are defined from the last to the first, so that most references meet what is known; the others are declared.
fn declarations(out: &mut String, source: &Source<'_>, names: &Names) {
    let starts = source.layout.starts().get(1..).unwrap_or_default();
    if !starts.is_empty() {
        out.push('\n');
    }
    for start in starts {
        push(out, format_args!("{};\n", Form::of(source, *start).signature(names.func(*start))));
    }
    if starts.iter().any(|start| matches!(Form::of(source, *start), Form::Typed { .. })) {
        out.push('\n');
        out.push_str(&words::block_comment(asm_func::WHY_TYPED.lines()));
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
    let flags = tagged_flags(program);
    for (bit, name) in FLAG_NAMES {
        if flags & bit != 0 {
            push(out, format_args!("__flag({name})\n"));
        }
    }
    let unnamed = FLAG_NAMES.iter().fold(flags, |flags, (bit, _)| flags & !bit);
    if unnamed != 0 {
        push(out, format_args!("__flag({unnamed:#x})\n"));
    }
}

/// The section that says most of the program's type, and how much it says.
pub(super) fn section(program: &Program) -> (&'static str, Said) {
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
pub(super) enum Said {
    /// Type, attach type and the flags that are part of names.
    All,
    /// The type.
    Type,
    Nothing,
}

/// `BPF_F_SLEEPABLE` and `BPF_F_XDP_HAS_FRAGS`, which are part of a section's name.
const SECTION_FLAGS: u32 = 1 << 4 | 1 << 5;

/// The other flags of a load that have a name, and the name.
const FLAG_NAMES: [(u32, &str); 6] = [
    (1 << 0, "BPF_F_STRICT_ALIGNMENT"),
    (1 << 1, "BPF_F_ANY_ALIGNMENT"),
    (1 << 2, "BPF_F_TEST_RND_HI32"),
    (1 << 3, "BPF_F_TEST_STATE_FREQ"),
    (1 << 6, "BPF_F_XDP_DEV_BOUND_ONLY"),
    (1 << 7, "BPF_F_TEST_REG_INVARIANTS"),
];

/// Flags of the load that no section says, and which the runner of the kernel's tests takes from a tag.
pub(super) fn tagged_flags(program: &Program) -> u32 {
    program.prog_flags & !SECTION_FLAGS
}
