//! The programs of a campaign, one a line: `gen_programs SEED COUNT [FROM]`, in the JSON of `docs/formats.md`.
//!
//! What `loopdiff fuzz --seed SEED` examines, for `loopdiff kernel record` and other tools.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use loopdiff::campaign::make;
use loopdiff::program::{Program, json};
use std::process::ExitCode;

fn main() -> ExitCode {
    let numbers: Vec<u64> = std::env::args().skip(1).map_while(|a| a.parse().ok()).collect();
    let [seed, count, rest @ ..] = numbers.as_slice() else {
        eprintln!("usage: gen_programs SEED COUNT [FROM]");
        return ExitCode::from(2);
    };
    let from = rest.first().copied().unwrap_or(0);
    let programs: Vec<Program> = (from..from.saturating_add(*count)).map(|n| make(*seed, n).program).collect();
    print!("{}", json::write(&programs, json::Form::Lines));
    ExitCode::SUCCESS
}
