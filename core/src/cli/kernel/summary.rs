//! What a comparison has found: counted, told known from unknown, as JSON, and as an exit code.

use super::columns::Column;
use crate::campaign::Difference;
use crate::cli::exit::Failure;
use crate::cli::output::Output;
use crate::guest::Kernel;
use crate::oracle::parity::{Aspect, Match, Parity, ParityTally};
use crate::oracle::versions;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// How many programs, by something that they have.
pub type Counts = BTreeMap<String, usize>;

/// How the model agrees with a kernel.
#[derive(Default)]
pub struct OfKernel {
    /// All aspects of all programs.
    pub tally: ParityTally,
    /// By signature, how many programs are known to have it, by the reason.
    pub known: BTreeMap<String, Counts>,
    /// Differences that are not known, by aspect.
    pub unknown: BTreeMap<Aspect, usize>,
}

impl OfKernel {
    /// Adds a program.
    pub fn add<'a>(&mut self, name: &str, parity: &Parity, why: impl Fn(&str) -> Option<&'a str>) {
        self.tally.add(name, parity);
        for (aspect, result) in parity {
            let Match::Different { signature, .. } = result else { continue };
            match why(signature) {
                Some(why) => {
                    let reasons = self.known.entry(signature.clone()).or_default();
                    *reasons.entry(why.to_owned()).or_default() += 1;
                }
                None => *self.unknown.entry(*aspect).or_default() += 1,
            }
        }
    }
}

/// What was found: by kernel, and between them by signature.
#[derive(Clone, Copy)]
pub struct Found<'a> {
    /// The kernels.
    pub columns: &'a [Column<'a>],
    /// How the model agrees with each of them.
    pub of_kernels: &'a [OfKernel],
    /// In what they differ from each other, and what all of them say alike.
    pub groups: &'a BTreeMap<String, Difference>,
}

/// What a signature is about, and what each kernel did; kernels that did the same stand together.
pub fn sides<'a>(signature: &'a str, columns: &[Column<'_>]) -> (&'a str, Vec<(Vec<String>, &'a str)>) {
    let Some((what, mut rest)) = signature.split_once(": ") else { return (signature, Vec::new()) };
    let begins = |text: &'a str, label: &str| text.strip_prefix(label).and_then(|text| text.strip_prefix(' '));
    let is_named = |label: &&str| begins(rest, label).is_some() || rest.contains(&format!("; {label} "));
    let named: Vec<&str> = columns.iter().map(|column| column.label).filter(is_named).collect();
    let mut sides: Vec<(Vec<String>, &str)> = Vec::new();
    for (n, label) in named.iter().enumerate() {
        let Some(text) = begins(rest, label) else { return (signature, Vec::new()) };
        let end = named.get(n + 1).and_then(|next| text.find(&format!("; {next} ")));
        let did = end.and_then(|end| text.get(..end)).unwrap_or(text);
        rest = end.and_then(|end| text.get(end + 2..)).unwrap_or_default();
        match sides.iter_mut().find(|(_, other)| *other == did) {
            Some((kernels, _)) => kernels.push((*label).to_owned()),
            None => sides.push((vec![(*label).to_owned()], did)),
        }
    }
    if sides.is_empty() { (signature, sides) } else { (what, sides) }
}

/// What makes a comparison fail.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum FailOn {
    /// The model is not like a kernel, in any aspect, and that is not known.
    Model,
    /// Kernels differ from each other, and that is not known.
    Kernels,
    /// Nothing at all.
    Nothing,
    /// As `model`, in this aspect.
    Verdict,
    /// As `model`, in this aspect.
    Errno,
    /// As `model`, in this aspect.
    Message,
    /// As `model`, in this aspect.
    Sites,
    /// As `model`, in this aspect.
    Xlated,
    /// As `model`, in this aspect.
    Stack,
    /// As `model`, in this aspect.
    Count,
    /// As `model`, in this aspect.
    Run,
}

impl FailOn {
    /// The aspects of the model that are meant.
    fn aspects(self) -> &'static [Aspect] {
        match self {
            FailOn::Model => &Aspect::ALL,
            FailOn::Kernels | FailOn::Nothing => &[],
            FailOn::Verdict => &[Aspect::Verdict],
            FailOn::Errno => &[Aspect::Errno],
            FailOn::Message => &[Aspect::Message],
            FailOn::Sites => &[Aspect::Sites],
            FailOn::Xlated => &[Aspect::Xlated],
            FailOn::Stack => &[Aspect::Stack],
            FailOn::Count => &[Aspect::Count],
            FailOn::Run => &[Aspect::Run],
        }
    }
}

