//! Rules as named facts: every field of [`Rules`] has a stable dotted name, and its value a name or a number.
//!
//! Stands for no kernel code. Names are those of the fields and variants (`walk.callback_walk`: `once` or `unknown-count`), so
//! that documentation, command line and code agree. A fact can be set alone, which is how `loopdiff explain` finds the one that
//! turns an answer. `core/docs/kernel-rules.md` says of each what it means and which program tells its values apart.
//!
//! Invariants: names are unique and come in the order of the fields; what [`Rules::facts`] lists, [`Rules::set`] takes.

use super::{KernelVersion, Rules};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use thiserror::Error;

/// A named fact and its value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Fact {
    /// Dotted name.
    pub name: String,
    /// Name of the value, or a number.
    pub value: String,
}

/// As `--set` takes it: `name=value`.
impl std::fmt::Display for Fact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}

/// A fact in which two sets of rules differ.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Difference {
    /// Dotted name.
    pub name: String,
    /// The value on the first side.
    pub left: String,
    /// The value on the second side.
    pub right: String,
}

/// Why a fact cannot be set.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum FactError {
    /// There is no such fact.
    #[error("no fact is called \"{name}\"; there are: {}", known.join(", "))]
    UnknownName {
        /// What was asked for.
        name: String,
        /// The facts of the same group, or all.
        known: Vec<String>,
    },
    /// The fact has no such value.
    #[error("fact {name} cannot be \"{value}\": {why}")]
    BadValue {
        /// The fact.
        name: String,
        /// What it should have been set to.
        value: String,
        /// Which values there are.
        why: String,
    },
    /// Not of the form `name=value`.
    #[error("\"{0}\" is not of the form fact=value")]
    NoEquals(String),
}

impl Rules {
    /// All facts, in the order of the fields.
    pub fn facts(&self) -> Vec<Fact> {
        let mut facts = Vec::new();
        if let Ok(tree) = serde_json::to_value(self) {
            collect("", &tree, &mut facts);
        }
        facts
    }

    /// Sets one fact; numbers may be decimal or hexadecimal.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), FactError> {
        let version = self.version;
        let mut tree = serde_json::to_value(&*self).unwrap_or_default();
        let Some(leaf) = find(&mut tree, name) else {
            return Err(self.unknown_name(name));
        };
        let bad = |why: String| FactError::BadValue { name: name.to_owned(), value: value.to_owned(), why };
        *leaf = match leaf {
            Value::Number(_) => number(value).ok_or_else(|| bad("a number is expected".to_owned()))?.into(),
            _ => value.into(),
        };
        let rules: Rules = serde_json::from_value(tree).map_err(|e| bad(e.to_string()))?;
        for (what, range, is) in rules.bounded_numbers() {
            if what == name && !range.contains(&is) {
                return Err(bad(format!("a number from {} to {} is expected", range.start(), range.end())));
            }
        }
        *self = Rules { version, ..rules };
        Ok(())
    }

    /// Sets one fact given as `name=value`.
    pub fn set_text(&mut self, text: &str) -> Result<(), FactError> {
        let (name, value) = text.split_once('=').ok_or_else(|| FactError::NoEquals(text.to_owned()))?;
        self.set(name.trim(), value.trim())
    }

    /// The facts in which two sets of rules differ, in the order of the fields.
    pub fn differences(left: &Rules, right: &Rules) -> Vec<Difference> {
        let right: BTreeMap<String, String> = right.facts().into_iter().map(|f| (f.name, f.value)).collect();
        left.facts()
            .into_iter()
            .filter_map(|Fact { name, value: left }| {
                let right = right.get(&name).filter(|r| **r != left)?.clone();
                Some(Difference { name, left, right })
            })
            .collect()
    }

    /// The facts in which these rules differ from those of their version, in the order of the fields: what `--set` takes to get
    /// them from [`Rules::of`].
    pub fn changed(&self) -> Vec<Fact> {
        let changed = Rules::differences(&Rules::of(self.version), self);
        changed.into_iter().map(|Difference { name, right, .. }| Fact { name, value: right }).collect()
    }

    /// A fact's value in each version, oldest first; empty for an unknown fact.
    pub fn values_of(name: &str) -> Vec<(KernelVersion, String)> {
        KernelVersion::ALL
            .into_iter()
            .filter_map(|version| {
                let fact = Rules::of(version).facts().into_iter().find(|f| f.name == name)?;
                Some((version, fact.value))
            })
            .collect()
    }

    /// Numbers that the model cannot take at any value.
    fn bounded_numbers(&self) -> [(&'static str, RangeInclusive<u64>, u64); 3] {
        [
            ("walk.frames_max", 1..=FRAMES_MAX, self.walk.frames_max as u64),
            ("walk.cpus", 1..=CPUS_MAX, u64::from(self.walk.cpus)),
            ("rewrite.scratch_reg", 11..=15, u64::from(self.rewrite.scratch_reg)),
        ]
    }

    fn unknown_name(&self, name: &str) -> FactError {
        let group = name.split_once('.').map_or("", |(group, _)| group);
        let names: Vec<String> = self.facts().into_iter().map(|f| f.name).collect();
        let same_group = |n: &String| n.split_once('.').is_some_and(|(g, _)| g == group);
        let mut known: Vec<String> = names.iter().filter(|n| same_group(n)).cloned().collect();
        if known.is_empty() {
            known = names;
        }
        FactError::UnknownName { name: name.to_owned(), known }
    }
}

