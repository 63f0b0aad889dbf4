//! Tests of the late passes and of the normal form, beyond what the dumps of real kernels cover.

use super::testing::Line::{Call, Exit, If, Label, Loop, MayGoto, Plain, Ref, Sub};
use super::testing::{Line, all_fit, assemble, filler};
use super::text::reference;
use super::{Comparison, Late, LateError, as_dumped, compare, late_fixups, normalise, rewrite};
use crate::isa::{Insn, InsnIdx, opcode};
use crate::kernel::{HelperImms, KernelVersion, MapType, ProgType, Rules};
use crate::program::{Layout, MapDef, Program};
use crate::verifier::Errno;
use proptest::prelude::*;

fn late(program: &Program, depths: &[u16], version: KernelVersion) -> Result<Late, LateError> {
    let rules = Rules::of(version);
    let facts = all_fit(program, depths);
    late_fixups(&rewrite(program, &facts, &rules).expect("accepted"), &rules)
}

fn hex(late: &Late) -> Vec<String> {
    late.insns.iter().map(|i| format!("{i:?}")).collect()
}

/// The listing is that of a kernel test, "may_goto batch with offsets 2/0".
#[test]
fn may_goto_counts_and_looks_at_the_clock() {
    let p = assemble(&[Sub(0), MayGoto(1), Label(2), MayGoto(2), filler(1), Label(1), filler(2), Exit]);
    let mut p = p;
    // The second one jumps nowhere, so it goes first.
    p.insns[1].off = 0;
    p.insns[0].off = 2;
    let expected = [
        "7a0af0ffffff0000",
        "7a0af8ff00000000",
        "79acf0ff00000000",
        "150c060000000000",
        "170c000001000000",
        "550c020000000000",
        "b70c0000f0ffffff",
        "8500000000000000",
        "7bcaf0ff00000000",
        "b700000001000000",
        "b700000002000000",
        "9500000000000000",
    ];
    assert_eq!(hex(&late(&p, &[0], KernelVersion::V7_3).expect("modelled")), expected);
}

/// Behind an inlined loop the counter lies below the loop's slots, and a jump back to the entry does not start it again.
#[test]
fn may_goto_lies_below_the_loop() {
    let p = assemble(&[Sub(0), Label(0), MayGoto(1), Ref(1), Loop, If(0), Label(1), Exit, Sub(1), filler(0), Exit]);
    for (version, slots, depth) in [(KernelVersion::V6_12, 1, 40), (KernelVersion::V7_3, 2, 48)] {
        let late = late(&p, &[8, 0], version).expect("modelled");
        assert_eq!((late.insns[0].code, late.insns[0].off), (0x7a, -depth));
        assert_eq!(late.insns[slots].off, -depth);
        let back =
            late.insns.iter().position(|i| *i == Insn { off: i.off, ..Insn::new(0x15, 0, 0, 0, 0) } && i.off < -6);
        let back = back.expect("jump back");
        assert_eq!(back as i64 + 1 + i64::from(late.insns[back].off), slots as i64);
        assert_eq!(late.layout, Layout::of(&Program { insns: late.insns.clone(), ..Program::default() }));
        assert_eq!(late.wild.len(), late.insns.len());
    }
}

/// The kernel's patch at the entry moves the first instruction and keeps its distance.
#[test]
fn a_counter_before_a_call_backwards_misses() {
    let callee = [Sub(1), filler(0), filler(0), Exit];
    let program = |callee: &[Line]| {
        let main = [Sub(0), Call(1), Call(2), Exit];
        assemble(&[&main, callee, &[Sub(2), Call(1), MayGoto(2), Exit]].concat())
    };
    let answer = |p: &Program, version| rewrite(p, &all_fit(p, &[]), &Rules::of(version));
    let p = program(&callee);
    assert!(answer(&p, KernelVersion::V6_1).is_ok());
    let e = answer(&p, KernelVersion::V7_3).expect_err("nothing starts there");
    let text = "verifier bug: No program to jit at insn 5 (subprog < 0)";
    assert_eq!((e.errno, e.at, e.text.as_str()), (Errno::EFAULT, Some(InsnIdx(6)), text));

    // Two instructions further on lies another subprogram: the caller itself.
    let p = program(&[Sub(1), filler(0), Exit]);
    let late = late(&p, &[], KernelVersion::V7_3).expect("modelled");
    assert_eq!((late.insns[7].code, late.insns[7].imm), (opcode::CALL, -3));
    assert_eq!(late.layout.starting(InsnIdx(5)), Some(crate::program::SubprogIdx(2)));
}

