//! Does `explain` say of IPv6 what AWS does: by routes and rules of its own, untranslated, and out only where that is meant?

use std::path::Path;

use control::check::{self, Checked};
use control::explain::{self, Question, Walked};

/// Protocol numbers.
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;

fn text(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../topologies").join(file);
    std::fs::read_to_string(path).expect("part of the repository")
}

fn example(file: &str) -> Checked {
    inline(&text(file))
}

fn inline(text: &str) -> Checked {
    check::read(text, "test.yaml").unwrap_or_else(|report| panic!("{report}")).topology
}

fn try_ask(
    topology: &Checked,
    from: &str,
    to: &str,
    protocol: u8,
    port: u16,
) -> Result<Walked, explain::Error> {
    let (from, to) = (from.to_owned(), to.to_owned());
    explain::explain(topology, &Question { from, to, protocol, port, source_port: 40_000 })
}

fn ask(topology: &Checked, from: &str, to: &str, protocol: u8, port: u16) -> Walked {
    try_ask(topology, from, to, protocol, port).unwrap_or_else(|error| panic!("{error}"))
}

/// The reason, or that request and answer arrive.
fn verdict(walked: &Walked) -> &str {
    match walked.reason {
        Some(reason) => reason,
        None if walked.is_answered() => "answered",
        None => "the answer is lost",
    }
}

fn all(file: &str, questions: &[(&str, &str, u16, &str)]) {
    let topology = example(file);
    for &(from, to, port, expected) in questions {
        let walked = ask(&topology, from, to, TCP, port);
        assert_eq!(verdict(&walked), expected, "{file}: {from} to {to}, port {port}");
    }
}

const CHECKIP: &str = "2001:db8:80::80";
const WEB: &str = "2600:1f18:1234:5601::10";
/// The first address that a subnet gives.
const OLD: &str = "2600:1f18:1234:5601::4";
const DB: &str = "2600:1f18:1234:5602::4";

#[test]
fn each_family_has_rules_and_routes_of_its_own() {
    all(
        "dual-stack.yaml",
        &[
            ("visitor.example", WEB, 80, "answered"),
            ("visitor.example", "198.51.100.20", 80, "answered"),
            ("visitor.example", "198.51.100.21", 80, "answered"),
            ("visitor.example", OLD, 80, "ENI_SG_RULES_MISMATCH"),
            ("visitor.example", WEB, 22, "ENI_SG_RULES_MISMATCH"),
            ("web", CHECKIP, 80, "answered"),
            ("old", CHECKIP, 80, "answered"),
            ("web", DB, 5432, "answered"),
            ("web", "10.0.1.20", 5432, "answered"),
            ("old", DB, 5432, "ENI_SG_RULES_MISMATCH"),
            ("db", CHECKIP, 80, "NO_ROUTE_TO_DESTINATION"),
            ("db", "203.0.113.80", 80, "NO_ROUTE_TO_DESTINATION"),
            ("web", "2001:db8:ffff::1", 80, "NO_PATH"),
            ("web", "2600:1f18:1234:5601::ffff", 80, "NO_PATH"),
            ("web", "ff02::1", 80, "MULTICAST_UNSUPPORTED"),
            (
                "visitor.example",
                "2600:1f18:1234:5601::1",
                80,
                "IGW_PRIVATE_IP_ASSOCIATION_FOR_INGRESS",
            ),
        ],
    );
}

#[test]
fn an_internet_gateway_translates_no_ipv6_and_addresses_are_written_in_brackets() {
    let walked = ask(&example("dual-stack.yaml"), "web", CHECKIP, TCP, 80);
    let hops: Vec<_> = walked
        .hops
        .iter()
        .map(|hop| format!("{} {} {}", hop.verdict, hop.stage, hop.component))
        .collect();
    assert_eq!(
        hops,
        [
            "allow source-dest-check eni:web",
            "allow security-group-egress security-group:web",
            "forward route route-table:public",
            "allow network-acl-egress network-acl:default",
            "forward gateway internet-gateway:igw",
            "allow deliver internet-host:checkip.amazonaws.com",
        ]
    );
    assert_eq!(walked.hops[2].rule.as_deref(), Some("::/0"));
    assert_eq!(walked.hops[3].rule.as_deref(), Some("101"));
    let out = walked.packet_out.unwrap();
    assert_eq!(
        (out.src.as_str(), out.dst.as_str()),
        ("[2600:1f18:1234:5601::10]:40000", "[2001:db8:80::80]:80")
    );
    let reply = walked.reply.unwrap();
    assert!(
        reply
            .hops
            .iter()
            .any(|hop| hop.component == "internet-gateway:igw" && hop.verdict == "forward")
    );
}

#[test]
fn a_name_means_its_ipv4_address_first_and_what_both_ends_have() {
    let topology = example("dual-stack.yaml");
    let means = |from: &str, to: &str| ask(&topology, from, to, TCP, 80).packet_in.dst;
    assert_eq!(means("web", "checkip.amazonaws.com"), "203.0.113.80:80");
    assert_eq!(means("visitor.example", "web"), "198.51.100.20:80");
    assert_eq!(means("web", "db"), "10.0.1.20:80");
    // No public address of IPv4: that of IPv6 is one.
    assert_eq!(means("visitor.example", "db"), "[2600:1f18:1234:5602::4]:80");
    let topology = example("ipv6-only-nat64.yaml");
    let means = |from: &str, to: &str| ask(&topology, from, to, TCP, 80).packet_in.dst;
    assert_eq!(means("app", "partner.example"), "[2001:db8:90::90]:80");
    assert_eq!(means("partner.example", "app"), "[2600:1f18:1234:5601::10]:80");
}

