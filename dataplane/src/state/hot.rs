//! What every packet of a flow needs, in one cache line a direction: what it is known by, whether it
//! may pass on that, and what becomes of it.

use zerocopy::FromZeros;

use crate::packet::{Addr, Direction, Key, LinkId, Pair, PortPair, Tail, Wire};
use crate::state::counted::Counted;
use crate::state::{MeterId, Phase};
use crate::time::{Span, Tick};
use crate::wire::checksum::{Delta, Sum};
use crate::wire::protocol;

/// One flow's two directions. Addresses of IPv6 lie elsewhere, in its `Wide`.
#[derive(Clone, Copy, Debug, FromZeros)]
#[repr(C, align(128))]
pub struct Hot {
    lines: [Line; 2],
}

/// One direction of a flow.
#[derive(Clone, Copy, Debug, FromZeros)]
#[repr(C, align(64))]
pub(crate) struct Line {
    /// The packets as they come in. Of IPv6 the tail says so, and the pair says nothing.
    pair: Pair,
    tail: Tail,
    /// The packets as they leave, if they are of IPv4 before and after: the reply key reversed is the
    /// translation.
    out_pair: Pair,
    out_ports: PortPair,
    /// [`Phase::plain`], and [`Line::BY_KEYS`] where packets change their family, or addresses of IPv6.
    plain: u32,
    counted: Counted,
    /// When the first facet expires, unless a packet comes before: as of the last packet of this
    /// direction, so the later one of both holds.
    deadline: Tick,
    /// The shortest idle time of all facets: what a packet restarts.
    idle: Span,
    /// The epoch of the tables that this direction was judged under; never one of theirs if it was
    /// not, or has to be again.
    epoch: u32,
    /// What the header's sum gains: the translation of the addresses, and hops.
    header: Delta,
    /// What the sum gains that the transport checksum is of.
    transport: Delta,
    /// MTU of the path, in bytes of packets as they come in.
    mtu: u16,
    /// The link that they leave by.
    exit: LinkId,
    /// The NAT gateways on its way.
    meter: MeterId,
    /// Hops on the path that decrement the time to live.
    ttl_hops: u8,
    phase: Phase,
}

const _: () = assert!(size_of::<Line>() == 64, "a direction is one cache line");

/// Source and destination of both directions, of a flow that is of IPv6 in one at least.
pub(crate) type Wide = [[Addr; 2]; 2];

/// What the walk of a first packet found out about the translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// Packets of the original direction, as they come in.
    pub original: Key,
    /// Packets of the reply direction, as they come in.
    pub reply: Key,
    /// MTU of the path, in bytes; of packets of IPv4, where they change their family.
    pub mtu: u16,
    /// Hops that decrement the time to live.
    pub ttl_hops: u8,
}

impl Translation {
    /// The addresses, if there are any of IPv6.
    pub(crate) fn wide(&self) -> Option<Wide> {
        let keys = [self.original, self.reply];
        keys.iter().any(Key::is_v6).then(|| keys.map(|key| [key.src, key.dst]))
    }
}

impl Hot {
    pub(crate) fn new(translation: &Translation, phase: Phase) -> Self {
        let mut hot = Self::new_zeroed();
        hot.begin(translation, phase);
        hot
    }

    /// Makes it that of a flow that begins. Where it lies: made elsewhere it would be read as a whole right after it was
    /// written piece by piece, which a processor waits for.
    #[inline]
    pub(super) fn begin(&mut self, translation: &Translation, phase: Phase) {
        let &Translation { original, reply, mtu, ttl_hops } = translation;
        let (addresses, transport) = deltas(&original, &reply);
        let crosses = original.is_v6() != reply.is_v6();
        let by_keys = crosses || original.is_v6() && original.reversed(reply.link) != reply;
        let line = |direction, (key, opposite): (&Key, &Key), addresses: Delta, transport| Line {
            pair: key.pair(),
            tail: key.tail(),
            out_pair: opposite.pair().reversed(),
            out_ports: opposite.ports.reversed(),
            plain: Line::plain(phase, direction, by_keys),
            header: addresses.and(hops_delta(ttl_hops)),
            transport,
            mtu: Line::mtu(mtu, crosses && key.is_v6()),
            exit: opposite.link,
            ttl_hops,
            phase,
            ..Line::new_zeroed()
        };
        let [there, back] = &mut self.lines;
        *there = line(Direction::Original, (&original, &reply), addresses, transport);
        let (addresses, transport) = (addresses.inverse(), transport.inverse());
        *back = line(Direction::Reply, (&reply, &original), addresses, transport);
    }

    /// What is known of the packets of one direction.
    pub(crate) fn line(&self, direction: Direction) -> &Line {
        let [original, reply] = &self.lines;
        match direction {
            Direction::Original => original,
            Direction::Reply => reply,
        }
    }

