//! `loopdiff kernel reduce`: a smaller program on which the same kernels still do the same.

use super::columns::{self, Column};
use super::comparison::compare;
use super::guests::Guests;
use crate::campaign::write_whole;
use crate::cli::exit::{Exit, Failure};
use crate::cli::items;
use crate::cli::options::RulesOption;
use crate::cli::output::{Output, note};
use crate::guest::{Ask, GuestError, Pool};
use crate::program::{Program, text};
use crate::reduce::{self, Budget, Keep};
use std::path::PathBuf;

/// Arguments of `kernel reduce`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Program file with one program.
    #[arg(value_name = "CASE")]
    case: PathBuf,
    #[command(flatten)]
    guests: Guests,
    #[command(flatten)]
    rules: RulesOption,
    /// What must stay: a signature as `kernel parity` shows it, or the beginning of one [default: the first].
    #[arg(long, value_name = "SIGNATURE")]
    signature: Option<String>,
    /// File to write [default: standard output].
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Candidates that the guests are asked about.
    #[arg(long, value_name = "N", default_value_t = 400)]
    attempts: u32,
}

pub fn main(args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let programs: Vec<Program> = items::load(std::slice::from_ref(&args.case), output)?
        .into_iter()
        .filter_map(|item| item.into_program())
        .collect();
    let [program] = programs.as_slice() else {
        return Err(Failure::Usage(format!(
            "one program is reduced; {} holds {}",
            args.case.display(),
            programs.len()
        )));
    };
    args.rules.check_for_kernels()?;
    let pool = args.guests.start()?;
    let columns = columns::of_pool(&pool, &args.rules);
    let found = signatures(program, &pool, &columns).map_err(Failure::from)?;
    let begins = |signature: &&String| args.signature.as_ref().is_none_or(|start| signature.starts_with(start));
    let Some(kept) = found.iter().find(begins) else {
        let found = if found.is_empty() { "none".to_owned() } else { found.join("; ") };
        return Err(Failure::Usage(format!("no such signature; there are: {found}")));
    };
    let mut failed = None;
    let budget = Budget { attempts_max: args.attempts };
    let reduced = reduce::reduce(program, budget, &mut |candidate| match signatures(candidate, &pool, &columns) {
        Ok(found) => Keep::from(found.contains(kept)),
        Err(error) => {
            failed = Some(error);
            Keep::Stop
        }
    });
    if let Some(error) = failed {
        return Err(error.into());
    }
    note(format_args!("kept:   {kept}"));
    note(format_args!("before: {}", reduced.before));
    note(format_args!("after:  {}, {} attempts", reduced.after, reduced.attempts));
    let text = text::write(&reduced.program);
    match &args.out {
        Some(path) => write_whole(path, text.as_bytes()).map_err(|e| Failure::file(path, e))?,
        None => output.bytes(text.as_bytes())?,
    }
    Ok(Exit::Fine)
}

/// What is found out about a program by asking all kernels.
pub fn signatures(program: &Program, pool: &Pool, columns: &[Column<'_>]) -> Result<Vec<String>, GuestError> {
    let answers = pool.answer_all(std::slice::from_ref(program), &Ask::default())?;
    let answers: Vec<_> = answers.into_iter().filter_map(|all| all.into_iter().next()).collect();
    Ok(compare(program, &answers, columns).signatures(columns))
}
