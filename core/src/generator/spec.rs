//! The description that programs are lowered from.
//!
//! A Spec is a tree of small choices. Any bytes give one: numbers that run out are 0, and lists that run out are short. What
//! a choice means for the program is said where it is lowered; numbers are taken modulo whatever there is to choose from, so
//! that every edit of a Spec is a Spec.

use super::kinds::{Carried, Contract, Count, Ctx, End, Flags, Frame, Join, Links, Mistake, Prog, Role, StepKind};
use super::swarm::Swarm;
use arbitrary::{Arbitrary, Unstructured};

/// A list of `MIN` to `MAX` items whose length comes from one byte, so that it does not fade out as a run of coin tosses does.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Few<T, const MIN: usize, const MAX: usize>(pub Vec<T>);

impl<'a, T: Arbitrary<'a>, const MIN: usize, const MAX: usize> Arbitrary<'a> for Few<T, MIN, MAX> {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let len = MIN + usize::from(u8::arbitrary(u)?) * (MAX - MIN + 1) / 256;
        (0..len).map(|_| T::arbitrary(u)).collect::<arbitrary::Result<Vec<T>>>().map(Few)
    }
}

impl<T, const MIN: usize, const MAX: usize> std::ops::Deref for Few<T, MIN, MAX> {
    type Target = Vec<T>;

    fn deref(&self) -> &Vec<T> {
        &self.0
    }
}

impl<T, const MIN: usize, const MAX: usize> std::ops::DerefMut for Few<T, MIN, MAX> {
    fn deref_mut(&mut self) -> &mut Vec<T> {
        &mut self.0
    }
}

/// A number that is used in code, by its place in a table: small numbers first, then the boundaries.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Imm(pub u8);

impl Imm {
    /// The number.
    pub const fn get(self) -> i32 {
        const EDGES: [i32; 32] = [
            -1,
            -2,
            -3,
            -7,
            -8,
            -16,
            -128,
            -129,
            -256,
            -32768,
            -65536,
            i32::MIN,
            i32::MIN + 1,
            127,
            128,
            255,
            256,
            257,
            511,
            512,
            4095,
            4096,
            32767,
            32768,
            65535,
            65536,
            0x7f_ffff,
            0x80_0000,
            0x80_0001,
            0x1000_0000,
            i32::MAX - 1,
            i32::MAX,
        ];
        // Two bytes in three are small.
        if self.0 < 168 { (self.0 % 42) as i32 } else { EDGES[(self.0 % 32) as usize] }
    }

    /// A small number below `n`.
    pub(super) const fn below(self, n: u32) -> u32 {
        self.0 as u32 % n
    }
}

/// What differs between the two paths to a loop.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Paths(pub u8);

impl Paths {
    /// Whether two paths lead to the loop.
    pub const fn fork(self) -> bool {
        self.0 >= 160
    }

    /// Whether the paths have different flags.
    pub const fn flags(self) -> bool {
        self.fork() && self.0 & 3 == 0
    }

    /// Whether the paths have different callbacks.
    pub const fn callback(self) -> bool {
        self.fork() && self.0 >> 2 & 3 == 0
    }

    /// Whether the paths have different counts.
    pub const fn count(self) -> bool {
        self.fork() && self.0 >> 4 & 1 == 0
    }

    /// Whether the paths have different contexts.
    pub const fn ctx(self) -> bool {
        self.fork() && self.0 >> 5 & 1 == 0
    }
}

/// One way to set up a loop's arguments.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Setup {
    /// Which callback, among those that come later.
    pub callback: u8,
    /// Where the count comes from.
    pub count: Count,
    /// A number for the count.
    pub count_imm: Imm,
    /// Where the flags come from.
    pub flags: Flags,
    /// The context.
    pub ctx: Ctx,
    /// What else there is to choose.
    pub die: u8,
}

/// A loop.
#[derive(Arbitrary, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Site {
    /// The arguments.
    pub first: Setup,
    /// The arguments of the other path, as far as they differ.
    pub second: Setup,
    /// What differs.
    pub paths: Paths,
    /// How the paths join.
    pub join: Join,
    /// The order in which the arguments are set up, and what is kept across the loop.
    pub order: u8,
}

