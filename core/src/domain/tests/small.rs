//! Known bits and ranges on all values of a few bits.

use super::*;
use crate::domain::arc::Arc;
use crate::domain::bounds::{Bounds, mul_signed, mul_unsigned};
use crate::kernel::{AddOverflow, TnumMul};

/// All known-bits numbers of four bits, at a place in the word where borders are: the ends of both halves.
fn tnums(at: u32) -> Vec<Tnum> {
    let mut all = Vec::new();
    for mask in 0..16u64 {
        for value in (0..16u64).filter(|v| v & mask == 0) {
            all.push(Tnum { value: value << at, mask: mask << at });
        }
    }
    all
}

/// All numbers that known bits allow; at most sixteen bits may be unknown.
fn numbers(t: Tnum) -> Vec<u64> {
    let mut all = Vec::new();
    let mut part = 0u64;
    loop {
        all.push(t.value | part);
        part = part.wrapping_sub(t.mask) & t.mask;
        if part == 0 {
            return all;
        }
    }
}

const PLACES: [u32; 3] = [0, 30, 60];

#[test]
fn there_are_all_known_bits() {
    assert_eq!(tnums(0).len(), 81);
    assert_eq!(numbers(Tnum { value: 1, mask: 6 }), [1, 3, 5, 7]);
}

