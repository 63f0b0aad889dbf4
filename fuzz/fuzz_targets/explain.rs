//! `loopdiff::campaign::targets::explain`.
#![no_main]

loopdiff_fuzz::case_target!(explain);
