//! Does `explain` say of each drop where, by which rule and for which reason, and does what it says to change let the
//! packet through?

use control::check;
use control::explain::{self, Question, Walked};

const TOPOLOGY: &str = "
vpcs:
  main: {cidr_block: 10.0.0.0/16}
  other: {cidr_block: 10.1.0.0/16}
internet_gateways:
  igw: {vpc: main}
  igw-other: {vpc: other}
subnets:
  public-a: {vpc: main, cidr_block: 10.0.0.0/24, route_table: public}
  private-a: {vpc: main, cidr_block: 10.0.1.0/24, route_table: private}
  strict-a: {vpc: main, cidr_block: 10.0.2.0/24, route_table: private, network_acl: strict}
  lonely-a: {vpc: main, cidr_block: 10.0.3.0/24}
  loop-a: {vpc: main, cidr_block: 10.0.4.0/24, route_table: loop}
  other-a: {vpc: other, cidr_block: 10.1.0.0/24, route_table: other}
route_tables:
  public: {vpc: main, routes: [{destination: 0.0.0.0/0, target: igw}]}
  private:
    vpc: main
    routes:
      - {destination: 0.0.0.0/0, target: nat-a}
      - {destination: 203.0.113.91/32, target: blackhole}
      - {destination: 203.0.113.92/32, target: gone}
      - {destination: 203.0.113.93/32, target: loops}
      - {destination: 203.0.113.94/32, target: lends}
  loop: {vpc: main, routes: [{destination: 0.0.0.0/0, target: loops}]}
  other: {vpc: other, routes: [{destination: 0.0.0.0/0, target: igw-other}]}
nat_gateways:
  nat-a: {subnet: public-a, private_ip: 10.0.0.220, public_ips: [198.51.100.10]}
  gone: {subnet: public-a, public_ips: [198.51.100.11], state: deleted}
  loops: {subnet: loop-a, public_ips: [198.51.100.12]}
  lends: {subnet: public-a, connectivity_type: private}
security_groups:
  https:
    vpc: main
    ingress: [{protocol: tcp, ports: 22, source: 10.0.0.0/16}]
    egress: [{protocol: tcp, ports: 443, destination: 0.0.0.0/0}]
  none: {vpc: main, egress: []}
  members: {vpc: main, ingress: [{protocol: tcp, ports: 80, source: default}]}
network_acls:
  strict:
    vpc: main
    ingress:
      - {rule: 100, action: allow, protocol: tcp, ports: 80, source: 0.0.0.0/0}
      - {rule: 50, action: deny, protocol: tcp, ports: 80, source: 10.0.1.0/24}
      - {rule: 1, action: deny, protocol: icmp, source: 0.0.0.0/0}
    egress:
      - {rule: 100, action: allow, protocol: all, destination: 0.0.0.0/0}
network_interfaces:
  app: {subnet: private-a, private_ip: 10.0.1.10}
  shy: {subnet: private-a, private_ip: 10.0.1.11, security_groups: [https]}
  both: {subnet: private-a, private_ip: 10.0.1.12, security_groups: [https, none]}
  web: {subnet: public-a, private_ip: 10.0.0.10, public_ip: 198.51.100.20, security_groups: [members]}
  bare: {subnet: public-a, private_ip: 10.0.0.11}
  guarded: {subnet: strict-a, private_ip: 10.0.2.10}
  lonely: {subnet: lonely-a, private_ip: 10.0.3.10}
  far: {subnet: other-a, private_ip: 10.1.0.10}
internet:
  hosts:
    partner.example: {addresses: [203.0.113.90, 203.0.113.91, 203.0.113.92, 203.0.113.93, 203.0.113.94]}
profile: {igw_hairpin: false}
";

const ICMP: u8 = 1;
const TCP: u8 = 6;
const GRE: u8 = 47;

/// A question of which something is lost, what is said of it, and what to replace in the file to follow the advice.
struct Case {
    ask: (&'static str, &'static str, u8, u16),
    reason: &'static str,
    /// Component and rule of the hop that decides.
    at: (&'static str, Option<&'static str>),
    advice: &'static str,
    follow: Option<(&'static str, &'static str)>,
}

