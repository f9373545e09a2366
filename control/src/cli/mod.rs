//! The commands, a file each. The library below prints nothing; all words to the user are here.

pub mod apply;
pub mod attach;
pub mod bench;
pub mod check;
pub mod clock;
pub mod completions;
pub mod demo;
pub mod detach;
pub mod down;
pub mod drops;
pub mod exec;
pub mod explain;
pub mod flows;
pub mod forward;
pub mod log;
pub mod man;
pub mod metrics;
pub mod run;
pub mod say;
pub mod schema;
pub mod status;
pub mod table;
pub mod up;

use std::fmt::Display;
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use crate::api::client::Client;
use crate::check::{LoadError, Sound};
use crate::diagnostic::Report;
use crate::observe::Status;
use crate::runtime::device::Kind;
use crate::runtime::emulator::Options;
use crate::runtime::instance::{Name, Paths};
use crate::runtime::namespace::Namespace;
use crate::runtime::rootless;

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

    /// Takes the process to where the names of its namespaces are seen, and opens the one that the
    /// interface of the member `name` is in: its own, or that of what it is attached to; with the member's
    /// whole name. To be called before any other thread is started.
    ///
    /// # Errors
    ///
    /// When no instance answers, or it has no such member.
    pub fn join(&self, name: &str) -> Result<(Namespace, String), Failure> {
        let status: Status = self.client().get("/v1/status")?;
        let member = exec::member(name, &status.namespaces);
        let member = member.map_err(|error| Failure::with_status(1, &error))?.to_owned();
        let paths = self.paths();
        if let Some(pid) = paths.process() {
            rootless::join(pid)?;
        }
        let mut interfaces = status.network_interfaces.into_iter();
        let attached = interfaces.find(|it| it.name == member).and_then(|it| it.attachment);
        let path = attached.map_or_else(|| paths.namespace_path(&member), |it| it.to.path());
        Ok((Namespace::open(&path)?, member))
    }
}

/// Loads a topology; warnings go to standard error, faults become the failure.
///
/// # Errors
///
/// When the file cannot be read or is wrong.
pub fn load(file: &Path) -> Result<Sound, Failure> {
    match crate::check::load(file) {
        Ok(sound) => {
            tell(&sound.warnings);
            Ok(sound)
        }
        Err(LoadError::Wrong(report)) => {
            tell(&report);
            Err(Failure::with_status(1, &report.summary()))
        }
        Err(error) => Err(error.into()),
    }
}

/// Tells what was found in a file, on standard error.
pub fn tell(report: &Report) {
    say::aside(format_args!("{}", report.render(std::io::stderr().is_terminal())));
}

/// How to run, as the command line says it.
#[derive(Clone, Copy, Debug, Args)]
pub struct HowToRun {
    /// Worker threads; as many as CPUs unless given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: Option<u16>,
    /// Cut and sum packets in software, as for devices without offloads.
    #[arg(long)]
    no_gso: bool,
    /// Kind of TUN device: `compat` is the plain one, with one queue and without offloads.
    #[arg(long, value_name = "KIND", default_value = "auto")]
    tun: TunKind,
}

/// Kind of TUN device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum TunKind {
    /// The rich one, or the plain one where the kernel has no other.
    Auto,
    /// The plain one.
    Compat,
}

impl HowToRun {
    /// The same as options of the emulator.
    #[must_use]
    pub fn options(self) -> Options {
        let default = Options::default();
        Options {
            workers: self.workers.map_or(default.workers, usize::from),
            gso: !self.no_gso,
            tun: match self.tun {
                TunKind::Auto => Kind::Auto,
                TunKind::Compat => Kind::Compat,
            },
            ..default
        }
    }

    /// The same as arguments.
    #[must_use]
    pub fn arguments(self) -> Vec<String> {
        let mut arguments = Vec::new();
        if let Some(workers) = self.workers {
            arguments.extend(["--workers".to_owned(), workers.to_string()]);
        }
        if self.no_gso {
            arguments.push("--no-gso".to_owned());
        }
        if self.tun == TunKind::Compat {
            arguments.extend(["--tun", "compat"].map(str::to_owned));
        }
        arguments
    }
}

/// What is left to say when a worker has panicked, which has told why already.
#[must_use]
pub fn worker_failed() -> Failure {
    Failure::with_status(1, &"a worker has failed, so the instance has ended; this is a defect")
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
