//! Standard output and standard error: text for people with colour on a terminal, JSON lines for programs.

use super::exit::Failure;
use std::fmt;
use std::io::{self, BufWriter, IsTerminal, Write};

/// Where answers go.
pub struct Output {
    out: BufWriter<io::Stdout>,
    colour: bool,
}

/// What a piece of text means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tone {
    /// A heading or a name.
    Strong,
    /// What holds.
    Good,
    /// What does not.
    Bad,
    /// Worth a look.
    Notable,
    /// Less important.
    Faint,
}

impl Output {
    /// Standard output, coloured on a terminal unless `NO_COLOR` is set.
    pub fn standard() -> Output {
        let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        Output { out: BufWriter::new(io::stdout()), colour }
    }

    /// A line of text.
    pub fn line(&mut self, text: impl fmt::Display) -> Result<(), Failure> {
        writeln!(self.out, "{text}").map_err(Failure::output)
    }

    /// Bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.out.write_all(bytes).map_err(Failure::output)
    }

    /// A line of JSON.
    pub fn json(&mut self, value: &impl serde::Serialize) -> Result<(), Failure> {
        let line = serde_json::to_string(value).map_err(|e| Failure::output(e.into()))?;
        self.line(line)
    }

    /// Text with its meaning shown, where there is colour.
    pub fn paint(&self, tone: Tone, text: impl fmt::Display) -> String {
        if !self.colour {
            return text.to_string();
        }
        let code = match tone {
            Tone::Strong => "1",
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Notable => "33",
            Tone::Faint => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// Writes out what is kept back.
    pub fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(Failure::output)
    }

    /// Says on standard error why the command could not do its work.
    pub fn complain(&mut self, failure: &Failure) {
        let _ = self.out.flush();
        note(format_args!("loopdiff: {failure}"));
    }
}

/// A line on standard error; if that is closed there is nobody to tell.
pub fn note(text: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{text}");
}
