//! All that `hypertun bench` measures, and what came out.

use std::convert::Infallible;
use std::hint::black_box;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Cheated;
use crate::contest::{nanoseconds, quantile, take_turns};
use crate::decisions::{ROUND, Routes, Rules};
use crate::expiry::Burst;
use crate::machine::{self, Machine};
use crate::pages;
use crate::profile::{Order, Profile, Size};
use crate::trials::{self, Cost, Effort, Filled};

/// How much is measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How long each number takes, at least.
    pub lasting: Duration,
    /// Only the smallest profile, in slices too short to tell anything.
    pub quick: bool,
    /// Only profiles whose names contain this.
    pub only: Option<String>,
}

/// What came out, and where.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// Version of hypertun.
    pub version: String,
    /// The machine, before it was measured.
    pub machine: Machine,
    /// Packets of known flows, and one in ten of others.
    pub packets: Vec<Packets>,
    /// First packets.
    pub first_packets: Vec<FirstPackets>,
    /// Two workers, beside one.
    pub two_workers: Vec<TwoWorkers>,
    /// Memory that flows occupy.
    pub memory: Vec<Memory>,
    /// A burst of flows that ends.
    pub expiry: Vec<Expiry>,
    /// Decisions by many rules, beside decisions by few.
    pub decisions: Vec<Decisions>,
    /// What was left out.
    pub skipped: Vec<Skipped>,
}

/// What a packet costs, beside the floor of the same moments.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Packets {
    /// Name of the profile.
    pub profile: String,
    /// Lengths, order, and whether all are of known flows.
    pub traffic: String,
    /// Nanoseconds a packet.
    pub ns: f64,
    /// Millions of packets a second.
    pub mpps: f64,
    /// Parts of a line of 10 Gbit/s that these are.
    pub line_rate_10g: f64,
    /// The floor on the same pages as ours, in nanoseconds.
    pub floor_ns: f64,
    /// Ours in floors.
    pub ratio: f64,
    /// What that is to be, at most.
    pub target: Option<f64>,
    /// The same floor on small pages, and on huge ones.
    pub floors: [Beside; 2],
}

/// One floor beside ours.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Beside {
    /// What its table lies in: `small` or `huge` pages.
    pub pages: String,
    /// Nanoseconds a packet.
    pub ns: f64,
    /// Ours in floors.
    pub ratio: f64,
}

/// What it costs to open a flow.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FirstPackets {
    /// Name of the profile.
    pub profile: String,
    /// Nanoseconds a first packet, in tables that grow from nothing.
    pub ns: f64,
    /// First packets a second, in millions.
    pub mpps: f64,
    /// What that is to be, at least.
    pub target: Option<f64>,
}

/// Two workers, each with as many flows as the profile has sessions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TwoWorkers {
    /// Name of the profile.
    pub profile: String,
    /// Packets of known flows, first packets, or flows that end.
    pub traffic: String,
    /// Millions of packets, or of flows that end, a second that one of them carries alone.
    pub one_mpps: f64,
    /// The same of both together.
    pub two_mpps: f64,
    /// How many times as fast both are.
    pub ratio: f64,
    /// What that is to be, at least.
    pub target: Option<f64>,
    /// How many times as fast two floors are, which share nothing but the machine.
    pub floor: Option<f64>,
}

/// Memory that flows occupy, all tables counted: what the kernel says that the process has more.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Memory {
    /// Name of the profile.
    pub profile: String,
    /// Bytes a flow.
    pub bytes_a_flow: f64,
    /// Part of them that lies in huge pages.
    pub huge: f64,
    /// What the bytes are to be, at most.
    pub target: Option<f64>,
}

/// A burst of flows that ends while others go on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Expiry {
    /// Name of the profile.
    pub profile: String,
    /// Flows that end.
    pub flows: usize,
    /// The most that a turn looks at.
    pub looked_at: u64,
    /// Processor time that a turn spends on what is due while there is more than it may look at, in
    /// microseconds: the least of three runs.
    pub median: f64,
    /// What one turn in a hundred spends, at least.
    pub p99: f64,
    /// The most that a turn spends.
    pub most: f64,
    /// What that is to be, at most.
    pub target: Option<f64>,
    /// What the machine makes of the first write to a huge page after two seconds, in microseconds: the first flows that end
    /// come to several, in a turn that is not shorter the next time.
    pub cold_page: f64,
    /// Memory that the flows occupied, in MiB.
    pub occupied: f64,
    /// What of it was kept when they were gone, in MiB.
    pub kept: f64,
    /// What that is to be, at most.
    pub kept_target: Option<f64>,
}

/// A decision by many rules, beside one by few.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Decisions {
    /// By what.
    pub by: String,
    /// How many they are, where they are few.
    pub few: usize,
    /// How many, where they are many.
    pub many: usize,
    /// Nanoseconds by few.
    pub few_ns: f64,
    /// Nanoseconds by many.
    pub many_ns: f64,
    /// Many in fews.
    pub ratio: f64,
    /// What that is to be, at most.
    pub target: Option<f64>,
}

/// What was left out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Skipped {
    /// Name of the profile.
    pub profile: String,
    /// The reason.
    pub why: String,
}

