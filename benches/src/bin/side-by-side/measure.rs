//! What is measured, each alone and on an idle contender: iperf3's streams and datagrams from the
//! client to the server, and ping's round trip.

use serde_json::Value;

use crate::Result;
use crate::contender::{Layout, SERVER};
use crate::host::{Process, output};
use crate::report::median;

/// One column of the report.
pub(crate) struct Measure {
    pub(crate) name: &'static str,
    /// What a value of it is in.
    pub(crate) unit: &'static str,
    /// Takes it; the second argument is how long, in seconds.
    pub(crate) take: fn(&Layout, u32) -> Result<f64>,
}

/// In the order in which they are taken; a flood is the last.
pub(crate) const MEASURES: [Measure; 4] = [
    Measure { name: "round trip", unit: "µs", take: round_trip },
    Measure {
        name: "TCP, 1 stream",
        unit: "Gbit/s",
        take: |layout, seconds| Ok(iperf3(layout, seconds, &[])? / 1e9),
    },
    Measure {
        name: "TCP, 4 streams",
        unit: "Gbit/s",
        take: |layout, seconds| Ok(iperf3(layout, seconds, &["--parallel", "4"])? / 1e9),
    },
    Measure {
        name: "UDP 64 B received",
        unit: "kpps",
        take: |layout, seconds| {
            let flood = ["--udp", "--length", "64", "--bitrate", "0"];
            Ok(iperf3(layout, seconds, &flood)? / (64.0 * 8.0) / 1e3)
        },
    },
];

/// Bits of payload a second that arrive.
fn iperf3(layout: &Layout, seconds: u32, options: &[&str]) -> Result<f64> {
    let mut server = layout.server("iperf3");
    server.args(["--server", "--one-off", "--forceflush"]);
    let server = Process::start(&mut server, "Server listening")?;
    let mut client = layout.client("iperf3");
    client.args(["--client", SERVER, "--connect-timeout", "5000", "--json"]);
    client.args(["--time", &seconds.to_string()]).args(options);
    let report: Value = serde_json::from_str(&output(&mut client)?)?;
    let rate = report["end"]["sum_received"]["bits_per_second"].as_f64();
    let rate = rate.filter(|it| *it > 0.0).ok_or_else(|| format!("nothing arrived: {report}"))?;
    server.end()?;
    Ok(rate)
}

/// The median of a second of pings, 2 ms apart, in microseconds.
fn round_trip(layout: &Layout, _: u32) -> Result<f64> {
    let mut ping = layout.client("ping");
    let said = output(ping.args(["-n", "-i", "0.002", "-c", "500", "-W", "1", SERVER]))?;
    let times = said.lines().filter_map(|line| {
        let (_, time) = line.split_once(" time=")?;
        time.strip_suffix(" ms")?.parse::<f64>().ok()
    });
    let times = median(times).ok_or_else(|| format!("ping told no times: {said}"))?;
    Ok(times * 1e3)
}
