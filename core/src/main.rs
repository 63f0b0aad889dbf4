//! The command `loopdiff`.

use std::process::ExitCode;

fn main() -> ExitCode {
    loopdiff::cli::main()
}
