//! Where are the programs and files that the tests drive, and are they of these sources?

use std::fs;
use std::path::{Path, PathBuf};

/// The binary `hypertun` as users have it: of the release profile, whatever the tests' own is.
#[must_use]
pub fn hypertun() -> PathBuf {
    current("hypertun", "cargo build --release -p control")
}

/// What the throughput is measured against: see `benches/src/bin/copy-floor/`.
#[must_use]
pub fn copy_floor() -> PathBuf {
    current("copy-floor", "cargo build --release -p benches")
}

/// The other end of most conversations: see `src/bin/peer`. Cargo makes it with the tests.
#[must_use]
pub fn peer() -> PathBuf {
    let path = own_profile().join("peer");
    assert!(path.exists(), "{} is not there: run the tests by `cargo test`", path.display());
    path
}

/// A binary of the release profile, which `build` makes. Panics when it is not there, or is older
/// than one of its sources.
fn current(name: &str, build: &str) -> PathBuf {
    let profile = own_profile().with_file_name("release");
    let path = profile.join(name);
    let sources = fs::read_to_string(profile.join(format!("{name}.d")));
    let (Ok(built), Ok(sources)) = (modified(&path), sources) else {
        panic!("{} is not there: run `{build}`", path.display());
    };
    let sources = sources.split_once(": ").map_or("", |(_, sources)| sources);
    for source in sources.split_whitespace() {
        // A source that is gone was renamed since.
        if modified(Path::new(source)).is_ok_and(|changed| changed > built) {
            panic!("{} is older than {source}: run `{build}`", path.display());
        }
    }
    path
}

/// The directory of the profile that the running test is of.
fn own_profile() -> PathBuf {
    let test = std::env::current_exe().expect("a program has a path");
    test.ancestors().nth(2).expect("a test is in target/PROFILE/deps").to_owned()
}

fn modified(path: &Path) -> std::io::Result<std::time::SystemTime> {
    fs::metadata(path)?.modified()
}

/// A file of `topologies/`.
#[must_use]
pub fn topology(name: &str) -> PathBuf {
    let path = folder().join(name);
    assert!(path.exists(), "{} is part of the repository", path.display());
    path
}

/// A file of `examples/`.
#[must_use]
pub fn example(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name);
    path.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every right file of `topologies/`, in order.
#[must_use]
pub fn topologies() -> Vec<PathBuf> {
    let entries = fs::read_dir(folder()).expect("the folder is part of the repository");
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("the folder can be listed").path())
        .filter(|path| path.extension().is_some_and(|it| it == "yaml" || it == "json"))
        .collect();
    files.sort();
    files
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../topologies")
}
