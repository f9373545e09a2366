//! How does an interface come into a container whose engine places it there itself? It is handed to the engine, in
//! whose network namespace it has a name of its own; the engine moves, names and addresses it as it likes, and moves it
//! back when the container ends (libnetwork, `osl`). It is known again by a mark, its alias, wherever it is.

use std::fmt;
use std::path::{Path, PathBuf};

use dataplane::io::tun::Handle;
use serde::{Deserialize, Serialize};

use super::{Attachment, Error, Target, guest, take_back, whereabouts};
use crate::runtime::interface::{self, Interface};
use crate::runtime::namespace::{Identity, Namespace};

/// What an engine calls the place of one container in one network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The engine's id of it.
    pub id: String,
    /// Where the network namespace of its container will be.
    pub sandbox: PathBuf,
    /// Where that of the engine is.
    pub engine: PathBuf,
}

/// Letters of an id where an engine shows it in short.
const SHORT: usize = 12;

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.id.get(..SHORT).unwrap_or(&self.id);
        write!(f, "container network {} (endpoint {id})", self.sandbox.display())
    }
}

impl Endpoint {
    /// By which its interface is known.
    fn mark(&self) -> String {
        format!("hypertun endpoint {}", self.id)
    }

    /// Where its interface is, and what it is called there.
    pub(super) fn find(&self) -> Option<(Namespace, String)> {
        let own = Path::new("/proc/self/ns/net");
        [&*self.sandbox, &*self.engine, own].into_iter().find_map(|path| {
            let namespace = Namespace::open(path).ok()?;
            let link = guest::find(&namespace, &self.mark()).ok()??;
            Some((namespace, link))
        })
    }
}

/// Gives `device`, which is at `home`, to the engine that is in the namespace `engine`, where it is called `link`. On
/// failure all is as it was, but for a device that cannot be taken back.
pub(crate) fn lend(
    device: &Handle,
    home: &Namespace,
    interface: &Interface,
    endpoint: Endpoint,
    link: &str,
) -> Result<Attachment, Error> {
    let engine = Namespace::open(&endpoint.engine)?;
    let (from, name) = whereabouts(device)?;
    let lent = interface::adopt(&from, &name, &engine, link).map_err(Error::from);
    if let Err(error) = lent.and_then(|()| guest::mark(&engine, link, &endpoint.mark())) {
        if let Err(error) = take_back(device, home, interface, &[]) {
            tracing::warn!("after an attachment that failed: {error}");
        }
        return Err(error);
    }
    let target = Target::Endpoint(endpoint);
    Ok(Attachment { target, process: None, replaced: Vec::new(), pinned: None })
}

impl Attachment {
    /// Makes `device`, which was lent, what `interface` says where its engine has made it something else: an engine gives
    /// an address before it tells for which interface, and may know nothing of others. Returns whether the engine has
    /// placed it.
    ///
    /// # Errors
    ///
    /// [`TunError::Gone`](dataplane::io::tun::TunError::Gone), or when the kernel refuses.
    pub(crate) fn settle(&self, device: &Handle, interface: &Interface) -> Result<bool, Error> {
        let Target::Endpoint(endpoint) = &self.target else { return Ok(true) };
        let (namespace, link) = whereabouts(device)?;
        if Identity::at(&endpoint.engine) == Some(namespace.identity()) {
            return Ok(false);
        }
        let Some(placed) = guest::placed(&namespace, &link)? else { return Ok(false) };
        interface::spare_queues(&namespace, &link)?;
        guest::correct(&namespace, &link, placed, interface)?;
        Ok(true)
    }
}
