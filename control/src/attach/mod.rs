//! How does something that runs already get the interface of an ENI?
//!
//! The ENI's device moves from the namespace of its own to the other's, and home again: its queues stay
//! with the workers, so nothing that is known of its flows changes. Nothing here keeps the other's
//! namespace alive: it may end at any moment, and the device with it.

pub mod engine;
mod guest;
mod lent;
mod routes;
pub mod state;
mod target;

use std::os::fd::OwnedFd;

use dataplane::io::tun::{Handle, TunError};
use netlink_packet_route::route::RouteMessage;
use serde::{Deserialize, Serialize};

use crate::runtime::emulator;
use crate::runtime::interface::{self, Interface, NAME, Place};
use crate::runtime::namespace::{self, Identity, Namespace};

pub use lent::Endpoint;
pub(crate) use lent::lend;
use state::{Record, Route};
pub use target::Target;
use target::{Opened, has_ended};

/// Why an interface was not given, or not taken back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name is none of a network interface.
    #[error("the topology has no network interface `{name}`; it has: {}", .interfaces.join(", "))]
    NoInterface {
        /// What was asked for.
        name: String,
        /// What there is.
        interfaces: Vec<String>,
    },
    /// The host has refused the interface's device before.
    #[error("`{0}` has no device; `hypertun apply` tries again to make one")]
    NoDevice(String),
    /// It has been given away.
    #[error("`{name}` is attached to {target}; `hypertun detach {name}` takes it back")]
    Attached {
        /// Which interface.
        name: String,
        /// To whom.
        target: Target,
    },
    /// It has not been given away.
    #[error("`{0}` is not attached to anything")]
    NotAttached(String),
    /// No process has the id.
    #[error("there is no process {0}")]
    NoProcess(i32),
    /// It ended meanwhile.
    #[error("{0} has ended")]
    Ended(Target),
    /// It has no network of its own.
    #[error("{0} is in the network namespace of the host, which hypertun leaves alone")]
    Host(Target),
    /// It is where the interface is at home.
    #[error("{0} has this interface already: it is in the interface's own network namespace")]
    AtHome(Target),
    /// Packets would take another way.
    #[error(
        "{holder} has the default route of {target}; --replace-default takes it away until `hypertun detach`"
    )]
    DefaultRoute {
        /// The link that has it.
        holder: String,
        /// Where.
        target: Target,
    },
    /// A namespace.
    #[error(transparent)]
    Namespace(#[from] namespace::Error),
    /// The link.
    #[error(transparent)]
    Interface(#[from] interface::Error),
    /// The device.
    #[error(transparent)]
    Device(#[from] TunError),
    /// A new device at home.
    #[error(transparent)]
    Home(#[from] Box<emulator::Error>),
}

/// What an interface is attached to, as the API tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    /// To what.
    pub to: Target,
    /// The interface's name there.
    pub interface: String,
}

/// An interface that was given away.
#[derive(Debug)]
pub(crate) struct Attachment {
    target: Target,
    /// The process that it was given to, if it was one.
    process: Option<OwnedFd>,
    /// Default routes of others, which come back when it goes.
    replaced: Vec<RouteMessage>,
    /// The namespace that it is in, where its queues were opened in there, and keep that alive.
    pinned: Option<Identity>,
}

impl Attachment {
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// What `left` says, for a device whose home is `home`.
    ///
    /// # Errors
    ///
    /// When nobody has it any more.
    pub(crate) fn adopted(left: &Record, home: &Namespace) -> Result<Self, Error> {
        let Opened { namespace, process } = left.to.open(home)?;
        Ok(Self {
            target: left.to.clone(),
            process,
            replaced: left.replaced.iter().map(|route| route.0.clone()).collect(),
            pinned: Some(namespace.identity()),
        })
    }

    /// What is to be known of it after a crash.
    pub(crate) fn record(
        &self,
        name: &str,
        device: &Handle,
        interface: &Interface,
    ) -> Result<Record, Error> {
        let (namespace, link) = whereabouts(device)?;
        Ok(Record {
            name: name.to_owned(),
            to: self.target.clone(),
            namespace: namespace.identity(),
            link,
            interface: interface.clone(),
            replaced: self.replaced.iter().cloned().map(Route).collect(),
        })
    }

    /// Whether there is nobody any more who has it.
    pub(crate) fn has_ended(&self, device: &Handle) -> bool {
        device.is_gone()
            || self.process.as_ref().is_some_and(has_ended)
            || self.pinned.is_some_and(|pinned| Identity::at(&self.target.path()) != Some(pinned))
    }

    pub(crate) fn told(&self, device: &Handle) -> Attached {
        let interface = device.place().map_or_else(|_| "-".to_owned(), |place| place.name);
        Attached { to: self.target.clone(), interface }
    }
}

/// Gives `device`, which is at `home`, to `target`, where it becomes what `interface` says; default
/// routes of others go if `replace`. On failure all is as it was, but for a device that cannot be
/// taken back.
pub(crate) fn give(
    device: &Handle,
    home: &Namespace,
    interface: &Interface,
    target: Target,
    replace: bool,
) -> Result<Attachment, Error> {
    let Opened { namespace, process } = target.open(home)?;
    let room = guest::look(&namespace)?;
    if let (Some(holder), false) = (room.holder, replace) {
        return Err(Error::DefaultRoute { holder, target });
    }
    let (from, link) = whereabouts(device)?;
    interface::adopt(&from, &link, &namespace, &room.link)?;
    let settled = guest::settle(&namespace, &room.link, interface, &room.defaults);
    let ended = process.as_ref().is_some_and(has_ended);
    if (ended || settled.is_err())
        && let Err(error) = take_back(device, home, interface, &room.defaults)
    {
        tracing::warn!("after an attachment that failed: {error}");
    }
    if ended {
        return Err(Error::Ended(target));
    }
    settled?;
    Ok(Attachment { target, process, replaced: room.defaults, pinned: None })
}

impl Attachment {
    /// Takes `device` home, where it becomes what `interface` says.
    ///
    /// # Errors
    ///
    /// [`TunError::Gone`] where it went down with the namespace that it was in, or had to go so that
    /// the namespace can.
    pub(crate) fn take_back(
        &self,
        device: &Handle,
        home: &Namespace,
        interface: &Interface,
    ) -> Result<(), Error> {
        if self.pinned.is_some() {
            self.end(device);
            return Err(TunError::Gone.into());
        }
        take_back(device, home, interface, &self.replaced)
    }

    /// Takes `device` away from whoever has it, for good.
    pub(crate) fn end(&self, device: &Handle) {
        let ended = whereabouts(device)
            .and_then(|(namespace, link)| guest::evict(&namespace, &link, &self.replaced));
        match ended {
            Ok(()) | Err(Error::Device(TunError::Gone)) => {}
            Err(error) => tracing::warn!("{} is left as it is: {error}", self.target),
        }
    }
}

/// Gives `device`, which is away, what `new` says in the place of what `old` said.
pub(crate) fn change(device: &Handle, old: &Interface, new: &Interface) -> Result<(), Error> {
    let (namespace, link) = whereabouts(device)?;
    Ok(interface::reconfigure(Place::guest(&namespace, &link), old, new)?)
}

/// Packets that `device`, which is away, had to drop because nobody read them in time.
pub(crate) fn overrun(device: &Handle) -> Result<u64, Error> {
    let (namespace, link) = whereabouts(device)?;
    Ok(interface::overrun(Place::guest(&namespace, &link))?)
}

fn take_back(
    device: &Handle,
    home: &Namespace,
    interface: &Interface,
    replaced: &[RouteMessage],
) -> Result<(), Error> {
    let (namespace, link) = whereabouts(device)?;
    if namespace.identity() == home.identity() {
        return Ok(());
    }
    interface::adopt(&namespace, &link, home, NAME)?;
    guest::restore(&namespace, replaced);
    Ok(interface::configure(home, interface)?)
}

/// Whether `device` is at `home`.
pub(crate) fn is_at(device: &Handle, home: &Namespace) -> bool {
    whereabouts(device).is_ok_and(|(namespace, _)| namespace.identity() == home.identity())
}

/// The namespace that a device is in, whoever moved it there, and its name in it.
fn whereabouts(device: &Handle) -> Result<(Namespace, String), Error> {
    let place = device.place()?;
    Ok((place.namespace.into(), place.name))
}
