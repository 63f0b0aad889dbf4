//! Which stack slots an instruction may read and certainly writes.
//!
//! Stands for `record_load_store_access`, `record_call_access` and what they call in `liveness.c`, and for
//! `bpf_helper_stack_access_bytes` of `verifier.c` (7.3).

use super::constants::Constants;
use super::facts::{Access, Callee, Direction, Facts, MapSizes};
use super::origin::Origin;
use super::pointers::Registers;
use crate::isa::{AtomicOp, Op, Reg};
use crate::kernel::limits;

/// A set of the 4-byte slots of a frame: bit 2n is the half of 8-byte slot n next to the frame pointer, bit 2n+1 the other.
pub type SlotSet = u128;

/// All slots.
pub(super) const ALL: SlotSet = SlotSet::MAX;

const SLOT_BYTES: i64 = 4;

/// What an instruction does to the slots of one frame, and which are live before it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Slots {
    pub(super) read: SlotSet,
    pub(super) written: SlotSet,
    pub(super) live: SlotSet,
}

/// How many bytes from a pointer on are accessed, and how.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Extent {
    None,
    Read(u32),
    Written(u32),
    /// Read from the pointer up to the frame pointer.
    ReadUnknown,
}

/// The accesses of a function's instructions, by frame and instruction.
pub(super) struct Recorder<'a> {
    /// Slots of frame f and instruction i of the function are at `f * len + i`.
    pub(super) slots: &'a mut [Slots],
    /// Instructions of the function.
    pub(super) len: usize,
    /// Depth of the function.
    pub(super) depth: u8,
}

impl Recorder<'_> {
    fn at(&mut self, frame: u8, i: usize) -> Option<&mut Slots> {
        if frame > self.depth || i >= self.len {
            return None;
        }
        self.slots.get_mut(usize::from(frame) * self.len + i)
    }

    /// Slots that instruction `i` of the function may read.
    pub(super) fn read(&mut self, frame: u8, i: usize, slots: SlotSet) {
        if let Some(at) = self.at(frame, i) {
            at.read |= slots;
        }
    }

    /// All slots of all frames.
    pub(super) fn read_everything(&mut self, i: usize) {
        for frame in 0..=self.depth {
            self.read(frame, i, ALL);
        }
    }

    /// Records what instruction `i` of the function does. `at` is its index in the program.
    pub(super) fn record(
        &mut self,
        i: usize,
        at: u32,
        op: &Op,
        registers: &Registers,
        constants: &Constants,
        facts: &dyn Facts,
    ) {
        match *op {
            Op::Load { size, base, off, .. } => self.memory(i, registers, base, off, Extent::Read(size.bytes())),
            Op::Store { size, base, off, .. } => self.memory(i, registers, base, off, Extent::Written(size.bytes())),
            Op::Atomic { size, op, base, off, .. } => {
                let extent = match op {
                    AtomicOp::StoreRelease => Extent::Written(size.bytes()),
                    _ => Extent::Read(size.bytes()),
                };
                self.memory(i, registers, base, off, extent);
            }
            Op::CallHelper { id } => self.call(i, at, Callee::Helper(id), registers, constants, facts),
            Op::CallKfunc { id, off } => self.call(i, at, Callee::Kfunc(id, off), registers, constants, facts),
            _ => {}
        }
    }

    fn memory(&mut self, i: usize, registers: &Registers, base: Reg, off: i16, extent: Extent) {
        let pointer = registers[base.at()].with_offsets(|offsets| offsets.shifted(i64::from(off)));
        self.pointer(i, pointer, extent);
    }

    fn call(
        &mut self,
        i: usize,
        at: u32,
        callee: Callee,
        registers: &Registers,
        constants: &Constants,
        facts: &dyn Facts,
    ) {
        // Asking for a prototype costs more than looking whether a pointer is passed at all.
        if !registers[1..=5].iter().any(Origin::is_stack) {
            return;
        }
        let prototype = facts.prototype(callee);
        let args = prototype.map_or(5, |p| usize::from(p.args.min(5)));
        for (n, pointer) in registers[1..=5].iter().enumerate().take(args) {
            if pointer.is_stack() {
                let access = prototype.and_then(|p| p.access.get(n).copied()).unwrap_or(Access::Unknown);
                self.pointer(i, *pointer, extent_of(access, n, at, constants, facts));
            }
        }
    }

    /// Kernel: `record_stack_access`, `record_imprecise` (7.3).
    #[doc(alias = "record_stack_access")]
    fn pointer(&mut self, i: usize, pointer: Origin, extent: Extent) {
        match pointer {
            _ if matches!(extent, Extent::None | Extent::Read(0) | Extent::Written(0)) => {}
            Origin::Nowhere => {}
            Origin::Frames(set) => {
                for frame in (0..16).filter(|frame| set >> frame & 1 != 0) {
                    self.read(frame, i, ALL);
                }
            }
            Origin::Frame(frame, offsets) => match (extent, offsets.as_slice()) {
                (Extent::Written(bytes), [off]) => {
                    if let Some(at) = self.at(frame, i) {
                        at.written |= covered(*off, bytes);
                    }
                }
                (Extent::Written(_), _) => {}
                (_, []) => self.read(frame, i, ALL),
                (Extent::Read(bytes), several) => {
                    let slots = several.iter().fold(0, |set, off| set | touched(*off, bytes));
                    self.read(frame, i, slots);
                }
                (_, several) => {
                    let slots = several.iter().fold(0, |set, off| set | up_to_frame_pointer(*off));
                    self.read(frame, i, slots);
                }
            },
        }
    }
}

