//! What each device on a conversation's way remembers of it: touched when a flow opens, changes its
//! phase, is judged again, or ends. What every packet needs is in [`Hot`].

use std::sync::Arc;

use smallvec::SmallVec;

use crate::packet::{Direction, EgressOnlyInternetGatewayId, EniId, NatGatewayId};
use crate::shared::{Binding, Entry, Lease};
use crate::state::Phase;
use crate::state::counted::CARRIED;
use crate::state::hot::Hot;
use crate::state::wheel::Node;
use crate::tables::Timers;
use crate::time::{Span, Tick};

/// The most devices that remember one flow: a Hyperplane ENI's translation and tracking at either end, two NAT gateways
/// between, and the translation of an interface endpoint.
pub const MAX_FACETS: usize = 6;

/// What is needed only when something about the flow changes.
#[derive(Debug, Default)]
pub struct Cold {
    /// In path order.
    pub(crate) facets: Facets,
    /// When the wheel comes to it.
    pub(super) node: Node,
    /// `Hot::deadline` as it was when the facets' own clocks were last brought up to date; a hit
    /// since then has moved it.
    synced: Tick,
    /// What was carried over of each counter of a direction: packets, bytes.
    carried: [[u32; 2]; 2],
}

const _: () = assert!(size_of::<Cold>() == 88, "what a flow takes beside its hot part");

/// The memories of one flow, in path order: seldom more than two, and never more than
/// [`MAX_FACETS`].
pub type Facets = SmallVec<[Facet; 2]>;

/// One device's own memory of a flow, with its own clock and its own end.
#[derive(Debug)]
pub struct Facet {
    /// Whose memory.
    pub device: Device,
    /// When it last let a packet of the flow pass.
    pub last: Tick,
    /// What it holds for the flow.
    pub holds: Holds,
}

/// What a device holds for a flow, until it forgets it.
#[derive(Debug)]
pub enum Holds {
    /// Nothing: an ENI whose groups let the flow pass untracked, or a gateway that only knows it.
    Nothing,
    /// An ENI: what counts the flow among those that it tracks.
    Entry(Entry),
    /// A translating device: a port.
    Lease(Lease),
    /// A translator of the RFCs: a port that other flows of its host may go by, too.
    Binding(Arc<Binding>),
}

impl Facet {
    /// The port that a translating device holds for the flow.
    #[must_use]
    pub fn lease(&self) -> Option<&Lease> {
        match &self.holds {
            Holds::Lease(lease) => Some(lease),
            Holds::Binding(binding) => Some(binding.lease()),
            Holds::Nothing | Holds::Entry(_) => None,
        }
    }

    pub(crate) const fn lease_mut(&mut self) -> Option<&mut Lease> {
        match &mut self.holds {
            Holds::Lease(lease) => Some(lease),
            Holds::Nothing | Holds::Entry(_) | Holds::Binding(_) => None,
        }
    }

    /// Whether an ENI counts the flow among those that it tracks.
    #[must_use]
    pub const fn is_tracked(&self) -> bool {
        matches!(self.holds, Holds::Entry(_))
    }
}

/// A device that remembers flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// Tracking at a network interface (AWS "Security group connection tracking").
    Eni(EniId),
    /// A mapping at a NAT gateway (AWS "NAT gateway basics").
    NatGateway(NatGatewayId),
    /// A mapping at a Hyperplane ENI (AWS "Giving Lambda functions access to resources in an Amazon VPC").
    Hyperplane(EniId),
    /// An egress-only internet gateway (AWS "Enable outbound IPv6 traffic using an egress-only
    /// internet gateway").
    EgressOnlyInternetGateway(EgressOnlyInternetGatewayId),
    /// A gateway endpoint, which knows whom answers of its service are for (AWS "Gateway endpoints").
    GatewayEndpoint(NatGatewayId),
    /// A mapping at an interface endpoint (AWS "Access an AWS service using an interface VPC endpoint").
    InterfaceEndpoint(NatGatewayId),
}

