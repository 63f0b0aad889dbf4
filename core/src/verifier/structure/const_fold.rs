//! Constants in registers, and the branches that they decide.
//!
//! A forward analysis of each subprogram finds registers that hold a constant whichever way the instruction is reached;
//! a call keeps R6 to R9 and forgets the rest. A conditional jump between two constants then becomes an unconditional
//! one: the walk follows one side only, whatever it knows itself, and later passes see the rewritten jump.
//!
//! Stands for `bpf_compute_const_regs` and `bpf_prune_dead_branches` (7.3). A register's record keeps the parts that its
//! last assignment did not write, as the kernel's does: two equal constants whose records came from different maps count
//! as different, and which branches are decided depends on it.

use super::Structure;
use super::flow::{Postorder, atomic_load_reg};
use crate::isa::{AluOp, Cond, Imm64, Insn, InsnIdx, Op, Operand, Reg, Size, Width};
use crate::kernel::MapType;
use crate::program::{MapDef, Program, SubprogIdx, subprog_target};

/// What is known of a register before an instruction, on every path.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum KnownReg {
    /// Nothing.
    #[default]
    Unknown,
    /// A scalar below 2³².
    Scalar(u32),
    /// A map, by index into the program's maps.
    Map(u32),
    /// The address of a subprogram.
    Subprog(SubprogIdx),
}

/// What is known of R0 to R9 before an instruction.
///
/// Kernel: `const_reg_vals` and its masks in `struct bpf_insn_aux_data` (7.3).
#[doc(alias = "const_reg_vals")]
pub type ConstRegs = [KnownReg; 10];

