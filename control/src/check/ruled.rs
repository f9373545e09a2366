//! What a right topology says of who may send to whom: security groups, network ACLs, prefix lists.

use ipnet::IpNet;

use crate::check::{PrefixListIndex, SecurityGroupIndex, VpcIndex};

/// A security group: stateful rules of what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityGroup {
    /// Its key in the file, or `default`.
    pub name: String,
    /// `sg-` and 17 hexadecimal digits, unless the file sets another.
    pub id: String,
    /// The VPC that it belongs to.
    pub vpc: VpcIndex,
    /// What may come in; a rule's index is its place in the file's list.
    pub ingress: Vec<GroupRule>,
    /// What may go out; a rule's index is its place in the file's list.
    pub egress: Vec<GroupRule>,
    /// Whether it is the `default` group that a VPC has undeclared.
    pub implicit: bool,
}

/// One rule of a security group: what it matches is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupRule {
    /// Which packets, by protocol and ports.
    pub traffic: Traffic,
    /// From or to whom.
    pub peer: Peer,
}

/// The other side of a security group's rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// Addresses of a block; canonical.
    Cidr(IpNet),
    /// Private addresses of the interfaces that bear this group; of the same VPC.
    Group(SecurityGroupIndex),
    /// Addresses of any entry of a prefix list.
    PrefixList(PrefixListIndex),
}

/// Which packets a rule speaks of, by protocol and what that protocol offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Traffic {
    /// Every protocol.
    All,
    /// TCP to these destination ports.
    Tcp(Ports),
    /// UDP to these destination ports.
    Udp(Ports),
    /// ICMP.
    Icmp {
        /// The ICMP type; none: any.
        icmp_type: Option<u8>,
        /// The ICMP code, set only with a type; none: any.
        icmp_code: Option<u8>,
    },
    /// ICMPv6.
    Icmpv6 {
        /// The type; none: any.
        icmp_type: Option<u8>,
        /// The code, set only with a type; none: any.
        icmp_code: Option<u8>,
    },
    /// A protocol by its number (never 1, 6, 17 or 58), whatever it carries.
    Other(u8),
}

/// A range of transport ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ports {
    /// The lowest port.
    pub first: u16,
    /// The highest port, included; never below `first`.
    pub last: u16,
}

/// A network ACL: stateless rules at a subnet's border. What no rule matches is denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkAcl {
    /// Its key in the file, or `default`.
    pub name: String,
    /// `acl-` and 17 hexadecimal digits, unless the file sets another.
    pub id: String,
    /// The VPC that it belongs to.
    pub vpc: VpcIndex,
    /// On entering the subnet; ascending by number, no number twice.
    pub ingress: Vec<AclRule>,
    /// On leaving the subnet; ascending by number, no number twice.
    pub egress: Vec<AclRule>,
    /// Whether it is the `default` ACL that a VPC has undeclared.
    pub implicit: bool,
}

/// One numbered rule of a network ACL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AclRule {
    /// 1 to 32766; the lowest that matches decides.
    pub number: u16,
    /// What becomes of a packet that it matches.
    pub action: AclAction,
    /// Which packets, by protocol and ports.
    pub traffic: Traffic,
    /// Source (ingress) or destination (egress); canonical.
    pub cidr: IpNet,
}

/// What a network ACL's rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AclAction {
    /// Lets the packet pass.
    Allow,
    /// Drops the packet without an answer.
    Deny,
}

/// A customer-managed prefix list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrefixList {
    /// Its key in the file.
    pub name: String,
    /// `pl-` and 17 hexadecimal digits, unless the file sets another.
    pub id: String,
    /// Its blocks in file order; canonical, none twice, all of one family.
    pub entries: Vec<IpNet>,
}
