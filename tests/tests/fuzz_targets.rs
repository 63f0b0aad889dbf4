//! The fuzz targets without a fuzzer: their seeds, and bytes from a seeded generator.

use loopdiff::campaign::targets::{self, Input};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::path::Path;

/// The seeds of a target, then `count` random inputs.
fn inputs(target: &str, count: u32) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus/seeds").join(target);
    let mut all = Vec::new();
    if let Ok(entries) = std::fs::read_dir(&folder) {
        let mut paths: Vec<_> = entries.map(|e| e.expect("a seed").path()).collect();
        paths.sort();
        all.extend(paths.iter().map(|p| std::fs::read(p).expect("a seed")));
    }
    let mut rng = ChaCha8Rng::seed_from_u64(target.len() as u64);
    for _ in 0..count {
        let mut bytes = vec![0; rng.random_range(0..600)];
        rng.fill_bytes(&mut bytes);
        all.push(bytes);
    }
    all
}

fn cases(target: &str, count: u32) -> impl Iterator<Item = Input> {
    inputs(target, count).into_iter().map(|bytes| Input::from_bytes(&bytes))
}

#[test]
fn roundtrip() {
    inputs("roundtrip", 500).iter().for_each(|bytes| targets::roundtrip(bytes));
}

#[test]
fn domain() {
    inputs("domain", 3_000).iter().for_each(|bytes| targets::domain(bytes));
}

#[test]
fn verify() {
    cases("verify", 200).for_each(|case| targets::verify(&case));
}

#[test]
fn equivalence() {
    cases("equivalence", 300).for_each(|case| targets::equivalence(&case));
}

#[test]
fn stack() {
    cases("stack", 300).for_each(|case| targets::stack(&case));
}

#[test]
fn reduce() {
    cases("reduce", 20).for_each(|case| targets::reduce(&case));
}

#[test]
fn the_canary_is_found() {
    let found = cases("canary", 200).any(|case| std::panic::catch_unwind(|| targets::canary(&case)).is_err());
    assert!(found, "a planted fault is found within 200 inputs");
}

#[test]
fn mutations_are_cases_again() {
    let mut stored = 0;
    for (seed, bytes) in (0..).zip(inputs("equivalence", 200)) {
        if let Some(mutated) = targets::mutated(&bytes, seed) {
            assert!(!Input::from_bytes(&mutated).0.insns.is_empty());
            assert!(targets::mutated(&mutated, seed + 1).is_none_or(|again| again != mutated));
            stored += 1;
        }
    }
    assert!(stored > 5, "{stored} of the inputs were mutated as programs");
}
