//! What does a NAT gateway do with the packet? AWS "NAT gateway basics": each destination gets a
//! mapping of its own, on any of the gateway's addresses, and only what was asked for comes in.

use arrayvec::ArrayVec;

use crate::packet::{Addr, Answer, Component, LinkId, NatGatewayId, Reason};
use crate::path::admit::Passed;
use crate::path::admit::record::{HopStage, HopVerdict, Recorder};
use crate::path::admit::walk::{At, Judged, Walk};
use crate::path::recall::begins;
use crate::shared::{Destination, Lease, Lender, PortRange, Remote};
use crate::state::{Device, Holds, Side};
use crate::tables::NAT_GATEWAY_MTU;
use crate::wire::icmpv4::Role;
use crate::wire::{icmpv6, protocol, tcp};

impl<'a, R: Recorder> Walk<'a, R> {
    /// From the inside: the source becomes an address and a port of the gateway.
    pub(super) fn translate_outbound(&mut self, id: NatGatewayId) -> Judged<LinkId> {
        self.come_to(id, Side::Source);
        self.fit(NAT_GATEWAY_MTU);
        if let Some(translator) = self.tables.translator.as_ref()
            && !self.dst.0.is_v4()
        {
            return self.translate_to_v4(id, translator);
        }
        let at = (Component::NatGateway(id), HopStage::Translate, None);
        self.carries(id)?;
        if !self.dst.0.is_v4() {
            self.become_v4(id)?;
        }
        if !self.is_translatable() {
            let at = (Component::NatGateway(id), HopStage::Gateway, None);
            return self.deny(at, Reason::ProtocolRestricted);
        }
        let (address, port) = match self.mapping(id) {
            Some((place, lease)) => {
                self.remember(Passed::Kept(place));
                (lease.address(), lease.port())
            }
            // An error opens no mapping, and without one has nothing to be translated by.
            None if self.related => return self.deny(at, Reason::IcmpUnmatched),
            None => self.open_mapping(id, at)?,
        };
        // An ICMP error has no port of its own.
        self.src = (address, if self.related { 0 } else { port });
        self.leave_nat(id)
    }

    /// From the outside: what no live mapping expects is dropped.
    pub(super) fn translate_inbound(&mut self, id: NatGatewayId) -> Judged<LinkId> {
        self.come_to(id, Side::Destination);
        self.fit(NAT_GATEWAY_MTU);
        let at = (Component::NatGateway(id), HopStage::Translate, None);
        let place = self.mapping(id).map(|(place, _)| place);
        let mapped = place.and_then(|place| Some((place, self.memory.inside(place)?)));
        let Some((place, (addr, port))) = mapped else {
            let unmatched = self.related.then_some(Reason::IcmpUnmatched);
            return self.deny(at, unmatched.unwrap_or(Reason::NatUnsolicited));
        };
        if self.translators.contains(&id) || self.translators.is_full() {
            return self.deny(at, Reason::ForwardingLoop);
        }
        self.carries(id)?;
        self.remember(Passed::Kept(place));
        self.dst = (addr, if self.related { 0 } else { port });
        if !addr.is_v4()
            && let Some(remote) = self.src.0.to_v4()
        {
            self.become_v6(self.tables.prefix().embed(remote).into());
        }
        self.leave_nat(id)
    }

    /// On from the gateway, by the routes of its subnet.
    pub(super) fn leave_nat(&mut self, id: NatGatewayId) -> Judged<LinkId> {
        self.translators.push(id);
        self.pass((Component::NatGateway(id), HopStage::Translate, None), HopVerdict::Translate);
        self.route(self.tables.nat_gateway(id).subnet)
    }

    /// Fragments are carried if they are of UDP (AWS "Compare NAT gateways and NAT instances").
    pub(super) fn carries(&mut self, id: NatGatewayId) -> Judged<()> {
        if self.headers.fragment && self.protocol != protocol::UDP {
            let at = (Component::NatGateway(id), HopStage::Gateway, None);
            return self.deny(at, Reason::NatFragment);
        }
        Ok(())
    }

    /// The live mapping that a gateway has for the flow: one of an address that it still has.
    fn mapping(&self, id: NatGatewayId) -> Option<(usize, &'a Lease)> {
        let (place, facet) = self.memory.facet(Device::NatGateway(id))?;
        let lease = facet.lease()?;
        let has = self.tables.nat_gateway(id).has(lease.address(), self.memory.now);
        has.then_some((place, lease))
    }

