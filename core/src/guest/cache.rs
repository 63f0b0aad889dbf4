//! The folder where images and snapshots are kept.

use super::{GuestError, Image, image};
use std::env;
use std::ffi::OsString;
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
    ///
    /// # Errors
    ///
    /// None of them is set. A folder that everybody may write to is no place for kernels that are going to be run.
    pub fn of_user() -> Result<Cache, GuestError> {
        Cache::named_by(|name| env::var_os(name))
    }

    fn named_by(variable: impl Fn(&str) -> Option<OsString>) -> Result<Cache, GuestError> {
        let set = |name: &str| variable(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let folder = set("LOOPDIFF_CACHE")
            .or_else(|| set("XDG_CACHE_HOME").map(|d| d.join("loopdiff")))
            .or_else(|| set("HOME").map(|d| d.join(".cache/loopdiff")));
        folder.map(Cache::new).ok_or(GuestError::NoCache)
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
    /// One that came here without a digest gets one now, so that a later change is noticed.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn find(&self, wanted: &str) -> Result<Image, GuestError> {
        let is_meant = |i: &Image| i.release == wanted || i.point == wanted || i.series() == wanted;
        let found = self.images().into_iter().rfind(is_meant);
        let found = found.ok_or_else(|| GuestError::NoImage { wanted: wanted.to_owned(), folder: self.kernels() })?;
        if found.kept_digest().is_none()
            && let Ok(digest) = found.check()
        {
            // Where the cache cannot be written it stays without.
            let _ = image::keep_digest(&found.path, &digest);
        }
        Ok(found)
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

        // What was found once is known by its digest from then on.
        let path = cache.find("6.1").expect("an image").path;
        fs::write(&path, "\x7fELF Linux version 6.1.5 (y)").expect("written");
        let altered = cache.find("6.1").expect("an image").check();
        assert!(matches!(altered, Err(GuestError::Altered { .. })), "{altered:?}");
    }

    #[test]
    fn the_cache_is_where_the_user_says_and_never_in_a_folder_for_all() {
        let of = |set: &[(&str, &str)]| {
            let value = |name: &str| set.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v));
            Cache::named_by(value).map(|cache| cache.folder)
        };
        assert_eq!(of(&[("LOOPDIFF_CACHE", "/c"), ("HOME", "/h")]).ok(), Some("/c".into()));
        assert_eq!(of(&[("XDG_CACHE_HOME", "/x"), ("HOME", "/h")]).ok(), Some("/x/loopdiff".into()));
        assert_eq!(of(&[("LOOPDIFF_CACHE", ""), ("HOME", "/h")]).ok(), Some("/h/.cache/loopdiff".into()));
        for nothing in [&[][..], &[("HOME", ""), ("TMPDIR", "/tmp")]] {
            let error = of(nothing).expect_err("no folder");
            assert!(error.to_string().contains("hint: set LOOPDIFF_CACHE"), "{error}");
        }
    }
}
