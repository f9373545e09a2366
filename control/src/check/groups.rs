//! What do security groups and prefix lists say?

use std::collections::HashMap;

use crate::check::blocks::net;
use crate::check::ids::id;
use crate::check::names::offer;
use crate::check::traffic::{Selector, selector};
use crate::check::{
    Check, GroupRule, Peer, PrefixList, PrefixListIndex, SecurityGroup, Traffic, VpcIndex,
};
use crate::diagnostic::Fault;
use crate::model::{At, PeerText, shortened};

/// What a rule of either direction allows to everyone.
const EVERYTHING: GroupRule =
    GroupRule { traffic: Traffic::All, peer: Peer::Cidr(net([0, 0, 0, 0], 0)) };

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
                None => vec![EVERYTHING],
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
                egress: vec![EVERYTHING],
                implicit: true,
            })
        }));
        groups
    }

    fn group_rule(
        &mut self,
        selector: &Selector<'_>,
        peer: Option<&At<PeerText>>,
        home: Option<VpcIndex>,
    ) -> Option<GroupRule> {
        let traffic = self.traffic(selector);
        let peer = self.peer(peer?, home);
        Some(GroupRule { traffic: traffic?, peer: peer? })
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
                let message =
                    format!("there is no security group or prefix list `{}`", shortened(name));
                let names = self.model.security_groups.keys().chain(self.model.prefix_lists.keys());
                let help = offer(name, "security group or prefix list", names);
                self.faults.push(Fault::error(peer.place, message).help(help));
                None
            }
            _ => self.group(&At { place: peer.place, value: name.clone() }, home).map(Peer::Group),
        }
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
            let entries = list.value.iter().map(|entry| entry.value).collect();
            lists.push(PrefixList { name: name.clone(), id: id("pl", name, None), entries });
        }
        lists
    }
}
