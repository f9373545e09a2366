//! Several shards are one: whatever queue a packet comes to, the verdict is that of a single shard,
//! and so is the translation, port numbers aside.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a test is nobody's library, and fails by panic"
)]

mod common;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use common::datagram::{ACK, Datagram, FIN, RST, SYN, echo, tcp, udp};
use common::shards::{Outcome, Shards};
use common::topology::{APP, BASTION, DB, INTERNET, OTHER, Topology, address};
use dataplane::packet::{Component, LinkId, Reason};
use proptest::prelude::*;

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    /// A packet from one side of a conversation; `reply` answers what was last delivered of it.
    Send {
        conversation: usize,
        reply: bool,
        flags: u8,
        queue: usize,
    },
    Wait(u32),
}

const CONVERSATIONS: usize = 24;

/// Who talks to whom, by which protocol.
fn conversation(index: usize) -> (LinkId, Ipv4Addr, u8, u16) {
    let pairs = [
        (APP, address(INTERNET)),
        (APP, address(OTHER)),
        (DB, address(INTERNET)),
        (APP, address(DB)),
        (BASTION, address(OTHER)),
        (INTERNET, common::topology::BASTION_PUBLIC),
    ];
    let (link, to) = pairs[index % pairs.len()];
    let protocol = [6, 17, 1][index / pairs.len() % 3];
    (link, to, protocol, 5000 + u16::try_from(index).unwrap())
}

fn packet(index: usize, flags: u8) -> (LinkId, Datagram) {
    let (link, to, protocol, port) = conversation(index);
    let from = address(link);
    let datagram = match protocol {
        6 => tcp((from, port), (to, 80), flags, b"data"),
        17 => udp((from, port), (to, 53), b"data"),
        _ => echo(from, to, true, port, b"data"),
    };
    (link, datagram)
}

/// The answer to a packet as it was delivered.
fn answer(delivered: &[u8], flags: u8) -> Datagram {
    use common::datagram::Payload;
    let Datagram { src, dst, payload, .. } = Datagram::read(delivered);
    match payload {
        Payload::Tcp { ports, .. } => tcp((dst, ports.1), (src, ports.0), flags, b"answer"),
        Payload::Udp { ports, .. } => udp((dst, ports.1), (src, ports.0), b"answer"),
        Payload::Echo { id, .. } => echo(dst, src, false, id, b"answer"),
        other => panic!("{other:?}"),
    }
}

fn step() -> impl Strategy<Value = Step> {
    let flags = prop_oneof![
        4 => Just(ACK), 2 => Just(SYN), 2 => Just(SYN | ACK), 1 => Just(FIN | ACK), 1 => Just(RST),
    ];
    prop_oneof![
        12 => (0..CONVERSATIONS, any::<bool>(), flags, 0_usize..64).prop_map(
            |(conversation, reply, flags, queue)| Step::Send { conversation, reply, flags, queue },
        ),
        1 => prop_oneof![Just(1_u32), Just(29), Just(31), Just(61), Just(349), Just(351)]
            .prop_map(Step::Wait),
    ]
}

/// All that must not depend on the number of shards.
fn seen(outcome: &Outcome) -> Result<(LinkId, IpAddr, IpAddr, u8), (Reason, Component)> {
    outcome.clone().map(|(link, bytes)| {
        let datagram = Datagram::read(&bytes);
        (link, datagram.src, datagram.dst, datagram.ttl)
    })
}

#[test]
fn a_packet_at_the_wrong_queue_reaches_its_flow() {
    let mut net = Shards::new(&Topology::default(), 2);
    let (link, syn) = packet(0, SYN);
    let (exit, sent) = net.send(link, &syn.bytes(), 0).unwrap().unwrap();
    let reply = answer(&sent, SYN | ACK);
    net.send(exit, &reply.bytes(), 1).unwrap().unwrap();
    assert_eq!(net.shards[1].counters.handed_over, 1);
    assert_eq!((net.shards[0].flows.len(), net.shards[1].flows.len()), (1, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn verdicts_are_those_of_one_shard(steps in prop::collection::vec(step(), 1..300)) {
        let topology = Topology::default();
        let mut nets: Vec<Shards> = [1, 2, 4, 8].map(|shards| Shards::new(&topology, shards)).into();
        let mut delivered: Vec<HashMap<usize, (LinkId, Vec<u8>)>> = vec![HashMap::new(); nets.len()];
        for step in steps {
            match step {
                Step::Wait(seconds) => nets.iter_mut().for_each(|net| net.advance(seconds)),
                Step::Send { conversation, reply: false, flags, queue } => {
                    let (link, datagram) = packet(conversation, flags);
                    let mut outcomes = Vec::new();
                    for (net, delivered) in nets.iter_mut().zip(&mut delivered) {
                        let outcome = net.send(link, &datagram.bytes(), queue).unwrap();
                        if let Ok((exit, bytes)) = &outcome && *exit != link {
                            delivered.insert(conversation, (*exit, bytes.clone()));
                        }
                        outcomes.push(seen(&outcome));
                    }
                    prop_assert!(outcomes.windows(2).all(|two| two[0] == two[1]), "{:?}", outcomes);
                }
                Step::Send { conversation, reply: true, flags, queue } => {
                    let mut outcomes = Vec::new();
                    for (net, delivered) in nets.iter_mut().zip(&delivered) {
                        let Some((link, bytes)) = delivered.get(&conversation) else { continue };
                        let outcome = net.send(*link, &answer(bytes, flags).bytes(), queue).unwrap();
                        outcomes.push(seen(&outcome));
                    }
                    prop_assert!(outcomes.windows(2).all(|two| two[0] == two[1]), "{:?}", outcomes);
                }
            }
            nets.iter().for_each(Shards::check);
        }
    }
}
