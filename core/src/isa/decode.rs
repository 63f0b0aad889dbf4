//! From eight bytes to an operation and back.
//!
//! Decoding is total and strict: a field that an operation does not use must be zero, as the kernel wants it
//! (`bpf_opcode_in_insntable` and the "uses reserved fields" checks, 6.1 … 7.3). Whether a kernel *version* knows an
//! operation is a rule of the verifier, not of the encoding.

use super::insn::{Insn, opcode};
use super::op::{AluOp, AtomicOp, Cond, Endian, Imm64, Op, Operand, Reg, Size, Width};
use thiserror::Error;

/// Why eight bytes are no operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum DecodeError {
    /// No operation has this opcode.
    #[error("unknown opcode {0:02x}")]
    UnknownOpcode(u8),
    /// A register above R10.
    #[error("R{0} is invalid")]
    BadRegister(u8),
    /// A field that the operation does not use is not zero, or a selector has no meaning.
    #[error("opcode {0:02x} uses reserved fields")]
    ReservedField(u8),
    /// The program ends after the first half of an `ld_imm64`, or the second half is not one.
    #[error("invalid bpf_ld_imm64 insn")]
    BadLdImm64,
}

const ALU_OPS: [Option<AluOp>; 16] = [
    Some(AluOp::Add),
    Some(AluOp::Sub),
    Some(AluOp::Mul),
    Some(AluOp::Div),
    Some(AluOp::Or),
    Some(AluOp::And),
    Some(AluOp::Lsh),
    Some(AluOp::Rsh),
    None, // negation has one operand
    Some(AluOp::Mod),
    Some(AluOp::Xor),
    Some(AluOp::Mov),
    Some(AluOp::Arsh),
    None, // byte order
    None,
    None,
];

const CONDS: [Option<Cond>; 16] = [
    None, // goto
    Some(Cond::Eq),
    Some(Cond::Gt),
    Some(Cond::Ge),
    Some(Cond::Set),
    Some(Cond::Ne),
    Some(Cond::SGt),
    Some(Cond::SGe),
    None, // call
    None, // exit
    Some(Cond::Lt),
    Some(Cond::Le),
    Some(Cond::SLt),
    Some(Cond::SLe),
    None, // may_goto
    None,
];

const SIZES: [Size; 4] = [Size::W, Size::H, Size::B, Size::Dw];

/// Decodes the operation that starts with `first`; `second` is the instruction after it, used by `ld_imm64` alone.
#[doc(alias = "bpf_opcode_in_insntable")]
pub fn decode(first: Insn, second: Option<Insn>) -> Result<Op, DecodeError> {
    match first.code & 7 {
        0 => decode_ld(first, second),
        1 => decode_ldx(first),
        2 => store(first, Operand::Imm(first.imm), first.src() == 0),
        3 => decode_stx(first),
        4 => decode_alu(first, Width::W32),
        7 => decode_alu(first, Width::W64),
        5 => decode_jmp(first, Width::W64),
        _ => decode_jmp(first, Width::W32),
    }
}

fn reg(n: u8) -> Result<Reg, DecodeError> {
    Reg::new(n).ok_or(DecodeError::BadRegister(n))
}

fn unused(insn: Insn, clean: bool) -> Result<(), DecodeError> {
    if clean { Ok(()) } else { Err(DecodeError::ReservedField(insn.code)) }
}

fn size(code: u8) -> Size {
    SIZES[usize::from(code >> 3 & 3)]
}

fn unknown<T>(insn: Insn) -> Result<T, DecodeError> {
    Err(DecodeError::UnknownOpcode(insn.code))
}

fn decode_ld(i: Insn, second: Option<Insn>) -> Result<Op, DecodeError> {
    match i.code {
        opcode::LD_IMM64 => ld_imm64(i, second),
        // Legacy packet access exists in three sizes, absolute and indirect.
        0x20 | 0x28 | 0x30 => {
            unused(i, i.regs == 0 && i.off == 0)?;
            Ok(Op::LdAbs { size: size(i.code), imm: i.imm })
        }
        0x40 | 0x48 | 0x50 => {
            unused(i, i.dst() == 0 && i.off == 0)?;
            Ok(Op::LdInd { size: size(i.code), src: reg(i.src())?, imm: i.imm })
        }
        _ => unknown(i),
    }
}

