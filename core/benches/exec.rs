//! Nanoseconds per instruction of the executor, as elements per second: arithmetic, memory, and a loop with an empty
//! callback in both forms.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use loopdiff::exec::{End, Limits, Machine};
use loopdiff::isa::Insn;
use loopdiff::kernel::ProgType;
use loopdiff::program::{Input, MapDef, Program};

#[path = "../tests/support/mod.rs"]
mod support;
use support::Ready;

const ROUNDS: i32 = 10_000;

fn program(insns: &[(u8, u8, u8, i16, i32)]) -> Program {
    Program {
        prog_type: ProgType::RawTracepoint,
        insns: insns.iter().map(|i| Insn::new(i.0, i.1, i.2, i.3, i.4)).collect(),
        maps: vec![MapDef { key_size: 4, value_size: 64, max_entries: 1, ..MapDef::default() }],
        ..Program::default()
    }
}

/// Arithmetic and jumps.
fn arithmetic() -> Program {
    program(&[
        (0xb7, 1, 0, 0, ROUNDS),
        (0xb7, 0, 0, 0, 1),
        (0xb7, 2, 0, 0, 3),
        (0xbf, 3, 1, 0, 0),
        (0x67, 3, 0, 0, 2),
        (0x0f, 0, 3, 0, 0),
        (0xbc, 4, 1, 0, 0),
        (0x57, 4, 0, 0, 0xff),
        (0xaf, 2, 4, 0, 0),
        (0xa5, 4, 0, 1, 100),
        (0x27, 4, 0, 0, 17),
        (0x17, 1, 0, 0, 1),
        (0x55, 1, 0, -10, 0),
        (0x95, 0, 0, 0, 0),
    ])
}

/// Arithmetic in which every instruction waits for the one before.
fn chain() -> Program {
    program(&[
        (0xb7, 1, 0, 0, ROUNDS),
        (0xb7, 0, 0, 0, 1),
        (0xb7, 2, 0, 0, 3),
        (0x0f, 0, 2, 0, 0),
        (0x27, 0, 0, 0, 17),
        (0xaf, 2, 0, 0, 0),
        (0x57, 2, 0, 0, 0xffff),
        (0x0c, 0, 2, 0, 0),
        (0x77, 0, 0, 0, 3),
        (0x1f, 0, 2, 0, 0),
        (0x17, 1, 0, 0, 1),
        (0x55, 1, 0, -9, 0),
        (0x95, 0, 0, 0, 0),
    ])
}

/// The stack through R10 and through a pointer, and a map value, with some arithmetic and a branch.
fn memory() -> Program {
    program(&[
        (0x18, 6, 2, 0, 0),
        (0, 0, 0, 0, 0),
        (0xb7, 1, 0, 0, ROUNDS),
        (0xb7, 0, 0, 0, 0),
        (0x7a, 10, 0, -8, 5),
        (0x7a, 10, 0, -24, 5),
        (0xbf, 3, 10, 0, 0),
        (0x07, 3, 0, 0, -8),
        (0x79, 2, 10, -8, 0),
        (0xbf, 4, 2, 0, 0),
        (0x0f, 4, 1, 0, 0),
        (0x7b, 10, 4, -16, 0),
        (0x79, 5, 3, 0, 0),
        (0x25, 5, 0, 1, 100),
        (0x7b, 6, 1, 8, 0),
        (0x79, 7, 6, 16, 0),
        (0x7b, 3, 7, -16, 0),
        (0x17, 1, 0, 0, 1),
        (0x55, 1, 0, -11, 0),
        (0x95, 0, 0, 0, 0),
    ])
}

/// A loop whose callback returns 0 at once.
fn empty_callback() -> Program {
    program(&[
        (0xb7, 1, 0, 0, ROUNDS),
        (0x18, 2, 4, 0, 6),
        (0, 0, 0, 0, 0),
        (0xb7, 3, 0, 0, 0),
        (0xb7, 4, 0, 0, 0),
        (0x85, 0, 0, 0, 181),
        (0xb7, 0, 0, 0, 0),
        (0x95, 0, 0, 0, 0),
        (0xb7, 0, 0, 0, 0),
        (0x95, 0, 0, 0, 0),
    ])
}

/// A short program: what a run costs besides its instructions.
fn short() -> Program {
    program(&[(0xb7, 0, 0, 0, 0), (0x95, 0, 0, 0, 0)])
}

fn run(c: &mut Criterion) {
    let forms: [(&str, Ready); 6] = [
        ("arithmetic", support::original(&arithmetic(), 64)),
        ("dependent arithmetic", support::original(&chain(), 64)),
        ("memory", support::original(&memory(), 64)),
        ("loop as helper", support::original(&empty_callback(), 0)),
        ("loop inlined", support::inlined(&empty_callback(), 0)),
        ("two instructions", support::original(&short(), 0)),
    ];
    let mut group = c.benchmark_group("exec");
    let (input, limits) = (Input::default(), Limits::default());
    for (name, ready) in forms {
        let image = ready.image(&support::RULES).expect("a form that is modelled");
        let mut machine = Machine::new();
        let outcome = machine.run(&image, &input, &limits);
        assert!(matches!(outcome.end, End::Returned(_)), "{name}: {}", outcome.end);
        group.throughput(Throughput::Elements(outcome.insns));
        group.bench_function(BenchmarkId::from_parameter(name), |b| b.iter(|| machine.run(&image, &input, &limits)));
    }
    group.finish();
}

criterion_group!(benches, run);
criterion_main!(benches);
