//! What may stand in security groups and network ACLs?

use ipnet::IpNet;

use super::addresses::PeerText;
use super::declare::record;
use super::values::{Action, PortRange};

record! {
    /// A security group.
    SecurityGroup = "a security group" {
        /// `sg-…`; derived from the name by default.
        optional id: String,
        /// Its VPC.
        required vpc: String,
        /// What may come in; nothing by default.
        optional ingress: Vec<GroupIngressRule>,
        /// What may go out; everything by default.
        optional egress: Vec<GroupEgressRule>,
    }
}

record! {
    /// A security group's rule for what comes in.
    GroupIngressRule = "a security group's ingress rule" {
        /// `tcp`, `udp`, `icmp`, `icmpv6`, `all` or a number.
        required protocol: String,
        /// Destination ports; required for TCP and UDP.
        optional ports: Option<PortRange>,
        /// Type of ICMP or ICMPv6; any by default.
        optional r#type: Option<u8>,
        /// Code within the type; any by default.
        optional code: u8,
        /// Whence: a block, a group or a prefix list.
        required source: PeerText,
    }
}

record! {
    /// A security group's rule for what goes out.
    GroupEgressRule = "a security group's egress rule" {
        /// `tcp`, `udp`, `icmp`, `icmpv6`, `all` or a number.
        required protocol: String,
        /// Destination ports; required for TCP and UDP.
        optional ports: Option<PortRange>,
        /// Type of ICMP or ICMPv6; any by default.
        optional r#type: Option<u8>,
        /// Code within the type; any by default.
        optional code: u8,
        /// Whither: a block, a group or a prefix list.
        required destination: PeerText,
    }
}

record! {
    /// A network ACL.
    NetworkAcl = "a network ACL" {
        /// `acl-…`; derived from the name by default.
        optional id: String,
        /// Its VPC.
        required vpc: String,
        /// On entering a subnet; denies all by default.
        optional ingress: Vec<AclIngressRule>,
        /// On leaving a subnet; denies all by default.
        optional egress: Vec<AclEgressRule>,
    }
}

record! {
    /// A network ACL's rule for what enters a subnet.
    AclIngressRule = "a network ACL's ingress rule" {
        /// Its number, 1 to 32766.
        required rule: u16,
        /// `allow` or `deny`.
        required action: Action,
        /// `tcp`, `udp`, `icmp`, `icmpv6`, `all` or a number.
        required protocol: String,
        /// Destination ports; required for TCP and UDP.
        optional ports: Option<PortRange>,
        /// Type of ICMP or ICMPv6; any by default.
        optional r#type: Option<u8>,
        /// Code within the type; any by default.
        optional code: u8,
        /// Whence.
        required source: IpNet,
    }
}

record! {
    /// A network ACL's rule for what leaves a subnet.
    AclEgressRule = "a network ACL's egress rule" {
        /// Its number, 1 to 32766.
        required rule: u16,
        /// `allow` or `deny`.
        required action: Action,
        /// `tcp`, `udp`, `icmp`, `icmpv6`, `all` or a number.
        required protocol: String,
        /// Destination ports; required for TCP and UDP.
        optional ports: Option<PortRange>,
        /// Type of ICMP or ICMPv6; any by default.
        optional r#type: Option<u8>,
        /// Code within the type; any by default.
        optional code: u8,
        /// Whither.
        required destination: IpNet,
    }
}
