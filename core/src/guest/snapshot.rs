//! Snapshots: a guest is booted once, saved when its agent is up, and every guest that is used goes on from there.
//!
//! That takes a second instead of ten, and no guest knows what another has done. A snapshot belongs to one kernel file, one
//! QEMU, one agent and one set of arguments; its name is a digest of these, so an outdated one is never found again, and goes
//! when it was not used for long ([`stale`]). Its own digest is kept beside it: one that has changed is made again.

use super::machine::{End, Machine, Patience, Running, Start};
use super::protocol as p;
use super::qmp::Monitor;
use super::{Facts, GuestError, Image, cpio, digest, stale};
use serde_json::json;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

static AGENT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/agent"));

/// A guest that was saved, and what its kernel said of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Snapshot {
    image: Image,
    machine: Machine,
    initramfs: PathBuf,
    state: PathBuf,
    pub facts: Facts,
}

/// Why a guest does not start that neither ends nor comes up. Another try does not help.
pub(super) const STUCK: &str = "the agent does not come up";

/// What the first line of the facts of a snapshot begins with: its digest follows.
const STATE: &str = "state ";

const PATIENCE: Duration = Duration::from_secs(120);

impl Snapshot {
    /// The snapshot of a kernel, from the folder or made now, and a first guest from it.
    pub fn of(image: &Image, machine: &Machine, folder: &Path) -> Result<(Snapshot, Running), GuestError> {
        if AGENT.is_empty() {
            return Err(GuestError::NoAgent);
        }
        if folder.as_os_str().is_empty() {
            return Err(GuestError::NoCache);
        }
        let kernel = image.check()?;
        fs::create_dir_all(folder).map_err(GuestError::unwritable(folder))?;
        let archive = cpio::initramfs(AGENT);
        let agent = digest::of(&archive);
        let initramfs = folder.join(format!("initramfs-{}", short(&agent)));
        if !is_still(&initramfs, &agent) {
            write_whole(&initramfs, |file| file.write_all(&archive))?;
        }
        let arguments = machine.arguments().join("\n");
        let name =
            digest::of([&version(machine)?, &kernel, &agent, &arguments].map(String::as_str).join("\n").as_bytes());
        let base = folder.join(format!("{}-{}", image.release, short(&name)));
        let (state, facts_file) = (base.with_added_extension("state"), base.with_added_extension("facts"));
        let mut snapshot =
            Snapshot { image: image.clone(), machine: machine.clone(), initramfs, state, facts: Facts::default() };
        if let Ok(text) = fs::read_to_string(&facts_file)
            && text
                .lines()
                .next()
                .and_then(|line| line.strip_prefix(STATE))
                .is_some_and(|d| is_still(&snapshot.state, d))
        {
            snapshot.facts = Facts::parse(&text);
            // One that QEMU does not take any more is made again.
            if let Ok(first) = snapshot.restore() {
                stale::touch(&facts_file);
                return Ok((snapshot, first));
            }
        }
        // Before a kernel boots in vain.
        tempfile::NamedTempFile::new_in(folder).map_err(GuestError::unwritable(folder))?;
        snapshot.facts = snapshot.boot_and_save()?;
        let digest = digest::of_file(&snapshot.state).map_err(GuestError::io(&snapshot.state))?;
        let text = format!("{STATE}{digest}\n{}", snapshot.facts.text());
        write_whole(&facts_file, |file| file.write_all(text.as_bytes()))?;
        stale::remove(folder);
        let first = snapshot.restore()?;
        Ok((snapshot, first))
    }

    /// A fresh guest, up and waiting.
    pub fn restore(&self) -> Result<Running, GuestError> {
        [&self.state, &self.initramfs].into_iter().for_each(|used| stale::touch(used));
        let mut running = Running::start(&self.machine, &self.image, &self.initramfs, Start::Incoming)?;
        self.load_state(&running).map_err(|error| self.failed(&running, &error.to_string()))?;
        match running.wait_for_agent(Patience::seconds(self.machine.boot_seconds)) {
            End::Answered => Ok(running),
            End::Died => Err(self.failed(&running, "QEMU ended after it was restored")),
            End::Stuck => Err(self.failed(&running, "the agent does not answer after it was restored")),
        }
    }

    fn load_state(&self, running: &Running) -> Result<(), GuestError> {
        let mut monitor = Monitor::connect(&running.monitor(), PATIENCE)?;
        let socket = running.folder().join("state");
        monitor.command("migrate-incoming", json!({ "uri": format!("unix:{}", socket.display()) }))?;
        let mut to = UnixStream::connect(&socket).map_err(GuestError::io(&socket))?;
        let mut from = File::open(&self.state).map_err(GuestError::io(&self.state))?;
        io::copy(&mut from, &mut to).map_err(GuestError::io(&self.state))?;
        drop(to);
        monitor.wait_for_status("query-status", &["paused", "prelaunch", "postmigrate"], PATIENCE)?;
        monitor.command("cont", json!({}))?;
        Ok(())
    }

