//! Targets over cases for what is made of a verdict: the late passes, logs, texts for other people, explanations.

use super::super::case_options;
use super::Input;
use crate::exec::Limits;
use crate::kernel::{HelperImms, KernelVersion, Rules};
use crate::oracle::{self, Aspect, Options};
use crate::program::json;
use crate::repro::{self, Claims, Load};
use crate::rewrite::{self, Comparison};
use crate::verifier::{self, Budget, LogLevel, Verdict};

/// What a walk may take where each is written down, or where many rules are tried.
const SHORT_WALK: Budget = Budget { insns: 2_000, bytes: 64 << 20 };

/// The late passes end, with an instruction's worth of what is known for each of a bounded number of instructions, and what
/// they give is its own dump.
pub fn late(input: &Input) {
    const INSNS_PER_INSN: usize = 64;
    let program = &input.0;
    for version in KernelVersion::ALL {
        let rules = Rules::of(version);
        let Verdict::Accepted(facts) = verifier::verify_within(program, &rules, case_options().budget) else {
            continue;
        };
        let Ok(rewritten) = rewrite::rewrite(program, &facts, &rules) else { continue };
        let late = rewrite::late_fixups(&rewritten, &rules);
        assert_eq!(late, rewrite::late_fixups(&rewritten, &rules), "{version}: the same program, the same passes");
        let Ok(late) = late else { continue };
        assert_eq!((late.origin.len(), late.wild.len()), (late.insns.len(), late.insns.len()), "{version}\n{input:?}");
        assert!(late.insns.len() <= INSNS_PER_INSN * (program.insns.len() + 1), "{version}: {}", late.insns.len());
        let dump = rewrite::as_dumped(&late.insns, &late.layout);
        let same = rewrite::compare(&late, &dump, HelperImms::NUMBERS);
        assert!(matches!(same, Comparison::Same { .. }), "{version}: a program is its own dump: {same:?}\n{input:?}");
    }
}

/// A log of a bounded walk is bounded, and writing it changes no verdict.
pub fn log(input: &Input) {
    /// Bytes of a line with a state: eight frames of eleven registers and 64 slots.
    const BYTES_PER_INSN: usize = 32 << 10;
    for version in KernelVersion::ALL {
        let rules = Rules::of(version);
        let verdict = verifier::verify_within(&input.0, &rules, SHORT_WALK);
        for level in [LogLevel::Path, LogLevel::All] {
            let (logged, text) = verifier::verify_within_with_log(&input.0, &rules, level, SHORT_WALK);
            assert_eq!(logged, verdict, "{version}: a log changes no verdict\n{input:?}");
            let insns = SHORT_WALK.insns as usize + input.0.insns.len();
            assert!(text.len() <= BYTES_PER_INSN * insns, "{version}: a log of {} bytes\n{input:?}", text.len());
        }
    }
}

/// What is written for others is printable text of bounded length, whatever names and messages hold.
pub fn writers(input: &Input) {
    const BYTES_FIXED: usize = 64 << 10;
    const BYTES_PER_BYTE: usize = 64;
    let program = &input.0;
    let size = json::write(std::slice::from_ref(program), json::Form::Lines).len();
    let hostile = format!("{} \"*/\\\u{1b}[31m\n\r\u{85}??/", program.name);
    let claims = [
        Claims::default(),
        Claims { load: Load::Success, retval: Some(1), expected_insns: program.insns.clone(), ..Claims::default() },
        Claims { comments: vec![hostile.clone()], load: Load::Failure(hostile.clone()), ..Claims::default() },
    ];
    for claims in &claims {
        for c in [repro::selftest_asm(program, claims).text, repro::selftest_array(program, claims).text] {
            let odd = c.chars().find(|c| !matches!(c, ' '..='~' | '\n' | '\t'));
            assert_eq!(odd, None, "C is plain text\n{c}");
            assert!(c.len() <= BYTES_FIXED + BYTES_PER_BYTE * size, "{} bytes of C for {size} of JSON", c.len());
        }
    }
    let text = repro::bpf(program, &[hostile]);
    let odd = text.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t'));
    assert_eq!(odd, None, "assembly is text for a terminal\n{text:?}");
    assert!(text.len() <= BYTES_FIXED + BYTES_PER_BYTE * size, "{} bytes of text for {size} of JSON", text.len());
}

/// An explanation ends, and is about answers that differ.
pub fn explain(input: &Input) {
    const FUEL: u64 = 1 << 12;
    let limits = Limits { fuel: FUEL, ..Limits::default() };
    let options = Options { limits, budget: SHORT_WALK, ..Options::default() };
    for change in oracle::explain(&input.0, &KernelVersion::ALL, Rules::of, &Aspect::ALL, options, || {}) {
        assert!(!change.before.agrees(&change.after, change.aspect), "{change:?}");
    }
}
