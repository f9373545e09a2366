//! Which network stack does a thread see? namespaces(7), network_namespaces(7).
//!
//! No thread that was there before ever changes its namespace: what is to happen in one happens
//! on a thread made for it. Names under `/run/netns` are kept as ip-netns(8) keeps them, so that
//! `ip netns exec` works on them.

#![expect(unsafe_code, reason = "unshare(2) is unsafe in rustix")]

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, UnmountFlags};
use rustix::thread::{LinkNameSpaceType, UnshareFlags};
use serde::{Deserialize, Serialize};

/// Where named namespaces are, as in ip-netns(8).
pub const DIRECTORY: &str = "/run/netns";

/// Why a namespace could not be made, entered or removed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The process lacks CAP_SYS_ADMIN over the namespaces that it is in.
    #[error("cannot {action}: CAP_SYS_ADMIN is missing; run as root")]
    NotPermitted {
        /// What was asked for.
        action: String,
    },
    /// Something else has the name.
    #[error("the network namespace {} exists already", .0.display())]
    Exists(PathBuf),
    /// Nothing has the name.
    #[error("there is no network namespace {}", .0.display())]
    Missing(PathBuf),
    /// The path leads to something else.
    #[error("{} is not a network namespace", .0.display())]
    NotANamespace(PathBuf),
    /// Anything else that the kernel refused.
    #[error("cannot {action}: {source}")]
    System {
        /// What was asked for.
        action: String,
        /// What the kernel said.
        source: io::Error,
    },
}

impl Error {
    fn new(action: impl Into<String>, source: impl Into<io::Error>) -> Self {
        let (action, source) = (action.into(), source.into());
        match source.kind() {
            io::ErrorKind::PermissionDenied => Self::NotPermitted { action },
            _ => Self::System { action, source },
        }
    }
}

/// Which namespace: two handles of one namespace have equal identities while it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// The network namespace of process `pid`, by its main thread; `None` when it is gone or is
    /// not ours to look at.
    #[must_use]
    pub fn of_process(pid: i32) -> Option<Self> {
        Self::at(Path::new(&format!("/proc/{pid}/ns/net")))
    }

    /// The network namespace that `path` leads to; `None` when it leads nowhere.
    #[must_use]
    pub fn at(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|metadata| Self::of(&metadata))
    }

    fn of(metadata: &fs::Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// A handle of a network namespace, which lives at least as long.
#[derive(Debug)]
pub struct Namespace {
    file: File,
}

impl Namespace {
    /// A new namespace without a name; it ends with its last handle, link or process.
    ///
    /// # Errors
    ///
    /// [`Error::NotPermitted`] without CAP_SYS_ADMIN.
    #[cfg(test)]
    pub fn anonymous() -> Result<Self, Error> {
        on_a_thread_of_its_own(|| Self::unshared().and_then(|()| Self::current()))
    }

    /// A new namespace that `ip netns` knows as `name` (a file name); it stays until
    /// [`remove`](Self::remove).
    ///
    /// # Errors
    ///
    /// [`Error::Exists`] when the name is taken, [`Error::NotPermitted`] without CAP_SYS_ADMIN.
    pub fn named(name: &str) -> Result<Self, Error> {
        let path = Self::path(name);
        let _lock = Directory::ready()?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o000);
        match options.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(Error::Exists(path));
            }
            made => made.map_err(|e| Error::new(format!("make {}", path.display()), e))?,
        };
        let made = on_a_thread_of_its_own(|| {
            Self::unshared()?;
            rustix::mount::mount_bind("/proc/thread-self/ns/net", &path)
                .map_err(|e| Error::new(format!("mount {}", path.display()), e))?;
            Self::current()
        });
        if made.is_err() {
            let _ = fs::remove_file(&path);
        }
        made
    }

    /// The namespace that `path` leads to: `/run/netns/NAME`, `/proc/PID/ns/net`.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`], [`Error::NotANamespace`], [`Error::NotPermitted`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => Error::Missing(path.to_owned()),
            _ => Error::new(format!("open {}", path.display()), e),
        })?;
        let filesystem = rustix::fs::fstatfs(&file)
            .map_err(|e| Error::new(format!("look at {}", path.display()), e))?;
        if i128::from(filesystem.f_type) == i128::from(libc::NSFS_MAGIC) {
            Ok(Self { file })
        } else {
            Err(Error::NotANamespace(path.to_owned()))
        }
    }

    /// The namespace that the calling thread is in.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] without `/proc`.
    pub fn current() -> Result<Self, Error> {
        Self::open(Path::new("/proc/thread-self/ns/net"))
    }

    /// Takes the name away, and the namespace with it unless something else holds it. A name
    /// that nothing is mounted on goes too. No name is no error. With the last name goes the
    /// mount at [`DIRECTORY`], if hypertun made it.
    ///
    /// # Errors
    ///
    /// [`Error::NotPermitted`] without CAP_SYS_ADMIN.
    pub fn remove(name: &str) -> Result<(), Error> {
        let path = Self::path(name);
        let Some(lock) = Directory::found()? else { return Ok(()) };
        let failed = |e: io::Error| Error::new(format!("remove {}", path.display()), e);
        match rustix::mount::unmount(&path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
            Err(error) => return Err(failed(error.into())),
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        lock.leave_as_found();
        Ok(())
    }

    /// Where a namespace of this name is.
    #[must_use]
    pub fn path(name: &str) -> PathBuf {
        Path::new(DIRECTORY).join(name)
    }

    /// Runs `work` on a thread in this namespace that ends with it, and waits. The thread has the
    /// caller's mounts. Panics when `work` does.
    ///
    /// # Errors
    ///
    /// [`Error::NotPermitted`] without CAP_SYS_ADMIN.
    pub fn enter<R: Send>(&self, work: impl FnOnce() -> R + Send) -> Result<R, Error> {
        on_a_thread_of_its_own(|| self.join().map(|()| work()))
    }

    /// Moves the calling thread, for good, into this namespace. For threads of one's own, and for
    /// a process that is about to become another program.
    ///
    /// # Errors
    ///
    /// [`Error::NotPermitted`] without CAP_SYS_ADMIN.
    pub(super) fn join(&self) -> Result<(), Error> {
        rustix::thread::move_into_link_name_space(
            self.file.as_fd(),
            Some(LinkNameSpaceType::Network),
        )
        .map_err(|e| Error::new("enter a network namespace", e))
    }

    /// Which namespace this is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        let metadata = self.file.metadata().expect("an open namespace file has metadata");
        Identity::of(&metadata)
    }

    fn unshared() -> Result<(), Error> {
        separate(UnshareFlags::NEWNET).map_err(|e| Error::new("make a network namespace", e))
    }
}