    fn boot_and_save(&self) -> Result<Facts, GuestError> {
        let mut running = Running::start(&self.machine, &self.image, &self.initramfs, Start::Boot)?;
        let patience = Patience::seconds(self.machine.boot_seconds);
        match running.wait_for_agent(patience) {
            End::Answered => {}
            End::Died => return Err(self.failed(&running, "QEMU ended")),
            End::Stuck => return Err(self.failed(&running, STUCK)),
        }
        let told = running.exchange(p::CMD_FACTS, b"", |_| patience);
        if told.end != End::Answered {
            return Err(self.failed(&running, "the agent does not answer"));
        }
        let facts = Facts::parse(&String::from_utf8_lossy(&told.response));
        self.save_state(&running).map_err(|error| match error {
            GuestError::Unwritable { .. } => error,
            error => self.failed(&running, &error.to_string()),
        })?;
        Ok(facts)
    }

    fn save_state(&self, running: &Running) -> Result<(), GuestError> {
        let mut monitor = Monitor::connect(&running.monitor(), PATIENCE)?;
        let socket = running.folder().join("state");
        let listener = UnixListener::bind(&socket).map_err(GuestError::io(&socket))?;
        monitor.command("stop", json!({}))?;
        monitor.command("migrate-set-parameters", json!({ "max-bandwidth": 8u64 << 30 }))?;
        monitor.command("migrate", json!({ "uri": format!("unix:{}", socket.display()) }))?;
        let mut from = accept(&listener).map_err(GuestError::io(&socket))?;
        write_whole(&self.state, |file| io::copy(&mut from, file).map(drop))?;
        monitor.wait_for_status("query-migrate", &["completed"], PATIENCE)
    }

    fn failed(&self, running: &Running, why: &str) -> GuestError {
        const LINES: usize = 8;
        let words = running.complaint(LINES);
        let console = match words.as_str() {
            "" => "\nits console is empty: a damaged file, too little memory, or a kernel without CONFIG_SERIAL_8250_CONSOLE"
                .to_owned(),
            words => format!("\n{words}"),
        };
        GuestError::Boot { release: self.image.release.clone(), why: why.to_owned(), console }
    }
}

/// Waits for a connection, but not for ever.
fn accept(listener: &UnixListener) -> io::Result<UnixStream> {
    listener.set_nonblocking(true)?;
    let start = Instant::now();
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && start.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => return Err(error),
        }
    }
}

/// Writes a file that is there as a whole or not at all.
pub(super) fn write_whole(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), GuestError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(GuestError::unwritable(folder))?;
    write(file.as_file_mut()).and_then(|()| file.as_file().sync_all()).map_err(GuestError::unwritable(path))?;
    file.persist(path).map_err(|error| GuestError::unwritable(path)(error.error))?;
    Ok(())
}

/// What QEMU says of its version.
fn version(machine: &Machine) -> Result<String, GuestError> {
    let output = Command::new(&machine.qemu).arg("--version").output();
    let output = output.map_err(|source| GuestError::NoQemu { program: machine.qemu.clone(), source })?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether a file has this digest.
fn is_still(path: &Path, digest: &str) -> bool {
    digest::of_file(path).is_ok_and(|of| of == digest)
}

/// As much of a digest as a file's name has.
fn short(digest: &str) -> &str {
    digest.get(..32).unwrap_or(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_that_nobody_names_or_that_cannot_be_written_is_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let kernel = folder.path().join("vmlinuz");
        fs::write(&kernel, b"\x7fELF Linux version 6.1.0-none (nobody)\0").expect("written");
        let image = Image::open(&kernel).expect("says that it is one");
        let error = |folder: &Path| Snapshot::of(&image, &Machine::default(), folder).err().expect("no snapshot");
        if AGENT.is_empty() {
            assert!(matches!(error(Path::new("")), GuestError::NoAgent));
            return;
        }
        assert!(matches!(error(Path::new("")), GuestError::NoCache));
        // A file where the folder must be, which stops the superuser too.
        let unwritable = error(&kernel.join("snapshots"));
        assert!(matches!(unwritable, GuestError::Unwritable { .. }), "{unwritable}");
        assert!(unwritable.to_string().contains("hint: ") && unwritable.to_string().contains("LOOPDIFF_CACHE"));
    }
}
