//! Conditional jumps: which sides are possible, and what each of them tells.
//!
//! Stands for `check_cond_jmp_op`, `is_branch_taken`, `find_equal_scalars`, `sync_linked_regs`, `mark_ptr_or_null_regs`,
//! `try_match_pkt_pointers` and `widen_imprecise_scalars` (6.1 … 7.3).

use super::history::LinkedCells;
use super::prune::{IdMap, exact};
use super::state::{AT_PKT_END, BEYOND_PKT_END, Cell, Kind, Link, Reg, State};
use super::walker::{Check, Next, Stop, Walker};
use crate::domain::{Scalar, Sides as Registers};
use crate::isa::{AluOp, Cond, InsnIdx, Operand, Reg as RegNo, Width};
use crate::kernel::ctx::SockKind;
use crate::kernel::limits::VAR_OFF_MAX;
use crate::kernel::{
    Backtracking, CheckedPointerId, LivenessModel, NullCheck, NullCompare, PointerLowHalf, PointerOffset,
    ReferenceScope, Rules, ScalarLinks, Shown, Widening,
};

/// Largest offset of a packet pointer that a comparison with the packet's end vouches for, in bytes.
const PACKET_OFF_MAX: u64 = 0xffff;
/// How many scalars are told what one of them is found to be.
#[doc(alias = "LINKED_REGS_MAX")]
const LINKED_MAX: usize = 6;

/// The two sides of a comparison.
#[derive(Clone, Copy)]
struct Sides {
    width: Width,
    cond: Cond,
    dst: RegNo,
    src: Operand,
}

