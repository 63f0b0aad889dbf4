//! A case in forms that others can read and run: kernel selftests in C, assembly, bytes, and a story for people.
//!
//! Stands for the two styles of the verifier's own tests: `progs/verifier_*.c` (functions of inline assembly) and
//! `verifier/*.c` (arrays of macros), 6.1 … 7.3. Everything here is text from plain data: this module knows no oracle.
//!
//! Left out, and said in the text itself where it matters: what a form has no words for, such as the contents of maps before
//! a run in the first style.
//!
//! Invariants: what is written compiles without a warning; compiled, it is the same program to a verifier, but for what the text
//! says that it leaves out.

mod array;
mod array_insn;
mod asm;
mod asm_body;
mod asm_func;
mod asm_maps;
mod left_out;
mod signature;
mod story;
mod words;

#[cfg(test)]
mod tests;

pub use array::{ARRAY_PRELUDE, selftest_array};
pub use asm::selftest_asm;
pub use signature::blank_numbers;
pub use story::{Belief, Side, Story};

use crate::isa::Insn;
use crate::program::{Program, text};

/// A reproduction in C.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Selftest {
    /// The file, or the entry of a table.
    pub text: String,
    /// What the form has no words for, a sentence each; they stand in the text too. Where there are none, what is compiled is the
    /// program.
    pub left_out: Vec<String>,
}

/// What a reproduction claims, besides the program.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Claims {
    /// What this is about, a line each.
    pub comments: Vec<String>,
    /// What the kernel should answer.
    pub load: Load,
    /// What a test run should return.
    pub retval: Option<u32>,
    /// Instructions that must be in the rewritten program, one after another.
    pub expected_insns: Vec<Insn>,
    /// Instructions that must not.
    pub unexpected_insns: Vec<Insn>,
}

/// What the kernel should answer to a load.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Load {
    /// Nothing is claimed; forms that must say something say that it is accepted.
    #[default]
    Unsaid,
    /// It is accepted.
    Success,
    /// It is refused, with this in the log.
    Failure(String),
}

/// The program as assembly, with comments on top. It reads back to the same program.
pub fn bpf(program: &Program, comments: &[String]) -> String {
    let mut out = String::new();
    for line in comments.iter().flat_map(|c| c.lines()) {
        out.push_str("# ");
        out.push_str(line);
        out.push('\n');
    }
    out + &text::write(program)
}

/// The instructions' bytes, as they are loaded.
pub fn raw(program: &Program) -> Vec<u8> {
    program.insns.iter().flat_map(|insn| insn.to_bytes()).collect()
}
