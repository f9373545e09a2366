//! May this process make namespaces and mounts, and if not, in which user namespace may it?
//! user_namespaces(7).
//!
//! Without root an instance lives in a user namespace and a mount namespace of its own: its names
//! under `/run/netns` are seen there only, its socket and lock by everyone who may.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, CWD};
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, mount, mount_change,
    move_mount, open_tree,
};
use rustix::process::{Pid, PidfdFlags};
use rustix::thread::{CapabilitySet, ThreadNameSpaceType, UnshareFlags};

use super::namespace::{DIRECTORY, MOUNTED_BY_US, separate};

/// Why the rights could not be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither root nor allowed to be it in a user namespace.
    #[error("CAP_SYS_ADMIN is missing and this system gives no user namespace ({0}); run as root")]
    Refused(io::Error),
    /// A step after that failed.
    #[error("cannot {action}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The process whose namespaces are asked for is gone, or another user's.
    #[error("cannot join process {pid}: {source}")]
    Join {
        /// Its id.
        pid: i32,
        /// Why.
        source: io::Error,
    },
}

/// Sees to it that the process may make network namespaces and name them. For root it does
/// nothing; else the calling thread becomes root of a user namespace, with mounts of its own where
/// `/run` can be written to. To be called before any other thread is started.
///
/// # Errors
///
/// [`Error::Refused`] where user namespaces are not allowed, or with another thread running.
pub fn obtain_rights() -> Result<(), Error> {
    if may_mount() && rustix::fs::access("/run", Access::WRITE_OK).is_ok() {
        return Ok(());
    }
    let failed = |action| move |source| Error::System { action, source };
    if is_administrator() {
        separate(UnshareFlags::NEWNS).map_err(Error::Refused)?;
    } else {
        let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
        separate(UnshareFlags::NEWUSER | UnshareFlags::NEWNS).map_err(Error::Refused)?;
        fs::write("/proc/self/setgroups", "deny")
            .and_then(|()| fs::write("/proc/self/uid_map", format!("0 {} 1", user.as_raw())))
            .and_then(|()| fs::write("/proc/self/gid_map", format!("0 {} 1", group.as_raw())))
            .map_err(Error::Refused)?;
    }
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .map_err(io::Error::from)
        .map_err(Error::Refused)?;
    writable_run().map_err(failed("make /run writable"))
}

/// Takes the calling thread into the user and mount namespaces of process `pid`, where they are
/// others than its own, so that the names of its instance are seen. To be called before any other
/// thread is started.
///
/// # Errors
///
/// [`Error::Join`].
pub fn join(pid: i32) -> Result<(), Error> {
    let failed = |source| Error::Join { pid, source };
    let other = |kind| {
        let of = |process: &str| fs::metadata(format!("/proc/{process}/ns/{kind}"));
        Ok(of("thread-self")?.ino() != of(&pid.to_string())?.ino())
    };
    let mut flags = ThreadNameSpaceType::empty();
    flags.set(ThreadNameSpaceType::USER, other("user").map_err(failed)?);
    flags.set(ThreadNameSpaceType::MOUNT, other("mnt").map_err(failed)?);
    if flags.is_empty() {
        return Ok(());
    }
    let here = std::env::current_dir().map_err(failed)?;
    let id = Pid::from_raw(pid).ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
    let process =
        rustix::process::pidfd_open(id, PidfdFlags::empty()).map_err(|e| failed(e.into()))?;
    rustix::thread::move_into_thread_name_spaces(std::os::fd::AsFd::as_fd(&process), flags)
        .map_err(|e| failed(e.into()))?;
    // A change of mounts puts a process into the root directory.
    std::env::set_current_dir(here).map_err(failed)
}

/// Who we are outside of our user namespace: 0 is the real root.
pub(crate) fn outer_user() -> u32 {
    let inside = rustix::process::geteuid().as_raw();
    let map = fs::read_to_string("/proc/thread-self/uid_map").unwrap_or_default();
    outside(&map, inside)
}

/// Lines of a map are: first id inside, first id outside, how many.
fn outside(map: &str, inside: u32) -> u32 {
    map.lines()
        .filter_map(|line| {
            let mut numbers = line.split_whitespace().map(str::parse::<u32>);
            let (first, out, count) =
                (numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?);
            let offset = inside.checked_sub(first)?;
            (offset < count).then(|| out.saturating_add(offset))
        })
        .next()
        .unwrap_or(inside)
}

/// Whether the mounts are ours to change: a copy of one changes nothing, and takes the right.
fn may_mount() -> bool {
    open_tree(CWD, "/run", OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)
        .is_ok()
}

fn is_administrator() -> bool {
    rustix::thread::capabilities(None)
        .is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN))
}

/// What is in a directory: a mount to be put back, or a symbolic link.
enum Entry {
    Directory(OwnedFd),
    File(OwnedFd),
    Link(PathBuf),
}

/// A new `/run` with all that was in the old one, but the network namespaces of others.
fn writable_run() -> io::Result<()> {
    let clone = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    let mut entries = Vec::new();
    for entry in fs::read_dir("/run")?.flatten() {
        let (path, kind) = (entry.path(), entry.file_type()?);
        if [DIRECTORY, MOUNTED_BY_US].map(Path::new).contains(&&*path) {
            continue;
        }
        let entry = if kind.is_symlink() {
            Entry::Link(fs::read_link(&path)?)
        } else {
            let tree = open_tree(CWD, &path, clone)?;
            if kind.is_dir() { Entry::Directory(tree) } else { Entry::File(tree) }
        };
        entries.push((path, entry));
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("tmpfs", "/run", "tmpfs", flags, c"mode=755")?;
    for (path, entry) in entries {
        put_back(&path, entry)?;
    }
    Ok(())
}

fn put_back(path: &Path, entry: Entry) -> io::Result<()> {
    let tree = match entry {
        Entry::Link(target) => return std::os::unix::fs::symlink(target, path),
        Entry::Directory(tree) => {
            fs::create_dir(path)?;
            tree
        }
        Entry::File(tree) => {
            File::create(path)?;
            tree
        }
    };
    Ok(move_mount(tree, "", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::test_host::{on_a_host, snapshot};

    #[test]
    fn ids_are_mapped() {
        assert_eq!(outside("         0          0 4294967295\n", 0), 0);
        assert_eq!(outside("0 1000 1\n1 100000 65536\n", 0), 1000);
        assert_eq!(outside("0 1000 1\n1 100000 65536\n", 7), 100_006);
        assert_eq!(outside("", 7), 7);
    }

    #[test]
    fn root_has_its_rights_already() {
        on_a_host(|| {
            let before = snapshot();
            obtain_rights().unwrap();
            assert_eq!(snapshot(), before);
            assert_eq!(outer_user(), 0);
        });
    }

    #[test]
    fn joining_ones_own_namespaces_is_nothing() {
        on_a_host(|| join(rustix::thread::gettid().as_raw_nonzero().get()).unwrap());
    }
}
