//! Swarm configuration: each case switches kinds off and pulls towards others.
//!
//! A [`Dial`] belongs to one table of kinds. What a Spec chose stands unless its kind is switched off or the dial pulls
//! towards a favourite; [`Spec::settled`] writes the outcome into the Spec, and leaves dials that change nothing. So the
//! parts of a settled Spec mean what they say, which is what the minimizer edits.

use super::kinds::{Kind, StepKind};
use super::spec::{Body, Site, Spec};
use arbitrary::Arbitrary;

/// How one table of kinds is weighed.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Dial {
    /// Kinds that are off, by place; ignored when too many are.
    pub off: u32,
    /// The favourite, by place.
    pub favourite: u8,
    /// How strongly it pulls; nothing below 160.
    pub pull: u8,
}

/// What is switched on in a case, and how often it is chosen.
#[derive(Arbitrary, Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Swarm {
    /// Which dials do anything.
    pub dials: u8,
    /// Counts.
    pub count: Dial,
    /// Flags.
    pub flags: Dial,
    /// Contexts.
    pub ctx: Dial,
    /// Ends of callbacks.
    pub end: Dial,
    /// Steps.
    pub step: Dial,
    /// Mistakes are planted below 44.
    pub mistakes: u8,
    /// Counters in contexts are masked, so that they can steer, below 128.
    pub counters: u8,
    /// Which counts there are that a loop refuses. The two forms of `bpf_loop` are known to differ on these, so that only few
    /// cases should have them: past the limit below 24, wide (64 bits that are small in the low half) below 8.
    pub refused: u8,
    /// Nothing that kernels before 6.6 do not know, chains of at most 8 frames, and stack by their measure, below 64. A campaign
    /// under 6.1 sets this to 0.
    pub old: u8,
    /// How large the case may be: most are small, so that many are made in a second, and some are as large as they come.
    /// What is over is cut off when the case is settled.
    pub room: u8,
    /// The program is blown up to the limits of its jumps when this is small and not 0.
    pub long: u16,
}

impl Swarm {
    /// Whether counters in contexts stay small.
    pub(super) fn masked_counters(&self) -> bool {
        self.counters < 128
    }

    /// Whether the case is one for kernels from before 6.6 too.
    pub(super) fn is_old(&self) -> bool {
        self.old < 64
    }

    /// Whether counts past the limit come to loops that may be inlined.
    pub(super) fn past_limit(&self) -> bool {
        self.refused < 24
    }

    /// Whether counts have more than 32 bits while they are small in the low half.
    pub(super) fn wide_counts(&self) -> bool {
        self.refused < 8
    }

    /// Whether mistakes are planted.
    pub(super) fn has_mistakes(&self) -> bool {
        self.mistakes < 44
    }

    /// The most functions, and the most steps of each.
    fn rooms(&self) -> (usize, usize) {
        match self.room {
            0..88 => (1, 0),
            88..152 => (1, 1),
            152..200 => (2, 2),
            200..232 => (3, 3),
            _ => (usize::MAX, usize::MAX),
        }
    }

    /// Whether the program is made long.
    pub(super) fn is_long(&self) -> bool {
        self.long != 0 && self.long <= LONG_UPTO
    }
}

/// One program in so many is long: 65536 over this.
const LONG_UPTO: u16 = 12;

impl Dial {
    fn apply<K: Kind>(&self, kind: K, die: u8) -> K {
        let count = K::ALL.len();
        if self.pull >= 160 && die >= self.pull.wrapping_mul(37) {
            return K::ALL[usize::from(self.favourite) % count];
        }
        let is_off = |n: usize| self.off >> n & 1 == 1;
        (0..count).map(|n| (kind.at() + n) % count).find(|n| !is_off(*n)).map_or(kind, |n| K::ALL[n])
    }
}

/// The dials that do anything in a case, and a sequence of dice.
struct Weights {
    swarm: Swarm,
    die: u32,
}

impl Weights {
    fn dial<K: Kind>(&mut self, which: u8, dial: impl Fn(&Swarm) -> Dial, kind: K) -> K {
        self.die = self.die.wrapping_mul(0x9e37_79b1).wrapping_add(0x7f4a_7c15);
        if self.swarm.dials >> which & 1 == 0 {
            return kind;
        }
        dial(&self.swarm).apply(kind, (self.die >> 24) as u8)
    }

    fn site(&mut self, site: &mut Site) {
        for setup in [&mut site.first, &mut site.second] {
            setup.count = self.dial(0, |s| s.count, setup.count);
            setup.flags = self.dial(1, |s| s.flags, setup.flags);
            setup.ctx = self.dial(2, |s| s.ctx, setup.ctx);
        }
    }

    fn body(&mut self, body: &mut Body) {
        for step in body.steps.iter_mut() {
            let kind = self.dial(4, |s| s.step, step.kind);
            // Loops are what this is about: they may become a favourite, but are not switched off.
            if step.kind != StepKind::Loop {
                step.kind = kind;
            }
        }
        body.sites.iter_mut().for_each(|site| self.site(site));
    }
}

impl Spec {
    /// The same case with the swarm's weights applied, and none left to apply.
    #[must_use]
    pub fn settled(&self) -> Spec {
        let mut spec = self.clone();
        let (funcs, steps) = spec.swarm.rooms();
        spec.funcs.truncate(funcs);
        spec.main.steps.truncate(steps);
        spec.funcs.iter_mut().for_each(|f| f.body.steps.truncate(steps));
        spec.swarm.room = u8::MAX;
        if spec.swarm.dials != 0 {
            let die = u32::from(spec.swarm.counters) << 8 | u32::from(spec.swarm.refused);
            let mut weights = Weights { swarm: spec.swarm.clone(), die };
            weights.body(&mut spec.main);
            weights.site(&mut spec.main_site);
            for func in spec.funcs.iter_mut() {
                func.end = weights.dial(3, |s| s.end, func.end);
                weights.body(&mut func.body);
            }
        }
        let neutral = Dial::default();
        let dials = [&mut spec.swarm.count, &mut spec.swarm.flags, &mut spec.swarm.ctx, &mut spec.swarm.end];
        dials.into_iter().for_each(|dial| *dial = neutral);
        spec.swarm.step = neutral;
        spec.swarm.dials = 0;
        if !spec.swarm.has_mistakes() {
            spec.mistakes.clear();
        }
        spec
    }
}
