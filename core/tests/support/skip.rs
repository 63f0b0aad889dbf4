//! Tests that cannot run here: a skipped test is no passed test, so each says so in a line of its own.
//!
//! `skipped: TEST: why` goes to standard error and to the file `$LOOPDIFF_SKIPS`, which `scripts/test` shows at its end. What
//! `$LOOPDIFF_DEMAND` lists (`clang,llvm,cc,qemu,kernels`) must be there: then the test fails.

use std::env;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Write};

/// What a test needs, when it was found; otherwise the test is skipped, for the reason that is given, and has to return.
pub fn needed<T>(need: &str, found: Result<T, String>) -> Option<T> {
    match found {
        Ok(found) => Some(found),
        Err(why) => {
            skip(need, &why);
            None
        }
    }
}

/// A folder or file that an environment variable names.
#[allow(dead_code, reason = "not all tests that may be skipped need one")]
pub fn variable(name: &str) -> Result<OsString, String> {
    env::var_os(name).ok_or_else(|| format!("{name} is not set"))
}

fn skip(need: &str, why: &str) {
    let demanded = env::var("LOOPDIFF_DEMAND").unwrap_or_default();
    assert!(!demanded.split(',').any(|demanded| demanded == need), "LOOPDIFF_DEMAND has {need}, but: {why}");
    // The harness names the thread of a test after the test.
    let thread = std::thread::current();
    let line = format!("skipped: {}::{}: {why}\n", env!("CARGO_CRATE_NAME"), thread.name().unwrap_or("?"));
    // Written past the harness, which keeps what a passing test prints to itself.
    let _ = io::stderr().write_all(line.as_bytes());
    if let Some(file) = env::var_os("LOOPDIFF_SKIPS") {
        let file = OpenOptions::new().create(true).append(true).open(&file);
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the list of skipped tests is written");
    }
}
