//! Lines, words and names of a script.

use std::net::IpAddr;

use dataplane::packet::{
    AclId, Component, EniId, GroupId, HostId, LinkId, LinkService, RouteTableId, SubnetId, VpcId,
};

use crate::common::topology::{
    EIGW, HYPERPLANE_ENIS, IGW, INSTANCE_ENIS, INSTANCES, NAT_A, NAT_B, RESOLVER,
    RESOLVER_ADDRESSES, S3, SECRETS, SENDERS, SUBNETS,
};

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

/// Who bears a name, and the address that it means: that of IPv6 where a 6 stands behind it.
pub fn sender(name: &str) -> (LinkId, IpAddr) {
    let bare = name.strip_suffix('6').unwrap_or(name);
    let (v4, v6) = RESOLVER_ADDRESSES;
    let mut known = SENDERS.into_iter().chain([("resolver", RESOLVER, v4, v6)]).chain(INSTANCES);
    let found = known.find(|(other, ..)| *other == bare);
    let (_, link, v4, v6) = found.unwrap_or_else(|| panic!("nobody is called {name}"));
    (link, if bare == name { v4.into() } else { v6.into() })
}

/// An address, in brackets if it is of IPv6, or that of whoever bears a name; and a port behind a colon.
pub fn endpoint(text: &str) -> (IpAddr, Option<&str>) {
    let (host, port) = match text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    (host.parse().unwrap_or_else(|_| sender(host).1), port)
}

/// The group, and with it the ENI, that bears a name.
pub fn group(name: &str) -> usize {
    ["app", "db", "bastion", "endpoint"].iter().position(|other| *other == name).unwrap()
}

pub fn subnet(name: &str) -> usize {
    SUBNETS.iter().position(|other| *other == name).unwrap()
}

pub fn component(text: &str) -> Component {
    let (kind, name) = text.split_once(':').unwrap_or((text, ""));
    let id = |at: usize| u16::try_from(at).unwrap();
    match kind {
        "eni" => Component::Eni(match INSTANCES.iter().position(|(other, ..)| *other == name) {
            Some(place) => INSTANCE_ENIS[place],
            None => EniId(id(group(name))),
        }),
        "hyperplane-eni" => Component::Eni(HYPERPLANE_ENIS[name.parse::<usize>().unwrap()]),
        "security-group" => Component::SecurityGroup(GroupId(id(group(name)))),
        "subnet" => Component::Subnet(SubnetId(id(subnet(name)))),
        "route-table" => Component::RouteTable(RouteTableId(id(subnet(name)))),
        "network-acl" => Component::NetworkAcl(AclId(id(subnet(name)))),
        "internet-host" => Component::InternetHost(HostId(sender(name).0.0)),
        "internet-gateway" => Component::InternetGateway(IGW),
        "egress-only-internet-gateway" => Component::EgressOnlyInternetGateway(EIGW),
        "resolver" => Component::Service(LinkService::Resolver, VpcId(0)),
        "nat-gateway" => Component::NatGateway(if name == "nat-b" { NAT_B } else { NAT_A }),
        "vpc-endpoint" => Component::VpcEndpoint(if name == "s3" { S3 } else { SECRETS }),
        _ => panic!("no component {text}"),
    }
}
