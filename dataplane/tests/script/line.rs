//! Lines, words and names of a script.

use dataplane::packet::{AclId, Component, EniId, GroupId, HostId, LinkId, RouteTableId, SubnetId};

use crate::common::topology::{IGW, NAT_A, NAT_B, SENDERS, SUBNETS};

/// A line that says something.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    pub number: usize,
    pub indented: bool,
    pub text: &'a str,
}

impl<'a> Line<'a> {
    pub fn of((number, text): (usize, &'a str)) -> Option<Self> {
        let said = text.split('#').next().unwrap_or_default().trim_end();
        let indented = said.starts_with(' ');
        (!said.is_empty()).then(|| Self { number, indented, text: said.trim_start() })
    }

    pub fn words(&self) -> Vec<&'a str> {
        self.text.split_whitespace().collect()
    }
}

pub fn link(name: &str) -> LinkId {
    let found = SENDERS.iter().find(|(other, ..)| *other == name);
    found.unwrap_or_else(|| panic!("nobody is called {name}")).1
}

/// The group, and with it the ENI, that bears a name.
pub fn group(name: &str) -> usize {
    ["app", "db", "bastion"].iter().position(|other| *other == name).unwrap()
}

pub fn subnet(name: &str) -> usize {
    SUBNETS.iter().position(|other| *other == name).unwrap()
}

pub fn component(text: &str) -> Component {
    let (kind, name) = text.split_once(':').unwrap_or((text, ""));
    let id = |at: usize| u16::try_from(at).unwrap();
    match kind {
        "eni" => Component::Eni(EniId(id(group(name)))),
        "security-group" => Component::SecurityGroup(GroupId(id(group(name)))),
        "subnet" => Component::Subnet(SubnetId(id(subnet(name)))),
        "route-table" => Component::RouteTable(RouteTableId(id(subnet(name)))),
        "network-acl" => Component::NetworkAcl(AclId(id(subnet(name)))),
        "internet-host" => Component::InternetHost(HostId(link(name).0)),
        "internet-gateway" => Component::InternetGateway(IGW),
        "nat-gateway" => Component::NatGateway(if name == "nat-b" { NAT_B } else { NAT_A }),
        _ => panic!("no component {text}"),
    }
}
