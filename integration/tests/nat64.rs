//! IPv6 as its users meet it: a client without any IPv4 behind NAT64, and an egress-only internet gateway.

use std::time::Duration;

use integration::{Conversation, File, Host, Output, Talker, Up, output, topology, wait_until};

const EXAMPLE: &str = "ipv6-only-nat64.yaml";
/// Of the NAT gateway.
const PUBLIC: &str = "198.51.100.10";
/// 203.0.113.80, and its service.
const CHECKIP: &str = "http://[64:ff9b::cb00:7150]/";
/// 203.0.113.90.
const PARTNER: &str = "64:ff9b::cb00:715a";

fn up<'h>(host: &'h Host, name: &str) -> Up<'h> {
    Up::start(host, &topology(EXAMPLE), name, &[])
}

/// Runs it in `member`, whatever its status.
fn tried(up: &Up<'_>, member: &str, command: &[&str]) -> Output {
    output(up.exec(member, command[0]).args(&command[1..]))
}

/// What `program` says in `member`, line by line.
fn python(up: &Up<'_>, member: &str, program: &str) -> Talker {
    Talker::start(up.exec(member, "python3").args(["-c", program]))
}

fn run(host: &Host, file: &File, command: &[&str]) -> Output {
    let file = file.path().to_string_lossy();
    host.run(&[&["run", &file, "--in", "app", "--"], command].concat())
}

#[test]
fn a_namespace_without_ipv4_is_answered_the_nat_gateways_address() {
    let host = Host::start();
    let up = up(&host, "nat64");
    assert_eq!(up.says("app", &["ip", "-4", "-brief", "address", "show", "eth0"]), "");
    assert_eq!(up.says("app", &["curl", "-s", "-m", "5", CHECKIP]).trim(), PUBLIC);
    assert_eq!(up.json("drops").to_string(), "[]");
}

#[test]
fn without_its_route_it_times_out_and_explain_says_which_is_missing() {
    let host = Host::start();
    let file = File::copy(EXAMPLE, "nat64-without-route");
    assert_eq!(run(&host, &file, &["curl", "-s", "-m", "5", CHECKIP]).success().trim(), PUBLIC);
    file.write(&[("      - {destination: \"64:ff9b::/96\", target: nat-a}\n", "")]);
    let said = run(&host, &file, &["curl", "-s", "-m", "2", CHECKIP]);
    assert_eq!(said.status, 28, "curl: operation timed out: {said:?}");
    let path = file.path().to_string_lossy();
    let said = host.run(&["explain", &path, "--from", "app", "--to", "64:ff9b::cb00:7150"]);
    assert_eq!(said.status, 1, "{said:?}");
    assert!(said.out.contains("route 64:ff9b::/96 by a NAT gateway"), "{said:?}");
}

#[test]
fn d3_without_dns64_an_address_leads_there_and_a_name_does_not() {
    let host = Host::start();
    let file = File::copy(EXAMPLE, "d3");
    file.write(&[("    enable_dns64: true\n", "")]);
    let up = Up::start(&host, file.path(), "d3", &[]);
    assert_eq!(up.says("app", &["curl", "-6", "-s", "-m", "5", CHECKIP]).trim(), PUBLIC);
    let said =
        tried(&up, "app", &["curl", "-6", "-sS", "-m", "2", "http://checkip.amazonaws.com/"]);
    assert!(said.status != 0 && !said.out.contains(PUBLIC), "{said:?}");
    let name = "checkip.amazonaws.com";
    assert_eq!(up.says("app", &["dig", "+short", "AAAA", name]), "", "its name means nothing");
    assert_eq!(up.says("app", &["dig", "+short", "A", name]).trim(), "203.0.113.80");
}

#[test]
fn d5_a_rule_for_ipv4_lets_nothing_out_to_nat64() {
    let host = Host::start();
    let up = up(&host, "d5");
    let said = tried(&up, "narrow", &["curl", "-s", "-m", "2", CHECKIP]);
    assert_eq!(said.status, 28, "{said:?}");
    assert!(up.dropped("ENI_SG_RULES_MISMATCH") > 0, "{}", up.json("drops"));
}

