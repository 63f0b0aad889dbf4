//! Guests of several kernels, kept busy; and what to do when one dies.
//!
//! Programs are handed over in batches. When a guest dies or makes no progress, the answers before that stay, the program in
//! progress is tried alone on fresh guests, and only when it ends all of them alike is that its answer.

use super::machine::{Accel, Clock, End, Machine, Patience, Running};
use super::snapshot::{STUCK, Snapshot};
use super::wire::{self, Ask, Runs};
use super::{Answer, Cache, Facts, GuestError, Image, Phase, Verdict, image, log, protocol as p};
use crate::program::Program;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// How a pool works.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// What guests are made of.
    pub machine: Machine,
    /// Guests of each kernel that work at the same time.
    pub guests_per_kernel: usize,
    /// Processor seconds that anything but a test run may take.
    pub load_seconds: u32,
    /// Processor seconds that a test run may take.
    pub run_seconds: u32,
    /// Fresh guests that a program must end before that is believed.
    pub tries: u32,
    /// Where snapshots are kept; empty where nobody says ([`Cache::of_user`]), and then no guest starts.
    pub snapshots: PathBuf,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            machine: Machine::default(),
            guests_per_kernel: 1,
            load_seconds: 120,
            run_seconds: 20,
            tries: 2,
            snapshots: Cache::of_user().map(|cache| cache.snapshots()).unwrap_or_default(),
        }
    }
}

/// What a pool has done.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Tally {
    /// Programs that were answered.
    pub programs: u64,
    /// Guests that were started.
    pub guests: u64,
    /// Guests that ended during a program that other guests survived: the emulator's or this machine's fault.
    pub flukes: u64,
    /// Processor seconds of QEMU, starts included.
    pub cpu_seconds: f64,
}

/// A kernel of a pool.
pub struct Kernel {
    name: String,
    image: Image,
    not_accelerated: Option<GuestError>,
    snapshot: Snapshot,
    idle: Mutex<Vec<Running>>,
    tally: Mutex<Tally>,
}

impl Kernel {
    /// What it is called beside the pool's other kernels: `6.12`, or `6.12.95` where there is another 6.12.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Why it is emulated although KVM was wanted.
    pub fn not_accelerated(&self) -> Option<&GuestError> {
        self.not_accelerated.as_ref()
    }

    /// Its image.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// What it says of itself.
    pub fn facts(&self) -> &Facts {
        &self.snapshot.facts
    }

    /// What its guests have done.
    pub fn tally(&self) -> Tally {
        let mut tally = *lock(&self.tally);
        tally.cpu_seconds += lock(&self.idle).iter().map(Running::cpu_seconds).sum::<f64>();
        tally
    }

    /// The process numbers of guests that wait for work.
    pub fn idle_pids(&self) -> Vec<u32> {
        lock(&self.idle).iter().map(Running::pid).collect()
    }
}

/// How a program ended a guest, and the guest's last words.
struct Ended {
    verdict: Verdict,
    kmsg: String,
}

/// Guests of several kernels.
pub struct Pool {
    kernels: Vec<Kernel>,
    options: Options,
}

/// Programs of a batch at most, and bytes of their records.
const BATCH_PROGRAMS: usize = 64;
const BATCH_BYTES: usize = 4 << 20;
/// Lines of a dead guest's console that are kept.
const LAST_WORDS: usize = 160;
/// A guest that cannot be started is tried so often: on a busy machine emulated kernels panic now and then while they boot
/// ("IO-APIC + timer doesn't work!"), before any program has reached them.
const START_TRIES: u32 = 4;

impl Pool {
    /// Makes sure that every kernel starts; one that does not come up under KVM is emulated.
    ///
    /// # Errors
    ///
    /// There is no QEMU, no agent, or a kernel that does not start, each time that it was tried.
    pub fn start(images: &[Image], options: Options) -> Result<Pool, GuestError> {
        let start = |(image, name): (&Image, String)| {
            let ((snapshot, first), not_accelerated) = first_guest(image, &options)?;
            let tally = Mutex::new(Tally { guests: 1, ..Tally::default() });
            Ok(Kernel { name, image: image.clone(), not_accelerated, snapshot, idle: Mutex::new(vec![first]), tally })
        };
        let kernels: Result<Vec<Kernel>, GuestError> = std::thread::scope(|scope| {
            let named = images.iter().zip(image::names(images));
            let handles: Vec<_> = named.map(|image| scope.spawn(move || start(image))).collect();
            handles.into_iter().map(|handle| handle.join().unwrap_or_else(|_| Err(gone()))).collect()
        });
        let kernels = kernels?;
        Ok(Pool { kernels, options })
    }

    /// The kernels, in the order of the images.
    pub fn kernels(&self) -> &[Kernel] {
        &self.kernels
    }

