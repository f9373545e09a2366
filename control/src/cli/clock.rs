//! `hypertun clock`: what time is it in there, and could it be later?

use std::time::Duration;

use clap::{Args, Subcommand};

use dataplane::time::{FASTEST, SLOWEST};

use crate::api::{Advance, ClockReading, Scale};
use crate::cli::say::say;
use crate::cli::{OfInstance, Outcome, print_json};

/// Show or move the emulated clock, which every AWS timer hangs on
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  hypertun clock\n  hypertun clock advance 351s\n  hypertun clock scale 60"
)]
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
    /// Stop it; `advance` moves it still
    Pause,
    /// Let it go on, as fast as it ran before
    Resume,
    /// Make it run N times as fast as real time; if it is paused, once it goes on
    Scale {
        /// How many times as fast, such as 0.5, 60 or 10000.
        #[arg(value_name = "N", value_parser = scale, allow_negative_numbers = true)]
        times: f64,
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
        let answer = match self.change {
            None => return self.print(&client.get("/v1/clock")?),
            Some(Change::Advance { by }) => {
                let milliseconds = u64::try_from(by.as_millis())?;
                client.post("/v1/clock/advance", &Advance { milliseconds })?
            }
            Some(Change::Pause) => client.post("/v1/clock/pause", &())?,
            Some(Change::Resume) => client.post("/v1/clock/resume", &())?,
            Some(Change::Scale { times }) => {
                client.post("/v1/clock/scale", &Scale { scale: times })?
            }
        };
        self.print(&serde_json::from_slice(&answer)?)
    }

    fn print(&self, reading: &ClockReading) -> Outcome {
        if self.json {
            print_json(reading)?;
        } else {
            say!("{}", words(reading));
        }
        Ok(0)
    }
}

fn words(reading: &ClockReading) -> String {
    let paused = if reading.paused { ", paused" } else { "" };
    let scale = match reading.scale {
        1.0 => String::new(),
        scale => format!(", {scale} times real time"),
    };
    format!("{:.3} s{paused}{scale}", reading.seconds)
}

/// How many times as fast as real time a clock can run.
fn scale(text: &str) -> Result<f64, String> {
    let scale = text.parse::<f64>().map_err(|_| "not a number".to_owned())?;
    // Nothing compares with what is not a number.
    if (SLOWEST..=FASTEST).contains(&scale) {
        Ok(scale)
    } else {
        Err(format!("a clock runs {SLOWEST} to {FASTEST} times as fast as real time, or is paused"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_is_a_positive_number_within_reason() {
        for (text, number) in [("0.5", 0.5), ("60", 60.0), ("10000", 10_000.0), ("1e6", 1e6)] {
            assert_eq!(scale(text), Ok(number));
        }
        for text in ["0", "-1", "-0", "nan", "inf", "1000001", "1e-7", "fast", ""] {
            assert!(scale(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_reading_says_what_is_out_of_the_ordinary() {
        let reading = |scale, paused| {
            words(&ClockReading { seconds: 1.5, scale, paused, time: String::new() })
        };
        assert_eq!(reading(1.0, false), "1.500 s");
        assert_eq!(reading(1.0, true), "1.500 s, paused");
        assert_eq!(reading(60.0, false), "1.500 s, 60 times real time");
        assert_eq!(reading(0.5, true), "1.500 s, paused, 0.5 times real time");
    }
}
