//! `loopdiff fuzz`: a campaign in this process.

use super::check::summary_json;
use super::exit::{Exit, Failure};
use super::kernel::{Guests, KernelCampaign, Sample};
use super::options::{Jobs, RulesOption, share};
use super::output::{Output, Tone, note};
use crate::campaign::{Campaign, CampaignError, Config, Folder, Known, Limit, StoreError, Summary, case_options};
use crate::oracle::Tally;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Arguments of `fuzz`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    rules: RulesOption,
    #[command(flatten)]
    jobs: Jobs,
    #[command(flatten)]
    guests: Guests,
    /// Seed of all cases: the same seed and count give the same findings.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Time to run for [default: 60, without --count].
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u64>,
    /// Cases to run.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Folder that keeps findings and state; a later start with the same options goes on.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// With --kernel: which cases guests are asked about.
    #[arg(long, value_name = "WHICH", default_value = "all")]
    sample: Sample,
    /// Known divergences count as findings.
    #[arg(long)]
    strict: bool,
    /// Findings and a summary as JSON, a line each.
    #[arg(long)]
    json: bool,
    /// Tables of features and of reasons to reject, whole.
    #[arg(long)]
    tables: bool,
    /// Candidates that are tried to make a finding's case smaller.
    #[arg(long, value_name = "N", default_value_t = 4000)]
    reduce_attempts: u32,
    /// Fail when less than that many percent of cases are accepted, under any rules.
    #[arg(long, value_name = "PERCENT", value_parser = share)]
    accepted_min: Option<f64>,
    /// Fail when less than that many percent of accepted programs hold an inlined loop.
    #[arg(long, value_name = "PERCENT", value_parser = share)]
    inlined_min: Option<f64>,
}

pub fn main(args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let versions = args.rules.versions(&[]);
    let time = args.seconds.or(args.count.is_none().then_some(60)).map(Duration::from_secs);
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    // A second handler cannot be set; then Ctrl-C ends the process, and the folder is whole all the same.
    let _ = ctrlc::set_handler(move || asked.store(true, Ordering::Relaxed));
    let known =
        if args.strict { Known::none() } else { Known::built_in().map_err(|e| Failure::Usage(e.to_string()))? };
    if args.guests.is_any() {
        return on_kernels(args, &known, time, &stop, output);
    }
    let config = Config {
        seed: args.seed,
        limit: Limit { count: args.count, time },
        jobs: args.jobs.count(),
        rules: versions.iter().map(|v| args.rules.rules(*v)).collect(),
        options: case_options(),
        known,
        reduce_attempts: args.reduce_attempts,
    };
    let folder = args.out.as_deref().map(Folder::open).transpose().map_err(store)?;
    let campaign = Campaign::new(&config, folder.as_ref()).map_err(failure)?;
    let mut progress = Progress::new(config.limit);
    let summary = campaign.run(&stop, &mut |summary| progress.show(summary)).map_err(failure)?;
    progress.end();
    if args.json {
        report_json(args, &summary, output)?;
    } else {
        report(args, &config, &summary, output)?;
    }
    let vacuous = floors(args, &summary);
    vacuous.iter().for_each(|why| note(format_args!("loopdiff: {why}")));
    Ok(if summary.kept.is_empty() && vacuous.is_empty() { Exit::Fine } else { Exit::Found })
}

/// A campaign whose cases go to real kernels.
fn on_kernels(
    args: &Args,
    known: &Known,
    time: Option<Duration>,
    stop: &AtomicBool,
    output: &mut Output,
) -> Result<Exit, Failure> {
    /// A guest is asked about each candidate, which takes a hundred times as long as asking the model.
    const ATTEMPTS_MAX: u32 = 400;
    KernelCampaign {
        guests: &args.guests,
        jobs: args.jobs,
        seed: args.seed,
        count: args.count,
        sample: args.sample,
        known,
        time,
        out: args.out.as_deref(),
        reduce_attempts: args.reduce_attempts.min(ATTEMPTS_MAX),
        json: args.json,
    }
    .run(stop, output)
}

