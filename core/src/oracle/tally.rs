//! What many reports come to.

use super::examine::{Report, Status};
use super::finding::{Class, Finding};
use crate::verifier::SiteState;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Counts over many programs.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Programs.
    pub programs: u64,
    /// Accepted ones.
    pub accepted: u64,
    /// Rejected ones.
    pub rejected: u64,
    /// Ones that need what is not modelled.
    pub unsupported: u64,
    /// `bpf_loop` calls that some path reaches, in accepted programs.
    pub loop_sites: u64,
    /// Those that are inlined.
    pub inlined: u64,
    /// Runs of both forms that were compared.
    pub compared: u64,
    /// Programs or runs of accepted programs that were not compared, by reason.
    pub vacuous: BTreeMap<String, u64>,
    /// Findings by property.
    pub findings: BTreeMap<Class, u64>,
    /// Findings that are known divergences.
    pub known: u64,
}

impl Tally {
    /// Adds a report.
    pub fn add(&mut self, report: &Report) {
        self.programs += 1;
        match &report.status {
            Status::Accepted { facts, .. } => {
                self.accepted += 1;
                let live = facts.loops.iter().filter(|l| l.state != SiteState::NeverReached);
                self.loop_sites += live.clone().count() as u64;
                self.inlined += live.filter(|l| matches!(l.state, SiteState::Fit(_))).count() as u64;
                for why in &report.vacuous {
                    *self.vacuous.entry(why.to_string()).or_default() += 1;
                }
            }
            Status::Rejected(_) => self.rejected += 1,
            Status::Unsupported(_) => self.unsupported += 1,
        }
        self.compared += report.compared as u64;
        for finding in &report.findings {
            *self.findings.entry(finding.class).or_default() += 1;
        }
    }

    /// Adds a program that could not even be read, because it needs what is not modelled.
    pub fn add_unreadable(&mut self) {
        self.programs += 1;
        self.unsupported += 1;
    }

    /// Adds a program whose examination came to nothing but a finding.
    pub fn add_finding(&mut self, finding: &Finding) {
        self.programs += 1;
        *self.findings.entry(finding.class).or_default() += 1;
    }

    /// Adds another count.
    pub fn merge(&mut self, other: &Tally) {
        self.programs += other.programs;
        self.accepted += other.accepted;
        self.rejected += other.rejected;
        self.unsupported += other.unsupported;
        self.loop_sites += other.loop_sites;
        self.inlined += other.inlined;
        self.compared += other.compared;
        self.known += other.known;
        other.vacuous.iter().for_each(|(why, n)| *self.vacuous.entry(why.clone()).or_default() += n);
        other.findings.iter().for_each(|(class, n)| *self.findings.entry(*class).or_default() += n);
    }
}
