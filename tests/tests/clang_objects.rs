//! Programs in C, compiled by clang when the tests run, and read from the object files.
//!
//! Without clang, or without the headers of libbpf, the tests are skipped.

use loopdiff::btf::{Btf, Linkage, validate};
use loopdiff::isa::{Imm64, InsnIdx, Op, decode};
use loopdiff::kernel::{KernelVersion, Rules};
use loopdiff::program::json::{self, Form};
use loopdiff::program::{Layout, Loaded, Program, elf, load_bytes, subprog_target};
use loopdiff::verifier::{Verdict, notes, verify};
use loopdiff_tests::skip::needed;
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A compiled file: its name without extension, and the object.
struct Compiled {
    name: String,
    bytes: Vec<u8>,
}

/// The C files of a folder below `programs`.
fn sources(below: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs").join(below);
    let mut sources: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder of programs")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "c"))
        .collect();
    sources.sort();
    assert!(!sources.is_empty());
    sources
}

/// All programs as most people compile them; `None` when there is no clang for BPF here.
fn compiled() -> Option<&'static [Compiled]> {
    static ALL: OnceLock<Option<Vec<Compiled>>> = OnceLock::new();
    let all = ALL.get_or_init(|| compile(&["-O2"])).as_deref();
    needed("clang", all.ok_or_else(|| "there is no clang for BPF with the headers of libbpf".to_owned()))
}

/// Compiles all programs; `None` when there is no clang for BPF here.
fn compile(options: &[&str]) -> Option<Vec<Compiled>> {
    compile_below("", options)
}

/// The same with those of a folder below.
fn compile_below(below: &str, options: &[&str]) -> Option<Vec<Compiled>> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let probe = folder.path().join("probe.c");
    std::fs::write(&probe, "#include <linux/bpf.h>\n#include <bpf/bpf_helpers.h>\n").expect("a file");
    let clang = |source: &Path, object: &Path| {
        let mut command = Command::new("clang");
        command.args(["-target", "bpf", "-g", "-Wall", "-Werror"]);
        // Where Debian keeps <asm/types.h>, which for BPF clang does not look up by itself.
        command.arg(format!("-I/usr/include/{}-linux-gnu", std::env::consts::ARCH));
        command.args(options).arg("-c").arg(source).arg("-o").arg(object).output()
    };
    if !clang(&probe, &folder.path().join("probe.o")).is_ok_and(|run| run.status.success()) {
        return None;
    }
    let compiled = sources(below).into_iter().map(|source| {
        let object = folder.path().join("object.o");
        let run = clang(&source, &object).expect("clang ran before");
        assert!(run.status.success(), "{}: {}", source.display(), String::from_utf8_lossy(&run.stderr));
        let name = source.file_stem().expect("a name").to_string_lossy().into_owned();
        Compiled { name, bytes: std::fs::read(&object).expect("an object") }
    });
    Some(compiled.collect())
}

fn load(compiled: &Compiled) -> Vec<Loaded> {
    let path = PathBuf::from(format!("{}.o", compiled.name));
    load_bytes(&path, &compiled.bytes, |_| unreachable!("an object is no text")).expect("a readable object")
}

fn programs(loaded: &[Loaded]) -> impl Iterator<Item = &Program> {
    loaded.iter().filter_map(|l| match l {
        Loaded::Program(program) => Some(program),
        Loaded::Unsupported { .. } => None,
    })
}

/// Operations with their places.
fn ops(program: &Program) -> Vec<(InsnIdx, Op)> {
    let mut ops = Vec::new();
    let mut at = InsnIdx(0);
    while let Some(insn) = program.insn(at) {
        let op = decode(insn, program.insn(at.next())).unwrap_or_else(|e| panic!("{} at {at}: {e}", program.name));
        ops.push((at, op));
        at = InsnIdx(at.0 + op.len());
    }
    ops
}

