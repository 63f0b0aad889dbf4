//! Where registers and spilled registers of a function point to, before each of its instructions.
//!
//! Stands for the forward pass of `liveness.c` (7.3): `arg_track_xfer` and the first half of `compute_subprog_args`. A function
//! is analysed for the arguments of one call.
//!
//! Left out: arguments on the stack (R11), which no operation of ours has.
//!
//! Invariant: an instruction is swept again only when its input changed, which gives what the kernel's full sweeps give, because joining
//! the same value twice changes nothing.

use super::graph::Graph;
use super::origin::{Offsets, Origin};
use crate::isa::{AluOp, AtomicOp, Endian, Op, Operand, Reg, Size, Width};

/// Aligned 8-byte slots of a frame.
const SLOTS: usize = 64;

/// What the registers point to.
pub(super) type Registers = [Origin; 11];

/// What the aligned 8-byte slots of the own frame hold; slot 0 is the one next to the frame pointer.
#[derive(Clone)]
pub(super) struct Spills {
    /// Bit n is set when slot n points somewhere; other slots' entries mean nothing.
    used: u64,
    slots: [Origin; SLOTS],
}

impl Spills {
    /// Nothing spilled.
    pub(super) const EMPTY: Spills = Spills { used: 0, slots: [Origin::Nowhere; SLOTS] };

    /// Whether no slot points anywhere.
    pub(super) fn is_empty(&self) -> bool {
        self.used == 0
    }

    fn get(&self, slot: usize) -> Origin {
        if self.used >> (slot % SLOTS) & 1 != 0 { self.slots[slot % SLOTS] } else { Origin::Nowhere }
    }

    fn set(&mut self, slot: usize, origin: Origin) {
        let bit = 1 << (slot % SLOTS);
        self.slots[slot % SLOTS] = origin;
        if origin.is_stack() { self.used |= bit } else { self.used &= !bit }
    }

    fn join(&mut self, slot: usize, origin: Origin) {
        self.set(slot, self.get(slot).join(origin));
    }

    fn join_all(&mut self, origin: Origin) {
        for slot in 0..SLOTS {
            self.join(slot, origin);
        }
    }

    fn copy_from(&mut self, other: &Spills) {
        self.used = other.used;
        for slot in bits(other.used) {
            self.slots[slot] = other.slots[slot];
        }
    }

    /// Joins all slots; whether something changed.
    fn join_from(&mut self, other: &Spills) -> bool {
        let mut changed = false;
        for slot in bits(self.used | other.used) {
            let old = self.get(slot);
            let new = old.join(other.get(slot));
            if new != old {
                self.set(slot, new);
                changed = true;
            }
        }
        changed
    }

    /// Kernel: `clear_overlapping_stack_slots` (7.3).
    fn forget(&mut self, off: i16, bytes: u32, certain: bool) {
        let (from, to) = (i64::from(off), i64::from(off) + i64::from(bytes));
        for slot in bits(self.used) {
            let start = -8 * (slot as i64 + 1);
            if start < to && start + 8 > from {
                if certain { self.set(slot, Origin::Nowhere) } else { self.join(slot, Origin::Nowhere) }
            }
        }
    }
}

fn bits(mut set: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let next = (set != 0).then_some(set.trailing_zeros() as usize);
        set &= set.wrapping_sub(1);
        next
    })
}

/// The aligned slot at an offset from the frame pointer.
///
/// Kernel: `fp_off_to_slot` (7.3).
#[doc(alias = "fp_off_to_slot")]
fn slot_at(off: i16) -> Option<usize> {
    ((-512..0).contains(&off) && off % 8 == 0).then(|| usize::from(off.unsigned_abs()) / 8 - 1)
}

/// What a function's values point to at one instruction.
pub(super) struct Values {
    pub(super) registers: Registers,
    pub(super) spills: Spills,
}

/// The frames of the calls that lead to a function, outermost first: what each had spilled when it called.
pub(super) type Callers<'a> = [Option<&'a Spills>];

