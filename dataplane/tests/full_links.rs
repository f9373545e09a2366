//! What does a worker do with a link that has much for it, with one that has no room, and with one that is gone?

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a test is nobody's library, and fails by panic"
)]

mod common;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use dataplane::io::coalesce::LONGEST;
use dataplane::io::{Frame, HEADROOM, Link, Offloads, memory};
use dataplane::packet::{Batch, Component, LinkId, LinkService, Reason, VpcId};
use dataplane::shared::Shared;
use dataplane::tables::Published;
use dataplane::time::Clock;
use dataplane::wire::virtio::VirtioNetHdr;
use dataplane::worker::{Setup, Workers};
use rustix::event::{EventfdFlags, eventfd};
use rustix::thread::{CpuSet, sched_getcpu, sched_setaffinity};

use common::datagram::udp;
use common::topology::{APP, DB, RESOLVER, RESOLVER_ADDRESSES, Topology, address, address6};
use common::wire_sums::make_partial;

/// One worker, which has no links yet.
fn worker() -> Workers {
    let setup = Setup {
        workers: 1,
        shared: Arc::new(Shared::for_workers(1, 1 << 10)),
        tables: Published::new(Topology::open().tables()),
        clock: Arc::new(Clock::start()),
        flow_limit: 1 << 10,
        seed: 1,
        on_panic: Arc::new(|| ()),
    };
    Workers::start(&setup).unwrap()
}

/// Waits until `is_so`.
#[track_caller]
fn wait_until(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < deadline, "it is not so after ten seconds");
    }
}

#[test]
fn a_service_at_the_link_gets_what_there_is_room_for_and_the_rest_is_counted_as_dropped() {
    const SENT: u64 = 5;
    const ROOM: usize = 2;
    let workers = worker();
    let attach = |id: LinkId, room| {
        let (link, peer) = memory::pair(room).unwrap();
        workers.attach(id, [Box::new(link) as Box<dyn Link>]).unwrap().unwrap();
        peer
    };
    let (app, resolver) = (attach(APP, 64), attach(RESOLVER, ROOM));
    let query = udp((address(APP), 40_000), (RESOLVER_ADDRESSES.0, 53), b"query");
    (0..SENT).for_each(|_| app.send(query.bytes()).unwrap());

    let counters = || workers.ask(|shard, _| shard.counters.clone()).unwrap().remove(0);
    wait_until(|| counters().forwarded + counters().dropped() == SENT);
    let (counters, room) = (counters(), u64::try_from(ROOM).unwrap());
    let resolver_of = Component::Service(LinkService::Resolver, VpcId(0));
    assert_eq!((counters.received, counters.forwarded), (SENT, room));
    assert_eq!(counters.drops.get(&(Reason::LinkFull, resolver_of)), Some(&(SENT - room)));
    assert_eq!(std::iter::from_fn(|| resolver.receive()).count(), ROOM);
}

#[test]
fn who_sends_and_receives_does_not_wait_until_a_worker_sleeps_on_their_processor() {
    // It looks for twice as long, once it has learned.
    const SOON: Duration = Duration::from_micros(100);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut here = CpuSet::new();
            here.set(sched_getcpu());
            sched_setaffinity(None, &here).unwrap();
            // Its thread begins where this one is.
            let workers = worker();
            let attach = |id: LinkId| {
                let (link, peer) = memory::pair(64).unwrap();
                workers.attach(id, [Box::new(link) as Box<dyn Link>]).unwrap().unwrap();
                peer
            };
            let (app, db) = (attach(APP), attach(DB));
            let sent = udp((address(APP), 40_000), (address(DB), 4000), b"round");
            let is_soon = || {
                let start = Instant::now();
                app.send(sent.bytes()).unwrap();
                while db.receive().is_none() {
                    assert!(start.elapsed() < Duration::from_secs(10), "it does not arrive");
                    thread::yield_now();
                }
                start.elapsed() < SOON
            };
            let end = Instant::now() + Duration::from_secs(10);
            let mut soon = 0;
            while soon < 100 && Instant::now() < end {
                soon = (0..200).filter(|_| is_soon()).count();
            }
            assert!(soon >= 100, "{soon} of 200 soon");
        });
    });
}

/// A link that has some packets of one kind and takes any, and writes down what it sees.
struct Witness {
    /// Polls readable for ever.
    ready: OwnedFd,
    packet: Vec<u8>,
    /// What is left to be done about it.
    offload: VirtioNetHdr,
    /// Packets that are left.
    left: usize,
    takes: Offloads,
    seen: Arc<Seen>,
}

