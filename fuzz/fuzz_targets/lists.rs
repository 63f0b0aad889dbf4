//! `loopdiff::campaign::targets::lists`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| loopdiff::campaign::targets::lists(bytes));
