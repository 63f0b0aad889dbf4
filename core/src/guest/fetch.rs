//! Debian's kernels by name, as an ordinary user, without touching the system's own sources.
//!
//! `apt` gets a configuration of its own below the cache: its sources are the machine's own Debian mirror with the suites that
//! carry kernels, and its lists and packages lie in the cache. What is downloaded is checked by `apt` against the signed
//! indexes. `dpkg` unpacks; nothing is installed.

use super::cache::numbers;
use super::sources::{self, Source};
use super::{Cache, GuestError, Image, digest, image};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A kernel package of an archive.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Package {
    name: String,
    /// Debian's version: `6.1.192-2`.
    version: String,
    sha256: String,
}

impl Package {
    /// The release of its kernel: the name without what is around it.
    fn release(&self) -> Option<&str> {
        let rest = self.name.strip_prefix("linux-image-").or_else(|| self.name.strip_prefix("linux-binary-"))?;
        rest.starts_with(|c: char| c.is_ascii_digit()).then_some(rest).filter(|r| r.ends_with("-cloud-amd64"))
    }

    /// The point release: the version without Debian's part.
    fn point(&self) -> &str {
        self.version.split(['-', '~', '+']).next().unwrap_or_default()
    }

    /// Whether it is what a series (`6.1`) or point release (`6.1.192`) means.
    fn is_meant(&self, wanted: &str) -> bool {
        let rest = self.point().strip_prefix(wanted);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.')) || self.release() == Some(wanted)
    }
}

/// Downloads the newest kernel that each of `wanted` means, a series or a point release. One that is there already, and is still
/// what it was, stays.
///
/// # Errors
///
/// What is missing: `apt`, a mirror, a package.
pub fn fetch(cache: &Cache, wanted: &[String]) -> Result<Vec<Image>, GuestError> {
    let apt = Apt::new(cache)?;
    let packages = apt.kernels()?;
    wanted.iter().map(|wanted| fetch_one(cache, &apt, &packages, wanted)).collect()
}

fn fetch_one(cache: &Cache, apt: &Apt, packages: &[Package], wanted: &str) -> Result<Image, GuestError> {
    let mut candidates: Vec<&Package> = packages.iter().filter(|p| p.is_meant(wanted)).collect();
    candidates.sort_by_key(|p| (numbers(p.point()), numbers(&p.version), p.name.starts_with("linux-binary-")));
    let mut why = format!("no package of kernel {wanted}; there are {}", series(packages));
    for package in candidates.iter().rev() {
        let Some(release) = package.release() else { continue };
        let folder = cache.kernels().join(release);
        let path = folder.join("vmlinuz");
        if let Ok(image) = Image::open(&path)
            && image.kept_digest().is_some()
            && image.check().is_ok()
        {
            return Ok(image);
        }
        // A package that is only a name for another has no image, and an index may still list what an archive has dropped.
        match apt.download(package, release, &folder) {
            Ok(()) => return Image::open(&path),
            Err(GuestError::Fetch(text)) => why = text,
            Err(error) => return Err(error),
        }
    }
    Err(GuestError::Fetch(why))
}

/// The series that there are, for people.
fn series(packages: &[Package]) -> String {
    let of = |p: &Package| numbers(p.point()).into_iter().take(2).collect::<Vec<_>>();
    let mut all: Vec<Vec<u64>> = packages.iter().map(of).filter(|s| s.len() == 2).collect();
    all.sort();
    all.dedup();
    let names: Vec<String> = all.iter().map(|s| s.iter().map(u64::to_string).collect::<Vec<_>>().join(".")).collect();
    if names.is_empty() { "none at all".to_owned() } else { names.join(", ") }
}

/// `apt` with a configuration of its own.
struct Apt {
    folder: PathBuf,
    config: PathBuf,
}

