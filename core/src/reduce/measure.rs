//! How large a program is: for people, and as the order in which every step goes down.

use crate::btf::Linkage;
use crate::isa::{AluOp, Imm64, Op, Operand, Reg, operations};
use crate::kernel::{MapType, ProgType};
use crate::program::{Func, MapDef, Program};
use std::fmt;

/// The size of a program, for people.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Size {
    /// Instructions of eight bytes.
    pub insns: usize,
    /// Functions in `func_info`.
    pub funcs: usize,
    /// Maps.
    pub maps: usize,
    /// Inputs.
    pub inputs: usize,
    /// Bytes of all inputs.
    pub input_bytes: usize,
}

impl Size {
    /// The size of a program.
    pub fn of(program: &Program) -> Size {
        Size {
            insns: program.insns.len(),
            funcs: program.funcs.len(),
            maps: program.maps.len(),
            inputs: program.inputs.len(),
            input_bytes: program.inputs.iter().map(|i| i.ctx.len() + i.data.len()).sum(),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Size { insns, funcs, maps, inputs, input_bytes } = self;
        write!(f, "{insns} instructions, {funcs} functions, {maps} maps, {inputs} inputs of {input_bytes} bytes")
    }
}

/// What a step must make smaller, most important first.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Measure {
    size: Size,
    operations: u64,
    numbers: u64,
    input_numbers: u64,
    maps: u64,
    surroundings: u64,
    names: usize,
}

/// The measure of a program.
pub(super) fn measure(program: &Program) -> Measure {
    let ops = operations(&program.insns);
    let ops = || ops.iter().filter_map(|(_, op)| op.as_ref().ok());
    let names = program.funcs.iter().map(|f| f.name.len()).chain(program.maps.iter().map(|m| m.name.len()));
    Measure {
        size: Size::of(program),
        operations: ops().map(weight).sum(),
        numbers: ops().flat_map(numbers).map(number).sum(),
        input_numbers: program.inputs.iter().map(|i| bytes(&i.ctx) + bytes(&i.data) + number(i128::from(i.seed))).sum(),
        maps: program.maps.iter().map(map).sum(),
        surroundings: surroundings(program),
        names: names.sum::<usize>() + program.name.len(),
    }
}

/// How far a number is from 0: its bits, and how many of them are set. Negative ones come after positive ones.
pub(super) fn number(n: i128) -> u64 {
    let bits = n.unsigned_abs();
    u64::from(u128::BITS - bits.leading_zeros() + bits.count_ones()) + u64::from(n < 0)
}

fn bytes(all: &[u8]) -> u64 {
    all.iter().map(|b| number(i128::from(*b))).sum()
}

/// How much an operation asks of a reader.
fn weight(op: &Op) -> u64 {
    let operand = |src: &Operand| u64::from(matches!(src, Operand::Reg(_)));
    match op {
        Op::Exit => 1,
        Op::Alu { op: AluOp::Mov, src, .. } => 2 + operand(src),
        Op::Alu { src, .. } => 4 + operand(src),
        Op::LdImm64 { imm: Imm64::Const(_), .. } => 3,
        Op::Jump { wide, .. } => 3 + u64::from(*wide),
        Op::Neg { .. } | Op::MovSx { .. } | Op::Endian { .. } => 5,
        Op::Load { signed, .. } => 5 + u64::from(*signed),
        Op::Store { src, .. } => 5 + operand(src),
        Op::JumpIf { src, .. } => 6 + operand(src),
        Op::MayGoto { .. } => 7,
        Op::LdImm64 { .. } | Op::CallHelper { .. } => 8,
        Op::Atomic { .. } | Op::LdAbs { .. } | Op::LdInd { .. } | Op::AddrSpaceCast { .. } => 9,
        Op::CallLocal { .. } | Op::CallKfunc { .. } => 10,
    }
}

