//! Shared parts of the data-driven runners.

pub use loopdiff::campaign::cases;

pub mod facts;
pub mod labels;
pub mod log_lines;
#[path = "../../core/tests/support/skip.rs"]
pub mod skip;
