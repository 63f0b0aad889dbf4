//! `loopdiff::campaign::targets::reduce`.
#![no_main]

loopdiff_fuzz::case_target!(reduce);