impl Walker<'_> {
    /// Kernel: `check_cond_jmp_op` (6.1 … 7.3).
    #[doc(alias = "check_cond_jmp_op")]
    pub fn check_jump_if(&mut self, width: Width, cond: Cond, dst: RegNo, src: Operand, off: i16) -> Check<Next> {
        let sides = Sides { width, cond, dst, src };
        self.read_reg(dst)?;
        if let Operand::Reg(src) = src {
            self.read_reg(src)?;
        }
        let left = *self.reg(dst);
        let right = match src {
            Operand::Reg(src) => *self.reg(src),
            Operand::Imm(imm) => Reg::constant(self.model(), i64::from(imm) as u64),
        };
        self.note_stack_operands(&left, &right);
        let mut linked = LinkedCells::new();
        if self.rules.walk.scalar_links != ScalarLinks::Copies {
            if matches!(src, Operand::Reg(_)) {
                self.collect_linked(&right, &mut linked);
            }
            self.collect_linked(&left, &mut linked);
        }
        let left = *self.reg(dst);
        let right = if let Operand::Reg(src) = src { *self.reg(src) } else { right };
        let taken = self.branch_taken(&sides, &left, &right);
        if let Some(taken) = taken {
            if left.kind == Kind::Scalar {
                self.mark_precise(dst)?;
            }
            if let Operand::Reg(src) = src
                && right.kind == Kind::Scalar
            {
                self.mark_precise(src)?;
            }
            return Ok(if taken { Next::To(self.target(i32::from(off))) } else { Next::Straight });
        }
        if linked.len() > 1 {
            let linked = linked.clone();
            self.push_history(|entry| entry.linked = linked);
        }
        self.split(&sides, &left, &right, &linked, off)?;
        Ok(Next::Straight)
    }

    /// Remembers which operands of a comparison are stack pointers: their precision is not followed.
    fn note_stack_operands(&mut self, left: &Reg, right: &Reg) {
        let dst = matches!(left.kind, Kind::Stack { .. });
        let src = matches!(right.kind, Kind::Stack { .. });
        if (dst || src) && self.rules.walk.backtracking == Backtracking::AllFrames {
            self.push_history(|entry| {
                entry.dst_is_stack = dst;
                entry.src_is_stack = src;
            });
        }
    }

    /// Kernel: `is_branch_taken` (6.1 … 7.3).
    #[doc(alias = "is_branch_taken")]
    fn branch_taken(&self, sides: &Sides, left: &Reg, right: &Reg) -> Option<bool> {
        let Sides { width, cond, dst, src } = *sides;
        if left.kind.is_packet_any() && right.kind.is_packet_any() && width == Width::W64 {
            return packet_branch(cond, left, right);
        }
        if left.kind == Kind::Scalar && right.kind == Kind::Scalar {
            let same = same_register(src, dst);
            return Scalar::compare(cond, width, &left.value, &right.value, same, &self.rules.domain);
        }
        if width == Width::W32 && self.rules.walk.pointer_low_half == PointerLowHalf::Unknown {
            return None;
        }
        let known = |reg: &Reg| match width {
            _ if reg.kind != Kind::Scalar => None,
            Width::W64 => reg.value.as_const(),
            Width::W32 => reg.value.as_const32().map(u64::from),
        };
        let left_only = self.rules.walk.null_compare == NullCompare::Immediate;
        let (pointer, other) = if left_only || known(right).is_some() { (left, right) } else { (right, left) };
        if known(other) != Some(0) || !self.is_not_null(pointer) {
            return None;
        }
        match cond {
            Cond::Eq => Some(false),
            Cond::Ne => Some(true),
            _ => None,
        }
    }

    /// True for a pointer that cannot be NULL.
    ///
    /// Kernel: `reg_not_null` (6.3 … 7.3), `reg_type_not_null` (6.1).
    #[doc(alias = "reg_not_null")]
    fn is_not_null(&self, reg: &Reg) -> bool {
        let any = self.rules.walk.null_compare == NullCompare::AnyKnown;
        let folded = self.rules.walk.pointer_offset == PointerOffset::Folded;
        if folded && (reg.value.smin() <= -VAR_OFF_MAX || reg.value.smax() >= VAR_OFF_MAX) {
            return false;
        }
        match reg.kind {
            Kind::MapValue { nullable: false, .. } | Kind::MapKey { .. } => true,
            Kind::Sock { kind, nullable: false } => kind != SockKind::Xdp,
            Kind::Mem { nullable: false, .. } | Kind::MapPtr { .. } => any,
            Kind::Object(_) => any && is_trusted(reg),
            _ => false,
        }
    }

    /// What both operands are where the jump was not taken, and where it was.
    ///
    /// Kernel: `reg_set_min_max` (6.1 … 7.3).
    #[doc(alias = "reg_set_min_max")]
    fn refined(&mut self, sides: &Sides, left: &Reg, right: &Reg) -> Check<[(Scalar, Scalar); 2]> {
        let Sides { width, cond, dst, src } = *sides;
        let (operands, same) = ((&left.value, &right.value), same_register(src, dst));
        let side = |taken| Scalar::refine(cond, width, taken, operands, same, &self.rules.domain);
        let (mut straight, mut taken) = (side(false), side(true));
        let one = matches!(same, Registers::SameRegister);
        for ((a, b), names) in [(&mut taken, ["true_reg1", "true_reg2"]), (&mut straight, ["false_reg1", "false_reg2"])]
        {
            if let Some(left) = self.contradiction(a, names[0])? {
                *a = left;
            }
            if one {
                *b = *a;
            }
            if let Some(left) = self.contradiction(b, names[1])? {
                *b = left;
            }
        }
        Ok([straight, taken])
    }

    /// Puts the taken side aside and goes on with the other, each with what it knows.
    fn split(&mut self, sides: &Sides, left: &Reg, right: &Reg, linked: &LinkedCells, off: i16) -> Check {
        let target = self.target(i32::from(off));
        let rules = self.rules;
        let Sides { width, cond, dst, src } = *sides;
        let scalars = left.kind == Kind::Scalar && right.kind == Kind::Scalar;
        if rules.log.shown >= Shown::AndLinked {
            linked.iter().for_each(|(_, cell)| self.touched.cell(*cell));
        }
        let mut this = self.cur.clone();
        self.push_branch(target)?;
        let known = if scalars { Some(self.refined(sides, left, right)?) } else { None };
        let Some(other) = self.last_pushed() else { return Err(Stop::bug("no pending branch")) };
        for (state, values) in [&mut this, &mut *other].into_iter().zip(known.into_iter().flatten()) {
            learn(state, dst, values.0);
            if let Operand::Reg(src) = src {
                learn(state, src, values.1);
            }
        }
        for state in [&mut this, &mut *other] {
            if let Operand::Reg(src) = src
                && scalars
            {
                spread(state, src, linked, rules);
            }
            if left.kind == Kind::Scalar {
                spread(state, dst, linked, rules);
            }
        }
        let null_side = null_check(sides, left, right, rules);
        if let Some(null_if_taken) = null_side {
            mark_null(&mut this, dst, !null_if_taken, rules);
            mark_null(other, dst, null_if_taken, rules);
        } else {
            equal_pointers(sides, left, right, &mut this, other, self_not_null(rules));
            if let Operand::Reg(src) = src
                && width == Width::W64
            {
                match_packet_pointers(cond, (dst, left), (src, right), &mut this, other, rules);
            }
        }
        self.cur = this;
        if null_side.is_some()
            && let Operand::Reg(src) = src
        {
            self.mark_precise(src)?;
        }
        Ok(())
    }

    /// The registers and slots that share a scalar's id; since 7.0 only registers that are live.
    ///
    /// Kernel: `collect_linked_regs` (6.12 … 7.3).
    #[doc(alias = "collect_linked_regs")]
    fn collect_linked(&mut self, scalar: &Reg, linked: &mut LinkedCells) {
        if scalar.kind != Kind::Scalar || scalar.id == 0 {
            return;
        }
        let lost = self.rules.walk.lost_link;
        for n in (0..=self.cur.depth()).rev() {
            let live = match self.liveness {
                Some(liveness) if self.rules.walk.liveness == LivenessModel::Static => {
                    liveness.live_regs(self.cur.frame_insn(n))
                }
                _ => u16::MAX,
            };
            let members: LinkedCells = self
                .cur
                .frame(n)
                .cells()
                .filter(|(_, r)| r.kind == Kind::Scalar && r.id == scalar.id)
                .filter(|(c, _)| !matches!(c, Cell::Reg(r) if *r >= 10 || live & 1 << r == 0))
                .map(|(c, _)| (n as u8, c))
                .collect();
            for member in members {
                if linked.len() < LINKED_MAX {
                    linked.push(member);
                } else if let Some(reg) = self.cur.frame_mut(n).cell_mut(member.1) {
                    reg.drop_id(lost);
                }
            }
        }
    }

    /// `may_goto`: the path may leave or go on, and going on ends some day.
    ///
    /// Kernel: the `BPF_JCOND` case of `check_cond_jmp_op` (6.9 … 7.3).
    pub fn check_may_goto(&mut self, off: i16) -> Check<Next> {
        let at = self.at;
        let parent = self.cur.parent;
        let before = parent.and_then(|p| self.previous_entry(&self.checkpoints[p as usize].state, at));
        let next = at.next();
        self.push_branch(next)?.may_goto_depth += 1;
        if let Some(before) = before {
            let old = self.checkpoints[before as usize].state.clone();
            let rules = self.rules;
            if let Some(state) = self.last_pushed() {
                widen(&old, state, rules);
            }
        }
        Ok(Next::To(self.target(i32::from(off))))
    }

    /// The newest checkpoint of an instruction that this path came by.
    ///
    /// Kernel: `find_prev_entry` (6.7 … 7.3).
    #[doc(alias = "find_prev_entry")]
    pub fn previous_entry(&self, cur: &State, at: InsnIdx) -> Option<u32> {
        self.visits.newest(at, cur).find(|n| {
            let state = &self.checkpoints[*n as usize].state;
            state.insn == at && state.branches > 0 && state.same_callsites(cur) && state.dfs_depth < cur.dfs_depth
        })
    }
}

