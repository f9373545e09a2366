//! The walk of one packet over the hops, from the link that it came in by to its exit.
//!
//! Order of checks: source/destination check, security groups of the sender, route, ACL on leaving a
//! subnet; on entering one its ACL, with addresses as yet untranslated, then the gateway's
//! translation, that subnet's route, and so on; last the receiver's security groups (AWS
//! "Reachability Analyzer", "How network ACLs work", "NAT gateway basics"). The first hop that fails
//! gives the reason.

mod endpoints;
mod groups;
mod hyperplane;
mod ipv6;
mod memory;
mod services;

use arrayvec::ArrayVec;
use ipnet::IpNet;

use crate::packet::{
    AclId, Addr, Answer, Component, EniId, HostId, InternetGatewayId, Key, LinkId, NatGatewayId,
    Reason, SubnetId,
};
use crate::path::admit::record::{Hop, HopStage, HopVerdict, Recorder, Rule};
use crate::path::admit::{Denial, Headers, Passage, Passed};
use crate::shared::{Lessee, Shared};
use crate::state::{Device, Facet, Holds, MeterId, Side, Translation, Visit, Way};
use crate::tables::{
    Holder, INTERNET_MTU, PeerOf, Place, Public, Role, RouteTable, Tables, Target, VPC_MTU,
    is_service,
};
use crate::wire::protocol;
use groups::Undecided;
pub(super) use memory::Memory;

/// A packet on its way.
pub(super) struct Walk<'a, R> {
    pub(super) tables: &'a Tables,
    pub(super) memory: Memory<'a>,
    pub(super) shared: &'a Shared,
    pub(super) lessee: &'a mut Lessee,
    recorder: &'a mut R,
    /// The packet as it came in. Its key is that of the one that it quotes, as an answer to that, if it does.
    pub(super) headers: &'a Headers,
    pub(super) protocol: u8,
    pub(super) src: (Addr, u16),
    pub(super) dst: (Addr, u16),
    /// ICMP type and code; unused for other protocols.
    pub(super) icmp: u16,
    /// Whether this is an ICMP error about a known flow.
    pub(super) related: bool,
    pub(super) mtu: u16,
    /// What the packet was longer by as it came than it is here, in bytes.
    pub(super) growth: i16,
    /// NAT gateways passed, each of which decrements the time to live.
    pub(super) translators: arrayvec::ArrayVec<NatGatewayId, 2>,
    pub(super) passed: Passage,
    undecided: ArrayVec<Undecided, 2>,
    /// Whether an egress-only internet gateway was passed.
    egress_only: bool,
    /// Whether a VPC endpoint was passed.
    endpoint: bool,
    /// Whether a translator of the RFCs was passed, whose addresses are the internet's own.
    pub(super) is_plain: bool,
    /// Whether the packet comes from a service at the link, or goes to one: it stays as it is, and nobody
    /// remembers it.
    pub(super) is_local: bool,
    /// NAT gateways come to.
    pub(super) way: Way,
}

pub(super) type Judged<T> = Result<T, Denial>;

impl<'a, R: Recorder> Walk<'a, R> {
    pub(super) fn new(
        headers: &'a Headers,
        memory: Memory<'a>,
        tables: &'a Tables,
        shared: &'a Shared,
        lessee: &'a mut Lessee,
        recorder: &'a mut R,
    ) -> Self {
        let key = &headers.key;
        let (protocol, src, dst) = match headers.error {
            None => (key.protocol, (key.src, key.src_port()), (key.dst, key.dst_port())),
            Some((src, dst)) if src.is_v4() => (protocol::ICMP, (src, 0), (dst, 0)),
            Some((src, dst)) => (protocol::ICMPV6, (src, 0), (dst, 0)),
        };
        Self {
            tables,
            memory,
            shared,
            lessee,
            recorder,
            headers,
            protocol,
            src,
            dst,
            icmp: headers.selector,
            related: headers.error.is_some(),
            mtu: VPC_MTU,
            growth: 0,
            translators: arrayvec::ArrayVec::new(),
            passed: Passage::new(),
            undecided: ArrayVec::new(),
            egress_only: false,
            endpoint: false,
            is_plain: false,
            is_local: false,
            way: Way::default(),
        }
    }

