//! Much data and many connections through a NAT gateway: all of it, unchanged.
#![expect(clippy::unwrap_used, reason = "a test says by a panic that its promise is broken")]

use std::time::Instant;

use integration::{Host, Up, output, peer, topology};

const GIBIBYTE: &str = "1073741824";
const GET: &str = "curl --silent --fail --max-time 300 \
    http://203.0.113.90:8080/content | sha256sum";

const WORKERS: [&str; 3] = ["1", "2", "4"];

fn serves_a_gibibyte(options: &[&str]) {
    let host = Host::start();
    let up = Up::start(&host, &topology("nat-gateway.yaml"), "throughput", options);
    let peer = peer();
    let peer = peer.to_str().unwrap();
    let expected =
        host.says("sh", &["-c", &format!("{peer} content --size {GIBIBYTE} | sha256sum")]);
    let server =
        up.talker("partner.example", &["serve-http", "--port", "8080", "--size", GIBIBYTE]);
    assert_eq!(server.hear(), "ready");
    let began = Instant::now();
    let sum = up.says("app", &["sh", "-c", GET]);
    let took = began.elapsed();
    println!("1 GiB and its sum, {options:?}: {took:.2?}");
    assert_eq!(sum, expected, "SHA-256");
    let status = up.json("status");
    let forwarded = status["bytes_forwarded"].as_u64().unwrap();
    assert!(forwarded > 1 << 30, "{status}");
    // With offloads, what is forwarded are super-packets.
    let size = forwarded / status["packets_forwarded"].as_u64().unwrap();
    println!("{size} bytes a packet");
    let whole = !options.contains(&"--no-gso") && !options.contains(&"--tun");
    assert_eq!(size > 2000, whole, "{size} bytes a packet");
}

#[test]
fn a_gibibyte_arrives_as_it_was_sent() {
    for workers in WORKERS {
        serves_a_gibibyte(&["--workers", workers]);
    }
}

#[test]
fn a_gibibyte_arrives_as_it_was_sent_without_offloads() {
    for workers in WORKERS {
        serves_a_gibibyte(&["--workers", workers, "--no-gso"]);
    }
}

#[test]
fn a_gibibyte_arrives_as_it_was_sent_by_plain_devices() {
    serves_a_gibibyte(&["--tun", "compat"]);
}

#[test]
fn ten_thousand_short_connections_all_succeed() {
    for workers in WORKERS {
        ten_thousand_connections_succeed(&["--workers", workers]);
    }
    ten_thousand_connections_succeed(&["--tun", "compat"]);
}

fn ten_thousand_connections_succeed(options: &[&str]) {
    let host = Host::start();
    let up = Up::start(&host, &topology("nat-gateway.yaml"), "connections", options);
    let server = up.talker("partner.example", &["accept", "--port", "5000"]);
    assert_eq!(server.hear(), "ready");
    let began = Instant::now();
    let mut command = up.exec("app", peer());
    command.args(["connect", "--to", "203.0.113.90:5000", "--count", "10000", "--parallel", "500"]);
    let results = output(&mut command).success();
    println!("10,000 connections, {options:?}: {:.2?}: {}", began.elapsed(), results.trim());
    assert_eq!(results.trim(), r#"{"ok":10000}"#);
    // Hundreds that begin at once lose no packet on the way: neither in the emulator nor before it.
    assert_eq!(up.json("drops").to_string(), "[]");
    for member in ["app", "partner.example"] {
        let link = up.says(member, &["cat", "/sys/class/net/eth0/statistics/tx_dropped"]);
        assert_eq!(link.trim(), "0", "packets lost in the queue of {member}");
    }
    // Each had a port of its own, which rests; none is lost.
    assert_eq!(up.ports(), 10_000);
    up.advance("61s");
    assert_eq!(up.ports(), 0);
    assert_eq!(up.json("status")["nat_gateways"][0]["ports_busiest"], 0);
}
