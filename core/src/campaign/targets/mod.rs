//! The fuzz targets as functions: any bytes in, a panic when a property does not hold. The crate `fuzz` holds one thin file
//! for each; tests call them as well.

mod cases;
mod derived;
mod domain;
mod readers;
mod whole;

pub use cases::{canary, equivalence, reduce, stack, verify};
pub use derived::{explain, late, log, writers};
pub use domain::domain;
pub use readers::{answers, btf, lists, objects, recordings, roundtrip};
pub use whole::program;

use super::case::Envelope;
use crate::generator;
use crate::program::{Program, text};
use arbitrary::{Arbitrary, Unstructured};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::fmt;

/// A case as a fuzzer hands it over; shown as assembly.
pub struct Input(pub Program);

impl<'a> Arbitrary<'a> for Input {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Input> {
        let bytes = u.bytes(u.len())?;
        Ok(Input::from_bytes(bytes))
    }

    fn arbitrary_take_rest(u: Unstructured<'a>) -> arbitrary::Result<Input> {
        Ok(Input::from_bytes(u.take_rest()))
    }
}

impl Input {
    /// The case of a fuzzer's bytes; total.
    pub fn from_bytes(bytes: &[u8]) -> Input {
        Input(Envelope::from_bytes(bytes).case().program)
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::write(&self.0))
    }
}

/// A target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, which its file in `fuzz/fuzz_targets` has too.
    pub name: &'static str,
    /// The folder below `corpus/seeds` that it starts from.
    pub seeds: &'static str,
    /// Whether a replay of the corpus runs it on its seeds: the others take too long, or are made to fail.
    pub replayed: bool,
    /// The target over the bytes of an input.
    pub run: fn(&[u8]),
}

const fn over_bytes(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, seeds: name, replayed: true, run }
}

const fn over_cases(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, seeds: "case", replayed: true, run }
}

/// All targets.
pub const TARGETS: [Target; 17] = [
    over_cases("verify", |bytes| verify(&Input::from_bytes(bytes))),
    over_cases("equivalence", |bytes| equivalence(&Input::from_bytes(bytes))),
    over_cases("stack", |bytes| stack(&Input::from_bytes(bytes))),
    over_cases("late", |bytes| late(&Input::from_bytes(bytes))),
    over_cases("log", |bytes| log(&Input::from_bytes(bytes))),
    over_cases("writers", |bytes| writers(&Input::from_bytes(bytes))),
    Target { replayed: false, ..over_cases("explain", |bytes| explain(&Input::from_bytes(bytes))) },
    Target { replayed: false, ..over_cases("reduce", |bytes| reduce(&Input::from_bytes(bytes))) },
    Target { replayed: false, ..over_cases("canary", |bytes| canary(&Input::from_bytes(bytes))) },
    over_bytes("domain", domain),
    over_bytes("roundtrip", roundtrip),
    over_bytes("program", program),
    over_bytes("objects", objects),
    over_bytes("btf", btf),
    over_bytes("answers", answers),
    over_bytes("recordings", recordings),
    over_bytes("lists", lists),
];

/// The targets that a replay runs on the seeds of a folder below `corpus/seeds`; none for a folder that is not known.
pub fn of_seeds(folder: &str) -> impl Iterator<Item = &'static Target> {
    TARGETS.iter().filter(move |t| t.replayed && t.seeds == folder)
}

/// A mutation of a stored program's instructions, or of the program that a Spec stands for; `None` to leave it to the
/// fuzzer, whose changes of the bytes are changes of the Spec.
pub fn mutated(bytes: &[u8], seed: u32) -> Option<Vec<u8>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed.into());
    let stored = bytes.first() == Some(&b'{');
    if !rng.random_ratio(if stored { 7 } else { 1 }, 8) {
        return None;
    }
    let mut program = Envelope::from_bytes(bytes).case().program;
    for _ in 0..rng.random_range(1..4) {
        generator::mutate_program(&mut program, &mut rng);
    }
    Some(Envelope::store(&program))
}
