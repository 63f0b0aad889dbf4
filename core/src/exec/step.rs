//! The pre-decoded instruction: what the interpreter's loop looks at.
//!
//! One [`What`] for each operation *and* form of its operands, so that a step is one table jump. The two-operand
//! operations are listed once, in [`op_tables`]; the enumeration, its construction and the interpreter's arms follow.
//!
//! Invariants: a step is sixteen bytes; jump targets are indexes of steps and exist in the image.

use super::outcome::TrapKind;
use crate::isa::{AluOp, AtomicOp, Cond, Endian, Operand, Reg, Size, Width};

/// A set of registers, bit n for Rn.
pub(super) type RegSet = u16;

/// R1 to R5.
pub(super) const ARGS: RegSet = 0b11_1110;
/// R6 to R9.
pub(super) const SAVED: RegSet = 0b11_1100_0000;
/// All registers that exist.
pub(super) const ALL: RegSet = 0x7ff;

/// The set that holds one register.
pub(super) const fn bit(reg: Reg) -> RegSet {
    1 << reg.n()
}

/// One step of an image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// Registers that must have a value.
    pub need: RegSet,
    /// Complement of the registers that have a value afterwards.
    pub keep: RegSet,
    /// What to do.
    pub what: What,
}

/// Hands the tables of two-operand operations to a macro: ALU operations, then comparisons. Of each the five names are
/// the operation's and those of its forms 64-bit register, 64-bit immediate, 32-bit register, 32-bit immediate.
macro_rules! op_tables {
    ($consumer:ident $args:tt) => {
        $consumer! {
            $args
            (Add, AddR, AddK, AddWR, AddWK)
            (Sub, SubR, SubK, SubWR, SubWK)
            (Mul, MulR, MulK, MulWR, MulWK)
            (Div, DivR, DivK, DivWR, DivWK)
            (SDiv, SDivR, SDivK, SDivWR, SDivWK)
            (Or, OrR, OrK, OrWR, OrWK)
            (And, AndR, AndK, AndWR, AndWK)
            (Lsh, LshR, LshK, LshWR, LshWK)
            (Rsh, RshR, RshK, RshWR, RshWK)
            (Mod, ModR, ModK, ModWR, ModWK)
            (SMod, SModR, SModK, SModWR, SModWK)
            (Xor, XorR, XorK, XorWR, XorWK)
            (Mov, MovR, MovK, MovWR, MovWK)
            (Arsh, ArshR, ArshK, ArshWR, ArshWK);
            (Eq, EqR, EqK, EqWR, EqWK)
            (Gt, GtR, GtK, GtWR, GtWK)
            (Ge, GeR, GeK, GeWR, GeWK)
            (Set, SetR, SetK, SetWR, SetWK)
            (Ne, NeR, NeK, NeWR, NeWK)
            (SGt, SGtR, SGtK, SGtWR, SGtWK)
            (SGe, SGeR, SGeK, SGeWR, SGeWK)
            (Lt, LtR, LtK, LtWR, LtWK)
            (Le, LeR, LeK, LeWR, LeWK)
            (SLt, SLtR, SLtK, SLtWR, SLtWK)
            (SLe, SLeR, SLeK, SLeWR, SLeWK)
        }
    };
}
pub(super) use op_tables;

macro_rules! define_what {
    (
        { $($rest:tt)* }
        $(($alu:ident, $ar:ident, $ak:ident, $awr:ident, $awk:ident))*;
        $(($cond:ident, $cr:ident, $ck:ident, $cwr:ident, $cwk:ident))*
    ) => {
        /// What a step does. Registers are given by number, targets by index of a step, offsets in bytes.
        #[derive(Clone, Copy, Debug)]
        pub(super) enum What {
            $($ar { dst: u8, src: u8 }, $ak { dst: u8, imm: i32 }, $awr { dst: u8, src: u8 }, $awk { dst: u8, imm: i32 },)*
            $($cr { dst: u8, src: u8, to: u32 }, $ck { dst: u8, imm: i32, to: u32 },
              $cwr { dst: u8, src: u8, to: u32 }, $cwk { dst: u8, imm: i32, to: u32 },)*
            $($rest)*
        }

        impl What {
            /// The step of a two-operand operation.
            pub(super) fn alu(width: Width, op: AluOp, dst: Reg, src: Operand) -> What {
                let dst = dst.n();
                match (op, width, src) {
                    $((AluOp::$alu, Width::W64, Operand::Reg(src)) => What::$ar { dst, src: src.n() },
                      (AluOp::$alu, Width::W64, Operand::Imm(imm)) => What::$ak { dst, imm },
                      (AluOp::$alu, Width::W32, Operand::Reg(src)) => What::$awr { dst, src: src.n() },
                      (AluOp::$alu, Width::W32, Operand::Imm(imm)) => What::$awk { dst, imm },)*
                }
            }

            /// The step of a conditional jump.
            pub(super) fn jump_if(width: Width, cond: Cond, dst: Reg, src: Operand, to: u32) -> What {
                let dst = dst.n();
                match (cond, width, src) {
                    $((Cond::$cond, Width::W64, Operand::Reg(src)) => What::$cr { dst, src: src.n(), to },
                      (Cond::$cond, Width::W64, Operand::Imm(imm)) => What::$ck { dst, imm, to },
                      (Cond::$cond, Width::W32, Operand::Reg(src)) => What::$cwr { dst, src: src.n(), to },
                      (Cond::$cond, Width::W32, Operand::Imm(imm)) => What::$cwk { dst, imm, to },)*
                }
            }

            /// The target of a jump.
            pub(super) fn target_mut(&mut self) -> Option<&mut u32> {
                match self {
                    $(What::$cr { to, .. } | What::$ck { to, .. } | What::$cwr { to, .. } | What::$cwk { to, .. } => Some(to),)*
                    What::Jump { to } | What::MayGoto { to } | What::LoopLeave { to, .. } => Some(to),
                    _ => None,
                }
            }
        }
    };
}

