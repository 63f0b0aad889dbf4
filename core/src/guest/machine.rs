//! One QEMU process, and the memory that is shared with its guest.
//!
//! The machine has a processor, memory, a serial line for the kernel's last words and the shared memory; no disk, no network,
//! no other device. Flags are those that let emulated kernels run for hours (`core/docs/guests.md` has the reasons).

use super::answer::Phase;
use super::protocol as p;
use super::shared_file::{self, SharedFile};
use super::{GuestError, Image, headlines, log};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How guests are run.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Accel {
    /// Emulated: everywhere, and never on this machine's own processor.
    #[default]
    Tcg,
    /// By the processor, where a guest comes up that way ([`Pool::start`](super::Pool::start)); emulated elsewhere.
    KvmIfWorking,
}

/// What a guest's time is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Clock {
    /// This machine's.
    #[default]
    Real,
    /// A nanosecond an instruction: times are counts. Emulated guests only.
    Instructions,
}

/// What guests are made of.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Machine {
    /// QEMU's command.
    pub qemu: String,
    /// How they are run.
    pub accel: Accel,
    /// What their time is.
    pub clock: Clock,
    /// Memory, without the shared memory.
    pub memory_mib: u32,
    /// Added to the kernel's command line; `mitigations=off` is left out when one of these begins with `mitigations=`.
    pub boot_args: Vec<String>,
    /// Processor seconds until the agent must be up.
    pub boot_seconds: u32,
}

impl Default for Machine {
    fn default() -> Machine {
        Machine {
            qemu: "qemu-system-x86_64".to_owned(),
            accel: Accel::Tcg,
            clock: Clock::Real,
            memory_mib: 384,
            boot_args: Vec::new(),
            boot_seconds: 120,
        }
    }
}

impl Machine {
    /// The kernel's command line.
    fn command_line(&self) -> String {
        let mut line =
            "console=ttyS0 loglevel=5 nokaslr nosoftlockup nowatchdog rcupdate.rcu_cpu_stall_suppress=1 panic=-1 \
                        oops=panic"
                .to_owned();
        if !self.boot_args.iter().any(|arg| arg.starts_with("mitigations=")) {
            line += " mitigations=off";
        }
        for arg in &self.boot_args {
            line += " ";
            line += arg;
        }
        line
    }

    /// QEMU's arguments, but for those that name a file of one process.
    pub(super) fn arguments(&self) -> Vec<String> {
        let memory = format!("{}M", self.memory_mib);
        let line = self.command_line();
        let accel = match self.accel {
            Accel::KvmIfWorking => ["-accel", "kvm", "-cpu", "host"],
            Accel::Tcg => ["-accel", "tcg", "-cpu", CPU],
        };
        let rest = [
            "-smp",
            "1",
            "-m",
            &memory,
            "-machine",
            "pc",
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
            "-display",
            "none",
            "-nic",
            "none",
            "-sandbox",
            "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
            "-chardev",
            "stdio,id=console,signal=off",
            "-serial",
            "chardev:console",
            "-device",
            "ivshmem-plain,memdev=shared,master=on",
            "-append",
            &line,
        ];
        let clock = if self.clock == Clock::Instructions { &["-icount", "shift=0"][..] } else { &[] };
        accel.iter().chain(clock).chain(&rest).map(|s| (*s).to_owned()).collect()
    }
}

/// Emulated cmpxchg16b corrupts guests in QEMU 7.2, and five-level paging is of no use here.
const CPU: &str = "max,la57=off,cx16=off";

/// Whether a guest boots, or goes on from a snapshot that the monitor is about to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Start {
    Boot,
    Incoming,
}

/// How long something may take.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Patience {
    /// Seconds of QEMU's processor time. The machine's other work does not count.
    pub cpu_seconds: f64,
    /// Seconds by the clock.
    pub wall_seconds: f64,
}

impl Patience {
    /// So many seconds of processor time, and some times more by the clock.
    pub fn seconds(cpu: u32) -> Patience {
        /// The machine may be busy with other work.
        const WALL_PER_CPU: f64 = 4.0;
        Patience { cpu_seconds: f64::from(cpu), wall_seconds: f64::from(cpu) * WALL_PER_CPU }
    }
}

/// How an exchange ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// The agent has answered.
    Answered,
    /// QEMU is gone.
    Died,
    /// There was no progress for too long.
    Stuck,
}

/// The words of the header that tell of progress.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Progress {
    guest_seq: u32,
    response_len: u32,
    program: u32,
    phase: u32,
    beat: u32,
    /// Programs that are answered.
    pub done: u32,
}

impl Progress {
    /// What the agent is doing.
    pub fn phase(&self) -> Phase {
        Phase::from_number(self.phase)
    }
}

/// What came of an exchange: as much of the response as there is.
pub(super) struct Exchange {
    pub end: End,
    pub progress: Progress,
    pub response: Vec<u8>,
}

