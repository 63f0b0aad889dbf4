//! Our rewrite against the dumps of real kernels, where `LOOPDIFF_LABELS` names the folder with the recorded answers.
//!
//! The verifier is not part of this: which sites are inlined, what was never reached and how deep the stack was before are
//! read off the dump; everything else has to follow.

use super::align::Alignment;
use super::testing::kill;
use super::{Comparison, Rewritten, compare, late_fixups, rewrite};
use crate::btf::Linkage;
use crate::isa::{Insn, InsnIdx};
use crate::kernel::{KernelVersion, MapType, Rules};
use crate::program::{Func, Layout, MapDef, Program, SubprogIdx};
use crate::verifier::Facts;
use serde_json::Value;
use std::io::{BufRead, BufReader};

fn lines(folder: &str, name: &str) -> Vec<Value> {
    let file = std::fs::File::open(format!("{folder}/{name}.jsonl.gz")).expect("recorded answers");
    let reader = BufReader::new(flate2::read::GzDecoder::new(file));
    reader.lines().map(|l| serde_json::from_str(&l.expect("text")).expect("JSON")).collect()
}

fn insns(list: &Value) -> Vec<Insn> {
    let bytes = |s: &str| u64::from_str_radix(s, 16).expect("hex").to_be_bytes();
    list.as_array().expect("list").iter().map(|s| Insn::from_bytes(bytes(s.as_str().expect("text")))).collect()
}

fn number(v: &Value, key: &str) -> u32 {
    v[key].as_u64().expect(key) as u32
}

fn program(v: &Value) -> Program {
    let func = |f: &Value| Func {
        insn: InsnIdx(number(f, "insn")),
        name: f["name"].as_str().expect("name").to_owned(),
        linkage: if f["linkage"] == "global" { Linkage::Global } else { Linkage::Static },
        args: 2,
        type_id: None,
    };
    let map = |m: &Value| MapDef {
        map_type: m["type"].as_str().and_then(|t| t.parse::<MapType>().ok()).expect("map type"),
        key_size: number(m, "key_size"),
        value_size: number(m, "value_size"),
        max_entries: number(m, "max_entries"),
        ..MapDef::default()
    };
    Program {
        name: v["name"].as_str().expect("name").to_owned(),
        prog_type: v["prog_type"].as_str().and_then(|t| t.parse().ok()).expect("program type"),
        insns: insns(&v["insns"]),
        funcs: v["funcs"].as_array().expect("funcs").iter().map(func).collect(),
        maps: v["maps"].as_array().expect("maps").iter().map(map).collect(),
        ..Program::default()
    }
}

/// Stack depths after inlining, by subprogram of the original program; a dump tells only of those that are left.
fn depths(program: &Program, answer: &Value, seen: &[bool]) -> Option<Vec<u16>> {
    let starts = Layout::of(program).starts().to_vec();
    let is_left = |s: &InsnIdx| seen[s.at()];
    let line = answer["stack_line"].as_str().filter(|l| !l.is_empty());
    if let Some(line) = line {
        let mut left = line.split('+').map(|n| n.parse().ok());
        let depths: Option<Vec<u16>> = starts.iter().map(|s| if is_left(s) { left.next()? } else { Some(0) }).collect();
        return depths.filter(|_| left.next().is_none());
    }
    let by_name = answer["stack_by_name"].as_object()?;
    let depth = |s: &InsnIdx| Some(by_name.get(program.func_name(*s)?)?.as_u64()? as u16);
    starts.iter().map(|s| if is_left(s) { depth(s) } else { Some(0) }).collect()
}

enum Outcome {
    NotComparable,
    Same,
    Different(String),
}

/// The program names its subprograms itself. Only a global function, which 6.1 walks on its own, may have lost its calls.
fn reads_back(r: &Rewritten) -> bool {
    let named = Layout::of(&r.program);
    let is_global = |s: &InsnIdx| r.program.funcs.iter().any(|f| f.insn == *s && f.linkage == Linkage::Global);
    let known = |s: &InsnIdx| named.starts().contains(s) || is_global(s);
    r.layout.starts().iter().all(known) && named.starts().iter().all(|s| r.layout.starts().contains(s))
}

fn compare_one(program: &Program, answer: &Value, rules: &Rules) -> Outcome {
    let dump = insns(&answer["xlated"]);
    let Some(mut alignment) = Alignment::new(program, &dump, rules) else {
        return Outcome::NotComparable;
    };
    let mut outcome = Outcome::NotComparable;
    while let Some(facts) = alignment.next(&|seen| depths(program, answer, seen)) {
        let (late, r) = match rewrite(program, &facts, rules).map(|r| (late_fixups(&r, rules), r)) {
            Ok((Ok(late), r)) => (late, r),
            other => {
                outcome = Outcome::Different(format!("{other:?}"));
                continue;
            }
        };
        match compare(&late, &dump, rules.rewrite.build.helper_imms()) {
            Comparison::Same { .. } if !reads_back(&r) => {
                outcome = Outcome::Different("layout".to_owned());
            }
            Comparison::Same { .. } => return Outcome::Same,
            d => outcome = Outcome::Different(format!("{d:?}")),
        }
    }
    outcome
}

