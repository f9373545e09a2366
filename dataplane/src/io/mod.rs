//! Links: where packets come from and go to. Everything that holds a file descriptor is here.

use std::io;
use std::os::fd::BorrowedFd;
use std::thread;

use crate::wire::virtio::VirtioNetHdr;

pub mod coalesce;
pub mod compat;
pub mod fragment;
pub mod memory;
pub mod pages;
pub mod segment;
pub mod transmit;
pub mod tun;

/// Bytes before a packet in its slot: room for a device header, and for a header that grows.
pub const HEADROOM: usize = 64;

/// The longest packet, in bytes: a super-packet is bounded by the IPv4 total length.
pub const MAX_PACKET: usize = 65_535;

/// Bytes behind a packet in its slot: room for an answer that quotes it, behind headers of its own, and for an ICMP error
/// that is padded when its family changes (RFC 4884 s. 5.1).
pub const TAILROOM: usize = 129;

/// Length of a slot that has room for any packet, in bytes.
pub const SLOT: usize = HEADROOM + MAX_PACKET + TAILROOM;

const _: () = assert!(SLOT.is_multiple_of(64));

/// Where a packet lies in its slot or in many, and what its sender left to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// First byte of the IP header, from the start of the slot; at least the length of a device
    /// header.
    pub start: usize,
    /// Bytes of the packet.
    pub len: usize,
    /// Unfinished checksum, super-packet.
    pub offload: VirtioNetHdr,
}

impl Frame {
    /// The packet's bytes in `slot`; `None` where the frame does not lie in it.
    #[must_use]
    pub fn packet<'a>(&self, slot: &'a mut [u8]) -> Option<&'a mut [u8]> {
        slot.get_mut(self.start..self.start.checked_add(self.len)?)
    }
}

/// What a link takes whole. What it does not take is finished in software before it is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offloads {
    /// Packets whose transport checksum is partial.
    pub checksum: bool,
    /// TCP super-packets over IPv4 and IPv6.
    pub tcp: bool,
    /// UDP super-packets over IPv4 and IPv6.
    pub udp: bool,
}

/// A device that packets come from and go to.
pub trait Link: Send {
    /// A descriptor that polls readable while [`receive`](Self::receive) would find a packet.
    fn descriptor(&self) -> BorrowedFd<'_>;

    /// Reads one packet into `slot` (of [`SLOT`] bytes), at [`HEADROOM`]; `None` when there is
    /// none now.
    ///
    /// # Errors
    ///
    /// When the device is gone; it will not come back, but may be sent to all the same.
    fn receive(&mut self, slot: &mut [u8]) -> io::Result<Option<Frame>>;

    /// Sends the packet that `frame` describes in `slot`. As many bytes before it as a device header has are the
    /// link's to use; other packets may lie beyond.
    ///
    /// # Errors
    ///
    /// `WouldBlock` when the device is full, `NetworkDown` while it is down, `InvalidInput` when
    /// it does not take this kind of packet: in these cases the packet is lost and the device
    /// remains. Any other when the device is gone.
    fn send(&mut self, slot: &mut [u8], frame: Frame) -> io::Result<()>;

    /// What [`send`](Self::send) takes whole.
    fn takes(&self) -> Offloads;
}

/// So many descriptors are closed at a time.
const CLOSED_AT_ONCE: usize = 64;

/// Closes links, or other descriptors of devices, many at once. With the last descriptor of a TUN device the kernel takes
/// that down, and makes who closed it wait tens of milliseconds until nobody can know of it any more; those who wait at the
/// same time wait for the same (Linux `netdev_run_todo`, `rcu_barrier`).
pub fn close_all<T: Send>(descriptors: Vec<T>) {
    let part = descriptors.len().div_ceil(CLOSED_AT_ONCE).max(1);
    let mut left = descriptors.into_iter();
    let mut next =
        || Some(left.by_ref().take(part).collect::<Vec<_>>()).filter(|it| !it.is_empty());
    let own = next();
    thread::scope(|scope| {
        while let Some(part) = next() {
            // Where there can be no more threads, they are closed here.
            let _ = thread::Builder::new().spawn_scoped(scope, || drop(part));
        }
        drop(own);
    });
}