/// Computes the constant registers, makes the branches that they decide unconditional, and walks the result again.
#[doc(alias = "bpf_compute_const_regs")]
#[doc(alias = "bpf_prune_dead_branches")]
pub(super) fn run(program: &Program, structure: &mut Structure) {
    structure.const_regs = constants(program, structure);
    fold(structure);
    if !structure.folded.is_empty() {
        structure.postorder = Postorder::of(&structure.successors());
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Kind {
    #[default]
    Unvisited,
    Unknown,
    Const,
    Map,
    MapValue,
    Subprog,
}

/// A register: `map` counts used maps; `value` is a constant, an offset into a map's value, or a subprogram.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Record {
    kind: Kind,
    map: u32,
    value: u64,
}

const UNKNOWN: Record = Record { kind: Kind::Unknown, map: 0, value: 0 };

impl Record {
    fn set(&mut self, value: u64) {
        self.kind = Kind::Const;
        self.value = value;
    }

    fn is_zero(&self) -> bool {
        self.kind == Kind::Const && self.value == 0
    }
}

/// R0 to R10.
type Records = [Record; 11];

fn constants(program: &Program, structure: &Structure) -> Vec<ConstRegs> {
    let mut before = vec![Records::default(); program.insns.len()];
    for start in structure.layout.starts() {
        if let Some(records) = before.get_mut(start.at()) {
            *records = [UNKNOWN; 11];
        }
    }
    let graph = structure.successors();
    let mut changed = true;
    // Every join that changes something takes a register one step from unvisited over known to unknown.
    while changed {
        changed = false;
        for at in structure.postorder.all().iter().rev() {
            let (Some(records), Some(insn)) = (before.get(at.at()), program.insn(*at)) else {
                continue;
            };
            let mut after = *records;
            transfer(program, structure, *at, insn, &mut after);
            for next in graph.of(*at) {
                if let Some(target) = before.get_mut(next.at()) {
                    changed |= join(target, &after);
                }
            }
        }
    }
    before.iter().map(|records| known(structure, records)).collect()
}

/// Kernel: `const_reg_join` (7.3).
#[doc(alias = "const_reg_join")]
fn join(target: &mut Records, from: &Records) -> bool {
    let mut changed = false;
    for (old, new) in target.iter_mut().zip(from) {
        if old.kind == Kind::Unvisited && new.kind != Kind::Unvisited {
            *old = *new;
            changed = true;
        } else if !matches!(old.kind, Kind::Unknown | Kind::Unvisited) && old != new {
            old.kind = Kind::Unknown;
            changed = true;
        }
    }
    changed
}

fn known(structure: &Structure, records: &Records) -> ConstRegs {
    let mut regs = ConstRegs::default();
    for (reg, r) in regs.iter_mut().zip(records) {
        *reg = match r.kind {
            Kind::Const => u32::try_from(r.value).map_or(KnownReg::Unknown, KnownReg::Scalar),
            Kind::Map => structure.used_maps.get(r.map as usize).map_or(KnownReg::Unknown, |n| KnownReg::Map(*n)),
            Kind::Subprog => KnownReg::Subprog(SubprogIdx(r.value as u16)),
            Kind::Unvisited | Kind::Unknown | Kind::MapValue => KnownReg::Unknown,
        };
    }
    regs
}

/// What an instruction makes of the registers.
///
/// Kernel: `const_reg_xfer` (7.3).
#[doc(alias = "const_reg_xfer")]
fn transfer(program: &Program, structure: &Structure, at: InsnIdx, insn: Insn, regs: &mut Records) {
    let op = structure.ops.get(at.at()).copied().flatten();
    match op {
        Some(Op::Alu { width, op, dst, src }) => {
            let src = match src {
                Operand::Imm(imm) => Source::Imm(i64::from(imm) as u64),
                Operand::Reg(src) => Source::Reg(get(regs, src)),
            };
            alter(regs, dst, |r| {
                alu(r, op, src);
                narrow(r, width);
            });
        }
        Some(Op::MovSx { width, bits, dst, src }) => {
            let from = get(regs, src);
            alter(regs, dst, |r| {
                *r = if from.kind == Kind::Const { from } else { UNKNOWN };
                let shift = 64 - u32::from(bits).min(64);
                r.value = (((r.value << (shift & 63)) as i64) >> (shift & 63)) as u64;
                narrow(r, width);
            });
        }
        Some(Op::Neg { dst, .. } | Op::Endian { dst, .. } | Op::AddrSpaceCast { dst, .. }) => forget(regs, dst),
        Some(Op::LdImm64 { dst, imm }) => load_imm64(structure, at, dst, imm, regs),
        Some(Op::Load { size, signed, dst, base, off }) => {
            let value = read_only_value(program, structure, get(regs, base), off, size, signed);
            alter(regs, dst, |r| match value {
                Some(value) => r.set(value),
                None => *r = UNKNOWN,
            });
        }
        Some(
            Op::LdAbs { .. } | Op::LdInd { .. } | Op::CallHelper { .. } | Op::CallLocal { .. } | Op::CallKfunc { .. },
        ) => {
            regs.iter_mut().take(6).for_each(|r| *r = UNKNOWN);
        }
        // An atomic operation that does not exist is found by the walk, and has its effect here until then.
        Some(Op::Atomic { .. }) | None => {
            if let Some(reg) = atomic_load_reg(insn).and_then(Reg::new) {
                forget(regs, reg);
            }
        }
        Some(Op::Store { .. } | Op::Jump { .. } | Op::JumpIf { .. } | Op::MayGoto { .. } | Op::Exit) => {}
    }
}

fn get(regs: &Records, reg: Reg) -> Record {
    regs.get(reg.at()).copied().unwrap_or(UNKNOWN)
}

fn alter(regs: &mut Records, reg: Reg, change: impl FnOnce(&mut Record)) {
    if let Some(r) = regs.get_mut(reg.at()) {
        change(r);
    }
}

fn forget(regs: &mut Records, reg: Reg) {
    alter(regs, reg, |r| *r = UNKNOWN);
}

#[derive(Clone, Copy)]
enum Source {
    Imm(u64),
    Reg(Record),
}

fn alu(dst: &mut Record, op: AluOp, src: Source) {
    let counts = matches!(dst.kind, Kind::Const | Kind::MapValue);
    match (op, src) {
        (AluOp::Mov, Source::Imm(imm)) => dst.set(imm),
        (AluOp::Mov, Source::Reg(src)) => *dst = src,
        (AluOp::Add, Source::Imm(imm)) if counts => dst.value = dst.value.wrapping_add(imm),
        (AluOp::Sub, Source::Imm(imm)) if counts => dst.value = dst.value.wrapping_sub(imm),
        (AluOp::And, Source::Imm(imm)) if dst.kind == Kind::Const => dst.value &= imm,
        (AluOp::And, Source::Imm(0)) => dst.set(0),
        (AluOp::And, Source::Reg(_)) if dst.is_zero() => {}
        (AluOp::And, Source::Reg(src)) if src.is_zero() => dst.set(0),
        (AluOp::And, Source::Reg(src)) if dst.kind == Kind::Const && src.kind == Kind::Const => {
            dst.value &= src.value;
        }
        _ => *dst = UNKNOWN,
    }
}

/// A 32-bit operation clears the upper half, and makes anything but a number unknown.
fn narrow(r: &mut Record, width: Width) {
    if width == Width::W32 {
        match r.kind {
            Kind::Const => r.value = u64::from(r.value as u32),
            Kind::Unknown => {}
            _ => *r = UNKNOWN,
        }
    }
}

fn load_imm64(structure: &Structure, at: InsnIdx, dst: Reg, imm: Imm64, regs: &mut Records) {
    let used = |map: u32| structure.used_maps.iter().position(|m| *m == map).unwrap_or_default() as u32;
    let subprog = subprog_target(at, &Op::LdImm64 { dst, imm }).and_then(|t| structure.layout.starting(t));
    alter(regs, dst, |r| match (imm, subprog) {
        (Imm64::Const(value), _) => r.set(value),
        (Imm64::Map(map), _) => (r.kind, r.map) = (Kind::Map, used(map)),
        (Imm64::MapValue { map, off }, _) => {
            *r = Record { kind: Kind::MapValue, map: used(map), value: u64::from(off) };
        }
        (Imm64::Func { .. }, Some(n)) => (r.kind, r.value) = (Kind::Subprog, u64::from(n.0)),
        _ => *r = UNKNOWN,
    });
}

/// The value that a load reads from an array of one element that neither program nor user can change.
///
/// Kernel: `bpf_map_is_rdonly`, `bpf_map_direct_read` (7.3).
#[doc(alias = "bpf_map_direct_read")]
fn read_only_value(
    program: &Program,
    structure: &Structure,
    base: Record,
    off: i16,
    size: Size,
    signed: bool,
) -> Option<u64> {
    if base.kind != Kind::MapValue {
        return None;
    }
    let map = program.maps.get(*structure.used_maps.get(base.map as usize)? as usize)?;
    if !is_read_only(map) || map.map_type != MapType::Array {
        return None;
    }
    let start = u32::try_from(base.value.wrapping_add(i64::from(off) as u64) as i32).ok()?;
    if u64::from(start) + u64::from(size.bytes()) > u64::from(map.value_size) {
        return None;
    }
    let init = map.init.first().map(Vec::as_slice).unwrap_or_default();
    let mut bytes = [0; 8];
    for (n, byte) in bytes.iter_mut().take(size.bytes() as usize).enumerate() {
        *byte = init.get(start as usize + n).copied().unwrap_or_default();
    }
    let value = u64::from_le_bytes(bytes);
    let shift = 64 - 8 * size.bytes();
    Some(if signed { (((value << shift) as i64) >> shift) as u64 } else { value })
}

fn is_read_only(map: &MapDef) -> bool {
    /// `BPF_F_RDONLY_PROG`.
    const RDONLY_PROG: u32 = 1 << 7;
    map.flags & RDONLY_PROG != 0 && map.frozen
}

/// Makes every conditional jump whose sides are both known unconditional; one that is not taken goes to the next
/// instruction.
fn fold(structure: &mut Structure) {
    for (n, (slot, regs)) in structure.ops.iter_mut().zip(&structure.const_regs).enumerate() {
        let Some(Op::JumpIf { width, cond, dst, src, off }) = *slot else {
            continue;
        };
        let scalar = |reg: Reg| match regs.get(reg.at()) {
            Some(KnownReg::Scalar(value)) => Some(u64::from(*value)),
            _ => None,
        };
        let right = match src {
            Operand::Imm(imm) => Some(i64::from(imm) as u64),
            Operand::Reg(reg) => scalar(reg),
        };
        if let (Some(left), Some(right)) = (scalar(dst), right) {
            let off = if holds(cond, width, left, right) { i32::from(off) } else { 0 };
            *slot = Some(Op::Jump { off, wide: false });
            structure.folded.push(InsnIdx(n as u32));
        }
    }
}

/// Whether a comparison holds.
///
/// Kernel: `eval_const_branch` (7.3).
#[doc(alias = "eval_const_branch")]
fn holds(cond: Cond, width: Width, left: u64, right: u64) -> bool {
    // Sign extension keeps the order of 32-bit numbers, signed and unsigned.
    let extend = |v: u64| if width == Width::W32 { i64::from(v as i32) as u64 } else { v };
    let (a, b) = (extend(left), extend(right));
    let (sa, sb) = (a as i64, b as i64);
    match cond {
        Cond::Eq => a == b,
        Cond::Ne => a != b,
        Cond::Gt => a > b,
        Cond::Ge => a >= b,
        Cond::Lt => a < b,
        Cond::Le => a <= b,
        Cond::SGt => sa > sb,
        Cond::SGe => sa >= sb,
        Cond::SLt => sa < sb,
        Cond::SLe => sa <= sb,
        Cond::Set => a & b != 0,
    }
}
