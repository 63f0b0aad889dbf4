//! `loopdiff::campaign::targets::verify`.
#![no_main]

loopdiff_fuzz::case_target!(verify);
