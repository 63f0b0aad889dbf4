//! The model against a real kernel: what both say of one program, aspect by aspect.
//!
//! The kernel's side is a recorded or fresh [`Answer`]; nothing here talks to a guest. A difference has a signature, the same
//! for all programs that differ in the same way. What cannot be compared is said, with the reason.
//!
//! Bytes that come from addresses are left out of results: the model runs a program under several layouts of memory, and
//! what is not the same in all of them counts as an address. So do times and random numbers, which are others in each run.
//!
//! A program that leaves its memory is told apart where the kernel's verifier is known not to see it: [`UNSEEN`] is a fact
//! that turns the verdict.

use super::{Examiner, Options, Report, Status};
use crate::exec::{AddressMask, End, LAYOUT_SEEDS, Limits, Outcome, answers_from_seed};
use crate::guest::{Answer, Phase, RunAnswer, Verdict};
use crate::isa::{Insn, opcode};
use crate::kernel::limits::HELPER_LOOP;
use crate::kernel::{HelperImms, MapType, ProgType, Rules};
use crate::program::{Program, SubprogIdx};
use crate::repro::blank_numbers;
use crate::rewrite::{self, Comparison, LateError, Rewritten};
use crate::verifier::{Errno, Facts, Rejection, SiteState};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// What is compared.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Aspect {
    /// Accepted or refused.
    Verdict,
    /// The error number of a refusal.
    Errno,
    /// The reason of a refusal, word by word.
    Message,
    /// Which `bpf_loop` calls are inlined.
    Sites,
    /// The rewritten instructions, in normal form.
    Xlated,
    /// The stack depth of each subprogram after inlining.
    Stack,
    /// How many instructions were walked.
    Count,
    /// What a run returns and leaves behind.
    Run,
}

impl Aspect {
    /// All of them.
    pub const ALL: [Aspect; 8] = [
        Aspect::Verdict,
        Aspect::Errno,
        Aspect::Message,
        Aspect::Sites,
        Aspect::Xlated,
        Aspect::Stack,
        Aspect::Count,
        Aspect::Run,
    ];

    /// The word in tables and signatures.
    pub const fn name(self) -> &'static str {
        match self {
            Aspect::Verdict => "verdict",
            Aspect::Errno => "errno",
            Aspect::Message => "message",
            Aspect::Sites => "sites",
            Aspect::Xlated => "xlated",
            Aspect::Stack => "stack",
            Aspect::Count => "count",
            Aspect::Run => "run",
        }
    }
}

/// How an aspect compares.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Match {
    /// The same.
    Same,
    /// Different.
    Different {
        /// The kind of difference: no places, no values.
        signature: String,
        /// Both sides.
        evidence: String,
    },
    /// Nothing to compare.
    NotCompared(String),
}

impl Match {
    fn of<T: PartialEq + fmt::Debug>(ours: &T, kernel: &T, signature: impl FnOnce() -> String) -> Match {
        if ours == kernel {
            return Match::Same;
        }
        Match::Different { signature: signature(), evidence: format!("ours {ours:?}, kernel {kernel:?}") }
    }
}

/// Every aspect that applies to a program; runs one by one.
pub type Parity = Vec<(Aspect, Match)>;

/// Instructions that a run may take before it counts as endless.
const FUEL: u64 = 200_000_000;

/// How often each layout is run where helpers answer from the moment: their answers may decide little.
const MOMENTS: usize = 5;
/// Instructions of a run that is not worth that.
const SHORT_RUN_MAX: u64 = 1 << 20;