/// First packets a second that a core is to admit, in millions.
const FIRST_PACKETS: f64 = 1.5;
/// How many times as fast as one two workers are to be.
const TWO_WORKERS: f64 = 1.9;
/// Bytes that a flow is to occupy, at most, of a million or more.
pub const BYTES_A_FLOW: f64 = 384.0;
/// Processor time that a turn is to spend on what is due, at most, in microseconds.
pub const EXPIRY: f64 = 100.0;
/// Memory that may be kept when flows are gone, in MiB, however many there were: a spare huge page or
/// two of each table, so that what comes and goes around a boundary costs nothing.
pub const KEPT: f64 = 12.0;

/// Measures what `plan` says; `tell` hears what comes next.
///
/// # Errors
///
/// When somebody did not do the work that was timed.
pub fn measure(plan: &Plan, mut tell: impl FnMut(&str)) -> Result<Outcome, Cheated> {
    let mut outcome = Outcome {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        machine: Machine::here(),
        packets: Vec::new(),
        first_packets: Vec::new(),
        two_workers: Vec::new(),
        memory: Vec::new(),
        expiry: Vec::new(),
        decisions: Vec::new(),
        skipped: Vec::new(),
    };
    let sizes = if plan.quick { &Profile::NAT44[..1] } else { &Profile::NAT44 };
    let named = |profile: &Profile| {
        plan.only.as_ref().is_none_or(|only| profile.name().contains(only.as_str()))
    };
    let without_nat = sizes.iter().map(|profile| profile.without_nat());
    let mut profiles: Vec<Profile> = sizes.iter().copied().chain(without_nat).collect();
    let typical = sizes[1.min(sizes.len() - 1)];
    profiles.extend([typical, typical.without_nat()].map(Profile::in_ipv6));
    profiles.push(typical.by_hyperplane());
    profiles.retain(named);
    let names: Vec<String> = profiles.iter().map(Profile::name).collect();
    // The most flows first: nothing was freed yet that they could occupy unseen.
    profiles.sort_by_key(|profile| std::cmp::Reverse(profile.sessions()));
    for profile in profiles {
        let name = profile.name();
        if profile.memory() > machine::available() {
            let why = format!("it takes {} MiB of memory", profile.memory() >> 20);
            outcome.skipped.push(Skipped { profile: name, why });
            continue;
        }
        tell(&name);
        outcome.add(&profile, plan)?;
    }
    let burst = Profile::NAT44[2];
    if !plan.quick && named(&burst) {
        tell(&format!("how {} ends", burst.name()));
        outcome.expiry.push(Expiry::of(&burst)?);
    }
    if plan.only.is_none() {
        tell("decisions");
        outcome.decisions = decisions(plan.lasting);
    }
    let place = |name: &String| names.iter().position(|it| it == name);
    outcome.packets.sort_by_key(|it| place(&it.profile));
    outcome.first_packets.sort_by_key(|it| place(&it.profile));
    outcome.two_workers.sort_by_key(|it| place(&it.profile));
    outcome.memory.sort_by_key(|it| place(&it.profile));
    outcome.skipped.sort_by_key(|it| place(&it.profile));
    Ok(outcome)
}

impl Outcome {
    /// Measures one profile.
    fn add(&mut self, profile: &Profile, plan: &Plan) -> Result<(), Cheated> {
        let name = profile.name();
        let slice = if plan.quick { 8 } else { 1 << 10 };
        let effort = Effort { lasting: plan.lasting, slice };
        // What is shown beside the sizes is shown for one or two of them.
        let typical = *profile == Profile::NAT44[1] || plan.quick;
        let large = *profile == Profile::NAT44[2];
        let largest = profile.sessions() == Profile::NAT44[3].sessions();
        let nat = profile.target().is_some();

        let mut filled = Filled::of(profile)?;
        let each = f64::from(profile.sessions());
        let huge = bytes(filled.huge) / bytes(filled.occupied);
        if largest {
            self.memory.push(Memory {
                profile: name.clone(),
                bytes_a_flow: bytes(filled.occupied) / each,
                huge,
                target: Some(BYTES_A_FLOW),
            });
        }
        // Many need no more than once.
        let many = profile.sessions() > 1 << 17;
        let opening = if many { filled.opening } else { trials::openings(profile, effort)? };
        self.first_packets.push(FirstPackets {
            profile: name.clone(),
            ns: opening,
            mpps: 1e3 / opening,
            target: nat.then_some(FIRST_PACKETS),
        });
        let mut variants = vec![*profile];
        if typical || large {
            variants.push(Profile { order: Order::Zipf, ..*profile });
        }
        if typical {
            let sizes = [Size::Imix, Size::B1500];
            variants.extend(sizes.map(|size| Profile { size, ..*profile }));
        }
        let mut floors = trials::floors(profile);
        for variant in &variants {
            let traffic = match variant.order {
                Order::Uniform => variant.size.to_string(),
                Order::Zipf => format!("{}, {}", variant.size, variant.order),
            };
            let cost = filled.hits(&mut floors, variant, effort)?;
            self.packets.push(packets(variant, &traffic, cost, huge));
        }
        drop(filled);
        if typical {
            let cost = trials::mixed(&mut floors, profile, effort)?;
            self.packets.push(packets(profile, "64 B, 1 in 10 new", cost, huge));
        }
        drop(floors);
        if (typical || large) && self.has_two_processors(&name) {
            let mut scalings = vec![("64 B", trials::two_workers(profile, effort)?)];
            if typical {
                scalings.push(("first packets", trials::two_workers_opening(profile, effort)?));
                scalings.push(("flows that end", trials::two_workers_ending(profile, effort)?));
            }
            for (traffic, trials::Scaling { one, two, ratio, floor }) in scalings {
                self.two_workers.push(TwoWorkers {
                    profile: name.clone(),
                    traffic: traffic.to_owned(),
                    one_mpps: 1e3 / one,
                    two_mpps: 1e3 / two,
                    ratio,
                    target: (traffic == "64 B").then_some(TWO_WORKERS),
                    floor,
                });
            }
        }
        Ok(())
    }

