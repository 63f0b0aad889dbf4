//! Shared parts of the data-driven runners.

pub mod cases;
pub mod labels;
