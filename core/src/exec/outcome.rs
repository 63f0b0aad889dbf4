//! What a run ends with, and how two runs are told apart.
//!
//! An [`Outcome`] holds everything of a run that somebody could have observed. [`first_difference`] compares two forms of
//! one program under one layout seed. [`AddressMask`] compares several seeds and finds the bytes that come from addresses:
//! a real kernel has other addresses, so these are left out when a run is compared with one.

use super::trace::{Event, Trace};
use crate::isa::{InsnIdx, Reg};
use std::borrow::Cow;
use std::fmt;

/// The result of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// How the run ended.
    pub end: End,
    /// Instructions that were executed; the calls that the helper `bpf_loop` makes count one each.
    pub insns: u64,
    /// The context afterwards. Types with a fixed context give all of it, others as many bytes as the input had.
    pub ctx: Vec<u8>,
    /// The packet afterwards, from the link-layer header.
    pub packet: Vec<u8>,
    /// The maps afterwards. Arrays: the values one after another. Hashes: key and value by ascending key. Ring buffers: the
    /// submitted records. Others: nothing.
    pub maps: Vec<Vec<u8>>,
    /// What happened on the way.
    pub trace: Trace,
    /// The helper `bpf_loop` got an address for its count, of which it takes the lower half.
    pub counted_by_address: bool,
}

/// How a run ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// Main returned; all 64 bits of R0.
    Returned(u64),
    /// Something happened that an accepted program must not do.
    Trapped(Trap),
    /// The instructions of the limit were used up.
    OutOfFuel,
    /// The run came to something that is not modelled.
    Unsupported(Cow<'static, str>),
}

/// Where and why a run was stopped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trap {
    /// The instruction, in the form that ran.
    pub at: InsnIdx,
    /// Why.
    pub kind: TrapKind,
}

/// Why a run was stopped. Offsets and sizes are in bytes; an offset into a frame counts from R10.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TrapKind {
    /// A register was read that has no value.
    UninitRegister(Reg),
    /// Stack bytes were read that were never written.
    UninitStack {
        /// First byte of the access.
        off: i64,
        /// Size of the access.
        size: u32,
    },
    /// An address in the first page was used.
    NullPointer(u64),
    /// An address was used that lies in nothing that exists.
    WildPointer(u64),
    /// A pointer into a frame was used whose function has returned.
    DeadFrame(u64),
    /// A pointer left what it points into.
    OutOfBounds {
        /// What it points into.
        region: RegionName,
        /// First byte of the access.
        off: i64,
        /// Size of the access.
        size: u32,
    },
    /// Something was written that is read only.
    ReadOnly {
        /// What.
        region: RegionName,
        /// First byte of the access.
        off: i64,
    },
    /// The stack was used below the depth that was verified for the subprogram.
    StackOverrun {
        /// First byte of the access.
        off: i64,
        /// Size of the access.
        size: u32,
    },
    /// An instruction outside of an inlined loop used the slots of inlined loops.
    SpillTouched {
        /// First byte of the access.
        off: i64,
        /// Size of the access.
        size: u32,
    },
    /// A call would have made more frames than the limit.
    TooManyFrames,
    /// A helper was given something else than it takes, in R1 to R5.
    BadArgument {
        /// Helper's number.
        helper: i32,
        /// The register.
        arg: Reg,
    },
    /// R10 was written.
    FramePointerWritten,
    /// A jump or call led to no instruction, or the program ran past its end.
    LeftProgram,
}

/// What a pointer points into.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RegionName {
    /// A stack frame.
    Frame,
    /// The context.
    Ctx,
    /// The packet.
    Packet,
    /// The copy of a key that an iteration over a map hands out.
    Key,
    /// A value of a map, by the map's index.
    MapValue(u32),
    /// A record of a ring buffer, by the map's index.
    Record(u32),
}

/// The first place where two outcomes differ.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// Where.
    pub place: Place,
    /// The first outcome there.
    pub left: String,
    /// The second outcome there.
    pub right: String,
}

/// A place in an outcome.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// How the run ended.
    End,
    /// The returned value.
    R0,
    /// A byte of the context.
    Ctx(usize),
    /// A byte of the packet.
    Packet(usize),
    /// A byte of a map.
    Map {
        /// The map's index.
        map: usize,
        /// The byte.
        at: usize,
    },
    /// An event, counted from 0; `None` when the events were not kept.
    Trace(Option<usize>),
}

