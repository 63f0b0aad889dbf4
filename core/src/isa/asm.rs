//! The assembler: one line of LLVM's BPF dialect to one operation.
//!
//! The dialect is that of `llvm-mc -arch=bpf` up to `-mcpu=v4`. What LLVM has no word for is written as a symbol, so that
//! llvm-mc can still read the line:
//!
//! | text | means |
//! | --- | --- |
//! | `call pc+5`, `r2 = pc+5 ll` | local call and function reference by distance, as bpftool prints them |
//! | `r1 = map.NAME ll`, `r1 = map.3 ll` | map reference, by name or index |
//! | `r1 = map.NAME+8 ll` | address in a map's value |
//! | `call kfunc.ID`, `r1 = btf.ID ll`, `r1 = map_idx.N[+OFF] ll` | BTF ids, map by index of file descriptors |
//! | `cb@3`, `pc@3+5`, `kfunc.7@1` | the field besides: `off` of a call, the second `imm` of a function reference |
//!
//! Left out: `callx` and the `gcc` dialect. Invariant: what the disassembler prints for an operation that was
//! decoded assembles to the same operation.

mod lex;
mod operation;
mod parser;
mod value;

use super::op::{AluOp, Cond, Op, Reg, Width};
use parser::Parser;
use std::fmt;

/// Why a line is no operation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AsmError {
    /// Where in the line: characters from 1.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

impl AsmError {
    fn new(column: u32, message: impl Into<String>) -> AsmError {
        AsmError { column, message: message.into(), hint: None }
    }

    fn hint(mut self, hint: impl Into<String>) -> AsmError {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for AsmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.column, self.message)
    }
}

impl std::error::Error for AsmError {}

/// What a symbol stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SymbolKind {
    /// The target of a jump.
    Jump,
    /// What is called: a function of the program or, when there is none of that name, a helper.
    Call,
    /// A function of the program whose address is loaded.
    Func,
    /// A map, without `map.`
    Map,
}

/// A name in a line that only the whole program can resolve.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Symbol<'a> {
    /// What it stands for.
    pub kind: SymbolKind,
    /// The name.
    pub name: &'a str,
    /// Where it stands: characters from 1.
    pub column: u32,
}

/// Which fields of a pattern take any value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AnyFields {
    /// The offset.
    pub off: bool,
    /// The immediate, of the first half for an `ld_imm64`.
    pub imm: bool,
    /// The immediate of the second half of an `ld_imm64`.
    pub imm_hi: bool,
}

/// One assembled line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Assembled<'a> {
    /// The operation; the field of an unresolved symbol is 0, as are those that take any value.
    pub op: Op,
    /// The symbol that is still to be resolved.
    pub symbol: Option<Symbol<'a>>,
    /// Fields written as `?`.
    pub any: AnyFields,
}

/// Assembles one operation. The text holds neither labels nor comments.
pub fn assemble(text: &str) -> Result<Assembled<'_>, AsmError> {
    Parser::new(text, false)?.line()
}

/// Assembles a pattern: one operation in which a number may be `?`, any value.
pub fn assemble_pattern(text: &str) -> Result<Assembled<'_>, AsmError> {
    Parser::new(text, true)?.line()
}

/// Whether a text can be a label: a symbol that means nothing else.
pub fn is_label(name: &str) -> bool {
    const RESERVED: [&str; 4] = ["map.", "map_idx.", "btf.", "kfunc."];
    name.starts_with(lex::starts_name)
        && name.chars().all(|c| lex::starts_name(c) || c.is_ascii_digit())
        && name != "pc"
        && !RESERVED.iter().any(|prefix| name.starts_with(prefix))
        && parser::register(name).is_none()
}

/// The binary operations by their sign; a move is written `=`.
pub(super) const ALU_OPS: [(&str, AluOp); 13] = [
    ("+=", AluOp::Add),
    ("-=", AluOp::Sub),
    ("*=", AluOp::Mul),
    ("/=", AluOp::Div),
    ("s/=", AluOp::SDiv),
    ("|=", AluOp::Or),
    ("&=", AluOp::And),
    ("<<=", AluOp::Lsh),
    (">>=", AluOp::Rsh),
    ("%=", AluOp::Mod),
    ("s%=", AluOp::SMod),
    ("^=", AluOp::Xor),
    ("s>>=", AluOp::Arsh),
];

/// The comparisons by their sign.
pub(super) const CONDS: [(&str, Cond); 11] = [
    ("==", Cond::Eq),
    (">", Cond::Gt),
    (">=", Cond::Ge),
    ("&", Cond::Set),
    ("!=", Cond::Ne),
    ("s>", Cond::SGt),
    ("s>=", Cond::SGe),
    ("<", Cond::Lt),
    ("<=", Cond::Le),
    ("s<", Cond::SLt),
    ("s<=", Cond::SLe),
];

/// A register as it is written for a width.
pub(super) fn shown(width: Width, reg: Reg) -> String {
    match width {
        Width::W32 => format!("w{}", reg.n()),
        Width::W64 => format!("r{}", reg.n()),
    }
}

#[cfg(test)]
mod tests;
