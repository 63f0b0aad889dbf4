//! `loopdiff kernel confirm`: both forms of a program on real kernels.

use super::guests::{self, Guests};
use super::progress::Progress;
use crate::cli::exit::{Exit, Failure};
use crate::cli::items::{self, Item};
use crate::cli::output::{Output, Tone};
use crate::exec::AddressMask;
use crate::guest::{Answer, Ask, Kernel, RunAnswer, Verdict};
use crate::kernel::{KernelVersion, ProgType, Rules};
use crate::oracle::parity::{self, of_arrays, outcomes, sites_in_dump};
use crate::oracle::twin::{self, Twins};
use crate::program::Program;
use crate::program::json::to_hex as hex;
use serde_json::{Value, json};
use std::fmt;
use std::path::PathBuf;

/// Arguments of `kernel confirm`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Program files (.bpf, .json, .jsonl, .o), or directories of them.
    #[arg(required = true, value_name = "CASE")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    guests: Guests,
    /// One JSON object a line, for each program and kernel.
    #[arg(long)]
    json: bool,
}

/// Bytes of a map that are shown.
const SHOWN: usize = 16;

/// What one form left behind on one input.
struct Left<'a> {
    run: &'a RunAnswer,
    r0: Option<u64>,
}

pub fn main(args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let items = items::load(&args.paths, output)?;
    let pool = args.guests.start()?;
    let progress = Progress::new();
    let mut tally = Tally { skipped: guests::skip_unsupported(&items, args.json, output)?, ..Tally::default() };
    let programs: Vec<(&Item, &Program)> = items.iter().filter_map(|item| Some((item, item.program()?))).collect();
    for (n, (item, program)) in programs.iter().enumerate() {
        let name = &program.name;
        let twins = match twin::twins(program) {
            Ok(twins) => twins,
            Err(error) => {
                guests::skip(name, &error.to_string(), args.json, output)?;
                tally.skipped += 1;
                continue;
            }
        };
        if !args.json {
            let (name, place) = (output.paint(Tone::Strong, name), output.paint(Tone::Faint, item.path.display()));
            output.line(format_args!("{name}  {place}"))?;
        }
        let forms = [twins.inlined.clone(), twins.helper.clone()];
        let done = || n as u64;
        let ask = || pool.answer_all(&forms, &Ask::default());
        let by_kernel = progress.during("programs in both forms", programs.len() as u64, done, ask)?;
        let mut of_program = Vec::new();
        for (kernel, answers) in pool.kernels().iter().zip(&by_kernel) {
            let [inlined, helper] = answers.as_slice() else { continue };
            let both = Both { prog_type: program.prog_type, inlined, helper, masks: masks(&twins, kernel) };
            of_program.push(both.outcome());
            let shown = Shown { kernel, both };
            if args.json { output.json(&shown.json(name))? } else { shown.describe(output)? }
        }
        tally.add(&of_program);
        output.flush()?;
    }
    if programs.len() > 1 && !args.json {
        output.line(format_args!("{tally}"))?;
    }
    Ok(tally.exit())
}

/// How programs came out, each on all kernels together.
#[derive(Default)]
struct Tally {
    equal: usize,
    different: usize,
    not_compared: usize,
    skipped: usize,
}

impl Tally {
    fn add(&mut self, by_kernel: &[Outcome]) {
        let count = if by_kernel.contains(&Outcome::Different) {
            &mut self.different
        } else if by_kernel.contains(&Outcome::Equal) {
            &mut self.equal
        } else {
            &mut self.not_compared
        };
        *count += 1;
    }

    /// A program of which no kernel ran both forms is not confirmed, and neither is anything where all were passed over.
    fn exit(&self) -> Exit {
        let is_any = self.equal + self.different > 0;
        if self.different > 0 || self.not_compared > 0 || !is_any { Exit::Found } else { Exit::Fine }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { equal, different, not_compared, skipped } = self;
        write!(f, "{equal} equal, {different} different, {not_compared} not compared on any kernel, {skipped} skipped")
    }
}