/// Verifies, rewrites and runs a program, at least once for each layout of memory, each time with other clocks and random
/// numbers.
///
/// The first report is the answer; the others tell which bytes of the runs come from addresses, or from what a helper knows
/// of the moment. Programs that are refused are looked at once.
pub fn examine(program: &Program, rules: &Rules) -> Vec<Report> {
    let mut reports = Vec::new();
    let mut program = program.clone();
    let asks = |insn: &Insn| insn.code == opcode::CALL && insn.src() == 0 && answers_from_seed(insn.imm);
    let moments = if program.insns.iter().any(asks) { MOMENTS } else { 1 };
    for (n, layout_seed) in (0u64..).zip(LAYOUT_SEEDS.into_iter().cycle().take(LAYOUT_SEEDS.len() * moments)) {
        program.inputs.iter_mut().for_each(|input| input.seed = input.seed.wrapping_add(n));
        let fuel = reports.first().map_or(FUEL, fuel_again);
        let limits = Limits { fuel, layout_seed, ..Limits::default() };
        let mut examiner = Examiner::new(Options { limits, ..Options::default() });
        let report = match reports.first() {
            None => examiner.examine(&program, rules),
            Some(first) => examiner.examine_again(&program, rules, first),
        };
        let ran = !report.runs.is_empty();
        let short = report.runs.iter().map(|pair| pair.original.insns).sum::<u64>() <= SHORT_RUN_MAX;
        reports.push(report);
        if !ran || reports.len() >= LAYOUT_SEEDS.len() && !short {
            break;
        }
    }
    reports
}

/// What runs may take that are like those of a report: what does not end there need not be tried as long again.
fn fuel_again(report: &Report) -> u64 {
    let outcomes = report.runs.iter().flat_map(|pair| [&pair.original, &pair.rewritten]);
    let longest = outcomes.filter(|o| o.end != End::OutOfFuel).map(|o| o.insns).max().unwrap_or(0);
    (2 * longest + SHORT_RUN_MAX).min(FUEL)
}

/// Compares what the model says, in the reports of [`examine`], with a kernel's answer. `dump` is the answer's dump with
/// the helpers' numbers in helper calls.
pub fn compare(program: &Program, reports: &[Report], answer: &Answer, dump: &[Insn], rules: &Rules) -> Parity {
    let Some(report) = reports.first() else { return Vec::new() };
    let kernel_accepts = match &answer.verdict {
        Verdict::Accept => true,
        Verdict::Reject => false,
        Verdict::Died { phase: Phase::Run } | Verdict::TimedOut { phase: Phase::Run } => {
            return compare_fatal_run(program, reports, answer, rules);
        }
        Verdict::NotRun(why) => return vec![(Aspect::Verdict, Match::NotCompared(why.clone()))],
        other => {
            let (signature, evidence) = (format!("kernel: {other}"), other.to_string());
            return vec![(Aspect::Verdict, Match::Different { signature, evidence })];
        }
    };
    match (&report.status, kernel_accepts) {
        (Status::Unsupported(unsupported), _) => {
            vec![(Aspect::Verdict, Match::NotCompared(format!("not modelled: {}", unsupported.what)))]
        }
        (Status::Accepted { facts, rewritten }, true) => {
            let mut parity = vec![(Aspect::Verdict, Match::Same)];
            let ours = sites_of(facts);
            let kernel = sites_in_dump(dump);
            parity.push((Aspect::Sites, Match::of(&ours, &kernel, || "sites".to_owned())));
            parity.push((Aspect::Xlated, compare_xlated(rewritten, dump, rules)));
            parity.push((Aspect::Stack, compare_stack(rewritten, answer)));
            parity.push((Aspect::Count, compare_count(facts.insns_processed, answer.insns_processed)));
            let runs = compare_runs(program, reports, &answer.runs);
            parity.extend(runs.into_iter().map(|run| (Aspect::Run, explain_trap(program, rules, run))));
            parity
        }
        (Status::Rejected(rejection), false) => {
            let errno = Match::of(&rejection.errno.0, &answer.errno, || {
                format!("errno: ours {}, kernel {}", rejection.errno.0, answer.errno)
            });
            let is_internal = rejection.errno == Errno::EFAULT;
            let count = match is_internal {
                // Statistics are not printed, or not of the walk, when a kernel contradicts itself.
                true => Match::NotCompared("a verifier bug of the kernel".to_owned()),
                false => compare_count(rejection.insns_processed, answer.insns_processed),
            };
            vec![
                (Aspect::Verdict, Match::Same),
                (Aspect::Errno, errno),
                (Aspect::Message, compare_message(rejection, answer)),
                (Aspect::Count, count),
            ]
        }
        (Status::Accepted { .. }, false) => {
            let signature =
                format!("verdict: ours accept, kernel {} [{}]", answer.errno, blank_numbers(reason(answer)));
            let evidence = format!("the kernel refuses: {}", reason(answer));
            vec![(Aspect::Verdict, Match::Different { signature, evidence })]
        }
        (Status::Rejected(rejection), true) => {
            let signature =
                format!("verdict: ours {} [{}], kernel accept", rejection.errno.0, blank_numbers(rejection.reason()));
            let evidence = format!("we refuse: {}", rejection.text);
            vec![(Aspect::Verdict, Match::Different { signature, evidence })]
        }
    }
}

