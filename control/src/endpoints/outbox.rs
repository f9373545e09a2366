//! What does a connection have left to say, when the send buffer has no room for all of it?

use smoltcp::socket::tcp::Socket;

/// The rest of one answer: a connection is asked nothing more while there is any, so that clients who do not read cost
/// an answer each at most.
#[derive(Debug, Default)]
pub(super) struct Outbox(Vec<u8>);

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes an answer, once the last one is out.
    pub(super) fn put(&mut self, answer: Vec<u8>) {
        debug_assert!(self.is_empty(), "one answer at a time");
        self.0 = answer;
    }

    /// Hands over what there is room for; true when that was anything.
    pub(super) fn flush(&mut self, socket: &mut Socket<'_>) -> bool {
        let count = socket.send_slice(&self.0).unwrap_or(0);
        self.0.drain(..count);
        if self.is_empty() {
            self.0 = Vec::new();
        }
        count > 0
    }
}
