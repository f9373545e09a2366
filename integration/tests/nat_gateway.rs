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
    let host = Host::start();
    let file = File::copy("nat-gateway-addresses.yaml", "n23");
    let up = Up::start(&host, file.path(), "n23", &[]);
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
    file.write(&[("[198.51.100.10, 198.51.100.11]", "[198.51.100.10]")]);
    assert_eq!(file.apply(&up).success(), "~ nat_gateways nat-a\n");
    for conversation in &mut conversations {
        conversation.exchange("while it drains");
    }
    up.advance("9s");
    for conversation in &mut conversations {
        conversation.exchange("while it still drains");
    }
    for _ in 0..20 {
        assert_eq!(caller(), first, "nothing new goes by what drains");
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
    assert!(["10.0.1.100", "10.0.1.4"].contains(&from), "{peers}");
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
