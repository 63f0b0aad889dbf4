//! `loopdiff::campaign::targets::roundtrip`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| loopdiff::campaign::targets::roundtrip(bytes));
