//! The file behind the memory that a guest shares with this process, and the folder that it lies in.
//!
//! It lies in memory (`/dev/shm`) where there is space, else in the folder for temporary files, else in the cache. Space is
//! looked at first and then taken at once: a file that has a size but no space ends QEMU, and whoever writes to it, with a
//! bus error in the middle of the work.

use super::GuestError;
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A file of the size that was asked for, alone in a folder that goes away with this.
pub(super) struct SharedFile {
    /// The folder, which takes the guest's sockets too.
    pub dir: TempDir,
    /// The file.
    pub file: File,
}

/// The file's name in its folder.
pub(super) const NAME: &str = "shared";

/// What is left free for others, and for the folder itself.
const SPARE_BYTES: u64 = 1 << 20;
/// The path of a socket has 107 bytes at most; the folder's own name and the socket's take the rest.
const FOLDER_NAME_MAX: usize = 72;

/// Makes the file in the first folder that has space. `last` is the one that is tried after the usual ones.
pub(super) fn make(bytes: u64, last: &Path) -> Result<SharedFile, GuestError> {
    let folders = [PathBuf::from("/dev/shm"), std::env::temp_dir(), last.to_owned()];
    first_with_space(&folders, bytes, free_bytes)
}

fn first_with_space(
    folders: &[PathBuf],
    bytes: u64,
    free: impl Fn(&Path) -> io::Result<u64>,
) -> Result<SharedFile, GuestError> {
    let mut reasons: Vec<String> = Vec::new();
    for (n, folder) in folders.iter().enumerate() {
        let why = match free(folder) {
            _ if folders.iter().take(n).any(|earlier| earlier == folder) => continue,
            _ if folder.as_os_str().len() > FOLDER_NAME_MAX => "its name is too long for a socket's path".to_owned(),
            Ok(free) if free < bytes + SPARE_BYTES => format!("{} MiB are free", free >> 20),
            Ok(_) => match make_in(folder, bytes) {
                Ok(made) => return Ok(made),
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        };
        reasons.push(format!("{}: {why}", folder.display()));
    }
    Err(GuestError::NoSpace { mib: bytes >> 20, reasons: reasons.join("; ") })
}

/// Bytes that a folder's file system has for this user.
fn free_bytes(folder: &Path) -> io::Result<u64> {
    let of = statvfs(folder)?;
    Ok(of.f_bavail.saturating_mul(of.f_frsize))
}

fn make_in(folder: &Path, bytes: u64) -> io::Result<SharedFile> {
    let dir = tempfile::Builder::new().prefix("loopdiff-guest-").tempdir_in(folder)?;
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(dir.path().join(NAME))?;
    match fallocate(&file, FallocateFlags::empty(), 0, bytes) {
        // The file system cannot promise space: it was looked at.
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => file.set_len(bytes)?,
        result => result?,
    }
    Ok(SharedFile { dir, file })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_first_folder_with_space_is_taken() {
        let (small, large) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let folders = [PathBuf::from("/no/such"), small.path().to_owned(), large.path().to_owned()];
        let free = |folder: &Path| if folder == small.path() { Ok(64 * MIB) } else { free_bytes(folder) };
        let made = first_with_space(&folders, 64 * MIB, free).expect("there is space");
        assert_eq!(made.dir.path().parent(), Some(large.path()));
        assert_eq!(made.file.metadata().expect("a file").len(), 64 * MIB);
        let made = first_with_space(&folders, 8 * MIB, free).expect("there is space");
        assert_eq!(made.dir.path().parent(), Some(small.path()));
    }

    #[test]
    fn where_there_is_no_space_the_message_names_every_folder_and_what_to_do() {
        let long = PathBuf::from(format!("/{}", "x".repeat(FOLDER_NAME_MAX)));
        let folders = [PathBuf::from("/dev/shm"), "/tmp".into(), "/tmp".into(), long];
        let error = first_with_space(&folders, 64 * MIB, |_| Ok(3 * MIB)).err().expect("no space").to_string();
        assert!(
            error.contains("64 MiB") && error.contains("/dev/shm: 3 MiB are free; /tmp: 3 MiB are free; /x"),
            "{error}"
        );
        assert!(error.contains("too long") && error.contains("hint: ") && error.contains("TMPDIR"), "{error}");
    }
}
