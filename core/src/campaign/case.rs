//! Cases: by number from a seed, and as stored bytes.

use crate::generator::{self, Features, Spec};
use crate::program::{Program, json};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A program to examine, and what the generator put into it.
#[derive(Clone, Debug)]
pub struct Case {
    /// The program with its inputs.
    pub program: Program,
    /// What is in it; empty for a program that did not come from a Spec alone.
    pub features: Features,
    /// What the program was lowered from, where nothing was changed afterwards: the minimizer starts there.
    pub spec: Option<Box<Spec>>,
}

/// One case in so many has its instructions mutated after it was generated.
const MUTATED_ONE_IN: u32 = 24;

/// Makes a case from a campaign's seed and its number. The same two give the same case.
pub fn make(seed: u64, number: u64) -> Case {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(number);
    let spec = generator::spec_from_seed(rng.random());
    let lowered = generator::lower(&spec);
    let mut program = lowered.program;
    program.name = format!("s{seed}n{number}");
    let mutated = rng.random_ratio(1, MUTATED_ONE_IN);
    if mutated {
        for _ in 0..rng.random_range(1..4) {
            generator::mutate_program(&mut program, &mut rng);
        }
    }
    Case { program, features: lowered.features, spec: (!mutated).then(|| Box::new(spec)) }
}

/// The case that a name in a campaign's tables stands for: `s7n12` is number 12 of seed 7. `None` for other names.
pub fn named(name: &str) -> Option<Case> {
    let (seed, number) = name.strip_prefix('s')?.split_once('n')?;
    let case = make(seed.parse().ok()?, number.parse().ok()?);
    (case.program.name == name).then_some(case)
}

/// What a fuzzer's bytes stand for: a stored program, or the bytes of a Spec.
///
/// A stored program is its JSON, which no Spec starts like on purpose: it outlives every change of the generator.
#[derive(Clone, Debug)]
pub enum Envelope {
    /// A program.
    Program(Box<Program>),
    /// A Spec.
    Spec(Box<Spec>),
}

impl Envelope {
    /// Reads bytes; total.
    pub fn from_bytes(bytes: &[u8]) -> Envelope {
        if bytes.first() == Some(&b'{')
            && let Ok(mut programs) = json::read(bytes, json::Form::Document)
            && let Some(program) = programs.pop()
        {
            return Envelope::Program(Box::new(program));
        }
        Envelope::Spec(Box::new(Spec::from_bytes(bytes)))
    }

    /// The bytes of a program.
    pub fn store(program: &Program) -> Vec<u8> {
        json::write(std::slice::from_ref(program), json::Form::Lines).into_bytes()
    }

    /// The case that it stands for.
    pub fn case(self) -> Case {
        match self {
            Envelope::Program(program) => Case { program: *program, features: Features::default(), spec: None },
            Envelope::Spec(spec) => {
                let lowered = generator::lower(&spec);
                Case { program: lowered.program, features: lowered.features, spec: Some(spec) }
            }
        }
    }
}
