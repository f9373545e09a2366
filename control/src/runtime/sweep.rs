//! What did an instance leave behind, and is it dead? It is when its lock is free. Nothing that
//! bears no instance's name is touched; what cannot be removed is logged and left to the next.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use rustix::fs::FlockOperation;

use super::instance::{Name, Paths};
use super::namespace::{self, Namespace};

/// Removes the namespaces, socket and files of one instance: one's own, or one whose lock is held.
pub(super) fn remains(paths: &Paths) {
    let prefix = format!("{}:", paths.name());
    for name in entries(Path::new(namespace::DIRECTORY)) {
        if name.starts_with(&prefix)
            && let Err(error) = Namespace::remove(&name)
        {
            tracing::warn!("{error}");
        }
    }
    remove(&paths.socket());
    match fs::remove_dir_all(paths.files()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!("cannot remove {}: {error}", paths.files().display());
        }
        _ => {}
    }
}

/// Does so for every other instance in the directory of `own` whose lock is free, and removes its
/// lock. The directory must be locked.
pub(super) fn dead_instances(own: &Paths) {
    for file in entries(own.directory()) {
        let Some(Ok(name)) = file.strip_suffix(".lock").map(str::parse::<Name>) else { continue };
        if name == *own.name() {
            continue;
        }
        let other = own.beside(name);
        let Ok(lock) = File::open(other.lock()) else { continue };
        if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            remains(&other);
            remove(&other.lock());
        }
    }
}

/// Removes a file that may be gone already.
pub(super) fn remove(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!("cannot remove {}: {error}", path.display());
        }
        _ => {}
    }
}

fn entries(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
}
