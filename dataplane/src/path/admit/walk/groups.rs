//! May a packet pass an ENI's security groups, and is its flow tracked there?
//!
//! AWS "Amazon EC2 security group connection tracking": a TCP or UDP flow is untracked if a rule for
//! everywhere allows it in the direction in which it began, and one allows all ports to and from
//! everywhere in the other; unless it is tracked automatically, as what passes a NAT gateway, an
//! egress-only internet gateway or a VPC endpoint is. Only
//! the end of a walk tells that, so what is undecided until then is kept in [`Walk::undecided`].

use crate::packet::{Addr, Component, Direction, EniId, GroupId, Reason, SubnetId};
use crate::path::admit::Passed;
use crate::path::admit::record::{HopStage, HopVerdict, Recorder, Rule};
use crate::path::admit::walk::{At, Judged, Walk};
use crate::path::recall::begins;
use crate::state::{Device, Facet, Holds};
use crate::tables::{Allowed, Eni, Holder, IcmpErrors, PeerOf, Role};
use crate::wire::protocol;

/// A passage of an ENI whose flow is untracked there unless it turns out to be tracked automatically.
pub(super) struct Undecided {
    eni: EniId,
    component: Component,
    stage: HopStage,
    /// Its place in [`Walk::passed`].
    place: usize,
    /// Whether the flow has been tracked until now.
    tracked: bool,
}

impl<'a, R: Recorder> Walk<'a, R> {
    /// The security groups of an ENI: what is tracked passes, anything else needs a rule.
    pub(super) fn groups(&mut self, id: EniId, stage: HopStage) -> Judged<()> {
        let eni = self.tables.eni(id);
        // One group speaks for itself; several speak as the ENI. Seldom anybody asks.
        let component = || match eni.groups.as_slice() {
            &[group] => Component::SecurityGroup(group),
            _ => Component::Eni(id),
        };
        let (rules, peer) = match stage {
            HopStage::SecurityGroupEgress => (&eni.egress, self.dst.0),
            _ => (&eni.ingress, self.src.0),
        };
        let groups = if rules.names_groups() { self.groups_of(eni.subnet, peer) } else { &[] };
        let peer = PeerOf { addr: peer, groups };
        let allowed = rules.allow(self.protocol, self.selector(), peer);
        let known = self.memory.facet(Device::Eni(id));
        let tracked = known.is_some_and(|(_, facet)| facet.is_tracked());
        let untracked = self.is_untracked(eni, stage);
        if self.related {
            return self.error(component(), stage, allowed, tracked, untracked);
        }
        let at = match allowed {
            _ if tracked => (component(), stage, Some(Rule::Tracked)),
            Some(allowed) => rule_of(allowed, stage),
            None => return self.deny((component(), stage, None), Reason::GroupMismatch),
        };
        // The answers to what was let pass untracked go on so until the other side has something
        // tracked: else they would track what has no rule any more.
        let answers = self.memory.direction == Direction::Reply && !self.is_opening();
        let place = self.passed.len();
        let (passed, is_decided) = match known {
            Some((facet, _)) if tracked && !untracked => (Passed::Kept(facet), true),
            Some((facet, _)) if untracked || answers => (Passed::Kept(facet), false),
            None if untracked => (Passed::Opened(self.unremembered(id)), false),
            _ => (Passed::Opened(self.track(id, || (component(), stage, None))?), true),
        };
        self.remember(passed);
        if !is_decided {
            let undecided = Undecided { eni: id, component: component(), stage, place, tracked };
            // A packet leaves one ENI and arrives at one.
            let kept = self.undecided.try_push(undecided);
            debug_assert!(kept.is_ok(), "more than two ENIs on a path");
        }
        self.pass(at, HopVerdict::Allow);
        Ok(())
    }

    /// Tracks what passes a gateway that has it so, and forgets what is untracked.
    pub(super) fn decide(&mut self) -> Judged<()> {
        let is_automatic = self.egress_only || self.endpoint || !self.translators.is_empty();
        for undecided in std::mem::take(&mut self.undecided) {
            let Undecided { eni, component, stage, place, tracked } = undecided;
            let facet = match (is_automatic, tracked) {
                (true, false) => self.track(eni, || (component, stage, None))?,
                (false, true) => self.unremembered(eni),
                _ => continue,
            };
            if let Some(passed) = self.passed.get_mut(place) {
                *passed = Passed::Opened(facet);
            }
        }
        Ok(())
    }

