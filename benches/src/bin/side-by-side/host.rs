//! A host for one turn: network, mount and process namespaces of its own, and an empty `/run`. All
//! that runs on it ends with it, and it ends with this process, however that ends.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

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

    /// Runs shell that goes on, until it has said `words`.
    pub(crate) fn shell_until(&self, script: &str, words: &str) -> Result<Process> {
        Process::start(self.command("sh").args(["-euc", script]), words)
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

    /// Processor time that it and all that it has started have spent so far, the kernel's work for them
    /// included.
    pub(crate) fn processor_time(&self) -> Result<Duration> {
        let mut processes = HashMap::new();
        for entry in std::fs::read_dir("/proc")? {
            // It may be no process, or have ended meanwhile.
            let Ok(stat) = std::fs::read_to_string(entry?.path().join("stat")) else { continue };
            processes.extend(Spent::read(&stat));
        }
        let ticks = ticks_of_tree(self.child.id(), &processes);
        #[expect(clippy::cast_precision_loss, reason = "a machine does not run for 2^52 ticks")]
        let seconds = ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
        Ok(Duration::from_secs_f64(seconds))
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

/// What a process has spent, in ticks, and who started it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spent {
    parent: u32,
    ticks: u64,
}

impl Spent {
    /// Out of a process's `stat` (proc(5)), with its number.
    fn read(stat: &str) -> Option<(u32, Self)> {
        // The name in parentheses may hold anything, parentheses as well.
        let (number, rest) = stat.split_once(" (")?;
        let fields: Vec<&str> = rest.rsplit_once(')')?.1.split_whitespace().collect();
        // The first field behind the name is the third; the parent is the 4th, user and system time
        // are the 14th and 15th.
        let field = |at: usize| fields.get(at - 3)?.parse::<u64>().ok();
        let parent = u32::try_from(field(4)?).ok()?;
        Some((number.parse().ok()?, Self { parent, ticks: field(14)? + field(15)? }))
    }
}

/// What a process and all below it have spent.
fn ticks_of_tree(root: u32, processes: &HashMap<u32, Spent>) -> u64 {
    let own = processes.get(&root).map_or(0, |it| it.ticks);
    let children = processes.iter().filter(|(_, it)| it.parent == root);
    own + children.map(|(&child, _)| ticks_of_tree(child, processes)).sum::<u64>()
}

fn spawn(command: &mut Command) -> Result<Child> {
    command.spawn().map_err(|error| format!("{}: {error}", told(command)).into())
}

/// A command's words.
fn told(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_that_of_all_below() {
        let stats = [
            "7 (nsenter) S 1 7 7 0 -1 4194560 900 0 0 0 1 0 3 4 20 0 1 0 80 100 200",
            "8 (pasta.avx2) S 7 7 7 0 -1 4194560 900 0 0 0 150 50 3 4 20 0 1 0 80 100 200",
            "9 (a) b) S 8 7 7 0 -1 4194560 900 0 0 0 20 2 3 4 20 0 1 0 80 100 200",
            "10 (other) S 1 7 7 0 -1 4194560 900 0 0 0 1000 0 3 4 20 0 1 0 80 100 200",
        ];
        let processes = stats.iter().filter_map(|stat| Spent::read(stat)).collect();
        assert_eq!(ticks_of_tree(7, &processes), 223);
        assert_eq!(ticks_of_tree(9, &processes), 22);
        assert_eq!(ticks_of_tree(11, &processes), 0);
    }
}