/// For each input, the bytes that come from addresses, in either form; as the model sees it.
fn masks(twins: &Twins, kernel: &Kernel) -> Vec<(AddressMask, Vec<bool>)> {
    let rules = Rules::of(kernel.image().version.unwrap_or(KernelVersion::NEWEST));
    let program = &twins.inlined;
    let (a, b) = (parity::examine(program, &rules), parity::examine(&twins.helper, &rules));
    let mask_of = |reports, n| AddressMask::of(&outcomes(reports, n));
    let one = |n: usize| {
        let (mut mask, other) = (mask_of(&a, n), mask_of(&b, n));
        mask.flow |= other.flow;
        let maps = of_arrays(program, &mask.maps).flatten().copied().collect();
        (mask, maps)
    };
    (0..program.inputs.len()).map(one).collect()
}

/// How a program came out on a kernel.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Outcome {
    /// Both forms left the same behind.
    Equal,
    /// They did not, or one of them was rejected.
    Different,
    /// Nothing was compared, and why.
    Nothing(String),
}

/// What came of an input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum OfInput {
    Equal,
    Different(&'static str),
    /// Neither form ran.
    NotRun(i32),
    /// Addresses decide which way the program goes.
    Addresses,
}

/// The answers to both forms.
struct Both<'a> {
    prog_type: ProgType,
    inlined: &'a Answer,
    helper: &'a Answer,
    masks: Vec<(AddressMask, Vec<bool>)>,
}

/// Both forms on one kernel.
struct Shown<'a> {
    kernel: &'a Kernel,
    both: Both<'a>,
}

impl Both<'_> {
    /// Both forms, by input.
    fn pairs(&self) -> impl Iterator<Item = (usize, Left<'_>, Left<'_>)> {
        let left = |run| Left { run, r0: twin::r0_of(&run.maps.0) };
        let pairs = self.inlined.runs.iter().zip(&self.helper.runs).enumerate();
        pairs.map(move |(n, (a, b))| (n, left(a), left(b)))
    }

    fn outcome(&self) -> Outcome {
        if self.inlined.verdict != self.helper.verdict {
            return Outcome::Different;
        }
        if self.inlined.verdict != Verdict::Accept {
            return Outcome::Nothing(format!("both forms: {}", self.inlined.verdict));
        }
        let of_inputs: Vec<OfInput> = self.pairs().map(|(n, a, b)| self.of_input(n, &a, &b)).collect();
        let is = |wanted: fn(&OfInput) -> bool| of_inputs.iter().any(wanted);
        if is(|of| matches!(of, OfInput::Different(_))) {
            Outcome::Different
        } else if is(|of| *of == OfInput::Equal) {
            Outcome::Equal
        } else if is(|of| *of == OfInput::Addresses) {
            Outcome::Nothing("addresses decide which way the program goes".to_owned())
        } else {
            Outcome::Nothing(match of_inputs.first() {
                Some(OfInput::NotRun(errno)) => self.not_run(*errno),
                _ => "there are no inputs".to_owned(),
            })
        }
    }

    /// Why the kernel does not run the program, by the error of the test run.
    fn not_run(&self, errno: i32) -> String {
        /// What the kernel answers for a type without test runs.
        const ENOTSUPP: i32 = 524;
        match errno {
            ENOTSUPP => format!("the kernel has no test runs of {} programs (errno {errno})", self.prog_type),
            errno => format!("the kernel rejects the test run with errno {errno}"),
        }
    }

    fn of_input(&self, n: usize, a: &Left<'_>, b: &Left<'_>) -> OfInput {
        match self.difference(n, a, b) {
            Some(what) => OfInput::Different(what),
            None if a.run.err != 0 => OfInput::NotRun(a.run.err),
            None if self.masks.get(n).is_some_and(|(mask, _)| mask.flow) => OfInput::Addresses,
            None => OfInput::Equal,
        }
    }

    /// What differs on an input, leaving out bytes that come from addresses.
    fn difference(&self, n: usize, a: &Left<'_>, b: &Left<'_>) -> Option<&'static str> {
        let plain = (AddressMask::default(), Vec::new());
        let (mask, maps) = self.masks.get(n).unwrap_or(&plain);
        let same = |x: &[u8], y: &[u8], mask: &[bool]| {
            let is_address = |n: usize| mask.get(n).copied().unwrap_or(false);
            x.len() == y.len() && x.iter().zip(y).enumerate().all(|(n, (x, y))| x == y || is_address(n))
        };
        if a.run.err != b.run.err {
            return Some("error of the test run");
        }
        if mask.flow {
            return None;
        }
        let r0 = |left: &Left<'_>| left.r0.unwrap_or(u64::from(left.run.retval)).to_le_bytes();
        if !same(&r0(a), &r0(b), &mask.r0) {
            return Some("r0");
        }
        if !same(&a.run.maps.0, &b.run.maps.0, maps) {
            return Some("maps");
        }
        if !same(&a.run.ctx.0, &b.run.ctx.0, &mask.ctx) {
            return Some("context");
        }
        (!same(&a.run.data.0, &b.run.data.0, &mask.packet)).then_some("packet")
    }
}

