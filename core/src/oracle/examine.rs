//! One program through everything: verify, rewrite, run both forms, compare.

use super::finding::{Finding, Vacuous};
use super::judge;
use crate::exec::{
    Detail, End, ExecRules, Form, Image, Limits, Machine, Outcome, Site, SiteKind, UninitStackRead, first_difference,
};
use crate::isa::{InsnIdx, Op, decode};
use crate::kernel::{ProgType, Rules, ctx};
use crate::program::{Input, Program, SubprogIdx, subprog_target};
use crate::rewrite::{self, Plan, Rewritten};
use crate::verifier::{self, Facts, Rejection, SiteState, Verdict};

/// How a program is examined.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bounds of each run. Its detail is that of the first attempt; a difference is looked at again in full.
    pub limits: Limits,
    /// Instructions after which a verification is given up, as not supported.
    pub walk_max: u32,
    /// A change of the plan between planning and emitting: a planted fault. `None` for the kernel's plan.
    pub edit_plan: Option<fn(&mut Plan, &Facts)>,
}

impl Default for Options {
    fn default() -> Options {
        Options { limits: Limits { fuel: 1 << 20, ..Limits::default() }, walk_max: u32::MAX, edit_plan: None }
    }
}

/// What became of a program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Status {
    /// Accepted and rewritten.
    Accepted {
        /// What the verifier learnt.
        facts: Box<Facts>,
        /// The rewritten program.
        rewritten: Box<Rewritten>,
    },
    /// Refused, by the verifier or by the rewrite.
    Rejected(Rejection),
    /// Not modelled.
    Unsupported(verifier::Unsupported),
}

/// Both forms on one input.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunPair {
    /// With the helper call.
    pub original: Outcome,
    /// With loops inlined.
    pub rewritten: Outcome,
}

/// Everything that was found out about a program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// What became of it.
    pub status: Status,
    /// The runs, by input; empty when it was not run.
    pub runs: Vec<RunPair>,
    /// What does not hold.
    pub findings: Vec<Finding>,
    /// Inputs on which both forms were compared.
    pub compared: usize,
    /// Why inputs, or the whole program, were not compared.
    pub vacuous: Vec<Vacuous>,
}

/// Examines programs, one after another, with buffers that are kept.
pub struct Examiner {
    machine: Machine,
    options: Options,
}

impl Examiner {
    /// An examiner.
    pub fn new(options: Options) -> Examiner {
        Examiner { machine: Machine::new(), options }
    }

    /// How programs are examined.
    pub fn options(&self) -> Options {
        self.options
    }

    /// Verifies, rewrites and runs a program under the rules of a kernel.
    pub fn examine(&mut self, program: &Program, rules: &Rules) -> Report {
        let mut report = Report {
            status: status_with(program, rules, &self.options),
            runs: Vec::new(),
            findings: Vec::new(),
            compared: 0,
            vacuous: Vec::new(),
        };
        self.run(program, rules, &mut report);
        report
    }

    /// Runs both forms of an accepted program.
    fn run(&mut self, program: &Program, rules: &Rules, report: &mut Report) {
        match &report.status {
            Status::Rejected(_) => report.vacuous.push(Vacuous::Rejected),
            Status::Unsupported(unsupported) => report.vacuous.push(Vacuous::Unsupported(unsupported.what.clone())),
            Status::Accepted { facts, rewritten } => {
                let mut pair = Pair { machine: &mut self.machine, options: self.options, program, facts, rewritten };
                let outcome = pair.compare(rules);
                (report.runs, report.findings) = (outcome.runs, outcome.findings);
                (report.compared, report.vacuous) = (outcome.compared, outcome.vacuous);
            }
        }
    }

    /// Runs a program again that was examined, with other inputs or options: what was found out by verifying it stays.
    pub(super) fn examine_again(&mut self, program: &Program, rules: &Rules, first: &Report) -> Report {
        let status = first.status.clone();
        let mut report = Report { status, runs: Vec::new(), findings: Vec::new(), compared: 0, vacuous: Vec::new() };
        self.run(program, rules, &mut report);
        report
    }
}

