//! How long do devices remember, and what do they do where AWS leaves it open?

use crate::tables::Column;
use crate::time::Span;

/// How long devices remember a silent flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timers {
    /// A mapping of TCP at a NAT gateway (AWS "Troubleshoot NAT gateways": 350 s).
    pub nat_tcp_idle: Span,
    /// The same while the connection opens or closes, where that makes a difference.
    pub nat_tcp_transitory: Option<Span>,
    /// A mapping of UDP at a NAT gateway (undocumented).
    pub nat_udp_idle: Span,
    /// A mapping of ICMP at a NAT gateway (undocumented).
    pub nat_icmp_idle: Span,
    /// A port whose connection is over (derived from AWS's 900 connections a second to one
    /// destination: 55,000 / 900 = 61 s).
    pub nat_port_rest: Span,
    /// A flow at an egress-only internet gateway (undocumented).
    pub egress_only_idle: Span,
    /// A flow at an interface endpoint (as at other devices of AWS Hyperplane: 350 s).
    pub interface_endpoint_idle: Span,
    /// Tracking of an established TCP connection (AWS "Security group connection tracking": five
    /// days).
    pub tracking_tcp_established: Span,
    /// Tracking of a TCP connection that opens or closes (undocumented; as Linux does).
    pub tracking_tcp_transitory: Span,
    /// Tracking of UDP with one transaction (AWS, same page: 30 s).
    pub tracking_udp: Span,
    /// Tracking of UDP with more than one transaction (AWS, same page: 180 s).
    pub tracking_udp_stream: Span,
    /// Tracking of ICMP (undocumented; as Linux does).
    pub tracking_icmp: Span,
    /// Tracking of other protocols (AWS, same page: 600 s).
    pub tracking_other: Span,
    /// A flow that no device remembers: nothing of AWS's, only how long the emulator keeps what it
    /// worked out.
    pub forwarding: Span,
    /// What single ENIs set for themselves, by [`EniId`](crate::packet::EniId); the others go by the above.
    pub enis: Column<ConnectionTracking>,
}

/// How long an ENI tracks a silent flow, where it sets that itself (AWS "Amazon EC2 security group
/// connection tracking", "Configurable timeouts").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionTracking {
    /// In the place of [`Timers::tracking_tcp_established`].
    pub tcp_established: Option<Span>,
    /// In the place of [`Timers::tracking_udp`].
    pub udp: Option<Span>,
    /// In the place of [`Timers::tracking_udp_stream`].
    pub udp_stream: Option<Span>,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            nat_tcp_idle: Span::seconds(350),
            nat_tcp_transitory: None,
            nat_udp_idle: Span::seconds(350),
            nat_icmp_idle: Span::seconds(350),
            nat_port_rest: Span::seconds(60),
            egress_only_idle: Span::seconds(350),
            interface_endpoint_idle: Span::seconds(350),
            tracking_tcp_established: Span::seconds(432_000),
            tracking_tcp_transitory: Span::seconds(120),
            tracking_udp: Span::seconds(30),
            tracking_udp_stream: Span::seconds(180),
            tracking_icmp: Span::seconds(30),
            tracking_other: Span::seconds(600),
            forwarding: Span::seconds(60),
            enis: Column::default(),
        }
    }
}

/// What AWS leaves open, or does differently on different platforms; each is a key of a topology's
/// `profile`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choices {
    /// Whether a NAT gateway resets an inside segment of a TCP connection that it does not know.
    pub nat_resets_unmapped: bool,
    /// Whether a NAT gateway without a port left resets the connection that wants one.
    pub nat_resets_exhausted: bool,
    /// Whether new connections take the address of a NAT gateway that has most ports left, rather than
    /// any.
    pub nat_prefers_least_used: bool,
    /// Whether a RST from the outside ends a mapping.
    pub nat_outside_reset_ends: bool,
    /// Whether packets from the outside restart the clock of a mapping.
    pub nat_outside_refreshes: bool,
    /// The largest MSS that a NAT gateway lets a SYN announce.
    pub nat_mss_clamp: u16,
    /// Whether a NAT gateway tells who sends packets larger than its MTU with DF.
    pub nat_tells_mtu: bool,
    /// Whether NAT gateways count as dropped what comes to them unsolicited: scans of the internet would
    /// look like trouble.
    pub nat_counts_unsolicited: bool,
    /// Whether an interface reaches itself by its own public address.
    pub igw_hairpin: bool,
    /// Whether a TCP segment other than SYN begins to be tracked, where a rule allows it; else it is
    /// dropped.
    pub tracking_tcp_pickup: bool,
    /// Which ICMP errors about a flow pass the groups without a rule of their own.
    pub tracking_icmp_errors: IcmpErrors,
    /// The most connections that an ENI tracks at once; `None` for no limit.
    pub tracking_connections: Option<u32>,
    /// The most packets a second of real time that an ENI sends to the services at its link; `None` for no
    /// limit.
    pub link_local_packets: Option<u32>,
}

/// Which ICMP errors about a live flow pass security groups without a rule that allows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpErrors {
    /// Those about any flow that passes.
    All,
    /// Those about flows that are untracked, or tracked whatever the rules say (AWS "Network MTU
    /// for your EC2 instance", 2025).
    Documented,
}

impl Default for Choices {
    fn default() -> Self {
        Self {
            nat_resets_unmapped: true,
            nat_resets_exhausted: false,
            nat_prefers_least_used: false,
            nat_outside_reset_ends: true,
            nat_outside_refreshes: true,
            // 8500 bytes without the headers of IPv4 and TCP.
            nat_mss_clamp: 8460,
            nat_tells_mtu: true,
            nat_counts_unsolicited: false,
            igw_hairpin: true,
            tracking_tcp_pickup: true,
            tracking_icmp_errors: IcmpErrors::All,
            tracking_connections: None,
            link_local_packets: None,
        }
    }
}
