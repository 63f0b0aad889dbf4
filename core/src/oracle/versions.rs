//! Kernels against each other: the ways in which they treat one program differently.
//!
//! What a backporter wants to see: verdict, inlining, results, and how much work the verifier had. Each difference is a
//! signature that names what every kernel did, so programs with one cause fall into one group.

use super::parity::{self, of_arrays, outcomes, sites_in_dump};
use super::{Aspect, Report};
use crate::exec::AddressMask;
use crate::guest::{Answer, HexBytes, RunAnswer, Verdict};
use crate::isa::Insn;
use crate::program::Program;
use crate::repro::blank_numbers;

/// A kernel's side.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// Its name in signatures.
    pub name: &'a str,
    /// Its answer.
    pub answer: &'a Answer,
    /// The answer's dump with the helpers' numbers in helper calls.
    pub dump: &'a [Insn],
}

/// A verification that takes so many times another kernel's instructions blows up.
pub const BLOW_UP: u32 = 10;
/// Below this nothing blows up.
const BLOW_UP_MIN: u32 = 2_000;

/// What a signature of results begins with.
pub const RESULT: &str = "result: ";

/// What of the model's answers a signature is about; nothing where it is about what the model does not have.
pub fn aspects(signature: &str) -> &'static [Aspect] {
    match signature.split(':').next().unwrap_or_default() {
        "verdict" | "reason" => &[Aspect::Verdict, Aspect::Message],
        "inlining" => &[Aspect::Inlining],
        "result" => &[Aspect::Results],
        "blow-up" => &[Aspect::Count],
        _ => &[],
    }
}

/// The signatures of all differences; empty when the kernels agree. `reports` are the model's under the rules of one of them
/// ([`parity::examine`](super::parity::examine)): they tell which bytes come from addresses.
pub fn differences(program: &Program, reports: &[Report], sides: &[Side<'_>]) -> Vec<String> {
    let mut found = Vec::new();
    let reason = |side: &Side<'_>| format!("{} [{}]", side.answer.errno, blank_numbers(parity::reason(side.answer)));
    let verdict = |side: &Side<'_>| match &side.answer.verdict {
        Verdict::Reject => reason(side),
        other => other.to_string(),
    };
    // Kernels that all refuse, in other words or with another number, are a group of their own.
    let all_refuse = sides.iter().all(|side| side.answer.verdict == Verdict::Reject);
    found.extend(signature(if all_refuse { "reason" } else { "verdict" }, sides, verdict));
    let accepted: Vec<Side<'_>> = sides.iter().copied().filter(|side| side.answer.verdict == Verdict::Accept).collect();
    let inlined = |side: &Side<'_>| {
        let sites = sites_in_dump(side.dump);
        format!("{} of {} inlined", sites.iter().filter(|inlined| **inlined).count(), sites.len())
    };
    found.extend(signature("inlining", &accepted, inlined));
    found.extend(signature(MESSAGE, sides, message));
    for input in 0..program.inputs.len() {
        let mask = AddressMask::of(&outcomes(reports, input));
        if mask.flow {
            continue;
        }
        let results: Vec<_> = accepted.iter().map(|side| result(program, side.answer.runs.get(input), &mask)).collect();
        if results.windows(2).any(|pair| pair.first() != pair.last()) {
            // The values are no signature: name the kernels that agree.
            let class = |n: usize| results.iter().position(|r| Some(r) == results.get(n)).unwrap_or(n);
            let groups: Vec<String> =
                accepted.iter().enumerate().map(|(n, s)| format!("{}={}", s.name, class(n))).collect();
            found.push(format!("{RESULT}{}", groups.join(" ")));
            break;
        }
    }
    let counts = || accepted.iter().map(|side| side.answer.insns_processed);
    if let (Some(least), Some(most)) = (counts().min(), counts().max())
        && most > BLOW_UP_MIN
        && most / least.max(1) >= BLOW_UP
    {
        let of = |count: u32| accepted.iter().find(|s| s.answer.insns_processed == count).map_or("", |s| s.name);
        found.push(format!("blow-up: {} walks more than {BLOW_UP} times what {} does", of(most), of(least)));
    }
    found
}

