//! The path, driven as a worker drives it: a batch in, down the path, and what is due retired. Only
//! the devices are missing. All use of the data plane's batches is here.

use std::sync::Arc;
use std::time::Duration;

use dataplane::io::{Frame, HEADROOM};
use dataplane::packet::{self, LinkId, Verdict};
use dataplane::path;
use dataplane::shared::{Shared, WorkerId};
use dataplane::state::Shard;
use dataplane::tables::Tables;
use dataplane::wire::tcp::flags::{ACK, SYN};
use dataplane::wire::virtio::VirtioNetHdr;

use crate::Cheated;
use crate::profile::{Profile, TURN};
use crate::ring::{Batch, Ring};
use crate::segment::Segment;
use crate::topology;

/// Packets of a worker's batch.
pub const BATCH: usize = packet::Batch::PACKETS;

/// Sessions whose SYNs come one after the other, before they are answered.
pub(crate) const CHUNK: usize = 1 << 15;

/// More than what a gateway remembers a flow for that falls silent.
const SILENT: Duration = Duration::from_secs(400);

/// A worker without devices.
#[derive(Debug)]
pub struct Ours {
    batch: packet::Batch,
    shard: Shard,
    tables: Arc<Tables>,
    elapsed: Duration,
    sent: u64,
    /// Kept for its memory: what flows occupy is then seen clearly.
    answers: [Ring; 2],
}

/// What the workers of one instance have in common.
#[derive(Clone, Debug)]
pub struct Instance {
    tables: Arc<Tables>,
    shared: Arc<Shared>,
}

impl Instance {
    /// An instance that has seen no packet yet.
    #[must_use]
    pub fn of(profile: &Profile) -> Self {
        Self { tables: Arc::new(topology::tables(profile)), shared: Arc::default() }
    }

    /// The same topology, where no packet was seen yet.
    #[must_use]
    pub fn anew(&self) -> Self {
        Self { tables: self.tables.clone(), shared: Arc::default() }
    }

    /// Ports that are leased, and hashes that workers have claimed.
    #[must_use]
    pub fn held(&self) -> (u64, usize) {
        (self.shared.ports.total(), self.shared.directory.len())
    }

    /// One of its workers, with room for so many flows.
    #[must_use]
    pub fn worker(&self, number: u16, flows: usize) -> Ours {
        Ours {
            batch: packet::Batch::new(),
            shard: Shard::new(WorkerId(number), self.shared.clone(), flows, 7),
            tables: self.tables.clone(),
            elapsed: Duration::ZERO,
            sent: 0,
            answers: [Ring::default(), Ring::default()],
        }
    }
}

impl Ours {
    /// One turn.
    #[inline(never)]
    pub fn turn(&mut self, batch: Batch<'_>) {
        self.carry(batch, TURN);
        self.expire();
    }

    /// The first half of a turn that begins so much later than the last: packets.
    #[inline(always)]
    pub(crate) fn carry(&mut self, batch: Batch<'_>, later: Duration) {
        self.elapsed += later;
        self.shard.stamp(self.elapsed);
        let mut packets = batch.packets();
        let mut left = batch.len();
        // As long ones as a batch has no room for all of are more than one, as a worker has it.
        while left > 0 {
            self.batch.clear();
            self.batch.receive(|slot| {
                let packet = packets.next()?;
                packet.copy_to(slot[HEADROOM..].as_chunks_mut().0);
                let (start, offload) = (HEADROOM, VirtioNetHdr::PLAIN);
                let frame = Frame { start, len: packet.length, offload };
                Some((LinkId(packet.link), frame))
            });
            left -= self.batch.len();
            path::run(&mut self.batch, &mut self.shard, &self.tables);
        }
        self.sent += batch.len() as u64;
    }

    /// The second half: what is due ends. Whether nothing due is left.
    #[inline(always)]
    pub(crate) fn expire(&mut self) -> bool {
        self.shard.expire(&self.tables.timers)
    }

    /// Has time pass until all flows have ended.
    pub(crate) fn end(&mut self) {
        while self.flows() > 0 {
            self.elapsed += SILENT;
            self.shard.stamp(self.elapsed);
            while !self.expire() {}
        }
    }

    /// How much [`expire`](Self::expire) has looked at, flows above all.
    pub(crate) fn looked_at(&self) -> u64 {
        self.shard.visited()
    }

    /// As many turns as the ring has batches.
    pub fn run(&mut self, ring: &Ring) {
        ring.batches().for_each(|batch| self.turn(batch));
    }

    /// Opens a flow for each session and takes it to `ESTABLISHED`.
    ///
    /// # Errors
    ///
    /// When a packet did not arrive in order.
    pub fn establish(&mut self, profile: &Profile, sessions: &[u32]) -> Result<(), Cheated> {
        for sessions in sessions.chunks(CHUNK) {
            let syns = Ring::opening(profile, sessions);
            self.run(&syns);
            self.answer(&syns)?;
        }
        Ok(())
    }

