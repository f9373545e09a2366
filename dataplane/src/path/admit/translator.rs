//! What does a translator of the RFCs do with the packet, in the place of a NAT gateway's NAT64?
//!
//! An address with a mapping (RFC 7757) or under the prefix (RFC 6052) is another one in the other family, and
//! nothing is remembered of that; other IPv6 hosts share the ports of a pool (RFC 6146). What is outside is of the
//! internet: no internet gateway translates it once more. By AWS's rules a port is bound towards one destination,
//! by those of RFC 6146 towards all.

use crate::packet::{Addr, Component, InternetGatewayId, Key, LinkId, NatGatewayId, Reason};
use crate::path::admit::Passed;
use crate::path::admit::record::{HopStage, HopVerdict, Recorder};
use crate::path::admit::walk::{At, Judged, Walk};
use crate::shared::{Destination, Lease, Lender, Remote};
use crate::state::{Device, Holds, Side, Translation};
use crate::tables::{INTERNET_MTU, NAT_GATEWAY_MTU, Pool, Target, Translator};
use crate::wire::icmpv4::Role;
use crate::wire::protocol;

/// Who is meant by a packet from outside.
struct Inside {
    address: Addr,
    /// The port or identifier that he knows; the packet's own, where none is bound.
    port: Option<u16>,
    /// What the gateway remembers if it did not yet know the flow; nobody, where it must have known it.
    holds: Option<Holds>,
}

impl<'a, R: Recorder> Walk<'a, R> {
    /// From the inside, at a gateway: a packet of IPv6 becomes one of IPv4.
    pub(super) fn translate_to_v4(
        &mut self,
        id: NatGatewayId,
        translator: &'a Translator,
    ) -> Judged<LinkId> {
        let at = (Component::NatGateway(id), HopStage::Gateway, None);
        self.carries_by(translator, id)?;
        self.become_v4(id)?;
        let Ok(source) = self.src.0.try_into() else {
            return self.deny(at, Reason::Untranslatable);
        };
        let mapped = translator.mappings.to_v4(source);
        // What is under the prefix is an IPv4 host, unless it would borrow a port (RFC 6146 s. 3.5).
        let embedded = translator.prefix.extract(source);
        let is_itself = self.related || translator.pool.is_none();
        if let Some(v4) = mapped.or(embedded.filter(|_| is_itself)) {
            self.keep(id, Holds::Nothing);
            self.src.0 = v4.into();
        } else if self.related {
            let Some(teller) = self.teller(translator) else {
                return self.deny(at, Reason::IcmpUnmatched);
            };
            self.src.0 = teller;
        } else if let Some(pool) = translator.pool
            && embedded.is_none()
        {
            let port = self.borrow(id, translator, pool)?;
            self.src.0 = pool.address;
            self.set_bound_port(true, port);
        } else {
            return self.deny(at, Reason::Untranslatable);
        }
        self.is_plain = true;
        self.leave_nat(id)
    }

    /// From the internet, to an address of the translator: a packet of IPv4 becomes one of IPv6.
    pub(super) fn enter_translator(
        &mut self,
        translator: &'a Translator,
        at: At,
    ) -> Judged<LinkId> {
        let unsolicited = (Component::NatGateway(translator.gateway), HopStage::Translate, None);
        let reason = if self.related { Reason::IcmpUnmatched } else { Reason::NatUnsolicited };
        let Some(remote) = self.src.0.to_v4().map(|it| translator.to_v6(it)) else {
            return self.deny(at, Reason::NotPublic);
        };
        let Some(inside) = self.inside(translator) else {
            return self.deny(unsolicited, reason);
        };
        let way = self.way_to(inside.address, remote.octets().into());
        let Some((id, internet_gateway)) = way else { return self.deny(at, Reason::NotPublic) };
        self.fit(INTERNET_MTU);
        let gateway = Component::InternetGateway(internet_gateway);
        self.pass((gateway, HopStage::Gateway, None), HopVerdict::Forward);
        self.acl(self.tables.nat_gateway(id).subnet, HopStage::NetworkAclIngress)?;
        self.come_to(id, Side::Destination);
        self.fit(NAT_GATEWAY_MTU);
        self.carries_by(translator, id)?;
        match inside.holds {
            Some(holds) => self.keep(id, holds),
            None if self.lease_at(id, translator).is_some() => self.keep(id, Holds::Nothing),
            None => return self.deny(unsolicited, reason),
        }
        self.dst.0 = inside.address;
        if let Some(port) = inside.port {
            self.set_bound_port(false, port);
        }
        self.become_v6(remote.octets().into());
        self.is_plain = true;
        self.leave_nat(id)
    }