/// Compares two runs of the same input under the same layout seed: the end, R0, context, packet, maps, trace. Traps
/// are the same when their kinds are: the two forms have different indexes.
///
/// A run that is not comparable differs in nothing: one that met something unsupported, or ran out of fuel while the
/// other could have done so a little later. Ask [`Outcome::is_final`] before you call two runs equal. A run that is out of
/// fuel does differ from one that ended with a quarter of the instructions: inlining costs less than that.
pub fn first_difference(a: &Outcome, b: &Outcome) -> Option<Difference> {
    if matches!(a.end, End::Unsupported(_)) || matches!(b.end, End::Unsupported(_)) {
        return None;
    }
    let at = |place, left: &dyn fmt::Display, right: &dyn fmt::Display| {
        Some(Difference { place, left: left.to_string(), right: right.to_string() })
    };
    match (&a.end, &b.end) {
        (End::OutOfFuel, End::OutOfFuel) => return None,
        (End::OutOfFuel, _) if b.insns.saturating_mul(4) >= a.insns => return None,
        (_, End::OutOfFuel) if a.insns.saturating_mul(4) >= b.insns => return None,
        (End::Returned(x), End::Returned(y)) if x == y => {}
        (End::Returned(x), End::Returned(y)) => return at(Place::R0, &Hex(*x), &Hex(*y)),
        (End::Trapped(x), End::Trapped(y)) if x.kind == y.kind => {}
        (x, y) => return at(Place::End, x, y),
    }
    let bytes = |place: &dyn Fn(usize) -> Place, x: &[u8], y: &[u8]| {
        let n = first_difference_of_bytes(x, y)?;
        at(place(n), &Bytes(x, n), &Bytes(y, n))
    };
    bytes(&Place::Ctx, &a.ctx, &b.ctx)
        .or_else(|| bytes(&Place::Packet, &a.packet, &b.packet))
        .or_else(|| {
            let pairs = a.maps.iter().zip(&b.maps).enumerate();
            pairs.into_iter().find_map(|(map, (x, y))| bytes(&|at| Place::Map { map, at }, x, y))
        })
        .or_else(|| difference_of_traces(&a.trace, &b.trace))
}

fn first_difference_of_bytes(x: &[u8], y: &[u8]) -> Option<usize> {
    let common = x.iter().zip(y).position(|(x, y)| x != y);
    common.or_else(|| (x.len() != y.len()).then(|| x.len().min(y.len())))
}

fn difference_of_traces(a: &Trace, b: &Trace) -> Option<Difference> {
    if a.count == b.count && a.hash == b.hash {
        return None;
    }
    if let Some(found) = first_different_event(a, b) {
        let event = |event: &Option<Event>| event.as_ref().map_or("nothing".to_owned(), Event::to_string);
        let (left, right) = (event(&found.left), event(&found.right));
        return Some(Difference { place: Place::Trace(Some(found.at)), left, right });
    }
    let summary = |t: &Trace| format!("{} events, hash {:016x}", t.count, t.hash);
    Some(Difference { place: Place::Trace(None), left: summary(a), right: summary(b) })
}

/// The first event that two traces do not share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DifferentEvent {
    /// How many came before.
    pub at: usize,
    /// The first trace's; `None` when it ended before.
    pub left: Option<Event>,
    /// The second trace's.
    pub right: Option<Event>,
}

/// Finds the first event that two traces do not share, among those that were kept.
pub fn first_different_event(a: &Trace, b: &Trace) -> Option<DifferentEvent> {
    let longest = a.events.len().max(b.events.len());
    let at = (0..longest).find(|n| a.events.get(*n) != b.events.get(*n))?;
    Some(DifferentEvent { at, left: a.events.get(at).copied(), right: b.events.get(at).copied() })
}

impl Outcome {
    /// True when the program came to an end of its own: it returned or trapped.
    pub fn is_final(&self) -> bool {
        matches!(self.end, End::Returned(_) | End::Trapped(_))
    }
}

/// The bytes of an outcome that come from addresses.
///
/// Made from runs of one form and input under several layout seeds, as [`LAYOUT_SEEDS`]: a byte that is not the same in
/// all of them comes from an address, or from stack bytes that nobody wrote, and with it its aligned word of eight bytes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AddressMask {
    /// True when the way through the program depends on addresses: nothing can be compared then.
    pub flow: bool,
    /// The bytes of R0, lowest first.
    pub r0: [bool; 8],
    /// The bytes of the context.
    pub ctx: Vec<bool>,
    /// The bytes of the packet.
    pub packet: Vec<bool>,
    /// The bytes of the maps.
    pub maps: Vec<Vec<bool>>,
}

/// Layout seeds that differ from each other in every variable bit of every address, in pairs: enough for [`AddressMask`].
pub const LAYOUT_SEEDS: [u64; 4] = [0, 1, 2, 3];

