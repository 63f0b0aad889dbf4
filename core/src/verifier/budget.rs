//! How much a verification may take: instructions and memory. A walk that takes more is given up, and the answer says so.
//!
//! Stands for no kernel code. Kernels bound instructions alone, and a walk within that bound may keep tens of gigabytes of
//! states.

/// What a walk may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    /// Instructions, over all paths.
    pub insns: u32,
    /// Bytes of memory for what is kept of paths: checkpoints, branches that wait, back edges and jump histories. What the
    /// allocator needs besides is estimated; the log has a bound of its own.
    pub bytes: usize,
}

impl Default for Budget {
    /// As many instructions as any kernel walks, and memory for the largest such walks that were met.
    fn default() -> Budget {
        Budget { insns: u32::MAX, bytes: 3 << 30 }
    }
}

impl Budget {
    /// What is said of a walk of more instructions.
    pub(super) fn insns_spent(&self) -> String {
        format!("a walk of more than {} instructions", self.insns)
    }

    /// What is said of a walk that compares more.
    pub(super) fn comparisons_spent() -> String {
        format!("a walk that compares more than {COMPARISONS_MAX} states")
    }

    /// What is said of a walk that keeps more.
    pub(super) fn bytes_spent(&self) -> String {
        match self.bytes >> 20 {
            0 => format!("a walk whose states take more than {} bytes", self.bytes),
            mib => format!("a walk whose states take more than {mib} MiB"),
        }
    }
}

/// Comparisons of states in a walk, which bound its time where each arrival meets all that came before. A walk of a million
/// instructions under any kernel's own rules needs a fraction of them; mixtures of facts may take the square of their length.
const COMPARISONS_MAX: u64 = 1 << 26;
/// Instructions between two looks at the budget.
const LOOK_EVERY: u32 = 256;
/// Instructions after which memory is measured again, also where hardly more states are kept.
const MEASURE_EVERY: u32 = 1 << 16;
/// States by which more must be kept before memory is measured again, at least.
const MORE_STATES_MIN: usize = 64;

/// When a walk looks at its budget. To measure takes time in proportion to the states, so it is done when there are an eighth
/// more of them.
#[derive(Debug)]
pub(super) struct Meter {
    budget: Budget,
    /// Count of instructions at which to look next.
    next: u32,
    states: usize,
    insns: u32,
    comparisons: u64,
}

impl Meter {
    /// Nothing measured yet.
    pub fn new(budget: Budget) -> Meter {
        Meter { budget, next: LOOK_EVERY.min(budget.insns.saturating_add(1)), states: 0, insns: 0, comparisons: 0 }
    }

    /// The budget.
    pub fn budget(&self) -> Budget {
        self.budget
    }

    /// Counts a comparison of states.
    pub fn compares(&mut self) {
        self.comparisons += 1;
    }

    /// Whether more states were compared than in any walk that ends in time.
    pub fn has_compared_too_many(&self) -> bool {
        self.comparisons > COMPARISONS_MAX
    }

    /// Whether the walk has come to where it looks.
    pub fn is_due(&self, insns: u32) -> bool {
        insns >= self.next
    }

    /// Looks: whether memory is to be measured, for a walk that keeps that many states.
    pub fn look(&mut self, insns: u32, states: usize) -> bool {
        self.next = insns.saturating_add(LOOK_EVERY).min(self.budget.insns.saturating_add(1));
        let more = states > self.states + self.states / 8 + MORE_STATES_MIN;
        let measure = more || insns - self.insns >= MEASURE_EVERY;
        if measure {
            (self.states, self.insns) = (states, insns);
        }
        measure
    }
}

/// Bytes that an allocator takes for so many that were asked for: size classes are an eighth apart.
pub(super) fn allocated(bytes: usize) -> usize {
    bytes + bytes / 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_measured_when_there_are_more_and_now_and_then() {
        let mut meter = Meter::new(Budget::default());
        assert!(!meter.is_due(LOOK_EVERY - 1) && meter.is_due(LOOK_EVERY));
        assert!(meter.look(256, 1000) && !meter.look(512, 1100) && meter.look(768, 1300));
        assert!(!meter.look(1024, 1300) && meter.look(768 + MEASURE_EVERY, 0));
        // Measurements of a walk that grows to a million states visit each of them a few times, not a thousand.
        let (mut meter, mut visited) = (Meter::new(Budget::default()), 0);
        for states in (0..1_000_000).step_by(256) {
            visited += if meter.look(states, states as usize) { u64::from(states) } else { 0 };
        }
        assert!(visited < 20_000_000, "{visited}");
        assert!(Meter::new(Budget { insns: 10, ..Budget::default() }).is_due(11));
    }
}
