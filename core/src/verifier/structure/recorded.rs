//! The checks against recorded answers of real kernels: run with `LOOPDIFF_LABELS` set to the folder that holds
//! `programs.jsonl.gz` and `kernel-<version>.jsonl.gz`.

use super::{Refusal, Structure, check};
use crate::btf::Linkage;
use crate::isa::{Insn, InsnIdx};
use crate::kernel::{KernelVersion, Rules};
use crate::program::{Func, MapDef, Program};
use flate2::read::GzDecoder;
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

fn lines(path: &Path) -> Vec<Value> {
    let file = File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let lines = BufReader::new(GzDecoder::new(file)).lines();
    lines.map(|l| serde_json::from_str(&l.expect("a line")).expect("an object")).collect()
}

fn number(v: &Value) -> u32 {
    v.as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or_default()
}

fn text(v: &Value) -> &str {
    v.as_str().unwrap_or_default()
}

fn list(v: &Value) -> &[Value] {
    v.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn program(v: &Value) -> Program {
    let linkage = |v: &Value| if text(v) == "static" { Linkage::Static } else { Linkage::Global };
    let func = |f: &Value| Func {
        insn: InsnIdx(number(&f["insn"])),
        name: text(&f["name"]).to_owned(),
        linkage: linkage(&f["linkage"]),
        args: number(&f["args"]) as u8,
        type_id: None,
    };
    let map = |m: &Value| MapDef {
        map_type: text(&m["type"]).parse().expect("a map type"),
        key_size: number(&m["key_size"]),
        value_size: number(&m["value_size"]),
        max_entries: number(&m["max_entries"]),
        flags: number(&m["flags"]),
        ..MapDef::default()
    };
    Program {
        name: text(&v["name"]).to_owned(),
        prog_type: text(&v["prog_type"]).parse().expect("a program type"),
        prog_flags: number(&v["prog_flags"]),
        insns: insns(&v["insns"]),
        funcs: list(&v["funcs"]).iter().map(func).collect(),
        maps: list(&v["maps"]).iter().map(map).collect(),
        ..Program::default()
    }
}

fn insns(v: &Value) -> Vec<Insn> {
    list(v).iter().map(|i| Insn::from_bytes(u64::from_str_radix(text(i), 16).expect("hex").to_be_bytes())).collect()
}

/// What the kernel made of an accepted program holds no folded branch any more.
fn check_folded(program: &Program, structure: &Structure, label: &Value) {
    let emitted = insns(&label["xlated"]);
    let kept = structure.insns(program);
    let count = |insns: &[Insn], like: Insn| {
        insns.iter().filter(|i| (i.code, i.regs, i.imm) == (like.code, like.regs, like.imm)).count()
    };
    for at in &structure.folded {
        let branch = program.insns[at.at()];
        // Inlined loops, divisions and remainders bring comparisons of their own.
        let inlined = matches!((branch.code, branch.regs), (0xb5, 1) | (0x3d, 0x67));
        let divides = matches!((branch.code, branch.imm), (0x15 | 0x16 | 0x55 | 0x56, 0));
        if !inlined && !divides {
            assert!(count(&emitted, branch) <= count(&kept, branch), "{} {at}: {branch:?}", program.name);
        }
    }
}

/// A refusal before the walk as errno and message.
fn refusal(label: &Value) -> Option<(i32, String)> {
    let early = text(&label["verdict"]) == "reject" && number(&label["insns_processed"]) == 0;
    early.then(|| (number(&label["errno"]) as i32, text(&label["message"]).to_owned()))
}

#[test]
#[ignore = "needs recordings that are in no checkout: LOOPDIFF_LABELS=FOLDER cargo test -- --ignored"]
#[expect(clippy::print_stderr, reason = "the counts are what this test is read for")]
fn refusals_before_the_walk_are_those_of_kernels() {
    let folder = std::env::var_os("LOOPDIFF_LABELS").expect("LOOPDIFF_LABELS");
    let folder = Path::new(&folder);
    let programs: Vec<Program> = lines(&folder.join("programs.jsonl.gz")).iter().map(program).collect();
    for version in KernelVersion::ALL {
        let labels = lines(&folder.join(format!("kernel-{version}.jsonl.gz")));
        assert_eq!(labels.len(), programs.len());
        let rules = Rules::of(version);
        let (mut refused, mut passed, mut folded) = (0, 0, 0);
        for (program, label) in programs.iter().zip(&labels) {
            assert_eq!(program.name, text(&label["name"]));
            let ours = match check(program, &rules) {
                Ok(s) => {
                    folded += s.folded.len();
                    check_folded(program, &s, label);
                    None
                }
                Err(Refusal::Rejected(r)) => Some((r.errno.0, r.text)),
                Err(Refusal::Unsupported(u)) => panic!("{version} {}: {} is not modelled", program.name, u.what),
            };
            assert_eq!(ours, refusal(label), "{version} {}", program.name);
            if ours.is_some() { refused += 1 } else { passed += 1 }
        }
        eprintln!("{version}: {refused} refused as by the kernel, {passed} passed on, {folded} branches folded");
        assert!(refused > 0 && passed > 0);
    }
}