    /// What one kernel, by index, answers about programs, in their order.
    ///
    /// # Errors
    ///
    /// Guests can no longer be started. A guest that dies is no error.
    pub fn answer(&self, kernel: usize, programs: &[Program], ask: &Ask) -> Result<Vec<Answer>, GuestError> {
        let Some(kernel) = self.kernels.get(kernel) else {
            let why = format!("the pool has no kernel {kernel}");
            return Err(GuestError::Monitor(why));
        };
        let batches = batches(programs, ask);
        let next = AtomicUsize::new(0);
        let lanes = self.options.guests_per_kernel.clamp(1, batches.len().max(1));
        let mut done: Vec<(usize, Vec<Answer>)> = Vec::new();
        std::thread::scope(|scope| {
            let lane = || self.work(kernel, programs, &batches, &next, ask);
            let handles: Vec<_> = (1..lanes).map(|_| scope.spawn(lane)).collect();
            let mut results = vec![lane()];
            results.extend(handles.into_iter().filter_map(|handle| handle.join().ok()));
            for result in results {
                done.extend(result?);
            }
            Ok::<(), GuestError>(())
        })?;
        done.sort_by_key(|(batch, _)| *batch);
        Ok(done.into_iter().flat_map(|(_, answers)| answers).collect())
    }

    /// What every kernel answers, by kernel; kernels work at the same time.
    ///
    /// # Errors
    ///
    /// As [`Pool::answer`].
    pub fn answer_all(&self, programs: &[Program], ask: &Ask) -> Result<Vec<Vec<Answer>>, GuestError> {
        std::thread::scope(|scope| {
            let start = |n| scope.spawn(move || self.answer(n, programs, ask));
            let handles: Vec<_> = (0..self.kernels.len()).map(start).collect();
            handles.into_iter().map(|handle| handle.join().unwrap_or_else(|_| Err(gone()))).collect()
        })
    }

    /// Takes batches until there are none.
    fn work(
        &self,
        kernel: &Kernel,
        programs: &[Program],
        batches: &[Batch],
        next: &AtomicUsize,
        ask: &Ask,
    ) -> Result<Vec<(usize, Vec<Answer>)>, GuestError> {
        let mut done = Vec::new();
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            let Some(batch) = batches.get(n) else { return Ok(done) };
            let programs = programs.get(batch.clone()).unwrap_or_default();
            done.push((n, self.answer_batch(kernel, programs, ask)?));
        }
    }

    fn answer_batch(&self, kernel: &Kernel, programs: &[Program], ask: &Ask) -> Result<Vec<Answer>, GuestError> {
        let mut answers = Vec::with_capacity(programs.len());
        while answers.len() < programs.len() {
            let left = programs.get(answers.len()..).unwrap_or_default();
            let (some, ended) = self.attempt(kernel, left, ask)?;
            answers.extend(some);
            if let (Some(first), Some(program)) = (ended, programs.get(answers.len())) {
                answers.push(self.try_again(kernel, program, ask, first)?);
            }
        }
        lock(&kernel.tally).programs += answers.len() as u64;
        Ok(answers)
    }

    /// Tries a program that has ended a guest alone on fresh ones.
    fn try_again(&self, kernel: &Kernel, program: &Program, ask: &Ask, first: Ended) -> Result<Answer, GuestError> {
        let mut last = first;
        for _ in 0..self.options.tries {
            let (mut answers, ended) = self.attempt(kernel, std::slice::from_ref(program), ask)?;
            if let Some(answer) = answers.pop() {
                lock(&kernel.tally).flukes += 1;
                return Ok(answer);
            }
            last = ended.unwrap_or(last);
        }
        self.without_runs(kernel, program, ask, last)
    }

    /// The answer to a program that ends guests: when it does so in a run, what is known of its load as well.
    fn without_runs(
        &self,
        kernel: &Kernel,
        program: &Program,
        ask: &Ask,
        Ended { verdict, kmsg }: Ended,
    ) -> Result<Answer, GuestError> {
        let in_run =
            Verdict::Died { phase: Phase::Run } == verdict || Verdict::TimedOut { phase: Phase::Run } == verdict;
        if in_run {
            let load_only = Ask { runs: Runs::None, ..*ask };
            let (mut answers, _) = self.attempt(kernel, std::slice::from_ref(program), &load_only)?;
            if let Some(answer) = answers.pop() {
                return Ok(Answer { verdict, kmsg: answer.kmsg.clone() + &kmsg, ..answer });
            }
        }
        Ok(Answer { kmsg, ..Answer::without_load(program, verdict) })
    }

    /// Hands programs to a guest: the answers, and how the guest ended if it did. Without an end there is at least one answer.
    fn attempt(
        &self,
        kernel: &Kernel,
        programs: &[Program],
        ask: &Ask,
    ) -> Result<(Vec<Answer>, Option<Ended>), GuestError> {
        let request: Vec<u8> = programs.iter().flat_map(|program| wire::encode(program, ask)).collect();
        if request.len() > p::REQUEST_MAX {
            let too_long = |p| Answer::without_load(p, Verdict::NotRun("the program is too long".to_owned()));
            return Ok((programs.iter().map(too_long).collect(), None));
        }
        let mut guest = self.guest(kernel)?;
        let exchange = guest.exchange(p::CMD_BATCH, &request, |phase| {
            Patience::seconds(if phase == Phase::Run { self.options.run_seconds } else { self.options.load_seconds })
        });
        let replies = wire::decode(&exchange.response).into_iter().take(exchange.progress.done as usize);
        let answers: Vec<Answer> = programs.iter().zip(replies).map(|(p, reply)| Answer::of(p, reply)).collect();
        let phase = exchange.progress.phase();
        let verdict = match exchange.end {
            End::Answered if !answers.is_empty() => {
                lock(&kernel.idle).push(guest);
                return Ok((answers, None));
            }
            End::Answered | End::Died => Verdict::Died { phase },
            End::Stuck => Verdict::TimedOut { phase },
        };
        lock(&kernel.tally).cpu_seconds += guest.cpu_seconds();
        Ok((answers, Some(Ended { verdict, kmsg: log::without_times(&guest.last_words(LAST_WORDS)) })))
    }

    /// A guest that waits, or a fresh one.
    fn guest(&self, kernel: &Kernel) -> Result<Running, GuestError> {
        if let Some(guest) = lock(&kernel.idle).pop() {
            return Ok(guest);
        }
        tried_again(|| {
            lock(&kernel.tally).guests += 1;
            kernel.snapshot.restore()
        })
    }
}

