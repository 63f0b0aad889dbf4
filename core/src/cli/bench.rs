//! `loopdiff bench`: the latency table, inlined loop against helper call.
//!
//! One program with an empty callback, in both forms ([`crate::oracle::twin`]), with many iterations and with none: the difference
//! over the number of iterations is what one costs. In the model's executor, and in guests, where a second set of guests whose
//! clock counts instructions gives instructions. Emulation has no branch predictor, so what retpolines cost on hardware
//! does not show: ratios and counts are worth more here than nanoseconds.

use super::exit::{Exit, Failure};
use super::kernel::guests::Guests;
use super::output::{Output, Tone};
use crate::btf::Linkage;
use crate::exec::{Image, Limits, Machine};
use crate::guest::{Answer, Ask, Clock, Pool, Verdict};
use crate::isa::{AluOp, Imm64, Insn, InsnIdx, Op, Operand, Reg, Width};
use crate::kernel::limits::HELPER_LOOP;
use crate::kernel::{KernelVersion, ProgType, Rules};
use crate::oracle;
use crate::oracle::twin::{self, Twins};
use crate::program::{Func, Input, Program};
use serde_json::json;
use std::time::Instant;

/// Arguments of `bench`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    guests: Guests,
    /// Iterations of the loop.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(i32).range(1..=8_388_608))]
    iterations: i32,
    /// Measurements, of which the best one counts.
    #[arg(long, value_name = "N", default_value_t = 25, value_parser = clap::value_parser!(u16).range(1..=1000))]
    samples: u16,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Cost of one iteration in both forms.
struct Row {
    place: String,
    unit: &'static str,
    inlined: f64,
    helper: f64,
}

pub fn main(args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let mut rows = model(args)?;
    if args.guests.is_any() {
        for (clock, unit) in [(Clock::Real, "ns"), (Clock::Instructions, "instructions")] {
            let pool = args.guests.start_with(clock)?;
            for kernel in 0..pool.kernels().len() {
                rows.push(guest(args, &pool, kernel, unit)?);
            }
        }
    }
    if args.json {
        for Row { place, unit, inlined, helper } in &rows {
            let ratio = helper / inlined;
            output
                .json(&json!({ "where": place, "unit": unit, "inlined": inlined, "helper": helper, "ratio": ratio }))?;
        }
        return Ok(Exit::Fine);
    }
    let head = format!("{:28}{:>10}{:>10}{:>8}  per iteration", "", "inlined", "helper", "ratio");
    let head = output.paint(Tone::Strong, head);
    output.line(head)?;
    for Row { place, unit, inlined, helper } in &rows {
        output.line(format_args!("{place:28}{inlined:>10.1}{helper:>10.1}{:>8.2}  {unit}", helper / inlined))?;
    }
    output.line("published, on hardware             2.0      14.0    7.00  ns")?;
    output.line("\nA guest is emulated: its processor has no branch predictor for an indirect call to spoil, and a call costs more there.")?;
    output.line("Nanoseconds of a guest are not nanoseconds of hardware; instructions, and the order of both forms, carry over.")?;
    Ok(Exit::Fine)
}

/// A loop with an empty callback.
fn program(iterations: i32) -> Program {
    let set = |dst, value| Op::Alu { width: Width::W64, op: AluOp::Mov, dst, src: Operand::Imm(value) };
    const CALLBACK: i32 = 8;
    let ops = [
        set(Reg::R1, iterations),
        Op::LdImm64 { dst: Reg::R2, imm: Imm64::Func { rel: CALLBACK - 2, number: 0 } },
        set(Reg::R3, 0),
        set(Reg::R4, 0),
        Op::CallHelper { id: HELPER_LOOP },
        set(Reg::R0, 0),
        Op::Exit,
        set(Reg::R0, 0),
        Op::Exit,
    ];
    let encoded = ops.iter().map(Op::encode);
    let insns: Vec<Insn> = encoded.flat_map(|(first, second)| [Some(first), second]).flatten().collect();
    let func = |insn, name: &str, linkage, args| Func {
        insn: InsnIdx(insn),
        name: name.to_owned(),
        linkage,
        args,
        type_id: None,
    };
    Program {
        name: format!("loop-{iterations}"),
        prog_type: ProgType::SchedCls,
        insns,
        funcs: vec![func(0, "main", Linkage::Global, 1), func(CALLBACK as u32, "callback", Linkage::Static, 2)],
        inputs: vec![Input { data: vec![0; 64], ..Input::default() }],
        ..Program::default()
    }
}