fn ld_imm64(i: Insn, second: Option<Insn>) -> Result<Op, DecodeError> {
    let hi = match second {
        Some(s) if s.code == 0 && s.regs == 0 && s.off == 0 => s.imm,
        _ => return Err(DecodeError::BadLdImm64),
    };
    unused(i, i.off == 0)?;
    let dst = reg(i.dst())?;
    let imm = match i.src() {
        0 => Imm64::Const(u64::from(i.imm as u32) | u64::from(hi as u32) << 32),
        1 => {
            unused(i, hi == 0)?;
            Imm64::Map(i.imm as u32)
        }
        2 => Imm64::MapValue { map: i.imm as u32, off: hi as u32 },
        3 => {
            unused(i, hi == 0)?;
            Imm64::BtfId(i.imm)
        }
        4 => Imm64::Func { rel: i.imm, number: hi },
        5 => {
            unused(i, hi == 0)?;
            Imm64::MapByIdx { idx: i.imm, value_off: None }
        }
        6 => Imm64::MapByIdx { idx: i.imm, value_off: Some(hi as u32) },
        _ => return Err(DecodeError::BadLdImm64),
    };
    Ok(Op::LdImm64 { dst, imm })
}

fn decode_ldx(i: Insn) -> Result<Op, DecodeError> {
    let signed = match i.code >> 5 {
        3 => false,
        4 if size(i.code) != Size::Dw => true,
        _ => return unknown(i),
    };
    unused(i, i.imm == 0)?;
    Ok(Op::Load { size: size(i.code), signed, dst: reg(i.dst())?, base: reg(i.src())?, off: i.off })
}

fn store(i: Insn, src: Operand, clean: bool) -> Result<Op, DecodeError> {
    if i.code >> 5 != 3 {
        return unknown(i);
    }
    unused(i, clean)?;
    Ok(Op::Store { size: size(i.code), base: reg(i.dst())?, off: i.off, src })
}

fn decode_stx(i: Insn) -> Result<Op, DecodeError> {
    if i.code >> 5 != 6 {
        return store(i, Operand::Reg(reg(i.src())?), i.imm == 0);
    }
    let size = size(i.code);
    let (dst, src) = (reg(i.dst())?, reg(i.src())?);
    let fetch = i.imm & 1 != 0;
    let op = match i.imm {
        0x00 | 0x01 => AtomicOp::Add { fetch },
        0x40 | 0x41 => AtomicOp::Or { fetch },
        0x50 | 0x51 => AtomicOp::And { fetch },
        0xa0 | 0xa1 => AtomicOp::Xor { fetch },
        0xe1 => AtomicOp::Xchg,
        0xf1 => AtomicOp::CmpXchg,
        0x100 => {
            return Ok(Op::Atomic { size, op: AtomicOp::LoadAcquire, base: src, off: i.off, src: dst });
        }
        0x110 => AtomicOp::StoreRelease,
        _ => return Err(DecodeError::ReservedField(i.code)),
    };
    if matches!(size, Size::B | Size::H) && op != AtomicOp::StoreRelease {
        return Err(DecodeError::UnknownOpcode(i.code));
    }
    Ok(Op::Atomic { size, op, base: dst, off: i.off, src })
}

fn decode_alu(i: Insn, width: Width) -> Result<Op, DecodeError> {
    let from_reg = i.code & 8 != 0;
    let dst = reg(i.dst())?;
    match i.code >> 4 {
        8 => {
            unused(i, !from_reg && i.src() == 0 && i.off == 0 && i.imm == 0)?;
            return Ok(Op::Neg { width, dst });
        }
        13 => {
            unused(i, i.src() == 0 && i.off == 0 && matches!(i.imm, 16 | 32 | 64))?;
            let kind = match (width, from_reg) {
                (Width::W32, false) => Endian::ToLe,
                (Width::W32, true) => Endian::ToBe,
                (Width::W64, false) => Endian::Bswap,
                (Width::W64, true) => return unknown(i),
            };
            return Ok(Op::Endian { kind, bits: i.imm as u8, dst });
        }
        _ => {}
    }
    let Some(op) = ALU_OPS[usize::from(i.code >> 4)] else {
        return unknown(i);
    };
    let src = if from_reg {
        let src = reg(i.src())?;
        if op == AluOp::Mov {
            return decode_mov(i, width, dst, src);
        }
        unused(i, i.imm == 0)?;
        Operand::Reg(src)
    } else {
        unused(i, i.src() == 0)?;
        Operand::Imm(i.imm)
    };
    let op = match (op, i.off) {
        (_, 0) => op,
        (AluOp::Div, 1) => AluOp::SDiv,
        (AluOp::Mod, 1) => AluOp::SMod,
        _ => return Err(DecodeError::ReservedField(i.code)),
    };
    Ok(Op::Alu { width, op, dst, src })
}

