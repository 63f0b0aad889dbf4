//! `loopdiff::campaign::targets::writers`.
#![no_main]

loopdiff_fuzz::case_target!(writers);
