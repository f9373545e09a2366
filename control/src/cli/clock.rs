//! `hypertun clock`: what time is it in there, and could it be later?

use std::time::Duration;

use clap::{Args, Subcommand};

use crate::api::{Advance, ClockReading};
use crate::cli::say::say;
use crate::cli::{OfInstance, Outcome, print_json};

/// Show or move the emulated clock, which every AWS timer hangs on
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  hypertun clock\n  hypertun clock advance 351s")]
pub struct Clock {
    #[command(flatten)]
    instance: OfInstance,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    change: Option<Change>,
}

#[derive(Debug, Subcommand)]
enum Change {
    /// Move it forward; returns when everything that was due by then is done
    Advance {
        /// How far, such as 351s, 5m or 2h30m.
        #[arg(value_name = "D", value_parser = humantime::parse_duration)]
        by: Duration,
    },
}

impl Clock {
    /// Moves or only reads the clock, and prints it.
    ///
    /// # Errors
    ///
    /// When no instance answers.
    pub fn run(self) -> Outcome {
        let client = self.instance.client();
        let reading: ClockReading = match self.change {
            None => client.get("/v1/clock")?,
            Some(Change::Advance { by }) => {
                let milliseconds = u64::try_from(by.as_millis())?;
                let answer = client.post("/v1/clock/advance", &Advance { milliseconds })?;
                serde_json::from_slice(&answer)?
            }
        };
        if self.json {
            print_json(&reading)?;
        } else {
            say!("{:.3} s", reading.seconds);
        }
        Ok(0)
    }
}
