//! How does a command get into a namespace, and how does it end? `exec` becomes it; `run` starts
//! it, waits, and leaves nobody behind. Statuses are those of timeout(1) and env(1).

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::mounts;
use super::namespace::{self, Identity, Namespace};
use super::signals::{Signals, Woken};

/// The status of a command that was ended because its time was over.
pub const TIMED_OUT: u8 = 124;

/// How long a process has between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(2);

/// Why a command was not started, or not waited for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such program.
    #[error("{}: command not found", .0.display())]
    NotFound(OsString),
    /// Something that is no program, or not for us to run.
    #[error("cannot run {}: {source}", command.display())]
    NotExecutable {
        /// The program.
        command: OsString,
        /// Why.
        source: io::Error,
    },
    /// The namespace could not be entered.
    #[error(transparent)]
    Namespace(#[from] namespace::Error),
    /// The command's own mounts could not be made.
    #[error("cannot give the command an /etc/resolv.conf of its own: {0}")]
    Mounts(io::Error),
    /// The kernel would not start, signal or wait.
    #[error("cannot look after the command: {0}")]
    System(#[from] io::Error),
}

impl Error {
    /// What `exec` and `run` exit with: 127 for a command that is not there, 126 for one that
    /// cannot be run, 125 for all that is not the command's fault.
    #[must_use]
    pub fn status(&self) -> u8 {
        match self {
            Self::NotFound(_) => 127,
            Self::NotExecutable { .. } => 126,
            Self::Namespace(_) | Self::Mounts(_) | Self::System(_) => 125,
        }
    }

    fn of_start(command: &OsStr, source: io::Error) -> Self {
        let command = command.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => Self::NotFound(command),
            io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory => Self::System(source),
            _ => Self::NotExecutable { command, source },
        }
    }
}

/// Where a command runs.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Its network.
    pub namespace: &'a Namespace,
    /// The file that it sees as `/etc/resolv.conf`.
    pub resolv_conf: &'a Path,
}

impl Place<'_> {
    /// Takes the calling thread there, for good.
    fn settle(&self) -> Result<(), Error> {
        self.namespace.join()?;
        mounts::separate_from_host(self.resolv_conf).map_err(Error::Mounts)
    }
}

/// Becomes `command` (a program and its arguments) in `place`: signals, terminal and status are
/// its. Returns only when that failed.
#[must_use]
pub fn exec(place: Place<'_>, command: &[OsString]) -> Error {
    let (program, arguments) = split(command);
    match place.settle() {
        Err(error) => error,
        Ok(()) => Error::of_start(program, Command::new(program).args(arguments).exec()),
    }
}

/// Runs `command` in `place` and returns what to exit with: its status, 128 and the signal that
/// ended it, or [`TIMED_OUT`] when it had to be ended after `timeout`. Passes on the signals that
/// come meanwhile. Afterwards no process is left in the namespace. A signal that came before the
/// start takes its place.
///
/// The command stays in our process group, so a terminal's signals and job control reach it as if
/// it were run directly.
///
/// # Errors
///
/// When it was not started; see [`Error::status`].
pub fn run(
    place: Place<'_>,
    command: &[OsString],
    timeout: Option<Duration>,
    signals: &mut Signals,
) -> Result<u8, Error> {
    if let Woken::Signal(signal) = signals.wait(None, Some(Instant::now()))? {
        return Ok(status_of_signal(signal.as_raw()));
    }
    let mut child = start(place, command)?;
    let status = look_after(&mut child, timeout, signals);
    end_all_in(place.namespace);
    status
}

