//! The decoded operation: every field that an instruction does not use is gone.

use std::fmt;

/// A register that exists, R0 to R10.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reg(u8);

impl Reg {
    /// Return value.
    pub const R0: Reg = Reg(0);
    /// First argument.
    pub const R1: Reg = Reg(1);
    /// Second argument.
    pub const R2: Reg = Reg(2);
    /// Third argument.
    pub const R3: Reg = Reg(3);
    /// Fourth argument.
    pub const R4: Reg = Reg(4);
    /// Fifth argument.
    pub const R5: Reg = Reg(5);
    /// First callee-saved register.
    pub const R6: Reg = Reg(6);
    /// Second callee-saved register.
    pub const R7: Reg = Reg(7);
    /// Third callee-saved register.
    pub const R8: Reg = Reg(8);
    /// Fourth callee-saved register.
    pub const R9: Reg = Reg(9);
    /// Frame pointer, read only.
    pub const R10: Reg = Reg(10);

    /// The register of that number, `None` above 10.
    pub const fn new(n: u8) -> Option<Reg> {
        if n <= 10 { Some(Reg(n)) } else { None }
    }

    /// The register's number.
    pub const fn n(self) -> u8 {
        self.0
    }

    /// The register's number, to look into an array of registers.
    pub const fn at(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Debug for Reg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

impl fmt::Display for Reg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

/// The second operand: a register, or a 32-bit immediate that is sign-extended where 64 bits are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Operand {
    /// A register.
    Reg(Reg),
    /// An immediate.
    Imm(i32),
}

/// How many bits of its registers an operation uses.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Width {
    /// The low 32 bits; a result has its upper half cleared.
    W32,
    /// All 64 bits.
    W64,
}

/// The size of a memory access.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Size {
    /// One byte.
    B,
    /// Two bytes.
    H,
    /// Four bytes.
    W,
    /// Eight bytes.
    Dw,
}

impl Size {
    /// The size in bytes.
    pub const fn bytes(self) -> u32 {
        match self {
            Size::B => 1,
            Size::H => 2,
            Size::W => 4,
            Size::Dw => 8,
        }
    }
}

/// A binary operation on registers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AluOp {
    /// Sum.
    Add,
    /// Difference.
    Sub,
    /// Product.
    Mul,
    /// Unsigned quotient; 0 when the divisor is 0.
    Div,
    /// Signed quotient (`off` 1); 0 when the divisor is 0.
    SDiv,
    /// Bitwise or.
    Or,
    /// Bitwise and.
    And,
    /// Shift left, the amount masked to the width.
    Lsh,
    /// Logical shift right, the amount masked to the width.
    Rsh,
    /// Unsigned remainder; the dividend when the divisor is 0.
    Mod,
    /// Signed remainder (`off` 1); the dividend when the divisor is 0.
    SMod,
    /// Bitwise exclusive or.
    Xor,
    /// The second operand.
    Mov,
    /// Arithmetic shift right, the amount masked to the width.
    Arsh,
}

impl AluOp {
    /// All of them.
    pub const ALL: [AluOp; 14] = [
        AluOp::Add,
        AluOp::Sub,
        AluOp::Mul,
        AluOp::Div,
        AluOp::SDiv,
        AluOp::Or,
        AluOp::And,
        AluOp::Lsh,
        AluOp::Rsh,
        AluOp::Mod,
        AluOp::SMod,
        AluOp::Xor,
        AluOp::Mov,
        AluOp::Arsh,
    ];
}

/// A comparison of a conditional jump.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Cond {
    /// `==`
    Eq,
    /// Unsigned `>`
    Gt,
    /// Unsigned `>=`
    Ge,
    /// Some bit in common, `&`
    Set,
    /// `!=`
    Ne,
    /// Signed `>`
    SGt,
    /// Signed `>=`
    SGe,
    /// Unsigned `<`
    Lt,
    /// Unsigned `<=`
    Le,
    /// Signed `<`
    SLt,
    /// Signed `<=`
    SLe,
}

impl Cond {
    /// All of them.
    pub const ALL: [Cond; 11] = [
        Cond::Eq,
        Cond::Gt,
        Cond::Ge,
        Cond::Set,
        Cond::Ne,
        Cond::SGt,
        Cond::SGe,
        Cond::Lt,
        Cond::Le,
        Cond::SLt,
        Cond::SLe,
    ];
}

/// A byte-order conversion.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Endian {
    /// To little-endian: truncation on the machines that are modelled.
    ToLe,
    /// To big-endian: swap and truncation.
    ToBe,
    /// Unconditional swap (v4).
    Bswap,
}

/// A read-modify-write operation, or an ordered access (v4, 6.15 and later).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AtomicOp {
    /// Sum; `fetch` returns the old value in `src`.
    Add {
        /// Whether `src` receives the old value.
        fetch: bool,
    },
    /// Bitwise or.
    Or {
        /// Whether `src` receives the old value.
        fetch: bool,
    },
    /// Bitwise and.
    And {
        /// Whether `src` receives the old value.
        fetch: bool,
    },
    /// Bitwise exclusive or.
    Xor {
        /// Whether `src` receives the old value.
        fetch: bool,
    },
    /// Exchange with `src`.
    Xchg,
    /// Compare with R0, store `src` when equal; R0 receives the old value.
    CmpXchg,
    /// Load with acquire ordering: `dst = *(src + off)`.
    LoadAcquire,
    /// Store with release ordering: `*(dst + off) = src`.
    StoreRelease,
}

