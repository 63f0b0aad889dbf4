//! Inputs: contexts and packets whose values lie on the boundaries of the compares in the program.
//!
//! The context is made of words. Which bytes a word is depends on the program type; the first is for counts, the second for
//! flags, the others are for anything. A count is small or past the limit, so that no run takes long; flags are zero in
//! most runs.

use super::features::{Feature, Features};
use super::kinds::{Prog, Shape};
use super::spec::{Run, Spec, Step};
use crate::isa::Size;
use crate::kernel::ProgType;
use crate::kernel::limits::LOOPS_MAX;
use crate::program::Input;

/// The word for flags.
pub(super) const FLAGS_WORD: u8 = 1;
/// The first word for anything.
pub(super) const DATA_WORD: u8 = 2;
/// Bytes of a packet.
const PACKET_BYTES: usize = 64;
/// Bytes of a syscall program's context.
const SYSCALL_BYTES: usize = 96;

/// A compare of a word with a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edge {
    pub(super) word: u8,
    pub(super) value: i32,
}

/// The kernel's program type.
pub(super) const fn prog_type(prog: Prog) -> ProgType {
    match prog {
        Prog::RawTracepoint => ProgType::RawTracepoint,
        Prog::Syscall => ProgType::Syscall,
        Prog::SocketFilter => ProgType::SocketFilter,
        Prog::SchedCls => ProgType::SchedCls,
        Prog::Xdp => ProgType::Xdp,
        Prog::CgroupSkb => ProgType::CgroupSkb,
        Prog::Tracepoint => ProgType::Tracepoint,
        Prog::Kprobe => ProgType::Kprobe,
    }
}

/// Flags of the load: a syscall program has to be sleepable.
pub(super) const fn prog_flags(prog: Prog) -> u32 {
    const SLEEPABLE: u32 = 16;
    if matches!(prog, Prog::Syscall) { SLEEPABLE } else { 0 }
}

/// Where a word lies in the context, and its size; `None` where the context has no words.
pub(super) fn word(prog: Prog, n: u8) -> Option<(i16, Size)> {
    let n = i16::from(n);
    Some(match prog {
        Prog::RawTracepoint => (8 * (n % 12), Size::Dw),
        Prog::Syscall => (8 * (n % (SYSCALL_BYTES as i16 / 8)), Size::Dw),
        Prog::Tracepoint => (8 + 8 * (n % 12), Size::Dw),
        Prog::Kprobe => (8 * (n % 12), Size::Dw),
        Prog::SocketFilter | Prog::SchedCls | Prog::CgroupSkb => match n % 7 {
            5 => (8, Size::W),
            6 => (32, Size::W),
            cb => (48 + 4 * cb, Size::W),
        },
        Prog::Xdp => return None,
    })
}

/// How many words a context has.
pub(super) const fn words(prog: Prog) -> u8 {
    match prog {
        Prog::Xdp => 0,
        Prog::SocketFilter | Prog::SchedCls | Prog::CgroupSkb => 7,
        _ => 12,
    }
}

/// The inputs of a case.
pub(super) fn inputs(spec: &Spec, edges: &[Edge], features: &mut Features) -> Vec<Input> {
    spec.runs.iter().enumerate().map(|(n, run)| input(spec, n as u64, run, edges, features)).collect()
}

fn input(spec: &Spec, number: u64, run: &Run, edges: &[Edge], features: &mut Features) -> Input {
    let mut dice = Dice(u64::from(run.seed) ^ number << 40);
    let mut ctx = vec![0; ctx_bytes(spec.prog)];
    for n in 0..words(spec.prog) {
        let Some((off, size)) = word(spec.prog, n) else { continue };
        let value = value(spec, n, run, edges, &mut dice, features);
        let bytes = size.bytes() as usize;
        if let Some(place) = ctx.get_mut(off as usize..off as usize + bytes) {
            place.copy_from_slice(&value.to_le_bytes()[..bytes]);
        }
    }
    let mut data = Vec::new();
    if words(spec.prog) < 12 {
        data = packet(run, edges, &mut dice);
    }
    Input { ctx, data, seed: u64::from(run.seed) }
}

