//! `loopdiff::campaign::targets::log`.
#![no_main]

loopdiff_fuzz::case_target!(log);
