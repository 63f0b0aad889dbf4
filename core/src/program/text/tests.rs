use super::*;
use crate::btf::Linkage;
use crate::isa::{Insn, InsnIdx, disassemble};
use crate::kernel::{MapType, ProgType};
use crate::program::{Func, Input, MapDef};
use proptest::prelude::*;

fn read(text: &str) -> TestFile {
    parse(text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// Instructions of which most decode and many refer to one another.
fn insns() -> impl Strategy<Value = Vec<Insn>> {
    let near = -6..6i32;
    let one = prop_oneof![
        4 => (prop::sample::select(vec![0x05u8, 0x15, 0x1d, 0x66, 0xe5]), near.clone())
            .prop_map(|(code, off)| vec![Insn::new(code, 0, 0, off as i16, 0)]),
        2 => near.clone().prop_map(|imm| vec![Insn::new(0x06, 0, 0, 0, imm)]),
        3 => near.clone().prop_map(|rel| vec![Insn::new(0x85, 0, 1, 0, rel)]),
        1 => (0..230i32).prop_map(|id| vec![Insn::new(0x85, 0, 0, 0, id)]),
        1 => (any::<i16>(), 0..3u8, any::<i32>()).prop_map(|(off, src, imm)| vec![Insn::new(0x85, 0, src, off, imm)]),
        3 => (near, 0..3i32).prop_map(|(rel, n)| vec![Insn::new(0x18, 2, 4, 0, rel), Insn::new(0, 0, 0, 0, n)]),
        2 => (0..8u8, 0..4i32, any::<i32>()).prop_map(|(src, lo, hi)| vec![Insn::new(0x18, 1, src, 0, lo), Insn::new(0, 0, 0, 0, hi)]),
        2 => any::<[u8; 8]>().prop_map(|bytes| vec![Insn::from_bytes(bytes)]),
        3 => (any::<u8>(), 0..11u8, any::<i32>()).prop_map(|(code, dst, imm)| vec![Insn::new(code, dst, 0, 0, imm)]),
    ];
    prop::collection::vec(one, 1..24).prop_map(|parts| parts.concat())
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        prop::sample::select(vec![
            "cb", "main", "sub_3", "bpf_loop", "r1", "map.x", ".L2", "be16", "exit", "pc", "a@1"
        ])
        .prop_map(str::to_owned),
        "[a-z_.$0-9]{1,6}",
        any::<String>(),
    ]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..5)
}

fn func() -> impl Strategy<Value = Func> {
    let linkage = prop::sample::select(vec![Linkage::Static, Linkage::Global, Linkage::Extern]);
    (0..20u32, name(), linkage, any::<u8>(), any::<Option<u32>>())
        .prop_map(|(insn, name, linkage, args, type_id)| Func { insn: InsnIdx(insn), name, linkage, args, type_id })
}

fn map() -> impl Strategy<Value = MapDef> {
    let numbers = (any::<u32>(), any::<u32>(), any::<u32>(), any::<u32>());
    let init = prop::collection::vec(bytes(), 0..3);
    (name(), prop::sample::select(MapType::ALL), numbers, init, any::<bool>()).prop_map(
        |(name, map_type, (key_size, value_size, max_entries, flags), init, frozen)| MapDef {
            name,
            map_type,
            key_size,
            value_size,
            max_entries,
            flags,
            init,
            frozen,
        },
    )
}

fn input() -> impl Strategy<Value = Input> {
    (bytes(), bytes(), any::<u64>()).prop_map(|(ctx, data, seed)| Input { ctx, data, seed })
}

#[derive(Clone, Debug)]
enum Funcs {
    Default,
    Changed(u8, Linkage, Option<u32>),
    Given(Vec<Func>),
}

