//! The walk of one packet over the hops, from the link that it came in by to its exit.
//!
//! Order of checks: source/destination check, security groups of the sender, route, ACL on leaving a
//! subnet; on entering one its ACL, with addresses as yet untranslated, then the gateway's
//! translation, that subnet's route, and so on; last the receiver's security groups (AWS
//! "Reachability Analyzer", "How network ACLs work", "NAT gateway basics"). The first hop that fails
//! gives the reason.

use ipnet::IpNet;

use crate::packet::{
    AclId, Addr, Answer, Component, Direction, EniId, GroupId, HostId, InternetGatewayId, Key,
    LinkId, NatGatewayId, Reason, SubnetId,
};
use crate::path::admit::record::{Hop, HopStage, HopVerdict, Recorder, Rule};
use crate::path::admit::{Denial, Headers, Passage, Passed};
use crate::path::recall::begins;
use crate::shared::{Lease, PortPools, Remote};
use crate::state::{Cold, Device, Facet, Hot, MeterId, Side, Translation, Way};
use crate::tables::{
    GroupRule, Holder, INTERNET_MTU, PeerOf, Place, Public, RouteTable, Tables, Target, Timers,
    VPC_MTU,
};
use crate::time::Tick;
use crate::wire::{icmpv4, protocol, tcp};

/// What devices remember of the flow that a packet belongs to.
#[derive(Clone, Copy)]
pub(super) struct Memory<'a> {
    /// The flow, with the clocks that its devices go by; `None` for a first packet.
    flow: Option<(&'a Hot, &'a Cold, &'a Timers)>,
    now: Tick,
}

impl<'a> Memory<'a> {
    pub(super) const fn none(now: Tick) -> Self {
        Self { flow: None, now }
    }

    pub(super) const fn of(hot: &'a Hot, cold: &'a Cold, timers: &'a Timers, now: Tick) -> Self {
        Self { flow: Some((hot, cold, timers)), now }
    }

    /// The facet of `device`, if it has not expired.
    fn facet(&self, device: Device) -> Option<(usize, &'a Facet)> {
        let (hot, cold, timers) = self.flow?;
        cold.facets.iter().enumerate().find(|(_, facet)| {
            let idle = device.idle(hot.phase(), timers);
            facet.device == device && !facet.last.after(idle).is_due(self.now)
        })
    }

    /// Whom the translator whose facet stands at `place` knows on its inside: the translator before
    /// it, or the conversation's first sender.
    fn inside(&self, place: usize) -> Option<(Addr, u16)> {
        let (hot, cold, _) = self.flow?;
        let before = cold.facets.get(..place)?.iter().rev().find_map(|facet| facet.lease.as_ref());
        let key = hot.key(Direction::Original);
        Some(before.map_or((key.src, key.src_port), |lease| (lease.address(), lease.port())))
    }
}

/// A packet on its way.
pub(super) struct Walk<'a, R> {
    tables: &'a Tables,
    memory: Memory<'a>,
    ports: &'a PortPools,
    random: &'a mut fastrand::Rng,
    recorder: &'a mut R,
    protocol: u8,
    src: (Addr, u16),
    dst: (Addr, u16),
    /// ICMP type and code; unused for other protocols.
    icmp: u16,
    tcp_flags: u8,
    /// Whether this is an ICMP error about a known flow.
    related: bool,
    mtu: u16,
    /// NAT gateways passed, each of which decrements the time to live.
    translators: arrayvec::ArrayVec<NatGatewayId, 2>,
    pub(super) passed: Passage,
    /// NAT gateways come to.
    pub(super) way: Way,
}

type Judged<T> = Result<T, Denial>;

impl<'a, R: Recorder> Walk<'a, R> {
    pub(super) fn new(
        headers: &Headers,
        memory: Memory<'a>,
        tables: &'a Tables,
        ports: &'a PortPools,
        random: &'a mut fastrand::Rng,
        recorder: &'a mut R,
    ) -> Self {
        let key = &headers.key;
        let (protocol, src, dst) = match headers.error {
            None => (key.protocol, (key.src, key.src_port), (key.dst, key.dst_port)),
            Some((src, dst)) => (protocol::ICMP, (src, 0), (dst, 0)),
        };
        Self {
            tables,
            memory,
            ports,
            random,
            recorder,
            protocol,
            src,
            dst,
            icmp: headers.selector,
            tcp_flags: headers.tcp_flags,
            related: headers.error.is_some(),
            mtu: VPC_MTU,
            translators: arrayvec::ArrayVec::new(),
            passed: Passage::new(),
            way: Way::default(),
        }
    }

    /// Walks from `link` to the exit link.
    pub(super) fn run(&mut self, link: LinkId) -> Judged<LinkId> {
        match self.tables.place(link) {
            Some(Place::Eni(eni)) => self.leave_eni(eni),
            Some(Place::Host(host)) => self.leave_host(host),
            None => Err(Denial::silent(Reason::LinkDown)),
        }
    }