    /// Takes flows that these SYNs have opened to `ESTABLISHED`: the server answers, and the client
    /// acknowledges.
    ///
    /// # Errors
    ///
    /// When a packet did not arrive in order.
    pub fn answer(&mut self, syns: &Ring) -> Result<(), Cheated> {
        let mut rings = std::mem::take(&mut self.answers);
        let [answers, acknowledgments] = &mut rings;
        answers.clear();
        // They come again, for what they have become to be seen.
        self.replies(syns, SYN | ACK, None, answers)?;
        acknowledgments.clear();
        for syn in syns.batches().flat_map(Batch::packets) {
            let sent = Segment { flags: ACK, ..syn.segment() };
            acknowledgments.push_bare((syn.link, sent));
        }
        rings.iter().for_each(|ring| self.run(ring));
        self.answers = rings;
        Ok(())
    }

    /// Takes `requests` down the path, and adds to `replies` what their receivers send back, with
    /// these control bits and of this length; without data if there is none.
    ///
    /// # Errors
    ///
    /// When a packet did not arrive in order.
    pub fn replies(
        &mut self,
        requests: &Ring,
        flags: u8,
        length: Option<u16>,
        replies: &mut Ring,
    ) -> Result<(), Cheated> {
        for batch in requests.batches() {
            self.turn(batch);
            for at in 0..batch.len() {
                let (link, arrived) = self.emitted(at)?;
                let answer = arrived.answered(flags);
                replies.push((link, answer), length.unwrap_or(answer.bare_length()));
            }
        }
        Ok(())
    }

    /// Flows that live.
    #[must_use]
    pub fn flows(&self) -> usize {
        self.shard.flows.len()
    }

    /// Says whether all that was sent was forwarded, by so many flows, and the packets of the last
    /// turn leave as they should.
    ///
    /// # Errors
    ///
    /// What is not so.
    pub fn check(&self, flows: usize) -> Result<(), Cheated> {
        if self.shard.counters.forwarded != self.sent {
            let counters = &self.shard.counters;
            return Err(Cheated(format!("{} were sent, but {counters:?}", self.sent)));
        }
        if self.flows() != flows {
            return Err(Cheated(format!("{} flows instead of {flows}", self.flows())));
        }
        (0..self.batch.len()).try_for_each(|at| self.emitted(at).map(drop))
    }

    /// Where a packet of the last turn leaves, and what it has become.
    fn emitted(&self, at: usize) -> Result<(u16, Segment), Cheated> {
        let packet = self.batch.packets().get(at);
        let verdict = packet.map(|packet| packet.verdict);
        let Some(Verdict::Emit { link, fragment: None }) = verdict else {
            return Err(Cheated(format!("{verdict:?}")));
        };
        let segment = Segment::read(self.batch.bytes(at));
        let segment = segment.ok_or_else(|| Cheated("its checksum is wrong".to_owned()))?;
        Ok((link.0, segment))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Path;

    #[test]
    fn packets_go_where_the_profile_says() {
        for path in [Path::Nat44, Path::Ip4, Path::Ip6, Path::Nat64, Path::Hyperplane] {
            let profile = Profile::of(path, 16, 63);
            let sessions: Vec<u32> = (0..profile.sessions()).collect();
            let mut ours = Instance::of(&profile).worker(0, 2000);
            ours.establish(&profile, &sessions).unwrap();
            ours.check(1008).unwrap();
            let ring = Ring::of(&profile);
            for batch in ring.batches() {
                ours.turn(batch);
                for (at, sent) in batch.packets().enumerate() {
                    let (link, arrived) = ours.emitted(at).unwrap();
                    assert_eq!(link, topology::SERVER_LINK);
                    let sent = sent.segment();
                    assert_eq!(arrived.dst.1, sent.dst.1);
                    match path {
                        Path::Nat44 | Path::Nat64 => {
                            assert_eq!(arrived.src.0, topology::NAT_PUBLIC);
                            assert_eq!(arrived.dst.0, topology::REMOTE);
                        }
                        Path::Hyperplane => {
                            assert_eq!(arrived.src.0, topology::HYPERPLANE_ENI);
                            assert_eq!(arrived.dst.0, sent.dst.0);
                        }
                        Path::Ip4 | Path::Ip6 => assert_eq!(arrived, sent),
                    }
                }
            }
            ours.check(1008).unwrap();
        }
    }

    #[test]
    fn who_does_not_forward_is_told() {
        let profile = Profile::NAT44[0];
        let mut ours = Instance::of(&profile).worker(0, 10);
        let sessions: Vec<u32> = (0..20).collect();
        assert!(ours.establish(&profile, &sessions).is_err(), "a table of ten takes ten");
    }
}
