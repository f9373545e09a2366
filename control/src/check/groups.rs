//! What do security groups and prefix lists say?

use std::collections::HashMap;

use ipnet::IpNet;

use crate::check::blocks;
use crate::check::ids::id;
use crate::check::ipv6_blocks;
use crate::check::names::offer;
use crate::check::traffic::{Selector, selector};
use crate::check::{
    Check, GroupRule, Peer, PrefixList, PrefixListIndex, SecurityGroup, Traffic, VpcIndex,
};
use crate::diagnostic::Fault;
use crate::model::{At, PeerText, closest, names_prefix_list, shortened};

/// Every address of IPv4.
pub const EVERYWHERE: IpNet = IpNet::V4(blocks::net([0; 4], 0));

/// Every address of IPv6.
pub const EVERYWHERE_IPV6: IpNet = IpNet::V6(ipv6_blocks::net([0; 8], 0));

impl Check<'_, '_> {
    pub(super) fn security_groups(&mut self) -> Vec<SecurityGroup> {
        let mut groups = Vec::new();
        for (index, (name, group)) in self.model.security_groups.iter().enumerate() {
            let home = self.homes.security_groups[index];
            let ingress = group.ingress.iter().flat_map(|rules| &rules.value);
            let ingress = ingress
                .filter_map(|rule| self.group_rule(&selector!(rule), rule.source.as_ref(), home))
                .collect();
            let egress = match &group.egress {
                Some(rules) => rules
                    .iter()
                    .filter_map(|rule| {
                        self.group_rule(&selector!(rule), rule.destination.as_ref(), home)
                    })
                    .collect(),
                None => home.map(|vpc| self.everything(vpc)).unwrap_or_default(),
            };
            let Some(vpc) = home else { continue };
            let id = id("sg", name, group.id.as_ref());
            groups.push(SecurityGroup {
                name: name.clone(),
                id,
                vpc,
                ingress,
                egress,
                implicit: false,
            });
        }
        groups.extend(self.words.implicit_groups.iter().filter_map(|&vpc| {
            let itself = Peer::Group(self.words.groups[vpc.0]?);
            Some(SecurityGroup {
                name: "default".to_owned(),
                id: id("sg", &format!("{}/default", self.vpc_name(vpc)), None),
                vpc,
                ingress: vec![GroupRule { traffic: Traffic::All, peer: itself }],
                egress: self.everything(vpc),
                implicit: true,
            })
        }));
        groups
    }

    /// What a new group of a VPC lets out: everything, of IPv6 too where the VPC has that (AWS "Security groups for your
    /// VPC").
    fn everything(&self, vpc: VpcIndex) -> Vec<GroupRule> {
        let ipv6 = self.has_ipv6(vpc).then_some(EVERYWHERE_IPV6);
        let everywhere = [Some(EVERYWHERE), ipv6].into_iter().flatten();
        let rules =
            everywhere.map(|cidr| GroupRule { traffic: Traffic::All, peer: Peer::Cidr(cidr) });
        rules.collect()
    }

    fn group_rule(
        &mut self,
        selector: &Selector<'_>,
        peer: Option<&At<PeerText>>,
        home: Option<VpcIndex>,
    ) -> Option<GroupRule> {
        let traffic = self.traffic(selector);
        let (place, peer) = (peer?.place, self.peer(peer?, home));
        let (traffic, peer) = (traffic?, peer?);
        let block = match peer {
            Peer::Cidr(cidr) => Some(cidr),
            Peer::PrefixList(list) => self.family_of(list),
            Peer::Group(_) => None,
        };
        if let Some(value) = block {
            self.can_match(selector, traffic, At { place, value });
        }
        Some(GroupRule { traffic, peer })
    }

    /// A block of a prefix list's family.
    fn family_of(&self, list: PrefixListIndex) -> Option<IpNet> {
        match self.model.prefix_lists.get_index(list.0) {
            Some((_, list)) => list.first().map(|entry| entry.value),
            // Those that AWS manages are of IPv4.
            None => Some(EVERYWHERE),
        }
    }

    fn peer(&mut self, peer: &At<PeerText>, home: Option<VpcIndex>) -> Option<Peer> {
        let name = match &peer.value {
            PeerText::Cidr(block) => return Some(Peer::Cidr(*block)),
            PeerText::Name(name) => name,
        };
        let group = self.model.security_groups.get(name).map(|group| group.place);
        let list = self.model.prefix_lists.get_full(name);
        match (group, list) {
            (Some(group), Some((_, _, list))) => {
                let message =
                    format!("`{}` is both a security group and a prefix list", shortened(name));
                let fault = Fault::error(peer.place, message)
                    .label(group, "the group")
                    .label(list.place, "the prefix list");
                self.faults.push(fault.help("give one of them another name"));
                None
            }
            (None, Some((index, ..))) => Some(Peer::PrefixList(PrefixListIndex(index))),
            (None, None) if name != "default" => {
                if let Some(place) = self.managed_prefix_list(name) {
                    let declared = self.model.prefix_lists.len();
                    return Some(Peer::PrefixList(PrefixListIndex(declared + place)));
                }
                let message =
                    format!("there is no security group or prefix list `{}`", shortened(name));
                let names = self.model.security_groups.keys().chain(self.model.prefix_lists.keys());
                let near = closest(name, names.clone().map(String::as_str));
                let help = match names_prefix_list(name) && near.is_none() {
                    true => self.managed(),
                    false => offer(name, "security group or prefix list", names),
                };
                self.faults.push(Fault::error(peer.place, message).help(help));
                None
            }
            _ => self.group(&At { place: peer.place, value: name.clone() }, home).map(Peer::Group),
        }
    }

    /// Which prefix lists AWS manages in the region.
    fn managed(&self) -> String {
        let lists = self.managed_prefix_lists();
        let lists: Vec<_> = lists.iter().map(|it| format!("{} ({})", it.name, it.id)).collect();
        format!("AWS manages {} in {}", lists.join(" and "), self.region())
    }

    pub(super) fn prefix_lists(&mut self) -> Vec<PrefixList> {
        let mut lists = Vec::new();
        for (name, list) in self.model.prefix_lists.iter() {
            let mut seen = HashMap::new();
            for entry in &list.value {
                if let Some(first) = seen.insert(entry.value, entry.place) {
                    let message = format!("{} is in the list twice", entry.value);
                    let fault = Fault::error(entry.place, message).label(first, "first here");
                    self.faults.push(fault.help("remove one"));
                }
            }
            self.one_family_of(list);
            let entries = list.value.iter().map(|entry| entry.value).collect();
            lists.push(PrefixList { name: name.clone(), id: id("pl", name, None), entries });
        }
        lists.extend(self.managed_prefix_lists());
        lists
    }

    /// A prefix list is of one family (AWS "CreateManagedPrefixList").
    fn one_family_of(&mut self, list: &At<Vec<At<IpNet>>>) {
        let is_ipv6 = |entry: &At<IpNet>| matches!(entry.value, IpNet::V6(_));
        let Some(first) = list.first() else { return };
        if let Some(other) = list.iter().find(|entry| is_ipv6(entry) != is_ipv6(first)) {
            let message = format!("{} in a list with {}", other.value, first.value);
            let fault =
                Fault::error(other.place, message).label(first.place, "of the other family");
            self.faults.push(fault.help("a prefix list is of one family: make two"));
        }
    }
}
