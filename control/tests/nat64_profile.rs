//! Does `profile.nat64` make of a NAT gateway the translator that it describes? Files are compiled, and headers judged
//! as those of live packets are; bytes are held by `integration/tests/rfc7915.rs`.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use control::check::{self, Checked};
use control::compile::{self, Compiled, FIRST_EPOCH, Names, Passing};
use control::explain::{self, Question};
use dataplane::packet::{Addr, Answer, Key, LinkId, Reason};
use dataplane::path::admit::{Headers, Refusal, admit};
use dataplane::shared::{Shared, WorkerId};
use dataplane::state::Shard;
use dataplane::tables::Tables;
use dataplane::wire::protocol::{ICMP, ICMPV6, TCP, UDP};
use dataplane::wire::tcp::flags::{ACK, FIN, SYN};

/// A topology of the conformance suite, with texts replaced.
fn text(file: &str, replaced: &[(&str, &str)]) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../integration/rfc7915");
    let text = std::fs::read_to_string(folder.join(file)).expect("part of the repository");
    replaced.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    })
}

fn checked(text: &str) -> Checked {
    check::read(text, "test.yaml").unwrap_or_else(|report| panic!("{report}")).topology
}

const AWS: (&str, &str) = ("rules: rfc", "rules: aws");
const POOL: &str = "192.0.2.2";
const HOST: &str = "2001:db8:3::5";

/// A running data plane, without packets.
struct World {
    tables: Tables,
    shard: Shard,
    six: LinkId,
    four: LinkId,
}

/// Where a packet comes out, from and to which end; or why it does not, and what is told.
type Judged = Result<(LinkId, End, End), (Reason, Answer)>;
type End = (Addr, u16);

impl World {
    fn stateful(replaced: &[(&str, &str)]) -> Self {
        let topology = checked(&text("stateful.yaml", replaced));
        let mut names = Names::default();
        let Compiled { tables, ids } =
            compile::compile(&topology, Passing::default(), &mut names, FIRST_EPOCH)
                .expect("a few ids");
        let (six, four) = (ids.eni_links[0], ids.host_links[0]);
        let shard = Shard::new(WorkerId(0), Arc::new(Shared::default()), 64, 1);
        Self { tables, shard, six, four }
    }

    fn judge(&mut self, link: LinkId, protocol: u8, (from, to): (End, End), flags: u8) -> Judged {
        let key = Key::new(link, protocol, from, to);
        let selector = match protocol {
            ICMP => 8 << 8,
            ICMPV6 => 128 << 8,
            _ => to.1,
        };
        let headers =
            Headers { key, selector, tcp_flags: flags, error: None, fragment: false, packets: 1 };
        let hash = self.shard.flows.hash(&key);
        match admit(&headers, hash, &mut self.shard, &self.tables, &mut ()) {
            Ok(admitted) => {
                let opposite = admitted.direction.opposite();
                let back = self.shard.flows.key(admitted.flow, opposite).expect("it was admitted");
                Ok((back.link, (back.dst, back.dst_port()), (back.src, back.src_port())))
            }
            Err(Refusal::Denied(denial)) => Err((denial.reason, denial.answer)),
            Err(other) => panic!("{other:?}"),
        }
    }

    /// From the IPv6 host, from a port to an IPv4 host; the port that this one sees.
    fn out(&mut self, protocol: u8, port: u16, to: (&str, u16), flags: u8) -> Result<u16, Reason> {
        let remote = v6(&format!("64:ff9b::{}", to.0));
        let judged = self.judge(self.six, protocol, ((v6(HOST), port), (remote, to.1)), flags);
        let (link, from, arrived) = judged.map_err(|(reason, _)| reason)?;
        assert_eq!((link, from.0, arrived), (self.four, v4(POOL), (v4(to.0), to.1)));
        Ok(from.1)
    }

    /// From an IPv4 host to a port of the pool; the port of the IPv6 host that it comes to.
    fn back(
        &mut self,
        protocol: u8,
        from: (&str, u16),
        port: u16,
        flags: u8,
    ) -> Result<u16, Reason> {
        let judged =
            self.judge(self.four, protocol, ((v4(from.0), from.1), (v4(POOL), port)), flags);
        let (link, sender, arrived) = judged.map_err(|(reason, _)| reason)?;
        let expected = (v6(&format!("64:ff9b::{}", from.0)), from.1);
        assert_eq!((link, sender, arrived.0), (self.six, expected, v6(HOST)));
        Ok(arrived.1)
    }

