//! `loopdiff::campaign::targets::program`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| loopdiff::campaign::targets::program(bytes));
