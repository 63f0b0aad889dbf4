//! What is written compiles, and is the same program again.

use super::*;
use crate::btf::Linkage;
use crate::isa::{Imm64, InsnIdx, Op, decode, operations};
use crate::kernel::ProgType;
use crate::program::{Func, Layout, Loaded, MapDef, Program, elf, text};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

const LOOP: &str = r#"
;;! name = "loop with \"everything\""
;;! maps = [
;;!   { name = "counts", type = "hash", key_size = 8, value_size = 8, max_entries = 3 },
;;!   { name = "state", type = "array", key_size = 4, value_size = 24, max_entries = 1, init = ["0102"] },
;;!   { type = "ringbuf", max_entries = 4096, flags = 1 },
;;!   { name = "fixed", type = "array", key_size = 4, value_size = 8, max_entries = 1, flags = 128, frozen = true, init = ["0000000000000007"] },
;;! ]
;;! inputs = [{ ctx = "0011", seed = 3 }]
;;! func.shared = { linkage = "global" }
main:
    r6 = r1
    w7 = *(u32 *)(r10 - 4)
    *(u64 *)(r10 - 8) = 1
    r1 = 0x1234567890abcdef ll
    r1 %= 7
    r1 s/= r7
    if r1 & 3 goto skip
    r8 = (s16)r7
    r8 = bswap32 r8
    r8 |= r1
    lock *(u64 *)(r10 - 8) += r8
    r8 = atomic_fetch_add((u64 *)(r10 - 8), r8)
skip:
    may_goto out
    r1 = map.counts ll
    r1 = map.state+8 ll
    r2 = map.2 ll
    r3 = map.fixed+0 ll
    r1 = 10
    r2 = step ll
    r3 = 0
    r4 = 0
    call bpf_loop
    r1 = 1
    call shared
    if r0 s> -5 goto skip
    call 9999
out:
    r0 = 0
    exit
step:
    r1 = 5
    call shared
    if w0 != 3 goto again
    r0 = 1
    exit
again:
    r2 = step ll
    gotol again
shared:
    r0 = r1
    exit
"#;

fn program(source: &str) -> Program {
    text::parse(source).expect("a program").program
}

/// Whether there is a tool; where there is none the test says so and checks nothing.
fn has(tool: &str, args: &[&str]) -> bool {
    let found = Command::new(tool).args(args).stdin(Stdio::null()).output().is_ok_and(|run| run.status.success());
    if !found {
        let _ = writeln!(std::io::stderr(), "skipped: {tool} {} does not run", args.join(" "));
    }
    found
}

fn has_clang_for_bpf() -> bool {
    has("clang", &["-target", "bpf", "-fsyntax-only", "-x", "c", "/dev/null"])
}

fn compile(source: &str, folder: &Path) -> Vec<u8> {
    let (c, o) = (folder.join("repro.c"), folder.join("repro.o"));
    std::fs::write(&c, source).expect("a file");
    let mut clang = Command::new("clang");
    clang
        .args(["-target", "bpf", "-mcpu=v3", "-g", "-O2", "-Wall", "-Wextra", "-Werror", "-c"])
        .arg(&c)
        .arg("-o")
        .arg(&o);
    let run = clang.output().expect("clang runs");
    assert!(run.status.success(), "{}\n{source}", String::from_utf8_lossy(&run.stderr));
    std::fs::read(&o).expect("an object")
}

fn described(map: &MapDef) -> String {
    let mut init = map.init.first().cloned().unwrap_or_default();
    init.truncate(init.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1));
    let sizes = (map.map_type, map.key_size, map.value_size, map.max_entries, map.flags);
    format!("{sizes:?} {init:?} {}", map.frozen)
}

