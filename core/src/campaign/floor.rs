//! Whether a campaign reached anything: one that accepts, inlines or compares next to nothing has not looked, and that it found
//! nothing says nothing.
//!
//! Shares that were asked for are held against what was counted. Where nothing was asked for, a share must not be proven to lie
//! below a floor: a short campaign may miss it by chance, a long one may not.

use super::stats::{RuleStats, Stats};
use std::str::FromStr;

/// A share in percent, from 0 to 100.
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug)]
pub struct Percent(f64);

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Percent, String> {
        match text.parse::<f64>() {
            Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(Percent(percent)),
            _ => Err("a number from 0 to 100 is expected".to_owned()),
        }
    }
}

/// What must be reached.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Floors {
    /// Of the programs, how many are accepted. `None`: more than next to nothing; 0: nothing at all is demanded, neither here
    /// nor of what is compared.
    pub accepted: Option<Percent>,
    /// Of accepted programs, how many hold an inlined loop; as above.
    pub inlined: Option<Percent>,
}

/// What is next to nothing. Generated programs are accepted, and hold an inlined loop, in 70 to 85 of 100 cases, under the rules
/// of every kernel.
const NOTHING: f64 = 0.20;
/// How unlikely what was counted must be, for a campaign that is at the floor.
const CHANCE: f64 = 0.01;

impl Floors {
    /// What was not reached, a line each.
    pub fn missed(&self, stats: &Stats) -> Vec<String> {
        let mut missed = Vec::new();
        if stats.cases == 0 && self.accepted != Some(Percent(0.0)) {
            missed.push("no case was tried".to_owned());
        }
        for (name, rules) in &stats.rules {
            let tally = &rules.tally;
            let (programs, accepted) = (tally.programs, tally.accepted);
            let off = self.accepted == Some(Percent(0.0));
            let shares = [
                Share { what: "accepted", of: "programs", is: accepted, all: programs, floor: self.accepted },
                Share {
                    what: "hold an inlined loop",
                    of: "accepted programs",
                    is: rules.with_inlined,
                    all: accepted,
                    floor: self.inlined.or(off.then_some(Percent(0.0))),
                },
                compared(rules, stats, self.accepted.filter(|_| off)),
            ];
            missed.extend(shares.iter().filter_map(Share::missed).map(|why| format!("{name}: {why}")));
        }
        missed
    }
}

/// What is compared: with kernels programs, in the model runs of programs that hold an inlined loop, one each at least.
fn compared(rules: &RuleStats, stats: &Stats, floor: Option<Percent>) -> Share {
    let with_kernels = !stats.parity.is_empty() || !stats.between.is_empty();
    let (of, all) = match with_kernels {
        true => ("programs", rules.tally.programs),
        false => ("programs with an inlined loop", rules.with_inlined),
    };
    Share { what: "compared", of, is: rules.tally.compared.min(all), all, floor }
}

/// Some of all.
struct Share {
    what: &'static str,
    of: &'static str,
    is: u64,
    all: u64,
    floor: Option<Percent>,
}

impl Share {
    fn missed(&self) -> Option<String> {
        let Share { what, of, is, all, floor } = self;
        let percent = 100.0 * *is as f64 / (*all).max(1) as f64;
        let counted = format!("{is} of {all} {of} ({percent:.1} %)");
        match floor {
            Some(Percent(floor)) if percent < *floor => {
                Some(format!("{counted} {what}; at least {floor:.1} % were asked for"))
            }
            None if *is == 0 && *all > 0 || is_below(*is, *all, NOTHING) => Some(format!(
                "{counted} {what}: next to nothing was tried, so that finding nothing says nothing (--accepted-min 0 takes it as it is)"
            )),
            _ => None,
        }
    }
}

/// Whether a share this small is unlikely where the true one is at the floor: Chernoff's bound of the binomial distribution.
fn is_below(is: u64, all: u64, floor: f64) -> bool {
    let (n, share) = (all as f64, is as f64 / all.max(1) as f64);
    if all == 0 || share >= floor {
        return false;
    }
    let part = |p: f64, q: f64| if p == 0.0 { 0.0 } else { p * (p / q).ln() };
    let divergence = part(share, floor) + part(1.0 - share, 1.0 - floor);
    (-n * divergence).exp() < CHANCE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(programs: u64, accepted: u64, inlined: u64, compared: u64) -> Stats {
        let mut stats = Stats { cases: programs, ..Stats::default() };
        let rules = stats.rules.entry("7.3".to_owned()).or_default();
        (rules.tally.programs, rules.tally.accepted, rules.with_inlined) = (programs, accepted, inlined);
        rules.tally.compared = compared;
        stats
    }

    #[test]
    fn percents_are_numbers_from_0_to_100() {
        for bad in ["nan", "NaN", "inf", "-1", "-0.1", "100.1", "", "ten", "1e3"] {
            assert!(bad.parse::<Percent>().is_err(), "{bad}");
        }
        for good in ["0", "100", "12.5", "1e1"] {
            assert!(good.parse::<Percent>().is_ok(), "{good}");
        }
    }

    #[test]
    fn next_to_nothing_is_missed_and_chance_is_not() {
        let missed = |stats: &Stats| Floors::default().missed(stats).len();
        assert_eq!(missed(&stats(185_775, 71, 50, 100)), 1);
        assert_eq!(missed(&stats(3000, 2200, 0, 0)), 1, "nothing inlined");
        assert_eq!(missed(&stats(3000, 2200, 1600, 3)), 1, "nothing compared");
        for (count, accepted) in [(1, 1), (20, 2), (50, 8), (3000, 700)] {
            let inlined = accepted / 2 + accepted % 2;
            assert_eq!(missed(&stats(count, accepted, inlined, inlined)), 0, "{accepted} of {count}");
        }
        for count in [0, 1, 30] {
            assert_eq!(missed(&stats(count, 0, 0, 0)), 1, "none of {count}");
        }
    }

    #[test]
    fn what_is_asked_for_is_exact_and_0_demands_nothing() {
        let blind = stats(100_000, 10, 0, 0);
        let off = Floors { accepted: Some(Percent(0.0)), inlined: None };
        assert_eq!(off.missed(&blind), Vec::<String>::new());
        let inlined = Floors { inlined: Some(Percent(10.0)), ..off };
        assert_eq!(inlined.missed(&blind).len(), 1);
        let asked = Floors { accepted: Some(Percent(80.0)), inlined: None };
        assert_eq!(asked.missed(&stats(10, 7, 6, 6)).len(), 1);
        assert_eq!(asked.missed(&stats(10, 8, 7, 7)).len(), 0);
    }
}
