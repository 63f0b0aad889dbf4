//! What a campaign is: everything that changes what it finds. Two starts go on in one folder when this is the same.

use crate::kernel::Rules;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;

/// What a campaign is, without how long it runs and on how many threads.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The release of loopdiff.
    pub release: String,
    /// What cases are put to: `model` or `kernels`.
    pub target: String,
    /// Seed of all cases.
    pub seed: u64,
    /// The rule sets of the model, with the facts that were set.
    pub rules: Vec<RuleSet>,
    /// The kernels, with their releases and what was asked for of their guests; empty where there is none.
    pub kernels: Vec<String>,
    /// Which cases the target is asked about.
    pub sample: String,
    /// The known divergences that are counted apart ([`Known::digest`](super::Known::digest)), or `none`.
    pub known: String,
    /// Candidates that are tried to make a finding's case smaller.
    pub reduce_attempts: u32,
}

/// A rule set by name.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSet {
    /// The kernel version.
    pub version: String,
    /// The facts that are not those of the version, as `--set` takes them.
    #[serde(default)]
    pub set: Vec<String>,
}

impl RuleSet {
    /// The name of rules.
    pub fn of(rules: &Rules) -> RuleSet {
        let set = rules.changed().iter().map(ToString::to_string).collect();
        RuleSet { version: rules.version.name().to_owned(), set }
    }
}

/// `6.12 with walk.callback_walk=once`.
impl fmt::Display for RuleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.version)?;
        if !self.set.is_empty() {
            write!(f, " with {}", self.set.join(", "))?;
        }
        Ok(())
    }
}

impl Identity {
    /// In what this campaign is another than the one that is asked for; empty when they are the same.
    pub fn unlike(&self, asked: &Identity) -> Vec<String> {
        let (Ok(Value::Object(of_folder)), Ok(Value::Object(asked))) =
            (serde_json::to_value(self), serde_json::to_value(asked))
        else {
            return vec!["its options".to_owned()];
        };
        of_folder
            .iter()
            .filter(|(name, value)| asked.get(*name) != Some(value))
            .map(|(name, value)| {
                let asked = asked.get(name).map(words).unwrap_or_default();
                format!("{} {} (asked for: {asked})", name.replace('_', "-"), words(value))
            })
            .collect()
    }

    /// The facts that were set where something was found: under the rules of a version; for other columns, which are of kernels, under
    /// any of the rules that these are compared under.
    pub fn set_of(&self, column: &str) -> Vec<String> {
        let own = self.rules.iter().find(|rules| rules.version == column);
        let mut all: Vec<String> = match own {
            Some(rules) => rules.set.clone(),
            None => self.rules.iter().flat_map(|rules| rules.set.iter().cloned()).collect(),
        };
        let mut seen = BTreeSet::new();
        all.retain(|fact| seen.insert(fact.clone()));
        all
    }
}

/// A field for people.
fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(all) if all.is_empty() => "none".to_owned(),
        Value::Array(all) => all.iter().map(words).collect::<Vec<_>>().join("; "),
        Value::Object(_) => RuleSet::deserialize(value).map_or_else(|_| value.to_string(), |rules| rules.to_string()),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::KernelVersion;

    #[test]
    fn every_field_is_named_when_it_differs() {
        let mut rules = Rules::of(KernelVersion::V6_12);
        rules.set_text("walk.frames_max=4").expect("a fact");
        let one = Identity { release: "1".into(), rules: vec![RuleSet::of(&rules)], ..Identity::default() };
        assert_eq!(one.unlike(&one), Vec::<String>::new());
        let Ok(Value::Object(fields)) = serde_json::to_value(&one) else { panic!("an object") };
        for name in fields.keys() {
            let mut other = serde_json::to_value(&one).expect("an object");
            other[name] = match &fields[name] {
                Value::String(_) => "another".into(),
                Value::Number(_) => 99.into(),
                _ => Value::Array(Vec::new()),
            };
            if name == "kernels" {
                other[name] = vec!["6.1"].into();
            }
            let other: Identity = serde_json::from_value(other).expect("an identity");
            let unlike = one.unlike(&other);
            assert!(unlike.len() == 1 && unlike[0].starts_with(&name.replace('_', "-")), "{name}: {unlike:?}");
        }
        assert_eq!(
            (one.set_of("6.12"), one.set_of("kernels")),
            (vec!["walk.frames_max=4".to_owned()], one.set_of("6.12"))
        );
        let plain = Identity { rules: vec![RuleSet::of(&Rules::of(KernelVersion::V6_12))], ..one.clone() };
        assert_eq!(one.unlike(&plain), ["rules 6.12 with walk.frames_max=4 (asked for: 6.12)"]);
    }
}
