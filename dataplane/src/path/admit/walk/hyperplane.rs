//! How does a workload outside a VPC send into it? By a Hyperplane ENI, which many workloads share (AWS "Giving
//! Lambda functions access to resources in an Amazon VPC", "Enabling VPC access for outgoing traffic").
//!
//! The source becomes the private address of the ENI and a port; from there the VPC decides, as for any interface:
//! groups, routes, ACLs; IPv6 stays IPv6. An ENI has 65,000 connections over all destinations, or all its ports to one; what is more
//! goes by another. Nobody gets in, and nobody is told of a connection that was forgotten.

use crate::packet::{Component, EniId, HyperplaneId, LinkId, Reason};
use crate::path::admit::Passed;
use crate::path::admit::record::{HopStage, HopVerdict, Recorder};
use crate::path::admit::walk::{At, Judged, Walk};
use crate::path::recall::begins;
use crate::shared::{Lease, Lender};
use crate::state::{Device, Holds};
use crate::tables::{Holder, NAT_GATEWAY_MTU, Role};
use crate::wire::protocol;

impl<'a, R: Recorder> Walk<'a, R> {
    /// Out of an instance, into the VPC.
    pub(super) fn leave_by_hyperplane(&mut self, id: HyperplaneId) -> Judged<LinkId> {
        let hyperplane = self.tables.hyperplane(id);
        let Some(&first) = hyperplane.enis.first() else {
            let at = (self.tables.component_at(self.headers.key.link), HopStage::Gateway, None);
            return self.deny(at, Reason::NoPath);
        };
        let at = (Component::Eni(first), HopStage::Translate, None);
        if hyperplane.ready.is_some_and(|ready| !ready.is_due(self.memory.now)) {
            return self.deny(at, Reason::HyperplanePending);
        }
        self.fit(NAT_GATEWAY_MTU);
        if !self.is_translatable() {
            return self.deny(at, Reason::ProtocolRestricted);
        }
        let known = hyperplane.enis.iter().find_map(|&eni| Some((eni, self.mapping_at(eni)?)));
        let (eni, mapped) = match known {
            Some((eni, (place, lease))) => {
                self.remember(Passed::Kept(place));
                (eni, (lease.address(), lease.port()))
            }
            None if self.related => return self.deny(at, Reason::IcmpUnmatched),
            None => self.open_by_hyperplane(id, at)?,
        };
        self.src = (mapped.0, if self.related { 0 } else { mapped.1 });
        self.pass((Component::Eni(eni), HopStage::Translate, None), HopVerdict::Translate);
        self.groups(eni, HopStage::SecurityGroupEgress)?;
        self.route(self.tables.eni(eni).subnet)
    }

    /// In from the VPC, to the instance that has asked.
    pub(super) fn enter_by_hyperplane(&mut self, id: EniId) -> Judged<LinkId> {
        let at = (Component::Eni(id), HopStage::Translate, None);
        let mapped = self.mapping_at(id);
        let inside = mapped.and_then(|(place, _)| Some((place, self.memory.inside(place)?)));
        let Some((place, (addr, port))) = inside else {
            let unmatched = self.related.then_some(Reason::IcmpUnmatched);
            return self.deny(at, unmatched.unwrap_or(Reason::NatUnsolicited));
        };
        self.groups(id, HopStage::SecurityGroupIngress)?;
        self.fit(NAT_GATEWAY_MTU);
        self.remember(Passed::Kept(place));
        self.dst = (addr, if self.related { 0 } else { port });
        self.pass(at, HopVerdict::Translate);
        let provider = self.tables.provider.map(|vpc| self.tables.vpc(vpc));
        let Some(&Holder::Eni(instance)) = provider.and_then(|vpc| vpc.holders.get(&addr)) else {
            return self.deny(at, Reason::NoPath);
        };
        self.pass((Component::Eni(instance), HopStage::Deliver, None), HopVerdict::Allow);
        Ok(self.tables.eni(instance).link)
    }

    /// The live mapping that a Hyperplane ENI has for the flow.
    fn mapping_at(&self, eni: EniId) -> Option<(usize, &'a Lease)> {
        let (place, facet) = self.memory.facet(Device::Hyperplane(eni))?;
        Some((place, facet.lease()?))
    }

    /// A mapping of the first ENI that has room for the connection and a port towards its destination.
    fn open_by_hyperplane(
        &mut self,
        id: HyperplaneId,
        at: At,
    ) -> Judged<(EniId, (crate::packet::Addr, u16))> {
        if self.protocol == protocol::TCP && !begins(self.headers.tcp_flags) {
            return self.deny(at, Reason::HyperplaneIdle);
        }
        let hyperplane = self.tables.hyperplane(id);
        if let (Some(reclaim), Some(&first)) = (hyperplane.reclaim, hyperplane.enis.first()) {
            let is_used = hyperplane.enis.iter().any(|&eni| self.shared.tracked.count(eni) > 0);
            if !self.shared.uses.open(first, is_used, reclaim) {
                return self.deny(at, Reason::HyperplanePending);
            }
        }
        for &eni in &hyperplane.enis {
            if self.shared.tracked.count(eni) >= hyperplane.connections {
                continue;
            }
            let mut addresses = self.tables.eni(eni).addresses.iter();
            let is_v4 = self.src.0.is_v4();
            let Some(&address) = addresses.find(|it| it.is_v4() == is_v4) else { continue };
            let remote = self.remote(Lender::Hyperplane(eni), address);
            let Some(lease) = self.lessee.lease(&self.shared.ports, remote, hyperplane.ports)
            else {
                continue;
            };
            let mapped = (address, lease.port());
            let facet = self.opened(Device::Hyperplane(eni), Holds::Lease(lease));
            self.remember(Passed::Opened(facet));
            return Ok((eni, mapped));
        }
        self.deny(at, Reason::NatPortAllocation)
    }

    /// The most connections that an ENI tracks at once.
    pub(super) fn allowance(&self, id: EniId) -> Option<u32> {
        match self.tables.eni(id).role {
            Role::Hyperplane(hyperplane) => Some(self.tables.hyperplane(hyperplane).connections),
            Role::Interface | Role::Instance(_) | Role::VpcEndpoint(_) => {
                self.tables.choices.tracking_connections
            }
        }
    }
}