fn same_register(src: Operand, dst: RegNo) -> Registers {
    if src == Operand::Reg(dst) { Registers::SameRegister } else { Registers::Distinct }
}

fn self_not_null(rules: &Rules) -> impl Fn(&Reg) -> bool + '_ {
    move |reg| {
        let near = reg.value.smin() > -VAR_OFF_MAX && reg.value.smax() < VAR_OFF_MAX;
        let points = match reg.kind {
            Kind::MapValue { nullable, .. } | Kind::Mem { nullable, .. } | Kind::Sock { nullable, .. } => !nullable,
            Kind::MapKey { .. } | Kind::MapPtr { .. } => true,
            Kind::Object(_) => is_trusted(reg),
            _ => false,
        };
        points && near && rules.walk.null_compare == NullCompare::AnyKnown
    }
}

/// True for an object of the kernel that is known to be there: because it is trusted, or because a reference keeps it.
///
/// Kernel: `is_trusted_reg` (6.3 … 7.3).
#[doc(alias = "is_trusted_reg")]
fn is_trusted(reg: &Reg) -> bool {
    matches!(reg.kind, Kind::Object(object) if !reg.kind.is_nullable() && (object.is_trusted() || reg.reference != 0))
}

/// A register gets what a comparison told of it.
fn learn(state: &mut State, reg: RegNo, value: Scalar) {
    if state.top().regs[reg.at()].value != value {
        state.top_mut().regs[reg.at()].value = value;
    }
}

