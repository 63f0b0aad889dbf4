//! Opcodes and fields of single instructions.
//!
//! Stands for `bpf_opcode_in_insntable`, and for the checks of fields that 7.3 has in `check_insn_fields` and earlier
//! kernels spread over `do_check`, `check_alu_op`, `check_cond_jmp_op`, `check_atomic`, `check_ld_imm` and `check_reg_arg`.

use super::flow::class;
use crate::isa::{AluOp, Insn, Op, Operand, Reg, Width, opcode};
use crate::kernel::{FieldCheck, InsnSet, StructureRules};
use crate::verifier::Errno;

/// A fault of an instruction that is found when a path visits it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Error number.
    pub errno: Errno,
    /// The kernel's line.
    pub text: String,
    /// Registers that the kernel reads before it comes to this fault: one that is unreadable is the message instead.
    pub reads: Vec<Reg>,
}

impl Fault {
    fn new(text: impl Into<String>) -> Fault {
        Fault { errno: Errno::EINVAL, text: text.into(), reads: Vec::new() }
    }
}

/// True for an opcode that a kernel with this instruction set knows.
///
/// Kernel: `bpf_opcode_in_insntable` (6.1 … 7.3).
#[doc(alias = "bpf_opcode_in_insntable")]
pub(super) fn is_known(code: u8, set: InsnSet) -> bool {
    let (mode, size, op, from_reg) = (code >> 5, code >> 3 & 3, code >> 4, code & 8 != 0);
    /// `size` of an eight-byte access, and of accesses of one and two bytes.
    const DW: u8 = 3;
    const NARROW: [u8; 2] = [1, 2];
    let compares = matches!(op, 1..=7 | 10..=13);
    match code & 7 {
        class::LD => code == opcode::LD_IMM64 || matches!(mode, 1 | 2) && size != DW,
        class::LDX => mode == 3 || mode == 4 && size != DW && set >= InsnSet::V4,
        class::ST => mode == 3,
        class::STX => mode == 3 || mode == 6 && (!NARROW.contains(&size) || set >= InsnSet::Ordered),
        class::ALU => matches!(op, 0..=7 | 9..=13) || op == 8 && !from_reg,
        class::JMP => match code {
            opcode::JA | opcode::CALL | opcode::EXIT => true,
            opcode::MAY_GOTO => set >= InsnSet::V4,
            GOTOX => set >= InsnSet::Indirect,
            _ => compares,
        },
        class::JMP32 => code == opcode::JA32 || compares,
        _ => match op {
            0..=7 | 9..=12 => true,
            8 => !from_reg,
            13 => !from_reg && set >= InsnSet::V4,
            _ => false,
        },
    }
}

/// `gotox`: a jump to an address in a register.
pub(super) const GOTOX: u8 = 0x0d;

/// The first field of an instruction with a known opcode that must be zero and is not, in the kernel's words.
///
/// Kernel: `check_insn_fields` (7.3), and its scattered predecessors (6.1 … 6.18).
#[doc(alias = "check_insn_fields")]
pub(super) fn reserved(i: Insn, set: InsnSet) -> Option<String> {
    let clean = match i.code & 7 {
        class::LD => return reserved_ld(i),
        class::LDX => (i.imm == 0, "BPF_LDX"),
        class::ST => (i.src() == 0, "BPF_ST"),
        class::STX if is_atomic(i) => return None,
        class::STX => (i.imm == 0, "BPF_STX"),
        class::JMP | class::JMP32 => return reserved_jmp(i, set),
        _ => return reserved_alu(i, set),
    };
    report(clean)
}

fn report((clean, what): (bool, &str)) -> Option<String> {
    (!clean).then(|| format!("{what} uses reserved fields"))
}

fn is_atomic(i: Insn) -> bool {
    i.code & 7 == class::STX && i.code >> 5 == 6
}

