//! Who repeats what I say, and who forgets it? Echo (RFC 862) and discard (RFC 863), over TCP and
//! over UDP.

use smoltcp::socket::tcp::{Socket, State};

use super::service::Service;

/// Echoes on a connection, as far as there is room to send: what finds none stays in the receive
/// buffer and closes the window. After the client's FIN and the last byte it closes too. True
/// when anything moved.
pub(super) fn converse(socket: &mut Socket<'_>) -> bool {
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
pub(super) fn discard(socket: &mut Socket<'_>) -> bool {
    let forgot = forget(socket);
    close_after_client(socket);
    forgot
}

/// Forgets what has been received; true when that was anything. Left unread it would make the client's stack wait for
/// room.
pub(super) fn forget(socket: &mut Socket<'_>) -> bool {
    let mut forgot = false;
    while socket.can_recv() && socket.recv(|bytes| (bytes.len(), ())).is_ok() {
        forgot = true;
    }
    forgot
}

fn close_after_client(socket: &mut Socket<'_>) {
    if socket.state() == State::CloseWait && !socket.can_recv() {
        socket.close();
    }
}

/// The echo of a datagram from port `from`.
///
/// A datagram from an echo port has none: two echo hosts, made to talk to each other by
/// one forged datagram, would never end.
pub(super) fn datagram(payload: &[u8], from: u16) -> Option<Vec<u8>> {
    (from != Service::Echo.port()).then(|| payload.to_vec())
}
