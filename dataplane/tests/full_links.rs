//! What does a worker count that a link has no room for? It was to be forwarded, and is dropped.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a test is nobody's library, and fails by panic"
)]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use dataplane::io::{Link, memory};
use dataplane::packet::{Component, LinkId, LinkService, Reason, VpcId};
use dataplane::shared::Shared;
use dataplane::tables::Published;
use dataplane::time::Clock;
use dataplane::worker::{Setup, Workers};

use common::datagram::udp;
use common::topology::{APP, RESOLVER, RESOLVER_ADDRESSES, Topology, address};

const SENT: u64 = 5;
const ROOM: usize = 2;

#[test]
fn a_service_at_the_link_gets_what_there_is_room_for_and_the_rest_is_counted_as_dropped() {
    let setup = Setup {
        workers: 1,
        shared: Arc::new(Shared::for_workers(1, 1 << 10)),
        tables: Published::new(Topology::open().tables()),
        clock: Arc::new(Clock::start()),
        flow_limit: 1 << 10,
        seed: 1,
        on_panic: Arc::new(|| ()),
    };
    let workers = Workers::start(&setup).unwrap();
    let attach = |id: LinkId, room| {
        let (link, peer) = memory::pair(room).unwrap();
        workers.attach(id, [Box::new(link) as Box<dyn Link>]).unwrap().unwrap();
        peer
    };
    let (app, resolver) = (attach(APP, 64), attach(RESOLVER, ROOM));
    let query = udp((address(APP), 40_000), (RESOLVER_ADDRESSES.0, 53), b"query");
    (0..SENT).for_each(|_| app.send(query.bytes()).unwrap());

    let counters = || workers.ask(|shard, _| shard.counters.clone()).unwrap().remove(0);
    let deadline = Instant::now() + Duration::from_secs(10);
    while counters().forwarded + counters().dropped() < SENT {
        assert!(Instant::now() < deadline, "{:?}", counters());
    }
    let (counters, room) = (counters(), u64::try_from(ROOM).unwrap());
    let resolver_of = Component::Service(LinkService::Resolver, VpcId(0));
    assert_eq!((counters.received, counters.forwarded), (SENT, room));
    assert_eq!(counters.drops.get(&(Reason::LinkFull, resolver_of)), Some(&(SENT - room)));
    assert_eq!(std::iter::from_fn(|| resolver.receive()).count(), ROOM);
}
