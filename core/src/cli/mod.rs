//! The command line: one file a subcommand, reading of paths, rendering of answers and errors.
//!
//! `core/docs/formats.md` is the contract of flags, `--json` and exit codes. Only this room and `campaign` print.

mod bench;
mod check;
mod convert;
mod exit;
mod explain;
mod faults;
mod files;
mod fuzz;
mod fuzz_report;
mod inline;
mod items;
mod json;
mod kernel;
mod options;
mod output;
mod reasons;
mod reduce;
mod replay;
mod report;
mod run;
mod verify;

use crate::caught::caught;
use clap::{CommandFactory, Parser, Subcommand};
use exit::{Exit, Failure};
use output::Output;
use std::process::ExitCode;

/// Differential testing of bpf_loop inlining in the Linux BPF verifier.
#[derive(Parser, Debug)]
#[command(name = "loopdiff", version, max_term_width = 100, after_help = EXAMPLES)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  loopdiff check prog.o                     both forms of the programs of an object, compared
  loopdiff check corpus/programs --rules all
  loopdiff verify --log=2 prog.bpf          the log of the kernel's verifier, all paths
  loopdiff fuzz --seconds 60 --out night    a campaign; `loopdiff report night` shows its folder
  loopdiff kernel run prog.o --kernel 6.1,7.3

Exit codes: 0 nothing to report, 1 a finding, 2 input that cannot be used, 3 a guest failed, 70 a mistake of loopdiff's own";

#[derive(Subcommand, Debug)]
enum Command {
    /// Verify, inline, run both forms, and compare them.
    Check(check::Args),
    /// Verdict and facts of the verifier.
    Verify(verify::Args),
    /// The program before and after its loops are inlined.
    Inline(inline::Args),
    /// Run one or both forms and show what they return.
    Run(run::Args),
    /// Which single fact of a kernel turns the answers of neighbouring versions.
    Explain(explain::Args),
    /// A campaign: generate cases, look for findings, keep them.
    Fuzz(fuzz::Args),
    /// A corpus against what is expected of it, as CI does.
    Replay(replay::Args),
    /// A campaign's folder as a page.
    Report(report::Args),
    /// How many cases it takes to notice each planted fault.
    Faults(faults::Args),
    /// Write a program in another format.
    Convert(convert::Args),
    /// Make a case smaller while its finding, or its verdict, stays.
    Reduce(reduce::Args),
    /// Real kernels in guests.
    Kernel(kernel::Args),
    /// What an iteration costs, inlined and as a helper call.
    Bench(bench::Args),
}

/// The command line as clap knows it.
pub fn command() -> clap::Command {
    Args::command()
}

/// Runs the command with the arguments of the process.
pub fn main() -> ExitCode {
    let args = Args::parse();
    end(&mut Output::standard(), |output| run_command(&args.command, output)).into()
}

/// Runs a command to its end: the gravest of what came up is the exit code, and a panic of ours is said with its place.
fn end(output: &mut Output, command: impl FnOnce(&mut Output) -> Result<Exit, Failure>) -> Exit {
    let result = caught(|| command(output)).unwrap_or_else(|panic| Err(Failure::Internal(panic)));
    match result.and_then(|exit| output.flush().map(|()| exit)) {
        Ok(exit) => output.mark(exit),
        Err(failure) => output.complain(&failure),
    }
    output.worst()
}

fn run_command(command: &Command, output: &mut Output) -> Result<Exit, Failure> {
    match command {
        Command::Check(args) => check::main(args, output),
        Command::Verify(args) => verify::main(args, output),
        Command::Inline(args) => inline::main(args, output),
        Command::Run(args) => run::main(args, output),
        Command::Explain(args) => explain::main(args, output),
        Command::Fuzz(args) => fuzz::main(args, output),
        Command::Faults(args) => faults::main(args, output),
        Command::Replay(args) => replay::main(args, output),
        Command::Report(args) => report::main(args, output),
        Command::Convert(args) => convert::main(args, output),
        Command::Reduce(args) => reduce::main(args, output),
        Command::Kernel(args) => kernel::main(args, output),
        Command::Bench(args) => bench::main(args, output),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_ends_with_70_its_place_and_what_to_do() {
        let mut output = Output::standard().apart();
        let exit = end(&mut output, |output| {
            output.line("an answer")?;
            panic!("planted")
        });
        assert_eq!(exit, Exit::Internal);
        let (out, err) = output.into_texts();
        assert_eq!(out, "an answer\n");
        assert!(err.starts_with("loopdiff: internal error: panicked at core/src/cli/mod.rs:"), "{err}");
        assert!(err.contains(": planted\n  hint: ") && err.contains("report"), "{err}");
    }

    #[test]
    fn what_was_complained_of_stays_whatever_the_command_says() {
        let complaint = |exit| {
            let mut output = Output::standard().apart();
            end(&mut output, |output| {
                output.complain(&Failure::Usage("one file".to_owned()));
                Ok(exit)
            })
        };
        assert_eq!([Exit::Fine, Exit::Found, Exit::Guest].map(complaint), [Exit::Input, Exit::Input, Exit::Guest]);
        let mut output = Output::standard().apart();
        assert_eq!(end(&mut output, |_| Err(Failure::ClosedPipe)), Exit::Fine);
    }
}
