//! Work that tests count, so that they can say of an algorithm how its cost grows without looking at a clock.

/// Counts steps; does nothing outside of tests.
#[inline(always)]
pub(crate) fn count(_steps: usize) {
    #[cfg(test)]
    tests::STEPS.with(|all| all.set(all.get() + _steps as u64));
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    thread_local! {
        pub static STEPS: Cell<u64> = const { Cell::new(0) };
    }

    /// Steps that some work takes on this thread.
    pub fn steps(work: impl FnOnce()) -> u64 {
        let before = STEPS.with(Cell::get);
        work();
        STEPS.with(Cell::get) - before
    }
}