    #[inline(always)]
    pub(crate) fn line_mut(&mut self, direction: Direction) -> &mut Line {
        &mut self.lines[direction as usize]
    }

    /// The key of the packets that come in in `direction`; `wide` gives the flow's own, if it has one.
    pub(crate) fn key<'a>(
        &self,
        direction: Direction,
        wide: impl FnOnce() -> Option<&'a Wide>,
    ) -> Key {
        let line = self.line(direction);
        let [src, dst] = match line.tail.is_v6() {
            true => wide().map_or_else(Default::default, |wide| wide[direction as usize]),
            false => line.pair.addresses(),
        };
        line.tail.behind(src, dst)
    }

    /// How far the conversation has come.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.lines[0].phase
    }

    /// IP protocol number of the packets of the original direction.
    pub(crate) const fn protocol(&self) -> u8 {
        self.lines[0].tail.protocol()
    }

    /// When the flow's first facet expires, unless a packet comes before.
    #[must_use]
    pub const fn deadline(&self) -> Tick {
        let [original, reply] = &self.lines;
        original.deadline.later(reply.deadline)
    }

    /// Brings the clock of either direction up to the flow's, and gives it: before one lags so far behind the
    /// other that they can no longer be compared.
    pub(crate) fn level(&mut self) -> Tick {
        let deadline = self.deadline();
        for line in &mut self.lines {
            line.deadline = deadline;
        }
        deadline
    }

    pub(crate) const fn idle(&self) -> Span {
        self.lines[0].idle
    }

    /// Sets the flow's clock: how long it may be silent, and until when it may be now.
    pub(crate) fn set_clock(&mut self, idle: Span, deadline: Tick) {
        for line in &mut self.lines {
            (line.idle, line.deadline) = (idle, deadline);
        }
    }

    /// The NAT gateways on its way.
    pub(crate) const fn meter(&self) -> MeterId {
        self.lines[0].meter
    }

    pub(crate) fn set_meter(&mut self, meter: MeterId) {
        for line in &mut self.lines {
            line.meter = meter;
        }
    }

    /// Hops on the path that decrement the time to live.
    pub(crate) const fn ttl_hops(&self) -> u8 {
        self.lines[0].ttl_hops
    }

    /// Whether its packets change their family on their way.
    #[must_use]
    pub const fn crosses(&self) -> bool {
        let [original, reply] = &self.lines;
        original.tail.is_v6() != reply.tail.is_v6()
    }

    /// MTU of the path, in bytes of packets of IPv6 or of IPv4.
    #[must_use]
    pub const fn mtu_of(&self, is_v6: bool) -> u16 {
        let [original, reply] = &self.lines;
        if original.tail.is_v6() == is_v6 { original.mtu } else { reply.mtu }
    }

    /// Goes another way from now on, which leads to the same addresses.
    pub(crate) fn reroute(&mut self, mtu: u16, ttl_hops: u8) {
        let crosses = self.crosses();
        for line in &mut self.lines {
            line.header = line.address_delta().and(hops_delta(ttl_hops));
            line.mtu = Line::mtu(mtu, crosses && line.tail.is_v6());
            line.ttl_hops = ttl_hops;
        }
    }

    /// Whether a packet may pass on what is known: judged under these tables, nothing expired.
    #[must_use]
    pub(crate) fn is_fresh(&self, direction: Direction, epoch: u32, now: Tick) -> bool {
        self.line(direction).epoch == epoch && !self.deadline().is_due(now)
    }

    /// Restarts the clocks of all facets: a packet has passed them all. A conversation that is over
    /// keeps its end.
    pub(crate) fn restart(&mut self, now: Tick) {
        if !self.phase().is_closed() {
            self.set_clock(self.idle(), now.after(self.idle()));
        }
    }

    /// Says what a direction was judged under; what the other one was under something else is void.
    pub(crate) fn judge(&mut self, direction: Direction, epoch: u32) {
        let other = self.line_mut(direction.opposite());
        if other.epoch != epoch {
            other.epoch = Line::NEVER;
        }
        self.line_mut(direction).epoch = epoch;
    }

    /// Makes the next packet of either direction be judged again.
    pub(crate) fn doubt(&mut self) {
        for line in &mut self.lines {
            line.epoch = Line::NEVER;
        }
    }

    /// Loses its translation: `parked` is the reply key from now on.
    pub(crate) fn park(&mut self, parked: &Key) {
        for line in &mut self.lines {
            (line.header, line.transport) = (hops_delta(line.ttl_hops), Delta::NONE);
        }
        let reply = self.line_mut(Direction::Reply);
        (reply.pair, reply.tail) = (parked.pair(), parked.tail());
        let original = self.line_mut(Direction::Original);
        original.exit = parked.link;
        (original.out_pair, original.out_ports) =
            (parked.pair().reversed(), parked.ports.reversed());
        self.doubt();
    }

    pub(crate) fn enter(&mut self, phase: Phase) {
        let by_keys = self.lines[0].goes_by_keys();
        for (line, direction) in self.lines.iter_mut().zip([Direction::Original, Direction::Reply])
        {
            line.phase = phase;
            line.plain = Line::plain(phase, direction, by_keys);
        }
    }

    /// Packets and bytes of one direction, but for what was carried over.
    pub(super) const fn counted(&self, direction: Direction) -> [u32; 2] {
        let [original, reply] = &self.lines;
        match direction {
            Direction::Original => original.counted.halves(),
            Direction::Reply => reply.counted.halves(),
        }
    }
}

