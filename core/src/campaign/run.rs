//! A whole campaign: workers, the order of their blocks, limits, and what is kept.

use super::case::{self, Case};
use super::known::Known;
use super::stats::Stats;
use super::store::{Folder, Kept, State, StoreError};
use super::story::{self, Origin};
use super::work::{BLOCK, Block, Found, Worker, examine_caught};
use crate::kernel::Rules;
use crate::oracle::{Examiner, Options};
use crate::program::Program;
use crate::reduce::{self, Budget, Keep};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};
use thiserror::Error;

/// What a campaign is.
#[derive(Clone, Debug)]
pub struct Config {
    /// Seed of all cases.
    pub seed: u64,
    /// When it ends.
    pub limit: Limit,
    /// Workers.
    pub jobs: usize,
    /// The rule sets.
    pub rules: Vec<Rules>,
    /// How cases are examined.
    pub options: Options,
    /// Known divergences, which are counted apart.
    pub known: Known,
    /// Candidates that are tried to make a finding's case smaller; 0 to keep cases as they are.
    pub reduce_attempts: u32,
}

/// When a campaign ends: whatever comes first; the cases of an earlier start count.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Limit {
    /// Cases.
    pub count: Option<u64>,
    /// Time of this start.
    pub time: Option<Duration>,
}

/// Why a campaign could not go on.
#[derive(Debug, Error)]
pub enum CampaignError {
    /// The folder cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The folder is another campaign's.
    #[error("{folder}: holds a campaign with {what}; use another folder, or the same options to go on with it")]
    Other {
        /// The folder.
        folder: String,
        /// In what the two differ.
        what: String,
    },
}

/// What a campaign came to.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Counts.
    pub stats: Stats,
    /// What was kept, or would have been where there is no folder.
    pub kept: Vec<Kept>,
    /// Seconds, over all starts.
    pub seconds: f64,
    /// Cases of this start, and its seconds.
    pub this_start: (u64, f64),
}

/// A campaign that runs.
pub struct Campaign<'a> {
    config: &'a Config,
    folder: Option<&'a Folder>,
    state: State,
    start: Instant,
    saved: Instant,
    watched: Instant,
    first_case: u64,
    seconds_before: f64,
}

/// Time between two saves of the state.
const SAVE_EVERY: Duration = Duration::from_secs(2);
/// Time between two looks at a campaign: a summary is a copy of all counts.
const WATCH_EVERY: Duration = Duration::from_millis(200);

