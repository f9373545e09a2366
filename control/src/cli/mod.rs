//! The commands, a file each. The library below prints nothing; all words to the user are here.

pub mod check;
pub mod clock;
pub mod demo;
pub mod down;
pub mod drops;
pub mod exec;
pub mod explain;
pub mod flows;
pub mod log;
pub mod run;
pub mod say;
pub mod status;
pub mod table;
pub mod up;

use std::fmt::Display;
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use crate::api::client::Client;
use crate::check::{Checked, LoadError};
use crate::runtime::instance::{Name, Paths};

/// What a command ends with: an exit status, or a failure.
pub type Outcome = Result<u8, Failure>;

/// Why a command failed, and the exit status that says so.
#[derive(Debug)]
pub struct Failure {
    status: u8,
    message: String,
}

impl Failure {
    /// A failure with an exit status of its own.
    #[must_use]
    pub fn with_status(status: u8, message: &dyn Display) -> Self {
        Self { status, message: message.to_string() }
    }

    /// Tells the user; a failure without words is not told.
    pub fn tell(&self) {
        if !self.message.is_empty() {
            say::aside(format_args!("hypertun: {}\n", self.message));
        }
    }

    /// The same failure under another exit status.
    #[must_use]
    pub fn status(self, status: u8) -> Self {
        Self { status, ..self }
    }
}

/// Exit status 1: the thing asked about failed.
impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::with_status(1, &error)
    }
}

/// Tells the user, and the shell.
#[must_use]
pub fn exit(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            failure.tell();
            ExitCode::from(failure.status)
        }
    }
}

/// Which running instance a command is about.
#[derive(Clone, Debug, Args)]
pub struct OfInstance {
    /// Name of the instance.
    #[arg(
        long = "name",
        env = "HYPERTUN_NAME",
        default_value = "default",
        value_name = "INSTANCE",
        global = true
    )]
    pub instance: Name,
}

impl OfInstance {
    /// Where its files are.
    #[must_use]
    pub fn paths(&self) -> Paths {
        Paths::of(&self.instance)
    }

    /// Its API.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::of(&self.paths())
    }
}

/// Loads a topology; warnings go to standard error, faults become the failure.
///
/// # Errors
///
/// When the file cannot be read or is wrong.
pub fn load(file: &Path) -> Result<Checked, Failure> {
    let colour = std::io::stderr().is_terminal();
    match crate::check::load(file) {
        Ok(sound) => {
            if !sound.warnings.is_empty() {
                say::aside(format_args!("{}", sound.warnings.render(colour)));
            }
            Ok(sound.topology)
        }
        Err(LoadError::Wrong(report)) => {
            say::aside(format_args!("{}", report.render(colour)));
            let (errors, file) = (report.errors(), file.display());
            let plural = if errors == 1 { "fault" } else { "faults" };
            Err(Failure::with_status(1, &format!("{file} has {errors} {plural}")))
        }
        Err(error) => Err(error.into()),
    }
}

/// Prints a value as JSON, one document, readable.
///
/// # Errors
///
/// When it cannot be written.
pub fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    say::say!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}
