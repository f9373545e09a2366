//! A NAT gateway as its users meet it: real clients and servers on either side of it.

use std::time::Duration;

use integration::{Conversation, File, Host, Output, Talker, Up, output, topology, wait_until};

const PARTNER: &str = "203.0.113.90";
const GATEWAY: &str = "10.0.0.220";
const PUBLIC: &str = "198.51.100.10";

fn up<'h>(host: &'h Host, name: &str) -> Up<'h> {
    Up::start(host, &topology("nat-gateway.yaml"), name, &[])
}

/// Runs it in `member`, whatever its status.
fn tried(up: &Up<'_>, member: &str, command: &[&str]) -> Output {
    output(up.exec(member, command[0]).args(&command[1..]))
}

/// Answers each datagram with the same one, and says how long it was.
const ECHO: &str = r#"
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("0.0.0.0", 5300))
print("ready", flush=True)
while True:
    data, client = server.recvfrom(65535)
    print(len(data), flush=True)
    server.sendto(data, client)
"#;

/// Sends a datagram of so many bytes without DF, twice, and says how long the answers are.
const ASK: &str = r#"
import os, socket, sys
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.setsockopt(socket.IPPROTO_IP, 10, 0) # IP_MTU_DISCOVER, IP_PMTUDISC_DONT
client.settimeout(5)
for _ in range(2):
    data = os.urandom(int(sys.argv[1]))
    client.sendto(data, ("203.0.113.90", 5300))
    answer = client.recv(65535)
    print(len(answer), answer == data)
"#;

#[test]
fn n12_a_udp_datagram_in_fragments_passes_and_so_does_its_answer() {
    for options in
        [&["--workers", "1"][..], &["--workers", "2"], &["--no-gso"], &["--tun", "compat"]]
    {
        let host = Host::start();
        let up = Up::start(&host, &topology("nat-gateway.yaml"), "n12", options);
        let server = Talker::start(up.exec("partner.example", "python3").args(["-c", ECHO]));
        assert_eq!(server.hear(), "ready");
        // Fragments of the gateway's making, of the sender's own, and of both.
        for length in ["4000", "9500", "30000"] {
            let said = up.says("app", &["python3", "-c", ASK, length]);
            assert_eq!(said, format!("{length} True\n{length} True\n"), "{options:?}");
            assert_eq!((server.hear(), server.hear()), (length.to_owned(), length.to_owned()));
        }
        assert_eq!(up.json("drops").to_string(), "[]", "{options:?}");
        // All fragments of one direction and one destination share a mapping for each client's port.
        assert_eq!(up.ports(), 3);
    }
}

#[test]
fn n13_a_ping_of_10000_bytes_loses_all() {
    let host = Host::start();
    let up = up(&host, "n13");
    let small = tried(&up, "app", &["ping", "-c", "2", "-i", "0.2", "-W", "1", PARTNER]);
    assert!(small.out.contains(" 0% packet loss"), "{small:?}");
    let large =
        tried(&up, "app", &["ping", "-c", "3", "-i", "0.2", "-W", "1", "-s", "10000", PARTNER]);
    assert!(large.out.contains(" 100% packet loss"), "{large:?}");
    assert_eq!(up.dropped("NAT_FRAGMENT"), 6, "{}", up.json("drops"));
    // To somebody in the VPC, by no gateway, it comes.
    let inside = tried(
        &up,
        "bastion",
        &["ping", "-c", "2", "-i", "0.2", "-W", "1", "-s", "10000", "10.0.1.10"],
    );
    assert!(inside.out.contains(" 0% packet loss"), "{inside:?}");
}

/// Asks for a timestamp (RFC 792, p. 16), and says whether the answer is one to that.
const TIMESTAMP: &str = r#"
import socket, struct
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
raw.settimeout(5)
words = [0x0d00, 0, 4711, 1, 0, 5, 0, 0, 0, 0]
total = sum(words)
words[1] = ~(total & 0xffff) + (total >> 16) & 0xffff
raw.sendto(struct.pack("!10H", *words), ("203.0.113.90", 0))
kind, _, _, identifier, sequence, originate = struct.unpack("!BBHHHI", raw.recv(100)[20:32])
print(kind, identifier, sequence, originate)
"#;

