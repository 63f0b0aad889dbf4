//! The eight-byte instruction as it lies in memory, and its index in a program.

use std::fmt;

/// The index of an eight-byte instruction in a program; an `ld_imm64` takes two.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct InsnIdx(pub u32);

impl InsnIdx {
    /// The index as a `usize`, to look into a slice of instructions.
    pub const fn at(self) -> usize {
        self.0 as usize
    }

    /// The index `delta` instructions further, or `None` when that is below 0 or past `u32::MAX`.
    pub fn offset(self, delta: i64) -> Option<InsnIdx> {
        u32::try_from(i64::from(self.0) + delta).ok().map(InsnIdx)
    }

    /// The index of the next eight bytes.
    pub const fn next(self) -> InsnIdx {
        InsnIdx(self.0 + 1)
    }
}

impl fmt::Debug for InsnIdx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

impl fmt::Display for InsnIdx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One instruction in the layout of `struct bpf_insn`, fields unchecked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
#[doc(alias = "bpf_insn")]
pub struct Insn {
    /// Opcode: class in the low three bits.
    pub code: u8,
    /// Destination register in the low nibble, source register in the high one.
    pub regs: u8,
    /// Signed offset of a jump or of a memory access.
    pub off: i16,
    /// Signed immediate.
    pub imm: i32,
}

impl Insn {
    /// Builds an instruction from its fields; register numbers are cut to four bits.
    pub const fn new(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
        Insn { code, regs: (dst & 15) | (src << 4), off, imm }
    }

    /// Reads the eight bytes, little-endian.
    pub const fn from_bytes(b: [u8; 8]) -> Insn {
        Insn {
            code: b[0],
            regs: b[1],
            off: i16::from_le_bytes([b[2], b[3]]),
            imm: i32::from_le_bytes([b[4], b[5], b[6], b[7]]),
        }
    }

    /// The eight bytes in memory order, little-endian.
    pub const fn to_bytes(self) -> [u8; 8] {
        let o = self.off.to_le_bytes();
        let i = self.imm.to_le_bytes();
        [self.code, self.regs, o[0], o[1], i[0], i[1], i[2], i[3]]
    }

    /// The destination register's number, 0 to 15.
    pub const fn dst(self) -> u8 {
        self.regs & 15
    }

    /// The source register's number, 0 to 15.
    pub const fn src(self) -> u8 {
        self.regs >> 4
    }

    /// True for the first half of an `ld_imm64`.
    pub const fn is_ld_imm64(self) -> bool {
        self.code == opcode::LD_IMM64
    }
}

impl fmt::Debug for Insn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for b in self.to_bytes() {
            write!(f, "{b:02x}")?;
        }
        Ok(())
    }
}

/// Opcode bytes and fields that more than one room needs by name.
pub mod opcode {
    /// `ld_imm64`, first half.
    pub const LD_IMM64: u8 = 0x18;
    /// Call of a helper (`src` 0), a subprogram (`src` 1) or a kfunc (`src` 2).
    pub const CALL: u8 = 0x85;
    /// Return from the frame.
    pub const EXIT: u8 = 0x95;
    /// Jump with a 16-bit offset.
    pub const JA: u8 = 0x05;
    /// Jump with a 32-bit offset (`gotol`).
    pub const JA32: u8 = 0x06;
    /// Conditional jump that may or may not be taken, `may_goto`.
    pub const MAY_GOTO: u8 = 0xe5;
    /// `src` of an `ld_imm64`: map reference, by index into the program's maps.
    pub const PSEUDO_MAP: u8 = 1;
    /// `src` of an `ld_imm64`: address inside a map's value.
    pub const PSEUDO_MAP_VALUE: u8 = 2;
    /// `src` of an `ld_imm64`: address of a subprogram.
    pub const PSEUDO_FUNC: u8 = 4;
    /// `src` of a call: subprogram.
    pub const PSEUDO_CALL: u8 = 1;
    /// `src` of a call: kfunc.
    pub const PSEUDO_KFUNC_CALL: u8 = 2;
}
