//! Security groups as real sockets meet them (AWS "Amazon EC2 security group connection tracking"):
//! what is tracked, for how long, and what an `apply` does to live connections.
#![expect(clippy::unwrap_used, reason = "a test says by a panic that its promise is broken")]

use std::path::PathBuf;
use std::time::Duration;

use integration::agent::{Answer, Probe};
use integration::{Agent, Conversation, Host, Talker, Up, output, peer, wait_until};

const SERVER: &str = "10.0.0.10";
const SERVER_PUBLIC: &str = "198.51.100.20";
const PARTNER: &str = "203.0.113.90";

/// Rules that allow everything to or from everywhere.
const EVERYTHING: &str = "{protocol: all, source: 0.0.0.0/0}";
const TO_EVERYWHERE: &str = "{protocol: all, destination: 0.0.0.0/0}";
/// What `partner.example` needs to reach `server`.
const FROM_PARTNER: &str = "{protocol: tcp, ports: 5000, source: 203.0.113.90/32}";
const FROM_EVERYWHERE: &str = "{protocol: tcp, ports: 5000, source: 0.0.0.0/0}";

/// A topology: `server` and `web` have public addresses, `app` is behind a NAT gateway.
#[derive(Clone, Copy)]
struct Rules<'a> {
    /// Of group `server`, which the interface has.
    server: (&'a str, &'a str),
    /// Of group `client`, which `web` and `app` have.
    client: (&'a str, &'a str),
    /// The group that the interface `server` has: `open` allows everything, `shut` nothing.
    group: &'a str,
    /// Of the public subnet's ACL, before its rule that allows all.
    acl_egress: &'a str,
    profile: &'a str,
}

const RULES: Rules<'_> = Rules {
    server: ("", ""),
    client: ("", TO_EVERYWHERE),
    group: "server",
    acl_egress: "",
    profile: "",
};

impl Rules<'_> {
    fn text(&self) -> String {
        let Self { server, client, group, acl_egress, profile } = self;
        let all = |peer| format!("{{rule: 100, action: allow, protocol: all, {peer}: 0.0.0.0/0}}");
        let (from_all, to_all) = (all("source"), all("destination"));
        let acl_egress = if acl_egress.is_empty() { "" } else { &format!("{acl_egress}, ") };
        format!(
            "
vpcs: {{main: {{cidr_block: 10.0.0.0/16}}}}
internet_gateways: {{igw: {{vpc: main}}}}
subnets:
  public-a: {{vpc: main, cidr_block: 10.0.0.0/24, route_table: public, network_acl: public}}
  private-a: {{vpc: main, cidr_block: 10.0.1.0/24, route_table: private}}
route_tables:
  public: {{vpc: main, routes: [{{destination: 0.0.0.0/0, target: igw}}]}}
  private: {{vpc: main, routes: [{{destination: 0.0.0.0/0, target: nat-a}}]}}
nat_gateways:
  nat-a: {{subnet: public-a, private_ip: 10.0.0.220, public_ips: [198.51.100.10]}}
network_acls:
  public: {{vpc: main, ingress: [{from_all}], egress: [{acl_egress}{to_all}]}}
security_groups:
  server: {{vpc: main, ingress: [{}], egress: [{}]}}
  client: {{vpc: main, ingress: [{}], egress: [{}]}}
  open: {{vpc: main, ingress: [{EVERYTHING}], egress: [{TO_EVERYWHERE}]}}
  shut: {{vpc: main, egress: []}}
network_interfaces:
  server: {{subnet: public-a, private_ip: {SERVER}, public_ip: {SERVER_PUBLIC}, security_groups: [{group}]}}
  web: {{subnet: public-a, private_ip: 10.0.0.11, public_ip: 198.51.100.21, security_groups: [client]}}
  app: {{subnet: private-a, private_ip: 10.0.1.10, security_groups: [client]}}
internet: {{hosts: {{partner.example: {{addresses: [{PARTNER}]}}}}}}
profile: {{{profile}}}
",
            server.0, server.1, client.0, client.1
        )
    }
}

