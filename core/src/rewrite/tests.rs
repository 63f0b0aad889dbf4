//! Tests of plan and passes. What a kernel does was measured: names like B20 are the cases of the measurement.

use super::testing::Line::{self, Call, Exit, Goto, GotoFar, If, Label, Loop, MayGoto, Plain, Ref, Sub};
use super::testing::{all_fit, assemble, filler, kill};
use super::text::reference;
use super::{Plan, Rewritten, rewrite};
use crate::isa::{Insn, InsnIdx, opcode};
use crate::kernel::{KernelVersion, Rules};
use crate::program::{Layout, Program, SubprogIdx};
use crate::verifier::{Errno, Facts, Rejection, SiteState, Unfit};
use proptest::prelude::*;

fn rules(version: KernelVersion) -> Rules {
    Rules::of(version)
}

fn newest(program: &Program, facts: &Facts) -> Result<Rewritten, Rejection> {
    rewrite(program, facts, &rules(KernelVersion::NEWEST))
}

fn hex(insns: &[Insn]) -> Vec<String> {
    insns.iter().map(|i| format!("{i:?}")).collect()
}

/// Two loops in main at a depth of 12, one in a subprogram at 32: the slots of a measured dump.
#[test]
fn the_loop_is_the_kernels() {
    let p = assemble(&[
        Sub(0),
        Ref(2),
        Loop,
        Ref(2),
        Loop,
        Call(1),
        Exit, // 0..8
        Sub(1),
        Ref(2),
        Loop,
        Exit, // 8..12
        Sub(2),
        filler(0),
        Exit,
    ]);
    let r = newest(&p, &all_fit(&p, &[12, 32, 0])).expect("accepted");
    let expected = [
        "b501020000008000",
        "b4000000f9ffffff",
        "0500100000000000",
        "7b6ad8ff00000000",
        "7b7ae0ff00000000",
        "7b8ae8ff00000000",
        "bf16000000000000",
        "b407000000000000",
        "bf38000000000000",
        "3d67050000000000",
        "bf71000000000000",
        "bf82000000000000",
        "8510000033000000",
        "0707000001000000",
        "1500faff00000000",
        "bf70000000000000",
        "79a6d8ff00000000",
        "79a7e0ff00000000",
        "79a8e8ff00000000",
    ];
    assert_eq!(hex(&r.program.insns[2..21]), expected);
    assert_eq!(r.stack_depth, [40, 56, 0]);
    assert_eq!(
        r.inlined.iter().map(|l| (l.start.0, l.spill_base)).collect::<Vec<_>>(),
        [(2, -40), (23, -40), (46, -56)]
    );
    assert_eq!(r.program.insns.len(), p.insns.len() + 3 * 18);
    assert_eq!(r.layout, Layout::of(&r.program));
    assert_eq!(r.program.funcs.iter().map(|f| f.insn.0).collect::<Vec<_>>(), [0, 44, 66]);
    assert!(r.kept.is_empty());
}

#[test]
fn what_is_not_fit_stays_a_call() {
    let p = assemble(&[Sub(0), Ref(1), Loop, Ref(1), Loop, Exit, Sub(1), Exit]);
    let mut facts = all_fit(&p, &[]);
    facts.loops[0].state = SiteState::Unfit(Unfit::Flags);
    let r = newest(&p, &facts).expect("accepted");
    assert_eq!(r.kept, [(InsnIdx(2), InsnIdx(2))]);
    assert_eq!(r.inlined.len(), 1);
    assert_eq!(r.origin[5..24], [InsnIdx(5); 19]);
}

