//! Rules of the walk that are of values: where they come from, what links them, and when a pointer is NULL. Fields of `WalkRules`.

use serde::{Deserialize, Serialize};

/// Of which slots it is seen, where writes are recorded at instructions, that an earlier visit of the instruction wrote them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EarlierWrites {
    /// Of the 32 uppermost: the marks pass through a variable of 32 bits, and what a later visit does not write stays marked as
    /// surely written below −256 (6.18).
    UpperSlots,
    /// Of all 64; other versions record no writes that could be lost.
    AllSlots,
}

/// What following precision backwards makes of an atomic operation that fetches the old value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FetchPrecision {
    /// It counts as a store: the register that gets the old value stays wanted, and the slot that the value comes from is not (5.12 …
    /// 6.19; CVE-2026-43009).
    Ignored,
    /// It counts as a load: the slot is wanted in place of the register (7.0, and 6.1.192 and 6.12.118 by backport).
    Followed,
}

/// What becomes of the delta of a scalar that loses its link.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[doc(alias = "clear_scalar_id")]
pub enum LostLink {
    /// It stays in the register, and counts again when the register gets its next id (6.11 … 6.19).
    KeepsDelta,
    /// It goes with the link (7.0, and 6.12.118 by backport; before 6.11 there is none).
    DropsDelta,
}

/// Through which pointers spills and fills are remembered, for precision to follow them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SpillPointers {
    /// R10 alone: a fill through a copy ends the search, and no slot is marked (up to 6.7; CVE-2023-52920).
    FramePointer,
    /// Any pointer to the stack (6.8).
    Any,
}

/// Whether a fill links the register with the slot that it comes from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FillIds {
    /// By the id that the slot has: one without, as a loop's widening leaves it, gives none (up to 6.19).
    Copied,
    /// A slot without id gets one before (7.0).
    Given,
}

/// Which bytes of the stack are zero to a read that restores no register.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[doc(alias = "mark_reg_stack_read")]
pub enum ZeroReads {
    /// Those that were stored as zero bytes (up to 6.19).
    ZeroBytes,
    /// Those of a spilled 0 as well, whose precision is then asked for (7.0).
    WithZeroSpills,
}

/// Which comparisons tell a pointer that may be NULL from NULL.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NullCheck {
    /// With the immediate 0 (up to 6.19).
    Immediate,
    /// Also with a register that is known to be 0, whose precision is then asked for (7.0).
    KnownZero,
}

/// What a 32-bit comparison of a pointer with 0 tells.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PointerLowHalf {
    /// The lower half of a pointer that is not NULL is taken not to be 0 either (up to 6.19).
    NotZero,
    /// Nothing (7.0, and 6.12.118 by backport).
    Unknown,
}