impl Device {
    /// How long it remembers a silent flow in this phase.
    #[must_use]
    pub fn idle(self, phase: Phase, timers: &Timers) -> Span {
        match self {
            Self::NatGateway(_) | Self::Hyperplane(_) => match phase {
                Phase::Closed => timers.nat_port_rest,
                Phase::Request | Phase::Response | Phase::SecondRequest | Phase::Stream => {
                    timers.nat_udp_idle
                }
                Phase::Icmp => timers.nat_icmp_idle,
                Phase::SynSent | Phase::SynReceived | Phase::OriginalFin | Phase::ReplyFin => {
                    timers.nat_tcp_transitory.unwrap_or(timers.nat_tcp_idle)
                }
                _ => timers.nat_tcp_idle,
            },
            Self::EgressOnlyInternetGateway(_) => timers.egress_only_idle,
            Self::InterfaceEndpoint(_) => match phase {
                Phase::Closed => timers.nat_port_rest,
                _ => timers.interface_endpoint_idle,
            },
            // It is a route: what it knows lasts as long as what the network interfaces before it know.
            Self::GatewayEndpoint(_) | Self::Eni(_) => {
                let own = match self {
                    Self::Eni(id) => timers.enis.get(id),
                    _ => None,
                };
                match phase {
                    Phase::Established => own
                        .and_then(|own| own.tcp_established)
                        .unwrap_or(timers.tracking_tcp_established),
                    Phase::SynSent
                    | Phase::SynReceived
                    | Phase::OriginalFin
                    | Phase::ReplyFin
                    | Phase::Closed => timers.tracking_tcp_transitory,
                    Phase::Stream => {
                        own.and_then(|own| own.udp_stream).unwrap_or(timers.tracking_udp_stream)
                    }
                    Phase::Request | Phase::Response | Phase::SecondRequest => {
                        own.and_then(|own| own.udp).unwrap_or(timers.tracking_udp)
                    }
                    Phase::Icmp => timers.tracking_icmp,
                    Phase::Other => timers.tracking_other,
                }
            }
        }
    }
}

impl Cold {
    /// Brings each facet's own clock up to date with what hits have done to the flow's.
    pub(crate) fn sync(&mut self, hot: &Hot) {
        if hot.deadline() != self.synced {
            let last = hot.deadline().before(hot.idle());
            for facet in &mut self.facets {
                facet.last = last;
            }
            self.synced = hot.deadline();
        }
    }

    /// Works out the flow's clock from its facets', after they or the phase have changed.
    pub(crate) fn settle(&mut self, hot: &mut Hot, timers: &Timers, now: Tick) {
        let phase = hot.phase();
        let ends = self.facets.iter().map(|facet| {
            let idle = facet.device.idle(phase, timers);
            (idle, facet.last.after(idle))
        });
        let first =
            ends.reduce(|(idle, end), (other, another)| (idle.min(other), end.earlier(another)));
        let alone = (timers.forwarding, now.after(timers.forwarding));
        let (idle, deadline) = first.unwrap_or(alone);
        hot.set_clock(idle, deadline);
        self.synced = deadline;
    }

    /// What the devices on the flow's way remember, in path order. Their clocks are as of the last
    /// time that something about the flow changed; a hit since then shows in [`Hot::deadline`].
    #[must_use]
    pub fn facets(&self) -> &[Facet] {
        &self.facets
    }

    /// Keeps what was carried over of the counter of one direction.
    pub(crate) fn take_over(&mut self, direction: Direction, more: [u32; 2]) {
        for (carried, more) in self.carried[direction as usize].iter_mut().zip(more) {
            *carried += more;
        }
    }

    /// Each device's memory, and when it forgets if nothing comes.
    pub fn memories<'a>(
        &'a self,
        hot: &'a Hot,
        timers: &'a Timers,
    ) -> impl Iterator<Item = (&'a Facet, Tick)> {
        let hit = hot.deadline() != self.synced;
        self.facets.iter().map(move |facet| {
            let last = if hit { hot.deadline().before(hot.idle()) } else { facet.last };
            (facet, last.after(facet.device.idle(hot.phase(), timers)))
        })
    }

    /// Packets and bytes of one direction.
    #[must_use]
    pub fn counts(&self, hot: &Hot, direction: Direction) -> (u64, u64) {
        let [packets, bytes] = self.carried[direction as usize].map(|it| u64::from(it) << CARRIED);
        let [low_packets, low_bytes] = hot.counted(direction).map(u64::from);
        (packets + low_packets, bytes + low_bytes)
    }
}
