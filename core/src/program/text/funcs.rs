//! The functions that a body has when its header does not say.

use crate::btf::Linkage;
use crate::isa::{Imm64, InsnIdx, Op, decode, default_func_name};
use crate::program::{Func, Layout, Program};
use std::collections::{BTreeMap, BTreeSet};

/// Linkages by name.
pub(super) const LINKAGES: [(&str, Linkage); 3] =
    [("static", Linkage::Static), ("global", Linkage::Global), ("extern", Linkage::Extern)];

/// Arguments of a function that is not said to have another number: the context, or one value.
pub(super) const ARGS_DEFAULT: u8 = 1;
/// Arguments of a callback: the index and the context, as `bpf_loop` gives them.
const CALLBACK_ARGS: u8 = 2;

/// Main is global, everything else static.
pub(super) fn default_linkage(insn: InsnIdx) -> Linkage {
    if insn.0 == 0 { Linkage::Global } else { Linkage::Static }
}

/// The name of the function at a place.
pub(super) fn name_of(insn: InsnIdx, names: &BTreeMap<InsnIdx, String>) -> String {
    names.get(&insn).cloned().unwrap_or_else(|| default_func_name(insn))
}

/// One function for each subprogram, named by its label. Those whose address is taken have two arguments.
pub(super) fn default_funcs(program: &Program, names: &BTreeMap<InsnIdx, String>) -> Vec<Func> {
    if program.insns.is_empty() {
        return Vec::new();
    }
    let callbacks = address_taken(program);
    let layout = Layout::of(program);
    let func = |insn: &InsnIdx| Func {
        insn: *insn,
        name: name_of(*insn, names),
        linkage: default_linkage(*insn),
        args: if callbacks.contains(insn) { CALLBACK_ARGS } else { ARGS_DEFAULT },
        type_id: None,
    };
    layout.starts().iter().map(func).collect()
}

fn address_taken(program: &Program) -> BTreeSet<InsnIdx> {
    let mut out = BTreeSet::new();
    for (n, insn) in program.insns.iter().enumerate() {
        if !insn.is_ld_imm64() {
            continue;
        }
        let at = InsnIdx(n as u32);
        if let Ok(op @ Op::LdImm64 { imm: Imm64::Func { .. }, .. }) = decode(*insn, program.insn(at.next())) {
            out.extend(op.target(at));
        }
    }
    out
}
