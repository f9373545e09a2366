//! The limits of a NAT gateway (AWS "NAT gateway basics", "Troubleshoot NAT gateways"): 55,000
//! flows to a destination, 350 s of silence.
#![expect(clippy::unwrap_used, reason = "a test says by a panic that its promise is broken")]

use std::time::{Duration, Instant};

use integration::{Conversation, File, Host, Talker, Up, output, peer, topology, wait_until};

const PARTNER: &str = "203.0.113.90";
const FLOWS: u64 = 55_000;

fn send(up: &Up<'_>, port: u16, first_port: u16, count: u64) {
    send_from(up, "app", port, first_port, count);
}

fn send_from(up: &Up<'_>, member: &str, port: u16, first_port: u16, count: u64) {
    let mut command = up.exec(member, peer());
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
fn n6_n7_a_destination_takes_55000_flows_and_no_more_and_another_has_its_own() {
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

/// Accepts connections to two ports, and keeps them.
const KEEP: &str = r#"
import socket, sys
servers = [socket.create_server(("0.0.0.0", port)) for port in (5000, 5001)]
print("ready", flush=True)
sys.stdin.readline()
"#;

/// Makes three connections to a port and keeps them, tries another one, and one to the next port.
const ONE_TOO_MANY: &str = r#"
import socket
kept = [socket.create_connection(("203.0.113.90", 5000), 5) for _ in range(3)]
for port in (5000, 5001):
    try:
        kept.append(socket.create_connection(("203.0.113.90", port), 2))
        print("connected")
    except OSError as error:
        print(type(error).__name__)
"#;

#[test]
fn n6_n7_one_tcp_connection_too_many_times_out_and_the_next_port_has_its_own() {
    let host = Host::start();
    let file = File::copy("nat-gateway.yaml", "n6-tcp");
    file.write(&[("\ninternet:", "\nprofile: {nat_connections_per_destination: 3}\ninternet:")]);
    let up = Up::start(&host, file.path(), "n6", &[]);
    let server = Talker::start(up.exec("partner.example", "python3").args(["-c", KEEP]));
    assert_eq!(server.hear(), "ready");
    assert_eq!(up.says("app", &["python3", "-c", ONE_TOO_MANY]), "TimeoutError\nconnected\n");
    let refused = up.dropped("NAT_PORT_ALLOCATION");
    assert!(refused >= 1, "each SYN that is sent again finds no port either");
    let errors = up.metric("hypertun_nat_gateway_error_port_allocation_total", "nat-a");
    assert!((errors - f64::from(u32::try_from(refused).unwrap())).abs() < 0.5, "{errors}");
}

fn conversation(up: &Up<'_>) -> Conversation {
    Conversation::between(up, "app", "partner.example", PARTNER, 5000)
}

/// Longer than any packet takes here.
const QUIET: Duration = Duration::from_millis(700);

#[test]
fn n1_idle_351s_client_sends_gets_rst() {
    let host = Host::start();
    let up = Up::start(&host, &topology("nat-gateway.yaml"), "n1", &[]);
    let mut conversation = conversation(&up);
    up.advance("351s");
    assert_eq!(up.ports(), 0);
    conversation.is_silent_for(QUIET);
    conversation.client.say("too late");
    assert_eq!(conversation.client.hear(), "error ConnectionReset");
    assert_eq!(conversation.server.hear_within(QUIET), None);
    assert_eq!(up.dropped("NAT_IDLE_TIMEOUT"), 1);
    let timeouts = up.metric("hypertun_nat_gateway_idle_timeout_count_total", "nat-a");
    assert!((timeouts - 1.0).abs() < 0.5, "{timeouts}");
}

#[test]
fn n2_idle_349s_passes_and_restarts_the_clock() {
    let host = Host::start();
    let up = Up::start(&host, &topology("nat-gateway.yaml"), "n2", &[]);
    let mut conversation = conversation(&up);
    up.advance("349s");
    conversation.exchange("first");
    up.advance("349s");
    conversation.server.say("from the server");
    assert_eq!(conversation.client.hear(), "got from the server");
    assert_eq!(up.json("drops").to_string(), "[]");
}

#[test]
fn n3_idle_351s_server_answers_into_nothing() {
    let host = Host::start();
    let up = Up::start(&host, &topology("nat-gateway.yaml"), "n3", &[]);
    let mut conversation = conversation(&up);
    up.advance("360s");
    conversation.server.say("a slow reply");
    wait_until("a drop", 5, || up.dropped("NAT_UNSOLICITED") > 0);
    conversation.is_silent_for(QUIET);
    assert_eq!(judged(&up), ["NAT_UNSOLICITED at nat-gateway:nat-a"]);
}

#[test]
fn n4_keepalives_every_180s_survive_an_hour() {
    let host = Host::start();
    let up = Up::start(&host, &topology("nat-gateway.yaml"), "n4", &[]);
    let (mut client, mut server) = kept_alive(&up);
    client.say("probe");
    for _ in 0..20 {
        up.advance("180s");
        let packets = || {
            let flows = up.json("flows");
            ["sent", "received"].map(|direction| flows[0][direction][0].as_u64().unwrap())
        };
        let before = packets();
        wait_until("a keepalive and its answer", 10, || {
            packets().iter().zip(before).all(|(now, before)| *now > before)
        });
    }
    server.say("after an hour");
    assert_eq!(client.hear(), "got after an hour");
    assert_eq!(up.json("drops").to_string(), "[]");
}

/// A client that has the kernel send a keepalive each second of silence, once it is told to probe, and
/// says what comes, or how the connection ends.
const KEEPALIVE: &str = r#"
import socket, sys
connection = socket.create_connection(("203.0.113.90", 5000))
connection.sendall(b"hello\n")
print("connected", flush=True)
sys.stdin.readline()
connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
try:
    print("got", connection.recv(100).decode().strip(), flush=True)
except OSError as error:
    print(type(error).__name__, flush=True)
sys.stdin.readline()
"#;

/// That client, and its server, once they are connected.
fn kept_alive(up: &Up<'_>) -> (Talker, Talker) {
    let server = up.talker("partner.example", &["dialogue", "listen", "5000"]);
    assert_eq!(server.hear(), "ready");
    let client = Talker::start(up.exec("app", "python3").args(["-c", KEEPALIVE]));
    assert_eq!((client.hear(), server.hear()), ("connected".into(), "connected".into()));
    assert_eq!(server.hear(), "got hello");
    (client, server)
}

#[test]
fn n5_a_keepalive_later_than_350s_meets_the_rst() {
    let host = Host::start();
    let up = Up::start(&host, &topology("nat-gateway.yaml"), "n5", &[]);
    let (mut client, server) = kept_alive(&up);
    up.advance("7200s");
    client.say("probe");
    assert_eq!(client.hear(), "ConnectionResetError");
    assert_eq!(up.dropped("NAT_IDLE_TIMEOUT"), 1);
    assert_eq!(server.hear_within(QUIET), None);
}

#[test]
fn n8_two_addresses_carry_110000_flows_to_a_destination() {
    let host = Host::start();
    let up = Up::start(&host, &topology("nat-gateway-addresses.yaml"), "n8", &[]);
    let mut sink = up.talker("partner.example", &["sink", "--port", "4000"]);
    assert_eq!(sink.hear(), "ready");
    wait_until("110,000 flows arrive", 120, || {
        for member in ["app", "batch"] {
            send_from(&up, member, 4000, 1024, FLOWS);
        }
        sources(&mut sink) >= 2 * FLOWS
    });
    assert_eq!((sources(&mut sink), up.ports()), (2 * FLOWS, 2 * FLOWS));
    send(&up, 4000, 60_000, 1);
    wait_until("a drop", 5, || up.dropped("NAT_PORT_ALLOCATION") == 1);
}
