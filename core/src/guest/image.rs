//! Kernel images: a bzImage or vmlinux, and what it says of itself.

use super::{GuestError, digest, snapshot};
use crate::kernel::KernelVersion;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// A kernel that a guest can run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Image {
    /// The modelled version of the same series, where there is one.
    pub version: Option<KernelVersion>,
    /// What `uname -r` says.
    pub release: String,
    /// The point release: `6.1.192`. Debian's name of the release does not always hold it.
    pub point: String,
    /// The file.
    pub path: PathBuf,
}

/// No kernel is larger.
const IMAGE_BYTES_MAX: u64 = 1 << 30;

impl Image {
    /// Reads what a file says of itself.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is no kernel for x86-64.
    pub fn open(path: &Path) -> Result<Image, GuestError> {
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(GuestError::io(path))?;
        file.take(IMAGE_BYTES_MAX).read_to_end(&mut bytes).map_err(GuestError::io(path))?;
        let banner =
            banner(&bytes).map_err(|why| GuestError::NotAnImage { path: path.to_owned(), why: why.to_owned() })?;
        let release = banner.split_ascii_whitespace().next().unwrap_or_default().to_owned();
        let point = point_of(&banner, &release);
        Ok(Image { version: version_of(&release), release, point, path: path.to_owned() })
    }

    /// The digest of the file, which must be the one that was kept beside it when it was fetched, if one was.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is no longer what it was.
    pub fn check(&self) -> Result<String, GuestError> {
        let digest = digest::of_file(&self.path).map_err(GuestError::io(&self.path))?;
        match self.kept_digest() {
            Some(kept) if kept != digest => Err(GuestError::Altered { path: self.path.clone() }),
            _ => Ok(digest),
        }
    }

    /// The digest that was kept beside the file.
    pub(super) fn kept_digest(&self) -> Option<String> {
        std::fs::read_to_string(digest_file(&self.path)).ok().map(|text| text.trim().to_owned())
    }

    /// The series: `6.1`.
    pub fn series(&self) -> String {
        series_of(&self.release)
    }

    /// What people call it: the modelled version's name, else the release.
    pub fn label(&self) -> &str {
        match self.version {
            Some(version) => version.name(),
            None => &self.release,
        }
    }
}

/// The series of a release: `6.1` of `6.1.0-57-cloud-amd64`.
pub fn series_of(release: &str) -> String {
    release.splitn(3, ['.', '-']).take(2).collect::<Vec<_>>().join(".")
}

/// Where the digest of an image is kept.
fn digest_file(image: &Path) -> PathBuf {
    image.with_added_extension("sha256")
}

/// Keeps the digest that the image at `path` has, or is about to have, beside it.
pub(super) fn keep_digest(path: &Path, digest: &str) -> Result<(), GuestError> {
    snapshot::write_whole(&digest_file(path), |file| writeln!(file, "{digest}"))
}

/// Names for kernels side by side, each its own: the first of label, point release and release that no other shares, else the path.
pub(super) fn names(images: &[Image]) -> Vec<String> {
    let kinds: [fn(&Image) -> &str; 3] = [Image::label, |image| &image.point, |image| &image.release];
    let name = |image: &Image| {
        let is_own = |of: &&fn(&Image) -> &str| images.iter().filter(|other| of(other) == of(image)).count() == 1;
        kinds.iter().find(is_own).map_or_else(|| image.path.display().to_string(), |of| of(image).to_owned())
    };
    images.iter().map(name).collect()
}

/// The modelled version of a release's series.
fn version_of(release: &str) -> Option<KernelVersion> {
    KernelVersion::ALL.into_iter().find(|version| {
        let rest = release.strip_prefix(version.name());
        rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
    })
}

/// The point release, from Debian's version where the banner has it, else from the release.
fn point_of(banner: &str, release: &str) -> String {
    let debian = banner.split_once(" Debian ").map(|(_, rest)| rest);
    let text = debian.filter(|t| t.starts_with(|c: char| c.is_ascii_digit())).unwrap_or(release);
    text.split(|c: char| !c.is_ascii_digit() && c != '.').next().unwrap_or_default().to_owned()
}

/// The text after "Linux version" of a kernel file, from the release on.
fn banner(bytes: &[u8]) -> Result<String, &'static str> {
    let text_at = |at: usize| {
        let text = bytes.get(at..bytes.len().min(at + 512)).unwrap_or_default();
        let text = text.split(|b| matches!(b, 0 | b'\n')).next().unwrap_or_default();
        String::from_utf8_lossy(text).into_owned()
    };
    if bytes.starts_with(b"\x7fELF") {
        let mark = b"Linux version ";
        let at = bytes.windows(mark.len() + 1).position(|w| w.starts_with(mark) && w[mark.len()].is_ascii_digit());
        return at.map(|at| text_at(at + mark.len())).ok_or("an ELF file without \"Linux version\"");
    }
    // The setup header of a bzImage: a mark, and a pointer to the text.
    if bytes.get(0x202..0x206) != Some(b"HdrS") {
        return Err("neither a bzImage nor an ELF file");
    }
    let pointer = bytes.get(0x20e..0x210).map_or(0, |b| usize::from(u16::from_le_bytes([b[0], b[1]])));
    let text = text_at(pointer + 0x200);
    if pointer == 0 || !text.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("a bzImage without a version");
    }
    if bytes.len() < bzimage_bytes(bytes) {
        return Err("a bzImage that is cut off");
    }
    Ok(text)
}

