//! `hypertun detach`: an interface comes back.

use clap::Args;

use crate::api::{self, Detached};
use crate::cli::say::say;
use crate::cli::{OfInstance, Outcome};

/// Take a network interface back from what it is attached to
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hypertun detach app")]
pub struct Detach {
    #[command(flatten)]
    instance: OfInstance,
    /// A network interface.
    #[arg(value_name = "NAME")]
    interface: String,
}

impl Detach {
    /// Has the instance take it back.
    ///
    /// # Errors
    ///
    /// When nobody has it.
    pub fn run(self) -> Outcome {
        let request = api::Detach { name: self.interface };
        let answer = self.instance.client().post("/v1/detach", &request)?;
        let Detached { from } = serde_json::from_slice(&answer)?;
        say!("{} detached from {from}", request.name);
        Ok(0)
    }
}