/// The operations of each function, in a linker's order, with references by that order and maps by what they are.
fn linked(program: &Program) -> Vec<Vec<String>> {
    let layout = Layout::of(program);
    let ops = operations(&program.insns);
    let of = |start: InsnIdx| {
        let end = layout.end(layout.starting(start).expect("a function"));
        ops.iter().filter(move |(at, _)| (start..end).contains(at))
    };
    let is_reference = |op: &Op| matches!(op, Op::CallLocal { .. } | Op::LdImm64 { imm: Imm64::Func { .. }, .. });
    let mut order = Vec::new();
    let mut open = vec![InsnIdx(0)];
    while let Some(start) = open.pop() {
        if order.contains(&start) {
            continue;
        }
        order.push(start);
        let targets = of(start).filter_map(|(at, op)| op.as_ref().ok().filter(|op| is_reference(op))?.target(*at));
        let targets: Vec<_> = targets.filter(|t| layout.starting(*t).is_some()).collect();
        open.extend(targets.into_iter().rev());
    }
    let show = |at: InsnIdx, op: &Result<Op, Insn>| match op {
        Ok(op) if is_reference(op) => {
            let target = op.target(at).and_then(|t| order.iter().position(|start| *start == t));
            format!("{:?} {target:?}", op.with_distance(0))
        }
        Ok(Op::LdImm64 { dst, imm: Imm64::Map(map) }) => format!("{dst} = {}", described(&program.maps[*map as usize])),
        Ok(Op::LdImm64 { dst, imm: Imm64::MapValue { map, off } }) => {
            format!("{dst} = {} + {off}", described(&program.maps[*map as usize]))
        }
        Ok(op) => op.to_string(),
        Err(insn) => format!("{insn:?}"),
    };
    order.iter().map(|start| of(*start).map(|(at, op)| show(*at, op)).collect()).collect()
}

fn loaded(object: &[u8]) -> Program {
    let mut all = elf::read(object).expect("an object");
    match all.pop() {
        Some(Loaded::Program(program)) if all.is_empty() => program,
        other => panic!("{other:?} {all:?}"),
    }
}

/// Operations of every opcode that refer to nothing outside.
fn every_operation() -> Vec<Op> {
    const IMMS: [i32; 14] = [0, 1, 0x40, 0x41, 0x50, 0x51, 0xa0, 0xa1, 0xe1, 0xf1, 16, 0x100, -7, i32::MIN];
    let mut ops = Vec::new();
    for code in 0..=255 {
        for (dst, src) in [(0, 0), (3, 0), (0, 9), (4, 10)] {
            for (off, imm) in [0, 1, 8, -5, i16::MIN].iter().flat_map(|off| IMMS.map(|imm| (*off, imm))) {
                let second = Some(Insn::new(0, 0, 0, 0, imm));
                ops.extend(decode(Insn::new(code, dst, src, off, imm), second));
            }
        }
    }
    ops.dedup();
    ops.retain(|op| match op {
        Op::LdImm64 { imm, .. } => matches!(imm, Imm64::Const(_) | Imm64::BtfId(_) | Imm64::MapByIdx { .. }),
        Op::CallLocal { .. } | Op::CallKfunc { .. } => false,
        _ => true,
    });
    ops
}

fn of_operations(ops: &[Op]) -> Program {
    let insns = ops.iter().flat_map(|op| [Some(op.encode().0), op.encode().1]).flatten();
    let undecodable = [Insn::new(0xff, 1, 2, 3, 4), Insn::new(0x07, 15, 0, 0, 1)];
    Program { name: "all".into(), insns: insns.chain(undecodable).collect(), ..Program::default() }
}

#[test]
fn inline_assembly_compiles_to_the_same_program() {
    if !has_clang_for_bpf() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let claims = Claims {
        comments: vec!["signature: a /* b */ c".into(), "two\nlines".into()],
        load: Load::Failure("R1 \"type\"=scalar\\ expected=fp".into()),
        retval: Some(u32::MAX),
        ..Claims::default()
    };
    for program in [program(LOOP), program("r0 = 0\nexit"), of_operations(&every_operation())] {
        let source = selftest_asm(&program, &claims).text;
        let again = loaded(&compile(&source, folder.path()));
        assert_eq!(linked(&again), linked(&program), "{source}");
        assert_eq!(again.prog_type, program.prog_type);
        let kinds = |p: &Program| {
            // Of a static function's parameters a kernel reads nothing.
            let kind = |f: &Func| if f.linkage == Linkage::Static { None } else { Some(f.args) };
            let mut kinds: Vec<_> = p.funcs.iter().skip(1).map(kind).collect();
            kinds.sort_unstable();
            kinds
        };
        if !program.funcs.is_empty() {
            assert_eq!(kinds(&again), kinds(&program));
        }
    }
}

