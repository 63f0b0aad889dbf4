//! What a verifier's log says: the reason of a refusal, and statistics.
//!
//! The wording is that of 6.1 … 7.3, with the log level that gives statistics.

use std::collections::BTreeMap;

/// The numbers at the end of a log.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Statistics {
    /// Instructions walked, over all paths.
    pub insns_processed: u32,
    /// Stack depth of each subprogram as `main+sub1+…` (up to 7.2).
    pub stack_line: String,
    /// The same by name (7.3).
    pub stack_by_name: BTreeMap<String, u16>,
}

/// Reads the statistics of a log.
pub fn statistics(log: &str) -> Statistics {
    let mut found = Statistics::default();
    for line in log.lines() {
        if let Some(rest) = line.strip_prefix("processed ") {
            let count = rest.split(' ').next().unwrap_or_default();
            found.insns_processed = count.parse().unwrap_or(found.insns_processed);
        } else if let Some(rest) = line.strip_prefix("stack depth ") {
            let depths = rest.split(' ').next().unwrap_or_default();
            if depths.starts_with(|c: char| c.is_ascii_digit()) {
                found.stack_line = depths.trim_end().to_owned();
            }
        } else if let Some((name, depth)) = subprog_line(line) {
            found.stack_by_name.insert(name, depth);
        }
    }
    found
}

/// `subprog 0 (main) global insns_self 9 insns_total 9 stack 24`
fn subprog_line(line: &str) -> Option<(String, u16)> {
    let rest = line.strip_prefix("subprog ")?;
    let (_, rest) = rest.split_once(" (")?;
    let (name, rest) = rest.split_once(") ")?;
    let (_, depth) = rest.rsplit_once(" stack ")?;
    Some((name.to_owned(), depth.trim().parse().ok()?))
}

/// The line that says why a program was refused; empty when the log has none.
///
/// It is the last line before the statistics, and before the report that 7.3 adds for people, that does not explain another
/// line; some reasons follow the report. Some have no line break, and the first statistics follow in the same line; some stand
/// behind the last instruction. Where nothing but the report says why, it is the report's first line.
pub fn reason(log: &str) -> &str {
    let walk = log.split_once(VERIFICATION_TIME).map_or(log, |(before, _)| before);
    let (said, report) = match walk.find(REPORT) {
        Some(at) => walk.split_at(at),
        None => (walk, ""),
    };
    let after = report.lines().rev().find(|line| !is_of_report(line) && !is_aside(line));
    let before = || said.lines().rev().find(|line| !line.trim().is_empty() && !is_aside(line));
    let header = || report.lines().find(|line| !line.is_empty());
    behind_instruction(after.or_else(before).or_else(header).unwrap_or_default())
}

/// Lines of the report: its first one, titles of sections, and what is indented below these.
fn is_of_report(line: &str) -> bool {
    let header = REPORT.trim_start();
    line.trim().is_empty() || line.starts_with(header) || line.starts_with("  ") || line.ends_with(':')
}

/// What a line says behind an instruction that is still on it: `12: (a5) if r3 < 0xa goto pc-4 infinite loop detected at insn 9`.
fn behind_instruction(line: &str) -> &str {
    let is_instruction = line.split_once(": (").is_some_and(|(at, _)| at.bytes().all(|b| b.is_ascii_digit()));
    let reasons = ["infinite loop detected at insn ", "BPF program is too large", "The sequence of "];
    let at = reasons.iter().find_map(|reason| line.find(reason)).filter(|_| is_instruction);
    at.and_then(|at| line.get(at..)).unwrap_or(line)
}

/// Whether a reason names a limit of the verifier, which is no contradiction in it although some kernels answer `EFAULT`.
pub fn names_limit(reason: &str) -> bool {
    reason.starts_with("The sequence of ")
}

/// How the statistics begin where all of them are asked for.
const VERIFICATION_TIME: &str = "verification time ";
/// How the report begins that a log with instructions ends in.
///
/// Kernel: `bpf_diag_header` (7.3).
#[doc(alias = "bpf_diag_header")]
const REPORT: &str = "\nVerification failed: ";

