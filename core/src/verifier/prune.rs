//! When a path that arrives at a checkpoint need not be walked on: is all that it may do covered by what was verified?
//!
//! Stands for `states_equal`, `func_states_equal`, `regsafe`, `stacksafe` and `check_ids` (6.1 … 7.3). Both generations are
//! here: the older one trusts copies of ids and read marks, the newer one compares ids and, since 7.0, only what is live.

use super::state::{Byte, Frame, Kind, Link, REGS, Reference, Reg, SLOT_BYTES, Slot, State};
use crate::domain::Scalar;
use crate::kernel::{
    BeyondPacket, LivenessModel, LoopSlots, PointerOffset, Rules, ScalarIds, ScalarLinks, SlotScalars,
};
use smallvec::SmallVec;

/// How strictly two states are compared.
#[doc(alias = "exact_level")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Exactness {
    /// Scalars that nobody relied on are equal.
    Loose,
    /// The same in every detail: the sign of an endless loop.
    Exact,
    /// Ranges are compared whether or not they were relied on: marks of a loop are not complete yet.
    RangeWithin,
}

/// How ids of the old state map to those of the current one.
#[doc(alias = "bpf_idmap")]
pub(super) struct IdMap {
    pairs: SmallVec<[(u32, u32); 16]>,
    next_temporary: u32,
}

impl IdMap {
    /// An empty map; temporary ids follow `id_gen`.
    pub fn new(id_gen: u32) -> IdMap {
        IdMap { pairs: SmallVec::new(), next_temporary: id_gen }
    }

    /// Kernel: `check_ids` (6.4 … 7.3).
    #[doc(alias = "check_ids")]
    fn same(&mut self, old: u32, cur: u32) -> bool {
        if (old != 0) != (cur != 0) {
            return false;
        }
        if old == 0 {
            return true;
        }
        for (o, c) in &self.pairs {
            if *o == old {
                return *c == cur;
            }
            if *c == cur {
                return false;
            }
        }
        self.pairs.push((old, cur));
        true
    }

    /// Kernel: `check_ids` (6.1): several old ids may map to one current id.
    fn same_6_1(&mut self, old: u32, cur: u32) -> bool {
        match self.pairs.iter().find(|(o, _)| *o == old) {
            Some((_, c)) => *c == cur,
            None => {
                self.pairs.push((old, cur));
                true
            }
        }
    }

    fn temporary(&mut self) -> u32 {
        self.next_temporary += 1;
        self.next_temporary
    }

    /// Kernel: `check_scalar_ids` (6.4 … 7.3).
    #[doc(alias = "check_scalar_ids")]
    fn same_scalar(&mut self, old: &Reg, cur: &Reg, rule: ScalarIds) -> bool {
        if rule == ScalarIds::Compared {
            let mut id = |reg: &Reg| if reg.id != 0 { tagged(reg) } else { self.temporary() };
            let (old, cur) = (id(old), id(cur));
            return self.same(old, cur);
        }
        if old.id == 0 {
            return true;
        }
        let cur_id = if cur.id != 0 { tagged(cur) } else { self.temporary() };
        self.same(tagged(old), cur_id) && (old.link == Link::Same || self.same(old.id, cur_id & !LINK_BITS))
    }
}

const LINK_BITS: u32 = 3 << 30;

/// The id with the kind of the link in its upper bits.
fn tagged(reg: &Reg) -> u32 {
    match reg.link {
        Link::Same => reg.id,
        Link::Add64 => reg.id | 1 << 31,
        Link::Add32 => reg.id | 1 << 30,
    }
}

/// What a comparison needs besides the two states.
pub(super) struct Comparison<'a> {
    pub rules: &'a Rules,
    pub exactness: Exactness,
    /// Registers that are live at an instruction, where the rules know.
    pub live_regs: &'a dyn Fn(crate::isa::InsnIdx) -> u16,
    /// Ids given out so far.
    pub id_gen: u32,
}

