//! What a walk tells: nothing on the live path, every hop to `explain` and `trace`.

use ipnet::IpNet;

use crate::packet::{Addr, Component};

/// Listens to a walk.
pub trait Recorder {
    /// One hop was judged.
    fn hop(&mut self, hop: Hop);
}

/// The live path listens to nothing, at no cost.
impl Recorder for () {
    fn hop(&mut self, _: Hop) {}
}

impl Recorder for Vec<Hop> {
    fn hop(&mut self, hop: Hop) {
        self.push(hop);
    }
}

/// One check or change on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Where.
    pub component: Component,
    /// Which check.
    pub stage: HopStage,
    /// The rule that decided, if one did.
    pub rule: Option<Rule>,
    /// What it decided.
    pub verdict: HopVerdict,
    /// The packet's source and its port as they are at this hop; behind it, where it translates.
    pub src: (Addr, u16),
    /// Destination and port, likewise.
    pub dst: (Addr, u16),
}

/// The checks, in AWS's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HopStage {
    /// Source/destination check of an ENI.
    SourceDestCheck,
    /// Security groups, for what the ENI sends.
    SecurityGroupEgress,
    /// Security groups, for what the ENI gets.
    SecurityGroupIngress,
    /// Route table.
    Route,
    /// Network ACL, leaving a subnet.
    NetworkAclEgress,
    /// Network ACL, entering a subnet.
    NetworkAclIngress,
    /// Translation by a gateway.
    Translate,
    /// A gateway's own conditions.
    Gateway,
    /// The end of the way.
    Deliver,
}

impl HopStage {
    /// The word that users see.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::SourceDestCheck => "source-dest-check",
            Self::SecurityGroupEgress => "security-group-egress",
            Self::SecurityGroupIngress => "security-group-ingress",
            Self::Route => "route",
            Self::NetworkAclEgress => "network-acl-egress",
            Self::NetworkAclIngress => "network-acl-ingress",
            Self::Translate => "translate",
            Self::Gateway => "gateway",
            Self::Deliver => "deliver",
        }
    }
}

/// What a hop decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HopVerdict {
    /// Passes a check.
    Allow,
    /// Ends here.
    Deny,
    /// Goes to the next device.
    Forward,
    /// Goes on under another address.
    Translate,
}

impl HopVerdict {
    /// The word that users see.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Forward => "forward",
            Self::Translate => "translate",
        }
    }
}

/// A rule that decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A security group's rule, by its place in its list.
    Group(u16),
    /// An ACL's rule, by its number.
    Acl(u16),
    /// An ACL's last rule, which denies all.
    AclDefault,
    /// A route, by its destination.
    Route(IpNet),
    /// The flow is tracked: no rule was asked.
    Tracked,
}