/// The facts of every reading of a dump that gives the dump back.
fn facts_of(program: &Program, answer: &Value, rules: &Rules) -> Vec<Facts> {
    let dump = insns(&answer["xlated"]);
    let mut found = Vec::new();
    let Some(mut alignment) = Alignment::new(program, &dump, rules) else {
        return found;
    };
    while let Some(facts) = alignment.next(&|seen| depths(program, answer, seen)) {
        let late = rewrite(program, &facts, rules).ok().and_then(|r| late_fixups(&r, rules).ok());
        let same = |late| matches!(compare(&late, &dump, rules.rewrite.build.helper_imms()), Comparison::Same { .. });
        if late.is_some_and(same) {
            found.push(facts);
        }
    }
    found
}

/// Whether the refusal's text follows from facts like `facts` in which some callbacks never run.
fn explains(program: &Program, facts: &Facts, rules: &Rules, text: &str) -> bool {
    let subprogs = facts.layout.len();
    (1u32..1 << (subprogs - 1)).any(|dead| {
        let mut facts = facts.clone();
        for n in (1..subprogs as u16).filter(|n| dead & 1 << (n - 1) != 0).map(SubprogIdx) {
            let range = facts.layout.start(n).at()..facts.layout.end(n).at();
            kill(&mut facts, range);
        }
        rewrite(program, &facts, rules).is_err_and(|e| e.text == text)
    })
}

/// Kernels from 6.12 on refuse programs that 6.1 accepts, because of callbacks that never run; they print an index.
#[test]
#[ignore = "needs recordings that are in no checkout: LOOPDIFF_LABELS=FOLDER cargo test -- --ignored"]
#[allow(clippy::print_stderr)]
fn late_refusals_of_real_kernels_agree() {
    let folder = std::env::var("LOOPDIFF_LABELS").expect("LOOPDIFF_LABELS");
    let programs: Vec<Program> = lines(&folder, "programs").iter().map(program).collect();
    let oldest = lines(&folder, "kernel-6.1");
    for version in [KernelVersion::V6_18, KernelVersion::V7_3] {
        let (mut same, mut skipped, mut different) = (0, 0, Vec::new());
        for ((p, answer), old) in programs.iter().zip(lines(&folder, &format!("kernel-{version}"))).zip(&oldest) {
            let text = answer["message"].as_str().expect("message");
            if !text.contains("No program to jit") {
                continue;
            }
            let readings = facts_of(p, old, &Rules::of(KernelVersion::V6_1));
            match readings.iter().any(|facts| explains(p, facts, &Rules::of(version), text)) {
                true => same += 1,
                false if readings.is_empty() => skipped += 1,
                false => different.push(&p.name),
            }
        }
        eprintln!("{version}: {same} late refusals the same, {} not, {skipped} not comparable", different.len());
        // The others need facts that a dump of 6.1 does not hold: branches that only later kernels decide.
        eprintln!("  {different:?}");
        assert!(same > 2 * different.len(), "{version}");
    }
}

#[test]
#[ignore = "needs recordings that are in no checkout: LOOPDIFF_LABELS=FOLDER cargo test -- --ignored"]
#[allow(clippy::print_stderr)]
fn dumps_of_real_kernels_agree() {
    let folder = std::env::var("LOOPDIFF_LABELS").expect("LOOPDIFF_LABELS");
    let programs: Vec<Program> = lines(&folder, "programs").iter().map(program).collect();
    for version in KernelVersion::ALL {
        let rules = Rules::of(version);
        let (mut same, mut skipped, mut different) = (0, Vec::new(), Vec::new());
        for (p, answer) in programs.iter().zip(lines(&folder, &format!("kernel-{version}"))) {
            if answer["verdict"] != "accept" {
                continue;
            }
            match compare_one(p, &answer, &rules) {
                Outcome::NotComparable => skipped.push(p.name.as_str()),
                Outcome::Same => same += 1,
                Outcome::Different(how) => different.push(format!("{} {how}", p.name)),
            }
        }
        eprintln!("{version}: {same} the same, {} different, {} not comparable", different.len(), skipped.len());
        for d in different.iter().take(8) {
            eprintln!("  {d}");
        }
        eprintln!("  not comparable: {:?}", skipped.iter().take(8).collect::<Vec<_>>());
        assert!(different.is_empty() && same > 100 * skipped.len().max(1), "{version}");
    }
}