#[test]
fn known_bits_of_two_numbers() {
    type Abstract = fn(Tnum, Tnum) -> Tnum;
    type Concrete = fn(u64, u64) -> u64;
    let operations: [(&str, Abstract, Concrete); 7] = [
        ("add", Tnum::add, u64::wrapping_add),
        ("sub", Tnum::sub, u64::wrapping_sub),
        ("and", Tnum::and, |a, b| a & b),
        ("or", Tnum::or, |a, b| a | b),
        ("xor", Tnum::xor, |a, b| a ^ b),
        ("mul", |a, b| a.mul(b, TnumMul::ValuePlusMask), u64::wrapping_mul),
        ("mul", |a, b| a.mul(b, TnumMul::JoinPerBit), u64::wrapping_mul),
    ];
    for at in PLACES {
        let all: Vec<(Tnum, Vec<u64>)> = tnums(at).into_iter().map(|t| (t, numbers(t))).collect();
        for (a, xs) in &all {
            for (b, ys) in &all {
                for (name, of_bits, of_numbers) in &operations {
                    let out = of_bits(*a, *b);
                    assert_eq!(out.value & out.mask, 0, "{name} of {a:?} and {b:?}");
                    for x in xs {
                        for y in ys {
                            assert!(out.contains(of_numbers(*x, *y)), "{name} of {a:?} and {b:?} with {x:#x}, {y:#x}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn known_bits_of_one_number() {
    for at in PLACES {
        for t in tnums(at) {
            let all = numbers(t);
            for by in 0..64 {
                assert!(
                    all.iter().all(|x| t.shl(by).contains(x << by) && t.shr(by).contains(x >> by)),
                    "{t:?} by {by}"
                );
                assert!(all.iter().all(|x| t.sar64(by).contains((*x as i64 >> by) as u64)), "{t:?} by {by}");
            }
            for by in 0..32 {
                let low = |x: u64| u64::from((x as u32 as i32 >> by) as u32);
                assert!(all.iter().all(|x| t.subreg().sar32(by).contains(low(*x))), "{t:?} by {by}");
            }
            assert!(all.iter().all(|x| t.neg().contains(x.wrapping_neg())), "{t:?}");
            for bytes in [1, 2, 4] {
                let mask = (1u64 << (8 * bytes)) - 1;
                assert!(all.iter().all(|x| t.cast(bytes).contains(x & mask)), "{t:?}");
            }
            for bits in [16, 32, 64] {
                let swap = |x| concrete_endian(Endian::Bswap, bits, x);
                assert!(all.iter().all(|x| t.swap_bytes(bits).contains(swap(*x))), "{t:?} {bits}");
            }
            assert!(all.iter().all(|x| t.subreg().contains(u64::from(*x as u32))), "{t:?}");
            assert!(all.iter().all(|x| t.clear_subreg().contains(x >> 32 << 32)), "{t:?}");
            assert_eq!((Some(&t.min()), Some(&t.max())), (all.iter().min(), all.iter().max()), "{t:?}");
            assert_eq!(t.as_const(), (all.len() == 1).then_some(t.value));
            for size in [1, 2, 4, 8] {
                assert_eq!(t.is_aligned(size), all.iter().all(|x| x.is_multiple_of(size)), "{t:?} {size}");
            }
        }
    }
}

/// Meet, join and inclusion are exact: what is common, at least both, and exactly the subsets.
#[test]
fn known_bits_as_sets() {
    let all: Vec<(Tnum, Vec<u64>)> = tnums(0).into_iter().map(|t| (t, numbers(t))).collect();
    for (a, xs) in &all {
        for (b, ys) in &all {
            let common: Vec<u64> = xs.iter().copied().filter(|x| b.contains(*x)).collect();
            assert_eq!(a.overlaps(*b), !common.is_empty(), "{a:?} and {b:?}");
            if !common.is_empty() {
                assert_eq!(numbers(a.intersect(*b)), common, "{a:?} and {b:?}");
            }
            let joined = a.union(*b);
            assert!(xs.iter().chain(ys).all(|x| joined.contains(*x)), "{a:?} and {b:?}");
            assert_eq!(a.includes(*b), ys.iter().all(|y| a.contains(*y)), "{a:?} and {b:?}");
        }
        for floor in 0..16u64 {
            let next = xs.iter().copied().filter(|x| *x > floor).min();
            if let Some(next) = next {
                assert_eq!(a.next_above(floor), next, "{a:?} above {floor}");
            }
        }
    }
}

#[test]
fn known_bits_of_ranges() {
    for min in 0..64u64 {
        for max in min..64 {
            let t = Tnum::range(min, max);
            assert!((min..=max).all(|x| t.contains(x)), "{min} to {max}");
            // No bits above the first that differs are unknown.
            let differing = 64 - (min ^ max).leading_zeros();
            assert_eq!(t.mask, if differing == 0 { 0 } else { (1 << differing) - 1 }, "{min} to {max}");
        }
    }
}

/// Arcs on the circle of 256 numbers: all sizes, bases at every third number.
fn arcs() -> Vec<Arc<u8>> {
    let mut arcs = vec![Arc::EMPTY];
    for base in (0..=255u8).step_by(3).chain([1, 127, 128, 254, 255]) {
        for size in [0, 1, 2, 3, 7, 60, 126, 127, 128, 129, 200, 253, 254, 255] {
            arcs.push(Arc { base, size });
        }
    }
    arcs.retain(|a| !a.is_empty() || *a == Arc::EMPTY);
    arcs
}

#[test]
fn arcs_of_one() {
    for a in arcs() {
        let all: Vec<u8> = (0..=255).filter(|x| a.contains(*x)).collect();
        assert_eq!(a.is_empty(), all.is_empty(), "{a:?}");
        if all.is_empty() {
            continue;
        }
        assert_eq!(all.len(), usize::from(a.size) + 1, "{a:?}");
        assert_eq!((Some(&a.umin()), Some(&a.umax())), (all.iter().min(), all.iter().max()), "{a:?}");
        let signed: Vec<i8> = all.iter().map(|x| *x as i8).collect();
        assert_eq!((Some(&a.smin()), Some(&a.smax())), (signed.iter().min(), signed.iter().max()), "{a:?}");
        assert_eq!(a.as_const(), (all.len() == 1).then(|| all[0]), "{a:?}");
        let negated = a.negate();
        assert!(all.iter().all(|x| negated.contains(x.wrapping_neg())), "{a:?}");
    }
    for x in 0..=255u8 {
        assert!((0..=255).all(|y| Arc::point(x).contains(y) == (x == y) && Arc::all_but(x).contains(y) == (x != y)));
    }
}

#[test]
fn arcs_of_two() {
    let arcs = arcs();
    for a in &arcs {
        let xs: Vec<u8> = (0..=255).filter(|x| a.contains(*x)).collect();
        for b in arcs.iter().step_by(5) {
            let common = a.intersect(*b);
            assert!(xs.iter().filter(|x| b.contains(**x)).all(|x| common.contains(*x)), "{a:?} and {b:?}: {common:?}");
            let ys: Vec<u8> = (0..=255).filter(|y| b.contains(*y)).collect();
            assert_eq!(a.includes(*b), ys.iter().all(|y| a.contains(*y)), "{a:?} includes {b:?}");
            let sum = a.add(*b);
            let step = (xs.len() / 8).max(1);
            for x in xs.iter().step_by(step).chain(xs.last()) {
                assert!(ys.iter().all(|y| sum.contains(x.wrapping_add(*y))), "{a:?} + {b:?}: {sum:?}");
            }
        }
    }
}

#[test]
fn arcs_from_ends_and_bits() {
    for min in (0..=255u8).step_by(5) {
        for max in (0..=255u8).step_by(3) {
            let arc = Arc::from_urange(min, max);
            assert!(min > max || (0..=255).all(|x| arc.contains(x) == (min..=max).contains(&x)), "{min} to {max}");
            let (smin, smax) = (min as i8, max as i8);
            let arc = Arc::<u8>::from_srange(smin, smax);
            let within = |x: u8| (smin..=smax).contains(&(x as i8));
            assert!(smin > smax || (0..=255).all(|x| arc.contains(x) == within(x)), "{smin} to {smax}");
        }
    }
    for mask in 0..=255u8 {
        for value in (0..=255u8).filter(|v| v & mask == 0) {
            let arc = Arc::from_bits(value, mask);
            assert!((0..=255).filter(|x| x & !mask == value).all(|x| arc.contains(x)), "{value:#x} {mask:#x}: {arc:?}");
        }
    }
}

/// Sixteen-bit arcs against eight-bit arcs of their low halves.
#[test]
fn arcs_of_two_widths() {
    let lows: Vec<Arc<u8>> = arcs().into_iter().step_by(17).collect();
    for base in (0..=u16::MAX).step_by(1777).chain([0x7ff0, 0xfff0, 255, 256]) {
        for size in [0u16, 1, 100, 254, 255, 256, 257, 700, 0x7fff, u16::MAX - 1, u16::MAX] {
            let arc = Arc { base, size };
            if arc.is_empty() {
                continue;
            }
            let half: Arc<u8> = arc.low_half();
            let all = || (0..=size).map(|n| base.wrapping_add(n));
            assert!(all().all(|x| half.contains(x as u8)), "{arc:?}");
            for low in &lows {
                let cut = arc.intersect_low_half(*low);
                assert!(
                    all().filter(|x| low.contains(*x as u8)).all(|x| cut.contains(x)),
                    "{arc:?} with {low:?}: {cut:?}"
                );
                assert!(arc.includes(cut), "{arc:?} with {low:?}: {cut:?}");
            }
        }
    }
}

/// Ranges of eight bits in both readings.
fn bounds() -> Vec<Bounds<u8>> {
    let ends = [0u8, 1, 7, 100, 127, 128, 200, 255];
    let mut all = Vec::new();
    for (umin, umax) in ends.iter().flat_map(|a| ends.iter().map(move |b| (*a, *b))).filter(|(a, b)| a <= b) {
        for (smin, smax) in
            ends.iter().flat_map(|a| ends.iter().map(move |b| (*a as i8, *b as i8))).filter(|(a, b)| a <= b)
        {
            all.push(Bounds { umin, umax, smin, smax });
        }
    }
    all.retain(|b| !numbers_of(b).is_empty());
    all
}

fn numbers_of(b: &Bounds<u8>) -> Vec<u8> {
    (0..=255).filter(|x| b.contains(*x)).collect()
}

#[test]
fn ranges_of_one() {
    for b in bounds() {
        let all = numbers_of(&b);
        let same = |name: &str, changed: Bounds<u8>| {
            assert!(all.iter().all(|x| changed.contains(*x)), "{name} of {b:?}: {changed:?}");
        };
        let change = |f: fn(&mut Bounds<u8>)| {
            let mut b = b;
            f(&mut b);
            b
        };
        same("sharing signs once", change(Bounds::share_sign_once));
        same(
            "sharing signs",
            change(|b| {
                b.share_sign();
            }),
        );
        let mut dropped = b;
        if dropped.share_sign() {
            dropped.drop_unmet_piece();
            same("dropping a piece", dropped);
        }
        for by in 0..8 {
            let (left, right, signed) = (b.shl(by, 8), b.shr(by), b.sar(by));
            assert!(all.iter().all(|x| left.contains(x << by) && right.contains(x >> by)), "{b:?} by {by}");
            assert!(all.iter().all(|x| signed.contains((*x as i8 >> by) as u8)), "{b:?} by {by}");
        }
        for x in [0, 1, 100, 127, 128, 255] {
            let mut without = b;
            without.exclude(x);
            assert!(all.iter().filter(|y| **y != x).all(|y| without.contains(*y)), "{b:?} without {x}: {without:?}");
        }
    }
}

#[test]
fn ranges_of_two() {
    let all: Vec<(Bounds<u8>, Vec<u8>)> = bounds().into_iter().map(|b| (b, numbers_of(&b))).collect();
    let some = |all: &[u8]| -> Vec<u8> {
        all.iter().copied().step_by((all.len() / 6).max(1)).chain(all.last().copied()).collect()
    };
    for (a, xs) in &all {
        for (b, ys) in all.iter().step_by(3) {
            let mut sums = Vec::new();
            for overflow in [AddOverflow::Drop, AddOverflow::KeepIfBoth] {
                let (mut sum, mut difference) = (*a, *a);
                sum.add(b, overflow);
                difference.sub(b, overflow);
                sums.push((sum, difference));
            }
            let unsigned = mul_unsigned((a.umin, a.umax), (b.umin, b.umax));
            let signed = mul_signed::<u8>((a.smin, a.smax), (b.smin, b.smax));
            for (x, y) in some(xs).into_iter().flat_map(|x| some(ys).into_iter().map(move |y| (x, y))) {
                for (sum, difference) in &sums {
                    assert!(sum.contains(x.wrapping_add(y)), "{a:?} + {b:?}: {sum:?}");
                    assert!(difference.contains(x.wrapping_sub(y)), "{a:?} - {b:?}: {difference:?}");
                }
                let product = x.wrapping_mul(y);
                assert!((unsigned.0..=unsigned.1).contains(&product), "{a:?} * {b:?}: {unsigned:?}");
                assert!((signed.0..=signed.1).contains(&(product as i8)), "{a:?} * {b:?}: {signed:?}");
            }
            let meet = a.meet(b);
            assert!(xs.iter().filter(|x| b.contains(**x)).all(|x| meet.contains(*x)), "{a:?} and {b:?}");
            assert!(!a.includes(b) || ys.iter().all(|y| a.contains(*y)), "{a:?} includes {b:?}");
        }
    }
}