/// What two links see together.
#[derive(Default)]
struct Seen {
    received: AtomicUsize,
    sent: AtomicUsize,
    /// How many packets the worker had in hand whenever it had read one more.
    in_hand: Mutex<Vec<usize>>,
    /// What was sent: bytes, and by how much a super-packet is cut.
    frames: Mutex<Vec<(usize, u16)>>,
    /// Whether there is room for nothing.
    is_full: AtomicBool,
}

impl Link for Witness {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.ready.as_fd()
    }

    fn receive(&mut self, slot: &mut [u8]) -> io::Result<Option<Frame>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let received = self.seen.received.fetch_add(1, Ordering::Relaxed) + 1;
        let sent = self.seen.sent.load(Ordering::Relaxed);
        self.seen.in_hand.lock().unwrap().push(received - sent);
        let frame = Frame { start: HEADROOM, len: self.packet.len(), offload: self.offload };
        frame.packet(slot).unwrap().copy_from_slice(&self.packet);
        Ok(Some(frame))
    }

    fn send(&mut self, _: &mut [u8], frame: Frame) -> io::Result<()> {
        self.seen.frames.lock().unwrap().push((frame.len, frame.offload.gso_size));
        self.seen.sent.fetch_add(1, Ordering::Relaxed);
        match self.seen.is_full.load(Ordering::Relaxed) {
            true => Err(io::ErrorKind::WouldBlock.into()),
            false => Ok(()),
        }
    }

    fn takes(&self) -> Offloads {
        self.takes
    }
}

/// A worker between two links that [see](Seen) the same; [`APP`] has `left` such packets for [`DB`].
fn between(
    packet: &[u8],
    offload: VirtioNetHdr,
    left: usize,
    takes: Offloads,
    seen: &Arc<Seen>,
) -> Workers {
    let workers = worker();
    for (id, left) in [(DB, 0), (APP, left)] {
        let (ready, seen) = (eventfd(1, EventfdFlags::CLOEXEC).unwrap(), seen.clone());
        let link = Witness { ready, packet: packet.to_vec(), offload, left, takes, seen };
        workers.attach(id, [Box::new(link) as Box<dyn Link>]).unwrap().unwrap();
    }
    workers
}

#[test]
fn a_full_batch_is_sent_before_more_is_read() {
    const SENT: usize = 100;
    let packet = udp((address(APP), 40_000), (address(DB), 80), &[7; 8000]).bytes();
    let seen = Arc::new(Seen::default());
    let _workers = between(&packet, VirtioNetHdr::PLAIN, SENT, Offloads::default(), &seen);
    wait_until(|| seen.sent.load(Ordering::Relaxed) == SENT);
    let in_hand = seen.in_hand.lock().unwrap().clone();
    // No more than fit, with what is left free between them; and as many as that.
    let most = in_hand.iter().copied().max().unwrap();
    assert!((6..=1 + Batch::BYTES / packet.len()).contains(&most), "{in_hand:?}");
    // They are on their way when the next is read.
    assert!(in_hand.iter().filter(|&&in_hand| in_hand == 1).count() >= SENT / most);
}

/// Datagrams that fill a batch leave as two super-packets by a link that takes such, and one by one by another, or
/// where they are fewer; if there is no room for one of them, all that are in it are lost.
#[test]
fn many_datagrams_that_are_alike_leave_as_few() {
    let mut packet = udp((address6(APP), 40_000), (address6(DB), 80), &[7; 100]).bytes();
    let offload = make_partial(&mut packet);
    let all = Offloads { checksum: true, tcp: true, udp: true };
    let no_udp = Offloads { udp: false, ..all };
    let (whole, one) = ((packet.len() - 100 + LONGEST * 100, 100), (packet.len(), 0));
    let many = Batch::PACKETS;
    for (sent, takes, is_full, expected) in [
        (many, all, false, vec![whole; many / LONGEST]),
        (many, all, true, vec![whole; many / LONGEST]),
        (many, no_udp, false, vec![one; many]),
        (many - 1, all, false, vec![one; many - 1]),
    ] {
        let seen = Arc::new(Seen { is_full: is_full.into(), ..Seen::default() });
        let workers = between(&packet, offload, sent, takes, &seen);
        wait_until(|| seen.sent.load(Ordering::Relaxed) == expected.len());
        assert_eq!(*seen.frames.lock().unwrap(), expected);
        let counters = workers.ask(|shard, _| shard.counters.clone()).unwrap().remove(0);
        let lost = if is_full { sent as u64 } else { 0 };
        assert_eq!((counters.forwarded, counters.dropped()), (sent as u64 - lost, lost));
        assert!(counters.drops.keys().all(|(reason, _)| *reason == Reason::LinkFull));
    }
}

