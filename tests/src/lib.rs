//! Shared parts of the data-driven runners.

pub mod labels;
