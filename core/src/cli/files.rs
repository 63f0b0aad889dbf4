//! The files that paths stand for.

use super::exit::Failure;
use super::output::Output;
use crate::program::Format;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The files that a path stands for; a directory stands for all program files below it. What cannot be listed is complained of.
pub fn files(path: &Path, output: &mut Output) -> Vec<PathBuf> {
    files_where(path, output, |file| Format::of_path(file).is_some())
}

/// The path itself, or the files below it that are wanted: in name order, then those that only links lead to. Each directory and
/// file is visited once, however many links lead to it.
pub fn files_where(path: &Path, output: &mut Output, wanted: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    let mut out = Vec::new();
    let mut seen = BTreeSet::new();
    let (mut open, mut links) = (vec![path.to_owned()], Vec::new());
    loop {
        let Some(path) = open.pop() else {
            if links.is_empty() {
                return out;
            }
            links.reverse();
            open.append(&mut links);
            continue;
        };
        // A link that leads nowhere has no place of its own; reading it says what is wrong.
        if !seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())) {
            continue;
        }
        if !path.is_dir() {
            out.push(path);
            continue;
        }
        match below(&path, &wanted) {
            Ok(below) => {
                let (linked, real): (Vec<_>, Vec<_>) = below.into_iter().partition(|path| path.is_symlink());
                open.extend(real.into_iter().rev());
                links.extend(linked);
            }
            Err(failure) => output.complain(&failure),
        }
    }
}

/// The directories and the wanted files in a directory, in name order.
fn below(path: &Path, wanted: &impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>, Failure> {
    let mut below = Vec::new();
    for entry in std::fs::read_dir(path).map_err(|e| Failure::file(path, e))? {
        let entry = entry.map_err(|e| Failure::file(path, e))?.path();
        if entry.is_dir() || wanted(&entry) {
            below.push(entry);
        }
    }
    below.sort();
    Ok(below)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn each_file_is_visited_once_by_its_own_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("c/d")).expect("folders");
        for name in ["b.bpf", "c/x.json", "c/d/y.o", "c/notes.txt"] {
            std::fs::write(at(name), "").expect("a file");
        }
        let outside = tempfile::tempdir().expect("a folder");
        std::fs::write(outside.path().join("z.bpf"), "").expect("a file");
        // Two links to the folder itself, one below to its parent, one to a file, one that leads out, one that leads nowhere.
        for (to, name) in [(".", "a"), (".", "zz"), ("..", "c/d/up"), ("c/x.json", "a.json"), ("gone", "c/gone.bpf")] {
            symlink(to, at(name)).expect("a link");
        }
        symlink(outside.path(), at("out")).expect("a link");
        let mut output = Output::standard().apart();
        let found = files(folder.path(), &mut output);
        let names: Vec<_> =
            found.iter().map(|p| p.strip_prefix(folder.path()).expect("below").display().to_string()).collect();
        assert_eq!(names, ["b.bpf", "c/d/y.o", "c/x.json", "out/z.bpf", "c/gone.bpf"]);
    }
}
