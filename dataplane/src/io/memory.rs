//! A link without a device: two bounded rings, for hosts inside the emulator and for tests.
//!
//! [`pair`] gives a [`MemoryLink`] for the worker and a [`Peer`] for the other side. A full ring
//! drops the packet that does not fit, as the queue of a device does. Packets are whole here: the
//! link takes no offloads.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use crossbeam::queue::ArrayQueue;
use rustix::event::{EventfdFlags, eventfd};

use crate::io::{Frame, HEADROOM, Link, Offloads};
use crate::wire::virtio::VirtioNetHdr;

/// The worker's side.
#[derive(Debug)]
pub struct MemoryLink(Side);

/// The other side: whole IP packets, one at a time.
#[derive(Debug)]
pub struct Peer(Side);

/// Two ends of a link that holds up to `capacity` packets in each direction.
///
/// # Errors
///
/// When the process has no descriptors left.
pub fn pair(capacity: usize) -> io::Result<(MemoryLink, Peer)> {
    let toward_worker = Arc::new(Ring::new(capacity)?);
    let toward_peer = Arc::new(Ring::new(capacity)?);
    let link = MemoryLink(Side { inbound: toward_worker.clone(), outbound: toward_peer.clone() });
    Ok((link, Peer(Side { inbound: toward_peer, outbound: toward_worker })))
}

impl MemoryLink {
    /// Another way to send to the same peer; it receives nothing.
    ///
    /// # Errors
    ///
    /// When the process has no descriptors left.
    pub fn sender(&self) -> io::Result<Self> {
        let inbound = Arc::new(Ring::new(1)?);
        Ok(Self(Side { inbound, outbound: self.0.outbound.clone() }))
    }
}

impl Peer {
    /// A descriptor that polls readable while packets wait.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.inbound.ready.as_fd()
    }

    /// The next packet, or `None` when there is none now.
    #[must_use]
    pub fn receive(&self) -> Option<Vec<u8>> {
        self.0.inbound.pop()
    }

    /// Sends one whole IP packet.
    ///
    /// # Errors
    ///
    /// Gives the packet back when the ring is full.
    pub fn send(&self, packet: Vec<u8>) -> Result<(), Vec<u8>> {
        self.0.outbound.push(packet)
    }
}

impl Link for MemoryLink {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.inbound.ready.as_fd()
    }

    fn receive(&mut self, slot: &mut [u8]) -> io::Result<Option<Frame>> {
        let Some(packet) = self.0.inbound.pop() else { return Ok(None) };
        let place = slot
            .get_mut(HEADROOM..HEADROOM + packet.len())
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        place.copy_from_slice(&packet);
        Ok(Some(Frame { start: HEADROOM, len: packet.len(), offload: VirtioNetHdr::PLAIN }))
    }

    fn send(&mut self, slot: &mut [u8], frame: Frame) -> io::Result<()> {
        let packet = slot
            .get(frame.start..frame.start + frame.len)
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        self.0
            .outbound
            .push(packet.to_vec())
            .map_err(|_| io::Error::from(io::ErrorKind::WouldBlock))
    }

    fn takes(&self) -> Offloads {
        Offloads::default()
    }
}

#[derive(Debug)]
struct Side {
    inbound: Arc<Ring>,
    outbound: Arc<Ring>,
}

#[derive(Debug)]
struct Ring {
    packets: ArrayQueue<Vec<u8>>,
    ready: OwnedFd,
}

impl Ring {
    fn new(capacity: usize) -> io::Result<Self> {
        let ready = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { packets: ArrayQueue::new(capacity), ready })
    }

    fn push(&self, packet: Vec<u8>) -> Result<(), Vec<u8>> {
        self.packets.push(packet)?;
        self.signal();
        Ok(())
    }

    fn signal(&self) {
        // A counter at its limit still polls readable, which is all that this is for.
        let _ = rustix::io::write(&self.ready, &1_u64.to_ne_bytes());
    }

    fn pop(&self) -> Option<Vec<u8>> {
        if let Some(packet) = self.packets.pop() {
            return Some(packet);
        }
        // Seen empty: take the signal back, then look again for what came in between.
        let _ = rustix::io::read(&self.ready, &mut [0_u8; 8]);
        let packet = self.packets.pop()?;
        // With more behind it, perhaps: whoever takes so many at a time is to be woken for them.
        self.signal();
        Some(packet)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;
    use crate::io::SLOT;

    /// Packets come in twos whenever both of the last two were taken, that is while the ring is seen empty.
    #[test]
    fn who_takes_one_packet_at_a_time_is_woken_for_each() {
        const PAIRS: usize = 30_000;
        let (link, peer) = pair(2).unwrap();
        let taken = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for pairs in 0..PAIRS {
                    while taken.load(Ordering::Acquire) < 2 * pairs {
                        std::hint::spin_loop();
                    }
                    (0..2).for_each(|_| peer.send(vec![0]).unwrap());
                }
            });
            while taken.load(Ordering::Relaxed) < 2 * PAIRS {
                let mut ready = [PollFd::new(&link.0.inbound.ready, PollFlags::IN)];
                let soon = Timespec { tv_sec: 10, tv_nsec: 0 };
                let woken = poll(&mut ready, Some(&soon)).unwrap();
                if woken == 0 {
                    // For the other thread to end as well.
                    taken.store(usize::MAX, Ordering::Release);
                    panic!("a packet waits, and nobody is told");
                }
                taken.fetch_add(link.0.inbound.pop().into_iter().count(), Ordering::Release);
            }
        });
    }

    #[test]
    fn carries_packets_both_ways_and_drops_what_does_not_fit() {
        let (mut link, peer) = pair(1).unwrap();
        let mut slot = vec![0; SLOT];
        assert!(link.receive(&mut slot).unwrap().is_none());

        peer.send(vec![1, 2, 3]).unwrap();
        assert_eq!(peer.send(vec![4]), Err(vec![4]));
        let frame = link.receive(&mut slot).unwrap().unwrap();
        assert_eq!(&slot[frame.start..frame.start + frame.len], [1, 2, 3]);

        link.send(&mut slot, frame).unwrap();
        let full = link.send(&mut slot, frame).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(peer.receive(), Some(vec![1, 2, 3]));
        assert_eq!(peer.receive(), None);
    }
}
