//! A client on the other end of a host's link: a smoltcp interface, driven together with the host
//! on a clock of the test's own, or alone when the host has a thread.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use dataplane::io::memory::{MemoryLink, pair};
use dataplane::io::{Frame, HEADROOM, Link, SLOT};
use dataplane::tables::INTERNET_MTU;
use dataplane::time::Clock;
use dataplane::wire::virtio::VirtioNetHdr;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{HardwareAddress, IpCidr};

use crate::endpoints::host::Host;
use crate::endpoints::{HostSpec, Knowledge, Service, Surroundings};

pub(super) const HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 80));
pub(super) const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 10));

/// Those of internet hosts: no VPC is known, and the clock began when UNIX did.
pub(super) fn surroundings(knowledge: Knowledge) -> Surroundings {
    let knowledge = Arc::new(ArcSwap::from_pointee(knowledge));
    let clock = Arc::new(Clock::start());
    clock.pause();
    Surroundings { knowledge, clock, began: SystemTime::UNIX_EPOCH }
}

/// An internet host that serves everything, and the worker's end of its link.
pub(super) fn spec(addresses: &[IpAddr]) -> (HostSpec, MemoryLink) {
    let (link, peer) = pair(4096).unwrap();
    let host = HostSpec {
        name: "host".to_owned(),
        vpc: None,
        addresses: addresses.to_vec(),
        serves: Service::ALL.to_vec(),
        mtu: INTERNET_MTU,
        peer,
    };
    (host, link)
}

/// A host and its client, on one clock.
pub(super) struct Net {
    pub(super) host: Host,
    pub(super) client: Client,
    pub(super) now: Instant,
}

impl Net {
    pub(super) fn new() -> Self {
        Self::between(&[HOST], CLIENT)
    }

    pub(super) fn between(host: &[IpAddr], client: IpAddr) -> Self {
        Self::with(spec(host), client, surroundings(Knowledge::default()))
    }

    pub(super) fn with(
        (host, link): (HostSpec, MemoryLink),
        client: IpAddr,
        surroundings: Surroundings,
    ) -> Self {
        let now = Instant::ZERO;
        Self { host: Host::new(host, surroundings, now), client: Client::new(link, client), now }
    }

    /// Lets both sides talk until neither has anything more to say; takes no time.
    pub(super) fn settle(&mut self) {
        for _ in 0..100_000 {
            let client = self.client.turn(self.now);
            let due = self.host.turn(self.now);
            let quiet = due.is_none_or(|due| due > self.now) && !waits(&self.host);
            if !client && quiet && self.client.link.idle() {
                return;
            }
        }
        panic!("host and client never come to rest");
    }

    /// Lets `time` pass in steps of at most 10 ms.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now = end.min(self.now + Duration::from_millis(10));
            self.settle();
        }
    }

    /// Runs until `done`.
    pub(super) fn until(&mut self, mut done: impl FnMut(&mut Client) -> bool) {
        for _ in 0..100_000 {
            if done(&mut self.client) {
                return;
            }
            self.now += Duration::from_micros(100);
            self.client.turn(self.now);
            self.host.turn(self.now);
        }
        panic!("not done after 10 s");
    }
}

/// Whether packets wait for the host.
fn waits(host: &Host) -> bool {
    let mut descriptors = [PollFd::from_borrowed_fd(host.descriptor(), PollFlags::IN)];
    poll(&mut descriptors, Some(&Timespec::default())).unwrap() > 0
}

/// TCP connections from one address, or from any.
pub(super) struct Client {
    pub(super) link: ClientLink,
    interface: Interface,
    address: IpAddr,
    sockets: SocketSet<'static>,
    next_port: u16,
}