    /// What the walk has come to, for a packet with these headers that leaves by `exit`.
    pub(super) fn translation(&self, headers: &Headers, exit: LinkId) -> Translation {
        Translation {
            original: headers.key,
            reply: Key::new(exit, self.protocol, self.dst, self.src),
            mtu: self.mtu,
            ttl_hops: u8::try_from(self.translators.len()).unwrap_or(u8::MAX),
        }
    }

    /// The addresses that the packet leaves with.
    pub(super) fn outer(&self) -> (Addr, Addr) {
        (self.src.0, self.dst.0)
    }

    fn leave_eni(&mut self, id: EniId) -> Judged<LinkId> {
        let eni = self.tables.eni(id);
        let at = (Component::Eni(id), HopStage::SourceDestCheck, None);
        let own = |addr: &Addr| eni.addresses.contains(addr);
        if eni.source_dest_check && !own(&self.src.0) && !own(&self.dst.0) {
            return self.deny(at, Reason::SourceDestCheck);
        }
        self.pass(at, HopVerdict::Allow);
        self.groups(id, HopStage::SecurityGroupEgress)?;
        self.route(eni.subnet)
    }

    fn leave_host(&mut self, id: HostId) -> Judged<LinkId> {
        let at = (Component::InternetHost(id), HopStage::Gateway, None);
        if !self.tables.host(id).addresses.contains(&self.src.0) {
            return self.deny(at, Reason::Spoofed);
        }
        self.mtu = self.mtu.min(INTERNET_MTU);
        match self.tables.internet.get(&self.dst.0) {
            Some(&public) => self.internet(public),
            None => self.deny(at, Reason::NotPublic),
        }
    }

    /// The security groups of an ENI: what is tracked passes, anything else needs a rule.
    fn groups(&mut self, id: EniId, stage: HopStage) -> Judged<()> {
        let eni = self.tables.eni(id);
        let device = Device::Eni(id);
        // One group speaks for itself; several speak as the ENI.
        let component = match eni.groups.as_slice() {
            &[group] => Component::SecurityGroup(group),
            _ => Component::Eni(id),
        };
        if let Some((place, _)) = self.memory.facet(device) {
            self.pass((component, stage, Some(Rule::Tracked)), HopVerdict::Allow);
            self.remember(Passed::Kept(place));
            return Ok(());
        }
        if self.related {
            return self.deny((component, stage, None), Reason::IcmpUnmatched);
        }
        let (rules, peer) = match stage {
            HopStage::SecurityGroupEgress => (&eni.egress, self.dst.0),
            _ => (&eni.ingress, self.src.0),
        };
        let peer = PeerOf { addr: peer, groups: self.groups_of(eni.subnet, peer) };
        let allowed = rules.first(self.protocol, self.selector(), peer);
        let Some(GroupRule { group, place }) = allowed else {
            return self.deny((component, stage, None), Reason::GroupMismatch);
        };
        let at = (Component::SecurityGroup(group), stage, Some(Rule::Group(place)));
        self.pass(at, HopVerdict::Allow);
        self.remember(Passed::Opened(self.opened(device, None)));
        Ok(())
    }