/// How long a bzImage is by its setup header: sectors of the setup code and the boot sector, then 16-byte paragraphs.
fn bzimage_bytes(bytes: &[u8]) -> usize {
    const SECTOR: usize = 512;
    let sectors = bytes.get(0x1f1).map_or(0, |n| usize::from(*n));
    let paragraphs = bytes.get(0x1f4..).and_then(|b| b.first_chunk()).map_or(0, |b| u32::from_le_bytes(*b) as usize);
    if paragraphs == 0 { 0 } else { (sectors.max(1) + 1) * SECTOR + 16 * paragraphs }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bzimage(text: &str) -> Vec<u8> {
        let mut bytes = vec![0; 0x400];
        bytes[0x202..0x206].copy_from_slice(b"HdrS");
        bytes[0x20e..0x210].copy_from_slice(&0x100u16.to_le_bytes());
        bytes[0x300..0x300 + text.len()].copy_from_slice(text.as_bytes());
        bytes
    }

    fn open(bytes: &[u8]) -> Result<Image, GuestError> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), bytes).expect("written");
        Image::open(file.path())
    }

    #[test]
    fn images_say_what_they_are() {
        let debian = "6.1.0-55-cloud-amd64 (debian-kernel@x) #1 SMP PREEMPT_DYNAMIC Debian 6.1.192-1 (2026-11-15)";
        let image = open(&bzimage(debian)).expect("a kernel");
        assert_eq!((image.release.as_str(), image.point.as_str()), ("6.1.0-55-cloud-amd64", "6.1.192"));
        assert_eq!((image.version, image.series().as_str()), (Some(KernelVersion::V6_1), "6.1"));

        let own = open(b"\x7fELF....Linux version %s\0Linux version 6.12.0-rc3+ (me@here) #7\n").expect("a kernel");
        assert_eq!((own.release.as_str(), own.point.as_str(), own.label()), ("6.12.0-rc3+", "6.12.0", "6.12"));
        let other = open(&bzimage("6.10.3 (x)")).expect("a kernel");
        assert_eq!((other.version, other.series().as_str(), other.label()), (None, "6.10", "6.10.3"));
    }

    #[test]
    fn kernels_side_by_side_have_names_of_their_own() {
        let image = |release: &str, point: &str, path: &str| Image {
            version: version_of(release),
            release: release.to_owned(),
            point: point.to_owned(),
            path: path.into(),
        };
        let stable = image("6.12.95+deb12", "6.12.95", "a");
        let newer = image("6.12.118+deb13", "6.12.118", "b");
        let (own, again) = (image("7.3.4-mine", "7.3.4", "c/bzImage"), image("7.3.4-mine", "7.3.4", "d/bzImage"));
        let packaged = image("7.3.4+deb13", "7.3.4", "e");
        assert_eq!(names(&[stable.clone(), own.clone()]), ["6.12", "7.3"]);
        assert_eq!(names(&[stable, newer]), ["6.12.95", "6.12.118"]);
        assert_eq!(names(&[own, again, packaged]), ["c/bzImage", "d/bzImage", "7.3.4+deb13"]);
    }

    #[test]
    fn an_image_that_was_altered_is_told_from_the_one_that_was_fetched() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("vmlinuz");
        let mut bytes = bzimage("6.1.9 (x)");
        std::fs::write(&path, &bytes).expect("written");
        let image = Image::open(&path).expect("a kernel");
        let digest = image.check().expect("a kernel of one's own has no digest beside it");
        keep_digest(&path, &digest).expect("written");
        assert_eq!(image.check().expect("the same"), digest);
        for at in [0, 0x200, bytes.len() - 1] {
            bytes[at] ^= 1;
            std::fs::write(&path, &bytes).expect("written");
            let error = image.check().expect_err("a bit was flipped");
            assert!(matches!(error, GuestError::Altered { .. }) && error.to_string().contains("fetch"), "{error}");
            bytes[at] ^= 1;
        }
    }

    #[test]
    fn a_file_that_is_cut_off_is_no_image() {
        let mut bytes = bzimage("6.1.9 (x)");
        (bytes[0x1f1], bytes[0x1f4]) = (1, 4);
        bytes.resize(1024 + 64, 0);
        assert!(open(&bytes).is_ok());
        bytes.pop();
        assert!(matches!(open(&bytes), Err(GuestError::NotAnImage { why, .. }) if why.contains("cut off")));
    }

    #[test]
    fn other_files_are_refused() {
        for bytes in [&b"hello"[..], b"\x7fELF", &[0; 0x400], &bzimage("no version")] {
            assert!(matches!(open(bytes), Err(GuestError::NotAnImage { .. })));
        }
    }
}
