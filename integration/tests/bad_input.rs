//! Garbage on the wire is dropped and counted; a wrong command gets one sentence and its status.
#![expect(clippy::unwrap_used, reason = "a test says by a panic that its promise is broken")]

use std::collections::BTreeSet;

use integration::{Host, Output, Snapshot, Talker, Up, output, topology, wait_until};
use serde_json::Value;

const GARBAGE: &str = include_str!("garbage.py");

/// Received, forwarded, dropped.
fn packets(up: &Up<'_>) -> (u64, u64, u64) {
    let status = up.json("status");
    let count = |what: &str| status[what].as_u64().unwrap();
    (count("packets_received"), count("packets_forwarded"), count("packets_dropped"))
}

/// Sends garbage from `app`, waits until all of it has come, and returns how much it was.
fn garbage(up: &Up<'_>, kind: &str) -> u64 {
    let sent = || -> u64 {
        let sent = up.says("app", &["cat", "/sys/class/net/eth0/statistics/tx_packets"]);
        sent.trim().parse().unwrap()
    };
    let before = sent();
    let _ = up.says("app", &["python3", "-c", GARBAGE, kind, "100000"]);
    let count = sent() - before;
    assert!(count > 90_000, "{count} packets have left");
    wait_until("all have come", 10, || {
        let (received, ..) = packets(up);
        received >= before + count
    });
    println!("{count} {kind} packets: {}", up.json("drops"));
    count
}

fn answers(up: &Up<'_>) {
    let said = up.says("app", &["curl", "--silent", "--max-time", "5", "http://203.0.113.80/"]);
    assert_eq!(said.trim(), "198.51.100.10");
}

#[test]
fn random_packets_are_dropped_and_counted_and_nothing_else() {
    let host = Host::start();
    let up = Up::start(&host, &topology("nat-gateway.yaml"), "random", &[]);
    let count = garbage(&up, "random");
    // A busy machine may not read all in time; that is counted beside what was judged.
    let overrun = up.dropped("WORKER_OVERRUN");
    assert_eq!(packets(&up), (count, 0, count + overrun));
    let drops = up.json("drops");
    let counted: u64 =
        drops.as_array().unwrap().iter().map(|it| it["count"].as_u64().unwrap()).sum();
    assert_eq!(counted, count + overrun, "{drops}");
    assert_eq!((up.json("status")["flows"].as_u64(), up.ports()), (Some(0), 0));
    answers(&up);
}

#[test]
fn damaged_packets_are_forwarded_or_dropped_and_none_is_lost() {
    let host = Host::start();
    let up = Up::start(&host, &topology("nat-gateway.yaml"), "mutated", &[]);
    let _ = garbage(&up, "mutated");
    // Fragments wait for so long for the first one of their datagram.
    up.advance("31s");
    wait_until("every packet is accounted for", 5, || {
        let (received, forwarded, dropped) = packets(&up);
        received + up.dropped("WORKER_OVERRUN") == forwarded + dropped
    });
    let reasons: BTreeSet<String> = up
        .json("drops")
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["reason"].as_str().unwrap().to_owned())
        .collect();
    println!("{reasons:?}");
    for reason in ["MALFORMED_PACKET", "ENI_SOURCE_DEST_CHECK_RESTRICTION", "FRAGMENT_INCOMPLETE"] {
        assert!(reasons.contains(reason), "{reason} in {reasons:?}");
    }
    answers(&up);
    // All that it opened ends, and gives back what it held.
    up.advance("1h");
    up.advance("2000h");
    assert_eq!((up.json("status")["flows"].as_u64(), up.ports()), (Some(0), 0));
    answers(&up);
}

/// Sends 12,800 datagrams once it is told to: more than the queues of a device hold. No socket has
/// more of them in a queue than the kernel lets it.
const FLOOD: &str = r#"
import socket, sys
sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(64)]
print("ready", flush=True)
sys.stdin.readline()
for one in sockets:
    for _ in range(200):
        one.sendto(b"x", ("203.0.113.7", 9))
print("sent", flush=True)
sys.stdin.readline()
"#;

