//! A TUN device of the plain kind, opened by `tun-tap`: for kernels and sandboxes that have no other
//! (gVisor accepts only `IFF_TUN | IFF_NO_PI` and answers EINVAL to anything richer).
//!
//! One queue, no header before a packet, no offloads: super-packets are cut and checksums finished
//! in software before they get here.

#![expect(unsafe_code, reason = "tun-tap gives its descriptor as a number")]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use tun_tap::{Iface, Mode};

use crate::io::tun::TunError;
use crate::io::{Frame, HEADROOM, Link, Offloads};
use crate::wire::virtio::VirtioNetHdr;

/// A plain TUN device. It lives as long as one of its links.
#[derive(Debug)]
pub struct CompatTun {
    device: Arc<OwnedFd>,
    /// Never readable: of several links to one queue, one receives.
    silence: Option<OwnedFd>,
}

impl CompatTun {
    /// Creates the device `name` in the calling thread's network namespace. It is down and has no
    /// address; its MTU is 1500.
    ///
    /// # Errors
    ///
    /// See [`TunError`].
    pub fn open(name: &str) -> Result<Self, TunError> {
        let failed = |source: io::Error| match source.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOENT | Errno::NODEV | Errno::NXIO) => TunError::Missing,
            Some(Errno::ACCESS) => TunError::Denied,
            Some(Errno::PERM) => TunError::NotAdmin(name.to_owned()),
            Some(Errno::BUSY) => TunError::NameTaken(name.to_owned()),
            _ => TunError::System { operation: "opening a plain TUN device", source },
        };
        let interface = Iface::without_packet_info(name, Mode::Tun).map_err(failed)?;
        interface.set_non_blocking().map_err(failed)?;
        // JUSTIFICATION: tun-tap has no way to poll, or to share a device between threads.
        // SAFETY: `into_raw_fd` gives up an open descriptor that nothing else owns.
        let device = unsafe { OwnedFd::from_raw_fd(interface.into_raw_fd()) };
        Ok(Self { device: Arc::new(device), silence: None })
    }

    /// Another way to send by the same device; it receives nothing.
    ///
    /// # Errors
    ///
    /// When the process has no descriptors left.
    pub fn sender(&self) -> io::Result<Self> {
        let silence = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { device: self.device.clone(), silence: Some(silence) })
    }
}

impl Link for CompatTun {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.silence.as_ref().map_or_else(|| self.device.as_fd(), AsFd::as_fd)
    }

    fn receive(&mut self, slot: &mut [u8]) -> io::Result<Option<Frame>> {
        if self.silence.is_some() {
            return Ok(None);
        }
        let place = slot.get_mut(HEADROOM..).ok_or(io::ErrorKind::InvalidInput)?;
        match rustix::io::read(&*self.device, place) {
            Ok(len) => Ok(Some(Frame { start: HEADROOM, len, offload: VirtioNetHdr::PLAIN })),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn send(&mut self, slot: &mut [u8], frame: Frame) -> io::Result<()> {
        let packet = slot.get(frame.start..frame.start + frame.len);
        let packet = packet.ok_or(io::ErrorKind::InvalidInput)?;
        match rustix::io::write(&*self.device, packet) {
            Ok(_) => Ok(()),
            Err(Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM) => {
                Err(io::ErrorKind::WouldBlock.into())
            }
            // The device is down: the packet is lost, the device stays.
            Err(Errno::IO) => Err(io::ErrorKind::NetworkDown.into()),
            Err(error) => Err(error.into()),
        }
    }

    fn takes(&self) -> Offloads {
        Offloads::default()
    }
}
