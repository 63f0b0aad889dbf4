//! One normal form for rewritten programs, ours and those that a kernel dumps, and their comparison.
//!
//! A dump (`BPF_OBJ_GET_INFO_BY_FD`, as root) is a program with some fields overwritten by what belongs to one kernel or one
//! load. The normal form keeps the dump's encoding and replaces these fields:
//!
//! | instruction | field | normal form |
//! | --- | --- | --- |
//! | helper call | `imm`: address distance | the helper's number, where the build's table knows it |
//! | map reference | first `imm`: map id; `src` 5, 6 | 0; 1, 2 |
//! | function reference | second `imm` | the subprogram's number |
//! | local call | `off`, `imm` | the distance, or 0 when 16 bits do not hold it; the subprogram's number |
//!
//! Kernels differ in the last line where a distance does not fit (up to 6.18 `off` is cut to 16 bits and `imm` is -2; the
//! normal form has 0 for the number of a subprogram that nothing in reach names), and
//! where one subprogram is left, so that nothing was JIT-compiled apart (up to 6.18 `off` is 0 and `imm` the distance; the
//! normal form is that of 7.3, the distance and 0). [`normalise`] maps all of them to the same; [`as_dumped`] gives
//! a program of ours the dump's encoding first.

use super::late::{Late, Wild};
use crate::isa::{Insn, InsnIdx, opcode};
use crate::kernel::HelperImms;
use crate::program::Layout;
use std::collections::BTreeMap;

/// Writes a program's calls and function references as a dump does: distance and number of the subprogram.
pub fn as_dumped(insns: &[Insn], layout: &Layout) -> Vec<Insn> {
    let mut out = insns.to_vec();
    let number = |at: usize, rel: i32| {
        let target = InsnIdx(at as u32).offset(i64::from(rel) + 1)?;
        Some(i32::from(layout.starting(target)?.0))
    };
    for (at, insn) in insns.iter().enumerate() {
        if is_local_call(*insn) {
            let off = i16::try_from(insn.imm).unwrap_or(0);
            out[at] = Insn { off, imm: number(at, insn.imm).unwrap_or(0), ..*insn };
        } else if is_function_reference(*insn)
            && let Some(second) = out.get_mut(at + 1)
        {
            second.imm = if layout.len() > 1 { number(at, insn.imm).unwrap_or(0) } else { second.imm };
        }
    }
    out
}

/// The normal form of a dump, ours or a kernel's. `helpers` is the table of the kernel's build, or
/// [`HelperImms::NUMBERS`] for ours.
pub fn normalise(insns: &[Insn], helpers: HelperImms) -> Vec<Insn> {
    let starts = known_starts(insns);
    let mut out = Vec::with_capacity(insns.len());
    let mut second_half_of = None;
    for (at, insn) in insns.iter().enumerate() {
        let normal = match (second_half_of.take(), insn.code, insn.src()) {
            (Some(opcode::PSEUDO_FUNC), ..) if starts.is_empty() => Insn { imm: 0, ..*insn },
            (Some(_), ..) => *insn,
            (None, opcode::LD_IMM64, src) => {
                second_half_of = Some(src);
                normal_reference(*insn)
            }
            (None, opcode::CALL, 0) => Insn { imm: helpers.number(insn.imm), ..*insn },
            (None, opcode::CALL, opcode::PSEUDO_CALL) => normal_call(at, *insn, &starts),
            _ => *insn,
        };
        out.push(normal);
    }
    out
}

fn is_local_call(insn: Insn) -> bool {
    insn.code == opcode::CALL && insn.src() == opcode::PSEUDO_CALL
}

fn is_function_reference(insn: Insn) -> bool {
    insn.is_ld_imm64() && insn.src() == opcode::PSEUDO_FUNC
}

/// The subprograms that a dump names, by number: function references and calls in reach hold both number and distance.
/// Empty for a program whose subprograms were not compiled apart.
fn known_starts(insns: &[Insn]) -> BTreeMap<i32, i64> {
    let mut starts = BTreeMap::new();
    for (at, insn) in insns.iter().enumerate() {
        let (number, rel) = if is_local_call(*insn) && insn.off != 0 && insn.imm > 0 {
            (insn.imm, i64::from(insn.off))
        } else if let (true, Some(second)) = (is_function_reference(*insn), insns.get(at + 1)) {
            (second.imm, i64::from(insn.imm))
        } else {
            continue;
        };
        if number > 0 {
            starts.insert(number, at as i64 + 1 + rel);
        }
    }
    starts
}

fn normal_reference(insn: Insn) -> Insn {
    match insn.src() {
        opcode::PSEUDO_MAP | opcode::PSEUDO_MAP_VALUE => Insn { imm: 0, ..insn },
        src @ (5 | 6) => Insn::new(insn.code, insn.dst(), src - 4, insn.off, 0),
        _ => insn,
    }
}

/// See the module's table and what follows it.
fn normal_call(at: usize, call: Insn, starts: &BTreeMap<i32, i64>) -> Insn {
    let cut_distance_of = |start: i64| (at as i64 + 1 + i64::from(call.off) - start) % (1 << 16) == 0;
    match (call.off, call.imm) {
        (0, rel) if starts.is_empty() => Insn { off: i16::try_from(rel).unwrap_or(0), imm: 0, ..call },
        (_, ..0) => {
            let found = starts.iter().find(|(_, start)| cut_distance_of(**start));
            Insn { off: 0, imm: found.map_or(0, |(number, _)| *number), ..call }
        }
        // Nothing in reach names it, so a number that was lost cannot be found again.
        (0, number) if !starts.contains_key(&number) => Insn { imm: 0, ..call },
        _ => call,
    }
}

/// How a kernel's dump compares with a late program of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Comparison {
    /// Nothing differs, but this many fields could not be compared.
    Same {
        /// How many instructions had a field that belongs to one build or one boot.
        wild: usize,
    },
    /// The first difference.
    Different {
        /// Index into both programs.
        at: usize,
        /// Ours in normal form, `None` past the end.
        ours: Option<Insn>,
        /// The kernel's in normal form, `None` past the end.
        kernel: Option<Insn>,
    },
}

/// Compares a late program of ours with a kernel's dump.
pub fn compare(ours: &Late, kernel: &[Insn], helpers: HelperImms) -> Comparison {
    let mine = normalise(&as_dumped(&ours.insns, &ours.layout), HelperImms::NUMBERS);
    let theirs = normalise(kernel, helpers);
    let wild = |at: usize| ours.wild.get(at).copied().unwrap_or(Wild::Nothing);
    let blank = |at: usize, insn: Insn| match wild(at) {
        Wild::Nothing => insn,
        Wild::Off => Insn { off: 0, ..insn },
        Wild::Imm => Insn { imm: 0, ..insn },
    };
    for at in 0..mine.len().max(theirs.len()) {
        let ours = mine.get(at).map(|i| blank(at, *i));
        let kernel = theirs.get(at).map(|i| blank(at, *i));
        if ours != kernel {
            return Comparison::Different { at, ours, kernel };
        }
    }
    Comparison::Same { wild: ours.wild.iter().filter(|w| **w != Wild::Nothing).count() }
}
