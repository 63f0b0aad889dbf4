//! Options that commands share.

use super::exit::Failure;
use crate::kernel::{FactError, KernelVersion, Rules};
use crate::verifier::{Budget, LogLevel};
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Options of every command that reads programs.
#[derive(clap::Args, Debug)]
pub struct Common {
    /// Program files (.bpf, .json, .jsonl, .o), or directories of them.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    #[command(flatten)]
    pub rules: RulesOption,
    /// One JSON object a line on standard output, and nothing else.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub jobs: Jobs,
    #[command(flatten)]
    pub memory: Memory,
}

/// The option of commands that verify.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Memory {
    /// MiB of memory that the states of one verification may take; one that takes more is answered "unsupported".
    #[arg(long, value_name = "MIB", default_value_t = (Budget::default().bytes >> 20) as u32,
          value_parser = clap::value_parser!(u32).range(1..))]
    memory: u32,
}

impl Memory {
    /// The budget of a verification.
    pub fn budget(self) -> Budget {
        Budget { bytes: (self.memory as usize).saturating_mul(1 << 20), ..Budget::default() }
    }
}

/// The option of commands that show a verifier's log.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Log {
    /// Also show the log, in the kernel's format: --log or --log=1 for the path that fails, --log=2 for all paths. The level needs
    /// its `=`: in `--log 2 FILE`, 2 is a file.
    #[arg(long = "log", value_name = "LEVEL", num_args = 0..=1, require_equals = true, default_missing_value = "1",
          value_parser = clap::value_parser!(u8).range(1..=2))]
    level: Option<u8>,
}

impl Log {
    /// How much is shown, if anything.
    pub fn level(self) -> Option<LogLevel> {
        self.level.map(|level| if level > 1 { LogLevel::All } else { LogLevel::Path })
    }
}

/// The kernels whose rules are used.
#[derive(clap::Args, Debug)]
pub struct RulesOption {
    /// Kernels whose rules are used: 6.1, 6.12, 6.18, 7.3, or all; several with commas between them [default: what the file says,
    /// else 7.3].
    #[arg(long, value_name = "VERSION", value_delimiter = ',')]
    pub rules: Vec<Version>,
    /// A fact of the kernel that is taken to be otherwise; `loopdiff explain --facts` lists them. May be repeated.
    #[arg(long, value_name = "FACT=VALUE")]
    pub set: Vec<Setting>,
}

/// A fact that is set.
#[derive(Clone, Debug)]
pub struct Setting(String);

impl std::str::FromStr for Setting {
    type Err = FactError;

    fn from_str(text: &str) -> Result<Setting, FactError> {
        // Which facts there are, and which values, does not depend on the version.
        Rules::of(KernelVersion::NEWEST).set_text(text)?;
        Ok(Setting(text.to_owned()))
    }
}

/// A version, or all of them.
#[derive(Clone, Copy, Debug)]
pub enum Version {
    One(KernelVersion),
    All,
}

impl std::str::FromStr for Version {
    type Err = crate::kernel::UnknownVersion;

    fn from_str(text: &str) -> Result<Version, Self::Err> {
        if text == "all" { Ok(Version::All) } else { text.parse().map(Version::One) }
    }
}

impl RulesOption {
    /// The versions that were asked for, else those of the file, else the newest.
    pub fn versions(&self, of_file: &[KernelVersion]) -> Vec<KernelVersion> {
        let mut versions = Vec::new();
        for version in &self.rules {
            match version {
                Version::One(version) => versions.push(*version),
                Version::All => versions.extend(KernelVersion::ALL),
            }
        }
        if versions.is_empty() {
            versions.extend_from_slice(of_file);
        }
        if versions.is_empty() {
            versions.push(KernelVersion::NEWEST);
        }
        let mut seen = Vec::new();
        versions.retain(|v| {
            !seen.contains(v) && {
                seen.push(*v);
                true
            }
        });
        versions
    }

    /// The rules that a kernel is compared under: those of its own version, or of the one that was asked for; `None` where there are
    /// none. With the facts that were set.
    pub fn of_kernel(&self, own: Option<KernelVersion>) -> Option<Rules> {
        let asked = (!self.rules.is_empty()).then(|| self.versions(&[]).into_iter().next()).flatten();
        asked.or(own).map(|version| self.rules(version))
    }

    /// Says when the rules make no sense where kernels are compared.
    pub fn check_for_kernels(&self) -> Result<(), Failure> {
        match self.rules.is_empty() || self.versions(&[]).len() == 1 {
            true => Ok(()),
            false => Err(Failure::Usage(
                "--rules with kernels takes one version, under whose rules all of them are compared; without it each kernel is \
                 compared under its own"
                    .to_owned(),
            )),
        }
    }

    /// The rules of a version, with the facts that were set.
    pub fn rules(&self, version: KernelVersion) -> Rules {
        let mut rules = Rules::of(version);
        for Setting(text) in &self.set {
            // It was tried when it was read.
            let _ = rules.set_text(text);
        }
        rules
    }
}

/// How many threads work.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Jobs {
    /// Threads, at most 1024 [default: one for each processor].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: Option<u16>,
}

impl Jobs {
    /// How many.
    pub fn count(&self) -> usize {
        let all = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        self.jobs.map_or_else(all, usize::from)
    }
}
