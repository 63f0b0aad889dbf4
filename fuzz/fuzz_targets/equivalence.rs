//! `loopdiff::campaign::targets::equivalence`.
#![no_main]

loopdiff_fuzz::case_target!(equivalence);
