//! `hypertun apply`: another topology for a running instance.

use std::path::PathBuf;

use clap::Args;

use crate::api::{Applied, Apply as Request};
use crate::cli::say::say;
use crate::cli::{OfInstance, Outcome, load, print_json};

/// Replace the topology of a running instance: wholly, or not at all
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hypertun apply vpc.yaml")]
pub struct Apply {
    #[command(flatten)]
    instance: OfInstance,
    /// Topology file.
    file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Apply {
    /// Checks the file, hands it to the instance, and prints what differs.
    ///
    /// # Errors
    ///
    /// When the file is wrong, or no instance answers; the old topology goes on.
    pub fn run(self) -> Outcome {
        // Every fault is told here; the instance checks again what it gets.
        let sound = load(&self.file)?;
        let file = self.file.display().to_string();
        let request = Request { file, text: sound.source };
        let answer = self.instance.client().post("/v1/apply", &request)?;
        let applied: Applied = serde_json::from_slice(&answer)?;
        if self.json {
            print_json(&applied)?;
        } else if applied.changes.is_empty() {
            say!("nothing has changed");
        } else {
            for change in &applied.changes {
                say!("{change}");
            }
        }
        Ok(0)
    }
}
