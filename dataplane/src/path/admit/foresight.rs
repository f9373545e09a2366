//! Which packet is to be judged next, and what will be asked about it then?
//!
//! What that is lies far from the processor where there are many interfaces and flows. It is on its way into cache in time:
//! not so long before that others take its place there, and for several packets at once, so that the processor looks up
//! together where in memory that is. Of interface endpoints it is not known beforehand which ports are asked for.

use std::net::Ipv6Addr;

use crate::packet::{Key, Kind, Packet, Slots};
use crate::path::admit::may_be_elsewhere;
use crate::shared::Destination;
use crate::state::{Shard, prefetch};
use crate::tables::{Place, Tables};
use crate::wire::protocol;

/// The packets of a batch that are to be judged, one after the other.
#[derive(Debug)]
pub(super) struct Foresight {
    /// The next one: what is asked about it is on its way.
    next: Option<usize>,
    /// Behind that.
    from: usize,
    /// Packets from there on whose interfaces are on their way.
    known: usize,
}

/// So many packets' interfaces are fetched at once.
const STRIDE: usize = 32;

impl Foresight {
    pub(super) fn of(packets: &[Packet], slots: &Slots, shard: &Shard, tables: &Tables) -> Self {
        let mut foresight = Self { next: None, from: 0, known: 0 };
        foresight.next = foresight.look(packets, slots, 0, shard, tables);
        foresight
    }

    /// The place of the next one, which is to be judged before another is asked for. What is asked about the one behind it
    /// is on its way from now on.
    #[inline(always)]
    pub(super) fn next(
        &mut self,
        packets: &[Packet],
        slots: &Slots,
        shard: &Shard,
        tables: &Tables,
    ) -> Option<usize> {
        let next = self.next?;
        // Each leases a port, most of them.
        self.next = self.look(packets, slots, 1, shard, tables);
        Some(next)
    }

    /// Finds one more, before whom so many are to be judged yet.
    #[inline(always)]
    fn look(
        &mut self,
        packets: &[Packet],
        slots: &Slots,
        before: usize,
        shard: &Shard,
        tables: &Tables,
    ) -> Option<usize> {
        let rest = packets.get(self.from..)?;
        let (at, packet) = rest.iter().enumerate().find(|(_, packet)| packet.is_pending())?;
        if self.known == 0 {
            self.known = STRIDE;
            fetch_interfaces(rest.get(at..)?, shard, tables);
        }
        self.known -= 1;
        let at = self.from + at;
        self.from = at + 1;
        prefetch::line(slots.as_ptr().addr() + packet.range().start);
        // Only now: another worker would have it again.
        if may_be_elsewhere(packet) {
            shard.prefetch_owner(packet.hash);
        }
        if packet.kind != Kind::Error {
            shard.lessee.foresee(destination(&packet.key, tables), before);
        }
        Some(at)
    }
}

/// Whom packets are for, behind a NAT gateway too.
#[inline(always)]
fn destination(key: &Key, tables: &Tables) -> Destination {
    let v4 = if key.is_v6() { behind_nat64(key, tables) } else { None };
    v4.unwrap_or_else(|| Destination::new((key.dst, key.dst_port()), key.protocol))
}

#[inline(never)]
fn behind_nat64(key: &Key, tables: &Tables) -> Option<Destination> {
    let address = tables.to_v4(Ipv6Addr::try_from(key.dst).ok()?)?;
    let protocol = if key.protocol == protocol::ICMPV6 { protocol::ICMP } else { key.protocol };
    Some(Destination::new((address.into(), key.dst_port()), protocol))
}

/// Brings what is known of the interfaces of the first packets into cache: step by step, each for all of them.
#[inline(never)]
fn fetch_interfaces(packets: &[Packet], shard: &Shard, tables: &Tables) {
    let pending = || packets.iter().filter(|packet| packet.is_pending()).take(STRIDE);
    let enis = || {
        pending().filter_map(|packet| match tables.place(packet.key.link) {
            Some(Place::Eni(id)) => Some(id),
            _ => None,
        })
    };
    let tracked = &shard.shared.tracked;
    for packet in pending() {
        tables.links.prefetch(packet.key.link);
    }
    for id in enis() {
        tables.enis.prefetch(id);
        tracked.approach(shard.worker(), id);
    }
    enis().for_each(|id| tracked.prefetch(shard.worker(), id));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{Addr, Batch, LinkId, Verdict};
    use crate::shared::WorkerId;
    use crate::wire::virtio::VirtioNetHdr;
    use std::net::Ipv4Addr;
    use std::sync::Arc;

    #[test]
    fn each_packet_that_is_to_be_judged_comes_once() {
        let (shard, tables) = (Shard::new(WorkerId(0), Arc::default(), 8, 1), Tables::default());
        let every = |step: usize| (0..Batch::PACKETS).step_by(step).collect();
        let sets: [Vec<usize>; 6] =
            [vec![], vec![127], vec![0, 1, 31, 32, 33, 126], every(1), every(2), every(5)];
        for pending in sets {
            let mut batch = Batch::new();
            for at in 0..Batch::PACKETS {
                batch.push_bytes(LinkId(0), &[0x45; 40], VirtioNetHdr::PLAIN);
                if !pending.contains(&at) {
                    batch.packets_mut()[at].verdict = Verdict::Ignored;
                }
            }
            let (packets, slots) = batch.parts_mut();
            let mut foresight = Foresight::of(packets, slots, &shard, &tables);
            let mut next = || foresight.next(packets, slots, &shard, &tables);
            let found: Vec<_> = std::iter::from_fn(&mut next).collect();
            assert_eq!(found, pending);
            assert_eq!(next(), None);
        }
    }

    #[test]
    fn a_destination_is_that_behind_nat64() {
        let tables = Tables::default();
        let v4 = Addr::v4(Ipv4Addr::new(203, 0, 113, 80));
        let v6 = |text: &str| text.parse::<std::net::IpAddr>().unwrap().into();
        let inside = v6("2001:db8::5");
        let of = |protocol, dst, port| {
            destination(&Key::new(LinkId(1), protocol, (inside, 7), (dst, port)), &tables)
        };
        let embedded = v6("64:ff9b::203.0.113.80");
        let tcp = Destination::new((v4, 443), protocol::TCP);
        assert_eq!(of(protocol::TCP, embedded, 443), tcp);
        let echo = Destination::new((v4, 0), protocol::ICMP);
        assert_eq!(of(protocol::ICMPV6, embedded, 0), echo);
        let other = v6("2001:db8::9");
        assert_eq!(of(protocol::TCP, other, 443), Destination::new((other, 443), protocol::TCP));
        let key = Key::new(LinkId(1), protocol::ICMP, (v4, 7), (v4, 13));
        assert_eq!(destination(&key, &tables), echo, "all queries share the identifiers");
    }
}
