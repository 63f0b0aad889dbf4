//! Why two kernels answer differently: which single fact of their rules turns the answer.
//!
//! Stands for no kernel code. Between two versions the facts that differ are set one at a time in the older rules; one that
//! alone gives the newer answer is a cause. Where none does, facts are taken back from the newer rules as long as the answer
//! stays, which leaves a set that cannot be made smaller.
//!
//! Mixtures of two kernels' facts may walk for ever where both kernels do not, so a mixture gets a budget of its own: some times
//! what the two take. One that spends it is answered by no guess; it is named as not tried.
//!
//! Invariant: the causes that are named are tried, not guessed.

use super::examine::{Examiner, Options, Report, RunPair, Status, status};
use crate::exec::{End, Outcome};
use crate::isa::Insn;
use crate::kernel::{Difference, HelperImms, KernelVersion, Rules};
use crate::program::Program;
use crate::rewrite::{as_dumped, late_fixups, normalise};
use crate::verifier::{Budget, SiteState, Unfit};
use std::fmt;

/// A part of an answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Aspect {
    /// Accepted, refused, or not modelled.
    Verdict,
    /// Error number and message of a refusal.
    Message,
    /// Which loops are inlined.
    Inlining,
    /// The rewritten program, as a kernel would show it.
    Rewrite,
    /// What runs return, and leave behind.
    Results,
    /// How many instructions were walked.
    Count,
}

impl Aspect {
    /// All of them, the weightiest first.
    pub const ALL: [Aspect; 6] =
        [Aspect::Verdict, Aspect::Message, Aspect::Inlining, Aspect::Rewrite, Aspect::Results, Aspect::Count];

    /// A word for people and for JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Aspect::Verdict => "verdict",
            Aspect::Message => "message",
            Aspect::Inlining => "inlining",
            Aspect::Rewrite => "rewrite",
            Aspect::Results => "results",
            Aspect::Count => "count",
        }
    }
}

impl fmt::Display for Aspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is said of a program under some rules.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    verdict: &'static str,
    message: String,
    inlining: Vec<(u32, String)>,
    dump: Vec<Insn>,
    results: Vec<Outcome>,
    count: u32,
    /// The walk's budget was spent: this is no answer.
    spent: bool,
}

impl Answer {
    /// The answer to a program that is not run.
    pub fn of(program: &Program, rules: &Rules) -> Answer {
        Answer::of_status(status(program, rules), rules)
    }

    /// The answer that a verification under some rules gives.
    pub fn of_status(status: Status, rules: &Rules) -> Answer {
        Answer::with_results(status, Vec::new(), rules)
    }

    /// The answer that a report under some rules holds.
    pub fn of_report(report: Report, rules: &Rules) -> Answer {
        Answer::with_results(report.status, report.runs, rules)
    }

    fn with_results(status: Status, runs: Vec<RunPair>, rules: &Rules) -> Answer {
        let none = Answer {
            verdict: "",
            message: String::new(),
            inlining: Vec::new(),
            dump: Vec::new(),
            results: Vec::new(),
            count: 0,
            spent: false,
        };
        match status {
            Status::Accepted { facts, rewritten } => {
                let site = |state| match state {
                    SiteState::NeverReached => "never reached".to_owned(),
                    SiteState::Fit(callback) => format!("inlined with subprogram {}", callback.0),
                    SiteState::Unfit(Unfit::Flags) => "not inlined, flags".to_owned(),
                    SiteState::Unfit(Unfit::Callback) => "not inlined, callbacks".to_owned(),
                };
                let dumped = match late_fixups(&rewritten, rules) {
                    Ok(late) => as_dumped(&late.insns, &late.layout),
                    Err(_) => as_dumped(&rewritten.program.insns, &rewritten.layout),
                };
                Answer {
                    verdict: "accept",
                    inlining: facts.loops.iter().map(|l| (l.insn.0, site(l.state))).collect(),
                    dump: normalise(&dumped, HelperImms::NUMBERS),
                    results: runs.into_iter().map(|pair| pair.rewritten).collect(),
                    count: facts.insns_processed,
                    ..none
                }
            }
            Status::Rejected(rejection) => Answer {
                verdict: "reject",
                message: format!("{}: {}", rejection.errno.0, rejection.reason()),
                count: rejection.insns_processed,
                ..none
            },
            Status::Unsupported(unsupported) => {
                Answer { verdict: "unsupported", message: unsupported.what, spent: unsupported.spent, ..none }
            }
        }
    }

    /// Whether something is not modelled.
    pub fn is_unsupported(&self) -> bool {
        self.verdict == "unsupported"
    }