/// Ends every process whose main thread is in `namespace`, except ourselves: SIGTERM, after two
/// seconds SIGKILL. What survives even that for two seconds is logged.
pub fn end_all_in(namespace: &Namespace) {
    let identity = namespace.identity();
    for signal in [Signal::TERM, Signal::KILL] {
        let deadline = Instant::now() + GRACE;
        let mut told = Vec::new();
        while Instant::now() < deadline {
            let inside = processes_in(identity);
            if inside.is_empty() {
                return;
            }
            for (pid, process) in &inside {
                if !told.contains(pid) {
                    told.push(*pid);
                    // Fails only for one that is gone, or is not ours to end.
                    let _ = pidfd_send_signal(process, signal);
                    let _ = pidfd_send_signal(process, Signal::CONT);
                }
            }
            let mut ends: Vec<_> =
                inside.iter().map(|(_, p)| PollFd::new(p, PollFlags::IN)).collect();
            let _ = poll(&mut ends, Some(&Timespec { tv_sec: 0, tv_nsec: 20_000_000 }));
        }
    }
    let left: Vec<_> = processes_in(identity).iter().map(|(pid, _)| *pid).collect();
    if !left.is_empty() {
        tracing::warn!("processes {left:?} do not end");
    }
}

fn split(command: &[OsString]) -> (&OsStr, &[OsString]) {
    command.split_first().map_or((OsStr::new(""), &[]), |(program, rest)| (program, rest))
}

/// A child has the namespaces of the thread that makes it, so it is made by one that has settled.
fn start(place: Place<'_>, command: &[OsString]) -> Result<Child, Error> {
    let (program, arguments) = split(command);
    thread::scope(|scope| {
        let settled = || {
            place.settle()?;
            Command::new(program).args(arguments).spawn().map_err(|e| Error::of_start(program, e))
        };
        let thread =
            thread::Builder::new().name("start".to_owned()).spawn_scoped(scope, settled)?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn look_after(
    child: &mut Child,
    timeout: Option<Duration>,
    signals: &mut Signals,
) -> Result<u8, Error> {
    // It is not waited for before this descriptor says so, so its id is its own.
    let process =
        pidfd_open(Pid::from_child(child), PidfdFlags::empty()).map_err(io::Error::from)?;
    let mut deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut timed_out = false;
    loop {
        match signals.wait(Some(process.as_fd()), deadline)? {
            Woken::Readable => break,
            Woken::Signal(signal) if came_from_our_terminal(signal) => {}
            Woken::Signal(signal) => pass(&process, signal),
            Woken::Deadline if timed_out => {
                pass(&process, Signal::KILL);
                deadline = None;
            }
            Woken::Deadline => {
                pass(&process, Signal::TERM);
                pass(&process, Signal::CONT);
                timed_out = true;
                deadline = Some(Instant::now() + GRACE);
            }
        }
    }
    let status = child.wait()?;
    Ok(match (timed_out, status.code(), status.signal()) {
        (true, ..) => TIMED_OUT,
        (_, Some(code), _) => u8::try_from(code).unwrap_or(u8::MAX),
        (_, None, signal) => status_of_signal(signal.unwrap_or_default()),
    })
}

/// Fails only for a process that has just ended.
fn pass(process: &OwnedFd, signal: Signal) {
    let _ = pidfd_send_signal(process, signal);
}

/// Whether a key made it: then the terminal has sent it to the command as well, and a second one
/// would disturb the command in its clearing up.
fn came_from_our_terminal(signal: Signal) -> bool {
    matches!(signal, Signal::INT | Signal::QUIT)
        && File::open("/dev/tty").is_ok_and(|terminal| {
            rustix::termios::tcgetpgrp(terminal).ok() == Some(rustix::process::getpgrp())
        })
}

fn status_of_signal(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(u8::MAX)
}

/// The processes whose main thread is in the namespace, without ourselves and the dead that are
/// not waited for yet.
fn processes_in(namespace: Identity) -> Vec<(i32, OwnedFd)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let own = rustix::process::getpid();
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| Identity::of_process(*pid) == Some(namespace))
        .filter_map(Pid::from_raw)
        .filter(|pid| *pid != own)
        .filter_map(|pid| {
            let process = pidfd_open(pid, PidfdFlags::empty()).ok()?;
            // Looked at again, as the id may have become another's before it was opened.
            let pid = pid.as_raw_nonzero().get();
            (Identity::of_process(pid) == Some(namespace)).then_some((pid, process))
        })
        .collect()
}

#[cfg(test)]
#[path = "process_tests.rs"]
mod tests;
