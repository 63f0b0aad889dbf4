//! Campaigns: many cases, what they came to, and a folder that keeps what was found.

mod files;

pub use files::write_whole;