#[test]
fn what_no_worker_reads_in_time_is_counted_and_nothing_grows() {
    let host = Host::start();
    let up = Up::start(&host, &topology("nat-gateway.yaml"), "overrun", &[]);
    let mut flood = Talker::start(up.exec("app", "python3").args(["-c", FLOOD]));
    assert_eq!(flood.hear(), "ready");
    up.stopped(|| {
        flood.say("go");
        assert_eq!(flood.hear(), "sent");
    });
    wait_until("all are accounted for", 10, || {
        let (received, forwarded, dropped) = packets(&up);
        received + up.dropped("WORKER_OVERRUN") == 12_800 && forwarded + dropped == 12_800
    });
    println!("{}", up.json("drops"));
    let overrun = up.dropped("WORKER_OVERRUN");
    assert!(overrun > 1000, "{overrun} of 12,800: the queues hold fewer");
    assert_eq!(up.json("drops")[0]["component"], "eni:app");
    answers(&up);
}

fn refused(said: &Output, status: i32, words: &str) {
    assert_eq!(said.status, status, "{said:?}");
    assert!(said.err.contains(words), "{words}: {said:?}");
    assert_eq!(said.out, "", "{said:?}");
    if status != 2 {
        assert!(said.err.starts_with("hypertun: "), "{said:?}");
        assert_eq!(said.err.trim_end().lines().count(), 1, "one sentence: {said:?}");
    }
}

#[test]
fn what_no_instance_runs_for_says_so() {
    let host = Host::start();
    for command in [
        &["status"][..],
        &["flows"],
        &["drops"],
        &["clock"],
        &["down"],
        &["clock", "advance", "1s"],
        &["clock", "pause"],
        &["clock", "resume"],
        &["clock", "scale", "60"],
    ] {
        let said = host.run(&[command, &["--name", "nobody"]].concat());
        refused(&said, 1, "no instance `nobody` is running");
        let said = host.run(&[command, &["--name", "no/name"]].concat());
        refused(&said, 2, "is not an instance name");
    }
    refused(
        &host.run(&["exec", "--name", "nobody", "app"]),
        125,
        "no instance `nobody` is running",
    );
}

#[test]
fn wrong_questions_say_what_is_wrong() {
    let host = Host::start();
    let file = topology("nat-gateway.yaml");
    let file = file.to_str().unwrap();
    let explain = |rest: &[&str]| host.run(&[&["explain", file][..], rest].concat());
    refused(&explain(&["--from", "nobody", "--to", "app"]), 1, "`nobody`; there are: app, bastion");
    refused(&explain(&["--from", "app", "--to", "nobody"]), 1, "`nobody`; there are: app, bastion");
    refused(&explain(&["--from", "app", "--to", "::1"]), 1, "IPv6");
    refused(&explain(&["--from", "app"]), 2, "--to");
    refused(&explain(&["--from", "app", "--to", "bastion", "--port", "65536"]), 2, "65536");
    refused(&explain(&["--from", "app", "--to", "bastion", "--protocol", "sctp"]), 2, "sctp");
    let said = host.run(&["explain", "/no/such.yaml", "--from", "app", "--to", "app"]);
    refused(&said, 1, "/no/such.yaml");
    refused(&host.run(&["check", "/no/such.yaml"]), 1, "/no/such.yaml");
    refused(&host.run(&["check", "/"]), 1, "/: ");
    for usage in [&["check"][..], &["no-such-command"], &["up"], &["exec"]] {
        refused(&host.run(usage), 2, "Usage");
    }
    refused(&host.run(&["clock", "advance", "soon"]), 2, "soon");
    for pace in ["0", "-1", "nan", "1e9"] {
        refused(&host.run(&["clock", "scale", pace]), 2, "times as fast as real time");
    }
    // What a later issue brings is absent, not a stub.
    for absent in [&["clock", "rewind"][..], &["top"]] {
        refused(&host.run(absent), 2, "Usage");
    }
    let said = host.run(&[]);
    assert_eq!(said.status, 2, "{said:?}");
}

