//! Known divergences: true properties of the kernels that are modelled, each with a story.
//!
//! `corpus/known/known.toml` lists them, and this file is part of the command. A finding is a known one when its signature is
//! listed for the rules, and when the entry is its cause: where the entry names a fact, the finding goes away once that fact is
//! set on top of the rules that it was found under; where it names none, the finding is there under the rules of the kernel
//! itself, without facts that were set. What only looks alike stays a finding, and so does what another fact brings about.

use super::files::stable_hash;
use crate::kernel::{KernelVersion, ProgType, Rules};
use crate::oracle::{Examiner, Finding};
use crate::program::Program;
use serde::Deserialize;
use thiserror::Error;

/// A divergence that is known.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownDivergence {
    /// Its name, and that of its folder beside the list.
    pub name: String,
    /// What it is, in a line.
    pub title: String,
    /// The signatures that it shows itself by; a `*` stands for any text.
    #[serde(default)]
    pub signatures: Vec<String>,
    /// The kernels that have it.
    pub rules: Vec<String>,
    /// In what real kernels differ from each other on it, in the words of `oracle::versions`; a `*` stands for any text.
    #[serde(default)]
    pub between: Vec<String>,
    /// The program types that have it; empty for all.
    #[serde(default)]
    pub prog_types: Vec<String>,
    /// `fact=value` that takes it away, where one does.
    #[serde(default)]
    pub fact: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    #[serde(default)]
    known: Vec<KnownDivergence>,
}

/// The known divergences.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Known {
    all: Vec<KnownDivergence>,
}

/// A list that cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum KnownError {
    /// Not TOML, or not of this form.
    #[error("{0}")]
    Form(String),
    /// A kernel or fact that does not exist.
    #[error("known divergence \"{name}\": {why}")]
    Entry {
        /// The entry.
        name: String,
        /// What is wrong.
        why: String,
    },
}

impl Known {
    /// None: every finding is one.
    pub fn none() -> Known {
        Known::default()
    }

    /// Those of the corpus that this was built with.
    ///
    /// # Errors
    ///
    /// When the list is broken; a test reads it.
    pub fn built_in() -> Result<Known, KnownError> {
        Known::parse(include_str!("../../../corpus/known/known.toml"))
    }

    /// Reads a list.
    ///
    /// # Errors
    ///
    /// With the place in the text, or the entry's name.
    pub fn parse(text: &str) -> Result<Known, KnownError> {
        let list: List = toml::from_str(text).map_err(|e| KnownError::Form(e.to_string()))?;
        for known in &list.known {
            let wrong = |why: String| KnownError::Entry { name: known.name.clone(), why };
            for prog_type in &known.prog_types {
                prog_type.parse::<ProgType>().map_err(|e| wrong(e.to_string()))?;
            }
            for version in &known.rules {
                let version: KernelVersion = version.parse().map_err(|e| wrong(format!("{e}")))?;
                if let Some(fact) = &known.fact {
                    Rules::of(version).set_text(fact).map_err(|e| wrong(e.to_string()))?;
                }
            }
        }
        Ok(Known { all: list.known })
    }

    /// How many there are, and a hash of what they say, which two lists share only when they are the same; `none` where there are
    /// none.
    pub fn digest(&self) -> String {
        match self.all.len() {
            0 => "none".to_owned(),
            n => format!("{n} divergences, {:016x}", stable_hash(format!("{:?}", self.all).bytes())),
        }
    }

    /// All of them.
    pub fn all(&self) -> &[KnownDivergence] {
        &self.all
    }

    /// The known divergence that a finding under some rules is, if any. The examiner is one that finds it.
    pub fn explains(
        &self,
        finding: &Finding,
        program: &Program,
        rules: &Rules,
        examiner: &mut Examiner,
    ) -> Option<&KnownDivergence> {
        self.all.iter().find(|known| {
            known.rules.iter().any(|v| v == rules.version.name())
                && known.has(&finding.signature)
                && (known.prog_types.is_empty() || known.prog_types.iter().any(|t| t == program.prog_type.name()))
                && known.is_cause(finding, program, rules, examiner)
        })
    }
}

impl KnownDivergence {
    /// Whether a signature is one of the entry's.
    pub fn has(&self, signature: &str) -> bool {
        self.signatures.iter().any(|pattern| matches(pattern, signature))
    }