/// The snapshot of a kernel and a first guest from it; emulated where KVM was wanted and fails, and then why it does.
fn first_guest(image: &Image, options: &Options) -> Result<((Snapshot, Running), Option<GuestError>), GuestError> {
    let make = |machine: &Machine| Snapshot::of(image, machine, &options.snapshots);
    let emulated = Machine { accel: Accel::Tcg, ..options.machine.clone() };
    let mut not_accelerated = None;
    // Counting instructions takes an emulator.
    if options.machine.accel == Accel::KvmIfWorking && options.machine.clock == Clock::Real {
        match make(&options.machine) {
            Ok(first) => return Ok((first, None)),
            Err(error @ (GuestError::Boot { .. } | GuestError::Monitor(_))) => not_accelerated = Some(error),
            Err(error) => return Err(error),
        }
    }
    Ok((tried_again(|| make(&emulated))?, not_accelerated))
}

/// Starts something that may fail for reasons of this machine: again, a few times.
fn tried_again<T>(mut start: impl FnMut() -> Result<T, GuestError>) -> Result<T, GuestError> {
    let mut tries = 1;
    loop {
        match start() {
            Err(error) if tries < START_TRIES && !is_lasting(&error) => tries += 1,
            result => return result,
        }
    }
}

fn gone() -> GuestError {
    GuestError::Monitor("a worker ended".to_owned())
}

/// Errors that another try does not help.
fn is_lasting(error: &GuestError) -> bool {
    match error {
        GuestError::Boot { why, .. } => why == STUCK,
        GuestError::Monitor(_) => false,
        _ => true,
    }
}

type Batch = std::ops::Range<usize>;

/// Neighbours that fit into one request.
fn batches(programs: &[Program], ask: &Ask) -> Vec<Batch> {
    let mut batches = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (n, program) in programs.iter().enumerate() {
        let len = wire::encode(program, ask).len();
        if n > start && (n - start == BATCH_PROGRAMS || bytes + len > BATCH_BYTES) {
            batches.push(start..n);
            (start, bytes) = (n, 0);
        }
        bytes += len;
    }
    if start < programs.len() {
        batches.push(start..programs.len());
    }
    batches
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Insn;

    #[test]
    fn a_guest_that_ends_before_its_agent_is_up_is_started_again_a_few_times() {
        let panic = || GuestError::Boot { release: "6.1".into(), why: "QEMU ended".into(), console: "panic".into() };
        let stuck = || GuestError::Boot { release: "6.1".into(), why: STUCK.into(), console: String::new() };
        let tries = |failing: u32, error: &dyn Fn() -> GuestError| {
            let mut tries = 0;
            let result = tried_again(|| {
                tries += 1;
                if tries <= failing { Err(error()) } else { Ok(()) }
            });
            (tries, result.is_ok())
        };
        assert_eq!(tries(0, &panic), (1, true));
        assert_eq!(tries(START_TRIES - 1, &panic), (START_TRIES, true));
        assert_eq!(tries(START_TRIES, &panic), (START_TRIES, false));
        assert_eq!(tries(1, &stuck), (1, false), "a kernel that never comes up is waited for once");
        assert_eq!(tries(1, &|| GuestError::NoAgent), (1, false));
    }

    #[test]
    fn batches_cover_all_programs_in_order_and_stay_small() {
        let program = |insns| Program { insns: vec![Insn::default(); insns], ..Program::default() };
        let mut programs = vec![program(2); 3 * BATCH_PROGRAMS / 2];
        programs.push(program(BATCH_BYTES));
        programs.push(program(2));
        let cut = batches(&programs, &Ask::default());
        let flat: Vec<usize> = cut.iter().cloned().flatten().collect();
        assert_eq!(flat, (0..programs.len()).collect::<Vec<_>>());
        assert_eq!(cut.len(), 4);
        assert!(batches(&[], &Ask::default()).is_empty());
    }
}
