//! Which registers hold a constant, a map or a subprogram on every path to an instruction, and the branches that
//! decides.
//!
//! Stands for `const_fold.c` (7.3). A forward analysis within each subprogram; at an entry nothing is known.
//!
//! The kernel compares all fields of a value at a join, also those that the value's kind does not use and that an
//! earlier value left behind. Two paths with the same constant can so become unknown; this is kept.

use super::facts::{Facts, MapSizes};
use super::graph::Graph;
use crate::isa::{AluOp, AtomicOp, Cond, Imm64, InsnIdx, Op, Operand, Reg, Size, Width};
use crate::program::{Layout, subprog_target};

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Kind {
    #[default]
    Unknown,
    Const,
    Map,
    MapValue,
    Subprog,
}

/// A register's value. `map` and `number` may hold leftovers.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Value {
    kind: Kind,
    map: u32,
    number: u64,
}

impl Value {
    const UNKNOWN: Value = Value { kind: Kind::Unknown, map: 0, number: 0 };

    fn constant(self) -> Option<u64> {
        (self.kind == Kind::Const).then_some(self.number)
    }

    fn set(&mut self, kind: Kind, number: u64) {
        self.kind = kind;
        self.number = number;
    }
}

type Values = [Value; 11];

/// The values before each instruction.
#[derive(Default)]
pub(super) struct Constants {
    before: Vec<Values>,
    maps: UsedMaps,
}

/// The maps that the program names, in the order in which it first does: values know a map by its place here.
///
/// Kernel: `used_maps` (7.3).
#[doc(alias = "used_maps")]
#[derive(Default)]
pub(super) struct UsedMaps(Vec<u32>);

impl UsedMaps {
    fn of(ops: &[Option<Op>]) -> UsedMaps {
        let mut maps = Vec::new();
        for op in ops.iter().flatten() {
            if let Op::LdImm64 { imm, .. } = op
                && let Some(map) = named_map(*imm)
                && !maps.contains(&map)
            {
                maps.push(map);
            }
        }
        UsedMaps(maps)
    }

    fn place(&self, map: u32) -> u32 {
        self.0.iter().position(|m| *m == map).unwrap_or(self.0.len()) as u32
    }

    /// The largest key and the largest value of all maps that are used, maps within maps included.
    pub(super) fn largest(&self, facts: &dyn Facts) -> MapSizes {
        let sizes = self.0.iter().flat_map(|map| [facts.map(*map), facts.inner_map(*map)]).flatten();
        sizes.fold(MapSizes::default(), |max, map| MapSizes {
            key: max.key.max(map.key),
            value: max.value.max(map.value),
        })
    }
}

/// The map that an `ld_imm64` names, by index into the program's maps.
fn named_map(imm: Imm64) -> Option<u32> {
    match imm {
        Imm64::Map(map) | Imm64::MapValue { map, .. } => Some(map),
        Imm64::MapByIdx { idx, .. } => Some(idx as u32),
        Imm64::Const(_) | Imm64::BtfId(_) | Imm64::Func { .. } => None,
    }
}

impl Constants {
    /// Sweeps the graph until nothing changes.
    ///
    /// Kernel: `bpf_compute_const_regs` (7.3).
    #[doc(alias = "bpf_compute_const_regs")]
    pub(super) fn analyse(ops: &[Option<Op>], layout: &Layout, graph: &Graph, facts: &dyn Facts) -> Constants {
        let maps = UsedMaps::of(ops);
        let mut before = vec![[Value::UNKNOWN; 11]; ops.len()];
        let mut visited = vec![false; ops.len()];
        let mut stale = vec![false; ops.len()];
        for subprog in 0..graph.subprogs() {
            let start = graph.range(subprog).start as usize;
            if start < ops.len() {
                visited[start] = true;
                stale[start] = true;
            }
        }
        let mut changed = true;
        while changed {
            changed = false;
            for &at in graph.reachable().iter().rev() {
                if !std::mem::take(&mut stale[at as usize]) {
                    continue;
                }
                if let [to] = *graph.successors(at)
                    && !visited[to as usize]
                {
                    // The only way to an instruction that was not seen: no join, and no second copy.
                    let to = to as usize;
                    before[to] = before[at as usize];
                    if let Some(op) = &ops[at as usize] {
                        step(&mut before[to], InsnIdx(at), op, layout, &maps, facts);
                    }
                    (visited[to], stale[to], changed) = (true, true, true);
                    continue;
                }
                let mut values = before[at as usize];
                if let Some(op) = &ops[at as usize] {
                    step(&mut values, InsnIdx(at), op, layout, &maps, facts);
                }
                for &to in graph.successors(at) {
                    let to = to as usize;
                    if join(&mut before[to], &values, &mut visited[to]) {
                        stale[to] = true;
                        changed = true;
                    }
                }
            }
        }
        Constants { before, maps }
    }

