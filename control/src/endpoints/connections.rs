//! Which TCP connections does a host hold, and when does it let go of one?
//!
//! smoltcp has no backlog: the socket that listens becomes the connection. So exactly one socket
//! listens on a port, and another takes its place before the next packet is read; any number of
//! clients may come at once. A host holds up to [`MAX_CONNECTIONS`]. One more makes the oldest
//! half-open one give way (a flood of SYNs costs the flooder), or else the one that has been silent
//! longest. TIME-WAIT is not kept: the socket goes when its last ACK is out.

use std::mem;

use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::{Duration, Instant};

use super::outbox::Outbox;
use super::resolver::{self, Transport};
use super::service::Service;
use super::surroundings::Moment;
use super::{checkip, echo, framing, http, metadata};

/// The most connections of one host.
pub(super) const MAX_CONNECTIONS: usize = 1024;

/// How long a client of HTTP may take for its request, and again to take its answer.
const HTTP_TIME: Duration = Duration::from_secs(30);

/// How long a client of DNS may take for each query, and again to take the end (RFC 7766 s. 6.2.3: some seconds).
const DNS_TIME: Duration = Duration::from_secs(10);

/// How long a handshake or a close may lack its answer: Linux's five retransmissions of a SYN|ACK
/// take 63 s, its `tcp_fin_timeout` is 60 s.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(60);

/// How long data may stay unacknowledged: Linux's `tcp_retries2`.
const DATA_TIMEOUT: Duration = Duration::from_secs(924);

/// The TCP side of a host.
pub(super) struct Connections {
    listeners: Vec<Listener>,
    open: Vec<Connection>,
}

struct Listener {
    service: Service,
    socket: SocketHandle,
}

struct Connection {
    service: Service,
    socket: SocketHandle,
    /// When bytes last moved, or else the SYN came.
    active: Instant,
    /// When it is ended whatever it does; none where a client may be silent.
    deadline: Option<Instant>,
    outbox: Outbox,
}

impl Connections {
    /// Listens for each of `services`.
    pub(super) fn new(services: &[Service], sockets: &mut SocketSet<'_>) -> Self {
        let listeners = services
            .iter()
            .filter(|service| service.over_tcp())
            .map(|&service| Listener { service, socket: sockets.add(listening(service)) })
            .collect();
        Self { listeners, open: Vec::new() }
    }

    /// Takes over the connections that the last packet opened. To be called after each packet.
    pub(super) fn accept(&mut self, sockets: &mut SocketSet<'_>, now: Instant) {
        for listener in &mut self.listeners {
            if sockets.get::<Socket<'_>>(listener.socket).state() == State::Listen {
                continue;
            }
            if self.open.len() >= MAX_CONNECTIONS {
                give_way(&self.open, sockets);
            }
            let service = listener.service;
            let socket = mem::replace(&mut listener.socket, sockets.add(listening(service)));
            let deadline = time_of(service).map(|time| now + time);
            let outbox = Outbox::default();
            self.open.push(Connection { service, socket, active: now, deadline, outbox });
        }
    }

    /// Carries every conversation on and ends those whose time is up.
    pub(super) fn converse(
        &mut self,
        sockets: &mut SocketSet<'_>,
        moment: &Moment<'_>,
        now: Instant,
    ) {
        for connection in &mut self.open {
            let socket = sockets.get_mut::<Socket<'_>>(connection.socket);
            connection.step(socket, moment, now);
            socket.set_timeout(patience(socket));
        }
    }

    /// Drops what has ended. To be called when all that was to be sent is out: the RST of an
    /// aborted connection, the ACK of the last FIN.
    pub(super) fn reap(&mut self, sockets: &mut SocketSet<'_>) {
        self.open.retain(|connection| {
            let state = sockets.get::<Socket<'_>>(connection.socket).state();
            // A half-open connection that is reset listens again, beside the one that does.
            let ended = matches!(state, State::Closed | State::TimeWait | State::Listen);
            if ended {
                sockets.remove(connection.socket);
            }
            !ended
        });
    }

    /// When [`converse`](Self::converse) has to be called even if no packet comes.
    pub(super) fn due(&self) -> Option<Instant> {
        self.open.iter().filter_map(|connection| connection.deadline).min()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }
}

