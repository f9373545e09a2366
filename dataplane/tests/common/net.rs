//! A shard driven by hand: packets in, packets out, time moved.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use dataplane::io::{HEADROOM, TAILROOM};
use dataplane::packet::{Batch, Component, EniId, LinkId, NatGatewayId, Reason, Verdict};
use dataplane::path;
use dataplane::shared::{Shared, WorkerId};
use dataplane::state::{Counters, GatewayMetrics, Shard, gateway_metrics};
use dataplane::tables::Tables;
use dataplane::time::Period;
use dataplane::wire::virtio::VirtioNetHdr;

use super::datagram::Datagram;
use super::topology::Topology;

/// What is written where nothing is to be written.
const NOBODYS: u8 = 0xa5;

pub struct Net {
    pub tables: Tables,
    pub shard: Shard,
    pub shared: Arc<Shared>,
    /// What became of fragments that were held, since somebody took this.
    pub resumed: Vec<Outcome>,
    batch: Batch,
}

/// What became of one packet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// What left, and by which link: the packet itself, or the answer to it.
    pub emitted: Option<Emitted>,
    /// Why and where it was dropped.
    pub dropped: Option<(Reason, Component)>,
    /// Whether it waits for the first fragment of its datagram.
    pub held: bool,
    /// Whether it was never to leave its link.
    pub ignored: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Emitted {
    pub link: LinkId,
    pub bytes: Vec<u8>,
    pub offload: VirtioNetHdr,
    /// The MTU that it has to be cut to.
    pub fragment: Option<u16>,
}

impl Outcome {
    /// The packet that went on by `link`.
    #[track_caller]
    pub fn at(&self, link: LinkId) -> Datagram {
        let Self { emitted: Some(emitted), dropped: None, .. } = self else { panic!("{self:?}") };
        assert_eq!(emitted.link, link, "exit link");
        Datagram::read(&emitted.bytes)
    }
}

impl Net {
    pub fn new(topology: &Topology) -> Self {
        Self::with_limit(topology, 1 << 16, 1)
    }

    pub fn with_limit(topology: &Topology, flows: usize, seed: u64) -> Self {
        let shared = Arc::new(Shared::default());
        let shard = Shard::new(WorkerId(0), shared.clone(), flows, seed);
        let (tables, resumed, batch) = (topology.tables(), Vec::new(), Batch::new());
        Self { tables, shard, shared, resumed, batch }
    }

    /// Sends one packet down the path.
    pub fn send(&mut self, link: LinkId, bytes: &[u8]) -> Outcome {
        self.send_offloaded(link, bytes, VirtioNetHdr::PLAIN)
    }

    pub fn send_datagram(&mut self, link: LinkId, datagram: &Datagram) -> Outcome {
        self.send(link, &datagram.bytes())
    }

    pub fn send_offloaded(&mut self, link: LinkId, bytes: &[u8], offload: VirtioNetHdr) -> Outcome {
        self.turn(&[(link, bytes, offload)]).pop().unwrap()
    }

    /// Sends packets down the path together, as one worker's turn does.
    pub fn turn(&mut self, packets: &[(LinkId, &[u8], VirtioNetHdr)]) -> Vec<Outcome> {
        self.batch.clear();
        for &(link, bytes, offload) in packets {
            self.batch.push_bytes(link, bytes, offload);
        }
        assert_eq!(self.batch.len(), packets.len(), "more than a batch holds");
        let outcomes = self.path();
        while path::resume(&mut self.batch, &mut self.shard) {
            let resumed = self.path();
            self.resumed.extend(resumed);
        }
        self.shard.expire(&self.tables.timers);
        outcomes
    }