impl Apt {
    fn new(cache: &Cache) -> Result<Apt, GuestError> {
        let folder = cache.folder().join("apt");
        for part in ["lists/partial", "cache/archives/partial", "packages"] {
            let part = folder.join(part);
            fs::create_dir_all(&part).map_err(GuestError::unwritable(&part))?;
        }
        let config = folder.join("apt.conf");
        let apt = Apt { folder, config };
        let sources: String = sources::of_machine()?.iter().map(Source::line).collect();
        apt.write("sources.list", &sources)?;
        apt.write("apt.conf", &apt.configuration())?;
        Ok(apt)
    }

    fn configuration(&self) -> String {
        let folder = self.folder.display();
        format!(
            "Dir::Etc::SourceList \"{folder}/sources.list\";\n\
             Dir::Etc::SourceParts \"/dev/null\";\n\
             Dir::State::Lists \"{folder}/lists\";\n\
             Dir::Cache \"{folder}/cache\";\n\
             APT::Architecture \"amd64\";\n\
             APT::Architectures {{ \"amd64\"; }};\n\
             APT::Sandbox::User \"\";\n\
             APT::Update::Post-Invoke {{}};\n\
             APT::Update::Post-Invoke-Success {{}};\n\
             #clear APT::Update::Post-Invoke;\n\
             #clear APT::Update::Post-Invoke-Success;\n\
             #clear Acquire::IndexTargets::deb::DEP-11;\n\
             Acquire::Languages \"none\";\n\
             Acquire::Retries \"2\";\n\
             Acquire::http::Timeout \"30\";\n"
        )
    }

    fn write(&self, name: &str, text: &str) -> Result<(), GuestError> {
        let path = self.folder.join(name);
        fs::write(&path, text).map_err(GuestError::unwritable(&path))
    }

    /// All kernel packages of the archives. The lists are brought up to date first; one suite that is missing is no error.
    fn kernels(&self) -> Result<Vec<Package>, GuestError> {
        let update = self.run("apt-get", &["update", "-qq"], &self.folder);
        let names = self.run("apt-cache", &["pkgnames", "linux-"], &self.folder)?;
        let named = |n: &&str| {
            Package { name: (*n).to_owned(), version: String::new(), sha256: String::new() }.release().is_some()
        };
        let names: Vec<&str> = names.lines().filter(named).collect();
        if names.is_empty() {
            let why = update.err().map_or_else(String::new, |error| format!(": {error}"));
            return Err(GuestError::Fetch(format!("the archives list no kernel packages{why}")));
        }
        let arguments: Vec<&str> = ["show"].into_iter().chain(names).collect();
        Ok(parse_packages(&self.run("apt-cache", &arguments, &self.folder)?))
    }

    fn download(&self, package: &Package, release: &str, folder: &Path) -> Result<(), GuestError> {
        let Package { name, version, .. } = package;
        let scratch = tempfile::tempdir_in(self.folder.join("packages")).map_err(GuestError::io(&self.folder))?;
        self.run("apt-get", &["download", "-qq", &format!("{name}={version}")], scratch.path())?;
        let is_deb = |path: &PathBuf| path.extension().is_some_and(|e| e == "deb");
        let entries = fs::read_dir(scratch.path()).map_err(GuestError::io(scratch.path()))?;
        let deb = entries.flatten().map(|e| e.path()).find(is_deb);
        let deb = deb.ok_or_else(|| GuestError::Fetch(format!("apt-get did not download {name}")))?;
        let tree = scratch.path().join("tree");
        self.run("dpkg-deb", &["-x", &deb.to_string_lossy(), &tree.to_string_lossy()], scratch.path())?;
        let places = [format!("boot/vmlinuz-{release}"), format!("usr/lib/modules/{release}/vmlinuz")];
        let places = places.map(|place| tree.join(place));
        let found = places.iter().find(|place| place.exists());
        let found = found.ok_or_else(|| GuestError::Fetch(format!("package {name} holds no kernel image")))?;
        Image::open(found)?;
        fs::create_dir_all(folder).map_err(GuestError::unwritable(folder))?;
        let about = format!("package {name}\nversion {version}\nsha256 {}\n", package.sha256);
        fs::write(folder.join("package"), about).map_err(GuestError::unwritable(folder))?;
        let path = folder.join("vmlinuz");
        // The digest first: an image beside another's digest is fetched again, one beside none would be believed.
        image::keep_digest(&path, &digest::of_file(found).map_err(GuestError::io(found))?)?;
        super::snapshot::write_whole(&path, |file| std::io::copy(&mut fs::File::open(found)?, file).map(drop))
    }

