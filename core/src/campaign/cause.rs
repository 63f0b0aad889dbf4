//! Which facts take a finding away, and findings by the fact that takes most of them away.

use super::store::Kept;
use super::work::findings_caught;
use crate::kernel::{Difference, Fact, KernelVersion, Rules};
use crate::oracle::Examiner;
use crate::program::Program;
use std::collections::BTreeMap;

/// The facts that take a finding away, each set by itself. Those that were changed are set back first; where none of them does it,
/// facts are set to what they are in later kernels, then to what they are in earlier ones. The first of the three that does it
/// is the answer: a later kernel says how a fault was fixed, an earlier one when it came.
pub fn of(program: &Program, signature: &str, rules: &Rules, examiner: &mut Examiner) -> Vec<Fact> {
    let values = |of: &Rules| Rules::differences(rules, of).into_iter();
    let changed = rules.changed();
    let to = |wanted: fn(&KernelVersion, &KernelVersion) -> bool| {
        let versions = KernelVersion::ALL.into_iter().filter(move |version| wanted(version, &rules.version));
        let all = versions.flat_map(move |version| values(&Rules::of(version)));
        all.filter(|d| changed.iter().all(|fact| fact.name != d.name)).collect::<Vec<Difference>>()
    };
    let set_back = values(&Rules::of(rules.version)).collect();
    let mut earlier = to(|version, own| version < own);
    earlier.reverse();
    for candidates in [set_back, to(|version, own| version > own), earlier] {
        let mut tried: BTreeMap<(String, String), bool> = BTreeMap::new();
        let mut found = Vec::new();
        for Difference { name, right: value, .. } in candidates {
            let fact = Fact { name, value };
            let known = tried.contains_key(&(fact.name.clone(), fact.value.clone()));
            if !known && takes_away(&fact, program, signature, rules, examiner) {
                found.push(fact.clone());
            }
            tried.insert((fact.name, fact.value), true);
        }
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

/// Whether a finding is gone once a fact is set.
pub(super) fn takes_away(
    fact: &Fact,
    program: &Program,
    signature: &str,
    rules: &Rules,
    examiner: &mut Examiner,
) -> bool {
    let mut without = rules.clone();
    if without.set(&fact.name, &fact.value).is_err() || without == *rules {
        return false;
    }
    let (report, findings) = findings_caught(examiner, program, &without);
    report.is_some() && findings.iter().all(|f| f.signature != signature)
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
