//! What a campaign came to, as text and as JSON.

use super::check::summary_json;
use super::exit::Failure;
use super::fuzz::Args;
use super::output::{Output, Tone};
use crate::campaign::{Config, Group, Identity, Kept, Known, Summary, grouped};
use serde_json::json;
use std::collections::BTreeMap;

pub fn percent(n: u64, of: u64) -> f64 {
    100.0 * n as f64 / of.max(1) as f64
}

/// A line for each finding, then one with the counts.
pub fn json(args: &Args, identity: &Identity, summary: &Summary, output: &mut Output) -> Result<(), Failure> {
    for kept in &summary.kept {
        let case = args.out.as_ref().map(|out| {
            let case = out.join("findings").join(&kept.folder).join("case.json");
            case.display().to_string()
        });
        output.json(&json!({ "finding": {
            "oracle": kept.signature.split(':').next().unwrap_or_default(),
            "signature": kept.signature,
            "name": format!("s{}n{}", identity.seed, kept.number),
            "rules": kept.column,
            "set": kept.set,
            "gone_with": kept.gone_with,
            "cases": summary.stats.cases_with(kept),
            "evidence": kept.evidence,
            "case": case,
        }}))?;
    }
    let mut line = summary_json(&summary.stats.total(), summary.seconds, identity.seed);
    let groups: Vec<_> = grouped(&summary.kept)
        .iter()
        .map(|group| {
            let signatures: Vec<&str> = group.members.iter().map(|kept| kept.signature.as_str()).collect();
            json!({ "fact": group.fact, "signatures": signatures })
        })
        .collect();
    if let Some(fields) = line.as_object_mut() {
        fields.insert("cases".into(), summary.stats.cases.into());
        fields.insert("campaign".into(), json!(identity));
        fields.insert("groups".into(), groups.into());
        fields.insert("by_rules".into(), json!(summary.stats.rules));
        fields.insert("features".into(), json!(summary.stats.features));
    }
    output.json(&json!({ "summary": line }))
}

/// What was made, accepted, inlined and compared.
pub fn counts(
    args: &Args,
    config: &Config,
    identity: &Identity,
    summary: &Summary,
    output: &mut Output,
) -> Result<(), Failure> {
    let (cases, seconds) = summary.this_start;
    let rate = cases as f64 / seconds.max(0.001);
    let head = format!("{} cases from seed {}", summary.stats.cases, identity.seed);
    output.line(format_args!(
        "{}, {:.1} s, {rate:.0} cases a second on {} threads",
        output.paint(Tone::Strong, head),
        summary.seconds,
        config.jobs
    ))?;
    if !identity.kernels.is_empty() {
        identity.rules.iter().try_for_each(|rules| output.line(format_args!("the model has the rules of {rules}")))?;
    }
    for (name, rules) in &summary.stats.rules {
        let tally = &rules.tally;
        output.line("")?;
        output.line(output.paint(Tone::Strong, heading(identity, name)))?;
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
        let what = if identity.kernels.is_empty() { "runs" } else { "cases" };
        output.line(format_args!("  {:<16}{:>9}", format!("{what} compared"), tally.compared))?;
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
    output.line("")
}

/// What counts stand under: rules with the facts that were set, or a kernel.
fn heading(identity: &Identity, column: &str) -> String {
    match identity.rules.iter().find(|rules| rules.version == column && identity.kernels.is_empty()) {
        Some(rules) => format!("under the rules of {rules}"),
        None => format!("kernel {column}"),
    }
}

fn features(summary: &Summary, accepted: &BTreeMap<String, u64>, output: &mut Output) -> Result<(), Failure> {
    output.line("  features: cases, of them accepted")?;
    for (name, n) in &summary.stats.features {
        let accepted = accepted.get(name).copied().unwrap_or(0);
        output.line(format_args!("    {n:>8}  {:>5.1} %  {name}", percent(accepted, *n)))?;
    }
    Ok(())
}

/// What is known, then the findings, by the fact that takes them away.
pub fn findings(
    args: &Args,
    identity: &Identity,
    known: &Known,
    summary: &Summary,
    output: &mut Output,
) -> Result<(), Failure> {
    for known in known.all() {
        let by_rules = summary.stats.rules.iter().filter_map(|(rules, stats)| {
            Some((rules.as_str(), *stats.signatures.get(&format!("known: {}", known.name))?))
        });
        let is_it = |found: &&String| **found == known.name;
        let between = summary.stats.between.values().filter(|d| d.known.iter().any(|name| is_it(&name)));
        let between: usize = between.map(|difference| difference.names.len()).sum();
        let between = (between > 0).then_some(("kernels", between as u64));
        for (column, n) in by_rules.chain(between) {
            let word = output.paint(Tone::Notable, "known");
            output.line(format_args!("{word}    {n:>7} × under {column}: {} ({})", known.title, known.name))?;
        }
    }
    for Group { fact, members } in grouped(&summary.kept) {
        if let (Some(fact), true) = (fact, members.len() > 1) {
            let head = format!("{} findings that {fact} takes away", members.len());
            output.line(output.paint(Tone::Strong, head))?;
        }
        members.iter().try_for_each(|kept| finding(args, identity, summary, kept, output))?;
    }
    if summary.kept.is_empty() {
        output.line(output.paint(Tone::Good, "no findings that are not known"))?;
    }
    Ok(())
}

fn finding(
    args: &Args,
    identity: &Identity,
    summary: &Summary,
    kept: &Kept,
    output: &mut Output,
) -> Result<(), Failure> {
    let word = output.paint(Tone::Bad, "finding");
    let set = if kept.set.is_empty() { String::new() } else { format!(" with {}", kept.set.join(", ")) };
    output.line(format_args!(
        "{word}  {:>7} × under {}{set}: {}",
        summary.stats.cases_with(kept),
        kept.column,
        kept.signature
    ))?;
    output.line(format_args!(
        "           case s{}n{}, {} instructions, {} when made smaller: {}",
        identity.seed, kept.number, kept.insns.0, kept.insns.1, kept.evidence
    ))?;
    if !kept.gone_with.is_empty() {
        const SHOWN: usize = 3;
        let shown = kept.gone_with.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", or with ");
        let more = match kept.gone_with.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(", or with one of {more} more facts"),
        };
        output.line(output.paint(Tone::Faint, format!("           gone with {shown}{more}")))?;
    }
    if let Some(out) = &args.out {
        let place = out.join("findings").join(&kept.folder);
        output.line(output.paint(Tone::Faint, format!("           {}", place.display())))?;
    }
    Ok(())
}
