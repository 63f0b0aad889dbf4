//! The story of a finding: what is wrong, what was compared, where the sides part, what the verifier believed there, both forms,
//! what takes it away, and the commands that show it again.
//!
//! Invariant: what is needed to find it again is in the text: the rules with the facts that were set, the release, seed and number
//! of the case, and commands that work as they stand in the folder of the case.

use super::identity::RuleSet;
use super::target::Told;
use super::work::findings_caught;
use crate::exec::{End, Outcome};
use crate::isa::{InsnIdx, decode};
use crate::kernel::Rules;
use crate::oracle::{Class, Examiner, Finding, Report, RunPair, Status};
use crate::program::Program;
use crate::program::json::to_hex;
use crate::repro::{Belief, Claims, Side, Story};
use crate::rewrite::Rewritten;
use crate::verifier::{Budget, believed_at};

/// The release of loopdiff that runs: its version, and in a release build the commit where that is known.
pub const RELEASE: &str = env!("LOOPDIFF_RELEASE");

/// Where a case comes from and what is known of its finding.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Origin {
    /// Seed of the campaign and number of the case; `None` for a case that no campaign made.
    pub case: Option<(u64, u64)>,
    /// Facts that take the finding away, each by itself, as `--set` takes them; `None` when they have not been looked for.
    pub gone_with: Option<Vec<String>>,
}

/// The story of a case's finding under some rules. The finding is looked for again, so that what is told is what is there.
pub fn of(program: &Program, signature: &str, rules: &Rules, origin: &Origin, examiner: &mut Examiner) -> Told {
    let (report, findings) = findings_caught(examiner, program, rules);
    let finding = findings.iter().find(|f| f.signature == signature);
    let seen = Seen { program, rules, report: report.as_ref(), finding };
    let story = Story {
        title: seen.title(),
        identity: identity(signature, rules, origin),
        compared: COMPARED.to_owned(),
        evidence: finding.map(|f| f.evidence.clone()).unwrap_or_default(),
        belief: seen.belief(examiner.options().budget),
        sides: seen.sides(),
        gone_with: gone_with(program, signature, rules, origin, examiner),
        commands: commands(rules, origin),
        notes: seen.input_text().into_iter().collect(),
    };
    Told { story: story.markdown(), claims: Claims { comments: story.comments(), ..Claims::default() } }
}

const COMPARED: &str = "The program with helper calls of `bpf_loop`, and the program as the kernel rewrites it, on the same input: \
    R0 (64 bits), context, packet, maps, helper and callback calls, registers and stack after each loop, and the bounds of \
    every access.";

fn identity(signature: &str, rules: &Rules, origin: &Origin) -> Vec<(&'static str, String)> {
    let case = origin.case.map(|(seed, number)| format!("seed {seed}, number {number}")).unwrap_or_default();
    vec![
        ("signature", signature.to_owned()),
        ("rules", RuleSet::of(rules).to_string()),
        ("kernels", format!("Linux {}, as modelled; not tried on a real kernel", rules.version)),
        ("case", case),
        ("found with", format!("loopdiff {RELEASE}")),
    ]
}

/// Options of every command that takes rules.
fn options(rules: &Rules) -> String {
    let set: String = rules.changed().iter().map(|fact| format!(" --set {fact}")).collect();
    format!("--rules {}{set}", rules.version)
}

fn commands(rules: &Rules, origin: &Origin) -> Vec<(String, String)> {
    let options = options(rules);
    let mut commands = vec![("The finding, in the model.".to_owned(), format!("loopdiff check case.json {options}"))];
    if let Some((seed, number)) = origin.case {
        let count = number.saturating_add(1);
        commands.push((
            "The case before it was made smaller, and the campaign up to it.".to_owned(),
            format!("loopdiff check s{seed}n{number} {options}\nloopdiff fuzz --seed {seed} --count {count} --strict {options}"),
        ));
    }
    let version = rules.version;
    let real = if rules.changed().is_empty() { "" } else { ", which does not have the facts that were set" };
    commands.push((
        format!("The program on a real kernel{real}: as it is; then with its loops inlined, and with the helper kept."),
        format!(
            "loopdiff kernel run case.json --kernel {version}\nloopdiff kernel confirm case.json --kernel {version}"
        ),
    ));
    commands
}

/// What takes the finding away, and what becomes of the program then.
fn gone_with(
    program: &Program,
    signature: &str,
    rules: &Rules,
    origin: &Origin,
    examiner: &mut Examiner,
) -> Vec<String> {
    let Some(facts) = &origin.gone_with else { return Vec::new() };
    let mut sentences = Vec::new();
    for fact in facts {
        let mut without = rules.clone();
        if without.set_text(fact).is_err() {
            continue;
        }
        let (report, findings) = findings_caught(examiner, program, &without);
        let then = match report.map(|report| report.status) {
            _ if findings.iter().any(|f| f.signature == signature) => continue,
            Some(Status::Accepted { .. }) => "the program is accepted, and this does not happen".to_owned(),
            Some(Status::Rejected(rejection)) => format!("the program is rejected: {}", rejection.reason()),
            Some(Status::Unsupported(what)) => format!("the program is not modelled: {}", what.what),
            None => continue,
        };
        sentences.push(format!("`{fact}`: {then}"));
    }
    let first = match sentences.len() {
        0 => "No single fact of the kernel, set to what it is in another version, takes it away.",
        1 => "This fact alone takes it away:",
        _ => "Each of these facts alone takes it away:",
    };
    sentences.insert(0, first.to_owned());
    sentences
}