#[test]
fn sections_say_the_type() {
    if !has_clang_for_bpf() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let given = [
        (ProgType::Xdp, 37, 0),
        (ProgType::SchedCls, 0, 0),
        (ProgType::SocketFilter, 0, 0),
        (ProgType::Syscall, 0, 1 << 4),
        (ProgType::CgroupSkb, 1, 0),
    ];
    for (prog_type, attach, flags) in given {
        let program = Program {
            prog_type,
            expected_attach_type: attach,
            prog_flags: flags,
            name: "int".into(),
            ..program("r0 = 0\nexit")
        };
        let source = selftest_asm(&program, &Claims::default()).text;
        let again = loaded(&compile(&source, folder.path()));
        assert_eq!((again.prog_type, again.expected_attach_type, again.prog_flags), (prog_type, attach, flags));
        assert!(!source.contains("No section says"), "{source}");
    }
    // The attach type of a section need not be the program's.
    let bare = Program { prog_type: ProgType::Xdp, ..program("r0 = 0\nexit") };
    assert!(selftest_asm(&bare, &Claims::default()).text.contains("SEC(\"xdp\")"));
    let odd = Program { prog_type: ProgType::Tracing, expected_attach_type: 24, ..program("r0 = 0\nexit") };
    assert!(selftest_asm(&odd, &Claims::default()).text.contains("No section says program type tracing"));
}

