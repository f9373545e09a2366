//! What is measured, each alone: iperf3's streams and datagrams between client and server, ping's
//! round trips on an idle contender and beside a load, and the forwarder's processor time.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Result;
use crate::contender::Contender;
use crate::host::{Process, output};
use crate::layout::Layout;
use crate::statistics::quantile;

/// One number of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Measure {
    pub(crate) name: &'static str,
    /// What a value of it is in.
    pub(crate) unit: &'static str,
}

const fn measure(name: &'static str, unit: &'static str) -> Measure {
    Measure { name, unit }
}

/// All numbers of a contender.
pub(crate) const MEASURES: [Measure; 19] = [
    ROUND_TRIP,
    TCP_OUT,
    measure("TCP in, 1 stream", "Gbit/s"),
    measure("TCP out, 4 streams", "Gbit/s"),
    measure("TCP in, 4 streams", "Gbit/s"),
    UDP,
    measure("p50 at 10 %", "µs"),
    measure("p99 at 10 %", "µs"),
    measure("p99.9 at 10 %", "µs"),
    measure("p50 at 50 %", "µs"),
    measure("p99 at 50 %", "µs"),
    measure("p99.9 at 50 %", "µs"),
    measure("p50 at 90 %", "µs"),
    measure("p99 at 90 %", "µs"),
    measure("p99.9 at 90 %", "µs"),
    IDLE,
    measure("CPU, TCP out", "%"),
    measure("CPU, UDP", "%"),
    measure("handed over", "%"),
];

pub(crate) const ROUND_TRIP: Measure = measure("round trip", "µs");
pub(crate) const TCP_OUT: Measure = measure("TCP out, 1 stream", "Gbit/s");
pub(crate) const UDP: Measure = measure("UDP 64 B received", "kpps");
pub(crate) const IDLE: Measure = measure("CPU, idle", "%");

/// Loads beside which round trips are measured, in parts of the datagrams that arrive at most.
const LOADS: [(f64, [&str; 3]); 3] = [
    (0.1, ["p50 at 10 %", "p99 at 10 %", "p99.9 at 10 %"]),
    (0.5, ["p50 at 50 %", "p99 at 50 %", "p99.9 at 50 %"]),
    (0.9, ["p50 at 90 %", "p99 at 90 %", "p99.9 at 90 %"]),
];

/// One value for each of [`MEASURES`]; not a number where there is none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sample([f64; MEASURES.len()]);

impl Sample {
    pub(crate) const fn empty() -> Self {
        Self([f64::NAN; MEASURES.len()])
    }

    pub(crate) fn of(&self, measure: Measure) -> f64 {
        self.named(measure.name)
    }

    pub(crate) fn values(&self) -> [f64; MEASURES.len()] {
        self.0
    }

    fn named(&self, name: &str) -> f64 {
        let at = MEASURES.iter().position(|it| it.name == name);
        at.map_or(f64::NAN, |at| self.0[at])
    }

    pub(crate) fn set(&mut self, name: &str, value: f64) {
        if let Some(at) = MEASURES.iter().position(|it| it.name == name) {
            self.0[at] = value;
        }
    }
}

/// Takes all measures of a contender, `seconds` each. What fails is told, and has no value.
pub(crate) fn take(layout: &Layout, seconds: u32) -> Sample {
    let mut sample = Sample::empty();
    let name = layout.contender.name();
    let told = |what: &str, outcome: Result<()>| {
        if let Err(error) = outcome {
            eprintln!("{name}, {what}: {error}");
        }
    };
    told("idle", idle(layout, seconds, &mut sample));
    told("round trip", round_trip(layout, &mut sample));
    for (measure, cpu, options) in [
        (TCP_OUT.name, "CPU, TCP out", &[][..]),
        ("TCP in, 1 stream", "", &["--reverse"]),
        ("TCP out, 4 streams", "", &["--parallel", "4"]),
        ("TCP in, 4 streams", "", &["--parallel", "4", "--reverse"]),
    ] {
        told(measure, tcp(layout, seconds, (measure, cpu, options), &mut sample));
    }
    // A flood is the last of the floods.
    told(UDP.name, udp(layout, seconds, &mut sample));
    for (load, measures) in LOADS {
        let outcome = under_load(layout, seconds, (load, measures), &mut sample);
        told(measures[0], outcome);
    }
    told("handed over", handed_over(layout, &mut sample));
    sample
}

/// What the forwarder spends while nobody sends, after it has had time to become quiet.
fn idle(layout: &Layout, seconds: u32, sample: &mut Sample) -> Result<()> {
    std::thread::sleep(Duration::from_millis(500));
    let (used, ()) = spending(layout, || {
        std::thread::sleep(Duration::from_secs(seconds.into()));
        Ok(())
    })?;
    sample.set(IDLE.name, used);
    Ok(())
}

/// The median of pings, 2 ms apart.
fn round_trip(layout: &Layout, sample: &mut Sample) -> Result<()> {
    let times = pings(layout, 500, "0.002")?;
    sample.set(ROUND_TRIP.name, quantile(times, 0.5));
    Ok(())
}