/// A fact of older kernels that lets them accept programs that leave their memory, and what it is otherwise.
pub const UNSEEN: (&str, &str) = ("walk.callback_walk", "unknown-count");

/// True when a kernel does not see that a program is unsafe, for a reason that is known: the program is refused when
/// [`UNSEEN`] is as in later kernels.
fn is_unseen(program: &Program, rules: &Rules) -> bool {
    let mut sharper = rules.clone();
    sharper.set(UNSEEN.0, UNSEEN.1).is_ok()
        && sharper != *rules
        && matches!(super::examine::status(program, &sharper), Status::Rejected(_))
}

/// The signature of a run that traps in the model, while a kernel runs on in memory that is not the program's.
const TRAPS: &str = "run: ours traps";

/// A trap that a known weakness of the kernel explains is no difference: what a kernel finds outside of a program's memory
/// is not modelled.
fn explain_trap(program: &Program, rules: &Rules, run: Match) -> Match {
    match run {
        Match::Different { signature, .. } if signature == TRAPS && is_unseen(program, rules) => {
            Match::NotCompared(format!("unsafe, and accepted for {} alone", UNSEEN.0))
        }
        run => run,
    }
}

/// A program that was accepted and then killed its guest, or did not end.
fn compare_fatal_run(program: &Program, reports: &[Report], answer: &Answer, rules: &Rules) -> Parity {
    let Some(Report { status: Status::Accepted { .. }, runs, .. }) = reports.first() else {
        let signature = format!("kernel: {}", answer.verdict);
        return vec![(Aspect::Verdict, Match::Different { signature, evidence: answer.verdict.to_string() })];
    };
    let any = |is: fn(&End) -> bool| runs.iter().any(|pair| is(&pair.rewritten.end));
    let died = matches!(answer.verdict, Verdict::Died { .. });
    let run = if died && any(|end| matches!(end, End::Trapped(_))) {
        let evidence = answer.verdict.to_string();
        explain_trap(program, rules, Match::Different { signature: TRAPS.to_owned(), evidence })
    } else if !died && any(|end| *end == End::OutOfFuel) {
        Match::NotCompared("out of fuel".to_owned())
    } else {
        Match::Different { signature: format!("run: {}", answer.verdict), evidence: answer.verdict.to_string() }
    };
    vec![(Aspect::Verdict, Match::Same), (Aspect::Run, run)]
}

/// The line that says why: of the log, or of the kernel's own messages where it contradicts itself.
pub fn reason(answer: &Answer) -> &str {
    let warned = || answer.kmsg.lines().find(|line| !line.starts_with("---"));
    match warned() {
        Some(line) if answer.errno == Errno::EFAULT.0 && !answer.message.starts_with("verifier bug") => line,
        _ => &answer.message,
    }
}

/// The reason of a refusal stands in the log, or, where a kernel contradicts itself, among its own messages.
fn compare_message(rejection: &Rejection, answer: &Answer) -> Match {
    if answer.message.trim_end() == rejection.text {
        return Match::Same;
    }
    let ours = rejection.reason();
    if reason(answer).trim_end() == ours || is_own_wording_of(ours, reason(answer)) {
        return Match::Same;
    }
    Match::Different {
        signature: format!("message: ours [{}], kernel [{}]", blank_numbers(ours), blank_numbers(reason(answer))),
        evidence: format!("ours \"{ours}\", kernel \"{}\"", reason(answer)),
    }
}

