//! The executor against recorded runs of real kernels.
//!
//! `LOOPDIFF_LABELS` names a directory with `programs.jsonl.gz` and `kernel-VERSION.jsonl.gz`, as `corpus/` describes them.
//! Every accepted program is run in its original form, with all the stack that a frame can have, on every input, and
//! return value, maps and context are compared with what the kernel gave. Bytes that come from addresses are left out.

#![allow(clippy::print_stderr, reason = "says what differs")]

use flate2::read::GzDecoder;
use loopdiff::exec::{
    AddressMask, Detail, End, Event, ExecRules, Form, Image, LAYOUT_SEEDS, Limits, Machine, Outcome, UninitStackRead,
};
use loopdiff::isa::Insn;
use loopdiff::kernel::{KernelVersion, Rules, ctx};
use loopdiff::program::{Input, Layout, MapDef, Program};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// How many runs of a thousand have to agree.
const AGREE_PER_MILLE: usize = 998;

#[test]
#[ignore = "needs recordings that are in no checkout: LOOPDIFF_LABELS=FOLDER cargo test -- --ignored"]
fn agrees_with_recorded_kernels() {
    let dir = std::env::var_os("LOOPDIFF_LABELS").expect("LOOPDIFF_LABELS");
    let dir = Path::new(&dir);
    let programs: Vec<Program> = lines(&dir.join("programs.jsonl.gz")).iter().map(program).collect();
    for version in KernelVersion::ALL {
        let answers = lines(&dir.join(format!("kernel-{version}.jsonl.gz")));
        let tally = compare_all(&programs, &answers, &Rules::of(version));
        eprintln!("{version}: {tally:?}");
        let uncompared = ["addresses decide the way", "a failed loop"].iter().filter_map(|c| tally.get(c));
        let (same, total) = (tally["same"], tally.values().sum::<usize>() - uncompared.sum::<usize>());
        assert!(same * 1000 >= total * AGREE_PER_MILLE, "{version}: {same} of {total} runs agree");
    }
}

fn exec_rules(program: &Program, rules: &Rules) -> ExecRules {
    ExecRules {
        // All of these let privileged programs read stack bytes that nobody wrote, 6.1.192 by a backport.
        uninit_stack_read: UninitStackRead::Masked,
        frames_max: rules.walk.frames_max as u8,
        packet_end: ctx::packet_end(program.prog_type, rules),
    }
}

fn compare_all(programs: &[Program], answers: &[Value], rules: &Rules) -> BTreeMap<&'static str, usize> {
    let mut machine = Machine::new();
    let mut tally = BTreeMap::from([("same", 0)]);
    assert_eq!(programs.len(), answers.len());
    for (program, answer) in programs.iter().zip(answers) {
        if answer["verdict"] != "accept" {
            continue;
        }
        let layout = Layout::of(program);
        let depth = vec![512; layout.len()];
        let form = Form {
            program,
            layout: &layout,
            stack_depth: &depth,
            own_depth: &depth,
            subprogs: &[],
            references: &[],
            sites: &[],
        };
        let image = Image::new(&form, &exec_rules(program, rules)).expect("an accepted program");
        for (input, run) in program.inputs.iter().zip(answer["runs"].as_array().expect("runs")) {
            let runs = LAYOUT_SEEDS.map(|layout_seed| {
                machine.run(&image, input, &Limits { fuel: 200_000_000, layout_seed, detail: Detail::Full })
            });
            let class = match compare(&runs, run) {
                "return value" | "maps" | "context" if failed_loop(&runs[0]) => "a failed loop",
                class => class,
            };
            *tally.entry(class).or_default() += 1;
            if !matches!(class, "same" | "addresses decide the way" | "a failed loop") {
                let (ours, kernel) = (&runs[0].end, &run["retval"]);
                eprintln!("{} {}: {class}: ours {ours}, kernel {kernel}", program.name, program.prog_type);
            }
        }
    }
    tally
}

/// Whether a loop ended with -E2BIG: 64 bits of it from the helper that we run, 32 bits from the loop that the kernel ran.
fn failed_loop(run: &Outcome) -> bool {
    run.trace.events.iter().any(|e| matches!(e, Event::LoopEnd { regs: [r0, ..], .. } if *r0 as i64 == -7))
}

/// Where a run of ours differs from a kernel's.
fn compare(runs: &[Outcome], kernel: &Value) -> &'static str {
    let ours = &runs[0];
    let mask = AddressMask::of(runs);
    if kernel["err"] != 0 {
        // The kernel refused the input: it is too short for the program.
        return if matches!(ours.end, End::Unsupported(_)) { "same" } else { "the kernel refused the input" };
    }
    let r0 = match &ours.end {
        _ if mask.flow => return "addresses decide the way",
        End::Returned(r0) => r0,
        End::Trapped(_) => return "trapped",
        End::OutOfFuel => return "out of fuel",
        End::Unsupported(_) => return "unsupported",
    };
    let retval = kernel["retval"].as_u64().expect("retval") as u32;
    let maps = ours.maps.concat();
    let maps_mask = mask.maps.concat();
    if !same_bytes(&r0.to_le_bytes()[..4], &retval.to_le_bytes(), &mask.r0) {
        "return value"
    } else if !same_bytes(&maps, &hex(&kernel["maps"]), &maps_mask) {
        "maps"
    } else if kernel["ctx"] != "" && !same_bytes(&ours.ctx, &hex(&kernel["ctx"]), &mask.ctx) {
        "context"
    } else {
        "same"
    }
}

fn same_bytes(ours: &[u8], kernel: &[u8], mask: &[bool]) -> bool {
    ours.len() == kernel.len() && ours.iter().zip(kernel).zip(mask).all(|((x, y), masked)| *masked || x == y)
}

fn lines(path: &Path) -> Vec<Value> {
    let reader = BufReader::new(GzDecoder::new(File::open(path).expect("labels")));
    reader.lines().map(|line| serde_json::from_str(&line.expect("gzip")).expect("JSON")).collect()
}

fn hex(text: &Value) -> Vec<u8> {
    let text = text.as_str().unwrap_or_default();
    (0..text.len() / 2).map(|n| u8::from_str_radix(&text[2 * n..2 * n + 2], 16).expect("hex")).collect()
}

fn program(line: &Value) -> Program {
    let number = |v: &Value| v.as_u64().unwrap_or_default() as u32;
    let list = |v: &Value| v.as_array().cloned().unwrap_or_default();
    let insn = |v: &Value| Insn::from_bytes(hex(v).try_into().expect("eight bytes"));
    let map = |m: &Value| MapDef {
        map_type: m["type"].as_str().expect("type").parse().expect("map type"),
        key_size: number(&m["key_size"]),
        value_size: number(&m["value_size"]),
        max_entries: number(&m["max_entries"]),
        flags: number(&m["flags"]),
        init: list(&m["init"]).iter().map(hex).collect(),
        ..MapDef::default()
    };
    Program {
        name: line["name"].as_str().unwrap_or_default().to_owned(),
        prog_type: line["prog_type"].as_str().expect("type").parse().expect("program type"),
        insns: list(&line["insns"]).iter().map(insn).collect(),
        maps: list(&line["maps"]).iter().map(map).collect(),
        inputs: list(&line["inputs"])
            .iter()
            .map(|i| Input { ctx: hex(&i["ctx"]), data: hex(&i["data"]), seed: 0 })
            .collect(),
        ..Program::default()
    }
}