    fn wait(&mut self, seconds: u64) {
        self.shard.stamp(self.shard.elapsed() + Duration::from_secs(seconds));
        let timers = self.tables.timers.clone();
        while !self.shard.expire(&timers) {}
    }
}

fn v6(text: &str) -> Addr {
    text.parse::<Ipv6Addr>().expect("an address").octets().into()
}

fn v4(text: &str) -> Addr {
    text.parse::<Ipv4Addr>().expect("an address").into()
}

const SERVER: (&str, u16) = ("203.0.113.90", 80);
const OTHER: (&str, u16) = ("203.0.113.91", 81);

#[test]
fn by_the_rfc_a_port_is_the_same_to_all_and_anybody_may_answer() {
    let mut world = World::stateful(&[]);
    let port = world.out(UDP, 40_000, SERVER, 0).unwrap();
    assert!((1..=3000).contains(&port));
    assert_eq!(world.out(UDP, 40_000, OTHER, 0), Ok(port), "RFC 6146 s. 3.1: one binding");
    assert_ne!(world.out(UDP, 40_001, SERVER, 0), Ok(port));
    assert_eq!(world.back(UDP, ("203.0.113.91", 9), port, 0), Ok(40_000), "s. 3.5.1: a third end");
    assert_eq!(
        world.back(TCP, OTHER, port, SYN),
        Err(Reason::NatUnsolicited),
        "of another protocol"
    );
}

#[test]
fn by_aws_s_rules_each_destination_has_a_mapping_of_its_own() {
    let mut world = World::stateful(&[AWS]);
    let port = world.out(UDP, 40_000, SERVER, 0).unwrap();
    assert!((1..=3000).contains(&port));
    assert_ne!(world.out(UDP, 40_000, OTHER, 0), Ok(port), "one in 3000, of this seed");
    assert_eq!(world.back(UDP, SERVER, port, 0), Ok(40_000));
    assert_eq!(world.back(UDP, ("203.0.113.91", 9), port, 0), Err(Reason::NatUnsolicited));
}

#[test]
fn what_is_bound_for_good_is_reached_from_outside_and_lent_to_nobody() {
    for rules in [AWS, ("rules: rfc", "rules: rfc")] {
        let mut world = World::stateful(&[rules, ("ports: 1-3000", "ports: 2100-2101")]);
        assert_eq!(world.back(UDP, OTHER, 2100, 0), Ok(2000));
        assert_eq!(world.back(TCP, OTHER, 2100, SYN), Ok(2000));
        assert_eq!(world.out(TCP, 2000, OTHER, SYN | ACK), Ok(2100), "the answer");
        assert_eq!(world.out(UDP, 40_000, SERVER, 0), Ok(2101), "the only other one");
        assert_eq!(world.out(UDP, 40_001, SERVER, 0), Err(Reason::NatPortAllocation));
        assert_eq!(world.back(UDP, OTHER, 1999, 0), Err(Reason::NatUnsolicited));
    }
}

#[test]
fn an_echo_is_bound_by_its_identifier_whoever_asks() {
    let mut world = World::stateful(&[]);
    let server = (v4(SERVER.0), 99);
    let (link, from, to) = world.judge(world.four, ICMP, (server, (v4(POOL), 0)), 0).unwrap();
    assert_eq!((link, from.1, to), (world.six, 77, (v6(HOST), 0)));
    assert_eq!(world.out(ICMPV6, 77, (SERVER.0, 0), 0), Ok(99));
}

