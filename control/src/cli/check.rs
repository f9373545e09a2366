//! `hypertun check`: is this topology right?

use std::path::PathBuf;

use clap::Args;

use crate::cli::say::say;
use crate::cli::{Outcome, load};

/// Check topology files: every fault at once, each with its place
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hypertun check vpc.yaml")]
pub struct Check {
    /// Topology files.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl Check {
    /// Checks each file, and prints a summary of those that are right.
    ///
    /// # Errors
    ///
    /// When nobody reads. What is wrong is printed file by file, and the status is 1.
    pub fn run(self) -> Outcome {
        let mut status = 0;
        for file in &self.files {
            match load(file) {
                Ok(sound) => {
                    say!("{}: ok", file.display());
                    for line in sound.topology.summary() {
                        say!("  {line}");
                    }
                }
                Err(failure) => {
                    failure.tell();
                    status = 1;
                }
            }
        }
        Ok(status)
    }
}