impl Shown<'_> {
    fn sites(&self, answer: &Answer) -> (usize, usize) {
        let sites = sites_in_dump(&self.kernel.facts().with_helper_numbers(&answer.xlated));
        (sites.iter().filter(|inlined| **inlined).count(), sites.len())
    }

    fn json(&self, name: &str) -> Value {
        let form = |answer: &Answer| {
            let (inlined, sites) = self.sites(answer);
            json!({
                "verdict": answer.verdict.name(), "errno": answer.errno, "message": answer.message,
                "sites": sites, "inlined": inlined, "kmsg": answer.kmsg,
            })
        };
        let side = |left: &Left<'_>| {
            json!({
                "err": left.run.err, "r0": left.r0.map(|r0| format!("{r0:016x}")), "retval": left.run.retval,
                "maps": left.run.maps, "ctx": left.run.ctx,
            })
        };
        let one = |(n, a, b): (usize, Left<'_>, Left<'_>)| {
            let (equal, differs_in) = match self.both.of_input(n, &a, &b) {
                OfInput::Equal => (Some(true), None),
                OfInput::Different(what) => (Some(false), Some(what)),
                OfInput::NotRun(_) | OfInput::Addresses => (None, None),
            };
            json!({ "input": n, "inlined": side(&a), "helper": side(&b), "equal": equal, "differs_in": differs_in })
        };
        let runs: Vec<Value> = self.both.pairs().map(one).collect();
        let (equal, not_compared) = match self.both.outcome() {
            Outcome::Equal => (Some(true), None),
            Outcome::Different => (Some(false), None),
            Outcome::Nothing(why) => (None, Some(why)),
        };
        json!({
            "name": name, "kernel": self.kernel.name(), "release": self.kernel.image().release,
            "inlined": form(self.both.inlined), "helper": form(self.both.helper), "runs": runs,
            "equal": equal, "not_compared": not_compared,
        })
    }

    fn describe(&self, output: &mut Output) -> Result<(), Failure> {
        let kernel = self.kernel.name();
        for (form, answer) in [("inlined", self.both.inlined), ("helper", self.both.helper)] {
            let (inlined, sites) = self.sites(answer);
            let what = match answer.verdict {
                Verdict::Accept => format!("{inlined} of {sites} loops inlined"),
                _ => answer.message.clone(),
            };
            output.line(format_args!("  {kernel:8} {form:8} {}, {what}", answer.verdict))?;
            guests::messages(&answer.kmsg, output)?;
        }
        for (n, a, b) in self.both.pairs() {
            let show = |left: &Left<'_>| match (left.run.err, left.r0) {
                (0, Some(r0)) => format!("{r0:#x}"),
                (0, None) => format!("{:#x}", left.run.retval),
                (err, _) => format!("errno {err}"),
            };
            let what = match self.both.of_input(n, &a, &b) {
                OfInput::Equal => format!("{}, r0 {}", output.paint(Tone::Good, "equal"), show(&a)),
                OfInput::NotRun(errno) => format!("not run: errno {errno}"),
                OfInput::Addresses => "not compared: addresses decide which way the program goes".to_owned(),
                OfInput::Different(what) => {
                    let word = output.paint(Tone::Bad, format!("different in {what}"));
                    format!("{word}: inlined {}, helper {}", show(&a), show(&b))
                }
            };
            output.line(format_args!("    input {n}: {what}"))?;
            if self.both.of_input(n, &a, &b) == OfInput::Different("maps") {
                let (a, b) = (&a.run.maps.0, &b.run.maps.0);
                let at = a.iter().zip(b).position(|(a, b)| a != b).unwrap_or(0) / SHOWN * SHOWN;
                let some = |bytes: &[u8]| hex(bytes.get(at..bytes.len().min(at + SHOWN)).unwrap_or_default());
                output.line(format_args!("      from byte {at}: inlined {}", some(a)))?;
                output.line(format_args!("      from byte {at}: helper  {}", some(b)))?;
            }
        }
        if let Outcome::Nothing(why) = self.both.outcome() {
            output.line(format_args!("    {}: {why}", output.paint(Tone::Notable, "nothing ran")))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(verdict: Verdict, runs: &[(i32, u32)]) -> Answer {
        let runs = runs.iter().map(|(err, retval)| RunAnswer { err: *err, retval: *retval, ..RunAnswer::default() });
        Answer { runs: runs.collect(), ..Answer::without_load(&Program::default(), verdict) }
    }

    fn outcome(inlined: &Answer, helper: &Answer, flow: bool) -> Outcome {
        let masks = vec![(AddressMask { flow, ..AddressMask::default() }, Vec::new()); 2];
        Both { prog_type: ProgType::Tracepoint, inlined, helper, masks }.outcome()
    }

    /// What did not run is never equal, whatever kept it from running.
    #[test]
    fn forms_are_equal_only_where_they_ran() {
        let accepted = |runs: &[(i32, u32)]| answer(Verdict::Accept, runs);
        let (one, two) = (accepted(&[(0, 1)]), accepted(&[(0, 2)]));
        assert_eq!(outcome(&one, &one, false), Outcome::Equal);
        assert_eq!(outcome(&one, &two, false), Outcome::Different);
        let nothing = |answer: &Answer, flow: bool| match outcome(answer, answer, flow) {
            Outcome::Nothing(why) => why,
            other => panic!("{other:?}"),
        };
        assert!(nothing(&accepted(&[(524, 0), (524, 0)]), false).contains("no test runs of tracepoint programs"));
        assert!(nothing(&accepted(&[(22, 0)]), false).contains("errno 22"));
        assert!(nothing(&accepted(&[]), false).contains("no inputs"));
        assert!(nothing(&one, true).contains("addresses"));
        for verdict in
            [Verdict::Reject, Verdict::NotRun("x".into()), Verdict::Died { phase: crate::guest::Phase::Load }]
        {
            assert!(nothing(&answer(verdict.clone(), &[]), false).contains(&verdict.to_string()));
        }
        // One input that ran is enough, and one form that did not is a difference.
        let half = accepted(&[(22, 0), (0, 1)]);
        assert_eq!(outcome(&half, &half, false), Outcome::Equal);
        assert_eq!(outcome(&accepted(&[(22, 0)]), &one, false), Outcome::Different);
        assert_eq!(outcome(&answer(Verdict::Reject, &[]), &one, false), Outcome::Different);
    }

    #[test]
    fn what_no_kernel_ran_is_not_confirmed() {
        let nothing = || Outcome::Nothing(String::new());
        let exit = |programs: &[&[Outcome]], skipped: usize| {
            let mut tally = Tally { skipped, ..Tally::default() };
            programs.iter().for_each(|by_kernel| tally.add(by_kernel));
            tally.exit()
        };
        assert_eq!(exit(&[&[Outcome::Equal, nothing()]], 3), Exit::Fine);
        assert_eq!(exit(&[&[Outcome::Equal, Outcome::Different]], 0), Exit::Found);
        assert_eq!(exit(&[&[Outcome::Equal], &[nothing(), nothing()]], 0), Exit::Found);
        assert_eq!(exit(&[&[]], 0), Exit::Found);
        assert_eq!(exit(&[], 2), Exit::Found);
    }
}
