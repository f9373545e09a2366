//! `hypertun drops`: what was dropped, why and where?

use clap::Args;

use crate::cli::{Failure, OfInstance, Outcome, print_json, table};
use crate::observe;

/// Show dropped packets by reason and place
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hypertun drops --json")]
pub struct Drops {
    #[command(flatten)]
    instance: OfInstance,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Drops {
    /// Asks the instance, and prints.
    ///
    /// # Errors
    ///
    /// When no instance answers.
    pub fn run(self) -> Outcome {
        let drops: Vec<observe::Drops> = self.instance.client().get("/v1/drops")?;
        if self.json {
            print_json(&drops)?;
        } else {
            print(&drops)?;
        }
        Ok(0)
    }
}

/// Prints drops as a table.
///
/// # Errors
///
/// When nobody reads.
pub fn print(drops: &[observe::Drops]) -> Result<(), Failure> {
    let rows: Vec<_> = drops
        .iter()
        .map(|drop| [drop.count.to_string(), drop.reason.clone(), drop.component.clone()])
        .collect();
    table::print(["COUNT", "REASON", "COMPONENT"], &rows)
}