impl Line {
    /// No tables have this epoch.
    const NEVER: u32 = 0;

    /// Beyond all control bits.
    const BY_KEYS: u32 = 1 << 31;

    const fn plain(phase: Phase, direction: Direction, by_keys: bool) -> u32 {
        phase.plain(direction) | if by_keys { Self::BY_KEYS } else { 0 }
    }

    /// The MTU of packets as they come in: longer by their header if they become such of IPv4.
    const fn mtu(mtu: u16, shrinks: bool) -> u16 {
        if shrinks { mtu.saturating_add(20) } else { mtu }
    }

    /// Whether its packets of IPv4 are these.
    #[inline(always)]
    pub(crate) fn bears(&self, pair: Pair, tail: Tail) -> bool {
        self.pair == pair && self.tail == tail
    }

    /// Whether packets of this tail are its own, if they have its addresses.
    #[inline(always)]
    pub(crate) fn bears_tail(&self, tail: Tail) -> bool {
        self.tail == tail
    }

    /// Whether a packet with these control bits passes on what is known and changes nothing about it.
    #[inline(always)]
    pub(crate) fn passes(&self, tcp_flags: u8, epoch: u32, now: Tick) -> bool {
        self.epoch == epoch
            && !self.deadline.is_due(now)
            && self.plain >> (tcp_flags & Phase::FLAGS) & 1 != 0
    }

    /// Whether its packets become what the key of their answers says, and not what stands here: they change their family
    /// on their way, or addresses of IPv6.
    #[inline(always)]
    pub(crate) const fn goes_by_keys(&self) -> bool {
        self.plain & Self::BY_KEYS != 0
    }

    /// Whether a packet is not too far from home, nor too long.
    #[inline(always)]
    pub(crate) fn reaches(&self, hops: u8, longest: usize) -> bool {
        hops > self.ttl_hops && longest <= usize::from(self.mtu)
    }

    /// Restarts the clocks and counts a packet that goes over a wire as `wire`.
    #[inline(always)]
    pub(crate) fn renew(&mut self, now: Tick, len: u32, wire: &Wire) -> bool {
        self.deadline = now.after(self.idle);
        self.count(len, wire)
    }

    /// Counts a packet that goes over a wire as `wire`; whether the counter is full now and is to be
    /// [carried over](Self::carry_over).
    #[inline(always)]
    pub(crate) const fn count(&mut self, len: u32, wire: &Wire) -> bool {
        self.counted.add(wire.packets, len)
    }

    /// Takes packets and bytes out of the counter; see [`Counted::carry_over`].
    pub(crate) const fn carry_over(&mut self) -> [u32; 2] {
        self.counted.carry_over()
    }

    /// Its packets as they come in, of IPv4: addresses and ports.
    pub(crate) const fn arriving(&self) -> (Pair, PortPair) {
        (self.pair, self.tail.ports())
    }

    /// Its packets as they leave, of IPv4 before and after: addresses and ports.
    #[inline(always)]
    pub(crate) const fn leaving(&self) -> (Pair, PortPair) {
        (self.out_pair, self.out_ports)
    }

    /// The link that its packets leave by.
    #[inline(always)]
    pub(crate) const fn exit(&self) -> LinkId {
        self.exit
    }

    /// The NAT gateways on its way.
    #[inline(always)]
    pub(crate) const fn meter(&self) -> MeterId {
        self.meter
    }

    /// Hops on the path that decrement the time to live.
    #[inline(always)]
    pub(crate) const fn ttl_hops(&self) -> u8 {
        self.ttl_hops
    }

    /// What the sum over the IPv4 header gains.
    #[inline(always)]
    pub(crate) const fn header_delta(&self) -> Delta {
        self.header
    }

    /// What the sum over the addresses gains.
    pub(crate) const fn address_delta(&self) -> Delta {
        self.header.and(hops_delta(self.ttl_hops).inverse())
    }

