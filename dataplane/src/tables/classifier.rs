//! Rules compiled so that a decision hardly costs more with many of them than with one.
//!
//! Each rule is a bit. Protocol and port have the set of rules that are about them, and so have the
//! peer's address and its groups; the first rule that is in both sets applies (Lakshman and
//! Stiliadis, "High-Speed Policy-based Packet Forwarding Using Efficient Multi-dimensional Range
//! Matching", 1998). The same structure serves security groups (any rule allows; the first is named)
//! and network ACLs (the first decides).

use std::collections::HashMap;
use std::ops::RangeInclusive;

use ipnet::IpNet;

use crate::packet::{Addr, GroupId};
use crate::tables::ranges::{AddrRanges, Places, RangeMap};

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
#[derive(Clone, Debug, PartialEq, Eq)]
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
    sets: Sets,
    /// For each protocol its place in `ports`; the last one there is that of what no rule names.
    protocols: [u8; 256],
    /// The set of rules by port.
    ports: Vec<RangeMap<2>>,
    /// The set of rules by the peer's address.
    nets: AddrRanges,
    /// The set of rules by a group of the peer.
    groups: RangeMap<2>,
}

/// Sets of rules, each `words` long, one behind the other. A set is called by where it begins.
#[derive(Clone, Debug)]
struct Sets {
    words: usize,
    bits: Vec<u64>,
}

impl<R: Copy> Classifier<R> {
    /// Compiles rules in the order in which they apply.
    #[must_use]
    pub fn compile(terms: &[Terms<R>]) -> Self {
        let mut sets = SetsInMaking::of(terms.len());
        let mut set = |places: &Places| sets.number(places);
        let mut named: Vec<u8> = terms.iter().filter_map(|it| it.selector.protocol).collect();
        named.sort_unstable();
        named.dedup();
        let kinds = named.iter().copied().map(Some).chain([None]);
        let ports = kinds.map(|protocol| {
            let about = |it: &Selector| it.protocol.is_none() || it.protocol == protocol;
            let ranges = terms.iter().map(|it| &it.selector).enumerate();
            let ranges = ranges.filter(|(_, it)| about(it));
            let bytes = |ports: &RangeInclusive<u16>| {
                ports.start().to_be_bytes()..=ports.end().to_be_bytes()
            };
            RangeMap::build(ranges.map(|(place, it)| (place, bytes(&it.ports))), &mut set)
        });
        let ports = ports.collect();
        let mut protocols = [u8::try_from(named.len()).unwrap_or(u8::MAX); 256];
        for (place, protocol) in (0..).zip(named) {
            protocols[usize::from(protocol)] = place;
        }
        let nets = terms.iter().enumerate().filter_map(|(place, it)| match it.peer {
            Peer::Net(net) => Some((place, net)),
            Peer::Group(_) => None,
        });
        let nets = AddrRanges::build(nets, &mut set);
        let groups = terms.iter().enumerate().filter_map(|(place, it)| match it.peer {
            Peer::Net(_) => None,
            Peer::Group(GroupId(group)) => Some((place, group.to_be_bytes()..=group.to_be_bytes())),
        });
        let groups = RangeMap::build(groups, &mut set);
        let rules = terms.iter().map(|it| it.rule).collect();
        Self { rules, sets: sets.made, protocols, ports, nets, groups }
    }

    /// The first rule that applies to a packet of `protocol` to `port` (see [`Selector::ports`])
    /// from or to `peer`.
    #[must_use]
    #[inline]
    pub fn first(&self, protocol: u8, port: u16, peer: PeerOf<'_>) -> Option<R> {
        let ports = self.ports.get(usize::from(self.protocols[usize::from(protocol)]))?;
        let about = ports.at(port.to_be_bytes());
        let net = self.nets.at(peer.addr);
        let place = match peer.groups {
            [] => self.sets.first_in_both(about, net),
            groups => self.first_by_groups(about, net, groups),
        };
        self.rules.get(place?).copied()
    }

    /// The place of the first rule that is about a packet and its peer, who has groups.
    #[inline(never)]
    fn first_by_groups(&self, about: u32, net: u32, groups: &[GroupId]) -> Option<usize> {
        (0..self.sets.words).find_map(|at| {
            let by_group = |group: &GroupId| self.groups.at(group.0.to_be_bytes());
            let sets = groups.iter().map(by_group);
            let net = self.sets.word(net, at);
            let peers = sets.fold(net, |peers, set| peers | self.sets.word(set, at));
            first(at, self.sets.word(about, at) & peers)
        })
    }

    /// Whether a rule names a group.
    #[must_use]
    pub fn names_groups(&self) -> bool {
        self.groups.is_divided()
    }
}

impl Sets {
    /// The first rule that is in both sets.
    #[inline]
    fn first_in_both(&self, one: u32, other: u32) -> Option<usize> {
        if self.words > 1 {
            return self.first_of_many_in_both(one, other);
        }
        let words = self.bits.get(one as usize).zip(self.bits.get(other as usize));
        words.and_then(|(one, other)| first(0, one & other))
    }

    #[inline(never)]
    fn first_of_many_in_both(&self, one: u32, other: u32) -> Option<usize> {
        (0..self.words).find_map(|at| first(at, self.word(one, at) & self.word(other, at)))
    }

    /// Sixty-four rules of a set.
    #[inline]
    fn word(&self, set: u32, at: usize) -> u64 {
        self.bits[set as usize + at]
    }
}

/// The first rule of sixty-four, which are the word `at` of a set.
#[inline]
fn first(at: usize, word: u64) -> Option<usize> {
    (word != 0).then(|| at * 64 + word.trailing_zeros() as usize)
}

/// Equal sets are kept once.
struct SetsInMaking {
    made: Sets,
    known: HashMap<Places, u32>,
}

impl SetsInMaking {
    fn of(rules: usize) -> Self {
        let made = Sets { words: rules.div_ceil(64), bits: Vec::new() };
        Self { made, known: HashMap::new() }
    }

    fn number(&mut self, places: &Places) -> u32 {
        let Sets { words, bits } = &mut self.made;
        *self.known.entry(places.clone()).or_insert_with(|| {
            let set = u32::try_from(bits.len()).expect("sets are as many as rules have borders");
            bits.extend_from_slice(places.words());
            bits.resize(set as usize + *words, 0);
            set
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

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
