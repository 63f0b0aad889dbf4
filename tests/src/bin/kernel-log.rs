//! Compares our logs with those of a real kernel in a guest: `kernel-log RELEASE PROGRAMS… [--show N]`, where a release is a series
//! (`6.1`) or a point release (`6.12.95`).
//!
//! Prints the share of lines that are the same, level 2, and the kinds of lines that differ. Addresses of maps are blanked, and
//! lines of parts that we do not write (the traces of the static stack analysis, the report at an error) are counted apart.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use loopdiff::guest::{Ask, Cache, LogLevel, Options, Pool, Runs};
use loopdiff::kernel::{KernelVersion, Rules};
use loopdiff::program::Program;
use loopdiff::verifier::{self, verify_with_log};
use loopdiff_tests::{facts, log_lines};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let show = args.iter().position(|a| a == "--show").map(|n| args.drain(n..).nth(1).unwrap_or_default());
    let show: usize = show.and_then(|n| n.parse().ok()).unwrap_or(0);
    let [version, paths @ ..] = args.as_slice() else {
        eprintln!("usage: kernel-log VERSION PROGRAMS… [--show N]");
        return ExitCode::from(2);
    };
    let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
    match compare(version, &paths, show) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(3)
        }
    }
}

fn compare(version: &str, paths: &[PathBuf], show: usize) -> Result<(), Box<dyn std::error::Error>> {
    let release = version;
    let series = release.split('.').take(2).collect::<Vec<_>>().join(".");
    let version: KernelVersion = series.parse()?;
    let rules = Rules::of(version);
    let programs: Vec<Program> = facts::programs(paths)?;
    let pool = Pool::start(&[Cache::of_user()?.find(release)?], Options::default())?;
    let ask = Ask { log: LogLevel::Full, log_bytes_max: 8 << 20, runs: Runs::None, ..Ask::default() };
    let answers = pool.answer(0, &programs, &ask)?;
    let (mut lines, mut same, mut whole, mut other) = (0, 0, 0, 0);
    let mut kinds: BTreeMap<String, (usize, String)> = BTreeMap::new();
    for (program, answer) in programs.iter().zip(&answers) {
        let theirs = log_lines::of_kernel(&answer.log);
        other += theirs.left_out;
        let ours = log_lines::of_ours(&verify_with_log(program, &rules, verifier::LogLevel::All).1);
        let pairs = log_lines::align(&ours, &theirs.lines);
        lines += theirs.lines.len().max(ours.len());
        same += pairs.iter().filter(|p| p.is_same()).count();
        whole += usize::from(pairs.iter().all(log_lines::Pair::is_same));
        for pair in pairs.iter().filter(|p| !p.is_same()) {
            let kind = kinds.entry(pair.kind()).or_default();
            kind.0 += 1;
            if kind.1.is_empty() {
                kind.1 = format!("{}: {}", program.name, pair.shown());
            }
        }
    }
    println!("kernel {release}: {} programs, {lines} lines, {:.2} % the same", programs.len(), percent(same, lines));
    println!(
        "logs without any difference: {:.2} %; lines of parts that we do not write: {other}",
        percent(whole, programs.len())
    );
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
    for (kind, (count, example)) in kinds.iter().take(show) {
        println!("{count:>5}  {kind}\n       {example}");
    }
    Ok(())
}

fn percent(part: usize, of: usize) -> f64 {
    100.0 * part as f64 / of.max(1) as f64
}
