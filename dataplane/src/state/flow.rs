//! One conversation: two keys, two precomputed rewrites, and what each device on its way remembers.
//!
//! [`Hot`] is what a packet that belongs to a known flow needs, two cache lines of it. [`Cold`] is
//! the rest, touched when a flow opens, changes its phase, is judged again, or ends.

use std::mem::offset_of;

use smallvec::SmallVec;
use zerocopy::FromZeros;

use crate::packet::{Direction, EgressOnlyInternetGatewayId, EniId, Key, NatGatewayId, Wire};
use crate::shared::{Entry, Lease};
use crate::state::wheel::Node;
use crate::state::{MeterId, Phase};
use crate::tables::Timers;
use crate::time::{Span, Tick};
use crate::wire::checksum::{Delta, Sum};
use crate::wire::protocol;

/// The most devices that remember one flow: tracking at both ends, two translations between.
pub const MAX_FACETS: usize = 4;

/// What every packet of the flow needs: two cache lines, which are fetched at once.
#[derive(Clone, Copy, Debug, FromZeros)]
#[repr(C, align(128))]
pub struct Hot {
    /// The packets of the original direction, as they come in. What leaves is the opposite key
    /// reversed: the reply key is the translation.
    original: Key,
    /// What the header's sum gains, by direction: the translation of the addresses, and hops.
    header: [Delta; 2],
    /// What the sum gains that the transport checksum is of, in the original direction.
    transport: Delta,
    /// MTU of the path, in bytes; of packets of IPv4, where they change their family.
    mtu: u16,
    phase: Phase,
    /// Hops on the path that decrement the time to live.
    pub(crate) ttl_hops: u8,
    /// The NAT gateways on its way.
    pub(crate) meter: MeterId,
    /// The epoch of the tables that the flow was judged under, above a bit for each direction that
    /// was.
    judged: u32,
    /// When the first facet expires, unless a packet comes before.
    deadline: Tick,
    /// The shortest idle time of all facets: what a packet restarts.
    idle: Span,
    /// The packets of the reply direction, as they come in.
    reply: Key,
    packets: [u32; 2],
    bytes: [u64; 2],
}

const _: () = assert!(size_of::<Hot>() == 128, "a flow's hot part is two cache lines");
const _: () = assert!(offset_of!(Hot, reply) == 64, "a key lies in one cache line");

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
    /// How often each of `Hot::packets` has wrapped.
    wraps: [u32; 2],
}

const _: () = assert!(size_of::<Cold>() == 80, "what a flow takes beside its hot part");

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
}

impl Facet {
    /// The port that a translating device holds for the flow.
    #[must_use]
    pub const fn lease(&self) -> Option<&Lease> {
        match &self.holds {
            Holds::Lease(lease) => Some(lease),
            Holds::Nothing | Holds::Entry(_) => None,
        }
    }

