//! `loopdiff::campaign::targets::late`.
#![no_main]

loopdiff_fuzz::case_target!(late);