    /// Runs a tool; what it prints.
    fn run(&self, tool: &str, arguments: &[&str], folder: &Path) -> Result<String, GuestError> {
        let mut command = Command::new(tool);
        command
            .args(arguments)
            .current_dir(folder)
            .env("APT_CONFIG", &self.config)
            .env("LC_ALL", "C")
            .stdin(Stdio::null());
        let output = command.output().map_err(|error| {
            GuestError::Fetch(format!("{tool} cannot be started: {error}\n  hint: kernels are fetched with Debian's tools (apt, dpkg); elsewhere give --image PATH"))
        })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let text = String::from_utf8_lossy(&output.stderr);
        let errors: Vec<&str> = text.lines().filter(|l| l.starts_with("E:")).take(4).collect();
        let text = if errors.is_empty() { text.trim().to_owned() } else { errors.join("; ") };
        Err(GuestError::Fetch(format!("{tool}: {text}")))
    }
}

/// The kernel packages in what `apt-cache show` prints.
fn parse_packages(text: &str) -> Vec<Package> {
    let field = |stanza: &str, name: &str| {
        let line = stanza.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_default().to_owned()
    };
    let stanzas = text.split("\n\n");
    let packages = stanzas.map(|s| Package {
        name: field(s, "Package"),
        version: field(s, "Version"),
        sha256: field(s, "SHA256"),
    });
    packages.filter(|p| p.release().is_some()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOWN: &str = "Package: linux-image-6.1.0-9-cloud-amd64\nVersion: 6.1.27-1\nSHA256: aa\nDescription: x\n more\n\n\
        Package: linux-image-6.1.0-56-cloud-amd64\nVersion: 6.1.192-2\nSHA256: bb\n\n\
        Package: linux-image-6.12.95+deb12-cloud-amd64\nVersion: 6.12.95-1~bpo12+1\n\n\
        Package: linux-image-6.1.0-56-cloud-amd64-dbg\nVersion: 6.1.192-2\n\n\
        Package: linux-image-cloud-amd64\nVersion: 6.1.192-2\n\n\
        Package: linux-binary-7.3.4+deb13-cloud-amd64\nVersion: 7.3.4-1~bpo13+1\n";

    #[test]
    fn packages_are_told_from_others_and_by_version() {
        let packages = parse_packages(SHOWN);
        let releases: Vec<_> = packages.iter().filter_map(Package::release).collect();
        let expected =
            ["6.1.0-9-cloud-amd64", "6.1.0-56-cloud-amd64", "6.12.95+deb12-cloud-amd64", "7.3.4+deb13-cloud-amd64"];
        assert_eq!(releases, expected);
        assert_eq!((packages[1].point(), packages[1].sha256.as_str()), ("6.1.192", "bb"));
        let meant = |wanted: &str| packages.iter().filter(|p| p.is_meant(wanted)).count();
        assert_eq!(
            [meant("6.1"), meant("6.1.192"), meant("6.1.19"), meant("6.12"), meant("7.3.4"), meant("6")],
            [2, 1, 0, 1, 1, 4 - 1]
        );
        assert_eq!(series(&packages), "6.1, 6.12, 7.3");
        assert_eq!(series(&[]), "none at all");
    }
}
