//! What do VPC endpoints make of routes, names and addresses?

use std::path::Path;

use control::check::{self, Checked, Running};
use control::explain::{self, Question, Walked};

const TCP: u8 = 6;
const S3: &str = "s3.us-east-1.amazonaws.com";

fn example(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../topologies").join(file);
    std::fs::read_to_string(path).expect("the example can be read")
}

fn checked(text: &str) -> Checked {
    check::read(text, "test.yaml").unwrap_or_else(|report| panic!("{report}")).topology
}

fn ask(topology: &Checked, from: &str, to: &str, port: u16) -> Walked {
    let (from, to) = (from.to_owned(), to.to_owned());
    let question = Question { from, to, protocol: TCP, port, source_port: 40_000 };
    explain::explain(topology, &question).unwrap_or_else(|error| panic!("{error}"))
}

/// The gateways and endpoints on the way of a request.
fn way(walked: &Walked) -> Vec<&str> {
    let on_the_way =
        |it: &&str| ["vpc-endpoint:", "nat-gateway:"].iter().any(|kind| it.starts_with(kind));
    walked.hops.iter().map(|hop| hop.component.as_str()).filter(on_the_way).collect()
}

#[test]
fn a_prefix_list_beats_a_default_route_and_not_a_route_to_its_own_block() {
    let text = example("s3-gateway-endpoint.yaml");
    let walked = ask(&checked(&text), "app", S3, 443);
    assert_eq!((way(&walked), walked.is_answered()), (vec!["vpc-endpoint:s3"], true));
    for own in ["192.0.2.128/28", "192.0.2.129/32"] {
        let default = "private:\n    vpc: main\n    routes:\n";
        let route = format!("{default}      - {{destination: {own}, target: nat-a}}\n");
        let walked = ask(&checked(&text.replace(default, &route)), "app", S3, 443);
        assert_eq!((way(&walked), walked.is_answered()), (vec!["nat-gateway:nat-a"], true));
    }
    let wider = text.replace(
        "destination: 0.0.0.0/0, target: nat-a",
        "destination: 192.0.2.0/24, target: nat-a",
    );
    assert_eq!(way(&ask(&checked(&wider), "app", S3, 443)), ["vpc-endpoint:s3"]);
}

#[test]
fn a_gateway_may_have_the_name_of_an_endpoint_which_no_route_means() {
    let text = example("s3-gateway-endpoint.yaml")
        .replace("  nat-a: {subnet", "  s3: {subnet")
        .replace("target: nat-a", "target: s3");
    let walked = ask(&checked(&text), "other", "203.0.113.80", 80);
    assert_eq!((way(&walked), walked.is_answered()), (vec!["nat-gateway:s3"], true));
}

#[test]
fn groups_allow_a_service_by_its_prefix_list() {
    let text = example("s3-gateway-endpoint.yaml");
    let topology = checked(&text);
    assert!(ask(&topology, "isolated", S3, 443).is_answered());
    assert_eq!(ask(&topology, "isolated", S3, 80).reason, Some("ENI_SG_RULES_MISMATCH"));
    let by_id = checked(&text.replace("com.amazonaws.us-east-1.s3", "pl-63a5400a"));
    assert!(ask(&by_id, "isolated", S3, 443).is_answered());
    let other =
        checked(&text.replace("com.amazonaws.us-east-1.s3", "com.amazonaws.us-east-1.dynamodb"));
    assert_eq!(ask(&other, "isolated", S3, 443).reason, Some("ENI_SG_RULES_MISMATCH"));
}

