//! Passes over the numbers in instructions: constants and offsets towards 0.

use super::measure::{is_stack_access, number, numbers, with_numbers};
use super::search::Search;
use crate::isa::{InsnIdx, Op, operations};
use crate::program::edit;
use std::collections::BTreeSet;

/// Bytes of a stack slot.
const SLOT: i128 = 8;

/// Which operations a number is replaced in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Where {
    All,
    Stack,
}

/// Replaces a number wherever it stands, so that places that must agree go on agreeing.
pub(super) fn everywhere(search: &mut Search<'_>) {
    for place in [Where::All, Where::Stack] {
        let belongs = |op: &Op| place == Where::All || is_stack_access(op);
        let mut all: BTreeSet<i128> = BTreeSet::new();
        for (_, op) in operations(&search.best.insns) {
            all.extend(op.ok().filter(belongs).iter().flat_map(numbers));
        }
        for mut n in all {
            while search.end.is_none()
                && let Some(smaller) = simpler(n).into_iter().find(|new| {
                    let ops = operations(&search.best.insns);
                    let ops = ops.iter().filter_map(|(at, op)| Some((*at, op.as_ref().ok().copied().filter(belongs)?)));
                    let changes = ops.filter(|(_, op)| numbers(op).any(|old| old == n));
                    let replace = |old| if old == n { *new } else { old };
                    let changes =
                        changes.filter_map(|(at, op)| Some((at, vec![with_numbers(&op, replace)?]))).collect();
                    attempt(search, &changes)
                })
            {
                n = smaller;
            }
        }
    }
}

/// Replaces the numbers of one operation after another.
pub(super) fn one_by_one(search: &mut Search<'_>) {
    let places: Vec<InsnIdx> = operations(&search.best.insns).iter().map(|(at, _)| *at).collect();
    for at in places {
        while search.end.is_none() && reduce_operation(search, at) {}
    }
}

fn reduce_operation(search: &mut Search<'_>, at: InsnIdx) -> bool {
    let ops = operations(&search.best.insns);
    let Some((_, Ok(op))) = ops.iter().find(|(n, _)| *n == at) else { return false };
    numbers(op).collect::<Vec<_>>().into_iter().any(|n| {
        simpler(n).into_iter().any(|new| {
            let changed = with_numbers(op, |old| if old == n { new } else { old });
            changed.is_some_and(|op| attempt(search, &edit::Changes::from([(at, vec![op])])))
        })
    })
}

fn attempt(search: &mut Search<'_>, changes: &edit::Changes) -> bool {
    search.end.is_none() && edit::apply(&search.best, changes).is_ok_and(|candidate| search.attempt(candidate))
}

/// Simpler numbers, simplest first.
fn simpler(n: i128) -> Vec<i128> {
    let magnitude = n.unsigned_abs() as i128;
    let power = if magnitude == 0 { 0 } else { 1 << magnitude.ilog2() };
    let mut all = vec![0, 1, -SLOT, -n, power, 2 * power, -power, n / 2 / SLOT * SLOT, n / 2, n + SLOT];
    if n > 0 {
        all.push(n - 1);
    } else {
        all.push(n + 1);
    }
    let mut seen = BTreeSet::new();
    all.retain(|new| number(*new) < number(n) && seen.insert(*new));
    all
}