/// What holds for every program that is loaded from an object.
fn check_program(program: &Program) {
    let name = &program.name;
    let starts: Vec<_> = program.funcs.iter().map(|f| f.insn).collect();
    assert_eq!(Layout::of(program).starts(), starts, "{name}: func_info has all subprograms");
    let mut referred = HashSet::new();
    for (at, op) in ops(program) {
        if let Some(target) = subprog_target(at, &op) {
            assert!(starts.contains(&target), "{name}: {op:?} at {at} meets no function");
            referred.insert(target);
        }
        match op {
            Op::LdImm64 { imm: Imm64::Map(map), .. } => assert!((map as usize) < program.maps.len(), "{name} at {at}"),
            Op::LdImm64 { imm: Imm64::MapValue { map, off }, .. } => {
                assert!(off < program.maps[map as usize].value_size, "{name} at {at}");
            }
            _ => {}
        }
    }
    let linked: HashSet<_> = starts.iter().copied().skip(1).collect();
    assert_eq!(referred, linked, "{name}: what is linked in is referred to, and the other way round");
    let types = program.type_info().expect("types");
    for version in KernelVersion::ALL {
        let btf = validate(&types.btf, &Rules::of(version).btf).unwrap_or_else(|e| panic!("{name}, {version}: {e:?}"));
        for (func, info) in program.funcs.iter().zip(&types.func_info) {
            let found = btf.function(loopdiff::btf::TypeId(info.type_id)).expect("a function");
            assert_eq!((found.name, found.linkage), (func.name.as_str(), func.linkage), "{name}");
        }
    }
    let text = json::write(std::slice::from_ref(program), Form::Lines);
    assert_eq!(json::read(text.as_bytes(), Form::Lines).as_deref(), Ok(std::slice::from_ref(program)), "{name}");
}

/// One program as a line: type, functions (static ones in parentheses), maps.
fn summary(loaded: &Loaded) -> String {
    match loaded {
        Loaded::Unsupported { name, what } => {
            format!("{name} unsupported: {}", what.split(';').next().unwrap_or_default())
        }
        Loaded::Program(program) => {
            let func = |f: &loopdiff::program::Func| match f.linkage {
                Linkage::Static => format!("({}/{})", f.name, f.args),
                _ => format!("{}/{}", f.name, f.args),
            };
            let mut funcs: Vec<_> = program.funcs.iter().map(func).collect();
            // Which of two functions is met first is up to the compiler.
            funcs[1..].sort();
            let map = |m: &loopdiff::program::MapDef| {
                let frozen = if m.frozen { " frozen" } else { "" };
                let sizes = format!("{} {} {}", m.key_size, m.value_size, m.max_entries);
                format!("{}:{} {sizes} {:#x}{frozen}", m.name, m.map_type, m.flags)
            };
            let maps: Vec<_> = program.maps.iter().map(map).collect();
            let (kind, attach) = (program.prog_type, program.expected_attach_type);
            let line = format!("{} {kind} {attach} {:#x}: {}", program.name, program.prog_flags, funcs.join(" "));
            if maps.is_empty() { line } else { format!("{line} | {}", maps.join(", ")) }
        }
    }
}

#[test]
fn programs_functions_and_maps_are_those_of_the_source() {
    let Some(all) = compiled() else { return };
    let mut lines = Vec::new();
    for compiled in all {
        let loaded = load(compiled);
        programs(&loaded).for_each(check_program);
        lines.extend(loaded.iter().map(|l| format!("{} {}", compiled.name, summary(l))));
    }
    let expected = include_str!("clang_objects.txt");
    assert_eq!(lines.join("\n"), expected.trim_end());
}

/// What is decided when an object is loaded: sizes that it leaves open, types that a kernel refuses, what a kernel manages in
/// values, section names. A line a program, or a line for each kernel where they differ.
#[test]
fn objects_are_loaded_as_libbpf_and_veristat_load_them() {
    if compiled().is_none() {
        return;
    }
    let answer = |loaded: &Loaded, version| match loaded {
        // Which names libbpf knows instead is told after a semicolon.
        Loaded::Unsupported { what, .. } => format!("unsupported {}", what.split(';').next().unwrap_or_default()),
        Loaded::Program(program) => {
            let rules = Rules::of(version);
            let verdict = match verify(program, &rules) {
                Verdict::Accepted(_) => "accept".to_owned(),
                Verdict::Rejected(r) => format!("reject {} {}", r.errno.0, r.text),
                Verdict::Unsupported(u) => format!("unsupported {}", u.what),
            };
            [vec![verdict], notes(program, &rules)].concat().join(" | ")
        }
    };
    let mut lines = Vec::new();
    for compiled in compile_below("loader", &["-O2"]).expect("clang ran before") {
        for loaded in load(&compiled) {
            let answers = KernelVersion::ALL.map(|version| answer(&loaded, version));
            let name = format!("{} {}", compiled.name, loaded.name());
            if answers.iter().all(|a| *a == answers[0]) {
                lines.push(format!("{name}: {}", answers[0]));
            } else {
                lines.extend(KernelVersion::ALL.iter().zip(&answers).map(|(v, a)| format!("{name} {v}: {a}")));
            }
        }
    }
    assert_eq!(lines.join("\n"), include_str!("loader_objects.txt").trim_end());
}

