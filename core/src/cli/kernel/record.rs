//! `loopdiff kernel record`: answers in files, for tests without guests.

use super::guests::{self, Guests};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::Output;
use crate::guest::{Answer, Ask};
use crate::program::{Program, json};
use flate2::{Compression, GzBuilder};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Arguments of `kernel record`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Program files (.bpf, .json, .jsonl, .o), or directories of them.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    guests: Guests,
    /// Where `programs.jsonl.gz` and `kernel-VERSION.jsonl.gz` are written.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

pub fn main(args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let pool = args.guests.start()?;
    fs::create_dir_all(&args.out).map_err(|e| Failure::file(&args.out, e))?;
    let mut programs: Vec<Program> = Vec::new();
    let mut lines: Vec<String> = vec![String::new(); pool.kernels().len()];
    guests::each(&args.paths, &pool, &Ask::default(), |_, program, answers| {
        programs.push(program.clone());
        for (text, answer) in lines.iter_mut().zip(answers) {
            text.push_str(&line(answer)?);
            text.push('\n');
        }
        Ok(())
    })?;
    let programs_text = json::write(&programs, json::Form::Lines);
    write(&args.out.join("programs.jsonl.gz"), &programs_text)?;
    for (kernel, text) in pool.kernels().iter().zip(&lines) {
        let path = args.out.join(format!("kernel-{}.jsonl.gz", kernel.image().label()));
        write(&path, text)?;
        output.line(format_args!("{}  {} answers of {}", path.display(), programs.len(), kernel.facts().release))?;
    }
    Ok(Exit::Fine)
}

fn line(answer: &Answer) -> Result<String, Failure> {
    serde_json::to_string(answer).map_err(|e| Failure::output(e.into()))
}

/// Writes gzip without a time stamp: the same answers give the same file.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let mut zip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    let bytes = zip.write_all(text.as_bytes()).and_then(|()| zip.finish());
    bytes.and_then(|bytes| fs::write(path, bytes)).map_err(|e| Failure::file(path, e))
}
