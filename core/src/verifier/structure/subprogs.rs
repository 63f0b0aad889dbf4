//! Subprograms: where they start, and that no jump leaves them.

use super::Refusal;
use super::flow::{Flow, class};
use super::signature::{Signature, SignatureFault};
use crate::btf::Linkage;
use crate::isa::{Insn, InsnIdx, opcode};
use crate::kernel::limits::SUBPROGS_MAX;
use crate::kernel::{HELPER_TAIL_CALL, InsnSet, StructureRules};
use crate::program::{Layout, Program, SubprogIdx};
use crate::verifier::Errno;
use std::collections::BTreeSet;

/// A subprogram and what its instructions alone say of it.
///
/// Kernel: `struct bpf_subprog_info` (6.1 … 7.3).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[doc(alias = "bpf_subprog_info")]
pub struct Subprog {
    /// First instruction.
    pub start: InsnIdx,
    /// The index after the last instruction.
    pub end: InsnIdx,
    /// Name in BTF; `None` without BTF.
    pub name: Option<String>,
    /// Linkage in BTF; `None` without BTF.
    pub linkage: Option<Linkage>,
    /// What its prototype says; `None` without BTF.
    pub signature: Option<Result<Signature, SignatureFault>>,
    /// Whether it holds a call of `bpf_tail_call`.
    pub has_tail_call: bool,
    /// Whether it holds a legacy packet load.
    pub has_ld_abs: bool,
    /// Its last `exit`, if there is one.
    #[doc(alias = "exit_idx")]
    pub exit: Option<InsnIdx>,
    /// Calls of subprograms: the call and the callee, in program order.
    pub calls: Vec<(InsnIdx, SubprogIdx)>,
    /// Function references: the `ld_imm64` and the subprogram, in program order.
    pub refs: Vec<(InsnIdx, SubprogIdx)>,
    /// Whether it, or a subprogram that it calls or refers to, calls a helper that may move packet data; a tail call
    /// counts. Kernels use this for calls of global subprograms from 6.13 on, and 6.12 by backport.
    pub changes_packet_data: bool,
}

/// Finds the subprograms, and the first call of a kernel function.
///
/// Kernel: `add_subprog`, `add_subprog_and_kfunc` (6.1 … 6.18), `add_subprogs` (7.3).
#[doc(alias = "add_subprog_and_kfunc")]
#[doc(alias = "add_subprogs")]
pub(super) fn discover(program: &Program) -> Result<(Layout, Option<InsnIdx>), Refusal> {
    let end = InsnIdx(program.insns.len() as u32);
    let mut starts = BTreeSet::from([InsnIdx(0)]);
    let mut kfunc = None;
    for (at, insn) in program.insns.iter().enumerate() {
        let at = InsnIdx(at as u32);
        if is_kfunc_call(*insn) {
            kfunc = kfunc.or(Some(at));
        }
        let Some(target) = callee(at, *insn) else {
            continue;
        };
        let Some(start) = u32::try_from(target).ok().map(InsnIdx).filter(|t| *t < end) else {
            return Err(Refusal::invalid(at, "call to invalid destination"));
        };
        if starts.insert(start) && starts.len() > SUBPROGS_MAX {
            return Err(Refusal::rejected(Some(at), Errno::E2BIG, "too many subprograms"));
        }
    }
    Ok((Layout::from_starts(starts.into_iter().collect(), end), kfunc))
}

/// The target of a call of a subprogram or of a function reference.
fn callee(at: InsnIdx, insn: Insn) -> Option<i64> {
    match Flow::of(at, insn) {
        Flow::FuncRef(target) => Some(target),
        Flow::CallLocal(target) if insn.code == opcode::CALL => Some(target),
        _ => None,
    }
}

/// A call of a kernel function; number 0 stands for one that a loader could not find, and is refused unless it turns out to be dead.
fn is_kfunc_call(insn: Insn) -> bool {
    insn.code == opcode::CALL && insn.src() == opcode::PSEUDO_KFUNC_CALL && (insn.imm != 0 || insn.off != 0)
}

/// Kernel functions need the kernel's own BTF.
pub(super) fn refuse_kfunc(first: Option<InsnIdx>) -> Result<(), Refusal> {
    match first {
        Some(at) => Err(Refusal::unsupported(Some(at), "call of a kernel function")),
        None => Ok(()),
    }
}

/// Checks that jumps stay within their subprogram and that no subprogram runs into the next, and gathers what single
/// instructions say.
///
/// Kernel: `check_subprogs` (6.1 … 7.3).
#[doc(alias = "check_subprogs")]
pub(super) fn check(program: &Program, rules: &StructureRules, layout: &Layout) -> Result<Vec<Subprog>, Refusal> {
    let mut subprogs = Vec::with_capacity(layout.len());
    for n in 0..layout.len() {
        let n = SubprogIdx(n as u16);
        let mut subprog = Subprog { start: layout.start(n), end: layout.end(n), ..Subprog::default() };
        for at in subprog.start.0..subprog.end.0 {
            let at = InsnIdx(at);
            if let Some(insn) = program.insn(at) {
                check_jump(&subprog, rules, at, insn)?;
                note(&mut subprog, layout, at, insn);
            }
        }
        subprogs.push(subprog);
    }
    Ok(subprogs)
}

fn check_jump(subprog: &Subprog, rules: &StructureRules, at: InsnIdx, insn: Insn) -> Result<(), Refusal> {
    let flow = Flow::of(at, insn);
    let target = match flow {
        Flow::Jump(target) | Flow::Branch(target) => Some(target),
        // Where `gotox` is not known, its opcode counts as a jump until opcodes are looked at.
        Flow::Indirect if !is_gotox(rules, insn) => Some(i64::from(at.0) + i64::from(insn.off) + 1),
        _ => None,
    };
    if let Some(target) = target
        && !(i64::from(subprog.start.0)..i64::from(subprog.end.0)).contains(&target)
    {
        return Err(Refusal::invalid(at, format!("jump out of range from insn {at} to {target}")));
    }
    let leaves = matches!(insn.code, opcode::EXIT | opcode::JA | opcode::JA32) || is_gotox(rules, insn);
    if at.next() == subprog.end && !leaves {
        return Err(Refusal::invalid(at, "last insn is not an exit or jmp"));
    }
    Ok(())
}

fn is_gotox(rules: &StructureRules, insn: Insn) -> bool {
    insn.code == super::fields::GOTOX && rules.insn_set >= InsnSet::Indirect
}

fn note(subprog: &mut Subprog, layout: &Layout, at: InsnIdx, insn: Insn) {
    if insn.code == opcode::CALL && insn.src() == 0 && insn.imm == HELPER_TAIL_CALL {
        subprog.has_tail_call = true;
    }
    if insn.code & 7 == class::LD && matches!(insn.code >> 5, 1 | 2) {
        subprog.has_ld_abs = true;
    }
    if Flow::of(at, insn) == Flow::Exit {
        subprog.exit = Some(at);
    }
    if let Some(target) = callee(at, insn)
        && let Some(n) = u32::try_from(target).ok().and_then(|t| layout.starting(InsnIdx(t)))
    {
        let list = if insn.is_ld_imm64() { &mut subprog.refs } else { &mut subprog.calls };
        list.push((at, n));
    }
}