#[test]
fn every_level_of_optimisation_links() {
    if compiled().is_none() {
        return;
    }
    for options in [&["-O1"][..], &["-O2", "-mcpu=v3"], &["-Os", "-mcpu=v1"]] {
        let all = compile(options).expect("clang ran before");
        for compiled in &all {
            let loaded = load(compiled);
            assert!(programs(&loaded).count() > 0, "{}", compiled.name);
            programs(&loaded).for_each(check_program);
        }
    }
}

#[test]
fn variables_have_their_first_values() {
    let Some(all) = compiled() else { return };
    let globals = all.iter().find(|c| c.name == "globals").expect("globals.c");
    let loaded = load(globals);
    let program = programs(&loaded).next().expect("a program");
    let maps: BTreeMap<_, _> = program.maps.iter().map(|m| (m.name.as_str(), m)).collect();
    let rodata = &maps[".rodata"].init[0];
    assert!(rodata.windows(8).any(|w| w == [1, 0, 2, 0, 3, 0, 4, 0]), "limits in {rodata:?}");
    assert!(rodata.windows(4).any(|w| w == 12u32.to_le_bytes()), "rounds in {rodata:?}");
    let data = &maps[".data"].init[0];
    assert!(data.windows(8).any(|w| w == 40u64.to_le_bytes()), "total in {data:?}");
    assert!(maps[".bss"].init.is_empty());
    assert_eq!(rodata.len(), maps[".rodata"].value_size as usize);
}

/// Another reader of objects, written by others, links the same instructions.
#[test]
fn aya_links_the_same_programs() {
    let Some(all) = compiled() else { return };
    let mut compared = 0;
    // Aya refuses an object that has a section it does not know, such as "tc" and "syscall".
    let unknown = ["packet", "syscall", "unsupported"];
    for compiled in all.iter().filter(|c| !unknown.contains(&c.name.as_str())) {
        let mut theirs = aya_obj::Object::parse(&compiled.bytes).unwrap_or_else(|e| panic!("{}: {e}", compiled.name));
        let text: HashSet<_> = theirs.functions.keys().map(|(section, _)| *section).collect();
        let mut names: Vec<_> = theirs.maps.keys().cloned().collect();
        names.sort();
        let maps = theirs.maps.clone();
        let numbered = names.iter().enumerate().map(|(n, name)| (name.as_str(), n as i32, &maps[name]));
        theirs.relocate_maps(numbered, &text).expect("maps");
        theirs.relocate_calls(&text).expect("calls");
        for program in programs(&load(compiled)) {
            let known = theirs.programs.get(&program.name).unwrap_or_else(|| panic!("{}", program.name));
            let linked = &theirs.functions[&known.function_key()].instructions;
            assert_eq!(linked.len(), program.insns.len(), "{}", program.name);
            for (n, (a, b)) in program.insns.iter().zip(linked).enumerate() {
                let mut ours = (a.code, a.dst(), a.src(), a.off, a.imm);
                if a.is_ld_imm64() && matches!(a.src(), 1 | 2) {
                    let name = &program.maps[a.imm as usize].name;
                    ours.4 = names.iter().position(|n| n == name).expect("a map of theirs") as i32;
                }
                assert_eq!(ours, (b.code, b.dst_reg(), b.src_reg(), b.off, b.imm), "{} at {n}", program.name);
            }
            compared += 1;
        }
    }
    assert!(compared >= 11, "{compared}");
}

#[test]
fn broken_objects_are_errors_or_programs() {
    let Some(all) = compiled() else { return };
    for name in ["globals", "map_lookup"] {
        let whole = &all.iter().find(|c| c.name == name).expect("a program").bytes;
        for len in 0..whole.len() {
            let _ = elf::read(&whole[..len]);
        }
        for at in 0..whole.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                let _ = elf::read(&bytes);
            }
        }
    }
}

#[test]
fn the_types_of_an_object_read_as_they_are_written() {
    let Some(all) = compiled() else { return };
    for compiled in all {
        for program in programs(&load(compiled)) {
            let blob = program.btf.as_ref().expect("types");
            assert_eq!(&Btf::parse(blob).expect("readable").encode(), blob);
        }
    }
}
