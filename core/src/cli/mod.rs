//! The command line: one file a subcommand, reading of paths, rendering of answers and errors.
//!
//! `core/docs/formats.md` is the contract of flags, `--json` and exit codes. Only this room and `campaign` print.

mod bench;
mod check;
mod convert;
mod exit;
mod explain;
mod faults;
mod fuzz;
mod fuzz_report;
mod inline;
mod items;
mod json;
mod kernel;
mod options;
mod output;
mod reduce;
mod replay;
mod report;
mod run;
mod verify;

use clap::{Parser, Subcommand};
use exit::{Exit, Failure};
use output::Output;
use std::process::ExitCode;

/// Differential testing of bpf_loop inlining in the Linux BPF verifier.
#[derive(Parser, Debug)]
#[command(name = "loopdiff", version, max_term_width = 110)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

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

/// Runs the command with the arguments of the process.
pub fn main() -> ExitCode {
    let args = Args::parse();
    let mut output = Output::standard();
    let result = match &args.command {
        Command::Check(args) => check::main(args, &mut output),
        Command::Verify(args) => verify::main(args, &mut output),
        Command::Inline(args) => inline::main(args, &mut output),
        Command::Run(args) => run::main(args, &mut output),
        Command::Explain(args) => explain::main(args, &mut output),
        Command::Fuzz(args) => fuzz::main(args, &mut output),
        Command::Faults(args) => faults::main(args, &mut output),
        Command::Replay(args) => replay::main(args, &mut output),
        Command::Report(args) => report::main(args, &mut output),
        Command::Convert(args) => convert::main(args, &mut output),
        Command::Reduce(args) => reduce::main(args, &mut output),
        Command::Kernel(args) => kernel::main(args, &mut output),
        Command::Bench(args) => bench::main(args, &mut output),
    };
    let result = result.and_then(|exit| output.flush().map(|()| exit));
    match result {
        Ok(exit) => exit.into(),
        Err(Failure::ClosedPipe) => Exit::Fine.into(),
        Err(failure) => {
            output.complain(&failure);
            failure.exit().into()
        }
    }
}