/// A folder that cannot be used.
pub fn store(error: StoreError) -> Failure {
    match error {
        StoreError::Io { path, error } => Failure::file(&path, error),
        other => Failure::Usage(other.to_string()),
    }
}

fn failure(error: CampaignError) -> Failure {
    match error {
        CampaignError::Store(error) => store(error),
        other => Failure::Usage(other.to_string()),
    }
}

/// What the campaign did not reach, of what was asked for.
fn floors(args: &Args, summary: &Summary) -> Vec<String> {
    let mut out = Vec::new();
    for (name, rules) in &summary.stats.rules {
        let accepted = percent(rules.tally.accepted, summary.stats.cases);
        let inlined = percent(rules.with_inlined, rules.tally.accepted);
        for (what, is, floor) in [("accepted", accepted, args.accepted_min), ("inlined", inlined, args.inlined_min)] {
            if let Some(floor) = floor.filter(|floor| is < *floor) {
                out.push(format!("rules {name}: {is:.1} % {what}, at least {floor:.1} % were asked for"));
            }
        }
    }
    out
}

fn percent(n: u64, of: u64) -> f64 {
    100.0 * n as f64 / of.max(1) as f64
}

/// The line that moves on a terminal; elsewhere a plain line now and then.
struct Progress {
    bar: Option<ProgressBar>,
    start: Instant,
    shown: Instant,
    limit: Limit,
}

impl Progress {
    fn new(limit: Limit) -> Progress {
        let now = Instant::now();
        let bar = std::io::stderr().is_terminal().then(|| {
            let (length, template) = match (limit.count, limit.time) {
                (Some(count), _) => (count, "{bar:16} {percent}% {wide_msg}"),
                (None, Some(time)) => (time.as_secs(), "{bar:16} {eta} left, {wide_msg}"),
                (None, None) => (0, "{spinner} {wide_msg}"),
            };
            let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(length).with_style(style)
        });
        Progress { bar, start: now, shown: now, limit }
    }

