//! How long do commands take with a VPC as large as an account may have it?

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};

use crate::Result;
use crate::host::{Host, Process, output};
use crate::statistics::median;
use crate::targets::Bound;

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) bound: Option<Bound>,
}

/// All that is, in the order of a [`Run`]'s numbers.
pub(crate) const FIGURES: [Figure; 8] = [
    figure("check", "s", Some(2.0)),
    figure("explain, longer than check", "ms", Some(50.0)),
    figure("apply of one rule, longer than check", "ms", Some(200.0)),
    figure("up, 200 network interfaces", "s", Some(6.0)),
    figure("up, 1,000 network interfaces", "s", Some(25.0)),
    figure("down, 1,000 network interfaces", "s", None),
    figure("memory of hypertun, 1,000 network interfaces", "MiB", None),
    figure("memory of hypertun and the kernel, 1,000 network interfaces", "MiB", None),
];

const fn figure(name: &'static str, unit: &'static str, most: Option<f64>) -> Figure {
    let bound = match most {
        Some(most) => Some(Bound::AtMost(most)),
        None => None,
    };
    Figure { name, unit, bound }
}

/// A number for each of the [`FIGURES`].
pub(crate) type Run = [f64; FIGURES.len()];

/// How large the VPC is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    subnets: usize,
    groups: usize,
    /// Network interfaces: few, and many.
    interfaces: [usize; 2],
}

impl Size {
    /// Of all that there is one part of so many, at least one.
    pub(crate) fn part(parts: usize) -> Self {
        let part = |of: usize| of.div_ceil(parts);
        Self { subnets: part(200), groups: part(2500), interfaces: [200, 1000].map(part) }
    }
}

/// Rules of a group.
const RULES: usize = 60;

/// Groups of an interface.
const GROUPS: usize = 5;

/// How often short commands are run; the median counts.
const TIMES: usize = 5;

