//! The model, and the list of known divergences, against recorded answers of real kernels.
//!
//! Each entry of a recording is compared as `loopdiff kernel parity` compares a fresh answer. Differences that are known stand in
//! `differences.toml` beside the recordings, each with its reason: one that is not listed is wrong, and so is one that is
//! listed and does not show.
//!
//! Left out: entries that take the verifier longer than a limit that the caller sets.

use super::known::{Known, matches};
use crate::guest::{Entry, Recorder};
use crate::kernel::Rules;
use crate::oracle::parity::{self, Match};
use crate::oracle::versions::{self, Side};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

/// A difference between the model and an entry.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Met {
    /// The entry's path.
    pub program: String,
    /// The kernel.
    pub kernel: String,
    /// The kind of difference.
    pub signature: String,
    /// Both sides.
    pub evidence: String,
}

impl fmt::Display for Met {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: the model is not like kernel {}: {}\n    {}",
            self.program, self.kernel, self.signature, self.evidence
        )
    }
}

/// Differences that are known.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Differences {
    #[serde(default)]
    difference: Vec<Listed>,
}

/// A line of the list.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    /// Paths of entries.
    programs: Vec<String>,
    kernels: Vec<String>,
    /// A `*` stands for any text.
    signature: String,
    /// Why it is there.
    why: String,
}

/// What is compared of one recording, and what came of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Compared {
    /// Path and kernel of each entry.
    entries: BTreeSet<(String, String)>,
    met: BTreeSet<Met>,
    /// Entries that were left out.
    pub left_out: usize,
}

impl Compared {
    /// Compares an entry. Entries that a kernel walked more than `walk_max` instructions of are left out.
    pub fn add(&mut self, recorder: &Recorder, entry: &Entry, walk_max: u32) {
        let Some(rules) = recorder.version().map(Rules::of) else { return };
        if entry.answer.insns_processed > walk_max {
            self.left_out += 1;
            return;
        }
        self.entries.insert((entry.path.clone(), recorder.kernel.clone()));
        self.met.extend(differences(recorder, entry, &rules));
    }

    /// Puts two together.
    pub fn merge(&mut self, other: Compared) {
        self.entries.extend(other.entries);
        self.met.extend(other.met);
        self.left_out += other.left_out;
    }

    /// Entries that were compared.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing was compared.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

fn differences(recorder: &Recorder, entry: &Entry, rules: &Rules) -> Vec<Met> {
    let reports = parity::examine(&entry.program, rules);
    let parity = parity::compare(&entry.program, &reports, &entry.answer, &entry.answer.xlated, rules);
    let met = |result: Match| match result {
        Match::Different { signature, evidence } => {
            Some(Met { program: entry.path.clone(), kernel: recorder.kernel.clone(), signature, evidence })
        }
        Match::Same | Match::NotCompared(_) => None,
    };
    parity.into_iter().filter_map(|(_, result)| met(result)).collect()
}

impl Differences {
    /// Reads a list.
    ///
    /// # Errors
    ///
    /// The place in the text.
    pub fn parse(text: &str) -> Result<Differences, String> {
        toml::from_str(text).map_err(|e| e.to_string())
    }

    /// Those of the corpus that this was built with.
    ///
    /// # Errors
    ///
    /// When the list is broken; a test reads it.
    pub fn built_in() -> Result<Differences, String> {
        Differences::parse(include_str!("../../../corpus/kernel/differences.toml"))
    }

    /// Why a program, by the path of its file, is known to be otherwise in a kernel, by its series.
    pub fn why(&self, place: &Path, kernel: &str, signature: &str) -> Option<&str> {
        let is_it = |listed: &&Listed| {
            listed.programs.iter().any(|program| place.ends_with(program))
                && listed.kernels.iter().any(|listed| listed == kernel)
                && matches(&listed.signature, signature)
        };
        self.difference.iter().find(is_it).map(|listed| listed.why.as_str())
    }

