//! How does a packet change its family at a NAT gateway (AWS "DNS64 and NAT64", RFC 6146)?
//!
//! Every NAT gateway translates between IPv6 and what lies under `64:ff9b::/96`: on its inside the
//! destination says which IPv4 address is meant, and what comes back is from that prefix. From there on
//! a packet is one of the other family, and is judged by the rules of that.

use std::net::Ipv4Addr;

use crate::packet::{Addr, Component, NatGatewayId, Reason};
use crate::path::admit::record::{HopStage, Recorder};
use crate::path::admit::walk::{Judged, Walk};
use crate::wire::protocol;
use crate::wire::rfc7915;

impl<R: Recorder> Walk<'_, R> {
    /// From the inside: what is of IPv6 becomes a packet of IPv4, but for its source.
    pub(super) fn become_v4(&mut self, id: NatGatewayId) -> Judged<()> {
        let Ok(inside) = self.dst.0.try_into() else { return Ok(()) };
        let at = (Component::NatGateway(id), HopStage::Gateway, None);
        let Some(remote) = self.tables.to_v4(inside) else {
            return self.deny(at, Reason::NoPath);
        };
        if is_nobody(remote) {
            return self.deny(at, Reason::Nat64Destination);
        }
        self.dst.0 = remote.into();
        if self.protocol == protocol::ICMPV6 {
            self.protocol = protocol::ICMP;
            self.icmp = rfc7915::type_to_v4(self.icmp);
        }
        self.growth += GROWTH;
        self.way.shrink();
        Ok(())
    }

    /// From the outside, to an inside of IPv6: what is of IPv4 becomes a packet of IPv6, from `remote`, but
    /// for its destination.
    pub(super) fn become_v6(&mut self, remote: Addr) {
        self.src.0 = remote;
        if self.protocol == protocol::ICMP {
            self.protocol = protocol::ICMPV6;
            self.icmp = rfc7915::type_to_v6(self.icmp);
        }
        self.growth -= GROWTH;
        self.way.grow();
    }

    /// Takes account of a part of the way that packets of `mtu` bytes pass, of the family that the
    /// packet has there.
    pub(super) fn fit(&mut self, mtu: u16) {
        self.mtu = self.mtu.min(mtu.saturating_add_signed(self.growth));
    }

    /// The MTU of the way, in bytes of the family of the packet as it came; of IPv4 where it changes.
    pub(super) fn path_mtu(&self) -> u16 {
        self.mtu.saturating_add_signed(-self.growth.max(0))
    }
}

/// What an IPv6 header is longer by than one of IPv4, in bytes.
const GROWTH: i16 = 20;

/// Whether an address is of nobody that a packet can be sent to: this network, loopback, link-local,
/// multicast and what is reserved behind it (RFC 6890).
fn is_nobody(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    first == 0 || first >= 224 || address.is_loopback() || address.is_link_local()
}
