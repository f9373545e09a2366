//! Which files tell of the host's network, and what does a process in a namespace see instead?
//! ip-netns(8) does the like: a mount namespace with another `/etc/resolv.conf` and `/sys`.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, mount, mount_bind,
    mount_change,
};
use rustix::thread::UnshareFlags;

use super::namespace::separate;

/// Directories with sockets of resolvers that the C library asks beside `resolv.conf`
/// (nscd(8), nss-resolve(8), nss-mdns): the host's names must not come in through them.
const HOST_RESOLVERS: [&str; 3] = ["/run/nscd", "/run/systemd/resolve", "/run/avahi-daemon"];

const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Gives the calling thread mounts of its own, in which the file `resolv_conf` is
/// `/etc/resolv.conf`, the host's resolvers are absent, and `/sys` is that of the network
/// namespace the thread is in. What is mounted on the host later appears, what it unmounts goes.
///
/// Where there is no `/etc/resolv.conf` there is nothing to hide, and none appears.
///
/// # Errors
///
/// `PermissionDenied` without CAP_SYS_ADMIN; any other when `resolv_conf` cannot be mounted.
pub(super) fn separate_from_host(resolv_conf: &Path) -> io::Result<()> {
    separate(UnshareFlags::NEWNS)?;
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    let target = follow(Path::new(RESOLV_CONF));
    for directory in HOST_RESOLVERS.iter().filter(|d| Path::new(d).is_dir()) {
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        mount("tmpfs", *directory, "tmpfs", flags, c"mode=755")?;
        if target.starts_with(directory) {
            place(&target)?;
        }
    }
    if target.exists() {
        mount_bind(resolv_conf, &target)?;
    }
    // Without it a process sees the host's links there, but cannot use them: the best that can be
    // had in a user namespace that does not own its /proc and /sys.
    if let Err(error) = fresh_sys() {
        tracing::debug!("/sys stays the host's: {error}");
    }
    Ok(())
}

/// The file that symbolic links lead to, be it there or not.
fn follow(path: &Path) -> PathBuf {
    const MOST: usize = 40; // path_resolution(7)
    let mut path = path.to_owned();
    for _ in 0..MOST {
        if let Ok(full) = path.canonicalize() {
            return full;
        }
        let Ok(next) = fs::read_link(&path) else { break };
        path = path.parent().unwrap_or(Path::new("/")).join(next);
    }
    path
}

fn place(file: &Path) -> io::Result<()> {
    if let Some(directory) = file.parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(directory)?;
    }
    File::create(file).map(drop)
}

/// A `/sys` of the thread's network namespace, with the control groups that the old one has.
fn fresh_sys() -> io::Result<()> {
    const GROUPS: &str = "/sys/fs/cgroup";
    let clone = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    let groups = rustix::mount::open_tree(CWD, GROUPS, clone);
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("sysfs", "/sys", "sysfs", flags, None)?;
    if let Ok(groups) = groups {
        let whole = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        rustix::mount::move_mount(groups, "", CWD, GROUPS, whole)?;
    }
    Ok(())
}
