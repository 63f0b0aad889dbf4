//! Operations replaced, removed and added, with everything that points to them kept right.
//!
//! For tools that change programs before a kernel sees them: the mutator and the minimizer. (The rewrite of an accepted
//! program moves references as the kernel does, which is another thing; it has code of its own.)
//!
//! One rule moves everything. An index goes where the first operation at or after it goes, so what led to a removed operation
//! leads to the one that follows. Distances of new operations are written as seen from the place of the operation that they
//! replace, in the program as it was. A line of `func_info` whose function lost all its instructions is dropped.
//!
//! Left out: instructions that decode to nothing are moved as they are. Invariants: without changes the program stays the
//! same; an operation that is not changed keeps its target, unless the target is removed.

use super::Program;
use crate::isa::{Insn, InsnIdx, Op, operations};
use std::collections::{BTreeMap, BTreeSet};
use thiserror::Error;

/// What stands in the place of operations, by their first instruction; nothing to remove one.
pub type Changes = BTreeMap<InsnIdx, Vec<Op>>;

/// A jump would have to reach farther than its field allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("instruction {0} would jump too far")]
pub struct JumpTooLong(
    /// The operation in the program as it was.
    pub InsnIdx,
);

/// Applies changes. Those at indexes where no operation starts do nothing.
///
/// # Errors
///
/// When instructions are added and a jump cannot reach its target any more. Removing never fails.
pub fn apply(program: &Program, changes: &Changes) -> Result<Program, JumpTooLong> {
    let places = Places::new(program, changes);
    let mut insns = Vec::with_capacity(places.end());
    for (at, listed) in operations(&program.insns) {
        match (changes.get(&at), listed) {
            (Some(new), _) => {
                for op in new {
                    push_moved(&mut insns, *op, at, &places)?;
                }
            }
            (None, Ok(op)) => push_moved(&mut insns, op, at, &places)?,
            (None, Err(insn)) => insns.push(insn),
        }
    }
    Ok(Program { insns, funcs: funcs(program, &places), ..rest_of(program) })
}

/// Removes the operations at some places.
pub fn remove(program: &Program, gone: &BTreeSet<InsnIdx>) -> Program {
    let changes = gone.iter().map(|at| (*at, Vec::new())).collect();
    // Distances only shrink.
    apply(program, &changes).unwrap_or_else(|JumpTooLong(_)| program.clone())
}

/// Adds operations in front of the one at `at`; whatever led there leads to the first new one.
///
/// # Errors
///
/// When a jump cannot reach its target any more.
pub fn insert(program: &Program, at: InsnIdx, ops: &[Op]) -> Result<Program, JumpTooLong> {
    let old = operations(&program.insns).into_iter().find(|(n, _)| *n == at);
    let Some((_, Ok(old))) = old else { return Ok(program.clone()) };
    apply(program, &Changes::from([(at, ops.iter().copied().chain([old]).collect())]))
}

/// Everything but the instructions and functions.
fn rest_of(program: &Program) -> Program {
    Program {
        name: program.name.clone(),
        prog_type: program.prog_type,
        expected_attach_type: program.expected_attach_type,
        prog_flags: program.prog_flags,
        insns: Vec::new(),
        funcs: Vec::new(),
        btf: program.btf.clone(),
        btf_optional: program.btf_optional,
        maps: program.maps.clone(),
        inputs: program.inputs.clone(),
        notes: program.notes.clone(),
    }
}

/// Appends an operation with the distance that leads where it led before.
fn push_moved(insns: &mut Vec<Insn>, op: Op, old: InsnIdx, places: &Places) -> Result<(), JumpTooLong> {
    let moved = match op.distance() {
        None => op,
        Some(distance) => {
            let target = places.moved(i64::from(old.0) + 1 + i64::from(distance));
            op.with_distance(target - insns.len() as i64 - 1).ok_or(JumpTooLong(old))?
        }
    };
    let (first, second) = moved.encode();
    insns.push(first);
    insns.extend(second);
    Ok(())
}

