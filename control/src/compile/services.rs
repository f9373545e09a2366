//! Where are the services at the links of a VPC? AWS "Understanding Amazon DNS", "Access instance metadata for an EC2
//! instance", "Set the time reference on your EC2 instance to use the local Amazon Time Sync Service".

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use dataplane::packet::{Addr, LinkService, VpcId};
use dataplane::tables::AddrMap;

use super::ComponentKind;
use crate::check::{NetworkInterface, Role, Topology, Vpc, VpcIndex};

/// Where it answers beside its place in the VPC's block.
pub(crate) const RESOLVER: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 253));
/// Where a VPC's resolver answers in IPv6.
pub(crate) const IPV6_RESOLVER: IpAddr = IpAddr::V6(amazon(0x253));
const METADATA: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));
/// Where the metadata service answers in IPv6, if an interface has it so.
pub(crate) const IPV6_METADATA: IpAddr = IpAddr::V6(amazon(0x254));
const TIME_SYNC: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 123));
const IPV6_TIME_SYNC: IpAddr = IpAddr::V6(amazon(0x123));

const fn amazon(host: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, host)
}

/// The addresses of a service in a VPC; none where the VPC is without it.
pub(crate) fn addresses(vpc: &Vpc, service: LinkService) -> Vec<IpAddr> {
    match service {
        LinkService::Resolver if !vpc.dns_support => Vec::new(),
        LinkService::Resolver => vec![vpc.resolver().into(), RESOLVER, IPV6_RESOLVER],
        LinkService::Metadata => vec![METADATA, IPV6_METADATA],
        LinkService::TimeSync => vec![TIME_SYNC, IPV6_TIME_SYNC],
    }
}

/// What a service of a VPC is called beside other members of an instance: no name has a colon.
pub(crate) fn member(vpc: &Vpc, service: LinkService) -> String {
    format!("{}:{}", kind(service).label(), vpc.name)
}

/// What the public sides of AWS's services are called beside other members of an instance: one host serves them all.
pub(crate) const AWS: &str = "services:amazonaws.com";

/// The kind of component that a service is.
pub(crate) const fn kind(service: LinkService) -> ComponentKind {
    match service {
        LinkService::Resolver => ComponentKind::Resolver,
        LinkService::Metadata => ComponentKind::InstanceMetadata,
        LinkService::TimeSync => ComponentKind::TimeSync,
    }
}

/// What each interface reaches; those that reach the same share it.
#[derive(Default)]
pub(super) struct Reach(HashMap<(VpcIndex, bool, bool), Services>);

/// Where an interface reaches which service, and of which VPC.
type Services = Arc<AddrMap<(LinkService, VpcId)>>;

impl Reach {
    pub(super) fn of(
        &mut self,
        topology: &Topology,
        ids: &[VpcId],
        interface: &NetworkInterface,
    ) -> Services {
        // A workload outside the VPCs asks the resolver of that which it sends into, and nobody else.
        let is_workload = matches!(interface.role, Role::Instance(_));
        let vpc = topology.resolving_vpc(interface);
        let metadata_by_ipv6 = interface.metadata.ipv6;
        let reach = self.0.entry((vpc, is_workload, metadata_by_ipv6)).or_insert_with(|| {
            let offered = |service: &LinkService| !is_workload || *service == LinkService::Resolver;
            let all = LinkService::ALL.into_iter().filter(offered).flat_map(|service| {
                let addresses = addresses(&topology[vpc], service).into_iter();
                addresses.map(move |address| (address, (service, ids[vpc.0])))
            });
            let reached = all.filter(|(address, _)| metadata_by_ipv6 || *address != IPV6_METADATA);
            Arc::new(reached.map(|(address, service)| (Addr::from(address), service)).collect())
        });
        reach.clone()
    }
}
