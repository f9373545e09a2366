//! The copy floor carries a real TCP stream, with offloads and without, and prints how fast:
//! `cargo test --release -p benches --test copy_floor -- --nocapture`.
#![expect(clippy::unwrap_used, reason = "a test says by a panic that its promise is broken")]

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const CLIENT: &str = "10.0.0.10";
const TRANSLATED: &str = "203.0.113.10";
const SERVER: &str = "203.0.113.1";

#[test]
fn carries_a_stream_with_and_without_offloads() {
    for gso in [true, false] {
        for reverse in [false, true] {
            let rate = rate(gso, reverse);
            let way = if reverse { "inward" } else { "outward" };
            println!("copy floor, gso {gso}, {way}: {rate:.2} Gbit/s");
            assert!(rate > 0.05, "{rate} Gbit/s: lost segments, or broken checksums");
        }
    }
}

/// Gbit/s that iperf3 sees through the floor in two seconds.
fn rate(gso: bool, reverse: bool) -> f64 {
    let client = Namespace::around(&["sleep", "infinity"]);
    let server = Namespace::around(&["sleep", "infinity"]);
    let program = env!("CARGO_BIN_EXE_copy-floor");
    let mut command = vec![program, "--inside", "inside", "--outside", "outside"];
    command.extend(["--inside-address", CLIENT, "--outside-address", TRANSLATED]);
    command.extend((!gso).then_some("--no-gso"));
    let mut floor = Namespace::around(&command);
    let _output = wait_for(&mut floor.0, "ready");
    floor.ip(&format!("link set inside netns {}", client.0.id()));
    floor.ip(&format!("link set outside netns {}", server.0.id()));
    client.ip(&format!("address add {CLIENT}/24 dev inside"));
    client.ip("link set inside up");
    client.ip("route add default dev inside");
    server.ip(&format!("address add {SERVER}/24 dev outside"));
    server.ip("link set outside up");

    let mut listener = server.spawn(&["iperf3", "--server", "--one-off", "--forceflush"]);
    let _log = wait_for(&mut listener, "Server listening");
    let mut command = vec!["iperf3", "--client", SERVER, "--time", "2", "--json"];
    command.extend(reverse.then_some("--reverse"));
    let output = client.command(&command).output().unwrap();
    listener.kill().unwrap();
    listener.wait().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let Some(rate) = report["end"]["sum_received"]["bits_per_second"].as_f64() else {
        panic!("no stream: {}", report["error"]);
    };
    rate / 1e9
}

/// A network namespace, held by a process that ends with it.
struct Namespace(Child);

impl Namespace {
    fn around(command: &[&str]) -> Self {
        let child = Command::new("unshare")
            .arg("--net")
            .args(command)
            .stdout(Stdio::piped())
            .spawn()
            .expect("this test needs the program `unshare`: apt-get install util-linux");
        let namespace = Self(child);
        let ours = std::fs::read_link("/proc/self/ns/net").unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        let path = format!("/proc/{}/ns/net", namespace.0.id());
        while std::fs::read_link(&path).unwrap() == ours {
            assert!(Instant::now() < deadline, "`unshare --net` did not: this test needs root");
            sleep(Duration::from_millis(1));
        }
        namespace
    }

    fn command(&self, command: &[&str]) -> Command {
        let mut entered = Command::new("nsenter");
        entered.args(["--net", "--target", &self.0.id().to_string()]).args(command);
        entered
    }

    fn spawn(&self, command: &[&str]) -> Child {
        self.command(command).stdout(Stdio::piped()).spawn().unwrap()
    }

    fn ip(&self, arguments: &str) {
        let mut command = vec!["ip"];
        command.extend(arguments.split(' '));
        let status = self.command(&command).status().unwrap();
        assert!(status.success(), "ip {arguments}: this test needs iproute2");
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads until `words`; what is said later goes to the reader that is returned.
fn wait_for(child: &mut Child, words: &str) -> BufReader<ChildStdout> {
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains(words) {
        line.clear();
        let read = output.read_line(&mut line).unwrap();
        assert!(read > 0, "{child:?} ended before it said {words:?}; is iperf3 installed?");
    }
    output
}