/// What is known of a scalar is known of those that it is linked with.
fn spread(state: &mut State, reg: RegNo, linked: &LinkedCells, rules: &Rules) {
    let known = state.top().regs[reg.at()];
    if known.id == 0 || known.kind != Kind::Scalar {
        return;
    }
    if rules.walk.scalar_links == ScalarLinks::Copies {
        // Kernel: `find_equal_scalars` (6.1).
        let twin = |r: &Reg| r.kind == Kind::Scalar && r.id == known.id && r.value != known.value;
        state.for_each_reg(twin, |r| r.assign(known));
        return;
    }
    let own = (state.depth() as u8, Cell::Reg(reg.n()));
    for (frame, cell) in linked {
        if (*frame, *cell) == own {
            continue;
        }
        let Some(old) = state.frame(usize::from(*frame)).cell(*cell).copied() else { continue };
        if let Some(new) = linked_value(&old, &known, rules)
            && let Some(reg) = state.frame_mut(usize::from(*frame)).cell_mut(*cell)
        {
            reg.assign(new);
        }
    }
}

/// A scalar that is linked with a known one.
///
/// Kernel: `sync_linked_regs` (6.12 … 7.3).
#[doc(alias = "sync_linked_regs")]
fn linked_value(old: &Reg, known: &Reg, rules: &Rules) -> Option<Reg> {
    if old.kind != Kind::Scalar || old.id != known.id {
        return None;
    }
    let both_widths = matches!((old.link, known.link), (Link::Add64, Link::Add32) | (Link::Add32, Link::Add64));
    if both_widths {
        return None;
    }
    if old.link == Link::Same && known.link == Link::Same || old.off == known.off {
        return Some(*known);
    }
    let distance = i64::from(old.off) - i64::from(known.off);
    let narrow = old.link == Link::Add32 || known.link == Link::Add32;
    let value = plus_constant(&known.value, distance, narrow, rules);
    Some(Reg { value, off: old.off, id: old.id, link: old.link, ..*known })
}

/// A number that is greater by a constant.
fn plus_constant(value: &Scalar, distance: i64, narrow: bool, rules: &Rules) -> Scalar {
    if rules.walk.scalar_links == ScalarLinks::CopiesAndSums {
        // These kernels leave the ranges of the sum as the addition makes them.
        return value.plus_unsynced(distance, &rules.domain);
    }
    let distance = Scalar::constant(rules.range_model, distance as u64);
    let sum = Scalar::alu(AluOp::Add, Width::W64, value, &distance, &rules.domain);
    if narrow { sum.mov32(&rules.domain) } else { sum }
}

/// Whether the comparison tells NULL, and on which side: `Some(true)` when the jump is taken for NULL.
fn null_check(sides: &Sides, left: &Reg, right: &Reg, rules: &Rules) -> Option<bool> {
    let zero = match sides.src {
        Operand::Imm(imm) => imm == 0,
        Operand::Reg(_) => rules.walk.null_check == NullCheck::KnownZero && right.is_null(),
    };
    if sides.width != Width::W64 || !left.kind.is_nullable() || !zero {
        return None;
    }
    match sides.cond {
        Cond::Eq => Some(true),
        Cond::Ne => Some(false),
        _ => None,
    }
}

