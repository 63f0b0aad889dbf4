//! Lines of verifier logs, prepared for a comparison.

use std::collections::BTreeMap;

/// The lines of a kernel's log.
pub struct KernelLines {
    /// Those that we write too.
    pub lines: Vec<String>,
    /// How many others there are.
    pub left_out: usize,
}

/// Lines that begin parts which we do not write: traces of the static analysis of the stack, and the report at an error.
const OTHER_PARTS: [&str; 7] =
    ["stack use/def", "arg JOIN", "subprog#", "subprog ", "verification time", "stack depth", "Verification failed:"];

/// Takes a kernel's log apart.
pub fn of_kernel(log: &str) -> KernelLines {
    let mut lines = Vec::new();
    let mut left_out = 0;
    let mut in_other = false;
    for line in log.lines() {
        // The walk, and what is written about it, begins with an index or a word of its own.
        let starts_other = OTHER_PARTS.iter().any(|start| line.starts_with(start));
        let walk = line.starts_with("Live regs") || line.starts_with("0: R1=") || line.starts_with("processed ");
        in_other = (in_other || starts_other) && !walk;
        if in_other || line.is_empty() {
            left_out += usize::from(!line.is_empty());
            continue;
        }
        lines.push(blank_address(line));
    }
    KernelLines { lines, left_out }
}

/// Takes one of our logs apart.
pub fn of_ours(log: &str) -> Vec<String> {
    log.lines().filter(|line| !line.is_empty()).map(blank_address).collect()
}

/// A map's address becomes 0.
fn blank_address(line: &str) -> String {
    match line.split_once(" = 0xffff") {
        Some((before, after)) if before.contains("(18) r") => {
            let digits = after.chars().take_while(char::is_ascii_hexdigit).count();
            let rest = after[digits..].trim_start();
            let blanked = format!("{before} = 0x0");
            if rest.is_empty() { blanked } else { format!("{blanked:<38}{rest}") }
        }
        _ => line.trim_end().to_owned(),
    }
}

/// A line of ours beside a kernel's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pair {
    /// Ours.
    pub ours: Option<String>,
    /// The kernel's.
    pub theirs: Option<String>,
}

impl Pair {
    /// Whether both are there and equal.
    pub fn is_same(&self) -> bool {
        self.ours == self.theirs
    }

    /// Both lines.
    pub fn shown(&self) -> String {
        let line = |l: &Option<String>| l.clone().unwrap_or_else(|| "(nothing)".to_owned());
        format!("ours {}\n       kernel {}", line(&self.ours), line(&self.theirs))
    }

    /// The difference without numbers, so that differences of a kind count together.
    pub fn kind(&self) -> String {
        let words = |l: &Option<String>| {
            let line = l.as_deref().unwrap_or("(nothing)");
            let line = line.split_once(';').map_or(line, |(_, state)| state);
            line.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect::<String>()
        };
        format!("{} | {}", words(&self.ours), words(&self.theirs))
    }
}

/// Puts the lines side by side: a longest common part by lines, near the ends first.
pub fn align(ours: &[String], theirs: &[String]) -> Vec<Pair> {
    let pair = |o: Option<&String>, t: Option<&String>| Pair { ours: o.cloned(), theirs: t.cloned() };
    let mut places: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (n, line) in theirs.iter().enumerate() {
        places.entry(line).or_default().push(n);
    }
    let (mut o, mut t) = (0, 0);
    let mut out = Vec::new();
    while o < ours.len() || t < theirs.len() {
        if ours.get(o) == theirs.get(t) {
            out.push(pair(ours.get(o), theirs.get(t)));
            (o, t) = (o + 1, t + 1);
            continue;
        }
        match resume(&ours[o..], t, &places) {
            Some((skip, to)) => {
                let (between_ours, between_theirs) = (&ours[o..o + skip], &theirs[t..to]);
                for n in 0..between_ours.len().max(between_theirs.len()) {
                    out.push(pair(between_ours.get(n), between_theirs.get(n)));
                }
                (o, t) = (o + skip, to);
            }
            None => {
                for n in 0..(ours.len() - o).max(theirs.len() - t) {
                    out.push(pair(ours.get(o + n), theirs.get(t + n)));
                }
                break;
            }
        }
    }
    out
}

/// Where both go on alike with the fewest lines left out: how many of ours, and the place of theirs.
fn resume(ours: &[String], from: usize, places: &BTreeMap<&str, Vec<usize>>) -> Option<(usize, usize)> {
    const WINDOW: usize = 200;
    let mut best: Option<(usize, usize)> = None;
    for (n, line) in ours.iter().take(WINDOW).enumerate() {
        let Some(at) = places.get(line.as_str()).and_then(|p| p.iter().find(|at| **at >= from)) else { continue };
        if best.is_none_or(|(skip, to)| n + at < skip + to) {
            best = Some((n, *at));
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[&str]) -> Vec<String> {
        text.iter().map(|l| (*l).to_owned()).collect()
    }

    #[test]
    fn what_is_left_out_shifts_nothing() {
        let pairs = align(&lines(&["a", "b", "d", "e"]), &lines(&["a", "b", "c", "d", "e"]));
        assert_eq!(pairs.iter().filter(|p| p.is_same()).count(), 4);
        assert_eq!(pairs.len(), 5);
        let pairs = align(&lines(&["a", "x", "c"]), &lines(&["a", "y", "c"]));
        assert_eq!(pairs.iter().map(Pair::is_same).collect::<Vec<_>>(), [true, false, true]);
    }

    #[test]
    fn addresses_are_blanked() {
        let line = "9: (18) r5 = 0xffff888003a1f800       ; R5=map_value(ks=4,vs=64)";
        let ours = "9: (18) r5 = 0x0                      ; R5=map_value(ks=4,vs=64)";
        assert_eq!(blank_address(line), ours);
        assert_eq!(blank_address(ours), ours);
    }

    #[test]
    fn parts_that_we_do_not_write() {
        let text = "func#0 @0
subprog#0: analyzing
  0: x
Live regs before insn:
  0: ..

(0) frame 0 insn 1 +live -8
R1 !read_ok
Verification failed: Register
At:
  insn 3
processed 3 insns
";
        let theirs = of_kernel(text);
        let learnt = "(0) frame 0 insn 1 +live -8";
        let expected = ["func#0 @0", "Live regs before insn:", "  0: ..", learnt, "R1 !read_ok", "processed 3 insns"];
        assert_eq!(theirs.lines, expected);
        assert_eq!(theirs.left_out, 5);
    }
}
