//! The order of subprograms, callees before callers; recursion ends here.

use super::{Refusal, Structure};
use crate::isa::{Imm64, InsnIdx, Op};
use crate::program::{SubprogIdx, subprog_target};

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Open,
    Done,
}

/// Sorts the subprograms, by a depth-first search over calls and function references in each subprogram's postorder.
///
/// Kernel: `sort_subprogs_topo` (7.3).
///
/// # Errors
/// A call that closes a cycle; a function reference may.
#[doc(alias = "sort_subprogs_topo")]
pub(super) fn sort(structure: &Structure) -> Result<Vec<SubprogIdx>, Refusal> {
    let count = structure.subprogs.len();
    let mut states = vec![State::New; count];
    let mut order = Vec::with_capacity(count);
    let mut stack = Vec::new();
    for first in 0..count {
        if states.get(first) != Some(&State::New) {
            continue;
        }
        set(&mut states, SubprogIdx(first as u16), State::Open);
        stack.push(SubprogIdx(first as u16));
        while let Some(current) = stack.last().copied() {
            if let Some(callee) = next_callee(structure, &states, current)? {
                set(&mut states, callee, State::Open);
                stack.push(callee);
            } else {
                set(&mut states, current, State::Done);
                order.push(current);
                stack.pop();
            }
        }
    }
    Ok(order)
}

fn set(states: &mut [State], n: SubprogIdx, state: State) {
    if let Some(s) = states.get_mut(n.at()) {
        *s = state;
    }
}

/// The first subprogram that `current` leads to and that was not searched yet.
fn next_callee(structure: &Structure, states: &[State], current: SubprogIdx) -> Result<Option<SubprogIdx>, Refusal> {
    for at in structure.postorder.subprog(current) {
        let Some((op, callee)) = reference(structure, *at) else {
            continue;
        };
        match states.get(callee.at()) {
            Some(State::New) => return Ok(Some(callee)),
            Some(State::Open) if matches!(op, Op::CallLocal { .. }) => {
                let name = |n: SubprogIdx| structure.subprogs.get(n.at()).and_then(|s| s.name.as_deref());
                let (from, to) = (name(current).unwrap_or_default(), name(callee).unwrap_or_default());
                return Err(Refusal::invalid(*at, format!("recursive call from {from}() to {to}()")));
            }
            _ => {}
        }
    }
    Ok(None)
}

fn reference(structure: &Structure, at: InsnIdx) -> Option<(Op, SubprogIdx)> {
    let op = structure.ops.get(at.at()).copied().flatten()?;
    match op {
        Op::CallLocal { .. } | Op::LdImm64 { imm: Imm64::Func { .. }, .. } => {
            let callee = structure.layout.starting(subprog_target(at, &op)?)?;
            Some((op, callee))
        }
        _ => None,
    }
}
