//! Several workers: does the kernel bring packets to the worker that owns their flow?
#![expect(clippy::unwrap_used, reason = "a test says by a panic that its promise is broken")]

use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use integration::{Host, Talker, Up, topology};

/// Packets that came in, and that went on to another worker.
fn counts(up: &Up<'_>) -> [u64; 2] {
    let status = up.json("status");
    ["packets_received", "packets_handed_over"].map(|name| status[name].as_u64().unwrap())
}

#[test]
fn eight_streams_are_hardly_handed_over() {
    let host = Host::start();
    let up = Up::start(&host, &topology("nat-gateway.yaml"), "workers", &["--workers", "2"]);
    let mut server = up.exec("partner.example", "iperf3");
    server.args(["--server", "--one-off", "--forceflush"]).stderr(Stdio::inherit());
    let server = Talker::start(&mut server);
    while !server.hear().contains("Server listening") {}
    let mut client = up.exec("app", "iperf3");
    client.args(["--client", "203.0.113.90", "--parallel", "8", "--time", "6"]);
    let mut client = client.stdout(Stdio::null()).spawn().unwrap();
    sleep(Duration::from_millis(1500));
    let [received, handed] = counts(&up);
    sleep(Duration::from_secs(4));
    let [received, handed] = {
        let [after, handed_after] = counts(&up);
        [after - received, handed_after - handed]
    };
    assert!(client.wait().unwrap().success());
    assert_eq!(server.end(), 0, "iperf3 server");
    println!("{handed} of {received} packets handed over");
    assert!(received > 10_000, "a stream runs");
    assert!(handed * 100 < received, "{handed} of {received} packets handed over");
}

#[test]
fn verdicts_and_translations_are_those_of_one_worker() {
    let host = Host::start();
    for workers in ["1", "2", "4"] {
        let options = ["--workers", workers];
        let up = Up::start(&host, &topology("nat-gateway.yaml"), "verdicts", &options);
        for _ in 0..20 {
            let seen = up.says("app", &["curl", "-s", "-m", "5", "http://203.0.113.80/"]);
            assert_eq!(seen.trim(), "198.51.100.10", "{workers} workers");
        }
        assert_eq!(up.ports(), 20, "{workers} workers: each connection has a port");
        assert_eq!(up.json("drops").to_string(), "[]");
        up.advance("61s");
        assert_eq!(up.ports(), 0, "{workers} workers");
    }
}
