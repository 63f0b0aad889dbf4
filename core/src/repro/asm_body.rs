//! The body of a function as inline assembly. What the assemblers of clang 14 have no words for stands as bytes.

use super::asm::push;
use super::asm_maps::{self, MapForm, Maps};
use super::words;
use crate::isa::{AluOp, AtomicOp, Cond, Endian, Imm64, Insn, InsnIdx, Listed, Op, Operand};
use crate::kernel::helpers::helper_name;
use std::collections::{BTreeMap, BTreeSet};

/// Names in C.
pub(super) struct Names {
    /// Of functions, by first instruction.
    pub funcs: BTreeMap<InsnIdx, String>,
    /// Of maps.
    pub maps: Maps,
}

/// A function as inline assembly.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Body {
    lines: String,
    /// Operands, as they are written after the text.
    operands: BTreeSet<String>,
    /// Helpers that are called by name.
    pub helpers: BTreeSet<i32>,
}

impl Names {
    /// The function that starts at an instruction.
    pub fn func(&self, start: InsnIdx) -> &str {
        self.funcs.get(&start).map_or("prog", String::as_str)
    }
}

impl Body {
    /// A function's operations. What cannot be said is added to `left_out`.
    pub fn new(ops: &[Listed], names: &Names, left_out: &mut Vec<String>) -> Body {
        let starts: BTreeSet<InsnIdx> = ops.iter().map(|(at, _)| *at).collect();
        let jump = |at: InsnIdx, op: &Op| match op {
            Op::Jump { .. } | Op::JumpIf { .. } if in_words(op) => op.target(at).filter(|t| starts.contains(t)),
            _ => None,
        };
        let labels: BTreeSet<InsnIdx> = ops.iter().filter_map(|(at, op)| jump(*at, op.as_ref().ok()?)).collect();
        let mut body = Body::default();
        for (at, op) in ops {
            if labels.contains(at) {
                push(&mut body.lines, format_args!("\"l{at}_%=:\"\n"));
            }
            match op {
                Ok(op) => {
                    let text = match jump(*at, op) {
                        Some(target) => op.with_distance(0).map(|op| format!("{}l{target}_%=", without_distance(&op))),
                        None => body.operation(*at, op, names),
                    };
                    match text {
                        Some(text) => body.line(&text, None),
                        None => {
                            left_out.extend(needs(*at, op));
                            let (first, second) = op.encode();
                            body.bytes(first, &op.to_string());
                            second.iter().for_each(|second| body.bytes(*second, ""));
                        }
                    }
                }
                Err(insn) => body.bytes(*insn, "no operation"),
            }
        }
        body
    }

    /// The lines of the assembly.
    pub fn lines(&self) -> &str {
        &self.lines
    }

    /// The lines without the exit that is the last one.
    pub fn lines_before_exit(&self) -> &str {
        self.lines.strip_suffix("\t\"exit;\"\n").unwrap_or(&self.lines)
    }

    /// Some of the lines as a statement, with the operands that it sets and the registers that it uses.
    pub fn statement(&self, lines: &str, outputs: &str, clobbers: &str, out: &mut String) {
        let operands: Vec<&str> = self.operands.iter().map(String::as_str).collect();
        out.push_str("\tasm volatile (\n");
        out.push_str(if lines.is_empty() { "\t\"\"\n" } else { lines });
        let operands = if operands.is_empty() { String::new() } else { format!(" {}", operands.join(",\n\t  ")) };
        push(out, format_args!("\t:{outputs}\n\t:{operands}\n\t: {clobbers});\n"));
    }

    fn line(&mut self, text: &str, comment: Option<&str>) {
        push(&mut self.lines, format_args!("\t\"{text};\""));
        if let Some(comment) = comment.filter(|c| !c.is_empty()) {
            push(&mut self.lines, format_args!(" /* {} */", words::comment(comment)));
        }
        self.lines.push('\n');
    }

    fn bytes(&mut self, insn: Insn, comment: &str) {
        self.line(&format!(".8byte {:#018x}", u64::from_le_bytes(insn.to_bytes())), Some(comment));
    }

