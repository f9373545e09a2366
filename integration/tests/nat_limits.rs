//! The limits of a NAT gateway (AWS "NAT gateway basics", "Troubleshoot NAT gateways"): 55,000
//! flows to a destination, 350 s of silence.
#![expect(clippy::unwrap_used, reason = "a test says by a panic that its promise is broken")]

use std::time::{Duration, Instant};

use integration::{Host, Talker, Up, output, peer, topology, wait_until};

const PARTNER: &str = "203.0.113.90";
const FLOWS: u64 = 55_000;

fn send(up: &Up<'_>, port: u16, first_port: u16, count: u64) {
    let mut command = up.exec("app", peer());
    command.args(["datagrams", "--to", &format!("{PARTNER}:{port}")]);
    command.args(["--first-port", &first_port.to_string(), "--count", &count.to_string()]);
    let _ = output(&mut command).success();
}

/// Reasons and places of what was dropped on the path, as against before it.
fn judged(up: &Up<'_>) -> Vec<String> {
    let drops = up.json("drops");
    let drops = drops.as_array().unwrap().iter();
    let drops = drops.map(|it| [&it["reason"], &it["component"]].map(|it| it.as_str().unwrap()));
    let judged = drops.filter(|[reason, _]| *reason != "WORKER_OVERRUN");
    judged.map(|[reason, component]| format!("{reason} at {component}")).collect()
}

fn sources(sink: &mut Talker) -> u64 {
    sink.say("how many?");
    sink.hear().parse().unwrap()
}

#[test]
fn a_destination_takes_55000_flows_and_no_more() {
    for workers in ["1", "2", "4"] {
        println!("{workers} workers");
        takes_55000_flows_and_no_more(workers);
    }
}

fn takes_55000_flows_and_no_more(workers: &str) {
    let host = Host::start();
    let options = ["--workers", workers];
    let up = Up::start(&host, &topology("nat-gateway.yaml"), "limits", &options);
    let [mut full, mut other] = ["4000", "4001"].map(|port| {
        let sink = up.talker("partner.example", &["sink", "--port", port]);
        assert_eq!(sink.hear(), "ready");
        sink
    });

    let began = Instant::now();
    // A datagram may be lost where a busy machine lets a queue run full: then it is sent again.
    wait_until("55,000 flows arrive", 60, || {
        send(&up, 4000, 1024, FLOWS);
        sources(&mut full) >= FLOWS
    });
    println!("{FLOWS} flows to one destination: {:.2?}", began.elapsed());
    assert_eq!(sources(&mut full), FLOWS, "each has a port of its own");
    assert_eq!(up.ports(), FLOWS);
    assert!(judged(&up).is_empty(), "{:?}", judged(&up));

    send(&up, 4000, 60_000, 1);
    wait_until("a drop", 5, || up.dropped("NAT_PORT_ALLOCATION") == 1);
    assert_eq!(sources(&mut full), FLOWS);
    assert_eq!(judged(&up), ["NAT_PORT_ALLOCATION at nat-gateway:nat-a"]);

    // Flows that live go on, and another destination has ports of its own.
    send(&up, 4000, 1024, 100);
    send(&up, 4001, 60_000, 1);
    wait_until("another destination", 5, || sources(&mut other) == 1);
    assert_eq!((up.ports(), up.dropped("NAT_PORT_ALLOCATION")), (FLOWS + 1, 1));

    // Idle for long enough, they free their ports.
    up.advance("351s");
    assert_eq!((up.ports(), up.json("status")["flows"].as_u64()), (0, Some(0)));
    send(&up, 4000, 60_000, 1);
    wait_until("a port is free", 5, || sources(&mut full) > 0 && up.ports() == 1);
    assert_eq!(up.dropped("NAT_PORT_ALLOCATION"), 1);
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
fn a_connection_lives_through_349_seconds_of_silence() {
    let host = Host::start();
    let up = Up::start(&host, &topology("nat-gateway.yaml"), "idle", &[]);
    let (mut client, mut server) = connection(&up);
    up.advance("349s");
    exchange(&mut client, &mut server, "from the client");
    up.advance("349s");
    exchange(&mut server, &mut client, "from the server");
    assert_eq!(up.json("drops").to_string(), "[]");
}

#[test]
fn after_350_seconds_of_silence_the_server_gets_nothing_and_the_client_a_reset() {
    let host = Host::start();
    let up = Up::start(&host, &topology("nat-gateway.yaml"), "idle", &[]);
    let (mut client, mut server) = connection(&up);
    let quiet = Duration::from_millis(700);
    up.advance("351s");
    assert_eq!(up.ports(), 0);

    server.say("into nothing");
    wait_until("a drop", 5, || up.dropped("NAT_UNSOLICITED") > 0);
    assert_eq!(client.hear_within(quiet), None);
    assert_eq!(server.hear_within(quiet), None);

    client.say("too late");
    assert_eq!(client.hear(), "error ConnectionReset");
    assert_eq!(server.hear_within(quiet), None);
    assert_eq!(up.dropped("NAT_IDLE_TIMEOUT"), 1);
}