    /// Whether the budget of the walk was spent before there was an answer.
    pub fn is_spent(&self) -> bool {
        self.spent
    }

    /// The same with another message, for comparisons of logs.
    #[must_use]
    pub fn with_message(self, message: String) -> Answer {
        Answer { message, ..self }
    }

    /// Whether both agree in a part. Parts that only one verdict has are compared between answers of that verdict.
    pub fn agrees(&self, other: &Answer, aspect: Aspect) -> bool {
        let accepted = self.verdict == "accept" && other.verdict == "accept";
        match aspect {
            Aspect::Verdict => self.verdict == other.verdict,
            Aspect::Message => self.verdict != other.verdict || self.message == other.message,
            Aspect::Inlining => !accepted || self.inlining == other.inlining,
            Aspect::Rewrite => !accepted || self.inlining != other.inlining || self.dump == other.dump,
            Aspect::Results => !accepted || same_results(&self.results, &other.results),
            Aspect::Count => self.verdict != other.verdict || self.count == other.count,
        }
    }

    /// Whether both say the same of a part, which a different verdict does not.
    fn is_same(&self, other: &Answer, aspect: Aspect) -> bool {
        let verdict = self.verdict == other.verdict;
        verdict
            && match aspect {
                Aspect::Verdict => true,
                Aspect::Message => self.message == other.message,
                Aspect::Inlining => self.inlining == other.inlining,
                Aspect::Rewrite => self.dump == other.dump,
                Aspect::Results => same_results(&self.results, &other.results),
                Aspect::Count => self.count == other.count,
            }
    }

    /// The part in words.
    pub fn describe(&self, aspect: Aspect) -> String {
        match aspect {
            Aspect::Verdict | Aspect::Message if self.message.is_empty() => self.verdict.to_owned(),
            Aspect::Verdict | Aspect::Message => format!("{} ({})", self.verdict, self.message),
            Aspect::Inlining => {
                let sites: Vec<String> = self.inlining.iter().map(|(at, what)| format!("{at} {what}")).collect();
                sites.join(", ")
            }
            Aspect::Rewrite => format!("{} instructions", self.dump.len()),
            Aspect::Results => {
                let ends: Vec<String> = self.results.iter().map(|outcome| end(&outcome.end)).collect();
                ends.join(", ")
            }
            Aspect::Count if self.spent => String::new(),
            Aspect::Count => format!("{} instructions walked", self.count),
        }
    }
}

/// Whether runs end alike and leave the same behind; how many instructions they take is no matter.
fn same_results(some: &[Outcome], others: &[Outcome]) -> bool {
    let same =
        |(a, b): (&Outcome, &Outcome)| a.end == b.end && a.ctx == b.ctx && a.packet == b.packet && a.maps == b.maps;
    some.len() == others.len() && some.iter().zip(others).all(same)
}

/// How a run ended, in a word.
fn end(end: &End) -> String {
    match end {
        End::Returned(r0) => format!("{r0:#x}"),
        End::Trapped(_) => "trapped".to_owned(),
        End::OutOfFuel => "no end".to_owned(),
        End::Unsupported(what) => format!("not modelled: {what}"),
    }
}

/// What turns an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cause {
    /// Each of these facts alone.
    Alone(Vec<Difference>),
    /// These facts together; none of them can be left out.
    Together(Vec<Difference>),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (facts, between) = match self {
            Cause::Alone(facts) => (facts, " or "),
            Cause::Together(facts) => (facts, " and "),
        };
        let names: Vec<&str> = facts.iter().map(|fact| fact.name.as_str()).collect();
        f.write_str(&names.join(between))
    }
}

/// A part in which two neighbouring versions differ.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// The older version.
    pub from: KernelVersion,
    /// The newer version.
    pub to: KernelVersion,
    /// What differs.
    pub aspect: Aspect,
    /// The older version's answer.
    pub before: Answer,
    /// The newer version's answer.
    pub after: Answer,
    /// Why.
    pub cause: Cause,
    /// Mixtures that could not be tried: each may be a cause, or leave a smaller set.
    pub untried: Vec<Untried>,
}

/// A mixture of facts that gives no answer, because its walk takes too much.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Untried {
    /// The facts that are set in the older rules.
    pub facts: Vec<Difference>,
    /// What was spent.
    pub why: String,
}

