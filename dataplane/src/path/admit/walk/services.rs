//! What does an ENI reach without leaving its subnet? The services at its link.
//!
//! Neither security groups nor network ACLs nor routes are asked (AWS "Control traffic to your AWS resources using
//! security groups", "Control subnet traffic with network access control lists"), nothing is translated, and nobody
//! remembers: each packet is judged by itself.

use crate::packet::{Component, EniId, LinkId, LinkService, Reason, VpcId};
use crate::path::admit::record::{HopStage, HopVerdict, Recorder};
use crate::path::admit::walk::{Judged, Walk};
use crate::tables::Holder;
use crate::wire::protocol;

impl<R: Recorder> Walk<'_, R> {
    /// From an ENI to a service.
    pub(super) fn leave_to_service(
        &mut self,
        id: EniId,
        (service, vpc): (LinkService, VpcId),
    ) -> Judged<LinkId> {
        let eni = self.tables.eni(id);
        let at = (Component::Service(service, vpc), HopStage::Deliver, None);
        // What an interface sends for others could not be answered.
        if !eni.addresses.contains(&self.src.0) {
            return self.deny(at, Reason::SourceDestCheck);
        }
        if !self.related && !matches!(self.protocol, protocol::TCP | protocol::UDP) {
            return self.deny(at, Reason::ProtocolRestricted);
        }
        if let Some(limit) = self.tables.choices.link_local_packets
            && !self.shared.allowances.take(id, self.headers.packets, limit)
        {
            return self.deny(at, Reason::LinkLocalAllowanceExceeded);
        }
        let Some(&Some(link)) = self.tables.vpc(vpc).services.get(service as usize) else {
            return self.deny(at, Reason::NoPath);
        };
        self.is_local = true;
        self.pass(at, HopVerdict::Allow);
        Ok(link)
    }

    /// From a service of a VPC to the ENI that has asked it.
    pub(super) fn leave_service(&mut self, service: LinkService, vpc: VpcId) -> Judged<LinkId> {
        let at = (Component::Service(service, vpc), HopStage::Gateway, None);
        // Workloads outside the VPC ask its resolver too.
        let mut known = [Some(vpc), self.tables.provider].into_iter().flatten();
        let holder = known.find_map(|vpc| self.tables.vpc(vpc).holders.get(&self.dst.0));
        let Some(&Holder::Eni(id)) = holder else { return self.deny(at, Reason::NoPath) };
        self.is_local = true;
        self.pass(at, HopVerdict::Forward);
        self.pass((Component::Eni(id), HopStage::Deliver, None), HopVerdict::Allow);
        Ok(self.tables.eni(id).link)
    }
}