    /// Begins to track a flow with this packet.
    fn track(&mut self, id: EniId, at: impl FnOnce() -> At) -> Judged<Facet> {
        let choices = &self.tables.choices;
        let is_mid_flow = self.protocol == protocol::TCP && !self.is_opening();
        if is_mid_flow && !choices.tracking_tcp_pickup {
            return self.deny(at(), Reason::NotPickedUp);
        }
        let Some(entry) = self.shared.tracked.enter(self.lessee.worker, id, self.allowance(id))
        else {
            return self.deny(at(), Reason::AllowanceExceeded);
        };
        Ok(self.opened(Device::Eni(id), Holds::Entry(entry)))
    }

    /// A facet that says of a flow only that it passes untracked.
    fn unremembered(&self, id: EniId) -> Facet {
        self.opened(Device::Eni(id), Holds::Nothing)
    }

    /// An ICMP error, of which a device on the way knows the flow or not.
    fn error(
        &mut self,
        component: Component,
        stage: HopStage,
        allowed: Option<Allowed>,
        tracked: bool,
        untracked: bool,
    ) -> Judged<()> {
        let is_automatic = self.memory.is_automatic();
        let passes = match self.tables.choices.tracking_icmp_errors {
            IcmpErrors::All => tracked,
            IcmpErrors::Documented => tracked && is_automatic,
        };
        let at = match allowed {
            _ if passes => (component, stage, Some(Rule::Tracked)),
            // Nobody's error is for nobody, whatever the rules say, unless it is translated without state.
            _ if !self.memory.knows() && !self.tables.translates_without_state() => {
                return self.deny((component, stage, None), Reason::IcmpUnmatched);
            }
            _ if untracked && !is_automatic => (component, stage, None),
            Some(allowed) => rule_of(allowed, stage),
            None if tracked => return self.deny((component, stage, None), Reason::GroupMismatch),
            None => return self.deny((component, stage, None), Reason::IcmpUnmatched),
        };
        self.pass(at, HopVerdict::Allow);
        Ok(())
    }

    /// Whether the rules let the flow pass the ENI untracked, if nothing has it tracked.
    fn is_untracked(&self, eni: &Eni, stage: HopStage) -> bool {
        let key = &self.headers.key;
        // What goes by a Hyperplane ENI is always tracked there.
        let is_shared = matches!(eni.role, Role::Hyperplane(_));
        if is_shared || !matches!(key.protocol, protocol::TCP | protocol::UDP) {
            return false;
        }
        let is_egress = stage == HopStage::SecurityGroupEgress;
        let (own, remote, peer) = if is_egress {
            (key.src_port(), key.dst_port(), self.dst.0)
        } else {
            (key.dst_port(), key.src_port(), self.src.0)
        };
        let began_here = is_egress == (self.memory.direction == Direction::Original);
        let (there, back, port) = if began_here {
            (&eni.egress, &eni.ingress, remote)
        } else {
            (&eni.ingress, &eni.egress, own)
        };
        back.is_whole(key.protocol, peer) && {
            let allowed = there.allow(key.protocol, port, PeerOf { addr: peer, groups: &[] });
            allowed.is_some_and(|allowed| allowed.everywhere)
        }
    }

    /// Whether this is a segment that begins a connection.
    fn is_opening(&self) -> bool {
        self.protocol == protocol::TCP && begins(self.headers.tcp_flags)
    }

    /// The groups of the ENI that has a private address in the VPC of `subnet` (AWS "Security group
    /// rules": references match private addresses alone).
    fn groups_of(&self, subnet: SubnetId, addr: Addr) -> &'a [GroupId] {
        let tables = self.tables;
        match tables.vpc(tables.subnet(subnet).vpc).holders.get(&addr) {
            Some(&Holder::Eni(eni)) => &tables.eni(eni).groups,
            _ => &[],
        }
    }
}

/// The hop at which a rule has allowed a packet.
fn rule_of(allowed: Allowed, stage: HopStage) -> At {
    let group = Component::SecurityGroup(allowed.rule.group);
    (group, stage, Some(Rule::Group(allowed.rule.place)))
}