/// A conditional jump across the loop may grow to 32767 and no further, in both directions; a far jump may.
#[test]
fn jumps_of_16_bits_have_an_end() {
    let forward = |fill: i32, jump: Line| {
        let mut lines = vec![Sub(0), jump, Ref(1), Loop];
        lines.extend((0..fill).map(filler));
        lines.extend([Label(9), Exit, Sub(1), Exit]);
        assemble(&lines)
    };
    let backward = |fill: i32| {
        let mut lines = vec![Sub(0), Label(9), filler(0)];
        lines.extend((0..fill).map(filler));
        lines.extend([Ref(1), Loop, If(9), Exit, Sub(1), Exit]);
        assemble(&lines)
    };
    for (p, site, ok, distance) in [
        (forward(32746, If(9)), 3, true, 32767),
        (forward(32747, If(9)), 3, false, 0),
        (forward(40000, GotoFar(9)), 3, true, 40021),
        (backward(32745), 32748, true, -32768),
        (backward(32746), 32749, false, 0),
    ] {
        let r = newest(&p, &all_fit(&p, &[]));
        if ok {
            let r = r.expect("in reach");
            let jump = r.origin.iter().position(|o| o.0 == if site == 3 { 0 } else { site + 1 }).expect("jump");
            assert_eq!(reference(r.program.insns[jump]), Some(distance));
        } else {
            let e = r.expect_err("out of reach");
            assert_eq!((e.errno, e.at), (Errno::ENOMEM, Some(InsnIdx(site))));
            assert_eq!(e.text, format!("insn {site} cannot be patched due to 16-bit range"));
        }
    }
}

/// What the kernels say of a callback that is gone, case by case.
#[test]
fn a_dead_callback_depends_on_its_place() {
    let main = [Sub(0), Ref(1), Loop, Call(2), Exit]; // 0..5
    let loop_twice = [Sub(0), Ref(1), Loop, Ref(2), Loop, Exit]; // 0..7
    let unused = [Sub(0), Ref(1), Exit]; // 0..3
    let body = [filler(0), Exit];
    let join = |parts: &[&[Line]]| assemble(&parts.concat());
    let (sub1, sub2): (&[Line], &[Line]) = (&[Sub(1)], &[Sub(2)]);

    // B20: dead and last, another one is live: nothing starts there any more.
    let p = join(&[&main, sub2, &body, sub1, &body]);
    assert_dangles(&p, 7..9, 0, 25);

    // B21, C19: dead, between two live ones: the reference and the call reach the next one.
    let p = join(&[&loop_twice, sub1, &body, sub2, &body]);
    let mut facts = all_fit(&p, &[]);
    kill(&mut facts, 7..9);
    let r = newest(&p, &facts).expect("accepted");
    let next = r.layout.start(SubprogIdx(1));
    assert_eq!(r.layout.starts(), [InsnIdx(0), next]);
    assert_eq!(reference(r.program.insns[0]), Some(i64::from(next.0) - 1));
    assert_eq!(reference(r.program.insns[14]), Some(i64::from(next.0) - 15));
    assert_eq!(r.program.funcs.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), ["f0", "f2"]);

    // B21c: the dead end of main and the dead callback are one removed range, which does not begin with the callback.
    let p = join(&[&[Sub(0), Ref(1), Loop, Call(2), Exit, filler(1), Exit], sub1, &body, sub2, &body]);
    assert_dangles(&p, 5..9, 0, 25);

    // B22: never called at all, last, another one is live.
    let p = join(&[&unused[..2], &[Call(2), Exit], sub2, &body, sub1, &body]);
    assert_dangles(&p, 6..8, 0, 6);

    // B22b, C18: nothing but main is left, so nobody looks.
    for lines in [&unused[..], &[Sub(0), Ref(1), Loop, Exit]] {
        let p = join(&[lines, sub1, &body]);
        let end = p.insns.len();
        let mut facts = all_fit(&p, &[]);
        kill(&mut facts, end - 2..end);
        let r = newest(&p, &facts).expect("accepted");
        assert_eq!((r.layout.len(), r.program.funcs.len()), (1, 1));
        assert_eq!(reference(r.program.insns[0]), Some(r.program.insns.len() as i64 - 1));
    }
}

fn assert_dangles(program: &Program, dead: std::ops::Range<usize>, at: u32, target: u32) {
    let mut facts = all_fit(program, &[]);
    kill(&mut facts, dead);
    let text = |version| {
        let e = rewrite(program, &facts, &rules(version)).expect_err("dangling reference");
        assert_eq!((e.errno, e.at, e.insns_processed), (Errno::EFAULT, Some(InsnIdx(at)), 7));
        assert_eq!(e.text.is_empty(), version == KernelVersion::V6_1, "the oldest kernels say it in their own log");
        e.reason().to_owned()
    };
    assert_eq!(text(KernelVersion::V6_1), format!("verifier bug. No program starts at insn {target}"));
    assert_eq!(text(KernelVersion::V7_3), format!("verifier bug: No program to jit at insn {target} (subprog < 0)"));
}

