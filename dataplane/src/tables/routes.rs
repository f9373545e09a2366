//! Route tables: the longest prefix decides (AWS "Route table concepts").

use ipnet::IpNet;

use crate::packet::{Addr, EgressOnlyInternetGatewayId, InternetGatewayId, NatGatewayId};
use crate::tables::ranges::AddrRanges;

/// Where a route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Within the VPC.
    Local,
    /// An internet gateway.
    InternetGateway(InternetGatewayId),
    /// An egress-only internet gateway; of destinations in IPv6.
    EgressOnlyInternetGateway(EgressOnlyInternetGatewayId),
    /// A NAT gateway.
    NatGateway(NatGatewayId),
    /// A gateway endpoint; of the prefix list of its service.
    VpcEndpoint(NatGatewayId),
    /// Nowhere: the target is gone.
    Blackhole,
}

/// The routes of one table.
pub type RouteTable = ByPrefix<Target>;

/// Things that are found by the longest prefix.
#[derive(Clone, Debug)]
pub struct ByPrefix<T> {
    /// Longer prefixes first.
    things: Vec<(IpNet, T)>,
    /// The place in `things` of the longest prefix that covers an address; behind all where none
    /// does.
    longest: AddrRanges,
}

impl<T: Copy> ByPrefix<T> {
    /// A table of these; the last of equal destinations holds.
    #[must_use]
    pub fn new(things: impl IntoIterator<Item = (IpNet, T)>) -> Self {
        let mut things: Vec<_> =
            things.into_iter().map(|(net, thing)| (net.trunc(), thing)).collect();
        things.reverse();
        things.sort_by_key(|(net, _)| std::cmp::Reverse(net.prefix_len()));
        let nets = things.iter().map(|&(net, _)| net).enumerate();
        let longest = AddrRanges::build(nets, |covering| {
            let place = covering.first().unwrap_or(things.len());
            u32::try_from(place).expect("fewer things than memory has room for")
        });
        Self { things, longest }
    }

    /// The longest prefix that covers `addr`, and what is there.
    #[must_use]
    pub fn longest(&self, addr: Addr) -> Option<(IpNet, T)> {
        self.things.get(self.longest.at(addr) as usize).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{IpAddr, Ipv4Addr};

    proptest! {
        #[test]
        fn agrees_with_a_scan(
            routes in prop::collection::btree_map((any::<u8>(), 20_u8..=32), 0_u16..9, 0..30),
            low in any::<[u8; 2]>(),
        ) {
            let routes: Vec<(IpNet, Target)> = routes
                .into_iter()
                .map(|((third, len), gateway)| {
                    let net = IpNet::new(Ipv4Addr::new(10, 0, third, 128).into(), len).unwrap();
                    (net.trunc(), Target::NatGateway(NatGatewayId(gateway)))
                })
                .collect();
            // Of equal destinations the last holds.
            let before = routes.iter().map(|&(net, _)| (net, Target::Blackhole));
            let table = RouteTable::new(before.chain(routes.clone()));
            let addr = Ipv4Addr::new(10, 0, low[0], low[1]);
            let covering = routes.iter().filter(|(net, _)| net.contains(&IpAddr::V4(addr)));
            let longest = covering.max_by_key(|(net, _)| net.prefix_len()).copied();
            prop_assert_eq!(table.longest(Addr::v4(addr)), longest);
        }
    }
}
