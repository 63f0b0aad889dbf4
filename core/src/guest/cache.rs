//! The folder where images and snapshots are kept.

use super::{GuestError, Image};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// A folder of images.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// A cache in a folder, which need not exist yet.
    pub fn new(folder: impl Into<PathBuf>) -> Cache {
        Cache { folder: folder.into() }
    }

    /// The user's cache: `$LOOPDIFF_CACHE`, else `$XDG_CACHE_HOME/loopdiff`, else `~/.cache/loopdiff`.
    pub fn of_user() -> Cache {
        let set = |name: &str| env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let folder = set("LOOPDIFF_CACHE")
            .or_else(|| set("XDG_CACHE_HOME").map(|d| d.join("loopdiff")))
            .or_else(|| set("HOME").map(|d| d.join(".cache/loopdiff")));
        Cache::new(folder.unwrap_or_else(|| env::temp_dir().join("loopdiff")))
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where images are, one folder each.
    pub fn kernels(&self) -> PathBuf {
        self.folder.join("kernels")
    }

    /// Where snapshots are.
    pub fn snapshots(&self) -> PathBuf {
        self.folder.join("snapshots")
    }

    /// All images, oldest kernel first. Files that are no images are left out.
    pub fn images(&self) -> Vec<Image> {
        let Ok(entries) = fs::read_dir(self.kernels()) else { return Vec::new() };
        let files = entries.flatten().map(|entry| entry.path().join("vmlinuz"));
        let mut images: Vec<Image> = files.filter_map(|path| Image::open(&path).ok()).collect();
        images.sort_by_key(|image| (numbers(&image.point), image.release.clone()));
        images
    }

    /// The image that is meant by a series (`6.1`: the newest point release), a point release (`6.1.192`) or a release.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn find(&self, wanted: &str) -> Result<Image, GuestError> {
        let is_meant = |i: &Image| i.release == wanted || i.point == wanted || i.series() == wanted;
        let found = self.images().into_iter().rfind(is_meant);
        found.ok_or_else(|| GuestError::NoImage { wanted: wanted.to_owned(), folder: self.kernels() })
    }
}

/// The numbers in a version, to compare versions by.
pub(super) fn numbers(version: &str) -> Vec<u64> {
    version.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_found_by_series_point_and_release() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::new(folder.path());
        assert!(matches!(cache.find("6.1"), Err(GuestError::NoImage { .. })));
        for release in ["6.12.9-a", "6.12.117-b", "6.1.5", "broken"] {
            let dir = cache.kernels().join(release);
            fs::create_dir_all(&dir).expect("a folder");
            let text = format!("\x7fELF Linux version {release} (x)");
            fs::write(dir.join("vmlinuz"), text).expect("written");
        }
        let found = |wanted: &str| cache.find(wanted).map(|i| i.release).ok();
        assert_eq!(cache.images().len(), 3);
        assert_eq!(found("6.12").as_deref(), Some("6.12.117-b"));
        assert_eq!(found("6.12.9").as_deref(), Some("6.12.9-a"));
        assert_eq!(found("6.12.9-a").as_deref(), Some("6.12.9-a"));
        assert_eq!(found("6.1").as_deref(), Some("6.1.5"));
        assert_eq!((found("6"), found("7.3")), (None, None));
    }
}