    fn open_mapping(&mut self, id: NatGatewayId, at: At) -> Judged<(Addr, u16)> {
        self.may_open_mapping(id, at)?;
        let Some(lease) = self.lease(id) else {
            let resets = self.tables.choices.nat_resets_exhausted && self.protocol == protocol::TCP;
            let from = self.tables.nat_gateway(id).subnet;
            let answer = if resets { Answer::Reset { from } } else { Answer::Silence };
            return self.deny_with(at, Reason::NatPortAllocation, answer);
        };
        let mapped = (lease.address(), lease.port());
        let facet = self.opened(Device::NatGateway(id), Holds::Lease(lease));
        self.remember(Passed::Opened(facet));
        Ok(mapped)
    }

    /// Brings what changes when a port is leased into cache, where it is known by now of which pool: on a first packet's way
    /// to a gateway with one address.
    pub(super) fn expect_lease(&mut self, id: NatGatewayId) {
        let gateway = self.tables.nat_gateway(id);
        if let [only] = gateway.addresses.as_slice()
            && !self.memory.knows()
        {
            let remote = self.remote(Lender::NatGateway(id), only.address);
            self.lessee.expect(remote);
        }
    }

    /// A port of an address that takes new connections: of one chosen at random, or of the others
    /// where that has none left towards this destination.
    fn lease(&mut self, id: NatGatewayId) -> Option<Lease> {
        let (gateway, lender) = (self.tables.nat_gateway(id), Lender::NatGateway(id));
        let open = gateway.addresses.iter().filter(|it| it.draining.is_none());
        let mut open = open.map(|it| it.address);
        match (open.next()?, open.next()) {
            (only, None) => {
                self.lessee.lease(&self.shared.ports, self.remote(lender, only), gateway.ports)
            }
            (first, Some(second)) => {
                let open = [first, second].into_iter().chain(open).take(8).collect();
                self.lease_of_any(open, lender, gateway.ports)
            }
        }
    }

    #[inline(never)]
    fn lease_of_any(
        &mut self,
        mut open: ArrayVec<Addr, 8>,
        lender: Lender,
        ports: PortRange,
    ) -> Option<Lease> {
        let first = self.lessee.random.usize(..open.len());
        open.rotate_left(first);
        if self.tables.choices.nat_prefers_least_used {
            open.sort_by_key(|&address| self.shared.ports.leased(&self.remote(lender, address)));
        }
        let mut open = open.into_iter();
        open.find_map(|address| {
            self.lessee.lease(&self.shared.ports, self.remote(lender, address), ports)
        })
    }

    pub(super) fn remote(&self, lender: Lender, address: Addr) -> Remote {
        Remote::new(lender, address, Destination::new(self.dst, self.protocol))
    }

    /// What a NAT gateway carries: TCP, UDP and ICMP (AWS "NAT gateway basics"), of ICMP queries and
    /// errors about what it carries.
    pub(super) fn is_translatable(&self) -> bool {
        match self.protocol {
            protocol::TCP | protocol::UDP => true,
            protocol::ICMP => {
                let [kind, _] = self.icmp.to_be_bytes();
                self.related || Role::of(kind) == Role::Query
            }
            protocol::ICMPV6 => {
                let [kind, _] = self.icmp.to_be_bytes();
                self.related || kind == icmpv6::kind::ECHO_REQUEST
            }
            _ => false,
        }
    }

    /// What opens no mapping is dropped, and its sender told (AWS "Troubleshoot NAT gateways": a connection
    /// that timed out is answered by a RST) or not (RFC 6146 s. 3.5.2.2, "CLOSED").
    pub(super) fn may_open_mapping(&mut self, id: NatGatewayId, at: At) -> Judged<()> {
        if self.protocol != protocol::TCP || begins(self.headers.tcp_flags) {
            return Ok(());
        }
        // A RST is never answered by one (RFC 9293 s. 3.5.2).
        let resets = self.tables.choices.nat_resets_unmapped
            && self.headers.tcp_flags & tcp::flags::RST == 0
            && self.tables.strict().is_none();
        let from = self.tables.nat_gateway(id).subnet;
        let answer = if resets { Answer::Reset { from } } else { Answer::Silence };
        self.deny_with(at, Reason::NatIdleTimeout, answer)
    }
}
