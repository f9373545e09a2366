//! What passes each NAT gateway: one worker's part of it (AWS "NAT gateway metrics and dimensions").
//!
//! A packet is counted under its way, the gateways that it comes to in order: one addition for each
//! that gets through, whatever the way. What each gateway has had is worked out when somebody asks,
//! and every ten seconds of emulated time, so that the last minute is known too. `In` counts what
//! reaches a gateway, `Out` what of it also leaves by a link in the end; where packets change their
//! family, `In` bytes are those of the one and `Out` bytes those of the other.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::FixedState;
use zerocopy::FromZeros;

use crate::packet::{Component, Direction, NatGatewayId, Packet, Reason, Wire};
use crate::shared::connections::{Active, Connections};
use crate::shared::{Lease, Lender, Standing};
use crate::state::way::{Side, Visit, Way};
use crate::state::{Count, Facet, Phase, Tally};
use crate::tables::Tables;
use crate::time::{Period, Span, Tick};
use crate::wire::protocol;

/// A way, by its place among those of this worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromZeros)]
pub struct MeterId(u16);

impl MeterId {
    /// No NAT gateway on the way.
    pub const NONE: Self = Self(0);
}

/// One worker's counts.
#[derive(Debug)]
pub(crate) struct Meters {
    /// By [`MeterId`].
    traffic: Vec<Traffic>,
    /// By [`MeterId`] and [`Direction`]: by how many bytes packets that changed their family grew more
    /// than bare headers do.
    odd: Vec<[i64; 2]>,
    ways: Vec<Way>,
    ids: HashMap<Way, MeterId, FixedState>,
    /// The way that was last asked for: most are the same.
    recent: (Way, MeterId),
    /// By [`NatGatewayId`].
    gateways: Vec<Gateway>,
    connections: Arc<Connections>,
    /// Connections of a gateway, neither counted nor told the other workers yet: those that a batch opens, or a look
    /// at what is due ends, are [told](Self::tell) when it is over.
    untold: (NatGatewayId, Event, u64),
    elapsed: Duration,
    /// That of `elapsed`.
    period: Period,
}

/// What becomes of connections at a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// They were opened in this period.
    Opened,
    /// They were active until this period.
    Closed(Period),
}

/// What got through on one way, by [`Direction`].
#[derive(Clone, Copy, Debug, Default)]
struct Traffic {
    packets: [u64; 2],
    bytes: [u64; 2],
}

/// Packets, and their bytes as they came.
#[derive(Clone, Copy, Debug, Default)]
struct Volume {
    packets: u64,
    bytes: u64,
}

#[derive(Debug)]
struct Gateway {
    /// All but what got through.
    counted: Tally,
    /// What there was in all at the end of each of the last periods.
    ends: [Tally; Period::MINUTE],
    active: Arc<Active>,
}

/// One worker's counts of one gateway at one time.
#[derive(Clone, Debug)]
pub struct MeterReading {
    /// The period of the reading.
    pub(super) period: Period,
    /// Since the worker began.
    pub(super) total: Tally,
    /// Before the end of each of the last periods.
    pub(super) ends: [Tally; Period::MINUTE],
}

impl Meters {
    pub(crate) fn new(connections: Arc<Connections>) -> Self {
        Self {
            traffic: vec![Traffic::default()],
            odd: vec![[0; 2]],
            ways: vec![Way::default()],
            ids: HashMap::from_iter([(Way::default(), MeterId::NONE)]),
            recent: (Way::default(), MeterId::NONE),
            gateways: Vec::new(),
            connections,
            untold: (NatGatewayId::default(), Event::Opened, 0),
            elapsed: Duration::ZERO,
            period: Period::default(),
        }
    }

    /// It is later now.
    pub(crate) fn stamp(&mut self, elapsed: Duration) {
        debug_assert_eq!(self.untold.2, 0, "a turn tells what it has done");
        let (before, now) = (self.period, Period::of(elapsed));
        if before != now {
            for at in 0..self.gateways.len() {
                let total = self.total(at);
                for period in before.until(now) {
                    self.gateways[at].ends[period.place()] = total;
                }
            }
        }
        (self.elapsed, self.period) = (elapsed, now);
    }

    /// The meter of a way that a packet of `direction` went.
    #[inline]
    pub(crate) fn of(&mut self, way: Way, direction: Direction) -> MeterId {
        let way = way.towards(direction);
        if self.recent.0 != way {
            self.recent = (way, self.find(way));
        }
        self.recent.1
    }

