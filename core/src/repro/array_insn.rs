//! Instructions as the macros of `include/linux/filter.h`, by name; what has none is written field by field.

use crate::isa::{AluOp, AtomicOp, Cond, Imm64, Insn, Op, Operand, Size, Width, listing, operations};
use crate::kernel::helpers::helper_name;
use crate::program::{Program, ProgramNames};

/// An operation as a macro, or two for the halves of an `ld_imm64`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Macro {
    /// Functions that start here.
    pub before: Option<String>,
    /// The macro.
    pub text: String,
    /// The operation in words, where the macro does not say it.
    pub note: Option<String>,
}

/// The macros of a program.
pub(super) fn macros(insns: &[Insn], program: &Program) -> Vec<Macro> {
    let lines = listing(insns, &ProgramNames::new(program));
    let ops = operations(insns);
    ops.iter()
        .zip(lines)
        .map(|((_, op), line)| {
            let (text, note) = match op {
                Ok(op) => match plain(op) {
                    Some(text) => (text, helper(op)),
                    None => (fields(op), Some(line.text)),
                },
                Err(insn) => (raw(*insn), None),
            };
            Macro { before: line.func, text, note }
        })
        .collect()
}

fn helper(op: &Op) -> Option<String> {
    match op {
        Op::CallHelper { id } => helper_name(*id).map(|name| format!("bpf_{name}")),
        _ => None,
    }
}

/// The macro that everybody uses, if there is one.
fn plain(op: &Op) -> Option<String> {
    Some(match *op {
        Op::Alu { width, op, dst, src } => {
            let bits = bits(width);
            match (op, src) {
                (AluOp::SDiv | AluOp::SMod, _) => return None,
                (AluOp::Mov, Operand::Reg(src)) => format!("BPF_MOV{bits}_REG({}, {})", reg(dst.n()), reg(src.n())),
                (AluOp::Mov, Operand::Imm(n)) => format!("BPF_MOV{bits}_IMM({}, {})", reg(dst.n()), number(n)),
                (op, Operand::Reg(src)) => {
                    format!("BPF_ALU{bits}_REG({}, {}, {})", alu(op), reg(dst.n()), reg(src.n()))
                }
                (op, Operand::Imm(n)) => format!("BPF_ALU{bits}_IMM({}, {}, {})", alu(op), reg(dst.n()), number(n)),
            }
        }
        Op::Neg { width, dst } => format!("BPF_ALU{}_IMM(BPF_NEG, {}, 0)", bits(width), reg(dst.n())),
        Op::LdImm64 { dst, imm: Imm64::Const(n) } => format!("BPF_LD_IMM64({}, {n:#x}ULL)", reg(dst.n())),
        Op::LdImm64 { dst, imm: Imm64::Map(map) } => format!("BPF_LD_MAP_FD({}, {map})", reg(dst.n())),
        Op::LdAbs { size: width, imm } => format!("BPF_LD_ABS({}, {})", size(width), number(imm)),
        Op::LdInd { size: width, src, imm } => {
            format!("BPF_LD_IND({}, {}, {})", size(width), reg(src.n()), number(imm))
        }
        Op::Load { size: width, signed: false, dst, base, off } => {
            format!("BPF_LDX_MEM({}, {}, {}, {off})", size(width), reg(dst.n()), reg(base.n()))
        }
        Op::Store { size: width, base, off, src: Operand::Reg(src) } => {
            format!("BPF_STX_MEM({}, {}, {}, {off})", size(width), reg(base.n()), reg(src.n()))
        }
        Op::Store { size: width, base, off, src: Operand::Imm(n) } => {
            format!("BPF_ST_MEM({}, {}, {off}, {})", size(width), reg(base.n()), number(n))
        }
        Op::Atomic { size: width, op, base, off, src } => {
            format!("BPF_ATOMIC_OP({}, {}, {}, {}, {off})", size(width), atomic(op)?, reg(base.n()), reg(src.n()))
        }
        Op::Jump { off, wide: false } => format!("BPF_JMP_A({off})"),
        Op::JumpIf { width, cond: sign, dst, src, off } => {
            let class = if width == Width::W64 { "JMP" } else { "JMP32" };
            match src {
                Operand::Reg(src) => {
                    format!("BPF_{class}_REG({}, {}, {}, {off})", cond(sign), reg(dst.n()), reg(src.n()))
                }
                Operand::Imm(n) => format!("BPF_{class}_IMM({}, {}, {}, {off})", cond(sign), reg(dst.n()), number(n)),
            }
        }
        Op::CallHelper { id } => format!("BPF_RAW_INSN(BPF_JMP | BPF_CALL, 0, 0, 0, {})", number(id)),
        Op::CallLocal { rel, off: 0 } => format!("BPF_CALL_REL({})", number(rel)),
        Op::Exit => "BPF_EXIT_INSN()".to_owned(),
        _ => return None,
    })
}

