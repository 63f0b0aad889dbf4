//! Specs from seeds.

use super::spec::Spec;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Bytes that a Spec takes at most, or nearly.
pub const SPEC_BYTES: usize = 704;

/// The Spec of a seed: the same for ever, as the generator of numbers is named by its algorithm (ChaCha8).
pub fn spec_from_seed(seed: u64) -> Spec {
    let mut bytes = [0; SPEC_BYTES];
    ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
    Spec::from_bytes(&bytes)
}