/// The largest number of frames that the model can hold.
const FRAMES_MAX: u64 = 16;
/// The largest number of CPUs that a kernel can be built for.
const CPUS_MAX: u64 = 8192;

fn collect(prefix: &str, tree: &Value, facts: &mut Vec<Fact>) {
    let Value::Object(fields) = tree else { return };
    for (field, value) in fields {
        let name = if prefix.is_empty() { field.clone() } else { format!("{prefix}.{field}") };
        match value {
            Value::Object(_) => collect(&name, value, facts),
            Value::String(text) => facts.push(Fact { name, value: text.clone() }),
            other => facts.push(Fact { name, value: other.to_string() }),
        }
    }
}

fn find<'a>(tree: &'a mut Value, name: &str) -> Option<&'a mut Value> {
    let leaf = name.split('.').try_fold(tree, |tree, field| tree.get_mut(field))?;
    (!leaf.is_object()).then_some(leaf)
}

fn number(text: &str) -> Option<i64> {
    match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::CallbackWalk;
    use std::collections::BTreeSet;

    #[test]
    fn every_fact_can_be_set_to_what_it_is_in_each_version() {
        for from in KernelVersion::ALL {
            for to in KernelVersion::ALL {
                let mut rules = Rules::of(from);
                for difference in Rules::differences(&Rules::of(from), &Rules::of(to)) {
                    rules.set(&difference.name, &difference.right).expect("a value of another version");
                }
                assert_eq!(rules, Rules { version: from, ..Rules::of(to) }, "{from} to {to}");
            }
        }
    }

    #[test]
    fn facts_have_names_and_differ_where_versions_do() {
        let names: Vec<String> = Rules::of(KernelVersion::NEWEST).facts().into_iter().map(|f| f.name).collect();
        let unique: BTreeSet<&String> = names.iter().collect();
        assert!(unique.len() == names.len() && names.len() > 50, "{names:?}");
        let differences = Rules::differences(&Rules::of(KernelVersion::V6_1), &Rules::of(KernelVersion::V6_12));
        let walk = differences.iter().find(|d| d.name == "walk.callback_walk").expect("callbacks are walked otherwise");
        assert_eq!((walk.left.as_str(), walk.right.as_str()), ("once", "unknown-count"));
        assert!(Rules::differences(&Rules::of(KernelVersion::V7_3), &Rules::of(KernelVersion::V7_3)).is_empty());
    }

    #[test]
    fn setting_changes_one_fact_and_keeps_the_version() {
        let mut rules = Rules::of(KernelVersion::V7_3);
        rules.set_text("walk.callback_walk = once").expect("a fact");
        assert_eq!(rules.walk.callback_walk, CallbackWalk::Once);
        rules.set("structure.prog_flags", "0x3f").expect("a number");
        assert_eq!(rules.structure.prog_flags, 0x3f);
        assert_eq!(rules.version, KernelVersion::V7_3);
        assert_eq!(Rules::differences(&Rules::of(KernelVersion::V7_3), &rules).len(), 2);
    }

    #[test]
    fn changed_facts_give_the_rules_again() {
        assert!(KernelVersion::ALL.into_iter().all(|version| Rules::of(version).changed().is_empty()));
        for (from, to) in [(KernelVersion::V6_1, KernelVersion::V7_3), (KernelVersion::V7_3, KernelVersion::V6_12)] {
            let mixed = Rules { version: from, ..Rules::of(to) };
            let mut rules = Rules::of(from);
            for fact in mixed.changed() {
                rules.set_text(&fact.to_string()).expect("a fact as it was written");
            }
            assert_eq!(rules, mixed);
        }
    }

    #[test]
    fn refusals_name_the_fact_and_what_there_is() {
        let mut rules = Rules::of(KernelVersion::V7_3);
        let error = rules.set("walk.callback_walk", "twice").expect_err("no such value").to_string();
        assert!(error.contains("walk.callback_walk") && error.contains("`once` or `unknown-count`"), "{error}");
        let error = rules.set("walk.callback", "once").expect_err("no such fact").to_string();
        assert!(error.contains("walk.callback_walk") && !error.contains("domain."), "{error}");
        for bad in ["walk", "walk.callback_walk.once", "", "walk.frames_max.x"] {
            assert!(matches!(rules.set(bad, "once"), Err(FactError::UnknownName { .. })), "{bad}");
        }
        for (name, bad) in
            [("walk.frames_max", "17"), ("walk.frames_max", "-1"), ("walk.cpus", "many"), ("walk.cpus", "0")]
        {
            assert!(matches!(rules.set(name, bad), Err(FactError::BadValue { .. })), "{name}={bad}");
        }
        assert_eq!(rules.set_text("walk.cpus"), Err(FactError::NoEquals("walk.cpus".to_owned())));
        assert_eq!(rules, Rules::of(KernelVersion::V7_3));
    }

    #[test]
    fn values_of_a_fact() {
        let values: Vec<String> = Rules::values_of("walk.frames_max").into_iter().map(|(_, v)| v).collect();
        assert_eq!(values, ["8", "8", "8", "16"]);
        assert!(Rules::values_of("no.fact").is_empty());
    }
}