fn decode_mov(i: Insn, width: Width, dst: Reg, src: Reg) -> Result<Op, DecodeError> {
    if width == Width::W64 && i.off == 1 {
        return Ok(Op::AddrSpaceCast { dst, src, spaces: i.imm as u32 });
    }
    unused(i, i.imm == 0)?;
    match (i.off, width) {
        (0, _) => Ok(Op::Alu { width, op: AluOp::Mov, dst, src: Operand::Reg(src) }),
        (8 | 16, _) | (32, Width::W64) => Ok(Op::MovSx { width, bits: i.off as u8, dst, src }),
        _ => Err(DecodeError::ReservedField(i.code)),
    }
}

fn decode_jmp(i: Insn, width: Width) -> Result<Op, DecodeError> {
    let from_reg = i.code & 8 != 0;
    match (i.code, width) {
        (opcode::JA, _) => {
            unused(i, i.regs == 0 && i.imm == 0)?;
            return Ok(Op::Jump { off: i32::from(i.off), wide: false });
        }
        (opcode::JA32, _) => {
            unused(i, i.regs == 0 && i.off == 0)?;
            return Ok(Op::Jump { off: i.imm, wide: true });
        }
        (opcode::CALL, _) => return decode_call(i),
        (opcode::EXIT, _) => {
            unused(i, i.regs == 0 && i.off == 0 && i.imm == 0)?;
            return Ok(Op::Exit);
        }
        (opcode::MAY_GOTO, _) => {
            unused(i, i.regs == 0 && i.imm == 0)?;
            return Ok(Op::MayGoto { off: i.off });
        }
        _ => {}
    }
    let Some(cond) = CONDS[usize::from(i.code >> 4)] else {
        return unknown(i);
    };
    let dst = reg(i.dst())?;
    let src = if from_reg {
        unused(i, i.imm == 0)?;
        Operand::Reg(reg(i.src())?)
    } else {
        unused(i, i.src() == 0)?;
        Operand::Imm(i.imm)
    };
    Ok(Op::JumpIf { width, cond, dst, src, off: i.off })
}

fn decode_call(i: Insn) -> Result<Op, DecodeError> {
    unused(i, i.dst() == 0)?;
    match i.src() {
        0 => {
            unused(i, i.off == 0)?;
            Ok(Op::CallHelper { id: i.imm })
        }
        1 => Ok(Op::CallLocal { rel: i.imm, off: i.off }),
        2 => Ok(Op::CallKfunc { id: i.imm, off: i.off }),
        _ => Err(DecodeError::ReservedField(i.code)),
    }
}

impl Op {
    /// The bytes of the operation: the first instruction, and the second half of an `ld_imm64`.
    pub fn encode(&self) -> (Insn, Option<Insn>) {
        let mut second = None;
        let first = match *self {
            Op::Alu { width, op, dst, src } => {
                let (code, off) = alu_code(op);
                let (bit, src, imm) = operand(src);
                Insn::new(code << 4 | bit | alu_class(width), dst.n(), src, off, imm)
            }
            Op::MovSx { width, bits, dst, src } => {
                Insn::new(0xb8 | alu_class(width), dst.n(), src.n(), i16::from(bits), 0)
            }
            Op::Neg { width, dst } => Insn::new(0x80 | alu_class(width), dst.n(), 0, 0, 0),
            Op::Endian { kind, bits, dst } => {
                let code = match kind {
                    Endian::ToLe => 0xd4,
                    Endian::ToBe => 0xdc,
                    Endian::Bswap => 0xd7,
                };
                Insn::new(code, dst.n(), 0, 0, i32::from(bits))
            }
            Op::AddrSpaceCast { dst, src, spaces } => Insn::new(0xbf, dst.n(), src.n(), 1, spaces as i32),
            Op::LdImm64 { dst, imm } => {
                let (kind, lo, hi) = imm64_fields(imm);
                second = Some(Insn::new(0, 0, 0, 0, hi));
                Insn::new(opcode::LD_IMM64, dst.n(), kind, 0, lo)
            }
            Op::LdAbs { size, imm } => Insn::new(0x20 | size_bits(size), 0, 0, 0, imm),
            Op::LdInd { size, src, imm } => Insn::new(0x40 | size_bits(size), 0, src.n(), 0, imm),
            Op::Load { size, signed, dst, base, off } => {
                let mode = if signed { 0x80 } else { 0x60 };
                Insn::new(mode | size_bits(size) | 1, dst.n(), base.n(), off, 0)
            }
            Op::Store { size, base, off, src } => match src {
                Operand::Reg(src) => Insn::new(0x63 | size_bits(size), base.n(), src.n(), off, 0),
                Operand::Imm(imm) => Insn::new(0x62 | size_bits(size), base.n(), 0, off, imm),
            },
            Op::Atomic { size, op, base, off, src } => {
                let (dst, src) = match op {
                    AtomicOp::LoadAcquire => (src, base),
                    _ => (base, src),
                };
                Insn::new(0xc3 | size_bits(size), dst.n(), src.n(), off, atomic_imm(op))
            }
            Op::Jump { off, wide: true } => Insn::new(opcode::JA32, 0, 0, 0, off),
            Op::Jump { off, wide: false } => Insn::new(opcode::JA, 0, 0, off as i16, 0),
            Op::JumpIf { width, cond, dst, src, off } => {
                let class = if width == Width::W64 { 5 } else { 6 };
                let (bit, src, imm) = operand(src);
                Insn::new(cond_code(cond) << 4 | bit | class, dst.n(), src, off, imm)
            }
            Op::MayGoto { off } => Insn::new(opcode::MAY_GOTO, 0, 0, off, 0),
            Op::CallHelper { id } => Insn::new(opcode::CALL, 0, 0, 0, id),
            Op::CallLocal { rel, off } => Insn::new(opcode::CALL, 0, opcode::PSEUDO_CALL, off, rel),
            Op::CallKfunc { id, off } => Insn::new(opcode::CALL, 0, opcode::PSEUDO_KFUNC_CALL, off, id),
            Op::Exit => Insn::new(opcode::EXIT, 0, 0, 0, 0),
        };
        (first, second)
    }
}