    fn show(&mut self, summary: &Summary) {
        let every = if self.bar.is_some() { Duration::from_millis(250) } else { Duration::from_secs(10) };
        if self.shown.elapsed() < every {
            return;
        }
        self.shown = Instant::now();
        let total = summary.stats.total();
        let (cases, seconds) = summary.this_start;
        let programs = total.programs.max(1);
        let text = format!(
            "{} cases, {:.0}/s, {:.0} % accepted, {} loops inlined, {} runs compared, findings: {}, known: {}",
            summary.stats.cases,
            cases as f64 / seconds.max(0.001),
            percent(total.accepted, programs),
            total.inlined,
            total.compared,
            classes(&total),
            total.known
        );
        match &self.bar {
            Some(bar) => {
                bar.set_position(match self.limit.count {
                    Some(_) => summary.stats.cases,
                    None => self.start.elapsed().as_secs(),
                });
                bar.set_message(text);
            }
            None => note(text),
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn classes(tally: &Tally) -> String {
    let all: Vec<String> = tally.findings.iter().map(|(class, n)| format!("{n} {class}")).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

fn report_json(args: &Args, summary: &Summary, output: &mut Output) -> Result<(), Failure> {
    for kept in &summary.kept {
        let case = args.out.as_ref().map(|out| {
            let case = out.join("findings").join(&kept.folder).join("case.json");
            case.display().to_string()
        });
        output.json(&json!({ "finding": {
            "oracle": kept.signature.split(':').next().unwrap_or_default(),
            "signature": kept.signature,
            "name": format!("s{}n{}", args.seed, kept.number),
            "rules": kept.rules,
            "evidence": kept.evidence,
            "case": case,
        }}))?;
    }
    let mut line = summary_json(&summary.stats.total(), summary.seconds, args.seed);
    if let Some(fields) = line.as_object_mut() {
        fields.insert("cases".into(), summary.stats.cases.into());
        fields.insert("by_rules".into(), json!(summary.stats.rules));
        fields.insert("features".into(), json!(summary.stats.features));
    }
    output.json(&json!({ "summary": line }))
}

fn report(args: &Args, config: &Config, summary: &Summary, output: &mut Output) -> Result<(), Failure> {
    let (cases, seconds) = summary.this_start;
    let rate = cases as f64 / seconds.max(0.001);
    let head = format!("{} cases from seed {}", summary.stats.cases, args.seed);
    output.line(format_args!(
        "{}, {:.1} s, {rate:.0} cases a second on {} threads",
        output.paint(Tone::Strong, head),
        summary.seconds,
        config.jobs
    ))?;
    for (name, rules) in &summary.stats.rules {
        let tally = &rules.tally;
        output.line("")?;
        output.line(output.paint(Tone::Strong, format!("under the rules of {name}")))?;
        let share = |n, of| format!("{n:>9}  {:>5.1} %", percent(n, of));
        let mean = rules.mean_accepted_len();
        output.line(format_args!(
            "  accepted        {} of the cases; {mean:.0} instructions in the mean",
            share(tally.accepted, tally.programs)
        ))?;
        output.line(format_args!("  rejected        {}", share(tally.rejected, tally.programs)))?;
        output.line(format_args!("  unsupported     {}", share(tally.unsupported, tally.programs)))?;
        output.line(format_args!(
            "  with a loop     {} of the accepted are inlined somewhere",
            share(rules.with_inlined, tally.accepted)
        ))?;
        output.line(format_args!(
            "  with a call     {} of the accepted keep the helper somewhere",
            share(rules.with_kept, tally.accepted)
        ))?;
        output.line(format_args!("  runs compared   {:>9}", tally.compared))?;
        let mut reasons: Vec<_> = rules.reasons.iter().collect();
        reasons.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
        let shown = if args.tables { reasons.len() } else { 5 };
        if !reasons.is_empty() {
            output.line(format_args!("  {} reasons not to accept:", reasons.len()))?;
        }
        for (reason, n) in reasons.iter().take(shown) {
            output.line(output.paint(Tone::Faint, format!("    {n:>8}  {reason}")))?;
        }
        if args.tables {
            features(summary, &rules.features, output)?;
        }
    }
    findings(args, config, summary, output)
}

fn features(
    summary: &Summary,
    accepted: &std::collections::BTreeMap<String, u64>,
    output: &mut Output,
) -> Result<(), Failure> {
    output.line("  features: cases, of them accepted")?;
    for (name, n) in &summary.stats.features {
        let accepted = accepted.get(name).copied().unwrap_or(0);
        output.line(format_args!("    {n:>8}  {:>5.1} %  {name}", percent(accepted, *n)))?;
    }
    Ok(())
}

fn findings(args: &Args, config: &Config, summary: &Summary, output: &mut Output) -> Result<(), Failure> {
    output.line("")?;
    for (rules, stats) in &summary.stats.rules {
        for known in config.known.all() {
            let Some(n) = stats.signatures.get(&format!("known: {}", known.name)) else { continue };
            let word = output.paint(Tone::Notable, "known");
            output.line(format_args!("{word}    {n:>7} × under {rules}: {} ({})", known.title, known.name))?;
        }
    }
    for kept in &summary.kept {
        let word = output.paint(Tone::Bad, "finding");
        let n = summary.stats.rules.get(&kept.rules).and_then(|r| r.signatures.get(&kept.signature));
        output.line(format_args!(
            "{word}  {:>7} × under {}: {}",
            n.copied().unwrap_or(1),
            kept.rules,
            kept.signature
        ))?;
        output.line(format_args!(
            "           case {}, {} instructions, {} when made smaller: {}",
            kept.number, kept.insns.0, kept.insns.1, kept.evidence
        ))?;
        if let Some(out) = &args.out {
            let place = out.join("findings").join(&kept.folder);
            output.line(output.paint(Tone::Faint, format!("           {}", place.display())))?;
        }
    }
    if summary.kept.is_empty() {
        output.line(output.paint(Tone::Good, "no findings that are not known"))?;
    }
    Ok(())
}
