//! What a verifier's log says: the reason of a refusal, and statistics.
//!
//! The wording is that of 6.1 … 7.3, with the log level that gives statistics.

use std::collections::BTreeMap;

/// The numbers at the end of a log.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Statistics {
    /// Instructions walked, over all paths.
    pub insns_processed: u32,
    /// Stack depth of each subprogram as `main+sub1+…` (up to 6.18).
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
            if rest.starts_with(|c: char| c.is_ascii_digit()) {
                found.stack_line = rest.trim_end().to_owned();
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
/// It is the last line that is neither statistics nor an explanation of another line.
pub fn reason(log: &str) -> &str {
    let line = log.lines().rev().find(|line| !line.trim().is_empty() && !is_aside(line)).unwrap_or_default();
    // A reason that the kernel forgot to end with a line break.
    line.split_once(VERIFICATION_TIME).map_or(line, |(reason, _)| reason)
}

/// How the statistics begin.
const VERIFICATION_TIME: &str = "verification time ";

/// Lines that come after the reason.
fn is_aside(line: &str) -> bool {
    // Statistics, and the two states that a loop without end has in common.
    let asides = ["processed ", VERIFICATION_TIME, "stack depth ", "subprog ", "cur state:", "old state:"];
    asides.iter().any(|start| line.starts_with(start))
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
    }
}