impl Comparison<'_> {
    /// True when the old state covers the current one.
    pub fn states_equal(&self, old: &State, cur: &State) -> bool {
        if !old.same_callsites(cur) {
            return false;
        }
        let mut ids = IdMap::new(self.id_gen);
        for n in 0..=old.depth() {
            if self.older() {
                ids = IdMap::new(self.id_gen);
            }
            let live = (self.live_regs)(old.frame_insn(n));
            let (o, c) = (&old.frames()[n], &cur.frames()[n]);
            if std::rc::Rc::ptr_eq(o, c) && self.exactness != Exactness::Exact {
                // The same frame is its own superset; only its ids have to be remembered for the frames above.
                if self.older() {
                    continue;
                }
            }
            if !self.frames_equal(o, c, live, &mut ids) {
                return false;
            }
        }
        true
    }

    fn older(&self) -> bool {
        self.rules.walk.scalar_links == ScalarLinks::Copies
    }

    #[doc(alias = "func_states_equal")]
    fn frames_equal(&self, old: &Frame, cur: &Frame, live: u16, ids: &mut IdMap) -> bool {
        if old.callback_depth > cur.callback_depth || !refs_equal(&old.refs, &cur.refs, self.older(), ids) {
            return false;
        }
        let regs = (0..REGS).all(|n| live & 1 << n == 0 || self.reg_safe(&old.regs[n], &cur.regs[n], ids));
        regs && if self.older() { self.stack_safe_6_1(old, cur, ids) } else { self.stack_safe(old, cur, ids) }
    }

    fn reg_safe(&self, old: &Reg, cur: &Reg, ids: &mut IdMap) -> bool {
        if self.older() { self.reg_safe_6_1(old, cur, ids) } else { self.reg_safe_since_6_4(old, cur, ids) }
    }

    /// Kernel: `regsafe` (6.1).
    #[doc(alias = "regsafe")]
    fn reg_safe_6_1(&self, old: &Reg, cur: &Reg, ids: &mut IdMap) -> bool {
        if !old.marks.read {
            return true;
        }
        let equal = old.same_content(cur);
        if matches!(old.kind, Kind::Stack { .. }) {
            return equal;
        }
        if equal || old.kind == Kind::NotInit {
            return true;
        }
        match old.kind {
            _ if cur.kind == Kind::NotInit => false,
            Kind::Scalar => cur.kind == Kind::Scalar && (!old.precise || cur.value.is_within(&old.value)),
            Kind::MapKey { .. } | Kind::MapValue { .. } | Kind::MapSock { .. } if old.kind.is_nullable() => {
                cur.kind.is_nullable() && old.same_but_ids(cur) && ids.same_6_1(old.id, cur.id)
            }
            Kind::MapKey { .. } | Kind::MapValue { .. } => {
                old.kind == cur.kind && old.off == cur.off && cur.value.is_within(&old.value)
            }
            Kind::Packet { .. } | Kind::PacketMeta { .. } => {
                self.packet_safe(old, cur) && (old.id == 0 || ids.same_6_1(old.id, cur.id))
            }
            _ => false,
        }
    }

    /// Kernel: `regsafe` (6.4 … 7.3).
    fn reg_safe_since_6_4(&self, old: &Reg, cur: &Reg, ids: &mut IdMap) -> bool {
        if self.exactness == Exactness::Exact {
            return exact(old, cur, ids);
        }
        let by_marks = self.rules.walk.liveness == LivenessModel::ReadMarks;
        let loose = self.exactness == Exactness::Loose;
        if by_marks && loose && !old.marks.read {
            return true;
        }
        if old.kind == Kind::NotInit {
            // What the older state never read may be anything, lately also within loops.
            let types = self.rules.walk.loop_slots == LoopSlots::SameTypes;
            return !types || loose || cur.kind == Kind::NotInit;
        }
        if !old.kind.same_type(cur.kind) {
            return false;
        }
        match old.kind {
            Kind::Scalar => {
                if !old.precise && loose {
                    return true;
                }
                let linked = self.rules.walk.scalar_ids == ScalarIds::Compared || old.id != 0;
                if linked && old.link != cur.link || old.link != Link::Same && old.off != cur.off {
                    return false;
                }
                ids.same_scalar(old, cur, self.rules.walk.scalar_ids) && cur.value.is_within(&old.value)
            }
            Kind::MapKey { .. } | Kind::MapValue { .. } | Kind::MapSock { .. } | Kind::Mem { .. } => {
                old.kind == cur.kind
                    && old.off == cur.off
                    && cur.value.is_within(&old.value)
                    && ids.same(old.id, cur.id)
                    && ids.same(old.reference, cur.reference)
            }
            Kind::Packet { .. } | Kind::PacketMeta { .. } => self.packet_safe(old, cur) && ids.same(old.id, cur.id),
            _ => exact(old, cur, ids),
        }
    }

    fn packet_safe(&self, old: &Reg, cur: &Reg) -> bool {
        let (Some(old_range), Some(cur_range)) = (packet_range(old), packet_range(cur)) else {
            return false;
        };
        let marks = self.rules.walk.beyond_packet == BeyondPacket::SameMark;
        if marks && (old_range < 0 || cur_range < 0) {
            if old_range != cur_range {
                return false;
            }
        } else if old_range > cur_range {
            return false;
        }
        let folded = self.rules.walk.pointer_offset == PointerOffset::Folded;
        if folded && old.id != 0 && !same_origin(&old.value, &cur.value) {
            return false;
        }
        old.off == cur.off && cur.value.is_within(&old.value)
    }

    /// Kernel: `stacksafe` (6.1).
    #[doc(alias = "stacksafe")]
    fn stack_safe_6_1(&self, old: &Frame, cur: &Frame, ids: &mut IdMap) -> bool {
        for (n, o) in old.stack.iter().enumerate() {
            if !o.spilled.marks.read {
                continue;
            }
            for i in 0..SLOT_BYTES {
                if matches!(o.bytes[i], Byte::Invalid | Byte::Misc) {
                    continue;
                }
                let Some(c) = cur.stack.get(n) else { return false };
                if o.bytes[i] != c.bytes[i] {
                    return false;
                }
                if i == SLOT_BYTES - 1 && o.is_spill() && !self.reg_safe(&o.spilled, &c.spilled, ids) {
                    return false;
                }
            }
        }
        true
    }

    /// Kernel: `stacksafe` (6.4 … 7.3).
    fn stack_safe(&self, old: &Frame, cur: &Frame, ids: &mut IdMap) -> bool {
        let by_marks = self.rules.walk.liveness == LivenessModel::ReadMarks;
        old.stack.iter().enumerate().all(|(n, o)| {
            if by_marks && self.exactness == Exactness::Loose && !o.spilled.marks.read {
                return true;
            }
            self.slot_safe(o, cur.stack.get(n), ids)
        })
    }

    fn slot_safe(&self, old: &Slot, cur: Option<&Slot>, ids: &mut IdMap) -> bool {
        let mut i = 0;
        while i < SLOT_BYTES {
            let byte = old.bytes[i];
            let same_types = match self.exactness {
                Exactness::Loose => false,
                Exactness::Exact => true,
                Exactness::RangeWithin => self.rules.walk.loop_slots == LoopSlots::SameTypes,
            };
            if same_types && !cur.is_some_and(|c| not_poison(c.bytes[i]) == not_poison(byte)) {
                return false;
            }
            if matches!(byte, Byte::Invalid | Byte::Poison | Byte::Misc) {
                // What an older path took for any data, another may leave unwritten: privileged programs read it.
                i += 1;
                continue;
            }
            let Some(cur) = cur else { return false };
            let halves = self.rules.walk.slot_scalars == SlotScalars::Halves;
            if (i == 0 || i == 4 && halves)
                && let (Some(o), Some(c)) = (self.scalar_at(old, i), self.scalar_at(cur, i))
            {
                if !self.reg_safe(&o, &c, ids) {
                    return false;
                }
                i = if i == 0 { SLOT_BYTES } else { i + 4 };
                continue;
            }
            if byte != cur.bytes[i] {
                return false;
            }
            if i == SLOT_BYTES - 1 && byte == Byte::Spill && !self.reg_safe(&old.spilled, &cur.spilled, ids) {
                return false;
            }
            i += 1;
        }
        true
    }

    /// The scalar that a read of the slot from byte `from` on would give: a spilled one, or any for plain data.
    ///
    /// Kernel: `scalar_reg_for_stack` (6.8 … 7.3).
    #[doc(alias = "scalar_reg_for_stack")]
    fn scalar_at(&self, slot: &Slot, from: usize) -> Option<Reg> {
        if slot.bytes[from] == Byte::Spill && slot.spilled.kind == Kind::Scalar {
            return Some(slot.spilled);
        }
        let plain = slot.bytes[from..].iter().all(|b| matches!(b, Byte::Misc | Byte::Invalid | Byte::Poison));
        if plain {
            let mut any = Reg::unknown(self.rules.range_model);
            any.marks.read = true;
            return Some(any);
        }
        None
    }
}