    /// The words for an operation that is no jump within its function; `None` when there are none.
    fn operation(&mut self, at: InsnIdx, op: &Op, names: &Names) -> Option<String> {
        if !in_words(op) {
            return None;
        }
        match *op {
            Op::CallHelper { id } => Some(match helper_name(id).filter(|_| id > 0) {
                Some(name) => {
                    self.helpers.insert(id);
                    self.operands.insert(format!("__imm(bpf_{name})"));
                    format!("call %[bpf_{name}]")
                }
                None => op.to_string(),
            }),
            Op::CallLocal { off: 0, .. } => Some(format!("call {}", callee(at, op, names)?)),
            Op::LdImm64 { dst, imm } => match imm {
                Imm64::Const(_) => Some(op.to_string()),
                Imm64::Func { number: 0, .. } => Some(format!("{dst} = {} ll", callee(at, op, names)?)),
                Imm64::Map(map) => {
                    let name = names.maps.name(map, MapForm::Defined)?;
                    self.operands.insert(format!("__imm_addr({name})"));
                    Some(format!("{dst} = %[{name}] ll"))
                }
                Imm64::MapValue { map, off } => {
                    let name = names.maps.name(map, MapForm::Variable)?;
                    if off != 0 {
                        return Some(format!("{dst} = {} ll", asm_maps::place(name, off)));
                    }
                    self.operands.insert(format!("__imm_addr({name})"));
                    Some(format!("{dst} = %[{name}] ll"))
                }
                _ => None,
            },
            Op::CallLocal { .. } => None,
            _ => Some(op.to_string()),
        }
    }
}

/// A function by name; main cannot be referred to in an object file.
fn callee<'n>(at: InsnIdx, op: &Op, names: &'n Names) -> Option<&'n str> {
    op.target(at).filter(|t| t.0 != 0).and_then(|t| names.funcs.get(&t)).map(String::as_str)
}

/// A jump with the distance `+0`, without it.
fn without_distance(op: &Op) -> String {
    let text = op.to_string();
    text.strip_suffix("+0").map(str::to_owned).unwrap_or(text)
}

/// What must be done by hand for an operation that stands as bytes, if anything.
fn needs(at: InsnIdx, op: &Op) -> Option<String> {
    match *op {
        Op::LdImm64 { imm: Imm64::Map(map) | Imm64::MapValue { map, .. }, .. } => {
            Some(format!("Instruction {at} must be given the file descriptor of map {map} by hand."))
        }
        Op::CallLocal { .. } | Op::LdImm64 { imm: Imm64::Func { .. }, .. } => {
            Some(format!("Instruction {at} refers to a function by a distance that a linker does not keep right."))
        }
        Op::CallKfunc { id, .. } => Some(format!("Instruction {at} calls the kernel function with BTF id {id}.")),
        _ => None,
    }
}

/// Whether the assembler of clang 14 (`-mcpu=v3`) and later ones read our text for an operation.
fn in_words(op: &Op) -> bool {
    match op {
        Op::Alu { op, .. } => !matches!(op, AluOp::SDiv | AluOp::SMod | AluOp::Mod),
        Op::Endian { kind, .. } => *kind != Endian::Bswap,
        Op::Load { signed, .. } => !signed,
        Op::Store { src, .. } => matches!(src, Operand::Reg(_)),
        Op::Atomic { op, .. } => matches!(
            op,
            AtomicOp::Add { fetch: false }
                | AtomicOp::Or { fetch: false }
                | AtomicOp::And { fetch: false }
                | AtomicOp::Xor { fetch: false }
        ),
        Op::Jump { wide, .. } => !wide,
        Op::JumpIf { cond, .. } => *cond != Cond::Set,
        Op::MovSx { .. } | Op::MayGoto { .. } | Op::AddrSpaceCast { .. } | Op::CallKfunc { .. } => false,
        Op::LdInd { imm, .. } => *imm == 0,
        Op::CallHelper { id } => *id >= 0,
        Op::LdImm64 { .. } | Op::Neg { .. } | Op::LdAbs { .. } | Op::CallLocal { .. } | Op::Exit => true,
    }
}
