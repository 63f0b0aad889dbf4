//! Comparison with what a real 7.3 kernel says at log level 2 (`corpus/kernel/7.3/liveness`).

use super::Branches;
use super::stack::Accesses;
use super::tests::SomeFacts;
use super::*;
use crate::isa::{Insn as Raw, decode, opcode};
use crate::program::subprog_target;
use flate2::read::GzDecoder;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};

fn number(value: &Value) -> u32 {
    value.as_u64().and_then(|n| u32::try_from(n).ok()).expect("a number")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn raw(hex: &Value) -> Raw {
    let bytes = u64::from_str_radix(hex.as_str().expect("hex"), 16).expect("hex").to_be_bytes();
    Raw::from_bytes(bytes)
}

struct Case {
    ops: Vec<Option<Op>>,
    layout: Layout,
    facts: SomeFacts,
}

impl Case {
    fn of(program: &Value) -> Case {
        let insns: Vec<Raw> = list(&program["insns"]).iter().map(raw).collect();
        let mut ops = vec![None; insns.len()];
        let mut starts = BTreeSet::from([InsnIdx(0)]);
        let mut at = 0;
        while at < insns.len() {
            ops[at] = decode(insns[at], insns.get(at + 1).copied()).ok();
            starts.extend(ops[at].as_ref().and_then(|op| subprog_target(InsnIdx(at as u32), op)));
            at += if insns[at].code == opcode::LD_IMM64 { 2 } else { 1 };
        }
        let layout = Layout::from_starts(starts.into_iter().collect(), InsnIdx(insns.len() as u32));
        let sizes = |map: &Value| MapSizes { key: number(&map["key_size"]), value: number(&map["value_size"]) };
        let maps = list(&program["maps"]).iter().map(sizes).collect();
        let globals = list(&program["funcs"]).iter().map(|f| f["linkage"] == "global").collect();
        Case { ops, layout, facts: SomeFacts { maps, globals } }
    }

    fn analyse(&self) -> Result<Liveness, Refused> {
        Liveness::analyse(&Code {
            ops: &self.ops,
            layout: &self.layout,
            facts: &self.facts,
            branches: Branches::Decided,
        })
    }
}

fn mask(hex: &Value) -> u128 {
    u128::from_str_radix(hex.as_str().expect("hex"), 16).expect("hex")
}

fn recorded_accesses(instances: &Value) -> Accesses {
    let mut all = Accesses::new();
    for instance in list(instances) {
        let depth = number(&instance["depth"]) as u8;
        let accesses = all.entry((depth, number(&instance["call"]))).or_default();
        for slots in list(&instance["slots"]) {
            let place = (number(&slots[0]), number(&slots[1]) as usize);
            accesses.insert(place, (mask(&slots[2]), mask(&slots[3])));
        }
    }
    all
}

#[test]
fn a_real_kernel_says_the_same() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../corpus/kernel/7.3/liveness/analysis.jsonl.gz");
    let file = std::fs::File::open(path).expect("the recorded answers");
    let (mut analysed, mut refused) = (0, 0);
    for line in BufReader::new(GzDecoder::new(file)).lines() {
        let answer: Value = serde_json::from_str(&line.expect("a line")).expect("an answer");
        let name = &answer["program"]["name"];
        let flow = Case::of(&answer["program"]).analyse();
        let flow = match (flow, answer.get("errno")) {
            (Err(refusal), Some(errno)) => {
                assert!(matches!(refusal, Refused::TooDeep { .. }) && *errno == 22, "{name}: {refusal}");
                refused += 1;
                continue;
            }
            (Ok(flow), None) => flow,
            (flow, errno) => panic!("{name}: refused {:?}, by the kernel with {errno:?}", flow.err()),
        };
        for place in list(&answer["registers"]) {
            let at = InsnIdx(number(&place[0]));
            let ours = (flow.scc(at), u32::from(flow.live_regs(at) & 0x3ff));
            assert_eq!(ours, (number(&place[1]), number(&place[2])), "{name}: loop and registers before {at}");
        }
        let decided = (0..flow.insns.len() as u32).filter(|at| flow.hardwired(InsnIdx(*at)).is_some());
        let recorded: Vec<u32> = list(&answer["decided"]).iter().map(number).collect();
        assert_eq!(decided.collect::<Vec<_>>(), recorded, "{name}: decided branches");
        assert_eq!(flow.stack.accesses(), recorded_accesses(&answer["instances"]), "{name}: stack");
        analysed += 1;
    }
    assert_eq!((analysed, refused), (380, 12));
}
