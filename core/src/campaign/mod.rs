//! Campaigns: many cases, what they came to, and a folder that keeps what was found.
//!
//! A case is made from the campaign's seed and its own number, so that the same seed and count give the same cases, whatever the
//! number of workers. Workers take blocks of cases; the campaign adds the blocks up in order. What is new is kept at once, then
//! made smaller. Everything that is written is written whole or not at all, so that a campaign that is killed goes on from its
//! folder.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `case` | a case by number, and the envelope that stored cases come in |
//! | `work` | a block of cases through the oracles |
//! | `stats` | counts, by rule set and by feature |
//! | `known` | divergences that are known, and whether a finding is one |
//! | `novelty` | what a case shows of the model that none before has shown |
//! | `store` | the folder |
//! | `campaign` | the whole: workers, order, limits |
//! | `cases` | `.bpf` files with what is expected of them |
//! | `replay` | stored programs against what is expected of them |
//! | `recorded` | the model against recorded answers of real kernels |
//! | `targets` | the fuzz targets as functions |
//!
//! Kernel: none; this is the harness.

mod case;
pub mod cases;
mod faults;
mod files;
mod known;
mod novelty;
mod recorded;
mod replay;
mod run;
mod stats;
mod store;
mod story;
pub mod targets;
mod work;

use crate::exec::Limits;
use crate::oracle::Options;
use crate::verifier::Budget;

/// How campaigns and fuzz targets examine cases: with bounds that a case in some thousands meets, so that it does not cost as
/// much as all others.
pub fn case_options() -> Options {
    const FUEL: u64 = 1 << 18;
    const BUDGET: Budget = Budget { insns: 40_000, bytes: 256 << 20 };
    Options { limits: Limits { fuel: FUEL, ..Limits::default() }, budget: BUDGET, ..Options::default() }
}

pub use case::{Case, Envelope, make, named};
pub use faults::{Evaluation, FAULTS, Fault, FaultKind};
pub use files::write_whole;
pub use known::{Known, KnownDivergence, KnownError};
pub use novelty::{Novelty, marks};
pub use recorded::{Compared, Differences, Met, wrong_between};
pub use replay::{Replay, Stored, replay_item};
pub use run::{Campaign, CampaignError, Config, Limit, Summary, smaller};
pub use stats::{RuleStats, Stats};
pub use store::{Folder, Kept, StoreError};
pub use story::of as story_of;
pub use work::{Found, examine_caught};
