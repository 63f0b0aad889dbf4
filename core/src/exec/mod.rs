//! The executor: a checked interpreter of original and rewritten programs.
