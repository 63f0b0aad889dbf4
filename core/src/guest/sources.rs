//! Where the machine itself gets Debian packages from, and with which suites kernels are looked for there.

use super::GuestError;
use std::fs;
use std::path::{Path, PathBuf};

/// A line of a sources list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Source {
    mirror: String,
    suite: String,
    keyring: Option<String>,
}

/// Suites that carry kernels: those of Debian 12 and 13 with their backports, and what comes next.
const SUITES: [&str; 6] = ["bookworm", "bookworm-updates", "bookworm-backports", "trixie", "trixie-backports", "sid"];
const SECURITY_SUITES: [&str; 2] = ["bookworm-security", "trixie-security"];

const MIRROR: &str = "http://deb.debian.org/debian";
const SECURITY_MIRROR: &str = "http://deb.debian.org/debian-security";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

impl Source {
    /// The line, with its line break.
    pub fn line(&self) -> String {
        let keyring = self.keyring.as_ref().map_or_else(String::new, |path| format!("[signed-by={path}] "));
        format!("deb {keyring}{} {} main\n", self.mirror, self.suite)
    }
}

/// What to look for kernels in, on this machine.
pub(super) fn of_machine() -> Result<Vec<Source>, GuestError> {
    let files = list_files(Path::new("/etc/apt"));
    let texts: Vec<String> = files.iter().filter_map(|path| fs::read_to_string(path).ok()).collect();
    let keyring = Path::new(KEYRING).exists().then(|| KEYRING.to_owned());
    if keyring.is_none() && !texts.iter().any(|text| text.contains("debian.org")) {
        return Err(GuestError::Fetch(format!(
            "{KEYRING} is missing: Debian's packages cannot be checked\n  hint: install debian-archive-keyring, or give --image PATH"
        )));
    }
    Ok(sources(&texts, keyring))
}

fn list_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = vec![folder.join("sources.list")];
    if let Ok(entries) = fs::read_dir(folder.join("sources.list.d")) {
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    files.sort();
    files
}

/// The suites on the mirrors that `texts`, the machine's lists, name; on Debian's own where they name none.
fn sources(texts: &[String], keyring: Option<String>) -> Vec<Source> {
    let mirror = |is: fn(&str) -> bool, else_: &str| {
        let words = texts.iter().flat_map(|text| text.lines()).filter(|line| !line.trim_start().starts_with('#'));
        let mut words = words.flat_map(str::split_ascii_whitespace).map(|w| w.trim_end_matches('/'));
        words.find(|w| w.contains("://") && is(w)).unwrap_or(else_).to_owned()
    };
    let main = mirror(|w| w.ends_with("/debian"), MIRROR);
    let security = mirror(|w| w.ends_with("/debian-security"), SECURITY_MIRROR);
    let on = |mirror: &str, suite: &str| Source {
        mirror: mirror.to_owned(),
        suite: suite.to_owned(),
        keyring: keyring.clone(),
    };
    let ordinary = SUITES.iter().map(|suite| on(&main, suite));
    ordinary.chain(SECURITY_SUITES.iter().map(|suite| on(&security, suite))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_are_taken_from_both_kinds_of_lists() {
        let old = "# deb http://old.example/debian x main\ndeb [arch=amd64] https://a.example/debian/ bookworm main\n";
        let new = "Types: deb\nURIs: http://b.example/debian-security\nSuites: bookworm-security\n";
        let found = sources(&[old.to_owned(), new.to_owned()], Some("/k".to_owned()));
        let text: String = found.iter().map(Source::line).collect();
        assert!(text.starts_with("deb [signed-by=/k] https://a.example/debian bookworm main\n"), "{text}");
        assert!(text.ends_with("deb [signed-by=/k] http://b.example/debian-security trixie-security main\n"), "{text}");
    }

    #[test]
    fn other_systems_get_debians_own_mirror() {
        let ubuntu = "deb http://archive.ubuntu.com/ubuntu noble main\n".to_owned();
        let found = sources(&[ubuntu], None);
        assert_eq!(found[0].line(), "deb http://deb.debian.org/debian bookworm main\n");
        assert_eq!(found.len(), SUITES.len() + SECURITY_SUITES.len());
    }
}