/// A link that is gone.
struct Gone<C: FnMut()> {
    ready: OwnedFd,
    /// How often it was read since.
    read: Arc<AtomicUsize>,
    /// What is done when it is closed.
    close: C,
}

impl<C: FnMut()> Gone<C> {
    fn new(read: &Arc<AtomicUsize>, close: C) -> Self {
        let ready = eventfd(1, EventfdFlags::CLOEXEC).unwrap();
        Self { ready, read: read.clone(), close }
    }
}

impl<C: FnMut() + Send> Link for Gone<C> {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.ready.as_fd()
    }

    fn receive(&mut self, _: &mut [u8]) -> io::Result<Option<Frame>> {
        self.read.fetch_add(1, Ordering::Relaxed);
        Err(io::ErrorKind::NotConnected.into())
    }

    fn send(&mut self, _: &mut [u8], _: Frame) -> io::Result<()> {
        Err(io::ErrorKind::NotConnected.into())
    }

    fn takes(&self) -> Offloads {
        Offloads::default()
    }
}

impl<C: FnMut()> Drop for Gone<C> {
    fn drop(&mut self) {
        (self.close)();
    }
}

/// The kernel closes a device when it gets to it. Packets of other links do not wait for that: a link is closed by who
/// takes it away, or puts another in its place, also if it was gone before; until then what is sent to it is lost.
#[test]
fn no_worker_closes_a_link() {
    let workers = worker();
    let (closed, closes) = mpsc::channel();
    let read = Arc::new(AtomicUsize::new(0));
    let attach = |link: Box<dyn Link>| workers.attach(DB, [link]).unwrap().unwrap();
    let gone = || {
        let closed = closed.clone();
        attach(Box::new(Gone::new(&read, move || closed.send(thread::current().id()).unwrap())));
    };
    let (app, peer) = memory::pair(8).unwrap();
    workers.attach(APP, [Box::new(app) as Box<dyn Link>]).unwrap().unwrap();
    let datagram = udp((address(APP), 40_000), (address(DB), 80), b"data").bytes();
    let counters = || workers.ask(|shard, _| shard.counters.clone()).unwrap().remove(0);
    let lost = || counters().drops.iter().map(|((why, _), n)| (*why, *n)).collect::<Vec<_>>();

    gone();
    wait_until(|| read.load(Ordering::Relaxed) == 1);
    peer.send(datagram.clone()).unwrap();
    wait_until(|| lost() == [(Reason::LinkDown, 1)]);
    assert_eq!(closes.try_iter().count(), 0, "nobody has closed it");
    gone();
    wait_until(|| read.load(Ordering::Relaxed) == 2);
    workers.detach([DB]).unwrap();
    assert_eq!(closes.try_iter().collect::<Vec<_>>(), [thread::current().id(); 2]);
    peer.send(datagram).unwrap();
    wait_until(|| lost() == [(Reason::LinkDown, 2)]);
    assert_eq!(read.load(Ordering::Relaxed), 2, "it was read again");
}

/// The kernel lets who closes a device wait, and all who wait at once wait for the same. So links are closed together, those
/// that are taken away, and those that workers have when they end; one by one these would wait in vain for each other.
#[test]
fn links_are_closed_together() {
    let links = [LinkId(10), LinkId(11), LinkId(12), LinkId(13)];
    for ends in [false, true] {
        let workers = worker();
        let (read, closing) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (closed, closes) = mpsc::channel();
        for id in links {
            let (closing, closed) = (closing.clone(), closed.clone());
            let link = Gone::new(&read, move || {
                closing.fetch_add(1, Ordering::Relaxed);
                wait_until(|| closing.load(Ordering::Relaxed) == links.len());
                closed.send(thread::current().id()).unwrap();
            });
            workers.attach(id, [Box::new(link) as Box<dyn Link>]).unwrap().unwrap();
        }
        let worker = workers.ask(|_, _| thread::current().id()).unwrap().remove(0);
        if ends {
            drop(workers)
        } else {
            workers.detach(links).unwrap()
        }
        let closers: Vec<ThreadId> = closes.try_iter().collect();
        assert_eq!(closers.len(), links.len());
        assert!(!closers.contains(&worker), "its packets would wait");
    }
}
