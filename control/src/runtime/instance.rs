//! Which instances run here, and where are their files? One name, one lock, held with flock(2) for
//! the life of the process, so that a crash frees it.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::namespace::Namespace;
use super::rootless::outer_user;
use super::sweep;

/// Why an instance could not start or be found.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a name.
    #[error("{0:?} is not an instance name: 1 to 64 of A-Z a-z 0-9 . _ -")]
    BadName(String),
    /// A live process holds the name.
    #[error(
        "instance {name} is already running (pid {pid}); choose another with --name, or `hypertun down` it"
    )]
    Running {
        /// The name.
        name: Name,
        /// Who holds it.
        pid: String,
    },
    /// The directory is somebody else's.
    #[error("{} belongs to user {owner}", path.display())]
    NotOurs {
        /// The directory.
        path: PathBuf,
        /// Its owner's user id.
        owner: u32,
    },
    /// A file could not be made or read.
    #[error("cannot use {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The name of an instance: 1 to 64 of `[A-Za-z0-9._-]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name(String);

impl Name {
    /// A name for an instance of this process alone: `KIND-PID`, as `run` and `demo` have.
    ///
    /// # Panics
    ///
    /// When `kind` is no name.
    #[must_use]
    pub fn private(kind: &str) -> Self {
        format!("{kind}-{}", std::process::id()).parse().expect("the kind is a word of ours")
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Error::BadName(text.to_owned()))
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where the files of an instance are, whether it runs or not.
#[derive(Clone, Debug)]
pub struct Paths {
    directory: PathBuf,
    name: Name,
}

impl Paths {
    /// In `/run/hypertun`; for others than the real root in `$XDG_RUNTIME_DIR/hypertun`, or in
    /// `/tmp/hypertun-UID` where that is not set.
    #[must_use]
    pub fn of(name: &Name) -> Self {
        let user = outer_user();
        let directory = match std::env::var_os("XDG_RUNTIME_DIR") {
            _ if user == 0 => PathBuf::from("/run/hypertun"),
            Some(theirs) if !theirs.is_empty() => Path::new(&theirs).join("hypertun"),
            _ => PathBuf::from(format!("/tmp/hypertun-{user}")),
        };
        Self { directory, name: name.clone() }
    }

    /// The instance's name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The API socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.file("sock")
    }

    /// What is kept of interfaces that are given away.
    #[must_use]
    pub fn attachments(&self) -> PathBuf {
        self.file("attachments")
    }

    /// The log of `up -d`.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.file("log")
    }

    /// Opens the log to write at its end.
    ///
    /// # Errors
    ///
    /// [`Error::File`], also where it is a link; [`Error::NotOurs`].
    pub fn open_log(&self) -> Result<File, Error> {
        make_directory(self)?;
        let path = self.log();
        let mut options = OpenOptions::new();
        options.create(true).append(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
        options.open(&path).map_err(|source| Error::File { path, source })
    }

    /// The `resolv.conf` that processes in the namespace of `member` see.
    #[must_use]
    pub fn resolv_conf(&self, member: &str) -> PathBuf {
        self.files().join(format!("{}.resolv.conf", member.replace('/', ":")))
    }

    /// The name of the namespace of `member` (an ENI, `api/0`, an internet host), for
    /// [`Namespace::named`].
    #[must_use]
    pub fn namespace(&self, member: &str) -> String {
        format!("{}:{}", self.name, member.replace('/', ":"))
    }

    /// Where that namespace is, for [`Namespace::open`].
    #[must_use]
    pub fn namespace_path(&self, member: &str) -> PathBuf {
        Namespace::path(&self.namespace(member))
    }

    /// The process that holds, or last held, the name: for [`rootless::join`](super::rootless::join)
    /// once its socket answers.
    #[must_use]
    pub fn process(&self) -> Option<i32> {
        fs::read_to_string(self.lock()).ok()?.trim().parse().ok()
    }

    /// Whether a live process holds the name.
    #[must_use]
    pub fn is_held(&self) -> bool {
        let Ok(lock) = File::open(self.lock()) else { return false };
        let taken = rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared);
        matches!(taken, Err(Errno::WOULDBLOCK))
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.file("lock")
    }

    pub(super) fn files(&self) -> PathBuf {
        self.file("d")
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The same for another instance beside this one.
    pub(super) fn beside(&self, name: Name) -> Self {
        Self { directory: self.directory.clone(), name }
    }

    fn file(&self, suffix: &str) -> PathBuf {
        self.directory.join(format!("{}.{suffix}", self.name))
    }
}

