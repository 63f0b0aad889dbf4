//! The model against the recorded answers of real kernels (`corpus/kernel`), without guests.

use loopdiff::campaign::{Compared, Differences, Known, cases, wrong_between};
use loopdiff::guest::{Answer, Entry, Recorder, Recording, Verdict};
use loopdiff::kernel::KernelVersion;
use loopdiff::program::text;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Longer walks are left to `loopdiff replay` and `loopdiff kernel parity --recorded`.
const WALK_MAX: u32 = 3_000;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus")
}

fn recordings(version: KernelVersion) -> Vec<Recording> {
    let folder = corpus().join("kernel").join(version.name());
    let names = ["known.jsonl.gz", "programs.jsonl.gz"];
    names.map(|name| Recording::open(&folder.join(name)).unwrap_or_else(|error| panic!("{error}"))).into()
}

fn differences() -> Differences {
    let list = std::fs::read_to_string(corpus().join("kernel/differences.toml")).expect("the list");
    Differences::parse(&list).unwrap_or_else(|error| panic!("{error}"))
}

fn wrong_of(recording: &Recording) -> (usize, Vec<String>) {
    let mut compared = Compared::default();
    recording.entries.iter().for_each(|entry| compared.add(&recording.kernel, entry, WALK_MAX));
    (compared.len(), differences().wrong(&compared))
}

/// One kernel's recordings.
fn kernel_holds(version: KernelVersion) {
    let (mut count, mut wrong) = (0, Vec::new());
    for recording in recordings(version) {
        assert_eq!(recording.kernel.version(), Some(version));
        let (compared, lines) = wrong_of(&recording);
        count += compared;
        wrong.extend(lines);
    }
    assert!(count > 350, "only {count} programs were compared");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn kernel_6_1_answers_like_the_model() {
    kernel_holds(KernelVersion::V6_1);
}

#[test]
fn kernel_6_12_answers_like_the_model() {
    kernel_holds(KernelVersion::V6_12);
}

#[test]
fn kernel_6_18_answers_like_the_model() {
    kernel_holds(KernelVersion::V6_18);
}

#[test]
fn kernel_7_3_answers_like_the_model() {
    kernel_holds(KernelVersion::V7_3);
}

#[test]
fn kernels_differ_as_the_known_divergences_say() {
    let all: Vec<Recording> = KernelVersion::ALL.into_iter().flat_map(recordings).collect();
    let pairs: Vec<(&Recorder, &Entry)> =
        all.iter().flat_map(|r| r.entries.iter().map(|entry| (&r.kernel, entry))).collect();
    let known = Known::built_in().expect("the list");
    assert_eq!(wrong_between(&known, &pairs), Vec::<String>::new());
    // Each has been recorded, on each kernel.
    for divergence in known.all().iter().filter(|divergence| !divergence.between.is_empty()) {
        let folder = format!("known/{}/", divergence.name);
        let recorded = pairs.iter().filter(|(_, entry)| entry.path.starts_with(&folder)).count();
        assert!(recorded >= KernelVersion::ALL.len(), "{}: record the corpus again", divergence.name);
    }
    // A kernel that no longer warns would be seen.
    let quiet: Vec<Recording> = all
        .iter()
        .map(|recording| {
            let quiet = |entry: &Entry| Entry {
                answer: Answer { kmsg: String::new(), ..entry.answer.clone() },
                ..entry.clone()
            };
            Recording { entries: recording.entries.iter().map(quiet).collect(), ..recording.clone() }
        })
        .collect();
    let pairs: Vec<(&Recorder, &Entry)> =
        quiet.iter().flat_map(|r| r.entries.iter().map(|entry| (&r.kernel, entry))).collect();
    assert!(wrong_between(&known, &pairs).len() >= 3);
}

/// A change of a kernel's answer.
type Change = fn(&mut Answer);

#[test]
fn a_changed_answer_fails() {
    let [_, programs] = recordings(KernelVersion::V7_3).try_into().unwrap_or_else(|_| panic!("two recordings"));
    let entry = programs.entries.iter().find(|entry| entry.path == "programs/inline/early-return.bpf");
    let entry = entry.expect("an entry").clone();
    let one = |entry: Entry| Recording { entries: vec![entry], ..programs.clone() };
    assert_eq!(wrong_of(&one(entry.clone())), (1, Vec::new()));
    let changes: [(&str, Change); 5] = [
        ("verdict", |answer| answer.verdict = Verdict::Reject),
        ("xlated", |answer| answer.xlated[1].imm ^= 1),
        ("sites", |answer| answer.xlated.retain(|insn| insn.imm != -7)),
        ("count", |answer| answer.insns_processed += 1),
        ("run", |answer| answer.runs[0].retval += 1),
    ];
    for (what, change) in changes {
        let mut changed = entry.clone();
        change(&mut changed.answer);
        let (_, wrong) = wrong_of(&one(changed));
        assert!(!wrong.is_empty() && wrong.iter().any(|line| line.contains(what)), "{what}: {wrong:?}");
    }
}

#[test]
fn most_of_the_corpus_is_recorded_as_it_is() {
    let recorded: BTreeMap<String, Entry> = recordings(KernelVersion::NEWEST)
        .into_iter()
        .flat_map(|recording| recording.entries)
        .map(|entry| (entry.path.clone(), entry))
        .collect();
    let (mut same, mut other) = (0, Vec::new());
    for file in cases::files(&corpus()).expect("the corpus") {
        let place = file.strip_prefix(corpus()).expect("below the corpus").to_string_lossy().into_owned();
        let source = std::fs::read_to_string(&file).expect("a file");
        let program = text::parse(&source).expect("a program").program;
        match recorded.get(&place) {
            Some(entry) if entry.program.insns == program.insns => same += 1,
            _ => other.push(place),
        }
    }
    let share = 100 * same / (same + other.len());
    assert!(
        share >= 85,
        "record the corpus again: {share} % of it are recorded; not recorded, or changed since: {other:?}"
    );
}