/// `goto +1` before a removed nop turns into a nop too late to be removed, but before a removed `may_goto` it does not.
#[test]
fn nops_go_first_to_last() {
    let p = assemble(&[Sub(0), filler(1), Goto(1), Goto(1), Label(1), filler(2), Exit]);
    let r = newest(&p, &all_fit(&p, &[])).expect("accepted");
    assert_eq!(hex(&r.program.insns), ["b700000001000000", "0500000000000000", "b700000002000000", "9500000000000000"]);

    let p = assemble(&[Sub(0), MayGoto(1), MayGoto(1), Label(1), filler(2), Exit]);
    let facts = all_fit(&p, &[]);
    assert_eq!(newest(&p, &facts).expect("accepted").program.insns.len(), 2);
    assert_eq!(rewrite(&p, &facts, &rules(KernelVersion::V6_12)).expect("accepted").program.insns.len(), 4);
}

#[test]
fn a_branch_with_one_successor_is_hard_wired() {
    let p = assemble(&[Sub(0), If(1), filler(1), Label(1), If(2), filler(2), Exit, Label(2), filler(3), Exit]);
    let mut facts = all_fit(&p, &[]);
    kill(&mut facts, 1..2);
    kill(&mut facts, 5..7);
    let r = newest(&p, &facts).expect("accepted");
    // The first jump crosses nothing any more and goes, the second never jumps and goes too.
    assert_eq!(hex(&r.program.insns), ["b700000002000000", "9500000000000000"]);
    assert_eq!(r.origin, [InsnIdx(3), InsnIdx(4)]);
}

#[test]
fn a_plan_says_what_is_emitted() {
    let p = assemble(&[Sub(0), Ref(1), Loop, Exit, Sub(1), filler(0), Exit, Sub(2), Call(1), Exit]);
    let facts = all_fit(&p, &[]);
    let mut plan = Plan::of(&facts);
    plan.loops[0].spill_base = -8;
    plan.loops[0].callback = SubprogIdx(0);
    plan.extra_stack[0] = 3;
    let r = super::emit(&p, &facts, &plan, &rules(KernelVersion::NEWEST)).expect("accepted");
    assert_eq!((r.program.insns[5].off, r.stack_depth[0]), (-8, 3));
    assert_eq!(reference(r.program.insns[14]), Some(-15));
}

/// A random program: subprograms of items, all of them referred to, jumps within a subprogram.
#[derive(Clone, Debug)]
struct Shape {
    subs: Vec<Vec<Item>>,
    fit: Vec<bool>,
    decided: Vec<u8>,
    depths: Vec<u16>,
}

#[derive(Clone, Copy, Debug)]
enum Item {
    Filler,
    Nop,
    Loop(usize),
    Call(usize),
    If(usize),
    Goto(usize),
    GotoFar(usize),
}

fn item() -> impl Strategy<Value = Item> {
    prop_oneof![
        3 => Just(Item::Filler),
        1 => Just(Item::Nop),
        3 => any::<usize>().prop_map(Item::Loop),
        1 => any::<usize>().prop_map(Item::Call),
        4 => any::<usize>().prop_map(Item::If),
        1 => any::<usize>().prop_map(Item::Goto),
        1 => any::<usize>().prop_map(Item::GotoFar),
    ]
}

fn shape() -> impl Strategy<Value = Shape> {
    let subs = prop::collection::vec(prop::collection::vec(item(), 0..12), 2..6);
    let lists = (prop::collection::vec(any::<bool>(), 80), prop::collection::vec(0u8..4, 80));
    (subs, lists, prop::collection::vec(0u16..512, 6)).prop_map(|(subs, (fit, decided), depths)| Shape {
        subs,
        fit,
        decided,
        depths,
    })
}

