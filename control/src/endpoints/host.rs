//! What does one host do in a turn? It takes the packets that wait, carries its
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

use super::connections::Connections;
use super::link::HostLink;
use super::metadata::Tokens;
use super::resolver::{self, Transport, Turns};
use super::service::Service;
use super::surroundings::{Moment, Surroundings};
use super::{HostSpec, echo, time};

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
    vpc: Option<String>,
    surroundings: Surroundings,
    tokens: Tokens,
    turns: Turns,
}

impl Host {
    pub(super) fn new(spec: HostSpec, surroundings: Surroundings, now: Instant) -> Self {
        let mut services = spec.serves;
        services.sort_unstable();
        services.dedup();

        let mut link = HostLink::new(spec.peer, spec.addresses, spec.mtu.into());
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
        let (vpc, tokens, turns) = (spec.vpc, Tokens::default(), Turns::default());
        Self { interface, link, sockets, connections, datagrams, vpc, surroundings, tokens, turns }
    }

    /// Polls readable while packets wait.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.link.descriptor()
    }

    /// One turn; gives the time of the next, should no packet come before. After a turn that left
    /// packets behind the descriptor still polls readable.
    pub(super) fn turn(&mut self, now: Instant) -> Option<Instant> {
        let Self { interface, link, sockets, connections, .. } = self;
        for _ in 0..BATCH {
            if interface.poll_ingress_single(now, link, sockets) == PollIngressSingleResult::None {
                break;
            }
            connections.accept(sockets, now);
        }
        let knowledge = self.surroundings.knowledge.load();
        let realm = self.vpc.as_ref().and_then(|vpc| knowledge.realm(vpc));
        let moment = self.surroundings.moment(realm, &self.tokens, &self.turns);
        connections.converse(sockets, &moment, now);
        for &(service, socket) in &self.datagrams {
            answer(service, sockets.get_mut(socket), &moment);
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

/// Answers the datagrams that wait, each from the address that was asked. An answer that is longer than the MTU, or
/// that finds no room, is lost, as a datagram may be.
fn answer(service: Service, socket: &mut UdpSocket<'_>, moment: &Moment<'_>) {
    while let Ok((payload, sender)) = socket.recv() {
        let caller = sender.endpoint;
        let answer = match service {
            Service::Echo => echo::datagram(payload, caller.port),
            Service::Resolver => moment.realm.and_then(|realm| {
                let (caller, view) = (caller.addr.into(), &realm.resolver);
                resolver::answer(payload, Transport::Udp, caller, view, moment.turns)
            }),
            Service::TimeSync => time::answer(payload, moment.time).map(Vec::from),
            Service::Checkip | Service::Aws | Service::Discard | Service::Metadata => None,
        };
        if let Some(answer) = answer {
            let _ = socket.send_slice(&answer, sender);
        }
    }
}

/// For initial sequence numbers: nobody in there should guess them.
fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}
