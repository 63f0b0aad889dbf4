//! The minimizer: makes a program, or the Spec that it was lowered from, smaller while somebody says that it is still the
//! case.
//!
//! Takes a predicate and knows no oracle. What is dropped or made simpler, in this order and again until nothing helps:
//! functions, ranges of instructions, single operations, numbers, inputs, maps, the program's type and names. Code that
//! cannot be reached any more goes together with the change that cut it off, as kernels refuse it.
//!
//! Left out: moving values to other registers, inlining of subprograms, changes to a BTF blob.
//!
//! Invariants: the result is the given program or one that the predicate said yes to; every step makes the program smaller by
//! one measure, so that the search ends without a budget too; the same program and predicate give the same
//! result. There is no clock here: a predicate that watches one answers [`Keep::Stop`].

mod code;
mod data;
mod measure;
mod numbers;
mod search;
mod steps;

#[cfg(test)]
mod tests;

pub use measure::Size;
pub use steps::reduce_with;

use crate::generator::{self, Spec};
use crate::program::Program;
use search::Search;

/// What a predicate says of a candidate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keep {
    /// It is still the case: go on from it.
    Yes,
    /// It is another thing.
    No,
    /// It is not looked at: end with the best so far.
    Stop,
}

impl From<bool> for Keep {
    fn from(keep: bool) -> Keep {
        if keep { Keep::Yes } else { Keep::No }
    }
}

/// Bounds of a search.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    /// Candidates that the predicate may be asked about.
    pub attempts_max: u32,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget { attempts_max: 20_000 }
    }
}

/// A smaller program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reduced {
    /// The program.
    pub program: Program,
    /// Candidates that the predicate was asked about.
    pub attempts: u32,
    /// Why the search ended.
    pub end: End,
    /// Size of the program that was given.
    pub before: Size,
    /// Size of the result.
    pub after: Size,
}

/// Why a search ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// No pass finds anything smaller.
    Minimal,
    /// The budget is used up.
    Budget,
    /// The predicate said [`Keep::Stop`].
    Stopped,
}

/// Makes a generated case smaller as long as `keep` says yes: its Spec with half of the budget, then the program that the
/// smallest Spec lowers to. `program` is what the Spec given lowers to.
pub fn reduce_spec(spec: &Spec, program: &Program, budget: Budget, keep: &mut dyn FnMut(&Program) -> Keep) -> Reduced {
    let before = Size::of(program);
    let half = Budget { attempts_max: budget.attempts_max / 2 };
    let mut stopped = false;
    let (spec, attempts) = reduce_with(spec.clone(), half, generator::simplifications, &mut |spec| {
        let answer = keep(&generator::lower(spec).program);
        stopped |= answer == Keep::Stop;
        answer
    });
    // No step was taken: the program is the one that was given, whose name says where it comes from.
    let mut start = generator::lower(&spec).program;
    start.name.clone_from(&program.name);
    if stopped {
        let after = Size::of(&start);
        return Reduced { program: start, attempts, end: End::Stopped, before, after };
    }
    let left = Budget { attempts_max: budget.attempts_max - attempts };
    let reduced = reduce(&start, left, keep);
    Reduced { attempts: attempts + reduced.attempts, before, ..reduced }
}

/// Makes a program smaller as long as `keep` says yes. The program itself is taken to be the case and not asked about.
pub fn reduce(program: &Program, budget: Budget, keep: &mut dyn FnMut(&Program) -> Keep) -> Reduced {
    const PASSES: [fn(&mut Search<'_>); 12] = [
        data::drop_inputs,
        code::cut_functions,
        code::drop_ranges,
        code::simplify_operations,
        code::drop_pairs,
        data::drop_maps,
        numbers::everywhere,
        numbers::one_by_one,
        data::shrink_inputs,
        data::shrink_maps,
        data::plain_type,
        data::plain_names,
    ];
    let before = Size::of(program);
    let mut search = Search::new(program, budget, keep);
    loop {
        let steps = search.steps;
        for pass in PASSES {
            if search.end.is_none() {
                pass(&mut search);
            }
        }
        if search.steps == steps || search.end.is_some() {
            break;
        }
    }
    let after = Size::of(&search.best);
    Reduced { attempts: search.attempts, end: search.end.unwrap_or(End::Minimal), program: search.best, before, after }
}
