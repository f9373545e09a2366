//! What becomes of packets that were judged and then found no room where they were to leave?

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::datagram::udp;
use common::topology::{APP, RESOLVER, RESOLVER_ADDRESSES, Topology, address};
use dataplane::io::{Link, memory};
use dataplane::packet::{Component, LinkService, Reason, VpcId};
use dataplane::shared::Shared;
use dataplane::tables::Published;
use dataplane::time::Clock;
use dataplane::worker::{Setup, Workers};

#[test]
fn a_service_that_does_not_read_costs_its_askers_their_packets_and_nobody_else() {
    const SENT: u64 = 300;
    const ROOM: usize = 16;
    let workers = Workers::start(&Setup {
        workers: 1,
        shared: Arc::new(Shared::default()),
        tables: Published::new(Topology::default().tables()),
        clock: Arc::new(Clock::start()),
        flow_limit: 1024,
        seed: 1,
        on_panic: Arc::new(|| eprintln!("a worker has panicked")),
    });
    let workers = workers.unwrap();
    let (asker, asking) = memory::pair(1024).unwrap();
    let (service, _idle) = memory::pair(ROOM).unwrap();
    for (link, queue) in [(APP, asker), (RESOLVER, service)] {
        workers.attach(link, [Box::new(queue) as Box<dyn Link>]).unwrap().unwrap();
    }
    let (resolver, _) = RESOLVER_ADDRESSES;
    for port in 0..SENT {
        let from = (address(APP).into(), 1024 + u16::try_from(port).unwrap());
        asking.send(udp(from, (resolver.into(), 53), b"who is it?").bytes()).unwrap();
    }
    let began = Instant::now();
    let counters = loop {
        let counters = workers.ask(|shard, _| shard.counters.clone()).unwrap().remove(0);
        if counters.received == SENT || began.elapsed() > Duration::from_secs(10) {
            break counters;
        }
    };
    assert_eq!(counters.received, SENT);
    let at = (Reason::LinkFull, Component::Service(LinkService::Resolver, VpcId(0)));
    let lost = counters.drops.get(&at).copied().unwrap_or_default();
    assert_eq!(lost, SENT - ROOM as u64, "{:?}", counters.drops);
    assert_eq!(counters.forwarded, ROOM as u64, "what is lost was not forwarded");
}