    fn find(&mut self, way: Way) -> MeterId {
        if let Some(&id) = self.ids.get(&way) {
            return id;
        }
        // So many ways need hundreds of gateways that lead into each other.
        let Ok(id) = u16::try_from(self.ways.len()).map(MeterId) else { return MeterId::NONE };
        way.gateways().for_each(|visit| _ = self.gateway(visit.gateway));
        self.ids.insert(way, id);
        self.ways.push(way);
        self.traffic.push(Traffic::default());
        self.odd.push([0; 2]);
        id
    }

    /// The meter of the first gateways on the way of a packet.
    pub(crate) fn first(&mut self, packet: &Packet, gateways: usize) -> MeterId {
        let mut first = Way::default();
        self.way(packet).gateways().take(gateways).for_each(|visit| first.push(visit));
        self.of(first, packet.direction())
    }

    /// A packet has come through.
    #[inline(always)]
    pub(crate) fn pass(&mut self, (meter, direction): (MeterId, Direction), wire: &Wire) {
        if let Some(traffic) = self.traffic.get_mut(usize::from(meter.0)) {
            traffic.packets[direction as usize] += wire.packets as u64;
            traffic.bytes[direction as usize] += wire.bytes as u64;
        }
    }

    /// A packet that comes through has become one of the other family, and was of `before` bytes.
    pub(crate) fn change(&mut self, packet: &Packet, before: u32) {
        let plain: i64 = self.way(packet).gateways().map(|visit| visit.growth).sum();
        let odd = i64::from(packet.len) - i64::from(before) - plain;
        if let Some(odds) = self.odd.get_mut(usize::from(packet.meter.0)) {
            odds[packet.direction() as usize] += odd * packet.wire().packets as i64;
        }
    }

    /// A packet that had come through is lost before it could leave.
    pub(crate) fn lose(&mut self, packet: &Packet) {
        let mut came = Volume::of(packet);
        for visit in self.way(packet).gateways() {
            came = came.past(visit.back(), 0);
        }
        let direction = packet.direction() as usize;
        if let Some(traffic) = self.traffic.get_mut(usize::from(packet.meter.0)) {
            traffic.packets[direction] -= came.packets;
            traffic.bytes[direction] -= came.bytes;
        }
        self.enter(packet, came);
    }

    /// A packet ends at `component`; it has come to all gateways of its meter.
    pub(crate) fn stop(
        &mut self,
        packet: &Packet,
        (reason, component): (Reason, Component),
        tables: &Tables,
    ) {
        self.enter(packet, Volume::of(packet));
        let Component::NatGateway(id) = component else { return };
        let packets = packet.wire().packets as u64;
        let counted = &mut self.gateway(id).counted;
        if reason == Reason::NatPortAllocation {
            counted[Count::PortErrors] += packets;
            if packet.key.protocol == protocol::TCP {
                counted[Count::ConnectionAttempts] += packets;
            }
        }
        if reason != Reason::NatUnsolicited || tables.choices.nat_counts_unsolicited {
            counted[Count::PacketsDropped] += packets;
        }
    }

    /// A flow has been opened, or opened anew at some of its devices.
    pub(crate) fn begin(&mut self, facets: &mut [Facet], protocol: u8) {
        if protocol != protocol::TCP {
            return;
        }
        for lease in leases(facets, Standing::New) {
            let Lender::NatGateway(id) = lease.lender() else { continue };
            lease.standing = Standing::Active;
            self.note(id, Event::Opened);
        }
    }

    /// One more connection: told with those before it if the same became of them.
    fn note(&mut self, id: NatGatewayId, event: Event) {
        if (self.untold.0, self.untold.1) != (id, event) {
            self.tell();
            (self.untold.0, self.untold.1) = (id, event);
        }
        self.untold.2 += 1;
    }

    /// Counts what became of connections, and tells the other workers.
    pub(crate) fn tell(&mut self) {
        let (id, event, count) = self.untold;
        if count == 0 {
            return;
        }
        self.untold.2 = 0;
        let period = self.period;
        let gateway = self.gateway(id);
        match event {
            Event::Opened => {
                gateway.counted[Count::ConnectionAttempts] += count;
                gateway.active.open(period, count);
            }
            Event::Closed(at) => gateway.active.close(at, count),
        }
    }

    /// A flow's phase changes.
    pub(crate) fn follow(&mut self, facets: &mut [Facet], before: Phase, after: Phase) {
        let established = before == Phase::SynReceived && after == Phase::Established;
        if !established && !after.is_closed() {
            return;
        }
        for lease in leases(facets, Standing::Active) {
            let Lender::NatGateway(id) = lease.lender() else { continue };
            if established {
                self.gateway(id).counted[Count::ConnectionsEstablished] += 1;
            } else {
                lease.standing = Standing::Over;
                self.note(id, Event::Closed(self.period));
            }
        }
    }