/// What changes the answers between each pair of neighbours, in those of `aspects`; `rules` gives the rules of a version. Where
/// one of the two has spent its budget, nothing is compared. `tried` is called after each walk.
pub fn explain(
    program: &Program,
    versions: &[KernelVersion],
    rules: impl Fn(KernelVersion) -> Rules,
    aspects: &[Aspect],
    options: Options,
    mut tried: impl FnMut(),
) -> Vec<Change> {
    let mut examiner = Examiner::new(options);
    let mut program = program.clone();
    if !aspects.contains(&Aspect::Results) {
        program.inputs.clear();
    }
    let mut answer = |rules: &Rules, budget: Budget| {
        examiner.set_budget(budget);
        let answer = Answer::of_report(examiner.examine(&program, rules), rules);
        tried();
        answer
    };
    let side = |version: &KernelVersion| {
        let rules = rules(*version);
        Side { version: *version, answer: answer(&rules, options.budget), rules }
    };
    let sides: Vec<Side> = versions.iter().map(side).collect();
    let explained = |pair: &[Side]| {
        let [from, to] = pair else { return Vec::new() };
        let budget = mixture_budget(options.budget, from, to);
        explain_pair(from, to, aspects, |rules| answer(rules, budget))
    };
    sides.windows(2).flat_map(explained).collect()
}

/// A mixture gets four times the instructions that the longer of the two walks has, and some for short ones.
fn mixture_budget(all: Budget, from: &Side, to: &Side) -> Budget {
    const SOME: u32 = 1 << 16;
    let insns = from.answer.count.max(to.answer.count).saturating_mul(4).saturating_add(SOME);
    Budget { insns: insns.min(all.insns), ..all }
}

/// A version's side.
struct Side {
    version: KernelVersion,
    rules: Rules,
    answer: Answer,
}

fn explain_pair(from: &Side, to: &Side, aspects: &[Aspect], mut answer: impl FnMut(&Rules) -> Answer) -> Vec<Change> {
    let (old, before, after) = (&from.rules, &from.answer, &to.answer);
    let mut aspects = aspects.iter().copied().filter(|a| !before.agrees(after, *a)).peekable();
    if aspects.peek().is_none() || before.spent || after.spent {
        return Vec::new();
    }
    let differences = Rules::differences(old, &to.rules);
    let alone: Vec<(Difference, Answer)> = differences
        .iter()
        .map(|difference| (difference.clone(), answer(&with(old, std::slice::from_ref(difference)))))
        .collect();
    let untried: Vec<Untried> =
        alone.iter().filter_map(|(fact, answer)| Untried::of(std::slice::from_ref(fact), answer)).collect();
    aspects
        .map(|aspect| {
            let mut untried = untried.clone();
            let turns = alone.iter().filter(|(_, answer)| answer.is_same(after, aspect));
            let single: Vec<Difference> = turns.map(|(difference, _)| difference.clone()).collect();
            let cause = if single.is_empty() {
                Cause::Together(smallest(old, &differences, |rules, facts| {
                    let answer = answer(rules);
                    untried.extend(Untried::of(facts, &answer));
                    answer.is_same(after, aspect)
                }))
            } else {
                Cause::Alone(single)
            };
            let (from, to) = (from.version, to.version);
            Change { from, to, aspect, before: before.clone(), after: after.clone(), cause, untried }
        })
        .collect()
}

impl Untried {
    fn of(facts: &[Difference], answer: &Answer) -> Option<Untried> {
        answer.spent.then(|| Untried { facts: facts.to_vec(), why: answer.message.clone() })
    }
}

/// Rules with facts set to the second side of differences.
fn with(rules: &Rules, differences: &[Difference]) -> Rules {
    let mut rules = rules.clone();
    for difference in differences {
        // A value that the other rules have is a value.
        let _ = rules.set(&difference.name, &difference.right);
    }
    rules
}

