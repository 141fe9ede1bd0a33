//! Reading, generating and converting requests: `cargo bench --bench workload`.
//!
//! The reader's throughput is in bytes of CSV a second; the target is 100 MB/s.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure here should stop the run")]

use std::hint::black_box;
use std::io::sink;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dftsp::generate::{Family, Generator, Spec};
use dftsp::instance::Problem;
use dftsp::workload::Requests;
use dftsp::workload::csv::Writer;
use dftsp::workload::source::{self, Source};

fn generator(requests: u64) -> Generator {
    Generator::new(Spec { requests, ..Spec::new(Family::Binding) }).unwrap()
}

fn csv(generator: &Generator) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new()).unwrap();
    for (index, request) in (0..).zip(generator.rows()) {
        writer.write(&Generator::id(index), &request).unwrap();
    }
    writer.finish().unwrap()
}

fn parse(text: &[u8]) -> Requests {
    match source::read(text, "bench").unwrap() {
        Source::Requests(requests) => requests,
        Source::Trace(_) => unreachable!("the text is of the CSV contract"),
    }
}

fn workload(c: &mut Criterion) {
    const REQUESTS: u64 = 1_000_000;
    let generator = generator(REQUESTS);
    let text = csv(&generator);
    let requests = parse(&text);
    assert_eq!(requests.len() as u64, REQUESTS);

    let mut group = c.benchmark_group("one_million_requests");
    group.sample_size(10);
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("read_csv", |b| b.iter(|| parse(black_box(&text))));
    group.throughput(Throughput::Elements(REQUESTS));
    group.bench_function("generate_csv", |b| {
        b.iter(|| {
            let mut writer = Writer::new(sink()).unwrap();
            for (index, request) in (0..).zip(generator.rows()) {
                writer.write(&Generator::id(index), &request).unwrap();
            }
        });
    });
    group.bench_function("convert", |b| b.iter(|| Problem::new(generator.scenario(), black_box(&requests)).unwrap()));
    group.finish();
}

criterion_group!(benches, workload);
criterion_main!(benches);