    /// A device forgets a flow at `now`, or at an earlier time when `idle` was over.
    pub(crate) fn end(&mut self, facet: &Facet, idle: Span, now: Tick) {
        let Some(lease) = facet.lease() else { return };
        // Hyperplane ENIs have no metrics.
        let Lender::NatGateway(id) = lease.lender() else { return };
        if lease.standing != Standing::Active {
            return;
        }
        let due = facet.last.after(idle);
        let at = Period::of(self.elapsed.saturating_sub(due.ago(now)));
        self.note(id, Event::Closed(at));
        let present = self.period;
        let gateway = self.gateway(id);
        if due.is_due(now) {
            gateway.counted[Count::IdleTimeouts] += 1;
            for period in at.until(present) {
                gateway.ends[period.place()][Count::IdleTimeouts] += 1;
            }
        }
    }

    /// What each gateway that was ever on a way has had.
    pub(crate) fn read(&self) -> Vec<(NatGatewayId, MeterReading)> {
        let read = self.gateways.iter().enumerate().map(|(at, gateway)| {
            let id = u16::try_from(at).expect("gateways are numbered in 16 bits");
            let (period, total) = (self.period, self.total(at));
            (NatGatewayId(id), MeterReading { period, total, ends: gateway.ends })
        });
        read.collect()
    }

    fn total(&self, gateway: usize) -> Tally {
        let mut total = self.gateways[gateway].counted;
        for ((way, traffic), odd) in self.ways.iter().zip(&self.traffic).zip(&self.odd) {
            for direction in [Direction::Original, Direction::Reply] {
                let (mut volume, odd) = (traffic.of(direction), odd[direction as usize]);
                for visit in way.towards(direction).gateways() {
                    let past = volume.past(visit, odd);
                    if visit.gateway.index() == gateway {
                        volume.add_to(&mut total, visit.side.counts_in());
                        past.add_to(&mut total, visit.side.counts_out());
                    }
                    volume = past;
                }
            }
        }
        total
    }

    /// Counts a packet as received by all gateways of its meter.
    fn enter(&mut self, packet: &Packet, mut volume: Volume) {
        for visit in self.way(packet).gateways() {
            let counted = &mut self.gateway(visit.gateway).counted;
            volume.add_to(counted, visit.side.counts_in());
            volume = volume.past(visit, 0);
        }
    }

    /// The gateways that a packet comes to, in its own order.
    fn way(&self, packet: &Packet) -> Way {
        let way = self.ways.get(usize::from(packet.meter.0)).copied().unwrap_or_default();
        way.towards(packet.direction())
    }

    fn gateway(&mut self, id: NatGatewayId) -> &mut Gateway {
        while self.gateways.len() <= id.index() {
            let next = u16::try_from(self.gateways.len()).map_or(id, NatGatewayId);
            let active = self.connections.of(next);
            let ends = [Tally::default(); Period::MINUTE];
            self.gateways.push(Gateway { counted: Tally::default(), ends, active });
        }
        &mut self.gateways[id.index()]
    }
}

/// The ports that translating devices hold for a flow, of those that count as `standing`.
fn leases(facets: &mut [Facet], standing: Standing) -> impl Iterator<Item = &mut Lease> {
    let leases = facets.iter_mut().filter_map(Facet::lease_mut);
    leases.filter(move |lease| lease.standing == standing)
}

impl Side {
    /// Packets and bytes that come by this side.
    const fn counts_in(self) -> (Count, Count) {
        match self {
            Self::Source => (Count::PacketsInFromSource, Count::BytesInFromSource),
            Self::Destination => (Count::PacketsInFromDestination, Count::BytesInFromDestination),
        }
    }

    /// Packets and bytes that came by this side and leave by the other.
    const fn counts_out(self) -> (Count, Count) {
        match self {
            Self::Source => (Count::PacketsOutToDestination, Count::BytesOutToDestination),
            Self::Destination => (Count::PacketsOutToSource, Count::BytesOutToSource),
        }
    }
}

impl Traffic {
    const fn of(&self, direction: Direction) -> Volume {
        let at = direction as usize;
        Volume { packets: self.packets[at], bytes: self.bytes[at] }
    }
}

impl Volume {
    fn of(packet: &Packet) -> Self {
        let wire = packet.wire();
        Self { packets: wire.packets as u64, bytes: wire.bytes as u64 }
    }

    /// The same behind a gateway, which made them longer by `odd` bytes more than it does each.
    const fn past(self, visit: Visit, odd: i64) -> Self {
        if visit.growth == 0 {
            return self;
        }
        let grown = visit.growth * self.packets as i64 + odd;
        Self { bytes: self.bytes.saturating_add_signed(grown), ..self }
    }

    fn add_to(self, tally: &mut Tally, (packets, bytes): (Count, Count)) {
        tally[packets] += self.packets;
        tally[bytes] += self.bytes;
    }
}
