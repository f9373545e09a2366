//! One packet walked in words, and its reply, through the very code that admits live packets.

mod advice;
mod ends;
mod resolve;
pub(crate) mod words;

use std::net::IpAddr;

use dataplane::packet::{Answer, Direction, Key, Reason};
use dataplane::path::admit::{Admitted, Denial, Headers, Hop, Refusal, admit};
use dataplane::shared::{Shared, WorkerId};
use dataplane::state::Shard;
use dataplane::wire::{icmpv4, icmpv6, protocol, tcp::flags};
use serde::Serialize;
use thiserror::Error;

use crate::check::{Checked, Endpoint, Role};
use crate::compile::{self, Compiled, ComponentKind, FIRST_EPOCH, Names, Passing, TooMany};
use advice::Around;
use ends::Ends;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// The sender's name.
    pub from: String,
    /// An address, or the receiver's name.
    pub to: String,
    /// IP protocol number; that of ICMP stands for ICMPv6 where the way is by IPv6.
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
    /// Who sends has no address of the receiver's family.
    #[error("{from} has no {} address to send from to {to}", ends::family(*.to))]
    NoSource {
        /// Who was to send.
        from: String,
        /// Where to.
        to: IpAddr,
    },
    /// The resolver knows no such name.
    #[error("the resolver of VPC {vpc} knows no {name} (NXDOMAIN)")]
    NoSuchName {
        /// The name.
        name: String,
        /// Whose resolver was asked.
        vpc: String,
    },
    /// The name has no address of a family that the sender has.
    #[error("the resolver of VPC {vpc} has no {kinds} record of {to} for {from}")]
    NoAddress {
        /// Who was to send.
        from: String,
        /// The name.
        to: String,
        /// The types that were asked for.
        kinds: String,
        /// Whose resolver was asked.
        vpc: String,
    },
    /// One has IPv4 alone, the other IPv6 alone.
    #[error("{from} and {to} have no addresses of one family{advice}")]
    NoFamily {
        /// Who was to send.
        from: String,
        /// Who was to receive.
        to: String,
        /// What else leads there, if anything may.
        advice: String,
    },
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
    let Compiled { tables, ids } =
        compile::compile(topology, Passing::default(), &mut names, FIRST_EPOCH)?;
    let ends = ends::find(topology, &question.from, &question.to)?;
    let Ends { from, source, to, expected, resolved } = ends;
    let link_of = |endpoint| match endpoint {
        Endpoint::NetworkInterface(at) => ids.eni_links[at.0],
        Endpoint::InternetHost(at) => ids.host_links[at.0],
    };
    let link = link_of(from);
    let protocol = match (question.protocol, to) {
        (protocol::ICMP, IpAddr::V6(_)) => protocol::ICMPV6,
        (other, _) => other,
    };
    let ports = match protocol {
        protocol::TCP | protocol::UDP => (question.source_port, question.port),
        protocol::ICMP | protocol::ICMPV6 => (question.source_port, 0),
        _ => (0, 0),
    };
    let key = Key::new(link, protocol, (source.into(), ports.0), (to.into(), ports.1));
    // One flow and its like: nothing of a running instance is touched.
    let shared = std::sync::Arc::new(Shared::default());
    let mut teller = Teller {
        shard: Shard::new(WorkerId::default(), shared, 4, SEED),
        around: Around {
            tables: &tables,
            names: &names,
            silent: topology
                .vpcs
                .iter()
                .filter(|vpc| !vpc.dns_support)
                .map(|vpc| vpc.resolver().into())
                .collect(),
            is_from_workload: matches!(from, Endpoint::NetworkInterface(at)
                if matches!(topology[at].role, Role::Instance(_))),
        },
    };
    let (mut request, passed) = teller.walk(key, Direction::Original);
    request.hops.splice(..0, resolved);
    let Some(back) = passed else { return Ok(request) };
    let expected = expected.map(link_of);
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

fn headers(key: Key, direction: Direction) -> Headers {
    let reply = direction == Direction::Reply;
    let selector = match key.protocol {
        protocol::ICMP => {
            let kind = if reply { icmpv4::kind::ECHO_REPLY } else { icmpv4::kind::ECHO_REQUEST };
            u16::from_be_bytes([kind, 0])
        }
        protocol::ICMPV6 => {
            let kind = if reply { icmpv6::kind::ECHO_REPLY } else { icmpv6::kind::ECHO_REQUEST };
            u16::from_be_bytes([kind, 0])
        }
        _ => key.dst_port(),
    };
    let tcp_flags = match key.protocol {
        protocol::TCP if reply => flags::SYN | flags::ACK,
        protocol::TCP => flags::SYN,
        _ => 0,
    };
    Headers { key, selector, tcp_flags, error: None, fragment: false, packets: 1 }
}

struct Teller<'a> {
    shard: Shard,
    around: Around<'a>,
}

impl Teller<'_> {
    /// Walks one packet; where it passes, also gives the key of those that come back, if any do.
    fn walk(&mut self, key: Key, direction: Direction) -> (Walked, Option<Option<Key>>) {
        let headers = &headers(key, direction);
        let Around { tables, names, .. } = self.around;
        let mut hops: Vec<Hop> = Vec::new();
        let hash = self.shard.flows.hash(&headers.key);
        let judged = admit(headers, hash, &mut self.shard, tables, &mut hops);
        let mut walked = Walked {
            verdict: DELIVERED,
            reason: None,
            detail: None,
            advice: None,
            hops: hops.iter().map(|hop| words::hop(hop, names)).collect(),
            packet_in: words::packet(&headers.key),
            packet_out: None,
            reply: None,
        };
        match judged {
            Ok(admitted) => {
                let back = self.reply_key(&admitted);
                walked.packet_out = back.map(|back| words::packet(&back.reversed(back.link)));
                (walked, Some(back))
            }
            Err(Refusal::Local(link)) => {
                walked.packet_out = Some(words::packet(&key));
                (walked, Some(Some(key.reversed(link))))
            }
            Err(Refusal::Elsewhere(_)) => unreachable!("one shard owns every flow"),
            Err(Refusal::Stateless(_)) => {
                unreachable!("nothing but an error passes without a flow")
            }
            Err(Refusal::Denied(Denial { reason, answer, .. })) => {
                walked.verdict = if answer == Answer::Silence { "dropped" } else { "rejected" };
                walked.reason = Some(reason.label());
                walked.detail = Some(words::detail(reason, hops.last(), headers, names));
                let advice = advice::advice(reason, hops.last(), headers, direction, &self.around);
                walked.advice = Some(advice);
                (walked, None)
            }
        }
    }

    /// The key of the packets that come back.
    fn reply_key(&self, admitted: &Admitted) -> Option<Key> {
        self.shard.flows.key(admitted.flow, admitted.direction.opposite())
    }
}

/// Every reason with its description, for the README's table.
pub fn reasons() -> impl Iterator<Item = (&'static str, &'static str)> {
    Reason::ALL.iter().map(|reason| (reason.label(), reason.text()))
}

/// Every kind of component with what is of it, for the README's table.
pub fn component_kinds() -> impl Iterator<Item = (&'static str, &'static str)> {
    ComponentKind::ALL.iter().map(|kind| (kind.label(), kind.text()))
}