    /// Walks from `link` to the exit link.
    pub(super) fn run(&mut self, link: LinkId) -> Judged<LinkId> {
        let exit = match self.tables.place(link) {
            Some(Place::Eni(eni)) => self.leave_eni(eni)?,
            Some(Place::Host(host)) => self.leave_host(host)?,
            Some(Place::Service(service, vpc)) => self.leave_service(service, vpc)?,
            None => return Err(Denial::silent(Reason::LinkDown)),
        };
        self.decide()?;
        Ok(exit)
    }

    /// What the walk has come to, for a packet with these headers that leaves by `exit`.
    pub(super) fn translation(&self, exit: LinkId) -> Translation {
        self.translated(self.headers.key, Key::new(exit, self.protocol, self.dst, self.src))
    }

    /// The translation of packets of `original` that are answered by those of `reply`.
    pub(super) fn translated(&self, original: Key, reply: Key) -> Translation {
        Translation {
            original,
            reply,
            mtu: self.path_mtu(),
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
        if let Some(&service) = eni.services.get(&self.dst.0) {
            return self.leave_to_service(id, service);
        }
        if let Role::Instance(hyperplane) = eni.role {
            return self.leave_by_hyperplane(hyperplane);
        }
        if is_service(self.dst.0) {
            return self
                .deny((Component::Subnet(eni.subnet), HopStage::Route, None), Reason::NoPath);
        }
        self.groups(id, HopStage::SecurityGroupEgress)?;
        self.route(eni.subnet)
    }

    fn leave_host(&mut self, id: HostId) -> Judged<LinkId> {
        let id = self.neighbour(id).unwrap_or(id);
        let at = (Component::InternetHost(id), HopStage::Gateway, None);
        let public = self.tables.internet.get(&self.dst.0);
        let translator = self.tables.translator.as_ref().filter(|it| {
            public.is_none() && self.dst.0.to_v4().is_some_and(|dst| it.answers_to(dst))
        });
        // Any router of the internet may tell a translator of an error, even under an address that it
        // should not have (RFC 7915 s. 4.1).
        let is_told = self.related && translator.is_some_and(|it| it.strict);
        if !is_told && !self.tables.host(id).addresses.contains(&self.src.0) {
            return self.deny(at, Reason::Spoofed);
        }
        if let Some(judged) = self.leave_service_host() {
            return judged;
        }
        self.fit(INTERNET_MTU);
        match (public, translator) {
            (Some(&public), _) => self.internet(public),
            (None, Some(translator)) => self.enter_translator(translator, at),
            (None, None) => self.deny(at, Reason::NotPublic),
        }
    }

    /// The host at the same link that has the source's address.
    fn neighbour(&self, id: HostId) -> Option<HostId> {
        match self.tables.internet.get(&self.src.0) {
            Some(&Public::Host(other)) => {
                Some(other).filter(|it| self.tables.host(*it).link == self.tables.host(id).link)
            }
            _ => None,
        }
    }

    pub(super) fn route(&mut self, subnet: SubnetId) -> Judged<LinkId> {
        let here = self.tables.subnet(subnet);
        let at = (Component::Subnet(subnet), HopStage::Route, None);
        if self.dst.0.is_multicast() {
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
            Target::EgressOnlyInternetGateway(gateway) => {
                self.pass(at, HopVerdict::Forward);
                self.acl(subnet, HopStage::NetworkAclEgress)?;
                self.leave_egress_only(here.vpc, gateway)
            }
            Target::VpcEndpoint(endpoint) => {
                self.pass(at, HopVerdict::Forward);
                self.leave_by_endpoint(subnet, endpoint)
            }
            Target::NatGateway(gateway) => {
                if self.translators.contains(&gateway) || self.translators.is_full() {
                    return self.deny(at, Reason::ForwardingLoop);
                }
                self.pass(at, HopVerdict::Forward);
                self.expect_lease(gateway);
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

    #[inline(always)]
    pub(super) fn acl(&mut self, subnet: SubnetId, stage: HopStage) -> Judged<()> {
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
                let eni = self.tables.eni(id);
                if let Role::Hyperplane(_) = eni.role {
                    return self.enter_by_hyperplane(id);
                }
                self.groups(id, HopStage::SecurityGroupIngress)?;
                if let Role::VpcEndpoint(endpoint) = eni.role {
                    return self.enter_endpoint(endpoint, id);
                }
                self.pass((Component::Eni(id), HopStage::Deliver, None), HopVerdict::Allow);
                Ok(eni.link)
            }
            Holder::NatGateway(id) => self.translate_inbound(id),
        }
    }

    /// Out through an internet gateway: the private source becomes its public address.
    fn leave_vpc(&mut self, id: InternetGatewayId) -> Judged<LinkId> {
        if !self.src.0.is_v4() {
            return self.leave_untranslated(id);
        }
        let component = Component::InternetGateway(id);
        if self.is_plain {
            return self.leave((component, HopStage::Gateway, None));
        }
        let Some(&public) = self.tables.internet_gateway(id).public.get(&self.src.0) else {
            return self.deny((component, HopStage::Gateway, None), Reason::NoPublicAddress);
        };
        self.src.0 = public;
        self.fit(INTERNET_MTU);
        self.pass((component, HopStage::Translate, None), HopVerdict::Translate);
        let turns_back = self.dst.0 == public && !self.tables.choices.igw_hairpin;
        match self.tables.internet.get(&self.dst.0) {
            Some(&public) if !turns_back => self.internet(public),
            _ => self.deny((component, HopStage::Gateway, None), Reason::NoPath),
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
            Public::Ipv6 { vpc, gateway } => self.enter_untranslated(vpc, gateway),
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
        self.fit(INTERNET_MTU);
        self.pass((component, HopStage::Translate, None), HopVerdict::Translate);
        self.acl(self.subnet_of(holder), HopStage::NetworkAclIngress)?;
        self.arrive(holder)
    }

    pub(super) fn subnet_of(&self, holder: Holder) -> SubnetId {
        match holder {
            Holder::Eni(id) => self.tables.eni(id).subnet,
            Holder::NatGateway(id) => self.tables.nat_gateway(id).subnet,
        }
    }

    /// What rules select by: see `Selector::ports`.
    fn selector(&self) -> u16 {
        match self.protocol {
            protocol::TCP | protocol::UDP => self.dst.1,
            protocol::ICMP | protocol::ICMPV6 => self.icmp,
            _ => 0,
        }
    }

    /// Keeps track of the gateways that count the packet as received.
    pub(super) fn come_to(&mut self, gateway: NatGatewayId, side: Side) {
        self.way.push(Visit { gateway, side, growth: 0 });
    }

    pub(super) const fn opened(&self, device: Device, holds: Holds) -> Facet {
        Facet { device, last: self.memory.now, holds }
    }

    /// Keeps track of a device. A path with more devices than a flow has facets does not exist: see [`MAX_FACETS`](crate::state::MAX_FACETS).
    pub(super) fn remember(&mut self, passed: Passed) {
        let kept = self.passed.try_push(passed);
        debug_assert!(kept.is_ok(), "more devices on a path than MAX_FACETS");
    }

    pub(super) fn pass(&mut self, (component, stage, rule): At, verdict: HopVerdict) {
        let (src, dst) = (self.src, self.dst);
        self.recorder.hop(Hop { component, stage, rule, verdict, src, dst });
    }

    pub(super) fn deny<T>(&mut self, at: At, reason: Reason) -> Judged<T> {
        self.deny_with(at, reason, Answer::Silence)
    }

    pub(super) fn deny_with<T>(&mut self, at: At, reason: Reason, answer: Answer) -> Judged<T> {
        Err(self.denied(at, reason, answer))
    }

    #[cold]
    fn denied(&mut self, at: At, reason: Reason, answer: Answer) -> Denial {
        self.pass(at, HopVerdict::Deny);
        Denial { reason, component: Some(at.0), answer, meter: MeterId::NONE }
    }
}

pub(super) type At = (Component, HopStage, Option<Rule>);
