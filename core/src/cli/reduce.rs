//! `loopdiff reduce`: a smaller case with the same finding, or with the same verdict.

use super::exit::{Exit, Failure};
use super::items::{self, Item};
use super::options::RulesOption;
use super::output::{Output, note};
use super::run::Seed;
use crate::campaign::{Case, examine_caught};
use crate::exec::Limits;
use crate::generator::Features;
use crate::kernel::{KernelVersion, Rules};
use crate::oracle::{Examiner, Finding, Options, Status, status};
use crate::program::json::Form;
use crate::program::{Loaded, Program, json, shown};
use crate::reduce::{self, Budget, End, Keep, Reduced};
use crate::repro;
use crate::verifier::SiteState;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Arguments of `reduce`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Program file (.bpf, .json, .jsonl, .o).
    #[arg(value_name = "CASE")]
    case: PathBuf,
    /// The program of that name, where the file has several.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The file is an input of the fuzz targets: its Spec is made smaller first.
    #[arg(long, conflicts_with = "name")]
    fuzzer_input: bool,
    #[command(flatten)]
    rules: RulesOption,
    /// What must stay.
    #[arg(long, value_name = "WHAT", default_value = "finding")]
    keep: What,
    /// Signature of the finding that must stay [default: the first one that the case has].
    #[arg(long, value_name = "SIGNATURE")]
    signature: Option<String>,
    /// File to write [default: standard output, as assembly]; its extension says the format (.bpf, .json, .c).
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Candidates that are tried.
    #[arg(long, value_name = "N", default_value_t = 50_000)]
    attempts: u32,
    /// Seconds after which the best so far is taken.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    seconds: u64,
    #[command(flatten)]
    seed: Seed,
    /// Instructions that a run may take.
    #[arg(long, value_name = "N", default_value_t = 20_000_000)]
    fuel: u64,
    /// One JSON object on standard output, and nothing else.
    #[arg(long)]
    json: bool,
}

/// What must stay.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum What {
    /// The finding, by its signature.
    Finding,
    /// The verdict: accepted with loops of the same fates, or refused with the same message but for numbers.
    Verdict,
}

pub fn main(args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let (case, own_rules) = one(args, output)?;
    let program = &case.program;
    let version = args.rules.versions(&own_rules).into_iter().next().unwrap_or(KernelVersion::NEWEST);
    let rules = args.rules.rules(version);
    let limits = Limits { fuel: args.fuel, layout_seed: args.seed.seed, ..Limits::default() };
    let mut examiner = Examiner::new(Options { limits, ..Options::default() });
    let kept = match args.keep {
        What::Verdict => verdict(program, &rules),
        What::Finding => signature(args, program, version, &mut examiner)?,
    };
    let mut is_kept = |candidate: &Program| match args.keep {
        What::Verdict => verdict(candidate, &rules) == kept,
        What::Finding => found(&mut examiner, candidate, &rules).iter().any(|f| f.signature == kept),
    };
    // A time beyond what clocks tell is none.
    let end = Instant::now().checked_add(Duration::from_secs(args.seconds));
    let budget = Budget { attempts_max: args.attempts };
    let mut keep = |candidate: &Program| {
        if end.is_some_and(|end| Instant::now() >= end) { Keep::Stop } else { is_kept(candidate).into() }
    };
    let reduced = match &case.spec {
        Some(spec) => reduce::reduce_spec(spec, program, budget, &mut keep),
        None => reduce::reduce(program, budget, &mut keep),
    };
    report(args, version, &kept, &reduced, output)?;
    Ok(Exit::Fine)
}

/// What is found in a program; a panic of ours is a finding too.
fn found(examiner: &mut Examiner, program: &Program, rules: &Rules) -> Vec<Finding> {
    examine_caught(examiner, program, rules).map_or_else(|finding| vec![finding], |report| report.findings)
}

/// The one case that is meant, and the kernels that its file names.
fn one(args: &Args, output: &mut Output) -> Result<(Case, Vec<KernelVersion>), Failure> {
    if args.fuzzer_input {
        return Ok((items::fuzzer_input(&args.case)?, Vec::new()));
    }
    let item = one_item(args, output)?;
    let rules = item.rules.clone();
    match item.loaded {
        Loaded::Unsupported { name, what } => {
            Err(Failure::Usage(format!("{}: unsupported: {}", shown(&name), shown(&what))))
        }
        Loaded::Program(program) => Ok((Case { program, features: Features::default(), spec: None }, rules)),
    }
}

fn one_item(args: &Args, output: &mut Output) -> Result<Item, Failure> {
    let mut items = items::load(std::slice::from_ref(&args.case), output)?;
    items.retain(|item| args.name.as_deref().is_none_or(|name| item.loaded.name() == name));
    let names: Vec<String> = items.iter().take(10).map(|i| shown(i.loaded.name()).into_owned()).collect();
    match items.pop() {
        Some(item) if items.is_empty() => Ok(item),
        Some(_) => Err(Failure::Usage(format!("one program is reduced; choose it with --name: {}", names.join(", ")))),
        None => Err(Failure::Usage(format!("no program is called \"{}\"", args.name.as_deref().unwrap_or_default()))),
    }
}

