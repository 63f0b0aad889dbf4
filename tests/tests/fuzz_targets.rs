//! The fuzz targets without a fuzzer: their seeds, and random bytes.

use loopdiff::campaign::Envelope;
use loopdiff::campaign::targets::{self, Input, TARGETS, Target};
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

/// A target by name.
fn target(name: &str) -> &'static Target {
    TARGETS.iter().find(|t| t.name == name).unwrap_or_else(|| panic!("no target {name}"))
}

/// Every `step`-th seed of a target.
fn on_seeds(name: &str, step: usize) {
    let target = target(name);
    let seeds = seeds(target.seeds);
    assert!(!seeds.is_empty(), "{name} has seeds");
    seeds.iter().step_by(step).for_each(|bytes| (target.run)(bytes));
}

/// `scripts/coverage` runs the tests of this name and no others.
mod seeds {
    use super::*;

    macro_rules! on_seeds {
        ($($target:ident $step:literal)*) => {
            $(#[test] fn $target() { on_seeds(stringify!($target), $step) })*

            /// None is left out.
            #[test]
            fn every_target_but_the_canary_has_a_test() {
                let mut tested = vec!["canary", $(stringify!($target)),*];
                let mut all: Vec<_> = TARGETS.iter().map(|t| t.name).collect();
                tested.sort();
                all.sort();
                assert_eq!(tested, all);
            }
        };
    }
    on_seeds! {
        verify 1 equivalence 1 stack 1 late 1 log 4 writers 1 explain 16 reduce 8
        domain 1 roundtrip 1 program 1 objects 1 btf 1 answers 1 recordings 1 lists 1
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

/// Random bytes, and seeds with some bytes changed: what a fuzzer does first.
#[test]
fn random_and_changed_inputs() {
    let counts = [
        ("verify", 200),
        ("equivalence", 200),
        ("stack", 200),
        ("late", 200),
        ("log", 50),
        ("writers", 200),
        ("explain", 5),
        ("reduce", 20),
        ("domain", 3_000),
        ("roundtrip", 500),
        ("program", 2_000),
        ("objects", 200),
        ("btf", 2_000),
        ("answers", 1_000),
        ("recordings", 200),
        ("lists", 1_000),
    ];
    for (n, (name, count)) in (1..).zip(counts) {
        let target = target(name);
        random(n, count).iter().for_each(|bytes| (target.run)(bytes));
        if target.seeds == "case" {
            continue;
        }
        let mut rng = ChaCha8Rng::seed_from_u64(n);
        let seeds = seeds(target.seeds);
        for _ in 0..count {
            let mut bytes = seeds[rng.random_range(0..seeds.len())].clone();
            for _ in 0..rng.random_range(1..6) {
                let at = rng.random_range(0..bytes.len());
                bytes[at] = *[0, 1, 0x7f, 0x80, 0xff, rng.random()].get(rng.random_range(0..6)).expect("six");
            }
            (target.run)(&bytes);
        }
    }
}

/// Each target has its file in `fuzz`, and each file its target.
#[test]
fn files_and_targets_are_the_same() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let files = std::fs::read_dir(folder.join("fuzz_targets")).expect("targets");
    let stem = |e: std::io::Result<std::fs::DirEntry>| {
        e.expect("a file").path().file_stem().expect("a name").to_string_lossy().into_owned()
    };
    let mut files: Vec<_> = files.map(stem).collect();
    let mut names: Vec<_> = TARGETS.iter().map(|t| t.name.to_owned()).collect();
    files.sort();
    names.sort();
    assert_eq!(files, names);
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).expect("a manifest");
    let docs = std::fs::read_to_string(folder.join("../core/docs/fuzzing.md")).expect("the documentation");
    let overnight = std::fs::read_to_string(folder.join("../scripts/overnight")).expect("the script");
    for name in &names {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} in Cargo.toml");
        assert!(docs.contains(&format!("| `{name}` |")), "{name} in fuzzing.md");
        let listed = overnight.lines().find(|l| l.starts_with("targets=(")).is_some_and(|l| {
            l.trim_start_matches("targets=(").trim_end_matches(')').split(' ').any(|word| word == name)
        });
        assert_eq!(listed, name != "canary", "{name} in scripts/overnight");
    }
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
