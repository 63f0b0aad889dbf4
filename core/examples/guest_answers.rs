//! Runs programs (`*.jsonl`) on kernels and prints the answers: `guest_answers FOLDER-FOR-OUTPUT PROGRAMS KERNEL…`
use loopdiff::guest::{Ask, Cache, Options, Pool};
use loopdiff::program::json;
use std::io::Write;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let programs = json::read(&std::fs::read(&args[2])?, json::Form::Lines)?;
    let cache = Cache::of_user();
    for wanted in &args[3..] {
        let start = Instant::now();
        let pool = Pool::start(&[cache.find(wanted)?], Options::default())?;
        eprintln!("{wanted}: up after {:?}", start.elapsed());
        let start = Instant::now();
        let answers = pool.answer(0, &programs, &Ask::default())?;
        let seconds = start.elapsed().as_secs_f64();
        let tally = pool.kernels()[0].tally();
        let n = answers.len() as f64;
        eprintln!(
            "{wanted}: {n} in {seconds:.1} s, {:.0}/s, {:.0}/CPU-s, {tally:?}",
            n / seconds,
            n / tally.cpu_seconds
        );
        let mut out = std::fs::File::create(format!("{}/kernel-{wanted}.jsonl", args[1]))?;
        for answer in &answers {
            writeln!(out, "{}", serde_json::to_string(answer)?)?;
        }
    }
    Ok(())
}
