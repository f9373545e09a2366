//! Where does one DNS message end and the next begin, on a connection? Each has its length before it, in two bytes
//! (RFC 1035 s. 4.2.2); a client may send several without waiting for answers (RFC 7766 s. 6.2.1.1).

use std::net::IpAddr;

use smoltcp::socket::tcp::{Socket, State};

use super::echo;
use super::outbox::Outbox;

/// The longest query and its length, in bytes, and the size of the receive buffer: many times what a question with all
/// its options takes. Who announces more is hung up on.
pub(super) const QUERY_LIMIT: usize = 4096;

/// The length before each message, in bytes.
const LENGTH: usize = 2;

/// Answers the queries that are complete, in their order, and closes after the client. True when anything was answered,
/// or forgotten after the end.
pub(super) fn converse(
    socket: &mut Socket<'_>,
    outbox: &mut Outbox,
    answer: impl Fn(&[u8], IpAddr) -> Option<Vec<u8>>,
) -> bool {
    if !socket.may_send() {
        return echo::forget(socket);
    }
    let Some(caller) = socket.remote_endpoint() else { return false };
    let mut moved = false;
    loop {
        moved |= outbox.flush(socket);
        if !outbox.is_empty() {
            return moved;
        }
        match next(socket) {
            Next::Query(query) => {
                if let Some(answer) = answer(&query, caller.addr.into()) {
                    outbox.put(framed(&answer));
                }
            }
            Next::Incomplete if socket.state() != State::CloseWait => return moved,
            Next::Incomplete | Next::TooLong => {
                socket.close();
                return true;
            }
        }
    }
}

enum Next {
    /// A whole one, taken out of the receive buffer.
    Query(Vec<u8>),
    Incomplete,
    TooLong,
}

fn next(socket: &mut Socket<'_>) -> Next {
    let mut length = [0; LENGTH];
    if socket.peek_slice(&mut length) != Ok(LENGTH) {
        return Next::Incomplete;
    }
    let length = LENGTH + usize::from(u16::from_be_bytes(length));
    if length > QUERY_LIMIT {
        return Next::TooLong;
    }
    if socket.recv_queue() < length {
        return Next::Incomplete;
    }
    let mut query = vec![0; length];
    let _ = socket.recv_slice(&mut query);
    query.drain(..LENGTH);
    Next::Query(query)
}

/// A message with its length before it. An answer of more than 65,535 bytes cannot be told; no message is.
fn framed(message: &[u8]) -> Vec<u8> {
    let Ok(length) = u16::try_from(message.len()) else { return Vec::new() };
    [&length.to_be_bytes()[..], message].concat()
}
