//! Rules of the log: how a kernel writes down what its verifier does.

use serde::{Deserialize, Serialize};

/// How a register is written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[doc(alias = "print_reg_state")]
pub enum RegisterStyle {
    /// Each range that differs from the others by its own name, decimal; offsets always (6.1).
    EachRange,
    /// Ranges of equal ends together, large numbers in hexadecimal; offsets other than 0 (6.8 and later).
    JoinedRanges,
}

/// How the reference that a pointer owns is written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReferenceStyle {
    /// `ref_obj_id=` (up to 7.0).
    RefObjId,
    /// `parent_id=` (7.1 and later).
    ParentId,
}

/// Which registers and slots are written after an instruction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[doc(alias = "mark_reg_scratched")]
pub enum Shown {
    /// Its registers and the slots that it wrote (6.1).
    Operands,
    /// Also slots that it read, and the result of a call (6.8 and later).
    AndReads,
    /// Also scalars that gained a range with those of a comparison (6.19 and later).
    AndLinked,
}

/// Which registers are live, before the walk (level 2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LiveRegisters {
    /// Not written (up to 6.14).
    Hidden,
    /// A line an instruction (6.15 and later).
    Listed,
}

/// How calls of global functions are commented.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GlobalCalls {
    /// By number, as already verified (up to 6.7).
    ByNumber,
    /// By number and name, as yet to be verified (6.8 and later).
    ByName,
}

/// What follows the line about a loop without end.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoopStates {
    /// Nothing (6.1).
    Hidden,
    /// The state and the older one that it repeats (6.7).
    Written,
}

/// Rules of the log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct LogRules {
    /// How a register is written.
    pub registers: RegisterStyle,
    /// How a reference is written.
    pub references: ReferenceStyle,
    /// What is written after an instruction.
    pub shown: Shown,
    /// The list of live registers.
    pub live_registers: LiveRegisters,
    /// Comments on calls of global functions.
    pub global_calls: GlobalCalls,
    /// The states of a loop without end.
    pub loop_states: LoopStates,
}

impl LogRules {
    /// Linux 6.1.192.
    pub const V6_1: LogRules = LogRules {
        registers: RegisterStyle::EachRange,
        references: ReferenceStyle::RefObjId,
        shown: Shown::Operands,
        live_registers: LiveRegisters::Hidden,
        global_calls: GlobalCalls::ByNumber,
        loop_states: LoopStates::Hidden,
    };
    /// Linux 6.12.95.
    pub const V6_12: LogRules = LogRules {
        registers: RegisterStyle::JoinedRanges,
        shown: Shown::AndReads,
        global_calls: GlobalCalls::ByName,
        loop_states: LoopStates::Written,
        ..LogRules::V6_1
    };
    /// Linux 6.18.15.
    pub const V6_18: LogRules = LogRules { live_registers: LiveRegisters::Listed, ..LogRules::V6_12 };
    /// Linux 7.3.4.
    pub const V7_3: LogRules =
        LogRules { references: ReferenceStyle::ParentId, shown: Shown::AndLinked, ..LogRules::V6_18 };
}
