//! How a command ends.

use crate::caught::Panic;
use crate::guest::GuestError;
use crate::oracle::{Class, Finding};
use crate::program::{InputError, shown};
use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitCode;

/// The exit codes, the graver the greater: a command that meets several ends with the gravest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Exit {
    /// Nothing to report.
    Fine,
    /// A finding, or an expectation that does not hold.
    Found,
    /// Input or flags that cannot be read.
    Input,
    /// QEMU, an image or a guest failed.
    Guest,
    /// An invariant of our own is broken.
    Internal,
}

impl Exit {
    /// What findings end a command with.
    pub fn of_findings(findings: &[Finding]) -> Exit {
        match findings {
            [] => Exit::Fine,
            all if all.iter().any(|f| f.class == Class::Internal) => Exit::Internal,
            _ => Exit::Found,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Fine => 0,
            Exit::Found => 1,
            Exit::Input => 2,
            Exit::Guest => 3,
            Exit::Internal => 70,
        })
    }
}

/// Why a command could not do its work.
#[derive(Debug)]
pub enum Failure {
    /// Input that cannot be read.
    Input(InputError),
    /// Flags that do not go together, or have no meaning here.
    Usage(String),
    /// A file that cannot be written or read.
    Io(String, io::Error),
    /// QEMU, an image or a guest.
    Guest(GuestError),
    /// A mistake of ours.
    Internal(Panic),
    /// What was complained of already.
    Said(Exit),
    /// The reader of our output is gone, which is no error.
    ClosedPipe,
}

impl Failure {
    /// What to do about a mistake of ours.
    pub const REPORT_HINT: &'static str =
        "this is a mistake in loopdiff, whatever its input; please report it with the command and the input";

    /// A file that could not be read or written.
    pub fn file(path: &Path, error: io::Error) -> Failure {
        Failure::Io(path.display().to_string(), error)
    }

    /// Something wrong with writing to standard output.
    pub fn output(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::ClosedPipe,
            _ => Failure::Io("standard output".to_owned(), error),
        }
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Failure::Input(_) | Failure::Usage(_) | Failure::Io(..) => Exit::Input,
            Failure::Guest(_) => Exit::Guest,
            Failure::Internal(_) => Exit::Internal,
            Failure::Said(exit) => *exit,
            Failure::ClosedPipe => Exit::Fine,
        }
    }
}

impl From<InputError> for Failure {
    fn from(error: InputError) -> Failure {
        Failure::Input(error)
    }
}

impl From<GuestError> for Failure {
    fn from(error: GuestError) -> Failure {
        Failure::Guest(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Input(error) => error.fmt(f),
            Failure::Usage(what) => f.write_str(what),
            Failure::Io(what, error) => write!(f, "{}: {error}", shown(what)),
            Failure::Guest(error) => error.fmt(f),
            Failure::Internal(panic) => {
                write!(f, "internal error: {panic}\n  hint: {}", Failure::REPORT_HINT)
            }
            Failure::Said(_) => f.write_str("see above"),
            Failure::ClosedPipe => f.write_str("nobody reads the output"),
        }
    }
}