/// A reason in parentheses is in our words: the kernel says nothing, or, of BTF, what ours ends with.
fn is_own_wording_of(ours: &str, kernel: &str) -> bool {
    let Some(ours) = ours.strip_prefix('(').and_then(|ours| ours.strip_suffix(')')) else { return false };
    let of_btf = |ours: &str| ours.rsplit(": ").next().is_some_and(|end| kernel.ends_with(end));
    kernel.is_empty() || ours.strip_prefix("BTF: ").is_some_and(of_btf)
}

fn compare_count(ours: u32, kernel: u32) -> Match {
    Match::of(&ours, &kernel, || {
        let more = if ours > kernel { "more" } else { "fewer" };
        format!("count: {more} instructions walked than by the kernel")
    })
}

fn compare_xlated(rewritten: &Rewritten, dump: &[Insn], rules: &Rules) -> Match {
    let late = match rewrite::late_fixups(rewritten, rules) {
        Ok(late) => late,
        Err(LateError::NotModelled { what, .. }) => return Match::NotCompared(format!("not modelled: {what}")),
        Err(LateError::JumpTooLong(_)) => return Match::NotCompared("a jump is too long".to_owned()),
    };
    match rewrite::compare(&late, dump, HelperImms::NUMBERS) {
        Comparison::Same { .. } => Match::Same,
        Comparison::Different { at, ours, kernel } => {
            let code = |insn: Option<Insn>| insn.map_or("the end".to_owned(), |i| format!("opcode {:#04x}", i.code));
            let bytes = |insn: Option<Insn>| insn.map_or("the end".to_owned(), |i| format!("{:02x?}", i.to_bytes()));
            Match::Different {
                signature: format!("xlated: ours {}, kernel {}", code(ours), code(kernel)),
                evidence: format!("instruction {at}: ours {}, kernel {}", bytes(ours), bytes(kernel)),
            }
        }
    }
}

fn compare_stack(rewritten: &Rewritten, answer: &Answer) -> Match {
    if rewritten.program.insns.iter().any(|i| i.code == opcode::MAY_GOTO) {
        return Match::NotCompared("may_goto takes stack of its own".to_owned());
    }
    let ours = &rewritten.stack_depth;
    let kernel: Option<Vec<u16>> = if answer.stack_line.is_empty() {
        let start = |n: usize| rewritten.layout.start(SubprogIdx(n as u16));
        let name = |n: usize| rewritten.program.func_name(start(n));
        let all = (0..ours.len()).map(|n| answer.stack_by_name.get(name(n)?).copied()).collect();
        // Two functions of one name cannot be told apart.
        Option::filter(all, |_| answer.stack_by_name.len() == ours.len())
    } else {
        answer.stack_line.split('+').map(|n| n.parse().ok()).collect()
    };
    match kernel {
        Some(kernel) => Match::of(ours, &kernel, || "stack".to_owned()),
        None => Match::NotCompared("the kernel does not name every subprogram".to_owned()),
    }
}

/// Compares the inlined form on each input, which is what the kernel ran, with the kernel's runs.
pub fn compare_runs(program: &Program, reports: &[Report], kernel: &[RunAnswer]) -> Vec<Match> {
    let one = |(n, run): (usize, &RunAnswer)| compare_run(program, &outcomes(reports, n), run);
    kernel.iter().enumerate().map(one).collect()
}

/// The inlined form's outcomes on one input, by layout of memory.
pub fn outcomes(reports: &[Report], input: usize) -> Vec<Outcome> {
    reports.iter().filter_map(|report| report.runs.get(input)).map(|pair| pair.rewritten.clone()).collect()
}

