//! Panics of ours, caught: a mistake in one place must not take the answers about everything else with it.
//!
//! A panic within [`caught`] is noted instead of printed, on that thread alone; any other panic is printed as ever.

use std::backtrace::Backtrace;
use std::cell::RefCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;

/// A panic of ours.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Panic {
    /// File and line; of the nearest line of ours where the panic came up in another's code and line tables are there.
    pub place: String,
    /// What it said.
    pub message: String,
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "panicked at {}: {}", self.place, self.message)
    }
}

impl std::error::Error for Panic {}

/// What a function gives, or that it panicked; nothing is printed.
///
/// # Errors
///
/// The panic.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Panic> {
    note_panics();
    // Within another call the outer one goes on listening afterwards.
    let outer = LISTENING.replace(Some(Panic::default()));
    let result = catch_unwind(AssertUnwindSafe(work));
    let panic = LISTENING.replace(outer);
    result.map_err(|_| panic.unwrap_or_default())
}

thread_local! {
    /// While a call of [`caught`] is at work on the thread: its last panic.
    static LISTENING: RefCell<Option<Panic>> = const { RefCell::new(None) };
}

/// Has panics noted on threads that listen, and printed on all others.
fn note_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let noted = LISTENING.try_with(|listening| match &mut *listening.borrow_mut() {
                Some(panic) => {
                    *panic = read(info);
                    true
                }
                None => false,
            });
            if !noted.unwrap_or(false) {
                print(info);
            }
        }));
    });
}

fn read(info: &PanicHookInfo<'_>) -> Panic {
    let place = info.location().map(|l| format!("{}:{}", l.file(), l.line())).unwrap_or_default();
    let ours = if is_ours(&place) { None } else { nearest_of_ours(&Backtrace::force_capture().to_string()) };
    Panic { place: ours.unwrap_or(place), message: info.payload_as_str().unwrap_or_default().to_owned() }
}

/// Whether a place is in this workspace: its files are named from the root, those of others by absolute paths.
fn is_ours(place: &str) -> bool {
    !place.starts_with('/')
}

/// The innermost place of ours in a backtrace, leaving out this file: lines `at ./core/src/a.rs:12:5`.
fn nearest_of_ours(backtrace: &str) -> Option<String> {
    let places = backtrace.lines().filter_map(|line| line.trim().strip_prefix("at "));
    let mut ours = places.filter_map(|place| place.get(place.find("core/src/")?..));
    let place = ours.find(|place| !place.starts_with("core/src/caught.rs"))?;
    Some(place.rsplit_once(':').map_or(place, |(line, _column)| line).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_has_its_place_and_message() {
        let panic = caught(|| panic!("of {}", 7)).expect_err("a panic");
        assert!(panic.place.starts_with("core/src/caught.rs:"), "{panic}");
        assert_eq!(panic.message, "of 7");
        assert_eq!(caught(|| 5), Ok(5));
    }

    #[test]
    fn calls_within_calls_and_other_threads_keep_apart() {
        let outer = caught(|| {
            let inner = caught(|| panic!("inner")).expect_err("a panic");
            let other = std::thread::spawn(|| caught(|| panic!("other"))).join().expect("caught there");
            assert_eq!((inner.message.as_str(), other.expect_err("a panic").message.as_str()), ("inner", "other"));
            panic!("outer")
        });
        assert_eq!(outer.map(|()| 0).expect_err("a panic").message, "outer");
        // Nothing listens any more: the next panic of this thread is printed.
        assert!(LISTENING.with_borrow(Option::is_none));
    }

    #[test]
    fn a_panic_in_the_standard_library_stands_at_our_line() {
        let trace = "   0: std::panicking::begin\n             at /rustc/0123/library/std/src/panicking.rs:689:5\n   \
                     1: loopdiff::caught::read\n             at ./core/src/caught.rs:60:5\n   \
                     2: loopdiff::cli::reduce::main\n             at /home/a/loopdiff/core/src/cli/reduce.rs:82:15\n";
        assert_eq!(nearest_of_ours(trace).as_deref(), Some("core/src/cli/reduce.rs:82"));
        assert_eq!(nearest_of_ours("   0: main\n"), None);
        assert!(is_ours("core/src/isa/op.rs:3") && !is_ours("/rustc/0123/library/std/src/time.rs:429"));
    }
}
