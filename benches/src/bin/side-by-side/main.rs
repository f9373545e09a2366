//! How fast is hypertun beside the least that such work can cost, beside the kernel's own NAT, and
//! beside other programs that do it? `benches/README.md` says what is measured.
//!
//! Contenders take turns, each on a host of its own, so that they share the machine's good and bad
//! minutes and never its processors.

mod chart;
mod contender;
mod control;
mod host;
mod layout;
mod measure;
mod report;
mod samples;
mod statistics;
mod targets;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use benches::outcome::Outcome;
use clap::Parser;
use serde_json::json;

use contender::{CONTENDERS, Contender};
use control::Size;
use layout::Layout;
use report::Findings;
use samples::{Experiment, Samples};

/// What goes wrong is told to whoever started this, and ends it.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Measures hypertun beside the copy floor, the kernel's NAT, slirp4netns, pasta and TAYGA in turn, and
/// writes a report.
///
/// Needs root, and what integration/install-test-tools installs.
#[derive(Debug, Parser)]
struct Arguments {
    /// How often each contender has its turn; below 3, a median says little.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// How long each load runs, in seconds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// How often `hypertun bench` measures the path in memory.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=100))]
    memory: u32,
    /// How often the commands are timed with a VPC as large as an account may have it.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=100))]
    control: u32,
    /// One part of so many of that VPC, to try that out.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..), hide = true)]
    control_part: u16,
    /// Only contenders whose names contain this; more than once for more.
    #[arg(long, value_name = "WORDS")]
    only: Vec<String>,
    /// Folder for REPORT.md and its charts.
    #[arg(long, value_name = "FOLDER", default_value = concat!(env!("CARGO_MANIFEST_DIR")))]
    to: PathBuf,
    /// Print every sample as JSON instead of writing a report.
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
    let contenders = chosen(&arguments.only);
    let experiment = Experiment::here(arguments.rounds, arguments.seconds);
    // Memory first: nothing else has used the machine then.
    let mut memory = Vec::new();
    for run in 1..=arguments.memory {
        eprintln!("in memory, run {run}");
        let said = host::output(Command::new(programs.join("hypertun")).args(["bench", "--json"]))?;
        memory.push(serde_json::from_str::<Outcome>(&said)?);
    }
    let mut control = Vec::new();
    for run in 1..=arguments.control {
        eprintln!("the control side, run {run}");
        control.push(control::measure(programs, Size::part(arguments.control_part.into()))?);
    }
    let mut samples = Samples::of(&contenders);
    for round in 0..arguments.rounds {
        // Nobody is always the first, or always after the same load.
        for turn in 0..contenders.len() {
            let contender = contenders[(turn + round as usize) % contenders.len()];
            let layout = Layout::start(contender, programs)
                .map_err(|error| format!("{}: {error}", contender.name()))?;
            let sample = measure::take(&layout, arguments.seconds);
            let said = report::said(&sample.values());
            eprintln!("round {}: {}: {said}", round + 1, contender.name());
            samples.add(contender, sample);
        }
    }
    let findings = Findings { experiment, samples, memory, control };
    if arguments.json {
        println!("{:#}", json(&findings));
        return Ok(());
    }
    write(&findings, &arguments.to)
}

/// Contenders with one of these words in their names; without words, all.
fn chosen(words: &[String]) -> Vec<Contender> {
    let named = |contender: &Contender| {
        words.is_empty() || words.iter().any(|words| contender.name().contains(words.as_str()))
    };
    CONTENDERS.into_iter().filter(named).collect()
}

fn write(findings: &Findings, folder: &Path) -> Result<()> {
    let charts = folder.join("report");
    std::fs::create_dir_all(&charts)?;
    for (name, chart) in report::charts(findings) {
        std::fs::write(charts.join(name).with_extension("svg"), chart.svg())?;
    }
    let report = folder.join("REPORT.md");
    std::fs::write(&report, report::markdown(findings))?;
    eprintln!("written: {}", report.display());
    Ok(())
}

/// Every sample.
fn json(findings: &Findings) -> serde_json::Value {
    let Findings { experiment, samples, memory, control } = findings;
    json!({
        "machine": experiment.machine,
        "commit": experiment.commit,
        "date": experiment.date,
        "rounds": experiment.rounds,
        "seconds": experiment.seconds,
        "contenders": samples.json(),
        "memory": memory,
        "control": control::json(control),
    })
}