const CASES: [Case; 23] = [
    Case {
        ask: ("shy", "partner.example", TCP, 80),
        reason: "ENI_SG_RULES_MISMATCH",
        at: ("security-group:https", None),
        advice: "add {protocol: tcp, ports: 80, destination: 203.0.113.90/32} to the `egress` of security group https",
        follow: Some((
            "egress: [{protocol: tcp, ports: 443, destination: 0.0.0.0/0}]",
            "egress: [{protocol: tcp, ports: 80, destination: 203.0.113.90/32}]",
        )),
    },
    Case {
        ask: ("both", "partner.example", TCP, 80),
        reason: "ENI_SG_RULES_MISMATCH",
        at: ("eni:both", None),
        advice: "to the `egress` of one of the security groups of both",
        follow: Some((
            "egress: []",
            "egress: [{protocol: tcp, ports: 80, destination: 203.0.113.90/32}]",
        )),
    },
    Case {
        ask: ("app", "shy", ICMP, 0),
        reason: "ENI_SG_RULES_MISMATCH",
        at: ("security-group:https", None),
        advice: "add {protocol: icmp, type: 8, code: 0, source: 10.0.1.10/32} to the `ingress` of security group https",
        follow: Some((
            "{protocol: tcp, ports: 22, source: 10.0.0.0/16}",
            "{protocol: icmp, type: 8, code: 0, source: 10.0.1.10/32}",
        )),
    },
    Case {
        ask: ("shy", "app", TCP, 443),
        reason: "ENI_SG_RULES_MISMATCH",
        at: ("security-group:default", None),
        advice: "declare a security group with {protocol: tcp, ports: 443, source: 10.0.1.11/32} in its `ingress`, and name it",
        follow: Some((
            "private_ip: 10.0.1.10}\n  shy",
            "private_ip: 10.0.1.10, security_groups: [new]}\n  shy",
        )),
    },
    Case {
        // A reference to a group, and a client behind a gateway.
        ask: ("app", "198.51.100.20", TCP, 80),
        reason: "ENI_SG_RULES_MISMATCH",
        at: ("security-group:members", None),
        advice: "source: 198.51.100.10/32} to the `ingress` of security group members; a gateway has translated the source",
        follow: Some(("source: default", "source: 198.51.100.10/32")),
    },
    Case {
        ask: ("app", "guarded", TCP, 80),
        reason: "SUBNET_ACL_RESTRICTION",
        at: ("network-acl:strict", Some("50")),
        advice: "add {rule: 1, action: allow, protocol: tcp, ports: 80, source: 10.0.1.10/32} to the `ingress` of network ACL \
            strict, under 1 or any number below 50 that is free; answers need rules of their own",
        follow: Some((
            "- {rule: 50, action: deny, protocol: tcp, ports: 80, source: 10.0.1.0/24}",
            "- {rule: 2, action: allow, protocol: tcp, ports: 80, source: 10.0.1.10/32}",
        )),
    },
    Case {
        // The answer is.
        ask: ("guarded", "partner.example", TCP, 443),
        reason: "SUBNET_ACL_RESTRICTION",
        at: ("network-acl:strict", Some("*")),
        advice: "add {rule: 1, action: allow, protocol: tcp, ports: 1024-65535, source: 203.0.113.90/32} to the `ingress` of \
            network ACL strict, under 1 or any number that is free",
        follow: Some((
            "- {rule: 1, action: deny, protocol: icmp, source: 0.0.0.0/0}",
            "- {rule: 1, action: allow, protocol: tcp, ports: 1024-65535, source: 203.0.113.90/32}",
        )),
    },
    Case {
        ask: ("bare", "guarded", ICMP, 0),
        reason: "SUBNET_ACL_RESTRICTION",
        at: ("network-acl:strict", Some("1")),
        advice: "remove rule 1 from the `ingress` of network ACL strict",
        follow: Some((
            "- {rule: 1, action: deny, protocol: icmp, source: 0.0.0.0/0}",
            "- {rule: 2, action: allow, protocol: icmp, source: 0.0.0.0/0}",
        )),
    },
    Case {
        ask: ("app", "203.0.113.91", TCP, 80),
        reason: "BAD_STATE_ROUTE",
        at: ("route-table:private", Some("203.0.113.91/32")),
        advice: "give the route to 203.0.113.91/32 in route table private a target that is there, or remove it",
        follow: Some(("target: blackhole", "target: nat-a")),
    },
    Case {
        ask: ("app", "203.0.113.92", TCP, 80),
        reason: "BAD_STATE_ROUTE",
        at: ("route-table:private", Some("203.0.113.92/32")),
        advice: "give the route to 203.0.113.92/32 in route table private a target that is there",
        follow: Some((", state: deleted", "")),
    },
    Case {
        ask: ("app", "203.0.113.93", TCP, 80),
        reason: "FORWARDING_LOOP",
        at: ("route-table:loop", Some("0.0.0.0/0")),
        advice: "give the subnet of the gateway another route table than loop: one that leads to an internet gateway",
        follow: Some(("route_table: loop", "route_table: public")),
    },
    Case {
        ask: ("app", "203.0.113.94", TCP, 80),
        reason: "IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS",
        at: ("internet-gateway:igw", None),
        advice: "route its subnet by a public NAT gateway (a private one has no public address)",
        follow: Some(("target: lends", "target: nat-a")),
    },
    Case {
        ask: ("bare", "partner.example", TCP, 80),
        reason: "IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS",
        at: ("internet-gateway:igw", None),
        advice: "give the sender a `public_ip`",
        follow: Some(("private_ip: 10.0.0.11", "private_ip: 10.0.0.11, public_ip: auto")),
    },
    Case {
        ask: ("lonely", "10.0.1.99", TCP, 80),
        reason: "NO_PATH",
        at: ("route-table:main", Some("10.0.0.0/16")),
        advice: "declare a network interface with `private_ip: 10.0.1.99`, or send to one that is there",
        follow: Some((
            "private_ip: 10.0.1.11, security_groups: [https]",
            "private_ip: 10.0.1.99, security_groups: [new]",
        )),
    },
    Case {
        ask: ("lonely", "partner.example", TCP, 80),
        reason: "NO_ROUTE_TO_DESTINATION",
        at: ("route-table:main", None),
        advice: "declare a route table with a route to 203.0.113.90, such as {destination: 0.0.0.0/0, target: GATEWAY}, and \
            name it as the `route_table` of the subnet",
        follow: Some(("cidr_block: 10.0.3.0/24", "cidr_block: 10.0.3.0/24, route_table: private")),
    },
    Case {
        ask: ("app", "203.0.113.7", TCP, 80),
        reason: "NO_PATH",
        at: ("internet-gateway:igw", None),
        advice: "declare an internet host with 203.0.113.7 in its `addresses`",
        follow: Some(("[203.0.113.90,", "[203.0.113.90, 203.0.113.7,")),
    },
    Case {
        ask: ("app", "far", TCP, 80),
        reason: "NO_PATH",
        at: ("internet-gateway:igw", None),
        advice: "send to a public address: the internet has no 10.1.0.10, and VPCs reach each other by public addresses alone",
        follow: Some((
            "private_ip: 10.1.0.10}",
            "private_ip: 10.1.0.10, public_ip: auto, security_groups: [new-other]}",
        )),
    },
    Case {
        ask: ("web", "198.51.100.20", TCP, 80),
        reason: "NO_PATH",
        at: ("internet-gateway:igw", None),
        advice: "let `profile.igw_hairpin` be true, or send to the private address",
        follow: Some((
            "ports: 80, source: default}]}\n",
            "ports: 80, source: 198.51.100.20/32}]}\n",
        )),
    },
    Case {
        ask: ("app", "169.254.170.2", TCP, 80),
        reason: "NO_PATH",
        at: ("subnet:private-a", None),
        advice: "this interface has no such service at its link",
        follow: None,
    },
    Case {
        ask: ("app", "169.254.169.253", GRE, 0),
        reason: "PROTOCOL_RESTRICTION",
        at: ("resolver:main", None),
        advice: "ask it by UDP or TCP",
        follow: None,
    },
    Case {
        ask: ("app", "partner.example", GRE, 0),
        reason: "PROTOCOL_RESTRICTION",
        at: ("nat-gateway:nat-a", None),
        advice: "carry it in TCP or UDP",
        follow: None,
    },
    Case {
        ask: ("partner.example", "198.51.100.10", TCP, 80),
        reason: "NAT_UNSOLICITED",
        at: ("nat-gateway:nat-a", None),
        advice: "let the inside begin, or give the receiver a `public_ip` and send to that",
        follow: None,
    },
    Case {
        ask: ("partner.example", "app", TCP, 80),
        reason: "IGW_PRIVATE_IP_ASSOCIATION_FOR_INGRESS",
        at: ("internet-host:partner.example", None),
        advice: "give the receiver a `public_ip`, and send to that",
        follow: None,
    },
];

