//! Instructions in the kernel's own dialect: `(b7) r1 = 10`, `(15) if r1 == 0x5 goto pc+3`, `(85) call bpf_loop#181`.
//!
//! Stands for `print_bpf_insn` of `disasm.c` (6.1 … 7.3). The dialect did not change but for instructions that were added; one
//! that a kernel does not know stands there as what it would be without what was added.

use crate::isa::{Insn, opcode};
use crate::kernel::helpers::helper_log_name;
use crate::kernel::{InsnSet, Rules};
use std::fmt::Write;

const CLASSES: [&str; 8] = ["ld", "ldx", "st", "stx", "alu", "jmp", "jmp32", "alu64"];
const ALU: [&str; 16] =
    ["+=", "-=", "*=", "/=", "|=", "&=", "<<=", ">>=", "neg", "%=", "^=", "=", "s>>=", "endian", "", ""];
const JUMPS: [&str; 16] =
    ["jmp", "==", ">", ">=", "&", "!=", "s>", "s>=", "call", "exit", "<", "<=", "s<", "s<=", "", ""];
/// By the size bits of an opcode.
const SIZES: [&str; 4] = ["u32", "u16", "u8", "u64"];
const SIGNED_SIZES: [&str; 4] = ["s32", "s16", "s8", ""];

/// Writes an instruction; `next` is the one after it, the second half of an `ld_imm64`.
#[doc(alias = "print_bpf_insn")]
pub(super) fn write(out: &mut String, insn: Insn, next: Option<Insn>, rules: &Rules) {
    let code = insn.code;
    let known = rules.structure.insn_set;
    // Writing to a string cannot fail.
    let _ = match code & 7 {
        4 | 7 if known == InsnSet::V3 => alu(out, Insn { off: 0, ..insn }),
        4 | 7 => alu(out, insn),
        3 if code & 0xe0 == 0xc0 && matches!(insn.imm, 0x100 | 0x110) && known < InsnSet::Ordered => {
            write!(out, "BUG_{code:02x}")
        }
        3 => store_register(out, insn),
        2 if code & 0xe0 == 0x60 => {
            write!(out, "({code:02x}) *({} *)(r{} {:+}) = {}", size(code), insn.dst(), insn.off, insn.imm)
        }
        2 => write!(out, "BUG_st_{code:02x}"),
        1 => load(out, insn),
        0 => load_special(out, insn, next),
        5 | 6 => jump(out, insn, rules),
        class => write!(out, "({code:02x}) {}", CLASSES[usize::from(class)]),
    };
}

fn size(code: u8) -> &'static str {
    SIZES[usize::from(code >> 3 & 3)]
}

fn alu(out: &mut String, insn: Insn) -> std::fmt::Result {
    let (code, dst, src) = (insn.code, insn.dst(), insn.src());
    let wide = code & 7 == 7;
    let r = if wide { 'r' } else { 'w' };
    let (op, from_reg) = (code >> 4, code & 8 != 0);
    match op {
        0xd if wide => write!(out, "({code:02x}) r{dst} = bswap{} r{dst}", insn.imm),
        0xd => write!(out, "({code:02x}) r{dst} = {}{} r{dst}", if from_reg { "be" } else { "le" }, insn.imm),
        0x8 => write!(out, "({code:02x}) {r}{dst} = -{r}{dst}"),
        0xb if wide && from_reg && insn.off == 1 => {
            let imm = insn.imm as u32;
            write!(out, "({code:02x}) r{dst} = addr_space_cast(r{src}, {}, {})", imm >> 16, imm & 0xffff)
        }
        _ => {
            let signed = matches!(op, 3 | 9) && insn.off == 1;
            let sign = if signed { "s" } else { "" };
            write!(out, "({code:02x}) {r}{dst} {sign}{} ", ALU[usize::from(op)])?;
            match (from_reg, op, insn.off) {
                (true, 0xb, 8 | 16 | 32) => write!(out, "(s{}){r}{src}", insn.off),
                (true, ..) => write!(out, "{r}{src}"),
                (false, ..) => write!(out, "{}", insn.imm),
            }
        }
    }
}

fn load(out: &mut String, insn: Insn) -> std::fmt::Result {
    let code = insn.code;
    let size = match code & 0xe0 {
        0x60 => size(code),
        0x80 => SIGNED_SIZES[usize::from(code >> 3 & 3)],
        _ => "",
    };
    if size.is_empty() {
        return write!(out, "BUG_ldx_{code:02x}");
    }
    write!(out, "({code:02x}) r{} = *({size} *)(r{} {:+})", insn.dst(), insn.src(), insn.off)
}

