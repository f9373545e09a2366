//! The hit path allocates nothing: counted by the allocator itself.
//!
//! Alone in its binary, for the allocator is the whole program's; one test, for others would
//! allocate meanwhile.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a test is nobody's library, and fails by panic"
)]
#![expect(unsafe_code, reason = "an allocator cannot be written without")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dataplane::packet::{Batch, LinkId, Verdict};
use dataplane::path;
use dataplane::wire::virtio::VirtioNetHdr;

use common::datagram::{ACK, Datagram, FIN, SYN, echo, tcp, udp};
use common::net::Net;
use common::topology::{APP, BASTION, DB, INTERNET, Topology, address, address6, nat64};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// JUSTIFICATION: whether code allocates can be seen only from inside the allocator.
// SAFETY: every call goes on, unchanged, to the system's allocator, which keeps the contract; the
// counter beside it touches no memory that is handed out.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: as above; `place` came from `alloc`, and so from the system's allocator.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn hits_allocate_nothing() {
    assert!(counting(|| drop(std::hint::black_box(vec![0_u8; 100]))) > 0, "the counter counts");

    let mut net = Net::new(&Topology::open());
    // Of each way by a NAT gateway, the first packets make its meters.
    let across: (IpAddr, IpAddr) = (address6(DB).into(), nat64(address(INTERNET)).into());
    for (src, dst) in [across, (address(DB).into(), address(INTERNET).into())] {
        let asked = net.send_datagram(DB, &udp((src, 1), (dst, 53), &[])).at(INTERNET);
        let answer = udp((asked.dst, 53), (asked.src, asked.ports().0), &[]);
        net.send_datagram(INTERNET, &answer).at(DB);
    }
    let mut packets: Vec<(LinkId, Vec<u8>)> = Vec::new();
    let (v4, v6) = (address(INTERNET).into(), address6(INTERNET).into());
    for port in 1..=8 {
        for from in [APP, BASTION] {
            conversation(&mut net, &mut packets, from, (address(from).into(), v4), port);
            conversation(&mut net, &mut packets, from, (address6(from).into(), v6), port);
        }
        let across = (address6(APP).into(), nat64(address(INTERNET)).into());
        conversation(&mut net, &mut packets, APP, across, 100 + port);
    }
    let counted = net.shard.counters.clone();
    let mut batch = Batch::new();
    let mut rounds = 0;
    let allocations = counting(|| {
        // Times differ, so that clocks are restarted; nothing expires.
        for _ in 0..20 {
            net.shard.stamp(net.shard.elapsed() + Duration::from_secs(1));
            for chunk in packets.chunks(Batch::PACKETS) {
                batch.clear();
                for (link, bytes) in chunk {
                    batch.push_bytes(*link, bytes, VirtioNetHdr::PLAIN);
                }
                path::run(&mut batch, &mut net.shard, &net.tables);
                let gone =
                    batch.packets().iter().filter(|p| matches!(p.verdict, Verdict::Emit { .. }));
                assert_eq!(gone.count(), chunk.len());
                net.shard.expire(&net.tables.timers);
            }
            rounds += 1;
        }
    });
    assert_eq!(allocations, 0, "allocations on the hit path");

    let counters = &net.shard.counters;
    let sent = rounds * packets.len() as u64;
    assert_eq!(counters.forwarded, counted.forwarded + sent, "they were forwarded");
    assert_eq!(counters.opened, counted.opened, "by flows that were known");
    assert!(counters.drops.is_empty());
}

/// Opens flows of all protocols and collects packets of both directions that will hit them, those
/// that take a connection through its phases to its end among them. `src` and `dst` are as the client has them.
fn conversation(
    net: &mut Net,
    packets: &mut Vec<(LinkId, Vec<u8>)>,
    from: LinkId,
    (src, dst): (IpAddr, IpAddr),
    port: u16,
) {
    let mut open = |request: &Datagram| {
        let arrived = net.send_datagram(from, request).at(INTERNET);
        (arrived.dst, (arrived.src, arrived.ports().0))
    };
    let mut both = |request: Datagram, reply: Datagram| {
        packets.extend([(from, request.bytes()), (INTERNET, reply.bytes())]);
    };
    for to in [80, 81] {
        let (client, server) = ((src, port), (dst, to));
        let (there, seen) = open(&tcp(client, server, SYN, &[]));
        let there = (there, to);
        both(tcp(client, server, ACK, &[]), tcp(there, seen, SYN | ACK, &[]));
        both(tcp(client, server, ACK, &[0; 10]), tcp(there, seen, ACK, &[0; 10]));
        if to == 81 {
            let flags = FIN | ACK;
            both(tcp(client, server, flags, &[]), tcp(there, seen, flags, &[]));
        }
    }
    let request = udp((src, port), (dst, 53), &[0; 10]);
    let (there, seen) = open(&request);
    both(request, udp((there, 53), seen, &[0; 10]));
    let request = echo(src, dst, true, port, &[0; 10]);
    let (there, (seen, id)) = open(&request);
    both(request, echo(there, seen, false, id, &[0; 10]));
}

/// Allocations while `work` runs.
fn counting(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    work();
    ALLOCATIONS.load(Ordering::Relaxed) - before
}
