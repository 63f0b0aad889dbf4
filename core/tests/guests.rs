//! Guests, live: where QEMU and an image of the cache are present. `LOOPDIFF_LIVE=must` turns a skip into a failure.

#![allow(clippy::print_stderr)] // a skipped test says so

use loopdiff::guest::{Accel, Answer, Ask, Cache, GuestError, Image, Jit, Machine, Options, Phase, Pool, Verdict};
use loopdiff::kernel::KernelVersion;
use loopdiff::oracle::parity::{Match, compare, examine, sites_in_dump};
use loopdiff::oracle::twin::{r0_of, twins};
use loopdiff::program::{Input, Program, text};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// The first image that there is, or the reason to skip.
fn image() -> Option<Image> {
    let cache = Cache::of_user();
    let image = KernelVersion::ALL.iter().find_map(|version| cache.find(version.name()).ok());
    let qemu = Command::new(Machine::default().qemu).arg("--version").output().is_ok();
    match (image, qemu) {
        (Some(image), true) => return Some(image),
        (None, _) => eprintln!("skipped: no kernel in {} (loopdiff kernel fetch)", cache.kernels().display()),
        (_, false) => eprintln!("skipped: no QEMU"),
    }
    assert!(std::env::var("LOOPDIFF_LIVE").as_deref() != Ok("must"), "LOOPDIFF_LIVE=must, but guests cannot run");
    None
}

fn program(name: &str, source: &str, inputs: &[u64]) -> Program {
    let file = text::parse(source).unwrap_or_else(|error| panic!("{name}: {error}"));
    let input = |n: &u64| Input { ctx: n.to_le_bytes().to_vec(), ..Input::default() };
    Program { name: name.to_owned(), inputs: inputs.iter().map(input).collect(), ..file.program }
}

const LOOP: &str = "\
;;! prog_type = \"raw_tracepoint\"
    r1 = *(u64 *)(r1 + 0)
    r2 = cb ll
    r3 = 0
    r4 = 0
    call bpf_loop
    exit
cb:
    r0 = 0
    exit
";

/// Eight million times eight million iterations.
const ENDLESS: &str = "\
;;! prog_type = \"raw_tracepoint\"
    r1 = 8388608
    r2 = outer ll
    r3 = 0
    r4 = 0
    call bpf_loop
    r0 = 0
    exit
outer:
    r1 = 8388608
    r2 = inner ll
    r3 = 0
    r4 = 0
    call bpf_loop
    r0 = 0
    exit
inner:
    r0 = 0
    exit
";

const REFUSED: &str = "\
;;! prog_type = \"raw_tracepoint\"
    r0 = r3
    exit
";

fn names(answers: &[Answer]) -> Vec<&'static str> {
    answers.iter().map(|answer| answer.verdict.name()).collect()
}

#[test]
fn programs_are_answered_whatever_their_neighbours_do() {
    let Some(image) = image() else { return };
    let options = Options { run_seconds: 2, tries: 1, guests_per_kernel: 2, ..Options::default() };
    let pool = Pool::start(&[image], options).expect("guests");
    let programs = [
        program("loop", LOOP, &[3, 0, 1 << 40]),
        program("refused", REFUSED, &[0]),
        program("endless", ENDLESS, &[0]),
        program("again", LOOP, &[5]),
    ];
    let answers = pool.answer(0, &programs, &Ask::default()).expect("answers");
    assert_eq!(names(&answers), ["accept", "reject", "timed-out", "accept"]);
    let retvals: Vec<u32> = answers[0].runs.iter().map(|run| run.retval).collect();
    assert_eq!(retvals, [3, 0, -7i32 as u32]);
    assert_eq!((answers[1].errno, answers[1].message.as_str()), (13, "R3 !read_ok"));
    assert_eq!(answers[2].verdict, Verdict::TimedOut { phase: Phase::Run });
    assert!(!answers[2].xlated.is_empty(), "what is known of the load is kept");
    assert_eq!(answers[3].runs[0].retval, 5);
    let facts = pool.kernels()[0].facts();
    assert_eq!(facts.release, pool.kernels()[0].image().release);
    assert_eq!(sites_in_dump(&facts.with_helper_numbers(&answers[2].xlated)), [true, true]);

    // An interpreter has no function references.
    let no_jit = pool.answer(0, &programs[..1], &Ask { jit: Jit::Off, ..Ask::default() }).expect("answers");
    assert_eq!((no_jit[0].errno, no_jit[0].message.as_str()), (22, "callbacks are not allowed in non-JITed programs"));
}

#[test]
fn a_guest_that_is_killed_costs_nothing() {
    let Some(image) = image() else { return };
    let pool = Pool::start(&[image], Options::default()).expect("guests");
    let one = [program("loop", LOOP, &[3])];
    for _ in 0..2 {
        for pid in pool.kernels()[0].idle_pids() {
            assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().expect("kill").success());
        }
        let answers = pool.answer(0, &one, &Ask::default()).expect("answers");
        assert_eq!(answers[0].runs[0].retval, 3);
    }
    let tally = pool.kernels()[0].tally();
    assert_eq!((tally.programs, tally.guests, tally.flukes), (2, 3, 2));
}

