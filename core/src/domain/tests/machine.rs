//! Random programs, run on numbers and on scalars side by side.

use super::*;
use crate::domain::Sides;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Registers of the machine.
const REGS: usize = 4;

#[derive(Clone, Debug)]
enum Step {
    Alu { op: AluOp, width: Width, dst: usize, src: usize },
    AluImm { op: AluOp, width: Width, dst: usize, imm: i32 },
    Neg { width: Width, dst: usize },
    Endian { kind: Endian, bits: u8, dst: usize },
    SignExtend { width: Width, bits: u8, dst: usize, src: usize },
    Truncate { bytes: u32, dst: usize },
    Compare { cond: Cond, width: Width, left: usize, right: usize },
    CompareImm { cond: Cond, width: Width, left: usize, imm: i32 },
}

fn step() -> impl Strategy<Value = Step> {
    let reg = 0..REGS;
    let width = select(&WIDTHS[..]);
    let imm = prop_oneof![select(vec![0, 1, -1, 7, 8, 31, 32, 63, 255, i32::MAX, i32::MIN]), any::<i32>()];
    let sign = select(vec![(Width::W64, 8), (Width::W64, 16), (Width::W64, 32), (Width::W32, 8), (Width::W32, 16)]);
    prop_oneof![
        4 => (select(&AluOp::ALL[..]), width.clone(), reg.clone(), reg.clone())
            .prop_map(|(op, width, dst, src)| Step::Alu { op, width, dst, src }),
        4 => (select(&AluOp::ALL[..]), width.clone(), reg.clone(), imm.clone())
            .prop_map(|(op, width, dst, imm)| Step::AluImm { op, width, dst, imm }),
        1 => (width.clone(), reg.clone()).prop_map(|(width, dst)| Step::Neg { width, dst }),
        1 => (select(vec![Endian::ToLe, Endian::ToBe, Endian::Bswap]), select(vec![16, 32, 64]), reg.clone())
            .prop_map(|(kind, bits, dst)| Step::Endian { kind, bits, dst }),
        1 => (sign, reg.clone(), reg.clone())
            .prop_map(|((width, bits), dst, src)| Step::SignExtend { width, bits, dst, src }),
        1 => (select(vec![1, 2, 4]), reg.clone()).prop_map(|(bytes, dst)| Step::Truncate { bytes, dst }),
        3 => (select(&Cond::ALL[..]), width.clone(), reg.clone(), reg.clone())
            .prop_map(|(cond, width, left, right)| Step::Compare { cond, width, left, right }),
        3 => (select(&Cond::ALL[..]), width, reg, imm)
            .prop_map(|(cond, width, left, imm)| Step::CompareImm { cond, width, left, imm }),
    ]
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![select(pool()), any::<u64>(), any::<u32>().prop_map(u64::from)]
}

/// Both machines.
struct Machine<'a> {
    rules: &'a DomainRules,
    model: RangeModel,
    known: [Scalar; REGS],
    numbers: [u64; REGS],
}

impl Machine<'_> {
    fn step(&mut self, step: &Step) {
        let rules = self.rules;
        match *step {
            Step::Alu { op, width, dst, src } => {
                self.known[dst] = Scalar::alu(op, width, &self.known[dst], &self.known[src], rules);
                self.numbers[dst] = concrete_alu(op, width, self.numbers[dst], self.numbers[src]);
            }
            Step::AluImm { op, width, dst, imm } => {
                let imm = i64::from(imm) as u64;
                let known = Scalar::constant(self.model, imm);
                self.known[dst] = Scalar::alu(op, width, &self.known[dst], &known, rules);
                self.numbers[dst] = concrete_alu(op, width, self.numbers[dst], imm);
            }
            Step::Neg { width, dst } => {
                self.known[dst] = self.known[dst].neg(width, rules);
                self.numbers[dst] = concrete_alu(AluOp::Sub, width, 0, self.numbers[dst]);
            }
            Step::Endian { kind, bits, dst } => {
                self.known[dst] = self.known[dst].endian(kind, bits, rules);
                self.numbers[dst] = concrete_endian(kind, bits, self.numbers[dst]);
            }
            Step::SignExtend { width, bits, dst, src } => {
                self.known[dst] = self.known[src].sign_extend(width, bits, rules);
                self.numbers[dst] = concrete_sign_extend(width, bits, self.numbers[src]);
            }
            Step::Truncate { bytes, dst } => {
                self.known[dst] = self.known[dst].truncate_to(bytes, rules);
                self.numbers[dst] &= (1 << (8 * bytes)) - 1;
            }
            Step::Compare { cond, width, left, right } => {
                let sides = if left == right { Sides::SameRegister } else { Sides::Distinct };
                let operands = (self.known[left], self.known[right]);
                let taken = concrete_cond(cond, width, self.numbers[left], self.numbers[right]);
                (self.known[left], self.known[right]) = self.compare(cond, width, taken, operands, sides);
            }
            Step::CompareImm { cond, width, left, imm } => {
                let imm = i64::from(imm) as u64;
                let operands = (self.known[left], Scalar::constant(self.model, imm));
                let taken = concrete_cond(cond, width, self.numbers[left], imm);
                self.known[left] = self.compare(cond, width, taken, operands, Sides::Distinct).0;
            }
        }
    }

    fn compare(
        &self,
        cond: Cond,
        width: Width,
        taken: bool,
        (a, b): (Scalar, Scalar),
        sides: Sides,
    ) -> (Scalar, Scalar) {
        let known = Scalar::compare(cond, width, &a, &b, sides, self.rules);
        assert!(known.is_none_or(|k| k == taken), "{cond:?} {width:?} of {a:?} and {b:?} is {taken}");
        if known.is_some() {
            return (a, b);
        }
        Scalar::refine(cond, width, taken, (&a, &b), sides, self.rules)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// However a number came about, it is allowed by what is known of it.
    #[test]
    fn numbers_stay_within_what_is_known(
        start in vec(number(), REGS),
        constants in vec(any::<bool>(), REGS),
        steps in vec(step(), 1..24),
    ) {
        for (name, model, rules) in all_rules() {
            let mut machine = Machine {
                rules: &rules,
                model,
                known: [Scalar::unknown(model); REGS],
                numbers: [0; REGS],
            };
            for n in 0..REGS {
                machine.numbers[n] = start[n];
                if constants[n] {
                    machine.known[n] = Scalar::constant(model, start[n]);
                }
            }
            for (n, step) in steps.iter().enumerate() {
                machine.step(step);
                for reg in 0..REGS {
                    let (known, number) = (&machine.known[reg], machine.numbers[reg]);
                    prop_assert!(known.contains(number), "{name}, step {n} {step:?}: {number:#x} is not in {known:?}");
                }
            }
        }
    }
}
