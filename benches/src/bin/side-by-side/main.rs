//! How fast is hypertun's NAT gateway beside the least that such work can cost, and beside the
//! kernel's own NAT? `benches/README.md` says what is measured.
//!
//! Contenders take turns, each on a host of its own, so that they share the machine's good and bad
//! minutes and never its processors.

mod contender;
mod host;
mod measure;
mod report;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use contender::{CONTENDERS, Layout};
use measure::MEASURES;
use report::{Experiment, Samples};

/// What goes wrong is told to whoever started this, and ends it.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Measures the copy floor, the kernel's NAT and hypertun in turn, and prints ratios.
///
/// Needs root, iperf3, ping, iproute2, nftables and util-linux.
#[derive(Debug, Parser)]
struct Arguments {
    /// How often each contender has its turn; below 3, a median says little.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// How long each iperf3 runs, in seconds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// Print every sample as JSON instead of tables.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("side-by-side: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let own = std::env::current_exe()?;
    let programs = own.parent().ok_or("a program lies in a folder")?;
    let experiment = Experiment::here(arguments.rounds, arguments.seconds);
    let mut samples: Samples = vec![Vec::new(); CONTENDERS.len()];
    for round in 0..arguments.rounds {
        // Nobody is always the first, or always after the same load.
        for turn in 0..CONTENDERS.len() {
            let which = (turn + round as usize) % CONTENDERS.len();
            samples[which].push(turn_of(which, programs, arguments.seconds)?);
            let said = report::row(samples[which].last().into_iter().flatten().copied());
            eprintln!("round {}: {}: {said}", round + 1, CONTENDERS[which].name());
        }
    }
    if arguments.json {
        println!("{:#}", report::json(&experiment, &samples));
    } else {
        print!("{}", report::tables(&experiment, &samples));
    }
    Ok(())
}

/// All measures of one contender, in the order of [`MEASURES`].
fn turn_of(which: usize, programs: &Path, seconds: u32) -> Result<[f64; MEASURES.len()]> {
    let contender = CONTENDERS[which];
    let layout = Layout::start(contender, programs)?;
    let mut sample = [0.0; MEASURES.len()];
    for (value, measure) in sample.iter_mut().zip(&MEASURES) {
        *value = (measure.take)(&layout, seconds)
            .map_err(|error| format!("{}, {}: {error}", contender.name(), measure.name))?;
    }
    Ok(sample)
}