/// A QEMU process. It ends when this is dropped, and when this process is killed.
pub(super) struct Running {
    qemu: Child,
    guard: Option<Child>,
    shared: File,
    console: Arc<Mutex<VecDeque<u8>>>,
    dir: TempDir,
    seq: u32,
    /// Processor time at the last look.
    cpu_seen: f64,
}

impl Running {
    /// Starts QEMU. `initramfs` is a file.
    pub fn start(machine: &Machine, image: &Image, initramfs: &Path, start: Start) -> Result<Running, GuestError> {
        let cache = initramfs.parent().unwrap_or(initramfs);
        let SharedFile { dir, file: shared } = shared_file::make(u64::from(p::SHARED_BYTES), cache)?;
        let mut command = Command::new(&machine.qemu);
        command.args(machine.arguments());
        command.arg("-object").arg(format!(
            "memory-backend-file,id=shared,size={},share=on,mem-path={}",
            p::SHARED_BYTES,
            dir.path().join(shared_file::NAME).display()
        ));
        command.arg("-qmp").arg(format!("unix:{},server=on,wait=off", dir.path().join("monitor").display()));
        command.arg("-kernel").arg(&image.path).arg("-initrd").arg(initramfs);
        if start == Start::Incoming {
            command.args(["-S", "-incoming", "defer"]);
        }
        // A group of its own: an interrupt at the terminal reaches this process alone, which then ends its guests.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let spawned = command.spawn();
        let mut qemu = spawned.map_err(|source| GuestError::NoQemu { program: machine.qemu.clone(), source })?;
        let console = Arc::new(Mutex::new(VecDeque::new()));
        if let Some(stdout) = qemu.stdout.take() {
            keep_last_words(stdout, Arc::clone(&console));
        }
        if let Some(stderr) = qemu.stderr.take() {
            keep_last_words(stderr, Arc::clone(&console));
        }
        let guard = guard(qemu.id(), dir.path()).ok();
        Ok(Running { qemu, guard, shared, console, dir, seq: 0, cpu_seen: 0.0 })
    }

    /// The folder of this process's sockets.
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// The monitor's socket.
    pub fn monitor(&self) -> PathBuf {
        self.dir.path().join("monitor")
    }

    /// The process's number.
    pub fn pid(&self) -> u32 {
        self.qemu.id()
    }

    /// Processor time that QEMU has used, also when it has ended.
    pub fn cpu_seconds(&self) -> f64 {
        cpu_seconds(self.qemu.id()).unwrap_or(0.0).max(self.cpu_seen)
    }

    /// Waits for the agent.
    pub fn wait_for_agent(&mut self, patience: Patience) -> End {
        let end = self.wait(patience, |running| {
            running.word(p::MAGIC) == p::MAGIC_VALUE && running.word(p::HOST_SEQ) == running.word(p::GUEST_SEQ)
        });
        self.seq = self.word(p::GUEST_SEQ);
        end
    }

    /// Sends a request and waits for the answer. Patience starts again with every progress.
    pub fn exchange(&mut self, command: u32, request: &[u8], patience: impl Fn(Phase) -> Patience) -> Exchange {
        let sent = self.send(command, request);
        let mut last = Progress::default();
        let mut since = (self.cpu_seconds(), Instant::now());
        let mut pause = Pause::default();
        let end = loop {
            let now = self.progress();
            if sent.is_err() {
                break End::Died;
            }
            if now.guest_seq == self.seq {
                break End::Answered;
            }
            if now != last {
                (last, since) = (now, (self.cpu_seconds(), Instant::now()));
                pause = Pause::default();
            }
            if pause.is_long() {
                if self.is_gone() {
                    break End::Died;
                }
                let limit = patience(now.phase());
                let cpu = self.cpu_seconds() - since.0;
                if cpu > limit.cpu_seconds || since.1.elapsed().as_secs_f64() > limit.wall_seconds {
                    break End::Stuck;
                }
            }
            pause.sleep();
        };
        let progress = self.progress();
        let mut response = vec![0; (progress.response_len as usize).min(p::RESPONSE_MAX)];
        if self.shared.read_exact_at(&mut response, p::RESPONSE_AT as u64).is_err() {
            response.clear();
        }
        Exchange { end, progress, response }
    }

    fn send(&mut self, command: u32, request: &[u8]) -> io::Result<()> {
        self.seq = self.seq.wrapping_add(1);
        let request = &request[..request.len().min(p::REQUEST_MAX)];
        self.shared.write_all_at(request, p::REQUEST_AT as u64)?;
        for (at, value) in [
            (p::COMMAND, command),
            (p::REQUEST_LEN, request.len() as u32),
            (p::RESPONSE_LEN, 0),
            (p::DONE, 0),
            (p::PROGRAM, 0),
            (p::PHASE, 0),
            (p::HOST_SEQ, self.seq),
        ] {
            self.shared.write_all_at(&value.to_le_bytes(), at as u64)?;
        }
        Ok(())
    }

