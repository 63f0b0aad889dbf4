//! What was found, told so that a reader can follow it without our tools, and repeat it with them.

use crate::isa::{InsnIdx, listing};
use crate::program::{Program, ProgramNames};
use std::fmt::Write;

/// A finding in plain words.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Story<'a> {
    /// What is wrong, in a sentence.
    pub title: String,
    /// What identifies the finding: a name and a value each. An empty value is left out.
    pub identity: Vec<(&'static str, String)>,
    /// What was compared with what, and what should hold.
    pub compared: String,
    /// The first point where the sides part, or what one of them did.
    pub evidence: String,
    /// What the verifier believed where it matters.
    pub belief: Belief,
    /// The sides.
    pub sides: Vec<Side<'a>>,
    /// What makes it go away, a sentence each; the first stands for itself, the others are a list.
    pub gone_with: Vec<String>,
    /// How to see it again: what a command shows, and the command.
    pub commands: Vec<(String, String)>,
    /// What else is known.
    pub notes: Vec<String>,
}

/// What the verifier believed at an instruction.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Belief {
    /// Which instruction, and how often the verifier came there.
    pub place: String,
    /// The states, as a kernel's log writes registers and stack slots; a line for each frame.
    pub states: Vec<String>,
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
        for (name, value) in self.identity.iter().filter(|(_, value)| !value.is_empty()) {
            push(&mut out, format_args!("- {name}: {}\n", code(value)));
        }
        section(&mut out, "What was compared", &self.compared);
        section(&mut out, "Where the sides part", &self.evidence);
        section(&mut out, "What the verifier believed", &self.belief.place);
        if !self.belief.states.is_empty() {
            let states: Vec<&str> = self.belief.states.iter().map(|state| state.trim_end()).collect();
            out.push('\n');
            fenced(&mut out, &states.join("\n\n"));
        }
        for side in &self.sides {
            side.markdown(&mut out);
        }
        if let Some((first, others)) = self.gone_with.split_first() {
            section(&mut out, "What makes it go away", first);
            out.push_str(if others.is_empty() { "" } else { "\n" });
            others.iter().for_each(|one| push(&mut out, format_args!("- {}\n", one_line(one))));
        }
        if !self.commands.is_empty() {
            let commands: Vec<String> =
                self.commands.iter().map(|(what, command)| format!("# {}\n{command}", one_line(what))).collect();
            push(&mut out, format_args!("\n## To see it again\n\n"));
            fenced(&mut out, &commands.join("\n"));
        }
        section(&mut out, "Notes", &self.notes.join("\n\n"));
        out
    }
}

impl Story<'_> {
    /// What a reproduction says of the finding, a line each: everything but the sides, which the reproduction is, and the states.
    pub fn comments(&self) -> Vec<String> {
        let mut lines = vec![one_line(&self.title), self.evidence.clone()];
        lines.extend(self.notes.iter().cloned());
        let named = self.identity.iter().filter(|(_, value)| !value.is_empty());
        lines.extend(named.map(|(name, value)| format!("{name}: {}", one_line(value))));
        let (first, others) = self.gone_with.split_first().unzip();
        lines.extend(first.cloned());
        lines.extend(others.into_iter().flatten().map(|one| format!("    {}", one_line(one))));
        for (what, commands) in &self.commands {
            lines.push(one_line(what));
            lines.extend(commands.lines().map(|line| format!("    {line}")));
        }
        lines.retain(|line| !line.is_empty());
        lines
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
