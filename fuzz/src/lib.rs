//! What the fuzz targets share.

/// A target over cases: bytes that stand for a case, shown as assembly by `cargo fuzz fmt`, and a mutator that edits
/// instructions besides the fuzzer's own, which edits the bytes of Specs.
#[macro_export]
macro_rules! case_target {
    ($target:ident) => {
        libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
            let mutated = loopdiff::campaign::targets::mutated(data.get(..size).unwrap_or_default(), seed);
            match mutated.filter(|m| m.len() <= max_size.min(data.len())) {
                Some(mutated) => {
                    data[..mutated.len()].copy_from_slice(&mutated);
                    mutated.len()
                }
                None => libfuzzer_sys::fuzzer_mutate(data, size, max_size),
            }
        });
        libfuzzer_sys::fuzz_target!(|input: loopdiff::campaign::targets::Input| {
            loopdiff::campaign::targets::$target(&input)
        });
    };
}
