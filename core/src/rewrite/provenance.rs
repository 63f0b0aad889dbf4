//! Where the pointers come from that the late passes care for: the context, and the map of a lookup.
//!
//! The verifier leaves these facts with each instruction. For tests of the rewrite alone, without the verifier, they are found
//! here by following registers and stack slots over all paths. What may be the context on some path counts as the context, since the
//! kernel refuses an access that has it on one path and something else on another.
//!
//! Left out: pointers that travel through memory other than the own frame's slots.

use crate::isa::{AluOp, AtomicOp, Imm64, InsnIdx, Op, Operand, Reg, Size, Width, decode};
use crate::program::{Layout, Program, subprog_target};
use std::collections::{BTreeMap, BTreeSet};

/// What a register or slot holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Kind {
    /// Nothing was seen yet.
    #[default]
    Nothing,
    /// Anything else.
    Other,
    /// The context.
    Ctx,
    /// A map, by index.
    Map(u16),
    /// More than one map.
    SomeMap,
}

impl Kind {
    fn join(self, other: Kind) -> Kind {
        match (self, other) {
            (a, b) if a == b => a,
            (Kind::Nothing | Kind::Other, k) | (k, Kind::Nothing | Kind::Other) if k != Kind::Nothing => k,
            (Kind::Ctx, _) | (_, Kind::Ctx) => Kind::Ctx,
            _ => Kind::SomeMap,
        }
    }
}

const SLOTS: usize = 64;
const REGS: usize = 11;

#[derive(Clone, PartialEq, Eq, Debug)]
struct State {
    regs: [Kind; REGS],
    slots: [Kind; SLOTS],
}

impl State {
    fn entry(args: &[Kind]) -> State {
        let mut regs = [Kind::Other; REGS];
        for (reg, arg) in regs[1..].iter_mut().zip(args) {
            *reg = *arg;
        }
        State { regs, slots: [Kind::Other; SLOTS] }
    }

    fn reg(&self, r: Reg) -> Kind {
        self.regs.get(r.at()).copied().unwrap_or_default()
    }

    fn set(&mut self, r: Reg, kind: Kind) {
        if let Some(reg) = self.regs.get_mut(r.at()) {
            *reg = kind;
        }
    }

    /// The slot of an aligned or unaligned offset from R10.
    fn slot(&mut self, off: i16) -> Option<&mut Kind> {
        let below = usize::try_from(-i32::from(off) - 1).ok()?;
        self.slots.get_mut(below / 8)
    }

    /// Joins another state in; true when that changed something.
    fn join(&mut self, other: &State) -> bool {
        let before = self.clone();
        let pairs = self.regs.iter_mut().zip(&other.regs).chain(self.slots.iter_mut().zip(&other.slots));
        for (mine, theirs) in pairs {
            *mine = mine.join(*theirs);
        }
        *self != before
    }
}

/// What the late passes need to know of a program.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Provenance {
    /// Loads and stores of the context.
    pub ctx_accesses: BTreeSet<InsnIdx>,
    /// First argument of each helper call.
    pub first_args: BTreeMap<InsnIdx, Kind>,
}

impl Provenance {
    /// As in [`Facts`](crate::verifier::Facts).
    pub fn ctx_accesses(&self) -> Vec<InsnIdx> {
        self.ctx_accesses.iter().copied().collect()
    }

    /// As in [`Facts`](crate::verifier::Facts).
    pub fn call_maps(&self) -> Vec<(InsnIdx, u32)> {
        let map = |(at, kind): (&InsnIdx, &Kind)| match kind {
            Kind::Map(n) => Some((*at, u32::from(*n))),
            _ => None,
        };
        self.first_args.iter().filter_map(map).collect()
    }
}

/// Follows the pointers of a program.
pub(super) fn provenance(program: &Program, layout: &Layout) -> Provenance {
    let mut walk = Walk { program, pending: BTreeMap::new(), states: BTreeMap::new(), found: Provenance::default() };
    walk.arrive(InsnIdx(0), &State::entry(&[Kind::Ctx]));
    for start in layout.starts().iter().skip(1) {
        walk.arrive(*start, &State::entry(&[]));
    }
    while let Some((at, state)) = walk.pending.pop_first() {
        walk.block(at, state);
    }
    walk.found
}

