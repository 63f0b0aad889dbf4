//! The engine of campaigns: workers, the order of their blocks, limits, and what is kept. It is the same for every target.

use super::case::{self, Case};
use super::identity::Identity;
use super::stats::Stats;
use super::store::{Folder, Kept, State, StoreError};
use super::story::RELEASE;
use super::target::{Block, Found, Target};
use crate::guest::GuestError;
use crate::program::{Program, json, text};
use crate::reduce::{self, Budget, Keep};
use crate::repro;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};
use thiserror::Error;

/// How a campaign runs, whatever its target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// Seed of all cases.
    pub seed: u64,
    /// When it ends.
    pub limit: Limit,
    /// Workers.
    pub jobs: usize,
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
    /// A kernel cannot be asked any more.
    #[error(transparent)]
    Guest(#[from] GuestError),
    /// The target failed otherwise.
    #[error("{0}")]
    Target(String),
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
    /// New findings that a stop left to the next start, together with their block.
    pub left: usize,
}

/// A campaign that runs.
pub struct Campaign<'a> {
    config: &'a Config,
    target: &'a dyn Target,
    columns: Vec<String>,
    folder: Option<&'a Folder>,
    state: State,
    start: Instant,
    saved: Instant,
    watched: Instant,
    first_case: u64,
    seconds_before: f64,
    /// New findings that a stop left to the next start.
    left: usize,
}

/// Time between two saves of the state.
const SAVE_EVERY: Duration = Duration::from_secs(2);
/// Time between two looks at a campaign: a summary is a copy of all counts.
const WATCH_EVERY: Duration = Duration::from_millis(200);