#[test]
fn macros_compile_to_the_same_instructions() {
    if !has("cc", &["--version"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let everything = of_operations(&every_operation());
    let claims = Claims {
        comments: vec!["a".into(), "b */".into()],
        load: Load::Failure("R1 !read_ok \"x\" ??/".into()),
        retval: Some(u32::MAX),
        expected_insns: everything.insns[..20].to_vec(),
        unexpected_insns: everything.insns[20..40].to_vec(),
    };
    for program in [program(LOOP), everything.clone()] {
        let case = selftest_array(&program, &claims).text;
        let types = program.type_info().map(|t| t.btf).unwrap_or_default();
        let source = format!(
            "{ARRAY_PRELUDE}\nstatic struct bpf_test tests[] = {{\n{case}}};\n
             static void put(const void *from, size_t len) {{ fwrite(from, 1, len, stdout); }}
             int main(void) {{
                 struct bpf_test *t = tests;
                 put(t->insns, {} * 8);
                 put(t->expected_insns, 20 * 8);
                 put(t->unexpected_insns, 20 * 8);
                 put(t->btf_types, {types_len});
                 put(t->btf_strings, {strings_len});
                 fprintf(stdout, \"%s|%u|%d|%d\", t->errstr, t->retval, t->result, t->func_info_cnt);
                 return 0;
             }}\n",
            program.insns.len(),
            types_len = word(&types, 12),
            strings_len = word(&types, 20),
        );
        let (c, exe) = (folder.path().join("array.c"), folder.path().join("array"));
        std::fs::write(&c, &source).expect("a file");
        let run = Command::new("cc")
            .args(["-Wall", "-Wextra", "-Werror", "-Wno-missing-field-initializers", "-O0", "-o"])
            .arg(&exe)
            .arg(&c)
            .output()
            .expect("cc");
        assert!(run.status.success(), "{}\n{case}", String::from_utf8_lossy(&run.stderr));
        let out = Command::new(&exe).output().expect("it runs").stdout;
        let mut expected = raw(&program);
        expected.extend(everything.insns[..40].iter().flat_map(|i| i.to_bytes()));
        expected.extend_from_slice(types.get(24..).unwrap_or_default());
        let tail = format!("R1 !read_ok \"x\" ??/|{}|2|{}", u32::MAX, program.funcs.len());
        expected.extend_from_slice(tail.as_bytes());
        let differs = out.iter().zip(&expected).position(|(a, b)| a != b);
        assert_eq!((differs, out.len()), (None, expected.len()), "{case}");
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.first_chunk().copied()).map_or(0, u32::from_le_bytes)
}

#[test]
fn what_a_form_cannot_say_is_said() {
    let mut program = program(LOOP);
    program.btf = program.type_info().map(|t| t.btf);
    let text = selftest_asm(&program, &Claims::default()).text;
    for what in ["may_goto", "has a BTF of its own", "SEC(\".rodata.fixed\")", "BPF_MAP_TYPE_RINGBUF"] {
        assert!(text.contains(what), "{what}\n{text}");
    }
    assert!(!text.contains("in the order"));
    let late = selftest_asm(&self::program("call b\ncall a\nexit\na:\nexit\nb:\nexit"), &Claims::default()).text;
    assert!(late.contains("The original has its functions in the order prog, a, b."), "{late}");
    // A map that is used both ways can be no variable.
    let both = text::parse(
        ";;! maps = [{ type = \"array\", key_size = 4, value_size = 8, max_entries = 1, init = [\"01\"] }]
        r1 = map.0 ll\nr2 = map.0+4 ll\nr0 = 0\nexit",
    );
    let text = selftest_asm(&both.expect("a program").program, &Claims::default()).text;
    assert!(text.contains("Instruction 2 must be given the file descriptor of map 0 by hand."), "{text}");
    assert!(text.contains("holds values before the run"), "{text}");
}

#[test]
fn assembly_with_comments_reads_back() {
    let program = program(LOOP);
    let text = bpf(&program, &["signature: x".into(), "two\nlines".into()]);
    assert!(text.starts_with("# signature: x\n# two\n# lines\n;;! name"), "{text}");
    assert_eq!(text::parse(&text).expect("a program").program, program);
    assert_eq!(raw(&program).len(), program.insns.len() * 8);
}

#[test]
fn a_story_marks_the_place() {
    let program = program("r1 = 0x7 ll\nif r1 == 0 goto out\nr0 = 1\nout:\nexit");
    let story = Story {
        title: "Forms\ndiffer".into(),
        identity: vec![
            ("signature", "equivalence:r0".into()),
            ("rules", "6.1, 7.3".into()),
            ("nothing", String::new()),
        ],
        compared: "Both forms on input 0.".into(),
        belief: Belief { place: "At 1 it believed:".into(), states: vec![" R1=7 R10=fp0\n".into(), " R1=8\n".into()] },
        gone_with: vec!["Each of these:".into(), "`a=b`:\nrejected.".into()],
        evidence: "r0: 1 against 2".into(),
        sides: vec![Side {
            name: "helper call".into(),
            program: &program,
            mark: Some(InsnIdx(1)),
            result: String::new(),
        }],
        commands: vec![("In the model.".into(), "loopdiff check case.bpf".into())],
        notes: vec!["a ``` b".into()],
    };
    let expected = "\
# Forms differ

- signature: `equivalence:r0`
- rules: `6.1, 7.3`

## What was compared

Both forms on input 0.

## Where the sides part

r0: 1 against 2

## What the verifier believed

At 1 it believed:

```
 R1=7 R10=fp0

 R1=8
```

## helper call

```
main:
=>     0  r1 = 0x7 ll
       2  if r1 == 0 goto .L4
       3  r0 = 1
.L4:
       4  exit
```

## What makes it go away

Each of these:

- `a=b`: rejected.

## To see it again

```
# In the model.
loopdiff check case.bpf
```

## Notes

a ``` b
";
    assert_eq!(story.markdown(), expected);
}