/// Kernel: `mark_ptr_or_null_regs` (6.1 … 7.3).
#[doc(alias = "mark_ptr_or_null_regs")]
fn mark_null(state: &mut State, reg: RegNo, is_null: bool, rules: &Rules) {
    let checked = state.top().regs[reg.at()];
    if is_null && checked.reference != 0 && checked.reference == checked.id {
        release_unchecked(state, checked.reference, rules);
    }
    let keep_id = rules.walk.checked_pointer_id == CheckedPointerId::Kept;
    let id = checked.id;
    let null = Reg::constant(rules.range_model, 0);
    state.for_each_reg(
        |r| r.kind.is_nullable() && r.id == id,
        |r| {
            if is_null {
                r.assign(null);
            } else {
                r.kind = r.kind.checked();
                if !keep_id {
                    r.id = 0;
                }
            }
        },
    );
}

/// Drops a reference that turned out to be NULL.
pub(super) fn release_unchecked(state: &mut State, reference: u32, rules: &Rules) {
    let frame = match rules.walk.reference_scope {
        ReferenceScope::PerFrame => state.depth(),
        ReferenceScope::PerPath => 0,
    };
    state.frame_mut(frame).refs.retain(|r| r.id != reference);
}

/// A pointer that equals one that is not NULL is not NULL.
fn equal_pointers(
    sides: &Sides,
    left: &Reg,
    right: &Reg,
    this: &mut State,
    other: &mut State,
    not_null: impl Fn(&Reg) -> bool,
) {
    let Operand::Reg(src) = sides.src else { return };
    if sides.width != Width::W64 || !left.kind.is_pointer() || !right.kind.is_pointer() {
        return;
    }
    let equal = match sides.cond {
        Cond::Eq => other,
        Cond::Ne => this,
        _ => return,
    };
    for (reg, seen, by) in [(src, right, left), (sides.dst, left, right)] {
        if seen.kind.is_nullable() && not_null(by) {
            let reg = &mut equal.top_mut().regs[reg.at()];
            reg.kind = reg.kind.checked();
        }
    }
}

/// Kernel: `is_pkt_ptr_branch_taken` (6.1 … 7.3).
#[doc(alias = "is_pkt_ptr_branch_taken")]
fn packet_branch(cond: Cond, left: &Reg, right: &Reg) -> Option<bool> {
    let (packet, cond) = match (left.kind, right.kind) {
        (_, Kind::PacketEnd) => (left, cond),
        (Kind::PacketEnd, _) => (right, flip(cond)),
        _ => return None,
    };
    let (Kind::Packet { range } | Kind::PacketMeta { range }) = packet.kind else { return None };
    match (cond, range) {
        (Cond::Le | Cond::Gt, BEYOND_PKT_END) => Some(cond == Cond::Gt),
        (Cond::Lt | Cond::Ge, BEYOND_PKT_END | AT_PKT_END) => Some(cond == Cond::Ge),
        _ => None,
    }
}

/// The comparison with its sides exchanged.
#[doc(alias = "flip_opcode")]
fn flip(cond: Cond) -> Cond {
    match cond {
        Cond::Gt => Cond::Lt,
        Cond::Ge => Cond::Le,
        Cond::Lt => Cond::Gt,
        Cond::Le => Cond::Ge,
        Cond::SGt => Cond::SLt,
        Cond::SGe => Cond::SLe,
        Cond::SLt => Cond::SGt,
        Cond::SLe => Cond::SGe,
        same => same,
    }
}

