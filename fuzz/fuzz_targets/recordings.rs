//! `loopdiff::campaign::targets::recordings`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| loopdiff::campaign::targets::recordings(bytes));
