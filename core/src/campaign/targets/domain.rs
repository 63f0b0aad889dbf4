//! The abstract domain against numbers.

use crate::domain::{Branch, Scalar, Sides};
use crate::exec::alu;
use crate::isa::{AluOp, Cond, Endian, Width};
use crate::kernel::{KernelVersion, RangeModel, Rules};
use arbitrary::Unstructured;

/// What the abstract domain knows of a number holds of it, after any operations, under the rules of any kernel.
pub fn domain(bytes: &[u8]) {
    for version in KernelVersion::ALL {
        // The bytes run out: that is the end of the steps.
        let _ = domain_under(&Rules::of(version), &mut Unstructured::new(bytes));
    }
}

fn domain_under(rules: &Rules, u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let mut a = number(rules.range_model, rules, u)?;
    let mut b = number(rules.range_model, rules, u)?;
    for _ in 0..32 {
        if u.is_empty() {
            break;
        }
        step(rules, &mut a, &mut b, u)?;
        for (known, x) in [&a, &b] {
            assert!(known.contains(*x), "{}: {known:?} does not hold {x:#x}", rules.version);
        }
        std::mem::swap(&mut a, &mut b);
    }
    Ok(())
}

/// What is known of a number, and the number.
type Pair = (Scalar, u64);

fn number(model: RangeModel, rules: &Rules, u: &mut Unstructured<'_>) -> arbitrary::Result<Pair> {
    let x: u64 = if u.ratio(1, 2)? { u.arbitrary()? } else { (u.arbitrary::<i8>()? as i64) as u64 };
    let known = match u.int_in_range(0..=3)? {
        0 => Scalar::constant(model, x),
        1 => Scalar::unknown(model),
        2 => {
            let (below, above) = (u.arbitrary::<u16>()?, u.arbitrary::<u16>()?);
            let (min, max) = (x.saturating_sub(below.into()), x.saturating_add(above.into()));
            Scalar::from_urange(model, min, max, &rules.domain)
        }
        _ => {
            let (below, above) = (u.arbitrary::<u16>()?, u.arbitrary::<u16>()?);
            let (min, max) = ((x as i64).saturating_sub(below.into()), (x as i64).saturating_add(above.into()));
            Scalar::from_srange(model, min, max, &rules.domain)
        }
    };
    Ok((known, x))
}

fn step(rules: &Rules, a: &mut Pair, b: &mut Pair, u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let domain = &rules.domain;
    let width = if u.arbitrary()? { Width::W64 } else { Width::W32 };
    match u.int_in_range(0..=7)? {
        0..=3 => {
            let op = *u.choose(&AluOp::ALL)?;
            let bits = if width == Width::W64 { 64 } else { 32 };
            let shift = matches!(op, AluOp::Lsh | AluOp::Rsh | AluOp::Arsh);
            let divides = matches!(op, AluOp::Div | AluOp::SDiv | AluOp::Mod | AluOp::SMod);
            // The verifier refuses these before they reach the domain.
            let refused = b.0.as_const().is_some_and(|c| shift && c >= bits || divides && c == 0);
            if !refused {
                *a = (Scalar::alu(op, width, &a.0, &b.0, domain), alu::binary(width, op, a.1, b.1));
            }
        }
        4 => *a = (a.0.neg(width, domain), alu::truncate(width, a.1.wrapping_neg())),
        5 => {
            let kind = *u.choose(&[Endian::ToBe, Endian::ToLe, Endian::Bswap])?;
            let bits = *u.choose(&[16u8, 32, 64])?;
            *a = (a.0.endian(kind, bits, domain), alu::byte_order(kind, bits, a.1));
        }
        6 => {
            let bits = *u.choose(if width == Width::W64 { &[8u8, 16, 32][..] } else { &[8u8, 16][..] })?;
            *a = (a.0.sign_extend(width, bits, domain), alu::truncate(width, alu::sign_extend(bits, a.1)));
        }
        _ => {
            let cond = *u.choose(&Cond::ALL)?;
            let taken = alu::holds(width, cond, a.1, b.1);
            match Scalar::branch(cond, width, &a.0, &b.0, Sides::Distinct, domain) {
                Branch::Jumps => {
                    assert!(taken, "{}: {cond:?} always holds, but not of {:#x}, {:#x}", rules.version, a.1, b.1)
                }
                Branch::FallsThrough => {
                    assert!(!taken, "{}: {cond:?} never holds, but of {:#x}, {:#x}", rules.version, a.1, b.1);
                }
                Branch::Either { fall, jump } => (a.0, b.0) = if taken { jump } else { fall },
            }
        }
    }
    Ok(())
}
