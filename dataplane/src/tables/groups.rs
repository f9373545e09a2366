//! The rules of all security groups of an ENI, in one direction.
//!
//! Any rule allows, so their order is free: those for everywhere (0.0.0.0/0 or ::/0) come first, for
//! what they allow may go untracked (AWS "Amazon EC2 security group connection tracking").
//!
//! They are compiled when they are first asked, or before ([`GroupRules::ready`]): who explains one packet
//! asks few of many.

use std::sync::OnceLock;

use ipnet::IpNet;

use crate::packet::{Addr, GroupId};
use crate::tables::{Classifier, Peer, PeerOf, Terms};

/// A rule of a security group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupRule {
    /// The group.
    pub group: GroupId,
    /// Its place among the group's rules of that direction, from 0.
    pub place: u16,
}

/// A rule that allows a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// The rule: one for everywhere, if one of those allows the packet.
    pub rule: GroupRule,
    /// Whether it is for every address of the packet's family.
    pub everywhere: bool,
}

/// Rules of one direction.
#[derive(Clone, Debug)]
pub struct GroupRules {
    terms: Vec<Terms<GroupRule>>,
    compiled: OnceLock<Compiled>,
}

#[derive(Clone, Debug)]
struct Compiled {
    rules: Classifier<Allowed>,
    /// The protocols of which a single rule allows all ports from or to everywhere: for IPv4, and
    /// for IPv6.
    whole: [Protocols; 2],
}

/// A bit for each protocol.
#[derive(Clone, Copy, Debug, Default)]
struct Protocols([u64; 4]);

impl GroupRules {
    /// Rules, given in the order of their groups and places.
    #[must_use]
    pub const fn new(terms: Vec<Terms<GroupRule>>) -> Self {
        Self { terms, compiled: OnceLock::new() }
    }

    /// What they were made of.
    #[must_use]
    pub fn terms(&self) -> &[Terms<GroupRule>] {
        &self.terms
    }

    /// Compiles them, so that no packet waits for it.
    pub fn ready(&self) {
        let _ = self.compiled();
    }

    #[cfg(test)]
    pub(super) fn is_ready(&self) -> bool {
        self.compiled.get().is_some()
    }

    #[inline]
    fn compiled(&self) -> &Compiled {
        self.compiled.get_or_init(|| Compiled::of(&self.terms))
    }

    /// A rule that allows a packet of `protocol` to `port` (see [`super::Selector::ports`]) from or
    /// to `peer`.
    #[must_use]
    #[inline]
    pub fn allow(&self, protocol: u8, port: u16, peer: PeerOf<'_>) -> Option<Allowed> {
        self.compiled().rules.first(protocol, port, peer)
    }

    /// Whether a rule names a group: else it does not matter which ones the peer has.
    #[must_use]
    pub fn names_groups(&self) -> bool {
        self.compiled().rules.names_groups()
    }

    /// Whether one rule allows all ports of `protocol` from or to every address of `peer`'s family.
    #[must_use]
    pub fn is_whole(&self, protocol: u8, peer: Addr) -> bool {
        self.compiled().whole[usize::from(!peer.is_v4())].has(protocol)
    }
}

impl Compiled {
    fn of(terms: &[Terms<GroupRule>]) -> Self {
        let everywhere = |peer: &Peer| match peer {
            Peer::Net(net) if net.prefix_len() == 0 => Some(*net),
            _ => None,
        };
        let mut whole = [Protocols::default(); 2];
        for terms in terms.iter().filter(|terms| terms.selector.ports == (0..=u16::MAX)) {
            if let Some(net) = everywhere(&terms.peer) {
                whole[usize::from(matches!(net, IpNet::V6(_)))].add(terms.selector.protocol);
            }
        }
        let mut ordered: Vec<_> = terms
            .iter()
            .map(|terms| {
                let everywhere = everywhere(&terms.peer).is_some();
                let rule = Allowed { rule: terms.rule, everywhere };
                Terms { selector: terms.selector.clone(), peer: terms.peer, rule }
            })
            .collect();
        ordered.sort_by_key(|terms| !terms.rule.everywhere);
        Self { rules: Classifier::compile(&ordered), whole }
    }
}

impl Protocols {
    /// Adds one; `None` for all.
    fn add(&mut self, protocol: Option<u8>) {
        match protocol {
            Some(protocol) => self.0[usize::from(protocol / 64)] |= 1 << (protocol % 64),
            None => self.0 = [u64::MAX; 4],
        }
    }

    fn has(&self, protocol: u8) -> bool {
        self.0[usize::from(protocol / 64)] >> (protocol % 64) & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::Selector;
    use crate::wire::protocol::{TCP, UDP};
    use std::net::{IpAddr, Ipv4Addr};
    use std::ops::RangeInclusive;

    fn rules(terms: &[(Option<u8>, RangeInclusive<u16>, &str)]) -> GroupRules {
        let terms = (0..)
            .zip(terms)
            .map(|(place, (protocol, ports, net))| Terms {
                selector: Selector { protocol: *protocol, ports: ports.clone() },
                peer: Peer::Net(net.parse().unwrap()),
                rule: GroupRule { group: GroupId(0), place },
            })
            .collect();
        GroupRules::new(terms)
    }

    fn allowed(rules: &GroupRules, protocol: u8, port: u16) -> Option<(u16, bool)> {
        let addr = Addr::v4(Ipv4Addr::new(10, 0, 0, 1));
        let found = rules.allow(protocol, port, PeerOf { addr, groups: &[] })?;
        Some((found.rule.place, found.everywhere))
    }

    #[test]
    fn a_rule_for_everywhere_is_found_before_a_narrow_one() {
        let rules = rules(&[
            (Some(TCP), 0..=u16::MAX, "10.0.0.0/8"),
            (Some(TCP), 80..=80, "0.0.0.0/0"),
            (Some(UDP), 0..=u16::MAX, "0.0.0.0/1"),
        ]);
        assert_eq!(allowed(&rules, TCP, 80), Some((1, true)));
        assert_eq!(allowed(&rules, TCP, 81), Some((0, false)));
        assert_eq!(allowed(&rules, UDP, 80), Some((2, false)), "half of everywhere is not all");
        assert_eq!(allowed(&rules, 1, 0), None);
    }

    #[test]
    fn a_direction_is_whole_by_one_rule_of_the_protocol_or_of_all() {
        let peer = |text: &str| text.parse::<IpAddr>().unwrap().into();
        let (v4, v6) = (peer("203.0.113.80"), peer("2001:db8::1"));
        let all = rules(&[(None, 0..=u16::MAX, "0.0.0.0/0")]);
        assert!(all.is_whole(TCP, v4) && all.is_whole(UDP, v4));
        assert!(!all.is_whole(TCP, v6), "0.0.0.0/0 says nothing of ::/0");
        let tcp = rules(&[(Some(TCP), 0..=u16::MAX, "0.0.0.0/0")]);
        assert!(tcp.is_whole(TCP, v4) && !tcp.is_whole(UDP, v4));
        assert!(rules(&[(Some(UDP), 0..=u16::MAX, "::/0")]).is_whole(UDP, v6));
        for less in [
            rules(&[(Some(TCP), 1..=u16::MAX, "0.0.0.0/0")]),
            rules(&[(Some(TCP), 0..=1023, "0.0.0.0/0"), (Some(TCP), 1024..=u16::MAX, "0.0.0.0/0")]),
            rules(&[(Some(TCP), 0..=u16::MAX, "0.0.0.0/1")]),
        ] {
            assert!(!less.is_whole(TCP, v4));
        }
    }
}
