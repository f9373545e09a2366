//! A queue of a TUN device (Linux `Documentation/networking/tuntap.rst`): how packets of a network
//! namespace reach this process, several segments at once where the kernel can.
//!
//! Each `read` and `write` carries a virtio-net header and one packet, or super-packet, in place.

mod handle;
mod probe;
mod request;

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use zerocopy::{FromBytes, IntoBytes};

use crate::io::{Frame, HEADROOM, Link, Offloads};
use crate::wire::virtio::{HEADER, VirtioNetHdr, gso};

pub use handle::{Handle, Place};

/// One queue of a TUN device. The device lives as long as one of its queues.
#[derive(Debug)]
pub struct Tun {
    device: OwnedFd,
    name: String,
    options: TunOptions,
    takes: Offloads,
    /// Super-packets refused since one was taken: TCP, UDP.
    refusals: [u8; 2],
    refused: u64,
}

/// How a device is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunOptions {
    /// Whether super-packets and partial checksums are exchanged with the kernel, as far as it can.
    /// Without, it hands over and is given whole packets with finished checksums.
    pub gso: bool,
}

impl Default for TunOptions {
    fn default() -> Self {
        Self { gso: true }
    }
}

/// Why a device could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum TunError {
    /// The kernel has no TUN driver, or this file system has no node for it.
    #[error(
        "/dev/net/tun does not exist: load the kernel module `tun`, or give the container this device"
    )]
    Missing,
    /// The node is there and may not be opened: its mode, or the container's device rules.
    #[error(
        "/dev/net/tun may not be opened for reading and writing: run as root, or give the container this device"
    )]
    Denied,
    /// The thread may not create devices in its network namespace.
    #[error("the link `{0}` may not be created: that needs CAP_NET_ADMIN in the network namespace")]
    NotAdmin(String),
    /// The kernel, or a sandbox in its place, has only the plain kind of TUN.
    #[error(
        "this kernel's TUN has no several queues with virtio-net headers: it is older than Linux 4.15, or a sandbox such as gVisor"
    )]
    TooPlain,
    /// The network namespace has a link of this name.
    #[error("the name `{0}` is taken by another link of this network namespace")]
    NameTaken(String),
    /// Not a name for a link: 1 to 15 bytes, no `/`, `:`, `%` or white space, not `.` or `..`.
    #[error("`{0}` is no name for a link: 1 to 15 bytes, without `/`, `:`, `%` and white space")]
    NameInvalid(String),
    /// A queue was asked for after the device had gone to another network namespace.
    #[error(
        "the link `{0}` has left this network namespace: its queues are opened before it is moved"
    )]
    Moved(String),
    /// It ended with its network namespace, or was deleted.
    #[error("the link is gone, with its network namespace or because somebody deleted it")]
    Gone,
    /// Anything else.
    #[error("{operation} failed: {source}")]
    System {
        /// The system call, or its request.
        operation: &'static str,
        /// What the kernel answered.
        source: io::Error,
    },
}

impl Tun {
    /// Creates the device `name` in the calling thread's network namespace and opens its first
    /// queue. The device is down and has no address; its MTU is 1500.
    ///
    /// # Errors
    ///
    /// See [`TunError`].
    pub fn open(name: &str, options: &TunOptions) -> Result<Self, TunError> {
        let valid = (1..=15).contains(&name.len())
            && !name.contains(|c: char| c.is_whitespace() || "/:%\0".contains(c))
            && !matches!(name, "." | "..");
        if !valid {
            return Err(TunError::NameInvalid(name.to_owned()));
        }
        Self::attach(name, *options, libc::IFF_TUN_EXCL)
    }

    /// Opens the first queue of the device `name` again, which outlived its queues in the calling
    /// thread's network namespace (see [`Handle::persist`]).
    ///
    /// # Errors
    ///
    /// [`TunError::Gone`] where there is none, [`TunError::NameTaken`] where it has another owner,
    /// [`TunError::TooPlain`] where it is of the plain kind; else see [`TunError`].
    pub fn reopen(name: &str, options: &TunOptions) -> Result<Self, TunError> {
        let tun = Self::attach(name, *options, 0)?;
        // One that did not exist was made by this, and goes with it.
        if Handle::of(&tun)
            .map_err(|source| TunError::System { operation: "dup", source })?
            .is_persistent()?
        {
            Ok(tun)
        } else {
            Err(TunError::Gone)
        }
    }

    /// Opens one more queue of the same device, for another worker. The calling thread must be in
    /// the device's network namespace.
    ///
    /// # Errors
    ///
    /// [`TunError::Moved`] where it is not; else see [`TunError`].
    pub fn another_queue(&self) -> Result<Self, TunError> {
        let (name, _) = request::describe(&self.device).map_err(system("TUNGETIFF"))?;
        if !request::is_here(&self.device).map_err(system("TUNGETDEVNETNS"))? {
            return Err(TunError::Moved(name));
        }
        Self::attach(&name, self.options, 0)
    }

    /// The device's name when the queue was opened.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Packets that were dropped because the header before them contradicted their length.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    fn attach(name: &str, options: TunOptions, exclusive: c_int) -> Result<Self, TunError> {
        let device = open_node()?;
        let flags = flags(options) | exclusive;
        request::attach(&device, name, flags).map_err(|errno| match errno {
            Errno::PERM => TunError::NotAdmin(name.to_owned()),
            Errno::INVAL => TunError::TooPlain,
            Errno::BUSY => TunError::NameTaken(name.to_owned()),
            other => system("TUNSETIFF")(other),
        })?;
        // A kernel takes flags that it does not know for none: ask what it made of them.
        let (name, flags) = request::describe(&device).map_err(system("TUNGETIFF"))?;
        if flags & NEEDED != NEEDED {
            return Err(TunError::TooPlain);
        }
        request::set_header_length(&device, HEADER).map_err(system("TUNSETVNETHDRSZ"))?;
        let takes = negotiate(&device, options)?;
        Ok(Self { device, name, options, takes, refusals: [0; 2], refused: 0 })
    }
}

