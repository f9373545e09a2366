//! Rules compiled so that a decision hardly costs more with many of them than with one.
//!
//! First the protocol, then the range of ports, then the range of peer addresses: two binary
//! searches. Every cell knows the first rule in order that applies, so the same structure serves
//! security groups (any rule allows; the first is named) and network ACLs (the first decides).

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use ipnet::IpNet;

use crate::packet::{Addr, GroupId};
use crate::tables::ranges::RangeMap;

/// Which packets a rule is about, peers aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// IP protocol number; `None` for all.
    pub protocol: Option<u8>,
    /// Destination ports for TCP and UDP; type and code of ICMP, the type in the high byte; zero
    /// for other protocols.
    pub ports: RangeInclusive<u16>,
}

/// Whom a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The addresses of a block.
    Net(IpNet),
    /// The private addresses of the ENIs that bear the group.
    Group(GroupId),
}

/// A rule: if `selector` and `peer` apply, `rule` does.
#[derive(Clone, Debug)]
pub struct Terms<R> {
    /// Which packets.
    pub selector: Selector,
    /// Whose.
    pub peer: Peer,
    /// What then.
    pub rule: R,
}

/// The peer of a packet, as a classifier sees it.
#[derive(Clone, Copy, Debug)]
pub struct PeerOf<'a> {
    /// Its address.
    pub addr: Addr,
    /// The groups of the ENI that has this as a private address in the same VPC, sorted; empty
    /// when none has.
    pub groups: &'a [GroupId],
}

/// Compiled rules.
#[derive(Clone, Debug)]
pub struct Classifier<R> {
    rules: Vec<R>,
    /// For protocols that a rule names; sorted.
    named: Vec<(u8, Ports)>,
    /// For all other protocols.
    others: Ports,
}

type Ports = RangeMap<u16, Peers>;

/// Who is allowed, as places in `rules`.
#[derive(Clone, Debug, PartialEq)]
struct Peers {
    /// The first rule by address, `NONE` where there is none.
    nets: Nets,
    /// Groups that rules name, each with the first rule; sorted by group.
    groups: Vec<(GroupId, u32)>,
}

#[derive(Clone, Debug, PartialEq)]
struct Nets(RangeMap<Addr, u32>);

const NONE: u32 = u32::MAX;

impl<R: Copy> Classifier<R> {
    /// Compiles rules in the order in which they apply.
    #[must_use]
    pub fn compile(terms: &[Terms<R>]) -> Self {
        let mut protocols: Vec<u8> = terms.iter().filter_map(|t| t.selector.protocol).collect();
        protocols.sort_unstable();
        protocols.dedup();
        let named = protocols
            .into_iter()
            .map(|protocol| (protocol, compile_ports(terms, Some(protocol))))
            .collect();
        Self {
            rules: terms.iter().map(|terms| terms.rule).collect(),
            named,
            others: compile_ports(terms, None),
        }
    }

    /// The first rule that applies to a packet of `protocol` to `port` (see [`Selector::ports`])
    /// from or to `peer`.
    #[must_use]
    pub fn first(&self, protocol: u8, port: u16, peer: PeerOf<'_>) -> Option<R> {
        let ports = match self.named.binary_search_by_key(&protocol, |&(named, _)| named) {
            Ok(at) => &self.named.get(at)?.1,
            Err(_) => &self.others,
        };
        let peers = ports.at(port)?;
        let by_net = peers.nets.0.at(peer.addr).copied().unwrap_or(NONE);
        let by_group = peer.groups.iter().filter_map(|group| {
            let at = peers.groups.binary_search_by_key(group, |&(named, _)| named).ok()?;
            Some(peers.groups.get(at)?.1)
        });
        let first = by_group.fold(by_net, u32::min);
        self.rules.get(first as usize).copied()
    }
}

fn compile_ports<R>(terms: &[Terms<R>], protocol: Option<u8>) -> Ports {
    let relevant: Vec<(u32, &Terms<R>)> = (0..)
        .zip(terms)
        .filter(|(_, t)| t.selector.protocol.is_none() || t.selector.protocol == protocol)
        .collect();
    let mut starts = vec![0];
    for (_, t) in &relevant {
        starts.push(*t.selector.ports.start());
        starts.extend(t.selector.ports.end().checked_add(1));
    }
    starts.sort_unstable();
    starts.dedup();
    RangeMap::build(starts, |port| {
        let here = relevant.iter().filter(|(_, t)| t.selector.ports.contains(&port));
        compile_peers(here.map(|&(place, t)| (place, t.peer)))
    })
}

fn compile_peers(rules: impl Iterator<Item = (u32, Peer)>) -> Peers {
    let mut nets = Vec::new();
    let mut groups: Vec<(GroupId, u32)> = Vec::new();
    for (place, peer) in rules {
        match peer {
            Peer::Net(net) => nets.push((net, place)),
            Peer::Group(group) => groups.push((group, place)),
        }
    }
    groups.sort_unstable();
    groups.dedup_by_key(|&mut (group, _)| group);
    Peers { nets: Nets::compile(&nets), groups }
}