/// A comparison of a packet pointer with the packet's end vouches for the bytes between.
///
/// Kernel: `try_match_pkt_pointers` (6.1 … 7.3).
#[doc(alias = "try_match_pkt_pointers")]
fn match_packet_pointers(
    cond: Cond,
    left: (RegNo, &Reg),
    right: (RegNo, &Reg),
    this: &mut State,
    other: &mut State,
    rules: &Rules,
) {
    let (packet, cond) = if ends(left.1, right.1) {
        (left, cond)
    } else if ends(right.1, left.1) {
        (right, flip(cond))
    } else {
        return;
    };
    let (good, bad, open, beyond) = match cond {
        Cond::Gt => (this, other, false, true),
        Cond::Lt => (other, this, true, false),
        Cond::Ge => (this, other, true, false),
        Cond::Le => (other, this, false, true),
        _ => return,
    };
    good_packet_pointers(good, packet.1, open, rules);
    if let Kind::Packet { .. } = packet.1.kind {
        let range = if beyond { BEYOND_PKT_END } else { AT_PKT_END };
        bad.top_mut().regs[packet.0.at()].kind = Kind::Packet { range };
    }
}

/// True when the second pointer is the end of what the first points into.
fn ends(pointer: &Reg, end: &Reg) -> bool {
    match pointer.kind {
        Kind::Packet { .. } => end.kind == Kind::PacketEnd,
        Kind::PacketMeta { .. } => {
            matches!(end.kind, Kind::Packet { .. }) && end.id == 0 && end.off == 0 && end.value.as_const() == Some(0)
        }
        _ => false,
    }
}

/// Kernel: `find_good_pkt_pointers` (6.1 … 7.3).
#[doc(alias = "find_good_pkt_pointers")]
fn good_packet_pointers(state: &mut State, pointer: &Reg, open: bool, rules: &Rules) {
    let reach = match rules.walk.pointer_offset {
        PointerOffset::Split => {
            let whole = pointer.value.umax().saturating_add_signed(i64::from(pointer.off));
            if pointer.off < 0 || pointer.value.umax() > PACKET_OFF_MAX || whole > PACKET_OFF_MAX {
                return;
            }
            u64::from(pointer.off.unsigned_abs())
        }
        PointerOffset::Folded => pointer.value.umax(),
    };
    if reach > PACKET_OFF_MAX || reach == 0 && open {
        return;
    }
    let range = reach as i32 + i32::from(open);
    let id = pointer.id;
    let meta = matches!(pointer.kind, Kind::PacketMeta { .. });
    state.for_each_reg(
        |r| r.id == id && r.kind.is_packet() && matches!(r.kind, Kind::PacketMeta { .. }) == meta,
        |r| match &mut r.kind {
            Kind::Packet { range: old } | Kind::PacketMeta { range: old } => *old = (*old).max(range),
            _ => {}
        },
    );
}

/// What changes from round to round without anyone relying on it is forgotten, so that rounds become equal.
///
/// Kernel: `widen_imprecise_scalars` (6.7 … 7.3).
#[doc(alias = "widen_imprecise_scalars")]
pub(super) fn widen(old: &State, cur: &mut State, rules: &Rules) {
    let mut ids = IdMap::new(0);
    for n in (0..=old.depth().min(cur.depth())).rev() {
        let old_frame = &old.frames()[n];
        let changes: Vec<Cell> = cur
            .frame(n)
            .cells()
            .filter(|(cell, new)| {
                let spilled = !matches!(cell, Cell::Slot(s) if !old_frame.stack.get(usize::from(*s)).is_some_and(|s| s.is_spill()));
                spilled && old_frame.cell(*cell).is_some_and(|old| changed(old, new, &mut ids, rules))
            })
            .map(|(cell, _)| cell)
            .collect();
        for cell in changes {
            if let Some(reg) = cur.frame_mut(n).cell_mut(cell) {
                reg.assign(Reg::unknown(rules.range_model));
            }
        }
    }
}

fn changed(old: &Reg, new: &Reg, ids: &mut IdMap, rules: &Rules) -> bool {
    let imprecise = old.kind == Kind::Scalar && new.kind == Kind::Scalar && !old.precise && !new.precise;
    imprecise
        && match rules.walk.widening {
            Widening::ValueOrId => !exact(old, new, ids),
            Widening::Value => !old.same_but_ids(new),
        }
}
