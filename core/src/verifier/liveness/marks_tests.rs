//! Examples of what the recorded marks of 6.18 come to.

use super::tests::{Built, FP, LOOP, R0, R1, R2, R6, SomeFacts, add, built, jump_if, load, mov, set, zero};
use super::*;
use crate::isa::Op;
use crate::kernel::EarlierWrites;

/// Slots of whole eight bytes at these offsets.
fn fp(offs: &[i32]) -> WholeSlots {
    offs.iter().fold(0, |set, off| set | 1 << (-off / 8 - 1))
}

fn analysed(built: &Built) -> Liveness {
    let code = Code { ops: &built.ops, layout: &built.layout, facts: &SomeFacts::default(), branches: Branches::Kept };
    Liveness::of_registers(&code)
}

fn chain(frames: &[(u16, u32)]) -> Vec<FrameAt> {
    frames.iter().map(|&(n, at)| FrameAt { subprog: SubprogIdx(n), at: InsnIdx(at) }).collect()
}

/// What an instruction of a path did: reads and writes of (frame, offset).
struct Did<'a> {
    frames: &'a [(u16, u32)],
    reads: &'a [(usize, i32)],
    writes: &'a [(usize, i32)],
}

fn did<'a>(frames: &'a [(u16, u32)], reads: &'a [(usize, i32)], writes: &'a [(usize, i32)]) -> Did<'a> {
    Did { frames, reads, writes }
}

fn slot(off: i32) -> usize {
    (-off / 8 - 1) as usize
}