/// Verifies and rewrites a program.
pub fn status(program: &Program, rules: &Rules) -> Status {
    status_with(program, rules, &Options::default())
}

fn status_with(program: &Program, rules: &Rules, options: &Options) -> Status {
    let rewrite = |facts: &Facts| {
        let mut plan = Plan::of(facts);
        if let Some(edit) = options.edit_plan {
            edit(&mut plan, facts);
        }
        rewrite::emit(program, facts, &plan, rules)
    };
    match verifier::verify_within(program, rules, options.walk_max) {
        Verdict::Accepted(facts) => match rewrite(&facts) {
            Ok(rewritten) => Status::Accepted { facts: Box::new(facts), rewritten: Box::new(rewritten) },
            Err(rejection) => {
                let insns_processed = facts.insns_processed;
                Status::Rejected(Rejection { insns_processed, ..rejection })
            }
        },
        Verdict::Rejected(rejection) => Status::Rejected(rejection),
        Verdict::Unsupported(unsupported) => Status::Unsupported(unsupported),
    }
}

struct Pair<'a> {
    machine: &'a mut Machine,
    options: Options,
    program: &'a Program,
    facts: &'a Facts,
    rewritten: &'a Rewritten,
}

#[derive(Default)]
struct Comparisons {
    runs: Vec<RunPair>,
    findings: Vec<Finding>,
    compared: usize,
    vacuous: Vec<Vacuous>,
}

impl Pair<'_> {
    fn compare(&mut self, rules: &Rules) -> Comparisons {
        let mut out = Comparisons::default();
        let exec_rules = exec_rules(self.program.prog_type, rules);
        let images = (
            original_image(self.program, self.facts, &exec_rules),
            rewritten_image(self.program, self.rewritten, self.facts, &exec_rules),
        );
        let (original, rewritten) = match images {
            (Ok(original), Ok(rewritten)) => (original, rewritten),
            (Err(unsupported), _) | (_, Err(unsupported)) => {
                out.vacuous.push(Vacuous::Unsupported(unsupported.what));
                return out;
            }
        };
        if self.rewritten.inlined.is_empty() {
            out.vacuous.push(Vacuous::NothingInlined);
        }
        if self.program.inputs.is_empty() {
            out.vacuous.push(Vacuous::NoInputs);
        }
        for (n, input) in self.program.inputs.iter().enumerate() {
            let limits = self.options.limits;
            let pair = RunPair {
                original: self.machine.run(&original, input, &limits),
                rewritten: self.machine.run(&rewritten, input, &limits),
            };
            match reason_not_to_compare(&pair) {
                Some(why) => out.vacuous.push(why),
                None => {
                    out.compared += 1;
                    out.findings.extend(self.judge(n, input, &pair, (&original, &rewritten)));
                }
            }
            out.runs.push(pair);
        }
        out
    }

    fn judge(&mut self, n: usize, input: &Input, pair: &RunPair, images: (&Image, &Image)) -> Option<Finding> {
        if let Some(finding) = judge::traps(pair) {
            let in_original = matches!(pair.original.end, End::Trapped(_));
            let origin = |at: InsnIdx| if in_original { Some(at) } else { self.rewritten.origin.get(at.at()).copied() };
            return Some(Finding { input: Some(n), at: finding.at.and_then(origin), ..finding });
        }
        first_difference(&pair.original, &pair.rewritten)?;
        // Run again with everything written down, to find the first point where the two part.
        let limits = Limits { detail: Detail::Full, ..self.options.limits };
        let again = RunPair {
            original: self.machine.run(images.0, input, &limits),
            rewritten: self.machine.run(images.1, input, &limits),
        };
        judge::difference(&again).map(|finding| Finding { input: Some(n), ..finding })
    }
}

fn reason_not_to_compare(pair: &RunPair) -> Option<Vacuous> {
    for outcome in [&pair.original, &pair.rewritten] {
        match &outcome.end {
            End::Unsupported(what) => return Some(Vacuous::Unsupported(what.to_string())),
            End::OutOfFuel => return Some(Vacuous::OutOfFuel),
            End::Returned(_) | End::Trapped(_) => {}
        }
    }
    None
}