fn funcs(program: &Program, places: &Places) -> Vec<super::Func> {
    let starts: BTreeSet<InsnIdx> = program.funcs.iter().map(|f| f.insn).collect();
    let is_empty = |start: InsnIdx| {
        let end = starts.range(start.next()..).next().map_or(places.old_len(), |end| i64::from(end.0));
        i64::from(start.0) < places.old_len() && places.moved(i64::from(start.0)) == places.moved(end)
    };
    let kept = program.funcs.iter().filter(|f| !is_empty(f.insn));
    kept.map(|f| super::Func { insn: InsnIdx(places.moved(i64::from(f.insn.0)) as u32), ..f.clone() }).collect()
}

/// Where each index of the program goes; the last one is the index after the last instruction.
struct Places(Vec<u32>);

impl Places {
    fn new(program: &Program, changes: &Changes) -> Places {
        let mut places = Vec::with_capacity(program.insns.len() + 1);
        let mut next = 0;
        for (at, listed) in operations(&program.insns) {
            let len = listed.as_ref().map_or(1, Op::len);
            let new_len = changes.get(&at).map_or(len, |new| new.iter().map(Op::len).sum());
            // The second half stays a second half, as far as there is one.
            places.extend((0..len).map(|half| next + half.min(new_len)));
            next += new_len;
        }
        places.push(next);
        Places(places)
    }

    fn old_len(&self) -> i64 {
        self.0.len() as i64 - 1
    }

    fn end(&self) -> usize {
        self.0.last().copied().unwrap_or_default() as usize
    }