fn store_register(out: &mut String, insn: Insn) -> std::fmt::Result {
    let (code, src) = (insn.code, insn.src());
    let place = format!("*({} *)(r{} {:+})", size(code), insn.dst(), insn.off);
    match (code & 0xe0, insn.imm) {
        (0x60, _) => write!(out, "({code:02x}) {place} = r{src}"),
        (0xc0, op) => atomic(out, insn, op),
        _ => write!(out, "BUG_{code:02x}"),
    }
}

fn atomic(out: &mut String, insn: Insn, op: i32) -> std::fmt::Result {
    let (code, src) = (insn.code, insn.src());
    let wide = if code >> 3 & 3 == 3 { "64" } else { "" };
    let place = format!("({} *)(r{} {:+})", size(code), insn.dst(), insn.off);
    let (sign, name) = match op & 0xf0 {
        0x00 => ("+=", "add"),
        0x40 => ("|=", "or"),
        0x50 => ("&=", "and"),
        0xa0 => ("^=", "xor"),
        _ => ("", ""),
    };
    match op {
        0x00 | 0x40 | 0x50 | 0xa0 => write!(out, "({code:02x}) lock *{place} {sign} r{src}"),
        0x01 | 0x41 | 0x51 | 0xa1 => write!(out, "({code:02x}) r{src} = atomic{wide}_fetch_{name}({place}, r{src})"),
        0xf1 => write!(out, "({code:02x}) r0 = atomic{wide}_cmpxchg({place}, r0, r{src})"),
        0xe1 => write!(out, "({code:02x}) r{src} = atomic{wide}_xchg({place}, r{src})"),
        0x100 => {
            write!(out, "({code:02x}) r{} = load_acquire(({} *)(r{src} {:+}))", insn.dst(), size(code), insn.off)
        }
        0x110 => write!(out, "({code:02x}) store_release({place}, r{src})"),
        _ => write!(out, "BUG_{code:02x}"),
    }
}

fn load_special(out: &mut String, insn: Insn, next: Option<Insn>) -> std::fmt::Result {
    let code = insn.code;
    match code & 0xe0 {
        0x20 => write!(out, "({code:02x}) r0 = *({} *)skb[{}]", size(code), insn.imm),
        0x40 => write!(out, "({code:02x}) r0 = *({} *)skb[r{} + {}]", size(code), insn.src(), insn.imm),
        0x00 if insn.is_ld_imm64() => {
            let high = next.map_or(0, |next| next.imm);
            let value = u64::from(high as u32) << 32 | u64::from(insn.imm as u32);
            // An address, which only the kernel knows.
            let is_address = !matches!(insn.src(), 0 | opcode::PSEUDO_FUNC);
            write!(out, "({code:02x}) r{} = {:#x}", insn.dst(), if is_address { 0 } else { value })
        }
        _ => write!(out, "BUG_ld_{code:02x}"),
    }
}

fn jump(out: &mut String, insn: Insn, rules: &Rules) -> std::fmt::Result {
    let code = insn.code;
    let r = if code & 7 == 6 { 'w' } else { 'r' };
    match (code, insn.src()) {
        (opcode::CALL, opcode::PSEUDO_CALL) => write!(out, "({code:02x}) call pc{:+}", insn.imm),
        (opcode::CALL, 0) => write!(out, "({code:02x}) call {}#{}", helper_log_name(insn.imm, rules), insn.imm),
        (opcode::CALL, _) => write!(out, "({code:02x}) call kernel-function#{}", insn.imm),
        (opcode::JA, _) => write!(out, "({code:02x}) goto pc{:+}", insn.off),
        (0x0d, _) => write!(out, "({code:02x}) gotox r{}", insn.dst()),
        (opcode::MAY_GOTO, 0) => write!(out, "({code:02x}) may_goto pc{:+}", insn.off),
        (opcode::JA32, _) => write!(out, "({code:02x}) gotol pc{:+}", insn.imm),
        (opcode::EXIT, _) => write!(out, "({code:02x}) exit"),
        (_, src) => {
            write!(out, "({code:02x}) if {r}{} {} ", insn.dst(), JUMPS[usize::from(code >> 4)])?;
            if code & 8 != 0 { write!(out, "{r}{src}") } else { write!(out, "{:#x}", insn.imm as u32) }?;
            write!(out, " goto pc{:+}", insn.off)
        }
    }
}
