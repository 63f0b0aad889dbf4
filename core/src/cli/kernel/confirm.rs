//! `loopdiff kernel confirm`: both forms of a program on real kernels.

use super::guests::{self, Guests};
use crate::cli::exit::{Exit, Failure};
use crate::cli::items;
use crate::cli::output::{Output, Tone};
use crate::exec::AddressMask;
use crate::guest::{Answer, Ask, Kernel, RunAnswer, Verdict};
use crate::kernel::{KernelVersion, Rules};
use crate::oracle::parity::{self, of_arrays, outcomes, sites_in_dump};
use crate::oracle::twin::{self, Twins};
use crate::program::json::to_hex as hex;
use serde_json::{Value, json};
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
    let pool = args.guests.start()?;
    let mut exit = Exit::Fine;
    for item in items::load(&args.paths, output)? {
        let Some(program) = item.program() else { continue };
        let name = &program.name;
        let twins = match twin::twins(program) {
            Ok(twins) => twins,
            Err(error) => {
                guests::skip(name, &error.to_string(), args.json, output)?;
                continue;
            }
        };
        if !args.json {
            let (name, place) = (output.paint(Tone::Strong, name), output.paint(Tone::Faint, item.path.display()));
            output.line(format_args!("{name}  {place}"))?;
        }
        let forms = [twins.inlined.clone(), twins.helper.clone()];
        let by_kernel = pool.answer_all(&forms, &Ask::default())?;
        for (kernel, answers) in pool.kernels().iter().zip(&by_kernel) {
            let [inlined, helper] = answers.as_slice() else { continue };
            let shown = Shown { kernel, inlined, helper, masks: masks(&twins, kernel) };
            if shown.differs() {
                exit = Exit::Found;
            }
            if args.json { output.json(&shown.json(name))? } else { shown.describe(output)? }
        }
    }
    Ok(exit)
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

/// Both forms on one kernel.
struct Shown<'a> {
    kernel: &'a Kernel,
    inlined: &'a Answer,
    helper: &'a Answer,
    masks: Vec<(AddressMask, Vec<bool>)>,
}

impl Shown<'_> {
    fn sites(&self, answer: &Answer) -> (usize, usize) {
        let sites = sites_in_dump(&self.kernel.facts().with_helper_numbers(&answer.xlated));
        (sites.iter().filter(|inlined| **inlined).count(), sites.len())
    }

    /// Both forms, by input.
    fn pairs(&self) -> impl Iterator<Item = (usize, Left<'_>, Left<'_>)> {
        let left = |run| Left { run, r0: twin::r0_of(&run.maps.0) };
        let pairs = self.inlined.runs.iter().zip(&self.helper.runs).enumerate();
        pairs.map(move |(n, (a, b))| (n, left(a), left(b)))
    }

    fn differs(&self) -> bool {
        let verdicts = self.inlined.verdict != self.helper.verdict;
        verdicts || self.pairs().any(|(n, a, b)| self.difference(n, &a, &b).is_some())
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
        let runs: Vec<Value> = self
            .pairs()
            .map(|(n, a, b)| {
                let difference = self.difference(n, &a, &b);
                json!({ "input": n, "inlined": side(&a), "helper": side(&b), "equal": difference.is_none(), "differs_in": difference })
            })
            .collect();
        json!({
            "name": name, "kernel": self.kernel.name(), "release": self.kernel.image().release,
            "inlined": form(self.inlined), "helper": form(self.helper), "runs": runs, "equal": !self.differs(),
        })
    }

    fn describe(&self, output: &mut Output) -> Result<(), Failure> {
        let kernel = self.kernel.name();
        for (form, answer) in [("inlined", self.inlined), ("helper", self.helper)] {
            let (inlined, sites) = self.sites(answer);
            let what = match answer.verdict {
                Verdict::Accept => format!("{inlined} of {sites} loops inlined"),
                _ => answer.message.clone(),
            };
            output.line(format_args!("  {kernel:8} {form:8} {}, {what}", answer.verdict))?;
            guests::messages(&answer.kmsg, output)?;
        }
        for (n, a, b) in self.pairs() {
            let show = |left: &Left<'_>| match (left.run.err, left.r0) {
                (0, Some(r0)) => format!("{r0:#x}"),
                (0, None) => format!("{:#x}", left.run.retval),
                (err, _) => format!("errno {err}"),
            };
            match self.difference(n, &a, &b) {
                None => {
                    let word = output.paint(Tone::Good, "equal");
                    output.line(format_args!("    input {n}: {word}, r0 {}", show(&a)))?;
                }
                Some(what) => {
                    let word = output.paint(Tone::Bad, format!("different in {what}"));
                    output.line(format_args!("    input {n}: {word}: inlined {}, helper {}", show(&a), show(&b)))?;
                    if what == "maps" {
                        let (a, b) = (&a.run.maps.0, &b.run.maps.0);
                        let at = a.iter().zip(b).position(|(a, b)| a != b).unwrap_or(0) / SHOWN * SHOWN;
                        let some = |bytes: &[u8]| hex(bytes.get(at..bytes.len().min(at + SHOWN)).unwrap_or_default());
                        output.line(format_args!("      from byte {at}: inlined {}, helper {}", some(a), some(b)))?;
                    }
                }
            }
        }
        Ok(())
    }
}