#[test]
fn an_icmp_timestamp_is_asked_for_and_told() {
    let host = Host::start();
    let up = up(&host, "timestamp");
    assert_eq!(up.says("app", &["python3", "-c", TIMESTAMP]), "14 4711 1 5\n");
    assert_eq!(up.ports(), 1);
}

#[test]
fn n16_nobody_answers_at_the_gateways_own_addresses() {
    let host = Host::start();
    let up = up(&host, "n16");
    for (member, address) in
        [("bastion", GATEWAY), ("bastion", PUBLIC), ("partner.example", PUBLIC)]
    {
        let said = tried(&up, member, &["ping", "-c", "2", "-i", "0.2", "-W", "1", address]);
        assert!(said.out.contains(" 100% packet loss"), "{member} to {address}: {said:?}");
        let said = tried(&up, member, &["nc", "-z", "-w", "1", address, "80"]);
        assert_eq!(said.status, 1, "{member} to {address}: {said:?}");
        assert!(!said.err.contains("refused"), "nothing tells: {said:?}");
    }
}

#[test]
fn n17_a_traceroute_shows_the_private_address() {
    let host = Host::start();
    let up = up(&host, "n17");
    let said = up.says("app", &["traceroute", "-n", "-q", "1", "-N", "1", PARTNER]);
    let hops: Vec<&str> =
        said.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(hops, [GATEWAY, PARTNER], "{said}");
}

#[test]
fn n18_in_a_subnet_without_a_way_out_clients_see_nothing_but_timeouts() {
    let host = Host::start();
    let file = File::copy("nat-gateway.yaml", "n18");
    file.write(&[("    route_table: public\n", "    route_table: private\n")]);
    let up = Up::start(&host, file.path(), "n18", &[]);
    let said = tried(&up, "app", &["curl", "-s", "-m", "2", "http://203.0.113.80/"]);
    assert_eq!(said.status, 28, "{said:?}");
    assert!(up.dropped("FORWARDING_LOOP") > 0, "{}", up.json("drops"));
}

#[test]
fn n22_a_deleted_gateway_is_a_blackhole_and_its_connections_die() {
    let host = Host::start();
    let file = File::copy("nat-gateway.yaml", "n22");
    let up = Up::start(&host, file.path(), "n22", &[]);
    let mut conversation = Conversation::between(&up, "app", "partner.example", PARTNER, 5000);

    let gone =
        ("    public_ips: [198.51.100.10]", "    public_ips: [198.51.100.10]\n    state: deleted");
    // Its address is still allocated: what wants the next free one does not get it.
    let other = (
        "  bastion:\n    subnet",
        "  other: {subnet: public-a, public_ip: auto}\n  bastion:\n    subnet",
    );
    file.write(&[gone, other]);
    assert_eq!(file.apply(&up).success(), "~ nat_gateways nat-a\n+ network_interfaces other\n");
    conversation.client.say("into the blackhole");
    wait_until("a drop", 5, || up.dropped("BAD_STATE_ROUTE") > 0);
    conversation.server.say("to nobody");
    wait_until("a drop", 5, || up.dropped("IGW_PRIVATE_IP_ASSOCIATION_FOR_INGRESS") > 0);
    conversation.is_silent_for(Duration::from_millis(500));
    let said = tried(&up, "app", &["curl", "-s", "-m", "2", "http://203.0.113.80/"]);
    assert_eq!(said.status, 28, "{said:?}");
    assert_eq!(up.json("status")["nat_gateways"][0]["state"], "deleted");
    let seen = up.says("other", &["curl", "-s", "-m", "5", "http://203.0.113.80/"]);
    assert_eq!(seen.trim(), "198.51.100.1");

    // Another in its place begins anew: what lived by the old one is reset.
    file.write(&[]);
    let _ = file.apply(&up).success();
    let seen = up.says("app", &["curl", "-s", "-m", "5", "http://203.0.113.80/"]);
    assert_eq!(seen.trim(), PUBLIC);
}

#[test]
fn n23_an_address_that_is_taken_away_drains() {
    drains("198.51.100.10");
}

#[test]
fn n23_an_address_that_is_replaced_drains_beside_its_successor() {
    drains("198.51.100.10, 198.51.100.12");
}