impl Values {
    /// Does what an instruction does to pointers, in a function at `depth`.
    ///
    /// Kernel: `arg_track_xfer` (7.3).
    #[doc(alias = "arg_track_xfer")]
    fn step(&mut self, op: &Op, depth: u8, callers: &Callers) {
        match *op {
            Op::Alu { width: Width::W64, op, dst, src } => self.arithmetic(op, dst, src),
            Op::Neg { width: Width::W64, dst } | Op::Endian { kind: Endian::Bswap, dst, .. } => {
                let value = &mut self.registers[dst.at()];
                *value = value.with_offsets(|_| Offsets::UNKNOWN);
            }
            // Values of 32 bits, constants and casts are no pointers into a stack.
            Op::Alu { width: Width::W32, dst, .. }
            | Op::Neg { width: Width::W32, dst }
            | Op::Endian { dst, .. }
            | Op::MovSx { dst, .. }
            | Op::AddrSpaceCast { dst, .. }
            | Op::LdImm64 { dst, .. } => self.registers[dst.at()] = Origin::Nowhere,
            Op::Load { size, dst, base, off, .. } => {
                self.registers[dst.at()] =
                    if size == Size::Dw { self.load(base, off, depth, callers) } else { Origin::Nowhere };
            }
            Op::Store { size, base, off, src } => {
                if self.is_local(base, depth) {
                    match src {
                        Operand::Reg(src) => self.spill(base, off, size, self.registers[src.at()]),
                        Operand::Imm(_) => self.overwrite(base, off, size),
                    }
                }
            }
            Op::Atomic { size, op, base, off, src } => {
                if op != AtomicOp::LoadAcquire && self.is_local(base, depth) {
                    self.overwrite(base, off, size);
                }
                if let Some(result) = super::constants::atomic_result(op, src) {
                    self.registers[result.at()] = Origin::Nowhere;
                }
            }
            // What is spilled survives a call: a callee cannot store a pointer into a stack there.
            Op::CallHelper { .. } | Op::CallLocal { .. } | Op::CallKfunc { .. } => {
                self.registers[..=5].fill(Origin::Nowhere);
            }
            Op::LdAbs { .. }
            | Op::LdInd { .. }
            | Op::Jump { .. }
            | Op::JumpIf { .. }
            | Op::MayGoto { .. }
            | Op::Exit => {}
        }
    }

    fn arithmetic(&mut self, op: AluOp, dst: Reg, src: Operand) {
        let left = self.registers[dst.at()];
        self.registers[dst.at()] = match (op, src) {
            (AluOp::Mov, Operand::Imm(_)) => Origin::Nowhere,
            (AluOp::Mov, Operand::Reg(src)) => self.registers[src.at()],
            (AluOp::Add, Operand::Imm(imm)) => left.with_offsets(|offsets| offsets.shifted(i64::from(imm))),
            (AluOp::Sub, Operand::Imm(imm)) => left.with_offsets(|offsets| offsets.shifted(-i64::from(imm))),
            (_, Operand::Imm(_)) => left.with_offsets(|_| Offsets::UNKNOWN),
            (_, Operand::Reg(src)) => left.mixed(self.registers[src.at()]),
        };
    }

    fn is_local(&self, base: Reg, depth: u8) -> bool {
        base == Reg::R10 || self.registers[base.at()].may_be(depth)
    }

    fn load(&self, base: Reg, off: i16, depth: u8, callers: &Callers) -> Origin {
        if base == Reg::R10 {
            return slot_at(off).map_or(Origin::up_to(depth), |slot| self.spills.get(slot));
        }
        match self.registers[base.at()] {
            origin if origin.may_be(depth) => fill(origin, off, &self.spills, depth),
            Origin::Frame(frame, _) if frame < depth => match callers.get(usize::from(frame)) {
                Some(spills) => fill(self.registers[base.at()], off, spills.unwrap_or(&Spills::EMPTY), frame),
                None => Origin::up_to(frame),
            },
            Origin::Frames(0) => Origin::Nowhere,
            other @ Origin::Frames(_) => other,
            _ => Origin::Nowhere,
        }
    }

    /// Kernel: `spill_to_stack` (7.3).
    #[doc(alias = "spill_to_stack")]
    fn spill(&mut self, base: Reg, off: i16, size: Size, value: Origin) {
        let value = if size == Size::Dw { value } else { Origin::Nowhere };
        if base == Reg::R10 {
            if let Some(slot) = slot_at(off) {
                self.spills.set(slot, value);
            }
            return;
        }
        let offsets = self.registers[base.at()].offsets();
        match *offsets.as_slice() {
            [] => self.spills.join_all(value),
            [only] => {
                if let Some(slot) = only.checked_add(off).and_then(slot_at) {
                    self.spills.set(slot, value);
                }
            }
            ref several => {
                for slot in several.iter().filter_map(|from| from.checked_add(off).and_then(slot_at)) {
                    self.spills.join(slot, value);
                }
            }
        }
    }

    /// Kernel: `clear_stack_for_all_offs` (7.3).
    #[doc(alias = "clear_stack_for_all_offs")]
    fn overwrite(&mut self, base: Reg, off: i16, size: Size) {
        if base == Reg::R10 {
            self.spills.forget(off, size.bytes(), true);
            return;
        }
        let offsets = self.registers[base.at()].offsets();
        if offsets == Offsets::UNKNOWN {
            self.spills.join_all(Origin::Nowhere);
        }
        for from in offsets.as_slice() {
            match from.checked_add(off) {
                Some(start) => self.spills.forget(start, size.bytes(), offsets.as_slice().len() == 1),
                None => {
                    self.spills.join_all(Origin::Nowhere);
                    break;
                }
            }
        }
    }
}

