//! The command `loopdiff`.

fn main() {}