impl AddressMask {
    /// Compares runs that differ in nothing but the layout seed.
    pub fn of(runs: &[Outcome]) -> AddressMask {
        let Some((first, others)) = runs.split_first() else {
            return AddressMask::default();
        };
        let mut mask = AddressMask {
            flow: first.counted_by_address,
            r0: [false; 8],
            ctx: vec![false; first.ctx.len()],
            packet: vec![false; first.packet.len()],
            maps: first.maps.iter().map(|m| vec![false; m.len()]).collect(),
        };
        for other in others {
            mask.flow |= other.counted_by_address;
            mask.flow |= first.trace.count != other.trace.count || first.insns != other.insns;
            match (&first.end, &other.end) {
                (End::Returned(x), End::Returned(y)) => mark(&mut mask.r0, &x.to_le_bytes(), &y.to_le_bytes()),
                (x, y) => mask.flow |= std::mem::discriminant(x) != std::mem::discriminant(y),
            }
            mark(&mut mask.ctx, &first.ctx, &other.ctx);
            mark(&mut mask.packet, &first.packet, &other.packet);
            for ((mask, x), y) in mask.maps.iter_mut().zip(&first.maps).zip(&other.maps) {
                mark(mask, x, y);
            }
        }
        whole_words(&mut mask.r0);
        whole_words(&mut mask.ctx);
        whole_words(&mut mask.packet);
        mask.maps.iter_mut().for_each(|m| whole_words(m));
        mask
    }
}

/// Where a byte of a word comes from an address, the rest of the word does: a carry reaches it in some other run.
fn whole_words(mask: &mut [bool]) {
    for word in mask.chunks_mut(8).filter(|word| word.contains(&true)) {
        word.fill(true);
    }
}

fn mark(mask: &mut [bool], x: &[u8], y: &[u8]) {
    for (n, mask) in mask.iter_mut().enumerate() {
        *mask |= x.get(n) != y.get(n);
    }
}

/// A 64-bit number as people compare it.
struct Hex(u64);

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// Up to sixteen bytes from an offset.
struct Bytes<'a>(&'a [u8], usize);

impl fmt::Display for Bytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.1 >= self.0.len() {
            return write!(f, "ends after {} bytes", self.0.len());
        }
        self.0.iter().skip(self.1).take(16).try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Returned(r0) => write!(f, "returned {r0:#x}"),
            End::Trapped(trap) => write!(f, "trapped at {}: {}", trap.at, trap.kind),
            End::OutOfFuel => f.write_str("out of fuel"),
            End::Unsupported(what) => write!(f, "unsupported: {what}"),
        }
    }
}

impl fmt::Display for TrapKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TrapKind::UninitRegister(reg) => write!(f, "{reg} was read and has no value"),
            TrapKind::UninitStack { off, size } => write!(f, "{size} bytes at fp{off:+} were read and never written"),
            TrapKind::NullPointer(addr) => write!(f, "address {addr:#x} was used"),
            TrapKind::WildPointer(addr) => write!(f, "address {addr:#x} is not mapped"),
            TrapKind::DeadFrame(addr) => write!(f, "address {addr:#x} was in a frame that is gone"),
            TrapKind::OutOfBounds { region, off, size } => {
                write!(f, "{size} bytes at {off} of {region} are outside of it")
            }
            TrapKind::ReadOnly { region, off } => write!(f, "byte {off} of {region} was written and is read only"),
            TrapKind::StackOverrun { off, size } => write!(f, "{size} bytes at fp{off:+} are below the verified stack"),
            TrapKind::SpillTouched { off, size } => write!(f, "{size} bytes at fp{off:+} belong to an inlined loop"),
            TrapKind::TooManyFrames => f.write_str("too many frames"),
            TrapKind::BadArgument { helper, arg } => write!(f, "{arg} is no argument for helper {helper}"),
            TrapKind::FramePointerWritten => f.write_str("r10 was written"),
            TrapKind::LeftProgram => f.write_str("control left the program"),
        }
    }
}

impl RegionName {
    /// The kind of region, without its index.
    pub const fn kind(&self) -> &'static str {
        match self {
            RegionName::Frame => "the frame",
            RegionName::Ctx => "the context",
            RegionName::Packet => "the packet",
            RegionName::Key => "a key",
            RegionName::MapValue(_) => "a map value",
            RegionName::Record(_) => "a record",
        }
    }
}

impl fmt::Display for RegionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RegionName::Frame => f.write_str("the frame"),
            RegionName::Ctx => f.write_str("the context"),
            RegionName::Packet => f.write_str("the packet"),
            RegionName::Key => f.write_str("a key"),
            RegionName::MapValue(map) => write!(f, "a value of map {map}"),
            RegionName::Record(map) => write!(f, "a record of ring buffer {map}"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::End => f.write_str("end"),
            Place::R0 => f.write_str("R0"),
            Place::Ctx(at) => write!(f, "context byte {at}"),
            Place::Packet(at) => write!(f, "packet byte {at}"),
            Place::Map { map, at } => write!(f, "map {map} byte {at}"),
            Place::Trace(Some(n)) => write!(f, "event {n}"),
            Place::Trace(None) => f.write_str("events"),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} / {}", self.place, self.left, self.right)
    }
}