impl Shape {
    fn program(&self) -> Program {
        let mut lines = Vec::new();
        let n = self.subs.len();
        for (s, items) in self.subs.iter().enumerate() {
            let label = |i: usize| 1000 * (s as u32 + 1) + (i % (items.len() + 1)) as u32;
            lines.push(Sub(s as u32));
            if s == 0 {
                lines.extend((1..n).map(|t| Ref(t as u32)));
            }
            for (i, item) in items.iter().enumerate() {
                lines.push(Label(label(i)));
                let callee = |k: usize| 1 + (k % (n - 1)) as u32;
                match *item {
                    Item::Filler => lines.push(filler(i as i32)),
                    Item::Nop => lines.push(Plain(Insn::new(opcode::JA, 0, 0, 0, 0))),
                    Item::Loop(k) => lines.extend([Ref(callee(k)), Loop]),
                    Item::Call(k) => lines.push(Call(callee(k))),
                    Item::If(k) => lines.push(If(label(k))),
                    Item::Goto(k) => lines.push(Goto(label(k))),
                    Item::GotoFar(k) => lines.push(GotoFar(label(k))),
                }
            }
            lines.extend([Label(label(items.len())), Exit]);
        }
        assemble(&lines)
    }

    fn facts(&self, program: &Program) -> Facts {
        let mut facts = all_fit(program, &self.depths[..self.subs.len()]);
        for (l, fit) in facts.loops.iter_mut().zip(&self.fit) {
            if !fit {
                l.state = SiteState::Unfit(Unfit::Callback);
            }
        }
        facts
    }

    /// Forgets what is not reached when some branches go only one way and some loops never run.
    fn forget(&self, program: &Program, facts: &mut Facts) {
        let mut seen = vec![false; program.insns.len()];
        let mut work = vec![0usize];
        let mut callback = None;
        while let Some(at) = work.pop() {
            if std::mem::replace(&mut seen[at], true) {
                continue;
            }
            let insn = program.insns[at];
            let target = reference(insn).map(|d| (at as i64 + 1 + d) as usize);
            let decided = self.decided[at % self.decided.len()];
            match (insn.code, target) {
                (opcode::EXIT, _) => {}
                (opcode::JA | opcode::JA32, Some(t)) => work.push(t),
                (opcode::LD_IMM64, t) => {
                    seen[at + 1] = true;
                    callback = t.or(callback);
                    work.push(at + 2);
                }
                (opcode::CALL, Some(t)) => work.extend([t, at + 1]),
                (opcode::CALL, None) => {
                    let site = facts.loops.iter().find(|l| l.insn.at() == at).expect("site");
                    if let SiteState::Fit(cb) = site.state
                        && decided != 0
                    {
                        work.push(facts.layout.start(cb).at());
                    }
                    work.push(at + 1);
                }
                (_, Some(t)) => {
                    let ways = [(decided != 1).then_some(t), (decided != 2).then_some(at + 1)];
                    work.extend(ways.into_iter().flatten());
                }
                _ => work.push(at + 1),
            }
        }
        for (n, _) in seen.iter().enumerate().filter(|(_, seen)| !**seen) {
            kill(facts, n..n + 1);
        }
    }
}

