//! What a packet costs on the path, beside the least that it can cost.
//!
//! `path/hit`: packets of known flows. `path/first-packet`: each opens a flow, in tables that grow
//! from nothing. `path/mixed`: nine in ten are of known flows. Each at several numbers of flows,
//! through a NAT gateway, in seeded random order, 64 bytes a packet; each beside the [`floor`] in
//! the same group. The table at the end gives medians and ratios.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a bench is nobody's library"
)]

mod floor;
mod report;
mod traffic;

#[allow(dead_code, reason = "the tests' topology, of which this uses a part")]
#[path = "../../../dataplane/tests/common/datagram.rs"]
mod datagram;
#[allow(dead_code, reason = "the tests' topology, of which this uses a part")]
#[path = "../../../dataplane/tests/common/topology.rs"]
mod topology;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};

use floor::Floor;
use report::Report;
use traffic::{BATCH, Ours, Packets};

const SIZES: [(&str, u32); 3] = [("1Ki", 1 << 10), ("64Ki", 1 << 16), ("1Mi", 1 << 20)];

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
        .configure_from_args();
    let mut report = Report::default();
    hit(&mut criterion, &mut report);
    first_packet(&mut criterion, &mut report);
    mixed(&mut criterion, &mut report);
    criterion.final_summary();
    report.print();
}

/// Measures `turn`, which takes one batch and gives the time that counts.
fn measure(
    (criterion, report): (&mut Criterion, &mut Report),
    (group, who, size): (&str, &str, &str),
    mut turn: impl FnMut() -> Duration,
) {
    let mut group_ = criterion.benchmark_group(group);
    group_.throughput(Throughput::Elements(BATCH as u64));
    group_.bench_function(BenchmarkId::new(who, size), |bencher| {
        bencher.iter_custom(|turns| {
            let time: Duration = (0..turns).map(|_| turn()).sum();
            report.add((group, who, size), time, turns * BATCH as u64);
            time
        });
    });
    group_.finish();
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn measure_floor(to: (&mut Criterion, &mut Report), group: &str, size: &str, packets: &Packets) {
    let mut floor = Floor::new(packets);
    let mut at = 0;
    measure(to, (group, "floor", size), || {
        let batch = packets.shuffled_batch(&mut at);
        timed(|| floor.turn(black_box(batch)))
    });
    floor.check();
}

fn hit(criterion: &mut Criterion, report: &mut Report) {
    for (size, flows) in SIZES {
        let packets = Packets::of(flows);
        measure_floor((criterion, report), "path/hit", size, &packets);
        let mut ours = Ours::with_flows(&packets);
        let mut at = 0;
        measure((criterion, report), ("path/hit", "hypertun", size), || {
            let batch = packets.shuffled_batch(&mut at);
            timed(|| ours.turn(black_box(batch)))
        });
        ours.check(flows);
    }
}

fn first_packet(criterion: &mut Criterion, report: &mut Report) {
    for (size, flows) in SIZES {
        let packets = Packets::of(flows);
        measure_floor((criterion, report), "path/first-packet", size, &packets);
        let mut ours = Ours::empty(flows);
        let mut batches = packets.first_batches();
        measure((criterion, report), ("path/first-packet", "hypertun", size), || {
            let batch = batches.next().unwrap_or_else(|| {
                ours.check(flows);
                ours = Ours::empty(flows);
                batches = packets.first_batches();
                batches.next().unwrap()
            });
            timed(|| ours.turn(black_box(batch)))
        });
    }
}

fn mixed(criterion: &mut Criterion, report: &mut Report) {
    for (size, flows) in SIZES {
        let known = Packets::of(flows);
        measure_floor((criterion, report), "path/mixed", size, &known);
        let others = Packets::others_than(&known);
        let mut ours = Ours::with_flows(&known);
        let mut at = 0;
        let mut new = others.first_batches().flatten();
        let mut batch = Vec::with_capacity(BATCH);
        measure((criterion, report), ("path/mixed", "hypertun", size), || {
            batch.clear();
            batch.extend_from_slice(known.shuffled_batch(&mut at));
            for place in batch.iter_mut().step_by(10) {
                *place = *new.next().unwrap_or_else(|| {
                    ours = Ours::with_flows(&known);
                    new = others.first_batches().flatten();
                    new.next().unwrap()
                });
            }
            timed(|| ours.turn(black_box(&batch)))
        });
        ours.check_at_least(flows);
    }
}
