//! What does a topology file say, as written?
//!
//! Each record below is one mapping of the file; its fields are the keys. Attribute names are those of the AWS
//! provider for Terraform where one exists. Nothing is checked here but the shape: unknown, duplicate and missing
//! keys, and values that are not of their kind. Names are still names.

mod addresses;
mod declare;
mod dns;
mod nat64;
mod outline;
mod read;
mod rules;
mod schema;
mod tree;
mod values;
mod workloads;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::diagnostic::Faults;
use declare::record;
use read::Read;

pub(crate) use addresses::names_prefix_list;
pub use addresses::{PeerText, PublicIp};
pub use dns::{
    DhcpOptions, MetadataOptions, NameServer, PrivateHostedZone, RecordWord, Switch, TokensWord,
    ZoneRecord,
};
pub use nat64::{Nat64, Nat64Mapping, Nat64Pool, Nat64Protocol, Nat64Rules, Nat64Static};
pub use outline::{Change, Outline};
pub use read::{At, Entries};
pub(crate) use read::{closest, shortened};
pub use rules::{
    AclEgressRule, AclIngressRule, GroupEgressRule, GroupIngressRule, NetworkAcl, SecurityGroup,
};
pub use schema::schema;
pub use values::{
    Action, Connectivity, EndpointKindWord, IcmpErrorsWord, NatGatewayState, Platform, PortRange,
    ServiceWord, Uplink,
};
pub use workloads::{
    AppRunnerService, AppRunnerVpcConnector, EgressWord, IpAddressWord, LambdaFunction, VpcConfig,
};

/// Reads `text` and notes what is wrong with its shape; none if there is nothing to look at.
pub fn read(text: &str, faults: &mut Faults) -> Option<(Topology, Outline)> {
    let root = tree::parse(text, faults)?;
    Some((Topology::read(&root, faults)?, Outline::of(&root)))
}

record! {
    /// The whole file.
    Topology = "a topology" {
        /// The AWS region; `us-east-1` by default.
        optional region: String,
        /// The VPCs.
        entries vpcs: Vpc,
        /// The internet gateways.
        entries internet_gateways: InternetGateway,
        /// The egress-only internet gateways.
        entries egress_only_internet_gateways: EgressOnlyInternetGateway,
        /// The subnets.
        entries subnets: Subnet,
        /// The route tables beside each VPC's `main`.
        entries route_tables: RouteTable,
        /// The NAT gateways.
        entries nat_gateways: NatGateway,
        /// The security groups beside each VPC's `default`.
        entries security_groups: SecurityGroup,
        /// The network ACLs beside each VPC's `default`.
        entries network_acls: NetworkAcl,
        /// The DHCP option sets beside Amazon's own.
        entries dhcp_options: DhcpOptions,
        /// The private hosted zones.
        entries private_hosted_zones: PrivateHostedZone,
        /// The VPC connectors of App Runner.
        entries app_runner_vpc_connectors: AppRunnerVpcConnector,
        /// The App Runner services.
        entries app_runner_services: AppRunnerService,
        /// The Lambda functions.
        entries lambda_functions: LambdaFunction,
        /// The prefix lists: blocks by name.
        entries prefix_lists: Vec<At<IpNet>>,
        /// The network interfaces.
        entries network_interfaces: NetworkInterface,
        /// The ways to services of AWS that lead past internet gateways.
        entries vpc_endpoints: VpcEndpoint,
        /// The simulated internet.
        optional internet: Internet,
        /// What AWS leaves open or varies by platform.
        optional profile: Profile,
    }
    later "ecs_services"
        "load_balancers" "vpc_peering_connections" "flow_logs" "faults"
}

record! {
    /// A VPC.
    Vpc = "a VPC" {
        /// `vpc-…`; derived from the name by default.
        optional id: String,
        /// The primary block.
        required cidr_block: Ipv4Net,
        /// Further blocks.
        optional secondary_cidr_blocks: Vec<At<Ipv4Net>>,
        /// Its block of IPv6; none by default.
        optional ipv6_cidr_block: Option<Ipv6Net>,
        /// Whether the VPC resolver answers; true by default.
        optional enable_dns_support: bool,
        /// Whether public addresses get DNS names; false by default.
        optional enable_dns_hostnames: bool,
        /// A declared DHCP option set, or `none`; Amazon's own by default.
        optional dhcp_options: String,
        /// A declared group to use for `default`.
        optional default_security_group: String,
        /// A declared ACL to use for `default`.
        optional default_network_acl: String,
        /// A declared table to use for `main`.
        optional main_route_table: String,
    }
}

record! {
    /// An internet gateway.
    InternetGateway = "an internet gateway" {
        /// `igw-…`; derived from the name by default.
        optional id: String,
        /// The VPC that it is attached to.
        required vpc: String,
    }
}

