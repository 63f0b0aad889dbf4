//! Input that is no program: a clear error with its place, or a refusal; never a panic, never without end.

use loopdiff::btf::{Body, Btf, BtfType, Linkage, Member, Param, VarInfo, validate};
use loopdiff::exec::Limits;
use loopdiff::isa::{Insn, InsnIdx};
use loopdiff::kernel::{KernelVersion, MapType, ProgType, Rules};
use loopdiff::oracle::{Examiner, Options, Status};
use loopdiff::program::json::{self, Form};
use loopdiff::program::{Func, Input, InputError, Loaded, MapDef, Program, elf, load_bytes, text};
use loopdiff::verifier::{Verdict, verify};
use std::path::Path;
use std::time::{Duration, Instant};

const EXIT: &str = "9500000000000000";

/// A generator that is the same everywhere (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 16) % n
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

fn load(name: &str, bytes: &[u8]) -> Result<Vec<Loaded>, InputError> {
    load_bytes(Path::new(name), bytes, |source| Ok(vec![Loaded::Program(text::parse(source)?.program)]))
}

fn json_error(source: &str) -> String {
    load("case.json", source.as_bytes()).expect_err(source).to_string()
}

/// The refusal of a program under a kernel: instruction, error number, text.
fn refusal(program: &Program, version: KernelVersion) -> (Option<u32>, i32, String) {
    match verify(program, &Rules::of(version)) {
        Verdict::Rejected(r) => (r.at.map(|at| at.0), r.errno.0, r.text),
        other => panic!("{version}: {other:?}"),
    }
}

