//! Who repeats what I say, and who forgets it? Echo (RFC 862) and discard (RFC 863), over TCP and
//! over UDP.

use smoltcp::socket::tcp::{self, State};
use smoltcp::socket::udp;

use super::service::Service;

/// Echoes on a connection, as far as there is room to send: what finds none stays in the receive
/// buffer and closes the window. After the client's FIN and the last byte it closes too. True
/// when anything moved.
pub(super) fn converse(socket: &mut tcp::Socket<'_>) -> bool {
    let mut moved = false;
    let mut bytes = [0; 2048];
    loop {
        let room = (socket.send_capacity() - socket.send_queue()).min(bytes.len());
        if room == 0 || !socket.can_recv() || !socket.may_send() {
            break;
        }
        let Ok(count) = socket.recv_slice(&mut bytes[..room]) else { break };
        // All of it fits: no more was read than there is room for.
        let _ = socket.send_slice(&bytes[..count]);
        moved = true;
    }
    close_after_client(socket);
    moved
}

/// Reads and forgets on a connection; true when anything was read.
pub(super) fn discard(socket: &mut tcp::Socket<'_>) -> bool {
    let mut moved = false;
    while socket.can_recv() && socket.recv(|bytes| (bytes.len(), ())).is_ok() {
        moved = true;
    }
    close_after_client(socket);
    moved
}

fn close_after_client(socket: &mut tcp::Socket<'_>) {
    if socket.state() == State::CloseWait && !socket.can_recv() {
        socket.close();
    }
}

/// Answers the datagrams that wait: echoes or forgets them. An echo that is longer than the MTU,
/// or that finds no room, is lost, as a datagram may be.
///
/// A datagram from an echo port is not answered: two echo hosts, made to talk to each other by
/// one forged datagram, would never end.
pub(super) fn datagrams(service: Service, socket: &mut udp::Socket<'_>) {
    while let Ok((payload, sender)) = socket.recv() {
        if service == Service::Echo && sender.endpoint.port != service.port() {
            let payload = payload.to_vec();
            let _ = socket.send_slice(&payload, sender);
        }
    }
}