fn ask(text: &str, (from, to, protocol, port): (&str, &str, u8, u16)) -> Walked {
    let sound = check::read(text, "test.yaml").unwrap_or_else(|report| panic!("{report}"));
    let (from, to) = (from.to_owned(), to.to_owned());
    let question = Question { from, to, protocol, port, source_port: 40_000 };
    explain::explain(&sound.topology, &question).unwrap_or_else(|error| panic!("{error}"))
}

/// The walk that ends too early: the request's, or the answer's.
fn lost(walked: Walked) -> Walked {
    match walked.reply {
        Some(reply) if walked.reason.is_none() => *reply,
        _ => walked,
    }
}

#[test]
fn each_drop_has_its_component_rule_and_reason_and_what_to_change() {
    for Case { ask: question, reason, at, advice, .. } in CASES {
        let lost = lost(ask(TOPOLOGY, question));
        assert_eq!(lost.reason, Some(reason), "{question:?}");
        let last = lost.hops.last().unwrap();
        assert_eq!((last.component.as_str(), last.rule.as_deref()), at, "{question:?}");
        assert_eq!(last.verdict, "deny");
        let said = lost.advice.unwrap();
        assert!(said.contains(advice), "{question:?}: {said}");
    }
}

#[test]
fn who_follows_the_advice_is_answered() {
    // What the advice says to declare.
    let new = "security_groups:
  new: {vpc: main, ingress: [{protocol: tcp, ports: 443, source: 10.0.1.11/32}, {protocol: tcp, ports: 80, source: 10.0.3.10/32}]}
  new-other: {vpc: other, ingress: [{protocol: tcp, ports: 80, source: 0.0.0.0/0}]}
";
    let text = TOPOLOGY
        .replace("security_groups:\n", new)
        .replace("igw_hairpin: false", "igw_hairpin: true");
    for Case { ask: question, follow, .. } in CASES {
        let Some((old, new)) = follow else { continue };
        assert_eq!(text.matches(old).count(), 1, "{old}");
        let walked = ask(&text.replace(old, new), question);
        assert!(walked.is_answered(), "{question:?}: {walked:#?}");
    }
}

