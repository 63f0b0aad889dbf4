//! Why programs came to nothing: reasons with counts, and the programs where they are few.

use super::exit::Failure;
use super::items::{Item, Task};
use super::output::{Output, Tone};
use crate::kernel::KernelVersion;
use crate::oracle::{Report, Status};
use crate::program::{Loaded, shown};
use crate::repro::blank_numbers;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Reasons, by what they led to.
#[derive(Default)]
pub struct Reasons<'a> {
    by_kind: BTreeMap<Kind, BTreeMap<String, Reason<'a>>>,
    versions: BTreeSet<KernelVersion>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Unsupported,
    Rejected,
    NotCompared,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Kind::Unsupported => "unsupported",
            Kind::Rejected => "rejected",
            Kind::NotCompared => "not compared",
        }
    }

    /// The name of a field of JSON.
    const fn field(self) -> &'static str {
        match self {
            Kind::NotCompared => "not_compared",
            Kind::Unsupported | Kind::Rejected => self.name(),
        }
    }
}

#[derive(Default)]
struct Reason<'a> {
    /// Programs under kernels.
    count: u64,
    /// Each program once.
    items: Vec<&'a Item>,
    versions: BTreeSet<KernelVersion>,
    /// The reason with its numbers; `None` when there are several.
    exact: Option<String>,
}

impl<'a> Reasons<'a> {
    /// Notes why a program was not accepted, or its runs not compared.
    pub fn add(&mut self, task: &Task<'a>, report: Option<&Report>) {
        self.versions.insert(task.version);
        match (report.map(|r| (&r.status, &r.vacuous)), &task.item.loaded) {
            (Some((Status::Rejected(rejection), _)), _) => {
                let with_errno = |text: &str| format!("{text} (errno {})", rejection.errno.0);
                let text = rejection.reason();
                self.note(Kind::Rejected, task, with_errno(&blank_numbers(text)), &with_errno(text));
            }
            (Some((Status::Unsupported(what), _)), _) => {
                self.note(Kind::Unsupported, task, what.what.clone(), &what.what);
            }
            (Some((Status::Accepted { .. }, vacuous)), _) => {
                let once: BTreeSet<String> = vacuous.iter().map(ToString::to_string).collect();
                once.iter().for_each(|why| self.note(Kind::NotCompared, task, why.clone(), why));
            }
            (None, Loaded::Unsupported { what, .. }) => self.note(Kind::Unsupported, task, what.clone(), what),
            (None, Loaded::Program(_)) => {}
        }
    }

    /// Notes a reason, under what it has in common with others and as it is.
    fn note(&mut self, kind: Kind, task: &Task<'a>, common: String, text: &str) {
        let reason = self.by_kind.entry(kind).or_default().entry(common).or_default();
        if reason.count == 0 {
            reason.exact = Some(text.to_owned());
        } else if reason.exact.as_deref() != Some(text) {
            reason.exact = None;
        }
        reason.count += 1;
        reason.versions.insert(task.version);
        // The tasks of a program follow one another.
        if reason.items.last().is_none_or(|last| !std::ptr::eq(*last, task.item)) {
            reason.items.push(task.item);
        }
    }

    /// A table for each kind, the most frequent reasons first; `all` of them, or those that a screen takes.
    pub fn describe(&self, all: bool, output: &mut Output) -> Result<(), Failure> {
        const SHOWN_MAX: usize = 12;
        for (kind, by_reason) in &self.by_kind {
            let mut reasons: Vec<_> = by_reason.iter().collect();
            reasons.sort_by_key(|(_, reason)| std::cmp::Reverse(reason.items.len()));
            output.line(output.paint(Tone::Notable, format!("{}, programs by reason:", kind.name())))?;
            let shown = if all { reasons.len() } else { SHOWN_MAX };
            for (common, reason) in reasons.iter().take(shown) {
                self.describe_one(common, reason, output)?;
            }
            if let Some(rest @ [_, ..]) = reasons.get(shown..) {
                let programs: usize = rest.iter().map(|(_, reason)| reason.items.len()).sum();
                let hint = format!("  {programs:>6}  for {} other reasons (--verbose shows all)", rest.len());
                output.line(output.paint(Tone::Faint, hint))?;
            }
        }
        Ok(())
    }

    fn describe_one(&self, common: &str, reason: &Reason<'_>, output: &mut Output) -> Result<(), Failure> {
        /// So many programs are named.
        const NAMED_MAX: usize = 3;
        let text = reason.exact.as_deref().unwrap_or(common);
        let mut line = format!("  {:>6}  {}", reason.items.len(), shown(text));
        if reason.versions != self.versions {
            let versions: Vec<&str> = reason.versions.iter().map(|v| v.name()).collect();
            line += &format!(" (rules {})", versions.join(", "));
        }
        output.line(line)?;
        if reason.items.len() > NAMED_MAX {
            return Ok(());
        }
        let is_named_twice =
            |item: &&Item| reason.items.iter().filter(|other| other.loaded.name() == item.loaded.name()).count() > 1;
        let names = reason.items.iter().map(|item| match is_named_twice(item) {
            true => format!("{} ({})", shown(item.loaded.name()), shown(&item.path.to_string_lossy())),
            false => shown(item.loaded.name()).into_owned(),
        });
        let names = names.collect::<Vec<_>>().join(", ");
        output.line(output.paint(Tone::Faint, format!("          {names}")))
    }

    /// Counts of programs under kernels, by kind and reason.
    pub fn json(&self) -> Value {
        let counts = |by_reason: &BTreeMap<String, Reason<'_>>| -> Map<String, Value> {
            let text = |(common, reason): (&String, &Reason<'_>)| {
                (reason.exact.clone().unwrap_or_else(|| common.clone()), reason.count.into())
            };
            by_reason.iter().map(text).collect()
        };
        self.by_kind.iter().map(|(kind, by_reason)| (kind.field(), counts(by_reason))).collect()
    }
}