impl<'a> Campaign<'a> {
    /// Prepares a campaign; with a folder, it goes on where an earlier start stopped.
    ///
    /// # Errors
    ///
    /// When the folder cannot be used, or holds a campaign with other options.
    pub fn new(config: &'a Config, folder: Option<&'a Folder>) -> Result<Campaign<'a>, CampaignError> {
        let names: Vec<String> = config.rules.iter().map(|r| r.version.name().to_owned()).collect();
        let state = match folder {
            Some(folder) => {
                folder.load()?.map(|state| same_campaign(config.seed, &names, state, folder)).transpose()?
            }
            None => None,
        };
        let state = state.unwrap_or_else(|| State::new(config.seed, names));
        let now = Instant::now();
        let (first_case, seconds_before) = (state.next, state.seconds);
        Ok(Campaign { config, folder, state, start: now, saved: now, watched: now, first_case, seconds_before })
    }

    /// Runs until the limit, or until `stop` is set. `watch` is called a few times a second.
    ///
    /// # Errors
    ///
    /// When something cannot be written; what was written before stays.
    pub fn run(mut self, stop: &AtomicBool, watch: &mut dyn FnMut(&Summary)) -> Result<Summary, CampaignError> {
        let next = AtomicU64::new(self.state.next);
        let (send, receive) = mpsc::sync_channel::<(u64, Block)>(64);
        let config = self.config;
        let done = AtomicBool::new(false);
        let result = std::thread::scope(|scope| {
            for _ in 0..config.jobs.max(1) {
                let (send, next, done) = (send.clone(), &next, &done);
                scope.spawn(move || {
                    let examiner = Examiner::new(config.options);
                    let mut worker = Worker { seed: config.seed, rules: &config.rules, known: &config.known, examiner };
                    while !done.load(Ordering::Relaxed) {
                        let first = next.fetch_add(BLOCK, Ordering::Relaxed);
                        let count = config.limit.count.map_or(BLOCK, |all| all.saturating_sub(first).min(BLOCK));
                        if count == 0 || send.send((first, worker.block(first, count, done))).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(send);
            let result = self.collect(&receive, stop, &done, watch);
            done.store(true, Ordering::Relaxed);
            drop(receive);
            result
        });
        result?;
        self.save()?;
        Ok(self.summary())
    }

    /// Takes blocks in order until the limit.
    fn collect(
        &mut self,
        receive: &mpsc::Receiver<(u64, Block)>,
        stop: &AtomicBool,
        done: &AtomicBool,
        watch: &mut dyn FnMut(&Summary),
    ) -> Result<(), CampaignError> {
        let mut waiting = BTreeMap::new();
        loop {
            let over = self.config.limit.time.is_some_and(|time| self.start.elapsed() >= time);
            if over || stop.load(Ordering::Relaxed) {
                done.store(true, Ordering::Relaxed);
            }
            match receive.recv_timeout(Duration::from_millis(200)) {
                Ok((first, block)) => {
                    waiting.insert(first, block);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            while let Some(block) = waiting.remove(&self.state.next) {
                self.take(block)?;
            }
            if self.saved.elapsed() >= SAVE_EVERY {
                self.save()?;
            }
            if self.watched.elapsed() >= WATCH_EVERY {
                self.watched = Instant::now();
                watch(&self.summary());
            }
        }
    }

    fn take(&mut self, block: Block) -> Result<(), CampaignError> {
        self.state.stats.add(&block.counts, &self.state.rules);
        self.state.next += block.counts.cases;
        for found in block.found {
            let name = self.state.rules.get(found.rules).cloned().unwrap_or_default();
            let is_new = self.state.kept.iter().all(|k| k.signature != found.finding.signature || k.rules != name);
            if is_new {
                self.keep(found, name)?;
            }
        }
        Ok(())
    }

    /// Keeps a finding as it was found, then made smaller.
    fn keep(&mut self, found: Found, rules_name: String) -> Result<(), CampaignError> {
        let Some(rules) = self.config.rules.get(found.rules) else { return Ok(()) };
        let folder = Folder::name_of(&found.finding.signature, &rules_name);
        let mut kept = Kept {
            signature: found.finding.signature.clone(),
            rules: rules_name,
            number: found.number,
            folder,
            insns: (found.program.insns.len(), found.program.insns.len()),
            evidence: found.finding.evidence.clone(),
        };
        let mut examiner = Examiner::new(self.config.options);
        self.write(&kept, &found.program, rules, &mut examiner)?;
        if self.config.reduce_attempts > 0 {
            let program = {
                let case = case::make(self.config.seed, found.number);
                smaller(&case, &kept.signature, rules, self.config.reduce_attempts, &mut examiner)
            };
            kept.insns.1 = program.insns.len();
            self.write(&kept, &program, rules, &mut examiner)?;
        }
        self.state.kept.push(kept);
        self.save()
    }

    fn write(
        &self,
        kept: &Kept,
        program: &Program,
        rules: &Rules,
        examiner: &mut Examiner,
    ) -> Result<(), CampaignError> {
        if let Some(folder) = self.folder {
            let case = Some((self.config.seed, kept.number));
            let origin = Origin { case, ..Origin::default() };
            let told = story::of(program, &kept.signature, rules, &origin, examiner);
            folder.keep(&kept.folder, program, &told)?;
        }
        Ok(())
    }

    fn save(&mut self) -> Result<(), CampaignError> {
        self.saved = Instant::now();
        self.state.seconds = self.seconds_before + self.start.elapsed().as_secs_f64();
        if let Some(folder) = self.folder {
            folder.save(&self.state)?;
        }
        Ok(())
    }

    fn summary(&self) -> Summary {
        let seconds = self.start.elapsed().as_secs_f64();
        Summary {
            stats: self.state.stats.clone(),
            kept: self.state.kept.clone(),
            seconds: self.seconds_before + seconds,
            this_start: (self.state.next - self.first_case, seconds),
        }
    }
}

fn same_campaign(seed: u64, rules: &[String], state: State, folder: &Folder) -> Result<State, CampaignError> {
    let other = |what| CampaignError::Other { folder: folder.path().display().to_string(), what };
    if state.seed != seed {
        return Err(other(format!("seed {}", state.seed)));
    }
    if state.rules != rules {
        return Err(other(format!("rules {}", state.rules.join(","))));
    }
    Ok(state)
}

/// Makes a case smaller while the signature stays among its findings.
pub fn smaller(case: &Case, signature: &str, rules: &Rules, attempts_max: u32, examiner: &mut Examiner) -> Program {
    let mut keep = |candidate: &Program| {
        let findings = match examine_caught(examiner, candidate, rules) {
            Ok(report) => report.findings,
            Err(finding) => vec![finding],
        };
        Keep::from(findings.iter().any(|f| f.signature == signature))
    };
    let budget = Budget { attempts_max };
    match &case.spec {
        Some(spec) => reduce::reduce_spec(spec, &case.program, budget, &mut keep).program,
        None => reduce::reduce(&case.program, budget, &mut keep).program,
    }
}
