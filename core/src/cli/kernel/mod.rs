//! `loopdiff kernel`: real kernels in guests.

mod campaign;
mod columns;
mod comparison;
mod confirm;
mod fetch;
pub(super) mod guests;
mod list;
mod parity;
mod record;
mod reduce;
mod report;
mod run;

pub(super) use campaign::{Kernels, Sample};
pub(super) use guests::Guests;

use super::exit::{Exit, Failure};
use super::output::Output;
use clap::Subcommand;

/// Arguments of `kernel`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Download Debian's kernels into the cache.
    Fetch(fetch::Args),
    /// The kernels in the cache.
    List(list::Args),
    /// Load programs, and run those that are accepted.
    Run(run::Args),
    /// Compare the model with kernels, and kernels with each other.
    Parity(parity::Args),
    /// Run a program with its loops inlined and as helper calls, and compare what both leave behind.
    Confirm(confirm::Args),
    /// A smaller program on which kernels still do the same.
    Reduce(reduce::Args),
    /// Write answers into files, for tests without guests.
    Record(record::Args),
}

pub fn main(args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    match &args.command {
        Command::Fetch(args) => fetch::main(args, output),
        Command::List(args) => list::main(args, output),
        Command::Run(args) => run::main(args, output),
        Command::Parity(args) => parity::main(args, output),
        Command::Confirm(args) => confirm::main(args, output),
        Command::Reduce(args) => reduce::main(args, output),
        Command::Record(args) => record::main(args, output),
    }
}
