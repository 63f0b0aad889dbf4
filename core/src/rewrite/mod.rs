//! The rewrite of an accepted program: loops inlined, then dead branches, dead code and nops gone, in the kernel's order.
//!
//! Stands for what `bpf_check` does between the verifier and the JIT compiler: `remove_fastcall_spills_fills`, `optimize_bpf_loop`,
//! `opt_hard_wire_dead_code_branches`, `opt_remove_dead_code`, `opt_remove_nops`, and the one check of `fixup_call_args`
//! that can refuse a program on a machine with JIT (6.1 … 7.3). [`Plan::of`] decides, [`emit`] writes; a planted fault edits
//! the plan between the two.
//!
//! Left out: programs without `CAP_BPF`, whose
//! dead code is kept as traps; a limit on growth (a million instructions grow to nineteen million at most, which kernels
//! can hold). The passes after the nops (context access, division by zero, helper inlining, `may_goto` with its
//! stack slots) do not touch the program that is answered, which runs on our own executor: [`late_fixups`] applies them
//! to a copy, to compare with a kernel's dump.
//!
//! Invariants: every instruction of an answer has an origin, in ascending order; a jump's target has the original target
//! as its origin, unless that was removed; every subprogram that stays starts where the answer's layout says. The program
//! alone names the same subprograms, but for a global function of 6.1 whose calls are all dead, and but for references
//! that point behind the end where main alone is left: those are never followed.

mod ctx;
mod emit;
mod late;
mod normalise;
mod packet;
mod patches;
mod plan;
mod removal;
mod result;
mod text;
mod upper_half;

pub use late::{Late, LateError, Wild, late_fixups};
pub use normalise::{Comparison, as_dumped, compare, normalise};
pub use plan::{LoopInlining, Plan};
pub use result::{InlinedLoop, Rewritten};

use crate::isa::{Insn, InsnIdx, opcode};
use crate::kernel::limits::HELPER_LOOP;
use crate::kernel::{MissingSubprog, Rules};
use crate::program::{Func, Program};
use crate::verifier::{Errno, Facts, Rejection};
use text::Text;

/// Rewrites an accepted program. A program that kernels refuse this late is refused here too, with their reason.
pub fn rewrite(program: &Program, facts: &Facts, rules: &Rules) -> Result<Rewritten, Rejection> {
    emit(program, facts, &Plan::of(facts), rules)
}

/// Rewrites a program as planned.
pub fn emit(program: &Program, facts: &Facts, plan: &Plan, rules: &Rules) -> Result<Rewritten, Rejection> {
    let mut text = Text::new(program, facts);
    emit::inline_loops(&mut text, plan).map_err(|site| unpatchable(site, facts))?;
    emit::hard_wire_branches(&mut text);
    emit::remove_dead_code(&mut text);
    emit::remove_nops(&mut text, rules.rewrite.nops);
    let rewritten = finish(program, facts, plan, &text);
    refuse_unknown_kfunc(&rewritten, facts)?;
    check_late(&rewritten, facts, rules)?;
    Ok(rewritten)
}

/// Refuses a call of a kernel function that a loader could not find and that is not dead.
///
/// Kernel: `fixup_kfunc_call` (6.1 … 7.3).
#[doc(alias = "fixup_kfunc_call")]
fn refuse_unknown_kfunc(rewritten: &Rewritten, facts: &Facts) -> Result<(), Rejection> {
    let unknown = |i: &Insn| i.code == opcode::CALL && i.src() == opcode::PSEUDO_KFUNC_CALL && i.imm == 0;
    match rewritten.program.insns.iter().position(unknown) {
        Some(at) => Err(Rejection {
            at: rewritten.origin.get(at).copied(),
            errno: Errno::EINVAL,
            text: "invalid kernel function call not eliminated in verifier pass".to_owned(),
            insns_processed: facts.insns_processed,
            warning: None,
        }),
        None => Ok(()),
    }
}