/// 198.51.100.11 drains when these are the addresses left.
fn drains(left: &str) {
    let host = Host::start();
    let name = format!("n23-{}", left.len());
    let file = File::copy("nat-gateway-addresses.yaml", &name);
    let up = Up::start(&host, file.path(), &name, &[]);
    let caller = || {
        let seen = up.says("app", &["curl", "-s", "-m", "5", "http://203.0.113.80/"]);
        seen.trim().to_owned()
    };
    let (first, second) = ("198.51.100.10", "198.51.100.11");
    wait_until("new connections use both", 20, || caller() == first);
    wait_until("new connections use both", 20, || caller() == second);

    // Connections until both addresses have one.
    let ports = 5000..5020;
    let mut conversations: Vec<Conversation> = ports
        .map(|port| Conversation::between(&up, "app", "partner.example", PARTNER, port))
        .collect();
    file.write(&[("[198.51.100.10, 198.51.100.11]", &format!("[{left}]"))]);
    assert_eq!(file.apply(&up).success(), "~ nat_gateways nat-a\n");
    for conversation in &mut conversations {
        conversation.exchange("while it drains");
    }
    up.advance("9s");
    for conversation in &mut conversations {
        conversation.exchange("while it still drains");
    }
    for _ in 0..20 {
        let by = caller();
        assert!(left.contains(&by), "nothing new goes by what drains: {by}");
    }
    // Ten seconds after the change: real time has passed as well.
    up.advance("1s");
    let mut ended = 0;
    for conversation in &mut conversations {
        conversation.client.say("after that");
        match conversation.client.hear_within(Duration::from_millis(300)) {
            Some(reset) => {
                assert_eq!(reset, "error ConnectionReset");
                ended += 1;
            }
            None => assert_eq!(conversation.server.hear(), "got after that"),
        }
    }
    println!("{ended} of {} connections were at the address", conversations.len());
    assert!((1..20).contains(&ended), "{ended}");
    assert_eq!(up.dropped("NAT_IDLE_TIMEOUT"), ended);
}

#[test]
fn n10_a_stun_client_sees_a_symmetric_mapping() {
    let host = Host::start();
    let file = File::copy("nat-gateway.yaml", "n10");
    file.write(&[("addresses: [203.0.113.90]", "addresses: [203.0.113.90, 203.0.113.91]")]);
    let up = Up::start(&host, file.path(), "n10", &[]);
    let mut server = up.exec("partner.example", "stund");
    server.args(["-h", "203.0.113.90", "-a", "203.0.113.91"]);
    let _server = Talker::start(&mut server);
    wait_until("the server listens", 5, || {
        up.says("partner.example", &["ss", "-Hlun"]).lines().count() >= 4
    });
    let said = tried(&up, "app", &["stun", PARTNER, "-p", "40000"]);
    println!("{said:?}");
    let said = format!("{}{}", said.out, said.err);
    assert!(said.contains("Primary: Dependent Mapping"), "{said}");
}

/// A server on a port that says by which port its client came, and sends that one each line of input.
const LEARN: &str = r#"
import socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("0.0.0.0", 5300))
print("ready", flush=True)
_, client = server.recvfrom(100)
print(client[1], flush=True)
for line in sys.stdin:
    server.sendto(line.strip().encode(), client)
"#;

#[test]
fn n11_a_third_host_at_the_mapped_port_is_dropped() {
    let host = Host::start();
    let file = File::copy("nat-gateway.yaml", "n11");
    let third = "  hosts:\n    third.example: {addresses: [203.0.113.91]}\n";
    file.write(&[("  hosts:\n", third)]);
    let up = Up::start(&host, file.path(), "n11", &[]);
    let mut server = Talker::start(up.exec("partner.example", "python3").args(["-c", LEARN]));
    assert_eq!(server.hear(), "ready");
    // A socket that takes what comes from anybody.
    let mut client = up.talker("app", &["dialogue", "udp-to", &format!("{PARTNER}:5300")]);
    assert_eq!(client.hear(), "ready");
    client.say("hello");
    let port = server.hear();
    let intrude = format!(
        "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('{PUBLIC}', {port}))"
    );
    for (place, intruder) in ["third.example", "partner.example"].into_iter().enumerate() {
        let _ = up.says(intruder, &["python3", "-c", &intrude]);
        wait_until("a drop", 5, || up.dropped("NAT_UNSOLICITED") > place as u64);
    }
    assert_eq!(client.hear_within(Duration::from_millis(300)), None);
    server.say("answer");
    assert_eq!(client.hear(), "got answer");
}

