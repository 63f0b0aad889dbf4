//! `loopdiff verify`: verdict and facts of the verifier.

use super::exit::{Exit, Failure};
use super::items::{self, Style, Task};
use super::json;
use super::options::{Common, Log};
use super::output::{Output, Tone};
use crate::kernel::Rules;
use crate::oracle::{Status, status_within};
use crate::program::{Loaded, Program, SubprogIdx, shown};
use crate::rewrite::rewrite;
use crate::verifier::{Budget, Facts, LogLevel, Rejection, SiteState, Verdict, notes, verify_within_with_log};

/// Arguments of `verify`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    common: Common,
    /// Fail when a program has another verdict.
    #[arg(long, value_name = "VERDICT")]
    expect: Option<Expected>,
    #[command(flatten)]
    log: Log,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Expected {
    Accept,
    Reject,
}

pub fn main(args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let mut exit = Exit::Fine;
    let work = |task: &Task<'_>| {
        let rules = args.common.rules.rules(task.version);
        let program = task.item.program()?;
        let budget = args.common.memory.budget();
        let log = args.log.level().map(|level| log(program, &rules, level, budget));
        Some((status_within(program, &rules, budget), log))
    };
    items::each(&args.common, Style::of(&args.common), output, work, |task, answer, output| {
        let (answer, log) = answer.unzip();
        let log = log.flatten();
        let accepted = matches!(answer, Some(Status::Accepted { .. }));
        let rejected = matches!(answer, Some(Status::Rejected(_)));
        if args.expect == Some(Expected::Accept) && !accepted || args.expect == Some(Expected::Reject) && !rejected {
            exit = Exit::Found;
        }
        match (&answer, task.item.program()) {
            (Some(status), Some(program)) if args.common.json => {
                let mut line = json::verdict(task, status, program);
                if let Some(line) = line.as_object_mut() {
                    line.extend(log.map(|log| ("log".to_owned(), log.into())));
                    let notes = notes(program, &args.common.rules.rules(task.version));
                    line.extend((!notes.is_empty()).then(|| ("notes".to_owned(), notes.into())));
                }
                output.json(&line)
            }
            (Some(status), Some(program)) => {
                if let Some(log) = log.filter(|log| !log.is_empty()) {
                    output.line(log.trim_end_matches('\n'))?;
                }
                describe(program, status, output)?;
                describe_notes(program, &args.common.rules.rules(task.version), output)
            }
            _ if args.common.json => output.json(&json::not_a_program(task)),
            _ => describe_unsupported(&task.item.loaded, output),
        }
    })?;
    Ok(exit)
}

/// The log of a program; a refusal by the rewrite stands at its end.
fn log(program: &Program, rules: &Rules, level: LogLevel, budget: Budget) -> String {
    let (verdict, mut text) = verify_within_with_log(program, rules, level, budget);
    if let Verdict::Accepted(facts) = verdict
        && let Err(rejection) = rewrite(program, &facts, rules)
    {
        text.push_str(&rejection.text);
        text.push('\n');
    }
    text
}

/// Why a program of an object file is none for us.
pub fn describe_unsupported(loaded: &Loaded, output: &mut Output) -> Result<(), Failure> {
    let Loaded::Unsupported { what, .. } = loaded else { return Ok(()) };
    let word = output.paint(Tone::Notable, "unsupported");
    output.line(format_args!("  {word}: {}", shown(what)))
}

/// What a loader decided for the program, a line each.
pub fn describe_notes(program: &Program, rules: &Rules, output: &mut Output) -> Result<(), Failure> {
    let word = output.paint(Tone::Faint, "note");
    notes(program, rules).iter().try_for_each(|note| output.line(format_args!("  {word}: {note}")))
}

/// A status as people read it.
pub fn describe(program: &Program, status: &Status, output: &mut Output) -> Result<(), Failure> {
    match status {
        Status::Accepted { facts, rewritten } => {
            let word = output.paint(Tone::Good, "accepted");
            output.line(format_args!(
                "  {word}: {} instructions, {} walked; {} after the rewrite",
                program.insns.len(),
                facts.insns_processed,
                rewritten.program.insns.len()
            ))?;
            output.line(format_args!("  stack: {}", stack(program, facts)))?;
            loops(program, facts, output)
        }
        Status::Rejected(rejection) => describe_rejection(program, rejection, output),
        Status::Unsupported(unsupported) => {
            let word = output.paint(Tone::Notable, "unsupported");
            let place = unsupported.at.map(|at| format!(" at instruction {at}")).unwrap_or_default();
            output.line(format_args!("  {word}{place}: {}", shown(&unsupported.what)))
        }
    }
}

fn describe_rejection(program: &Program, rejection: &Rejection, output: &mut Output) -> Result<(), Failure> {
    let word = output.paint(Tone::Bad, "rejected");
    let place = rejection.at.map(|at| format!(" at instruction {at}")).unwrap_or_default();
    output.line(format_args!("  {word}{place}, errno {}: {}", rejection.errno.0, shown(rejection.reason())))?;
    let Some(at) = rejection.at else { return Ok(()) };
    let names = crate::program::ProgramNames::new(program);
    let listing = crate::isa::listing(&program.insns, &names);
    match listing.iter().find(|line| line.at <= at && at.0 < line.at.0 + line.len) {
        Some(line) => output.line(output.paint(Tone::Faint, format!("  {:>5}: {}", line.at, shown(&line.text)))),
        None => Ok(()),
    }
}

fn loops(program: &Program, facts: &Facts, output: &mut Output) -> Result<(), Failure> {
    for site in &facts.loops {
        let place =
            format!("loop at instruction {} in {}", site.insn, shown(&subprog_name(program, facts, site.subprog)));
        let answer = match site.state {
            SiteState::Fit(callback) => {
                let word = output.paint(Tone::Good, "inlined");
                format!("{word}, callback {}", shown(&subprog_name(program, facts, callback)))
            }
            SiteState::Unfit(why) => format!("{}: {why}", output.paint(Tone::Notable, "helper call stays")),
            SiteState::NeverReached => output.paint(Tone::Faint, "never reached"),
        };
        output.line(format_args!("  {place}: {answer}"))?;
    }
    Ok(())
}

/// The name of a subprogram, or its number where it has none.
pub fn subprog_name(program: &Program, facts: &Facts, subprog: SubprogIdx) -> String {
    match program.func_name(facts.layout.start(subprog)) {
        Some(name) => name.to_owned(),
        None if subprog == SubprogIdx::MAIN => "main".to_owned(),
        None => format!("subprogram {}", subprog.0),
    }
}

fn stack(program: &Program, facts: &Facts) -> String {
    let of = |(n, depth): (usize, &u16)| {
        let subprog = SubprogIdx(n as u16);
        let inlined = facts.loops.iter().any(|l| l.subprog == subprog && matches!(l.state, SiteState::Fit(_)));
        let more = if inlined { " + 24" } else { "" };
        format!("{} {depth}{more}", shown(&subprog_name(program, facts, subprog)))
    };
    facts.stack_depth.iter().enumerate().map(of).collect::<Vec<_>>().join(", ")
}