    /// What becomes of the flow that an error quotes which no device remembers: nothing has to, if its addresses
    /// are translated without state.
    pub(super) fn quoted(&self, exit: LinkId) -> Option<Translation> {
        let translator = self.tables.translator.as_ref().filter(|_| self.is_plain)?;
        let original = self.headers.key;
        let translated = |address: Addr| match address.to_v4() {
            // Nobody stands behind the pool's without a binding.
            Some(_) if translator.pool.is_some_and(|it| it.address == address) => None,
            Some(v4) => Some(translator.to_v6(v4).octets().into()),
            None => translator.to_v4(address.try_into().ok()?).map(Addr::v4),
        };
        let number = match original.protocol {
            protocol::ICMP => protocol::ICMPV6,
            protocol::ICMPV6 => protocol::ICMP,
            other => other,
        };
        let source = (translated(original.src)?, original.src_port());
        let destination = (translated(original.dst)?, original.dst_port());
        let reply = Key::new(exit, number, destination, source);
        Some(self.translated(original, reply))
    }

    /// Whose address an error bears outside that comes from somebody who has none: the pool's if it is the flow's own
    /// host, else that of RFC 6791.
    fn teller(&self, translator: &Translator) -> Option<Addr> {
        let pool = translator.pool.map(|pool| pool.address);
        let is_host = self.memory.knows() && self.src.0 == self.headers.key.src;
        let other = translator.icmp_source.map(Addr::v4);
        if is_host { pool.or(other) } else { other.or(pool) }
    }

    /// The port of the pool that the sender has.
    fn borrow(&mut self, id: NatGatewayId, translator: &Translator, pool: Pool) -> Judged<u16> {
        let inside = (self.src.0, self.bound_port(true));
        if let Some(port) = translator.bindings.outside(self.protocol, inside) {
            self.keep(id, Holds::Nothing);
            return Ok(port);
        }
        if let Some((place, lease)) = self.lease_at(id, translator) {
            self.remember(Passed::Kept(place));
            return Ok(lease.port());
        }
        let known =
            translator.strict.then(|| self.shared.bindings.of(self.protocol, inside)).flatten();
        if let Some(binding) = known.filter(|it| it.lease().address() == pool.address) {
            let port = binding.lease().port();
            self.keep(id, Holds::Binding(binding));
            return Ok(port);
        }
        let at = (Component::NatGateway(id), HopStage::Translate, None);
        if !self.is_translatable() {
            return self.deny(at, Reason::ProtocolRestricted);
        }
        self.may_open_mapping(id, at)?;
        let Some(lease) = self.lease_of(translator, pool) else {
            return self.deny(at, Reason::NatPortAllocation);
        };
        let (port, holds) = if translator.strict {
            let binding = self.shared.bindings.bind(self.protocol, inside, lease);
            (binding.lease().port(), Holds::Binding(binding))
        } else {
            (lease.port(), Holds::Lease(lease))
        };
        self.keep(id, holds);
        Ok(port)
    }

    /// A free port of the pool that is nobody's for good.
    fn lease_of(&mut self, translator: &Translator, pool: Pool) -> Option<Lease> {
        let to = if translator.strict { (Addr::UNSPECIFIED, 0) } else { self.dst };
        let (lender, protocol) = (Lender::NatGateway(translator.gateway), self.protocol);
        let remote = Remote::new(lender, pool.address, Destination::new(to, protocol));
        // Those that are bound for good are held until another is found, so that each comes once.
        let mut bound = Vec::new();
        loop {
            let lease = self.lessee.lease(&self.shared.ports, remote, pool.ports)?;
            if translator.bindings.inside(protocol, lease.port()).is_none() {
                return Some(lease);
            }
            bound.push(lease);
        }
    }