/// What an `ld_imm64` loads, by the `src` field of its first half.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Imm64 {
    /// A 64-bit constant (`src` 0).
    Const(u64),
    /// A map, by index into the program's maps (`src` 1).
    Map(u32),
    /// An address in a map's value (`src` 2).
    MapValue {
        /// Index into the program's maps.
        map: u32,
        /// Offset into the value, in bytes.
        off: u32,
    },
    /// A kernel variable by BTF id (`src` 3).
    BtfId(i32),
    /// A subprogram, as a distance from the first half (`src` 4): target − this − 1.
    Func {
        /// Distance in instructions.
        rel: i32,
        /// The second half's `imm`: ignored when loaded, the subprogram's number in a dump.
        number: i32,
    },
    /// A map by index into an array of file descriptors, or its value (`src` 5, 6).
    MapByIdx {
        /// Index.
        idx: i32,
        /// Offset into the value for `src` 6.
        value_off: Option<u32>,
    },
}

/// An operation with its operands; jump distances are relative to the next instruction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Op {
    /// `dst = dst op src`, or `dst = src` for [`AluOp::Mov`].
    Alu {
        /// Width.
        width: Width,
        /// Operation.
        op: AluOp,
        /// Destination and first operand.
        dst: Reg,
        /// Second operand.
        src: Operand,
    },
    /// Move with sign extension of the low `bits` (8, 16 or 32).
    MovSx {
        /// Width of the result.
        width: Width,
        /// How many low bits are taken.
        bits: u8,
        /// Destination.
        dst: Reg,
        /// Source.
        src: Reg,
    },
    /// `dst = -dst`.
    Neg {
        /// Width.
        width: Width,
        /// Operand and destination.
        dst: Reg,
    },
    /// Byte-order conversion of `bits` (16, 32 or 64).
    Endian {
        /// Which.
        kind: Endian,
        /// How many bits.
        bits: u8,
        /// Operand and destination.
        dst: Reg,
    },
    /// Cast between address spaces (arena); only `off` 1 is defined.
    AddrSpaceCast {
        /// Destination.
        dst: Reg,
        /// Source.
        src: Reg,
        /// Address spaces, destination in the upper half.
        spaces: u32,
    },
    /// `ld_imm64`, both halves.
    LdImm64 {
        /// Destination.
        dst: Reg,
        /// What is loaded.
        imm: Imm64,
    },
    /// Packet load at a constant offset into R0.
    LdAbs {
        /// Size.
        size: Size,
        /// Offset in bytes.
        imm: i32,
    },
    /// Packet load at a register plus constant into R0.
    LdInd {
        /// Size.
        size: Size,
        /// Register part of the offset.
        src: Reg,
        /// Constant part of the offset.
        imm: i32,
    },
    /// `dst = *(base + off)`.
    Load {
        /// Size.
        size: Size,
        /// Whether the value is sign-extended (v4) rather than zero-extended.
        signed: bool,
        /// Destination.
        dst: Reg,
        /// Address.
        base: Reg,
        /// Offset in bytes.
        off: i16,
    },
    /// `*(base + off) = src`.
    Store {
        /// Size.
        size: Size,
        /// Address.
        base: Reg,
        /// Offset in bytes.
        off: i16,
        /// Value.
        src: Operand,
    },
    /// Atomic operation on `*(base + off)`.
    Atomic {
        /// Size.
        size: Size,
        /// Which.
        op: AtomicOp,
        /// Address; for a load-acquire this is the instruction's `src`.
        base: Reg,
        /// Offset in bytes.
        off: i16,
        /// The register operand; for a load-acquire the destination.
        src: Reg,
    },
    /// Unconditional jump; `wide` is the 32-bit form `gotol`.
    Jump {
        /// Distance.
        off: i32,
        /// Whether the distance is in `imm` (v4).
        wide: bool,
    },
    /// Conditional jump.
    JumpIf {
        /// Width of the comparison.
        width: Width,
        /// Comparison.
        cond: Cond,
        /// Left side.
        dst: Reg,
        /// Right side.
        src: Operand,
        /// Distance when it holds.
        off: i16,
    },
    /// Jump that is taken when the program has looped for too long.
    MayGoto {
        /// Distance.
        off: i16,
    },
    /// Call of a helper by number.
    CallHelper {
        /// Helper's number.
        id: i32,
    },
    /// Call of a subprogram: target is this + 1 + `rel`.
    CallLocal {
        /// Distance.
        rel: i32,
        /// The `off` field: 0 in a program, the distance in a dump of a JITed one.
        off: i16,
    },
    /// Call of a kernel function by BTF id.
    CallKfunc {
        /// BTF id.
        id: i32,
        /// Index into the array of module BTFs.
        off: i16,
    },
    /// Return from the frame.
    Exit,
}

impl Op {
    /// How many eight-byte instructions the operation takes: 2 for `ld_imm64`, else 1.
    #[allow(clippy::len_without_is_empty, reason = "no operation is empty")]
    pub const fn len(&self) -> u32 {
        match self {
            Op::LdImm64 { .. } => 2,
            _ => 1,
        }
    }
}
