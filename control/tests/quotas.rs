//! Is it said where a file is beyond AWS's default quotas?

use control::check;

/// What is warned of.
fn warnings(text: &str) -> Vec<String> {
    let sound = check::read(text, "test.yaml").unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(sound.warnings.errors(), 0);
    sound.warnings.faults().iter().map(|fault| fault.message.clone()).collect()
}

#[test]
fn quotas_give_warnings_and_the_topology() {
    let mut text = String::from("vpcs: {main: {cidr_block: 10.0.0.0/16}}\nsecurity_groups:\n");
    for group in 0..6 {
        text.push_str(&format!("  g{group}: {{vpc: main}}\n"));
    }
    text.push_str("  big:\n    vpc: main\n    ingress:\n");
    for port in 1..=61 {
        text.push_str(&format!("      - {{protocol: tcp, ports: {port}, source: 0.0.0.0/0}}\n"));
    }
    text.push_str("subnets: {a: {vpc: main, cidr_block: 10.0.0.0/24}}\n");
    text.push_str(
        "network_interfaces: {app: {subnet: a, security_groups: [g0, g1, g2, g3, g4, g5]}}\n",
    );
    assert_eq!(
        warnings(&text),
        [
            "61 IPv4 rules of one side of a security group: the default quota is 60",
            "6 security groups of a network interface: the default quota is 5",
        ]
    );
}

#[test]
fn quotas_of_rules_count_each_side_and_what_a_prefix_list_holds() {
    let rules = |count: usize, peer: &str| {
        let rules = (1..=count).map(|port| format!("{{protocol: tcp, ports: {port}, {peer}}}"));
        rules.collect::<Vec<_>>().join(", ")
    };
    let vpc = "vpcs: {main: {cidr_block: 10.0.0.0/16}}\n";
    let group = |ingress: usize, egress: usize| {
        let (from, to) = ("source: 10.0.0.0/16", "destination: 10.0.0.0/16");
        let sides = format!("ingress: [{}], egress: [{}]", rules(ingress, from), rules(egress, to));
        format!("{vpc}security_groups: {{g: {{vpc: main, {sides}}}}}\n")
    };
    assert_eq!(warnings(&group(60, 60)), [""; 0]);
    let message = "61 IPv4 rules of one side of a security group: the default quota is 60";
    assert_eq!(warnings(&group(60, 61)), [message]);

    let entries: Vec<_> = (1..=20).map(|host| format!("192.0.2.{host}/32")).collect();
    let listed = format!("prefix_lists: {{l: [{}]}}\n", entries.join(", "));
    let group = |narrow: usize| {
        let ingress =
            format!("{}, {}", rules(narrow, "source: 10.0.0.0/16"), rules(1, "source: l"));
        format!("{vpc}{listed}security_groups: {{g: {{vpc: main, ingress: [{ingress}]}}}}\n")
    };
    assert_eq!(warnings(&group(40)), [""; 0]);
    assert_eq!(warnings(&group(41)), [message]);

    let groups: String = (0..2501).map(|group| format!("  g{group}: {{vpc: main}}\n")).collect();
    let message = "2501 security groups in a region: the default quota is 2500";
    assert_eq!(warnings(&format!("{vpc}security_groups:\n{groups}")), [message]);

    let acls: String = (0..201).map(|acl| format!("  a{acl}: {{vpc: main}}\n")).collect();
    let message = "201 network ACLs in a VPC: the default quota is 200";
    assert_eq!(warnings(&format!("{vpc}network_acls:\n{acls}")), [message]);
    let rule = |rule| format!("{{rule: {rule}, action: deny, protocol: all, source: 10.0.0.0/8}}");
    let ingress = (1..=21).map(rule).collect::<Vec<_>>().join(", ");
    let message = "21 IPv4 rules of one side of a network ACL: the default quota is 20";
    let text = format!("{vpc}network_acls: {{a: {{vpc: main, ingress: [{ingress}]}}}}\n");
    assert_eq!(warnings(&text), [message]);
}

