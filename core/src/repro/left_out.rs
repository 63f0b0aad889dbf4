//! What the first style cannot say of a program, in sentences.

use super::asm::{Said, Source, section, tagged_flags};
use super::asm_body::Names;
use super::asm_func::ARGS_MAX;
use super::words;
use crate::btf::Linkage;
use crate::isa::InsnIdx;
use crate::program::{Func, subprog_target};
use std::collections::BTreeSet;

/// Adds what the file as a whole leaves out; what instructions leave out stands before.
pub(super) fn of_asm(source: &Source<'_>, names: &Names, left_out: &mut Vec<String>) {
    names.maps.left_out(source, left_out);
    order(source, names, left_out);
    load(source, left_out);
    functions(source, left_out);
}

/// A linker puts each function where it is first referred to, and takes those alone that something refers to.
fn order(source: &Source<'_>, names: &Names, left_out: &mut Vec<String>) {
    let mut linked = Vec::new();
    let mut seen = BTreeSet::new();
    let mut open = vec![InsnIdx(0)];
    while let Some(start) = open.pop() {
        if !seen.insert(start) {
            continue;
        }
        linked.push(start);
        let Some(subprog) = source.layout.starting(start) else { continue };
        let within = source.ops_of(subprog).iter().rev();
        let targets = within.filter_map(|(at, op)| subprog_target(*at, op.as_ref().ok()?));
        open.extend(targets.filter(|t| source.layout.starting(*t).is_some()));
    }
    let starts = source.layout.starts();
    if !linked.is_sorted() {
        let order: Vec<&str> = starts.iter().map(|start| names.func(*start)).collect();
        left_out.push(format!("The original has its functions in the order {}.", order.join(", ")));
    }
    for start in starts.iter().filter(|start| !seen.contains(start)) {
        left_out.push(format!("Nothing that is run refers to {}, so a linker leaves it out.", names.func(*start)));
    }
}

/// Type, attach type and flags.
fn load(source: &Source<'_>, left_out: &mut Vec<String>) {
    let program = source.program;
    let type_and_attach = format!("program type {}, attach type {}", program.prog_type, program.expected_attach_type);
    let named = program.prog_flags & !tagged_flags(program);
    match section(program).1 {
        Said::All => {}
        Said::Type => left_out.push(format!("No section says {type_and_attach} and flags {named:#x} together.")),
        Said::Nothing => left_out.push(format!("No section says {type_and_attach}: set it before the load.")),
    }
    let tagged = tagged_flags(program);
    if tagged != 0 {
        left_out.push(format!(
            "The load has the flags {tagged:#x}: the kernel's test runner sets them by the tag, a plain loader does not, and \
             the verifier may answer otherwise without them."
        ));
    }
}

/// BTF and `func_info`.
fn functions(source: &Source<'_>, left_out: &mut Vec<String>) {
    let program = source.program;
    if program.funcs.is_empty() {
        left_out.push("The original comes without BTF.".to_owned());
        return;
    }
    if program.btf.is_some() {
        left_out.push("The original has a BTF of its own; here clang writes one.".to_owned());
    }
    if !program.funcs.is_sorted_by_key(|f| f.insn) {
        left_out.push("The original's func_info is not in the order of the functions.".to_owned());
    }
    let mut named = BTreeSet::new();
    for func in &program.funcs {
        if !named.insert(func.insn) {
            left_out.push(format!("func_info also names \"{}\" at {}.", func.name, func.insn));
        } else if source.layout.starting(func.insn).is_none() {
            left_out
                .push(format!("func_info also names \"{}\" at {}, where no function starts.", func.name, func.insn));
        }
        one(func, left_out);
    }
    for start in source.layout.starts().iter().filter(|start| !named.contains(start)) {
        left_out.push(format!("The original's func_info says nothing of the function at {start}."));
    }
}

fn one(func: &Func, left_out: &mut Vec<String>) {
    if func.linkage == Linkage::Extern {
        left_out.push(format!("The original's function \"{}\" is extern; here it is static.", func.name));
    }
    if func.linkage == Linkage::Global && func.args > ARGS_MAX && func.insn.0 != 0 {
        left_out.push(format!("The original's function \"{}\" has {} parameters.", func.name, func.args));
    }
    if !words::is_identifier(&func.name) {
        left_out.push(format!(
            "The original's function at {} is called \"{}\", which a BTF may not hold.",
            func.insn, func.name
        ));
    }
}
