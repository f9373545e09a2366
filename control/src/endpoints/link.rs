//! How does smoltcp see the memory link of a host? As a device of whole IP packets, checksummed
//! in software both ways, that delivers only what is addressed to the host.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::BorrowedFd;

use dataplane::io::memory::Peer;
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

/// A host's end of its link.
pub(super) struct HostLink {
    peer: Peer,
    addresses: Vec<IpAddr>,
    mtu: usize,
}

impl HostLink {
    pub(super) fn new(peer: Peer, addresses: Vec<IpAddr>, mtu: usize) -> Self {
        Self { peer, addresses, mtu }
    }

    /// Polls readable while packets wait.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.peer.descriptor()
    }

    /// Whether `packet` is sent to one of the host's addresses.
    fn delivers(&self, packet: &[u8]) -> bool {
        destination(packet).is_some_and(|destination| self.addresses.contains(&destination))
    }
}

/// The destination of RFC 791 s. 3.1 or RFC 8200 s. 3.
fn destination(packet: &[u8]) -> Option<IpAddr> {
    match packet.first()? >> 4 {
        4 => Some(Ipv4Addr::from(*packet.get(16..)?.first_chunk::<4>()?).into()),
        6 => Some(Ipv6Addr::from(*packet.get(24..)?.first_chunk::<16>()?).into()),
        _ => None,
    }
}

impl Device for HostLink {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sender<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, Sender<'_>)> {
        loop {
            let packet = self.peer.receive()?;
            if self.delivers(&packet) {
                return Some((Received(packet), Sender(&self.peer)));
            }
        }
    }

    fn transmit(&mut self, _: Instant) -> Option<Sender<'_>> {
        Some(Sender(&self.peer))
    }

    /// The default leaves every checksum to smoltcp: filled in and verified.
    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu;
        capabilities
    }
}

/// One packet, taken off the link.
pub(super) struct Received(Vec<u8>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

/// The right to send one packet. A full ring drops it, as the queue of a device does.
pub(super) struct Sender<'a>(&'a Peer);

impl TxToken for Sender<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = vec![0; len];
        let result = f(&mut packet);
        let _ = self.0.send(packet);
        result
    }
}
