//! The state of a search: the best program so far, and how many candidates may still be tried.

use super::measure::{Measure, measure};
use super::{Budget, End, Keep};
use crate::program::Program;

/// A search.
pub(super) struct Search<'k> {
    /// The smallest program that was kept.
    pub best: Program,
    measure: Measure,
    /// Candidates asked about.
    pub attempts: u32,
    /// Candidates kept.
    pub steps: u32,
    /// Why the search is over, when it is.
    pub end: Option<End>,
    budget: Budget,
    keep: &'k mut dyn FnMut(&Program) -> Keep,
}

impl<'k> Search<'k> {
    pub fn new(program: &Program, budget: Budget, keep: &'k mut dyn FnMut(&Program) -> Keep) -> Search<'k> {
        Search { best: program.clone(), measure: measure(program), attempts: 0, steps: 0, end: None, budget, keep }
    }

    /// Goes on from a candidate if it is smaller and still the case.
    pub fn attempt(&mut self, candidate: Program) -> bool {
        if self.end.is_some() {
            return false;
        }
        let size = measure(&candidate);
        if size >= self.measure {
            return false;
        }
        if self.attempts >= self.budget.attempts_max {
            self.end = Some(End::Budget);
            return false;
        }
        self.attempts += 1;
        match (self.keep)(&candidate) {
            Keep::Yes => {
                (self.best, self.measure) = (candidate, size);
                self.steps += 1;
                true
            }
            Keep::No => false,
            Keep::Stop => {
                self.end = Some(End::Stopped);
                false
            }
        }
    }

    /// Changes a copy of the best program and tries it.
    pub fn attempt_with(&mut self, change: impl FnOnce(&mut Program)) -> bool {
        if self.end.is_some() {
            return false;
        }
        let mut candidate = self.best.clone();
        change(&mut candidate);
        self.attempt(candidate)
    }

    /// Tries ranges of items, from half of them down to one by one, from the last to the first.
    ///
    /// `count` says how many items the best program has; `candidate` makes it smaller by the items of a range, or answers
    /// `None` where there is nothing to do.
    pub fn ranges(
        &mut self,
        count: impl Fn(&Program) -> usize,
        candidate: impl Fn(&Program, std::ops::Range<usize>) -> Option<Program>,
    ) {
        let mut len = count(&self.best).max(1);
        loop {
            let mut end = count(&self.best);
            while end > 0 && self.end.is_none() {
                let start = end.saturating_sub(len);
                if let Some(candidate) = candidate(&self.best, start..end) {
                    self.attempt(candidate);
                }
                end = start.min(count(&self.best));
            }
            if len <= 1 {
                return;
            }
            len = len.div_ceil(2).min(len - 1);
        }
    }
}
