//! The same search over anything that says itself how it can be made simpler, such as a generator's own description.

use super::{Budget, Keep};

/// Makes a value simpler as long as `keep` says yes, and answers how often it was asked.
///
/// `simpler` lists simpler values, those that promise most first; it should go down by some measure, else only the budget
/// ends the search. After a step the list of the new value is gone on with where the old one was left.
pub fn reduce_with<T, I: IntoIterator<Item = T>>(
    start: T,
    budget: Budget,
    simpler: impl Fn(&T) -> I,
    keep: &mut dyn FnMut(&T) -> Keep,
) -> (T, u32) {
    let mut best = start;
    let mut attempts = 0;
    loop {
        let mut stepped = false;
        let mut at = 0;
        let mut candidates = simpler(&best).into_iter();
        while let Some(candidate) = candidates.next() {
            if attempts >= budget.attempts_max {
                return (best, attempts);
            }
            attempts += 1;
            match keep(&candidate) {
                Keep::Yes => {
                    best = candidate;
                    stepped = true;
                    candidates = simpler(&best).into_iter();
                    // What failed at these places most likely fails again; the next round looks.
                    candidates.by_ref().take(at).for_each(drop);
                }
                Keep::No => at += 1,
                Keep::Stop => return (best, attempts),
            }
        }
        if !stepped {
            return (best, attempts);
        }
    }
}
