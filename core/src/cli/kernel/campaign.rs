//! `loopdiff fuzz --kernel`: a campaign whose cases also go to real kernels.
//!
//! Every case is asked of all kernels; the model is compared with each, and they with each other. The first case of each
//! signature is kept, made smaller with the guests as the judge.

use super::columns::{self, Column};
use super::guests::Guests;
use super::parity::{CHUNK, Comparison};
use super::reduce::smaller;
use crate::campaign::{Known, make, write_whole};
use crate::cli::exit::{Exit, Failure};
use crate::cli::options::Jobs;
use crate::cli::output::{Output, note};
use crate::guest::{Ask, Pool};
use crate::program::{Program, json, text};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What such a campaign is.
pub struct KernelCampaign<'a> {
    /// The kernels.
    pub guests: &'a Guests,
    /// Threads that compare.
    pub jobs: Jobs,
    /// Seed of the cases.
    pub seed: u64,
    /// Cases, if bounded.
    pub count: Option<u64>,
    /// Differences between kernels that are known: counted, not kept.
    pub known: &'a Known,
    /// Time, if bounded.
    pub time: Option<Duration>,
    /// Where first cases are kept.
    pub out: Option<&'a Path>,
    /// Candidates that guests are asked about to make a case smaller.
    pub reduce_attempts: u32,
    /// Summaries as JSON.
    pub json: bool,
}

impl KernelCampaign<'_> {
    /// Runs until the limit or until `stop` is set.
    pub fn run(&self, stop: &AtomicBool, output: &mut Output) -> Result<Exit, Failure> {
        let start = Instant::now();
        let pool = self.guests.start()?;
        let columns = columns::of_pool(&pool);
        let mut comparison = Comparison::new(columns.clone(), Some(&pool), self.jobs);
        let mut kept: BTreeMap<String, PathBuf> = BTreeMap::new();
        let mut next = 0;
        loop {
            let over = self.time.is_some_and(|time| start.elapsed() >= time) || stop.load(Ordering::Relaxed);
            let count = self.count.map_or(CHUNK as u64, |all| all.saturating_sub(next).min(CHUNK as u64));
            if over || count == 0 {
                break;
            }
            let programs: Vec<Program> = (next..next + count).map(|n| make(self.seed, n).program).collect();
            next += count;
            let mut new: Vec<(String, &Program)> = Vec::new();
            let by_name: BTreeMap<&str, &Program> = programs.iter().map(|p| (p.name.as_str(), p)).collect();
            let answers = pool.answer_all(&programs, &Ask::default())?;
            comparison.chunk(&programs, answers, |name, compared| {
                for signature in compared.signatures(&columns) {
                    let is_known = self.known.all().iter().any(|known| known.is_between(&signature));
                    if !is_known
                        && !kept.contains_key(&signature)
                        && let Some(program) = by_name.get(name)
                    {
                        kept.insert(signature.clone(), PathBuf::new());
                        new.push((signature, program));
                    }
                }
                Ok(())
            })?;
            note(format_args!(
                "{} cases, {:.0} s, {} signatures",
                comparison.programs(),
                start.elapsed().as_secs_f64(),
                kept.len()
            ));
            for (signature, program) in new {
                if let Some(out) = self.out {
                    let folder = self.keep(&pool, &columns, &signature, program, out)?;
                    kept.insert(signature, folder);
                }
            }
        }
        comparison.report(self.json, 3, output)?;
        Ok(if kept.is_empty() { Exit::Fine } else { Exit::Found })
    }

    /// Keeps the first case of a signature, as it was and made smaller.
    fn keep(
        &self,
        pool: &Pool,
        columns: &[Column<'_>],
        signature: &str,
        program: &Program,
        out: &Path,
    ) -> Result<PathBuf, Failure> {
        let folder = out.join("kernel").join(folder_name(signature));
        std::fs::create_dir_all(&folder).map_err(|e| Failure::file(&folder, e))?;
        let write = |name: &str, content: &str| {
            let path = folder.join(name);
            write_whole(&path, content.as_bytes()).map_err(|e| Failure::file(&path, e))
        };
        write("signature.txt", &format!("{signature}\n"))?;
        write("case.json", &json::write(std::slice::from_ref(program), json::Form::Document))?;
        let reduced = smaller(program, signature, self.reduce_attempts, pool, columns);
        write("case.json", &json::write(std::slice::from_ref(&reduced.program), json::Form::Document))?;
        write("case.bpf", &text::write(&reduced.program))?;
        Ok(folder)
    }
}

/// A signature in letters that a file system takes, not too long.
fn folder_name(signature: &str) -> String {
    let mut name = String::new();
    for c in signature.chars().take(120) {
        let c = if c.is_ascii_alphanumeric() || c == '.' { c.to_ascii_lowercase() } else { '-' };
        if c != '-' || !name.ends_with('-') {
            name.push(c);
        }
    }
    name.trim_matches('-').to_owned()
}