    /// What is not as listed, a line each.
    pub fn wrong(&self, compared: &Compared) -> Vec<String> {
        let is_listed = |met: &&Met| {
            self.difference.iter().any(|listed| {
                listed.programs.contains(&met.program)
                    && listed.kernels.contains(&met.kernel)
                    && matches(&listed.signature, &met.signature)
            })
        };
        let mut wrong: Vec<String> =
            compared.met.iter().filter(|met| !is_listed(met)).map(ToString::to_string).collect();
        for listed in &self.difference {
            for (program, kernel) in listed.programs.iter().flat_map(|p| listed.kernels.iter().map(move |k| (p, k))) {
                let shows = |met: &Met| {
                    met.program == *program && met.kernel == *kernel && matches(&listed.signature, &met.signature)
                };
                let was_compared = compared.entries.contains(&(program.clone(), kernel.clone()));
                if was_compared && !compared.met.iter().any(shows) {
                    wrong.push(format!(
                        "{program}: no longer unlike kernel {kernel} in \"{}\" ({}): take it off the list of differences",
                        listed.signature, listed.why
                    ));
                }
            }
        }
        wrong
    }
}

/// What is not as the list of known divergences says of real kernels: the recorded answers of the kernels to `known/NAME/…`
/// differ from each other as the entry says. Entries that were not recorded are not looked at.
pub fn wrong_between(known: &Known, recorded: &[(&Recorder, &Entry)]) -> Vec<String> {
    let mut wrong = Vec::new();
    for divergence in known.all().iter().filter(|divergence| !divergence.between.is_empty()) {
        let folder = format!("known/{}/", divergence.name);
        let mut by_path: BTreeMap<&str, Vec<Side<'_>>> = BTreeMap::new();
        let mut programs = BTreeMap::new();
        for (recorder, entry) in recorded.iter().filter(|(_, entry)| entry.path.starts_with(&folder)) {
            let side = Side { name: &recorder.kernel, answer: &entry.answer, dump: &entry.answer.xlated };
            by_path.entry(&entry.path).or_default().push(side);
            programs.insert(entry.path.as_str(), &entry.program);
        }
        for (path, sides) in by_path {
            let Some(program) = programs.get(path) else { continue };
            let mut found = versions::differences(program, &[], &sides);
            found.extend(versions::common_message(&sides));
            for pattern in &divergence.between {
                if !found.iter().any(|signature| matches(pattern, signature)) {
                    wrong.push(format!("{path}: kernels do not differ as \"{pattern}\"; they differ as {found:?}"));
                }
            }
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::{Answer, Recorder};
    use crate::program::text;

    const SOURCE: &str = ";;! prog_type = \"raw_tracepoint\"\n    r0 = 7\n    exit\n";

    /// What Linux 7.3 answers to that.
    const ANSWER: &str = r#"{"name":"seven","verdict":"accept","errno":0,"message":"","insns_processed":2,
        "stack_by_name":{},"stack_line":"0","xlated":["b700000007000000","9500000000000000"],"runs":[{"retval":7}]}"#;

    fn compared(answer: &str) -> Compared {
        let mut program = text::parse(SOURCE).expect("a program").program;
        program.inputs.push(crate::program::Input { ctx: vec![0; 8], ..Default::default() });
        let answer: Answer = serde_json::from_str(answer).expect("an answer");
        let entry = Entry { path: "a.bpf".to_owned(), program, answer };
        let recorder = Recorder { kernel: "7.3".into(), point: String::new(), release: String::new() };
        let mut compared = Compared::default();
        compared.add(&recorder, &entry, 1000);
        compared
    }

    #[test]
    fn a_changed_answer_is_wrong_unless_it_is_listed() {
        let none = Differences::default();
        assert_eq!(none.wrong(&compared(ANSWER)), Vec::<String>::new());
        for (from, to) in
            [("\"retval\":7", "\"retval\":8"), ("\"b700", "\"b400"), ("\"accept\"", "\"reject\""), ("\":2", "\":3")]
        {
            let changed = compared(&ANSWER.replacen(from, to, 1));
            assert_eq!(none.wrong(&changed).len(), 1, "{to}: {:?}", none.wrong(&changed));
        }
        let list =
            "[[difference]]\nprograms = [\"a.bpf\"]\nkernels = [\"7.3\"]\nsignature = \"run: *\"\nwhy = \"a test\"";
        let list = Differences::parse(list).expect("a list");
        assert!(list.wrong(&compared(&ANSWER.replace(":7}", ":8}"))).is_empty());
        assert!(list.wrong(&compared(ANSWER))[0].contains("take it off"));
    }

    #[test]
    fn long_walks_are_left_out() {
        let long = compared(&ANSWER.replace("\"insns_processed\":2", "\"insns_processed\":2000"));
        assert_eq!((long.len(), long.left_out), (0, 1));
    }
}
