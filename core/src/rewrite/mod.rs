//! The rewrite of an accepted program: loops inlined, then dead branches, dead code and nops gone, in the kernel's order.

mod result;

pub use result::{InlinedLoop, Rewritten};
