//! To what is an interface given, and is it still there? pidfd_open(2).

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};

use crate::attach::{Endpoint, Error};
use crate::runtime::namespace::{self, Namespace};

/// Something that runs, or its network namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The network namespace at a path, which is absolute.
    Netns(PathBuf),
    /// A process, by its id.
    Pid(i32),
    /// A container.
    Container {
        /// As the user calls it.
        id: String,
        /// The process that its engine tells.
        pid: i32,
    },
    /// A container whose engine places the interface there itself.
    Endpoint(Endpoint),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Netns(path) => write!(f, "network namespace {}", path.display()),
            Self::Pid(pid) => write!(f, "process {pid}"),
            Self::Container { id, pid } => write!(f, "container {id} (process {pid})"),
            Self::Endpoint(endpoint) => endpoint.fmt(f),
        }
    }
}

/// A target whose namespace lives as long as this.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) namespace: Namespace,
    /// None of a path.
    pub(super) process: Option<OwnedFd>,
}

impl Target {
    /// Where its network namespace is, for [`Namespace::open`].
    #[must_use]
    pub fn path(&self) -> PathBuf {
        match self {
            Self::Netns(path) => path.clone(),
            Self::Pid(pid) | Self::Container { pid, .. } => format!("/proc/{pid}/ns/net").into(),
            Self::Endpoint(endpoint) => endpoint.sandbox.clone(),
        }
    }

    /// Opens it, unless an interface that is at `home` must not go there.
    pub(super) fn open(&self, home: &Namespace) -> Result<Opened, Error> {
        let process = match self {
            Self::Netns(_) | Self::Endpoint(_) => None,
            Self::Pid(pid) | Self::Container { pid, .. } => Some(self.process(*pid)?),
        };
        let namespace = Namespace::open(&self.path()).map_err(|error| match error {
            namespace::Error::Missing(_) if process.is_some() => Error::Ended(self.clone()),
            error => error.into(),
        })?;
        // The id may have become another's before its namespace was opened.
        if process.as_ref().is_some_and(has_ended) {
            return Err(Error::Ended(self.clone()));
        }
        let identity = namespace.identity();
        let host = Namespace::open(Path::new("/proc/1/ns/net")).map(|it| it.identity());
        if Namespace::current()?.identity() == identity || host.is_ok_and(|it| it == identity) {
            return Err(Error::Host(self.clone()));
        }
        if identity == home.identity() {
            return Err(Error::AtHome(self.clone()));
        }
        Ok(Opened { namespace, process })
    }

    fn process(&self, pid: i32) -> Result<OwnedFd, Error> {
        let id = if pid > 0 { Pid::from_raw(pid) } else { None };
        let id = id.ok_or(Error::NoProcess(pid))?;
        pidfd_open(id, PidfdFlags::empty()).map_err(|_| match self {
            Self::Container { .. } => Error::Ended(self.clone()),
            _ => Error::NoProcess(pid),
        })
    }
}

/// Whether the process is over.
pub(super) fn has_ended(process: &OwnedFd) -> bool {
    let mut process = [PollFd::new(process, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let polled: io::Result<_> = poll(&mut process, Some(&now)).map_err(Into::into);
    polled.is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn whoever_is_gone_is_told_from_whoever_never_was() {
        let home = Namespace::anonymous().unwrap();
        let mut child = Command::new("sleep").arg("1005").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let process = Target::Pid(pid);
        let alive = process.process(pid).unwrap();
        assert!(!has_ended(&alive));
        assert!(matches!(process.open(&home), Err(Error::Host(_))));
        child.kill().unwrap();
        // It is dead, and not waited for.
        while !has_ended(&alive) {}
        assert!(matches!(process.open(&home), Err(Error::Ended(_))));
        child.wait().unwrap();
        assert!(matches!(process.open(&home), Err(Error::NoProcess(_))));
        let container = Target::Container { id: "web".into(), pid };
        let ended = container.open(&home).unwrap_err();
        assert_eq!(ended.to_string(), format!("container web (process {pid}) has ended"));
        for pid in [0, -1] {
            assert!(matches!(Target::Pid(pid).open(&home), Err(Error::NoProcess(_))));
        }
    }

    #[test]
    fn a_path_leads_to_a_namespace_that_is_nobody_elses() {
        let home = Namespace::anonymous().unwrap();
        let open = |path: &str| Target::Netns(path.into()).open(&home).unwrap_err();
        assert!(matches!(open("/no/such"), Error::Namespace(namespace::Error::Missing(_))));
        assert!(matches!(open("/"), Error::Namespace(namespace::Error::NotANamespace(_))));
        assert!(matches!(open("/proc/self/ns/net"), Error::Host(_)));
        let own = home.enter(|| open("/proc/thread-self/ns/net"));
        assert!(matches!(own.unwrap(), Error::Host(_) | Error::AtHome(_)));
    }
}