fn ctx_bytes(prog: Prog) -> usize {
    match prog {
        Prog::RawTracepoint => 96,
        Prog::Syscall => SYSCALL_BYTES,
        Prog::Tracepoint => 104,
        Prog::Kprobe => 96,
        Prog::SocketFilter | Prog::SchedCls | Prog::CgroupSkb => 68,
        Prog::Xdp => 0,
    }
}

fn value(spec: &Spec, n: u8, run: &Run, edges: &[Edge], dice: &mut Dice, features: &mut Features) -> u64 {
    match n {
        0 => count(spec, dice),
        FLAGS_WORD => match dice.below(16) {
            0 => 1,
            1 => 1 << 32,
            2 => u64::MAX,
            _ => 0,
        },
        _ => {
            let mut on_word = edges.iter().filter(|e| e.word == n);
            let count = on_word.clone().count() as u64;
            if count > 0 && dice.below(8) < 6 {
                features.insert(Feature::Shape(Shape::Edges));
                let value = on_word.nth(dice.below(count) as usize).map_or(0, |e| e.value);
                return (i64::from(value) as u64).wrapping_add(dice.below(3)).wrapping_sub(1);
            }
            any_value(run, dice)
        }
    }
}

/// Small, or past what any loop accepts.
fn count(spec: &Spec, dice: &mut Dice) -> u64 {
    let limit = u64::from(LOOPS_MAX);
    match dice.below(20) {
        0 if spec.swarm.past_limit() => limit + 1,
        1 if spec.swarm.past_limit() => u64::from(u32::MAX),
        2 if spec.swarm.wide_counts() => (1 << 32) + dice.below(4),
        3 if spec.swarm.wide_counts() => u64::MAX,
        4..=7 => dice.below(2),
        _ => dice.below(16),
    }
}

fn any_value(run: &Run, dice: &mut Dice) -> u64 {
    const EDGES: [u64; 12] = [
        0,
        1,
        u64::MAX,
        1 << 31,
        (1 << 31) - 1,
        u32::MAX as u64,
        1 << 32,
        1 << 63,
        (1 << 63) - 1,
        255,
        0x8000_0000_0000_0001,
        7,
    ];
    let style = u64::from(run.style);
    if dice.below(256) < style {
        EDGES[dice.below(EDGES.len() as u64) as usize]
    } else if dice.below(2) == 0 {
        dice.below(64)
    } else {
        dice.next()
    }
}

/// A packet without an IP header, so that any bytes will do.
fn packet(run: &Run, edges: &[Edge], dice: &mut Dice) -> Vec<u8> {
    let len = match run.style % 8 {
        0 => 14,
        1 => 22,
        2 => 30,
        _ => PACKET_BYTES,
    };
    let mut data: Vec<u8> = (0..len).map(|_| dice.next() as u8).collect();
    // An experimental EtherType.
    data[12] = 0x88;
    data[13] = 0xb5;
    for edge in edges.iter().filter(|e| e.word >= PACKET_WORD) {
        let off = usize::from(edge.word - PACKET_WORD) * 8;
        if off + 8 <= data.len() && off != 8 {
            let value = (i64::from(edge.value) as u64).wrapping_add(dice.below(3)).wrapping_sub(1);
            data[off..off + 8].copy_from_slice(&value.to_le_bytes());
        }
    }
    data
}

/// From here on, words are those of the packet.
pub(super) const PACKET_WORD: u8 = 128;

/// A small generator of numbers: SplitMix64.
pub(super) struct Dice(u64);

impl Dice {
    /// For choices of a step beyond its own few bytes.
    pub(super) fn of(step: &Step) -> Dice {
        Dice(u64::from(step.a) << 16 | u64::from(step.b) << 8 | u64::from(step.imm.0))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }
}
