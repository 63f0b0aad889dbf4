//! What a case has in it, by name, for statistics.

use super::kinds::{
    Carried, Contract, Count, Ctx, End, Flags, Frame, Join, Kind, Later, Links, Mistake, Prog, Role, Shape, StepKind,
    Unlink,
};
use std::fmt;

macro_rules! features {
    ($($table:ident $text:literal,)*) => {
        /// Something that a case has in it, and that statistics count.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Feature {
            $(#[doc = $text] $table($table),)*
        }

        impl Feature {
            /// All of them, table by table.
            pub fn all() -> impl Iterator<Item = Feature> {
                std::iter::empty()$(.chain($table::ALL.iter().copied().map(Feature::$table)))*
            }

            /// What the feature is a kind of.
            pub const fn group(self) -> &'static str {
                match self { $(Feature::$table(_) => $text,)* }
            }

            /// The name, without the group.
            pub const fn short_name(self) -> &'static str {
                match self { $(Feature::$table(kind) => kind.name(),)* }
            }

            fn at(self) -> usize {
                let mut before = 0;
                $(
                    if let Feature::$table(kind) = self {
                        return before + kind.at();
                    }
                    before += $table::ALL.len();
                )*
                before
            }
        }
    };
}

features! {
    Prog "type",
    Shape "shape",
    Count "count",
    Flags "flags",
    Ctx "context",
    Contract "callback's use of the context",
    Carried "context carries",
    End "callback",
    Join "paths join by",
    Role "function",
    Frame "stack",
    Links "chain",
    StepKind "step",
    Later "later iterations",
    Unlink "link between numbers",
    Mistake "mistake",
}

impl Feature {
    /// The name in statistics: `group: name`.
    pub fn name(self) -> String {
        format!("{}: {}", self.group(), self.short_name())
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.group(), self.short_name())
    }
}

/// A set of features.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Features([u64; 4]);

impl Features {
    /// Adds a feature.
    pub fn insert(&mut self, feature: Feature) {
        let at = feature.at();
        if let Some(word) = self.0.get_mut(at / 64) {
            *word |= 1 << (at % 64);
        }
    }

    /// Whether a feature is in the set.
    pub fn contains(&self, feature: Feature) -> bool {
        let at = feature.at();
        self.0.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Those that are in the set.
    pub fn iter(&self) -> impl Iterator<Item = Feature> + '_ {
        Feature::all().filter(|feature| self.contains(*feature))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feature_has_a_bit_and_a_name_of_its_own() {
        let all: Vec<Feature> = Feature::all().collect();
        assert!(all.len() <= 256, "{} features", all.len());
        for (n, feature) in all.iter().enumerate() {
            assert_eq!(feature.at(), n);
        }
        let mut names: Vec<String> = all.iter().map(|f| f.name()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all.len());
        let mut set = Features::default();
        set.insert(all[70]);
        assert_eq!((set.len(), set.iter().next()), (1, Some(all[70])));
    }
}
