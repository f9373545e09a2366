//! Does `explain` say what a real packet does? For every topology, every pair of endpoints and a
//! handful of protocols and ports: where it arrives, with which addresses, whether it is answered,
//! and what was dropped where for which reason.
//!
//! In a round each sender addresses another receiver, so that what arrives has one sender: first by
//! its name, by NAT64 where the two have no family in common, then by its address of IPv6.
#![expect(clippy::unwrap_used, reason = "a test says by a panic that its promise is broken")]

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Instant;

use integration::agent::{Answer, Arrival, Probe};
use integration::{Agent, Host, Up, topologies};
use serde_json::Value;

const PROTOCOLS: [(&str, u16); 7] =
    [("tcp", 80), ("tcp", 443), ("tcp", 5432), ("tcp", 22), ("tcp", 7), ("udp", 7), ("icmp", 0)];

#[test]
fn explain_says_what_packets_do() {
    std::thread::scope(|scope| {
        let files = topologies();
        assert!(files.len() >= 6, "{files:?}");
        for file in files {
            scope.spawn(move || Trial::run(&file));
        }
    });
}

/// Packets dropped, by reason and component.
type Drops = BTreeMap<(String, String), i64>;

struct Trial<'a> {
    file: &'a Path,
    up: Up<'a>,
    agents: Vec<(String, Agent)>,
    /// See [`Trial::primary`].
    primary: HashMap<IpAddr, IpAddr>,
    /// Who has an address of IPv6, and the first that it has.
    ipv6: HashMap<String, Ipv6Addr>,
    differences: Vec<String>,
}

/// How receivers are addressed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// By name, or by what NAT64 makes of it.
    Name,
    /// By address of IPv6.
    Ipv6,
}

/// A probe, and what `explain` says of it.
struct Expected {
    probe: Probe,
    /// Who gets it, if somebody does.
    receiver: Option<String>,
    arrival: Arrival,
    answer: Answer,
    /// The drop that it leads to, of itself or of its answer.
    dropped: Option<(String, String)>,
    question: String,
}

impl Expected {
    /// Whether it is to arrive in another family than it is sent in.
    const fn crosses(&self) -> bool {
        self.probe.to.is_ipv6() != self.arrival.dst.is_ipv6()
    }
}