    fn has_two_processors(&mut self, profile: &str) -> bool {
        let has = self.machine.cores > 1;
        if !has {
            let why = "two workers take two processors".to_owned();
            self.skipped.push(Skipped { profile: profile.to_owned(), why });
        }
        has
    }
}

impl Expiry {
    /// Measures how a profile's sessions end.
    ///
    /// # Errors
    ///
    /// When somebody did not do the work, or a turn looked at more than it may.
    pub fn of(profile: &Profile) -> Result<Self, Cheated> {
        let burst = Burst::of(profile)?;
        let mut spent = burst.spent;
        for _ in 1..RUNS {
            let again = Burst::of(profile)?.spent;
            if again.len() != spent.len() {
                return Err(Cheated("the same flows have not ended in the same turns".to_owned()));
            }
            spent.iter_mut().zip(again).for_each(|(least, again)| *least = least.min(again));
        }
        let quantile = |part| quantile(spent.iter().copied(), part);
        Ok(Self {
            profile: profile.name(),
            flows: burst.flows,
            looked_at: burst.looked_at,
            median: quantile(0.5),
            p99: quantile(0.99),
            most: quantile(1.0),
            target: Some(EXPIRY),
            cold_page: pages::cold(COLD) / 1e3,
            occupied: mib(burst.occupied),
            kept: mib(burst.kept),
            kept_target: Some(KEPT),
        })
    }
}

/// The same flows end in the same turns so many times, and of each turn the least counts: what else the
/// machine did meanwhile, it did not do each time.
const RUNS: usize = 3;

/// About how long what is told when flows end lies untouched before.
const COLD: Duration = Duration::from_secs(2);

/// Rounds of decisions in a slice: a millisecond or so.
const SLICE: u32 = 16;

/// Both kinds of decisions.
#[expect(clippy::cast_precision_loss, reason = "few decisions")]
fn decisions(lasting: Duration) -> Vec<Decisions> {
    let beside = |by: &str, counts: [usize; 2], target, decide: &dyn Fn(usize)| {
        let samples = take_turns::<2, _>(lasting, |who| {
            let time = nanoseconds(|| (0..SLICE).for_each(|_| decide(who)));
            Ok::<_, Infallible>(time / f64::from(SLICE) / ROUND as f64)
        });
        let samples = samples.unwrap_or_else(|never| match never {});
        Decisions {
            by: by.to_owned(),
            few: counts[0],
            many: counts[1],
            few_ns: samples.median(0),
            many_ns: samples.median(1),
            ratio: samples.ratio(1, 0),
            target: Some(target),
        }
    };
    let rules = [Rules::one(), Rules::many()];
    let routes = [Routes::of(5), Routes::of(500)];
    vec![
        beside("rules", [1, 300], 3.0, &|who| _ = black_box(rules[who].round())),
        beside("routes", [5, 500], 2.0, &|who| _ = black_box(routes[who].round())),
    ]
}

/// Ours goes beside the floor on those pages that most of our tables lie in.
fn packets(profile: &Profile, traffic: &str, cost: Cost, huge: f64) -> Packets {
    let Cost { ours, floor, ratio, huge_floor, huge_ratio } = cost;
    let beside = |pages: &str, ns, ratio| Beside { pages: pages.to_owned(), ns, ratio };
    let floors = [beside("small", floor, ratio), beside("huge", huge_floor, huge_ratio)];
    let same = &floors[usize::from(huge > 0.5)];
    Packets {
        profile: profile.name(),
        traffic: traffic.to_owned(),
        ns: ours,
        mpps: 1e3 / ours,
        line_rate_10g: 1e3 / ours / profile.size.line_rate(),
        floor_ns: same.ns,
        ratio: same.ratio,
        target: profile.target().filter(|_| traffic == "64 B"),
        floors: floors.clone(),
    }
}

fn mib(count: u64) -> f64 {
    bytes(count) / f64::from(1 << 20)
}

#[expect(clippy::cast_precision_loss, reason = "no memory has 2^52 bytes")]
fn bytes(count: u64) -> f64 {
    count as f64
}
