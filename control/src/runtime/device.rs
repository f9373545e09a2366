//! The device of one member: born in its namespace, configured, probed.

use std::io;

use dataplane::io::compat::CompatTun;
use dataplane::io::tun::{Handle, Tun, TunError, TunOptions};
use dataplane::io::{Link, Offloads};

use crate::runtime::emulator::Error;
use crate::runtime::interface::{self, Interface};
use crate::runtime::namespace::Namespace;

/// Which kind of TUN device to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// The rich kind, and the plain one where the kernel has no other.
    #[default]
    Auto,
    /// The plain kind: one queue, no offloads.
    Compat,
}

/// A device and a queue of it for each worker.
pub struct Device {
    /// One a worker.
    pub queues: Vec<Box<dyn Link>>,
    /// Whether it is of the plain kind.
    pub compat: bool,
    /// What it takes whole.
    pub takes: Offloads,
    /// By which it is found when it has moved on.
    pub handle: Handle,
}

impl Device {
    fn of(opened: Opened) -> Result<Self, Error> {
        let (queues, compat) = match opened {
            Opened::Rich(mut queues) => {
                queues.iter_mut().for_each(Tun::probe);
                (boxed(queues), false)
            }
            Opened::Plain(queues) => (boxed(queues), true),
        };
        let first = queues.first().expect("a device has a queue");
        let (takes, handle) = (first.takes(), Handle::of(first.as_ref())?);
        Ok(Self { queues, compat, takes, handle })
    }
}

/// How to make devices.
#[derive(Debug)]
pub struct Workshop {
    kind: Kind,
    options: TunOptions,
    queues: usize,
}

impl Workshop {
    /// Makes devices with `queues` queues each.
    #[must_use]
    pub const fn new(kind: Kind, options: TunOptions, queues: usize) -> Self {
        Self { kind, options, queues }
    }

    /// Makes the device of `home` as `interface` says. It is born there, where nobody of the host looks: to move one takes
    /// the kernel some 20 ms, and only one moves at a time. Its descriptors keep `home` alive.
    ///
    /// # Errors
    ///
    /// When the kernel refuses it.
    pub fn make(&self, home: &Namespace, interface: &Interface) -> Result<Device, Error> {
        let opened = home.enter(|| self.open(interface::NAME))??;
        interface::configure(home, interface)?;
        Device::of(opened)
    }

    /// Opens the device `name` in `place` again, which is persistent and has outlived whoever had it.
    ///
    /// # Errors
    ///
    /// When there is none, or it is another's.
    pub fn reopen(&self, name: &str, place: &Namespace) -> Result<Device, Error> {
        let device = Device::of(place.enter(|| self.open_again(name))??)?;
        // A plain one that did not exist was made by opening it.
        if device.handle.is_persistent()? { Ok(device) } else { Err(TunError::Gone.into()) }
    }

    fn open(&self, name: &str) -> Result<Opened, Error> {
        if self.kind == Kind::Auto {
            match self.open_rich(name) {
                Err(TunError::TooPlain) => {
                    tracing::warn!("{}: going on with plain devices", TunError::TooPlain);
                }
                other => return Ok(Opened::Rich(other?)),
            }
        }
        self.open_plain(name)
    }

    fn open_again(&self, name: &str) -> Result<Opened, Error> {
        if self.kind == Kind::Auto {
            match Tun::reopen(name, &self.options) {
                Err(TunError::TooPlain) => {}
                first => return Ok(Opened::Rich(self.with_others(first?)?)),
            }
        }
        self.open_plain(name)
    }

    fn open_plain(&self, name: &str) -> Result<Opened, Error> {
        let first = CompatTun::open(name)?;
        let senders = (1..self.queues).map(|_| first.sender());
        let senders: Vec<CompatTun> = senders.collect::<io::Result<_>>()?;
        Ok(Opened::Plain(std::iter::once(first).chain(senders).collect()))
    }

    /// All queues while it is at home: opened after it was given away, they would be another device's.
    fn open_rich(&self, name: &str) -> Result<Vec<Tun>, TunError> {
        self.with_others(Tun::open(name, &self.options)?)
    }

    fn with_others(&self, first: Tun) -> Result<Vec<Tun>, TunError> {
        let others = (1..self.queues).map(|_| first.another_queue());
        let others: Vec<Tun> = others.collect::<Result<_, _>>()?;
        Ok(std::iter::once(first).chain(others).collect())
    }
}

enum Opened {
    Rich(Vec<Tun>),
    Plain(Vec<CompatTun>),
}

fn boxed<L: Link + 'static>(links: Vec<L>) -> Vec<Box<dyn Link>> {
    links.into_iter().map(|link| Box::new(link) as Box<dyn Link>).collect()
}
