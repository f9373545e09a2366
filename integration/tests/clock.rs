//! The emulated clock: paused nothing expires, scaled it expires sooner, and real packets flow.
#![expect(clippy::unwrap_used, reason = "a test says by a panic that its promise is broken")]

use std::thread::sleep;
use std::time::{Duration, Instant};

use integration::{Host, Talker, Up, output, topology, wait_until};
use serde_json::Value;

const PARTNER: &str = "203.0.113.90";

/// What `hypertun clock ARGUMENTS --json` says.
fn clock(up: &Up<'_>, arguments: &[&str]) -> Value {
    let said = output(&mut up.hypertun(&[&["clock"], arguments, &["--json"]].concat())).success();
    println!("clock {}: {}", arguments.join(" "), said.split_whitespace().collect::<String>());
    serde_json::from_str(&said).unwrap()
}

fn seconds(reading: &Value) -> f64 {
    reading["seconds"].as_f64().unwrap()
}

/// A connection from `app` to `partner.example` that has carried a line each way.
fn connection(up: &Up<'_>) -> (Talker, Talker) {
    let mut server = up.talker("partner.example", &["dialogue", "listen", "5000"]);
    assert_eq!(server.hear(), "ready");
    let mut client = up.talker("app", &["dialogue", "to", &format!("{PARTNER}:5000")]);
    assert_eq!((client.hear(), server.hear()), ("connected".into(), "connected".into()));
    exchange(&mut client, &mut server, "one");
    exchange(&mut server, &mut client, "two");
    (client, server)
}

fn exchange(from: &mut Talker, to: &mut Talker, line: &str) {
    from.say(line);
    assert_eq!(to.hear(), format!("got {line}"));
}

#[test]
fn a_paused_clock_stands_while_packets_flow() {
    let host = Host::start();
    let up = Up::start(&host, &topology("nat-gateway.yaml"), "paused", &[]);
    let paused = clock(&up, &["pause"]);
    assert_eq!((&paused["paused"], &paused["scale"]), (&true.into(), &1.0.into()));
    let (mut client, mut server) = connection(&up);
    let left = || up.json("flows")[0]["facets"][1]["expires_in"].as_f64().unwrap();
    let before = left();
    sleep(Duration::from_millis(300));
    assert!((left() - before).abs() < f64::EPSILON, "nothing comes closer");
    assert_eq!(clock(&up, &[])["seconds"], paused["seconds"]);
    assert!(output(&mut up.hypertun(&["clock"])).success().ends_with(" s, paused\n"));

    // It can be moved while it stands, and does not make up for what it missed.
    let moved = clock(&up, &["advance", "349s"]);
    assert!((seconds(&moved) - seconds(&paused) - 349.0).abs() < 1e-6);
    exchange(&mut client, &mut server, "in time");
    let resumed = clock(&up, &["resume"]);
    assert_eq!((&resumed["seconds"], &resumed["paused"]), (&moved["seconds"], &false.into()));
    wait_until("it goes on", 5, || seconds(&clock(&up, &[])) > seconds(&resumed));

    let _ = clock(&up, &["pause"]);
    let _ = clock(&up, &["advance", "350s"]);
    assert_eq!(up.ports(), 0, "350 s of silence");
    client.say("too late");
    assert_eq!(client.hear(), "error ConnectionReset");
}

#[test]
fn at_a_thousand_times_real_time_350_seconds_pass_in_a_third_of_one() {
    let host = Host::start();
    let up = Up::start(&host, &topology("nat-gateway.yaml"), "scaled", &["--workers", "2"]);
    // Small talk of the kernels included, all is said before the clock runs.
    let _ = clock(&up, &["pause"]);
    let (mut client, mut server) = connection(&up);
    sleep(Duration::from_millis(200));
    assert_eq!(up.ports(), 1);
    let scaled = clock(&up, &["scale", "1000"]);
    assert_eq!((&scaled["scale"], &scaled["paused"]), (&1000.0.into(), &true.into()));
    let said = output(&mut up.hypertun(&["clock"])).success();
    assert!(said.ends_with(" s, paused, 1000 times real time\n"), "{said}");

    let began = Instant::now();
    let from = seconds(&clock(&up, &["resume"]));
    wait_until("its port is free", 5, || up.ports() == 0);
    let took = began.elapsed();
    println!("{took:.2?} until the port was free");
    assert!(took >= Duration::from_millis(345), "{took:?}");
    // What is left of it is asking.
    assert!(took < Duration::from_secs(3), "{took:?}");
    let stopped = seconds(&clock(&up, &["pause"])) - from;
    let most = began.elapsed().as_secs_f64() * 1000.0;
    assert!(stopped >= 345.0 && stopped <= most, "{stopped} of at most {most}");

    server.say("into nothing");
    wait_until("a drop", 5, || up.dropped("NAT_UNSOLICITED") > 0);
    client.say("too late");
    assert_eq!(client.hear(), "error ConnectionReset");
    assert_eq!(up.dropped("NAT_IDLE_TIMEOUT"), 1);
}

#[test]
fn connections_live_at_any_pace_even_after_weeks_of_nothing() {
    let host = Host::start();
    let up = Up::start(&host, &topology("nat-gateway.yaml"), "weeks", &["--workers", "2"]);
    let old = connection(&up);
    // Weeks pass, the most of them without a flow, and workers that slept wake in the present.
    let _ = clock(&up, &["scale", "1000000"]);
    sleep(Duration::from_millis(1500));
    let weeks = clock(&up, &["scale", "10"]);
    assert!(seconds(&weeks) > 1e6, "{weeks}");
    let (mut client, mut server) = {
        drop(old);
        connection(&up)
    };
    for line in ["still", "there"] {
        sleep(Duration::from_millis(700));
        exchange(&mut client, &mut server, line);
        exchange(&mut server, &mut client, line);
    }
    // The wall clock of the emulated world is as far on.
    let time = weeks["time"].as_str().unwrap();
    assert!(time.ends_with('Z') && time.len() == "2026-01-01T00:00:00.000Z".len(), "{time}");
}

#[test]
fn a_pace_that_cannot_be_is_refused_and_nothing_changes() {
    let host = Host::start();
    let up = Up::start(&host, &topology("nat-gateway.yaml"), "refused", &[]);
    for pace in ["0", "-1", "nan", "inf", "1e9", "fast"] {
        let said = output(&mut up.hypertun(&["clock", "scale", pace]));
        assert_eq!(said.status, 2, "{said:?}");
        assert!(said.err.contains(&format!("invalid value '{pace}'")), "{said:?}");
    }
    let reading = clock(&up, &[]);
    assert_eq!((&reading["scale"], &reading["paused"]), (&1.0.into(), &false.into()));
}
