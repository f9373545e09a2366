//! `hypertun up`: bring a topology up, and keep it up.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use clap::Args;
use rustix::process::Signal;

use crate::api::Server;
use crate::check::{self, Sound};
use crate::cli::say::{self, say};
use crate::cli::{Failure, HowToRun, OfInstance, Outcome, load, tell, worker_failed};
use crate::docker::{Driver, Plugin, State};
use crate::runtime::emulator::{Applied, Emulator};
use crate::runtime::instance::Instance;
use crate::runtime::signals::{Signals, Woken};
use crate::runtime::{rootless, service};

/// Bring a topology up and keep it up until Ctrl-C, SIGTERM or `hypertun down`
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hypertun up vpc.yaml -d && hypertun exec app -- ip addr")]
pub struct Up {
    /// Topology file; SIGHUP has it read and applied again.
    file: PathBuf,
    #[command(flatten)]
    instance: OfInstance,
    #[command(flatten)]
    how: HowToRun,
    /// Serve `/metrics` over HTTP here too, for Prometheus to scrape; without it, on the API socket alone.
    #[arg(long, value_name = "ADDR:PORT")]
    metrics: Option<SocketAddr>,
    /// Be Docker's network driver `hypertun`: networks of containers are subnets and workloads of the topology.
    #[arg(long)]
    docker: bool,
    /// Return once packets flow, and go on in the background; logs go beside the socket.
    #[arg(short, long)]
    detach: bool,
}

/// The last line on standard output, once packets flow.
const READY: &str = "ready";

impl Up {
    /// Runs until told to end, or returns once ready with `-d`.
    ///
    /// # Errors
    ///
    /// When the topology is wrong or cannot be brought up.
    pub fn run(self) -> Outcome {
        if self.detach { self.detached() } else { self.attached() }
    }

    fn attached(self) -> Outcome {
        let mut sound = load(&self.file)?;
        let scraped = self.metrics.map(listen).transpose()?;
        if self.docker {
            self.is_allowed_docker()?;
        }
        rootless::obtain_rights()?;
        let mut signals = Signals::catch()?;
        let instance = Instance::start(&self.instance.instance)?;
        let engines = if self.docker { Some(self.engines(&mut sound)?) } else { None };
        let emulator = Arc::new(Emulator::start(instance, sound, self.how.options())?);
        let socket = emulator.instance().paths().socket();
        let engines = engines.map(|(plugin, state)| (plugin, Driver::new(emulator.clone(), state)));
        let server = Server::start(&socket, emulator.clone(), scraped, engines)?;
        // Whoever started us may not read.
        let _ = say::text(format_args!("{READY}\n"));
        service::tell_ready()?;
        while let Woken::Signal(Signal::HUP) = signals.wait(Some(server.asked_to_end()), None)? {
            reload(&self.file, &emulator);
        }
        // The server holds the emulator.
        drop(server);
        if emulator.has_failed() { Err(worker_failed()) } else { Ok(0) }
    }

    /// A rootless engine has its networks in a user namespace of its own: see [`docker`](crate::docker).
    fn is_allowed_docker(&self) -> Result<(), Failure> {
        if rootless::outer_user() == 0 {
            return Ok(());
        }
        let message = "--docker takes root: a rootless engine has its networks where no device can be moved to; \
                       `sudo hypertun up`, then `sudo hypertun attach NAME --container ID` gives an interface to a \
                       container of any engine that runs with --network none";
        Err(Failure::with_status(1, &message))
    }

    /// The socket for engines, and what is known of them. What `sound` is to hold beside the file is added to it,
    /// unless the file does not allow that any more.
    fn engines(&self, sound: &mut Sound) -> Result<(Plugin, State), Failure> {
        let plugin = Plugin::listen()?;
        let state = State::load(&self.instance.instance);
        let name = self.file.display().to_string();
        for born in state.born() {
            let mut all = sound.born.clone();
            all.push(born);
            match check::read_beside(&all, &sound.source, &name) {
                Ok(wider) => *sound = wider,
                Err(report) => tracing::warn!("a container has lost its interface: {report}"),
            }
        }
        Ok((plugin, state))
    }

    /// Starts the same in the background, and waits until it says that it is ready.
    fn detached(self) -> Outcome {
        // What can be told at once is told here, not in a log.
        load(&self.file)?;
        let paths = self.instance.paths();
        let log = paths.open_log()?;
        let from = log.metadata()?.len();
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("up").arg(&self.file).arg("--name").arg(self.instance.instance.as_str());
        command.args(self.how.arguments());
        if self.docker {
            command.arg("--docker");
        }
        if let Some(at) = self.metrics {
            command.arg("--metrics").arg(at.to_string());
        }
        // A group of its own: a terminal's Ctrl-C is not meant for it.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn()?;
        let output = child.stdout.take().into_iter();
        let mut lines = output.flat_map(|output| BufReader::new(output).lines());
        if lines.any(|line| line.is_ok_and(|line| line == READY)) {
            say!("{READY}");
            return Ok(0);
        }
        let status = child.wait()?.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
        let said = std::fs::read(paths.log()).unwrap_or_default();
        let said = said.get(usize::try_from(from)?..).unwrap_or_default();
        let said = String::from_utf8_lossy(said);
        let said = said.trim().trim_start_matches("hypertun: ");
        Err(Failure::with_status(status.max(1), &said))
    }
}

fn listen(at: SocketAddr) -> Result<TcpListener, Failure> {
    let cannot = |error| Failure::with_status(1, &format!("cannot serve metrics on {at}: {error}"));
    TcpListener::bind(at).map_err(cannot)
}

/// Replaces what runs by what the file says now; what is wrong with it is told, and changes nothing.
fn reload(file: &Path, emulator: &Emulator) {
    let name = file.display().to_string();
    let applied = check::text_of(file).map_err(Failure::from).and_then(|text| {
        emulator.apply(&text, &name).map_err(|error| {
            error.found().iter().for_each(|report| tell(report));
            error.into()
        })
    });
    match applied {
        Ok(Applied { changes, warnings }) => {
            tell(&warnings);
            say::aside(format_args!("hypertun: {name} applied: {} changed\n", changes.len()));
        }
        Err(failure) => failure.tell(),
    }
}
