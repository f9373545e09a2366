//! Route tables: the longest prefix decides (AWS "Route table concepts").

use std::net::IpAddr;

use ipnet::IpNet;
use prefix_trie::joint::JointPrefixMap;

use crate::packet::{Addr, EgressOnlyInternetGatewayId, InternetGatewayId, NatGatewayId};

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
#[derive(Clone, Debug, Default)]
pub struct RouteTable(JointPrefixMap<IpNet, Target>);

impl RouteTable {
    /// A table of these routes; the last of equal destinations holds.
    #[must_use]
    pub fn new(routes: impl IntoIterator<Item = (IpNet, Target)>) -> Self {
        Self(routes.into_iter().map(|(net, target)| (net.trunc(), target)).collect())
    }

    /// The longest prefix that covers `addr`, and where it leads.
    #[must_use]
    pub fn longest(&self, addr: Addr) -> Option<(IpNet, Target)> {
        let host = IpNet::from(IpAddr::from(addr));
        self.0.get_lpm(&host).map(|(net, &target)| (net, target))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

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
            let table = RouteTable::new(routes.clone());
            let addr = Ipv4Addr::new(10, 0, low[0], low[1]);
            let longest = routes.iter().filter(|(net, _)| net.contains(&IpAddr::V4(addr))).map(|(net, _)| net.prefix_len()).max();
            prop_assert_eq!(table.longest(Addr::v4(addr)).map(|(net, _)| net.prefix_len()), longest);
        }
    }
}