fn forms(iterations: i32) -> Result<Twins, Failure> {
    twin::twins(&program(iterations)).map_err(|error| Failure::Usage(error.to_string()))
}

/// Nanoseconds and instructions in our executor, which runs both forms of one program.
fn model(args: &Args) -> Result<Vec<Row>, Failure> {
    let rules = Rules::of(KernelVersion::NEWEST);
    let limits = Limits { fuel: 1 << 30, ..Limits::default() };
    let (some, none) = (program(args.iterations), program(0));
    let (some, none) = (oracle::images(&some, &rules), oracle::images(&none, &rules));
    let (Some(some), Some(none)) = (some, none) else {
        return Err(Failure::Usage("the model does not take its own program".to_owned()));
    };
    let mut machine = Machine::new();
    let input = Input { data: vec![0; 64], ..Input::default() };
    let mut measure = |image: &Image| {
        let mut best = (f64::INFINITY, 0.0);
        for _ in 0..args.samples {
            let start = Instant::now();
            let insns = machine.run(image, &input, &limits).insns as f64;
            best = (best.0.min(start.elapsed().as_nanos() as f64), insns);
        }
        best
    };
    let n = f64::from(args.iterations);
    let mut cost = |some: &Image, none: &Image| {
        let (some, none) = (measure(some), measure(none));
        ((some.0 - none.0) / n, (some.1 - none.1) / n)
    };
    let (helper, inlined) = (cost(&some.0, &none.0), cost(&some.1, &none.1));
    let place = || "model's executor".to_owned();
    Ok(vec![
        Row { place: place(), unit: "ns", inlined: inlined.0, helper: helper.0 },
        Row { place: place(), unit: "instructions of BPF", inlined: inlined.1, helper: helper.1 },
    ])
}

fn guest(args: &Args, pool: &Pool, kernel: usize, unit: &'static str) -> Result<Row, Failure> {
    let (some, none) = (forms(args.iterations)?, forms(0)?);
    let mut programs = [some.inlined, none.inlined, some.helper, none.helper];
    for program in &mut programs {
        program.inputs = vec![program.inputs.first().cloned().unwrap_or_default(); usize::from(args.samples)];
    }
    let answers = pool.answer(kernel, &programs, &Ask::default())?;
    let release = pool.kernels().get(kernel).map_or("", |k| k.image().release.as_str());
    let best = |answer: &Answer| {
        let ran = answer.runs.iter().filter(|run| run.err == 0).map(|run| f64::from(run.duration_ns));
        ran.fold(f64::INFINITY, f64::min)
    };
    let [some_inlined, none_inlined, some_helper, none_helper] = answers.as_slice() else {
        return Err(Failure::Usage("the kernel left out an answer".to_owned()));
    };
    if let Some(refused) = answers.iter().find(|a| a.verdict != Verdict::Accept) {
        return Err(Failure::Usage(format!(
            "{release} does not take the program: {} {}",
            refused.verdict, refused.message
        )));
    }
    let cost = |some: &Answer, none: &Answer| (best(some) - best(none)) / f64::from(args.iterations);
    Ok(Row {
        place: release.to_owned(),
        unit,
        inlined: cost(some_inlined, none_inlined),
        helper: cost(some_helper, none_helper),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::{Examiner, Options, Status};

    #[test]
    fn the_program_is_accepted_and_one_form_inlined() {
        let forms = forms(7).expect("short jumps");
        for (form, inlined) in [(&forms.inlined, 1), (&forms.helper, 0)] {
            let report = Examiner::new(Options::default()).examine(form, &Rules::of(KernelVersion::NEWEST));
            let Status::Accepted { rewritten, .. } = &report.status else { panic!("{:?}", report.status) };
            assert_eq!(rewritten.inlined.len(), inlined);
        }
    }
}