/// A path that ends at its last instruction, or returns there.
fn walk(marks: &mut StackMarks, liveness: &Liveness, path: &[Did<'_>]) {
    for Did { frames, reads, writes } in path {
        marks.begin(liveness, InsnIdx(frames.last().expect("a frame").1), || chain(frames));
        reads.iter().for_each(|&(frame, off)| marks.read(frame, slot(off)));
        writes.iter().for_each(|&(frame, off)| marks.write(frame, slot(off)));
        marks.commit();
    }
    let end = path.last().expect("a path").frames;
    marks.update(liveness, &chain(end), None);
}

fn live(marks: &mut StackMarks, liveness: &Liveness, frames: &[(u16, u32)]) -> Vec<WholeSlots> {
    marks.live_slots(liveness, &chain(frames)).to_vec()
}

/// 0 picks a slot, 3 stores to it, 4 and 5 read both.
fn store_to_one_of_two() -> Built {
    built(&[&[
        jump_if(R1, 5, 1),
        mov(R2, FP),
        add(R2, -8),
        zero(R2, 0),
        load(R6, FP, -8),
        load(R6, FP, -16),
        set(R0, 0),
        Op::Exit,
    ]])
}

#[test]
fn a_slot_lives_from_its_write_to_its_last_read() {
    let (built, mut marks) = (store_to_one_of_two(), StackMarks::new(EarlierWrites::UpperSlots));
    let liveness = analysed(&built);
    let path = [did(&[(0, 3)], &[], &[(0, -8)]), did(&[(0, 4)], &[(0, -8)], &[]), did(&[(0, 7)], &[], &[])];
    walk(&mut marks, &liveness, &path);
    assert_eq!(live(&mut marks, &liveness, &[(0, 3)]), [0]);
    assert_eq!(live(&mut marks, &liveness, &[(0, 4)]), [fp(&[-8])]);
    assert_eq!(live(&mut marks, &liveness, &[(0, 5)]), [0], "no path has read -16 yet");
}

#[test]
fn reads_of_all_visits_count_and_writes_that_all_visits_do() {
    let (built, mut marks) = (store_to_one_of_two(), StackMarks::new(EarlierWrites::UpperSlots));
    let liveness = analysed(&built);
    let path = |off| [did(&[(0, 3)], &[], off), did(&[(0, 4)], &[(0, -8)], &[]), did(&[(0, 5)], &[(0, -16)], &[])];
    walk(&mut marks, &liveness, &path(&[(0, -8)]));
    assert_eq!(live(&mut marks, &liveness, &[(0, 3)]), [fp(&[-16])]);
    walk(&mut marks, &liveness, &path(&[(0, -16)]));
    assert_eq!(live(&mut marks, &liveness, &[(0, 3)]), [fp(&[-8, -16])]);
}

/// 6.18 holds the earlier marks in 32 bits when it takes them back: a slot below -256 stays written.
#[test]
fn a_deep_slot_stays_written() {
    let (built, mut marks) = (store_to_one_of_two(), StackMarks::new(EarlierWrites::UpperSlots));
    let liveness = analysed(&built);
    let path = |off| [did(&[(0, 3)], &[], off), did(&[(0, 4)], &[(0, -264)], &[]), did(&[(0, 5)], &[(0, -272)], &[])];
    walk(&mut marks, &liveness, &path(&[(0, -264)]));
    walk(&mut marks, &liveness, &path(&[(0, -272)]));
    assert_eq!(live(&mut marks, &liveness, &[(0, 3)]), [fp(&[-272])]);
}

/// Main (0 to 4) calls at 2; the function (5 to 7) reads -8 and writes -16 of main's stack.
#[test]
fn what_a_function_needs_and_writes_counts_for_its_call() {
    let call = Op::CallLocal { rel: 1, off: 0 };
    let built = built(&[
        &[mov(R1, FP), add(R1, -16), call, load(R6, FP, -16), Op::Exit],
        &[load(R6, R1, 8), zero(R1, 0), Op::Exit],
    ]);
    let (liveness, mut marks) = (analysed(&built), StackMarks::new(EarlierWrites::UpperSlots));
    marks.begin(&liveness, InsnIdx(2), || chain(&[(0, 2)]));
    marks.enter();
    marks.commit();
    let (at5, at6, at7) = ([(0, 2), (1, 5)], [(0, 2), (1, 6)], [(0, 2), (1, 7)]);
    walk(&mut marks, &liveness, &[did(&at5, &[(0, -8)], &[]), did(&at6, &[], &[(0, -16)]), did(&at7, &[], &[])]);
    walk(&mut marks, &liveness, &[did(&[(0, 3)], &[(0, -16)], &[]), did(&[(0, 4)], &[], &[])]);
    assert_eq!(live(&mut marks, &liveness, &[(0, 2)]), [fp(&[-8])], "-16 is written by the function on all its ways");
    assert_eq!(live(&mut marks, &liveness, &at7), [fp(&[-16]), 0], "main goes on behind the call");
}

/// A callback may run again: main's stack is what it is before the call.
#[test]
fn a_callback_comes_back_to_its_call() {
    let built = built(&[&[Op::CallHelper { id: LOOP }, Op::Exit], &[load(R6, R2, 0), Op::Exit]]);
    let (liveness, mut marks) = (analysed(&built), StackMarks::new(EarlierWrites::UpperSlots));
    let (inner, end) = ([(0, 0), (1, 2)], [(0, 0), (1, 3)]);
    walk(&mut marks, &liveness, &[did(&inner, &[(0, -8)], &[]), did(&end, &[], &[])]);
    assert_eq!(live(&mut marks, &liveness, &end), [fp(&[-8]), 0]);
}

#[test]
fn a_pass_tells_what_changed() {
    let (built, mut marks) = (store_to_one_of_two(), StackMarks::new(EarlierWrites::UpperSlots));
    let liveness = analysed(&built);
    marks.begin(&liveness, InsnIdx(4), || chain(&[(0, 4)]));
    marks.read(0, 0);
    marks.commit();
    let mut passes = Vec::new();
    marks.update(&liveness, &chain(&[(0, 4)]), Some(&mut passes));
    let [pass] = passes.as_slice() else { panic!("one function, one pass: {passes:?}") };
    assert_eq!((pass.chain.as_slice(), pass.rounds), (&[0][..], 2));
    let first = pass.changes.first().expect("a change");
    assert_eq!((first.at, first.what, first.old, first.new), (InsnIdx(4), Learnt::Live, 0, fp(&[-8])));
    passes.clear();
    marks.update(&liveness, &chain(&[(0, 4)]), Some(&mut passes));
    assert!(passes.is_empty(), "nothing new, no pass");
}
