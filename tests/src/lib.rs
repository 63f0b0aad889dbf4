//! Shared parts of the data-driven runners.