/// Both forms of an accepted program, ready to run: with helper calls, and rewritten.
pub(crate) fn images(program: &Program, rules: &Rules) -> Option<(Image, Image)> {
    let Status::Accepted { facts, rewritten } = status(program, rules) else { return None };
    let rules = exec_rules(program.prog_type, rules);
    let original = original_image(program, &facts, &rules).ok()?;
    Some((original, rewritten_image(program, &rewritten, &facts, &rules).ok()?))
}

/// What the executor needs to know of the kernel.
pub(crate) fn exec_rules(prog_type: ProgType, rules: &Rules) -> ExecRules {
    ExecRules {
        uninit_stack_read: UninitStackRead::Masked,
        frames_max: rules.walk.frames_max as u8,
        packet_end: ctx::packet_end(prog_type, rules),
    }
}

/// The program as it was given, with helper calls.
pub(crate) fn original_image(
    program: &Program,
    facts: &Facts,
    rules: &ExecRules,
) -> Result<Image, crate::exec::Unsupported> {
    let live = facts.loops.iter().filter(|site| site.state != SiteState::NeverReached);
    let sites: Vec<Site> = live.map(|site| Site { id: site.insn.0, at: site.insn, kind: SiteKind::Helper }).collect();
    let form = Form {
        program,
        layout: &facts.layout,
        stack_depth: &facts.stack_depth,
        own_depth: &facts.stack_depth,
        subprogs: &[],
        references: &[],
        sites: &sites,
    };
    Image::new(&form, rules)
}

/// The rewritten program.
pub(crate) fn rewritten_image(
    original: &Program,
    rewritten: &Rewritten,
    facts: &Facts,
    rules: &ExecRules,
) -> Result<Image, crate::exec::Unsupported> {
    let references = references(original, rewritten, facts);
    let subprogs: Vec<SubprogIdx> =
        rewritten.layout.starts().iter().map(|start| origin(rewritten, facts, *start)).collect();
    let own_depth: Vec<u16> =
        subprogs.iter().map(|s| facts.stack_depth.get(s.at()).copied().unwrap_or_default()).collect();
    let inlined = rewritten.inlined.iter().map(|site| Site {
        id: site.site.0,
        at: site.start,
        kind: SiteKind::Inlined { spill_base: site.spill_base },
    });
    let kept = rewritten.kept.iter().map(|(id, at)| Site { id: id.0, at: *at, kind: SiteKind::Helper });
    let mut sites: Vec<Site> = inlined.chain(kept).collect();
    sites.sort_by_key(|site| site.at);
    let form = Form {
        program: &rewritten.program,
        layout: &rewritten.layout,
        stack_depth: &rewritten.stack_depth,
        own_depth: &own_depth,
        subprogs: &subprogs,
        references: &references,
        sites: &sites,
    };
    Image::new(&form, rules)
}

/// What the function references of the rewritten program meant in the original.
fn references(original: &Program, rewritten: &Rewritten, facts: &Facts) -> Vec<(InsnIdx, SubprogIdx)> {
    let meant = |at: InsnIdx| {
        let origin = rewritten.origin.get(at.at()).copied()?;
        let op = decode(original.insn(origin)?, original.insn(origin.next())).ok()?;
        matches!(op, Op::LdImm64 { .. }).then(|| facts.layout.starting(subprog_target(origin, &op)?)).flatten()
    };
    let insns = rewritten.program.insns.iter().enumerate();
    let loads = insns.filter(|(_, insn)| insn.is_ld_imm64()).map(|(n, _)| InsnIdx(n as u32));
    loads.filter_map(|at| Some((at, meant(at)?))).collect()
}

/// The original subprogram that an instruction of the rewritten program came from.
fn origin(rewritten: &Rewritten, facts: &Facts, at: InsnIdx) -> SubprogIdx {
    facts.layout.containing(rewritten.origin.get(at.at()).copied().unwrap_or_default())
}
