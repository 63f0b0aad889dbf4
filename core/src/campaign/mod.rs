//! Campaigns: many cases, what they came to, and a folder that keeps what was found.
//!
//! A case is made from the campaign's seed and its own number, so that the same seed and count give the same cases, whatever the
//! number of workers. Workers take blocks of cases; the campaign adds the blocks up in order. A block counts once all that is new in
//! it is made smaller and kept: a campaign that is killed at any moment goes on from its folder and ends as one that was not.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `case` | a case by number, and the envelope that stored cases come in |
//! | `target` | what cases are put to: the interface between the engine and the model, or real kernels |
//! | `model` | the model as a target |
//! | `work` | a case through the oracles, whatever happens |
//! | `stats` | counts, by rule set or kernel and by feature |
//! | `known` | divergences that are known, and whether a finding is one |
//! | `cause` | the facts that take a finding away, and findings grouped by them |
//! | `floor` | whether a campaign reached anything at all |
//! | `novelty` | what a case shows of the model that none before has shown |
//! | `identity` | what a campaign is: all that changes its findings |
//! | `store`, `disk` | the folder, and the operations that change it |
//! | `story` | a finding told, so that it can be found again |
//! | `run` | the engine: workers, order, limits, what is kept |
//! | `cases` | `.bpf` files with what is expected of them |
//! | `replay` | stored programs against what is expected of them |
//! | `recorded` | the model against recorded answers of real kernels |
//! | `targets` | the fuzz targets as functions |
//!
//! Kernel: none; this is the harness.

mod case;
pub mod cases;
mod cause;
mod disk;
mod faults;
mod files;
mod floor;
mod identity;
mod known;
mod model;
mod novelty;
mod recorded;
mod replay;
mod run;
mod stats;
mod store;
mod story;
mod target;
pub mod targets;
#[cfg(test)]
mod tests;
mod work;

use crate::exec::Limits;
use crate::oracle::Options;

/// How campaigns and fuzz targets examine cases: with bounds that a case in some thousands meets, so that it does not cost as
/// much as all others.
pub fn case_options() -> Options {
    const FUEL: u64 = 1 << 18;
    const WALK_MAX: u32 = 40_000;
    Options { limits: Limits { fuel: FUEL, ..Limits::default() }, walk_max: WALK_MAX, ..Options::default() }
}

pub use case::{Case, Envelope, make, named};
pub use cause::{Group, grouped, of as cause_of};
pub use faults::{Evaluation, FAULTS, Fault, FaultKind};
pub use files::write_whole;
pub use floor::{Floors, Percent};
pub use identity::{Identity, RuleSet};
pub use known::{Known, KnownDivergence, KnownError};
pub use model::Model;
pub use novelty::{Novelty, marks};
pub use recorded::{Compared, Differences, Met, wrong_between};
pub use replay::{Replay, Stored, replay_item};
pub use run::{Campaign, CampaignError, Config, Limit, Summary};
pub use stats::{Counts, Difference, RuleStats, Stats};
pub use store::{Folder, Kept, StoreError};
pub use story::{Origin, RELEASE, of as story_of};
pub use target::{Block, Found, Judge, Target, Told, Worker};
pub use work::examine_caught;
