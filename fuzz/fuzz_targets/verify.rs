//! Placeholder until the campaign exists: decoding is total.
#![no_main]

use libfuzzer_sys::fuzz_target;
use loopdiff::isa::{Insn, decode};

fuzz_target!(|bytes: [u8; 16]| {
    let mut insns = bytes.chunks_exact(8).map(|b| Insn::from_bytes(b.try_into().unwrap_or_default()));
    if let Some(first) = insns.next() {
        let _ = decode(first, insns.next());
    }
});