/// Kernel: `bpf_helper_stack_access_bytes` (7.3). `n` is the argument's number from 0.
#[doc(alias = "bpf_helper_stack_access_bytes")]
fn extent_of(access: Access, n: usize, at: u32, constants: &Constants, facts: &dyn Facts) -> Extent {
    let sized = |bytes: u32, direction: Direction| match direction {
        Direction::Read => Extent::Read(bytes),
        Direction::Initialise => Extent::Written(bytes),
    };
    let of_map = |map: Option<u8>, direction: Direction, part: fn(MapSizes) -> u32| {
        let map = map.and_then(Reg::new).and_then(|reg| constants.map(at, reg)).and_then(|index| facts.map(index));
        match map {
            Some(sizes) => sized(part(sizes), direction),
            None => match part(facts.largest_map()) {
                0 => Extent::ReadUnknown,
                bytes => sized(bytes, direction),
            },
        }
    };
    match access {
        Access::Unknown => Extent::ReadUnknown,
        Access::Untouched => Extent::None,
        Access::Fixed(bytes, direction) => sized(bytes, direction),
        Access::MapKey(map, direction) => of_map(map, direction, |sizes| sizes.key),
        Access::MapValue(map, direction) => of_map(map, direction, |sizes| sizes.value),
        Access::SizeInNext(direction) => {
            let size = Reg::new(n as u8 + 2).and_then(|reg| constants.constant(at, reg));
            match (size, direction) {
                (Some(bytes), _) => sized(bytes, direction),
                (None, Direction::Read) => Extent::Read(limits::STACK_BYTES_MAX),
                (None, Direction::Initialise) => Extent::None,
            }
        }
    }
}

/// The slots from `from` to `to`, both included.
fn between(from: i64, to: i64) -> SlotSet {
    let (from, to) = (from.max(0), to.min(127));
    if from > to { 0 } else { ALL >> (127 - (to - from)) << from }
}

/// The slots that an access of `bytes` at an offset touches; none above the frame pointer, where the walk refuses it.
fn touched(off: i16, bytes: u32) -> SlotSet {
    let below = -i64::from(off);
    if below <= 0 { 0 } else { between((below - i64::from(bytes)) / SLOT_BYTES, (below - 1) / SLOT_BYTES) }
}

/// The slots that an access of `bytes` at an offset covers.
fn covered(off: i16, bytes: u32) -> SlotSet {
    let below = -i64::from(off);
    let from = (below - i64::from(bytes) + SLOT_BYTES - 1) / SLOT_BYTES;
    if below <= 0 { 0 } else { between(from, below / SLOT_BYTES - 1) }
}

/// The slots from an offset up to the frame pointer.
fn up_to_frame_pointer(off: i16) -> SlotSet {
    let below = -i64::from(off);
    if below <= 0 { 0 } else { between(0, (below - 1) / SLOT_BYTES) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Slots byte by byte: touched if one byte is accessed, covered if all four are.
        #[test]
        fn slots_are_those_of_the_bytes(off in -600i16..=16, bytes in 1u32..=600) {
            for slot in 0..128i64 {
                let bottom = -4 * (slot + 1);
                let hit = (bottom..bottom + 4).filter(|b| (i64::from(off)..i64::from(off) + i64::from(bytes)).contains(b));
                let hit = if off < 0 { hit.count() } else { 0 };
                prop_assert_eq!(touched(off, bytes) >> slot & 1 != 0, hit > 0, "touched {}", slot);
                prop_assert_eq!(covered(off, bytes) >> slot & 1 != 0, hit == 4, "covered {}", slot);
            }
        }
    }

    #[test]
    fn unknown_extents_reach_the_frame_pointer() {
        assert_eq!(up_to_frame_pointer(-12), 0b111);
        assert_eq!(up_to_frame_pointer(-9), 0b111);
        assert_eq!(up_to_frame_pointer(-600), ALL);
        assert_eq!(up_to_frame_pointer(0), 0);
    }
}
