//! Every operation on all pairs of a family of 64-bit scalars.

use super::*;
use crate::domain::{Branch, Sides};
use crate::kernel::{BranchKnown, Invariants};

#[test]
fn binary_operations() {
    let pool = pool();
    for (name, model, rules) in all_rules() {
        let family = family(model, &rules);
        let members: Vec<Vec<u64>> = family.iter().map(|s| members(s, &pool)).collect();
        for (a, xs) in family.iter().zip(&members) {
            for (b, ys) in family.iter().zip(&members) {
                for op in AluOp::ALL {
                    for width in WIDTHS {
                        let out = Scalar::alu(op, width, a, b, &rules);
                        let what = || format!("{name}: {op:?} {width:?} of {a:?} and {b:?}");
                        for x in xs {
                            for y in ys {
                                expect_member(&out, concrete_alu(op, width, *x, *y), what);
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn unary_operations() {
    let pool = pool();
    for (name, model, rules) in all_rules() {
        for scalar in family(model, &rules) {
            let members = members(&scalar, &pool);
            let each = |out: Scalar, what: &str, concrete: &dyn Fn(u64) -> u64| {
                for x in &members {
                    expect_member(&out, concrete(*x), || format!("{name}: {what} of {scalar:?} from {x:#x}"));
                }
            };
            each(scalar.sync(&rules), "sync", &|x| x);
            each(scalar.without_ranges(), "without ranges", &|x| x);
            each(scalar.without_32(), "without the 32-bit range", &|x| x);
            each(scalar.learn_bits_32(), "learning bits", &|x| x);
            each(scalar.to_unknown(), "unknown", &|x| x);
            each(scalar.mov32(&rules), "32-bit move", &|x| u64::from(x as u32));
            each(scalar.neg(Width::W64, &rules), "negation", &u64::wrapping_neg);
            each(scalar.neg(Width::W32, &rules), "32-bit negation", &|x| u64::from((x as u32).wrapping_neg()));
            for bytes in [1, 2, 4] {
                let mask = (1u64 << (8 * bytes)) - 1;
                each(scalar.truncate_to(bytes, &rules), "truncation", &|x| x & mask);
            }
            for (width, bits) in
                [(Width::W64, 8), (Width::W64, 16), (Width::W64, 32), (Width::W32, 8), (Width::W32, 16)]
            {
                let out = scalar.sign_extend(width, bits, &rules);
                each(out, "sign extension", &|x| concrete_sign_extend(width, bits, x));
            }
            for kind in [Endian::ToLe, Endian::ToBe, Endian::Bswap] {
                for bits in [16, 32, 64] {
                    each(scalar.endian(kind, bits, &rules), "byte order", &|x| concrete_endian(kind, bits, x));
                }
            }
        }
    }
}

/// A comparison that holds leaves its operands possible; one whose outcome is known has that outcome.
#[test]
fn branches() {
    let pool = pool();
    for (name, model, rules) in all_rules() {
        let family = family(model, &rules);
        let members: Vec<Vec<u64>> = family.iter().map(|s| members(s, &pool)).collect();
        for (a, xs) in family.iter().zip(&members) {
            for (b, ys) in family.iter().zip(&members) {
                for cond in Cond::ALL {
                    for width in WIDTHS {
                        let branch = Scalar::branch(cond, width, a, b, Sides::Distinct, &rules);
                        let refined =
                            [false, true].map(|t| Scalar::refine(cond, width, t, (a, b), Sides::Distinct, &rules));
                        let what = || format!("{name}: {cond:?} {width:?} of {a:?} and {b:?}");
                        for x in xs {
                            for y in ys {
                                let taken = concrete_cond(cond, width, *x, *y);
                                match branch {
                                    Branch::Jumps => assert!(taken, "{} with {x:#x} and {y:#x}", what()),
                                    Branch::FallsThrough => assert!(!taken, "{} with {x:#x} and {y:#x}", what()),
                                    Branch::Either { .. } => {}
                                }
                                let (p, q) = &refined[usize::from(taken)];
                                expect_member(p, *x, what);
                                expect_member(q, *y, what);
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_register_compared_with_itself() {
    let pool = pool();
    for (name, model, rules) in all_rules() {
        for scalar in family(model, &rules) {
            for cond in Cond::ALL {
                for width in WIDTHS {
                    let sides = Sides::SameRegister;
                    let known = Scalar::compare(cond, width, &scalar, &scalar, sides, &rules);
                    for x in members(&scalar, &pool) {
                        let taken = concrete_cond(cond, width, x, x);
                        assert!(
                            known.is_none_or(|k| k == taken),
                            "{name}: {cond:?} {width:?} of {scalar:?} with {x:#x}"
                        );
                        let (p, q) = Scalar::refine(cond, width, taken, (&scalar, &scalar), sides, &rules);
                        // Which of the two is kept is up to the caller.
                        for side in [p, q] {
                            expect_member(&side, x, || format!("{name}: {cond:?} {width:?} of {scalar:?}"));
                        }
                    }
                }
            }
        }
    }
}

/// A branch that no number takes is found impossible, or what is left of it is contradictory, or it is merely imprecise; but what
/// is found contradictory has no member.
#[test]
fn contradictions_have_no_members() {
    let pool = pool();
    for (name, model, rules) in all_rules().into_iter().filter(|(_, _, r)| r.invariants == Invariants::Checked) {
        let family = family(model, &rules);
        for a in &family {
            assert_eq!(a.violation(&rules), None, "{name}: {a:?}");
            for b in &family {
                for (cond, taken) in Cond::ALL.into_iter().flat_map(|c| [(c, false), (c, true)]) {
                    let (p, q) = Scalar::refine(cond, Width::W64, taken, (a, b), Sides::Distinct, &rules);
                    for (scalar, before) in [(p, a), (q, b)] {
                        if scalar.violation(&rules).is_some() {
                            let left: Vec<u64> = pool.iter().copied().filter(|x| scalar.contains(*x)).collect();
                            // What is left must not be what can happen on this side.
                            let can_happen = left.iter().any(|x| {
                                let others = members(if scalar == p { b } else { a }, &pool);
                                before.contains(*x)
                                    && others.iter().any(|y| {
                                        let (x, y) = if scalar == p { (*x, *y) } else { (*y, *x) };
                                        concrete_cond(cond, Width::W64, x, y) == taken
                                    })
                            });
                            assert!(!can_happen, "{name}: {cond:?} {taken} of {a:?} and {b:?} leaves {scalar:?}");
                        }
                    }
                }
            }
        }
    }
}

/// A state that is within another allows nothing that the other does not.
#[test]
fn within() {
    let pool = pool();
    for (name, model, rules) in all_rules() {
        let family = family(model, &rules);
        let unknown = Scalar::unknown(model);
        for a in &family {
            assert!(a.is_within(a) && a.is_within(&unknown), "{name}: {a:?}");
            for b in &family {
                if a.is_within(b) {
                    for x in members(a, &pool) {
                        expect_member(b, x, || format!("{name}: {a:?} within {b:?}"));
                    }
                }
            }
        }
    }
}

#[test]
fn pointers() {
    let pool = pool();
    for (name, model, rules) in all_rules() {
        let family = family(model, &rules);
        for a in &family {
            for b in &family {
                let (sum, difference) = (a.pointer_add(b), a.pointer_sub(b));
                for x in members(a, &pool) {
                    for y in members(b, &pool) {
                        for out in [sum, sum.sync(&rules)] {
                            expect_member(&out, x.wrapping_add(y), || format!("{name}: {a:?} + {b:?}"));
                        }
                        for out in [difference, difference.sync(&rules)] {
                            expect_member(&out, x.wrapping_sub(y), || format!("{name}: {a:?} - {b:?}"));
                        }
                    }
                }
            }
        }
    }
}

/// What helpers are known to return.
#[test]
fn ranges_that_are_given() {
    let pool = pool();
    for (name, model, rules) in all_rules() {
        for (min, max) in [(-4095, 0), (-4095, 512), (0, 0), (0, 7)] {
            let scalar = Scalar::unknown(model).with_srange(min, max, &rules);
            for x in pool.iter().filter(|x| (min..=max).contains(&(**x as i64))) {
                expect_member(&scalar, *x, || format!("{name}: {min} to {max}"));
            }
        }
        let scalar = Scalar::unknown(model).with_urange(0, 63, &rules);
        (0..64).for_each(|x| expect_member(&scalar, x, || format!("{name}: 0 to 63")));
        for scalar in family(model, &rules) {
            let clamped = scalar.clamp_s32(-8, 100, &rules);
            for x in members(&scalar, &pool).into_iter().filter(|x| (-8..=100).contains(&(*x as i64))) {
                expect_member(&clamped, x, || format!("{name}: {scalar:?} clamped"));
            }
        }
    }
}

/// Two numbers instead of one allow what the one did.
#[test]
fn forks() {
    let pool = pool();
    let mut forks = 0;
    for (name, model, rules) in all_rules() {
        for scalar in family(model, &rules) {
            for op in AluOp::ALL {
                let Some((a, b)) = scalar.fork(op, &Scalar::constant(model, 5), &rules) else { continue };
                forks += 1;
                for x in members(&scalar, &pool) {
                    assert!(a.contains(x) || b.contains(x), "{name}: {op:?} {scalar:?} with {x:#x}");
                }
            }
        }
    }
    assert!(forks > 0);
}

/// Precision that kernels are known to have: none of these may get lost.
#[test]
fn precision() {
    for (name, model, rules) in all_rules() {
        let constant = |x| Scalar::constant(model, x);
        let small = Scalar::from_urange(model, 2, 5, &rules);
        let sum = Scalar::alu(AluOp::Add, Width::W64, &small, &constant(3), &rules);
        assert_eq!((sum.umin(), sum.umax(), sum.smin(), sum.smax()), (5, 8, 5, 8), "{name}");
        let masked = Scalar::alu(AluOp::And, Width::W64, &Scalar::unknown(model), &constant(0xff), &rules);
        assert_eq!((masked.umin(), masked.umax()), (0, 0xff), "{name}");
        let shifted = Scalar::alu(AluOp::Lsh, Width::W64, &masked, &constant(3), &rules);
        assert_eq!((shifted.umax(), shifted.bits()), (0x7f8, Tnum { value: 0, mask: 0x7f8 }), "{name}");
        let low = Scalar::unknown(model).mov32(&rules);
        assert_eq!((low.umax(), low.smin()), (u64::from(u32::MAX), 0), "{name}");
        let less = Scalar::refine(
            Cond::Lt,
            Width::W64,
            true,
            (&Scalar::unknown(model), &constant(8)),
            Sides::Distinct,
            &rules,
        )
        .0;
        assert_eq!((less.umax(), less.smin(), less.bits().mask), (7, 0, 7), "{name}");
        let decided = Scalar::compare(Cond::Lt, Width::W64, &small, &constant(6), Sides::Distinct, &rules);
        assert_eq!(decided, Some(true), "{name}");
        let equal = Scalar::compare(Cond::Eq, Width::W64, &small, &constant(9), Sides::Distinct, &rules);
        let by_ranges = rules.branch_known != BranchKnown::ConstRight;
        assert_eq!(equal, by_ranges.then_some(false), "{name}");
    }
}
