//! What is removed from the folder of snapshots: what nobody has used for long, and the oldest of what is too much.
//!
//! A file's time of change is when it was last used ([`touch`]). A snapshot of another image, agent or QEMU is never used
//! again, so it is among the first to go; and so is what a process that was killed has left half written.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Bytes that the folder may have: some thirty snapshots.
const BYTES_MAX: u64 = 3 << 30;
/// What was not used for so long goes in any case.
const UNUSED_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// What was used so recently stays in any case: another process may be at work with it.
const IN_USE: Duration = Duration::from_secs(3600);

/// A file of the folder.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Kept {
    path: PathBuf,
    bytes: u64,
    /// Since it was last used.
    unused: Duration,
}

/// Notes that a file is used. In a cache that cannot be written this is left out, and nothing is removed there either.
pub(super) fn touch(path: &Path) {
    let _ = File::open(path).and_then(|file| file.set_modified(SystemTime::now()));
}

/// Removes from a folder what is stale.
pub(super) fn remove(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let kept = |entry: fs::DirEntry| {
        let meta = entry.metadata().ok().filter(fs::Metadata::is_file)?;
        let unused = meta.modified().ok()?.elapsed().unwrap_or_default();
        Some(Kept { path: entry.path(), bytes: meta.len(), unused })
    };
    for path in stale(entries.flatten().filter_map(kept).collect(), BYTES_MAX) {
        // Another process may have removed it; and what stays is tried again at the next snapshot.
        let _ = fs::remove_file(path);
    }
}

/// The files that go, those first that were used longest ago.
fn stale(mut files: Vec<Kept>, bytes_max: u64) -> Vec<PathBuf> {
    files.sort_by_key(|file| std::cmp::Reverse(file.unused));
    let mut bytes: u64 = files.iter().map(|file| file.bytes).sum();
    let mut gone = Vec::new();
    for file in files {
        if file.unused > UNUSED_MAX || bytes > bytes_max && file.unused > IN_USE {
            bytes -= file.bytes;
            gone.push(file.path);
        }
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, bytes: u64, hours: u64) -> Kept {
        Kept { path: name.into(), bytes, unused: Duration::from_secs(hours * 3600) }
    }

    #[test]
    fn the_folder_stays_small_and_what_is_in_use_stays() {
        let files = vec![file("a", 40, 5), file("b", 40, 9), file("c", 40, 2), file("d", 400, 0)];
        let gone = |bytes_max| stale(files.clone(), bytes_max);
        assert_eq!(gone(1000), Vec::<PathBuf>::new());
        assert_eq!(gone(500), [PathBuf::from("b")]);
        assert_eq!(gone(470), ["b", "a"].map(PathBuf::from));
        assert_eq!(gone(1), ["b", "a", "c"].map(PathBuf::from), "not the one in use");
        assert_eq!(stale(vec![file("old", 1, 31 * 24), file("new", 1, 29 * 24)], 1000), [PathBuf::from("old")]);
    }

    #[test]
    fn a_file_that_is_used_is_not_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let (used, unused) = (folder.path().join("used"), folder.path().join("unused"));
        for path in [&used, &unused] {
            fs::write(path, b"x").expect("written");
            let long_ago = SystemTime::now() - UNUSED_MAX - IN_USE;
            File::open(path).and_then(|file| file.set_modified(long_ago)).expect("its time is set");
        }
        touch(&used);
        remove(folder.path());
        assert!(used.exists() && !unused.exists());
    }
}