fn compare_run(program: &Program, ours: &[Outcome], kernel: &RunAnswer) -> Match {
    let Some(first) = ours.first() else { return Match::NotCompared("the model does not run it".to_owned()) };
    if kernel.err != 0 {
        return Match::NotCompared(format!("the kernel refuses the input with errno {}", kernel.err));
    }
    let r0 = match &first.end {
        End::Returned(r0) => *r0,
        End::Unsupported(what) => return Match::NotCompared(format!("not modelled: {what}")),
        End::OutOfFuel => return Match::NotCompared("out of fuel".to_owned()),
        End::Trapped(_) => {
            let (signature, evidence) = (TRAPS.to_owned(), first.end.to_string());
            return Match::Different { signature, evidence };
        }
    };
    let mask = AddressMask::of(ours);
    if mask.flow {
        return Match::NotCompared("addresses or the moment decide the way".to_owned());
    }
    let different = |what: &str, at: usize, ours: &[u8], kernel: &[u8]| Match::Different {
        signature: format!("run: {what}"),
        evidence: format!("{what} from byte {at}: ours {:02x?}, kernel {:02x?}", from(ours, at), from(kernel, at)),
    };
    let (r0, retval) = (r0.to_le_bytes(), kernel.retval.to_le_bytes());
    if let Some(at) = first_difference(&r0[..4], &retval, &mask.r0) {
        return different("return value", at, &r0[..4], &retval);
    }
    let arrays = |all: &[Vec<u8>]| -> Vec<u8> { of_arrays(program, all).flatten().copied().collect() };
    let maps = arrays(&first.maps);
    let map_mask: Vec<bool> = of_arrays(program, &mask.maps).flatten().copied().collect();
    if let Some(at) = first_difference(&maps, &kernel.maps.0, &map_mask) {
        return different("maps", at, &maps, &kernel.maps.0);
    }
    if program.prog_type == ProgType::Syscall
        && let Some(at) = first_difference(&first.ctx, &kernel.ctx.0, &mask.ctx)
    {
        return different("context", at, &first.ctx, &kernel.ctx.0);
    }
    let skipped = link_layer_bytes(program.prog_type);
    let tail = |bytes: &'_ [u8]| bytes.get(skipped..).unwrap_or_default().to_vec();
    let (packet, kernel_packet) = (tail(&first.packet), tail(&kernel.data.0));
    if let Some(at) = first_difference(&packet, &kernel_packet, mask.packet.get(skipped..).unwrap_or_default()) {
        return different("packet", at, &packet, &kernel_packet);
    }
    Match::Same
}

/// Bytes at the start of a packet that a test run gives back as zeros: the link layer's, for types that do not see it.
///
/// Kernel: `bpf_prog_test_run_skb` (6.1 … 7.3).
#[doc(alias = "bpf_prog_test_run_skb")]
fn link_layer_bytes(prog_type: ProgType) -> usize {
    const ETH_HLEN: usize = 14;
    match prog_type {
        ProgType::SchedCls | ProgType::SchedAct | ProgType::Xdp => 0,
        _ => ETH_HLEN,
    }
}

/// What belongs to array maps: a kernel's answer has no others.
pub fn of_arrays<'a, T>(program: &'a Program, all: &'a [Vec<T>]) -> impl Iterator<Item = &'a Vec<T>> {
    program.maps.iter().zip(all).filter(|(map, _)| map.map_type == MapType::Array).map(|(_, values)| values)
}

fn from(bytes: &[u8], at: usize) -> &[u8] {
    const SHOWN: usize = 16;
    let rest = bytes.get(at..).unwrap_or_default();
    rest.get(..SHOWN).unwrap_or(rest)
}

/// The first of the kernel's bytes that differs and does not come from an address. The kernel's may be fewer.
fn first_difference(ours: &[u8], kernel: &[u8], mask: &[bool]) -> Option<usize> {
    let differs = |at: &usize| {
        let masked = mask.get(*at).copied().unwrap_or(false);
        !masked && ours.get(*at).copied().unwrap_or(0) != kernel.get(*at).copied().unwrap_or(0)
    };
    (0..kernel.len()).find(differs)
}

/// Which `bpf_loop` calls of a dump were inlined and which stayed, in order: `true` for an inlined one.
///
/// The inlined sequence begins with the comparison with 2²³ and the load of −E2BIG.
pub fn sites_in_dump(dump: &[Insn]) -> Vec<bool> {
    const GUARD: Insn = Insn::new(0xb5, 1, 0, 2, 1 << 23);
    const E2BIG: Insn = Insn::new(0xb4, 0, 0, 0, -7);
    let mut sites = Vec::new();
    for (n, insn) in dump.iter().enumerate() {
        if insn.code == opcode::CALL && insn.src() == 0 && insn.imm == HELPER_LOOP {
            sites.push(false);
        } else if *insn == GUARD && dump.get(n + 1) == Some(&E2BIG) {
            sites.push(true);
        }
    }
    sites
}