/// Sends a line's bytes to each client that says something, as many as it asks for; DF is left to `sys.argv[1]`.
const SEND: &str = r#"
import socket, sys
server = socket.create_server(("0.0.0.0", 5000))
server.setsockopt(socket.IPPROTO_IP, 10, int(sys.argv[1])) # IP_MTU_DISCOVER
print("ready", flush=True)
while True:
    connection, _ = server.accept()
    connection.recv(10)
    connection.settimeout(5)
    try:
        connection.sendall(bytes(200_000))
    except OSError:
        pass
    connection.close()
"#;

/// How many bytes come until nothing does.
const RECEIVE: &str = r#"
import socket
connection = socket.create_connection(("198.51.100.20", 5000), 5)
connection.sendall(b"x")
connection.settimeout(3)
count = 0
try:
    while data := connection.recv(65536):
        count += len(data)
except TimeoutError:
    pass
print(count)
"#;

#[test]
fn n14_a_server_that_answers_in_tcp_fragments_is_not_heard() {
    let host = Host::start();
    let file = File::copy("nat-gateway.yaml", "n14");
    file.write(&[("ports: 22, source: 203.0.113.0/24", "ports: 5000, source: 198.51.100.10/32")]);
    // Both ends take jumbo frames, and an internet gateway stands between them. With DF the server is told.
    for (discovers, bytes) in [("1", "200000\n"), ("0", "0\n")] {
        let up = Up::start(&host, file.path(), "n14", &[]);
        let mut server = up.exec("bastion", "python3");
        let server = Talker::start(server.args(["-c", SEND, discovers]));
        assert_eq!(server.hear(), "ready");
        assert_eq!(up.says("app", &["python3", "-c", RECEIVE]), bytes);
        assert_eq!(up.dropped("NAT_FRAGMENT") > 0, discovers == "0", "{}", up.json("drops"));
        assert_eq!(up.dropped("MTU_EXCEEDED") > 0, discovers == "1", "{}", up.json("drops"));
    }
}

/// Sends each line of input to an address by an IP protocol of its own, and says what comes by that.
const RAW: &str = include_str!("raw.py");

#[test]
fn n15_esp_and_gre_need_a_public_address_or_udp() {
    let host = Host::start();
    let file = File::copy("nat-gateway.yaml", "n15");
    file.write(&[(
        "{protocol: icmp, destination: 0.0.0.0/0}",
        "{protocol: all, destination: 0.0.0.0/0}",
    )]);
    let up = Up::start(&host, file.path(), "n15", &[]);
    for (place, protocol) in ["50", "47"].into_iter().enumerate() {
        let raw = |member: &str, to: &str| {
            let talker = Talker::start(up.exec(member, "python3").args(["-c", RAW, protocol, to]));
            assert_eq!(talker.hear(), "ready");
            talker
        };
        let partner = raw("partner.example", PUBLIC);
        raw("bastion", PARTNER).say("by its own address");
        assert_eq!(partner.hear(), "got by its own address");
        raw("app", PARTNER).say("by the gateway");
        wait_until("a drop", 5, || up.dropped("PROTOCOL_RESTRICTION") > place as u64);
        assert_eq!(partner.hear_within(Duration::from_millis(300)), None);
    }
    let mut partner = up.talker("partner.example", &["dialogue", "udp-listen", "4500"]);
    let mut app = up.talker("app", &["dialogue", "udp-to", &format!("{PARTNER}:4500")]);
    assert_eq!((partner.hear(), app.hear()), ("ready".into(), "ready".into()));
    app.say("NAT traversal");
    assert_eq!(partner.hear(), "got NAT traversal");
    partner.say("answered");
    assert_eq!(app.hear(), "got answered");
}

/// Lets in whoever comes from one address.
const ALLOWLIST: &str = r#"
import socket
server = socket.create_server(("0.0.0.0", 5000))
print("ready", flush=True)
while True:
    connection, (address, _) = server.accept()
    connection.sendall(b"welcome" if address == "198.51.100.10" else b"refused")
    connection.close()