/// A step of a function. Branches and loops by jumps take in the steps that follow.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Step {
    /// What it does.
    pub kind: StepKind,
    /// Which of what there is.
    pub a: u8,
    /// Which way.
    pub b: u8,
    /// A number.
    pub imm: Imm,
}

/// What a function does.
#[derive(Arbitrary, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Body {
    /// Which of R6 to R9 holds what.
    pub registers: u8,
    /// What the values start as.
    pub init: u8,
    /// Stack use.
    pub frame: Frame,
    /// A number for the stack use.
    pub frame_imm: Imm,
    /// The steps.
    pub steps: Few<Step, 1, 5>,
    /// The loops that steps refer to.
    pub sites: Few<Site, 0, 2>,
}

/// A callback or subprogram.
#[derive(Arbitrary, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Func {
    /// What it is.
    pub role: Role,
    /// What it does with its pointer.
    pub contract: Contract,
    /// What the area's pointer cell holds.
    pub carried: Carried,
    /// Whether the pointer in the cell moves on with each iteration.
    pub moves_on: bool,
    /// How it ends, for a callback.
    pub end: End,
    /// A number for the end.
    pub end_imm: Imm,
    /// What it does.
    pub body: Body,
}

/// A chain of small functions below main, each calling or looping over the next.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Chain {
    /// How long.
    pub links: Links,
    /// The exact length.
    pub more: u8,
    /// By link: whether the next one is its callback.
    pub loops: u16,
    /// Stack bytes of each link, in eights.
    pub eights: u8,
}

/// One run.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Run {
    /// How values are picked.
    pub seed: u32,
    /// How large: how much of what is picked lies on boundaries.
    pub style: u8,
}

/// A whole case: what is lowered to a program with its inputs.
#[derive(Arbitrary, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    /// What is switched on, and how often it is chosen.
    pub swarm: Swarm,
    /// Program type.
    pub prog: Prog,
    /// The long chain.
    pub chain: Chain,
    /// Main.
    pub main: Body,
    /// The loops that main has in any case, beside those of its steps.
    pub main_site: Site,
    /// Callbacks and subprograms; each refers to later ones only.
    pub funcs: Few<Func, 1, 4>,
    /// Inputs.
    pub runs: Few<Run, 1, 4>,
    /// Planted mistakes, when the swarm has them.
    pub mistakes: Few<Mistake, 0, 2>,
    /// First words of the maps.
    pub words: [Imm; 4],
}

impl Spec {
    /// The Spec that bytes stand for.
    pub fn from_bytes(bytes: &[u8]) -> Spec {
        // Reading is total: what runs out is zero, and no part of a Spec can refuse what it reads. The empty input is the
        // fallback of a fallback.
        let read = |bytes| Spec::arbitrary(&mut Unstructured::new(bytes));
        read(bytes).or_else(|_| read(&[])).unwrap_or_else(|_| Spec::simplest())
    }

    fn simplest() -> Spec {
        let setup =
            Setup { callback: 0, count: Count::Zero, count_imm: Imm(0), flags: Flags::Imm64, ctx: Ctx::Null, die: 0 };
        let body = Body {
            registers: 0,
            init: 0,
            frame: Frame::Needed,
            frame_imm: Imm(0),
            steps: Few(Vec::new()),
            sites: Few(Vec::new()),
        };
        Spec {
            swarm: Swarm::default(),
            prog: Prog::RawTracepoint,
            chain: Chain { links: Links::None, more: 0, loops: 0, eights: 0 },
            main: body,
            main_site: Site { first: setup, second: setup, paths: Paths(0), join: Join::Moves, order: 0 },
            funcs: Few(Vec::new()),
            runs: Few(vec![Run { seed: 0, style: 0 }]),
            mistakes: Few(Vec::new()),
            words: [Imm(0); 4],
        }
    }
}