/// A name that this process holds. Dropping it takes away the names of its namespaces, its socket and its
/// files. A namespace ends when neither a process is in it any more, nor a descriptor left of the device that was born there.
#[derive(Debug)]
pub struct Instance {
    paths: Paths,
    /// Locked; its text is our process id.
    lock: File,
}

impl Instance {
    /// Takes the name, and sweeps what dead instances and an earlier one of this name left.
    ///
    /// # Errors
    ///
    /// [`Error::Running`] when a process holds it, [`Error::File`] and [`Error::NotOurs`] when the
    /// directory cannot be used.
    pub fn start(name: &Name) -> Result<Self, Error> {
        let paths = Paths::of(name);
        let directory = lock_directory(&paths)?;
        let failed = |path: &Path, source: io::Error| Error::File { path: path.to_owned(), source };
        let path = paths.lock();
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut lock = options.open(&path).map_err(|e| failed(&path, e))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut pid = String::new();
                lock.read_to_string(&mut pid).map_err(|e| failed(&path, e))?;
                return Err(Error::Running { name: name.clone(), pid: pid.trim().to_owned() });
            }
            Err(error) => return Err(failed(&path, error.into())),
        }
        lock.set_len(0)
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .map_err(|e| failed(&path, e))?;
        sweep::remains(&paths);
        sweep::dead_instances(&paths);
        drop(directory);
        Ok(Self { paths, lock })
    }

    /// Where its files are.
    #[must_use]
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// Writes what processes in the namespace of `member` are to see as `/etc/resolv.conf`, and
    /// returns where.
    ///
    /// # Errors
    ///
    /// [`Error::File`].
    pub fn write_resolv_conf(&self, member: &str, contents: &str) -> Result<PathBuf, Error> {
        let path = self.paths.resolv_conf(member);
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(self.paths.files())
            .and_then(|()| fs::write(&path, contents))
            .map_err(|source| Error::File { path: path.clone(), source })?;
        Ok(path)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // Without the directory's lock a start of the same name at this moment could lose its lock
        // file; then it is better left, for a sweep.
        let Ok(_directory) = lock_directory(&self.paths) else { return };
        sweep::remains(&self.paths);
        sweep::remove(&self.paths.lock());
        let _ = rustix::fs::flock(&self.lock, FlockOperation::Unlock);
    }
}

/// Waits until no other process starts, ends or sweeps an instance in the directory. All that
/// happens to lock files happens under this lock.
fn lock_directory(paths: &Paths) -> Result<File, Error> {
    let directory = make_directory(paths)?;
    let failed = |e: Errno| Error::File { path: paths.directory().to_owned(), source: e.into() };
    rustix::fs::flock(&directory, FlockOperation::LockExclusive).map_err(failed)?;
    Ok(directory)
}

/// Makes the directory if need be: ours, and open to nobody else.
fn make_directory(paths: &Paths) -> Result<File, Error> {
    let path = paths.directory();
    let failed = |source: io::Error| Error::File { path: path.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
    let directory = File::open(path).map_err(failed)?;
    let owner = directory.metadata().map_err(failed)?.uid();
    if owner != rustix::process::geteuid().as_raw() {
        return Err(Error::NotOurs { path: path.to_owned(), owner });
    }
    Ok(directory)
}

#[cfg(test)]
#[path = "instance_tests.rs"]
mod tests;