/// An operation field by field.
fn fields(op: &Op) -> String {
    let (first, second) = op.encode();
    if let Op::LdImm64 { dst, imm: Imm64::Func { rel, number: 0 } } = *op {
        let first = format!("BPF_LD | BPF_IMM | BPF_DW, {}, BPF_PSEUDO_FUNC, 0, {}", reg(dst.n()), number(rel));
        return format!("BPF_RAW_INSN({first}),\n\tBPF_RAW_INSN(0, 0, 0, 0, 0)");
    }
    match second {
        Some(second) => format!("{},\n\t{}", raw(first), raw(second)),
        None => raw(first),
    }
}

fn raw(insn: Insn) -> String {
    let Insn { code, off, imm, .. } = insn;
    format!("BPF_RAW_INSN({code:#04x}, {}, {}, {off}, {})", insn.dst(), insn.src(), number(imm))
}

fn reg(n: u8) -> String {
    format!("BPF_REG_{n}")
}

/// The lowest number has no literal of its own in C.
fn number(n: i32) -> String {
    if n == i32::MIN { "-2147483647 - 1".to_owned() } else { n.to_string() }
}

fn bits(width: Width) -> u32 {
    match width {
        Width::W32 => 32,
        Width::W64 => 64,
    }
}

fn size(size: Size) -> &'static str {
    match size {
        Size::B => "BPF_B",
        Size::H => "BPF_H",
        Size::W => "BPF_W",
        Size::Dw => "BPF_DW",
    }
}

fn alu(op: AluOp) -> &'static str {
    match op {
        AluOp::Add => "BPF_ADD",
        AluOp::Sub => "BPF_SUB",
        AluOp::Mul => "BPF_MUL",
        AluOp::Div | AluOp::SDiv => "BPF_DIV",
        AluOp::Or => "BPF_OR",
        AluOp::And => "BPF_AND",
        AluOp::Lsh => "BPF_LSH",
        AluOp::Rsh => "BPF_RSH",
        AluOp::Mod | AluOp::SMod => "BPF_MOD",
        AluOp::Xor => "BPF_XOR",
        AluOp::Mov => "BPF_MOV",
        AluOp::Arsh => "BPF_ARSH",
    }
}

fn cond(cond: Cond) -> &'static str {
    match cond {
        Cond::Eq => "BPF_JEQ",
        Cond::Gt => "BPF_JGT",
        Cond::Ge => "BPF_JGE",
        Cond::Set => "BPF_JSET",
        Cond::Ne => "BPF_JNE",
        Cond::SGt => "BPF_JSGT",
        Cond::SGe => "BPF_JSGE",
        Cond::Lt => "BPF_JLT",
        Cond::Le => "BPF_JLE",
        Cond::SLt => "BPF_JSLT",
        Cond::SLe => "BPF_JSLE",
    }
}

/// The operation of an atomic macro; the ordered accesses have none in older trees.
fn atomic(op: AtomicOp) -> Option<&'static str> {
    Some(match op {
        AtomicOp::Add { fetch: false } => "BPF_ADD",
        AtomicOp::Add { fetch: true } => "BPF_ADD | BPF_FETCH",
        AtomicOp::Or { fetch: false } => "BPF_OR",
        AtomicOp::Or { fetch: true } => "BPF_OR | BPF_FETCH",
        AtomicOp::And { fetch: false } => "BPF_AND",
        AtomicOp::And { fetch: true } => "BPF_AND | BPF_FETCH",
        AtomicOp::Xor { fetch: false } => "BPF_XOR",
        AtomicOp::Xor { fetch: true } => "BPF_XOR | BPF_FETCH",
        AtomicOp::Xchg => "BPF_XCHG",
        AtomicOp::CmpXchg => "BPF_CMPXCHG",
        AtomicOp::LoadAcquire | AtomicOp::StoreRelease => return None,
    })
}
