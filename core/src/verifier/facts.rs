//! The verifier's entry: all its parts in the kernel's order, and the facts that are left when they agree.

use super::budget::Budget;
use super::depth;
use super::liveness::Liveness;
use super::log::{self, Believed, Log, LogLevel};
use super::state::Kind;
use super::structure::{self, Structure};
use super::tables::{analyse_liveness, live_registers};
use super::verdict::{Errno, Facts, FastcallRemoval, LoopSite, Rejection, SiteState, Unsupported, Verdict};
use super::walker::{Check, InsnFacts, Statistics, Stop, Walker};
use crate::btf::{Linkage, Refused, validate};
use crate::isa::{InsnIdx, Op};
use crate::kernel::limits::HELPER_LOOP;
use crate::kernel::{BugReport, GlobalSubprogs, LivenessModel, Rules};
use crate::program::{Program, SubprogIdx};
use std::borrow::Cow;

/// Verifies a program under the rules of a kernel.
///
/// Kernel: `bpf_check` (6.1 … 7.3), up to the rewrites.
#[doc(alias = "bpf_check")]
pub fn verify(program: &Program, rules: &Rules) -> Verdict {
    check(program, rules, None, Budget::default()).0
}

/// The same within another budget than the default: the answer is that a walk is not supported that takes more. For
/// campaigns, in which one program whose states explode costs as much as ten thousand others.
pub fn verify_within(program: &Program, rules: &Rules, budget: Budget) -> Verdict {
    check(program, rules, None, budget).0
}

/// The same with the kernel's log of it.
pub fn verify_with_log(program: &Program, rules: &Rules, level: LogLevel) -> (Verdict, String) {
    check(program, rules, Some(level), Budget::default())
}

/// Both: within a budget, with the log of what was walked.
pub fn verify_within_with_log(program: &Program, rules: &Rules, level: LogLevel, budget: Budget) -> (Verdict, String) {
    check(program, rules, Some(level), budget)
}

/// The program as it comes to a kernel: without BTF and `func_info` where those are optional and the kernel refuses them.
///
/// Kernel: none; libbpf's `bpf_object__sanitize_and_load_btf` and `bpf_object_load_prog`.
pub fn as_loaded<'p>(program: &'p Program, rules: &Rules) -> Cow<'p, Program> {
    match refused_types(program, rules) {
        Some(_) => Cow::Owned(Program { btf: None, funcs: Vec::new(), ..program.clone() }),
        None => Cow::Borrowed(program),
    }
}

/// Why a kernel refuses BTF that the program can do without; `None` when it takes it, or when the program cannot.
fn refused_types(program: &Program, rules: &Rules) -> Option<Refused> {
    let types = program.btf.as_ref().filter(|_| program.btf_optional && !program.funcs.is_empty())?;
    validate(types, &rules.btf).err()
}

/// What people should know of a verdict: the program's own notes, and whether its BTF was left out.
pub fn notes(program: &Program, rules: &Rules) -> Vec<String> {
    let dropped = refused_types(program, rules).map(|refused| {
        format!(
            "the kernel refuses the BTF ({}), so libbpf loads the program without BTF and func_info",
            refused.message
        )
    });
    program.notes.iter().cloned().chain(dropped).collect()
}

/// What the verifier believes of registers and stack whenever it comes to an instruction.
pub fn believed_at(program: &Program, rules: &Rules, at: InsnIdx, budget: Budget) -> Believed {
    let program = &*as_loaded(program, rules);
    let Ok(structure) = structure::check(program, rules) else { return Believed::default() };
    let mut log = Log::new(program, &structure, rules, LogLevel::Path);
    log.watch(at);
    let liveness = match liveness(program, &structure, rules) {
        Ok(liveness) => liveness,
        Err(_) => return Believed::default(),
    };
    let mut walker = Walker::new(program, &structure, rules, liveness.as_ref(), Some(log), budget);
    // How it ends is no matter: what was seen before stays.
    let _ = walk_program(&mut walker);
    walker.log.take().map(Log::believed).unwrap_or_default()
}

