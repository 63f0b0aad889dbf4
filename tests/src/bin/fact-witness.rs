//! Looks for programs that tell a fact's values apart: `fact-witness OUT PROGRAMS… [--only FACT]`.
//!
//! For each fact in which neighbouring kernels differ, the first program whose answer turns when that fact alone is set to the
//! neighbour's value is made small and written to `OUT/FACT.bpf`. Facts that have a file there, and it does its work, are
//! left alone. The test `fact_witnesses` reads such files.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use loopdiff::kernel::{KernelVersion, Rules};
use loopdiff::oracle::{Answer, Aspect};
use loopdiff::program::{Program, text};
use loopdiff::reduce::{Budget, Keep, reduce};
use loopdiff_tests::facts::{self, Step};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Candidates that the minimizer may try.
const ATTEMPTS_MAX: u32 = 1500;

fn main() -> ExitCode {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let only = args.iter().position(|a| a == "--only").map(|n| args.drain(n..).nth(1).unwrap_or_default());
    let [out, sources @ ..] = args.as_slice() else {
        eprintln!("usage: fact-witness OUT PROGRAMS… [--only FACT]");
        return ExitCode::from(2);
    };
    let sources: Vec<PathBuf> = sources.iter().map(PathBuf::from).collect();
    let mut programs = match facts::programs(&sources) {
        Ok(programs) => programs,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    programs.sort_by_key(|p| p.insns.len());
    let old = facts::witnesses(Path::new(out)).unwrap_or_default();
    let answers: Vec<Vec<Answer>> = KernelVersion::ALL
        .iter()
        .map(|v| programs.iter().map(|p| facts::answer(p, &Rules::of(*v), false)).collect())
        .collect();
    for step in facts::steps() {
        let name = &step.difference.name;
        if only.as_ref().is_some_and(|o| o != name) || old.iter().any(|w| facts::tells_apart(&w.program, &step)) {
            continue;
        }
        match search(&programs, &answers, &step) {
            Some((program, aspect)) => {
                let small = shrink(program, &step, aspect);
                println!("{name} {}: {} instructions, {aspect}", step.name(), small.insns.len());
                let path = Path::new(out).join(format!("{name}.{}.bpf", step.to.name()));
                if let Err(error) = std::fs::write(&path, text::write(&small)) {
                    eprintln!("{}: {error}", path.display());
                }
            }
            None => println!("{name} {}: none", step.name()),
        }
    }
    ExitCode::SUCCESS
}

/// The first program that tells the values apart, weightier aspects first.
fn search<'p>(programs: &'p [Program], answers: &[Vec<Answer>], step: &Step) -> Option<(&'p Program, Aspect)> {
    let log = step.is_of_log();
    let mut best: Option<(&Program, Aspect)> = None;
    let mut seen = 0;
    for (from, rules) in step.rules() {
        let version = KernelVersion::ALL.iter().position(|v| *v == from)?;
        for (n, program) in programs.iter().enumerate() {
            if best.is_some() && n > seen + 400 {
                break;
            }
            let plain = if log {
                facts::answer(program, &Rules::of(from), true)
            } else {
                answers.get(version)?.get(n)?.clone()
            };
            let Some(aspect) = facts::difference(&plain, &facts::answer(program, &rules, log)) else { continue };
            if best.is_none_or(|(_, b)| aspect < b) {
                best = Some((program, aspect));
                seen = n;
            }
            if aspect == Aspect::Verdict {
                return best;
            }
        }
    }
    best
}

fn shrink(program: &Program, step: &Step, aspect: Aspect) -> Program {
    let mut keep = |candidate: &Program| Keep::from(facts::tells_apart_in(candidate, step) == Some(aspect));
    reduce(program, Budget { attempts_max: ATTEMPTS_MAX }, &mut keep).program
}
