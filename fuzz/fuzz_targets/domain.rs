//! `loopdiff::campaign::targets::domain`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| loopdiff::campaign::targets::domain(bytes));
