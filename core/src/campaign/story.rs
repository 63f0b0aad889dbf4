//! The story of a finding: what was compared, where the sides part, both forms.

use super::work::examine_caught;
use crate::exec::{End, Outcome};
use crate::isa::InsnIdx;
use crate::kernel::Rules;
use crate::oracle::{Class, Examiner, Report, Status};
use crate::program::Program;
use crate::program::json::to_hex;
use crate::repro::{Side, Story};

/// The story of a case's finding, as Markdown.
pub fn of(program: &Program, signature: &str, rules: &Rules, examiner: &mut Examiner) -> String {
    let (report, finding) = match examine_caught(examiner, program, rules) {
        Ok(report) => {
            let finding = report.findings.iter().find(|f| f.signature == signature).cloned();
            (Some(report), finding)
        }
        Err(finding) => (None, Some(finding)),
    };
    let evidence = finding.as_ref().map(|f| f.evidence.clone()).unwrap_or_default();
    let input = finding.as_ref().and_then(|f| f.input);
    let title = finding.as_ref().map_or("a finding that is gone", |f| title(f.class));
    let rewritten = report.as_ref().and_then(|r| match &r.status {
        Status::Accepted { rewritten, .. } => Some(rewritten),
        _ => None,
    });
    let mut sides = vec![Side {
        name: "Helper form".to_owned(),
        program,
        mark: input.and_then(|n| trapped_at(report.as_ref(), n, |pair| &pair.original)),
        result: ended(report.as_ref(), input, |pair| &pair.original),
    }];
    if let Some(rewritten) = rewritten {
        sides.push(Side {
            name: "Inlined form".to_owned(),
            program: &rewritten.program,
            mark: input.and_then(|n| trapped_at(report.as_ref(), n, |pair| &pair.rewritten)),
            result: ended(report.as_ref(), input, |pair| &pair.rewritten),
        });
    }
    let notes = input.and_then(|n| program.inputs.get(n)).map(|input| {
        format!("Input: context `{}`, packet `{}`, seed {}.", to_hex(&input.ctx), to_hex(&input.data), input.seed)
    });
    Story {
        title: title.to_owned(),
        signature: signature.to_owned(),
        compared: COMPARED.to_owned(),
        kernels: vec![rules.version.name().to_owned()],
        evidence,
        sides,
        commands: vec![format!("loopdiff check case.json --rules {}", rules.version)],
        notes: notes.into_iter().collect(),
    }
    .markdown()
}

const COMPARED: &str = "The program with helper calls of `bpf_loop`, and the program as the kernel rewrites it, on the same input: \
    R0 (64 bits), context, packet, maps, helper and callback calls, registers and stack after each loop, and the bounds of \
    every access.";

fn title(class: Class) -> &'static str {
    match class {
        Class::Equivalence => "The inlined loop and the helper call do different things",
        Class::Stack => "A form leaves the stack that was verified",
        Class::Safety => "An accepted program does what it must not",
        Class::Rewrite => "The rewritten program is not a program",
        Class::Internal => "The model contradicts itself",
    }
}

type Pick = fn(&crate::oracle::RunPair) -> &Outcome;

fn ended(report: Option<&Report>, input: Option<usize>, pick: Pick) -> String {
    let pair = report.zip(input).and_then(|(report, n)| report.runs.get(n));
    pair.map_or_else(String::new, |pair| {
        let outcome = pick(pair);
        format!("Ended: {}, after {} instructions.", outcome.end, outcome.insns)
    })
}

fn trapped_at(report: Option<&Report>, input: usize, pick: Pick) -> Option<InsnIdx> {
    match &pick(report?.runs.get(input)?).end {
        End::Trapped(trap) => Some(trap.at),
        _ => None,
    }
}