/// The signature that must stay.
fn signature(
    args: &Args,
    program: &Program,
    version: KernelVersion,
    examiner: &mut Examiner,
) -> Result<String, Failure> {
    let found = found(examiner, program, &args.rules.rules(version));
    let Some(first) = found.first() else {
        let hint = "--keep verdict keeps the verdict instead";
        return Err(Failure::Usage(format!(
            "{}: no finding under the rules of {version}; {hint}",
            shown(&program.name)
        )));
    };
    let wanted = args.signature.as_ref().unwrap_or(&first.signature);
    if found.iter().any(|f| f.signature == *wanted) {
        return Ok(wanted.clone());
    }
    let signatures: BTreeSet<&str> = found.iter().map(|f| f.signature.as_str()).collect();
    let signatures = signatures.into_iter().collect::<Vec<_>>().join("; ");
    Err(Failure::Usage(format!("no finding has the signature \"{wanted}\"; there are: {signatures}")))
}

/// A verdict without places and numbers.
fn verdict(program: &Program, rules: &Rules) -> String {
    match status(program, rules) {
        Status::Accepted { facts, .. } => {
            let fate = |state: &SiteState| match state {
                SiteState::NeverReached => "never reached".to_owned(),
                SiteState::Fit(_) => "inlined".to_owned(),
                SiteState::Unfit(why) => format!("not inlined: {why}"),
            };
            let fates: BTreeSet<String> = facts.loops.iter().map(|l| fate(&l.state)).collect();
            let fates = fates.into_iter().collect::<Vec<_>>().join(", ");
            if fates.is_empty() { "accepted".to_owned() } else { format!("accepted, loops {fates}") }
        }
        Status::Rejected(rejection) => {
            format!("rejected ({}): {}", rejection.errno.0, repro::blank_numbers(&rejection.text))
        }
        Status::Unsupported(what) => format!("unsupported: {}", repro::blank_numbers(&what.what)),
    }
}

fn report(
    args: &Args,
    version: KernelVersion,
    kept: &str,
    reduced: &Reduced,
    output: &mut Output,
) -> Result<(), Failure> {
    let comments = [format!("Kept under the rules of {version}: {kept}")];
    let mut left_out = Vec::new();
    if let Some(path) = &args.out {
        let (bytes, what) = written(path, &reduced.program, &comments);
        what.iter().for_each(|what| note(format_args!("{}: not as the original: {what}", path.display())));
        left_out = what;
        crate::campaign::write_whole(path, &bytes).map_err(|e| Failure::file(path, e))?;
    }
    let end = match reduced.end {
        End::Minimal => "nothing smaller was found",
        End::Budget => "no attempts are left",
        End::Stopped => "the time is over",
    };
    if args.json {
        let size = |size: &reduce::Size| {
            json!({ "insns": size.insns, "funcs": size.funcs, "maps": size.maps, "inputs": size.inputs,
                    "input_bytes": size.input_bytes })
        };
        return output.json(&json!({ "reduced": {
            "name": reduced.program.name,
            "rules": version.name(),
            "kept": kept,
            "before": size(&reduced.before),
            "after": size(&reduced.after),
            "attempts": reduced.attempts,
            "minimal": reduced.end == End::Minimal,
            "left_out": left_out,
            "program": serde_json::from_str::<serde_json::Value>(&json::write(
                std::slice::from_ref(&reduced.program), Form::Document)).unwrap_or_default(),
        }}));
    }
    note(format_args!("kept:   {kept}"));
    note(format_args!("before: {}", reduced.before));
    note(format_args!("after:  {}", reduced.after));
    note(format_args!("{} attempts; {end}", reduced.attempts));
    match &args.out {
        Some(_) => Ok(()),
        None => output.bytes(repro::bpf(&reduced.program, &comments).as_bytes()),
    }
}

/// The case in the format that a file's name says, assembly where it says nothing, and what the format has no words for.
fn written(path: &Path, program: &Program, comments: &[String]) -> (Vec<u8>, Vec<String>) {
    let one = std::slice::from_ref(program);
    let text = match path.extension().and_then(|e| e.to_str()) {
        Some("json") => json::write(one, Form::Document),
        Some("jsonl") => json::write(one, Form::Lines),
        Some("c") => {
            let claims = repro::Claims { comments: comments.to_vec(), ..repro::Claims::default() };
            let selftest = repro::selftest_asm(program, &claims);
            return (selftest.text.into_bytes(), selftest.left_out);
        }
        _ => repro::bpf(program, comments),
    };
    (text.into_bytes(), Vec::new())
}
