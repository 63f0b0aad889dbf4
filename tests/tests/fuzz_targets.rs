//! The fuzz targets without a fuzzer: their seeds, and random bytes.

use loopdiff::campaign::Envelope;
use loopdiff::campaign::targets::{self, Input};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::path::Path;

/// The seeds below a folder of `corpus/seeds`, by name.
fn seeds(folder: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus/seeds").join(folder);
    let mut paths: Vec<_> = std::fs::read_dir(&folder).expect("seeds").map(|e| e.expect("a seed").path()).collect();
    paths.sort();
    paths.iter().map(|p| std::fs::read(p).expect("a seed")).collect()
}

/// `count` random inputs.
fn random(seed: u64, count: u32) -> Vec<Vec<u8>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut bytes = || {
        let mut bytes = vec![0; rng.random_range(0..600)];
        rng.fill_bytes(&mut bytes);
        bytes
    };
    (0..count).map(|_| bytes()).collect()
}

fn cases(inputs: Vec<Vec<u8>>) -> impl Iterator<Item = Input> {
    inputs.into_iter().map(|bytes| Input::from_bytes(&bytes))
}

/// `scripts/coverage` runs the tests of this name and no others.
mod seeds {
    use super::*;

    #[test]
    fn roundtrip() {
        seeds("roundtrip").iter().for_each(|bytes| targets::roundtrip(bytes));
    }

    #[test]
    fn domain() {
        seeds("domain").iter().for_each(|bytes| targets::domain(bytes));
    }

    #[test]
    fn verify() {
        cases(seeds("case")).for_each(|case| targets::verify(&case));
    }

    #[test]
    fn equivalence() {
        cases(seeds("case")).for_each(|case| targets::equivalence(&case));
    }

    #[test]
    fn stack() {
        cases(seeds("case")).for_each(|case| targets::stack(&case));
    }

    #[test]
    fn reduce() {
        cases(seeds("case")).step_by(8).for_each(|case| targets::reduce(&case));
    }

    /// What is stored as a program stays that program, whatever becomes of the generator.
    #[test]
    fn cases_are_stored_programs() {
        for bytes in seeds("case") {
            let Envelope::Program(program) = Envelope::from_bytes(&bytes) else { panic!("{:?}", bytes.get(..80)) };
            assert_eq!(Envelope::store(&program).trim_ascii(), bytes.trim_ascii());
        }
    }
}

#[test]
fn roundtrip() {
    random(1, 500).iter().for_each(|bytes| targets::roundtrip(bytes));
}

#[test]
fn domain() {
    random(2, 3_000).iter().for_each(|bytes| targets::domain(bytes));
}

#[test]
fn verify() {
    cases(random(3, 200)).for_each(|case| targets::verify(&case));
}

#[test]
fn equivalence() {
    cases(random(4, 300)).for_each(|case| targets::equivalence(&case));
}

#[test]
fn stack() {
    cases(random(5, 300)).for_each(|case| targets::stack(&case));
}

#[test]
fn reduce() {
    cases(random(6, 20)).for_each(|case| targets::reduce(&case));
}

#[test]
fn the_canary_is_found() {
    let found = cases(random(7, 2_000)).any(|case| std::panic::catch_unwind(|| targets::canary(&case)).is_err());
    assert!(found, "a planted fault is found within 2,000 inputs");
}

#[test]
fn mutations_are_cases_again() {
    let (mut stored, mut again) = (0, 0);
    for (seed, bytes) in (0..).zip(random(8, 200)) {
        if let Some(mutated) = targets::mutated(&bytes, seed) {
            assert!(!Input::from_bytes(&mutated).0.insns.is_empty());
            stored += 1;
            // An edit may come to nothing.
            again += u32::from(targets::mutated(&mutated, seed + 1).is_some_and(|other| other != mutated));
        }
    }
    assert!(stored > 5, "{stored} of the inputs were mutated as programs");
    assert!(again * 2 > stored, "{again} of {stored} programs were mutated again");
}