    /// Takes the batch down the path.
    fn path(&mut self) -> Vec<Outcome> {
        let mut drops = Vec::new();
        let beyond = self.beyond();
        let (_, slots) = self.batch.parts_mut();
        beyond.iter().for_each(|range| slots[range.clone()].fill(NOBODYS));
        for stage in &path::PATH {
            // Emit turns a drop that owes an answer into what is emitted.
            if stage.name == "emit" {
                drops = self.batch.packets().iter().map(|packet| packet.verdict).collect();
            }
            (stage.run)(&mut self.batch, &mut self.shard, &self.tables);
        }
        let (_, slots) = self.batch.parts_mut();
        for byte in beyond.into_iter().flat_map(|range| &slots[range]) {
            assert_eq!(*byte, NOBODYS, "a packet was written over what is not its own");
        }
        let mut outcomes = Vec::new();
        for (index, before) in drops.into_iter().enumerate() {
            let packet = self.batch.packets()[index];
            let dropped = match before {
                Verdict::Drop { reason, component, .. } => Some((reason, component)),
                _ => None,
            };
            let emitted = match packet.verdict {
                Verdict::Emit { link, fragment } => {
                    let bytes = self.batch.bytes(index).to_vec();
                    Some(Emitted { link, bytes, offload: packet.offload, fragment })
                }
                _ => None,
            };
            let (held, ignored) = (before == Verdict::Held, before == Verdict::Ignored);
            outcomes.push(Outcome { emitted, dropped, held, ignored });
        }
        outcomes
    }

    /// What lies between the rooms of packets, and a while behind the last.
    fn beyond(&self) -> Vec<Range<usize>> {
        let mut beyond = Vec::new();
        let mut end = 0;
        for packet in self.batch.packets() {
            let range = packet.range();
            beyond.push(end..range.start - HEADROOM);
            end = range.end + TAILROOM;
        }
        beyond.push(end..end + 256);
        beyond
    }

    /// Moves the clock and retires all that became due, as a worker does after a jump.
    pub fn advance(&mut self, seconds: u32) {
        self.jump(seconds);
        while !self.shard.expire(&self.tables.timers) {}
        self.shard.expire_promptly();
        while !self.shard.expire(&self.tables.timers) {}
    }

    /// Moves the clock, and nothing else.
    pub fn jump(&mut self, seconds: u32) {
        self.shard.stamp(self.shard.elapsed() + Duration::from_secs(seconds.into()));
    }

    /// What a NAT gateway has counted.
    pub fn metrics(&self, gateway: NatGatewayId) -> GatewayMetrics {
        gateway_metrics(&self.shard.read_meters()).get(&gateway).copied().unwrap_or_default()
    }

    /// The most connections that were active at once at a NAT gateway in the last minute.
    pub fn most_active(&self, gateway: NatGatewayId) -> u64 {
        self.shared.connections.of(gateway).most(Period::of(self.shard.elapsed()))
    }

    /// What must hold after every turn, whatever happened.
    #[track_caller]
    pub fn check(&self) {
        let Counters { received, ignored, forwarded, .. } = self.shard.counters;
        let ended = ignored + forwarded + self.shard.counters.dropped();
        let held = self.shard.fragments.held() as u64;
        assert_eq!(received, ended + held, "one end for each packet");

        let flows = &self.shard.flows;
        let mut keys = HashSet::new();
        let (mut live, mut leases, mut tracked) = (0, 0, 0);
        for flow in flows.live() {
            let (_, cold) = flows.parts(flow).unwrap();
            live += 1;
            keys.extend(flows.keys_of(flow).unwrap());
            leases += cold.facets().iter().filter(|facet| facet.lease().is_some()).count();
            tracked += cold.facets().iter().filter(|it| it.is_tracked()).map(|_| 1).sum::<u32>();
        }
        assert_eq!(flows.len(), live, "flows are those whose slots are in use");
        assert_eq!(flows.keys(), 2 * live, "both keys or neither");
        let known = keys.len() + self.shard.fragments.len();
        assert_eq!(self.shared.directory.len(), known, "the directory knows every key");
        let leased = usize::try_from(self.shared.ports.total()).unwrap();
        assert_eq!(
            leased,
            leases + self.shard.resting(),
            "ports are leased to those who hold them"
        );
        let counted = (0..8).map(|eni| self.shared.tracked.count(EniId(eni)));
        assert_eq!(counted.sum::<u32>(), tracked, "what is tracked is counted");
    }
}