/// What an 8-byte load through a register gives, from a frame at `depth` with these spills.
///
/// Kernel: `fill_from_stack` (7.3). The join starts with "nowhere", so that one offset gives two.
#[doc(alias = "fill_from_stack")]
fn fill(base: Origin, off: i16, spills: &Spills, depth: u8) -> Origin {
    let offsets = base.offsets();
    if offsets == Offsets::UNKNOWN {
        return Origin::up_to(depth);
    }
    let mut result = Origin::Nowhere;
    for from in offsets.as_slice() {
        match from.checked_add(off).and_then(slot_at) {
            Some(slot) => result = result.join(spills.get(slot)),
            None => return Origin::up_to(depth),
        }
    }
    result
}

/// The values before each instruction of the function that was analysed last. Its memory is used again.
pub(super) struct Pointers {
    start: u32,
    visited: Vec<bool>,
    stale: Vec<bool>,
    registers: Vec<Registers>,
    /// Index into `spills`, 0 when nothing is spilled.
    spilled: Vec<u32>,
    spills: Vec<Spills>,
    /// How many of `spills` are taken.
    taken: usize,
    current: Values,
}

impl Pointers {
    /// Nothing analysed.
    pub(super) fn new() -> Pointers {
        Pointers {
            start: 0,
            visited: Vec::new(),
            stale: Vec::new(),
            registers: Vec::new(),
            spilled: Vec::new(),
            spills: vec![Spills::EMPTY],
            taken: 1,
            current: Values { registers: Registers::default(), spills: Spills::EMPTY },
        }
    }

    /// Analyses a subprogram that was called with `arguments` in R1 to R5.
    pub(super) fn analyse(
        &mut self,
        ops: &[Option<Op>],
        graph: &Graph,
        subprog: usize,
        depth: u8,
        arguments: &[Origin; 5],
        callers: &Callers,
    ) {
        let range = graph.range(subprog);
        self.reset(range.start, range.len());
        let Some(entry) = self.registers.first_mut() else {
            return;
        };
        entry[1..=5].copy_from_slice(arguments);
        entry[Reg::R10.at()] = Origin::Frame(depth, Offsets::one(0));
        self.visited[0] = true;
        self.stale[0] = true;
        let mut changed = true;
        while changed {
            changed = false;
            for &at in graph.postorder(subprog).iter().rev() {
                let i = (at - self.start) as usize;
                if !std::mem::take(&mut self.stale[i]) {
                    continue;
                }
                self.current.registers = self.registers[i];
                self.current.spills.copy_from(&self.spills[self.spilled[i] as usize]);
                if let Some(op) = &ops[at as usize] {
                    self.current.step(op, depth, callers);
                }
                for &to in graph.successors(at) {
                    changed |= self.flow_to((to - self.start) as usize);
                }
            }
        }
    }

    fn reset(&mut self, start: u32, len: usize) {
        self.start = start;
        self.taken = 1;
        self.visited.clear();
        self.visited.resize(len, false);
        self.stale.clear();
        self.stale.resize(len, false);
        self.spilled.clear();
        self.spilled.resize(len, 0);
        self.registers.clear();
        self.registers.resize(len, Registers::default());
    }

    /// Joins the current values into those before an instruction; whether they changed.
    fn flow_to(&mut self, to: usize) -> bool {
        let first = !std::mem::replace(&mut self.visited[to], true);
        let mut changed = first;
        if first {
            self.registers[to] = self.current.registers;
        } else {
            for (old, new) in self.registers[to].iter_mut().zip(&self.current.registers) {
                let joined = old.join(*new);
                changed |= joined != *old;
                *old = joined;
            }
        }
        if !self.current.spills.is_empty() || self.spilled[to] != 0 {
            changed |= self.flow_spills(to, first);
        }
        self.stale[to] |= changed;
        changed
    }

    fn flow_spills(&mut self, to: usize, first: bool) -> bool {
        if self.spilled[to] == 0 {
            if self.taken == self.spills.len() {
                self.spills.push(Spills::EMPTY);
            }
            self.spills[self.taken].used = 0;
            self.spilled[to] = self.taken as u32;
            self.taken += 1;
        }
        let into = &mut self.spills[self.spilled[to] as usize];
        if first {
            into.copy_from(&self.current.spills);
            true
        } else {
            into.join_from(&self.current.spills)
        }
    }

    /// What the registers point to before an instruction; `None` when nothing leads there.
    pub(super) fn registers(&self, at: u32) -> Option<&Registers> {
        let i = at.checked_sub(self.start)? as usize;
        if *self.visited.get(i)? { self.registers.get(i) } else { None }
    }

    /// What is spilled before an instruction.
    pub(super) fn spills(&self, at: u32) -> &Spills {
        let index = at.checked_sub(self.start).and_then(|i| self.spilled.get(i as usize));
        index.and_then(|index| self.spills.get(*index as usize)).unwrap_or(&self.spills[0])
    }
}