#[test]
fn model_and_kernel_agree_and_twins_differ_where_they_must() {
    let Some(image) = image() else { return };
    let rules = loopdiff::kernel::Rules::of(image.version.expect("a modelled version"));
    let pool = Pool::start(&[image], Options::default()).expect("guests");
    let facts = pool.kernels()[0].facts();
    let case = program("loop", LOOP, &[3, (1 << 23) + 1, 1 << 40]);
    let twins = twins(&case).expect("short jumps");
    let programs = [case, twins.inlined, twins.helper];
    let answers = pool.answer(0, &programs, &Ask::default()).expect("answers");
    for (program, answer) in programs.iter().zip(&answers) {
        let dump = facts.with_helper_numbers(&answer.xlated);
        for (aspect, result) in compare(program, &examine(program, &rules), answer, &dump, &rules) {
            assert_eq!(result, Match::Same, "{} {aspect:?}", program.name);
        }
    }
    let r0 = |n: usize| -> Vec<Option<u64>> { answers[n].runs.iter().map(|run| r0_of(&run.maps.0)).collect() };
    // A loop that is too long: the inlined form sets 32 bits of R0, the helper all of them. The helper's count has 32 bits.
    assert_eq!(r0(1), [Some(3), Some(0xffff_fff9), Some(0xffff_fff9)]);
    assert_eq!(r0(2), [Some(3), Some(-7i64 as u64), Some(0)]);
}

#[test]
fn without_kvm_that_works_guests_are_emulated() {
    let Some(image) = image() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let qemu = folder.path().join("qemu");
    let script =
        "#!/bin/sh\ncase \"$*\" in *'-accel kvm'*) echo no KVM >&2; exit 1;; esac\nexec qemu-system-x86_64 \"$@\"\n";
    std::fs::write(&qemu, script).expect("written");
    std::fs::set_permissions(&qemu, std::fs::Permissions::from_mode(0o755)).expect("may be run");
    let machine = Machine { qemu: qemu.display().to_string(), accel: Accel::KvmIfWorking, ..Machine::default() };
    let pool = Pool::start(&[image], Options { machine, ..Options::default() }).expect("guests");
    let why = pool.kernels()[0].not_accelerated().expect("a reason").to_string();
    assert!(why.contains("no KVM"), "{why}");
    let answers = pool.answer(0, &[program("loop", LOOP, &[3])], &Ask::default()).expect("answers");
    assert_eq!(answers[0].runs[0].retval, 3);
}

#[test]
fn what_cannot_start_says_why() {
    let no_qemu = Machine { qemu: "/no/such/qemu".to_owned(), ..Machine::default() };
    let folder = tempfile::tempdir().expect("a folder");
    let kernel = folder.path().join("vmlinuz");
    std::fs::write(&kernel, b"\x7fELF Linux version 6.1.0-none (nobody)\0").expect("written");
    let image = Image::open(&kernel).expect("says that it is one");
    let options = |machine| Options { machine, snapshots: folder.path().join("snapshots"), ..Options::default() };
    let error = Pool::start(std::slice::from_ref(&image), options(no_qemu)).err().expect("no QEMU");
    assert!(matches!(error, GuestError::NoQemu { .. } | GuestError::NoAgent), "{error}");
    if Command::new(Machine::default().qemu).arg("--version").output().is_err() {
        eprintln!("skipped: no QEMU");
        return;
    }
    let error = Pool::start(&[image], options(Machine::default())).err().expect("not a kernel");
    assert!(matches!(error, GuestError::Boot { .. } | GuestError::NoAgent), "{error}");
}

/// A campaign on a kernel does what one in the model does: facts that are set, findings with their stories, a kill, another start,
/// a report, floors.
#[test]
fn campaigns_on_kernels_are_kept_and_go_on() {
    let Some(image) = image() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let loopdiff = |args: &[&str], out: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_loopdiff"));
        command.current_dir(folder.path()).args(args).arg(out);
        command
    };
    let set = "walk.frames_max=3";
    let args = [
        ["fuzz", "--kernel", image.label(), "--set", set].as_slice(),
        &["--seed", "7", "--count", "100", "--reduce-attempts", "5", "--out"],
    ]
    .concat();
    assert_eq!(loopdiff(&args, "whole").output().expect("the command").status.code(), Some(1));
    let mut killed = loopdiff(&args, "killed").stdout(std::process::Stdio::null()).spawn().expect("the command");
    let is_kept = || std::fs::read_dir(folder.path().join("killed/findings")).is_ok_and(|mut all| all.next().is_some());
    while !is_kept() && killed.try_wait().expect("alive").is_none() {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    killed.kill().expect("killed");
    killed.wait().expect("an end");
    assert_eq!(loopdiff(&args, "killed").output().expect("the command").status.code(), Some(1));
    let diff =
        Command::new("diff").current_dir(folder.path()).args(["-r", "-x", "time.json", "whole", "killed"]).output();
    let diff = diff.expect("diff");
    assert!(diff.status.success(), "{}", String::from_utf8_lossy(&diff.stdout));
    for finding in std::fs::read_dir(folder.path().join("whole/findings")).expect("findings").flatten() {
        for file in ["case.json", "case.bpf", "repro.c", "story.md", "finding.json"] {
            assert!(finding.path().join(file).exists(), "{}: {file}", finding.path().display());
        }
        let story = std::fs::read_to_string(finding.path().join("story.md")).expect("a story");
        assert!(story.contains(&format!("--kernel {} --set {set}", image.label())), "{story}");
    }
    let report = loopdiff(&["report"], "whole").output().expect("the command");
    let report = String::from_utf8(report.stdout).expect("text");
    assert!(report.contains(set) && report.contains("The model and the kernels"), "{report}");
    assert!(report.contains("findings that `walk.frames_max=8` takes away"), "{report}");
    let other = loopdiff(&[&args[..3], &["--count", "100", "--out"]].concat(), "whole").output().expect("the command");
    assert_eq!(other.status.code(), Some(2), "other facts are another campaign");
    let floor = ["fuzz", "--kernel", image.label(), "--count", "30", "--accepted-min", "100", "--out"];
    assert_eq!(loopdiff(&floor, "floor").output().expect("the command").status.code(), Some(1));
}