impl Trial<'_> {
    fn run(file: &Path) {
        let (host, began) = (Host::start(), Instant::now());
        let up = Up::start(&host, file, "trial", &[]);
        let senders = names(&up.json("status")["namespaces"]);
        let agents = senders.iter().map(|name| (name.clone(), Agent::start(&up, name))).collect();
        let (primary, differences) = (Trial::primary(&up), Vec::new());
        let mut trial = Trial { file, up, agents, primary, ipv6: HashMap::new(), differences };
        let endpoints = trial.endpoints();
        trial.ipv6 = trial.ipv6(&endpoints);
        let (mut probes, mut crossed) = (0, 0);
        let rounds = (1..endpoints.len()).flat_map(|it| [(it, By::Name), (it, By::Ipv6)]);
        for (number, (round, by)) in rounds.enumerate() {
            let plan: Vec<Vec<Expected>> = (0..senders.len())
                .map(|place| (place, &endpoints[(place + round) % endpoints.len()]))
                .map(|(place, to)| trial.expectations(&senders[place], to, by, number))
                .collect();
            let count = plan.iter().map(Vec::len).sum::<usize>();
            probes += count;
            let crosses = |it: &&Expected| it.receiver.is_some() && it.crosses();
            crossed += plan.iter().flatten().filter(crosses).count();
            if count > 0 {
                trial.compare(&plan);
            }
        }
        let name = file.file_name().unwrap().to_string_lossy();
        let (took, wrong) = (began.elapsed(), trial.differences.len());
        println!("{name}: {probes} packets in {took:.1?}, {crossed} by NAT64, {wrong} differences");
        assert!(wrong == 0, "{name}:\n{}", trial.differences.join("\n"));
        assert!(probes > PROTOCOLS.len(), "{name}: hardly anything was sent");
        assert_eq!(crossed > 0, name.contains("nat64"), "{name}: {crossed} by NAT64");
    }

    /// Of which gateway's addresses any may be the one that a packet leaves with: each, and the primary
    /// one that stands for all.
    fn primary(up: &Up<'_>) -> HashMap<IpAddr, IpAddr> {
        let status = up.json("status");
        let gateways = status["nat_gateways"].as_array().unwrap().iter();
        let lists = gateways.flat_map(|it| [names(&it["private_ips"]), names(&it["public_ips"])]);
        let addresses = lists.map(|list| -> Vec<IpAddr> {
            list.iter().map(|address| address.parse().unwrap()).collect()
        });
        addresses.flat_map(|list| list.clone().into_iter().map(move |it| (it, list[0]))).collect()
    }

    /// All who can receive, senders first: `explain` lists them when it is asked for nobody.
    fn endpoints(&self) -> Vec<String> {
        let said = self.up.host().run(&[
            "explain",
            self.file.to_str().unwrap(),
            "--from",
            "no-such-endpoint",
            "--to",
            "0.0.0.0",
        ]);
        let (_, known) = said.err.trim().split_once("there are: ").unwrap();
        let mut names: Vec<String> = known.split(", ").map(str::to_owned).collect();
        let senders: Vec<&String> = self.agents.iter().map(|(name, _)| name).collect();
        names.sort_by_key(|name| senders.iter().position(|it| *it == name).unwrap_or(usize::MAX));
        names
    }

    /// A namespace tells its own; of a host without one the file does, on the line under its name.
    fn ipv6(&self, endpoints: &[String]) -> HashMap<String, Ipv6Addr> {
        let text = std::fs::read_to_string(self.file).unwrap();
        let find = |name: &String| -> Option<Ipv6Addr> {
            if self.agents.iter().any(|(agent, _)| agent == name) {
                let command = ["ip", "-6", "-brief", "address", "show", "eth0", "scope", "global"];
                let said = self.up.says(name, &command);
                return said.split_whitespace().nth(2)?.split('/').next()?.parse().ok();
            }
            let line = text.lines().skip_while(|line| line.trim() != format!("{name}:")).nth(1)?;
            line.split('"').nth(1)?.parse().ok()
        };
        endpoints.iter().filter_map(|name| Some((name.clone(), find(name)?))).collect()
    }

    /// What to ask `explain` for, if the two can meet so.
    fn meant(&self, from: &str, to: &str, by: By) -> Option<String> {
        if by == By::Ipv6 {
            let address = self.ipv6.get(from).and_then(|_| self.ipv6.get(to));
            return address.map(Ipv6Addr::to_string);
        }
        let file = self.file.to_str().unwrap();
        let said = self.up.host().run(&["explain", file, "--from", from, "--to", to]);
        let refused = said.err.split_once("have no addresses of one family");
        let Some((_, advice)) = refused else { return Some(to.to_owned()) };
        advice.split_once(" is ").map(|(_, address)| address.trim().to_owned())
    }

    fn expectations(&self, from: &str, to: &str, by: By, number: usize) -> Vec<Expected> {
        let Some(to) = self.meant(from, to, by) else { return Vec::new() };
        let probes = PROTOCOLS.iter().enumerate();
        probes
            .filter_map(|(place, what)| self.expectation(from, &to, *what, number * 8 + place))
            .collect()
    }

    fn expectation(
        &self,
        from: &str,
        to: &str,
        (protocol, port): (&str, u16),
        number: usize,
    ) -> Option<Expected> {
        let source_port = 40_000 + u16::try_from(number).unwrap();
        let mut said = self.explain(from, to, protocol, port, source_port);
        let (source, _) = address(&said["packet_in"]["src"]);
        let (destination, _) = address(&said["packet_in"]["dst"]);
        if source == destination {
            // A packet to oneself leaves no namespace.
            assert_eq!(said["reason"], "DISCONNECTED_VPCS", "{from} to {to}");
            return None;
        }
        if said["reason"] == "DISCONNECTED_VPCS" {
            // Somebody else has the address: what becomes of the packet is the address's affair.
            said = self.explain(from, &destination.to_string(), protocol, port, source_port);
        }
        let delivered = said["verdict"] == "delivered";
        let answered = delivered && said["reply"]["verdict"] == "delivered";
        let last = said["hops"].as_array().unwrap().last().unwrap();
        let receiver = last["component"].as_str().unwrap().split_once(':').unwrap().1;
        let out = if delivered { &said["packet_out"] } else { &said["packet_in"] };
        let src = address(&out["src"]).0;
        let arrival = Arrival {
            protocol: protocol.to_owned(),
            src: *self.primary.get(&src).unwrap_or(&src),
            dst: address(&out["dst"]).0,
            port: address(&out["dst"]).1,
        };
        Some(Expected {
            probe: Probe { protocol: protocol.to_owned(), to: destination, port, source_port },
            receiver: delivered.then(|| receiver.to_owned()),
            arrival,
            answer: if answered { Answer::Answered } else { Answer::Silence },
            dropped: if delivered { drop_of(&said["reply"]) } else { drop_of(&said) },
            question: format!("{from} to {to} ({destination}) {protocol}/{port}"),
        })
    }

    fn explain(&self, from: &str, to: &str, protocol: &str, port: u16, source: u16) -> Value {
        let file = self.file.to_str().unwrap();
        let (port, source) = (port.to_string(), source.to_string());
        let mut question = vec!["explain", file, "--from", from, "--to", to, "--json"];
        question.extend(["--protocol", protocol, "--port", &port, "--source-port", &source]);
        let said = self.up.host().run(&question);
        let walked: Value =
            serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"));
        let answered = walked["verdict"] == "delivered"
            && (walked["reply"].is_null() || walked["reply"]["verdict"] == "delivered");
        assert_eq!(said.status, i32::from(!answered), "{question:?}");
        walked
    }

    /// Sends all packets of a round, and compares what they do with what is expected.
    fn compare(&mut self, plan: &[Vec<Expected>]) {
        let before = self.drops();
        for ((_, agent), expected) in self.agents.iter_mut().zip(plan) {
            agent.send(expected.iter().map(|it| it.probe.clone()).collect());
        }
        for ((_, agent), expected) in self.agents.iter().zip(plan) {
            for (expected, answer) in expected.iter().zip(agent.answers()) {
                if expected.answer != answer {
                    let (question, said) = (&expected.question, &expected.answer);
                    self.differences.push(format!("{question}: explain: {said:?}, is: {answer:?}"));
                }
            }
        }
        let expected = || plan.iter().flatten();
        for (name, agent) in &mut self.agents {
            let mut arrivals: Vec<Arrival> = expected()
                .filter(|it| it.receiver.as_ref() == Some(name))
                .map(|it| it.arrival.clone())
                .collect();
            arrivals.sort();
            let mut seen = agent.seen();
            for arrival in &mut seen {
                arrival.src = *self.primary.get(&arrival.src).unwrap_or(&arrival.src);
            }
            seen.sort();
            if arrivals != seen {
                self.differences.push(format!("{name}: explain: {arrivals:?}, arrived: {seen:?}"));
            }
        }
        let mut drops = Drops::new();
        for dropped in expected().filter_map(|it| it.dropped.clone()) {
            *drops.entry(dropped).or_default() += 1;
        }
        let mut now = self.drops();
        for (what, count) in before {
            *now.entry(what).or_default() -= count;
        }
        now.retain(|_, count| *count != 0);
        if drops != now {
            let questions: Vec<&String> = expected().map(|it| &it.question).collect();
            self.differences
                .push(format!("drops: explain: {drops:?}, are: {now:?}: {questions:?}"));
        }
    }

    fn drops(&self) -> Drops {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mut drops = Drops::new();
        // Each VPC has a group and a table of the same name.
        for it in self.up.json("drops").as_array().unwrap() {
            let at = (text(&it["reason"]), text(&it["component"]));
            *drops.entry(at).or_default() += it["count"].as_i64().unwrap();
        }
        drops
    }
}

/// Where and why a walk ends, if its packet is not delivered.
fn drop_of(walked: &Value) -> Option<(String, String)> {
    let reason = walked["reason"].as_str()?;
    let last = walked["hops"].as_array().unwrap().last().unwrap();
    Some((reason.to_owned(), last["component"].as_str().unwrap().to_owned()))
}

fn names(value: &Value) -> Vec<String> {
    let names = value.as_array().unwrap().iter();
    names.map(|name| name.as_str().unwrap().to_owned()).collect()
}

/// `a.b.c.d:port` or `[v6]:port`, or without port.
fn address(value: &Value) -> (IpAddr, u16) {
    let text = value.as_str().unwrap();
    match text.parse::<SocketAddr>() {
        Ok(socket) => (socket.ip(), socket.port()),
        Err(_) => (text.parse().unwrap(), 0),
    }
}