impl From<OwnedFd> for Namespace {
    /// A namespace that the kernel has given out as one.
    fn from(descriptor: OwnedFd) -> Self {
        Self { file: descriptor.into() }
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Gives the calling thread namespaces of its own. The flags say which; only namespaces can be
/// asked for.
pub(super) fn separate(namespaces: UnshareFlags) -> io::Result<()> {
    let allowed = UnshareFlags::NEWNET | UnshareFlags::NEWNS | UnshareFlags::NEWUSER;
    assert!(allowed.contains(namespaces), "only namespaces are separated");
    // JUSTIFICATION: rustix has no safe call for it.
    // SAFETY: the table of file descriptors stays shared, by the assertion above: FILES is the one
    // flag that can leave a thread with a descriptor that is not what it thinks.
    unsafe { rustix::thread::unshare_unsafe(namespaces) }.map_err(io::Error::from)
}

fn on_a_thread_of_its_own<R: Send>(
    work: impl FnOnce() -> Result<R, Error> + Send,
) -> Result<R, Error> {
    thread::scope(|scope| {
        thread::Builder::new()
            .name("namespace".to_owned())
            .spawn_scoped(scope, work)
            .map_err(|e| Error::new("start a thread", e))?
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// [`DIRECTORY`], locked against other instances while one makes or removes a name.
struct Directory {
    _lock: File,
}

/// Beside [`DIRECTORY`] while its mount is one that hypertun made.
pub(super) const MOUNTED_BY_US: &str = "/run/.netns-by-hypertun";

impl Directory {
    /// Locks it, after making it as ip-netns(8) does: a shared mount of itself, so that what is
    /// mounted and unmounted there is so in every mount namespace.
    fn ready() -> Result<Self, Error> {
        let failed = |e: io::Error| Error::new(format!("prepare {DIRECTORY}"), e);
        let lock = Self::lock().map_err(failed)?;
        fs::DirBuilder::new().recursive(true).mode(0o755).create(DIRECTORY).map_err(failed)?;
        let share = || {
            let flags = MountPropagationFlags::SHARED | MountPropagationFlags::REC;
            rustix::mount::mount_change(DIRECTORY, flags)
        };
        match share() {
            Ok(()) => return Ok(lock),
            Err(Errno::INVAL) => {} // Not a mount.
            Err(error) => return Err(failed(error.into())),
        }
        File::create(MOUNTED_BY_US).map_err(failed)?;
        rustix::mount::mount_bind_recursive(DIRECTORY, DIRECTORY)
            .and_then(|()| share())
            .map_err(|e| failed(e.into()))?;
        Ok(lock)
    }

    /// Locks it; `None` when there is none.
    fn found() -> Result<Option<Self>, Error> {
        if !Path::new(DIRECTORY).exists() {
            return Ok(None);
        }
        Self::lock().map(Some).map_err(|e| Error::new(format!("lock {DIRECTORY}"), e))
    }

    /// The lock is on its parent, which is there before and after.
    fn lock() -> io::Result<Self> {
        let parent = File::open(Path::new(DIRECTORY).parent().expect("it has a parent"))?;
        rustix::fs::flock(&parent, FlockOperation::LockExclusive)?;
        Ok(Self { _lock: parent })
    }

    /// Unmounts and removes the directory, if it is empty and the mount is hypertun's. What came
    /// in meanwhile keeps it: neither step succeeds on a directory in use.
    fn leave_as_found(&self) {
        let empty = fs::read_dir(DIRECTORY).is_ok_and(|mut entries| entries.next().is_none());
        if empty
            && Path::new(MOUNTED_BY_US).exists()
            && rustix::mount::unmount(DIRECTORY, UnmountFlags::NOFOLLOW).is_ok()
        {
            let _ = fs::remove_dir(DIRECTORY);
            let _ = fs::remove_file(MOUNTED_BY_US);
        }
    }
}

#[cfg(test)]
#[path = "namespace_tests.rs"]
mod tests;
