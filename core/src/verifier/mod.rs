//! The verifier: is the program acceptable under a kernel's rules, and what was learnt on the way.

pub mod structure;
mod verdict;

pub use verdict::{Errno, Facts, LoopSite, Rejection, SiteState, Unfit, Unsupported, Verdict};
