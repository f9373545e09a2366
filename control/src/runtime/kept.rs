//! How is kept what must outlive a crash? In a file that is written whole or not at all, and is read with doubt.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The largest file that is read, in bytes: some thousand interfaces.
const LARGEST: u64 = 16 << 20;

/// What the file at `path` holds, which is a file.
///
/// # Errors
///
/// When there is none, or it cannot be read.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    let mut text = Vec::new();
    file.take(LARGEST).read_to_end(&mut text)?;
    Ok(text)
}

/// Puts `contents` into the file at `path`, in the place of what was there; no contents leave no file.
///
/// # Errors
///
/// When the file cannot be written: then the old one stays.
pub(crate) fn write(path: &Path, contents: Option<&[u8]>) -> io::Result<()> {
    let Some(contents) = contents else {
        return match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    };
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    let written = options.open(&new).and_then(|mut file: File| {
        file.write_all(contents)?;
        file.sync_all()?;
        fs::rename(&new, path)
    });
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}