    /// Whether a finding under some rules comes from what the entry describes, and not from a fact that was set.
    fn is_cause(&self, finding: &Finding, program: &Program, rules: &Rules, examiner: &mut Examiner) -> bool {
        let mut other = rules.clone();
        match &self.fact {
            Some(fact) => {
                // The list was read: the fact is one.
                other.set_text(fact).is_ok() && other != *rules && !shows(finding, program, &other, examiner)
            }
            None => {
                let own = Rules::of(rules.version);
                own == *rules || shows(finding, program, &own, examiner)
            }
        }
    }

    /// Whether a difference between real kernels is one of the entry's.
    pub fn is_between(&self, signature: &str) -> bool {
        self.between.iter().any(|pattern| matches(pattern, signature))
    }
}

/// Whether a text is like a pattern, in which a `*` stands for any text.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(start) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        let Some((_, after)) = text.split_once(part) else { return false };
        text = after;
    }
    text.ends_with(end)
}

/// Whether a program shows a finding under other rules. A panic of ours shows all of them: it is never what takes one away.
fn shows(finding: &Finding, program: &Program, rules: &Rules, examiner: &mut Examiner) -> bool {
    let (report, findings) = super::work::findings_caught(examiner, program, rules);
    report.is_none() || findings.iter().any(|f| f.signature == finding.signature)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_list_can_be_read() {
        let known = Known::built_in().expect("corpus/known/known.toml");
        assert!(!known.all().is_empty());
    }

    /// The cases of an entry with a fact show its signature, and the fact takes it away.
    #[test]
    fn facts_take_away_what_they_explain() {
        let known = Known::built_in().expect("corpus/known/known.toml");
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus/known");
        let mut examiner = Examiner::new(crate::oracle::Options::default());
        for entry in known.all().iter().filter(|entry| entry.fact.is_some()) {
            for file in crate::campaign::cases::files(&folder.join(&entry.name)).expect("the entry's folder") {
                let source = std::fs::read_to_string(&file).expect("a case");
                let program = crate::campaign::cases::read(&file, &source).expect("a case").file.program;
                for version in &entry.rules {
                    let rules = Rules::of(version.parse().expect("a version"));
                    let findings = examiner.examine(&program, &rules).findings;
                    let place = format!("{} under {version}", file.display());
                    assert!(findings.iter().any(|f| entry.has(&f.signature)), "{place} does not show its signature");
                    for finding in findings {
                        let by = known.explains(&finding, &program, &rules, &mut examiner).map(|e| e.fact.as_ref());
                        assert_eq!(by, Some(entry.fact.as_ref()), "{place}: {}", finding.signature);
                    }
                }
            }
        }
    }

    #[test]
    fn broken_lists_name_the_entry() {
        let entry = |rules: &str, fact: &str| {
            Known::parse(&format!(
                "[[known]]\nname = \"a\"\ntitle = \"t\"\nsignatures = [\"x:*\"]\nrules = [{rules}]\n{fact}"
            ))
        };
        assert!(entry("\"6.1\"", "").is_ok());
        assert!(matches!(entry("\"5.4\"", ""), Err(KnownError::Entry { name, .. }) if name == "a"));
        assert!(matches!(entry("\"6.1\"", "fact = \"no.such=1\""), Err(KnownError::Entry { .. })));
        assert!(matches!(entry("\"6.1\"", "colour = 1"), Err(KnownError::Form(_))));
    }

    #[test]
    fn a_star_stands_for_any_text() {
        let known = Known::parse(
            "[[known]]\nname = \"a\"\ntitle = \"t\"\nsignatures = [\"safety:*\", \"equivalence:r0\"]\nrules = []",
        );
        let known = known.expect("a list");
        let has = |s: &str| known.all()[0].has(s);
        assert!(has("safety:both forms:x") && has("equivalence:r0"));
        assert!(!has("equivalence:r0:upper half") && !has("stack:x"));
        assert!(matches("a*c*e", "a b c d e") && matches("*", "") && matches("a*a", "aba"));
        assert!(!matches("a*a", "a") && !matches("a*c*e", "a e c") && !matches("a*", "b"));
    }
}
