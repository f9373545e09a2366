//! A TCP connection whose two sides a test has speak.

use std::time::Duration;

use crate::up::{Talker, Up};

/// A connection that has carried a line each way.
#[derive(Debug)]
pub struct Conversation {
    /// Who connected.
    pub client: Talker,
    /// Who was connected to.
    pub server: Talker,
}

impl Conversation {
    /// One from `client` to `port` of `server`, which has `address`.
    #[must_use]
    pub fn between(up: &Up<'_>, client: &str, server: &str, address: &str, port: u16) -> Self {
        let server = up.talker(server, &["dialogue", "listen", &port.to_string()]);
        assert_eq!(server.hear(), "ready");
        let client = up.talker(client, &["dialogue", "to", &format!("{address}:{port}")]);
        assert_eq!((client.hear(), server.hear()), ("connected".into(), "connected".into()));
        let mut conversation = Self { client, server };
        conversation.exchange("hello");
        conversation
    }

    /// A line each way, which must arrive.
    pub fn exchange(&mut self, line: &str) {
        self.client.say(line);
        assert_eq!(self.server.hear(), format!("got {line}"));
        self.server.say(line);
        assert_eq!(self.client.hear(), format!("got {line}"));
    }

    /// Nothing comes to either side for so long.
    pub fn is_silent_for(&self, quiet: Duration) {
        assert_eq!(self.client.hear_within(quiet), None, "client");
        assert_eq!(self.server.hear_within(quiet), None, "server");
    }
}