record! {
    /// An egress-only internet gateway: IPv6, from the inside out.
    EgressOnlyInternetGateway = "an egress-only internet gateway" {
        /// `eigw-…`; derived from the name by default.
        optional id: String,
        /// The VPC that it is attached to.
        required vpc: String,
    }
}

record! {
    /// A subnet.
    Subnet = "a subnet" {
        /// `subnet-…`; derived from the name by default.
        optional id: String,
        /// Its VPC.
        required vpc: String,
        /// The region's first by default.
        optional availability_zone: String,
        /// Its block; every subnet has one but those of IPv6 alone.
        optional cidr_block: Option<Ipv4Net>,
        /// Its block of IPv6; none by default.
        optional ipv6_cidr_block: Option<Ipv6Net>,
        /// Whether it is of IPv6 alone; false by default.
        optional ipv6_native: bool,
        /// Whether its interfaces have an address of IPv6 unless they say otherwise; false by default, true where it is of
        /// IPv6 alone.
        optional assign_ipv6_address_on_creation: bool,
        /// `main` by default.
        optional route_table: String,
        /// `default` by default.
        optional network_acl: String,
        /// Whether its interfaces have public addresses unless they say otherwise; false by default.
        optional map_public_ip_on_launch: bool,
        /// Whether the VPC resolver answers this subnet by DNS64; false by default.
        optional enable_dns64: bool,
    }
}

record! {
    /// A route table.
    RouteTable = "a route table" {
        /// `rtb-…`; derived from the name by default.
        optional id: String,
        /// Its VPC.
        required vpc: String,
        /// The routes beside the local ones; none by default.
        optional routes: Vec<Route>,
    }
}

record! {
    /// A route.
    Route = "a route" {
        /// Where to.
        required destination: IpNet,
        /// A gateway's name, `kind/name`, or `blackhole`.
        required target: String,
    }
}

record! {
    /// A NAT gateway.
    NatGateway = "a NAT gateway" {
        /// `nat-…`; derived from the name by default.
        optional id: String,
        /// The subnet that it stands in.
        required subnet: String,
        /// `public` by default.
        optional connectivity_type: Connectivity,
        /// The first free address of the subnet by default.
        optional private_ip: Ipv4Addr,
        /// Up to eight, the primary first, for a public one; the next free of 198.51.100.0/24 by default.
        optional public_ips: Vec<At<Ipv4Addr>>,
        /// The private addresses behind its further public ones, or those of a private one; the next free by default.
        optional secondary_private_ip_addresses: Vec<At<Ipv4Addr>>,
        /// How many further addresses a private one has, where they are not given.
        optional secondary_private_ip_address_count: u8,
        /// Seconds, 1 to 4000, that connections go on at a further address which `apply` takes away; 350 by default.
        optional max_drain_duration_seconds: u32,
        /// `available` by default.
        optional state: NatGatewayState,
    }
    later "availability_mode"
}

record! {
    /// A network interface.
    NetworkInterface = "a network interface" {
        /// `eni-…`; derived from the name by default.
        optional id: String,
        /// Its subnet.
        required subnet: String,
        /// The lowest free address of the subnet by default.
        optional private_ip: Ipv4Addr,
        /// None by default, or the lowest free address of the subnet where that assigns one.
        optional ipv6_addresses: Vec<At<Ipv6Addr>>,
        /// The VPC's `default` by default.
        optional security_groups: Vec<At<String>>,
        /// None by default, or what the subnet says.
        optional public_ip: PublicIp,
        /// True by default.
        optional source_dest_check: bool,
        /// How long its groups track silent flows; what the platform does by default.
        optional connection_tracking_specification: ConnectionTracking,
        /// The instance metadata service.
        optional metadata_options: MetadataOptions,
    }
}

record! {
    /// How long security groups track a silent flow at one network interface, in seconds.
    ConnectionTracking = "a connection tracking specification" {
        /// An established TCP connection: 60 to 432000.
        optional tcp_established_timeout: u32,
        /// UDP in one direction, or one request and response: 30 to 60.
        optional udp_timeout: u32,
        /// UDP of more than one request and response: 60 to 180.
        optional udp_stream_timeout: u32,
    }
}

