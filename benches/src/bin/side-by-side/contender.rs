//! Who is compared.

/// What stands between client and server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    /// `copy-floor`: the least that forwarding between two TUN devices can cost.
    Floor { gso: bool, spin: bool },
    /// The same, which makes IPv6 of IPv4 and back.
    Nat64Floor,
    /// The kernel: veth pairs, nftables' masquerade, a stateful filter.
    Kernel,
    /// An interface of a topology, on its way to a host on the internet.
    Hypertun { topology: Topology, workers: u8 },
    /// User-mode networking for containers: ends connections, and opens them anew by sockets.
    Slirp4netns,
    /// The same, younger.
    Pasta,
    /// A stateless NAT64 on a TUN device, with a pool of addresses.
    Tayga,
}

/// Where hypertun's client sits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topology {
    /// In a private subnet, behind a NAT gateway.
    NatGateway,
    /// In a public subnet: security groups, and the internet gateway's fixed translation.
    PublicSubnet,
    /// In a subnet of IPv6 alone; a NAT gateway leads to IPv4.
    Ipv6Only,
}

/// Those that forward at all costs, and what they are measured against, first.
pub(crate) const CONTENDERS: [Contender; 13] = [
    FLOOR,
    Contender::Floor { gso: false, spin: false },
    SPINNING,
    KERNEL,
    NAT_GATEWAY,
    Contender::Hypertun { topology: Topology::NatGateway, workers: 2 },
    Contender::Hypertun { topology: Topology::PublicSubnet, workers: 1 },
    Contender::Hypertun { topology: Topology::PublicSubnet, workers: 2 },
    SLIRP4NETNS,
    Contender::Pasta,
    NAT64_FLOOR,
    NAT64,
    TAYGA,
];

/// What the others are measured against.
pub(crate) const FLOOR: Contender = Contender::Floor { gso: true, spin: false };
/// The same for round trips.
pub(crate) const SPINNING: Contender = Contender::Floor { gso: true, spin: true };
/// What the machine has without any of us.
pub(crate) const KERNEL: Contender = Contender::Kernel;
/// What targets are about.
pub(crate) const NAT_GATEWAY: Contender =
    Contender::Hypertun { topology: Topology::NatGateway, workers: 1 };
/// What translations between families are measured against.
pub(crate) const NAT64_FLOOR: Contender = Contender::Nat64Floor;
/// What their targets are about.
pub(crate) const NAT64: Contender =
    Contender::Hypertun { topology: Topology::Ipv6Only, workers: 1 };
/// What many use for it.
pub(crate) const TAYGA: Contender = Contender::Tayga;
/// What many containers use today.
pub(crate) const SLIRP4NETNS: Contender = Contender::Slirp4netns;

impl Contender {
    pub(crate) fn name(self) -> String {
        match self {
            Self::Floor { gso: true, spin: false } => "copy floor".to_owned(),
            Self::Floor { gso: true, spin: true } => "copy floor, spinning".to_owned(),
            Self::Floor { gso: false, .. } => "copy floor, no offloads".to_owned(),
            Self::Nat64Floor => "copy floor, NAT64".to_owned(),
            Self::Kernel => "kernel, nft masquerade".to_owned(),
            Self::Hypertun { topology, workers } => {
                let topology = match topology {
                    Topology::NatGateway => "NAT gateway",
                    Topology::PublicSubnet => "no NAT",
                    Topology::Ipv6Only => "NAT64",
                };
                let plural = if workers == 1 { "" } else { "s" };
                format!("hypertun, {topology}, {workers} worker{plural}")
            }
            Self::Slirp4netns => "slirp4netns".to_owned(),
            Self::Pasta => "pasta".to_owned(),
            Self::Tayga => "TAYGA, NAT64".to_owned(),
        }
    }

    /// Whether its client has IPv6, and its server IPv4.
    pub(crate) const fn translates(self) -> bool {
        matches!(
            self,
            Self::Nat64Floor | Self::Tayga | Self::Hypertun { topology: Topology::Ipv6Only, .. }
        )
    }

    /// The server's address, as the client knows it.
    pub(crate) const fn server(self) -> &'static str {
        match self {
            // By the well-known prefix TAYGA takes addresses for documentation for private ones
            // (RFC 6052 s. 3.1).
            Self::Tayga => "2001:db8:64::203.0.113.90",
            _ if self.translates() => "64:ff9b::203.0.113.90",
            _ => "203.0.113.90",
        }
    }
}