fn tcp(
    layout: &Layout,
    seconds: u32,
    (measure, cpu, options): (&str, &str, &[&str]),
    sample: &mut Sample,
) -> Result<()> {
    let (used, bits) = spending(layout, || iperf3(layout, seconds, options))?;
    sample.set(measure, bits / 1e9);
    sample.set(cpu, used);
    Ok(())
}

/// As many datagrams as iperf3 can send; what arrives counts.
fn udp(layout: &Layout, seconds: u32, sample: &mut Sample) -> Result<()> {
    let flood = ["--udp", "--length", "64", "--bitrate", "0"];
    let (used, bits) = spending(layout, || iperf3(layout, seconds, &flood))?;
    sample.set(UDP.name, bits / (64.0 * 8.0) / 1e3);
    sample.set("CPU, UDP", used);
    Ok(())
}

/// Pings, 1 ms apart, beside a part of the datagrams that have arrived at most.
fn under_load(
    layout: &Layout,
    seconds: u32,
    (load, measures): (f64, [&str; 3]),
    sample: &mut Sample,
) -> Result<()> {
    let most = sample.of(UDP) * 1e3 * 64.0 * 8.0;
    if !most.is_finite() {
        return Err("how much it can carry is not known".into());
    }
    let bitrate = format!("{:.0}", most * load);
    let times = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            // It begins before the pings and ends after them. Datagrams leave evenly, not all that
            // are due in a millisecond at once.
            let options =
                ["--udp", "--length", "64", "--bitrate", &bitrate, "--pacing-timer", "50"];
            iperf3(layout, seconds + 1, &options).map(drop).map_err(|error| error.to_string())
        });
        std::thread::sleep(Duration::from_millis(500));
        let times = pings(layout, seconds * 1000, "0.001");
        let load = load.join().unwrap_or_else(|_| Err("it has panicked".to_owned()));
        load.map_err(|error| format!("the load: {error}"))?;
        times
    })?;
    for (measure, part) in measures.into_iter().zip([0.5, 0.99, 0.999]) {
        sample.set(measure, quantile(times.iter().copied(), part));
    }
    Ok(())
}

/// Packets that came to another worker's queue, of all.
fn handed_over(layout: &Layout, sample: &mut Sample) -> Result<()> {
    if let Contender::Hypertun { .. } = layout.contender {
        let status: Value =
            serde_json::from_str(&output(layout.hypertun().args(["status", "--json"]))?)?;
        let count = |name: &str| {
            status[name].as_f64().ok_or_else(|| format!("the status has no {name}: {status}"))
        };
        let share = count("packets_handed_over")? / count("packets_received")?;
        sample.set("handed over", share * 100.0);
    }
    Ok(())
}

/// Bits of payload a second that arrive.
fn iperf3(layout: &Layout, seconds: u32, options: &[&str]) -> Result<f64> {
    let mut server = layout.server("iperf3");
    server.args(["--server", "--one-off", "--forceflush"]);
    let server = Process::start(&mut server, "Server listening")?;
    let mut client = layout.client("iperf3");
    client.args(["--client", layout.contender.server(), "--connect-timeout", "5000", "--json"]);
    client.args(["--time", &seconds.to_string()]).args(options);
    let report: Value = serde_json::from_str(&output(&mut client)?)?;
    let rate = report["end"]["sum_received"]["bits_per_second"].as_f64();
    let rate = rate.filter(|it| *it > 0.0).ok_or_else(|| format!("nothing arrived: {report}"))?;
    server.end()?;
    Ok(rate)
}

/// Round trips of so many pings in microseconds; those that were lost never end.
fn pings(layout: &Layout, count: u32, interval: &str) -> Result<Vec<f64>> {
    let mut ping = layout.client("ping");
    ping.args(["-n", "-i", interval, "-c", &count.to_string(), "-W", "1"]);
    let said = output(ping.arg(layout.contender.server()))?;
    let times = said.lines().filter_map(|line| {
        let (_, time) = line.split_once(" time=")?;
        time.strip_suffix(" ms")?.parse::<f64>().ok()
    });
    let mut times: Vec<f64> = times.map(|time| time * 1e3).collect();
    if times.is_empty() {
        return Err(format!("ping told no times: {said}").into());
    }
    times.resize(count as usize, f64::INFINITY);
    Ok(times)
}

/// What the forwarder spends meanwhile, in hundredths of one processor; not a number for the kernel,
/// whose work is told as others'.
fn spending<T>(layout: &Layout, work: impl FnOnce() -> Result<T>) -> Result<(f64, T)> {
    let Some(forwarder) = &layout.forwarder else { return Ok((f64::NAN, work()?)) };
    let (start, before) = (Instant::now(), forwarder.processor_time()?);
    let done = work()?;
    let used = forwarder.processor_time()?.saturating_sub(before);
    Ok((used.as_secs_f64() / start.elapsed().as_secs_f64() * 100.0, done))
}