#[test]
fn quotas_of_a_region_a_vpc_and_a_table_are_warned_of_above_their_default() {
    let list = |count: usize, entry: &dyn Fn(usize) -> String| {
        (0..count).map(|at| format!("  {}\n", entry(at))).collect::<String>()
    };
    let vpc = "vpcs: {main: {cidr_block: 10.0.0.0/16}}\ninternet_gateways: {igw: {vpc: main}}\n";
    let subnet = format!("{vpc}subnets: {{a: {{vpc: main, cidr_block: 10.0.0.0/18}}}}\n");
    // Each default, what it is of, and a topology with so many.
    type Text<'t> = &'t dyn Fn(usize) -> String;
    let texts: [(usize, &str, Text<'_>); 9] = [
        (5, "VPCs in a region", &|count| {
            format!("vpcs:\n{}", list(count, &|at| format!("v{at}: {{cidr_block: 10.0.0.0/16}}")))
        }),
        (5, "blocks of a VPC", &|count| {
            let more = list(count - 1, &|at| format!("  - 10.{}.0.0/16", at + 1));
            format!("vpcs:\n  v:\n    cidr_block: 10.0.0.0/16\n    secondary_cidr_blocks:\n{more}")
        }),
        (200, "subnets in a VPC", &|count| {
            let subnet = |at| format!("s{at}: {{vpc: main, cidr_block: 10.0.{at}.0/24}}");
            format!("{vpc}subnets:\n{}", list(count, &subnet))
        }),
        (200, "route tables in a VPC", &|count| {
            format!("{vpc}route_tables:\n{}", list(count, &|at| format!("t{at}: {{vpc: main}}")))
        }),
        (500, "IPv4 routes of a table", &|count| {
            let route = |at| {
                format!("  - {{destination: 172.{}.{}.0/24, target: igw}}", 16 + at / 256, at % 256)
            };
            format!("{vpc}route_tables:\n  t:\n    vpc: main\n    routes:\n{}", list(count, &route))
        }),
        (5000, "network interfaces in a region", &|count| {
            format!(
                "{subnet}network_interfaces:\n{}",
                list(count, &|at| format!("e{at}: {{subnet: a}}"))
            )
        }),
        (5, "NAT gateways in an availability zone", &|count| {
            let gateway = |at| format!("n{at}: {{subnet: a, connectivity_type: private}}");
            format!("{subnet}nat_gateways:\n{}", list(count, &gateway))
        }),
        (2, "public addresses of a NAT gateway", &|count| {
            let ips: Vec<_> = (1..=count).map(|at| format!("198.51.100.{at}")).collect();
            format!(
                "{subnet}nat_gateways: {{n: {{subnet: a, public_ips: [{}]}}}}\n",
                ips.join(", ")
            )
        }),
        (5, "Elastic IP addresses in a region", &|count| {
            // What an interface is given by itself does not count.
            let mut interfaces = list(count - 1, &|at| {
                format!("e{at}: {{subnet: a, public_ip: 198.51.100.{}}}", at + 9)
            });
            interfaces += "  given: {subnet: a, public_ip: auto}\n";
            format!("{subnet}nat_gateways: {{n: {{subnet: a}}}}\nnetwork_interfaces:\n{interfaces}")
        }),
    ];
    for (quota, what, text) in texts {
        assert_eq!(warnings(&text(quota)), [""; 0], "{what}");
        let message = format!("{} {what}: the default quota is {quota}", quota + 1);
        assert_eq!(warnings(&text(quota + 1)), [message]);
    }
}

#[test]
fn quotas_of_endpoints_and_workloads_count_by_region_and_by_vpc() {
    let many = |count: usize, what: &str| {
        (1..=count).map(|it| format!("  n{it}: {what}\n")).collect::<String>()
    };
    let vpc = "vpcs: {main: {cidr_block: 10.0.0.0/16}}\n\
               subnets: {a: {vpc: main, cidr_block: 10.0.0.0/24}}\n";
    let tables = format!("route_tables:\n{}", many(21, "{vpc: main}"));
    let gateways = (1..=21)
        .map(|it| format!("  g{it}: {{vpc: main, service: s3, route_tables: [n{it}]}}\n"))
        .collect::<String>();
    let interface = "{vpc: main, vpc_endpoint_type: Interface, service: sqs, subnets: [a]}";
    let endpoints = format!("vpc_endpoints:\n{gateways}{}", many(51, interface));
    let connectors = format!("app_runner_vpc_connectors:\n{}", many(11, "{subnets: [a]}"));
    let services = (1..=31).map(|it| format!("  s{it}: {{}}\n")).collect::<String>();
    let services = format!("app_runner_services:\n{services}");
    assert_eq!(
        warnings(&format!("{vpc}{tables}{endpoints}{connectors}{services}")),
        [
            "21 gateway endpoints in a region: the default quota is 20",
            "51 interface endpoints in a VPC: the default quota is 50",
            "11 VPC connectors in a region: the default quota is 10",
            "31 App Runner services in a region: the default quota is 30",
        ]
    );
}
