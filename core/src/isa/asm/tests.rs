use super::*;
use crate::isa::{Insn, decode};
use proptest::prelude::*;
use std::collections::HashSet;
use std::mem::discriminant;

/// The operation that the text means, when no name in it is left to resolve.
fn op(text: &str) -> Op {
    let line = assemble(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    assert_eq!((line.symbol, line.any), (None, AnyFields::default()), "{text}");
    line.op
}

/// Numbers at which an encoding changes its meaning, or a field its sign or size.
const OFFS: [i16; 9] = [0, 1, 8, 16, 32, -1, -8, i16::MAX, i16::MIN];
const IMMS: [i32; 22] = [
    0,
    1,
    0x40,
    0x41,
    0x50,
    0x51,
    0xa0,
    0xa1,
    0xe1,
    0xf1,
    0x100,
    0x110,
    16,
    32,
    64,
    0x1_0000,
    5,
    -1,
    181,
    9,
    i32::MAX,
    i32::MIN,
];

#[test]
fn every_kind_of_operation_reads_back() {
    let mut kinds = HashSet::new();
    let mut seen = 0;
    for code in 0..=255 {
        for (dst, src) in (0..=10).flat_map(|r| [(0, r), (r, 0), (r, 10 - r)]) {
            for (off, imm) in OFFS.into_iter().flat_map(|off| IMMS.map(|imm| (off, imm))) {
                let Ok(was) = decode(Insn::new(code, dst, src, off, imm), Some(Insn::new(0, 0, 0, 0, imm / 2))) else {
                    continue;
                };
                let text = was.to_string();
                assert_eq!(op(&text), was, "{text}");
                kinds.insert(discriminant(&was));
                seen += 1;
            }
        }
    }
    // One kind for each variant of `Op`.
    assert_eq!(kinds.len(), 18);
    assert!(seen > 10_000, "{seen}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn operations_read_back(code: u8, dst in 0..11u8, src in 0..11u8, off: i16, imm: i32, hi: i32, clean in 0..4u8) {
        let off = if clean & 1 != 0 { 0 } else { off };
        let imm = if clean & 2 != 0 { 0 } else { imm };
        if let Ok(was) = decode(Insn::new(code, dst, src, off, imm), Some(Insn::new(0, 0, 0, 0, hi))) {
            prop_assert_eq!(op(&was.to_string()), was);
        }
    }

    #[test]
    fn any_text_is_answered(text in "[ r1w0=*()u864s+\\-\\[\\]ll?@.,<>&/!a-z0-9é\t]{0,40}") {
        for line in [assemble(&text), assemble_pattern(&text)] {
            if let Err(e) = line {
                prop_assert!(e.column >= 1 && e.column as usize <= text.chars().count() + 1, "{} in {:?}", e, text);
            }
        }
    }

    #[test]
    fn blanks_do_not_matter(code: u8, dst in 0..11u8, src in 0..11u8, imm: i32) {
        if let Ok(was) = decode(Insn::new(code, dst, src, 0, imm), Some(Insn::default())) {
            let wide = was.to_string().replace(' ', " \t ");
            prop_assert_eq!(op(&wide), was);
            if !matches!(was, Op::LdImm64 { .. }) {
                // Keywords need their blanks.
                let tight = was.to_string().replace(" = ", "=").replace(" + ", "+").replace(" *)", "*)");
                prop_assert_eq!(op(&tight), was);
            }
        }
    }
}

#[test]
fn forms_that_mean_the_same() {
    for (one, other) in [
        ("w1 = *(u8 *)(r2 + 0)", "r1 = *(u8 *)(r2 + 0)"),
        ("*(u32 *)(r1 - 4) = w2", "*(u32 *)(r1 - 4) = r2"),
        ("lock *(u32 *)(r1 + 0) += r2", "lock *(u32 *)(r1 + 0) += w2"),
        ("r1 = 0xffffffff", "r1 = -1"),
        ("r1 = -1 ll", "r1 = 0xffffffffffffffff ll"),
        ("goto 0x10", "goto +16"),
        ("call 0xb5", "call 181"),
        ("*(u64*)(r10-0x8)=0x5", "*(u64 *)(r10 - 8) = 5"),
        ("r1 = load_acquire((u32 *)(r2 + 0))", "w1 = load_acquire((u32 *)(r2 + 0))"),
    ] {
        assert_eq!(op(one), op(other), "{one}");
    }
}

#[test]
fn symbols_are_left_to_the_program() {
    for (text, kind, name, column) in [
        ("if r1 s> 5 goto out", SymbolKind::Jump, "out", 17),
        ("goto r1.x", SymbolKind::Jump, "r1.x", 6),
        ("call bpf_loop", SymbolKind::Call, "bpf_loop", 6),
        ("call cb@4", SymbolKind::Call, "cb", 6),
        ("r2 = cb ll", SymbolKind::Func, "cb", 6),
        ("r2 = be16 ll", SymbolKind::Func, "be16", 6),
        ("r2 = map.m1+8 ll", SymbolKind::Map, "m1", 6),
    ] {
        let line = assemble(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(line.symbol, Some(Symbol { kind, name, column }), "{text}");
    }
}

#[test]
fn patterns_say_which_fields_take_any_value() {
    let any = |off, imm, imm_hi| AnyFields { off, imm, imm_hi };
    for (text, fields) in [
        ("*(u64 *)(r10 - ?) = r6", any(true, false, false)),
        ("*(u64 *)(r10 + ?) = ?", any(true, true, false)),
        ("r1 = ?", any(false, true, false)),
        ("r1 = ? ll", any(false, true, true)),
        ("r1 = map.? ll", any(false, true, false)),
        ("r1 = map.?+? ll", any(false, true, true)),
        ("r2 = pc@?+? ll", any(false, true, true)),
        ("call ?", any(false, true, false)),
        ("call pc+?", any(false, true, false)),
        ("call pc@?+?", any(true, true, false)),
        ("goto +?", any(true, false, false)),
        ("gotol ?", any(false, true, false)),
        ("if r1 == ? goto ?", any(true, true, false)),
        ("exit", any(false, false, false)),
    ] {
        assert_eq!(assemble_pattern(text).map(|l| l.any), Ok(fields), "{text}");
        assert_eq!(assemble(text).is_err(), fields != AnyFields::default(), "{text}");
    }
}

#[test]
fn what_is_wrong_is_said_where_it_stands() {
    for (text, column, message) in [
        ("", 1, "expected an operation"),
        ("r1 = ", 5, "expected a 64-bit constant"),
        ("r11 = 1", 1, "no register `r11`"),
        ("w1 = r2", 6, "the register has the wrong width here"),
        ("*(u64 *)(r1 + 0) = w2", 20, "the register has the wrong width here"),
        ("r1 = 4294967296", 6, "4294967296 does not fit an immediate"),
        ("r1 = -2147483649", 6, "-2147483649 does not fit an immediate"),
        ("r1 = 99999999999999999999 ll", 6, "`99999999999999999999` is no number: it does not fit 64 bits"),
        ("r1 = 010", 6, "`010` is no number: llvm-mc reads a leading 0 as octal"),
        ("r1 = *(u8 *)(r2 + 32768)", 19, "32768 does not fit an offset"),
        ("r1 = *(u8 *)(r2 + -3)", 19, "expected an offset"),
        ("r1 = *(s64 *)(r2 + 0)", 8, "no type `s64`"),
        ("goto -32769", 6, "-32769 does not fit an offset"),
        ("exit r1", 6, "unexpected text after the operation"),
        ("r1 = cb", 6, "no value is called `cb`"),
        ("r1 = cb+8 ll", 8, "expected `ll`"),
        ("w1 = cb ll", 6, "`ll` loads a 64-bit register"),
        ("r1 = -r2", 7, "expected `r1`, as on the left"),
        ("if r1 = 5 goto +1", 7, "`=` is no comparison"),
        ("jmp +1", 1, "no operation starts with `jmp`"),
        ("r1 = \u{e9}", 6, "unexpected character `\\u{e9}`"),
        ("call kfunc.x", 6, "`x` is not a number of 32 bits"),
        ("r0 = *(u64 *)skb[4]", 6, "a packet load is u8, u16 or u32 into r0"),
        ("lock *(u8 *)(r1 + 0) += w2", 7, "this atomic operation takes u32 or u64"),
        ("r1 = cmpxchg_64(r2 + 0, r0, r3)", 25, "compare and exchange uses register 0 on the left and in the middle"),
        ("callx r1", 1, "no operation starts with `callx`"),
    ] {
        let error = assemble(text).err().unwrap_or_else(|| panic!("{text}"));
        assert_eq!((error.column, error.message.as_str()), (column, message), "{text}");
    }
}
