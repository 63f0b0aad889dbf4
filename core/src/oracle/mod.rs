//! What must hold of a program, and what it means when it does not.
//!
//! Verifies and rewrites a program, runs both forms on each input, and compares. The properties: `equivalence` (the inlined and the
//! helper-call form agree in everything that can be seen), `stack` (both stay within the stack that was verified, and the
//! slots of inlined loops are touched by nothing else), `safety` (an accepted program does not trap otherwise), `rewrite`
//! (the rewritten program is one).
//!
//! [`parity`] compares the model with answers of real kernels, [`versions`] these with each other, [`twin`] makes the form of a
//! program whose loops stay helper calls. Left out: asking kernels; the room `guest` does that. Invariant: the same program,
//! rules and inputs give the same report.

mod examine;
mod explain;
mod finding;
mod judge;
pub mod parity;
mod severity;
mod tally;
pub mod twin;
pub mod versions;

pub(crate) use examine::images;
pub use examine::{Examiner, Options, Report, RunPair, Status, status, status_within};
pub use explain::{Answer, Aspect, Cause, Change, Untried, explain};
pub use finding::{Class, Finding, Vacuous};
pub use severity::{Severity, severity};
pub use tally::Tally;