impl<'a> Found<'a> {
    /// In what kernels differ from each other.
    pub fn differences(self) -> impl Iterator<Item = (&'a str, &'a Difference)> {
        self.groups_where(false)
    }

    /// What all kernels say alike.
    pub fn messages(self) -> impl Iterator<Item = (&'a str, &'a Difference)> {
        self.groups_where(true)
    }

    fn groups_where(self, are_alike: bool) -> impl Iterator<Item = (&'a str, &'a Difference)> {
        let is_alike = move |signature: &str| {
            let (what, sides) = sides(signature, self.columns);
            what == versions::MESSAGE && sides.len() == 1
        };
        let groups = self.groups.iter().map(|(signature, group)| (signature.as_str(), group));
        groups.filter(move |(signature, _)| is_alike(signature) == are_alike)
    }

    /// Why the comparison fails, a line each; none when it does not. One that has not compared what it is to fail on fails.
    pub fn failures(&self, on: &[FailOn]) -> Vec<String> {
        let mut failures = Vec::new();
        if on.iter().any(|on| !on.aspects().is_empty()) {
            let is_meant = |aspect: &Aspect| on.iter().any(|on| on.aspects().contains(aspect));
            let unknown = self.of_kernels.iter().flat_map(|of_kernel| &of_kernel.unknown);
            let unknown: usize = unknown.filter(|(aspect, _)| is_meant(aspect)).map(|(_, count)| count).sum();
            if unknown > 0 {
                failures.push(format!("the model and the kernels differ in {unknown} places that are not known"));
            }
            if self.of_kernels.iter().all(|of_kernel| of_kernel.tally.compared() == 0) {
                failures.push("nothing was compared with the model".to_owned());
            }
        }
        if on.contains(&FailOn::Kernels) {
            let unknown = self.differences().filter(|(_, group)| group.known.is_none());
            let unknown: usize = unknown.map(|(_, group)| group.names.len()).sum();
            match unknown {
                0 if self.columns.len() < 2 => failures.push("there is no second kernel to compare with".to_owned()),
                0 => {}
                unknown => {
                    failures.push(format!("kernels differ from each other in {unknown} places that are not known"))
                }
            }
        }
        failures
    }
}

/// Summaries, a line a kernel and one for what lies between them.
pub fn json(found: Found<'_>, output: &mut Output) -> Result<(), Failure> {
    let counts = |all: &BTreeMap<String, Vec<String>>| -> Map<String, Value> {
        all.iter().map(|(signature, names)| (signature.clone(), names.len().into())).collect()
    };
    fn each<'a>(
        groups: impl Iterator<Item = (&'a str, &'a Difference)>,
        value: fn(&Difference) -> Value,
    ) -> Map<String, Value> {
        groups.map(|(signature, group)| (signature.to_owned(), value(group))).collect()
    }
    for (column, OfKernel { tally, known, unknown }) in found.columns.iter().zip(found.of_kernels) {
        let aspects: Map<String, Value> = tally
            .aspects
            .iter()
            .map(|(aspect, [same, different, not])| {
                let counts = json!({ "same": same, "different": different, "not_compared": not });
                (aspect.name().to_owned(), counts)
            })
            .collect();
        output.json(&json!({ "summary": {
            "kernel": column.label, "release": column.release, "programs": tally.programs,
            "rules": column.rules.as_ref().map(|rules| rules.version.name()),
            "aspects": aspects, "signatures": counts(&tally.signatures), "not_compared": tally.not_compared,
            "known": known, "unknown": unknown.values().sum::<usize>(),
            "guest": column.guest.map(speed),
        } }))?;
    }
    let count: fn(&Difference) -> Value = |group| group.names.len().into();
    output.json(&json!({ "summary": {
        "between": each(found.differences(), count),
        "causes": each(found.differences(), |group| json!(group.causes)),
        "known": each(found.differences(), |group| json!(group.known)),
        "messages": each(found.messages(), count),
    } }))
}

