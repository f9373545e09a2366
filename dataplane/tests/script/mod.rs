//! Conversations as text: what is sent, and all that must come of it.
//!
//! ```text
//! # A comment.
//! app:40000 > 203.0.113.80:80 tcp syn        a packet is sent; the indented lines are its fate
//!   opens                                    a flow is opened
//!   expect internet 198.51.100.10:$p > 203.0.113.80:80 tcp syn ttl=63
//! other:80 > 198.51.100.10:$p tcp ack
//!   drop NAT_UNSOLICITED nat-gateway:nat-a   dropped; an `expect` beside it is the answer
//! wait 351s
//! state flows=1 leased=0 resting=0
//! app6:1 > [64:ff9b::203.0.113.80]:80 udp      who has a 6 behind the name sends from its address of IPv6
//!   opens
//!   expect internet 198.51.100.10:$q > 203.0.113.80:80 udp
//! app6 > [ff02::2] icmp=133/0
//!   ignored                                  never was to leave its link
//! ```
//!
//! Packets: `tcp FLAGS`, `udp`, `ping id=N`, `pong id=N`, `icmp=TYPE id=N` (other queries of IPv4, and the
//! answers to them), `proto=N`, and the errors `frag-needed
//! mtu=N` (in IPv6 `too-big mtu=N`), `unreachable`, `exceeded`, `problem pointer=N`, `icmp=TYPE/CODE` with
//! `quoting last` (or `quoting head`, the headers of it): what the sender got last, or with `of=NAME` who
//! bears that. Options: `len=N` bytes of data, `ttl=N`, `df`, `from=ADDRESS`, `unsummed` (of UDP),
//! `fragment` (the first), `fragment=N` (the last, from byte N on), `datagram=N` (whose they are). Extension
//! headers, in their order: `hop-by-hop`, `options`, with `=N` so many bytes, `routing=N` with so many
//! segments left, `atomic`. Expected ports: a number, `*`, `$name` (the first use binds it), `!name` (any but
//! `$name`). Where the family changes, `df` and `fragment` are expected as they stand, extensions never.
//!
//! Changes: `allow GROUP ingress|egress PROTOCOL PORTS PEER`, `revoke GROUP ingress|egress`,
//! `acl SUBNET ingress|egress NUMBER allow|deny PROTOCOL PORTS CIDR`, `route SUBNET CIDR TARGET`,
//! `hyperplane CONNECTIONS FIRST-LAST` (ports), `pending SECONDS` (the Hyperplane ENI), `nat-ports FIRST-LAST`, `drain SECONDS` (nat-a's address, for another), `profile KEY VALUE`,
//! `timeout ENI KEY SECONDS`. `second N`: the second of real time. `flow-table N` comes first. `only prompt`: see [`Clock`].

mod line;
mod packets;
mod setup;

use std::collections::HashMap;

use dataplane::packet::{EniId, LinkId, Reason};
use dataplane::state::Counters;

use crate::common::datagram::Datagram;
use crate::common::net::Net;
use crate::common::topology::Topology;
use line::Line;
use packets::Expected;

/// Who retires what has become due: nothing that is said of packets may depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The wheel, before the next packet.
    Prompt,
    /// The packet that finds it so; `state` lines are not asserted.
    Lazy,
}

/// Runs a script.
///
/// # Panics
///
/// At the first line that is not so.
pub fn run(name: &str, text: &str, clock: Clock) {
    let only_prompt = text.lines().any(|line| line.trim() == "only prompt");
    if only_prompt && clock == Clock::Lazy {
        return;
    }
    let lines: Vec<Line<'_>> = (1..).zip(text.lines()).filter_map(Line::of).collect();
    let mut lines = lines.as_slice();
    let mut play = Play::new(clock);
    while let Some((&line, rest)) = lines.split_first() {
        assert!(!line.indented, "{name}:{}: an indented line belongs to a packet", line.number);
        let fate = rest.iter().take_while(|line| line.indented).count();
        let (fate, rest) = rest.split_at(fate);
        let step = std::panic::AssertUnwindSafe(|| play.step(line, fate));
        if let Err(fault) = std::panic::catch_unwind(step) {
            eprintln!("{name}:{} ({clock:?}): {}", line.number, line.text);
            std::panic::resume_unwind(fault);
        }
        lines = rest;
    }
}

