//! What is seen of packets on a host, at any of its links?

use std::time::Duration;

use crate::host::Host;
use crate::up::Talker;

/// `tcpdump` at all links of a host, also at those that come.
#[derive(Debug)]
pub struct Sniffer<'a> {
    host: &'a Host,
    tcpdump: Talker,
}

impl<'a> Sniffer<'a> {
    /// Starts to listen.
    #[must_use]
    pub fn start(host: &'a Host) -> Self {
        let mut command = host.command("tcpdump");
        command.args(["-i", "any", "-n", "-l", "--immediate-mode"]);
        let sniffer = Self { host, tcpdump: Talker::start(&mut command) };
        sniffer.mark();
        sniffer
    }

    /// Ends; returns what was seen of packets that are not the host's with itself.
    #[must_use]
    pub fn seen(self) -> Vec<String> {
        let mut seen = self.mark();
        // `TIME LINK Out IP …`
        seen.retain(|line| line.split_whitespace().nth(1) != Some("lo"));
        seen
    }

    /// All that has been seen until now: it hears everything on the way to what is sent last.
    fn mark(&self) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            let _ = self.host.says("ping", &["-c", "1", "-W", "1", MARK]);
            while let Some(line) = self.tcpdump.hear_within(Duration::from_millis(500)) {
                if line.contains(&format!("> {MARK}")) {
                    return seen;
                }
                seen.push(line);
            }
        }
    }
}

/// An address of `lo` that nobody else talks to.
const MARK: &str = "127.77.0.1";
