//! A running instance: `hypertun up` on a host, and what its commands say.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::host::{Host, only_child, output, signal, status};
use crate::programs::peer;

/// An instance. Dropping it ends it with SIGTERM, and fails the test if it ended before.
#[derive(Debug)]
pub struct Up<'a> {
    host: &'a Host,
    name: String,
    /// `nsenter`, which ends as `hypertun` does.
    child: Child,
    /// The instance's process, as numbered outside.
    pub pid: u32,
}

impl<'a> Up<'a> {
    /// Starts `hypertun up` and waits for `ready`.
    #[must_use]
    pub fn start(host: &'a Host, topology: &Path, name: &str, options: &[&str]) -> Self {
        let mut command = host.hypertun(&["up"]);
        command.arg(topology).args(["--name", name]).args(options).stdout(Stdio::piped());
        let mut child = command.spawn().expect("nsenter was found");
        let mut line = String::new();
        let out = child.stdout.take().expect("it is piped");
        BufReader::new(out).read_line(&mut line).expect("a pipe can be read");
        assert_eq!(line, "ready\n", "{command:?}");
        let pid = only_child(child.id());
        Self { host, name: name.to_owned(), child, pid }
    }

    /// The host that it is on.
    #[must_use]
    pub fn host(&self) -> &'a Host {
        self.host
    }

    /// A `hypertun` command about this instance.
    #[must_use]
    pub fn hypertun(&self, arguments: &[&str]) -> Command {
        let mut command = self.host.hypertun(arguments);
        command.env("HYPERTUN_NAME", &self.name);
        command
    }

    /// `hypertun exec MEMBER -- PROGRAM`; arguments can be added.
    #[must_use]
    pub fn exec(&self, member: &str, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.hypertun(&["exec", member, "--"]);
        command.arg(program);
        command
    }

    /// Standard output of a program in `member` that must succeed.
    #[must_use]
    pub fn says(&self, member: &str, command: &[&str]) -> String {
        output(self.exec(member, command[0]).args(&command[1..])).success()
    }

    /// A `peer` in `member` that goes on, and is talked with by lines.
    #[must_use]
    pub fn talker(&self, member: &str, arguments: &[&str]) -> Talker {
        Talker::start(self.exec(member, peer()).args(arguments))
    }

    /// What `hypertun WHAT --json` says.
    #[must_use]
    pub fn json(&self, what: &str) -> Value {
        let said = output(&mut self.hypertun(&[what, "--json"])).success();
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{what}: {error}: {said}"))
    }

    /// How many packets were dropped for `reason`, anywhere.
    #[must_use]
    pub fn dropped(&self, reason: &str) -> u64 {
        let drops = self.json("drops");
        let drops = drops.as_array().expect("an array of drops").iter();
        drops.filter(|it| it["reason"] == reason).filter_map(|it| it["count"].as_u64()).sum()
    }

    /// Ports in use at all NAT gateways.
    #[must_use]
    pub fn ports(&self) -> u64 {
        let status = self.json("status");
        let gateways = status["nat_gateways"].as_array().expect("an array of gateways").iter();
        gateways.filter_map(|it| it["ports"].as_u64()).sum()
    }

    /// What a metric says of a NAT gateway, by its name in Prometheus.
    #[must_use]
    pub fn metric(&self, name: &str, gateway: &str) -> f64 {
        let samples = self.json("metrics");
        let mut samples = samples.as_array().expect("an array of samples").iter();
        let found = samples
            .find(|it| it["name"] == name && it["labels"]["nat_gateway"] == gateway)
            .unwrap_or_else(|| panic!("{name} of {gateway}"));
        found["value"].as_f64().expect("a number")
    }

    /// Moves the emulated clock.
    pub fn advance(&self, by: &str) {
        let said = output(&mut self.hypertun(&["clock", "advance", by])).success();
        println!("clock advance {by}: {}", said.trim());
    }

    /// Stops it, as a debugger does, while `meanwhile` runs; its devices are there, and nobody reads.
    pub fn stopped(&self, meanwhile: impl FnOnce()) {
        signal(self.pid, Signal::STOP);
        meanwhile();
        signal(self.pid, Signal::CONT);
        // `nsenter` stops with its child.
        signal(self.child.id(), Signal::CONT);
    }

    /// Ends it as `hypertun down` does.
    pub fn down(mut self) {
        let _ = output(&mut self.hypertun(&["down"])).success();
        self.ended_well();
    }

    /// Ends it by a signal, from which it must recover.
    pub fn end_by(mut self, by: Signal) {
        signal(self.pid, by);
        self.ended_well();
    }

    /// Ends it by SIGKILL.
    pub fn kill(mut self) {
        signal(self.pid, Signal::KILL);
        let ended = self.child.wait().expect("a child can be waited for");
        assert_eq!(status(ended), 137);
    }

    fn ended_well(&mut self) {
        let ended = self.child.wait().expect("a child can be waited for");
        assert_eq!(status(ended), 0, "hypertun up");
    }
}

impl Drop for Up<'_> {
    fn drop(&mut self) {
        match self.child.try_wait() {
            Ok(Some(ended)) if ended.success() || status(ended) == 137 => {}
            Ok(Some(ended)) if std::thread::panicking() => {
                eprintln!("`hypertun up` ended before: {ended}");
            }
            Ok(Some(ended)) => panic!("`hypertun up` ended before: {ended}"),
            _ => {
                signal(self.pid, Signal::TERM);
                let _ = self.child.wait();
            }
        }
    }
}

/// A process that is talked with by lines.
#[derive(Debug)]
pub struct Talker {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Talker {
    /// Starts it.
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let input = child.stdin.take();
        let out: ChildStdout = child.stdout.take().expect("it is piped");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(out).lines().map_while(Result::ok);
            lines.for_each(|line| drop(sender.send(line)));
        });
        Self { child, input, lines }
    }

    /// The process that was started here.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end, and returns its status.
    #[must_use]
    pub fn end(mut self) -> i32 {
        status(self.child.wait().expect("a child can be waited for"))
    }

    /// Says a line.
    pub fn say(&mut self, line: &str) {
        let input = self.input.as_mut().expect("its input is open");
        writeln!(input, "{line}").expect("it listens");
    }

    /// The next line that it says.
    #[must_use]
    pub fn hear(&self) -> String {
        self.hear_within(Duration::from_secs(30)).expect("a line within 30 s")
    }

    /// The next line, if one comes in time.
    #[must_use]
    pub fn hear_within(&self, patience: Duration) -> Option<String> {
        self.lines.recv_timeout(patience).ok()
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        // All peers end with their input; other programs are ended.
        drop(self.input.take());
        for _ in 0..100 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            signal(only_child(self.child.id()), Signal::KILL);
        }
        let _ = self.child.wait();
    }
}