/// The sequences are those of kernel tests for signed division, under 7.3.
#[test]
fn division_meets_neither_zero_nor_minus_one() {
    let guard = |code: u8, off: i16, imm: i32| {
        let src = if code & 8 == 0 { 0 } else { 3 };
        let p = assemble(&[Sub(0), Plain(Insn::new(code, 2, src, off, imm)), Exit]);
        hex(&late(&p, &[0], KernelVersion::V7_3).expect("modelled"))
    };
    let head = ["bf3c000000000000", "070c000001000000"];
    let sdiv = ["250c040001000000", "150c010000000000", "b702000000000000", "8702000000000000", "0500010000000000"];
    assert_eq!(guard(0x3f, 1, 0), [&head[..], &sdiv, &["3f32010000000000", "9500000000000000"]].concat());
    let smod32 = ["bf3c000000000000", "040c000001000000", "260c030001000000", "160c040001000000", "b402000000000000"];
    let tail = ["0500010000000000", "9c32010000000000", "0500010000000000", "bc22000000000000", "9500000000000000"];
    assert_eq!(guard(0x9c, 1, 0), [&smod32[..], &tail].concat());
    assert_eq!(guard(0x34, 1, -1), ["8402000000000000", "9500000000000000"]);
    assert_eq!(guard(0x97, 1, -1), ["b402000000000000", "9500000000000000"]);
    assert_eq!(guard(0x37, 0, -1)[0], "37020000ffffffff");
}

#[test]
fn a_lookup_depends_on_the_map() {
    let lookup = |map_type, value_size| {
        let r1 = Insn::new(opcode::LD_IMM64, 1, opcode::PSEUDO_MAP, 0, 0);
        let call = Insn::new(opcode::CALL, 0, 0, 0, 1);
        let lines = [Sub(0), Plain(r1), Plain(Insn::default()), Plain(call), Exit];
        let maps = vec![MapDef { map_type, key_size: 4, value_size, max_entries: 5, ..MapDef::default() }];
        let p = Program { maps, ..assemble(&lines) };
        late(&p, &[0], KernelVersion::V6_1).map(|l| hex(&l).split_off(2))
    };
    let array = lookup(MapType::Array, 12).expect("modelled");
    assert_eq!(array[2..4], ["3500030005000000", "6700000004000000"]);
    assert_eq!(lookup(MapType::Array, 20).expect("modelled")[3], "2700000018000000");
    assert_eq!(lookup(MapType::Hash, 8).expect("modelled").len(), 4);
    assert_eq!(lookup(MapType::LpmTrie, 8).expect("modelled").len(), 2);
    assert!(matches!(lookup(MapType::PercpuArray, 8), Err(LateError::NotModelled { .. })));
}

/// Only accesses through the context are converted, also when the pointer went through the stack and a subprogram.
#[test]
fn the_context_is_followed() {
    let load = |dst, base, off| Plain(Insn::new(0x61, dst, base, off, 0));
    let p = assemble(&[
        Sub(0),
        Plain(Insn::new(0x7b, 10, 1, -8, 0)),
        Plain(Insn::new(0x79, 6, 10, -8, 0)),
        load(0, 6, 4),
        load(0, 10, -8),
        Plain(Insn::new(0xbf, 1, 6, 0, 0)),
        Call(1),
        Exit,
        Sub(1),
        load(0, 1, 16),
        Exit,
    ]);
    let skb = late(&Program { prog_type: ProgType::SchedCls, ..p.clone() }, &[8, 0], KernelVersion::V7_3);
    let codes: Vec<u8> = skb.expect("modelled").insns.iter().map(|i| i.code).collect();
    assert_eq!(codes, [0x7b, 0x79, 0x71, 0x54, 0x61, 0xbf, 0x85, 0x95, 0x69, 0x95]);
    let raw = late(&p, &[8, 0], KernelVersion::V7_3).expect("modelled");
    assert_eq!(raw.insns, p.insns);
    let other = late(&Program { prog_type: ProgType::SockOps, ..p }, &[8, 0], KernelVersion::V7_3);
    assert!(matches!(other, Err(LateError::NotModelled { at: InsnIdx(2), .. })));
}

/// A late patch too can make a jump too long; the kernel names the original instruction.
#[test]
fn a_guard_can_be_one_instruction_too_many() {
    let program = |fill: i32| {
        let division = Plain(Insn::new(0x3f, 2, 3, 0, 0));
        let mut lines = vec![Sub(0), Ref(1), Loop, If(9), division];
        lines.extend((0..fill).map(filler));
        lines.extend([Label(9), Exit, Sub(1), filler(0), Exit]);
        assemble(&lines)
    };
    let rules = Rules::of(KernelVersion::V7_3);
    let answer = |p: &Program| rewrite(p, &all_fit(p, &[]), &rules);
    assert!(answer(&program(32763)).is_ok());
    let e = answer(&program(32764)).expect_err("too long");
    assert_eq!((e.errno, e.text.as_str()), (Errno::ENOMEM, "insn 4 cannot be patched due to 16-bit range"));
}

