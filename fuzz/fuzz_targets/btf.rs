//! `loopdiff::campaign::targets::btf`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| loopdiff::campaign::targets::btf(bytes));
