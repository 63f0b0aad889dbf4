//! What a reader answers when its input cannot be read: where, what, and what to do about it.
//!
//! One type for every way in (`.bpf`, JSON, ELF). A place is as exact as the format allows: a text has lines and columns,
//! an object file has neither.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

/// Input that cannot be read. Shown as `file.bpf:12:5: message`, followed by a line `  hint: …` when there is one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InputError {
    /// The file, where the input came from one.
    pub path: Option<PathBuf>,
    /// Line, from 1.
    pub line: Option<u32>,
    /// Column, from 1, in characters.
    pub column: Option<u32>,
    /// What is wrong: no capital, no full stop.
    pub message: String,
    /// What to write instead, or what there is to choose from.
    pub hint: Option<String>,
}

impl InputError {
    /// An error without a place.
    pub fn new(message: impl Into<String>) -> InputError {
        InputError { path: None, line: None, column: None, message: message.into(), hint: None }
    }

    /// Sets the line, from 1.
    #[must_use]
    pub fn at_line(mut self, line: u32) -> InputError {
        self.line = Some(line);
        self
    }

    /// Sets the column, from 1. It is shown only together with a line.
    #[must_use]
    pub fn at_column(mut self, column: u32) -> InputError {
        self.column = Some(column);
        self
    }

    /// Sets the hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> InputError {
        self.hint = Some(hint.into());
        self
    }

    /// Sets the file.
    #[must_use]
    pub fn in_file(mut self, path: impl AsRef<Path>) -> InputError {
        self.path = Some(path.as_ref().to_owned());
        self
    }
}

/// Text of a file as it may stand in a line for people: control characters are escaped as in Rust, so that a name can neither give
/// orders to a terminal nor pretend to be a line of its own.
pub fn shown(text: &str) -> Cow<'_, str> {
    if !text.contains(is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_escaped(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// Control characters, and what turns the direction of text or has no width.
fn is_escaped(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = &self.path {
            write!(f, "{}:", shown(&path.to_string_lossy()))?;
        }
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
            if let Some(column) = self.column {
                write!(f, "{column}:")?;
            }
        }
        if self.path.is_some() || self.line.is_some() {
            f.write_str(" ")?;
        }
        f.write_str(&shown(&self.message))?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {}", shown(hint))?;
        }
        Ok(())
    }
}

impl std::error::Error for InputError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_and_not_obeyed() {
        assert!(matches!(shown("größe → 1"), Cow::Borrowed("größe → 1")));
        assert_eq!(shown("a\u{1b}[31m\r\nb\u{7}\u{9b}\u{202e}"), "a\\u{1b}[31m\\r\\nb\\u{7}\\u{9b}\\u{202e}");
        let error = InputError::new("no `a\nb`").in_file("\u{1b}c.bpf").hint("\u{8}");
        assert_eq!(error.to_string(), "\\u{1b}c.bpf: no `a\\nb`\n  hint: \\u{8}");
    }

    #[test]
    fn shows_as_much_of_the_place_as_is_known() {
        let bare = InputError::new("not a program");
        assert_eq!(bare.to_string(), "not a program");
        let full = bare.clone().at_column(5).at_line(12).in_file("a.bpf").hint("write `exit`");
        assert_eq!(full.to_string(), "a.bpf:12:5: not a program\n  hint: write `exit`");
        assert_eq!(bare.clone().at_line(3).to_string(), "3: not a program");
        assert_eq!(bare.clone().in_file("a.o").to_string(), "a.o: not a program");
        assert_eq!(bare.at_column(5).to_string(), "not a program");
    }
}
