//! One packet walked in words, and its reply, through the very code that admits live packets.

mod advice;
pub(crate) mod words;

use std::net::{IpAddr, Ipv4Addr};

use dataplane::packet::{Addr, Answer, Direction, Key, Reason};
use dataplane::path::admit::{Admitted, Denial, Headers, Hop, Refusal, admit};
use dataplane::shared::{Shared, WorkerId};
use dataplane::state::Shard;
use dataplane::tables::Tables;
use dataplane::wire::{icmpv4, protocol, tcp::flags};
use serde::Serialize;
use thiserror::Error;

use crate::check::{Checked, Endpoint, Topology};
use crate::compile::{self, Compiled, FIRST_EPOCH, Names, TooMany};

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// The sender's name.
    pub from: String,
    /// An address, or the receiver's name.
    pub to: String,
    /// IP protocol number.
    pub protocol: u8,
    /// Destination port; read for TCP and UDP.
    pub port: u16,
    /// Source port for TCP and UDP, identifier for ICMP.
    pub source_port: u16,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Error {
    /// Nothing has that name.
    #[error("nothing that sends packets is named `{name}`; there are: {known}")]
    Unknown {
        /// The name.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// The topology is larger than the data plane can name.
    #[error(transparent)]
    TooMany(#[from] TooMany),
    /// IPv6 has its own issue.
    #[error("{0} is an IPv6 address, which is not supported yet")]
    Ipv6(IpAddr),
}

/// What became of one packet, in the words of the contract's verdicts.
#[derive(Clone, Debug, Serialize)]
pub struct Walked {
    /// `delivered`, `dropped` or `rejected`.
    pub verdict: &'static str,
    /// Why it was not delivered.
    pub reason: Option<&'static str>,
    /// The same in a sentence.
    pub detail: Option<String>,
    /// What to change for it to be delivered, or what else to look at.
    pub advice: Option<String>,
    /// The checks that it met, in order.
    pub hops: Vec<HopWords>,
    /// As it was sent.
    pub packet_in: PacketWords,
    /// As it arrived.
    pub packet_out: Option<PacketWords>,
    /// What became of its answer; for a request that was delivered.
    pub reply: Option<Box<Walked>>,
}

/// One check.
#[derive(Clone, Debug, Serialize)]
pub struct HopWords {
    /// `kind:name`.
    pub component: String,
    /// Which check.
    pub stage: &'static str,
    /// The rule that decided.
    pub rule: Option<String>,
    /// What it decided.
    pub verdict: &'static str,
}

/// A packet's 5-tuple.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PacketWords {
    /// Source.
    pub src: String,
    /// Destination.
    pub dst: String,
    /// Protocol, by name where it has one.
    pub protocol: String,
}

impl Walked {
    /// Whether request and reply both arrive.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.verdict == DELIVERED
            && self.reply.as_ref().is_none_or(|reply| reply.verdict == DELIVERED)
    }
}

const DELIVERED: &str = "delivered";

/// Walks the packet that `question` describes over `topology`, and its reply.
///
/// # Errors
///
/// When a name or an address means nothing here.
pub fn explain(topology: &Checked, question: &Question) -> Result<Walked, Error> {
    let mut names = Names::default();
    let Compiled { tables, ids } = compile::compile(topology, &[], &mut names, FIRST_EPOCH)?;
    let from = endpoint(topology, &question.from)?;
    let (to, expected) = destination(topology, from, &question.to)?;
    let (link, source) = match from {
        Endpoint::NetworkInterface(at) => (ids.eni_links[at.0], topology[at].private_ip),
        Endpoint::InternetHost(at) => {
            let host = &topology[at];
            // A host has at least one address.
            let address = host.addresses.first().copied().unwrap_or(Ipv4Addr::UNSPECIFIED);
            (ids.host_links[at.0], address)
        }
    };
    let ports = match question.protocol {
        protocol::TCP | protocol::UDP => (question.source_port, question.port),
        protocol::ICMP => (question.source_port, 0),
        _ => (0, 0),
    };
    let key =
        Key::new(link, question.protocol, (Addr::v4(source), ports.0), (Addr::v4(to), ports.1));
    // One flow and its like: nothing of a running instance is touched.
    let shared = std::sync::Arc::new(Shared::default());
    let mut teller = Teller {
        shard: Shard::new(WorkerId::default(), shared, 4, SEED),
        tables: &tables,
        names: &names,
    };
    let (mut request, admitted) = teller.walk(key, Direction::Original);
    let Some(admitted) = admitted else { return Ok(request) };
    let expected = expected.map(|endpoint| match endpoint {
        Endpoint::NetworkInterface(at) => ids.eni_links[at.0],
        Endpoint::InternetHost(at) => ids.host_links[at.0],
    });
    let back = teller.reply_key(&admitted);
    if expected.is_some() && expected != back.map(|key| key.link) {
        request.verdict = "dropped";
        request.reason = Some("DISCONNECTED_VPCS");
        request.detail = Some(format!(
            "{to} is an address of {}, but from {} it leads to another that has the same one",
            question.to, question.from
        ));
        request.advice = Some(format!(
            "give {} a `public_ip`, and send to that: VPCs reach each other by public addresses alone",
            question.to
        ));
        request.packet_out = None;
        return Ok(request);
    }
    if let Some(reply) = back {
        let (reply, _) = teller.walk(reply, Direction::Reply);
        request.reply = Some(Box::new(reply));
    }
    Ok(request)
}

