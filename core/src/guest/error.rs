//! What goes wrong with guests, for people: what, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Images, QEMU or guests failed. None of these is an answer about a program.
#[derive(Debug, Error)]
pub enum GuestError {
    /// QEMU cannot be started.
    #[error("{program} cannot be started: {source}\n  hint: install it (Debian: apt-get install qemu-system-x86)")]
    NoQemu {
        /// What was tried.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// The library was built without an agent.
    #[error("this build has no guest agent\n  hint: build on x86-64 Linux with a static C library (Debian: libc6-dev)")]
    NoAgent,
    /// No image for a version.
    #[error("no image of kernel {wanted} in {folder}\n  hint: loopdiff kernel fetch {wanted}, or --image PATH")]
    NoImage {
        /// What was asked for.
        wanted: String,
        /// Where images are kept.
        folder: PathBuf,
    },
    /// A file that is no kernel.
    #[error("{path} is not a kernel image: {why}", path = .path.display())]
    NotAnImage {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// An image that is no longer the one that was fetched.
    #[error(
        "{path} is not the file that was fetched: its digest is another\n  hint: fetch it again (loopdiff kernel fetch VERSION)",
        path = .path.display()
    )]
    Altered {
        /// The file.
        path: PathBuf,
    },
    /// Nobody says where the cache is.
    #[error(
        "there is no folder for kernels and snapshots: LOOPDIFF_CACHE, XDG_CACHE_HOME and HOME are not set\n  \
         hint: set LOOPDIFF_CACHE to a folder of your own"
    )]
    NoCache,
    /// The cache cannot be written.
    #[error(
        "{path} cannot be written: {source}\n  hint: kernels and snapshots are kept in the cache; \
         set LOOPDIFF_CACHE to a folder of your own with some GiB of space",
        path = .path.display()
    )]
    Unwritable {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The memory that a guest shares with this process has no place.
    #[error(
        "a guest shares {mib} MiB with this process, and there is no space for them: {reasons}\n  hint: give /dev/shm more \
         (containers have 64 MiB unless told otherwise: --shm-size=1g), or set TMPDIR to a folder with space"
    )]
    NoSpace {
        /// How much is needed.
        mib: u64,
        /// Each folder that was tried, and why not.
        reasons: String,
    },
    /// Kernels cannot be downloaded.
    #[error("{0}")]
    Fetch(String),
    /// A guest does not come up.
    #[error("the guest with kernel {release} does not start: {why}{console}")]
    Boot {
        /// The kernel.
        release: String,
        /// What happened.
        why: String,
        /// The last lines of the console, each after a line break.
        console: String,
    },
    /// QEMU's monitor.
    #[error("QEMU: {0}")]
    Monitor(String),
    /// A file.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl GuestError {
    /// Turns an error about a file into one of these.
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> GuestError {
        let path = path.to_owned();
        move |source| GuestError::Io { path, source }
    }

    /// The same for a file of the cache that is to be written.
    pub(super) fn unwritable(path: &Path) -> impl FnOnce(io::Error) -> GuestError {
        let path = path.to_owned();
        move |source| GuestError::Unwritable { path, source }
    }
}