/// The same of the model: dead calls are not in the rewritten program.
pub fn sites_of(facts: &Facts) -> Vec<bool> {
    let live = facts.loops.iter().filter(|l| l.state != SiteState::NeverReached);
    live.map(|l| matches!(l.state, SiteState::Fit(_))).collect()
}

/// Counts over many programs.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ParityTally {
    /// Programs.
    pub programs: u64,
    /// By aspect: the same, different, not compared.
    pub aspects: BTreeMap<Aspect, [u64; 3]>,
    /// The programs of each signature.
    pub signatures: BTreeMap<String, Vec<String>>,
    /// Why things were not compared.
    pub not_compared: BTreeMap<String, u64>,
}

impl ParityTally {
    /// Adds another count.
    pub fn merge(&mut self, other: &ParityTally) {
        self.programs += other.programs;
        for (aspect, counts) in &other.aspects {
            self.aspects.entry(*aspect).or_default().iter_mut().zip(counts).for_each(|(into, n)| *into += n);
        }
        for (signature, names) in &other.signatures {
            self.signatures.entry(signature.clone()).or_default().extend(names.iter().cloned());
        }
        other.not_compared.iter().for_each(|(why, n)| *self.not_compared.entry(why.clone()).or_default() += n);
    }

    /// Adds a program.
    pub fn add(&mut self, name: &str, parity: &Parity) {
        self.programs += 1;
        for (aspect, result) in parity {
            let counts = self.aspects.entry(*aspect).or_default();
            match result {
                Match::Same => counts[0] += 1,
                Match::Different { signature, .. } => {
                    counts[1] += 1;
                    let names = self.signatures.entry(signature.clone()).or_default();
                    if names.last().is_none_or(|last| last != name) {
                        names.push(name.to_owned());
                    }
                }
                Match::NotCompared(why) => {
                    counts[2] += 1;
                    *self.not_compared.entry(format!("{}: {why}", aspect.name())).or_default() += 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sites_are_read_off_dumps() {
        let helper = Insn::new(opcode::CALL, 0, 0, 0, HELPER_LOOP);
        let guard = [Insn::new(0xb5, 1, 0, 2, 1 << 23), Insn::new(0xb4, 0, 0, 0, -7)];
        let dump = [guard[0], guard[1], helper, guard[0], helper, guard[0], guard[1]];
        assert_eq!(sites_in_dump(&dump), [true, false, false, true]);
    }

    #[test]
    fn own_words_stand_for_the_kernels_silence() {
        assert!(is_own_wording_of("(unknown program flags 9)", ""));
        assert!(is_own_wording_of(
            "(BTF: function \"cb\": Invalid func linkage)",
            "[9] FUNC cb type_id=8 Invalid func linkage"
        ));
        assert!(
            !is_own_wording_of("R1 !read_ok", "") && !is_own_wording_of("(unknown program flags 9)", "R1 !read_ok")
        );
    }

    #[test]
    fn addresses_do_not_count() {
        assert_eq!(first_difference(&[1, 2, 3], &[1, 9, 3], &[false, true, false]), None);
        assert_eq!(first_difference(&[1, 2, 3], &[1, 9, 4], &[false, true, false]), Some(2));
        assert_eq!(first_difference(&[1, 2, 3], &[1], &[]), None);
        assert_eq!(first_difference(&[1], &[1, 0, 5], &[]), Some(2));
    }

    #[test]
    fn a_tally_counts_each_program_once_a_signature() {
        let mut tally = ParityTally::default();
        let different = |s: &str| Match::Different { signature: s.to_owned(), evidence: String::new() };
        let parity = vec![
            (Aspect::Verdict, Match::Same),
            (Aspect::Run, different("run: maps")),
            (Aspect::Run, different("run: maps")),
            (Aspect::Run, Match::NotCompared("out of fuel".to_owned())),
        ];
        tally.add("a", &parity);
        tally.add("b", &parity);
        assert_eq!(tally.signatures["run: maps"], ["a", "b"]);
        assert_eq!(tally.aspects[&Aspect::Run], [0, 4, 2]);
        assert_eq!(tally.not_compared["run: out of fuel"], 2);
    }
}