/// Takes facts away as long as what is left still turns the answer.
fn smallest(
    old: &Rules,
    differences: &[Difference],
    mut turned: impl FnMut(&Rules, &[Difference]) -> bool,
) -> Vec<Difference> {
    let mut kept = differences.to_vec();
    let mut n = 0;
    while n < kept.len() {
        let left_out = kept.remove(n);
        if !turned(&with(old, &kept), &kept) {
            kept.insert(n, left_out);
            n += 1;
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::text;

    fn program(body: &str) -> Program {
        text::parse(body).expect("a program").program
    }

    /// The callback is safe once and not twice: older kernels walk it once.
    const ONCE: &str = "
main:
    r6 = r10
    r6 += -8
    *(u64 *)(r10 - 8) = 0
    r1 = 2
    r2 = cb ll
    r3 = r6
    r4 = 0
    call bpf_loop
    r1 = *(u64 *)(r10 - 8)
    if r1 > 1 goto bad
    r0 = 0
    exit
bad:
    r0 = *(u64 *)(r1 + 0)
    exit
cb:
    r1 = *(u64 *)(r2 + 0)
    r1 += 1
    *(u64 *)(r2 + 0) = r1
    r0 = 0
    exit
";

    #[test]
    fn the_walk_of_callbacks_is_found() {
        let program = program(ONCE);
        let changes = explain(&program, &KernelVersion::ALL, Rules::of, &Aspect::ALL, Options::default(), || {});
        let verdict = changes.iter().find(|c| c.aspect == Aspect::Verdict).expect("verdicts differ");
        assert_eq!((verdict.from, verdict.to), (KernelVersion::V6_1, KernelVersion::V6_12));
        let (Cause::Alone(facts) | Cause::Together(facts)) = &verdict.cause;
        assert!(facts.iter().any(|f| f.name == "walk.callback_walk"), "{facts:?}");
    }

    /// A test run of cgroup_skb has an end of the packet since 6.18 (up to 6.12 it is 0).
    #[test]
    fn results_are_explained_too() {
        let program = program(
            ";;! prog_type = \"cgroup_skb\"
;;! inputs = [{ data = \"000000000000000000000000000000\" }]
main:
    r2 = *(u32 *)(r1 + 80)
    r0 = 0
    r3 = 1
    if r3 > r2 goto over
    r0 = 1
over:
    exit
",
        );
        let changes = |aspects: &[Aspect]| {
            explain(&program, &KernelVersion::ALL, Rules::of, aspects, Options::default(), || {})
                .into_iter()
                .map(|change| (change.to, change.cause.to_string()))
                .collect::<Vec<_>>()
        };
        assert_eq!(changes(&[Aspect::Results]), [(KernelVersion::V6_18, "tables.context".to_owned())]);
        assert_eq!(changes(&[Aspect::Verdict, Aspect::Count]), []);
    }

    #[test]
    fn a_set_is_as_small_as_can_be() {
        let program = program(ONCE);
        let (old, new) = (Rules::of(KernelVersion::V6_1), Rules::of(KernelVersion::V7_3));
        let differences = Rules::differences(&old, &new);
        let answer = |rules: &Rules| Answer::of(&program, rules);
        let after = answer(&new);
        let turned = |rules: &Rules| answer(rules).is_same(&after, Aspect::Verdict);
        let set = smallest(&old, &differences, |rules, _| turned(rules));
        assert!(!set.is_empty() && turned(&with(&old, &set)));
        for n in 0..set.len() {
            let mut fewer = set.clone();
            fewer.remove(n);
            assert!(!turned(&with(&old, &fewer)), "{fewer:?}");
        }
    }

    /// Without forced checkpoints and the like, a mixture walks longer than both kernels.
    const SUM: &str = "
main:
    *(u64 *)(r10 - 8) = 0
    r1 = 64
    r2 = cb ll
    r3 = r10
    r3 += -8
    r4 = 0
    call bpf_loop
    r0 = 0
    exit
cb:
    r3 = *(u64 *)(r2 + 0)
    if r1 > 63 goto out
    r3 += r1
    *(u64 *)(r2 + 0) = r3
out:
    r0 = 0
    exit
";

    #[test]
    fn a_mixture_whose_walk_takes_too_much_is_named() {
        let program = program(SUM);
        let versions = [KernelVersion::V6_1, KernelVersion::V6_12];
        let longest = versions.map(|v| Answer::of(&program, &Rules::of(v)).count).into_iter().max().unwrap_or_default();
        let within = |insns| {
            let options = Options { budget: Budget { insns, ..Budget::default() }, ..Options::default() };
            let mut walks = 0;
            let changes = explain(&program, &versions, Rules::of, &[Aspect::Count], options, || walks += 1);
            assert!(walks >= versions.len(), "{insns}: {walks}");
            changes
        };
        assert!(within(u32::MAX).iter().all(|change| change.untried.is_empty()));
        let [change] = &within(longest)[..] else { panic!("one change") };
        assert!(!change.untried.is_empty());
        for untried in &change.untried {
            assert_eq!(untried.why, format!("a walk of more than {longest} instructions"));
            assert!(!untried.facts.is_empty());
        }
        // An answer that is itself given up is compared with none.
        assert_eq!(within(longest - 1), []);
    }

    #[test]
    fn nothing_to_explain() {
        let program = program("main:\n    r0 = 0\n    exit\n");
        assert_eq!(explain(&program, &KernelVersion::ALL, Rules::of, &Aspect::ALL, Options::default(), || {}), []);
    }
}