    /// Where an index goes. Before the program nothing moves; behind it everything moves with the end.
    fn moved(&self, index: i64) -> i64 {
        match usize::try_from(index).map(|n| self.0.get(n)) {
            Ok(Some(place)) => i64::from(*place),
            Ok(None) => index - self.old_len() + self.end() as i64,
            Err(_) => index,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Imm64;
    use crate::program::text;
    use proptest::prelude::*;

    fn program(body: &str) -> Program {
        text::parse(body).expect("a program").program
    }

    fn at(places: &[u32]) -> BTreeSet<InsnIdx> {
        places.iter().map(|n| InsnIdx(*n)).collect()
    }

    /// The body alone.
    fn body(program: &Program) -> Vec<String> {
        let text = text::write(program);
        text.lines().filter(|l| !l.starts_with(";;!") && !l.is_empty()).map(|l| l.trim().to_owned()).collect()
    }

    const LOOP: &str = "main:
        r1 = 0xa ll
        r2 = cb ll
        if r1 == 0 goto out
        call cb
        goto out
        r0 = 1
     out:
        r0 = 0
        exit
     cb:
        r3 = 1
        r0 = 0
        exit
    ";

    #[test]
    fn what_led_to_a_removed_operation_leads_to_the_next() {
        let program = program(LOOP);
        let smaller = remove(&program, &at(&[0, 7, 8, 10]));
        let expected = ["main:", "r2 = cb ll", "if r1 == 0 goto .L5", "call cb", "goto .L5", ".L5:", "exit", "cb:"];
        assert_eq!(body(&smaller)[..8], expected);
        assert_eq!(smaller.funcs.iter().map(|f| f.insn.0).collect::<Vec<_>>(), [0, 6]);
    }

    #[test]
    fn a_function_without_instructions_is_no_function() {
        let program = program(LOOP);
        let whole = remove(&program, &at(&[10, 11, 12]));
        assert_eq!(whole.funcs.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), ["main"]);
        let main = remove(&program, &at(&[0, 2, 4, 5, 6, 7, 8, 9]));
        assert_eq!(main.funcs.iter().map(|f| (f.insn.0, f.name.as_str())).collect::<Vec<_>>(), [(0, "cb")]);
    }

    #[test]
    fn added_operations_take_the_place() {
        let program = program(LOOP);
        let exit = [Op::Exit, Op::Exit];
        let longer = insert(&program, InsnIdx(8), &exit).expect("short jumps");
        let Some(Op::JumpIf { off, .. }) = operations(&longer.insns)[2].1.as_ref().ok().copied() else { panic!() };
        assert_eq!((off, longer.funcs[1].insn), (3, InsnIdx(12)));
        // Distances of new operations count in the old program.
        let goto = Op::Jump { off: 3, wide: false };
        let changes = Changes::from([(InsnIdx(0), vec![]), (InsnIdx(4), vec![Op::Exit, goto])]);
        let changed = apply(&program, &changes).expect("short jumps");
        assert_eq!(body(&changed)[2..4], ["exit", "goto .L7"]);
    }

    #[test]
    fn a_jump_that_cannot_reach_is_an_error() {
        let program = program("if r1 == 0 goto out\nr0 = 1\nout:\nexit");
        let many = vec![Op::Exit; 40_000];
        assert_eq!(insert(&program, InsnIdx(1), &many), Err(JumpTooLong(InsnIdx(0))));
        assert!(insert(&program, InsnIdx(2), &many).is_ok(), "the jump leads to the first new one");
        assert!(insert(&program, InsnIdx(0), &many).is_ok());
    }

    fn any_op() -> impl Strategy<Value = Op> {
        let near = -6i16..6;
        prop_oneof![
            near.clone().prop_map(|off| Op::Jump { off: i32::from(off), wide: off % 2 == 0 }),
            near.clone().prop_map(|off| Op::MayGoto { off }),
            near.clone().prop_map(|off| Op::CallLocal { rel: i32::from(off), off: 0 }),
            near.prop_map(|off| Op::LdImm64 {
                dst: crate::isa::Reg::R2,
                imm: Imm64::Func { rel: i32::from(off), number: 0 }
            }),
            any::<u64>().prop_map(|n| Op::LdImm64 { dst: crate::isa::Reg::R1, imm: Imm64::Const(n) }),
            any::<i32>().prop_map(|id| Op::CallHelper { id }),
        ]
    }

    proptest! {
        /// Each kept operation has the target that it had, or what follows it.
        #[test]
        fn kept_operations_keep_their_targets(ops in prop::collection::vec(any_op(), 1..24), picks: u32) {
            let insns = ops.iter().flat_map(|op| { let (a, b) = op.encode(); [Some(a), b] }).flatten().collect();
            let program = Program { insns, ..Program::default() };
            let old = operations(&program.insns);
            let is_gone = |n: usize| picks >> (n % 32) & 1 == 1;
            let gone: BTreeSet<_> = old.iter().enumerate().filter(|(n, _)| is_gone(*n)).map(|(_, o)| o.0).collect();
            let smaller = remove(&program, &gone);
            let new = operations(&smaller.insns);
            let kept: Vec<_> = old.iter().filter(|(at, _)| !gone.contains(at)).collect();
            prop_assert_eq!(kept.len(), new.len());
            for ((old_at, old_op), (new_at, new_op)) in kept.iter().zip(&new) {
                let (Ok(old_op), Ok(new_op)) = (old_op, new_op) else { panic!() };
                prop_assert_eq!(old_op.with_distance(0), new_op.with_distance(0));
                let Some(target) = old_op.target(*old_at).filter(|t| t.at() < program.insns.len()) else { continue };
                if old.iter().all(|(at, _)| *at != target) {
                    continue; // into the middle of a constant
                }
                let expected = kept.iter().position(|(at, _)| *at >= target);
                let reached = new_op.target(*new_at).and_then(|t| new.iter().position(|(at, _)| *at == t));
                prop_assert_eq!(reached, expected);
            }
            prop_assert_eq!(remove(&program, &BTreeSet::new()), program);
        }
    }
}