#[test]
fn a_name_whose_address_is_anothers_is_reached_by_a_public_one() {
    let text = TOPOLOGY.replace("10.1.", "10.0.");
    let walked = ask(&text, ("app", "far", TCP, 80));
    assert_eq!(walked.reason, Some("DISCONNECTED_VPCS"));
    assert!(walked.advice.unwrap().starts_with("give far a `public_ip`, and send to that"));
}

#[test]
fn a_workload_is_not_told_to_have_a_public_address() {
    const WORKLOADS: &str = "
vpcs: {main: {cidr_block: 10.0.0.0/16}}
internet_gateways: {igw: {vpc: main}}
subnets: {a: {vpc: main, cidr_block: 10.0.0.0/24, route_table: public}}
route_tables: {public: {vpc: main, routes: [{destination: 0.0.0.0/0, target: igw}]}}
security_groups: {any: {vpc: main}}
network_interfaces: {bare: {subnet: a}}
app_runner_vpc_connectors: {shared: {subnets: [a]}}
app_runner_services: {web: {egress_type: VPC, vpc_connector: shared}, hello: {}}
lambda_functions:
  resize: {vpc_config: {subnets: [a], security_groups: [any]}}
  alone: {}
internet: {hosts: {partner.example: {addresses: [203.0.113.90]}}}
";
    let told = |from, to, protocol, reason| {
        let walked = ask(WORKLOADS, (from, to, protocol, 80));
        assert_eq!(walked.reason, Some(reason), "{from}");
        walked.advice.unwrap()
    };
    const ESP: u8 = 50;
    for from in ["web", "hello", "resize", "alone"] {
        let advice = told(from, "203.0.113.90", ESP, "PROTOCOL_RESTRICTION");
        assert!(advice.starts_with("carry it in TCP or UDP (IPsec:"), "{from}: {advice}");
        assert!(!advice.contains("public_ip"), "{from}: {advice}");
    }
    let no_public_address = "IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS";
    for from in ["web", "resize"] {
        let advice = told(from, "203.0.113.90", TCP, no_public_address);
        assert!(advice.starts_with("route the subnet of its Hyperplane ENI by a public NAT"));
    }
    // An interface can have one.
    let advice = told("bare", "203.0.113.90", TCP, no_public_address);
    assert!(advice.starts_with("give the sender a `public_ip`"), "{advice}");
    let advice = told("partner.example", "192.0.2.254", TCP, "NAT_UNSOLICITED");
    assert!(advice.starts_with("let the workload begin"), "{advice}");
}
