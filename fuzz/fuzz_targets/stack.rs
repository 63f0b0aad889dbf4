//! `loopdiff::campaign::targets::stack`.
#![no_main]

loopdiff_fuzz::case_target!(stack);