    /// The groups of the ENI that has a private address in the VPC of `subnet` (AWS "Security group
    /// rules": references match private addresses alone).
    fn groups_of(&self, subnet: SubnetId, addr: Addr) -> &'a [GroupId] {
        let tables = self.tables;
        match tables.vpc(tables.subnet(subnet).vpc).holders.get(&addr) {
            Some(&Holder::Eni(eni)) => &tables.eni(eni).groups,
            _ => &[],
        }
    }

    fn route(&mut self, subnet: SubnetId) -> Judged<LinkId> {
        let here = self.tables.subnet(subnet);
        if self.dst.0.is_multicast() {
            let at = (Component::Subnet(subnet), HopStage::Route, None);
            return self.deny(at, Reason::Multicast);
        }
        let table: &RouteTable = self.tables.route_table(here.route_table);
        let at = |net: Option<IpNet>| {
            (Component::RouteTable(here.route_table), HopStage::Route, net.map(Rule::Route))
        };
        let Some((net, target)) = table.longest(self.dst.0) else {
            return self.deny(at(None), Reason::NoRoute);
        };
        let at = at(Some(net));
        match target {
            Target::Blackhole => self.deny(at, Reason::Blackhole),
            Target::Local => {
                let Some(&holder) = self.tables.vpc(here.vpc).holders.get(&self.dst.0) else {
                    return self.deny(at, Reason::NoPath);
                };
                self.pass(at, HopVerdict::Forward);
                self.cross(subnet, self.subnet_of(holder))?;
                self.arrive(holder)
            }
            Target::InternetGateway(gateway) => {
                self.pass(at, HopVerdict::Forward);
                self.acl(subnet, HopStage::NetworkAclEgress)?;
                self.leave_vpc(gateway)
            }
            Target::NatGateway(gateway) => {
                if self.translators.contains(&gateway) || self.translators.is_full() {
                    return self.deny(at, Reason::ForwardingLoop);
                }
                self.pass(at, HopVerdict::Forward);
                self.cross(subnet, self.tables.nat_gateway(gateway).subnet)?;
                self.translate_outbound(gateway)
            }
        }
    }

    /// From one subnet into another: the ACLs of both are asked only at the border (AWS "Network ACL
    /// basics").
    fn cross(&mut self, from: SubnetId, to: SubnetId) -> Judged<()> {
        if from == to {
            return Ok(());
        }
        self.acl(from, HopStage::NetworkAclEgress)?;
        self.acl(to, HopStage::NetworkAclIngress)
    }

    fn acl(&mut self, subnet: SubnetId, stage: HopStage) -> Judged<()> {
        let id: AclId = self.tables.subnet(subnet).network_acl;
        let acl = self.tables.network_acl(id);
        let (rules, peer) = match stage {
            HopStage::NetworkAclEgress => (&acl.egress, self.dst.0),
            _ => (&acl.ingress, self.src.0),
        };
        let first = rules.first(self.protocol, self.selector(), PeerOf { addr: peer, groups: &[] });
        let rule = first.map_or(Rule::AclDefault, |rule| Rule::Acl(rule.number));
        let at = (Component::NetworkAcl(id), stage, Some(rule));
        if first.is_some_and(|rule| rule.allow) {
            self.pass(at, HopVerdict::Allow);
            Ok(())
        } else {
            self.deny(at, Reason::AclDenied)
        }
    }

    /// Somebody in a VPC has the address.
    fn arrive(&mut self, holder: Holder) -> Judged<LinkId> {
        match holder {
            Holder::Eni(id) => {
                self.groups(id, HopStage::SecurityGroupIngress)?;
                self.pass((Component::Eni(id), HopStage::Deliver, None), HopVerdict::Allow);
                Ok(self.tables.eni(id).link)
            }
            Holder::NatGateway(id) => self.translate_inbound(id),
        }
    }

    /// Out through an internet gateway: the private source becomes its public address.
    fn leave_vpc(&mut self, id: InternetGatewayId) -> Judged<LinkId> {
        let component = Component::InternetGateway(id);
        let Some(&public) = self.tables.internet_gateway(id).public.get(&self.src.0) else {
            return self.deny((component, HopStage::Gateway, None), Reason::NoPublicAddress);
        };
        self.src.0 = public;
        self.mtu = self.mtu.min(INTERNET_MTU);
        self.pass((component, HopStage::Translate, None), HopVerdict::Translate);
        match self.tables.internet.get(&self.dst.0) {
            Some(&public) => self.internet(public),
            None => self.deny((component, HopStage::Gateway, None), Reason::NoPath),
        }
    }

    /// Somebody on the internet has the address.
    fn internet(&mut self, public: Public) -> Judged<LinkId> {
        match public {
            Public::Host(id) => {
                self.pass(
                    (Component::InternetHost(id), HopStage::Deliver, None),
                    HopVerdict::Allow,
                );
                Ok(self.tables.host(id).link)
            }
            Public::Vpc { gateway, private } => self.enter_vpc(gateway, private),
        }
    }

    /// In through an internet gateway: the public destination becomes its private address.
    fn enter_vpc(&mut self, id: InternetGatewayId, private: Addr) -> Judged<LinkId> {
        let component = Component::InternetGateway(id);
        let vpc = self.tables.internet_gateway(id).vpc;
        let Some(&holder) = self.tables.vpc(vpc).holders.get(&private) else {
            return self.deny((component, HopStage::Gateway, None), Reason::NotPublic);
        };
        self.dst.0 = private;
        self.mtu = self.mtu.min(INTERNET_MTU);
        self.pass((component, HopStage::Translate, None), HopVerdict::Translate);
        self.acl(self.subnet_of(holder), HopStage::NetworkAclIngress)?;
        self.arrive(holder)
    }

    /// From the inside of a NAT gateway (AWS "NAT gateway basics"): endpoint-dependent, a port of
    /// its own for each destination.
    fn translate_outbound(&mut self, id: NatGatewayId) -> Judged<LinkId> {
        self.come_to(id, Side::Source);
        let component = Component::NatGateway(id);
        if !self.is_translatable() {
            let at = (component, HopStage::Gateway, None);
            return self.deny(at, Reason::ProtocolRestricted);
        }
        let gateway = self.tables.nat_gateway(id);
        let at = (component, HopStage::Translate, None);
        let device = Device::NatGateway(id);
        let port = match self.mapping(id) {
            Some((place, facet)) => {
                self.remember(Passed::Kept(place));
                facet.lease.as_ref().map_or(0, Lease::port)
            }
            // An error opens no mapping, and without one has nothing to be translated by.
            None if self.related => return self.deny(at, Reason::IcmpUnmatched),
            None => {
                if let Some(answer) = self.refuses_mapping() {
                    return self.deny_with(at, Reason::NatIdleTimeout, answer);
                }
                let remote = Remote {
                    gateway: id,
                    address: gateway.address,
                    remote: self.dst.0,
                    remote_port: self.dst.1,
                    protocol: self.protocol,
                };
                let Some(lease) = self.ports.lease(remote, gateway.ports, self.random) else {
                    return self.deny(at, Reason::NatPortAllocation);
                };
                let port = lease.port();
                self.remember(Passed::Opened(self.opened(device, Some(lease))));
                port
            }
        };
        // An ICMP error has no port of its own.
        self.src = (gateway.address, if self.related { 0 } else { port });
        self.translators.push(id);
        self.pass(at, HopVerdict::Translate);
        self.route(gateway.subnet)
    }

    /// The live mapping that a gateway has for the flow: one of the address that it has now.
    fn mapping(&self, id: NatGatewayId) -> Option<(usize, &'a Facet)> {
        let address = self.tables.nat_gateway(id).address;
        let found = self.memory.facet(Device::NatGateway(id))?;
        found.1.lease.as_ref().is_some_and(|lease| lease.address() == address).then_some(found)
    }

    /// At the outside of a NAT gateway: what no live mapping expects is dropped.
    fn translate_inbound(&mut self, id: NatGatewayId) -> Judged<LinkId> {
        self.come_to(id, Side::Destination);
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
        self.remember(Passed::Kept(place));
        self.dst = (addr, if self.related { 0 } else { port });
        self.translators.push(id);
        self.pass(at, HopVerdict::Translate);
        self.route(self.tables.nat_gateway(id).subnet)
    }

    /// What a NAT gateway carries: TCP, UDP and ICMP (AWS "NAT gateway basics"), of ICMP echoes and
    /// errors about what it carries.
    fn is_translatable(&self) -> bool {
        match self.protocol {
            protocol::TCP | protocol::UDP => true,
            protocol::ICMP => {
                let [kind, _] = self.icmp.to_be_bytes();
                self.related || kind == icmpv4::kind::ECHO_REQUEST
            }
            _ => false,
        }
    }

    /// Whether a packet opens no mapping, and what its sender is told then (AWS "Troubleshoot NAT
    /// gateways": a connection that timed out is answered by a RST).
    fn refuses_mapping(&self) -> Option<Answer> {
        if self.protocol != protocol::TCP || begins(self.tcp_flags) {
            return None;
        }
        // A RST is never answered by one (RFC 9293 s. 3.5.2).
        Some(if self.tcp_flags & tcp::flags::RST == 0 { Answer::Reset } else { Answer::Silence })
    }

    fn subnet_of(&self, holder: Holder) -> SubnetId {
        match holder {
            Holder::Eni(id) => self.tables.eni(id).subnet,
            Holder::NatGateway(id) => self.tables.nat_gateway(id).subnet,
        }
    }

    /// What rules select by: see `Selector::ports`.
    fn selector(&self) -> u16 {
        match self.protocol {
            protocol::TCP | protocol::UDP => self.dst.1,
            protocol::ICMP => self.icmp,
            _ => 0,
        }
    }

    /// Keeps track of the gateways that count the packet as received.
    fn come_to(&mut self, id: NatGatewayId, side: Side) {
        self.way.push(id, side);
    }

    fn opened(&self, device: Device, lease: Option<Lease>) -> Facet {
        Facet { device, last: self.memory.now, lease }
    }

    /// Keeps track of a device. A path with more devices than a flow has facets does not exist:
    /// two ends and at most two translators.
    fn remember(&mut self, passed: Passed) {
        let kept = self.passed.try_push(passed);
        debug_assert!(kept.is_ok(), "more devices on a path than MAX_FACETS");
    }

    fn pass(&mut self, (component, stage, rule): At, verdict: HopVerdict) {
        self.recorder.hop(Hop { component, stage, rule, verdict });
    }

    fn deny<T>(&mut self, at: At, reason: Reason) -> Judged<T> {
        self.deny_with(at, reason, Answer::Silence)
    }

    fn deny_with<T>(&mut self, at: At, reason: Reason, answer: Answer) -> Judged<T> {
        self.pass(at, HopVerdict::Deny);
        Err(Denial { reason, component: Some(at.0), answer, meter: MeterId::NONE })
    }
}

type At = (Component, HopStage, Option<Rule>);