fn speed(kernel: &Kernel) -> Value {
    let tally = kernel.tally();
    let rate = tally.programs as f64 / tally.cpu_seconds.max(1e-9);
    json!({
        "programs": tally.programs, "guests": tally.guests, "flukes": tally.flukes,
        "cpu_seconds": tally.cpu_seconds, "programs_per_cpu_second": rate.round(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{KernelVersion, Rules};

    fn column(label: &str, version: Option<KernelVersion>) -> Column<'_> {
        Column { label, point: "6.16.1", release: "6.16.1", rules: version.map(Rules::of), guest: None }
    }

    fn different(aspect: Aspect, signature: &str) -> (Aspect, Match) {
        (aspect, Match::Different { signature: signature.to_owned(), evidence: String::new() })
    }

    fn failures(parity: Parity, known: &str, between: Option<Option<&str>>, on: &[FailOn]) -> Vec<String> {
        let columns = [column("7.3", Some(KernelVersion::V7_3)), column("6.16", None)];
        let mut of_kernels = [OfKernel::default(), OfKernel::default()];
        of_kernels[0].add("a", &parity, |signature| (signature == known).then_some("a reason"));
        of_kernels[1].add("a", &vec![(Aspect::Verdict, Match::NotCompared("no rules for 6.16".into()))], |_| None);
        let mut groups = BTreeMap::new();
        if let Some(known) = between {
            let names = vec!["a".to_owned()];
            let group = Difference { names, known: known.map(str::to_owned), ..Difference::default() };
            groups.insert("verdict: 7.3 accept; 6.16 13 [x]".to_owned(), group);
        }
        Found { columns: &columns, of_kernels: &of_kernels, groups: &groups }.failures(on)
    }

    #[test]
    fn each_aspect_of_the_model_fails_unless_it_is_known_and_when_it_is_meant() {
        let by_aspect = [
            FailOn::Verdict,
            FailOn::Errno,
            FailOn::Message,
            FailOn::Sites,
            FailOn::Xlated,
            FailOn::Stack,
            FailOn::Count,
            FailOn::Run,
        ];
        for (aspect, on) in Aspect::ALL.into_iter().zip(by_aspect) {
            let parity = || vec![(Aspect::Verdict, Match::Same), different(aspect, "s")];
            assert_eq!(failures(parity(), "", None, &[FailOn::Model]).len(), 1, "{aspect:?}");
            assert_eq!(failures(parity(), "s", None, &[FailOn::Model]), Vec::<String>::new(), "{aspect:?}");
            for other in by_aspect {
                assert_eq!(
                    failures(parity(), "", None, &[other]).len(),
                    usize::from(other == on),
                    "{aspect:?} {other:?}"
                );
            }
            assert!(failures(parity(), "", None, &[FailOn::Nothing]).is_empty());
        }
    }

    #[test]
    fn differences_between_kernels_fail_when_they_are_meant_and_not_known() {
        let same = || vec![(Aspect::Verdict, Match::Same)];
        assert!(failures(same(), "", Some(None), &[FailOn::Model]).is_empty());
        assert_eq!(failures(same(), "", Some(None), &[FailOn::Model, FailOn::Kernels]).len(), 1);
        assert!(failures(same(), "", Some(Some("a known one")), &[FailOn::Kernels]).is_empty());
        assert!(failures(same(), "", None, &[FailOn::Kernels]).is_empty());
    }

    #[test]
    fn a_comparison_that_compares_nothing_fails() {
        let nothing = || vec![(Aspect::Verdict, Match::NotCompared("not modelled: x".into()))];
        assert_eq!(failures(nothing(), "", None, &[FailOn::Model]), ["nothing was compared with the model"]);
        assert_eq!(failures(nothing(), "", None, &[FailOn::Run]).len(), 1);
        assert!(failures(nothing(), "", None, &[FailOn::Kernels]).is_empty(), "two kernels were compared");
        let one = Found { columns: &[column("x", None)], of_kernels: &[OfKernel::default()], groups: &BTreeMap::new() };
        assert_eq!(one.failures(&[FailOn::Kernels]).len(), 1);
    }

    #[test]
    fn kernels_that_did_the_same_stand_together() {
        let columns = ["6.1", "6.12", "a/b", "7.3"].map(|label| column(label, None));
        let of = |signature: &'static str| {
            let (what, all) = sides(signature, &columns);
            (what, all.iter().map(|(kernels, did)| format!("{}: {did}", kernels.join(", "))).collect::<Vec<_>>())
        };
        let (what, all) = of("verdict: 6.1 accept; 6.12 13 [a; 7 b]; a/b accept; 7.3 13 [a; 7 b]");
        assert_eq!((what, all), ("verdict", vec!["6.1, a/b: accept".to_owned(), "6.12, 7.3: 13 [a; 7 b]".to_owned()]));
        // Kernels that reject have no part in what only accepted programs have.
        assert_eq!(of("inlining: 6.12 0 of 1 inlined; 7.3 1 of 1 inlined").1.len(), 2);
        assert_eq!(of("blow-up: 7.3 walks more than 10 times what 6.1 does").1.len(), 1);
        for whole in ["result: 6.1=0 6.12=1", "stack"] {
            assert_eq!(of(whole), (whole, Vec::new()));
        }
    }
}
