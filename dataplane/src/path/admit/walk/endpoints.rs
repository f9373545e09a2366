//! How does a packet reach a service past the internet gateway, and how does the answer come back?
//!
//! By a gateway endpoint as it is: a route leads there, and the service sees the private address (AWS "Gateway
//! endpoints"). By an interface endpoint as from a network interface of the VPC: that has groups, and a port of its own
//! for each connection (AWS "Access an AWS service using an interface VPC endpoint"). Either remembers whom the answers
//! are for, and neither lets the service begin.

use crate::packet::{Addr, Answer, Component, EniId, LinkId, NatGatewayId, Reason, SubnetId};
use crate::path::admit::Passed;
use crate::path::admit::record::{HopStage, HopVerdict, Recorder};
use crate::path::admit::walk::{Judged, Walk};
use crate::path::recall::begins;
use crate::shared::{Lease, Lender, PortRange};
use crate::state::{Device, Holds, Side};
use crate::tables::{INTERFACE_ENDPOINT_MTU, INTERFACE_ENDPOINT_SERVES, Public, Target};
use crate::wire::icmpv4::Role;
use crate::wire::{protocol, tcp};

impl<'a, R: Recorder> Walk<'a, R> {
    /// Out of `subnet` through a gateway endpoint.
    pub(super) fn leave_by_endpoint(
        &mut self,
        subnet: SubnetId,
        id: NatGatewayId,
    ) -> Judged<LinkId> {
        self.acl(subnet, HopStage::NetworkAclEgress)?;
        self.come_to(id, Side::Source);
        let at = (Component::VpcEndpoint(id), HopStage::Gateway, None);
        let is_carried = match self.protocol {
            protocol::TCP => true,
            protocol::ICMP => {
                let [kind, _] = self.icmp.to_be_bytes();
                self.related || matches!(Role::of(kind), Role::Query | Role::Reply(_))
            }
            _ => false,
        };
        if !is_carried {
            return self.deny(at, Reason::ProtocolRestricted);
        }
        let device = Device::GatewayEndpoint(id);
        let passed = match self.memory.facet(device) {
            Some((place, _)) => Passed::Kept(place),
            None if self.related => return self.deny(at, Reason::IcmpUnmatched),
            None => Passed::Opened(self.opened(device, Holds::Nothing)),
        };
        self.remember(passed);
        self.endpoint = true;
        self.pass(at, HopVerdict::Forward);
        match self.tables.internet.get(&self.dst.0) {
            Some(&Public::Host(host)) => self.internet(Public::Host(host)),
            _ => self.deny(at, Reason::NoPath),
        }
    }

    /// To an interface endpoint, past the groups of its network interface `eni`.
    pub(super) fn enter_endpoint(&mut self, id: NatGatewayId, eni: EniId) -> Judged<LinkId> {
        self.come_to(id, Side::Source);
        self.fit(INTERFACE_ENDPOINT_MTU);
        let at = (Component::VpcEndpoint(id), HopStage::Translate, None);
        if !self.related && (self.protocol, self.dst.1) != INTERFACE_ENDPOINT_SERVES {
            let at = (Component::VpcEndpoint(id), HopStage::Gateway, None);
            return self.deny(at, Reason::ProtocolRestricted);
        }
        let host = self.tables.host(self.tables.vpc_endpoint(id).host);
        let Some(&service) = host.addresses.iter().find(|it| it.is_v4()) else {
            return self.deny(at, Reason::NoPath);
        };
        let (own, subnet) = (self.dst.0, self.tables.eni(eni).subnet);
        self.dst.0 = service;
        let (address, port) = match self.endpoint_mapping(id, own) {
            Some((place, lease)) => {
                self.remember(Passed::Kept(place));
                (lease.address(), lease.port())
            }
            None if self.related => return self.deny(at, Reason::IcmpUnmatched),
            // As a Network Load Balancer answers, which is of the same kind (AWS "Network Load Balancers", "Connection
            // idle timeout").
            None if !begins(self.headers.tcp_flags) => {
                let resets = self.headers.tcp_flags & tcp::flags::RST == 0;
                let answer = if resets { Answer::Reset { from: subnet } } else { Answer::Silence };
                return self.deny_with(at, Reason::EndpointIdleTimeout, answer);
            }
            None => {
                let remote = self.remote(Lender::InterfaceEndpoint, own);
                let Some(lease) =
                    self.lessee.lease(&self.shared.ports, remote, PortRange::NAT_GATEWAY)
                else {
                    return self.deny(at, Reason::NatPortAllocation);
                };
                let mapped = (lease.address(), lease.port());
                let device = Device::InterfaceEndpoint(id);
                self.remember(Passed::Opened(self.opened(device, Holds::Lease(lease))));
                mapped
            }
        };
        self.src = (address, if self.related { 0 } else { port });
        self.endpoint = true;
        self.pass(at, HopVerdict::Translate);
        self.internet(Public::Host(self.tables.vpc_endpoint(id).host))
    }

