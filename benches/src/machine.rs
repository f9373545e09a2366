//! On what machine was it, and who else used it?

use std::fs;

use serde::{Deserialize, Serialize};

/// What a number has to be told with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// Processors that may be used here.
    pub cores: usize,
    /// Kernel and its release.
    pub kernel: String,
    /// Whether the kernel gives huge pages: to whoever asks (`madvise`), to all (`always`), or
    /// `never`.
    pub huge_pages: String,
    /// Load average over a minute; above a few tenths, others work on the machine.
    pub load: f64,
}

impl Machine {
    /// This one, now.
    #[must_use]
    pub fn here() -> Self {
        let cpuinfo = read("/proc/cpuinfo");
        let model =
            cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let huge = read("/sys/kernel/mm/transparent_hugepage/enabled");
        let chosen = huge.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
        let name = rustix::system::uname();
        Self {
            processor: model.map_or("unknown", |(_, model)| model.trim()).to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: format!(
                "{} {}",
                name.sysname().to_string_lossy(),
                name.release().to_string_lossy()
            ),
            huge_pages: chosen.map_or("unknown", |(chosen, _)| chosen).to_owned(),
            load: read("/proc/loadavg")
                .split(' ')
                .next()
                .and_then(|load| load.parse().ok())
                .unwrap_or(f64::NAN),
        }
    }
}

/// Memory that the program occupies.
#[derive(Clone, Copy, Debug)]
pub struct Occupied {
    /// All of it, in bytes.
    pub resident: u64,
    /// What of it lies in huge pages, in bytes.
    pub huge: u64,
}

impl Occupied {
    /// At this moment.
    #[must_use]
    pub fn now() -> Self {
        let text = read("/proc/self/smaps_rollup");
        Self { resident: kilobytes(&text, "Rss:"), huge: kilobytes(&text, "AnonHugePages:") }
    }
}

/// Bytes that can be had without swapping.
#[must_use]
pub fn available() -> u64 {
    kilobytes(&read("/proc/meminfo"), "MemAvailable:")
}

fn kilobytes(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or_default() * 1024
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_known() {
        let machine = Machine::here();
        assert!(machine.kernel.starts_with("Linux "), "{machine:?}");
        assert!(machine.cores > 0 && machine.load >= 0.0, "{machine:?}");
    }
}