fn insns(hex: &[&str]) -> Vec<Insn> {
    hex.iter().map(|h| Insn::from_bytes(u64::from_str_radix(h, 16).expect("hex").to_be_bytes())).collect()
}

/// What 6.1 to 6.18 and 7.3 dump for the same program: calls out of reach, and main alone.
#[test]
fn kernels_spell_calls_differently() {
    let far = |call: &str| {
        let mut list = insns(&["1842000048 9c0000".replace(' ', "").as_str(), "0000000001000000", call]);
        list.resize(40010, Insn::new(opcode::EXIT, 0, 0, 0, 0));
        normalise(&list, HelperImms::NUMBERS)
    };
    assert_eq!(far("8510469cfeffffff"), far("8510000001000000"));
    assert_ne!(far("8510469cfeffffff"), far("8510000002000000"));
    // Nothing in reach names subprogram 2.
    assert_eq!(far("8510b48bfeffffff"), far("8510000002000000"));
    let lone = |call: &str| normalise(&insns(&["1842000009000000", "0000000000000000", call]), HelperImms::NUMBERS);
    assert_eq!(lone("8510000007000000"), lone("8510070000000000"));
}

#[test]
fn helpers_and_maps_lose_what_is_the_kernels() {
    let list = insns(&["181100002a000000", "0000000008000000", "8500000010e50200", "850000000a000000"]);
    let normal = normalise(&list, Rules::of(KernelVersion::V6_1).rewrite.build.helper_imms());
    assert_eq!(normal, insns(&["1811000000000000", "0000000008000000", "85000000b5000000", "850000000a000000"]));
}

fn random_program() -> impl Strategy<Value = Program> {
    let line = prop_oneof![
        (1u32..4).prop_map(Call),
        (1u32..4).prop_map(Ref),
        Just(Loop),
        any::<i32>().prop_map(filler),
        prop::sample::select(vec![0x3fu8, 0x9f, 0x3c, 0x9c, 0x0f]).prop_map(|code| Plain(Insn::new(code, 2, 3, 0, 0))),
        Just(MayGoto(900)),
    ];
    prop::collection::vec(prop::collection::vec(line, 0..8), 4..5).prop_map(|subs| {
        let mut lines: Vec<Line> = vec![Sub(0), Ref(1), Ref(2), Ref(3)];
        for (n, mut sub) in subs.into_iter().enumerate() {
            if n > 0 {
                lines.push(Sub(n as u32));
            }
            let end = 900 + n as u32;
            sub.iter_mut().filter(|l| **l == MayGoto(900)).for_each(|l| *l = MayGoto(end));
            lines.append(&mut sub);
            lines.extend([Label(end), filler(0), Exit]);
        }
        assemble(&lines)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn late_programs_keep_their_shape(p in random_program()) {
        for version in KernelVersion::ALL {
            let rules = Rules::of(version);
            let r = match rewrite(&p, &all_fit(&p, &[]), &rules) {
                Ok(r) => r,
                Err(e) => {
                    // A subprogram with a counter begins with a reference backwards.
                    let at = e.at.expect("where");
                    let backwards = reference(p.insns[at.at()]).is_some_and(|d| d < 0);
                    prop_assert!(backwards && Layout::of(&p).starting(at).is_some());
                    continue;
                }
            };
            let l = late_fixups(&r, &rules).expect("modelled");
            prop_assert_eq!(l.wild.len(), l.insns.len());
            prop_assert_eq!(&l.layout, &Layout::of(&Program { insns: l.insns.clone(), ..Program::default() }));
            prop_assert!(l.origin.is_sorted());

            // A dump of ours is a dump of ours, and its normal form is normal.
            let dump = as_dumped(&l.insns, &l.layout);
            let normal = normalise(&dump, HelperImms::NUMBERS);
            prop_assert_eq!(&normal, &normalise(&normal, HelperImms::NUMBERS));
            let wild = l.wild.iter().filter(|w| **w != super::Wild::Nothing).count();
            prop_assert_eq!(compare(&l, &dump, HelperImms::NUMBERS), Comparison::Same { wild });
            let mut other = dump;
            if let Some(exit) = other.last_mut() {
                exit.regs ^= 1;
            }
            let differs = matches!(compare(&l, &other, HelperImms::NUMBERS), Comparison::Different { .. });
            prop_assert!(differs);
        }
    }
}