    fn value(&self, at: u32, reg: Reg) -> Value {
        match self.before.get(at as usize) {
            Some(values) if reg != Reg::R10 => values[reg.at()],
            _ => Value::UNKNOWN,
        }
    }

    /// The constant in a register before an instruction; only those that fit 32 bits are known.
    pub(super) fn constant(&self, at: u32, reg: Reg) -> Option<u32> {
        u32::try_from(self.value(at, reg).constant()?).ok()
    }

    /// The map that a register points to, by index into the program's maps.
    pub(super) fn map(&self, at: u32, reg: Reg) -> Option<u32> {
        let value = self.value(at, reg);
        if value.kind == Kind::Map { self.maps.0.get(value.map as usize).copied() } else { None }
    }

    /// The maps that the program uses.
    pub(super) fn maps(&self) -> &UsedMaps {
        &self.maps
    }

    /// The number of the subprogram that a register points to.
    pub(super) fn subprog(&self, at: u32, reg: Reg) -> Option<u16> {
        let value = self.value(at, reg);
        if value.kind == Kind::Subprog { u16::try_from(value.number).ok() } else { None }
    }

    /// The conditional jumps whose outcome is known, with the offset of the jump that replaces each.
    ///
    /// Kernel: `bpf_prune_dead_branches` (7.3).
    #[doc(alias = "bpf_prune_dead_branches")]
    pub(super) fn decided(&self, ops: &[Option<Op>]) -> Vec<(u32, i16)> {
        let mut decided = Vec::new();
        for (at, op) in ops.iter().enumerate() {
            if let Some(Op::JumpIf { width, cond, dst, src, off }) = *op
                && let Some((left, right)) = self.operands(at as u32, dst, src)
            {
                let taken = match width {
                    Width::W64 => holds(cond, left, right),
                    Width::W32 => holds(cond, left as i32 as u64, right as i32 as u64),
                };
                decided.push((at as u32, if taken { off } else { 0 }));
            }
        }
        decided
    }

    fn operands(&self, at: u32, dst: Reg, src: Operand) -> Option<(u64, u64)> {
        let left = u64::from(self.constant(at, dst)?);
        let right = match src {
            Operand::Imm(imm) => imm as u64,
            Operand::Reg(src) => u64::from(self.constant(at, src)?),
        };
        Some((left, right))
    }
}

fn holds(cond: Cond, left: u64, right: u64) -> bool {
    let (signed_left, signed_right) = (left as i64, right as i64);
    match cond {
        Cond::Eq => left == right,
        Cond::Ne => left != right,
        Cond::Gt => left > right,
        Cond::Ge => left >= right,
        Cond::Lt => left < right,
        Cond::Le => left <= right,
        Cond::SGt => signed_left > signed_right,
        Cond::SGe => signed_left >= signed_right,
        Cond::SLt => signed_left < signed_right,
        Cond::SLe => signed_left <= signed_right,
        Cond::Set => left & right != 0,
    }
}

/// Kernel: `const_reg_join` (7.3). A value that becomes unknown keeps its other fields.
fn join(into: &mut Values, from: &Values, visited: &mut bool) -> bool {
    if !std::mem::replace(visited, true) {
        *into = *from;
        return true;
    }
    let mut changed = false;
    for (old, new) in into.iter_mut().zip(from) {
        if old.kind != Kind::Unknown && old != new {
            old.kind = Kind::Unknown;
            changed = true;
        }
    }
    changed
}

