//! `loopdiff::campaign::targets::objects`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| loopdiff::campaign::targets::objects(bytes));
