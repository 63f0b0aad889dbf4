//! `loopdiff fuzz`: a campaign in this process.

use super::exit::{Exit, Failure};
use super::fuzz_report;
use super::kernel::{Guests, Kernels, Sample};
use super::options::{Jobs, RulesOption};
use super::output::{Output, note};
use crate::campaign::{
    Campaign, CampaignError, Config, Floors, Folder, Known, Limit, Model, Percent, StoreError, Summary, Target,
    case_options,
};
use indicatif::{ProgressBar, ProgressStyle};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
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
    pub(super) out: Option<PathBuf>,
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
    pub(super) tables: bool,
    /// Candidates that are tried to make a finding's case smaller [default: 4000; with --kernel 400].
    #[arg(long, value_name = "N")]
    reduce_attempts: Option<u32>,
    /// Fail when less than that many percent of programs are accepted, under any rules or by any kernel [default: fail when next to
    /// nothing is accepted, inlined or compared; 0: demand nothing].
    #[arg(long, value_name = "PERCENT", allow_negative_numbers = true)]
    accepted_min: Option<Percent>,
    /// Fail when less than that many percent of accepted programs hold an inlined loop [default: as above].
    #[arg(long, value_name = "PERCENT", allow_negative_numbers = true)]
    inlined_min: Option<Percent>,
}

pub fn main(args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let known =
        if args.strict { Known::none() } else { Known::built_in().map_err(|e| Failure::Usage(e.to_string()))? };
    if args.guests.is_any() {
        args.rules.check_for_kernels()?;
        let pool = args.guests.start()?;
        let kernels = Kernels::new(&pool, &args.guests, &args.rules, args.jobs, args.sample, &known);
        let report = |summary: &Summary, output: &mut Output| kernels.report(&summary.stats, args.json, output);
        return campaign(args, &kernels, &known, report, output);
    }
    let of_guests = args.guests.first_given().or((args.sample == Sample::New).then_some("--sample new"));
    if let Some(option) = of_guests {
        return Err(Failure::Usage(format!("{option} says how kernels are asked: name one with --kernel or --image")));
    }
    let rules = args.rules.versions(&[]).iter().map(|v| args.rules.rules(*v)).collect();
    let model = Model { rules, options: case_options(), known: known.clone() };
    campaign(args, &model, &known, |_, _| Ok(()), output)
}

/// A flag that an interrupt, a termination or a hang-up sets; a hang-up that is ignored, as under `nohup`, stays ignored. Where
/// a handler cannot be set the signal ends the process, and the folder is whole all the same.
fn stop_on_signals() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        let is_ignored = ignored.is_some_and(|mask| mask >> (signal - 1) & 1 != 0);
        if signal != SIGHUP || !is_ignored {
            let _ = signal_hook::flag::register(signal, Arc::clone(&stop));
        }
    }
    stop
}

/// Runs a campaign on a target, and reports; `more` adds what only this target has to say.
fn campaign(
    args: &Args,
    target: &dyn Target,
    known: &Known,
    more: impl Fn(&Summary, &mut Output) -> Result<(), Failure>,
    output: &mut Output,
) -> Result<Exit, Failure> {
    /// A guest is asked about each candidate, which takes a hundred times as long as asking the model.
    const ATTEMPTS: [u32; 2] = [4_000, 400];
    let stop = stop_on_signals();
    let config = Config {
        seed: args.seed,
        limit: Limit {
            count: args.count,
            time: args.seconds.or(args.count.is_none().then_some(60)).map(Duration::from_secs),
        },
        jobs: args.jobs.count(),
        reduce_attempts: args.reduce_attempts.unwrap_or(ATTEMPTS[usize::from(args.guests.is_any())]),
    };
    let identity = Campaign::identity(&config, target);
    let folder = args.out.as_deref().map(Folder::open).transpose().map_err(store)?;
    let campaign = Campaign::new(&config, target, folder.as_ref()).map_err(failure)?;
    let mut progress = Progress::new(config.limit);
    let summary = campaign.run(&stop, &mut |summary| progress.show(summary)).map_err(failure)?;
    progress.end();
    if args.json {
        fuzz_report::json(args, &identity, &summary, output)?;
    } else {
        fuzz_report::counts(args, &config, &identity, &summary, output)?;
    }
    more(&summary, output)?;
    if !args.json {
        fuzz_report::findings(args, &identity, known, &summary, output)?;
    }
    let missed = Floors { accepted: args.accepted_min, inlined: args.inlined_min }.missed(&summary.stats);
    missed.iter().for_each(|why| note(format_args!("loopdiff: {why}")));
    if summary.left > 0 {
        note("loopdiff: stopped while findings were made smaller; the same command with --out takes them up again");
    }
    Ok(match summary.kept.is_empty() && summary.left == 0 && missed.is_empty() {
        _ if summary.kept.iter().any(|kept| kept.signature.starts_with("internal:")) => Exit::Internal,
        true => Exit::Fine,
        false => Exit::Found,
    })
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
        CampaignError::Guest(error) => Failure::Guest(error),
        other => Failure::Usage(other.to_string()),
    }
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
            "{} cases, {:.0}/s, findings: {}, known: {}, {:.0} % accepted, {} loops inlined, {} compared",
            summary.stats.cases,
            cases as f64 / seconds.max(0.001),
            summary.kept.len(),
            total.known,
            fuzz_report::percent(total.accepted, programs),
            total.inlined,
            total.compared
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