    /// The port that a gateway holds for the flow, if it is of the pool.
    fn lease_at(&self, id: NatGatewayId, translator: &Translator) -> Option<(usize, &'a Lease)> {
        let pool = translator.pool?;
        let (place, facet) = self.memory.facet(Device::NatGateway(id))?;
        let lease = facet.lease().filter(|lease| lease.address() == pool.address)?;
        Some((place, lease))
    }

    /// Whom a packet from outside is for.
    fn inside(&self, translator: &Translator) -> Option<Inside> {
        let stateless = |address| Inside { address, port: None, holds: Some(Holds::Nothing) };
        if self.related && self.memory.knows() {
            return self.memory.far_source().map(stateless);
        }
        let pool = translator.pool.filter(|pool| pool.address == self.dst.0);
        let v4 = self.dst.0.to_v4()?;
        let Some(pool) = pool else {
            return Some(stateless(translator.to_v6(v4).octets().into()));
        };
        if self.related {
            return None;
        }
        let port = self.bound_port(false);
        if let Some((address, port)) = translator.bindings.inside(self.protocol, port) {
            return Some(Inside { address, port: Some(port), holds: Some(Holds::Nothing) });
        }
        if translator.strict {
            let binding = self.shared.bindings.at(self.protocol, (pool.address, port))?;
            let (address, port) = binding.inside();
            return Some(Inside {
                address,
                port: Some(port),
                holds: Some(Holds::Binding(binding)),
            });
        }
        let (address, port) = self.memory.first_sender()?;
        Some(Inside { address, port: Some(port), holds: None })
    }

    /// The NAT gateway by which `inside` answers `remote`, and the internet gateway before it.
    fn way_to(&self, inside: Addr, remote: Addr) -> Option<(NatGatewayId, InternetGatewayId)> {
        let tables = self.tables;
        tables.vpcs.iter().find_map(|(_, vpc)| {
            let subnet = self.subnet_of(*vpc.holders.get(&inside)?);
            let routes = tables.route_table(tables.subnet(subnet).route_table);
            let Some((_, Target::NatGateway(id))) = routes.longest(remote) else { return None };
            let vpc = tables.subnet(tables.nat_gateway(id).subnet).vpc;
            let mut gateways = tables.internet_gateways.iter();
            let (at, _) = gateways.find(|(_, gateway)| gateway.vpc == vpc)?;
            Some((id, InternetGatewayId(u16::try_from(at).ok()?)))
        })
    }

    /// Goes on remembering the flow at a gateway, or begins to.
    fn keep(&mut self, id: NatGatewayId, holds: Holds) {
        let device = Device::NatGateway(id);
        let holds_port = matches!(holds, Holds::Lease(_) | Holds::Binding(_));
        let passed = match self.memory.facet(device) {
            Some((place, facet)) if !holds_port || facet.lease().is_some() => Passed::Kept(place),
            _ => Passed::Opened(self.opened(device, holds)),
        };
        self.remember(passed);
    }

    /// The port that a binding is of: the sender's own outwards, and inwards the receiver's; of a query of ICMP the
    /// identifier, which stands on the side that asks.
    fn bound_port(&self, outwards: bool) -> u16 {
        if self.is_bound_at_source(outwards) { self.src.1 } else { self.dst.1 }
    }

    fn set_bound_port(&mut self, outwards: bool, port: u16) {
        if self.is_bound_at_source(outwards) {
            self.src.1 = port;
        } else {
            self.dst.1 = port;
        }
    }

    fn is_bound_at_source(&self, outwards: bool) -> bool {
        match self.protocol {
            protocol::ICMP => {
                let [kind, _] = self.icmp.to_be_bytes();
                Role::of(kind) == Role::Query
            }
            _ => outwards,
        }
    }

    /// By AWS's rules fragments are of UDP, and nothing is carried but TCP, UDP and ICMP.
    fn carries_by(&mut self, translator: &Translator, id: NatGatewayId) -> Judged<()> {
        if translator.strict {
            return Ok(());
        }
        if !matches!(
            self.protocol,
            protocol::TCP | protocol::UDP | protocol::ICMP | protocol::ICMPV6
        ) {
            let at = (Component::NatGateway(id), HopStage::Gateway, None);
            return self.deny(at, Reason::ProtocolRestricted);
        }
        self.carries(id)
    }
}