record! {
    /// A VPC endpoint: a way to a service of AWS.
    VpcEndpoint = "a VPC endpoint" {
        /// `vpce-…`; derived from the name by default.
        optional id: String,
        /// Its VPC.
        required vpc: String,
        /// `Gateway` by default.
        optional vpc_endpoint_type: EndpointKindWord,
        /// Such as `s3`, or `com.amazonaws.us-east-1.s3`.
        required service: String,
        /// Of a gateway endpoint: the tables that route to it; none by default.
        optional route_tables: Vec<At<String>>,
        /// Of an interface endpoint: where it has network interfaces, at most one subnet a zone.
        optional subnets: Vec<At<String>>,
        /// Of its network interfaces; the VPC's `default` by default.
        optional security_groups: Vec<At<String>>,
        /// Whether the service's public names lead to an interface endpoint in its VPC; false by default.
        optional private_dns_enabled: bool,
    }
    later "ip_address_type" "policy" "dns_options"
}

record! {
    /// The simulated internet.
    Internet = "the internet" {
        /// `none` by default.
        optional uplink: Uplink,
        /// Its hosts.
        entries hosts: InternetHost,
    }
}

record! {
    /// A host of the simulated internet.
    InternetHost = "an internet host" {
        /// At least one.
        required addresses: Vec<At<IpAddr>>,
        /// Built-in services; without this key it has a namespace of its own.
        optional serves: Vec<At<ServiceWord>>,
    }
}

record! {
    /// What AWS leaves open or varies by platform. Timeouts are in seconds.
    Profile = "the profile" {
        /// What the instances run on; `nitro` by default.
        optional platform: Platform,
        /// How long a NAT gateway keeps the mapping of a silent UDP flow; 350 by default.
        optional nat_udp_idle_timeout: u32,
        /// How long a NAT gateway keeps the mapping of an ICMP echo; 350 by default.
        optional nat_icmp_idle_timeout: u32,
        /// How long the port of a TCP connection that has ended is not given out again; 60 by default.
        optional nat_port_rest: u32,
        /// The ports that NAT gateways give out; 1024-65535 by default.
        optional nat_ports: PortRange,
        /// The most connections at once from one address of a NAT gateway to one destination; 55000 by default.
        optional nat_connections_per_destination: u32,
        /// Whether an inside TCP segment of a connection that a NAT gateway never saw is answered by a RST; true by default.
        optional nat_resets_unmapped_tcp: bool,
        /// Whether a TCP connection that gets no port is answered by a RST; false by default.
        optional nat_resets_exhausted_tcp: bool,
        /// Whether new connections take the address with most ports left, rather than any; false by default.
        optional nat_prefers_least_used_address: bool,
        /// Whether a RST from the outside ends a mapping; true by default.
        optional nat_outside_reset_ends_mapping: bool,
        /// Whether packets from the outside restart a mapping's clock; true by default.
        optional nat_outside_refreshes_mapping: bool,
        /// Bytes that a SYN through a NAT gateway announces at most; 8460 by default.
        optional nat_mss_clamp: u16,
        /// Whether a NAT gateway tells who sends packets above its MTU; true by default.
        optional nat_path_mtu_discovery: bool,
        /// Whether `PacketsDropCount` counts what comes to a NAT gateway unsolicited; false by default.
        optional nat_unsolicited_counts_as_drop: bool,
        /// How long an egress-only internet gateway remembers a silent flow; 350 by default.
        optional eigw_idle_timeout: u32,
        /// Whether an interface reaches itself by its own public address; true by default.
        optional igw_hairpin: bool,
        /// How long a TCP connection that opens or closes is tracked; 120 by default.
        optional tracking_tcp_transitory_timeout: u32,
        /// How long an ICMP echo is tracked; 30 by default.
        optional tracking_icmp_timeout: u32,
        /// Whether a TCP segment other than SYN begins to be tracked where a rule allows it; true by default.
        optional tracking_tcp_pickup: bool,
        /// Which ICMP errors about a live flow need no rule; `all` by default.
        optional tracking_icmp_errors: IcmpErrorsWord,
        /// The most connections that an interface tracks at once; no limit by default.
        optional tracking_connections: u32,
        /// The most packets a second that an interface sends to the resolver, the metadata service and Time Sync; no limit
        /// by default.
        optional link_local_packets_per_second: u32,
        /// Whether a VPC connector may not have subnets that lead to an internet gateway; false by default.
        optional apprunner_refuses_public_subnets: bool,
        /// Availability zones where App Runner has no VPC connectors; none by default.
        optional apprunner_unsupported_zones: Vec<At<String>>,
        /// Whether Hyperplane ENIs of App Runner that nobody uses for 14 days are taken away, as Lambda's are; false by default.
        optional apprunner_idle_reclaim: bool,
        /// How long it takes to make a Hyperplane ENI that `apply` adds, 120 to 300; 180 by default.
        optional hyperplane_eni_creation: u32,
        /// Makes every NAT gateway a plain translator of the RFCs, for conformance suites; AWS's NAT64 by default.
        optional nat64: Nat64,
    }
}