/// The numbers in an operation that can be made simpler; distances and helpers are none.
pub(super) fn numbers(op: &Op) -> impl Iterator<Item = i128> {
    let operand = |src: &Operand| match src {
        Operand::Imm(n) => Some(i128::from(*n)),
        Operand::Reg(_) => None,
    };
    let (one, other) = match op {
        Op::Alu { src, .. } | Op::JumpIf { src, .. } => (operand(src), None),
        Op::Store { src, off, .. } => (operand(src), Some(i128::from(*off))),
        Op::Load { off, .. } | Op::Atomic { off, .. } => (None, Some(i128::from(*off))),
        Op::LdImm64 { imm: Imm64::Const(n), .. } => (Some(i128::from(*n as i64)), None),
        Op::LdImm64 { imm: Imm64::MapValue { off, .. }, .. } => (Some(i128::from(*off)), None),
        Op::LdAbs { imm, .. } | Op::LdInd { imm, .. } => (Some(i128::from(*imm)), None),
        _ => (None, None),
    };
    one.into_iter().chain(other)
}

/// The operation with its numbers replaced; `None` when one does not fit, or there is none.
pub(super) fn with_numbers(op: &Op, new: impl Fn(i128) -> i128) -> Option<Op> {
    let operand = |src: Operand| match src {
        Operand::Imm(n) => i32::try_from(new(i128::from(n))).ok().map(Operand::Imm),
        Operand::Reg(_) => Some(src),
    };
    let off = |off: i16| i16::try_from(new(i128::from(off))).ok();
    let imm = |imm: i32| i32::try_from(new(i128::from(imm))).ok();
    let mut op = *op;
    match &mut op {
        Op::Alu { src, .. } | Op::JumpIf { src, .. } => *src = operand(*src)?,
        Op::Store { src, off: at, .. } => (*src, *at) = (operand(*src)?, off(*at)?),
        Op::Load { off: at, .. } | Op::Atomic { off: at, .. } => *at = off(*at)?,
        Op::LdImm64 { imm: Imm64::Const(n), .. } => *n = i64::try_from(new(i128::from(*n as i64))).ok()? as u64,
        Op::LdImm64 { imm: Imm64::MapValue { off, .. }, .. } => *off = u32::try_from(new(i128::from(*off))).ok()?,
        Op::LdAbs { imm: at, .. } | Op::LdInd { imm: at, .. } => *at = imm(*at)?,
        _ => return None,
    }
    Some(op)
}

/// Whether an operation addresses the stack, or makes an address that may be one.
pub(super) fn is_stack_access(op: &Op) -> bool {
    match op {
        Op::Load { base, .. } | Op::Store { base, .. } | Op::Atomic { base, .. } => *base == Reg::R10,
        Op::Alu { op: AluOp::Add, src: Operand::Imm(n), .. } => *n < 0,
        _ => false,
    }
}

fn map(map: &MapDef) -> u64 {
    let sizes = [map.key_size, map.value_size, map.max_entries, map.flags].map(|n| number(i128::from(n)));
    let init: u64 = map.init.iter().map(|value| 1 + value.len() as u64 + bytes(value)).sum();
    sizes.iter().sum::<u64>() + init + u64::from(map.frozen) + u64::from(map.map_type != MapType::Array)
}

/// Program types from the plainest on, of those that can be run; the others come last.
pub(super) const PLAIN_TYPES: [ProgType; 4] =
    [ProgType::RawTracepoint, ProgType::SocketFilter, ProgType::Xdp, ProgType::SchedCls];

fn surroundings(program: &Program) -> u64 {
    let rank = PLAIN_TYPES.iter().position(|t| *t == program.prog_type).unwrap_or(PLAIN_TYPES.len());
    let types = program.btf.as_ref().map_or(0, |btf| 1 + btf.len() as u64);
    let attach = number(i128::from(program.expected_attach_type)) + number(i128::from(program.prog_flags));
    let unusual = program.funcs.iter().filter(|f| f.linkage != usual_linkage(f)).count();
    rank as u64 + attach + types + unusual as u64
}

/// Main is seen from outside, everything else is not.
pub(super) fn usual_linkage(func: &Func) -> Linkage {
    if func.insn.0 == 0 { Linkage::Global } else { Linkage::Static }
}
