//! `loopdiff convert`: a program in another format.

use super::exit::{Exit, Failure};
use super::items::{self, Item};
use super::output::{Output, note};
use crate::kernel::{KernelVersion, Rules};
use crate::oracle::{Status, status};
use crate::program::json::Form;
use crate::program::{Loaded, Program, json, shown, text};
use crate::repro::{self, Claims, Load, Selftest};
use serde_json::json;
use std::path::PathBuf;

/// Arguments of `convert`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Program file (.bpf, .json, .jsonl, .o), or a directory of them.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Format to write.
    #[arg(long, value_name = "FORMAT")]
    to: Target,
    /// Style of a selftest.
    #[arg(long, value_name = "STYLE", default_value = "asm")]
    style: Style,
    /// A selftest claims the verdict under the rules of this kernel [default: it claims none].
    #[arg(long, value_name = "VERSION")]
    rules: Option<KernelVersion>,
    /// The files are inputs of the fuzz targets.
    #[arg(long)]
    fuzzer_input: bool,
    /// The program of that name, where there are several.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// File to write [default: standard output]; written whole or not at all.
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// One JSON object a program: what was written, and what the format has no words for.
    #[arg(long)]
    json: bool,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Target {
    /// JSON: an object, or an array of them.
    Json,
    /// JSON, one object a line.
    Jsonl,
    /// Assembly.
    Bpf,
    /// The instructions' bytes, nothing else.
    Raw,
    /// A test of the kernel's own verifier tests, in C.
    Selftest,
}

/// The style of a kernel selftest.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Style {
    /// Inline assembly, as in `progs/verifier_*.c`: a file that compiles alone too.
    Asm,
    /// Arrays of macros, as in `verifier/*.c`: entries of a table.
    Array,
}

pub fn main(args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let mut programs = Vec::new();
    let mut unsupported = 0;
    let items = if args.fuzzer_input { fuzzer_inputs(&args.paths)? } else { items::load(&args.paths, output)? };
    for item in items {
        match item.loaded {
            Loaded::Program(program) if args.name.as_ref().is_none_or(|name| *name == program.name) => {
                programs.push(program);
            }
            Loaded::Program(_) => {}
            Loaded::Unsupported { name, what } => {
                unsupported += 1;
                let (name, what) = (shown(&name), shown(&what));
                note(format_args!("{}: {name}: left out, unsupported: {what}", item.path.display()));
            }
        }
    }
    if programs.is_empty() && (unsupported == 0 || args.name.is_some()) {
        let name = args.name.as_deref().unwrap_or_default();
        return Err(Failure::Usage(format!("no program is called \"{}\"", shown(name))));
    }
    if programs.is_empty() {
        return Err(Failure::Usage("nothing to convert: every program is left out as unsupported".to_owned()));
    }
    let parts = convert(&programs, args)?;
    for part in &parts {
        part.left_out.iter().for_each(|what| note(format_args!("{}: not as the original: {what}", shown(&part.name))));
    }
    let bytes = parts.iter().flat_map(|part| part.bytes.iter().copied()).collect::<Vec<u8>>();
    if let Some(path) = &args.out {
        crate::campaign::write_whole(path, &bytes).map_err(|e| Failure::file(path, e))?;
    }
    if args.json {
        parts.iter().try_for_each(|part| output.json(&part.json(args)))?;
    } else if args.out.is_none() {
        output.bytes(&bytes)?;
    }
    Ok(Exit::Fine)
}

/// A program, or all of them where they make one document, in the new format.
struct Part {
    name: String,
    bytes: Vec<u8>,
    /// What the format has no words for, a sentence each.
    left_out: Vec<String>,
}

impl Part {
    fn exact(programs: &[Program], bytes: Vec<u8>) -> Vec<Part> {
        let name = programs.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join(", ");
        vec![Part { name, bytes, left_out: Vec::new() }]
    }

    fn selftest(program: &Program, selftest: Selftest) -> Part {
        Part { name: program.name.clone(), bytes: selftest.text.into_bytes(), left_out: selftest.left_out }
    }

    /// The line of `--json`; with the text, where that goes to no file and is one.
    fn json(&self, args: &Args) -> serde_json::Value {
        let text = std::str::from_utf8(&self.bytes).ok().filter(|_| args.out.is_none());
        let file = args.out.as_ref().map(|path| path.display().to_string());
        json!({ "converted": { "name": self.name, "file": file, "left_out": self.left_out, "text": text } })
    }
}

/// The cases that inputs of fuzz targets stand for.
fn fuzzer_inputs(paths: &[PathBuf]) -> Result<Vec<Item>, Failure> {
    let read = |path: &PathBuf| {
        let program = items::fuzzer_input(path)?.program;
        Ok(Item { path: path.clone(), loaded: Loaded::Program(program), rules: Vec::new() })
    };
    paths.iter().map(read).collect()
}

fn convert(programs: &[Program], args: &Args) -> Result<Vec<Part>, Failure> {
    let one = || match programs {
        [one] => Ok(one),
        all => {
            let names: Vec<_> = all.iter().map(|p| shown(&p.name)).take(10).collect();
            let hint = format!("one program goes into such a file; choose one with --name: {}", names.join(", "));
            Err(Failure::Usage(hint))
        }
    };
    Ok(match args.to {
        Target::Json => Part::exact(programs, json::write(programs, Form::Document).into_bytes()),
        Target::Jsonl => Part::exact(programs, json::write(programs, Form::Lines).into_bytes()),
        Target::Bpf => Part::exact(programs, text::write(one()?).into_bytes()),
        Target::Raw => Part::exact(programs, repro::raw(one()?)),
        Target::Selftest if args.style == Style::Array => {
            let entry = |p: &Program| Part::selftest(p, repro::selftest_array(p, &claims(p, args.rules)));
            programs.iter().map(entry).collect()
        }
        Target::Selftest => {
            let program = one()?;
            vec![Part::selftest(program, repro::selftest_asm(program, &claims(program, args.rules)))]
        }
    })
}

/// What a selftest claims: the verdict under the rules of a kernel.
fn claims(program: &Program, rules: Option<KernelVersion>) -> Claims {
    let Some(version) = rules else { return Claims::default() };
    let (load, comment) = match status(program, &Rules::of(version)) {
        Status::Accepted { .. } => (Load::Success, format!("Linux {version} accepts it.")),
        Status::Rejected(rejection) => (Load::Failure(rejection.text), format!("Linux {version} rejects it.")),
        Status::Unsupported(what) => (Load::Unsaid, format!("No verdict of Linux {version} is known: {}.", what.what)),
    };
    Claims { comments: vec![comment], load, ..Claims::default() }
}
