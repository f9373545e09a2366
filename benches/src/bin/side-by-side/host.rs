//! A host for one turn: network, mount and process namespaces of its own, and an empty `/run`. All
//! that runs on it ends with it, and it ends with this process, however that ends.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::Result;

/// A host of its own.
#[derive(Debug)]
pub(crate) struct Host {
    /// `unshare`, whose standard input holds the host up.
    unshare: Child,
    /// Its first process, as numbered outside.
    init: String,
}

const INIT: &str = "mount -t tmpfs -o mode=755 tmpfs /run && ip link set lo up && echo up && cat";

impl Host {
    pub(crate) fn start() -> Result<Self> {
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        command.args(["sh", "-c", INIT]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut unshare = spawn(&mut command)?;
        let mut line = String::new();
        if let Some(out) = unshare.stdout.take() {
            BufReader::new(out).read_line(&mut line)?;
        }
        let mut host = Self { init: unshare.id().to_string(), unshare };
        if line != "up\n" {
            return Err("a host of its own takes root, mounts and iproute2".into());
        }
        let children = format!("/proc/{0}/task/{0}/children", host.init);
        host.init = std::fs::read_to_string(children)?.trim().to_owned();
        Ok(host)
    }

    /// A command on this host.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--mount", "--pid", "--target", &self.init, "--"]).arg(program);
        command.env_remove("HYPERTUN_NAME").env_remove("RUST_LOG").env_remove("XDG_RUNTIME_DIR");
        command
    }

    /// Runs lines of shell, all of which must succeed.
    pub(crate) fn shell(&self, script: &str) -> Result<()> {
        output(self.command("sh").args(["-euc", script])).map(drop)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Its first process reads until the end of its input.
        drop(self.unshare.stdin.take());
        let _ = self.unshare.wait();
    }
}

/// A program that goes on.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// Open, so that it can go on speaking.
    _out: BufReader<ChildStdout>,
}

impl Process {
    /// Starts it and waits until it has said `words` on its standard output.
    pub(crate) fn start(command: &mut Command, words: &str) -> Result<Self> {
        let mut child = spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
        let mut out = BufReader::new(child.stdout.take().ok_or("its output is piped")?);
        let mut line = String::new();
        while !line.contains(words) {
            line.clear();
            if out.read_line(&mut line)? == 0 {
                let ended = child.wait()?;
                return Err(format!("{} before it said {words:?}: {ended}", told(command)).into());
            }
        }
        Ok(Self { child, _out: out })
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Result<()> {
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // This ends `nsenter`; what it runs ends with the host.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Standard output of a command that must succeed.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().map_err(|error| format!("{}: {error}", told(command)))?;
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(out);
    }
    let err = String::from_utf8_lossy(&output.stderr);
    Err(format!("{}: {}: {out}{err}", told(command), output.status).into())
}

fn spawn(command: &mut Command) -> Result<Child> {
    command.spawn().map_err(|error| format!("{}: {error}", told(command)).into())
}

/// A command's words.
fn told(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
