//! Soundness: whatever can happen to numbers is allowed by what is known afterwards.
//!
//! `small` proves known bits and ranges on all values of a few bits; `pairs` tries every operation of [`Scalar`] on all pairs of a
//! family of 64-bit scalars with the numbers at their borders; `machine` runs random programs on numbers and on
//! scalars side by side. What an operation does to numbers is written here again, from the instruction set's description.

mod machine;
mod pairs;
mod small;

use super::{Scalar, Tnum};
use crate::isa::{AluOp, Cond, Endian, Width};
use crate::kernel::{DomainRules, KernelVersion, RangeModel, Rules};

const WIDTHS: [Width; 2] = [Width::W32, Width::W64];

/// The rules of all kernels, and a few mixtures: `--set` makes any.
fn all_rules() -> Vec<(String, RangeModel, DomainRules)> {
    let mut all: Vec<_> = KernelVersion::ALL
        .into_iter()
        .map(|version| {
            let rules = Rules::of(version);
            (version.to_string(), rules.range_model, rules.domain)
        })
        .collect();
    let (old, new) = (all[0].clone(), all[3].clone());
    all.push(("7.3 with min/max".to_owned(), RangeModel::MinMax, new.2));
    all.push(("6.1 with arcs".to_owned(), RangeModel::Circular, old.2));
    all
}

/// What a binary operation does.
fn concrete_alu(op: AluOp, width: Width, a: u64, b: u64) -> u64 {
    match width {
        Width::W64 => match op {
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
        },
        Width::W32 => {
            let (a, b) = (a as u32, b as u32);
            u64::from(match op {
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
            })
        }
    }
}

/// Whether a comparison holds.
fn concrete_cond(cond: Cond, width: Width, a: u64, b: u64) -> bool {
    let (a, b, sa, sb) = match width {
        Width::W64 => (a, b, a as i64, b as i64),
        Width::W32 => (u64::from(a as u32), u64::from(b as u32), i64::from(a as i32), i64::from(b as i32)),
    };
    match cond {
        Cond::Eq => a == b,
        Cond::Ne => a != b,
        Cond::Set => a & b != 0,
        Cond::Gt => a > b,
        Cond::Ge => a >= b,
        Cond::Lt => a < b,
        Cond::Le => a <= b,
        Cond::SGt => sa > sb,
        Cond::SGe => sa >= sb,
        Cond::SLt => sa < sb,
        Cond::SLe => sa <= sb,
    }
}

/// What a byte-order conversion does on a little-endian machine.
fn concrete_endian(kind: Endian, bits: u8, x: u64) -> u64 {
    let swapped = x.swap_bytes() >> (64 - u32::from(bits));
    match kind {
        Endian::ToLe if bits == 64 => x,
        Endian::ToLe => x & ((1 << bits) - 1),
        Endian::ToBe | Endian::Bswap => swapped,
    }
}

/// The low `bits`, sign-extended to a width.
fn concrete_sign_extend(width: Width, bits: u8, x: u64) -> u64 {
    let spare = 64 - u32::from(bits);
    let extended = ((x << spare) as i64 >> spare) as u64;
    match width {
        Width::W64 => extended,
        Width::W32 => u64::from(extended as u32),
    }
}

/// Numbers at which something changes.
fn pool() -> Vec<u64> {
    let mut pool: Vec<u64> = (0..10).chain([15, 16, 31, 32, 63, 64, 127, 128, 255, 256]).collect();
    for edge in [1u64 << 7, 1 << 15, 1 << 16, 1 << 31, 1 << 32, 1 << 33, 1 << 62, 1 << 63] {
        pool.extend([edge - 1, edge, edge + 1]);
    }
    pool.extend([0x5555_5555_5555_5555, 0xaaaa_aaaa_aaaa_aaaa, 0x1234_5678_9abc_def0, 0xffff_ffff_0000_0000]);
    let negated: Vec<u64> = pool.iter().map(|x| x.wrapping_neg()).collect();
    pool.extend(negated);
    pool.sort_unstable();
    pool.dedup();
    pool
}

