//! Does `explain` say of each example what its comment promises, and show the checks that AWS makes?

use std::path::Path;

use control::check::{self, Checked};
use control::explain::{self, Question, Walked};

/// Protocol numbers.
const ICMP: u8 = 1;
const TCP: u8 = 6;

fn example(file: &str) -> Checked {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../topologies").join(file);
    check::load(&path).unwrap_or_else(|error| panic!("{error}")).topology
}

fn inline(text: &str) -> Checked {
    check::read(text, "test.yaml").unwrap_or_else(|report| panic!("{report}")).topology
}

fn ask(topology: &Checked, from: &str, to: &str, protocol: u8, port: u16) -> Walked {
    let (from, to) = (from.to_owned(), to.to_owned());
    let question = Question { from, to, protocol, port, source_port: 40_000 };
    explain::explain(topology, &question).unwrap_or_else(|error| panic!("{error}"))
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

#[test]
fn groups_allow_by_group_block_and_prefix_list() {
    all(
        "security-groups.yaml",
        &[
            ("web", "db", 5432, "answered"),
            ("web", "db", 22, "ENI_SG_RULES_MISMATCH"),
            ("batch", "db", 5432, "ENI_SG_RULES_MISMATCH"),
            ("batch", "cron", 22, "answered"),
            ("cron", "batch", 22, "answered"),
            ("web", "partner.example", 443, "answered"),
            ("web", "partner.example", 80, "ENI_SG_RULES_MISMATCH"),
            ("db", "web", 80, "ENI_SG_RULES_MISMATCH"),
        ],
    );
}

#[test]
fn a_lower_acl_rule_denies_what_a_higher_one_and_the_group_allow() {
    let walked = ask(&example("security-groups.yaml"), "legacy", "db", TCP, 5432);
    assert_eq!(verdict(&walked), "SUBNET_ACL_RESTRICTION");
    let last = walked.hops.last().unwrap();
    assert_eq!((last.stage, last.rule.as_deref()), ("network-acl-ingress", Some("90")));
}

#[test]
fn between_two_subnets_request_and_answer_pass_two_acls_each() {
    let acls = |walked: &Walked| {
        let hops = walked.hops.iter().filter(|hop| hop.component.starts_with("network-acl:"));
        hops.map(|hop| (hop.component.clone(), hop.stage)).collect::<Vec<_>>()
    };
    let walked = ask(&example("security-groups.yaml"), "web", "db", TCP, 5432);
    let hop = |name: &str, stage| (format!("network-acl:{name}"), stage);
    assert_eq!(
        acls(&walked),
        [hop("default", "network-acl-egress"), hop("data", "network-acl-ingress")]
    );
    assert_eq!(
        acls(walked.reply.as_deref().unwrap()),
        [hop("data", "network-acl-egress"), hop("default", "network-acl-ingress")]
    );
}

#[test]
fn a_route_table_that_is_not_named_is_the_main_one_with_local_routes_alone() {
    all("security-groups.yaml", &[("legacy", "partner.example", 443, "NO_ROUTE_TO_DESTINATION")]);
    all(
        "private-only.yaml",
        &[
            ("app", "database", 3306, "answered"),
            ("app", "checkip.amazonaws.com", 80, "NO_ROUTE_TO_DESTINATION"),
        ],
    );
}

#[test]
fn a_blackhole_does_not_fall_through_to_the_default_route() {
    all("security-groups.yaml", &[("web", "stranger.example", 443, "BAD_STATE_ROUTE")]);
}

#[test]
fn a_public_subnet_is_of_use_to_those_with_a_public_address() {
    all(
        "public-subnet.yaml",
        &[
            ("web", "checkip.amazonaws.com", 80, "answered"),
            ("visitor.example", "web", 80, "answered"),
            ("visitor.example", "web", 22, "ENI_SG_RULES_MISMATCH"),
            ("batch", "checkip.amazonaws.com", 80, "IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS"),
            ("visitor.example", "batch", 80, "IGW_PRIVATE_IP_ASSOCIATION_FOR_INGRESS"),
        ],
    );
}

#[test]
fn each_zone_leaves_by_its_own_gateway() {
    let topology = example("nat-gateway-per-az.yaml");
    for (from, address) in [("app-a", "198.51.100.10:"), ("app-b", "198.51.100.11:")] {
        let walked = ask(&topology, from, "checkip.amazonaws.com", TCP, 80);
        let seen = walked.packet_out.unwrap().src;
        assert!(seen.starts_with(address), "{from} is seen as {seen}");
    }
}

#[test]
fn vpcs_of_the_same_addresses_never_meet() {
    all(
        "overlapping-vpcs.yaml",
        &[
            ("red-app", "blue-app", 22, "DISCONNECTED_VPCS"),
            ("red-app", "checkip.amazonaws.com", 80, "answered"),
            ("blue-app", "checkip.amazonaws.com", 80, "answered"),
        ],
    );
}

#[test]
fn the_groups_of_an_interface_allow_together_in_any_order() {
    let text = |groups: &str| {
        format!(
            "
vpcs: {{main: {{cidr_block: 10.0.0.0/16}}}}
subnets: {{a: {{vpc: main, cidr_block: 10.0.0.0/24}}}}
security_groups:
  ssh: {{vpc: main, ingress: [{{protocol: tcp, ports: 22, source: 10.0.0.0/16}}]}}
  web: {{vpc: main, ingress: [{{protocol: tcp, ports: 80-81, source: 10.0.0.0/16}}]}}
network_interfaces:
  both: {{subnet: a, security_groups: [{groups}]}}
  other: {{subnet: a}}
"
        )
    };
    for groups in ["ssh, web", "web, ssh"] {
        let topology = inline(&text(groups));
        for (port, expected) in [(22, "answered"), (81, "answered"), (82, "ENI_SG_RULES_MISMATCH")]
        {
            assert_eq!(verdict(&ask(&topology, "other", "both", TCP, port)), expected, "{port}");
        }
    }
}

#[test]
fn a_rule_holds_for_every_interface_that_has_its_group() {
    let text = "
vpcs: {main: {cidr_block: 10.0.0.0/16}}
subnets: {a: {vpc: main, cidr_block: 10.0.0.0/24}}
security_groups:
  web: {vpc: main, ingress: [{protocol: tcp, ports: 80, source: 10.0.0.0/16}]}
network_interfaces:
  one: {subnet: a, security_groups: [web]}
  two: {subnet: a, security_groups: [default, web]}
  three: {subnet: a, security_groups: [web]}
";
    let verdicts = |text: &str| {
        let topology = inline(text);
        ["one", "two"].map(|to| verdict(&ask(&topology, "three", to, TCP, 80)).to_owned())
    };
    assert_eq!(verdicts(text), ["answered", "answered"]);
    let narrowed = text.replace("ports: 80", "ports: 81");
    assert_eq!(verdicts(&narrowed), ["ENI_SG_RULES_MISMATCH", "ENI_SG_RULES_MISMATCH"]);
}

#[test]
fn an_answer_to_a_ping_needs_no_rule() {
    let walked = ask(&example("nat-gateway.yaml"), "bastion", "app", ICMP, 0);
    assert_eq!(verdict(&walked), "answered");
    let walked = ask(&example("security-groups.yaml"), "web", "db", ICMP, 0);
    assert_eq!(verdict(&walked), "ENI_SG_RULES_MISMATCH", "web may not ask");
    let walked = ask(&example("security-groups.yaml"), "cron", "db", ICMP, 0);
    assert_eq!(verdict(&walked), "answered", "db has no egress rule");
}

#[test]
fn a_resolver_that_is_turned_off_answers_nobody() {
    let text = |support: bool| {
        format!(
            "vpcs: {{main: {{cidr_block: 10.0.0.0/16, enable_dns_support: {support}}}}}\n\
             subnets: {{one: {{vpc: main, cidr_block: 10.0.1.0/24}}}}\n\
             network_interfaces: {{app: {{subnet: one}}}}\n"
        )
    };
    for resolver in ["10.0.0.2", "169.254.169.253"] {
        assert_eq!(verdict(&ask(&inline(&text(true)), "app", resolver, TCP, 53)), "answered");
        let walked = ask(&inline(&text(false)), "app", resolver, TCP, 53);
        assert_eq!(verdict(&walked), "NO_PATH");
        let advice = walked.advice.unwrap();
        assert!(advice.contains("`enable_dns_support: true`"), "{resolver}: {advice}");
    }
    let walked = ask(&inline(&text(false)), "app", "10.0.1.99", TCP, 53);
    assert!(
        !walked.advice.unwrap().contains("enable_dns_support"),
        "nobody's address is no resolver's"
    );
}

#[test]
fn a_name_means_what_the_resolver_of_the_sender_says() {
    let text = "
vpcs:
  main: {cidr_block: 203.0.113.0/24, enable_dns_hostnames: true}
subnets: {one: {vpc: main, cidr_block: 203.0.113.0/25}}
network_interfaces: {app: {subnet: one}, other: {subnet: one, private_ip: 203.0.113.90}}
private_hosted_zones:
  shop.test: {vpcs: [main], records: [{name: api, type: A, records: [203.0.113.4]}]}
internet:
  hosts:
    partner.example: {addresses: [203.0.113.90]}
    www.shop.test: {addresses: [203.0.113.91]}
";
    let topology = inline(text);
    let walked = ask(&topology, "app", "partner.example", TCP, 80);
    assert_eq!(walked.hops[0].component, "resolver:main");
    assert_eq!(verdict(&walked), "DISCONNECTED_VPCS", "somebody else has the address here");
    let question = |to: &str| Question {
        from: "app".to_owned(),
        to: to.to_owned(),
        protocol: TCP,
        port: 80,
        source_port: 40_000,
    };
    // The private zone hides the host, as a client finds out.
    for to in ["www.shop.test", "nobody.test"] {
        let error = explain::explain(&topology, &question(to)).unwrap_err().to_string();
        assert_eq!(error, format!("the resolver of VPC main knows no {to} (NXDOMAIN)"));
    }
}
