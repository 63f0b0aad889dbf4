//! Kernel versions, and the rules that tell them apart.
//!
//! A version is compared here and nowhere else. Each field says what it means and since when. Fields are grouped by the
//! room that reads them.

use super::rules_domain::DomainRules;
use super::rules_log::LogRules;
use super::rules_rewrite::RewriteRules;
use super::rules_structure::StructureRules;
use super::rules_walk::WalkRules;
use thiserror::Error;

/// A kernel that is modelled. The numbers after the dot that were read and measured are 6.1.192, 6.12.95, 6.18.15, 7.3.4.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum KernelVersion {
    /// Linux 6.1.
    #[serde(rename = "6.1")]
    V6_1,
    /// Linux 6.12.
    #[serde(rename = "6.12")]
    V6_12,
    /// Linux 6.18.
    #[serde(rename = "6.18")]
    V6_18,
    /// Linux 7.3.
    #[serde(rename = "7.3")]
    V7_3,
}

use KernelVersion::{V6_1, V6_12, V6_18, V7_3};
use serde::{Deserialize, Serialize};

/// A version that is not modelled.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("no rules for kernel \"{0}\"; there are 6.1, 6.12, 6.18 and 7.3")]
pub struct UnknownVersion(pub String);

impl KernelVersion {
    /// All versions, oldest first.
    pub const ALL: [KernelVersion; 4] = [V6_1, V6_12, V6_18, V7_3];
    /// The newest.
    pub const NEWEST: KernelVersion = V7_3;

    /// The version as people write it.
    pub const fn name(self) -> &'static str {
        match self {
            V6_1 => "6.1",
            V6_12 => "6.12",
            V6_18 => "6.18",
            V7_3 => "7.3",
        }
    }
}

impl std::fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for KernelVersion {
    type Err = UnknownVersion;

    fn from_str(text: &str) -> Result<KernelVersion, UnknownVersion> {
        KernelVersion::ALL.into_iter().find(|v| v.name() == text).ok_or_else(|| UnknownVersion(text.to_owned()))
    }
}

/// How a scalar's range is represented.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RangeModel {
    /// Signed and unsigned minimum and maximum, for 64 and for 32 bits (up to 7.0).
    MinMax,
    /// One arc on the circle of 64-bit numbers and one on that of 32-bit numbers (7.1 and later, `struct cnum64`).
    Circular,
}

/// Whether the BTF parser reads a layout section.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BtfLayout {
    /// The header ends before it (up to 6.18).
    Unknown,
    /// It may follow types and strings (7.3).
    Known,
}

/// Whether the flag bit of a BTF tag may be set.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BtfTagFlag {
    /// It must be clear (up to 6.14).
    Refused,
    /// It marks an attribute (6.15 and later).
    Allowed,
}

/// What the name of a BTF section of variables may be.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BtfSectionName {
    /// An identifier with dots (up to 6.11).
    Identifier,
    /// Any printable characters (6.12 and later).
    Printable,
}

/// What the BTF parser takes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct BtfRules {
    /// Bits that the `info` word of a type may have set: counts of 16 bits and kinds of 5 up to 6.18, of 24 and 7 in 7.3.
    pub info_mask: u32,
    /// The layout section.
    pub layout: BtfLayout,
    /// The flag of tags.
    pub tag_flag: BtfTagFlag,
    /// Names of sections.
    pub section_name: BtfSectionName,
}

/// For which version the tables of helpers, contexts and maps are read. Their lines carry the versions that they hold for;
/// `core/docs/kernel-rules.md` lists those that do not hold for all.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct TableRules {
    /// Helper prototypes, which program type may call which helper, and the wording of refusals.
    pub helpers: KernelVersion,
    /// Fields of contexts, how they may be accessed, and what main may return.
    pub context: KernelVersion,
    /// Which map types there are, and what goes with which.
    pub maps: KernelVersion,
}

/// The rules of one kernel. Each field below the version is a named fact: see [`Rules::facts`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rules {
    /// The kernel that they stand for; for people, never compared outside of this file, and no fact.
    #[serde(skip, default = "newest")]
    pub version: KernelVersion,
    /// How scalar ranges are represented.
    pub range_model: RangeModel,
    /// The walk over all paths.
    pub walk: WalkRules,
    /// What is known of numbers.
    pub domain: DomainRules,
    /// What the BTF parser takes.
    pub btf: BtfRules,
    /// What is checked before the walk.
    pub structure: StructureRules,
    /// What the rewrite reads.
    pub rewrite: RewriteRules,
    /// How the log is written.
    pub log: LogRules,
    /// Tables.
    pub tables: TableRules,
}

fn newest() -> KernelVersion {
    KernelVersion::NEWEST
}

impl Rules {
    /// The rules of a version.
    pub fn of(version: KernelVersion) -> Rules {
        let (range_model, walk, log) = match version {
            V6_1 => (RangeModel::MinMax, WalkRules::V6_1, LogRules::V6_1),
            V6_12 => (RangeModel::MinMax, WalkRules::V6_12, LogRules::V6_12),
            V6_18 => (RangeModel::MinMax, WalkRules::V6_18, LogRules::V6_18),
            V7_3 => (RangeModel::Circular, WalkRules::V7_3, LogRules::V7_3),
        };
        Rules {
            version,
            range_model,
            walk,
            domain: DomainRules::of(version),
            btf: BtfRules {
                info_mask: if version >= V7_3 { u32::MAX } else { 0x9f00_ffff },
                layout: if version >= V7_3 { BtfLayout::Known } else { BtfLayout::Unknown },
                tag_flag: if version >= V6_18 { BtfTagFlag::Allowed } else { BtfTagFlag::Refused },
                section_name: if version >= V6_12 { BtfSectionName::Printable } else { BtfSectionName::Identifier },
            },
            rewrite: RewriteRules::of(version),
            structure: StructureRules::of(version),
            log,
            tables: TableRules { helpers: version, context: version, maps: version },
        }
    }
}