impl Nets {
    /// Blocks nest or are disjoint, so at each border the blocks that hold are a stack.
    fn compile(nets: &[(IpNet, u32)]) -> Self {
        let mut blocks: Vec<(Addr, Option<Addr>, u32)> = nets
            .iter()
            .flat_map(|&(net, place)| parts(net).map(move |(first, end)| (first, end, place)))
            .collect();
        // Outer blocks before the inner ones that begin with them.
        blocks.sort_unstable_by_key(|&(first, end, _)| {
            (first, std::cmp::Reverse(end.is_none()), std::cmp::Reverse(end))
        });
        let mut starts: Vec<Addr> = vec![Addr::default()];
        starts.extend(blocks.iter().flat_map(|&(first, end, _)| [Some(first), end]).flatten());
        starts.sort_unstable();
        starts.dedup();
        let mut open: Vec<(Option<Addr>, u32)> = Vec::new();
        let mut next = blocks.into_iter().peekable();
        Self(RangeMap::build(starts, |at| {
            while open.last().is_some_and(|&(end, _)| end.is_some_and(|end| end <= at)) {
                open.pop();
            }
            while let Some((_, end, place)) = next.next_if(|&(first, _, _)| first <= at) {
                let first = open.last().map_or(place, |&(_, outer)| outer.min(place));
                open.push((end, first));
            }
            open.last().map_or(NONE, |&(_, first)| first)
        }))
    }
}

/// The addresses of a block, as ranges that end before their second bound. IPv4 has its own among those
/// of IPv6 ([`Addr`]), of which a block of IPv6 says nothing.
fn parts(net: IpNet) -> impl Iterator<Item = (Addr, Option<Addr>)> {
    let (first, last) = (Addr::from(net.network()), Addr::from(net.broadcast()));
    let whole = (first, last.successor());
    let (first_v4, last_v4) = (Addr::v4(Ipv4Addr::UNSPECIFIED), Addr::v4(Ipv4Addr::BROADCAST));
    if first < first_v4 && last_v4 < last {
        [Some((first, Some(first_v4))), last_v4.successor().map(|after| (after, whole.1))]
    } else {
        [Some(whole), None]
    }
    .into_iter()
    .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::Ipv6Addr;

    fn net() -> impl Strategy<Value = IpNet> {
        // Few distinct bits, so that blocks nest and meet.
        (any::<u8>(), 24_u8..=32, any::<bool>(), any::<bool>()).prop_map(|(low, len, all, v6)| {
            let len = if all { 0 } else { len };
            let (address, len) = match v6 {
                false => (v4(low).into(), len),
                true => (v6_of(low).into(), if all { 0 } else { 96 + len }),
            };
            IpNet::new(address, len).unwrap().trunc()
        })
    }

    fn v4(low: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, 0, low)
    }

    /// On either side of where IPv4 lies among the addresses of IPv6.
    fn v6_of(low: u8) -> Ipv6Addr {
        let high = if low & 1 == 0 { 0 } else { 0x2001 };
        Ipv6Addr::new(high, 0, 0, 0, 0, 0, 0, low.into())
    }

    fn terms() -> impl Strategy<Value = Terms<usize>> {
        let peer = prop_oneof![
            4 => net().prop_map(Peer::Net),
            1 => (0_u16..4).prop_map(|group| Peer::Group(GroupId(group))),
        ];
        let protocol = prop::option::of(prop_oneof![Just(6_u8), Just(17), Just(1)]);
        (protocol, 0_u16..8, 0_u16..8, peer).prop_map(|(protocol, a, b, peer)| {
            // Ports near both ends of the range.
            let (first, last) = (a.min(b), if a == 7 { u16::MAX } else { a.max(b) });
            Terms { selector: Selector { protocol, ports: first..=last }, peer, rule: 0 }
        })
    }

    fn scan(terms: &[Terms<usize>], protocol: u8, port: u16, peer: PeerOf<'_>) -> Option<usize> {
        terms.iter().position(|t| {
            t.selector.protocol.is_none_or(|p| p == protocol)
                && t.selector.ports.contains(&port)
                && match t.peer {
                    Peer::Net(net) => net.contains(&std::net::IpAddr::from(peer.addr)),
                    Peer::Group(group) => peer.groups.contains(&group),
                }
        })
    }

    proptest! {
        #[test]
        fn agrees_with_a_scan_of_the_rules(
            mut terms in prop::collection::vec(terms(), 0..30),
            packets in prop::collection::vec((0_u8..20, prop_oneof![0_u16..9, Just(u16::MAX)], any::<u8>(), any::<bool>(), prop::option::of(0_u16..4)), 1..60),
        ) {
            for (place, t) in terms.iter_mut().enumerate() {
                t.rule = place;
            }
            let compiled = Classifier::compile(&terms);
            for (protocol, port, low, is_v6, group) in packets {
                let groups: Vec<_> = group.map(GroupId).into_iter().collect();
                let addr = if is_v6 { v6_of(low).into() } else { v4(low).into() };
                let peer = PeerOf { addr, groups: &groups };
                prop_assert_eq!(compiled.first(protocol, port, peer), scan(&terms, protocol, port, peer));
            }
        }
    }

    #[test]
    fn a_block_of_one_family_says_nothing_of_the_other() {
        let allows = |block: &str, peer: &str| {
            let terms = [Terms {
                selector: Selector { protocol: None, ports: 0..=u16::MAX },
                peer: Peer::Net(block.parse().unwrap()),
                rule: (),
            }];
            let addr = peer.parse::<std::net::IpAddr>().unwrap().into();
            Classifier::compile(&terms).first(6, 80, PeerOf { addr, groups: &[] }).is_some()
        };
        let (v4, v6) =
            (["0.0.0.0", "10.0.0.1", "255.255.255.255"], ["::1", "::1:0:0:0", "2001:db8::1"]);
        for address in v4 {
            assert!(allows("0.0.0.0/0", address) && !allows("::/0", address), "{address}");
            assert!(!allows("::/64", address), "{address}");
        }
        for address in v6 {
            assert!(allows("::/0", address) && !allows("0.0.0.0/0", address), "{address}");
        }
        assert!(allows("::/64", "::1") && !allows("::/64", "2001:db8::1"));
    }
}
