//! `hypertun forward`, which has said where it listens.

use std::fs;
use std::path::PathBuf;

use rustix::process::Signal;

use crate::host::{only_child, signal};
use crate::up::{Talker, Up};

/// A forwarder. Dropping it ends it.
#[derive(Debug)]
pub struct Forward {
    /// What it says, the first line left out.
    pub talker: Talker,
    /// Where it listens.
    pub address: String,
    log: PathBuf,
}

impl Forward {
    /// Starts one, from a port of the host to `NAME:PORT`.
    #[must_use]
    pub fn start(up: &Up<'_>, outside: &str, inside: &str) -> Self {
        let name = format!("forward-{}-{}", std::process::id(), inside.replace(['/', ':'], "-"));
        let log = std::env::temp_dir().join(name);
        let file = fs::File::create(&log).expect("a temporary file can be written");
        let talker = Talker::start(up.hypertun(&["forward", outside, inside]).stderr(file));
        let said = talker.hear();
        let address = said.strip_prefix("forwarding ").expect("it says what it does");
        let address = address.strip_suffix(&format!(" to {inside}")).expect("it says where to");
        Self { address: address.to_owned(), talker, log }
    }

    /// What it has said on standard error.
    #[must_use]
    pub fn complaints(&self) -> String {
        fs::read_to_string(&self.log).expect("the file is there until it ends")
    }

    /// Ends it by a signal, and returns its status.
    #[must_use]
    pub fn end_by(self, by: Signal) -> i32 {
        signal(only_child(self.talker.id()), by);
        self.end()
    }

    /// Waits for its end, and returns its status.
    #[must_use]
    pub fn end(self) -> i32 {
        let _ = fs::remove_file(&self.log);
        self.talker.end()
    }
}
