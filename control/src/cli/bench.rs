//! `hypertun bench`: what does a packet cost on this machine, beside the least that it can cost?

use std::time::Duration;

use benches::outcome::{Outcome, Plan, measure};
use clap::Args;

use crate::cli::say::say;
use crate::cli::{Failure, Outcome as Done, print_json, say as words, table};

/// Measure what a packet costs on this machine, beside the least that it can cost
#[derive(Debug, Args)]
#[command(
    long_about = "Measure what a packet costs on this machine, beside the least that it can cost

Packets in memory go down the whole path: parsed, found, tracked by security groups, translated, counted. The floor is a \
loop that only finds an entry of one cache line and rewrites the packet by it. Both take the same packets in turns of \
milliseconds, so that RATIO says something even where others use the machine. A profile's name says how many hosts send \
from how many ports each: so many sessions.",
    after_help = "Examples:
  hypertun bench
  hypertun bench --only s64512 --seconds 5
  hypertun bench --json > bench.json"
)]
pub struct Bench {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// How long each number is measured, in seconds.
    #[arg(long, default_value_t = 0.5, value_parser = seconds, value_name = "SECONDS")]
    seconds: f64,
    /// Only profiles whose names contain this.
    #[arg(long, value_name = "WORD")]
    only: Option<String>,
    /// Only the smallest profile, for a moment: to see that it works. The numbers say nothing.
    #[arg(long)]
    quick: bool,
}

/// A load of less is the machine's own.
const IDLE: f64 = 0.3;

impl Bench {
    /// Measures, and prints.
    ///
    /// # Errors
    ///
    /// When the path, or the floor, did not do the work that was timed.
    pub fn run(self) -> Done {
        let lasting = if self.quick { 0.0 } else { self.seconds };
        let lasting = Duration::from_secs_f64(lasting);
        let plan = Plan { lasting, quick: self.quick, only: self.only };
        let outcome =
            measure(&plan, |profile| words::aside(format_args!("measuring {profile}\n")))?;
        if outcome.packets.is_empty() && outcome.skipped.is_empty() {
            return Err(Failure::with_status(2, &"no profile has such a name"));
        }
        if outcome.machine.load > IDLE {
            let load = outcome.machine.load;
            words::aside(format_args!(
                "the machine was not idle (load {load:.1}): even ratios differ then\n"
            ));
        }
        if self.json {
            print_json(&outcome)?;
        } else {
            print(&outcome)?;
        }
        Ok(0)
    }
}

fn print(outcome: &Outcome) -> Result<(), Failure> {
    let machine = &outcome.machine;
    say!(
        "hypertun {}; {}, {} cores; {}; huge pages: {}; load {:.2} before\n",
        outcome.version,
        machine.processor,
        machine.cores,
        machine.kernel,
        machine.huge_pages,
        machine.load
    );
    let rows: Vec<_> = outcome
        .packets
        .iter()
        .map(|it| {
            let [small, huge] = &it.floors;
            [
                it.profile.clone(),
                it.traffic.clone(),
                format!("{:.1}", it.ns),
                format!("{:.1}", it.mpps),
                format!("{:.0} %", it.line_rate_10g * 100.0),
                format!("{:.1}", it.floor_ns),
                format!("{:.2}", it.ratio),
                target("<=", it.target),
                format!("{:.1}/{:.1}", small.ns, huge.ns),
                format!("{:.2}/{:.2}", small.ratio, huge.ratio),
            ]
        })
        .collect();
    let heads = [
        "PROFILE",
        "PACKETS",
        "NS",
        "MPPS",
        "10 GBE",
        "FLOOR",
        "RATIO",
        "TARGET",
        "FLOOR 4K/2M",
        "RATIO 4K/2M",
    ];
    table::print(heads, &rows)?;
    say!("");
    let rows: Vec<_> = outcome
        .first_packets
        .iter()
        .map(|it| {
            let ns = format!("{:.0}", it.ns);
            [it.profile.clone(), ns, format!("{:.2}", it.mpps), target(">=", it.target)]
        })
        .collect();
    table::print(["FIRST PACKETS", "NS", "MILLIONS A SECOND", "TARGET"], &rows)?;
    if !outcome.two_workers.is_empty() {
        say!("");
        let rows: Vec<_> = outcome
            .two_workers
            .iter()
            .map(|it| {
                let [one, two] = [it.one_mpps, it.two_mpps].map(|mpps| format!("{mpps:.2}"));
                let ratio = format!("{:.2}", it.ratio);
                let (profile, traffic) = (it.profile.clone(), it.traffic.clone());
                let floor = it.floor.map_or_else(|| "-".to_owned(), |floor| format!("{floor:.2}"));
                [profile, traffic, one, two, ratio, target(">=", it.target), floor]
            })
            .collect();
        let heads =
            ["TWO WORKERS", "PACKETS", "MPPS OF ONE", "OF TWO", "RATIO", "TARGET", "OF FLOORS"];
        table::print(heads, &rows)?;
    }
    if !outcome.memory.is_empty() {
        say!("");
        let rows: Vec<_> = outcome
            .memory
            .iter()
            .map(|it| {
                let huge = format!("{:.0} %", it.huge * 100.0);
                let each = format!("{:.0}", it.bytes_a_flow);
                [it.profile.clone(), each, target("<=", it.target), huge]
            })
            .collect();
        table::print(["MEMORY", "BYTES A FLOW", "TARGET", "IN HUGE PAGES"], &rows)?;
    }
    if !outcome.expiry.is_empty() {
        say!("");
        let rows: Vec<_> = outcome
            .expiry
            .iter()
            .map(|it| {
                [
                    it.profile.clone(),
                    it.looked_at.to_string(),
                    format!("{:.0}/{:.0}/{:.0}", it.median, it.p99, it.most),
                    target("<=", it.target),
                    format!("{:.1}", it.cold_page),
                    format!("{:.0} of {:.0}", it.kept, it.occupied),
                    target("<=", it.kept_target),
                ]
            })
            .collect();
        let heads = [
            "EXPIRY",
            "LOOKED AT",
            "µs A TURN: MEDIAN/P99/MOST",
            "TARGET",
            "µs A COLD PAGE",
            "MIB KEPT",
            "TARGET",
        ];
        table::print(heads, &rows)?;
    }
    if !outcome.decisions.is_empty() {
        say!("");
        let rows: Vec<_> = outcome
            .decisions
            .iter()
            .map(|it| {
                let [few, many] = [(it.few, it.few_ns), (it.many, it.many_ns)]
                    .map(|(count, ns)| format!("{ns:.1} by {count}"));
                let ratio = format!("{:.2}", it.ratio);
                [it.by.clone(), few, many, ratio, target("<=", it.target)]
            })
            .collect();
        table::print(["DECISIONS", "NS BY FEW", "NS BY MANY", "RATIO", "TARGET"], &rows)?;
    }
    for skipped in &outcome.skipped {
        say!("\nleft out: {}: {}", skipped.profile, skipped.why);
    }
    Ok(())
}

fn target(how: &str, target: Option<f64>) -> String {
    target.map_or_else(|| "-".to_owned(), |target| format!("{how} {target}"))
}

fn seconds(word: &str) -> Result<f64, String> {
    let seconds = word.parse().ok().filter(|seconds| (0.01..=600.0).contains(seconds));
    seconds.ok_or_else(|| "a number of seconds from 0.01 to 600".to_owned())
}
