//! The verifier: is the program acceptable under a kernel's rules, and what was learnt on the way.
//!
//! Stands for `bpf_check` of `kernel/bpf/verifier.c` (6.1 … 7.3), up to and including `check_max_stack_depth`; what comes after
//! is the [`rewrite`](crate::rewrite). The rooms, in the order in which a program passes them:
//!
//! | room | what it answers |
//! | --- | --- |
//! | `structure` | is this a program at all: fields, subprograms, BTF, control flow |
//! | `liveness` | which registers and slots matter later, before any path is walked (7.0 and later) |
//! | `walker` | all paths, one instruction at a time; `alu`, `branch`, `memory`, `stack`, `call`, `helper` say what each does |
//! | `visit`, `prune` | when a path need not be walked on |
//! | `precision` | which scalars a path relied on |
//! | `depth` | how much stack chains of calls use |
//! | `log` | what a kernel writes down of all this |
//!
//! A loader with all capabilities on a 64-bit little-endian machine with JIT is assumed, so no path is speculative.

mod alu;
mod branch;
mod call;
mod depth;
mod facts;
mod format;
mod helper;
pub mod liveness;
mod log;
mod memory;
mod precision;
mod prune;
mod signature;
mod stack;
mod state;
pub mod structure;
mod tables;
mod text;
mod verdict;
mod visit;
mod walker;

pub use facts::{believed_at, verify, verify_with_log, verify_within, verify_within_with_log};
pub use log::{Believed, LogLevel};
pub use verdict::{Errno, Facts, LoopSite, Rejection, SiteState, Unfit, Unsupported, Verdict};
