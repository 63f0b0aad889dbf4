//! The answers that `--json` gives, as `core/docs/formats.md` has them.

use super::items::Task;
use crate::exec::{End, Outcome};
use crate::isa::Insn;
use crate::kernel::HelperImms;
use crate::oracle::{Finding, Report, Status};
use crate::program::json::to_hex as hex;
use crate::program::{Loaded, Program};
use crate::rewrite::{Rewritten, as_dumped, normalise};
use crate::verifier::{Facts, SiteState};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// Instructions, each as its eight bytes.
pub fn insns_hex(insns: &[Insn]) -> Vec<String> {
    insns.iter().map(|i| hex(&i.to_bytes())).collect()
}

/// One `bpf_loop` call.
#[derive(Serialize)]
struct Loop {
    insn: u32,
    inlined: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    callback: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

/// The line of `verify`.
pub fn verdict(task: &Task<'_>, status: &Status, program: &Program) -> Value {
    let mut line = head(task);
    match status {
        Status::Accepted { facts, rewritten } => {
            line.insert("verdict".into(), "accept".into());
            line.insert("errno".into(), 0.into());
            line.insert("insns_processed".into(), facts.insns_processed.into());
            line.insert("stack_depth".into(), stack_depths(program, facts, rewritten));
            line.insert("loops".into(), json!(loops(program, facts)));
            let dumped = as_dumped(&rewritten.program.insns, &rewritten.layout);
            line.insert("xlated".into(), json!(insns_hex(&normalise(&dumped, HelperImms::NUMBERS))));
        }
        Status::Rejected(rejection) => {
            line.insert("verdict".into(), "reject".into());
            line.insert("errno".into(), rejection.errno.0.into());
            if let Some(at) = rejection.at {
                line.insert("at".into(), at.0.into());
            }
            line.insert("message".into(), rejection.text.as_str().into());
            if let Some(warning) = &rejection.warning {
                line.insert("warning".into(), warning.as_str().into());
            }
            line.insert("insns_processed".into(), rejection.insns_processed.into());
        }
        Status::Unsupported(unsupported) => {
            line.insert("verdict".into(), "unsupported".into());
            if let Some(at) = unsupported.at {
                line.insert("at".into(), at.0.into());
            }
            line.insert("message".into(), unsupported.what.as_str().into());
            if unsupported.spent {
                line.insert("budget_spent".into(), true.into());
            }
        }
    }
    Value::Object(line)
}

/// The line of `verify` or `run` for what is no program for us.
pub fn not_a_program(task: &Task<'_>) -> Value {
    let mut line = head(task);
    line.insert("verdict".into(), "unsupported".into());
    if let Loaded::Unsupported { what, .. } = &task.item.loaded {
        line.insert("message".into(), what.as_str().into());
    }
    Value::Object(line)
}

fn head(task: &Task<'_>) -> Map<String, Value> {
    let mut line = Map::new();
    line.insert("name".into(), task.item.loaded.name().into());
    line.insert("case".into(), task.item.path.display().to_string().into());
    line.insert("rules".into(), task.version.name().into());
    line
}

/// The line of a finding.
pub fn finding(task: &Task<'_>, finding: &Finding) -> Value {
    json!({ "finding": {
        "oracle": finding.class.name(),
        "signature": finding.signature,
        "name": task.item.loaded.name(),
        "rules": task.version.name(),
        "input": finding.input,
        "evidence": finding.evidence,
        "case": task.item.path.display().to_string(),
    }})
}

/// The line that `check` has for a program: the verdict, how many runs were compared, and why others were not.
pub fn checked(task: &Task<'_>, report: &Report, program: &Program) -> Value {
    let mut line = verdict(task, &report.status, program);
    if let Some(fields) = line.as_object_mut() {
        fields.remove("xlated");
        fields.insert("compared".into(), report.compared.into());
        let not_compared = report.vacuous.iter().map(|why| Value::from(why.to_string()));
        fields.insert("not_compared".into(), not_compared.collect());
        let signatures = report.findings.iter().map(|f| Value::from(f.signature.as_str()));
        fields.insert("findings".into(), signatures.collect());
    }
    line
}

/// The stack of each subprogram after the rewrite; those that were removed as they were before.
fn stack_depths(program: &Program, facts: &Facts, rewritten: &Rewritten) -> Value {
    let mut depths = Map::new();
    for (n, depth) in facts.stack_depth.iter().enumerate() {
        let start = facts.layout.starts().get(n).copied().unwrap_or_default();
        let name = program.func_name(start).map_or_else(|| format!("sub{n}"), str::to_owned);
        depths.insert(name, (*depth).into());
    }
    for (n, depth) in rewritten.stack_depth.iter().enumerate() {
        let start = rewritten.layout.starts().get(n).copied().unwrap_or_default();
        let original = rewritten.origin.get(start.at()).map(|at| facts.layout.containing(*at));
        let Some(original) = original else { continue };
        let start = facts.layout.start(original);
        let name = program.func_name(start).map_or_else(|| format!("sub{}", original.0), str::to_owned);
        depths.insert(name, (*depth).into());
    }
    Value::Object(depths)
}

fn loops(program: &Program, facts: &Facts) -> Vec<Loop> {
    facts
        .loops
        .iter()
        .map(|site| {
            let (inlined, callback, why) = match site.state {
                SiteState::Fit(callback) => (true, Some(super::verify::subprog_name(program, facts, callback)), None),
                SiteState::Unfit(why) => (false, None, Some(why.to_string())),
                SiteState::NeverReached => (false, None, Some("never reached".to_owned())),
            };
            Loop { insn: site.insn.0, inlined, callback, why }
        })
        .collect()
}

/// The line that `check` has for a program on which we panic.
pub fn failed(task: &Task<'_>, panic: &Finding) -> Value {
    let mut line = head(task);
    line.insert("verdict".into(), "internal".into());
    line.insert("message".into(), panic.evidence.as_str().into());
    line.insert("findings".into(), json!([panic.signature]));
    Value::Object(line)
}

/// The line of `run`.
pub fn runs(task: &Task<'_>, report: &Report) -> Value {
    let mut line = head(task);
    let (verdict, message) = match &report.status {
        Status::Accepted { .. } => ("accept", None),
        Status::Rejected(rejection) => ("reject", Some(rejection.text.as_str())),
        Status::Unsupported(unsupported) => ("unsupported", Some(unsupported.what.as_str())),
    };
    line.insert("verdict".into(), verdict.into());
    if let Some(message) = message {
        line.insert("message".into(), message.into());
    }
    let runs = report.runs.iter().enumerate().map(|(n, pair)| {
        let differs = report.findings.iter().any(|f| f.input == Some(n));
        json!({
            "input": n,
            "helper": outcome(&pair.original),
            "inlined": outcome(&pair.rewritten),
            "equal": !differs && pair.original.is_final() && pair.rewritten.is_final(),
        })
    });
    line.insert("runs".into(), Value::Array(runs.collect()));
    Value::Object(line)
}

fn outcome(outcome: &Outcome) -> Value {
    let mut line = Map::new();
    let name = match &outcome.end {
        End::Returned(r0) => {
            line.insert("r0".into(), format!("{r0:016x}").into());
            "returned"
        }
        End::Trapped(trap) => {
            line.insert("trap".into(), format!("instruction {}: {}", trap.at, trap.kind).into());
            "trapped"
        }
        End::OutOfFuel => "out-of-fuel",
        End::Unsupported(what) => {
            line.insert("unsupported".into(), what.as_ref().into());
            "unsupported"
        }
    };
    line.insert("outcome".into(), name.into());
    line.insert("ctx".into(), hex(&outcome.ctx).into());
    if !outcome.packet.is_empty() {
        line.insert("packet".into(), hex(&outcome.packet).into());
    }
    line.insert("maps".into(), outcome.maps.iter().map(|m| Value::from(hex(m))).collect());
    line.insert("insns".into(), outcome.insns.into());
    Value::Object(line)
}
