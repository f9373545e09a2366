//! Datagrams that come in fragments: what their first fragments said, and who waits for one.
//!
//! RFC 791 s. 3.2 tells fragments of a datagram by source, destination, protocol and identification.
//! Everything here is bounded in number, and forgotten after half a minute.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::FixedState;

use crate::packet::{Component, Key, LinkId, PortPair};
use crate::time::{Span, Tick};

/// How long a datagram's fragments are awaited (RFC 791 s. 3.2 proposes 15 s, Linux takes 30 s).
const LIFETIME: Span = Span::seconds(30);

/// The most datagrams that are remembered; beyond it the oldest is forgotten.
const DATAGRAMS: usize = 4096;

/// The most fragments that wait; beyond it the oldest datagram's are dropped.
const WAITING: usize = 512;

/// What the first fragment of a datagram says of all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Source and destination; see [`Key`].
    pub ports: PortPair,
    /// See [`Packet::icmp`](crate::packet::Packet::icmp).
    pub icmp: u16,
}

/// A fragment that came before the first one of its datagram.
#[derive(Debug)]
pub struct Held {
    /// The link that it came in by.
    pub link: LinkId,
    /// Whose link that is.
    pub sender: Component,
    /// The packet.
    pub bytes: Vec<u8>,
}

/// One worker's.
#[derive(Debug, Default)]
pub struct Fragments {
    datagrams: HashMap<Key, Datagram, FixedState>,
    /// In the order in which they came; each expires before the next.
    order: VecDeque<(Tick, Key)>,
    waiting: usize,
    /// Fragments whose wait is over.
    ready: VecDeque<Held>,
}

#[derive(Debug, Default)]
struct Datagram {
    ports: Option<Ports>,
    waiting: Vec<Held>,
}

impl Fragments {
    /// Whether something of this datagram is here.
    #[must_use]
    pub fn knows(&self, datagram: &Key) -> bool {
        self.datagrams.contains_key(datagram)
    }

    /// What its first fragment said, if that has come.
    #[must_use]
    pub fn ports(&self, datagram: &Key) -> Option<Ports> {
        self.datagrams.get(datagram)?.ports
    }

    /// Takes in what its first fragment says; whoever waited for that is ready. What was said before
    /// stands.
    pub fn learn(&mut self, datagram: Key, ports: Ports, now: Tick) {
        let entry = self.entry(datagram, now);
        entry.ports.get_or_insert(ports);
        let waited = std::mem::take(&mut entry.waiting);
        self.waiting -= waited.len();
        self.ready.extend(waited);
    }

    /// Has a fragment wait for the first of its datagram. Gives back one that has waited for longer,
    /// where there are too many.
    #[must_use]
    pub fn hold(&mut self, datagram: Key, fragment: Held, now: Tick) -> Option<Held> {
        self.entry(datagram, now).waiting.push(fragment);
        self.waiting += 1;
        if self.waiting <= WAITING {
            return None;
        }
        let longest = self.order.iter().map(|(_, key)| key);
        let longest = longest.copied().find(|key| {
            self.datagrams.get(key).is_some_and(|datagram| !datagram.waiting.is_empty())
        })?;
        self.waiting -= 1;
        Some(self.datagrams.get_mut(&longest)?.waiting.remove(0))
    }

    /// The next fragment whose wait is over.
    pub fn next_ready(&mut self) -> Option<Held> {
        self.ready.pop_front()
    }

    /// The next datagram whose time has come, or that is one too many, with the fragments that waited
    /// in vain.
    pub fn expire(&mut self, now: Tick) -> Option<(Key, Vec<Held>)> {
        let &(expires, datagram) = self.order.front()?;
        if self.order.len() <= DATAGRAMS && !expires.is_due(now) {
            return None;
        }
        self.order.pop_front();
        let waited = self.datagrams.remove(&datagram).unwrap_or_default().waiting;
        self.waiting -= waited.len();
        Some((datagram, waited))
    }

    /// Datagrams that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.datagrams.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    /// Fragments that wait, or whose wait is just over.
    #[must_use]
    pub fn held(&self) -> usize {
        self.waiting + self.ready.len()
    }

    fn entry(&mut self, datagram: Key, now: Tick) -> &mut Datagram {
        self.datagrams.entry(datagram).or_insert_with(|| {
            self.order.push_back((now.after(LIFETIME), datagram));
            Datagram::default()
        })
    }
}