fn alu_class(width: Width) -> u8 {
    match width {
        Width::W32 => 4,
        Width::W64 => 7,
    }
}

fn alu_code(op: AluOp) -> (u8, i16) {
    match op {
        AluOp::Add => (0, 0),
        AluOp::Sub => (1, 0),
        AluOp::Mul => (2, 0),
        AluOp::Div => (3, 0),
        AluOp::SDiv => (3, 1),
        AluOp::Or => (4, 0),
        AluOp::And => (5, 0),
        AluOp::Lsh => (6, 0),
        AluOp::Rsh => (7, 0),
        AluOp::Mod => (9, 0),
        AluOp::SMod => (9, 1),
        AluOp::Xor => (10, 0),
        AluOp::Mov => (11, 0),
        AluOp::Arsh => (12, 0),
    }
}

fn cond_code(cond: Cond) -> u8 {
    CONDS.iter().position(|c| *c == Some(cond)).map_or(0, |n| n as u8)
}

fn operand(src: Operand) -> (u8, u8, i32) {
    match src {
        Operand::Reg(r) => (8, r.n(), 0),
        Operand::Imm(imm) => (0, 0, imm),
    }
}

fn size_bits(size: Size) -> u8 {
    match size {
        Size::W => 0x00,
        Size::H => 0x08,
        Size::B => 0x10,
        Size::Dw => 0x18,
    }
}

fn atomic_imm(op: AtomicOp) -> i32 {
    match op {
        AtomicOp::Add { fetch } => i32::from(fetch),
        AtomicOp::Or { fetch } => 0x40 | i32::from(fetch),
        AtomicOp::And { fetch } => 0x50 | i32::from(fetch),
        AtomicOp::Xor { fetch } => 0xa0 | i32::from(fetch),
        AtomicOp::Xchg => 0xe1,
        AtomicOp::CmpXchg => 0xf1,
        AtomicOp::LoadAcquire => 0x100,
        AtomicOp::StoreRelease => 0x110,
    }
}

fn imm64_fields(imm: Imm64) -> (u8, i32, i32) {
    match imm {
        Imm64::Const(v) => (0, v as i32, (v >> 32) as i32),
        Imm64::Map(map) => (1, map as i32, 0),
        Imm64::MapValue { map, off } => (2, map as i32, off as i32),
        Imm64::BtfId(id) => (3, id, 0),
        Imm64::Func { rel, number } => (4, rel, number),
        Imm64::MapByIdx { idx, value_off: None } => (5, idx, 0),
        Imm64::MapByIdx { idx, value_off: Some(off) } => (6, idx, off as i32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]
        #[test]
        fn what_decodes_encodes_to_the_same_bytes(bytes: [u8; 8], hi: i32, few_bits: bool) {
            let mut i = Insn::from_bytes(bytes);
            if few_bits {
                // Random bytes seldom leave the unused fields clean.
                (i.off, i.imm) = (i.off & 1, i.imm & 0x1f1);
            }
            let second = Insn::new(0, 0, 0, 0, hi);
            if let Ok(op) = decode(i, Some(second)) {
                let (first, rest) = op.encode();
                prop_assert_eq!(first, i);
                prop_assert_eq!(op.len() == 2, rest.is_some());
                if let Some(rest) = rest {
                    prop_assert_eq!(rest, second);
                }
            }
        }
    }

    #[test]
    fn every_opcode_answers() {
        for code in 0..=255 {
            for imm in [0, 1, 16, 0xe1, 0x100, -1] {
                let _ = decode(Insn::new(code, 1, 2, 0, imm), None);
            }
        }
    }
}
