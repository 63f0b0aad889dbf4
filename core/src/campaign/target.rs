//! What the cases of a campaign are put to. The engine (`run`) makes no difference between targets: workers, order, resume,
//! folders, stories, reproductions and reduction are the same for all.
//!
//! The model is a target (`model`); real kernels are one (`cli::kernel`, which knows guests).

use super::identity::Identity;
use super::run::CampaignError;
use super::stats::Counts;
use super::store::Kept;
use crate::program::Program;
use crate::repro::Claims;
use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;

/// What cases are put to.
pub trait Target: Sync {
    /// What it is: `target`, `rules`, `kernels`, `sample` and `known`; the engine adds the rest.
    fn identity(&self) -> Identity;

    /// The names of what is counted apart: rule sets, or kernels. A finding is of one of them.
    fn columns(&self) -> Vec<String>;

    /// How many workers may work at the same time, of so many that are wanted.
    fn workers(&self, wanted: usize) -> usize {
        wanted
    }

    /// Cases that a worker takes at a time.
    fn block_len(&self) -> u64 {
        256
    }

    /// A worker on the cases of a seed. `shown` is what cases before have shown of the model.
    fn worker<'a>(&'a self, seed: u64, shown: &BTreeSet<String>) -> Box<dyn Worker + 'a>;

    /// Says of programs whether they show a finding.
    fn judge<'a>(&'a self, column: usize, signature: &'a str) -> Judge<'a>;

    /// What takes the finding of a program away, each by itself.
    ///
    /// # Errors
    ///
    /// When the target cannot be asked any more.
    fn gone_with(&self, found: &Found, program: &Program) -> Result<Vec<String>, CampaignError>;

    /// The story of a finding, as Markdown, and what its reproduction claims.
    fn tell(&self, campaign: &Identity, kept: &Kept, program: &Program) -> Told;
}

/// Works on blocks of cases, one after another.
pub trait Worker {
    /// Cases from `first`, `count` of them, or fewer when `stop` is set.
    ///
    /// # Errors
    ///
    /// When the target cannot be asked any more.
    fn block(&mut self, first: u64, count: u64, stop: &AtomicBool) -> Result<Block, CampaignError>;
}

/// Whether a program shows a finding.
pub type Judge<'a> = Box<dyn FnMut(&Program) -> Result<bool, CampaignError> + 'a>;

/// What a block of cases came to.
pub struct Block {
    /// Counts.
    pub counts: Counts,
    /// The first finding of each signature and column.
    pub found: Vec<Found>,
    /// What cases have shown of the model that none of this worker's has shown before.
    pub shown: BTreeSet<String>,
}

/// A finding with its case.
#[derive(Clone, Debug)]
pub struct Found {
    /// The case's number.
    pub number: u64,
    /// Index of the rule set or kernel.
    pub column: usize,
    /// What tells it from other findings.
    pub signature: String,
    /// What was seen, in a line.
    pub evidence: String,
    /// What is known of its cause when it is found.
    pub cause: Option<String>,
    /// The program.
    pub program: Program,
}

/// A finding told.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Told {
    /// The story, as Markdown.
    pub story: String,
    /// What the reproduction claims.
    pub claims: Claims,
}
