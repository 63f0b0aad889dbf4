//! The command `loopdiff`.

use mimalloc::MiMalloc;
use std::process::ExitCode;

/// A tenth of a campaign's time goes to memory; this allocator halves that.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    loopdiff::cli::main()
}