op_tables! { define_what {
    MovSx { width: Width, bits: u8, dst: u8, src: u8 },
    Neg { width: Width, dst: u8 },
    Endian { kind: Endian, bits: u8, dst: u8 },
    /// A 64-bit constant in two halves.
    Const { dst: u8, lo: u32, hi: u32 },
    /// The address of a map.
    MapAddr { dst: u8, map: u32 },
    /// An address in the first value of a map.
    ValueAddr { dst: u8, map: u32, off: u32 },
    /// The address of a subprogram, by its number in the original program.
    FuncAddr { dst: u8, id: u16 },
    Load1 { dst: u8, base: u8, off: i16 },
    Load2 { dst: u8, base: u8, off: i16 },
    Load4 { dst: u8, base: u8, off: i16 },
    Load8 { dst: u8, base: u8, off: i16 },
    /// A load with sign extension.
    LoadSx { size: Size, dst: u8, base: u8, off: i16 },
    Store1 { base: u8, src: u8, off: i16 },
    Store2 { base: u8, src: u8, off: i16 },
    Store4 { base: u8, src: u8, off: i16 },
    Store8 { base: u8, src: u8, off: i16 },
    StoreK1 { base: u8, off: i16, imm: i32 },
    StoreK2 { base: u8, off: i16, imm: i32 },
    StoreK4 { base: u8, off: i16, imm: i32 },
    StoreK8 { base: u8, off: i16, imm: i32 },
    /// Accesses to the own frame through R10, checked when they were decoded; `at` is a place in the frame's block.
    Fill1 { dst: u8, at: u16 },
    Fill2 { dst: u8, at: u16 },
    Fill4 { dst: u8, at: u16 },
    Fill8 { dst: u8, at: u16 },
    Spill1 { src: u8, at: u16 },
    Spill2 { src: u8, at: u16 },
    Spill4 { src: u8, at: u16 },
    Spill8 { src: u8, at: u16 },
    SpillK1 { at: u16, imm: i32 },
    SpillK2 { at: u16, imm: i32 },
    SpillK4 { at: u16, imm: i32 },
    SpillK8 { at: u16, imm: i32 },
    Atomic { size: Size, op: AtomicOp, base: u8, src: u8, off: i16 },
    /// Packet load at `R[src] + imm`, or at `imm` when there is no register.
    LoadPacket { size: Size, src: Option<Reg>, imm: i32 },
    Jump { to: u32 },
    MayGoto { to: u32 },
    /// Call of a subprogram of the image.
    CallLocal { callee: u16 },
    /// The call in an inlined loop.
    CallCallback { callee: u16, site: u32 },
    /// The helper `bpf_loop`.
    CallLoop { site: u32 },
    /// `keeps_args`: the kernel puts code in the call's place that leaves R1 to R5 as they are.
    CallHelper { id: i32, keeps_args: bool },
    Exit,
    /// Before the first instruction of an inlined loop.
    LoopEnter,
    /// On the way out of an inlined loop.
    LoopLeave { site: u32, to: u32 },
    /// A step that always traps.
    Trap(Fault),
    /// Something that is not modelled, by index into the image's texts.
    Refuse(u32),
} }

/// What is wrong with a step, known when it was decoded; small enough for a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// An access through R10 outside of what the subprogram may use.
    Overrun { off: i16, size: u8 },
    /// An access through R10 to the slots of inlined loops.
    Spill { off: i16, size: u8 },
    /// An access through R10 above the frame.
    Above { off: i16, size: u8 },
    /// A jump or call to something that is no instruction or subprogram, or the end of the program.
    Lost,
    /// A write to R10.
    FramePointer,
}

impl Fault {
    /// The trap that the step ends in.
    pub(super) fn kind(self) -> TrapKind {
        match self {
            Fault::Overrun { off, size } => TrapKind::StackOverrun { off: i64::from(off), size: u32::from(size) },
            Fault::Spill { off, size } => TrapKind::SpillTouched { off: i64::from(off), size: u32::from(size) },
            Fault::Above { off, size } => TrapKind::OutOfBounds {
                region: super::outcome::RegionName::Frame,
                off: i64::from(off),
                size: u32::from(size),
            },
            Fault::Lost => TrapKind::LeftProgram,
            Fault::FramePointer => TrapKind::FramePointerWritten,
        }
    }
}
