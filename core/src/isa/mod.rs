//! The eBPF instruction set, version 4 included: the eight-byte form, the decoded operation, and text.
//!
//! Stands for `struct bpf_insn` and the opcode tables of `include/uapi/linux/bpf.h` (6.1 … 7.3). What an
//! instruction *does* is not here: the verifier and the executor each say that on their own.
//!
//! Invariants: [`Insn::from_bytes`] and [`Insn::to_bytes`] are inverse; [`decode()`] is total; an
//! operation that decodes encodes to the same bytes.

mod asm;
mod decode;
mod disasm;
mod insn;
mod op;

pub use asm::{AnyFields, AsmError, Assembled, Symbol, SymbolKind, assemble, assemble_pattern, is_label};
pub use decode::{DecodeError, decode};
pub use disasm::{Listed, ListedInsn, Names, NoNames, default_func_name, disassemble, listing, operations};
pub use insn::{Insn, InsnIdx, opcode};
pub use op::{AluOp, AtomicOp, Cond, Endian, Imm64, Op, Operand, Reg, Size, Width};
