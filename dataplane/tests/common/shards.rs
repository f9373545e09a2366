//! Shards that hand packets over to each other, driven by one thread.

use std::sync::Arc;
use std::time::Duration;

use dataplane::packet::{Batch, Component, LinkId, Reason, Verdict};
use dataplane::path::{self, fragment};
use dataplane::shared::{Shared, WorkerId};
use dataplane::state::{Counters, Shard};
use dataplane::tables::Tables;
use dataplane::wire::virtio::VirtioNetHdr;

use super::topology::Topology;

pub struct Shards {
    pub tables: Tables,
    pub shards: Vec<Shard>,
    pub shared: Arc<Shared>,
    /// What became of fragments that were held, since somebody took this.
    pub resumed: Vec<Outcome>,
    batch: Batch,
}

/// Where a packet went, or why it did not.
pub type Outcome = Result<(LinkId, Vec<u8>), (Reason, Component)>;

impl Shards {
    pub fn new(topology: &Topology, shards: u16) -> Self {
        let shared = Arc::new(Shared::default());
        let shard = |id| Shard::new(WorkerId(id), shared.clone(), 1 << 12, 5);
        let shards = (0..shards).map(shard).collect();
        let (resumed, batch) = (Vec::new(), Batch::new());
        Self { tables: topology.tables(), shards, shared, resumed, batch }
    }

    /// A packet at some queue; `None` for one that is held.
    pub fn send(&mut self, link: LinkId, bytes: &[u8], queue: usize) -> Option<Outcome> {
        self.pass(link, bytes, queue % self.shards.len(), false)
    }

    fn pass(&mut self, link: LinkId, bytes: &[u8], mut at: usize, came: bool) -> Option<Outcome> {
        for handed in 0..6 {
            self.batch.clear();
            self.batch.push_bytes(link, bytes, VirtioNetHdr::PLAIN);
            if came || handed > 0 {
                self.batch.mark_handed();
            }
            let shard = &mut self.shards[at];
            let before = shard.counters.clone();
            path::run(&mut self.batch, shard, &self.tables);
            shard.expire(&self.tables.timers);
            let lost =
                shard.counters.drops.iter().find(|(why, n)| before.drops.get(why) != Some(n));
            let lost = lost.map(|(&why, _)| why);
            let packet = self.batch.packets()[0];
            let outcome = match (packet.verdict, lost) {
                (_, Some(why)) => Some(Err(why)),
                (Verdict::Emit { link, .. }, _) => Some(Ok((link, self.batch.bytes(0).to_vec()))),
                (Verdict::Held | Verdict::HandOver(_), _) => None,
                (verdict, _) => panic!("{verdict:?}"),
            };
            while let Some(held) = self.shards[at].fragments.next_ready() {
                let resumed = self.pass(held.link, &held.bytes, at, true);
                self.resumed.push(resumed.expect("a fragment is held once"));
            }
            let Verdict::HandOver(owner) = packet.verdict else { return outcome };
            at = usize::from(owner.0);
            if let Some(ports) = fragment::known(&packet) {
                fragment::learn(link, bytes, ports, &mut self.shards[at]);
            }
        }
        panic!("a packet was handed over in circles");
    }

    pub fn advance(&mut self, seconds: u32) {
        for shard in &mut self.shards {
            shard.stamp(shard.elapsed() + Duration::from_secs(seconds.into()));
            shard.expire_promptly();
            while !shard.expire(&self.tables.timers) {}
        }
    }

    pub fn check(&self) {
        let flows: usize = self.shards.iter().map(|shard| shard.flows.len()).sum();
        let held: usize = self.shards.iter().map(|shard| shard.fragments.held()).sum();
        let datagrams: usize = self.shards.iter().map(|shard| shard.fragments.len()).sum();
        let claims = self.shared.directory.len();
        // A datagram is known to its owner, and to whom its fragments were handed over to.
        assert!(claims >= 2 * flows && claims <= 2 * flows + datagrams, "every key has its claim");
        let mut total = Counters::default();
        for shard in &self.shards {
            total.add(&shard.counters);
        }
        let ended = total.ignored + total.forwarded + total.dropped() + held as u64;
        assert_eq!(total.received, ended, "one end for each packet");
    }
}