/// Everything that points somewhere points to what it pointed to, or to the first instruction that stayed after it.
fn check_references(original: &Program, facts: &Facts, r: &Rewritten) -> Result<(), TestCaseError> {
    prop_assert!(r.origin.is_sorted());
    prop_assert_eq!(r.origin.len(), r.program.insns.len());
    let inlined = |at: usize| r.inlined.iter().find(|l| (l.start.at()..l.start.at() + 19).contains(&at));
    let place = |original: i64| r.origin.partition_point(|o| i64::from(o.0) < original) as i64;
    for (at, insn) in r.program.insns.iter().enumerate() {
        let Some(distance) = reference(*insn) else {
            continue;
        };
        let target = at as i64 + 1 + distance;
        if let Some(l) = inlined(at) {
            let step = at - l.start.at();
            let expected = match step {
                0 => at + 3,
                2 => l.start.at() + 19,
                9 => l.start.at() + 15,
                14 => l.start.at() + 9,
                _ => {
                    let site = facts.loops.iter().find(|s| s.insn == l.site).expect("site");
                    let SiteState::Fit(cb) = site.state else { panic!("inlined without being fit") };
                    if !facts.seen[facts.layout.start(cb).at()] {
                        continue;
                    }
                    place(facts.layout.start(cb).0.into()) as usize
                }
            };
            prop_assert_eq!(target, expected as i64, "step {} at {}", step, at);
            continue;
        }
        let from = r.origin[at];
        let old = reference(original.insns[from.at()]).expect("still a reference");
        let hard_wired = insn.code == opcode::JA && original.insns[from.at()].code != opcode::JA;
        let never = |distance: i64| !facts.seen[(i64::from(from.0) + 1 + distance) as usize];
        let old = if hard_wired && never(old) { 0 } else { old };
        if !never(old) {
            prop_assert_eq!(target, place(i64::from(from.0) + 1 + old), "at {}", at);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn everything_still_points_to_the_same(shape in shape()) {
        let p = shape.program();
        let facts = shape.facts(&p);
        let r = newest(&p, &facts).expect("nothing is dead");
        check_references(&p, &facts, &r)?;
        prop_assert_eq!(&r.layout, &Layout::of(&r.program));
        prop_assert_eq!(r.program.funcs.iter().map(|f| f.insn).collect::<Vec<_>>(), r.layout.starts().to_vec());
        let fit = |s: &&crate::verifier::LoopSite| matches!(s.state, SiteState::Fit(_));
        prop_assert_eq!(r.inlined.len(), facts.loops.iter().filter(fit).count());
        prop_assert_eq!(r.kept.len() + r.inlined.len(), facts.loops.len());
        for (n, depth) in r.stack_depth.iter().enumerate() {
            let has = facts.loops.iter().filter(fit).any(|l| l.subprog.at() == n);
            let own = facts.stack_depth[n];
            prop_assert_eq!(*depth, if has { own.next_multiple_of(8) + 24 } else { own });
        }
        for l in &r.inlined {
            let depth = r.stack_depth[r.layout.containing(l.start).at()];
            prop_assert_eq!(l.spill_base, -(depth as i16));
        }
    }

    #[test]
    fn what_is_never_reached_goes_and_the_rest_stays(shape in shape()) {
        let p = shape.program();
        let mut facts = shape.facts(&p);
        shape.forget(&p, &mut facts);
        match newest(&p, &facts) {
            Ok(r) => {
                check_references(&p, &facts, &r)?;
                let live = |s: &InsnIdx| facts.seen[s.at()];
                prop_assert_eq!(r.layout.len(), facts.layout.starts().iter().filter(|s| live(s)).count());
                prop_assert_eq!(r.program.funcs.len(), r.layout.len());
                for (n, seen) in facts.seen.iter().enumerate() {
                    let copies = r.origin.iter().filter(|o| o.at() == n).count();
                    let loops = r.inlined.iter().filter(|l| l.site.at() == n).count();
                    let jump = matches!(p.insns[n].code, opcode::JA | 0x15);
                    prop_assert!(copies == usize::from(*seen) + 18 * loops || (jump && copies == 0), "insn {}", n);
                }
            }
            Err(e) => {
                // Only a subprogram that is gone can be the reason.
                prop_assert_eq!(e.errno, Errno::EFAULT);
                prop_assert!(facts.layout.starts().iter().any(|s| !facts.seen[s.at()]));
            }
        }
    }

    #[test]
    fn no_facts_can_make_it_panic(shape in shape(), seen in prop::collection::vec(any::<bool>(), 0..200), number: u16) {
        let p = shape.program();
        let mut facts = shape.facts(&p);
        facts.seen = seen;
        let mut plan = Plan::of(&facts);
        for l in plan.loops.iter_mut().take(2) {
            l.callback = SubprogIdx(number);
            l.site = InsnIdx(u32::from(number));
        }
        for version in KernelVersion::ALL {
            let _ = super::emit(&p, &facts, &plan, &rules(version));
        }
    }
}