/// A finding with the examination that it came from.
struct Seen<'a> {
    program: &'a Program,
    rules: &'a Rules,
    report: Option<&'a Report>,
    finding: Option<&'a Finding>,
}

type Pick = fn(&RunPair) -> &Outcome;

impl<'a> Seen<'a> {
    /// What is wrong, in a sentence.
    fn title(&self) -> String {
        let rules = RuleSet::of(self.rules);
        let Some(finding) = self.finding else {
            return format!("By the rules of Linux {rules} nothing is wrong with this program any more");
        };
        let what = finding.signature.split_once(':').map_or("", |(_, what)| what).replace(':', ", ");
        match finding.class {
            Class::Equivalence => {
                format!(
                    "By the rules of Linux {rules} a loop is inlined that does something else than the helper call: {what}"
                )
            }
            Class::Stack => {
                format!(
                    "By the rules of Linux {rules} a program is accepted that leaves the stack it was verified with: {what}"
                )
            }
            Class::Safety => {
                format!("By the rules of Linux {rules} a program is accepted that does what it must not: {what}")
            }
            Class::Rewrite => {
                format!("By the rules of Linux {rules} a program is rewritten to one that is not valid: {what}")
            }
            Class::Internal => format!("loopdiff contradicts itself under the rules of Linux {rules}: {what}"),
        }
    }

    fn rewritten(&self) -> Option<&'a Rewritten> {
        match &self.report?.status {
            Status::Accepted { rewritten, .. } => Some(rewritten),
            _ => None,
        }
    }

    fn input(&self) -> Option<usize> {
        self.finding?.input
    }

    fn input_text(&self) -> Option<String> {
        let n = self.input()?;
        let input = self.program.inputs.get(n)?;
        let bytes = |what, bytes: &[u8]| match bytes {
            [] => format!("no {what}"),
            bytes => format!("{what} {}", to_hex(bytes)),
        };
        let (ctx, packet) = (bytes("context", &input.ctx), bytes("packet", &input.data));
        Some(format!("It was seen on input {n}: {ctx}, {packet}, seed {}.", input.seed))
    }

    fn sides(&self) -> Vec<Side<'a>> {
        let at = self.finding.and_then(|f| f.at);
        let mut sides = vec![Side {
            name: "Helper form".to_owned(),
            program: self.program,
            mark: self.trapped_at(|pair| &pair.original).or(at),
            result: self.ended(|pair| &pair.original),
        }];
        if let Some(rewritten) = self.rewritten() {
            let place = |at: InsnIdx| {
                let inlined = rewritten.inlined.iter().find(|site| site.site == at).map(|site| site.start);
                inlined.or_else(|| rewritten.kept.iter().find(|(site, _)| *site == at).map(|(_, at)| *at))
            };
            sides.push(Side {
                name: "Inlined form".to_owned(),
                program: &rewritten.program,
                mark: self.trapped_at(|pair| &pair.rewritten).or_else(|| at.and_then(place)),
                result: self.ended(|pair| &pair.rewritten),
            });
        }
        sides
    }

    fn pair(&self) -> Option<&'a RunPair> {
        self.report?.runs.get(self.input()?)
    }

    fn ended(&self, pick: Pick) -> String {
        self.pair().map_or_else(String::new, |pair| {
            let outcome = pick(pair);
            format!("Ended: {}, after {} instructions.", outcome.end, outcome.insns)
        })
    }

    fn trapped_at(&self, pick: Pick) -> Option<InsnIdx> {
        match &pick(self.pair()?).end {
            End::Trapped(trap) => Some(trap.at),
            _ => None,
        }
    }

    /// What the verifier believed at the instruction that the finding is about, or at the first loop that is inlined.
    fn belief(&self, budget: Budget) -> Belief {
        let first = || {
            self.rewritten().and_then(|rewritten| Some((rewritten.inlined.first()?.site, " (the first inlined loop)")))
        };
        let marked = self.finding.and_then(|f| f.at).map(|at| (at, ""));
        let Some((at, why)) = marked.or_else(first) else { return Belief::default() };
        let text = self.program.insn(at).and_then(|insn| decode(insn, self.program.insn(at.next())).ok());
        let text = text.map(|op| format!(", `{op}`")).unwrap_or_default();
        let believed = believed_at(self.program, self.rules, at, budget);
        let place = match (believed.visits, believed.states.len()) {
            (0, _) => format!("The verifier came to instruction {at}{text}{why} on no path."),
            (1, _) => format!("The verifier came to instruction {at}{text}{why} once, in this state:"),
            (visits, 1) => {
                format!("The verifier came to instruction {at}{text}{why} {visits} times, always in this state:")
            }
            (visits, shown) => {
                format!(
                    "The verifier came to instruction {at}{text}{why} {visits} times; the first {shown} different states:"
                )
            }
        };
        Belief { place, states: believed.states }
    }
}