    pub(crate) const fn lease_mut(&mut self) -> Option<&mut Lease> {
        match &mut self.holds {
            Holds::Lease(lease) => Some(lease),
            Holds::Nothing | Holds::Entry(_) => None,
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
    /// An egress-only internet gateway (AWS "Enable outbound IPv6 traffic using an egress-only
    /// internet gateway").
    EgressOnlyInternetGateway(EgressOnlyInternetGatewayId),
}

impl Device {
    /// How long it remembers a silent flow in this phase.
    #[must_use]
    pub fn idle(self, phase: Phase, timers: &Timers) -> Span {
        match self {
            Self::NatGateway(_) => match phase {
                Phase::Closed => timers.nat_port_rest,
                Phase::Request | Phase::Response | Phase::SecondRequest | Phase::Stream => {
                    timers.nat_udp_idle
                }
                Phase::Icmp => timers.nat_icmp_idle,
                _ => timers.nat_tcp_idle,
            },
            Self::EgressOnlyInternetGateway(_) => timers.egress_only_idle,
            Self::Eni(id) => {
                let own = timers.enis.get(id);
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

/// What the walk of a first packet found out about the translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// Packets of the original direction, as they come in.
    pub original: Key,
    /// Packets of the reply direction, as they come in.
    pub reply: Key,
    /// MTU of the path, in bytes.
    pub mtu: u16,
    /// Hops that decrement the time to live.
    pub ttl_hops: u8,
}

impl Hot {
    pub(crate) fn new(translation: &Translation, phase: Phase) -> Self {
        let &Translation { original, reply, mtu, ttl_hops } = translation;
        let (addresses, transport) = deltas(&original, &reply);
        let hops = hops_delta(ttl_hops);
        Self {
            original,
            reply,
            header: [addresses.and(hops), addresses.inverse().and(hops)],
            transport,
            mtu,
            phase,
            ttl_hops,
            judged: 0,
            meter: MeterId::NONE,
            deadline: Tick::default(),
            idle: Span::default(),
            packets: [0; 2],
            bytes: [0; 2],
        }
    }

    /// The key of the packets that come in in `direction`.
    #[must_use]
    #[inline]
    pub fn key(&self, direction: Direction) -> &Key {
        match direction {
            Direction::Original => &self.original,
            Direction::Reply => &self.reply,
        }
    }

    /// How far the conversation has come.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// When the flow's first facet expires, unless a packet comes before.
    #[must_use]
    pub const fn deadline(&self) -> Tick {
        self.deadline
    }

    /// What the sum over the IPv4 header of a packet of `direction` gains.
    #[must_use]
    #[inline]
    pub const fn header_delta(&self, direction: Direction) -> Delta {
        match direction {
            Direction::Original => self.header[0],
            Direction::Reply => self.header[1],
        }
    }

    /// What the sum over the addresses of a packet of `direction` gains.
    #[must_use]
    pub fn address_delta(&self, direction: Direction) -> Delta {
        self.header_delta(direction).and(hops_delta(self.ttl_hops).inverse())
    }

    /// What the sum gains that the transport checksum of a packet of `direction` is of.
    #[must_use]
    #[inline]
    pub fn transport_delta(&self, direction: Direction) -> Delta {
        self.transport.inverse_if(direction == Direction::Reply)
    }

    /// Whether its packets change their family on their way.
    #[must_use]
    #[inline]
    pub const fn crosses(&self) -> bool {
        self.original.is_v6() != self.reply.is_v6()
    }

    /// MTU of the path, in bytes of packets of IPv6 or of IPv4.
    #[must_use]
    pub const fn mtu_of(&self, is_v6: bool) -> u16 {
        if is_v6 && self.crosses() { self.mtu.saturating_add(20) } else { self.mtu }
    }

    /// Goes another way from now on, which leads to the same addresses.
    pub(crate) fn reroute(&mut self, mtu: u16, ttl_hops: u8) {
        let hops = hops_delta(ttl_hops).and(hops_delta(self.ttl_hops).inverse());
        self.header = self.header.map(|delta| delta.and(hops));
        (self.mtu, self.ttl_hops) = (mtu, ttl_hops);
    }

    /// Whether a packet may pass on what is known: judged under these tables, nothing expired.
    #[must_use]
    #[inline]
    pub(crate) fn is_fresh(&self, direction: Direction, epoch: u32, now: Tick) -> bool {
        let other = 2 - direction as u32;
        self.judged | other == (epoch << 2 | 3) && !self.deadline.is_due(now)
    }

    /// Restarts the clocks of all facets: a packet has passed them all. A conversation that is over
    /// keeps its end.
    #[inline]
    pub(crate) fn restart(&mut self, now: Tick) {
        if !self.phase.is_closed() {
            self.renew(now);
        }
    }

    /// The same, of a conversation that is known not to be over.
    #[inline(always)]
    pub(crate) fn renew(&mut self, now: Tick) {
        self.deadline = now.after(self.idle);
    }

    /// Counts a packet that goes over a wire as `wire`; `true` when the packet counter has wrapped.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "a packet is at most 65,535 segments")]
    pub(crate) fn count(&mut self, direction: Direction, len: u32, wire: &Wire) -> bool {
        let at = direction as usize;
        let (sum, wrapped) = self.packets[at].overflowing_add(wire.packets as u32);
        self.packets[at] = sum;
        self.bytes[at] += u64::from(len);
        wrapped
    }

    pub(crate) fn judge(&mut self, direction: Direction, epoch: u32) {
        if self.judged >> 2 != epoch << 2 >> 2 {
            self.judged = epoch << 2;
        }
        self.judged |= 1 << direction as u32;
    }

    /// Makes the next packet of either direction be judged again.
    pub(crate) fn doubt(&mut self) {
        self.judged &= !3;
    }

    pub(crate) fn park(&mut self) {
        self.reply = self.original.parked();
        self.header = [hops_delta(self.ttl_hops); 2];
        self.transport = Delta::NONE;
        self.doubt();
    }

    pub(crate) fn enter(&mut self, phase: Phase) {
        self.phase = phase;
    }
}

impl Cold {
    /// The memories of a new flow.
    pub(crate) fn new(facets: Facets) -> Self {
        Self { facets, ..Self::default() }
    }

    /// Brings each facet's own clock up to date with what hits have done to the flow's.
    pub(crate) fn sync(&mut self, hot: &Hot) {
        if hot.deadline != self.synced {
            let last = hot.deadline.before(hot.idle);
            for facet in &mut self.facets {
                facet.last = last;
            }
            self.synced = hot.deadline;
        }
    }

    /// Works out the flow's clock from its facets', after they or the phase have changed.
    pub(crate) fn settle(&mut self, hot: &mut Hot, timers: &Timers, now: Tick) {
        let ends = self.facets.iter().map(|facet| {
            let idle = facet.device.idle(hot.phase, timers);
            (idle, facet.last.after(idle))
        });
        let first =
            ends.reduce(|(idle, end), (other, another)| (idle.min(other), end.earlier(another)));
        let alone = (timers.forwarding, now.after(timers.forwarding));
        (hot.idle, hot.deadline) = first.unwrap_or(alone);
        self.synced = hot.deadline;
    }

    /// What the devices on the flow's way remember, in path order. Their clocks are as of the last
    /// time that something about the flow changed; a hit since then shows in [`Hot::deadline`].
    #[must_use]
    pub fn facets(&self) -> &[Facet] {
        &self.facets
    }

    pub(crate) fn wrap(&mut self, direction: Direction) {
        self.wraps[direction as usize] += 1;
    }

    /// Each device's memory, and when it forgets if nothing comes.
    pub fn memories<'a>(
        &'a self,
        hot: &'a Hot,
        timers: &'a Timers,
    ) -> impl Iterator<Item = (&'a Facet, Tick)> {
        let hit = hot.deadline != self.synced;
        self.facets.iter().map(move |facet| {
            let last = if hit { hot.deadline.before(hot.idle) } else { facet.last };
            (facet, last.after(facet.device.idle(hot.phase, timers)))
        })
    }

    /// Packets and bytes of one direction.
    #[must_use]
    pub fn counts(&self, hot: &Hot, direction: Direction) -> (u64, u64) {
        let at = direction as usize;
        (u64::from(self.wraps[at]) << 32 | u64::from(hot.packets[at]), hot.bytes[at])
    }
}

/// What decrementing the time to live adds to the header's sum.
pub(crate) const fn hops_delta(hops: u8) -> Delta {
    Delta::adding([hops, 0]).inverse()
}

/// The change of a packet of the original direction on its way: to a sum over its addresses, and to
/// one over all that its transport checksum covers.
fn deltas(original: &Key, reply: &Key) -> (Delta, Delta) {
    let addresses = |key: &Key| Sum::of(&key.src.octets()).plus(Sum::of(&key.dst.octets()));
    let ports = |key: &Key| Sum::ZERO.word(key.src_port()).word(key.dst_port());
    let by_address = Delta::between(addresses(original), addresses(reply));
    let by_port = Delta::between(ports(original), ports(reply));
    let transport = match original.protocol {
        protocol::TCP | protocol::UDP => by_address.and(by_port),
        protocol::ICMP => by_port,
        _ => Delta::NONE,
    };
    (by_address, transport)
}
