//! `hypertun down`: end a running instance.

use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;

use crate::api::client;
use crate::attach::state;
use crate::cli::say::say;
use crate::cli::{Failure, OfInstance, Outcome};
use crate::runtime::instance::{Instance, Paths};
use crate::runtime::rootless;

/// End a running instance, and take down all that it made
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hypertun down --name default")]
pub struct Down {
    #[command(flatten)]
    instance: OfInstance,
}

/// How long an instance may take to end.
const PATIENCE: Duration = Duration::from_secs(60);

impl Down {
    /// Tells the instance, and waits until it is gone.
    ///
    /// # Errors
    ///
    /// When no instance answers, or it does not end.
    pub fn run(self) -> Outcome {
        let paths = self.instance.paths();
        match self.instance.client().post("/v1/down", &()) {
            Err(client::Error::NotRunning { .. }) if paths.attachments().exists() => {
                return self.clear_up(&paths);
            }
            answer => drop(answer?),
        }
        let deadline = Instant::now() + PATIENCE;
        while paths.is_held() {
            if Instant::now() > deadline {
                let message = format!("instance {} has not ended in time", paths.name());
                return Err(Failure::with_status(1, &message));
            }
            sleep(Duration::from_millis(10));
        }
        Ok(0)
    }

    /// Takes back what an instance that has crashed gave away.
    fn clear_up(&self, paths: &Paths) -> Outcome {
        rootless::obtain_rights()?;
        let _instance = Instance::start(&self.instance.instance)?;
        let interfaces = state::end_all(&paths.attachments())?;
        let name = paths.name();
        say!("instance {name} had crashed: {interfaces} attached interfaces taken back");
        Ok(0)
    }
}