#[test]
fn an_echo_is_one_of_icmpv6_where_the_way_is_by_ipv6() {
    let topology = example("dual-stack.yaml");
    let walked = ask(&topology, "visitor.example", WEB, ICMP, 0);
    assert_eq!(verdict(&walked), "answered");
    assert_eq!(walked.packet_in.protocol, "icmpv6");
    assert_eq!(
        (walked.packet_in.src.as_str(), walked.packet_in.dst.as_str()),
        ("2001:db8:90::90", WEB)
    );
    assert_eq!(walked.reply.unwrap().packet_in.protocol, "icmpv6");
    let walked = ask(&topology, "visitor.example", OLD, ICMP, 0);
    assert_eq!(verdict(&walked), "ENI_SG_RULES_MISMATCH");
    let advice = walked.advice.unwrap();
    assert!(
        advice.contains("{protocol: icmpv6, type: 128, code: 0, source: 2001:db8:90::90/128}"),
        "{advice}"
    );
    let walked = ask(&topology, "visitor.example", "198.51.100.20", ICMP, 0);
    assert_eq!((verdict(&walked), walked.packet_in.protocol.as_str()), ("answered", "icmp"));
}

#[test]
fn r7_nobody_gets_in_by_an_egress_only_gateway_and_anybody_by_an_internet_gateway() {
    let (web, app, stuck) =
        ("2600:1f18:1234:5601::10", "2600:1f18:1234:5602::10", "2600:1f18:1234:5603::10");
    let topology = example("egress-only.yaml");
    for protocol in [TCP, UDP, ICMP] {
        for (from, to, expected) in [
            ("app", CHECKIP, "answered"),
            ("visitor.example", app, "EIGW_UNSOLICITED"),
            ("visitor.example", web, "answered"),
            ("stuck", CHECKIP, "NO_ROUTE_TO_DESTINATION"),
            // It gets in, as by IPv4 a packet for a public address does, and has no way back.
            ("visitor.example", stuck, "the answer is lost"),
            ("web", app, "answered"),
            ("app", "203.0.113.80", "answered"),
        ] {
            let walked = ask(&topology, from, to, protocol, 80);
            assert_eq!(verdict(&walked), expected, "{from} to {to}, protocol {protocol}");
        }
    }
    let walked = ask(&topology, "visitor.example", app, TCP, 80);
    assert_eq!(walked.hops.last().unwrap().component, "egress-only-internet-gateway:eigw");
    assert_eq!(
        walked.detail.as_deref(),
        Some(
            "egress-only internet gateway eigw lets in answers alone, and 2600:1f18:1234:5602::10 has not asked \
             2001:db8:90::90"
        )
    );
    let walked = ask(&topology, "stuck", CHECKIP, TCP, 80);
    assert!(walked.advice.unwrap().contains("{destination: ::/0, target: GATEWAY}"));
}

#[test]
fn d5_a_rule_for_ipv4_lets_nothing_out_of_a_subnet_of_ipv6_alone() {
    let topology = example("ipv6-only-nat64.yaml");
    let walked = ask(&topology, "narrow", "64:ff9b::203.0.113.80", TCP, 80);
    assert_eq!(verdict(&walked), "ENI_SG_RULES_MISMATCH");
    assert!(walked.advice.unwrap().contains("destination: 64:ff9b::cb00:7150/128"));
    assert_eq!(verdict(&ask(&topology, "app", "2001:db8:90::90", TCP, 80)), "answered");
}

#[test]
fn d3_without_its_route_nat64_is_told_to_lack_it() {
    let route = "      - {destination: \"64:ff9b::/96\", target: nat-a}\n";
    let without = text("ipv6-only-nat64.yaml").replace(route, "");
    let walked = ask(&inline(&without), "app", "64:ff9b::cb00:7150", TCP, 80);
    assert_eq!(verdict(&walked), "NO_PATH");
    let advice = walked.advice.unwrap();
    assert!(advice.starts_with("route 64:ff9b::/96 by a NAT gateway"), "{advice}");
    let closed = without.replace("      - {destination: \"::/0\", target: eigw}\n", "      []\n");
    let walked = ask(&inline(&closed), "app", "64:ff9b::cb00:7150", TCP, 80);
    assert_eq!(verdict(&walked), "NO_ROUTE_TO_DESTINATION");
    assert!(walked.advice.unwrap().contains("{destination: 64:ff9b::/96, target: GATEWAY}"));
}

#[test]
fn ends_without_a_common_family_are_told_so() {
    // With DNS64 the name has an address of IPv6.
    let topology = example("ipv6-only-nat64.yaml");
    let walked = ask(&topology, "app", "checkip.amazonaws.com", TCP, 80);
    assert_eq!(verdict(&walked), "answered");
    assert_eq!(walked.packet_in.dst, "[64:ff9b::cb00:7150]:80");
    let without = text("ipv6-only-nat64.yaml").replace("    enable_dns64: true\n", "");
    let topology = inline(&without);
    let told =
        |from: &str, to: &str| try_ask(&topology, from, to, TCP, 80).unwrap_err().to_string();
    assert_eq!(
        told("app", "checkip.amazonaws.com"),
        "app and checkip.amazonaws.com have no addresses of one family; by NAT64, checkip.amazonaws.com is \
         64:ff9b::203.0.113.80"
    );
    assert_eq!(told("legacy", "app"), "legacy and app have no addresses of one family");
    assert_eq!(told("app", "203.0.113.80"), "app has no IPv4 address to send from to 203.0.113.80");
    assert_eq!(
        told("legacy", "2001:db8::1"),
        "legacy has no IPv6 address to send from to 2001:db8::1"
    );
}