impl<'a> Campaign<'a> {
    /// Prepares a campaign; with a folder, it goes on where an earlier start stopped. The folder says from then on which campaign
    /// is in it.
    ///
    /// # Errors
    ///
    /// When the folder cannot be used, or holds a campaign with other options.
    pub fn new(
        config: &'a Config,
        target: &'a dyn Target,
        folder: Option<&'a Folder>,
    ) -> Result<Campaign<'a>, CampaignError> {
        let identity = Campaign::identity(config, target);
        let (state, seconds_before) = match folder {
            Some(folder) => match folder.load()? {
                Some((state, seconds)) => (same_campaign(&identity, state, folder)?, seconds),
                None => {
                    let state = State::new(identity);
                    folder.save(&state, 0.0)?;
                    (state, 0.0)
                }
            },
            None => (State::new(identity), 0.0),
        };
        let now = Instant::now();
        let (columns, first_case) = (target.columns(), state.next);
        let (start, saved, watched) = (now, now, now);
        Ok(Campaign {
            config,
            target,
            columns,
            folder,
            state,
            start,
            saved,
            watched,
            first_case,
            seconds_before,
            left: 0,
        })
    }

    /// What a campaign is.
    pub fn identity(config: &Config, target: &dyn Target) -> Identity {
        Identity {
            release: RELEASE.to_owned(),
            seed: config.seed,
            reduce_attempts: config.reduce_attempts,
            ..target.identity()
        }
    }

    /// Runs until the limit, or until `stop` is set. `watch` is called a few times a second.
    ///
    /// # Errors
    ///
    /// When something cannot be written, or the target cannot be asked; what was written before stays.
    pub fn run(mut self, stop: &AtomicBool, watch: &mut dyn FnMut(&Summary)) -> Result<Summary, CampaignError> {
        let next = AtomicU64::new(self.state.next);
        let (send, receive) = mpsc::sync_channel::<(u64, Result<Block, CampaignError>)>(64);
        let (config, target) = (self.config, self.target);
        let done = AtomicBool::new(false);
        let shown = self.state.shown.clone();
        let block_len = target.block_len();
        let result = std::thread::scope(|scope| {
            for _ in 0..target.workers(config.jobs).max(1) {
                let (send, next, done, shown) = (send.clone(), &next, &done, &shown);
                scope.spawn(move || {
                    let mut worker = target.worker(config.seed, shown);
                    while !done.load(Ordering::Relaxed) {
                        let first = next.fetch_add(block_len, Ordering::Relaxed);
                        let count =
                            config.limit.count.map_or(block_len, |all| all.saturating_sub(first).min(block_len));
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
        receive: &mpsc::Receiver<(u64, Result<Block, CampaignError>)>,
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
                if !self.take(block?, stop)? {
                    return Ok(());
                }
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

    /// Takes a block in: first all that is new in it is kept, then it counts. False when `stop` was set before all was kept; then
    /// the block does not count, and a later start takes it again.
    fn take(&mut self, block: Block, stop: &AtomicBool) -> Result<bool, CampaignError> {
        let mut new = Vec::new();
        for found in block.found {
            let column = self.columns.get(found.column).cloned().unwrap_or_default();
            let is_same = |k: &Kept| k.signature == found.signature && k.column == column;
            if self.state.kept.iter().chain(&new).any(is_same) {
                continue;
            }
            match self.keep(&found, column, stop)? {
                Some(kept) => new.push(kept),
                None => {
                    self.left = new.len() + 1;
                    return Ok(false);
                }
            }
        }
        self.state.stats.add(&block.counts, &self.columns);
        self.state.next += block.counts.cases;
        self.state.shown.extend(block.shown);
        if !new.is_empty() {
            self.state.kept.extend(new);
            self.save()?;
        }
        Ok(true)
    }

    /// Makes the case of a finding smaller and keeps it; `None` when `stop` was set before. What a start that was killed has kept
    /// already is taken as it is.
    fn keep(&self, found: &Found, column: String, stop: &AtomicBool) -> Result<Option<Kept>, CampaignError> {
        let name = Folder::name_of(&found.signature, &column);
        let is_same = |k: &Kept| k.signature == found.signature && k.column == column;
        if let Some(kept) = self.folder.and_then(|folder| folder.kept(&self.state.campaign, &name)).filter(is_same) {
            return Ok(Some(kept));
        }
        let Some(program) = self.smaller(found, stop)? else { return Ok(None) };
        let kept = Kept {
            signature: found.signature.clone(),
            number: found.number,
            folder: name,
            insns: (found.program.insns.len(), program.insns.len()),
            evidence: found.evidence.clone(),
            set: self.state.campaign.set_of(&column),
            gone_with: self.target.gone_with(found, &program)?,
            column,
        };
        if let Some(folder) = self.folder {
            let told = self.target.tell(&self.state.campaign, &kept, &program);
            let files = [
                ("case.json", json::write(std::slice::from_ref(&program), json::Form::Document)),
                ("case.bpf", text::write(&program)),
                ("repro.c", repro::selftest_asm(&program, &told.claims).text),
                ("story.md", told.story),
            ];
            folder.keep(&self.state.campaign, &kept, &files)?;
        }
        Ok(Some(kept))
    }

    /// The case of a finding made smaller while the finding stays; `None` when `stop` was set.
    fn smaller(&self, found: &Found, stop: &AtomicBool) -> Result<Option<Program>, CampaignError> {
        if self.config.reduce_attempts == 0 {
            return Ok(Some(found.program.clone()));
        }
        let case = case::make(self.config.seed, found.number);
        let mut judge = self.target.judge(found.column, &found.signature);
        let mut failed = None;
        let mut keep = |candidate: &Program| {
            if stop.load(Ordering::Relaxed) {
                return Keep::Stop;
            }
            judge(candidate).map_or_else(
                |error| {
                    failed = Some(error);
                    Keep::Stop
                },
                Keep::from,
            )
        };
        let program = smaller(&case, self.config.reduce_attempts, &mut keep);
        match failed {
            Some(error) => Err(error),
            None if stop.load(Ordering::Relaxed) => Ok(None),
            None => Ok(Some(program)),
        }
    }

    fn save(&mut self) -> Result<(), CampaignError> {
        self.saved = Instant::now();
        if let Some(folder) = self.folder {
            folder.save(&self.state, self.seconds_before + self.start.elapsed().as_secs_f64())?;
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
            left: self.left,
        }
    }
}

fn same_campaign(asked: &Identity, state: State, folder: &Folder) -> Result<State, CampaignError> {
    let unlike = state.campaign.unlike(asked);
    if unlike.is_empty() {
        return Ok(state);
    }
    Err(CampaignError::Other { folder: folder.path().display().to_string(), what: unlike.join("; ") })
}

/// Makes a case smaller as long as `keep` says yes: what it was lowered from first, where that is known.
fn smaller(case: &Case, attempts_max: u32, keep: &mut dyn FnMut(&Program) -> Keep) -> Program {
    let budget = Budget { attempts_max };
    match &case.spec {
        Some(spec) => reduce::reduce_spec(spec, &case.program, budget, keep).program,
        None => reduce::reduce(&case.program, budget, keep).program,
    }
}
