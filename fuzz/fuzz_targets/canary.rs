//! `loopdiff::campaign::targets::canary`.
#![no_main]

loopdiff_fuzz::case_target!(canary);