#[test]
fn every_command_has_help_with_an_example() {
    let host = Host::start();
    let commands = host.run(&["--help"]).success();
    let (_, commands) = commands.split_once("Commands:\n").unwrap();
    let mut helped = 0;
    for line in commands.lines().take_while(|line| line.starts_with("  ")) {
        let command = line.split_whitespace().next().unwrap();
        if command == "help" {
            continue;
        }
        let help = host.run(&[command, "--help"]).success();
        assert!(help.contains("Example") && help.contains("hypertun "), "{help}");
        helped += 1;
    }
    assert!(helped >= 11, "{helped} commands");
}

#[test]
fn what_is_said_to_nobody_is_no_failure_of_ours() {
    let host = Host::start();
    let up = Up::start(&host, &topology("nat-gateway.yaml"), "unheard", &[]);
    answers(&up);
    let binary = integration::hypertun();
    let binary = binary.to_str().unwrap();
    let file = topology("nat-gateway.yaml");
    let file = file.to_str().unwrap();
    for command in [
        format!("check {file}"),
        format!("explain {file} --from app --to bastion"),
        "status".to_owned(),
        "flows".to_owned(),
        "drops".to_owned(),
        "flows --json".to_owned(),
        "clock".to_owned(),
    ] {
        let script = format!("(sleep 0.1; HYPERTUN_NAME=unheard {binary} {command}) | true");
        let said = output(host.command("sh").args(["-c", &script]));
        assert_eq!(said.err, "", "{command} | true");
        let whole = script.replace("| true", "2>&1 | cat");
        assert_ne!(output(host.command("sh").args(["-c", &whole])).success(), "", "{command}");
    }
}

#[test]
fn a_demo_that_nobody_watches_leaves_nothing() {
    let host = Host::start();
    let before = Snapshot::of(&host);
    let binary = integration::hypertun();
    let script = format!("{} demo 2>&1 | head -n 3; exec true", binary.to_str().unwrap());
    let said = output(host.command("sh").args(["-c", &script]));
    assert_eq!((said.err.as_str(), said.out.lines().count()), ("", 3), "{said:?}");
    wait_until("it has ended", 10, || {
        !host.says("ps", &["-e", "-o", "comm="]).contains("hypertun")
    });
    before.assert_same(&host, "a demo that nobody watches");
}

#[test]
fn json_has_the_shape_of_the_contract() {
    let host = Host::start();
    let up = Up::start(&host, &topology("nat-gateway.yaml"), "shape", &[]);
    answers(&up);
    // One packet that is dropped.
    let _ = output(up.exec("app", "curl").args([
        "--silent",
        "--max-time",
        "0.3",
        "http://203.0.113.80:25/",
    ]));
    assert_eq!(keys(&up.json("drops")[0]), ["component", "count", "reason"]);
    assert!(up.json("drops")[0]["count"].as_u64().unwrap() > 0);
    assert_eq!(keys(&up.json("clock")), ["paused", "scale", "seconds", "time"]);
    assert!(up.json("status")["nat_gateways"].is_array());
    assert!(up.json("flows").is_array());
    let file = topology("nat-gateway.yaml");
    let question =
        ["explain", file.to_str().unwrap(), "--from", "app", "--to", "checkip.amazonaws.com"];
    let said = host.run(&[&question[..], &["--json"]].concat()).success();
    let walked: Value = serde_json::from_str(&said).unwrap();
    for walked in [&walked, &walked["reply"]] {
        let all =
            ["advice", "detail", "hops", "packet_in", "packet_out", "reason", "reply", "verdict"];
        assert_eq!(keys(walked), all);
        assert_eq!(keys(&walked["hops"][0]), ["component", "rule", "stage", "verdict"]);
        assert_eq!(keys(&walked["packet_in"]), ["dst", "protocol", "src"]);
        assert_eq!(walked["verdict"], "delivered");
        assert!(walked["reason"].is_null());
    }
    assert_eq!(walked["packet_in"]["src"], "10.0.1.10:40000");
    assert_eq!(walked["packet_out"]["dst"], "203.0.113.80:80");
    assert!(walked["packet_out"]["src"].as_str().unwrap().starts_with("198.51.100.10:"));
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}
