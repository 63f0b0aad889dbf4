//! Which differences come first: by what they mean for who runs programs, not by how many programs show them.

/// How bad a difference is, worst first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Severity {
    /// A kernel dies, hangs or oopses.
    Fatal,
    /// One side accepts what the other rejects.
    Verdict,
    /// Runs leave other results behind.
    Result,
    /// A kernel warns.
    Warning,
    /// Other loops are inlined, or other instructions come out.
    Rewrite,
    /// The verifier works more or less.
    Work,
    /// An error number or the words of a rejection.
    Text,
}

/// What kernels die of, in signatures.
const FATAL: [&str; 6] = ["the guest died", "no end (", "Kernel panic", " BUG", "Oops", "general protection fault"];

/// The severity of a signature, of [`parity`](super::parity) or of [`versions`](super::versions).
pub fn severity(signature: &str) -> Severity {
    let (what, rest) = signature.split_once(':').unwrap_or((signature, ""));
    // The words of a rejection may hold anything.
    if matches!(what, "kernel" | "kernel message" | "verdict" | "run") && FATAL.iter().any(|mark| rest.contains(mark)) {
        return Severity::Fatal;
    }
    match what {
        "kernel" | "verdict" => Severity::Verdict,
        "result" | "run" => Severity::Result,
        "kernel message" => Severity::Warning,
        "inlining" | "sites" | "xlated" | "stack" => Severity::Rewrite,
        "count" | "blow-up" => Severity::Work,
        _ => Severity::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kills_comes_before_what_is_only_said() {
        let worst_first = [
            &[
                "kernel: the guest died (load)",
                "verdict: 6.1 accept; 7.3 no end (load)",
                "kernel message: a BUG in f",
                "run: no end (run)",
            ][..],
            &["verdict: ours accept, kernel 13 [R1 !read_ok]", "kernel: not run: x", "verdict: 6.1 accept; 7.3 13 [x]"],
            &["result: 6.1=0 7.3=1", "run: maps", "run: ours traps"],
            &["kernel message: 6.1 none; 7.3 WARNING in f"],
            &[
                "inlining: 6.1 0 of 1 inlined; 7.3 1 of 1 inlined",
                "sites",
                "xlated: ours opcode 0x85, kernel the end",
                "stack",
            ],
            &["count: more instructions walked than by the kernel", "blow-up: 7.3 walks more"],
            &[
                "reason: 6.1 13 [a]; 7.3 22 [the guest died]",
                "errno: ours 1, kernel 2",
                "message: ours [a], kernel [b]",
            ],
        ];
        for (n, signatures) in worst_first.iter().enumerate() {
            for signature in *signatures {
                let above =
                    worst_first.iter().take(n).flat_map(|s| s.iter()).all(|s| severity(s) < severity(signature));
                let alike = signatures.iter().all(|s| severity(s) == severity(signature));
                assert!(above && alike, "{signature}");
            }
        }
    }
}