fn reserved_ld(i: Insn) -> Option<String> {
    match i.code >> 5 {
        0 => report((i.off == 0, "BPF_LD_IMM64")),
        mode => report((i.dst() == 0 && i.off == 0 && (mode == 2 || i.src() == 0), "BPF_LD_[ABS|IND]")),
    }
}

fn reserved_alu(i: Insn, set: InsnSet) -> Option<String> {
    let (wide, from_reg) = (i.code & 7 != class::ALU, i.code & 8 != 0);
    let v4 = set >= InsnSet::V4;
    report(match i.code >> 4 {
        8 => (i.src() == 0 && i.off == 0 && i.imm == 0, "BPF_NEG"),
        13 => (i.src() == 0 && i.off == 0 && matches!(i.imm, 16 | 32 | 64), "BPF_END"),
        11 if from_reg && v4 && wide && i.off == ADDR_SPACE_CAST => {
            let known = matches!(i.imm, 1 | 0x1_0000);
            return (!known).then(|| "addr_space_cast insn can only convert between address space 1 and 0".to_owned());
        }
        11 if from_reg => {
            let extends = v4 && (matches!(i.off, 8 | 16) || wide && i.off == 32);
            (i.imm == 0 && (i.off == 0 || extends), "BPF_MOV")
        }
        11 => (i.src() == 0 && i.off == 0, "BPF_MOV"),
        op => {
            let signed = v4 && matches!(op, 3 | 9) && i.off == 1;
            let unused = if from_reg { i.imm == 0 } else { i.src() == 0 };
            (unused && (i.off == 0 || signed), "BPF_ALU")
        }
    })
}

/// `off` of a move that casts between address spaces.
const ADDR_SPACE_CAST: i16 = 1;

fn reserved_jmp(i: Insn, set: InsnSet) -> Option<String> {
    report(match i.code {
        opcode::CALL => {
            let kfunc = i.src() == opcode::PSEUDO_KFUNC_CALL;
            (i.dst() == 0 && i.src() <= opcode::PSEUDO_KFUNC_CALL && (kfunc || i.off == 0), "BPF_CALL")
        }
        GOTOX => (i.src() == 0 && i.imm == 0 && i.off == 0, "BPF_JA|BPF_X"),
        opcode::JA => (i.regs == 0 && i.imm == 0, "BPF_JA"),
        opcode::JA32 => (i.regs == 0 && i.off == 0, "BPF_JA"),
        opcode::EXIT => (i.regs == 0 && i.imm == 0, "BPF_EXIT"),
        opcode::MAY_GOTO if set <= InsnSet::V4 => {
            let refused = i.regs != 0 || i.imm != 0 || i.off == 0;
            return refused.then(|| format!("invalid may_goto off {} imm {}", i.off, i.imm));
        }
        opcode::MAY_GOTO => {
            return (i.regs != 0 || i.imm != 0).then(|| format!("invalid may_goto imm {}", i.imm));
        }
        code if code & 8 != 0 => (i.imm == 0, "BPF_JMP/JMP32"),
        _ => (i.src() == 0, "BPF_JMP/JMP32"),
    })
}

/// The instruction with those fields zero that it does not use and that no kernel looks at: the offset of an `exit`.
pub(super) fn canonical(i: Insn) -> Insn {
    if i.code == opcode::EXIT { Insn { off: 0, ..i } } else { i }
}

/// What is wrong with the opcode or size of an atomic operation.
fn bad_atomic(i: Insn, set: InsnSet) -> Option<String> {
    let narrow = matches!(i.code >> 3 & 3, 1 | 2);
    match i.imm {
        0x00 | 0x01 | 0x40 | 0x41 | 0x50 | 0x51 | 0xa0 | 0xa1 | 0xe1 | 0xf1 => {
            narrow.then(|| "invalid atomic operand size".to_owned())
        }
        0x100 | 0x110 if set >= InsnSet::Ordered => None,
        imm => Some(format!("BPF_ATOMIC uses invalid atomic opcode {imm:02x}")),
    }
}