/// Refuses what a kernel refuses after the passes that are not applied here: it is their program that it looks at, and
/// their indexes that it prints. Where something in them is not modelled, the index is that in our program.
///
/// Kernel: `do_misc_fixups`, `fixup_call_args` (6.1 … 7.3).
#[doc(alias = "fixup_call_args")]
fn check_late(rewritten: &Rewritten, facts: &Facts, rules: &Rules) -> Result<(), Rejection> {
    /// No late pass makes more of one instruction.
    const GROWTH_MAX: usize = 9;
    let insns = &rewritten.program.insns;
    let dangling = emit::dangling_reference(insns, &rewritten.layout);
    let may_goto = insns.iter().any(|i| i.code == opcode::MAY_GOTO);
    if dangling.is_none() && !may_goto && insns.len() * GROWTH_MAX <= i16::MAX as usize {
        return Ok(());
    }
    let origin = |at: InsnIdx| rewritten.origin.get(at.at()).copied();
    let late = match late_fixups(rewritten, rules) {
        Ok(late) => emit::dangling_reference(&late.insns, &late.layout)
            .map(|(at, target)| (late.origin.get(at).copied().unwrap_or_default(), target)),
        Err(LateError::JumpTooLong(at)) => return Err(unpatchable(origin(at).unwrap_or(at), facts)),
        Err(LateError::NotModelled { .. }) => dangling.map(|(at, target)| (InsnIdx(at as u32), target)),
    };
    let Some((at, target)) = late else {
        return Ok(());
    };
    let said = rules.rewrite.missing_subprog.text(target);
    let (text, warning) = match rules.rewrite.missing_subprog {
        MissingSubprog::KernelWarning => (String::new(), Some(said)),
        MissingSubprog::LogLine => (said, None),
    };
    Err(Rejection { at: origin(at), errno: Errno::EFAULT, text, insns_processed: facts.insns_processed, warning })
}

/// A jump across the instruction would have to be longer than 16 bits hold.
fn unpatchable(at: InsnIdx, facts: &Facts) -> Rejection {
    Rejection {
        at: Some(at),
        errno: Errno::ENOMEM,
        text: format!("insn {at} cannot be patched due to 16-bit range"),
        insns_processed: facts.insns_processed,
        warning: None,
    }
}

fn finish(program: &Program, facts: &Facts, plan: &Plan, text: &Text) -> Rewritten {
    let start_of = |site| text.place_of(site).map(|at| InsnIdx(at as u32));
    let inlined = plan
        .loops
        .iter()
        .filter_map(|l| Some(InlinedLoop { site: l.site, start: start_of(l.site)?, spill_base: l.spill_base }));
    let calls = text.insns().iter().zip(text.origin()).enumerate();
    let kept = calls.filter(|(_, (i, _))| i.code == opcode::CALL && i.src() == 0 && i.imm == HELPER_LOOP);
    Rewritten {
        program: Program { insns: text.insns().to_vec(), funcs: moved_funcs(program, facts, text), ..program.clone() },
        layout: text.layout(),
        origin: text.origin().to_vec(),
        stack_depth: text.subprogs().iter().map(|s| s.depth).collect(),
        inlined: inlined.collect(),
        kept: kept.map(|(at, (_, origin))| (*origin, InsnIdx(at as u32))).collect(),
        keeping_calls: facts.fastcall.calls.iter().filter_map(|(call, _)| start_of(*call)).collect(),
        ctx_accesses: facts.ctx_accesses.clone(),
        call_maps: facts.call_maps.clone(),
        writes_packet: facts.writes_packet,
    }
}

/// The functions whose subprograms are still there, at their new places.
fn moved_funcs(program: &Program, facts: &Facts, text: &Text) -> Vec<Func> {
    let moved = |func: &Func| {
        let original = facts.layout.starting(func.insn)?;
        let subprog = text.subprog(original)?;
        Some(Func { insn: InsnIdx(subprog.start), ..func.clone() })
    };
    program.funcs.iter().filter_map(moved).collect()
}

#[cfg(test)]
mod align;
#[cfg(test)]
mod cost_tests;
#[cfg(test)]
mod labels_test;
#[cfg(test)]
mod late_tests;
#[cfg(test)]
mod provenance;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
