//! Which facts take a finding away, and findings by the fact that takes most of them away.

use super::store::Kept;
use super::work::findings_caught;
use crate::kernel::{Difference, Fact, KernelVersion, Rules};
use crate::oracle::{Examiner, Status};
use crate::program::Program;
use crate::verifier::Errno;
use std::convert::Infallible;

/// The facts that take a finding under some rules away, each set by itself; `is_gone` says whether it is gone under other rules,
/// and whether a rejection of the program counts for that.
///
/// Facts that were changed are set back first; where none of them does it, facts are set to what they are in later kernels, then
/// to what they are in earlier ones. The first of the three that does it is the answer: a later kernel says how a fault was fixed,
/// an earlier one when it came. An earlier value that rejects the program says nothing: it may reject next to everything.
///
/// # Errors
///
/// What `is_gone` fails with.
pub fn of<E>(rules: &Rules, mut is_gone: impl FnMut(&Rules, bool) -> Result<bool, E>) -> Result<Vec<Fact>, E> {
    for (candidates, rejection_counts) in candidates(rules).into_iter().zip([true, true, false]) {
        let mut found = Vec::new();
        for fact in candidates {
            let mut other = rules.clone();
            if other.set(&fact.name, &fact.value).is_ok() && is_gone(&other, rejection_counts)? {
                found.push(fact);
            }
        }
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Ok(Vec::new())
}

/// What facts could be otherwise: as they are without changes, as in later kernels, as in earlier ones; the nearest kernel first,
/// each value once.
fn candidates(rules: &Rules) -> [Vec<Fact>; 3] {
    let own = rules.version;
    let changed = rules.changed();
    let values = |version: KernelVersion| {
        let differences = Rules::differences(rules, &Rules::of(version)).into_iter();
        differences.map(|Difference { name, right: value, .. }| Fact { name, value })
    };
    let unchanged = |fact: &Fact| changed.iter().all(|changed| changed.name != fact.name);
    let of_all = |versions: Vec<KernelVersion>| {
        let mut facts: Vec<Fact> = Vec::new();
        for fact in versions.into_iter().flat_map(values).filter(unchanged) {
            if !facts.contains(&fact) {
                facts.push(fact);
            }
        }
        facts
    };
    let later = KernelVersion::ALL.into_iter().filter(|version| *version > own).collect();
    let earlier = KernelVersion::ALL.into_iter().rev().filter(|version| *version < own).collect();
    [values(own).collect(), of_all(later), of_all(earlier)]
}

/// [`of`], for a finding of the model. Neither a panic of ours takes one away, nor a verifier that contradicts itself.
pub(super) fn in_model(program: &Program, signature: &str, rules: &Rules, examiner: &mut Examiner) -> Vec<Fact> {
    let is_gone = |other: &Rules, rejection_counts: bool| {
        let (report, findings) = findings_caught(examiner, program, other);
        let answers = match report.map(|report| report.status) {
            Some(Status::Accepted { .. }) => true,
            Some(Status::Rejected(rejection)) => rejection_counts && rejection.errno != Errno::EFAULT,
            Some(Status::Unsupported(_)) | None => false,
        };
        Ok::<bool, Infallible>(answers && findings.iter().all(|f| f.signature != signature))
    };
    of(rules, is_gone).unwrap_or_default()
}

/// Findings that one fact takes away.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group<'a> {
    /// The fact; `None` for a finding that none takes away.
    pub fact: Option<&'a str>,
    /// The findings, in their order.
    pub members: Vec<&'a Kept>,
}

/// Findings in groups, the largest first: the fact that takes most of them away, then the one that takes most of the others away,
/// and so on. Each finding is in one group.
pub fn grouped(kept: &[Kept]) -> Vec<Group<'_>> {
    let mut left: Vec<&Kept> = kept.iter().collect();
    let mut groups = Vec::new();
    loop {
        let mut counts: Vec<(&str, usize)> = Vec::new();
        for fact in left.iter().flat_map(|kept| &kept.gone_with) {
            match counts.iter_mut().find(|(name, _)| name == fact) {
                Some((_, n)) => *n += 1,
                None => counts.push((fact, 1)),
            }
        }
        // The first of those with the most.
        let Some((fact, _)) = counts.iter().rev().max_by_key(|(_, n)| *n).copied() else { break };
        let (members, others) = left.into_iter().partition(|kept| kept.gone_with.iter().any(|name| name == fact));
        groups.push(Group { fact: Some(fact), members });
        left = others;
    }
    groups.extend(left.into_iter().map(|kept| Group { fact: None, members: vec![kept] }));
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(signature: &str, gone_with: &[&str]) -> Kept {
        Kept {
            signature: signature.to_owned(),
            column: "7.3".to_owned(),
            number: 0,
            folder: String::new(),
            insns: (1, 1),
            evidence: String::new(),
            set: Vec::new(),
            gone_with: gone_with.iter().map(|fact| (*fact).to_owned()).collect(),
        }
    }

    #[test]
    fn findings_stand_with_the_fact_that_takes_most_away() {
        let all =
            [kept("a", &["x=1"]), kept("b", &["y=1", "x=1"]), kept("c", &[]), kept("d", &["y=1"]), kept("e", &["x=1"])];
        let groups: Vec<(Option<&str>, Vec<&str>)> = grouped(&all)
            .into_iter()
            .map(|group| (group.fact, group.members.iter().map(|k| k.signature.as_str()).collect()))
            .collect();
        assert_eq!(groups, [(Some("x=1"), vec!["a", "b", "e"]), (Some("y=1"), vec!["d"]), (None, vec!["c"])]);
        assert!(grouped(&[]).is_empty());
    }
}
