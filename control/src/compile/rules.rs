//! Rules of security groups and ACLs, as classifiers.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use dataplane::packet::GroupId;
use dataplane::tables::{
    AclRule, Classifier, Eni, GroupRule, GroupRules, Peer, Selector, Tables, Terms,
};
use dataplane::wire::protocol;

use crate::check::{self, AclAction, Ports, SecurityGroupIndex, Topology, Traffic};
use crate::compile::Ids;

type Rules = Arc<GroupRules>;

/// The rules of interfaces; those of the same groups share them.
pub(super) struct GroupCompiler<'a> {
    topology: &'a Topology,
    ids: &'a Ids,
    /// Interfaces of the tables in force, by their groups.
    before: HashMap<&'a [GroupId], &'a Eni>,
    known: HashMap<Vec<SecurityGroupIndex>, (Rules, Rules)>,
}

impl<'a> GroupCompiler<'a> {
    pub(super) fn new(topology: &'a Topology, ids: &'a Ids, before: Option<&'a Tables>) -> Self {
        let enis = before.into_iter().flat_map(|tables| tables.enis.iter());
        let before = enis.map(|(_, eni)| (&*eni.groups, eni)).collect();
        Self { topology, ids, before, known: HashMap::new() }
    }

    /// The ingress and egress rules of all `groups`, whose sorted ids are `sorted`; those of the tables in force where
    /// they are the same, which are compiled already.
    pub(super) fn of(
        &mut self,
        groups: &[SecurityGroupIndex],
        sorted: &[GroupId],
    ) -> (Rules, Rules) {
        if let Some(rules) = self.known.get(groups) {
            return rules.clone();
        }
        let (topology, ids) = (self.topology, self.ids);
        let side = |rules: fn(&check::SecurityGroup) -> &[check::GroupRule],
                    before: Option<&Rules>| {
            let terms = groups.iter().flat_map(|&group| {
                let placed = rules(&topology[group]).iter().enumerate();
                placed.flat_map(move |(place, rule)| terms_of(topology, ids, group, place, *rule))
            });
            let terms: Vec<_> = terms.collect();
            match before.filter(|it| it.terms() == terms) {
                Some(same) => same.clone(),
                None => Arc::new(GroupRules::new(terms)),
            }
        };
        let before = self.before.get(sorted);
        let rules = (
            side(|group| &group.ingress, before.map(|it| &it.ingress)),
            side(|group| &group.egress, before.map(|it| &it.egress)),
        );
        self.known.insert(groups.to_vec(), rules.clone());
        rules
    }
}

/// A rule as one term for each block that it names.
fn terms_of(
    topology: &Topology,
    ids: &Ids,
    group: SecurityGroupIndex,
    place: usize,
    rule: check::GroupRule,
) -> Vec<Terms<GroupRule>> {
    let peers = match rule.peer {
        check::Peer::Cidr(cidr) => vec![Peer::Net(cidr)],
        check::Peer::Group(group) => vec![Peer::Group(ids.security_groups[group.0])],
        check::Peer::PrefixList(list) => {
            topology[list].entries.iter().copied().map(Peer::Net).collect()
        }
    };
    let selector = selector(rule.traffic);
    // A group has at most a thousand rules.
    let place = u16::try_from(place).unwrap_or(u16::MAX);
    let rule = GroupRule { group: ids.security_groups[group.0], place };
    peers.into_iter().map(|peer| Terms { selector: selector.clone(), peer, rule }).collect()
}

/// Compiles one side of an ACL.
pub(super) fn acl(rules: &[check::AclRule]) -> Classifier<AclRule> {
    let terms = rules.iter().map(|rule| {
        let &check::AclRule { number, action, traffic, cidr } = rule;
        Terms {
            selector: selector(traffic),
            peer: Peer::Net(cidr),
            rule: AclRule { number, allow: action == AclAction::Allow },
        }
    });
    Classifier::compile(&terms.collect::<Vec<_>>())
}

fn selector(traffic: Traffic) -> Selector {
    let range = |ports: Ports| ports.first..=ports.last;
    match traffic {
        Traffic::All => Selector { protocol: None, ports: EVERY },
        Traffic::Tcp(ports) => Selector { protocol: Some(protocol::TCP), ports: range(ports) },
        Traffic::Udp(ports) => Selector { protocol: Some(protocol::UDP), ports: range(ports) },
        Traffic::Icmp { icmp_type, icmp_code } => {
            Selector { protocol: Some(protocol::ICMP), ports: messages(icmp_type, icmp_code) }
        }
        Traffic::Icmpv6 { icmp_type, icmp_code } => {
            Selector { protocol: Some(protocol::ICMPV6), ports: messages(icmp_type, icmp_code) }
        }
        Traffic::Other(number) => Selector { protocol: Some(number), ports: EVERY },
    }
}

/// Types and codes of ICMP in the place of ports.
fn messages(icmp_type: Option<u8>, icmp_code: Option<u8>) -> RangeInclusive<u16> {
    match (icmp_type, icmp_code) {
        (None, _) => EVERY,
        (Some(kind), None) => u16::from_be_bytes([kind, 0])..=u16::from_be_bytes([kind, u8::MAX]),
        (Some(kind), Some(code)) => {
            let word = u16::from_be_bytes([kind, code]);
            word..=word
        }
    }
}

const EVERY: RangeInclusive<u16> = 0..=u16::MAX;
