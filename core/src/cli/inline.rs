//! `loopdiff inline`: the program before and after its loops are inlined, in one listing.

use super::exit::{Exit, Failure};
use super::items::{self, Style, Task};
use super::json::{insns_hex, not_a_program};
use super::options::Common;
use super::output::{Output, Tone};
use super::verify;
use crate::isa::{Insn, InsnIdx, ListedInsn, listing};
use crate::oracle::{Status, status_within};
use crate::program::{Program, ProgramNames, shown};
use crate::rewrite::Rewritten;
use serde_json::json;
use std::collections::BTreeMap;

/// Arguments of `inline`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    common: Common,
    /// Only the rewritten program, as assembly.
    #[arg(long)]
    after: bool,
}

pub fn main(args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let work = |task: &Task<'_>| {
        let rules = args.common.rules.rules(task.version);
        task.item.program().map(|p| status_within(p, &rules, args.common.memory.budget()))
    };
    let style = if args.after && !args.common.json { Style::Bare } else { Style::of(&args.common) };
    items::each(&args.common, style, output, work, |task, answer, output| {
        let (Some(program), Some(status)) = (task.item.program(), answer) else {
            if args.common.json {
                return output.json(&not_a_program(task));
            }
            return verify::describe_unsupported(&task.item.loaded, output);
        };
        if args.common.json {
            return output.json(&line(program, task, &status));
        }
        if !args.after {
            verify::describe(program, &status, output)?;
        }
        match &status {
            Status::Accepted { rewritten, .. } if args.after => {
                output.line(crate::program::text::write(&rewritten.program).trim_end())
            }
            Status::Accepted { rewritten, .. } => before_and_after(program, rewritten, output),
            _ if args.after => verify::describe(program, &status, output),
            _ => Ok(()),
        }
    })?;
    Ok(Exit::Fine)
}

fn line(program: &Program, task: &Task<'_>, status: &Status) -> serde_json::Value {
    let mut line = super::json::verdict(task, status, program);
    if let (Status::Accepted { rewritten, .. }, Some(fields)) = (status, line.as_object_mut()) {
        let inlined = rewritten
            .inlined
            .iter()
            .map(|l| json!({ "insn": l.site.0, "start": l.start.0, "spill_base": l.spill_base }));
        fields.insert("before".into(), json!(insns_hex(&program.insns)));
        fields.insert("after".into(), json!(insns_hex(&rewritten.program.insns)));
        fields.insert("origin".into(), rewritten.origin.iter().map(|at| at.0).collect());
        fields.insert("sequences".into(), inlined.collect());
    }
    line
}

/// One listing of both programs: a line that stays has both indexes, one that goes is marked `-`, a new one `+`.
fn before_and_after(program: &Program, rewritten: &Rewritten, output: &mut Output) -> Result<(), Failure> {
    let before = listing(&program.insns, &ProgramNames::new(program));
    let after = listing(&rewritten.program.insns, &ProgramNames::new(&rewritten.program));
    let mut by_origin: BTreeMap<InsnIdx, Vec<&ListedInsn>> = BTreeMap::new();
    for line in &after {
        let origin = rewritten.origin.get(line.at.at()).copied().unwrap_or_default();
        by_origin.entry(origin).or_default().push(line);
    }
    output.line(output.paint(Tone::Faint, "      before  after"))?;
    for old in &before {
        let new = by_origin.remove(&old.at).unwrap_or_default();
        match new.as_slice() {
            [same] if is_same(program, old, &rewritten.program, same) => {
                labels(same, output)?;
                output.line(format_args!("      {:>6} {:>6}  {}", old.at.0, same.at.0, shown(&same.text)))?;
            }
            new => {
                if let (Some(func), []) = (&old.func, new) {
                    output.line(output.paint(Tone::Bad, format!("    {}:", shown(func))))?;
                }
                if let Some(first) = new.first() {
                    labels(first, output)?;
                }
                let gone = format!("    - {:>6} {:>6}  {}", old.at.0, "", shown(&old.text));
                output.line(output.paint(Tone::Bad, gone))?;
                for (n, line) in new.iter().enumerate() {
                    if n > 0 {
                        labels(line, output)?;
                    }
                    let come = format!("    + {:>6} {:>6}  {}", "", line.at.0, shown(&line.text));
                    output.line(output.paint(Tone::Good, come))?;
                }
            }
        }
    }
    Ok(())
}

fn labels(line: &ListedInsn, output: &mut Output) -> Result<(), Failure> {
    line.func.iter().chain(&line.label).try_for_each(|label| output.line(format_args!("    {}:", shown(label))))
}

/// Whether an instruction stayed, apart from the distance that it jumps or calls.
fn is_same(before: &Program, old: &ListedInsn, after: &Program, new: &ListedInsn) -> bool {
    let (Some(a), Some(b)) = (before.insn(old.at), after.insn(new.at)) else { return false };
    let distances_apart = |i: Insn| match (i.code & 7, i.code >> 4, i.src()) {
        (5 | 6, 8, 1) => Insn { imm: 0, off: 0, ..i },
        (6, 0, _) => Insn { imm: 0, ..i },
        (5 | 6, ..) => Insn { off: 0, ..i },
        (0, _, 4) if i.is_ld_imm64() => Insn { imm: 0, ..i },
        _ => i,
    };
    old.len == new.len && distances_apart(a) == distances_apart(b)
}
