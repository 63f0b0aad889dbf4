//! The files of `corpus/programs`, each under every kernel that it names.
//!
//! `cargo test -p loopdiff-tests --test cases -- inline/` runs a folder of them; a trial is called
//! `FILE KERNEL CHECK`.

use libtest_mimic::{Arguments, Failed, Trial};
use loopdiff::oracle::Report;
use loopdiff_tests::cases::{self, Case};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../corpus/programs");

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let folder = Path::new(FOLDER);
    let files = cases::files(folder).expect("the folder of programs");
    assert!(!files.is_empty(), "no program below {FOLDER}");
    let trials = files.iter().flat_map(|path| {
        let name = path.strip_prefix(folder).unwrap_or(path);
        let source = std::fs::read_to_string(path).expect("a readable file");
        trials(name, &source)
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn trials(name: &Path, source: &str) -> Vec<Trial> {
    let shown = name.display().to_string();
    let case = match cases::read(name, source) {
        Ok(case) => Arc::new(case),
        Err(error) => return vec![Trial::test(shown, move || Err(Failed::from(error.to_string())))],
    };
    let mut out = Vec::new();
    for version in case.versions() {
        // The trials of a kernel share what was found out.
        let report: Arc<OnceLock<Report>> = Arc::default();
        for check in cases::checks(&case, version) {
            let (case, report) = (Arc::clone(&case), Arc::clone(&report));
            let name = format!("{shown} {version} {}", check.name());
            out.push(Trial::test(name, move || {
                let report = report.get_or_init(|| cases::examine(&case, version));
                verdict(&case, &cases::check(&case, version, check, report))
            }));
        }
    }
    out
}

fn verdict(case: &Case, mismatches: &[cases::Mismatch]) -> Result<(), Failed> {
    if mismatches.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = mismatches.iter().map(|m| format!("{}:{m}", case.path.display())).collect();
    Err(Failed::from(lines.join("\n")))
}
