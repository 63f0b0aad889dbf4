//! Reading files without trusting them: only regular files, up to a bound.
//!
//! Whoever reads a file says how much of it there may be. What is larger is an error that names the bound, so that a file that
//! never ends does not take the machine's memory.

use std::fs::{File, FileType};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// Largest file with programs, in bytes. What the readers make of it takes at most a small multiple.
pub const PROGRAM_FILE_BYTES_MAX: u64 = 256 << 20;

/// Reads a regular file, or what the shell passes under a name of its own (`/dev/stdin`, `/dev/fd/N`).
///
/// # Errors
///
/// What the file system says; that a path is no regular file; that there are more than `max` bytes.
pub fn read_file(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let metadata = std::fs::metadata(path)?;
    // Opening a FIFO waits for a writer, and a device may have no end.
    if !metadata.is_file() && !is_passed_on(path) {
        let hint = "only regular files are read; `/dev/stdin` stands for standard input";
        return Err(io::Error::other(format!("{}\n  hint: {hint}", kind_name(metadata.file_type()))));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max { Err(too_large(max)) } else { Ok(bytes) }
}

fn too_large(max: u64) -> io::Error {
    let bound = if max >= 1 << 20 { format!("{} MiB", max >> 20) } else { format!("{max} bytes") };
    io::Error::other(format!("too large: more than {bound}"))
}

/// Whether a path names a file that this process was started with.
fn is_passed_on(path: &Path) -> bool {
    path == Path::new("/dev/stdin") || path.starts_with("/dev/fd") || path.starts_with("/proc/self/fd")
}

fn kind_name(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_block_device() || kind.is_char_device() {
        "a device"
    } else {
        "no regular file"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_bound_is_met_and_not_passed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ten");
        std::fs::write(&path, [7; 10]).expect("a file");
        assert_eq!(read_file(&path, 10).expect("as much as may be"), [7; 10]);
        let error = read_file(&path, 9).expect_err("one more").to_string();
        assert_eq!(error, "too large: more than 9 bytes");
        assert_eq!(read_file(&path, u64::MAX).expect("no bound").len(), 10);
    }

    #[test]
    fn what_is_no_regular_file_is_not_opened() {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("x.json");
        let _listener = UnixListener::bind(&socket).expect("a socket");
        for (path, what) in
            [(socket.as_path(), "a socket"), (folder.path(), "a folder"), (Path::new("/dev/zero"), "a device")]
        {
            let error = read_file(path, 100).expect_err("no file").to_string();
            assert!(error.starts_with(what) && error.contains("hint: "), "{error}");
        }
    }
}
