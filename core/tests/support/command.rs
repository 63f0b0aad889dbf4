//! The command `loopdiff` in a folder of its own.

// Not every test file uses all of it.
#![allow(dead_code)]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder with files, in which commands are run.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new(files: &[(&str, &str)]) -> Folder {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).expect("a file");
        }
        Folder(folder)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub fn run(&self, args: &[&str]) -> Output {
        command().current_dir(self.path()).args(args).output().expect("the command")
    }

    /// Exit code, standard output, standard error.
    pub fn said(&self, args: &[&str]) -> (i32, String, String) {
        let output = self.run(args);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
        (output.status.code().expect("no signal"), text(&output.stdout), text(&output.stderr))
    }

    /// The JSON lines of a command that ends with that exit code and says nothing else.
    pub fn json(&self, code: i32, args: &[&str]) -> Vec<Value> {
        let (exit, out, err) = self.said(args);
        assert_eq!((exit, err.as_str()), (code, ""), "{args:?}: {out}");
        out.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{args:?}: {e}: {l}"))).collect()
    }
}

/// The command without what the environment says of colours.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loopdiff"));
    command.env_remove("NO_COLOR");
    command
}
