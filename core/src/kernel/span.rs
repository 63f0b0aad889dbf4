//! The versions that a line of a table holds for.
//!
//! Stands for no kernel code: it lets a table say "since 6.12" in one word. A version is compared here for tables and in
//! [`Rules::of`](super::Rules::of) for everything else; which version a table is read for is a field of
//! [`TableRules`](super::TableRules). Invariant: `first <= last`.

use super::KernelVersion;

/// A run of versions, both ends included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    first: KernelVersion,
    last: KernelVersion,
}

impl Span {
    /// Every modelled version.
    pub const ALL: Span = Span { first: KernelVersion::V6_1, last: KernelVersion::V7_3 };

    /// From a version on.
    pub const fn since(first: KernelVersion) -> Span {
        Span { first, last: KernelVersion::V7_3 }
    }

    /// Up to a version, which is included.
    pub const fn until(last: KernelVersion) -> Span {
        Span { first: KernelVersion::V6_1, last }
    }

    /// From one version to another, both included.
    pub const fn between(first: KernelVersion, last: KernelVersion) -> Span {
        Span { first, last }
    }

    /// Whether the line holds in the version that its table is read for.
    pub fn holds(self, version: KernelVersion) -> bool {
        self.first <= version && version <= self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use KernelVersion::{V6_1, V6_12, V6_18, V7_3};

    #[test]
    fn both_ends_are_included() {
        let versions = |span: Span| KernelVersion::ALL.into_iter().filter(|v| span.holds(*v)).collect::<Vec<_>>();
        assert_eq!(versions(Span::ALL), KernelVersion::ALL);
        assert_eq!(versions(Span::since(V6_12)), [V6_12, V6_18, V7_3]);
        assert_eq!(versions(Span::until(V6_12)), [V6_1, V6_12]);
        assert_eq!(versions(Span::between(V6_12, V6_18)), [V6_12, V6_18]);
    }
}
