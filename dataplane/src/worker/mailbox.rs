//! What reaches a worker from outside: messages, and packets that other workers hand over.
//!
//! Both wake the worker through one descriptor. The ring is bounded: a worker that cannot keep up
//! loses the oldest packet, and nothing grows.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, unbounded};
use crossbeam::queue::ArrayQueue;
use rustix::event::{EventfdFlags, eventfd};

use crate::io::Link;
use crate::packet::{Component, LinkId};
use crate::state::{Ports, Shard};
use crate::tables::Tables;
use crate::wire::virtio::VirtioNetHdr;

pub(super) type Question = Box<dyn FnOnce(&mut Shard, &Tables) + Send>;

/// Whether a queue was taken; and one that is not needed any more. It goes back to who asked: closing a device can take
/// the kernel tens of milliseconds, which packets would wait for.
pub(super) type Attached = (io::Result<()>, Option<Box<dyn Link>>);

/// A message.
pub(super) enum Mail {
    /// Take this queue of a link, or give it up.
    Link(LinkId, Option<Box<dyn Link>>, Sender<Attached>),
    /// Answer.
    Ask(Question),
    /// Tell when this time is reached.
    CatchUp(Duration, Sender<()>),
    /// End.
    Stop,
}

/// A packet of another worker's flow, as it came in.
pub(super) struct Handed {
    /// The link that it came in by.
    pub(super) link: LinkId,
    /// Whose link that is.
    pub(super) sender: Component,
    pub(super) offload: VirtioNetHdr,
    /// What a fragment without ports has for some.
    pub(super) ports: Option<Ports>,
    pub(super) bytes: Vec<u8>,
}

/// Packets handed over that wait for a worker, at most.
const RING: usize = 1024;

/// One worker's mailbox.
pub(super) struct Mailbox {
    send: Sender<Mail>,
    receive: Receiver<Mail>,
    handed: ArrayQueue<Handed>,
    wake: OwnedFd,
    /// Whether nobody reads it any more.
    closed: AtomicBool,
}

impl Mailbox {
    pub(super) fn new() -> io::Result<Self> {
        let (send, receive) = unbounded();
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self {
            send,
            receive,
            handed: ArrayQueue::new(RING),
            wake,
            closed: AtomicBool::new(false),
        })
    }

    /// Polls readable while something may be in it.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    pub(super) fn send(&self, mail: Mail) {
        // The mailbox holds the other end itself.
        let _ = self.send.send(mail);
        if self.closed.load(Ordering::SeqCst) {
            self.discard();
        }
        self.wake();
    }

    /// Nobody reads it from now on: whoever waits for an answer hears that there is none.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.discard();
    }

    fn discard(&self) {
        self.receive.try_iter().for_each(drop);
    }

    /// Puts a packet into the ring, to be seen after [`wake`](Self::wake). Gives back the oldest
    /// one where the ring was full.
    pub(super) fn hand(&self, packet: Handed) -> Option<Handed> {
        self.handed.force_push(packet)
    }

    pub(super) fn wake(&self) {
        // A counter at its limit still polls readable, which is all that this is for.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    /// Takes the signal back; to be called before looking.
    pub(super) fn quiet(&self) {
        let _ = rustix::io::read(&self.wake, &mut [0_u8; 8]);
    }

    /// The messages that wait now; what comes meanwhile is for the next turn.
    pub(super) fn mail(&self) -> impl Iterator<Item = Mail> {
        self.receive.try_iter().take(self.receive.len())
    }

    pub(super) fn next_handed(&self) -> Option<Handed> {
        self.handed.pop()
    }
}

impl std::fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailbox").field("handed", &self.handed.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_while_mail_is_read_is_for_the_next_turn() {
        let mailbox = Mailbox::new().unwrap();
        mailbox.send(Mail::Stop);
        assert_eq!(mailbox.mail().inspect(|_| mailbox.send(Mail::Stop)).count(), 1);
        assert_eq!(mailbox.mail().count(), 1);
        assert_eq!(mailbox.mail().count(), 0);
    }
}
