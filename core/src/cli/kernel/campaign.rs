//! `loopdiff fuzz --kernel`: a campaign whose cases also go to real kernels.
//!
//! Every case, or those whose verification shows something new of the model, is asked of all kernels; the model is compared
//! with each, and they with each other. The first case of each signature is kept, made smaller with the guests as the judge.

use super::columns::{self, Column};
use super::comparison::{CHUNK, Comparison};
use super::guests::Guests;
use super::reduce::smaller;
use crate::campaign::{Known, Novelty, make, marks, write_whole};
use crate::cli::exit::{Exit, Failure};
use crate::cli::items;
use crate::cli::options::Jobs;
use crate::cli::output::{Output, note};
use crate::guest::{Ask, Pool};
use crate::kernel::{KernelVersion, Rules};
use crate::program::{Program, json, text};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Which cases guests are asked about.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sample {
    /// All.
    All,
    /// Those whose verification by the model shows what no case before has shown.
    New,
}

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
    /// Which of them guests are asked about.
    pub sample: Sample,
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
        let mut versions: Vec<KernelVersion> = columns.iter().filter_map(|column| column.version).collect();
        versions.dedup();
        let mut cases = Cases { campaign: self, versions, next: 0, novelty: Novelty::new() };
        loop {
            let is_over = || self.time.is_some_and(|time| start.elapsed() >= time) || stop.load(Ordering::Relaxed);
            let programs = cases.chunk(&is_over)?;
            if programs.is_empty() || is_over() {
                break;
            }
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
                "{} cases, {} in guests, {:.0} s, {} signatures",
                cases.next,
                comparison.programs(),
                start.elapsed().as_secs_f64(),
                kept.len()
            ));
            if self.out.is_some() && !new.is_empty() && self.reduce_attempts > 0 {
                note(format_args!("making the cases of {} new signatures smaller", new.len()));
            }
            for (signature, program) in new {
                if let Some(out) = self.out {
                    let folder = self.keep(&pool, &columns, &signature, program, out, &is_over)?;
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
        is_over: &dyn Fn() -> bool,
    ) -> Result<PathBuf, Failure> {
        let folder = out.join("kernel").join(folder_name(signature));
        std::fs::create_dir_all(&folder).map_err(|e| Failure::file(&folder, e))?;
        let write = |name: &str, content: &str| {
            let path = folder.join(name);
            write_whole(&path, content.as_bytes()).map_err(|e| Failure::file(&path, e))
        };
        write("signature.txt", &format!("{signature}\n"))?;
        write("case.json", &json::write(std::slice::from_ref(program), json::Form::Document))?;
        let reduced = smaller(program, signature, self.reduce_attempts, pool, columns, is_over);
        write("case.json", &json::write(std::slice::from_ref(&reduced.program), json::Form::Document))?;
        write("case.bpf", &text::write(&reduced.program))?;
        Ok(folder)
    }
}

/// The cases of a campaign, from the first on.
struct Cases<'a> {
    campaign: &'a KernelCampaign<'a>,
    versions: Vec<KernelVersion>,
    next: u64,
    novelty: Novelty,
}

impl Cases<'_> {
    /// The next ones for the guests; none when there are no more.
    fn chunk(&mut self, is_over: &dyn Fn() -> bool) -> Result<Vec<Program>, Failure> {
        let mut chosen = Vec::new();
        while chosen.len() < CHUNK && !is_over() {
            let left = self.campaign.count.map_or(u64::MAX, |all| all.saturating_sub(self.next));
            let numbers: Vec<u64> = (self.next..).take((CHUNK - chosen.len()).min(left as usize)).collect();
            if numbers.is_empty() {
                break;
            }
            self.next += numbers.len() as u64;
            let made = |number: &u64| make(self.campaign.seed, *number).program;
            if self.campaign.sample == Sample::All {
                chosen.extend(numbers.iter().map(made));
                continue;
            }
            let examined = |number: &u64| {
                let program = made(number);
                let under = |version: &KernelVersion| {
                    let of_version = |mark| format!("{version} {mark}");
                    marks(&program, &Rules::of(*version)).into_iter().map(of_version).collect::<Vec<String>>()
                };
                (self.versions.iter().flat_map(under).collect(), program)
            };
            let novelty = &mut self.novelty;
            items::in_order(&numbers, self.campaign.jobs, examined, |_, (marks, program)| {
                if novelty.add(marks) > 0 {
                    chosen.push(program);
                }
                Ok(())
            })?;
        }
        Ok(chosen)
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
