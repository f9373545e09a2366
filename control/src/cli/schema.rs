//! `hypertun schema`: what may stand in a topology file, told to an editor?

use clap::Args;

use crate::cli::Outcome;
use crate::cli::say::say;
use crate::model;

/// Print the JSON schema of topology files, for editors
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hypertun schema > topology.schema.json")]
pub struct Schema {}

impl Schema {
    /// Prints it.
    ///
    /// # Errors
    ///
    /// When standard output takes no more.
    pub fn run(self) -> Outcome {
        say!("{:#}", model::schema());
        Ok(0)
    }
}
