//! The verifier's entry: all its parts in the kernel's order, and the facts that are left when they agree.

use super::depth;
use super::liveness::Liveness;
use super::log::{self, Believed, Log, LogLevel};
use super::structure::{self, Structure};
use super::tables::{analyse_liveness, live_registers};
use super::verdict::{Errno, Facts, LoopSite, Rejection, SiteState, Unsupported, Verdict};
use super::walker::{Check, Statistics, Stop, Walker};
use crate::btf::Linkage;
use crate::isa::{InsnIdx, Op};
use crate::kernel::limits::HELPER_LOOP;
use crate::kernel::{BugReport, GlobalSubprogs, LivenessModel, Rules};
use crate::program::{Program, SubprogIdx};

/// Verifies a program under the rules of a kernel.
///
/// Kernel: `bpf_check` (6.1 … 7.3), up to the rewrites.
#[doc(alias = "bpf_check")]
pub fn verify(program: &Program, rules: &Rules) -> Verdict {
    check(program, rules, None, u32::MAX).0
}

/// The same, but gives up after `walk_max` instructions: the answer is then that such a walk is not supported. For
/// campaigns, in which one program whose states explode costs as much as ten thousand others.
pub fn verify_within(program: &Program, rules: &Rules, walk_max: u32) -> Verdict {
    check(program, rules, None, walk_max).0
}

/// The same with the kernel's log of it.
pub fn verify_with_log(program: &Program, rules: &Rules, level: LogLevel) -> (Verdict, String) {
    check(program, rules, Some(level), u32::MAX)
}

/// Both: gives up after `walk_max` instructions, with the log of what was walked.
pub fn verify_within_with_log(program: &Program, rules: &Rules, level: LogLevel, walk_max: u32) -> (Verdict, String) {
    check(program, rules, Some(level), walk_max)
}

/// What the verifier believes of registers and stack whenever it comes to an instruction.
pub fn believed_at(program: &Program, rules: &Rules, at: InsnIdx, walk_max: u32) -> Believed {
    let Ok(structure) = structure::check(program, rules) else { return Believed::default() };
    let mut log = Log::new(program, &structure, rules, LogLevel::Path);
    log.watch(at);
    let liveness = match liveness(program, &structure, rules) {
        Ok(liveness) => liveness,
        Err(_) => return Believed::default(),
    };
    let mut walker = Walker::new(program, &structure, rules, liveness.as_ref(), Some(log), walk_max);
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

fn check(program: &Program, rules: &Rules, level: Option<LogLevel>, walk_max: u32) -> (Verdict, String) {
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
    let mut walker = Walker::new(program, &structure, rules, liveness.as_ref(), log, walk_max);
    let verdict = match walk_program(&mut walker) {
        Ok(()) => Verdict::Accepted(facts(&walker)),
        Err(stop) => refused(&walker, stop),
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
    depth::check(walker.structure, &walker.subprogs, walker.program.prog_type, walker.rules)
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

fn refused(walker: &Walker<'_>, stop: Stop) -> Verdict {
    match stop {
        Stop::Reject { errno, text } => rejected(walker, errno, text, None),
        Stop::Bug { warning, line } => match walker.rules.walk.bug_report {
            BugReport::Line => rejected(walker, Errno::EFAULT, format!("verifier bug: {warning}"), None),
            BugReport::Warning => {
                let said = line.or_else(|| walker.remark.as_deref().map(str::to_owned)).unwrap_or_default();
                rejected(walker, Errno::EFAULT, said, Some(format!("verifier bug: {warning}")))
            }
        },
        Stop::Unsupported(what) => Verdict::Unsupported(Unsupported { at: Some(walker.at), what }),
    }
}

fn rejected(walker: &Walker<'_>, errno: Errno, text: String, warning: Option<String>) -> Verdict {
    Verdict::Rejected(Rejection { at: Some(walker.at), errno, text, insns_processed: walker.insns_processed, warning })
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
        stack_depth: walker.subprogs.iter().map(|s| s.depth).collect(),
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
