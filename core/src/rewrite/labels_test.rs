//! Our rewrite against the dumps of real kernels, where `LOOPDIFF_LABELS` names the folder with the recorded answers.
//!
//! The verifier is not part of this: which sites are inlined, what was never reached and how deep the stack was before are
//! read off the dump; everything else has to follow.

use super::testing::all_fit;
use super::{Comparison, LateError, Rewritten, compare, late_fixups, rewrite};
use crate::isa::Insn;
use crate::kernel::{KernelVersion, MapType, Rules};
use crate::program::{Func, Layout, MapDef, Program};
use crate::verifier::{Facts, SiteState, Unfit};
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
        insn: crate::isa::InsnIdx(number(f, "insn")),
        name: f["name"].as_str().expect("name").to_owned(),
        linkage: Default::default(),
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

/// Stack depths after inlining, by subprogram of the original program.
fn depths(program: &Program, answer: &Value) -> Option<Vec<u16>> {
    let line = answer["stack_line"].as_str().filter(|l| !l.is_empty());
    if let Some(line) = line {
        return line.split('+').map(|n| n.parse().ok()).collect();
    }
    let by_name = answer["stack_by_name"].as_object()?;
    program.funcs.iter().map(|f| Some(by_name.get(&f.name)?.as_u64()? as u16)).collect()
}

/// The facts that a dump stands for, when nothing is dead: every choice of as many sites as were inlined.
fn guesses(program: &Program, depths: &[u16], dump: &[Insn]) -> Vec<Facts> {
    let all = all_fit(program, depths);
    let starts_loop = |w: &&[Insn]| format!("{:?}{:?}", w[0], w[1]) == "b501020000008000b4000000f9ffffff";
    let inlined = dump.windows(2).filter(starts_loop).count() as u32;
    let sites = all.loops.len().min(12);
    let choices = (0u32..1 << sites).filter(|c| c.count_ones() == inlined);
    choices
        .map(|choice| {
            let mut facts = all.clone();
            for (n, l) in facts.loops.iter_mut().enumerate() {
                if choice & 1 << n == 0 {
                    l.state = SiteState::Unfit(Unfit::Flags);
                } else if facts.stack_depth[l.subprog.at()] == depths[l.subprog.at()] {
                    facts.stack_depth[l.subprog.at()] = depths[l.subprog.at()].saturating_sub(24);
                }
            }
            facts
        })
        .collect()
}

enum Outcome {
    NotComparable,
    Same,
    Different(String),
}

fn compare_one(program: &Program, answer: &Value, rules: &Rules) -> Outcome {
    let dump = insns(&answer["xlated"]);
    let Some(depths) = depths(program, answer) else {
        return Outcome::NotComparable;
    };
    if depths.len() != Layout::of(program).len() {
        return Outcome::NotComparable;
    }
    let mut outcome = Outcome::NotComparable;
    for facts in guesses(program, &depths, &dump) {
        let late = match rewrite(program, &facts, rules).map(|r: Rewritten| late_fixups(&r, rules)) {
            Ok(Ok(late)) if late.insns.len() == dump.len() => late,
            Ok(Ok(_)) => continue,
            Ok(Err(LateError::NotModelled { at, what })) => {
                outcome = Outcome::Different(format!("{at}: {what}"));
                continue;
            }
            other => return Outcome::Different(format!("{other:?}")),
        };
        match compare(&late, &dump, rules.rewrite.helper_imms) {
            Comparison::Same { .. } => return Outcome::Same,
            d => outcome = Outcome::Different(format!("{d:?}")),
        }
    }
    outcome
}

#[test]
#[allow(clippy::print_stderr)]
fn dumps_of_real_kernels_agree() {
    let Ok(folder) = std::env::var("LOOPDIFF_LABELS") else {
        eprintln!("skipped: LOOPDIFF_LABELS is not set");
        return;
    };
    let programs: Vec<Program> = lines(&folder, "programs").iter().map(program).collect();
    for version in KernelVersion::ALL {
        let rules = Rules::of(version);
        let (mut same, mut skipped, mut different) = (0, 0, Vec::new());
        for (p, answer) in programs.iter().zip(lines(&folder, &format!("kernel-{version}"))) {
            if answer["verdict"] != "accept" {
                continue;
            }
            match compare_one(p, &answer, &rules) {
                Outcome::NotComparable => skipped += 1,
                Outcome::Same => same += 1,
                Outcome::Different(how) => different.push(format!("{} {how}", p.name)),
            }
        }
        eprintln!("{version}: {same} the same, {} different, {skipped} not comparable", different.len());
        for d in different.iter().take(8) {
            eprintln!("  {d}");
        }
    }
}