#[test]
fn by_the_rfc_a_binding_lasts_as_long_as_rfc_6146_has_it() {
    let lasts = |protocol, packets: &[(bool, u8)], seconds: u64| {
        for (waits, expected) in [(seconds - 2, true), (seconds + 2, false)] {
            let mut world = World::stateful(&[]);
            let mut port = 0;
            for &(out, flags) in packets {
                if out {
                    port = world.out(protocol, 40_000, SERVER, flags).unwrap();
                } else {
                    world.back(protocol, SERVER, port, flags).unwrap();
                }
            }
            world.wait(waits);
            let found = world.back(protocol, ("203.0.113.91", 9), port, SYN);
            assert_eq!(found.is_ok(), expected, "{protocol}, after {waits} s: {found:?}");
        }
    };
    lasts(UDP, &[(true, 0)], 300);
    lasts(TCP, &[(true, SYN)], 240);
    let handshake = [(true, SYN), (false, SYN | ACK), (true, ACK)];
    lasts(TCP, &handshake, 7440);
    let ends = [(true, FIN | ACK), (false, FIN | ACK)];
    lasts(TCP, &[&handshake[..], &ends[..1]].concat(), 240);
    lasts(TCP, &[&handshake[..], &ends[..]].concat(), 240);
}

#[test]
fn a_segment_of_no_connection_is_reset_by_aws_s_rules_alone() {
    for (replaced, resets) in [(&[][..], false), (&[AWS][..], true)] {
        let mut world = World::stateful(replaced);
        let ends = ((v6(HOST), 40_000), (v6("64:ff9b::203.0.113.90"), 80));
        let (reason, answer) = world.judge(world.six, TCP, ends, ACK).unwrap_err();
        assert_eq!(reason, Reason::NatIdleTimeout);
        assert_eq!(
            matches!(answer, Answer::Reset { .. }),
            resets,
            "RFC 6146 s. 3.5.2.2: {answer:?}"
        );
    }
}

#[test]
fn a_source_that_has_nothing_outside_gets_nowhere() {
    let mut world = World::stateful(&[]);
    let server = (v6("64:ff9b::203.0.113.90"), 80);
    // RFC 6146 s. 3.5: what pretends to come from IPv4.
    let ends = ((v6("64:ff9b::203.0.113.91"), 9), server);
    let (reason, _) = world.judge(world.six, UDP, ends, 0).unwrap_err();
    assert_eq!(reason, Reason::SourceDestCheck);
    for protocol in [47, 132] {
        assert_eq!(world.out(protocol, 0, (SERVER.0, 0), 0), Err(Reason::ProtocolRestricted));
    }
}

#[test]
fn explain_walks_through_a_translator_as_packets_do() {
    let prefix = ("64:ff9b::/96", "3fff:4:122:300::/56");
    let topology = checked(&text("stateless.yaml", &[prefix]));
    let to = "3fff:4:122:3cb:0:715a::".to_owned();
    let question =
        Question { from: "six".to_owned(), to, protocol: TCP, port: 80, source_port: 40_000 };
    let walked = explain::explain(&topology, &question).expect("all of it has a name");
    assert!(walked.is_answered(), "{walked:?}");
    let out = walked.packet_out.expect("it was delivered");
    assert_eq!((&*out.src, &*out.dst), ("1.0.0.5:40000", "203.0.113.90:80"));
    let hops = walked.hops.iter().map(|hop| format!("{} {}", hop.component, hop.verdict));
    let hops: Vec<_> = hops.collect();
    assert!(hops.contains(&"nat-gateway:nat-a translate".to_owned()), "{hops:?}");
    assert!(hops.contains(&"internet-gateway:igw forward".to_owned()), "no second one: {hops:?}");
    let question = Question { to: "four".to_owned(), ..question };
    let error = explain::explain(&topology, &question).expect_err("of the other family");
    assert!(error.to_string().contains("by NAT64, four is 3fff:4:122:3cb:0:715a::"), "{error}");
}

#[test]
fn routes_of_a_translator_s_own_prefix_and_of_its_mappings_are_no_faults() {
    let route = r#"{destination: "64:ff9b::/96", target: nat-a}"#;
    let routed = |block: &str| {
        let more = format!("{route}\n      - {{destination: \"{block}\", target: nat-a}}");
        let mappings = (
            "ipv4: 1.0.0.0/24}",
            "ipv4: 1.0.0.0/24}\n      - {ipv6: \"3fff::/64\", ipv4: 1.0.1.0/24}",
        );
        let text = text("stateless.yaml", &[(route, &more), mappings]);
        check::read(&text, "test.yaml").err().map(|report| report.to_string())
    };
    assert_eq!(routed("3fff::/64"), None);
    let fault = routed("3fff:1::/64").expect("neither its prefix nor a mapping");
    assert!(fault.contains("a route to 3fff:1::/64 by a NAT gateway"), "{fault}");
}
