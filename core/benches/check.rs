//! What a whole check costs, and where: verification (elements are instructions walked), verification with rewrite, and the
//! whole with both forms run and compared (elements are programs). Programs are generated, accepted under the newest
//! rules, of 30 to 60 instructions, with the first of their inputs.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use loopdiff::campaign::{case_options, make};
use loopdiff::kernel::{KernelVersion, Rules};
use loopdiff::oracle::{Examiner, Status, status};
use loopdiff::program::Program;
use loopdiff::verifier::{Verdict, verify};
use std::hint::black_box;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PROGRAMS: usize = 200;

fn programs() -> Vec<Program> {
    let rules = Rules::of(KernelVersion::NEWEST);
    let mut all = Vec::new();
    for number in 0.. {
        let mut program = make(1, number).program;
        let fits = (30..=60).contains(&program.insns.len());
        if fits && matches!(status(&program, &rules), Status::Accepted { .. }) {
            program.inputs.truncate(1);
            all.push(program);
        }
        if all.len() == PROGRAMS {
            break;
        }
    }
    all
}

fn check(c: &mut Criterion) {
    let programs = programs();
    for version in [KernelVersion::V6_1, KernelVersion::V7_3] {
        let rules = Rules::of(version);
        let walked: u64 = programs
            .iter()
            .map(|p| match verify(p, &rules) {
                Verdict::Accepted(facts) => u64::from(facts.insns_processed),
                Verdict::Rejected(rejection) => u64::from(rejection.insns_processed),
                Verdict::Unsupported(_) => 0,
            })
            .sum();
        let mut group = c.benchmark_group("check");
        group.throughput(Throughput::Elements(walked));
        group.bench_function(BenchmarkId::new("verify", version), |b| {
            b.iter(|| programs.iter().for_each(|p| drop(black_box(verify(p, &rules)))));
        });
        group.throughput(Throughput::Elements(programs.len() as u64));
        group.bench_function(BenchmarkId::new("verify and rewrite", version), |b| {
            b.iter(|| programs.iter().for_each(|p| drop(black_box(status(p, &rules)))));
        });
        let mut examiner = Examiner::new(case_options());
        group.bench_function(BenchmarkId::new("whole check", version), |b| {
            b.iter(|| programs.iter().for_each(|p| drop(black_box(examiner.examine(p, &rules)))));
        });
        group.finish();
    }
    let mut number = 0;
    c.bench_function("make a case", |b| {
        b.iter(|| {
            number += 1;
            black_box(make(1, number))
        });
    });
}

criterion_group!(benches, check);
criterion_main!(benches);