struct Walk<'a> {
    program: &'a Program,
    /// Joined states where paths meet.
    states: BTreeMap<InsnIdx, State>,
    pending: BTreeMap<InsnIdx, State>,
    found: Provenance,
}

impl Walk<'_> {
    fn arrive(&mut self, at: InsnIdx, state: &State) {
        let changed = match self.states.get_mut(&at) {
            Some(known) => known.join(state),
            None => {
                self.states.insert(at, state.clone());
                true
            }
        };
        if let (true, Some(known)) = (changed, self.states.get(&at)) {
            self.pending.insert(at, known.clone());
        }
    }

    /// Walks straight on until a jump.
    fn block(&mut self, mut at: InsnIdx, mut state: State) {
        while let Some(insn) = self.program.insn(at) {
            let Ok(op) = decode(insn, self.program.insn(at.next())) else {
                return;
            };
            self.note(at, &op, &state);
            let target = |off: i32| at.offset(i64::from(off) + 1);
            match op {
                Op::Exit => return,
                Op::Jump { off, .. } => {
                    if let Some(t) = target(off) {
                        self.arrive(t, &state);
                    }
                    return;
                }
                Op::JumpIf { off, .. } | Op::MayGoto { off } => {
                    for t in [target(off.into()), Some(at.next())].into_iter().flatten() {
                        self.arrive(t, &state);
                    }
                    return;
                }
                Op::CallLocal { .. } => {
                    if let Some(t) = subprog_target(at, &op) {
                        let args: Vec<Kind> = state.regs.iter().skip(1).take(5).copied().collect();
                        self.arrive(t, &State::entry(&args));
                    }
                }
                _ => {}
            }
            step(&op, &mut state);
            at = InsnIdx(at.0 + op.len());
        }
    }

    fn note(&mut self, at: InsnIdx, op: &Op, state: &State) {
        match *op {
            Op::Load { base, .. } | Op::Store { base, .. } if state.reg(base) == Kind::Ctx => {
                self.found.ctx_accesses.insert(at);
            }
            Op::CallHelper { .. } => {
                let kind = state.reg(Reg::R1);
                self.found.first_args.entry(at).and_modify(|k| *k = k.join(kind)).or_insert(kind);
            }
            _ => {}
        }
    }
}

/// What an operation does to the pointers.
fn step(op: &Op, state: &mut State) {
    match *op {
        Op::Alu { width: Width::W64, op: AluOp::Mov, dst, src: Operand::Reg(src) } => state.set(dst, state.reg(src)),
        Op::LdImm64 { dst, imm } => state.set(dst, loaded(imm)),
        Op::Load { size: Size::Dw, dst, base: Reg::R10, off, .. } => {
            let kind = state.slot(off).map_or(Kind::Other, |k| *k);
            state.set(dst, kind);
        }
        Op::Store { size, base: Reg::R10, off, src } => {
            let kind = match src {
                Operand::Reg(r) if size == Size::Dw => state.reg(r),
                _ => Kind::Other,
            };
            if let Some(slot) = state.slot(off) {
                *slot = kind;
            }
        }
        Op::Alu { dst, .. }
        | Op::MovSx { dst, .. }
        | Op::Neg { dst, .. }
        | Op::Endian { dst, .. }
        | Op::AddrSpaceCast { dst, .. }
        | Op::Load { dst, .. } => state.set(dst, Kind::Other),
        Op::Atomic { op: AtomicOp::CmpXchg, .. } => state.set(Reg::R0, Kind::Other),
        Op::Atomic { op: AtomicOp::StoreRelease, .. } => {}
        Op::Atomic { src, .. } => state.set(src, Kind::Other),
        Op::LdAbs { .. } | Op::LdInd { .. } | Op::CallHelper { .. } | Op::CallLocal { .. } | Op::CallKfunc { .. } => {
            state.regs.iter_mut().take(6).for_each(|k| *k = Kind::Other);
        }
        Op::Store { .. } | Op::Jump { .. } | Op::JumpIf { .. } | Op::MayGoto { .. } | Op::Exit => {}
    }
}

fn loaded(imm: Imm64) -> Kind {
    match imm {
        Imm64::Map(n) => u16::try_from(n).map_or(Kind::SomeMap, Kind::Map),
        Imm64::MapByIdx { value_off: None, .. } => Kind::SomeMap,
        _ => Kind::Other,
    }
}