/// True when both offsets of packet pointers start at the same place, so that distances between them are kept.
fn same_origin(old: &Scalar, cur: &Scalar) -> bool {
    old.base() == cur.base()
}

fn not_poison(byte: Byte) -> Byte {
    if byte == Byte::Poison { Byte::Invalid } else { byte }
}

/// Kernel: `regs_exact` (6.4 … 7.3).
#[doc(alias = "regs_exact")]
pub(super) fn exact(old: &Reg, cur: &Reg, ids: &mut IdMap) -> bool {
    old.same_but_ids(cur) && ids.same(tagged(old), tagged(cur)) && ids.same(old.reference, cur.reference)
}

fn packet_range(reg: &Reg) -> Option<i32> {
    match reg.kind {
        Kind::Packet { range } | Kind::PacketMeta { range } => Some(range),
        _ => None,
    }
}

/// Kernel: `refsafe` (6.1 … 7.3).
#[doc(alias = "refsafe")]
fn refs_equal(old: &[Reference], cur: &[Reference], literally: bool, ids: &mut IdMap) -> bool {
    if literally {
        return old == cur;
    }
    old.len() == cur.len() && old.iter().zip(cur).all(|(o, c)| ids.same(o.id, c.id))
}

/// True when two states may be the same round of an endless loop: cheap test before the whole comparison.
///
/// Kernel: `states_maybe_looping` (6.1 … 7.3).
#[doc(alias = "states_maybe_looping")]
pub(super) fn maybe_looping(old: &State, cur: &State) -> bool {
    old.depth() == cur.depth() && old.top().regs.iter().zip(&cur.top().regs).all(|(o, c)| o.same_content(c))
}
