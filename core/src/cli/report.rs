//! `loopdiff report`: a campaign's folder as a page.

use super::exit::{Exit, Failure};
use super::output::Output;
use crate::campaign::{Folder, Summary};
use std::path::PathBuf;

/// Arguments of `report`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Folder of a campaign (`fuzz --out`).
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub fn main(args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let summary = Folder::read_summary(&args.folder).map_err(super::fuzz::store)?;
    let Some(summary) = summary else {
        return Err(Failure::Usage(format!("{}: no campaign was kept in this folder", args.folder.display())));
    };
    page(args, &summary, output)?;
    Ok(Exit::Fine)
}

/// Markdown: what was done, by rules; what was found, with the evidence.
fn page(args: &Args, summary: &Summary, output: &mut Output) -> Result<(), Failure> {
    output.line("# Campaign")?;
    output.line(format_args!("\n{} cases in {:.0} seconds.\n", summary.stats.cases, summary.seconds))?;
    output.line("| rules | accepted | mean length | with an inlined loop | keep a helper call | runs compared | known | findings |")?;
    output.line("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")?;
    for (name, rules) in &summary.stats.rules {
        let tally = &rules.tally;
        let share = |n: u64, of: u64| format!("{:.1} %", 100.0 * n as f64 / of.max(1) as f64);
        output.line(format_args!(
            "| {name} | {} | {:.0} | {} | {} | {} | {} | {} |",
            share(tally.accepted, tally.programs),
            rules.mean_accepted_len(),
            share(rules.with_inlined, tally.accepted),
            share(rules.with_kept, tally.accepted),
            tally.compared,
            tally.known,
            tally.findings.values().sum::<u64>()
        ))?;
    }
    output.line("\n## Findings\n")?;
    if summary.kept.is_empty() {
        output.line("None that is not known.")?;
    }
    for kept in &summary.kept {
        let folder = args.folder.join("findings").join(&kept.folder);
        output.line(format_args!(
            "- `{}` under {}: {} instructions, from {}",
            kept.signature, kept.rules, kept.insns.1, kept.insns.0
        ))?;
        output.line(format_args!("  - {}", kept.evidence))?;
        output.line(format_args!("  - {}", folder.display()))?;
    }
    Ok(())
}
