//! Tests as data: `.bpf` files with what is expected of them, checked under each kernel that they name.
//!
//! A file becomes kernel × check trials. What is not expected fails as well: another message than the one that is named, a
//! `bpf_loop` call of which nothing is said, a finding. `tests/README.md` is the reference of the format.

mod check;
mod read;

pub use check::{Mismatch, check, checks, examine};
pub use read::{Case, files, read};
