//! `loopdiff report`: a campaign's folder as a page.

use super::exit::{Exit, Failure};
use super::output::Output;
use crate::campaign::{Folder, Group, Identity, Kept, Stats, Summary, grouped};
use crate::oracle::parity::Aspect;
use std::path::PathBuf;

/// Arguments of `report`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Folder of a campaign (`fuzz --out`).
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub fn main(args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    if !args.folder.is_dir() {
        return Err(Failure::Usage(format!("{}: no folder of a campaign", args.folder.display())));
    }
    let summary = Folder::read_summary(&args.folder).map_err(super::fuzz::store)?;
    let Some((identity, summary)) = summary else {
        return Err(Failure::Usage(format!("{}: no campaign was kept in this folder", args.folder.display())));
    };
    page(args, &identity, &summary, output)?;
    Ok(Exit::Fine)
}

/// Markdown: what was done, by rules or kernels; what was found, with the evidence.
fn page(args: &Args, identity: &Identity, summary: &Summary, output: &mut Output) -> Result<(), Failure> {
    output.line("# Campaign")?;
    output.line(format_args!(
        "\n{} cases from seed {} in {:.0} seconds, by loopdiff {}.\n",
        summary.stats.cases, identity.seed, summary.seconds, identity.release
    ))?;
    identity.rules.iter().try_for_each(|rules| output.line(format_args!("- rules of {rules}")))?;
    identity.kernels.iter().try_for_each(|kernel| output.line(format_args!("- kernel {kernel}")))?;
    output.line("")?;
    counts(&summary.stats, output)?;
    agreement(&summary.stats, output)?;
    output.line("\n## Findings\n")?;
    if summary.kept.is_empty() {
        output.line("None that is not known.")?;
    }
    for Group { fact, members } in grouped(&summary.kept) {
        if let (Some(fact), true) = (fact, members.len() > 1) {
            output.line(format_args!("### {} findings that `{fact}` takes away\n", members.len()))?;
        }
        members.iter().try_for_each(|kept| finding(args, summary, kept, output))?;
        output.line("")?;
    }
    Ok(())
}

fn counts(stats: &Stats, output: &mut Output) -> Result<(), Failure> {
    output.line(
        "|  | accepted | mean length | with an inlined loop | keep a helper call | compared | known | findings |",
    )?;
    output.line("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")?;
    for (name, rules) in &stats.rules {
        let tally = &rules.tally;
        let share = |n: u64, of: u64| format!("{:.1} %", 100.0 * n as f64 / of.max(1) as f64);
        let findings = rules.signatures.iter().filter(|(signature, _)| !signature.starts_with("known: "));
        output.line(format_args!(
            "| {name} | {} | {:.0} | {} | {} | {} | {} | {} |",
            share(tally.accepted, tally.programs),
            rules.mean_accepted_len(),
            share(rules.with_inlined, tally.accepted),
            share(rules.with_kept, tally.accepted),
            tally.compared,
            tally.known,
            findings.map(|(_, n)| n).sum::<u64>()
        ))?;
    }
    Ok(())
}

/// How the model agrees with kernels, and in what these differ.
fn agreement(stats: &Stats, output: &mut Output) -> Result<(), Failure> {
    if stats.parity.is_empty() {
        return Ok(());
    }
    let aspects: Vec<&str> = Aspect::ALL.iter().map(|aspect| aspect.name()).collect();
    output.line("\n## The model and the kernels\n\nThe same, of those that were compared.\n")?;
    output.line(format_args!("|  | {} |", aspects.join(" | ")))?;
    output.line(format_args!("| --- |{}", " ---: |".repeat(aspects.len())))?;
    for (kernel, tally) in &stats.parity {
        let cell = |aspect: &Aspect| {
            let [same, different, _] = tally.aspects.get(aspect).copied().unwrap_or_default();
            format!("{same}/{}", same + different)
        };
        let cells: Vec<String> = Aspect::ALL.iter().map(cell).collect();
        output.line(format_args!("| {kernel} | {} |", cells.join(" | ")))?;
    }
    output.line("\n## Between kernels\n\n| cases | difference | known |\n| ---: | --- | --- |")?;
    for (signature, difference) in &stats.between {
        let known = difference.known.as_deref().unwrap_or_default();
        output.line(format_args!("| {} | {} | {known} |", difference.names.len(), signature.replace('|', "\\|")))?;
    }
    Ok(())
}

fn finding(args: &Args, summary: &Summary, kept: &Kept, output: &mut Output) -> Result<(), Failure> {
    let folder = args.folder.join("findings").join(&kept.folder);
    let set = if kept.set.is_empty() { String::new() } else { format!(" with {}", kept.set.join(", ")) };
    output.line(format_args!(
        "- `{}` under {}{set}: {} cases; {} instructions, from {}",
        kept.signature,
        kept.column,
        summary.stats.cases_with(kept),
        kept.insns.1,
        kept.insns.0
    ))?;
    output.line(format_args!("  - {}", kept.evidence))?;
    if !kept.gone_with.is_empty() {
        output.line(format_args!("  - gone with {}", kept.gone_with.join(", or with ")))?;
    }
    output.line(format_args!("  - {}", folder.display()))
}