/// Checks what is left to check of an instruction's fields when a path visits it, before any of its registers is read.
///
/// The instruction must have passed [`check`](super::check). For a packet load the kernel looks at the program type
/// first.
///
/// # Errors
/// The kernel's refusal, and the registers that it would have read before.
pub fn check_fields(insn: Insn, rules: &StructureRules) -> Result<(), Fault> {
    let set = rules.insn_set;
    if is_atomic(insn)
        && let Some(text) = bad_atomic(insn, set)
    {
        return Err(Fault::new(text));
    }
    if rules.field_check == FieldCheck::BeforeWalk {
        return Ok(());
    }
    let reads = operands(insn);
    let first_bad = reads.iter().position(|r| Reg::new(*r).is_none());
    let compares = matches!(insn.code & 7, class::JMP | class::JMP32) && !is_plain_jump(insn.code);
    if let Some(text) = reserved(insn, set)
        && !(compares && first_bad == Some(0))
    {
        // The left side of a comparison is read before the fields are looked at.
        let before = if compares { 1 } else { 0 };
        return Err(Fault { reads: registers(reads.get(..before)), ..Fault::new(text) });
    }
    match first_bad {
        None => Ok(()),
        Some(n) => {
            let text = format!("R{} is invalid", reads.get(n).copied().unwrap_or_default());
            Err(Fault { reads: registers(reads.get(..n)), ..Fault::new(text) })
        }
    }
}

fn is_plain_jump(code: u8) -> bool {
    matches!(code, opcode::JA | opcode::JA32 | opcode::CALL | opcode::EXIT | opcode::MAY_GOTO | GOTOX)
}

fn registers(numbers: Option<&[u8]>) -> Vec<Reg> {
    numbers.unwrap_or_default().iter().filter_map(|n| Reg::new(*n)).collect()
}

/// The register numbers of an instruction in the order in which the walk looks at them.
fn operands(i: Insn) -> Vec<u8> {
    let from_reg = i.code & 8 != 0;
    match i.code & 7 {
        class::LD if i.is_ld_imm64() => vec![i.dst()],
        class::LD if i.code >> 5 == 2 => vec![Reg::R6.n(), i.src()],
        class::LD => vec![Reg::R6.n()],
        class::LDX | class::STX => vec![i.src(), i.dst()],
        class::ST => vec![i.dst()],
        class::JMP | class::JMP32 if is_plain_jump(i.code) => Vec::new(),
        class::JMP | class::JMP32 if from_reg => vec![i.dst(), i.src()],
        class::JMP | class::JMP32 => vec![i.dst()],
        // The bit of the second operand says which byte order is meant.
        _ if from_reg && i.code >> 4 != 13 => vec![i.src(), i.dst()],
        _ => vec![i.dst()],
    }
}

/// Checks the immediate of an arithmetic operation: no division by zero, no shift by the width or more. The walk calls
/// this after it has read the operands, and before it checks that the destination can be written.
///
/// Kernel: `check_alu_op` (6.1 … 7.3).
///
/// # Errors
/// The kernel's refusal.
#[doc(alias = "check_alu_op")]
pub fn check_immediate(op: &Op) -> Result<(), Fault> {
    let Op::Alu { width, op, src: Operand::Imm(imm), .. } = *op else {
        return Ok(());
    };
    let bits = if width == Width::W64 { 64 } else { 32 };
    match op {
        AluOp::Div | AluOp::SDiv | AluOp::Mod | AluOp::SMod if imm == 0 => Err(Fault::new("div by zero")),
        AluOp::Lsh | AluOp::Rsh | AluOp::Arsh if !(0..bits).contains(&imm) => {
            Err(Fault::new(format!("invalid shift {imm}")))
        }
        _ => Ok(()),
    }
}