struct Play {
    clock: Clock,
    topology: Topology,
    net: Net,
    /// What must have been counted so far.
    counted: Counters,
    ports: HashMap<String, u16>,
    /// The last packet that each link got.
    last: HashMap<LinkId, Vec<u8>>,
}

impl Play {
    fn new(clock: Clock) -> Self {
        let topology = Topology::default();
        let net = Net::new(&topology);
        let (counted, ports, last) = Default::default();
        Self { clock, topology, net, counted, ports, last }
    }

    fn step(&mut self, line: Line<'_>, fate: &[Line<'_>]) {
        let words = line.words();
        match words.as_slice() {
            ["only", "prompt"] => {}
            ["flow-table", limit] => {
                assert_eq!(self.counted, Counters::default(), "`flow-table` comes first");
                self.net = Net::with_limit(&self.topology, limit.parse().unwrap(), 1);
            }
            ["wait", time] => {
                let seconds = time.strip_suffix('s').unwrap().parse().unwrap();
                match self.clock {
                    Clock::Prompt => self.net.advance(seconds),
                    Clock::Lazy => self.net.jump(seconds),
                }
            }
            ["second", second] => self.net.shared.allowances.tell(second.parse().unwrap()),
            ["state", wanted @ ..] if self.clock == Clock::Prompt => self.state(wanted),
            ["state", ..] => {}
            [_, ">", ..] => self.send(&words, fate),
            change => {
                setup::change(&mut self.topology, change, self.net.shard.now());
                self.topology.epoch += 1;
                self.net.tables = self.topology.tables();
            }
        }
        assert!(fate.is_empty() || words.get(1) == Some(&">"), "only packets have a fate");
        self.net.check();
    }

    fn state(&self, wanted: &[&str]) {
        for word in wanted {
            let (what, wanted) = word.split_once('=').unwrap();
            let is = match what {
                "flows" => self.net.shard.flows.len(),
                "leased" => usize::try_from(self.net.shared.ports.total()).unwrap(),
                "tracked" => {
                    let enis = (0..8).map(|eni| self.net.shared.tracked.count(EniId(eni)) as usize);
                    enis.sum()
                }
                "resting" => self.net.shard.resting(),
                _ => panic!("unknown state {what}"),
            };
            assert_eq!(is, wanted.parse::<usize>().unwrap(), "{what}");
        }
    }

    fn send(&mut self, words: &[&str], fate: &[Line<'_>]) {
        let sent = packets::sent(words, &self.ports, &self.last);
        let outcome = self.net.send(sent.link, &sent.bytes);

        let (mut expected, mut dropped, mut ignored) = (None, None, false);
        self.counted.received += 1;
        for line in fate {
            match line.words().as_slice() {
                ["opens"] => self.counted.opened += 1,
                ["ignored"] => ignored = true,
                &["drop", reason, component] => {
                    let reason = Reason::ALL.iter().find(|r| r.label() == reason);
                    let reason = *reason.unwrap_or_else(|| panic!("no reason {}", line.text));
                    dropped = Some((reason, line::component(component)));
                }
                ["expect", words @ ..] => expected = Some(Expected::of(words)),
                _ => panic!("what is `{}`?", line.text),
            }
        }
        assert_eq!((outcome.dropped, outcome.ignored), (dropped, ignored), "what does not go on");
        match (&dropped, &outcome.emitted) {
            (Some(at), _) => {
                *self.counted.drops.entry(*at).or_default() += 1;
                self.counted.answers += u64::from(expected.is_some());
            }
            (None, Some(emitted)) => {
                self.counted.forwarded += 1;
                self.counted.forwarded_bytes += emitted.bytes.len() as u64;
            }
            (None, None) => self.counted.ignored += u64::from(ignored),
        }
        match (outcome.emitted, expected) {
            (None, None) => {}
            (Some(emitted), Some(expected)) => {
                let seen = Datagram::read(&emitted.bytes);
                expected.compare(&emitted, &seen, &mut self.ports);
                if dropped.is_none() {
                    expected.compare_carried(&sent.datagram, &seen);
                }
                self.last.insert(emitted.link, emitted.bytes);
            }
            (emitted, expected) => panic!("emitted {emitted:?}, expected {expected:?}"),
        }
        assert_eq!(self.net.shard.counters, self.counted, "all counters");
    }
}