    fn wait(&mut self, patience: Patience, is_done: impl Fn(&Running) -> bool) -> End {
        /// A guest that needs no processor for so long has stopped.
        const IDLE: Duration = Duration::from_secs(30);
        const IDLE_CPU_SECONDS: f64 = 0.1;
        let start = Instant::now();
        let mut busy = (self.cpu_seconds(), start);
        loop {
            if is_done(self) {
                return End::Answered;
            }
            if self.is_gone() {
                return End::Died;
            }
            let cpu = self.cpu_seconds();
            if cpu > busy.0 + IDLE_CPU_SECONDS {
                busy = (cpu, Instant::now());
            }
            let is_late = cpu > patience.cpu_seconds || start.elapsed().as_secs_f64() > patience.wall_seconds;
            if is_late || busy.1.elapsed() > IDLE {
                return End::Stuck;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn word(&self, at: usize) -> u32 {
        let mut bytes = [0; 4];
        match self.shared.read_exact_at(&mut bytes, at as u64) {
            Ok(()) => u32::from_le_bytes(bytes),
            Err(_) => 0,
        }
    }

    fn progress(&self) -> Progress {
        let mut header = [0; p::HEADER_BYTES];
        if self.shared.read_exact_at(&mut header, 0).is_err() {
            return Progress::default();
        }
        let word = |at: usize| header.get(at..).and_then(|b| b.first_chunk()).map_or(0, |b| u32::from_le_bytes(*b));
        Progress {
            guest_seq: word(p::GUEST_SEQ),
            response_len: word(p::RESPONSE_LEN),
            program: word(p::PROGRAM),
            phase: word(p::PHASE),
            beat: word(p::BEAT),
            done: word(p::DONE),
        }
    }

    fn is_gone(&mut self) -> bool {
        // Whoever waits for a process takes its times away.
        self.cpu_seen = self.cpu_seconds();
        !matches!(self.qemu.try_wait(), Ok(None))
    }

    /// The last lines of the console.
    pub fn last_words(&self, lines: usize) -> String {
        last_lines(&self.console(), lines)
    }

    /// Why a guest did not come up: what its kernel says at the end, without the state of the machine.
    pub fn complaint(&self, lines: usize) -> String {
        let text = log::without_clock(&log::without_times(&self.console()));
        last_lines(&headlines(&text), lines)
    }

    fn console(&self) -> String {
        // The reader may still have something to read.
        std::thread::sleep(Duration::from_millis(50));
        let console = self.console.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = console.iter().copied().filter(|b| *b != b'\r').collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

fn last_lines(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
        if let Some(guard) = &mut self.guard {
            let _ = guard.kill();
            let _ = guard.wait();
        }
    }
}

/// Sleeps longer the longer nothing happens.
#[derive(Default)]
struct Pause {
    slept: u32,
}

impl Pause {
    fn sleep(&mut self) {
        self.slept = self.slept.saturating_add(1);
        std::thread::sleep(Duration::from_micros(if self.slept < 50 { 200 } else { 2000 }));
    }

    /// Whether it is time to look at slower things.
    fn is_long(&self) -> bool {
        self.slept > 50 && self.slept.is_multiple_of(16)
    }
}

/// A process that waits for this one to end, however it ends, and then kills QEMU and removes its folder.
fn guard(qemu: u32, folder: &Path) -> io::Result<Child> {
    let script = "cat; kill -9 \"$1\" 2>/dev/null; rm -rf -- \"$2\"";
    Command::new("sh")
        .args(["-c", script, "guard", &qemu.to_string()])
        .arg(folder)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

/// Keeps the end of what a process writes.
fn keep_last_words(mut from: impl Read + Send + 'static, to: Arc<Mutex<VecDeque<u8>>>) {
    const BYTES: usize = 64 << 10;
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(len @ 1..) = from.read(&mut buffer) {
            let mut kept = to.lock().unwrap_or_else(PoisonError::into_inner);
            kept.extend(&buffer[..len]);
            let excess = kept.len().saturating_sub(BYTES);
            kept.drain(..excess);
        }
    });
}

/// Processor time of a process: fields 14 and 15 of `/proc/PID/stat`, in hundredths of a second.
fn cpu_seconds(pid: u32) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11).map(|n| n.parse::<f64>().ok());
    Some((fields.next()?? + fields.next()??) / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_processor_time_is_readable() {
        assert!(cpu_seconds(std::process::id()).is_some_and(|s| s < 1e6));
        assert_eq!(cpu_seconds(u32::MAX), None);
    }

    #[test]
    fn mitigations_are_off_unless_asked_for() {
        let plain = Machine::default().command_line();
        assert!(plain.ends_with(" mitigations=off"));
        let asked = Machine { boot_args: vec!["mitigations=auto".into(), "x=1".into()], ..Machine::default() };
        assert!(asked.command_line().ends_with("oops=panic mitigations=auto x=1"));
    }
}
