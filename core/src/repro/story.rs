//! What was found, told so that a reader can follow it without our tools.

use crate::isa::{InsnIdx, listing};
use crate::program::{Program, ProgramNames};
use std::fmt::Write;

/// A finding in plain words.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Story<'a> {
    /// What is wrong, in one line.
    pub title: String,
    /// Signature.
    pub signature: String,
    /// What was compared with what, and what should hold.
    pub compared: String,
    /// Kernels whose rules were used, or that were run.
    pub kernels: Vec<String>,
    /// The first point where the sides part, or what one of them did.
    pub evidence: String,
    /// The sides.
    pub sides: Vec<Side<'a>>,
    /// How to see it again, a command a line.
    pub commands: Vec<String>,
    /// What else is known.
    pub notes: Vec<String>,
}

/// A side of the comparison.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Side<'a> {
    /// What it is called.
    pub name: String,
    /// Its program.
    pub program: &'a Program,
    /// The instruction where it parts from the other side.
    pub mark: Option<InsnIdx>,
    /// How it ended.
    pub result: String,
}

impl Story<'_> {
    /// The story as Markdown.
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        push(&mut out, format_args!("# {}\n\n", one_line(&self.title)));
        let facts = [("signature", &self.signature), ("kernels", &self.kernels.join(", "))];
        for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
            push(&mut out, format_args!("- {name}: {}\n", code(value)));
        }
        section(&mut out, "What was compared", &self.compared);
        section(&mut out, "Where the sides part", &self.evidence);
        for side in &self.sides {
            side.markdown(&mut out);
        }
        if !self.commands.is_empty() {
            push(&mut out, format_args!("\n## To see it again\n\n"));
            fenced(&mut out, &self.commands.join("\n"));
        }
        section(&mut out, "Notes", &self.notes.join("\n\n"));
        out
    }
}

impl Side<'_> {
    fn markdown(&self, out: &mut String) {
        push(out, format_args!("\n## {}\n\n", one_line(&self.name)));
        if !self.result.is_empty() {
            push(out, format_args!("{}\n\n", self.result.trim_end()));
        }
        let mut text = String::new();
        for line in listing(&self.program.insns, &ProgramNames::new(self.program)) {
            for label in line.func.iter().chain(&line.label) {
                push(&mut text, format_args!("{label}:\n"));
            }
            let here = self.mark.is_some_and(|at| (line.at..InsnIdx(line.at.0 + line.len)).contains(&at));
            let mark = if here { "=>" } else { "  " };
            push(&mut text, format_args!("{mark} {:>5}  {}\n", line.at.0, line.text));
        }
        fenced(out, text.trim_end());
    }
}

/// Writing to a text cannot fail.
fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}

fn section(out: &mut String, title: &str, text: &str) {
    if !text.is_empty() {
        push(out, format_args!("\n## {title}\n\n{}\n", text.trim_end()));
    }
}

/// A block of text as it is, whatever quotes it has.
fn fenced(out: &mut String, text: &str) {
    let mut fence = "```".to_owned();
    while text.contains(&fence) {
        fence.push('`');
    }
    push(out, format_args!("{fence}\n{text}\n{fence}\n"));
}

fn code(text: &str) -> String {
    let text = one_line(text);
    if text.contains('`') { text } else { format!("`{text}`") }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
