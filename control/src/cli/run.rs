//! `hypertun run`: a topology for the time of one command.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::cli::exec::member;
use crate::cli::{Failure, HowToRun, Outcome, load, worker_failed};
use crate::runtime::emulator::{Emulator, members};
use crate::runtime::instance::{Instance, Name};
use crate::runtime::namespace::Namespace;
use crate::runtime::signals::Signals;
use crate::runtime::{process, rootless};

/// Bring a topology up, run one command in it, and take it down again
#[derive(Debug, Args)]
#[command(after_help = "Example:
  hypertun run vpc.yaml --in app --timeout 30s -- curl -s http://203.0.113.80/")]
pub struct Run {
    /// Topology file.
    file: PathBuf,
    /// Whose network the command has: an interface, or an internet host that serves nothing itself.
    #[arg(long = "in", value_name = "NAME")]
    member: String,
    /// End the command after so long, such as 30s; the status is then 124.
    #[arg(long, value_name = "D", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
    #[command(flatten)]
    how: HowToRun,
    /// The command and its arguments.
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

impl Run {
    /// Runs; the status is the command's.
    ///
    /// # Errors
    ///
    /// When it was not started: status 125, 126 or 127 as a shell has it.
    pub fn run(self) -> Outcome {
        self.bring_up_and_run().map_err(|failure| match failure.status {
            126 | 127 => failure,
            _ => failure.status(125),
        })
    }

    fn bring_up_and_run(self) -> Outcome {
        let sound = load(&self.file)?;
        let known: Vec<String> = members(&sound.topology).map(str::to_owned).collect();
        let member =
            member(&self.member, &known).map_err(|error| Failure::with_status(125, &error))?;
        rootless::obtain_rights()?;
        let mut signals = Signals::catch()?;
        let instance = Instance::start(&Name::private("run"))?;
        let emulator = Emulator::start(instance, sound, self.how.options())?;
        let paths = emulator.instance().paths();
        let namespace = Namespace::open(&paths.namespace_path(member))?;
        let resolv_conf = paths.resolv_conf(member);
        let place = process::Place { namespace: &namespace, resolv_conf: &resolv_conf };
        let status = process::run(place, &self.command, self.timeout, &mut signals);
        if emulator.has_failed() {
            return Err(worker_failed());
        }
        status.map_err(|error| Failure::with_status(error.status(), &error))
    }
}
