//! A host for one test: network, mount and process namespaces of its own and an empty `/run`. All
//! that runs on it ends with it, and it ends with the test, however that ends.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::programs::hypertun;

/// A host of its own.
#[derive(Debug)]
pub struct Host {
    /// `unshare`, whose standard input holds the host up.
    unshare: Child,
    /// Its first process, as numbered outside.
    init: u32,
}

/// What a command said, and how it ended.
#[derive(Debug)]
pub struct Output {
    /// Its exit status, or 128 and the signal that ended it.
    pub status: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Output {
    /// Standard output of a command that must have succeeded.
    #[must_use]
    pub fn success(self) -> String {
        assert_eq!(self.status, 0, "{self:?}");
        self.out
    }
}

const INIT: &str = "mount -t tmpfs -o mode=755 tmpfs /run && mkdir /run/mount && ip link set lo up && echo up && cat";

impl Host {
    /// Needs root, `unshare` and `nsenter` (util-linux), `ip` (iproute2).
    #[must_use]
    pub fn start() -> Self {
        let mut unshare = Command::new("unshare")
            .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"])
            .args(["sh", "-c", INIT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("unshare: {error}; {INSTALL}"));
        let mut line = String::new();
        let out = unshare.stdout.take().expect("it is piped");
        BufReader::new(out).read_line(&mut line).expect("a pipe can be read");
        assert_eq!(line, "up\n", "a host of its own takes root, mounts and iproute2; {INSTALL}");
        let init = only_child(unshare.id());
        Self { unshare, init }
    }

    /// The process that holds it up, by which no other host goes.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.unshare.id()
    }

    /// A command on this host.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--mount", "--pid", "--target", &self.init.to_string(), "--"]);
        command.arg(program);
        command
    }

    /// A `hypertun` on this host.
    #[must_use]
    pub fn hypertun(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(hypertun());
        command.args(arguments).env_remove("HYPERTUN_NAME").env_remove("RUST_LOG");
        // What outlives a reboot is to go with the host.
        command.env("STATE_DIRECTORY", STATE);
        command
    }

    /// The end of a `hypertun` with these arguments.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Output {
        output(&mut self.hypertun(arguments))
    }

    /// Standard output of a program that must succeed.
    #[must_use]
    pub fn says(&self, program: &str, arguments: &[&str]) -> String {
        output(self.command(program).args(arguments)).success()
    }
}

/// Where hypertun keeps what it knows of a Docker engine's networks.
pub const STATE: &str = "/run/hypertun-state";

/// What a test says when a program is missing.
const INSTALL: &str = "run integration/install-test-tools";

impl Drop for Host {
    fn drop(&mut self) {
        // Its first process reads until the end of its input.
        drop(self.unshare.stdin.take());
        let _ = self.unshare.wait();
    }
}

/// Runs a command to its end.
#[must_use]
pub fn output(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; {INSTALL}"));
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    let missing = err.contains("nsenter: failed to execute") || err.contains("command not found");
    assert!(!missing || err.contains("hypertun: "), "{command:?}: {err}; {INSTALL}");
    Output { status: status(output.status), out, err }
}

/// An exit status as a shell has it.
#[must_use]
pub fn status(status: std::process::ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}

/// The one child that process `pid` has: what `nsenter` or `unshare` runs, as numbered here.
#[must_use]
pub fn only_child(pid: u32) -> u32 {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        if let Some(child) = children.ok().and_then(|it| it.split_whitespace().next()?.parse().ok())
        {
            return child;
        }
        assert!(Instant::now() < deadline, "process {pid} has no child");
        sleep(Duration::from_millis(1));
    }
}

/// Sends a signal to a process of any host.
pub fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(pid, signal).unwrap_or_else(|error| panic!("{signal:?} to {pid}: {error}"));
}

/// Waits until `done`, or fails after `seconds`.
pub fn wait_until(what: &str, seconds: u64, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    while !done() {
        assert!(Instant::now() < deadline, "not within {seconds} s: {what}");
        sleep(Duration::from_millis(5));
    }
}
