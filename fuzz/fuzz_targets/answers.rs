//! `loopdiff::campaign::targets::answers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| loopdiff::campaign::targets::answers(bytes));