/// Ports are chosen at random; an explanation says the same each time.
const SEED: u64 = 1;

fn endpoint(topology: &Topology, name: &str) -> Result<Endpoint, Error> {
    topology.endpoint(name).ok_or_else(|| {
        let interfaces = topology.network_interfaces.iter().map(|it| it.name.as_str());
        let hosts = topology.internet_hosts.iter().map(|host| host.name.as_str());
        let known: Vec<&str> = interfaces.chain(hosts).collect();
        Error::Unknown { name: name.to_owned(), known: known.join(", ") }
    })
}

/// The address that `to` means to `from`, and who is to have it where a name was given: the private
/// address where both are in one VPC, else the public one, else the private one.
fn destination(
    topology: &Topology,
    from: Endpoint,
    to: &str,
) -> Result<(Ipv4Addr, Option<Endpoint>), Error> {
    match to.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => return Ok((address, None)),
        Ok(address @ IpAddr::V6(_)) => return Err(Error::Ipv6(address)),
        Err(_) => {}
    }
    let expected = endpoint(topology, to)?;
    match expected {
        Endpoint::InternetHost(at) => {
            let address = topology[at].addresses.first().copied();
            Ok((address.unwrap_or(Ipv4Addr::UNSPECIFIED), Some(expected)))
        }
        Endpoint::NetworkInterface(at) => {
            let interface = &topology[at];
            let near = matches!(from, Endpoint::NetworkInterface(from)
                if topology[topology[from].subnet].vpc == topology[interface.subnet].vpc);
            let address = match interface.public_ip {
                Some(public) if !near => public,
                _ => interface.private_ip,
            };
            Ok((address, Some(expected)))
        }
    }
}

fn headers(key: Key, direction: Direction) -> Headers {
    let reply = direction == Direction::Reply;
    let selector = match key.protocol {
        protocol::ICMP => {
            let kind = if reply { icmpv4::kind::ECHO_REPLY } else { icmpv4::kind::ECHO_REQUEST };
            u16::from_be_bytes([kind, 0])
        }
        _ => key.dst_port(),
    };
    let tcp_flags = match key.protocol {
        protocol::TCP if reply => flags::SYN | flags::ACK,
        protocol::TCP => flags::SYN,
        _ => 0,
    };
    Headers { key, selector, tcp_flags, error: None, fragment: false }
}

struct Teller<'a> {
    shard: Shard,
    tables: &'a Tables,
    names: &'a Names,
}

impl Teller<'_> {
    fn walk(&mut self, key: Key, direction: Direction) -> (Walked, Option<Admitted>) {
        let headers = &headers(key, direction);
        let mut hops: Vec<Hop> = Vec::new();
        let hash = self.shard.flows.hash(&headers.key);
        let judged = admit(headers, hash, &mut self.shard, self.tables, &mut hops);
        let mut walked = Walked {
            verdict: DELIVERED,
            reason: None,
            detail: None,
            advice: None,
            hops: hops.iter().map(|hop| words::hop(hop, self.names)).collect(),
            packet_in: words::packet(&headers.key),
            packet_out: None,
            reply: None,
        };
        match judged {
            Ok(admitted) => {
                walked.packet_out = self.leaving(&admitted).map(|key| words::packet(&key));
                (walked, Some(admitted))
            }
            Err(Refusal::Elsewhere(_)) => unreachable!("one shard owns every flow"),
            Err(Refusal::Denied(Denial { reason, answer, .. })) => {
                walked.verdict = if answer == Answer::Silence { "dropped" } else { "rejected" };
                walked.reason = Some(reason.label());
                walked.detail = Some(words::detail(reason, hops.last(), headers, self.names));
                let advice = advice::advice(reason, hops.last(), headers, direction, self.names);
                walked.advice = Some(advice);
                (walked, None)
            }
        }
    }

    /// The key of the packets that come back.
    fn reply_key(&self, admitted: &Admitted) -> Option<Key> {
        let hot = self.shard.flows.hot(admitted.flow)?;
        Some(*hot.key(admitted.direction.opposite()))
    }

    fn leaving(&self, admitted: &Admitted) -> Option<Key> {
        let back = self.reply_key(admitted)?;
        Some(back.reversed(back.link))
    }
}

/// Every reason with its description, for the README's table.
pub fn reasons() -> impl Iterator<Item = (&'static str, &'static str)> {
    Reason::ALL.iter().map(|reason| (reason.label(), reason.text()))
}