impl Link for Tun {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }

    fn receive(&mut self, slot: &mut [u8]) -> io::Result<Option<Frame>> {
        let place = slot.get_mut(HEADROOM - HEADER..).ok_or(io::ErrorKind::InvalidInput)?;
        loop {
            let read = match rustix::io::read(&self.device, &mut *place) {
                Ok(read) => read,
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::INTR) => continue,
                Err(gone) => return Err(gone.into()),
            };
            if let Ok((offload, _)) = VirtioNetHdr::read_from_prefix(place)
                && let Some(len) = read.checked_sub(HEADER)
                && offload.fits(len)
            {
                return Ok(Some(Frame { start: HEADROOM, len, offload }));
            }
            self.refused += 1;
        }
    }

    fn send(&mut self, slot: &mut [u8], frame: Frame) -> io::Result<()> {
        let start = frame.start.checked_sub(HEADER).ok_or(io::ErrorKind::InvalidInput)?;
        let whole = slot
            .get_mut(start..)
            .and_then(|rest| rest.get_mut(..frame.len.checked_add(HEADER)?))
            .ok_or(io::ErrorKind::InvalidInput)?;
        let mut offload = frame.offload;
        // A hint, but one that the kernel refuses if it is beyond the end.
        offload.hdr_len = offload.hdr_len.min(u16::try_from(frame.len).unwrap_or(u16::MAX));
        let _ = offload.write_to_prefix(whole);
        let result = rustix::io::retry_on_intr(|| rustix::io::write(&self.device, &*whole));
        if let Some(kind) = offload.segmented() {
            self.learn(kind, &result);
        }
        match result {
            Ok(_) => Ok(()),
            Err(Errno::IO) => Err(io::ErrorKind::NetworkDown.into()),
            Err(Errno::NOMEM | Errno::NOBUFS) => Err(io::ErrorKind::WouldBlock.into()),
            Err(other) => Err(other.into()),
        }
    }

    fn takes(&self) -> Offloads {
        self.takes
    }
}

/// Super-packets refused in a row before no more are offered. A packet may be at fault by itself;
/// so many are not.
const PATIENCE: u8 = 16;

impl Tun {
    /// Gives up a kind of super-packet that the kernel keeps refusing: some break it (tailscale
    /// issue 13041).
    fn learn(&mut self, kind: u8, result: &rustix::io::Result<usize>) {
        let udp = kind == gso::UDP_L4;
        let refusals = &mut self.refusals[usize::from(udp)];
        match result {
            Ok(_) => *refusals = 0,
            Err(Errno::INVAL) => *refusals = refusals.saturating_add(1),
            Err(_) => (),
        }
        if *refusals >= PATIENCE {
            let offload = if udp { &mut self.takes.udp } else { &mut self.takes.tcp };
            *offload = false;
        }
    }
}

/// One queue of several, a virtio-net header and nothing else before the packet; GRO over what is
/// written where that is super-packets. For a packet at a time it costs a poll each: a stream
/// without offloads is a quarter slower with it.
const fn flags(options: TunOptions) -> c_int {
    let gro = if options.gso { libc::IFF_NAPI } else { 0 };
    NEEDED | libc::IFF_NO_PI | gro
}

/// What the kernel must have made of [`flags`].
const NEEDED: c_int = libc::IFF_TUN | libc::IFF_MULTI_QUEUE | libc::IFF_VNET_HDR;

fn open_node() -> Result<OwnedFd, TunError> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK;
    rustix::fs::open("/dev/net/tun", flags, Mode::empty()).map_err(|errno| match errno {
        Errno::NOENT | Errno::NOTDIR | Errno::NODEV | Errno::NXIO => TunError::Missing,
        Errno::ACCESS | Errno::PERM => TunError::Denied,
        other => system("opening /dev/net/tun")(other),
    })
}

/// Asks for the richest set of offloads, then for less, and says what was granted. The set belongs
/// to the device and outlives its queues, so it is always stated, even if it is empty.
fn negotiate(device: &OwnedFd, options: TunOptions) -> Result<Offloads, TunError> {
    use libc::{TUN_F_CSUM, TUN_F_TSO_ECN, TUN_F_TSO4, TUN_F_TSO6, TUN_F_USO4, TUN_F_USO6};
    const CHECKSUM: u32 = TUN_F_CSUM;
    const TCP: u32 = CHECKSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
    const UDP: u32 = TCP | TUN_F_USO4 | TUN_F_USO6;
    let all = Offloads { checksum: true, tcp: true, udp: true };
    let sets = [
        (UDP, all),
        (TCP, Offloads { udp: false, ..all }),
        (CHECKSUM, Offloads { checksum: true, ..Offloads::default() }),
        (0, Offloads::default()),
    ];
    let wanted = if options.gso { &sets[..] } else { &sets[3..] };
    let mut answer = Errno::INVAL;
    for (mask, granted) in wanted {
        match request::set_offload(device, *mask) {
            Ok(()) => return Ok(*granted),
            Err(errno) => answer = errno,
        }
    }
    Err(system("TUNSETOFFLOAD")(answer))
}

fn system(operation: &'static str) -> impl FnOnce(Errno) -> TunError {
    move |errno| TunError::System { operation, source: errno.into() }
}

#[cfg(test)]
mod tests;
