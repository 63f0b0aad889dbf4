//! Smaller Specs, for the minimizer.
//!
//! Every candidate is one edit away from the settled Spec: something dropped, a kind replaced by a simpler one, a number
//! brought towards 0. Each lowers [`size`], so that a minimizer that takes any candidate comes to an end. The edits that
//! remove most come first.

use super::kinds::{Carried, Contract, Count, Ctx, End, Flags, Frame, Join, Kind, Links, Prog, Role, StepKind};
use super::spec::{Body, Few, Imm, Paths, Setup, Site, Spec};

/// How much there is in a Spec: what simplifications lower.
pub fn size(spec: &Spec) -> u64 {
    let kind = |at: usize| at as u64;
    let number = |n: u8| u64::from(n);
    let setup = |s: &Setup| {
        kind(s.count.at())
            + kind(s.flags.at())
            + kind(s.ctx.at())
            + number(s.count_imm.0)
            + number(s.callback)
            + number(s.die)
    };
    let site =
        |s: &Site| 256 + setup(&s.first) + setup(&s.second) + number(s.paths.0) + kind(s.join.at()) + number(s.order);
    let body = |b: &Body| {
        let steps = b.steps.iter().map(|s| 512 + kind(s.kind.at()) + number(s.a) + number(s.b) + number(s.imm.0));
        let frame = kind(b.frame.at()) + number(b.frame_imm.0) + number(b.init) + number(b.registers);
        steps.sum::<u64>() + b.sites.iter().map(site).sum::<u64>() + frame
    };
    let funcs = spec.funcs.iter().map(|f| {
        let kinds = f.role.at() + f.contract.at() + f.carried.at() + f.end.at() + usize::from(f.moves_on);
        2048 + body(&f.body) + kind(kinds) + number(f.end_imm.0)
    });
    let runs = spec.runs.iter().map(|r| 64 + u64::from(r.seed.min(1)) + number(r.style));
    let chain = kind(spec.chain.links.at()) * 4096
        + number(spec.chain.more)
        + u64::from(spec.chain.loops.count_ones())
        + number(spec.chain.eights);
    let swarm = u64::from(spec.swarm.is_long()) * 65536
        + u64::from(spec.swarm.past_limit())
        + u64::from(spec.swarm.wide_counts())
        + u64::from(spec.swarm.masked_counters())
        + u64::from(!spec.swarm.is_old());
    body(&spec.main)
        + site(&spec.main_site)
        + funcs.sum::<u64>()
        + runs.sum::<u64>()
        + chain
        + swarm
        + kind(spec.prog.at())
        + spec.mistakes.len() as u64 * 256
        + spec.words.iter().map(|w| number(w.0)).sum::<u64>()
}

/// Specs that are one step smaller than this one.
pub fn simplifications(spec: &Spec) -> impl Iterator<Item = Spec> + use<> {
    let base = spec.settled();
    let mut all = Candidates { size: size(&base), base, found: Vec::new() };
    all.whole();
    for at in 0..all.base.funcs.len() {
        all.func(at);
    }
    all.body(&|spec| Some(&mut spec.main));
    for at in 0..all.base.funcs.len() {
        all.body(&move |spec| spec.funcs.get_mut(at).map(|f| &mut f.body));
    }
    all.site(&|spec| Some(&mut spec.main_site));
    all.inputs();
    all.found.into_iter()
}

struct Candidates {
    base: Spec,
    size: u64,
    found: Vec<Spec>,
}

impl Candidates {
    fn edit(&mut self, edit: impl FnOnce(&mut Spec)) {
        let mut spec = self.base.clone();
        edit(&mut spec);
        if size(&spec) < self.size {
            self.found.push(spec);
        }
    }

    fn whole(&mut self) {
        self.edit(|s| s.swarm.long = 0);
        self.edit(|s| s.chain.links = Links::None);
        self.edit(|s| s.funcs.clear());
        for n in (0..self.base.funcs.len()).rev() {
            self.edit(|s| drop(s.funcs.remove(n)));
        }
        self.edit(|s| s.mistakes.clear());
        for n in 1..self.base.mistakes.len() {
            self.edit(|s| {
                s.mistakes.remove(n);
            });
        }
        self.edit(|s| s.prog = Prog::RawTracepoint);
        self.edit(|s| s.swarm.refused = 255);
        self.edit(|s| s.swarm.counters = 255);
        self.edit(|s| s.swarm.old = 0);
        self.edit(|s| s.chain.more /= 2);
        self.edit(|s| s.chain.loops = 0);
        self.edit(|s| s.chain.eights = 0);
    }