prop_compose! {
    fn program()(
        name in name(),
        prog_type in prop::sample::select(ProgType::ALL),
        (expected_attach_type, prog_flags) in any::<(u32, u32)>(),
        insns in insns(),
        maps in prop::collection::vec(map(), 0..3),
        inputs in prop::collection::vec(input(), 0..3),
        (btf, btf_optional) in (prop::option::of(bytes()), any::<bool>()),
        notes in prop::collection::vec(name(), 0..3),
        funcs in prop_oneof![
            Just(Funcs::Default),
            any::<(u8, Option<u32>)>().prop_map(|(args, id)| Funcs::Changed(args, Linkage::Global, id)),
            prop::collection::vec(func(), 0..4).prop_map(Funcs::Given),
        ],
    ) -> Program {
        let mut program = Program {
            name,
            prog_type,
            expected_attach_type,
            prog_flags,
            insns,
            funcs: Vec::new(),
            btf,
            btf_optional,
            maps,
            inputs,
            notes,
        };
        match funcs {
            Funcs::Given(funcs) => program.funcs = funcs,
            Funcs::Default => program.funcs = funcs::default_funcs(&program, &Default::default()),
            Funcs::Changed(args, linkage, type_id) => {
                program.funcs = funcs::default_funcs(&program, &Default::default());
                if let Some(last) = program.funcs.last_mut() {
                    *last = Func { args, linkage, type_id, ..last.clone() };
                }
            }
        }
        program
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn what_is_written_reads_back(program in program()) {
        let text = write(&program);
        let back = parse(&text).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
        prop_assert_eq!(&back.program, &program, "{}", text);
        prop_assert_eq!(write(&back.program), text);
    }

    #[test]
    fn a_listing_assembles_to_its_bytes(insns in insns()) {
        let text = disassemble(&insns, &crate::isa::NoNames);
        let back = parse(&text).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
        prop_assert_eq!(back.program.insns, insns, "{}", text);
    }

    #[test]
    fn any_text_is_answered_with_a_place(text in "(;;! |exit|r1 = |; |reject|: |cb|\\.rept 3|\\.endr|\n|\"|\\[|=|#|é| ){0,20}") {
        if let Err(e) = parse(&text) {
            prop_assert!(e.line.is_some_and(|line| line as usize <= text.split('\n').count()), "{e} in {text:?}");
        }
    }
}

/// Two loops, one of them with a callback that is not constant, and something of every kind of expectation.
const FULL: &str = r#"
# A comment.
;;! name = "two loops"
;;! prog_type = "tracepoint"
;;! rules = ["6.1", "7.3"]
;;! checks = ["verify", "inline"]
;;! maps = [
;;!   { name = "m", type = "array", key_size = 4, value_size = 8, max_entries = 1, init = ["01 02", "ff"], frozen = true },
;;! ]
;;! inputs = [{ ctx = "00ff", seed = 7 }, { data = "aa", seed = "0xffffffffffffffff" }]
;;! func.cb = { linkage = "global", args = 3 }
;;!
;;! [[expect]]
;;! insns_processed = 12
;;! stack = { main = 24, cb = 0 }
;;! insns = ["*(u64 *)(r10 - 24) = r6", "...", "call pc@?+?"]
;;! no_insns = ["call ?", "exit"]
;;! func_info = [{ insn = 0, name = "main" }, { insn = 30, name = "cb" }]
;;! [[expect]]
;;! rules = ["6.1"]
;;! insns = ["call bpf_loop"]
; accept
main: r1 = map.m ll     // the map
    r2 = cb ll
    r3 = map.m+4 ll
    r1 = 3; r4 = 0
"#;

#[test]
fn one_operation_a_line() {
    // What follows a `;` is an expectation, never a second operation.
    let error = parse(FULL).expect_err("two operations on a line");
    assert_eq!((error.line, error.column), (Some(26), Some(13)), "{error}");
}

#[test]
fn a_file_with_everything_reads_and_is_written() {
    let text = FULL.replace(
        "    r1 = 3; r4 = 0\n",
        "    r1 = 3\n    r4 = 0\n    call bpf_loop   ; inlined: cb ; not-inlined@6.1: flags may be non-zero # both\n\
         .rept 2\n    r0 = 0\n.endr\n    if r0 != 0 goto out\n    .byte 0xff, 0, 0, 0, 0, 0, 0, 1 ; reject@6.1: EINVAL \"; #\"\n\
         out:\n    exit ; retval: -1 ; retval[1]@7.3: 0x10\ncb: r0 = 0\n    exit\n",
    );
    let file = read(&text);
    let program = &file.program;
    assert_eq!((program.name.as_str(), program.prog_type), ("two loops", ProgType::Tracepoint));
    assert_eq!(file.rules, [KernelVersion::V6_1, KernelVersion::V7_3]);
    assert_eq!(file.checks, [Check::Verify, Check::Inline]);
    assert_eq!(program.maps[0].init, [vec![1, 2], vec![255]]);
    assert_eq!((program.inputs[0].ctx.as_slice(), program.inputs[0].seed), ([0, 255].as_slice(), 7));
    assert_eq!((program.inputs[1].data.as_slice(), program.inputs[1].seed), ([0xaa].as_slice(), u64::MAX));
    let func =
        |insn, name: &str, linkage, args| Func { insn: InsnIdx(insn), name: name.into(), linkage, args, type_id: None };
    assert_eq!(program.funcs, [func(0, "main", Linkage::Global, 1), func(14, "cb", Linkage::Global, 3)]);
    let hex: Vec<String> = program.insns.iter().map(|i| format!("{i:?}")).collect();
    assert_eq!(
        hex,
        [
            "1811000000000000",
            "0000000000000000",
            "184200000b000000",
            "0000000000000000",
            "1823000000000000",
            "0000000004000000",
            "b701000003000000",
            "b704000000000000",
            "85000000b5000000",
            "b700000000000000",
            "b700000000000000",
            "5500010000000000",
            "ff00000000000001",
            "9500000000000000",
            "b700000000000000",
            "9500000000000000",
        ]
    );
    let under = |version| {
        let held: Vec<&Expectation> = file.expect.under(version);
        held.into_iter().map(|e| (e.at.map(|at| at.0), e.what.clone())).collect::<Vec<_>>()
    };
    let new = under(KernelVersion::V7_3);
    assert!(new.contains(&(None, Expect::Accept)));
    assert!(new.contains(&(Some(8), Expect::Inlined { callback: Some(InsnIdx(14)) })));
    assert!(new.contains(&(Some(13), Expect::Retval { input: Some(1), value: 16 })));
    assert!(new.contains(&(None, Expect::Stack { func: InsnIdx(14), bytes: 0 })));
    let old = under(KernelVersion::V6_1);
    assert!(old.contains(&(Some(8), Expect::NotInlined { why: Some("flags may be non-zero".into()) })));
    assert!(old.contains(&(Some(12), Expect::Reject { text: Some("; #".into()), errno: Some(22) })));
    assert!(!old.iter().any(|(_, what)| matches!(what, Expect::Accept | Expect::Retval { input: Some(_), .. })));

    let back = read(&write_test(&file));
    assert_eq!((&back.program, &back.rules, &back.checks), (&file.program, &file.rules, &file.checks));
    let lines_gone = |file: &TestFile| {
        let mut all: Vec<String> =
            file.expect.all().iter().map(|e| format!("{:?}", Expectation { line: 0, ..e.clone() })).collect();
        all.sort();
        all
    };
    assert_eq!(lines_gone(&back), lines_gone(&file));
}

#[test]
fn functions_that_the_header_does_not_name() {
    let file = read("call f\nr1 = taken ll\ncall pc+0\nexit\nf: .Lf: exit\n.Lx: taken: exit\nunused: goto .Lx\n");
    let funcs: Vec<_> =
        file.program.funcs.iter().map(|f| (f.insn.0, f.name.as_str(), f.linkage, f.args, f.type_id)).collect();
    let expected = [
        (0, "main", Linkage::Global, 1, None),
        (4, "sub_4", Linkage::Static, 1, None),
        (5, "f", Linkage::Static, 1, None),
        (6, "taken", Linkage::Static, 2, None),
    ];
    assert_eq!(funcs, expected);
}

#[test]
fn functions_and_btf_as_the_kernels_tests_give_them() {
    let file = read(
        ";;! btf_types = [0x1, 0x01000000, 4, 0x01000020]\n;;! btf_strings = \"\\u0000int\\u0000\"\n\
         ;;! funcs = [{ at = \"main\", type_id = 6 }, { insn = 3, name = \"callback\", type_id = 7 }, { insn = 99 }]\n\
         main: r2 = cb ll\n exit\ncb: exit\n",
    );
    let blob = file.program.btf.expect("a blob");
    assert_eq!(&blob[..24], [0x9f, 0xeb, 1, 0, 24, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 16, 0, 0, 0, 5, 0, 0, 0]);
    assert_eq!((&blob[24..28], &blob[40..]), ([1, 0, 0, 0].as_slice(), b"\0int\0".as_slice()));
    let funcs: Vec<_> = file.program.funcs.iter().map(|f| (f.insn.0, f.name.as_str(), f.type_id)).collect();
    assert_eq!(funcs, [(0, "main", Some(6)), (3, "callback", Some(7)), (99, "sub_99", None)]);
    assert!(read(";;! funcs = []\nexit").program.funcs.is_empty());
}

#[test]
fn what_is_wrong_has_line_and_column() {
    let mut wrong = Vec::new();
    for (text, line, column, message) in [
        ("exit\n  r1 = r11\n", 2, 8, "no register `r11`"),
        ("a: b: r1 = 5 5", 1, 14, "unexpected text after the operation"),
        ("é: exit", 1, 1, "`é` cannot be a label"),
        ("r1: exit", 1, 1, "`r1` cannot be a label"),
        ("a: exit\na: exit", 2, 1, "the label `a` is there already"),
        ("goto nowhere", 1, 6, "no label `nowhere`"),
        (" call nothing", 1, 7, "no function or helper `nothing`"),
        ("call loop", 1, 6, "no function or helper `loop`"),
        ("r1 = map.m ll", 1, 6, "no map `m`; the maps are []"),
        (
            "goto far\n.rept 40000\nr0 = 0\n.endr\nfar: exit",
            1,
            6,
            "`far` is 40000 instructions away, too far for 16 bits",
        ),
        (".rept 9999999999\nexit\n.endr", 3, 1, "more than 2097152 instructions"),
        (".rept 2\nexit", 1, 1, "`.rept` without `.endr`"),
        (".rept 2\na: exit\n.endr", 2, 1, "no label can stand in `.rept`"),
        (".endr", 1, 1, "`.endr` without `.rept`"),
        (".globl main", 1, 1, "no directive `.globl`"),
        (".byte 1, 2, 3", 1, 1, "`.byte` takes eight bytes"),
        ("exit;", 1, 6, "nothing after `;`"),
        ("exit ; rejected", 1, 8, "no expectation is called `rejected`"),
        ("; inlined\nexit", 1, 3, "this expectation stands on the line of the call that it speaks of"),
        ("call 181 ; inlined: cb", 1, 12, "no label `cb`"),
        (
            "main: ; accept\nexit",
            1,
            9,
            "an expectation stands on the line of an instruction, or on its own for the whole program",
        ),
        ("exit\n;;! name = \"late\"", 2, 1, "the header stands before the program"),
        ("; accept\nexit ; reject", 2, 0, "a second expectation of the same thing under 6.1"),
        (";;! rules = [\"7.3\"]\nexit ; accept@6.1", 2, 0, "the file is not checked under 6.1"),
        ("\n  ;;! nam = 1", 2, 7, "unknown field `nam`"),
        (";;! prog_type = \"xpd\"", 1, 17, "no program type is called \"xpd\""),
        (";;! maps = [\n;;!   { type = \"aray\" },\n;;! ]", 2, 16, "no map type is called \"aray\""),
        (";;! maps = [{ type = \"array\", sise = 1 }]", 1, 31, "unknown field `sise`"),
        (";;! maps = [{ type = 99 }]", 1, 22, "no type has the number 99"),
        (";;! inputs = [{ ctx = \"0\" }]", 1, 23, "expected bytes in hexadecimal"),
        (";;! rules = [\"6.2\"]", 1, 14, "no rules for kernel \"6.2\"; there are 6.1, 6.12, 6.18 and 7.3"),
        (";;! checks = [\"all\"]", 1, 15, "no check is called `all`"),
        (";;! func.cb = { args = 2 }\nexit", 1, 10, "no function is called `cb`"),
        (";;! funcs = [{ at = \"cb\" }]\nexit", 1, 14, "no label `cb`"),
        (";;! [[expect]]\n;;! insns = [\n;;!   \"exit\",\n;;!   \"r1 = r11\",\n;;! ]", 4, 13, "no register `r11`"),
        (";;! [[expect]]\n;;! verdict = \"rejct\"", 2, 15, "no verdict is called `rejct`"),
        (";;! [[expect]]\n;;! rules = [\"6.1\"]", 1, 5, "this `expect` expects nothing"),
        (";;! [[expect]]\n;;! stack = { cb = 8 }\nexit", 2, 15, "no label `cb`"),
        (";;! name = ", 1, 12, "string values must be quoted"),
    ] {
        let error = parse(text).expect_err(text);
        let place = (error.line, error.column.unwrap_or(0));
        if (place, error.message.as_str()) != ((Some(line), column), message) {
            wrong.push(format!("{text}\n  expected {line}:{column}: {message}\n  got {error}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