fn program(insns: &[&str]) -> Program {
    let lines: Vec<String> = insns.iter().map(|i| format!("{i:?}")).collect();
    let source = format!(r#"{{"name": "bad", "prog_type": "raw_tracepoint", "insns": [{}]}}"#, lines.join(", "));
    json::read(source.as_bytes(), Form::Document).expect("a program").remove(0)
}

#[test]
fn json_with_a_wrong_field_names_field_and_line() {
    let wrong = format!("{{\n  \"name\": \"x\",\n  \"prog_typ\": \"xdp\",\n  \"insns\": [\"{EXIT}\"]\n}}");
    let error = json_error(&wrong);
    assert!(error.starts_with("case.json:3:") && error.contains("prog_typ"), "{error}");
    let wrong = format!("{{\n  \"name\": \"x\",\n  \"prog_type\": \"xpd\",\n  \"insns\": [\"{EXIT}\"]\n}}");
    let error = json_error(&wrong);
    assert!(error.starts_with("case.json:3:") && error.contains("xpd"), "{error}");
    let wrong = "{\n  \"name\": \"x\",\n  \"prog_type\": \"xdp\",\n  \"insns\": [\n    \"950000000000000\"\n  ]\n}";
    let error = json_error(wrong);
    assert!(error.starts_with("case.json:5:") && error.contains("insns[0]"), "{error}");
    let error = json_error("{\n  \"name\": \"x\",\n  \"prog_type\": \"xdp\"\n}");
    assert!(error.starts_with("case.json:") && error.contains("insns"), "{error}");
    let error = json_error("{\n  \"name\": \"x\",\n  \"prog_type\": \"xdp\",\n  \"insns\": []\n}");
    assert!(error.starts_with("case.json:5:") && error.contains("at least one instruction"), "{error}");
    let error = json_error("{\n\"name\": \"x\",");
    assert!(error.starts_with("case.json:2:"), "{error}");
    let second = format!("{{\"name\": \"x\", \"prog_type\": \"xdp\", \"insns\": [\"{EXIT}\"]}}\n{{\"name\": 1}}\n");
    let error = load("case.jsonl", second.as_bytes()).expect_err("a wrong line").to_string();
    assert!(error.starts_with("case.jsonl:2:"), "{error}");
}

#[test]
fn assembly_that_is_none_names_line_and_column() {
    for (source, place) in [
        ("main:\n    r0 = 0\n    r0 = = 1\n", "case.bpf:3:"),
        ("main:\n    goto nowhere\n    exit\n", "case.bpf:2:"),
        (";;! prog_tpye = \"xdp\"\nmain:\n    exit\n", "case.bpf:1:"),
        ("main:\n    exit ; rejct\n", "case.bpf:2:"),
        ("main:\n    r0 = map.m ll\n    exit\n", "case.bpf:2:"),
        ("a:\na:\n    exit\n", "case.bpf:2:"),
        (".rept 4\n    exit\n", "case.bpf:1:"),
        (".rept 99999999\n    exit\n.endr\n", "case.bpf:3:"),
        ("", "case.bpf:1: no instructions"),
        ("\n\n# nothing\n", "case.bpf:3: no instructions"),
        (";;! name = \"x\"\nmain:\n", "case.bpf:2: no instructions"),
        ("\r\n\r\n", "case.bpf:2: no instructions"),
        ("# all in a comment\rmain:\r    exit\r", "case.bpf:1:19: a carriage return"),
        (";;! name = \"x\"\rmain:\r    exit\r", "case.bpf:1:15: a carriage return"),
        ("main:\r\n    r0 = 0\r    exit\r\n", "case.bpf:2:11: a carriage return"),
        ("\r", "case.bpf:1:"),
    ] {
        let error = load("case.bpf", source.as_bytes()).expect_err(source).to_string();
        assert!(error.starts_with(place), "{source}: {error}");
    }
    let error = load("case.bpf", b"main:\n    exit\n\xff").expect_err("no UTF-8").to_string();
    assert!(error.starts_with("case.bpf:3:"), "{error}");
}

/// An object file of one section, made by hand: what is cut off it is an error, whatever is cut.
#[test]
fn objects_that_are_cut_short_are_errors() {
    let whole = object();
    assert!(elf::read(&whole).is_ok_and(|all| all.len() == 1), "{:?}", elf::read(&whole));
    for len in 0..whole.len() {
        let error = load("case.o", &whole[..len]).expect_err("a cut object").to_string();
        assert!(error.starts_with("case.o: "), "{error}");
    }
}

/// An object for BPF with one program section, `xdp`, of one function.
fn object() -> Vec<u8> {
    let names = b"\0xdp\0.symtab\0.strtab\0prog\0";
    let text = [0xb7, 0, 0, 0, 2, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
    let mut out = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0];
    out.extend([0; 8]);
    out.extend([1, 0, 247, 0, 1, 0, 0, 0]); // relocatable, BPF
    out.extend([0; 16]); // entry, program headers
    let (text_at, symbols_at) = (64u64, 64 + 16);
    let names_at = symbols_at + 48;
    let sections_at = (names_at + names.len() as u64).next_multiple_of(8);
    out.extend(sections_at.to_le_bytes());
    out.extend([0; 4]);
    for half in [64u16, 0, 0, 64, 4, 3] {
        out.extend(half.to_le_bytes());
    }
    out.extend(text);
    out.extend([0; 24]); // the null symbol
    out.extend(21u32.to_le_bytes()); // "prog"
    out.extend([0x12, 0, 1, 0]); // global function of section 1
    out.extend(0u64.to_le_bytes());
    out.extend(16u64.to_le_bytes());
    out.extend(names);
    out.resize(sections_at as usize, 0);
    let mut section = |name: u32, kind: u32, flags: u64, at: u64, len: u64, link: u32, info: u32, entry: u64| {
        out.extend(name.to_le_bytes());
        out.extend(kind.to_le_bytes());
        for word in [flags, 0, at, len] {
            out.extend(word.to_le_bytes());
        }
        out.extend(link.to_le_bytes());
        out.extend(info.to_le_bytes());
        out.extend(8u64.to_le_bytes());
        out.extend(entry.to_le_bytes());
    };
    section(0, 0, 0, 0, 0, 0, 0, 0);
    section(1, 1, 6, text_at, 16, 0, 0, 0);
    section(5, 2, 0, symbols_at, 48, 3, 1, 24);
    section(13, 3, 0, names_at, names.len() as u64, 0, 0, 0);
    out
}

#[test]
fn programs_that_cannot_be_are_refused_with_their_place() {
    for version in KernelVersion::ALL {
        let empty = refusal(&Program::default(), version);
        assert_eq!(empty.1, 7, "{empty:?}");
        let outside = refusal(&program(&["0500050000000000", EXIT]), version);
        assert_eq!(outside, (Some(0), 22, "jump out of range from insn 0 to 6".to_owned()));
        let before = refusal(&program(&["0500fbff00000000", EXIT]), version);
        assert_eq!(before, (Some(0), 22, "jump out of range from insn 0 to -4".to_owned()));
        let call_outside = refusal(&program(&["8510000063000000", EXIT]), version);
        assert_eq!(call_outside, (Some(0), 22, "call to invalid destination".to_owned()));
        // r2 = a function that starts in the second half of the constant behind it
        let middle = [
            "1842000004000000",
            "0000000000000000",
            "b700000000000000",
            EXIT,
            "1800000001000000",
            "0000000000000000",
            EXIT,
        ];
        let (_, errno, text) = refusal(&program(&middle), version);
        assert_eq!((errno, text.as_str()), (22, "last insn is not an exit or jmp"));
        let half = refusal(&program(&["b700000000000000", "1800000001000000"]), version);
        assert_eq!(half.1, 22, "{half:?}");
    }
}

/// Random bytes as a file of each format.
#[test]
fn random_bytes_are_errors_or_programs() {
    let mut random = Random(0x1db4_77c0_2a7f_9e31);
    for _ in 0..1000 {
        let len = random.below(400) as usize;
        let mut bytes = random.bytes(len);
        for name in ["case.bpf", "case.json", "case.jsonl", "case.o", "case"] {
            check_error(name, &bytes);
        }
        bytes.splice(0..0, *b"\x7fELF\x02\x01\x01");
        check_error("case.o", &bytes);
        // Text that looks a little more like what is wanted.
        let words = [
            "r1",
            "w2",
            "r10",
            "=",
            "+=",
            "*(u64 *)",
            "(r10 - 8)",
            "ll",
            "goto",
            "if",
            "call",
            "exit",
            "\n",
            ":",
            ";",
            "main",
            ";;!",
            "[[expect]]",
            "{",
            "}",
            "[",
            "]",
            "\"",
            "insns",
            "name",
            ",",
            "-1",
            "0x",
            "99999999999999999999",
            ".rept",
            ".endr",
            ".byte",
            "#",
            "\u{e9}",
            "retval",
            "reject",
            "@6.1",
            "map.",
            "pc+",
            "lock",
            "\\u",
        ];
        let count = random.below(60);
        let words: Vec<&str> = (0..count).map(|_| random.pick(&words)).collect();
        let text = words.join(if random.below(2) == 0 { " " } else { "" });
        for name in ["case.bpf", "case.json", "case.jsonl"] {
            check_error(name, text.as_bytes());
        }
    }
}

fn check_error(name: &str, bytes: &[u8]) {
    if let Err(error) = load(name, bytes) {
        let text = error.to_string();
        assert!(text.starts_with(name), "{text}");
        assert!(text.len() > name.len() + 4, "{text}");
    }
}

/// Bytes as instructions: each is refused, or runs.
#[test]
fn random_bytes_as_instructions_are_refused_or_run() {
    let mut random = Random(0x93d1_6bd2_0c5a_7e41);
    let mut counts = Counts::default();
    for _ in 0..1000 {
        let len = random.below(40) as usize;
        let insns = (0..len).map(|_| Insn::from_bytes(random.next().to_le_bytes())).collect();
        counts.examine(insns, ProgType::RawTracepoint, KernelVersion::ALL[random.below(4) as usize]);
    }
    assert!(counts.rejected >= 900, "{counts:?}");
}

/// Instructions that are valid one by one, in no order that makes sense.
#[test]
fn random_instructions_are_refused_or_run() {
    let mut random = Random(0x2c91_44e3_b17d_5a0f);
    let mut counts = Counts::default();
    for round in 0..2000 {
        let len = 1 + random.below(30) as usize;
        let mut insns: Vec<Insn> = [0, 2, 3, 4, 5, 6, 7, 8, 9].map(|r| Insn::new(0xb7, r, 0, 0, i32::from(r))).to_vec();
        insns.extend((1..=6).map(|n| Insn::new(0x7a, 10, 0, -8 * n, 0)));
        insns.extend((0..len).flat_map(|_| plausible(&mut random, len)));
        insns.push(Insn::new(0xb7, 0, 0, 0, 0));
        insns.push(Insn::new(0x95, 0, 0, 0, 0));
        let kind = random.pick(&[
            ProgType::RawTracepoint,
            ProgType::Xdp,
            ProgType::SchedCls,
            ProgType::Syscall,
            ProgType::SocketFilter,
        ]);
        counts.examine(insns, kind, KernelVersion::ALL[round % 4]);
    }
    // Enough of each kind that all parts have seen something.
    assert!(counts.accepted >= 100 && counts.rejected >= 400, "{counts:?}");
}

fn plausible(random: &mut Random, len: usize) -> Vec<Insn> {
    let (dst, src) = (random.below(11) as u8, random.below(11) as u8);
    let small = random.pick(&[0, 1, 2, 7, 8, 16, 31, 63, 255, -1, -8, i32::MAX, i32::MIN]);
    let stack = -8 * (1 + random.below(6) as i16);
    let jump = random.below(len as u64) as i16 - random.below(4) as i16;
    let op = random.below(14) as u8 * 16;
    match random.below(13) {
        0 | 1 => vec![Insn::new(0xb7, dst % 10, 0, 0, small)],
        2 => vec![Insn::new(0x07 | op, dst % 10, 0, 0, small)],
        3 => vec![Insn::new(0x0f | op, dst % 10, src, 0, 0)],
        4 => vec![Insn::new(0x04 | op, dst % 10, 0, 0, small)],
        5 => vec![Insn::new(0x7b, 10, src % 10, stack, 0)],
        6 => vec![Insn::new(0x7a, 10, 0, stack, small)],
        7 => vec![Insn::new(random.pick(&[0x79, 0x61, 0x69, 0x71, 0x91]), dst % 10, 10, stack, 0)],
        8 => vec![Insn::new(0x05 | op, dst, 0, jump, small)],
        9 => vec![Insn::new(random.pick(&[0x1d, 0x2d, 0x6d, 0xad, 0x1e, 0xde]), dst, src, jump, 0)],
        10 => vec![Insn::new(0x79, dst % 10, 1, 8 * random.below(4) as i16, 0)],
        11 => vec![Insn::new(0x85, 0, 0, 0, random.pick(&[1, 2, 5, 7, 8, 14, 118, 131, 164, 181]))],
        _ => vec![Insn::new(0x18, dst % 10, random.pick(&[0, 1, 2, 4]), 0, small.min(3)), Insn::new(0, 0, 0, 0, 0)],
    }
}

#[derive(Debug, Default)]
struct Counts {
    accepted: u32,
    rejected: u32,
    unsupported: u32,
}

impl Counts {
    fn examine(&mut self, insns: Vec<Insn>, prog_type: ProgType, version: KernelVersion) {
        /// Far more than such a program takes.
        const TIME_MAX: Duration = Duration::from_secs(60);
        let array =
            MapDef { map_type: MapType::Array, key_size: 4, value_size: 16, max_entries: 4, ..MapDef::default() };
        let maps = vec![array; 4];
        let inputs = vec![Input { ctx: vec![0; 96], data: vec![0; 64], seed: 1 }];
        let program = Program { prog_type, insns, maps, inputs, ..Program::default() };
        let limits = Limits { fuel: 100_000, ..Limits::default() };
        let start = Instant::now();
        let report = Examiner::new(Options { limits, ..Options::default() }).examine(&program, &Rules::of(version));
        assert!(start.elapsed() < TIME_MAX, "{}", text::write(&program));
        match report.status {
            Status::Accepted { .. } => self.accepted += 1,
            Status::Rejected(r) => {
                self.rejected += 1;
                assert!(r.errno.0 > 0 && !(r.text.is_empty() && r.at.is_none()), "{r:?}");
            }
            Status::Unsupported(u) => {
                self.unsupported += 1;
                assert!(!u.what.is_empty());
            }
        }
    }
}

/// The lines of other systems make the same program.
#[test]
fn line_ends_and_marks_do_not_matter() {
    let source = "# One.\n;;! name = \"x\"\n;;! [[expect]]\n;;! retval = 3\nmain:\n    r0 = 3 ; accept\n    exit\n";
    let plain = text::parse(source).expect("a program");
    for other in [source.replace('\n', "\r\n"), source.trim_end().to_owned()] {
        let read = text::parse(&other).expect("a program");
        assert_eq!((&read.program, read.expect.all().len()), (&plain.program, plain.expect.all().len()));
    }
    let marked = [b"\xef\xbb\xbf", source.as_bytes()].concat();
    assert_eq!(load("x.bpf", &marked).map(|all| all.len()), Ok(1));
    let json = format!("\u{feff}{{\"name\": \"x\", \"prog_type\": \"xdp\", \"insns\": [\"{EXIT}\"]}}");
    assert_eq!(load("x.json", json.as_bytes()).map(|all| all.len()), Ok(1));
}

/// What is small in a file and large when it is read is an error before it is read.
#[test]
fn files_that_would_take_the_memory_are_errors() {
    let objects = [b"[".to_vec(), b"{},".repeat((4 << 20) + 1)].concat();
    let texts = [b"[".to_vec(), b"\"\",".repeat((16 << 20) + 1)].concat();
    for (name, bytes) in
        [("a.json", &objects), ("a.jsonl", &objects), ("b.json", &texts), ("c.bpf", &vec![b'\n'; (16 << 20) + 1])]
    {
        let error = load(name, bytes).expect_err(name).to_string();
        assert!(error.starts_with(&format!("{name}: too large: ")) && error.contains("  hint: "), "{error}");
    }
}

/// Names that no BTF may hold: refused under all rules, as by `BPF_BTF_LOAD`.
#[test]
fn functions_have_names_that_btf_takes() {
    let exit = ["b700000000000000", EXIT];
    let named = |name: &str| Program {
        funcs: vec![Func { insn: InsnIdx(0), name: name.to_owned(), linkage: Linkage::Global, args: 1, type_id: None }],
        ..program(&exit)
    };
    let long = "x".repeat(513);
    for version in KernelVersion::ALL {
        for name in
            ["", "a b", "1st", "a-b", "a$b", "a\u{e9}", "\u{3b1}", "a\n", "\u{1b}[31m", long.as_str(), "a(b)", "a/b"]
        {
            let (_, errno, text) = refusal(&named(name), version);
            assert!(
                errno == 22 && text.contains(" FUNC ") && text.ends_with(" Invalid name"),
                "{version}: {name:?}: {text}"
            );
        }
        for name in ["main", "_a.b.1", ".text", "A9", long.get(1..).expect("512 letters"), "a\0 b"] {
            let verdict = verify(&named(name), &Rules::of(version));
            assert!(matches!(verdict, Verdict::Accepted(_)), "{version}: {name:?}: {verdict:?}");
        }
    }
}

/// The names of a program's own BTF, by kind; only sections may hold more than identifiers, and that from 6.12 on.
#[test]
fn types_have_names_that_btf_takes() {
    let built = |kind: u32, name: &str| {
        let mut btf = Btf::new();
        let empty = btf.intern("");
        let (int, ok, name) = (btf.intern("int"), btf.intern("ok"), btf.intern(name));
        let mut push = |name, body| btf.push(BtfType::new(name, body));
        let int = push(int, Body::Int { size: 4, encoding: 1, offset: 0, bits: 32 });
        let param = Param { name: if kind == 1 { name } else { ok }, to: int };
        let proto = push(empty, Body::FuncProto { ret: int, params: vec![param] });
        push(if kind == 0 { name } else { ok }, Body::Func { proto, linkage: 1 });
        let var = push(if kind == 2 { name } else { ok }, Body::Var { to: int, linkage: 1 });
        let vars = vec![VarInfo { var, offset: 0, size: 4 }];
        push(if kind == 3 { name } else { ok }, Body::DataSec { size: 4, vars });
        let member = Member { name: if kind == 5 { name } else { ok }, to: int, offset: 0 };
        push(if kind == 4 { name } else { ok }, Body::Struct { size: 4, members: vec![member] });
        push(if kind == 6 { name } else { ok }, Body::Typedef { to: int });
        btf.encode()
    };
    let long = "x".repeat(513);
    for version in KernelVersion::ALL {
        let rules = &Rules::of(version).btf;
        for kind in 0..=6 {
            for name in ["a b", "1st", "a\u{e9}", long.as_str(), "\u{1b}"] {
                let is_section_name =
                    kind == 3 && matches!(name, "a b" | "1st" | "a\u{e9}") && version != KernelVersion::V6_1;
                let refused = validate(&built(kind, name), rules);
                assert_eq!(refused.is_err(), !is_section_name, "{version}, kind {kind}: {name:?}: {refused:?}");
                if let Err(refused) = refused {
                    let what = if kind == 1 { "Invalid arg#1" } else { "Invalid name" };
                    assert!(
                        refused.message.ends_with(what) && refused.errno == 22,
                        "{version}, kind {kind}: {refused}"
                    );
                }
            }
            assert!(validate(&built(kind, "_a.b"), rules).is_ok());
        }
        // A section's name may not be empty, other types than these need none.
        assert_eq!(
            (0..=6).map(|kind| validate(&built(kind, ""), rules).is_err()).collect::<Vec<_>>(),
            [true, true, true, true, false, false, true]
        );
    }
}
