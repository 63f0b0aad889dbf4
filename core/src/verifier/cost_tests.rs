//! What verifications take: memory within a budget, steps in proportion to a program's size.

use super::{Budget, LogLevel, Verdict, verify, verify_within, verify_within_with_log};
use crate::kernel::{KernelVersion, Rules};
use crate::program::{Program, text};
use crate::work::tests::steps;

fn program(source: &str) -> Program {
    text::parse(source).expect("a program").program
}

/// A callback that counts without end: rules that never force a checkpoint walk it to the limit of instructions.
const COUNTER: &str = "
;;! maps = [{ name = \"m\", type = \"array\", key_size = 4, value_size = 8, max_entries = 5 }]
main:
    *(u64 *)(r10 - 8) = 0
    r1 = map.m ll
    r2 = cb ll
    r3 = r10
    r3 += -8
    r4 = 0
    call bpf_for_each_map_elem
    r1 = *(u64 *)(r10 - 8)
    r0 = 1
    if r1 > 1 goto many
    exit
many:
    r0 = 2
    exit
cb:
    r1 = *(u64 *)(r4 + 0)
    r1 += 1
    *(u64 *)(r4 + 0) = r1
    r0 = 0
    exit
";

fn without_forced_checkpoints() -> Rules {
    let mut rules = Rules::of(KernelVersion::V6_12);
    rules.set_text("walk.forced_checkpoints=no").expect("a fact");
    rules
}

fn spent(verdict: Verdict) -> String {
    match verdict {
        Verdict::Unsupported(unsupported) if unsupported.spent => unsupported.what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_walk_that_keeps_too_much_is_given_up_by_name() {
    let (program, rules) = (program(COUNTER), without_forced_checkpoints());
    let within = |insns, mib: usize| spent(verify_within(&program, &rules, Budget { insns, bytes: mib << 20 }));
    assert_eq!(within(u32::MAX, 4), "a walk whose states take more than 4 MiB");
    assert_eq!(within(1000, 4), "a walk of more than 1000 instructions");
    let (verdict, log) =
        verify_within_with_log(&program, &rules, LogLevel::Path, Budget { bytes: 4 << 20, ..Budget::default() });
    assert_eq!(spent(verdict), "a walk whose states take more than 4 MiB");
    assert!(log.contains("not modelled: a walk whose states take more than 4 MiB"), "{}", &log[log.len() - 200..]);
}

/// Memory grows with the walk, not with the square of it: branches that wait share what lies before them.
#[test]
fn a_walk_takes_memory_in_proportion_to_its_instructions() {
    let (program, rules) = (program(COUNTER), without_forced_checkpoints());
    for insns in [10_000, 40_000] {
        let bytes = insns as usize * 1500;
        assert_eq!(
            spent(verify_within(&program, &rules, Budget { insns, bytes })),
            format!("a walk of more than {insns} instructions")
        );
    }
}

/// Lines, `n` times, each with its number for `%`.
fn repeated(before: &str, lines: &str, n: usize) -> Program {
    let lines: String = (0..n).map(|i| lines.replace('%', &i.to_string())).collect();
    program(&format!("main:\n{before}{lines}    r0 = 0\n    exit\n"))
}

#[test]
fn steps_back_are_in_proportion_to_a_programs_size() {
    let scalar = "    r6 = *(u64 *)(r1 + 0)\n    r6 &= 7\n    *(u64 *)(r10 - 8) = r6\n    *(u64 *)(r10 - 16) = 0\n    *(u64 *)(r10 - 24) = 0\n";
    let other = format!("{scalar}    *(u64 *)(r10 - 32) = r6\n");
    let through_slot = |slot: &str| {
        format!(
            "    r2 = *(u64 *)(r10 - {slot})\n    r3 = r10\n    r3 += -24\n    r3 += r2\n    r4 = *(u8 *)(r3 + 0)\n"
        )
    };
    let cases = [
        (scalar.to_owned(), through_slot("8")),
        (other, through_slot("8") + &through_slot("32")),
        (scalar.to_owned(), "    r2 = 7\n    r2 /= r6\n".to_owned()),
        (scalar.to_owned(), "    r3 = r10\n    r3 += -24\n    r3 += r6\n    r4 = *(u8 *)(r3 + 0)\n".to_owned()),
    ];
    for version in KernelVersion::ALL {
        let rules = Rules::of(version);
        for (before, lines) in &cases {
            let of = |n| {
                let program = repeated(before, lines, n);
                steps(|| assert!(matches!(verify(&program, &rules), Verdict::Accepted(_))))
            };
            let (few, many) = (of(300), of(2400));
            assert!(many <= 12 * few + 1000, "{version}: {few} and {many} steps for\n{lines}");
        }
    }
}
