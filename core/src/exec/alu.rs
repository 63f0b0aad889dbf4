//! What arithmetic and comparisons mean, on values.
//!
//! Stands for the ALU and jump cases of `___bpf_prog_run` in `kernel/bpf/core.c` together with the checks that the
//! verifier's fix-ups put around divisions (6.1 … 7.3). Written for the executor alone: the verifier has its own.
//!
//! Invariants: every function is total; a result of width 32 has its upper half clear.

use crate::isa::{AluOp, Cond, Endian, Width};

/// `a op b` in the given width. Of a 32-bit operation only the low halves of `a` and `b` count.
#[inline(always)]
pub fn binary(width: Width, op: AluOp, a: u64, b: u64) -> u64 {
    match width {
        Width::W64 => binary64(op, a, b),
        Width::W32 => u64::from(binary32(op, a as u32, b as u32)),
    }
}

#[inline(always)]
fn binary64(op: AluOp, a: u64, b: u64) -> u64 {
    match op {
        AluOp::Add => a.wrapping_add(b),
        AluOp::Sub => a.wrapping_sub(b),
        AluOp::Mul => a.wrapping_mul(b),
        AluOp::Div => a.checked_div(b).unwrap_or(0),
        AluOp::SDiv if b == 0 => 0,
        AluOp::SDiv => (a as i64).wrapping_div(b as i64) as u64,
        AluOp::Or => a | b,
        AluOp::And => a & b,
        AluOp::Lsh => a << (b & 63),
        AluOp::Rsh => a >> (b & 63),
        AluOp::Mod => a.checked_rem(b).unwrap_or(a),
        AluOp::SMod if b == 0 => a,
        AluOp::SMod => (a as i64).wrapping_rem(b as i64) as u64,
        AluOp::Xor => a ^ b,
        AluOp::Mov => b,
        AluOp::Arsh => ((a as i64) >> (b & 63)) as u64,
    }
}

#[inline(always)]
fn binary32(op: AluOp, a: u32, b: u32) -> u32 {
    match op {
        AluOp::Add => a.wrapping_add(b),
        AluOp::Sub => a.wrapping_sub(b),
        AluOp::Mul => a.wrapping_mul(b),
        AluOp::Div => a.checked_div(b).unwrap_or(0),
        AluOp::SDiv if b == 0 => 0,
        AluOp::SDiv => (a as i32).wrapping_div(b as i32) as u32,
        AluOp::Or => a | b,
        AluOp::And => a & b,
        AluOp::Lsh => a << (b & 31),
        AluOp::Rsh => a >> (b & 31),
        AluOp::Mod => a.checked_rem(b).unwrap_or(a),
        AluOp::SMod if b == 0 => a,
        AluOp::SMod => (a as i32).wrapping_rem(b as i32) as u32,
        AluOp::Xor => a ^ b,
        AluOp::Mov => b,
        AluOp::Arsh => ((a as i32) >> (b & 31)) as u32,
    }
}

/// Whether the comparison holds in the given width.
#[inline(always)]
pub fn holds(width: Width, cond: Cond, a: u64, b: u64) -> bool {
    // A 32-bit value keeps its unsigned order when it is zero-extended, and its signed order when it is sign-extended.
    let (a, b, signed_a, signed_b) = match width {
        Width::W64 => (a, b, a as i64, b as i64),
        Width::W32 => {
            let (a, b) = (a as u32, b as u32);
            (u64::from(a), u64::from(b), i64::from(a as i32), i64::from(b as i32))
        }
    };
    match cond {
        Cond::Eq => a == b,
        Cond::Gt => a > b,
        Cond::Ge => a >= b,
        Cond::Set => a & b != 0,
        Cond::Ne => a != b,
        Cond::SGt => signed_a > signed_b,
        Cond::SGe => signed_a >= signed_b,
        Cond::Lt => a < b,
        Cond::Le => a <= b,
        Cond::SLt => signed_a < signed_b,
        Cond::SLe => signed_a <= signed_b,
    }
}

/// The low `bits` of `value` sign-extended to 64 bits; all of it when `bits` is no narrower size.
#[inline(always)]
pub fn sign_extend(bits: u8, value: u64) -> u64 {
    match bits {
        8 => i64::from(value as i8) as u64,
        16 => i64::from(value as i16) as u64,
        32 => i64::from(value as i32) as u64,
        _ => value,
    }
}

/// A result cut to its width.
#[inline(always)]
pub fn truncate(width: Width, value: u64) -> u64 {
    match width {
        Width::W64 => value,
        Width::W32 => u64::from(value as u32),
    }
}

/// A byte-order conversion of the low `bits` (16, 32 or 64) on a little-endian machine.
pub fn byte_order(kind: Endian, bits: u8, value: u64) -> u64 {
    match (kind, bits) {
        (Endian::ToLe, 16) => u64::from(value as u16),
        (Endian::ToLe, 32) => u64::from(value as u32),
        (Endian::ToLe, _) => value,
        (_, 16) => u64::from((value as u16).swap_bytes()),
        (_, 32) => u64::from((value as u32).swap_bytes()),
        _ => value.swap_bytes(),
    }
}