fn liveness(program: &Program, structure: &Structure, rules: &Rules) -> Result<Option<Liveness>, Rejection> {
    match rules.walk.liveness {
        LivenessModel::ReadMarks => Ok(None),
        LivenessModel::Recorded => Ok(Some(live_registers(program, structure, rules))),
        LivenessModel::Static => analyse_liveness(program, structure, rules),
    }
}

fn check(program: &Program, rules: &Rules, level: Option<LogLevel>, budget: Budget) -> (Verdict, String) {
    let program = &*as_loaded(program, rules);
    let structure = match structure::check(program, rules) {
        Ok(structure) => structure,
        Err(refusal) => {
            let verdict = Verdict::from(refusal);
            let text = level.map_or_else(String::new, |_| log::refusal(&verdict));
            return (verdict, text);
        }
    };
    let mut log = level.map(|level| Log::new(program, &structure, rules, level));
    let liveness = match liveness(program, &structure, rules) {
        Ok(liveness) => liveness,
        Err(rejection) => return finish(Verdict::Rejected(rejection), log, &Statistics::default()),
    };
    if let (Some(log), Some(liveness)) = (&mut log, &liveness) {
        log.live_registers(liveness);
    }
    let mut walker = Walker::new(program, &structure, rules, liveness.as_ref(), log, budget);
    let verdict = match walk_program(&mut walker) {
        Ok(()) => Verdict::Accepted(facts(&walker)),
        Err(stop) => refused(&mut walker, stop),
    };
    finish(verdict, walker.log.take(), &walker.statistics)
}

/// The verdict, and the log with its last lines.
fn finish(verdict: Verdict, log: Option<Log<'_>>, statistics: &Statistics) -> (Verdict, String) {
    let Some(mut log) = log else { return (verdict, String::new()) };
    let insns_processed = match &verdict {
        Verdict::Accepted(facts) => facts.insns_processed,
        Verdict::Rejected(rejection) => {
            log.message(&rejection.text);
            rejection.insns_processed
        }
        Verdict::Unsupported(unsupported) => {
            log.message(&format!("not modelled: {}", unsupported.what));
            0
        }
    };
    log.statistics(insns_processed, statistics);
    (verdict, log.finish())
}

fn walk_program(walker: &mut Walker<'_>) -> Check {
    match walker.rules.walk.global_subprogs {
        GlobalSubprogs::AllFirst => {
            for subprog in globals(walker.structure) {
                walker.walk_function(subprog)?;
            }
            walker.walk_function(SubprogIdx::MAIN)?;
        }
        GlobalSubprogs::CalledAfterMain => {
            walker.walk_function(SubprogIdx::MAIN)?;
            while let Some(subprog) = next_called(walker) {
                walker.walk_function(subprog)?;
                walker.subprogs[subprog.at()].verified = true;
            }
        }
    }
    let removal = fastcall_removal(walker);
    let depths = if removal.calls.is_empty() { stack_depths(walker) } else { removal.stack_depth };
    depth::check(walker.structure, &walker.subprogs, &depths, walker.program.prog_type, walker.rules)
}

fn stack_depths(walker: &Walker<'_>) -> Vec<u16> {
    walker.subprogs.iter().map(|s| s.depth).collect()
}

/// What goes of the spills around calls that keep R1 to R5: all of a subprogram in which nothing else uses their slots.
///
/// Kernel: `remove_fastcall_spills_fills` (6.12 … 7.3), the deciding half.
#[doc(alias = "remove_fastcall_spills_fills")]
fn fastcall_removal(walker: &Walker<'_>) -> FastcallRemoval {
    let structure = walker.structure;
    let subprog_of = |at: InsnIdx| structure.layout.containing(at);
    let stays = |at: InsnIdx| walker.subprogs[subprog_of(at).at()].patterns_below == i16::MIN;
    let calls: Vec<(InsnIdx, u8)> = structure.fastcall.calls.iter().filter(|(at, _)| !stays(*at)).copied().collect();
    if calls.is_empty() {
        return FastcallRemoval::default();
    }
    let mut same_stack = stack_depths(walker);
    let mut stack_depth = same_stack.clone();
    for (call, _) in &calls {
        let subprog = subprog_of(*call);
        let above = walker.subprogs[subprog.at()].patterns_below.unsigned_abs();
        same_stack[subprog.at()] = above;
        if !structure.fastcall.stack(subprog).keep {
            stack_depth[subprog.at()] = above;
        }
    }
    FastcallRemoval { calls, stack_depth, same_stack }
}

