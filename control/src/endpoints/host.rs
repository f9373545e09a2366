//! What does one internet host do in a turn? It takes the packets that wait, carries its
//! conversations on, and sends what they gave rise to.
//!
//! smoltcp itself answers echo requests, resets what comes for a closed TCP port and answers a
//! closed UDP port with port unreachable. The interface has no address: it takes whatever its link
//! delivers, and that is only what is addressed to the host, however many addresses it has.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::fd::BorrowedFd;

use smoltcp::iface::{Config, Interface, PollIngressSingleResult, PollResult};
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::udp::{PacketBuffer, PacketMetadata, Socket as UdpSocket};
use smoltcp::time::Instant;
use smoltcp::wire::HardwareAddress;

use super::HostSpec;
use super::connections::Connections;
use super::echo;
use super::link::HostLink;
use super::service::Service;

/// The most packets taken in a turn, so that one host cannot keep the thread from the others.
const BATCH: usize = 64;

/// Room for the datagrams of one turn, in bytes.
const DATAGRAM_ROOM: usize = BATCH * 1500;

/// One host: addresses, services, link.
pub(super) struct Host {
    interface: Interface,
    link: HostLink,
    sockets: SocketSet<'static>,
    connections: Connections,
    datagrams: Vec<(Service, SocketHandle)>,
}

impl Host {
    pub(super) fn new(spec: HostSpec, now: Instant) -> Self {
        let mut services = spec.serves;
        services.sort_unstable();
        services.dedup();

        let mut link = HostLink::new(spec.peer, spec.addresses);
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed();
        let mut interface = Interface::new(config, &mut link, now);
        interface.set_any_ip(true);

        let mut sockets = SocketSet::new(Vec::new());
        let connections = Connections::new(&services, &mut sockets);
        let datagrams = services
            .into_iter()
            .filter(|service| service.over_udp())
            .map(|service| (service, sockets.add(bound(service.port()))))
            .collect();
        Self { interface, link, sockets, connections, datagrams }
    }

    /// Polls readable while packets wait.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.link.descriptor()
    }

    /// One turn; gives the time of the next, should no packet come before. After a turn that left
    /// packets behind the descriptor still polls readable.
    pub(super) fn turn(&mut self, now: Instant) -> Option<Instant> {
        let Self { interface, link, sockets, connections, datagrams } = self;
        for _ in 0..BATCH {
            if interface.poll_ingress_single(now, link, sockets) == PollIngressSingleResult::None {
                break;
            }
            connections.accept(sockets, now);
        }
        connections.converse(sockets, now);
        for &(service, socket) in &*datagrams {
            echo::datagrams(service, sockets.get_mut(socket));
        }
        while interface.poll_egress(now, link, sockets) != PollResult::None {}
        connections.reap(sockets);
        [interface.poll_at(now, sockets), connections.due()].into_iter().flatten().min()
    }

    #[cfg(test)]
    pub(super) fn connections(&self) -> usize {
        self.connections.len()
    }

    #[cfg(test)]
    pub(super) fn sockets(&self) -> usize {
        self.sockets.iter().count()
    }
}

fn bound(port: u16) -> UdpSocket<'static> {
    let buffer = || PacketBuffer::new(vec![PacketMetadata::EMPTY; BATCH], vec![0; DATAGRAM_ROOM]);
    let mut socket = UdpSocket::new(buffer(), buffer());
    socket.bind(port).expect("the socket is new and the port is not 0");
    socket
}

/// For initial sequence numbers: nobody on the emulated internet should guess them.
fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}