/// The signature of what all kernels say alike when they meet a program: no difference between them, but no program may make
/// a kernel warn.
pub fn common_message(sides: &[Side<'_>]) -> Option<String> {
    let said = sides.iter().any(|side| !side.answer.kmsg.is_empty());
    (said && signature(MESSAGE, sides, message).is_none()).then(|| named(MESSAGE, sides, message))
}

/// What a signature of messages begins with.
pub const MESSAGE: &str = "kernel message";

fn message(side: &Side<'_>) -> String {
    splat(&side.answer.kmsg)
}

/// Whether two answers of one kernel have the same results, but for bytes that come from addresses. `reports` as in
/// [`differences`].
pub fn same_results(program: &Program, reports: &[Report], one: &Answer, other: &Answer) -> bool {
    (0..program.inputs.len()).all(|input| {
        let mask = AddressMask::of(&outcomes(reports, input));
        mask.flow || result(program, one.runs.get(input), &mask) == result(program, other.runs.get(input), &mask)
    })
}

/// What every kernel did, when they did not all do the same.
fn signature(what: &str, sides: &[Side<'_>], of: impl Fn(&Side<'_>) -> String) -> Option<String> {
    let all: Vec<String> = sides.iter().map(&of).collect();
    let same = all.windows(2).all(|pair| pair.first() == pair.last());
    (!same).then(|| named(what, sides, of))
}

/// What every kernel did.
fn named(what: &str, sides: &[Side<'_>], of: impl Fn(&Side<'_>) -> String) -> String {
    let all: Vec<String> = sides.iter().map(|side| format!("{} {}", side.name, of(side))).collect();
    format!("{what}: {}", all.join("; "))
}

/// What happened, by a kernel's messages, and in which function: nothing that belongs to one build or one boot.
fn splat(kmsg: &str) -> String {
    let marks = ["WARNING: ", "BUG: ", "UBSAN: ", "Oops: ", "general protection fault", "Kernel panic"];
    let is_marked = |line: &&str| marks.iter().any(|mark| line.starts_with(mark));
    let Some(at) = kmsg.lines().position(|line| is_marked(&line)) else {
        return blank_numbers(kmsg.lines().next().unwrap_or("none"));
    };
    let line = kmsg.lines().nth(at).unwrap_or_default();
    let function_in =
        |line: &'_ str| line.split([' ', ':', ',']).find_map(|word| Some(word.split_once("+0x")?.0.to_owned()));
    // Faults name the function in the line of the instruction pointer.
    let pointer = || kmsg.lines().skip(at).find(|line| line.starts_with("RIP: ")).and_then(function_in);
    let kind = line.split(':').next().unwrap_or_default();
    match function_in(line).or_else(pointer) {
        Some(program) if program.starts_with("bpf_prog_") => format!("{kind} in the program"),
        Some(function) => format!("{kind} in {function}"),
        None => kind.to_owned(),
    }
}

/// A run's result without the bytes that come from addresses.
fn result(program: &Program, run: Option<&RunAnswer>, mask: &AddressMask) -> Option<RunAnswer> {
    let run = run?;
    let blank = |bytes: &[u8], mask: &[bool]| -> Vec<u8> {
        let byte = |(n, byte): (usize, &u8)| if mask.get(n).copied().unwrap_or(false) { 0 } else { *byte };
        bytes.iter().enumerate().map(byte).collect()
    };
    let map_mask: Vec<bool> = of_arrays(program, &mask.maps).flatten().copied().collect();
    let retval = blank(&run.retval.to_le_bytes(), &mask.r0);
    let retval = retval.first_chunk().map_or(0, |b| u32::from_le_bytes(*b));
    let (ctx, data) = (blank(&run.ctx.0, &mask.ctx), blank(&run.data.0, &mask.packet));
    let (ctx, data, maps) = (HexBytes(ctx), HexBytes(data), HexBytes(blank(&run.maps.0, &map_mask)));
    Some(RunAnswer { err: run.err, retval, ctx, data, maps, duration_ns: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Input;

    fn answer(verdict: Verdict, message: &str, retval: u32) -> Answer {
        let mut answer = Answer::without_load(&Program::default(), verdict);
        answer.message = message.to_owned();
        answer.runs = vec![RunAnswer { retval, ..RunAnswer::default() }];
        answer.insns_processed = 9_000;
        answer
    }

    #[test]
    fn differences_name_what_each_kernel_did() {
        let program = Program { inputs: vec![Input::default()], ..Program::default() };
        let (a, b) = (answer(Verdict::Accept, "", 1), answer(Verdict::Reject, "R3 !read_ok", 0));
        let (c, mut d) = (answer(Verdict::Accept, "", 2), answer(Verdict::Accept, "", 1));
        fn side<'a>(name: &'a str, answer: &'a Answer) -> Side<'a> {
            Side { name, answer, dump: &[] }
        }
        fn found_by(program: &Program, sides: &[Side<'_>]) -> Vec<String> {
            differences(program, &[], sides)
        }
        assert!(found_by(&program, &[side("x", &a), side("y", &a)]).is_empty());
        assert_eq!(found_by(&program, &[side("x", &a), side("y", &b)]), ["verdict: x accept; y 0 [RN !read_ok]"]);
        assert_eq!(found_by(&program, &[side("x", &a), side("y", &c), side("z", &a)]), ["result: x=0 y=1 z=0"]);
        assert!(same_results(&program, &[], &a, &d) && !same_results(&program, &[], &a, &c));
        d.insns_processed = 90_000;
        assert_eq!(
            found_by(&program, &[side("x", &a), side("y", &d)]),
            ["blow-up: y walks more than 10 times what x does"]
        );
        let mut d = Answer { insns_processed: 9_000, ..d.clone() };
        d.kmsg = "odd\nWARNING: CPU: 0 PID: 1 at a.c:12 some_function+0x12/0x20\n".to_owned();
        let expected = "kernel message: x none; y WARNING in some_function";
        assert_eq!(found_by(&program, &[side("x", &a), side("y", &d)]), [expected]);
        assert_eq!(common_message(&[side("x", &a), side("y", &d)]), None);
        assert_eq!(common_message(&[side("x", &a), side("y", &a)]), None);
        // The same on both is no difference, whatever the lines around it, and is told all the same.
        let other =
            Answer { kmsg: d.kmsg.replace("a.c:12 some_function+0x12", "b.c:9 some_function+0x9"), ..d.clone() };
        let both = [side("y", &d), side("z", &other)];
        assert!(found_by(&program, &both).is_empty());
        let told = "kernel message: y WARNING in some_function; z WARNING in some_function";
        assert_eq!(common_message(&both).as_deref(), Some(told));
        d.kmsg =
            "BUG: unable to handle page fault for address: ffff8\nRIP: 0010:bpf_prog_12ab_main+0x1/0x2\n".to_owned();
        assert_eq!(common_message(&[side("y", &d)]).as_deref(), Some("kernel message: y BUG in the program"));
    }
}