/// Measures once, on a host of its own.
pub(crate) fn measure(programs: &Path, size: Size) -> Result<Run> {
    let hypertun = programs.join("hypertun");
    let folder = std::env::temp_dir().join(format!("hypertun-control-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let measured = measure_in(&hypertun, &folder, size);
    fs::remove_dir_all(&folder)?;
    measured
}

fn measure_in(hypertun: &Path, folder: &Path, size: Size) -> Result<Run> {
    let write = |name: &str, interfaces, changed| -> Result<PathBuf> {
        let path = folder.join(name);
        fs::write(&path, topology(size, interfaces, changed))?;
        Ok(path)
    };
    let [few, many] = size.interfaces;
    let (few, old) = (write("few.yaml", few, false)?, write("old.yaml", many, false)?);
    let new = write("new.yaml", many, true)?;

    let host = Host::start()?;
    let takes = |words: &[&str], file: &Path| {
        let started = Instant::now();
        let said = output(host.command(hypertun).args(words).arg(file))?;
        let took = started.elapsed().as_secs_f64();
        match words {
            ["apply"] if said != "~ security_groups g0\n" => {
                Err(format!("apply of one rule has changed: {said}").into())
            }
            _ => Ok(took),
        }
    };
    let often = |words: &[&str], files: &[&Path]| -> Result<f64> {
        let files = files.iter().cycle().take(TIMES);
        let times = files.map(|file| takes(words, file)).collect::<Result<Vec<f64>>>()?;
        Ok(median(times))
    };
    let check = often(&["check"], &[&old])?;
    let explain =
        often(&["explain", "--from", "e0", "--to", "203.0.113.80", "--port", "443"], &[&old])?;
    let (up_few, _) = bring_up_and_down(&host, hypertun, &few, || Ok(()))?;
    let (mut apply, mut own, mut all) = (f64::NAN, f64::NAN, f64::NAN);
    let before = available()?;
    let (up_many, down) = bring_up_and_down(&host, hypertun, &old, || {
        all = before - available()?;
        own = resident(&host)?;
        apply = often(&["apply"], &[&new, &old])?;
        Ok(())
    })?;
    let beyond = |time: f64| (time - check) * 1e3;
    Ok([check, beyond(explain), beyond(apply), up_few, up_many, down, own, all])
}

/// Has a topology up while `meanwhile` runs; seconds until packets flow, and until all is gone.
fn bring_up_and_down(
    host: &Host,
    hypertun: &Path,
    file: &Path,
    meanwhile: impl FnOnce() -> Result<()>,
) -> Result<(f64, f64)> {
    let started = Instant::now();
    let up = Process::start(host.command(hypertun).arg("up").arg(file), "ready")?;
    let took = started.elapsed().as_secs_f64();
    meanwhile()?;
    let started = Instant::now();
    output(host.command(hypertun).arg("down"))?;
    up.end()?;
    Ok((took, started.elapsed().as_secs_f64()))
}

/// Memory that the machine could give to somebody, in MiB (proc(5), `MemAvailable`).
fn available() -> Result<f64> {
    let said = fs::read_to_string("/proc/meminfo")?;
    kibibytes(&said, "MemAvailable:")
}

/// Memory of the process that holds the topology up, in MiB.
fn resident(host: &Host) -> Result<f64> {
    let script = "cat /proc/$(pgrep -o -x hypertun)/status";
    kibibytes(&output(host.command("sh").args(["-euc", script]))?, "VmRSS:")
}

/// A number of KiB behind `word`, in MiB.
fn kibibytes(text: &str, word: &str) -> Result<f64> {
    let value = text.lines().find_map(|line| line.strip_prefix(word));
    let value = value.and_then(|it| it.split_whitespace().next()?.parse::<f64>().ok());
    value.map(|it| it / 1024.0).ok_or_else(|| format!("no {word} in {text}").into())
}

/// A VPC with rules in each group that are all different, none of them about what is asked but the last.
fn topology(size: Size, interfaces: usize, changed: bool) -> String {
    let mut text = String::from(
        "region: us-east-1\nvpcs: {main: {cidr_block: 10.0.0.0/16}}\ninternet_gateways: {igw: {vpc: main}}\n\
         route_tables:\n  \
         public: {vpc: main, routes: [{destination: 0.0.0.0/0, target: igw}]}\n  \
         private: {vpc: main, routes: [{destination: 0.0.0.0/0, target: nat}]}\n\
         nat_gateways: {nat: {subnet: s0, private_ip: 10.0.0.220, public_ips: [198.51.100.10]}}\n\
         internet: {hosts: {partner.example: {addresses: [203.0.113.80]}}}\n\
         subnets:\n",
    );
    for subnet in 0..size.subnets {
        let (zone, table) =
            (["a", "b", "c"][subnet % 3], if subnet == 0 { "public" } else { "private" });
        let _ = writeln!(
            text,
            "  s{subnet}: {{vpc: main, availability_zone: us-east-1{zone}, cidr_block: 10.0.{subnet}.0/24, \
             route_table: {table}}}"
        );
    }
    text += "security_groups:\n";
    for group in 0..size.groups {
        let _ = writeln!(text, "  g{group}:\n    vpc: main\n    ingress:");
        for rule in 0..RULES / 2 {
            let protocol = if rule % 3 == 0 { "udp" } else { "tcp" };
            let first = port(group, rule) + usize::from(changed && group == 0 && rule == 0);
            let (last, net) = (first + rule, (7 * rule + group) % 250);
            let _ = writeln!(
                text,
                "      - {{protocol: {protocol}, ports: {first}-{last}, source: 10.{net}.{rule}.0/24}}"
            );
        }
        text += "    egress:\n";
        for rule in 1..RULES / 2 {
            let first = port(group, rule);
            let (last, net) = (first + rule, (7 * rule + group) % 250);
            let _ = writeln!(
                text,
                "      - {{protocol: tcp, ports: {first}-{last}, destination: 192.0.{net}.0/24}}"
            );
        }
        text += "      - {protocol: tcp, ports: 443, destination: 0.0.0.0/0}\n";
    }
    text += "network_interfaces:\n";
    for interface in 0..interfaces {
        // The first subnet is the NAT gateway's, if there is another.
        let others = (size.subnets - 1).max(1);
        let (subnet, host) =
            ((1 + interface % others).min(size.subnets - 1), 10 + interface / others);
        let groups = (0..GROUPS.min(size.groups)).map(|it| (GROUPS * interface + it) % size.groups);
        let groups: Vec<String> = groups.map(|it| format!("g{it}")).collect();
        let groups = groups.join(", ");
        let _ = writeln!(
            text,
            "  e{interface}: {{subnet: s{subnet}, private_ip: 10.0.{subnet}.{host}, security_groups: [{groups}]}}"
        );
    }
    text
}

/// Where the ports of a rule begin.
const fn port(group: usize, rule: usize) -> usize {
    1024 + (37 * rule + 11 * group) % 20_000
}

/// The figures and their medians, as rows of a table.
pub(crate) fn rows(runs: &[Run]) -> impl Iterator<Item = (Figure, f64)> {
    FIGURES.into_iter().enumerate().map(|(at, it)| (it, median(runs.iter().map(|run| run[at]))))
}

/// Every number.
pub(crate) fn json(runs: &[Run]) -> Value {
    let figures = FIGURES.iter().enumerate().map(|(at, it)| {
        let samples: Vec<f64> = runs.iter().map(|run| run[at]).collect();
        json!({ "measure": it.name, "unit": it.unit, "samples": samples })
    });
    figures.collect()
}