/// Kernel: `const_reg_xfer` (7.3).
#[doc(alias = "const_reg_xfer")]
fn step(values: &mut Values, at: InsnIdx, op: &Op, layout: &Layout, maps: &UsedMaps, facts: &dyn Facts) {
    match *op {
        Op::Alu { width, op, dst, src } => {
            let right = match src {
                Operand::Reg(src) => Some(values[src.at()]),
                Operand::Imm(_) => None,
            };
            let value = &mut values[dst.at()];
            match (op, src, right) {
                (AluOp::Mov, Operand::Imm(imm), _) => value.set(Kind::Const, imm as u64),
                (AluOp::Mov, _, Some(right)) => *value = right,
                (AluOp::Add, Operand::Imm(imm), _) => add(value, i64::from(imm)),
                (AluOp::Sub, Operand::Imm(imm), _) => add(value, -i64::from(imm)),
                (AluOp::And, Operand::Imm(imm), _) => and(value, imm as u64),
                (AluOp::And, _, Some(right)) => and_value(value, right),
                _ => *value = Value::UNKNOWN,
            }
            narrow(value, width);
        }
        Op::MovSx { width, bits, dst, src } => {
            let mut value = values[src.at()];
            match value.constant() {
                Some(n) => value.number = sign_extend(n, bits),
                None => value = Value::UNKNOWN,
            }
            narrow(&mut value, width);
            values[dst.at()] = value;
        }
        Op::Neg { dst, .. } | Op::Endian { dst, .. } | Op::AddrSpaceCast { dst, .. } => {
            values[dst.at()] = Value::UNKNOWN;
        }
        Op::LdImm64 { dst, imm } => load_imm64(&mut values[dst.at()], at, op, imm, layout, maps),
        Op::Load { size, signed, dst, base, off } => {
            let from = values[base.at()];
            let value = &mut values[dst.at()];
            let byte = from.number.wrapping_add(off as u64) as i32;
            match frozen_value(maps, facts, from, byte, size, signed) {
                Some(number) => value.set(Kind::Const, number),
                None => *value = Value::UNKNOWN,
            }
        }
        Op::Atomic { op, src, .. } => {
            if let Some(reg) = atomic_result(op, src) {
                values[reg.at()] = Value::UNKNOWN;
            }
        }
        Op::CallHelper { .. } | Op::CallLocal { .. } | Op::CallKfunc { .. } | Op::LdAbs { .. } | Op::LdInd { .. } => {
            values[..=5].fill(Value::UNKNOWN)
        }
        Op::Store { .. } | Op::Jump { .. } | Op::JumpIf { .. } | Op::MayGoto { .. } | Op::Exit => {}
    }
}

/// The register that an atomic operation defines.
///
/// Kernel: `bpf_atomic_load_reg` (7.3).
#[doc(alias = "bpf_atomic_load_reg")]
pub(super) fn atomic_result(op: AtomicOp, src: Reg) -> Option<Reg> {
    match op {
        AtomicOp::CmpXchg => Some(Reg::R0),
        AtomicOp::Xchg | AtomicOp::LoadAcquire => Some(src),
        AtomicOp::Add { fetch } | AtomicOp::Or { fetch } | AtomicOp::And { fetch } | AtomicOp::Xor { fetch } => {
            fetch.then_some(src)
        }
        AtomicOp::StoreRelease => None,
    }
}

fn add(value: &mut Value, delta: i64) {
    match value.kind {
        Kind::Const | Kind::MapValue => value.number = value.number.wrapping_add(delta as u64),
        _ => *value = Value::UNKNOWN,
    }
}

fn and(value: &mut Value, mask: u64) {
    match value.kind {
        Kind::Const => value.number &= mask,
        _ if mask == 0 => value.set(Kind::Const, 0),
        _ => *value = Value::UNKNOWN,
    }
}

fn and_value(value: &mut Value, right: Value) {
    match (value.constant(), right.constant()) {
        (Some(0), _) => {}
        (_, Some(0)) => value.set(Kind::Const, 0),
        (Some(left), Some(right)) => value.number = left & right,
        _ => *value = Value::UNKNOWN,
    }
}

/// What a 32-bit operation leaves of its result.
fn narrow(value: &mut Value, width: Width) {
    match (width, value.kind) {
        (Width::W64, _) | (_, Kind::Unknown) => {}
        (Width::W32, Kind::Const) => value.number &= u64::from(u32::MAX),
        (Width::W32, _) => *value = Value::UNKNOWN,
    }
}

fn sign_extend(n: u64, bits: u8) -> u64 {
    match bits {
        8 => n as i8 as u64,
        16 => n as i16 as u64,
        _ => n as i32 as u64,
    }
}

fn load_imm64(value: &mut Value, at: InsnIdx, op: &Op, imm: Imm64, layout: &Layout, maps: &UsedMaps) {
    let map = named_map(imm).map_or(0, |map| maps.place(map));
    match imm {
        Imm64::Const(n) => value.set(Kind::Const, n),
        Imm64::Func { .. } => match subprog_target(at, op).and_then(|start| layout.starting(start)) {
            Some(subprog) => value.set(Kind::Subprog, u64::from(subprog.0)),
            None => *value = Value::UNKNOWN,
        },
        Imm64::Map(_) | Imm64::MapByIdx { value_off: None, .. } => (value.kind, value.map) = (Kind::Map, map),
        Imm64::MapValue { off, .. } | Imm64::MapByIdx { value_off: Some(off), .. } => {
            *value = Value { kind: Kind::MapValue, map, number: u64::from(off) };
        }
        Imm64::BtfId(_) => *value = Value::UNKNOWN,
    }
}

fn frozen_value(maps: &UsedMaps, facts: &dyn Facts, from: Value, off: i32, size: Size, signed: bool) -> Option<u64> {
    let map = *maps.0.get(from.map as usize)?;
    if from.kind == Kind::MapValue { facts.frozen_value(map, off, size, signed) } else { None }
}
