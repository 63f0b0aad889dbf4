//! Rewrites take steps in proportion to a program's size, whatever stands in it many times.

use super::{late_fixups, rewrite};
use crate::kernel::{KernelVersion, Rules};
use crate::program::text;
use crate::verifier::{Verdict, verify};
use crate::work::tests::steps;

/// Steps of the rewrite of a program in which lines stand `n` times, each with its number for `%`.
fn steps_of(version: KernelVersion, (before, lines, after): (&str, &str, &str), n: usize) -> u64 {
    let lines: String = (0..n).map(|i| lines.replace('%', &i.to_string())).collect();
    let maps = ";;! maps = [{ name = \"m\", type = \"array\", key_size = 4, value_size = 8, max_entries = 1 }]\n";
    let source = format!("{maps}main:\n    r6 = *(u64 *)(r1 + 0)\n{before}{lines}    r0 = 0\n    exit\n{after}");
    let program = text::parse(&source).expect("a program").program;
    let rules = Rules::of(version);
    let Verdict::Accepted(facts) = verify(&program, &rules) else { panic!("{version}: {lines:.200} is rejected") };
    steps(|| {
        let rewritten = rewrite(&program, &facts, &rules).expect("a rewrite");
        late_fixups(&rewritten, &rules).expect("late passes");
    })
}

#[test]
fn what_stands_many_times_moves_once() {
    let (old, new) = (KernelVersion::V6_1, KernelVersion::NEWEST);
    let callback = "cb:\n    r0 = 0\n    exit\n";
    let kinds: [(KernelVersion, (&str, &str, &str)); 12] = [
        (new, ("", "    goto +0\n", "")),
        (old, ("", "    goto +0\n", "")),
        (new, ("    r1 = 0\n", "    if r1 != 0 goto d%\nd%:\n", "")),
        (new, ("    r1 = 0\n", "    if r1 == 0 goto d%\n    r2 = 1\nd%:\n", "")),
        (old, ("    r1 = 0\n", "    if r1 == 0 goto d%\n    r2 = 1\nd%:\n    r2 = 2\n", "")),
        (new, ("", "    call bpf_get_smp_processor_id\n", "")),
        (new, ("", "    call bpf_jiffies64\n", "")),
        (new, ("", "    r2 = 7\n    r2 /= r6\n", "")),
        (new, ("", "    may_goto m%\nm%:\n    r2 = 1\n", "")),
        (
            new,
            (
                "",
                "    *(u32 *)(r10 - 4) = 0\n    r2 = r10\n    r2 += -4\n    r1 = map.m ll\n    call bpf_map_lookup_elem\n",
                "",
            ),
        ),
        (new, ("    *(u64 *)(r10 - 8) = 0\n", "    r0 = 0\n    r2 = 1\n    w0 = cmpxchg32_32(r10 - 8, w0, w2)\n", "")),
        (new, ("", "    r1 = 1\n    r2 = cb ll\n    r3 = 0\n    r4 = 0\n    call bpf_loop\n", callback)),
    ];
    for (version, kind) in kinds {
        let (few, many) = (steps_of(version, kind, 40), steps_of(version, kind, 320));
        assert!(many <= 10 * few + 2000, "{version}: {few} and {many} steps for\n{}", kind.1);
    }
}
