//! The fuzz targets as functions: any bytes in, a panic when a property does not hold. The crate `fuzz` holds one thin file
//! for each; tests call them as well.

use super::case::Envelope;
use super::case_options;
use super::faults::Fault;
use super::known::Known;
use crate::domain::{Branch, Scalar, Sides};
use crate::exec::alu;
use crate::generator;
use crate::isa::{AluOp, Cond, Endian, Insn, NoNames, Op, Width, decode, disassemble};
use crate::kernel::{KernelVersion, RangeModel, Rules};
use crate::oracle::{Class, Examiner};
use crate::program::{Program, elf, json, text};
use crate::reduce::{self, Budget, Keep};
use crate::verifier;
use arbitrary::{Arbitrary, Unstructured};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::fmt;
use std::sync::OnceLock;

/// A case as a fuzzer hands it over; shown as assembly.
pub struct Input(pub Program);

impl<'a> Arbitrary<'a> for Input {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Input> {
        let bytes = u.bytes(u.len())?;
        Ok(Input::from_bytes(bytes))
    }

    fn arbitrary_take_rest(u: Unstructured<'a>) -> arbitrary::Result<Input> {
        Ok(Input::from_bytes(u.take_rest()))
    }
}

impl Input {
    /// The case of a fuzzer's bytes; total.
    pub fn from_bytes(bytes: &[u8]) -> Input {
        Input(Envelope::from_bytes(bytes).case().program)
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::write(&self.0))
    }
}

/// A target by name, over the bytes of an input.
pub type Target = (&'static str, fn(&[u8]));

/// The targets that the seeds of a folder below `corpus/seeds` are for, by name; none for a folder that is not known.
pub fn of_seeds(folder: &str) -> &'static [Target] {
    match folder {
        "case" => &[
            ("verify", |bytes| verify(&Input::from_bytes(bytes))),
            ("equivalence", |bytes| equivalence(&Input::from_bytes(bytes))),
            ("stack", |bytes| stack(&Input::from_bytes(bytes))),
        ],
        "roundtrip" => &[("roundtrip", roundtrip)],
        "domain" => &[("domain", domain)],
        _ => &[],
    }
}

/// Decoding is total, and what decodes is written and read back unchanged: as bytes, as assembly, as JSON. Readers of files
/// take any bytes.
pub fn roundtrip(bytes: &[u8]) {
    let insns: Vec<Insn> = bytes.chunks_exact(8).filter_map(|b| Some(Insn::from_bytes(b.try_into().ok()?))).collect();
    let mut at = 0;
    while let Some(insn) = insns.get(at) {
        let op = decode(*insn, insns.get(at + 1).copied());
        let len = op.as_ref().map_or(1, Op::len) as usize;
        if let Ok(op) = op {
            let (first, second) = op.encode();
            let encoded: Vec<Insn> = std::iter::once(first).chain(second).collect();
            assert_eq!(encoded, insns.get(at..at + len).unwrap_or_default(), "{op:?} encodes to itself");
        }
        at += len;
    }
    let _ = disassemble(&insns, &NoNames);
    if !insns.is_empty() {
        let program = Program { name: "p".to_owned(), insns, ..Program::default() };
        let again = json::read(
            json::write(std::slice::from_ref(&program), json::Form::Document).as_bytes(),
            json::Form::Document,
        );
        assert_eq!(again.as_deref(), Ok(std::slice::from_ref(&program)), "JSON reads back");
        let again = text::parse(&text::write(&program)).map(|file| file.program);
        assert_eq!(again.map(|p| p.insns), Ok(program.insns), "assembly reads back");
    }
    let _ = json::read(bytes, json::Form::Document);
    let _ = elf::read(bytes);
    if let Ok(source) = std::str::from_utf8(bytes) {
        let _ = text::parse(source);
    }
}

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

/// The verifier ends, twice with the same answer, under the rules of every kernel.
pub fn verify(input: &Input) {
    for version in KernelVersion::ALL {
        let rules = Rules::of(version);
        let verify = || verifier::verify_within(&input.0, &rules, case_options().budget);
        assert_eq!(verify(), verify(), "{version}: the same program, the same answer");
    }
}

/// Both forms of an accepted program do the same, but for what is known.
pub fn equivalence(input: &Input) {
    hold(input, |class| class == Class::Equivalence || class == Class::Rewrite);
}

/// Both forms keep to the stack that was verified, and an accepted program does nothing that it must not.
pub fn stack(input: &Input) {
    hold(input, |class| matches!(class, Class::Stack | Class::Safety));
}

/// The known divergences, read once: a fuzzer calls a target thousands of times a second.
fn known() -> &'static Known {
    static KNOWN: OnceLock<Known> = OnceLock::new();
    KNOWN.get_or_init(|| Known::built_in().unwrap_or_default())
}

fn hold(input: &Input, about: impl Fn(Class) -> bool) {
    let known = known();
    let mut examiner = Examiner::new(case_options());
    for version in [KernelVersion::V6_1, KernelVersion::NEWEST] {
        let rules = Rules::of(version);
        let report = examiner.examine(&input.0, &rules);
        for finding in report.findings.iter().filter(|f| about(f.class)) {
            let known = known.explains(finding, &input.0, &rules, &mut examiner);
            assert!(known.is_some(), "{version}: {}: {}\n{input:?}", finding.signature, finding.evidence);
        }
    }
}

/// The minimizer gives a program of which the predicate holds, and no larger one.
pub fn reduce(input: &Input) {
    let rules = Rules::of(KernelVersion::NEWEST);
    let accepted = |p: &Program| {
        matches!(verifier::verify_within(p, &rules, case_options().budget), verifier::Verdict::Accepted(_))
    };
    let is = accepted(&input.0);
    let mut keep = |p: &Program| Keep::from(accepted(p) == is);
    let reduced = reduce::reduce(&input.0, Budget { attempts_max: 200 }, &mut keep);
    assert_eq!(accepted(&reduced.program), is, "the predicate holds");
    assert!(reduced.program.insns.len() <= input.0.insns.len(), "no longer than before");
}

/// As [`equivalence`] and [`stack`], with the fault planted that takes the most cases to notice: it must be found, or the
/// fuzzer is blind.
pub fn canary(input: &Input) {
    let Some(fault) = Fault::named("callback-walked-once") else { return };
    let (rules, options) = fault.plant(case_options());
    let report = Examiner::new(options).examine(&input.0, &rules);
    let known = known();
    let mut without = Examiner::new(case_options());
    for finding in &report.findings {
        if known.explains(finding, &input.0, &rules, &mut without).is_none() {
            panic!("the planted fault {} is found: {}", fault.name, finding.evidence);
        }
    }
}

/// A mutation of a stored program's instructions, or of the program that a Spec stands for; `None` to leave it to the
/// fuzzer, whose changes of the bytes are changes of the Spec.
pub fn mutated(bytes: &[u8], seed: u32) -> Option<Vec<u8>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed.into());
    let stored = bytes.first() == Some(&b'{');
    if !rng.random_ratio(if stored { 7 } else { 1 }, 8) {
        return None;
    }
    let mut program = Envelope::from_bytes(bytes).case().program;
    for _ in 0..rng.random_range(1..4) {
        generator::mutate_program(&mut program, &mut rng);
    }
    Some(Envelope::store(&program))
}
