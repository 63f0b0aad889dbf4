//! What guests are doing, on standard error, when a command takes longer than two seconds: a bar on a terminal, a plain line
//! now and then elsewhere.

use crate::cli::output::note;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// The progress of a command, over all that it does one after the other.
pub struct Progress {
    start: Instant,
    is_terminal: bool,
    /// When the last plain line was written, in milliseconds from the start.
    told: AtomicU64,
}

/// What takes less shows nothing.
const QUIET: Duration = Duration::from_secs(2);
/// Between plain lines.
const PLAIN: Duration = Duration::from_secs(10);
/// Between looks at the work.
const LOOK: Duration = Duration::from_millis(100);

impl Progress {
    /// Starts now.
    pub fn new() -> Progress {
        Progress { start: Instant::now(), is_terminal: std::io::stderr().is_terminal(), told: AtomicU64::new(0) }
    }

    /// Does some work and shows meanwhile how far it is: `done` says how many of `total` things are done; with a total of
    /// 0 nobody knows. What is shown is gone when the work is done.
    pub fn during<T>(&self, what: &str, total: u64, done: impl Fn() -> u64 + Sync, work: impl FnOnce() -> T) -> T {
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let watcher = scope.spawn(|| self.watch(what, total, &done, &is_over));
            // Also when the work panics: nothing may wait for the watcher then.
            let _end = End { is_over: &is_over, watcher: watcher.thread().clone() };
            work()
        })
    }

    fn watch(&self, what: &str, total: u64, done: &(impl Fn() -> u64 + Sync), is_over: &AtomicBool) {
        let mut bar = None;
        loop {
            std::thread::park_timeout(LOOK);
            if is_over.load(Ordering::Acquire) {
                break;
            }
            if self.start.elapsed() < QUIET {
                continue;
            }
            if self.is_terminal {
                let bar = bar.get_or_insert_with(|| bar_of(what, total));
                bar.set_position(done());
                bar.tick();
            } else if self.is_due() {
                note(plain(what, total, done(), self.start.elapsed()));
            }
        }
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
    }

    /// Whether it is time for a plain line.
    fn is_due(&self) -> bool {
        let now = self.start.elapsed().as_millis() as u64;
        let told = self.told.load(Ordering::Relaxed);
        let is_due = told == 0 || now - told >= PLAIN.as_millis() as u64;
        if is_due {
            self.told.store(now, Ordering::Relaxed);
        }
        is_due
    }
}

/// The end of some work, however it ends.
struct End<'a> {
    is_over: &'a AtomicBool,
    watcher: Thread,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        self.watcher.unpark();
    }
}

/// A bar that is never wider than the terminal.
fn bar_of(what: &str, total: u64) -> ProgressBar {
    let template = if total > 0 { "{bar:24} {pos}/{len} {wide_msg}" } else { "{spinner} {wide_msg} {elapsed}" };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style).with_message(what.to_owned())
}

fn plain(what: &str, total: u64, done: u64, since: Duration) -> String {
    let seconds = since.as_secs();
    if total > 0 { format!("{what}: {done} of {total}, {seconds} s") } else { format!("{what}, {seconds} s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_done_once_and_its_result_is_handed_on() {
        let (progress, done) = (Progress::new(), AtomicU64::new(0));
        let work = || done.fetch_add(1, Ordering::Relaxed) + 41;
        assert_eq!(progress.during("working", 1, || done.load(Ordering::Relaxed), work), 41);
        assert_eq!(done.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn plain_lines_are_few_and_say_how_far_it_is() {
        let progress = Progress { told: AtomicU64::new(0), ..Progress::new() };
        std::thread::sleep(Duration::from_millis(2));
        assert!(progress.is_due() && !progress.is_due());
        assert_eq!(plain("asking 7.3", 90, 30, Duration::from_secs(12)), "asking 7.3: 30 of 90, 12 s");
        assert_eq!(plain("starting kernels", 0, 0, Duration::from_secs(3)), "starting kernels, 3 s");
    }
}