#[test]
fn d6_a_default_route_of_ipv6_to_a_nat_gateway_is_refused() {
    let host = Host::start();
    let file = File::copy(EXAMPLE, "d6");
    file.write(&[(
        "{destination: \"::/0\", target: eigw}",
        "{destination: \"::/0\", target: nat-a}",
    )]);
    let said = host.run(&["check", &file.path().to_string_lossy()]);
    assert_eq!(said.status, 1, "{said:?}");
    assert!(said.err.contains("InvalidParameterValue"), "{said:?}");
    let said = run(&host, &file, &["true"]);
    assert_eq!(said.status, 125, "nothing runs on it: {said:?}");
}

const WHO: &str = include_str!("who.py");

#[test]
fn d7_who_has_ipv4_alone_in_the_same_vpc_is_reached_and_sees_the_gateways_private_address() {
    let host = Host::start();
    let up = up(&host, "d7");
    let legacy = Talker::start(up.exec("legacy", "python3").args(["-c", WHO, "0.0.0.0"]));
    assert_eq!(legacy.hear(), "ready");
    // 10.0.2.10, whose group lets in nobody but the gateway.
    let seen = up.says("app", &["curl", "-s", "-m", "5", "http://[64:ff9b::a00:20a]/"]);
    assert_eq!(seen, "10.0.0.220");
    let said = tried(&up, "app", &["nc", "-z", "-w", "1", "64:ff9b::a00:20a", "81"]);
    assert_eq!(said.status, 1, "{said:?}");
    assert!(up.dropped("ENI_SG_RULES_MISMATCH") > 0, "{}", up.json("drops"));
}

/// Sends each datagram back without a checksum, and says what stands in its place.
const UNSUMMED: &str = r#"
import socket
tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3)) # ETH_P_ALL: what leaves as well
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.setsockopt(socket.SOL_SOCKET, 11, 1) # SO_NO_CHECK
server.bind(("0.0.0.0", 5300))
print("ready", flush=True)
data, client = server.recvfrom(65535)
server.sendto(data, client)
while True:
    packet, (_, _, kind, *_) = tap.recvfrom(65535)
    if kind == socket.PACKET_OUTGOING and packet[9] == socket.IPPROTO_UDP:
        print(packet[26:28].hex(), flush=True)
        break
"#;

/// Sums what an answer is covered by, which makes ffff, and says so.
const SUM: &str = r#"
import socket, struct
tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x86dd)) # ETH_P_IPV6: what arrives
client = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
client.settimeout(5)
client.connect(("64:ff9b::cb00:715a", 5300))
client.send(b"an odd number of bytes.")
assert client.recv(100) == b"an odd number of bytes."
tap.settimeout(5)
packet = tap.recv(65535)
while packet[6] != socket.IPPROTO_UDP:
    packet = tap.recv(65535)
datagram = packet[40:]
covered = packet[8:40] + struct.pack("!II", len(datagram), packet[6]) + datagram
covered += bytes(len(covered) % 2)
total = sum(struct.unpack(f"!{len(covered) // 2}H", covered))
while total >> 16:
    total = (total & 0xffff) + (total >> 16)
print(hex(total), datagram[6:8] != bytes(2))
"#;

#[test]
fn d9_an_answer_without_a_checksum_gets_one() {
    for options in [&[][..], &["--no-gso"]] {
        let host = Host::start();
        let up = Up::start(&host, &topology(EXAMPLE), "d9", options);
        let server = python(&up, "partner.example", UNSUMMED);
        assert_eq!(server.hear(), "ready");
        assert_eq!(up.says("app", &["python3", "-c", SUM]), "0xffff True\n", "{options:?}");
        assert_eq!(server.hear(), "0000", "the answer left without one");
    }
}

/// Answers the first datagram with "fragmentation needed" and an MTU of 1400; says how long the next ones are.
const NARROW: &str = r#"
import socket, struct
tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800)) # ETH_P_IP: what arrives
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("0.0.0.0", 5300))
print("ready", flush=True)
print(len(server.recv(65535)), flush=True)
packet = tap.recv(65535)
error = struct.pack("!BBHHH", 3, 4, 0, 0, 1400) + packet[:28]
total = sum(struct.unpack(f"!{len(error) // 2}H", error))
while total >> 16:
    total = (total & 0xffff) + (total >> 16)
