//! What a packet costs on the path, beside the least that it can cost.
//!
//! `hit`: packets of known flows. `first-packet`: each opens a flow, in tables that grow from
//! nothing. `floor` and `hypertun` are measured by criterion one after the other; the ratios are
//! those of `hypertun bench`, where both take turns.

#![allow(missing_docs, reason = "a bench is nobody's library")]

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use benches::ours::Instance;
use benches::trials::Filled;
use benches::{BATCH, Floor, Pages, Profile, Ring};
use criterion::{Criterion, Throughput};

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
        .configure_from_args();
    for profile in &Profile::NAT44[..3] {
        hit(&mut criterion, profile)?;
        first_packet(&mut criterion, profile)?;
    }
    criterion.final_summary();
    Ok(())
}

fn hit(criterion: &mut Criterion, profile: &Profile) -> Result<(), Box<dyn Error>> {
    let mut group = criterion.benchmark_group(format!("hit/{}", profile.name()));
    group.throughput(Throughput::Elements(BATCH as u64));
    let ring = Ring::of(profile);
    let mut floor = Floor::new(profile, Pages::Small);
    let mut at = 0;
    group.bench_function("floor", |bencher| {
        bencher.iter(|| floor.turn(black_box(ring.next_batch(&mut at))));
    });
    floor.check()?;
    let mut ours = Filled::of(profile)?.ours;
    let mut without = Filled::of(&profile.without_nat())?.ours;
    let plain = Ring::of(&profile.without_nat());
    for (name, ours, ring) in
        [("hypertun", &mut ours, &ring), ("hypertun-without-nat", &mut without, &plain)]
    {
        let mut at = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| ours.turn(black_box(ring.next_batch(&mut at))));
        });
        ours.check(profile.sessions() as usize)?;
    }
    group.finish();
    Ok(())
}

fn first_packet(criterion: &mut Criterion, profile: &Profile) -> Result<(), Box<dyn Error>> {
    let mut group = criterion.benchmark_group(format!("first-packet/{}", profile.name()));
    group.throughput(Throughput::Elements(BATCH as u64));
    let sessions: Vec<u32> = (0..profile.sessions()).collect();
    let ring = Ring::opening(profile, &sessions);
    let instance = Instance::of(profile);
    let empty = || instance.anew().worker(0, sessions.len() + BATCH);
    let mut ours = empty();
    let mut batches = ring.batches();
    let mut outcome = Ok(());
    group.bench_function("hypertun", |bencher| {
        bencher.iter_custom(|turns| {
            let mut time = Duration::ZERO;
            for _ in 0..turns {
                let batch = batches.next().unwrap_or_else(|| {
                    outcome = outcome.clone().and(ours.check(sessions.len()));
                    ours = empty();
                    batches = ring.batches();
                    batches.next().expect("a profile has sessions")
                });
                let start = Instant::now();
                ours.turn(black_box(batch));
                time += start.elapsed();
            }
            time
        });
    });
    group.finish();
    Ok(outcome?)
}