    /// What the sum gains that the transport checksum is of.
    #[inline(always)]
    pub(crate) const fn transport_delta(&self) -> Delta {
        self.transport
    }
}

/// What decrementing the time to live adds to the header's sum.
pub(crate) const fn hops_delta(hops: u8) -> Delta {
    Delta::adding([hops, 0]).inverse()
}

/// The change of a packet of the original direction on its way: to a sum over its addresses, and to
/// one over all that its transport checksum covers.
fn deltas(original: &Key, reply: &Key) -> (Delta, Delta) {
    let ports = |key: &Key| Sum::ZERO.words([u32::from_be_bytes(key.ports.to_bytes())]);
    let by_address = Delta::between(addresses(original), addresses(reply));
    let by_port = Delta::between(ports(original), ports(reply));
    let transport = match original.protocol {
        protocol::TCP | protocol::UDP => by_address.and(by_port),
        protocol::ICMP => by_port,
        _ => Delta::NONE,
    };
    (by_address, transport)
}

/// The sum over a key's addresses. What those of IPv4 begin with among those of IPv6 adds nothing to it.
fn addresses(key: &Key) -> Sum {
    match key.is_v6() {
        true => Sum::of([key.src, key.dst].map(Addr::octets).as_flattened()),
        false => Sum::ZERO.words(key.pair().octets().map(u32::from_be_bytes)),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn flow(src: Addr, back: Addr) -> (Hot, Translation) {
        let host = Addr::v4(Ipv4Addr::new(203, 0, 113, 80));
        let dst = if src.is_v4() { host } else { Ipv6Addr::LOCALHOST.into() };
        let reply = Key::new(LinkId(2), protocol::TCP, (host, 443), (back, 1024));
        let original = Key::new(LinkId(1), protocol::TCP, (src, 40_000), (dst, 443));
        let translation = Translation { original, reply, mtu: 1500, ttl_hops: 1 };
        (Hot::new(&translation, Phase::Established), translation)
    }

    #[test]
    fn keys_are_as_they_were_given() {
        let nat = Addr::v4(Ipv4Addr::new(198, 51, 100, 10));
        for src in [Addr::v4(Ipv4Addr::new(10, 0, 1, 10)), Ipv6Addr::LOCALHOST.into()] {
            let (hot, translation) = flow(src, nat);
            let wide = translation.wide();
            assert_eq!(wide.is_some(), !src.is_v4());
            assert_eq!(hot.crosses(), !src.is_v4());
            assert_eq!(hot.key(Direction::Original, || wide.as_ref()), translation.original);
            assert_eq!(hot.key(Direction::Reply, || wide.as_ref()), translation.reply);
            let (pair, ports) = hot.line(Direction::Original).leaving();
            assert_eq!(
                (pair, ports),
                (translation.reply.pair().reversed(), PortPair::new(1024, 443))
            );
            let mtu6 = if src.is_v4() { 1500 } else { 1520 };
            assert_eq!((hot.mtu_of(false), hot.mtu_of(true)), (1500, mtu6));
        }
    }

    #[test]
    fn either_direction_keeps_the_flow() {
        let (mut hot, _) = flow(Addr::v4(Ipv4Addr::new(10, 0, 1, 10)), Addr::UNSPECIFIED);
        let at = |seconds| Tick::default().after(Span::seconds(seconds));
        hot.set_clock(Span::seconds(350), at(350));
        let one = Wire::one(40);
        let _ = hot.line_mut(Direction::Reply).renew(at(100), 40, &one);
        assert_eq!(hot.deadline(), at(450));
        let _ = hot.line_mut(Direction::Original).renew(at(200), 40, &one);
        assert_eq!(hot.deadline(), at(550));
        assert_eq!(hot.counted(Direction::Reply), [1, 40]);
    }

    #[test]
    fn what_was_judged_under_other_tables_is_void() {
        let (mut hot, _) = flow(Addr::v4(Ipv4Addr::new(10, 0, 1, 10)), Addr::UNSPECIFIED);
        let now = Tick::default();
        hot.set_clock(Span::seconds(350), now.after(Span::seconds(350)));
        hot.judge(Direction::Original, 7);
        hot.judge(Direction::Reply, 7);
        assert!(
            hot.is_fresh(Direction::Original, 7, now) && hot.is_fresh(Direction::Reply, 7, now)
        );
        hot.judge(Direction::Reply, 8);
        assert!(
            !hot.is_fresh(Direction::Original, 7, now) && hot.is_fresh(Direction::Reply, 8, now)
        );
        hot.doubt();
        assert!(!hot.is_fresh(Direction::Reply, 8, now));
    }
}
