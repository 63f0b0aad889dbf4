//! loopdiff: differential testing of `bpf_loop` inlining in the Linux BPF verifier.
//!
//! A [`program`] is verified under the rules of a [`kernel`], its loops are inlined by [`rewrite`], and both forms are run by
//! [`exec`] and compared. Data flow and the direction of dependencies: `core/docs/design.md`.

pub mod bounded;
pub mod btf;
pub mod campaign;
pub mod caught;
pub mod cli;
pub mod domain;
pub mod exec;
pub mod generator;
pub mod guest;
pub mod isa;
pub mod kernel;
pub mod oracle;
pub mod program;
pub mod reduce;
pub mod repro;
pub mod rewrite;
#[cfg(test)]
#[path = "../tests/support/skip.rs"]
mod skip;
pub mod verifier;
mod work;