/// A topology file, gone with the test.
struct File(PathBuf);

impl File {
    fn new(name: &str, rules: &Rules<'_>) -> Self {
        let file = format!("groups-{name}-{}.yaml", std::process::id());
        let file = Self(std::env::temp_dir().join(file));
        file.write(rules);
        file
    }

    fn write(&self, rules: &Rules<'_>) {
        std::fs::write(&self.0, rules.text()).unwrap();
    }

    fn apply(&self, up: &Up<'_>, rules: &Rules<'_>) {
        self.write(rules);
        let said = output(up.hypertun(&["apply"]).arg(&self.0)).success();
        assert_ne!(said, "nothing has changed\n");
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A TCP connection that has carried a line each way.
fn connection(up: &Up<'_>, from: &str, to: (&str, &str)) -> (Talker, Talker) {
    let Conversation { client, server } = Conversation::between(up, from, to.0, to.1, 5000);
    (client, server)
}

/// Both ends of datagrams from `server` to `partner.example`, where one has arrived.
fn datagrams(up: &Up<'_>) -> (Talker, Talker) {
    let mut partner = up.talker("partner.example", &["dialogue", "udp-listen", "5000"]);
    assert_eq!(partner.hear(), "ready");
    let mut server = up.talker("server", &["dialogue", "udp-to", &format!("{PARTNER}:5000")]);
    assert_eq!(server.hear(), "ready");
    exchange(&mut server, &mut partner, "request");
    (server, partner)
}

fn exchange(from: &mut Talker, to: &mut Talker, line: &str) {
    from.say(line);
    assert_eq!(to.hear(), format!("got {line}"));
}

/// What `from` says is dropped for `reason`, and does not arrive.
fn lost(up: &Up<'_>, from: &mut Talker, to: &Talker, reason: &str) {
    let before = up.dropped(reason);
    from.say("lost");
    wait_until("a drop", 5, || up.dropped(reason) > before);
    assert_eq!(to.hear_within(Duration::from_millis(300)), None);
}

const MISMATCH: &str = "ENI_SG_RULES_MISMATCH";
const ACL: &str = "SUBNET_ACL_RESTRICTION";

/// Connections that the groups of an interface track.
fn tracked(up: &Up<'_>, name: &str) -> u64 {
    let status = up.json("status");
    let interfaces = status["network_interfaces"].as_array().unwrap();
    interfaces.iter().find(|it| it["name"] == name).unwrap()["tracked"].as_u64().unwrap()
}

fn probe(protocol: &str, to: &str, port: u16) -> Probe {
    Probe { protocol: protocol.to_owned(), to: to.parse().unwrap(), port, source_port: 40_000 }
}

fn ask(agent: &mut Agent, probe: Probe) -> Answer {
    agent.send(vec![probe]);
    agent.answers().pop().unwrap()
}

#[test]
fn s1_s3_tracked_connection_outlives_its_rule_and_ends_with_an_acl() {
    let host = Host::start();
    let rules = Rules { server: (FROM_PARTNER, TO_EVERYWHERE), ..RULES };
    let file = File::new("s1", &rules);
    let up = Up::start(&host, &file.0, "s1", &[]);
    let (mut client, mut server) = connection(&up, "partner.example", ("server", SERVER_PUBLIC));
    assert_eq!(tracked(&up, "server"), 1);

    let none = Rules { server: ("", ""), ..RULES };
    file.apply(&up, &none);
    exchange(&mut client, &mut server, "without a rule");
    exchange(&mut server, &mut client, "nor for the answer");
    up.advance("345600s");
    exchange(&mut client, &mut server, "kept alive");
    up.advance("345600s");
    exchange(&mut client, &mut server, "kept alive again");

    let deny =
        "{rule: 10, action: deny, protocol: tcp, ports: 1024-65535, destination: 203.0.113.90/32}";
    file.apply(&up, &Rules { acl_egress: deny, ..none });
    lost(&up, &mut server, &client, ACL);
}

#[test]
fn s2_untracked_connection_ends_with_its_rule() {
    let host = Host::start();
    let rules = Rules { server: (FROM_EVERYWHERE, TO_EVERYWHERE), ..RULES };
    let file = File::new("s2", &rules);
    let up = Up::start(&host, &file.0, "s2", &[]);
    let (mut client, mut server) = connection(&up, "partner.example", ("server", SERVER_PUBLIC));
    assert_eq!(tracked(&up, "server"), 0);
    let flows = up.json("flows");
    assert_eq!(flows[0]["facets"].to_string(), "[]", "nobody remembers it: {flows}");

    file.apply(&up, &Rules { server: ("", TO_EVERYWHERE), ..RULES });
    lost(&up, &mut client, &server, MISMATCH);
    // Nothing that the server sends brings it back.
    server.say("still allowed out");
    lost(&up, &mut client, &server, MISMATCH);
    assert_eq!(tracked(&up, "server"), 0);
}

#[test]
fn s3_untracked_connection_ends_with_an_acl() {
    let host = Host::start();
    let rules = Rules { server: (FROM_EVERYWHERE, TO_EVERYWHERE), ..RULES };
    let file = File::new("s3", &rules);
    let up = Up::start(&host, &file.0, "s3", &[]);
    let (mut client, mut server) = connection(&up, "partner.example", ("server", SERVER_PUBLIC));
    let deny =
        "{rule: 10, action: deny, protocol: tcp, ports: 1024-65535, destination: 203.0.113.90/32}";
    file.apply(&up, &Rules { acl_egress: deny, ..rules });
    lost(&up, &mut server, &client, ACL);
    file.apply(&up, &rules);
    assert_eq!(client.hear(), "got lost", "TCP sends it again");
    exchange(&mut client, &mut server, "as before");
}

#[test]
fn s4_connection_through_a_nat_gateway_is_tracked_whatever_the_rules() {
    let host = Host::start();
    let rules = Rules { client: (EVERYTHING, TO_EVERYWHERE), ..RULES };
    let file = File::new("s4", &rules);
    let up = Up::start(&host, &file.0, "s4", &[]);
    let (mut client, mut server) = connection(&up, "app", ("partner.example", PARTNER));
    assert_eq!(tracked(&up, "app"), 1);
    file.apply(&up, &Rules { client: ("", ""), ..RULES });
    exchange(&mut client, &mut server, "tracked");
    exchange(&mut server, &mut client, "answered");
    let mut agent = Agent::start(&up, "app");
    assert_eq!(ask(&mut agent, probe("tcp", PARTNER, 5001)), Answer::Silence);
}

#[test]
fn s1_tracked_connection_is_ended_by_open_rules_and_then_none() {
    let host = Host::start();
    let rules = Rules { server: (FROM_PARTNER, TO_EVERYWHERE), ..RULES };
    let file = File::new("isolate", &rules);
    let up = Up::start(&host, &file.0, "isolate", &[]);
    let (mut client, mut server) = connection(&up, "partner.example", ("server", SERVER_PUBLIC));
    assert_eq!(tracked(&up, "server"), 1);
    file.apply(&up, &Rules { server: (EVERYTHING, TO_EVERYWHERE), ..RULES });
    exchange(&mut client, &mut server, "untracked from here on");
    assert_eq!(tracked(&up, "server"), 0);
    file.apply(&up, &Rules { server: ("", ""), ..RULES });
    lost(&up, &mut client, &server, MISMATCH);
    lost(&up, &mut server, &client, MISMATCH);
}

#[test]
fn s1_tracked_connection_outlives_its_groups_and_is_ended_by_open_ones_and_then_none() {
    let host = Host::start();
    let rules = Rules { server: (FROM_PARTNER, TO_EVERYWHERE), ..RULES };
    let file = File::new("switch", &rules);
    let up = Up::start(&host, &file.0, "switch", &[]);
    let (mut client, mut server) = connection(&up, "partner.example", ("server", SERVER_PUBLIC));
    file.apply(&up, &Rules { group: "shut", ..rules });
    exchange(&mut client, &mut server, "still tracked");
    exchange(&mut server, &mut client, "both ways");
    file.apply(&up, &Rules { group: "open", ..rules });
    exchange(&mut client, &mut server, "untracked from here on");
    assert_eq!(tracked(&up, "server"), 0);
    file.apply(&up, &Rules { group: "shut", ..rules });
    lost(&up, &mut client, &server, MISMATCH);
    lost(&up, &mut server, &client, MISMATCH);
}

#[test]
fn s5_udp_reply_after_31s_outbound_only_is_dropped() {
    let host = Host::start();
    let file = File::new("s5", &Rules { server: ("", TO_EVERYWHERE), ..RULES });
    let up = Up::start(&host, &file.0, "s5", &[]);
    let (mut server, mut partner) = datagrams(&up);
    up.advance("29s");
    exchange(&mut partner, &mut server, "in time");
    up.advance("31s");
    lost(&up, &mut partner, &server, MISMATCH);
}

#[test]
fn s6_udp_stream_lives_through_100s_of_silence_and_not_181s() {
    let host = Host::start();
    let file = File::new("s6", &Rules { server: ("", TO_EVERYWHERE), ..RULES });
    let up = Up::start(&host, &file.0, "s6", &[]);
    let (mut server, mut partner) = datagrams(&up);
    exchange(&mut partner, &mut server, "response");
    exchange(&mut server, &mut partner, "second request");
    exchange(&mut partner, &mut server, "second response");
    up.advance("100s");
    exchange(&mut partner, &mut server, "a stream");
    up.advance("181s");
    lost(&up, &mut partner, &server, MISMATCH);
}

#[test]
fn s7_tcp_data_after_351s_is_dropped_on_nitro_v6_alone() {
    let out = ("", "{protocol: tcp, ports: 5000, destination: 203.0.113.90/32}");
    for (platform, is_lost) in [("nitro", false), ("nitro-v6", true)] {
        let host = Host::start();
        let profile = format!("platform: {platform}");
        let file = File::new(platform, &Rules { server: out, profile: &profile, ..RULES });
        let up = Up::start(&host, &file.0, platform, &[]);
        let (mut server, mut partner) = connection(&up, "server", ("partner.example", PARTNER));
        up.advance("349s");
        exchange(&mut partner, &mut server, "in time");
        up.advance("351s");
        if is_lost {
            lost(&up, &mut partner, &server, MISMATCH);
        } else {
            exchange(&mut partner, &mut server, "days are left");
        }
    }
}

#[test]
fn s8_s9_reference_matches_private_addresses_and_not_public_ones_nor_nat() {
    let host = Host::start();
    let ingress = "{protocol: tcp, ports: 5000-5001, source: client}";
    let file = File::new("s8", &Rules { server: (ingress, TO_EVERYWHERE), ..RULES });
    let up = Up::start(&host, &file.0, "s8", &[]);
    for client in ["web", "app"] {
        let mut agent = Agent::start(&up, client);
        assert_eq!(ask(&mut agent, probe("tcp", SERVER, 5000)), Answer::Answered, "{client}");
        let before = up.dropped(MISMATCH);
        let by_public = ask(&mut agent, probe("tcp", SERVER_PUBLIC, 5001));
        assert_eq!(by_public, Answer::Silence, "{client}");
        assert!(up.dropped(MISMATCH) > before);
    }
}

#[test]
fn s10_beyond_the_allowance_tracked_flows_are_dropped_and_untracked_ones_are_not() {
    for workers in ["1", "2"] {
        let host = Host::start();
        let narrow = "{protocol: udp, ports: 4000, destination: 203.0.113.90/32}";
        let profile = "tracking_connections: 40";
        let rules =
            Rules { server: ("", narrow), client: (EVERYTHING, TO_EVERYWHERE), profile, ..RULES };
        let file = File::new(&format!("s10-{workers}"), &rules);
        let up = Up::start(&host, &file.0, "s10", &["--workers", workers]);
        let mut sink = up.talker("partner.example", &["sink", "--port", "4000"]);
        assert_eq!(sink.hear(), "ready");
        let sent = |from: &str, first: &str| {
            let mut command = up.exec(from, peer());
            command.args(["datagrams", "--to", &format!("{PARTNER}:4000")]);
            command.args(["--first-port", first, "--count", "100"]);
            let _ = output(&mut command).success();
        };
        let mut sources = || {
            sink.say("how many?");
            sink.hear().parse::<u64>().unwrap()
        };
        sent("server", "20000");
        let exceeded = || up.dropped("CONNTRACK_ALLOWANCE_EXCEEDED");
        wait_until("60 drops", 5, || exceeded() == 60);
        wait_until("40 arrivals", 5, || sources() == 40);
        assert_eq!(tracked(&up, "server"), 40);
        sent("web", "30000");
        wait_until("100 more", 5, || sources() == 140);
        assert_eq!((exceeded(), tracked(&up, "web")), (60, 0));

        up.advance("31s");
        assert_eq!(tracked(&up, "server"), 0);
        sent("server", "21000");
        wait_until("40 others", 5, || sources() == 180);
    }
}

#[test]
fn s11_gre_is_answered_within_600s_and_not_after() {
    let host = Host::start();
    let file = File::new("s11", &Rules { server: ("", TO_EVERYWHERE), ..RULES });
    let up = Up::start(&host, &file.0, "s11", &[]);
    let [mut server, mut partner] =
        [("server", PARTNER), ("partner.example", SERVER_PUBLIC)].map(|(member, to)| {
            let script = ["-c", include_str!("raw.py"), "47", to];
            let talker = Talker::start(up.exec(member, "python3").args(script));
            assert_eq!(talker.hear(), "ready");
            talker
        });
    lost(&up, &mut partner, &server, MISMATCH);
    exchange(&mut server, &mut partner, "out");
    up.advance("599s");
    exchange(&mut partner, &mut server, "in time");
    up.advance("601s");
    lost(&up, &mut partner, &server, MISMATCH);
}

#[test]
fn s14_s15_ping_is_answered_without_a_rule_and_not_past_an_acl() {
    let host = Host::start();
    let rules =
        Rules { server: ("{protocol: icmp, type: 8, source: 203.0.113.0/24}", ""), ..RULES };
    let file = File::new("s14", &rules);
    let up = Up::start(&host, &file.0, "s14", &[]);
    let mut partner = Agent::start(&up, "partner.example");
    let mut server = Agent::start(&up, "server");
    assert_eq!(ask(&mut partner, probe("icmp", SERVER_PUBLIC, 0)), Answer::Answered);
    assert_eq!(server.seen().len(), 1);

    let deny = "{rule: 10, action: deny, protocol: icmp, destination: 203.0.113.0/24}";
    file.apply(&up, &Rules { acl_egress: deny, ..rules });
    assert_eq!(ask(&mut partner, probe("icmp", SERVER_PUBLIC, 0)), Answer::Silence);
    assert_eq!(server.seen().len(), 1, "the request was accepted");
    assert_eq!((up.dropped(ACL), up.dropped(MISMATCH)), (1, 0));
}

#[test]
fn s16_blocked_syn_is_met_with_silence_and_an_allowed_one_with_a_refusal() {
    let host = Host::start();
    let file = File::new("s16", &Rules { server: (FROM_PARTNER, ""), ..RULES });
    let up = Up::start(&host, &file.0, "s16", &[]);
    let mut partner = Agent::start(&up, "partner.example");
    assert_eq!(ask(&mut partner, probe("tcp", SERVER_PUBLIC, 5001)), Answer::Silence);
    assert_eq!(ask(&mut partner, probe("tcp", SERVER_PUBLIC, 5000)), Answer::Answered);
    assert!(up.dropped(MISMATCH) > 0);
}
