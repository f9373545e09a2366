//! `hypertun apply`: another topology for a running instance.

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use clap::Args;

use crate::api::{Applied, Apply as Request, client};
use crate::check;
use crate::cli::say::{self, say};
use crate::cli::{OfInstance, Outcome, print_json};

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
    /// Hands the file to the instance, which checks it, and prints what differs.
    ///
    /// # Errors
    ///
    /// When the file is wrong, or no instance answers; the old topology goes on.
    pub fn run(self) -> Outcome {
        let (file, text) = (self.file.display().to_string(), check::text_of(&self.file)?);
        let request = Request { file, text, colour: io::stderr().is_terminal() };
        let answer = self.instance.client().post("/v1/apply", &request);
        if let Err(client::Error::Refused(problem)) = &answer {
            say::aside(format_args!("{}", problem.faults));
        }
        let mut applied: Applied = serde_json::from_slice(&answer?)?;
        say::aside(format_args!("{}", std::mem::take(&mut applied.warnings)));
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
