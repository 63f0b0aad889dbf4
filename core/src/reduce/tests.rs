//! Each pass on a program of its own, and the whole on a long one.

use super::*;
use crate::btf::Linkage;
use crate::isa::{Imm64, Insn, Op, operations};
use crate::kernel::limits::HELPER_LOOP;
use crate::kernel::{KernelVersion, MapType, ProgType, Rules};
use crate::program::{Input, text};
use crate::verifier::{SiteState, Verdict, verify};
use proptest::prelude::*;

fn program(source: &str) -> Program {
    text::parse(source).expect("a program").program
}

/// The body in one line.
fn body(program: &Program) -> String {
    let text = text::write(program);
    let lines = text.lines().filter(|l| !l.starts_with(";;!") && !l.is_empty());
    lines.map(str::trim).collect::<Vec<_>>().join("; ")
}

fn has(program: &Program, wanted: impl Fn(&Op) -> bool) -> bool {
    operations(&program.insns).iter().any(|(_, op)| op.as_ref().is_ok_and(&wanted))
}

/// One pass alone.
fn after(pass: fn(&mut Search<'_>), program: &Program, keep: impl Fn(&Program) -> bool) -> Program {
    let mut keep = |p: &Program| keep(p).into();
    let mut search = Search::new(program, Budget::default(), &mut keep);
    pass(&mut search);
    search.best
}

/// Whether the newest kernel accepts it.
fn accepted(program: &Program) -> bool {
    matches!(verify(program, &Rules::of(KernelVersion::NEWEST)), Verdict::Accepted(_))
}

/// Whether some loop is inlined.
fn inlines(program: &Program) -> bool {
    match verify(program, &Rules::of(KernelVersion::NEWEST)) {
        Verdict::Accepted(facts) => facts.loops.iter().any(|l| matches!(l.state, SiteState::Fit(_))),
        _ => false,
    }
}

const LONG: &str = "
;;! name = \"long\"
;;! prog_type = \"sched_cls\"
;;! maps = [
;;!   { type = \"hash\", key_size = 16, value_size = 100, max_entries = 77 },
;;!   { type = \"array\", key_size = 4, value_size = 48, max_entries = 3, init = [\"0102\"] },
;;! ]
;;! inputs = [{ data = \"00112233445566778899aabbccddeeff\", seed = 9 }, { data = \"01\" }, { ctx = \"ff\" }]
main:
    r6 = r1
    *(u64 *)(r10 - 48) = 77
    r7 = 0x123456789 ll
    r7 &= 255
    call first
    if r7 > 100 goto other
    r1 = 13
    r2 = step ll
    r3 = r10
    r3 += -48
    r4 = 0
    call bpf_loop
    goto join
other:
    r1 = map.1 ll
    r2 = r10
    r2 += -48
    *(u32 *)(r10 - 48) = 0
    call bpf_map_lookup_elem
    if r0 == 0 goto join
    r1 = *(u64 *)(r0 + 8)
    *(u64 *)(r0 + 8) = r1
join:
    r1 = 3
    r2 = second ll
    r3 = 0
    r4 = 0
    call bpf_loop
    r0 = 0
    exit
first:
    r0 = 1
    r0 += 2
    exit
step:
    r3 = *(u64 *)(r2 + 0)
    r3 += 1
    *(u64 *)(r2 + 0) = r3
    r0 = 0
    exit
second:
    r0 = 1
    exit
";

#[test]
fn a_long_program_comes_down_to_its_loop() {
    let program = program(LONG);
    assert!(inlines(&program));
    let mut asked = 0;
    let reduced = reduce(&program, Budget::default(), &mut |p| {
        asked += 1;
        inlines(p).into()
    });
    assert_eq!((reduced.end, reduced.attempts), (End::Minimal, asked));
    assert!(inlines(&reduced.program));
    let Size { insns, funcs, maps, inputs, .. } = reduced.after;
    // Count, callback (2), context, flags, call, exit; result and exit of the callback.
    assert!(insns <= 10 && (funcs, maps, inputs) == (2, 0, 0), "{}", body(&reduced.program));
    assert_eq!(reduced.program.prog_type, ProgType::RawTracepoint);
    assert_eq!(reduced.before, Size::of(&program));
    let again = reduce(&program, Budget::default(), &mut |p| inlines(p).into());
    assert_eq!(again.program, reduced.program);
    // Nothing is left to do.
    let rest = reduce(&reduced.program, Budget::default(), &mut |p| inlines(p).into());
    assert_eq!(rest.program, reduced.program);
}

#[test]
fn budget_and_stop_end_the_search() {
    let program = program(LONG);
    let short = reduce(&program, Budget { attempts_max: 5 }, &mut |p| inlines(p).into());
    assert_eq!((short.attempts, short.end), (5, End::Budget));
    assert!(short.after < short.before && inlines(&short.program));
    let none = reduce(&program, Budget { attempts_max: 0 }, &mut |_| Keep::Yes);
    assert_eq!((none.attempts, none.end, none.program), (0, End::Budget, program.clone()));
    let mut left = 7;
    let stopped = reduce(&program, Budget::default(), &mut |p| {
        left -= 1;
        if left == 0 { Keep::Stop } else { inlines(p).into() }
    });
    assert_eq!((stopped.attempts, stopped.end), (7, End::Stopped));
    let refused = reduce(&program, Budget::default(), &mut |_| Keep::No);
    assert_eq!((refused.program, refused.end), (program, End::Minimal));
}

#[test]
fn a_function_goes_with_all_that_refers_to_it() {
    let program = program(LONG);
    let without = after(code::cut_functions, &program, accepted);
    assert!(without.funcs.iter().all(|f| f.name != "first"), "{}", body(&without));
    assert!(accepted(&without));
}

#[test]
fn ranges_go_and_cut_off_code_goes_with_them() {
    let only_call = |p: &Program| has(p, |op| *op == Op::CallHelper { id: HELPER_LOOP });
    assert_eq!(body(&after(code::drop_ranges, &program(LONG), only_call)), "main:; call bpf_loop");
    // Without the jump back the rest is not reached, which kernels refuse.
    let source = "r0 = 1\nif r1 == 0 goto a\nr0 = 2\nr0 = 3\ngoto b\na:\nr0 = 4\nb:\nexit";
    let keep = |p: &Program| accepted(p) && has(p, |op| op.to_string() == "r0 = 4");
    assert_eq!(body(&after(code::drop_ranges, &program(source), keep)), "main:; r0 = 4; exit");
}

#[test]
fn operations_become_simpler() {
    let simplified =
        |source: &str, keep: fn(&Program) -> bool| body(&after(code::simplify_operations, &program(source), keep));
    let len_4 = |p: &Program| operations(&p.insns).len() == 4;
    assert_eq!(
        simplified("r1 = 0x7 ll\nr2 = *(u64 *)(r1 + 0)\nr2 *= r1\nexit", len_4),
        "main:; r1 = 0; r2 = 0; r2 = 0; exit"
    );
    // A constant that must stay keeps its value in a shorter form.
    let loads_7 =
        |p: &Program| has(p, |op| matches!(op, Op::LdImm64 { imm: Imm64::Const(7), .. }) || op.to_string() == "r1 = 7");
    assert_eq!(simplified("r1 = 0x7 ll\nexit", loads_7), "main:; r1 = 7; exit");
    // A branch that is always taken, with what it cuts off.
    let source = "r0 = 0\nif r1 == 0 goto out\nr0 = 1\nout:\nexit";
    assert_eq!(
        simplified(source, |p| accepted(p) && has(p, |op| matches!(op, Op::Jump { .. }))),
        "main:; r0 = 0; goto .L2; .L2:; exit"
    );
    assert_eq!(
        simplified("lock *(u64 *)(r10 - 8) += r1\nexit", |p| has(p, |op| matches!(op, Op::Store { .. }))),
        "main:; *(u64 *)(r10 - 8) = 0; exit"
    );
    assert_eq!(simplified("call 5\nw0 = 3\nexit", |_| true), "main:; r0 = 0; r0 = 0; exit");
}

#[test]
fn a_pair_goes_where_neither_goes_alone() {
    let count =
        |p: &Program, id| operations(&p.insns).iter().filter(|(_, op)| *op == Ok(Op::CallHelper { id })).count();
    let keep = |p: &Program| count(p, 5) == count(p, 7) && has(p, |op| *op == Op::Exit);
    let source = program("call 5\nr0 = 0\ncall 7\nexit");
    assert_eq!(
        body(&after(code::drop_ranges, &source, keep)),
        "main:; call bpf_ktime_get_ns; call bpf_get_prandom_u32; exit"
    );
    assert_eq!(body(&after(code::drop_pairs, &source, keep)), "main:; r0 = 0; exit");
}

#[test]
fn numbers_go_towards_zero_together_and_alone() {
    let source = "*(u64 *)(r10 - 72) = 1000\nr1 = *(u64 *)(r10 - 72)\nr2 = 1000\nexit";
    let same_slot = |p: &Program| {
        let offs: Vec<_> = operations(&p.insns)
            .iter()
            .filter_map(|(_, op)| match op {
                Ok(Op::Load { off, .. } | Op::Store { off, .. }) => Some(*off),
                _ => None,
            })
            .collect();
        offs[0] == offs[1] && offs[0] < 0
    };
    let expected = "main:; *(u64 *)(r10 - 8) = 0; r1 = *(u64 *)(r10 - 8); r2 = 0; exit";
    assert_eq!(
        body(&after(numbers::everywhere, &program(source), same_slot)).replace("r10 - 1)", "r10 - 8)"),
        expected
    );
    let at_least = |p: &Program| has(p, |op| matches!(op, Op::Alu { src: crate::isa::Operand::Imm(100..), .. }));
    let smaller = body(&after(numbers::one_by_one, &program("r1 = 1000\nr2 = 5\nexit"), at_least));
    assert_eq!(smaller, "main:; r1 = 128; r2 = 0; exit");
}

#[test]
fn inputs_go_and_shrink() {
    let program = program(LONG);
    let long_enough = |p: &Program| p.inputs.iter().any(|i| i.data.len() >= 5 && i.data[2] == 0x22);
    let fewer = after(data::drop_inputs, &program, long_enough);
    assert_eq!(fewer.inputs.len(), 1);
    let short = after(data::shrink_inputs, &fewer, long_enough);
    assert_eq!(short.inputs, [Input { ctx: vec![], data: vec![0, 0, 0x22, 0, 0], seed: 0 }]);
}

#[test]
fn maps_go_and_shrink() {
    let program = program(LONG);
    let fewer = after(data::drop_maps, &program, |_| true);
    assert_eq!(fewer.maps.len(), 1);
    assert!(has(&fewer, |op| matches!(op, Op::LdImm64 { imm: Imm64::Map(0), .. })));
    let small = after(data::shrink_maps, &program, |p| {
        p.maps[0].value_size >= 30 && p.maps.iter().all(|m| m.key_size > 0 && m.max_entries > 0)
    });
    let [a, b] = small.maps.as_slice() else { panic!("{:?}", small.maps) };
    assert_eq!((a.map_type, a.key_size, a.value_size, a.max_entries), (MapType::Array, 1, 32, 1));
    assert_eq!((b.value_size, b.max_entries, b.init.len()), (0, 1, 0));
}

#[test]
fn type_and_names_become_plain() {
    let mut given = program(LONG);
    (given.expected_attach_type, given.prog_flags) = (5, 8);
    given.btf = given.type_info().map(|t| t.btf);
    let plain = after(data::plain_type, &given, |p| p.prog_type != ProgType::RawTracepoint && !p.funcs.is_empty());
    assert_eq!(
        (plain.prog_type, plain.expected_attach_type, plain.prog_flags, plain.btf),
        (ProgType::SocketFilter, 0, 0, None)
    );
    given.funcs.iter_mut().for_each(|f| f.linkage = Linkage::Extern);
    let named = after(data::plain_names, &given, |_| true);
    let linkages: Vec<_> = named.funcs.iter().map(|f| f.linkage).collect();
    assert_eq!(linkages, [Linkage::Global, Linkage::Static, Linkage::Static, Linkage::Static]);
    assert_eq!(named.funcs.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), ["main", "f1", "f2", "f3"]);
}

#[test]
fn anything_that_lists_simpler_values_is_reduced() {
    let simpler = |list: &Vec<u32>| {
        let mut all = Vec::new();
        for n in 0..list.len() {
            let mut without = list.clone();
            without.remove(n);
            all.push(without);
        }
        for (n, value) in list.iter().enumerate().filter(|(_, v)| **v > 0) {
            let mut lower = list.clone();
            lower[n] = value - 1;
            all.push(lower);
        }
        all
    };
    let keep = |list: &Vec<u32>| list.iter().sum::<u32>() >= 10;
    let (best, attempts) = reduce_with(vec![3, 9, 1, 7, 2], Budget::default(), simpler, &mut |l| keep(l).into());
    assert!(best.iter().sum::<u32>() == 10 && best.len() <= 3 && attempts < 100, "{best:?}, {attempts}");
    let budget = Budget { attempts_max: 1 };
    assert_eq!(reduce_with(vec![20], budget, simpler, &mut |l| keep(l).into()), (vec![20], 1));
}

/// Specs are gone through before instructions, and what is left is kept and small.
#[test]
fn a_generated_case_is_reduced_from_its_spec() {
    for seed in 0..20 {
        let spec = generator::spec_from_seed(seed);
        let program = generator::lower(&spec).program;
        if !inlines(&program) {
            continue;
        }
        let mut keep = |p: &Program| Keep::from(inlines(p));
        let reduced = reduce_spec(&spec, &program, Budget::default(), &mut keep);
        assert!(inlines(&reduced.program), "seed {seed}");
        assert!(reduced.after.insns < 16 && reduced.end == End::Minimal, "seed {seed}: {}", reduced.after);
        assert_eq!((reduced.before.insns, reduced.after.insns), (program.insns.len(), reduced.program.insns.len()));
        let mut asked = 0;
        let stopped = reduce_spec(&spec, &program, Budget::default(), &mut |p| {
            asked += 1;
            if asked > 3 { Keep::Stop } else { inlines(p).into() }
        });
        assert_eq!((stopped.attempts, stopped.end), (4, End::Stopped), "seed {seed}");
    }
}

proptest! {
    /// Whatever the program and the predicate, the result is kept, smaller, and found again.
    #[test]
    fn any_program_and_predicate(bytes in prop::collection::vec(any::<[u8; 8]>(), 0..40), salt: u64, codes: bool) {
        let mut insns: Vec<Insn> = bytes.into_iter().map(Insn::from_bytes).collect();
        if codes {
            // Random bytes are seldom operations.
            for insn in &mut insns {
                (insn.regs, insn.off, insn.imm) = (0, insn.off % 8, insn.imm % 8);
            }
        }
        let program = Program { insns, inputs: vec![Input { ctx: vec![1; 9], ..Input::default() }; 3], ..Program::default() };
        let hash = |p: &Program| {
            let bytes = p.insns.iter().flat_map(|i| i.to_bytes()).chain([p.inputs.len() as u8]);
            bytes.fold(salt, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
        };
        let keep = |p: &Program| hash(p) >> 60 < 6;
        let budget = Budget { attempts_max: 500 };
        let reduced = reduce(&program, budget, &mut |p| keep(p).into());
        prop_assert!(reduced.program == program || keep(&reduced.program));
        prop_assert!(reduced.after <= reduced.before && reduced.attempts <= 500);
        prop_assert_eq!(reduce(&program, budget, &mut |p| keep(p).into()), reduced);
    }
}
