//! Whoever looks at all flows of the workers does so a few at a time: packets do not wait for it.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a test is nobody's library, and fails by panic"
)]

mod common;

use std::net::Ipv4Addr;
use std::sync::Arc;

use dataplane::packet::{Batch, Key, LinkId};
use dataplane::path;
use dataplane::shared::{Shared, WorkerId};
use dataplane::state::{Flows, Shard};
use dataplane::tables::{Published, Tables};
use dataplane::time::Clock;
use dataplane::wire::virtio::VirtioNetHdr;
use dataplane::worker::{Setup, Workers};

use common::datagram::udp;
use common::net::Net;
use common::topology::{APP, DB, INTERNET, Topology, address};

/// The datagram from port `port` of a member to the internet.
fn datagram(from: LinkId, port: usize) -> Vec<u8> {
    let port = u16::try_from(port).unwrap();
    udp((address(from), port), (address(INTERNET), 53), b"data").bytes()
}

/// How many flows began at this address.
fn of(shard: &Shard, address: Ipv4Addr) -> usize {
    let is_of = |key: &Key| key.src == address.into();
    let keys = shard.flows.live().filter_map(|flow| shard.flows.keys_of(flow));
    keys.filter(|[original, _]| is_of(original)).count()
}

#[test]
fn flows_of_a_link_that_goes_are_forgotten_page_by_page_and_no_others() {
    const EACH: usize = 3 * Flows::PAGE + 7;
    let mut net = Net::new(&Topology::open());
    for port in 1024..1024 + EACH {
        for member in [APP, DB] {
            net.send(member, &datagram(member, port)).at(INTERNET);
        }
    }
    let (mut from, mut visits) = (Some(0), 0);
    while let Some(slot) = from {
        let before = net.shard.flows.len();
        from = net.shard.forget_links(&[APP], slot, &net.tables.timers);
        assert!(before - net.shard.flows.len() <= Shard::FORGOTTEN);
        visits += 1;
        // Others go on meanwhile, and take the slots that became free.
        net.send(DB, &datagram(DB, 1024 + EACH + visits)).at(INTERNET);
        net.check();
    }
    assert!(visits >= EACH / Shard::FORGOTTEN, "{visits} visits");
    let left = [APP, DB].map(|member| of(&net.shard, address(member)));
    assert_eq!((left, net.shard.flows.len()), ([0, EACH + visits], EACH + visits));

    assert_eq!(net.shard.forget_links(&[], 0, &net.tables.timers), None, "nobody has gone");
    // Who comes back gets what was held.
    net.send(APP, &datagram(APP, 1024)).at(INTERNET);
    net.check();
}

/// Opens flows from ports of `app`.
fn open(shard: &mut Shard, tables: &Tables, ports: impl Iterator<Item = usize>) {
    let mut batch = Batch::new();
    for port in ports {
        batch.clear();
        batch.push_bytes(APP, &datagram(APP, port), VirtioNetHdr::PLAIN);
        path::run(&mut batch, shard, tables);
    }
}

#[test]
fn all_flows_of_all_workers_are_gone_through_once() {
    const FLOWS: usize = 5 * Flows::PAGE + 1;
    let setup = Setup {
        workers: 2,
        shared: Arc::new(Shared::for_workers(2, 1 << 12)),
        tables: Published::new(Topology::open().tables()),
        clock: Arc::new(Clock::start()),
        flow_limit: 1 << 12,
        seed: 1,
        on_panic: Arc::new(|| ()),
    };
    let workers = Workers::start(&setup).unwrap();
    let ports = |shard: &Shard| match shard.worker() {
        WorkerId(0) => 1024..1024 + FLOWS,
        _ => 20_000..20_000 + FLOWS,
    };
    workers.ask(move |shard, tables| open(shard, tables, ports(shard))).unwrap();
    // Some pages of one worker are empty.
    let gone = Flows::PAGE..3 * Flows::PAGE;
    let void = gone.clone();
    let forget = move |shard: &mut Shard, tables: &Tables, from| {
        let is_void = shard.worker() == WorkerId(0) && void.contains(&from);
        let next = is_void.then(|| shard.forget_links(&[APP], from, &tables.timers));
        ((), next.unwrap_or_else(|| shard.flows.page(from).1))
    };
    workers.go_through(forget).try_for_each(|answers| answers.map(drop)).unwrap();

    let mut seen = Vec::new();
    let pages = workers.go_through(|shard, _, from| {
        let (page, next) = shard.flows.page(from);
        let keys = page.filter_map(|flow| shard.flows.keys_of(flow));
        (keys.map(|[original, _]| original.ports.src()).collect::<Vec<_>>(), next)
    });
    for page in pages {
        for ports in page.unwrap() {
            assert!(ports.len() <= Flows::PAGE);
            seen.extend(ports.into_iter().map(usize::from));
        }
    }
    seen.sort_unstable();
    let slots = |range: std::ops::Range<usize>| range.start + 1024..range.end + 1024;
    let live = slots(0..gone.start).chain(slots(gone.end..FLOWS)).chain(20_000..20_000 + FLOWS);
    assert!(seen.into_iter().eq(live));

    let forget = |shard: &mut Shard, tables: &Tables, from| {
        ((), shard.forget_links(&[APP], from, &tables.timers))
    };
    workers.go_through(forget).try_for_each(|answers| answers.map(drop)).unwrap();
    assert_eq!(workers.ask(|shard, _| shard.flows.len()).unwrap(), [0, 0]);
}
