//! Where is a device, and what is it called there, whoever reads its queues?
//!
//! Whoever may administer its network namespace may move it to another one or give it another name;
//! and it ends with the namespace that it is in. Where its queues were opened, they keep that namespace.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::{TunError, request, system};
use crate::io::Link;

/// A device, by one more descriptor of one of its queues, which neither reads nor writes. The device
/// lives as long as one of its queues does, or this.
#[derive(Debug)]
pub struct Handle {
    device: OwnedFd,
}

/// Where a device is.
#[derive(Debug)]
pub struct Place {
    /// Its network namespace, which lives as long as this.
    pub namespace: OwnedFd,
    /// What it is called in there.
    pub name: String,
}

impl Handle {
    /// A handle of the device that `queue` belongs to.
    ///
    /// # Errors
    ///
    /// When the process has no descriptors left.
    pub fn of(queue: &dyn Link) -> io::Result<Self> {
        Ok(Self { device: queue.descriptor().try_clone_to_owned()? })
    }

    /// Where the device is now.
    ///
    /// # Errors
    ///
    /// [`TunError::Gone`]; [`TunError::System`] without CAP_NET_ADMIN over its namespace.
    pub fn place(&self) -> Result<Place, TunError> {
        let namespace = request::namespace(&self.device).map_err(gone_or("TUNGETDEVNETNS"))?;
        let (name, _) = request::describe(&self.device).map_err(gone_or("TUNGETIFF"))?;
        Ok(Place { namespace, name })
    }

    /// Makes the device stay when its last queue is closed, by the end of this process too, until its
    /// network namespace ends; or not any more.
    ///
    /// # Errors
    ///
    /// [`TunError::Gone`].
    pub fn persist(&self, stays: bool) -> Result<(), TunError> {
        request::set_persistent(&self.device, stays).map_err(gone_or("TUNSETPERSIST"))
    }

    /// Whether it stays so.
    ///
    /// # Errors
    ///
    /// [`TunError::Gone`].
    pub fn is_persistent(&self) -> Result<bool, TunError> {
        let (_, flags) = request::describe(&self.device).map_err(gone_or("TUNGETIFF"))?;
        Ok(flags & libc::IFF_PERSIST != 0)
    }

    /// Whether the device is gone, with its network namespace or because somebody deleted it.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        let mut device = [PollFd::from_borrowed_fd(self.device.as_fd(), PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut device, Some(&now)).is_ok() && device[0].revents().contains(PollFlags::ERR)
    }
}

/// A descriptor without its device answers EBADFD, and a namespace that ends EINVAL.
fn gone_or(operation: &'static str) -> impl Fn(Errno) -> TunError {
    move |errno| match errno {
        Errno::BADFD | Errno::INVAL => TunError::Gone,
        other => system(operation)(other),
    }
}
