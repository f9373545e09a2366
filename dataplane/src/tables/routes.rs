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
    /// Nowhere: the target is gone.
    Blackhole,
}

/// The routes of one table.
#[derive(Clone, Debug)]
pub struct RouteTable {
    /// Longer prefixes first.
    routes: Vec<(IpNet, Target)>,
    /// The place in `routes` of the longest prefix that covers an address; behind all where none
    /// does.
    longest: AddrRanges,
}

impl RouteTable {
    /// A table of these routes; the last of equal destinations holds.
    #[must_use]
    pub fn new(routes: impl IntoIterator<Item = (IpNet, Target)>) -> Self {
        let mut routes: Vec<_> =
            routes.into_iter().map(|(net, target)| (net.trunc(), target)).collect();
        routes.reverse();
        routes.sort_by_key(|(net, _)| std::cmp::Reverse(net.prefix_len()));
        let nets = routes.iter().map(|&(net, _)| net).enumerate();
        let longest = AddrRanges::build(nets, |covering| {
            let place = covering.first().unwrap_or(routes.len());
            u32::try_from(place).expect("fewer routes than memory has room for")
        });
        Self { routes, longest }
    }

    /// The longest prefix that covers `addr`, and where it leads.
    #[must_use]
    pub fn longest(&self, addr: Addr) -> Option<(IpNet, Target)> {
        self.routes.get(self.longest.at(addr) as usize).copied()
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
