//! How does IPv6 come and go between a VPC and the internet?
//!
//! Under its own addresses (AWS "Internet gateways"). An egress-only internet gateway remembers who has
//! sent to whom, and lets in the answers alone (AWS "Enable outbound IPv6 traffic using an egress-only
//! internet gateway"). Where a VPC has both kinds, which one a packet from the internet meets is
//! undocumented: here it is the one that the answer would take, so that nobody gets in past an
//! egress-only one.

use crate::packet::{
    Component, Direction, EgressOnlyInternetGatewayId, InternetGatewayId, LinkId, Reason, VpcId,
};
use crate::path::admit::Passed;
use crate::path::admit::record::{HopStage, HopVerdict, Recorder};
use crate::path::admit::walk::{At, Judged, Walk};
use crate::state::{Device, Holds};
use crate::tables::{Gateway, INTERNET_MTU, Public, Target};

impl<R: Recorder> Walk<'_, R> {
    /// Out through an internet gateway.
    pub(super) fn leave_untranslated(&mut self, id: InternetGatewayId) -> Judged<LinkId> {
        let at = (Component::InternetGateway(id), HopStage::Gateway, None);
        self.is_from(self.tables.internet_gateway(id).vpc, at)?;
        self.leave(at)
    }

    /// Out of `vpc` through an egress-only internet gateway.
    pub(super) fn leave_egress_only(
        &mut self,
        vpc: VpcId,
        id: EgressOnlyInternetGatewayId,
    ) -> Judged<LinkId> {
        let at = (Component::EgressOnlyInternetGateway(id), HopStage::Gateway, None);
        self.is_from(vpc, at)?;
        let device = Device::EgressOnlyInternetGateway(id);
        let passed = match self.memory.facet(device) {
            Some((place, _)) => Passed::Kept(place),
            // An error begins nothing, nor does an answer to what came in by another way.
            None if self.related => return self.deny(at, Reason::IcmpUnmatched),
            None if self.memory.direction == Direction::Reply => {
                return self.deny(at, Reason::EgressOnly);
            }
            None => Passed::Opened(self.opened(device, Holds::Nothing)),
        };
        self.remember(passed);
        self.egress_only = true;
        self.leave(at)
    }

    /// In to an address of `vpc`; `gateway` is the way where the routes of its subnet name none.
    pub(super) fn enter_untranslated(&mut self, vpc: VpcId, gateway: Gateway) -> Judged<LinkId> {
        let Some(&holder) = self.tables.vpc(vpc).holders.get(&self.dst.0) else {
            let component = match gateway {
                Gateway::Internet(id) => Component::InternetGateway(id),
                Gateway::EgressOnly(id) => Component::EgressOnlyInternetGateway(id),
            };
            return self.deny((component, HopStage::Gateway, None), Reason::NotPublic);
        };
        let subnet = self.subnet_of(holder);
        let table = self.tables.route_table(self.tables.subnet(subnet).route_table);
        let back = table.longest(self.src.0).map(|(_, target)| target);
        match (back, gateway) {
            (Some(Target::EgressOnlyInternetGateway(id)), _) | (_, Gateway::EgressOnly(id)) => {
                self.enter_egress_only(id)?;
            }
            (_, Gateway::Internet(id)) => {
                let at = (Component::InternetGateway(id), HopStage::Gateway, None);
                self.pass(at, HopVerdict::Forward);
            }
        }
        self.fit(INTERNET_MTU);
        self.acl(subnet, HopStage::NetworkAclIngress)?;
        self.arrive(holder)
    }

    /// Through an egress-only internet gateway, which knows whom it has let out.
    fn enter_egress_only(&mut self, id: EgressOnlyInternetGatewayId) -> Judged<()> {
        let at = (Component::EgressOnlyInternetGateway(id), HopStage::Gateway, None);
        let Some((place, _)) = self.memory.facet(Device::EgressOnlyInternetGateway(id)) else {
            let unmatched = self.related.then_some(Reason::IcmpUnmatched);
            return self.deny(at, unmatched.unwrap_or(Reason::EgressOnly));
        };
        self.remember(Passed::Kept(place));
        self.egress_only = true;
        self.pass(at, HopVerdict::Forward);
        Ok(())
    }

    /// A gateway lets out what comes from an address of its VPC that the internet knows.
    fn is_from(&mut self, vpc: VpcId, at: At) -> Judged<()> {
        match self.tables.internet.get(&self.src.0) {
            Some(Public::Ipv6 { vpc: of, .. }) if *of == vpc => Ok(()),
            _ => self.deny(at, Reason::NoPublicAddress),
        }
    }

    /// Past the gateway, on the internet.
    pub(super) fn leave(&mut self, at: At) -> Judged<LinkId> {
        self.fit(INTERNET_MTU);
        self.pass(at, HopVerdict::Forward);
        match self.tables.internet.get(&self.dst.0) {
            Some(&public) => self.internet(public),
            None => self.deny(at, Reason::NoPath),
        }
    }
}
