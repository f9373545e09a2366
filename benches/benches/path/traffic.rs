//! Packets of many flows, ready to be copied, and the path that they are sent down.

use std::sync::Arc;

use dataplane::packet::Batch;
use dataplane::path;
use dataplane::shared::{Shared, WorkerId};
use dataplane::state::Shard;
use dataplane::tables::Tables;
use dataplane::wire::virtio::VirtioNetHdr;

use crate::datagram::{ACK, SYN, tcp};
use crate::topology::{APP, INTERNET, Topology, address};

pub const BATCH: usize = Batch::PACKETS;
pub const LENGTH: usize = 64;

pub type Bytes = [u8; LENGTH];

/// One TCP conversation a flow, from one client to many ports of one host: towards each of them no
/// more than a NAT gateway has ports for.
pub struct Packets {
    /// A segment of each flow, often enough for the order to be random and long.
    shuffled: Vec<Bytes>,
    /// The SYN of each flow, once.
    first: Vec<Bytes>,
    flows: u32,
}

const CLIENT_PORTS: u32 = 1 << 15;

impl Packets {
    pub fn of(flows: u32) -> Self {
        Self::numbered(0, flows)
    }

    /// A quarter as many flows, and others.
    pub fn others_than(known: &Self) -> Self {
        Self::numbered(known.flows, (known.flows / 4).max(1 << 13))
    }

    fn numbered(from: u32, flows: u32) -> Self {
        let packet = |number: u32, flags, data: &[u8]| {
            let port = |n: u32| u16::try_from(n).unwrap();
            let client = (address(APP), port(20_000 + number % CLIENT_PORTS));
            let server = (address(INTERNET), port(1000 + number / CLIENT_PORTS));
            let mut bytes = tcp(client, server, flags, data).bytes();
            bytes.resize(LENGTH, 0);
            bytes.try_into().unwrap()
        };
        let mut random = fastrand::Rng::with_seed(u64::from(flows));
        let mut order: Vec<u32> = (from..from + flows).collect();
        random.shuffle(&mut order);
        let first = order.iter().map(|&number| packet(number, SYN, &[])).collect();
        // A segment of 64 bytes; a SYN is padded behind its end.
        let rounds = (1_u32 << 14).div_ceil(flows);
        let mut shuffled = Vec::new();
        for _ in 0..rounds {
            random.shuffle(&mut order);
            shuffled.extend(order.iter().map(|&number| packet(number, ACK, &[7; 24])));
        }
        Self { shuffled, first, flows }
    }

    /// One batch after another, from the start again after the last.
    pub fn shuffled_batch(&self, at: &mut usize) -> &[Bytes] {
        let batch = &self.shuffled[*at..*at + BATCH];
        *at = (*at + BATCH) % self.shuffled.len();
        batch
    }

    pub fn first_batches(&self) -> std::slice::Chunks<'_, Bytes> {
        self.first.chunks(BATCH)
    }

    /// Each flow's segment once, or more often.
    pub fn segments(&self) -> &[Bytes] {
        &self.shuffled[..self.flows as usize]
    }
}

/// The path, as a worker drives it, without devices.
pub struct Ours {
    batch: Batch,
    shard: Shard,
    tables: Tables,
    sent: u64,
}

impl Ours {
    pub fn empty(flows: u32) -> Self {
        let shared = Arc::new(Shared::default());
        let limit = flows as usize * 2 + (1 << 14);
        let shard = Shard::new(WorkerId(0), shared, limit, 7);
        Self { batch: Batch::new(), shard, tables: Topology::default().tables(), sent: 0 }
    }

    pub fn with_flows(packets: &Packets) -> Self {
        let mut ours = Self::empty(packets.flows);
        for batch in packets.first_batches() {
            ours.turn(batch);
        }
        ours
    }

    #[inline(never)]
    pub fn turn(&mut self, packets: &[Bytes]) {
        self.batch.clear();
        for bytes in packets {
            self.batch.push_bytes(APP, bytes, VirtioNetHdr::PLAIN);
        }
        path::run(&mut self.batch, &mut self.shard, &self.tables);
        self.sent += packets.len() as u64;
    }

    /// All that was sent was forwarded, by so many flows.
    pub fn check(&self, flows: u32) {
        self.check_at_least(flows);
        assert_eq!(self.shard.flows.len(), flows as usize);
    }

    pub fn check_at_least(&self, flows: u32) {
        assert_eq!(self.shard.counters.forwarded, self.sent, "{:?}", self.shard.counters);
        assert!(self.shard.flows.len() >= flows as usize);
    }
}
