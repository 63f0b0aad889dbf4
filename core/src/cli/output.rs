//! Standard output and standard error: text for people with colour on a terminal, JSON lines for programs.
//!
//! Whatever comes from a file may hold characters that a terminal obeys. Names and messages are escaped where they are put into a line
//! ([`shown`]); what is left over is escaped here, so that no way out is forgotten. JSON escapes on its own.
//!
//! [`shown`]: crate::program::shown

use super::exit::{Exit, Failure};
use crate::program::shown;
use std::fmt;
use std::io::{self, BufWriter, IsTerminal, Write};

/// Where answers go.
pub struct Output {
    out: Sink,
    err: Sink,
    colour: bool,
    worst: Exit,
    complaints: usize,
}

enum Sink {
    Out(BufWriter<io::Stdout>),
    Err(io::Stderr),
    Text(Vec<u8>),
}

impl Sink {
    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Sink::Out(out) => out,
            Sink::Err(err) => err,
            Sink::Text(text) => text,
        }
    }

    fn into_text(self) -> Vec<u8> {
        match self {
            Sink::Text(text) => text,
            Sink::Out(_) | Sink::Err(_) => Vec::new(),
        }
    }
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

impl Tone {
    const ALL: [Tone; 5] = [Tone::Strong, Tone::Good, Tone::Bad, Tone::Notable, Tone::Faint];

    const fn code(self) -> &'static str {
        match self {
            Tone::Strong => "1",
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Notable => "33",
            Tone::Faint => "2",
        }
    }

    /// What stands for the start of the tone until a line is written: no character of any text.
    const fn mark(self) -> char {
        match self {
            Tone::Strong => '\u{fdd1}',
            Tone::Good => '\u{fdd2}',
            Tone::Bad => '\u{fdd3}',
            Tone::Notable => '\u{fdd4}',
            Tone::Faint => '\u{fdd5}',
        }
    }
}

/// The end of a tone.
const PLAIN: char = '\u{fdd0}';

impl Output {
    /// Standard output, coloured on a terminal unless `NO_COLOR` is set.
    pub fn standard() -> Output {
        let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        let out = Sink::Out(BufWriter::new(io::stdout()));
        Output { out, err: Sink::Err(io::stderr()), colour, worst: Exit::Fine, complaints: 0 }
    }

    /// An output of its own with the same colours, whose text is wanted before it is written.
    pub fn apart(&self) -> Output {
        Output {
            out: Sink::Text(Vec::new()),
            err: Sink::Text(Vec::new()),
            colour: self.colour,
            worst: Exit::Fine,
            complaints: 0,
        }
    }

    /// What was written to an output that is [`apart`](Output::apart).
    pub fn into_text(self) -> Vec<u8> {
        self.out.into_text()
    }

    /// Both outputs as text.
    #[cfg(test)]
    pub fn into_texts(self) -> (String, String) {
        let text = |sink: Sink| String::from_utf8_lossy(&sink.into_text()).into_owned();
        (text(self.out), text(self.err))
    }

    /// A line of text; lines, where it has line breaks.
    pub fn line(&mut self, text: impl fmt::Display) -> Result<(), Failure> {
        let text = self.rendered(&text.to_string());
        self.bytes(text.as_bytes())?;
        self.bytes(b"\n")
    }

    /// Bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.out.writer().write_all(bytes).map_err(Failure::output)
    }

    /// A line of JSON.
    pub fn json(&mut self, value: &impl serde::Serialize) -> Result<(), Failure> {
        let line = serde_json::to_string(value).map_err(|e| Failure::output(e.into()))?;
        self.bytes(line.as_bytes())?;
        self.bytes(b"\n")
    }

    /// Text with its meaning, for a line.
    pub fn paint(&self, tone: Tone, text: impl fmt::Display) -> String {
        if self.colour { format!("{}{text}{PLAIN}", tone.mark()) } else { text.to_string() }
    }

    fn rendered(&self, text: &str) -> String {
        let mut lines: Vec<String> = text.split('\n').map(|line| shown(line).into_owned()).collect();
        if self.colour {
            for line in &mut lines {
                for tone in Tone::ALL {
                    *line = line.replace(tone.mark(), &format!("\x1b[{}m", tone.code()));
                }
                *line = line.replace(PLAIN, "\x1b[0m");
            }
        }
        lines.join("\n")
    }

    /// Writes out what is kept back.
    pub fn flush(&mut self) -> Result<(), Failure> {
        self.out.writer().flush().map_err(Failure::output)
    }

    /// Says on standard error what could not be done; the command goes on, and ends with the failure's exit code at least.
    pub fn complain(&mut self, failure: &Failure) {
        self.mark(failure.exit());
        self.complaints += 1;
        if matches!(failure, Failure::Said(_) | Failure::ClosedPipe) {
            return;
        }
        let _ = self.flush();
        let text = self.rendered(&format!("loopdiff: {failure}"));
        let _ = writeln!(self.err.writer(), "{text}");
    }

    /// Has the command end with this exit code, or a graver one.
    pub fn mark(&mut self, exit: Exit) {
        self.worst = self.worst.max(exit);
    }

    /// How much was complained of.
    pub fn complaints(&self) -> usize {
        self.complaints
    }

    /// The gravest of what came up.
    pub fn worst(&self) -> Exit {
        self.worst
    }
}

/// A line on standard error; if that is closed there is nobody to tell.
pub fn note(text: impl fmt::Display) {
    let text = text.to_string();
    let lines: Vec<_> = text.split('\n').map(shown).collect();
    let _ = writeln!(io::stderr(), "{}", lines.join("\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_colour(colour: bool) -> Output {
        Output { colour, ..Output::standard().apart() }
    }

    #[test]
    fn colour_is_ours_and_escapes_of_others_are_shown() {
        let name = "\u{1b}]0;owned\u{7}\u{1b}[31mred";
        let text = |colour| {
            let mut output = with_colour(colour);
            let painted = output.paint(Tone::Strong, name);
            output.line(format_args!("{painted} {name}\n\nnext")).expect("memory");
            String::from_utf8(output.into_text()).expect("text")
        };
        let escaped = "\\u{1b}]0;owned\\u{7}\\u{1b}[31mred";
        assert_eq!(text(false), format!("{escaped} {escaped}\n\nnext\n"));
        assert_eq!(text(true), format!("\x1b[1m{escaped}\x1b[0m {escaped}\n\nnext\n"));
    }

    #[test]
    fn the_gravest_exit_code_stays() {
        let mut output = with_colour(false);
        output.complain(&Failure::Usage("no such thing".to_owned()));
        assert_eq!(output.worst(), Exit::Input);
        output.mark(Exit::Found);
        assert_eq!(output.worst(), Exit::Input, "a finding does not hide that something could not be read");
        output.mark(Exit::Internal);
        assert_eq!(output.worst(), Exit::Internal);
    }
}
