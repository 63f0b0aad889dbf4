//! What a run did that can be seen from outside of a loop, in order.
//!
//! The helper form and the inlined form of a program must give the same events. A trace is a count and a running hash;
//! with [`Detail::Full`] the first [`EVENTS_MAX`] events are kept as well, to find the first one where two runs part.
//!
//! Invariant: equal events in equal order give equal hashes, on every machine.

use crate::kernel::helpers::helper_name;
use std::fmt;

/// Events that a full trace keeps; later ones are hashed and counted only.
pub const EVENTS_MAX: usize = 1 << 16;

/// How much of a trace is kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Detail {
    /// Count and hash.
    #[default]
    Hash,
    /// The events too.
    Full,
}

/// Something that happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// A helper was called. Calls of `bpf_loop` are told by the other events.
    Helper {
        /// Helper's number.
        id: i32,
        /// R1 to R5, those that the helper does not take as 0.
        args: [u64; 5],
        /// R0.
        result: u64,
    },
    /// A loop called its callback.
    Callback {
        /// The site: index of the `bpf_loop` call in the original program.
        site: u32,
        /// R1.
        index: u64,
        /// R2.
        ctx: u64,
    },
    /// A loop was left.
    LoopEnd {
        /// The site.
        site: u32,
        /// R0, R6, R7, R8, R9, R10; those without a value as 0.
        regs: [u64; 6],
        /// Which registers have a value, bit n for Rn.
        defined: u16,
        /// Digest of the frame's own bytes, and of which of them were written.
        stack: u64,
    },
    /// `bpf_for_each_map_elem` called its callback.
    Element {
        /// Index of the map.
        map: u32,
        /// How many came before.
        index: u32,
        /// Address of the value.
        value: u64,
        /// R4.
        ctx: u64,
    },
}

impl Event {
    /// The call of `bpf_loop` that it is about, as an index into the original program.
    pub const fn site(&self) -> Option<u32> {
        match self {
            Event::Callback { site, .. } | Event::LoopEnd { site, .. } => Some(*site),
            Event::Helper { .. } | Event::Element { .. } => None,
        }
    }

    /// The kind of event.
    pub const fn kind(&self) -> &'static str {
        match self {
            Event::Helper { .. } => "helper call",
            Event::Callback { .. } => "callback",
            Event::LoopEnd { .. } => "loop end",
            Event::Element { .. } => "element",
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Event::Helper { id, args, result } => {
                let args = args.map(|arg| format!("{arg:#x}")).join(", ");
                match helper_name(id) {
                    Some(name) => write!(f, "bpf_{name}({args}) = {result:#x}"),
                    None => write!(f, "helper {id}({args}) = {result:#x}"),
                }
            }
            Event::Callback { site, index, ctx } => {
                write!(f, "the loop at {site} calls its callback with index {index:#x} and context {ctx:#x}")
            }
            Event::LoopEnd { site, regs, defined, stack } => {
                write!(f, "the loop at {site} ends with")?;
                for (value, n) in regs.iter().zip([0, 6, 7, 8, 9, 10]) {
                    if defined & 1 << n != 0 {
                        write!(f, " r{n} = {value:#x}")?;
                    }
                }
                write!(f, " and stack digest {stack:016x}")
            }
            Event::Element { map, index, value, ctx } => {
                write!(f, "element {index} of map {map} at {value:#x} with context {ctx:#x}")
            }
        }
    }
}

/// The events of a run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Trace {
    /// How many.
    pub count: u64,
    /// Running hash over all of them.
    pub hash: u64,
    /// The first ones, under [`Detail::Full`].
    pub events: Vec<Event>,
    detail: Detail,
}

impl Trace {
    /// An empty trace.
    pub fn new(detail: Detail) -> Trace {
        Trace { count: 0, hash: 0, events: Vec::new(), detail }
    }

    /// How much is kept.
    pub fn detail(&self) -> Detail {
        self.detail
    }

    #[inline]
    pub(super) fn push(&mut self, event: Event) {
        self.count += 1;
        self.hash = match event {
            Event::Callback { site, index, ctx } => mix(mix(self.hash, index ^ u64::from(site) << 40), ctx),
            Event::Helper { id, args, result } => {
                mix(args.into_iter().fold(mix(self.hash, u64::from(id as u32) | 1 << 62), mix), result)
            }
            Event::LoopEnd { site, regs, defined, stack } => {
                let head = u64::from(site) | u64::from(defined) << 32 | 2 << 62;
                mix(regs.into_iter().fold(mix(self.hash, head), mix), stack)
            }
            Event::Element { map, index, value, ctx } => {
                mix(mix(mix(self.hash, u64::from(map) << 32 | u64::from(index) | 3 << 62), value), ctx)
            }
        };
        if self.detail == Detail::Full && self.events.len() < EVENTS_MAX {
            self.events.push(event);
        }
    }
}

/// One step of the hash: a rotation, an exclusive or and a multiplication by an odd constant, then the high bits folded
/// into the low ones.
#[inline(always)]
pub(super) fn mix(hash: u64, word: u64) -> u64 {
    let h = (hash.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    h ^ h >> 32
}

/// A well-mixed number from a seed: the finalizer of SplitMix64.
pub(super) fn scramble(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}
