//! What an oracle says.

use crate::caught::Panic;
use crate::isa::InsnIdx;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The property that does not hold.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// The two forms differ in what can be seen.
    Equivalence,
    /// A form leaves the stack that was verified, or touches a slot that is not its own.
    Stack,
    /// A form of an accepted program does what it must not.
    Safety,
    /// The rewritten program is not one that our own reader and structure check accept.
    Rewrite,
    /// The model contradicts itself.
    Internal,
}

impl Class {
    /// All of them.
    pub const ALL: [Class; 5] = [Class::Equivalence, Class::Stack, Class::Safety, Class::Rewrite, Class::Internal];

    /// The name in signatures and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Class::Equivalence => "equivalence",
            Class::Stack => "stack",
            Class::Safety => "safety",
            Class::Rewrite => "rewrite",
            Class::Internal => "internal",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A property that does not hold, with its evidence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The property.
    pub class: Class,
    /// What tells this kind of finding from others, the same before and after the program is made smaller: no places, no values.
    pub signature: String,
    /// Both sides at the first point where they part, for people.
    pub evidence: String,
    /// The input, by index; `None` when it is not about a run.
    pub input: Option<usize>,
    /// The instruction of the original program that it is about, where it is about one.
    pub at: Option<InsnIdx>,
}

impl Finding {
    /// A panic of ours, which is a mistake whatever the input.
    pub fn of_panic(panic: &Panic) -> Finding {
        Finding {
            class: Class::Internal,
            signature: format!("internal:panic:{}", panic.place),
            evidence: panic.to_string(),
            input: None,
            at: None,
        }
    }
}

/// Why nothing was compared.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Vacuous {
    /// The program is refused.
    Rejected,
    /// Something is not modelled, by name.
    Unsupported(String),
    /// No loop is inlined: both forms are the same.
    NothingInlined,
    /// There are no inputs.
    NoInputs,
    /// A run took too long.
    OutOfFuel,
}

impl fmt::Display for Vacuous {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Vacuous::Rejected => f.write_str("rejected"),
            Vacuous::Unsupported(what) => write!(f, "unsupported: {what}"),
            Vacuous::NothingInlined => f.write_str("no loop is inlined"),
            Vacuous::NoInputs => f.write_str("no inputs"),
            Vacuous::OutOfFuel => f.write_str("out of fuel"),
        }
    }
}