    fn func(&mut self, at: usize) {
        self.edit(|s| s.funcs[at].role = Role::Callback);
        self.edit(|s| s.funcs[at].contract = Contract::Ignore);
        self.edit(|s| s.funcs[at].carried = Carried::Nothing);
        self.edit(|s| s.funcs[at].moves_on = false);
        self.edit(|s| s.funcs[at].end = End::Continue);
        self.numbers(&move |s| s.funcs.get_mut(at).map(|f| &mut f.end_imm.0));
    }

    fn body(&mut self, body: &dyn Fn(&mut Spec) -> Option<&mut Body>) {
        let mut base = self.base.clone();
        let Some(seen) = body(&mut base) else { return };
        let (steps, sites) = (seen.steps.len(), seen.sites.len());
        let mut on = |edit: &dyn Fn(&mut Body)| {
            self.edit(|s| {
                if let Some(b) = body(s) {
                    edit(b);
                }
            });
        };
        on(&|b| b.steps.clear());
        on(&|b| b.steps.truncate(steps / 2));
        for n in (0..steps).rev() {
            on(&|b| {
                b.steps.remove(n);
            });
        }
        for n in (0..sites).rev() {
            on(&|b| {
                b.sites.remove(n);
            });
        }
        on(&|b| b.frame = Frame::Needed);
        for n in 0..steps {
            on(&|b| b.steps[n].kind = StepKind::Alu);
            on(&|b| b.steps[n].a = 0);
            on(&|b| b.steps[n].b = 0);
            on(&|b| b.steps[n].imm = Imm(0));
        }
        on(&|b| b.registers = 0);
        on(&|b| b.init = 0);
        on(&|b| b.frame_imm = Imm(0));
        for n in 0..sites {
            self.site(&|s| body(s).and_then(|b| b.sites.get_mut(n)));
        }
    }

    fn site(&mut self, site: &dyn Fn(&mut Spec) -> Option<&mut Site>) {
        let mut on = |edit: &dyn Fn(&mut Site)| {
            self.edit(|s| {
                if let Some(site) = site(s) {
                    edit(site);
                }
            });
        };
        on(&|s| s.paths = Paths(0));
        on(&|s| s.join = Join::Moves);
        on(&|s| s.order = 0);
        for second in [true, false] {
            let of =
                move |s: &mut Site, edit: &dyn Fn(&mut Setup)| edit(if second { &mut s.second } else { &mut s.first });
            for flags in [Flags::Imm64, Flags::One, Flags::Unknown] {
                on(&|s| of(s, &|x| x.flags = flags));
            }
            for count in [Count::Zero, Count::One, Count::Small, Count::Masked] {
                on(&|s| of(s, &|x| x.count = count));
            }
            for ctx in [Ctx::Null, Ctx::Area] {
                on(&|s| of(s, &|x| x.ctx = ctx));
            }
            on(&|s| of(s, &|x| x.callback = 0));
            on(&|s| of(s, &|x| x.die = 0));
            on(&|s| of(s, &|x| x.count_imm.0 = 0));
            on(&|s| of(s, &|x| x.count_imm.0 /= 2));
        }
    }

    fn inputs(&mut self) {
        for n in (1..self.base.runs.len()).rev() {
            self.edit(|s| {
                s.runs.remove(n);
            });
        }
        if self.base.runs.len() > 1 {
            self.edit(|s| {
                s.runs.remove(0);
            });
        }
        for n in 0..self.base.runs.len() {
            self.edit(|s| s.runs[n].seed = 0);
            self.edit(|s| s.runs[n].style = 0);
        }
        self.edit(|s| s.words = [Imm(0); 4]);
        for n in 0..4 {
            self.numbers(&move |s| s.words.get_mut(n).map(|w| &mut w.0));
        }
    }

    fn numbers(&mut self, number: &dyn Fn(&mut Spec) -> Option<&mut u8>) {
        for divisor in [255, 2] {
            self.edit(|s| {
                if let Some(n) = number(s) {
                    *n /= divisor;
                }
            });
        }
    }
}

/// A list of no items, for callers that build Specs by hand.
impl<T, const MIN: usize, const MAX: usize> From<Vec<T>> for Few<T, MIN, MAX> {
    fn from(items: Vec<T>) -> Self {
        Few(items)
    }
}