    /// From a service to whom an endpoint knows as having asked it; `None` where no endpoint knows the flow.
    pub(super) fn leave_service_host(&mut self) -> Option<Judged<LinkId>> {
        let (place, device) = self.memory.endpoint()?;
        match device {
            Device::GatewayEndpoint(id) => Some(self.return_by_route(id, place)),
            Device::InterfaceEndpoint(id) => Some(self.return_by_interface(id, place)),
            _ => None,
        }
    }

    /// Back through a gateway endpoint, while the receiver's routes still lead there.
    fn return_by_route(&mut self, id: NatGatewayId, place: usize) -> Judged<LinkId> {
        let at = (Component::VpcEndpoint(id), HopStage::Gateway, None);
        self.come_to(id, Side::Destination);
        let tables = self.tables;
        let there = tables.vpc_endpoints.get(id);
        let holder = there.and_then(|it| tables.vpc(it.vpc).holders.get(&self.dst.0));
        let Some(&holder) = holder else { return self.deny(at, Reason::NotPublic) };
        let subnet = self.subnet_of(holder);
        let routes = tables.route_table(tables.subnet(subnet).route_table);
        if !matches!(routes.longest(self.src.0), Some((_, Target::VpcEndpoint(to))) if to == id) {
            return self.deny(at, Reason::NotPublic);
        }
        self.remember(Passed::Kept(place));
        self.endpoint = true;
        self.pass(at, HopVerdict::Forward);
        self.acl(subnet, HopStage::NetworkAclIngress)?;
        self.arrive(holder)
    }

    /// Back through the interface of an endpoint by which the client came.
    fn return_by_interface(&mut self, id: NatGatewayId, place: usize) -> Judged<LinkId> {
        let at = (Component::VpcEndpoint(id), HopStage::Translate, None);
        self.come_to(id, Side::Destination);
        self.fit(INTERFACE_ENDPOINT_MTU);
        let own = self.dst.0;
        let enis = self.tables.vpc_endpoints.get(id).map_or(&[][..], |it| &it.enis);
        let eni = enis.iter().find(|it| self.tables.eni(**it).addresses.contains(&own));
        let inside = self.endpoint_mapping(id, own).and_then(|_| self.memory.inside(place));
        let (Some(&eni), Some((address, port))) = (eni, inside) else {
            return self.deny(at, Reason::NotPublic);
        };
        self.remember(Passed::Kept(place));
        self.src.0 = own;
        self.dst = (address, if self.related { 0 } else { port });
        self.endpoint = true;
        self.pass(at, HopVerdict::Translate);
        self.groups(eni, HopStage::SecurityGroupEgress)?;
        self.route(self.tables.eni(eni).subnet)
    }

    /// The live mapping that an interface endpoint has for the flow at its address `own`.
    fn endpoint_mapping(&self, id: NatGatewayId, own: Addr) -> Option<(usize, &'a Lease)> {
        let (place, facet) = self.memory.facet(Device::InterfaceEndpoint(id))?;
        let lease = facet.lease().filter(|it| it.address() == own)?;
        Some((place, lease))
    }
}