#[test]
fn who_asks_an_endpoint_for_what_it_does_not_carry_is_not_told_to_allow_it() {
    let text = example("interface-endpoint.yaml");
    let to = "secretsmanager.us-east-1.amazonaws.com";
    let advice = |text: &str, port| {
        let walked = ask(&checked(text), "stranger", to, port);
        assert_eq!(walked.reason, Some("ENI_SG_RULES_MISMATCH"));
        walked.advice.unwrap()
    };
    // By one group, which speaks for itself, and by several, as which the interface speaks.
    let several = text.replace("security_groups: [endpoint]", "security_groups: [endpoint, none]");
    let several = several
        .replace("security_groups:\n", "security_groups:\n  none: {vpc: main, egress: []}\n");
    for text in [&text, &several] {
        assert_eq!(
            advice(text, 80),
            "use TCP port 443: an interface endpoint carries nothing else, whatever its security groups allow"
        );
        let rule = "add {protocol: tcp, ports: 443, source: 10.0.1.20/32} to the `ingress` of";
        assert!(advice(text, 443).starts_with(rule), "{}", advice(text, 443));
    }
    // Who has the same groups, and is no endpoint, may be asked for anything.
    let beside = text.replace(
        "stranger: {",
        "beside: {subnet: private-a, private_ip: 10.0.1.30, security_groups: [endpoint]}\n  stranger: {",
    );
    let walked = ask(&checked(&beside), "stranger", "beside", 80);
    assert!(walked.advice.unwrap().starts_with("add {protocol: tcp, ports: 80,"));
}

#[test]
fn names_of_an_endpoint_are_known_everywhere_and_private_dns_in_its_vpc() {
    let text = example("interface-endpoint.yaml");
    let text = text
        .replace(
            "subnets:\n  private-a",
            "subnets:\n  far: {vpc: far, cidr_block: 10.9.0.0/24}\n  private-a",
        )
        .replace("\nsubnets:", "  far: {cidr_block: 10.9.0.0/16}\n\nsubnets:")
        .replace("network_interfaces:\n", "network_interfaces:\n  far: {subnet: far}\n");
    let topology = checked(&text);
    let to = |from: &str, name: &str| ask(&topology, from, name, 443).packet_in.dst;
    let public = "secretsmanager.us-east-1.amazonaws.com";
    assert_eq!(to("app", public), "10.0.1.4:443");
    assert_eq!(to("far", public), "192.0.2.160:443");
    let endpoint = &topology.vpc_endpoints[0];
    let region = &topology.region;
    for from in ["app", "far"] {
        assert_eq!(to(from, &endpoint.dns_name(region, None)), "10.0.1.4:443");
        assert_eq!(to(from, &endpoint.dns_name(region, Some("us-east-1b"))), "10.0.2.4:443");
    }
    assert!(ask(&topology, "app", public, 443).is_answered());
    assert_eq!(ask(&topology, "app", public, 80).reason, Some("ENI_SG_RULES_MISMATCH"));
    assert_eq!(ask(&topology, "stranger", public, 443).reason, Some("ENI_SG_RULES_MISMATCH"));
}

#[test]
fn interfaces_of_an_endpoint_get_addresses_last_and_keep_them() {
    let text = example("interface-endpoint.yaml");
    let text = text.replace("private_ip: 10.0.1.20", "security_groups: [app]");
    let before = checked(&text);
    let of = |topology: &Checked| -> Vec<String> {
        topology.vpc_endpoints[0].places(topology).map(|(_, it)| it.to_string()).collect()
    };
    assert_eq!(of(&before), ["10.0.1.5", "10.0.2.4"], "`stranger` comes first");
    let more =
        text.replace("network_interfaces:\n", "network_interfaces:\n  new: {subnet: private-a}\n");
    let running = Running { topology: &before, draining: &[], born: &[] };
    let after = check::read_over(running, &more, "test.yaml");
    let after = after.unwrap_or_else(|report| panic!("{report}")).topology;
    assert_eq!(of(&after), of(&before));
}

#[test]
fn a_shorter_hosted_zone_does_not_hide_what_an_endpoint_is_called() {
    let text = example("interface-endpoint.yaml")
        + "\nprivate_hosted_zones:\n  wide: {name: us-east-1.amazonaws.com, vpcs: [main], records: \
           [{name: '*.us-east-1.amazonaws.com', type: A, records: [10.0.1.20]}]}\n";
    let topology = checked(&text);
    let to = |name: &str| ask(&topology, "app", name, 443).packet_in.dst;
    assert_eq!(to("secretsmanager.us-east-1.amazonaws.com"), "10.0.1.4:443");
    assert_eq!(to("sqs.us-east-1.amazonaws.com"), "10.0.1.20:443");
}