/// The numbers of a pool that a scalar allows, and those at its ends.
fn members(scalar: &Scalar, pool: &[u64]) -> Vec<u64> {
    let ends = [scalar.umin(), scalar.umax(), scalar.smin() as u64, scalar.smax() as u64, scalar.bits().min()];
    let mut members: Vec<u64> = pool.iter().copied().chain(ends).filter(|x| scalar.contains(*x)).collect();
    members.sort_unstable();
    members.dedup();
    members
}

/// Scalars of all kinds: constants, ranges of every reading, known bits, and what operations make of them.
fn family(model: RangeModel, rules: &DomainRules) -> Vec<Scalar> {
    let constant = |x| Scalar::constant(model, x);
    let unknown = Scalar::unknown(model);
    let mut family = vec![unknown];
    family.extend([0, 1, 3, 31, 32, 63, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 1 << 32, 1 << 63].map(constant));
    family
        .extend([u64::MAX, u64::MAX - 1, (i64::MAX) as u64, (-7i64) as u64, i64::from(i32::MIN) as u64].map(constant));
    for (min, max) in [
        (0, 1),
        (0, 63),
        (1, 255),
        (0, 0xffff_ffff),
        (0x7fff_fff0, 0x8000_0010),
        (0xffff_fff0, 0x1_0000_0010),
        (1, u64::MAX),
        (u64::MAX - 16, u64::MAX),
        ((1 << 63) - 8, (1 << 63) + 8),
    ] {
        family.push(Scalar::from_urange(model, min, max, rules));
    }
    let (i32_min, i32_max) = (i64::from(i32::MIN), i64::from(i32::MAX));
    for (min, max) in
        [(-1, 0), (-1, 1), (-8, 7), (i32_min, i32_max), (i32_min - 9, i32_min + 9), (i64::MIN, -1), (-1, i64::MAX)]
    {
        family.push(Scalar::from_srange(model, min, max, rules));
    }
    let ranges = family.clone();
    let with = |op, width, x: &Scalar, y: u64| Scalar::alu(op, width, x, &constant(y), rules);
    family.extend([0xff, 0xf0, !7, 0xffff_ffff_0000_0000, 1 << 63].map(|m| with(AluOp::And, Width::W64, &unknown, m)));
    family.extend([1, 0xff00, 1 << 63].map(|m| with(AluOp::Or, Width::W64, &unknown, m)));
    family.push(with(AluOp::Lsh, Width::W64, &unknown, 32));
    family.push(with(AluOp::Rsh, Width::W64, &unknown, 33));
    family.push(with(AluOp::Arsh, Width::W64, &unknown, 63));
    family.push(with(AluOp::Add, Width::W32, &unknown, 1));
    family.push(unknown.sign_extend(Width::W64, 8, rules));
    family.push(unknown.sign_extend(Width::W32, 16, rules));
    for x in ranges.iter().rev().take(6) {
        family.push(x.mov32(rules));
        family.push(with(AluOp::And, Width::W64, x, 0x1_0000_00f0));
    }
    family.sort_by_key(|s| format!("{s:?}"));
    family.dedup();
    family
}

/// Fails with all that matters.
fn expect_member(scalar: &Scalar, x: u64, what: impl Fn() -> String) {
    assert!(scalar.contains(x), "{}: {x:#x} is not in {scalar:?}", what());
}

#[test]
fn a_family_holds_what_it_should() {
    for (name, model, rules) in all_rules() {
        let family = family(model, &rules);
        let pool = pool();
        assert!(family.len() > 40, "{name}: {}", family.len());
        for scalar in &family {
            assert!(!members(scalar, &pool).is_empty(), "{name}: {scalar:?}");
        }
        assert_eq!(Scalar::unknown(model).bits(), Tnum::UNKNOWN);
    }
}