/// Lines that come after the reason: statistics, and the two states that a loop without end has in common.
fn is_aside(line: &str) -> bool {
    ["processed ", "cur state:", "old state:"].iter().any(|start| line.starts_with(start))
}

/// A kernel's messages without those about its clock: an emulated processor is late.
pub(super) fn without_clock(kmsg: &str) -> String {
    let of_clock = |line: &&str| ["clocksource: ", "hrtimer: interrupt took "].iter().any(|s| line.starts_with(s));
    kmsg.lines().filter(|line| !of_clock(line)).flat_map(|line| [line, "\n"]).collect()
}

/// Lines of a console without the time that each begins with: as `/dev/kmsg` has them.
pub(super) fn without_times(console: &str) -> String {
    let line = |line: &str| {
        let stamp = line.strip_prefix('[').and_then(|rest| rest.split_once("] "));
        let is_time = |text: &str| text.trim_start().parse::<f64>().is_ok();
        stamp.filter(|(time, _)| is_time(time)).map_or(line, |(_, text)| text).to_owned() + "\n"
    };
    console.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_stands_before_states_and_statistics() {
        let log =
            "infinite loop detected at insn 7\ncur state: R1=1\nold state: R1=1\nprocessed 9 insns (limit 1000000)\n";
        assert_eq!(reason(log), "infinite loop detected at insn 7");
        assert_eq!(statistics(log).insns_processed, 9);
        assert_eq!(reason("no such callverification time 7427 usec\nprocessed 2 insns\n"), "no such call");
        let joined = "nonzero insn_off 1 for the first func info recordverification time 9 usec\nstack depth 0\n";
        assert_eq!(reason(joined), "nonzero insn_off 1 for the first func info record");
    }

    #[test]
    fn no_release_hides_the_reason_behind_what_it_says_of_it() {
        let statistics = [
            "processed 1 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0\n",
            "verification time 9 usec\nstack depth 0+8\nprocessed 1 insns\n",
            "verification time 9 usec\nstack depth 0+8 max 0\ninsns processed 1+2\nprocessed 1 insns\n",
            "verification time 9 usec\nstack depth max 0\nsubprog 0 (main) main insns_self 1 insns_total 1 stack 0\nprocessed 1 insns\n",
        ];
        let walk = "0: R1=ctx() R10=fp0\n0: (bf) r0 = r5\n";
        let report = "\nVerification failed: Register Type Safety: Unreadable register\n\nReason:\n  R5 has never been \
                      initialized.\n\nSuggestion:\n  Initialize R5 on every path before this instruction.\n\n";
        for end in statistics {
            for report in ["", report] {
                assert_eq!(reason(&format!("{walk}R5 !read_ok\n{report}{end}")), "R5 !read_ok", "{report}{end}");
            }
            let header = "Verification failed: Register Type Safety: Unreadable register";
            assert_eq!(reason(&format!("{report}{end}")), header, "{end}");
        }
        let behind = format!("{walk}Unreleased reference id=2 alloc_insn=4\n{report}BPF_EXIT would lead to a leak\n");
        assert_eq!(reason(&behind), "BPF_EXIT would lead to a leak");
        let joined =
            format!("{walk}12: (a5) if r3 < 0xa goto pc-4 infinite loop detected at insn 9\ncur state: R1=1\n");
        assert_eq!(reason(&joined), "infinite loop detected at insn 9");
        assert_eq!(super::statistics(statistics[2]).stack_line, "0+8");
        assert_eq!(super::statistics(statistics[1]).stack_line, "0+8");
    }

    #[test]
    fn a_limit_is_no_contradiction() {
        assert!(names_limit("The sequence of 8193 jumps is too complex."));
        assert!(!names_limit("verifier bug: No program to jit at insn 5 (subprog < 0)"));
    }

    #[test]
    fn consoles_lose_their_times() {
        let console = "[    9.012345] BUG: page fault\n[x] y\nplain";
        assert_eq!(without_times(console), "BUG: page fault\n[x] y\nplain\n");
        assert_eq!(without_clock("hrtimer: interrupt took 9 ns\nWARNING: x\n"), "WARNING: x\n");
    }
}