impl Connection {
    fn step(&mut self, socket: &mut Socket<'_>, moment: &Moment<'_>, now: Instant) {
        // Until the handshake is over, bytes of the SYN must not be read.
        let talking = !matches!(socket.state(), State::Listen | State::SynReceived | State::Closed);
        if talking && self.talk(socket, moment) {
            self.active = now;
            if self.service == Service::Resolver && socket.may_send() {
                self.deadline = Some(now + DNS_TIME);
            }
        }
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            if socket.may_send() {
                socket.close();
                self.deadline = time_of(self.service).map(|time| now + time);
            } else {
                socket.abort();
            }
        }
    }

    /// True when anything moved.
    fn talk(&mut self, socket: &mut Socket<'_>, moment: &Moment<'_>) -> bool {
        let outbox = &mut self.outbox;
        match self.service {
            Service::Checkip | Service::Aws => http::converse(socket, outbox, checkip::respond),
            Service::Metadata => {
                http::converse(socket, outbox, |request| metadata::respond(request, moment))
            }
            Service::Resolver => framing::converse(socket, outbox, |query, caller| {
                let view = &moment.realm?.resolver;
                resolver::answer(query, Transport::Tcp, caller, view, moment.turns)
            }),
            Service::Echo => echo::converse(socket),
            Service::Discard => echo::discard(socket),
            // Nothing listens for it on TCP.
            Service::TimeSync => false,
        }
    }
}

/// Aborts the connection that can best be missed.
fn give_way(open: &[Connection], sockets: &mut SocketSet<'_>) {
    let state = |connection: &&Connection| sockets.get::<Socket<'_>>(connection.socket).state();
    let missed = open
        .iter()
        .filter(|connection| state(connection) != State::Closed)
        .min_by_key(|connection| (state(connection) != State::SynReceived, connection.active))
        .map(|connection| connection.socket);
    if let Some(socket) = missed {
        sockets.get_mut::<Socket<'_>>(socket).abort();
    }
}

/// How long a client may take until it has to have moved the conversation on; `None`: as long as it likes.
fn time_of(service: Service) -> Option<Duration> {
    match service {
        Service::Checkip | Service::Aws | Service::Metadata => Some(HTTP_TIME),
        Service::Resolver => Some(DNS_TIME),
        Service::Echo | Service::Discard | Service::TimeSync => None,
    }
}

/// How long the other side may be silent before the connection is aborted; `None` when it owes
/// nothing. Keep-alives are not sent: they would restart the idle clocks that users test.
fn patience(socket: &Socket<'_>) -> Option<Duration> {
    match socket.state() {
        State::Established | State::CloseWait => (socket.send_queue() > 0).then_some(DATA_TIMEOUT),
        _ => Some(CONTROL_TIMEOUT),
    }
}

fn listening(service: Service) -> Socket<'static> {
    let (receive, send) = match service {
        Service::Checkip | Service::Aws => (http::HEAD_LIMIT, 512),
        Service::Metadata => (http::HEAD_LIMIT, 8192),
        Service::Resolver => (framing::QUERY_LIMIT, 8192),
        Service::Echo => (8192, 8192),
        Service::Discard | Service::TimeSync => (8192, 0),
    };
    let buffer = |len| SocketBuffer::new(vec![0; len]);
    let mut socket = Socket::new(buffer(receive), buffer(send));
    // An ACK that waits would be lost with a socket in TIME-WAIT; a turn gathers them anyway.
    socket.set_ack_delay(None);
    socket.set_nagle_enabled(false);
    socket.listen(service.port()).expect("the socket is new and the port is not 0");
    socket
}