fn globals(structure: &Structure) -> Vec<SubprogIdx> {
    (1..structure.layout.len())
        .map(|n| SubprogIdx(n as u16))
        .filter(|s| structure.subprogs[s.at()].linkage == Some(Linkage::Global))
        .collect()
}

/// The next global function that was called and not yet verified. The kernel goes over them in rounds, which comes to the
/// same order within a round.
fn next_called(walker: &Walker<'_>) -> Option<SubprogIdx> {
    globals(walker.structure).into_iter().find(|s| {
        let facts = &walker.subprogs[s.at()];
        facts.called && !facts.verified
    })
}

fn refused(walker: &mut Walker<'_>, stop: Stop) -> Verdict {
    match stop {
        Stop::Reject { errno, text } => {
            if let Some(log) = &mut walker.log {
                log.message(&text);
            }
            let reason = text.rsplit_once('\n').map_or(text.as_str(), |(_, last)| last).to_owned();
            rejected(walker, errno, reason, None)
        }
        Stop::Bug { warning, line } => match walker.rules.walk.bug_report {
            BugReport::Line => rejected(walker, Errno::EFAULT, format!("verifier bug: {warning}"), None),
            BugReport::Warning => {
                let said = line.or_else(|| walker.remark.as_deref().map(str::to_owned)).unwrap_or_default();
                rejected(walker, Errno::EFAULT, said, Some(format!("verifier bug: {warning}")))
            }
        },
        Stop::Unsupported(what) => Verdict::Unsupported(Unsupported { at: Some(walker.at), what, spent: false }),
        Stop::Spent(what) => Verdict::Unsupported(Unsupported { at: Some(walker.at), what, spent: true }),
    }
}

fn rejected(walker: &Walker<'_>, errno: Errno, text: String, warning: Option<String>) -> Verdict {
    Verdict::Rejected(Rejection { at: Some(walker.at), errno, text, insns_processed: walker.insns_processed, warning })
}

fn numbered(insns: &[InsnFacts]) -> impl Iterator<Item = (InsnIdx, &InsnFacts)> {
    (0..).map(InsnIdx).zip(insns)
}

/// Kernel: what `convert_ctx_accesses` looks at (6.1 … 7.3).
fn ctx_accesses(walker: &Walker<'_>) -> Vec<InsnIdx> {
    let moves =
        |at: InsnIdx| matches!(walker.structure.ops.get(at.at()), Some(Some(Op::Load { .. } | Op::Store { .. })));
    let of_ctx = numbered(&walker.insns).filter(|(_, facts)| facts.pointer == Some(Kind::Ctx));
    of_ctx.map(|(at, _)| at).filter(|at| moves(*at)).collect()
}

fn facts(walker: &Walker<'_>) -> Facts {
    let structure = walker.structure;
    let loops = structure
        .ops
        .iter()
        .enumerate()
        .filter(|(_, op)| matches!(op, Some(Op::CallHelper { id: HELPER_LOOP })))
        .map(|(n, _)| {
            let insn = InsnIdx(n as u32);
            let state = match walker.insns[n].site {
                None => SiteState::NeverReached,
                Some(Ok(callback)) => SiteState::Fit(callback),
                Some(Err(why)) => SiteState::Unfit(why),
            };
            LoopSite { insn, subprog: structure.layout.containing(insn), state }
        })
        .collect();
    Facts {
        layout: structure.layout.clone(),
        seen: walker.insns.iter().map(|i| i.seen).collect(),
        loops,
        stack_depth: stack_depths(walker),
        fastcall: fastcall_removal(walker),
        ctx_accesses: ctx_accesses(walker),
        call_maps: numbered(&walker.insns).filter_map(|(at, facts)| Some((at, facts.map??))).collect(),
        insns_processed: walker.insns_processed,
        writes_packet: walker.writes_packet,
        folded: structure
            .folded
            .iter()
            .filter_map(|at| match structure.ops.get(at.at())?.as_ref()? {
                Op::Jump { off, .. } => Some((*at, i16::try_from(*off).ok()?)),
                _ => None,
            })
            .collect(),
    }
}