error = error[:2] + struct.pack("!H", ~total & 0xffff) + error[4:]
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
raw.sendto(error, (socket.inet_ntoa(packet[12:16]), 0))
print(len(server.recv(65535)), flush=True)
"#;

/// Sends a datagram, waits until the kernel has learnt another MTU, says which, and sends another.
const LEARN: &str = r#"
import socket, time
client = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
client.connect(("64:ff9b::cb00:715a", 5300))
IPV6_MTU = 24
first = client.getsockopt(socket.IPPROTO_IPV6, IPV6_MTU)
client.send(bytes(1400))
for _ in range(500):
    now = client.getsockopt(socket.IPPROTO_IPV6, IPV6_MTU)
    if now != first:
        break
    time.sleep(0.01)
print(first, now)
client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) # takes what the error has left
client.send(bytes(1401))
"#;

#[test]
fn d10_an_mtu_of_1400_on_the_internet_is_one_of_1420_here() {
    let host = Host::start();
    let up = up(&host, "d10");
    let server = python(&up, "partner.example", NARROW);
    assert_eq!(server.hear(), "ready");
    assert_eq!(up.says("app", &["python3", "-c", LEARN]), "9001 1420\n");
    // The second one comes too, in fragments of the client's making.
    assert_eq!((server.hear(), server.hear()), ("1400".into(), "1401".into()));
    assert_eq!(up.json("drops").to_string(), "[]");
}

#[test]
fn d11_a_ping_is_answered() {
    let host = Host::start();
    let up = up(&host, "d11");
    // By a kernel, and by a host that is built in.
    for address in [PARTNER, "64:ff9b::203.0.113.80"] {
        let said = tried(&up, "app", &["ping", "-6", "-c", "2", "-i", "0.2", "-W", "2", address]);
        assert!(said.out.contains(" 0% packet loss"), "{said:?}");
    }
    let said = tried(&up, "app", &["traceroute", "-6", "-n", "-q", "1", "-N", "1", PARTNER]);
    let hops: Vec<&str> =
        said.out.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(
        hops,
        ["64:ff9b::a00:dc", PARTNER],
        "the gateway shows its private address: {said:?}"
    );
}

#[test]
fn d12_after_351_s_of_silence_the_client_is_reset() {
    let host = Host::start();
    let up = up(&host, "d12");
    let there = format!("[{PARTNER}]");
    let mut lives = Conversation::between(&up, "app", "partner.example", &there, 5000);
    up.advance("349s");
    lives.exchange("in time");
    up.advance("351s");
    lives.server.say("to nobody");
    wait_until("a drop", 5, || up.dropped("NAT_UNSOLICITED") > 0);
    lives.client.say("too late");
    assert_eq!(lives.client.hear(), "error ConnectionReset");
    assert_eq!(up.dropped("NAT_IDLE_TIMEOUT"), 1);
    assert_eq!(
        lives.server.hear_within(Duration::from_millis(300)),
        None,
        "nobody tells the server"
    );
}

#[test]
fn r7_nobody_gets_in_by_an_egress_only_gateway_and_anybody_by_an_internet_gateway() {
    let host = Host::start();
    let up = Up::start(&host, &topology("egress-only.yaml"), "r7", &[]);
    let (web, app) = ("2600:1f18:1234:5601::10", "2600:1f18:1234:5602::10");
    let said = tried(&up, "visitor.example", &["nc", "-z", "-w", "2", app, "80"]);
    assert_eq!(said.status, 1, "{said:?}");
    assert!(!said.err.contains("refused"), "nothing tells: {said:?}");
    assert!(up.dropped("EIGW_UNSOLICITED") > 0, "{}", up.json("drops"));
    let _ = Conversation::between(&up, "visitor.example", "web", &format!("[{web}]"), 80);
    // What the inside begins is answered, untranslated.
    let _ = Conversation::between(&up, "app", "visitor.example", "[2001:db8:90::90]", 80);
    let seen = up.says("app", &["curl", "-s", "-m", "5", "http://[2001:db8:80::80]/"]);
    assert_eq!(seen.trim(), app);
}