"#;

#[test]
fn n24_an_address_that_came_later_is_on_no_allowlist() {
    let host = Host::start();
    let file = File::copy("nat-gateway.yaml", "n24");
    let up = Up::start(&host, file.path(), "n24", &[]);
    let server = Talker::start(up.exec("partner.example", "python3").args(["-c", ALLOWLIST]));
    assert_eq!(server.hear(), "ready");
    let call = || {
        let script = "import socket; print(socket.create_connection(('203.0.113.90', 5000), 5).recv(9).decode())";
        up.says("app", &["python3", "-c", script]).trim().to_owned()
    };
    for _ in 0..10 {
        assert_eq!(call(), "welcome");
    }
    file.write(&[("[198.51.100.10]", "[198.51.100.10, 198.51.100.11]")]);
    assert_eq!(file.apply(&up).success(), "~ nat_gateways nat-a\n");
    wait_until("the new address is refused", 20, || call() == "refused");
    wait_until("the old one is not", 20, || call() == "welcome");
}

#[test]
fn a_private_gateway_lends_its_address_within_the_vpc_and_no_further() {
    let host = Host::start();
    let up = Up::start(&host, &topology("private-nat-gateway.yaml"), "private", &[]);
    let server = up.talker("database", &["dialogue", "listen", "5432"]);
    assert_eq!(server.hear(), "ready");
    let mut client = up.talker("worker", &["dialogue", "to", "10.0.2.10:5432"]);
    assert_eq!((client.hear(), server.hear()), ("connected".into(), "connected".into()));
    client.say("hello");
    assert_eq!(server.hear(), "got hello");
    let peers = up.says("database", &["ss", "-Htn", "state", "established"]);
    let from = peers.split_whitespace().last().unwrap().rsplit_once(':').unwrap().0;
    // The listener is of both families.
    assert!(["[::ffff:10.0.1.100]", "[::ffff:10.0.1.4]"].contains(&from), "{peers}");
    let said = tried(&up, "worker", &["curl", "-s", "-m", "2", "http://203.0.113.80/"]);
    assert_eq!(said.status, 28, "{said:?}");
    assert!(up.dropped("IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS") > 0);
}

/// Says the MSS that the other side of each connection announced.
const ANNOUNCED: &str = r#"
import socket
server = socket.socket()
server.bind(("0.0.0.0", 5000))
server.listen()
print("ready", flush=True)
while True:
    connection, _ = server.accept()
    print(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG), flush=True)
"#;

#[test]
fn the_mss_of_a_syn_is_clamped_and_path_mtu_discovery_works() {
    let host = Host::start();
    let file = File::copy("private-nat-gateway.yaml", "mss");
    file.write(&[("{protocol: tcp, ports: 5432, source", "{protocol: all, source")]);
    let up = Up::start(&host, file.path(), "mss", &[]);
    // An ENI announces 8961 of its 9001 bytes; the gateway takes 8500.
    let server = Talker::start(
        up.exec("database", "python3").args(["-c", &ANNOUNCED.replace("5000", "5432")]),
    );
    assert_eq!(server.hear(), "ready");
    let _ = tried(&up, "worker", &["nc", "-z", "-w", "2", "10.0.2.10", "5432"]);
    let announced: u32 = server.hear().parse().unwrap();
    // What the kernel tells is without the timestamp option.
    assert_eq!(announced, 8460 - 12);
    // A datagram that is too large for it is told so, and the next is not sent too large.
    let large = r#"
import socket
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.setsockopt(socket.IPPROTO_IP, 10, 2) # IP_MTU_DISCOVER, IP_PMTUDISC_DO
client.connect(("10.0.2.10", 9))
client.settimeout(0.2)
client.send(bytes(8800))
for _ in range(50):
    try:
        client.recv(1)
    except OSError:
        pass
    if client.getsockopt(socket.IPPROTO_IP, 14) == 8500: # IP_MTU
        break
print(client.getsockopt(socket.IPPROTO_IP, 14))
"#;
    assert_eq!(up.says("worker", &["python3", "-c", large]), "8500\n");
    assert_eq!(up.dropped("MTU_EXCEEDED"), 1);
}