impl Client {
    pub(super) fn new(link: MemoryLink, address: IpAddr) -> Self {
        let mut link = ClientLink { link, slot: vec![0; SLOT], waiting: None };
        let mut interface =
            Interface::new(Config::new(HardwareAddress::Ip), &mut link, Instant::ZERO);
        let prefix = if address.is_ipv4() { 32 } else { 128 };
        interface.update_ip_addrs(|all| all.push(IpCidr::new(address.into(), prefix)).unwrap());
        Self { link, interface, address, sockets: SocketSet::new(Vec::new()), next_port: 10_000 }
    }

    /// From now on every address is its own.
    pub(super) fn take_any_address(&mut self) {
        self.interface.set_any_ip(true);
    }

    /// True when anything happened.
    pub(super) fn turn(&mut self, now: Instant) -> bool {
        let result = self.interface.poll(now, &mut self.link, &mut self.sockets);
        result == smoltcp::iface::PollResult::SocketStateChanged
    }

    pub(super) fn connect(&mut self, host: IpAddr, port: u16) -> SocketHandle {
        self.connect_from(self.address, host, port)
    }

    pub(super) fn connect_from(&mut self, from: IpAddr, host: IpAddr, port: u16) -> SocketHandle {
        let buffer = || SocketBuffer::new(vec![0; 16_384]);
        let mut socket = Socket::new(buffer(), buffer());
        self.next_port += 1;
        socket.connect(self.interface.context(), (host, port), (from, self.next_port)).unwrap();
        self.sockets.add(socket)
    }

    pub(super) fn socket(&mut self, handle: SocketHandle) -> &mut Socket<'static> {
        self.sockets.get_mut(handle)
    }

    pub(super) fn forget(&mut self, handle: SocketHandle) {
        self.sockets.remove(handle);
    }

    pub(super) fn state(&self, handle: SocketHandle) -> State {
        self.sockets.get::<Socket<'_>>(handle).state()
    }

    pub(super) fn send(&mut self, handle: SocketHandle, bytes: &[u8]) {
        assert_eq!(self.socket(handle).send_slice(bytes), Ok(bytes.len()));
    }

    /// All that waits to be read.
    pub(super) fn bytes(&mut self, handle: SocketHandle) -> Vec<u8> {
        let mut bytes = vec![0; 16_384];
        let count = self.socket(handle).recv_slice(&mut bytes).unwrap_or(0);
        bytes.truncate(count);
        bytes
    }

    /// The same, which is text.
    pub(super) fn read(&mut self, handle: SocketHandle) -> String {
        String::from_utf8(self.bytes(handle)).unwrap()
    }
}

/// smoltcp's view of the worker's end; also takes and gives raw packets.
pub(super) struct ClientLink {
    link: MemoryLink,
    slot: Vec<u8>,
    waiting: Option<Vec<u8>>,
}

impl ClientLink {
    pub(super) fn put(&mut self, packet: &[u8]) {
        self.slot[HEADROOM..HEADROOM + packet.len()].copy_from_slice(packet);
        let frame = Frame { start: HEADROOM, len: packet.len(), offload: VirtioNetHdr::PLAIN };
        self.link.send(&mut self.slot, frame).unwrap();
    }

    pub(super) fn take(&mut self) -> Option<Vec<u8>> {
        self.waiting.take().or_else(|| {
            let frame = self.link.receive(&mut self.slot).unwrap()?;
            Some(self.slot[frame.start..frame.start + frame.len].to_vec())
        })
    }

    fn idle(&mut self) -> bool {
        self.waiting = self.take();
        self.waiting.is_none()
    }
}

impl Device for ClientLink {
    type RxToken<'a> = Packet;
    type TxToken<'a> = Room<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Packet, Room<'_>)> {
        Some((Packet(self.take()?), Room(self)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Room<'_>> {
        Some(Room(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = 1500;
        capabilities
    }
}

pub(super) struct Packet(Vec<u8>);

impl RxToken for Packet {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

pub(super) struct Room<'a>(&'a mut ClientLink);

impl TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = vec![0; len];
        let result = f(&mut packet);
        self.0.put(&packet);
        result
    }
}
