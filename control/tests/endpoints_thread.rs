//! The thread of the built-in hosts: asleep when idle, gone when dropped. The only test of its
//! process, because it looks at the process's threads.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use control::endpoints::{Endpoints, HostSpec, Service, Surroundings};
use dataplane::io::memory::pair;
use dataplane::io::{Frame, HEADROOM, Link, SLOT};
use dataplane::tables::INTERNET_MTU;
use dataplane::time::Clock;
use dataplane::wire::virtio::VirtioNetHdr;
use etherparse::PacketBuilder;

const HOST: [u8; 4] = [203, 0, 113, 80];

/// The directories in `/proc` of the threads named so.
fn threads() -> Vec<PathBuf> {
    fs::read_dir("/proc/self/task")
        .expect("a process may list its threads")
        .map(|task| task.expect("a directory reads to its end").path())
        .filter(|task| {
            fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "endpoints")
        })
        .collect()
}

#[test]
fn sleeps_when_idle_and_ends_when_dropped() {
    let (mut link, peer) = pair(64).unwrap();
    let serves = Service::ALL.to_vec();
    let host = HostSpec {
        name: "host".into(),
        vpc: None,
        addresses: vec![HOST.into()],
        serves,
        mtu: INTERNET_MTU,
        peer,
    };
    let (knowledge, clock) = (Arc::default(), Arc::new(Clock::start()));
    let surroundings = Surroundings { knowledge, clock, began: SystemTime::now() };
    let mut endpoints = Endpoints::start(surroundings).unwrap();
    endpoints.add(host).unwrap();

    // It works: a packet wakes it, again and again. A half-open connection stays behind.
    let mut slot = vec![0; SLOT];
    let mut ask = |packet: &[u8]| {
        slot[HEADROOM..HEADROOM + packet.len()].copy_from_slice(packet);
        let frame = Frame { start: HEADROOM, len: packet.len(), offload: VirtioNetHdr::PLAIN };
        link.send(&mut slot, frame).unwrap();
        let start = Instant::now();
        while link.receive(&mut slot).unwrap().is_none() {
            assert!(start.elapsed() < Duration::from_secs(5), "no answer");
            sleep(Duration::from_micros(100));
        }
    };
    let packet = || PacketBuilder::ipv4([198, 51, 100, 10], HOST, 64);
    for count in 0..100 {
        let mut ping = Vec::new();
        packet().icmpv4_echo_request(1, count).write(&mut ping, b"hello").unwrap();
        ask(&ping);
    }
    let mut syn = Vec::new();
    packet().tcp(4000, 80, 1, 1024).syn().write(&mut syn, &[]).unwrap();
    ask(&syn);

    // Then it sleeps, but for a retransmission.
    let [thread] = &threads()[..] else { panic!("not one thread named endpoints") };
    let used = || {
        let statistics = fs::read_to_string(thread.join("schedstat")).unwrap();
        let nanoseconds = statistics.split(' ').next().unwrap().parse().unwrap();
        Duration::from_nanos(nanoseconds)
    };
    let before = used();
    sleep(Duration::from_secs(1));
    let idle = used() - before;
    assert!(idle < Duration::from_millis(5), "{idle:?} in a second of idleness");

    let start = Instant::now();
    drop(endpoints);
    let took = start.elapsed();
    assert!(took < Duration::from_millis(500), "it took {took:?} to end");
    // A thread that was joined may be listed for a moment longer.
    let start = Instant::now();
    while !threads().is_empty() {
        assert!(start.elapsed() < Duration::from_secs(5), "the thread is still there");
        sleep(Duration::from_millis(1));
    }
}
