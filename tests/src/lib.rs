//! Shared parts of the data-driven runners.

pub mod cases;
pub mod facts;
pub mod labels;
pub mod log_lines;
