//! Workers that meet at every possible moment: the directory, the hand-over rings and the port pools
//! under schedules that shuttle chooses. Each stage of the path is one step of a worker, so that two
//! may admit one flow at once.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a test is nobody's library, and fails by panic"
)]

mod common;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::datagram::{Datagram, SYN, tcp};
use common::topology::{APP, INTERNET, NAT_A, NAT_PRIVATE, Topology, address};
use crossbeam::queue::ArrayQueue;
use dataplane::packet::{Addr, Batch, Key, LinkId, Verdict};
use dataplane::path::PATH;
use dataplane::shared::{Lease, Lender, PortPools, PortRange, Remote, Shared, WorkerId};
use dataplane::state::Shard;
use dataplane::wire::virtio::VirtioNetHdr;
use shuttle::scheduler::RandomScheduler;
use shuttle::{Config, Runner, thread};

const WORKERS: u16 = 3;
const SCHEDULES: usize = 300;

/// What a thread of a schedule has for its stack, in bytes: a walk in a debug build takes more than the 32 KiB that
/// shuttle gives.
const STACK: usize = 256 << 10;

type Packet = (LinkId, Vec<u8>);

/// Runs `schedule` so many times, each time in another order.
fn explore(schedule: impl Fn() + Send + Sync + 'static) {
    let mut config = Config::new();
    config.stack_size = STACK;
    Runner::new(RandomScheduler::new(SCHEDULES), config).run(schedule);
}

/// What workers share in a test: their rings, and how many packets have not ended yet.
struct World {
    shared: Arc<Shared>,
    rings: Vec<ArrayQueue<Packet>>,
    left: AtomicUsize,
}

/// A worker that takes its own packets and what is handed to it, a stage at a time.
fn work(world: &World, id: u16, mut packets: Vec<Packet>) -> (Shard, Vec<Packet>) {
    let tables = Topology::default().tables();
    let mut shard = Shard::new(WorkerId(id), world.shared.clone(), 64, 9);
    let mut batch = Batch::new();
    let mut sent = Vec::new();
    while world.left.load(Ordering::SeqCst) > 0 {
        thread::yield_now();
        let handed = world.rings[usize::from(id)].pop();
        let Some((link, bytes)) = handed.clone().or_else(|| packets.pop()) else { continue };
        batch.clear();
        batch.push_bytes(link, &bytes, VirtioNetHdr::PLAIN);
        if handed.is_some() {
            batch.mark_handed();
        }
        for stage in &PATH {
            (stage.run)(&mut batch, &mut shard, &tables);
            thread::yield_now();
        }
        shard.expire(&tables.timers);
        match batch.packets()[0].verdict {
            Verdict::HandOver(owner) => {
                world.rings[usize::from(owner.0)].push((link, bytes)).unwrap();
                continue;
            }
            Verdict::Emit { link, .. } => sent.push((link, batch.bytes(0).to_vec())),
            verdict => panic!("{verdict:?}"),
        }
        world.left.fetch_sub(1, Ordering::SeqCst);
    }
    (shard, sent)
}

/// Lets every worker have its packets, and gives what all have sent.
fn run(packets: [Vec<Packet>; WORKERS as usize]) -> (Vec<Shard>, Vec<Packet>, Arc<World>) {
    let world = Arc::new(World {
        shared: Arc::new(Shared::default()),
        rings: (0..WORKERS).map(|_| ArrayQueue::new(64)).collect(),
        left: AtomicUsize::new(packets.iter().map(Vec::len).sum()),
    });
    let workers: Vec<_> = (0..WORKERS)
        .zip(packets)
        .map(|(id, packets)| {
            let world = world.clone();
            thread::spawn(move || work(&world, id, packets))
        })
        .collect();
    let (mut shards, mut sent) = (Vec::new(), Vec::new());
    for worker in workers {
        let (shard, packets) = worker.join().unwrap();
        shards.push(shard);
        sent.extend(packets);
    }
    (shards, sent, world)
}

fn syn(port: u16) -> Packet {
    (APP, tcp((address(APP), port), (address(INTERNET), 80), SYN, b"").bytes())
}

#[test]
fn one_flow_has_one_owner_whoever_admits_it() {
    let schedule = || {
        // The same SYNs come to every queue at once, as after a change of steering.
        let packets = || (1..=3).map(syn).collect::<Vec<_>>();
        let (shards, sent, world) = run([packets(), packets(), packets()]);
        assert_eq!(sent.len(), 9);

        let mut owners: HashMap<Key, WorkerId> = HashMap::new();
        let mut leases = 0;
        for shard in &shards {
            for flow in shard.flows.live() {
                let (_, cold) = shard.flows.parts(flow).unwrap();
                for key in shard.flows.keys_of(flow).unwrap() {
                    assert_eq!(owners.insert(key, shard.worker()), None, "two own {key:?}");
                    let known = world.shared.directory.owner(shard.flows.hash(&key));
                    assert_eq!(known, Some(shard.worker()));
                }
                leases += cold.facets().iter().filter(|facet| facet.lease().is_some()).count();
            }
        }
        assert_eq!(owners.len(), 6, "three flows, both keys of each");
        assert_eq!(world.shared.directory.len(), 6);
        assert_eq!(world.shared.ports.total(), u64::try_from(leases).unwrap());
        // Whoever sent it, a connection left from one port.
        let ports: HashSet<_> =
            sent.iter().map(|(_, bytes)| Datagram::read(bytes).ports().0).collect();
        assert_eq!(ports.len(), 3);
        let counted: u64 = shards.iter().map(|shard| shard.counters.opened).sum();
        assert_eq!(counted, 3, "a flow that another admitted first is not opened");
    };
    explore(schedule);
}

#[test]
fn a_pool_never_gives_a_port_twice_nor_one_too_many() {
    let schedule = || {
        let pools = Arc::new(PortPools::default());
        let in_use = Arc::new(AtomicUsize::new(0));
        let range = PortRange { first: 1024, last: 1027, limit: 3 };
        let remote = Remote {
            lender: Lender::NatGateway(NAT_A),
            address: Addr::v4(NAT_PRIVATE),
            remote: Addr::v4(address(INTERNET)),
            remote_port: 80,
            protocol: 6,
        };
        let workers: Vec<_> = (0..WORKERS)
            .map(|id| {
                let (pools, in_use) = (pools.clone(), in_use.clone());
                thread::spawn(move || {
                    let mut random = fastrand::Rng::with_seed(u64::from(id));
                    let mut held: Vec<Lease> = Vec::new();
                    for turn in 0..6 {
                        thread::yield_now();
                        if turn % 3 == 2 {
                            in_use.fetch_sub(held.len(), Ordering::SeqCst);
                            held.clear();
                        } else if let Some(lease) = pools.lease(remote, range, &mut random) {
                            assert!(in_use.fetch_add(1, Ordering::SeqCst) < 3, "one too many");
                            held.push(lease);
                        }
                        let leased = pools.leased(&remote) as usize;
                        assert_eq!(leased, in_use.load(Ordering::SeqCst));
                    }
                })
            })
            .collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        assert_eq!(pools.total(), 0);
    };
    explore(schedule);
}
