//! Does the check fill in what a file leaves out?

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use control::check::{
    self, Checked, Draining, Endpoint, NatAddress, Peer, RouteTarget, Running, Service, Traffic,
};
use control::compile::{self, FIRST_EPOCH, Names, Passing};
use dataplane::packet::EniId;
use dataplane::state::{Device, Phase};

fn checked(text: &str) -> Checked {
    check::read(text, "test.yaml").unwrap_or_else(|report| panic!("{report}")).topology
}

const SMALL: &str = "
vpcs:
  main: {cidr_block: 10.0.0.0/16}
internet_gateways:
  igw: {vpc: main}
subnets:
  n: {vpc: main, cidr_block: 10.0.0.0/28, map_public_ip_on_launch: true}
nat_gateways:
  nat: {subnet: n}
network_interfaces:
  on: {subnet: n}
  yes: {subnet: n, private_ip: 10.0.0.4, public_ip: none}
  123: {subnet: n, public_ip: 198.51.100.1}
internet:
  hosts:
    served.example: {addresses: [203.0.113.7], serves: [echo, discard]}
    bare.example: {addresses: [203.0.113.8]}
";

#[test]
fn what_is_left_out_is_filled_in() {
    let topology = checked(SMALL);
    assert_eq!(topology.region, "us-east-1");
    let vpc = &topology.vpcs[0];
    assert!(vpc.dns_support && !vpc.dns_hostnames);
    let subnet = &topology.subnets[0];
    assert_eq!(subnet.availability_zone, "us-east-1a");
    assert_eq!((subnet.route_table, subnet.network_acl), (vpc.main_table, vpc.default_acl));
    let (table, acl, group) =
        (&topology[vpc.main_table], &topology[vpc.default_acl], &topology[vpc.default_group]);
    assert!(table.implicit && table.name == "main" && table.routes.is_empty());
    assert!(acl.implicit && acl.ingress[0].number == 100 && acl.ingress[0].traffic == Traffic::All);
    assert!(group.implicit && group.ingress[0].peer == Peer::Group(vpc.default_group));
    assert_eq!(group.egress.len(), 1);
    assert_eq!(topology.network_interfaces[0].security_groups, [vpc.default_group]);
    assert!(topology.network_interfaces.iter().all(|it| it.source_dest_check));
}

#[test]
fn what_runs_keeps_its_addresses_where_nobody_claims_them() {
    let running = checked(SMALL);
    let over = |changes: &[(&str, &str)]| {
        let text = changes.iter().fold(SMALL.to_owned(), |text, (old, new)| {
            assert!(text.contains(old), "{old}");
            text.replace(old, new)
        });
        let running = Running { topology: &running, draining: &[], born: &[] };
        let sound = check::read_over(running, &text, "test.yaml");
        sound.unwrap_or_else(|report| panic!("{report}")).topology
    };
    let before = ("  on: {subnet: n}", "  first: {subnet: n}\n  on: {subnet: n}");
    let gateway = ("  nat: {subnet: n}", "  another: {subnet: n}\n  nat: {subnet: n}");
    let grown = over(&[before, gateway]);
    assert_eq!(check::readdressed(&running, &grown), [""; 0]);
    let named = |topology: &Checked, name: &str| {
        let found = topology.network_interfaces.iter().find(|it| it.name == name).unwrap();
        (found.private_ip, found.public_ip)
    };
    assert_eq!(named(&running, "on"), named(&grown, "on"));
    assert_ne!(named(&running, "on").0, named(&grown, "first").0);

    // A declared address goes before one that was only given.
    let held = named(&running, "on").0.unwrap();
    let claimed = format!("  first: {{subnet: n, private_ip: {held}}}\n  on:");
    let claimed = over(&[("  on:", &claimed)]);
    assert_eq!(check::readdressed(&running, &claimed), ["network_interfaces on"]);
    // Another subnet has other addresses.
    let moved = over(&[
        ("subnets:", "subnets:\n  m: {vpc: main, cidr_block: 10.0.1.0/28}"),
        ("  on: {subnet: n}", "  on: {subnet: m}"),
    ]);
    assert_eq!(named(&moved, "on"), (Some(Ipv4Addr::new(10, 0, 1, 4)), None));
}

#[test]
fn what_a_gateway_keeps_is_where_it_was_and_what_it_loses_is_nobodys_while_it_drains() {
    let text = |public: &str, interfaces: &str| {
        format!(
            "
vpcs: {{main: {{cidr_block: 10.0.0.0/16}}}}
internet_gateways: {{igw: {{vpc: main}}}}
subnets: {{a: {{vpc: main, cidr_block: 10.0.0.0/24}}}}
nat_gateways: {{nat: {{subnet: a, public_ips: [{public}]}}}}
network_interfaces: {{{interfaces}}}
"
        )
    };
    let over = |running: &Checked, draining: &[Draining], text: &str| {
        let running = Running { topology: running, draining, born: &[] };
        check::read_over(running, text, "test.yaml").unwrap_or_else(|it| panic!("{it}")).topology
    };
    let last = |address: Ipv4Addr| address.octets()[3];
    let pairs = |topology: &Checked| -> Vec<(u8, u8)> {
        let addresses = topology.nat_gateways[0].addresses.iter();
        addresses.map(|it| (last(it.private_ip), last(it.public_ip.unwrap()))).collect()
    };
    let (a, b, c, d) = ("198.51.100.1", "198.51.100.2", "198.51.100.3", "198.51.100.4");
    let first = checked(&text(&[a, b, c].join(", "), ""));
    assert_eq!(pairs(&first), [(4, 1), (5, 2), (6, 3)]);
    assert_eq!(first.nat_gateways[0].drain, 350, "seconds, unless the file says otherwise");
    let second =
        over(&first, &[], &text(&[a, c, d].join(", "), "new: {subnet: a, public_ip: auto}"));
    assert_eq!(pairs(&second), [(4, 1), (6, 3), (7, 4)], "the second drains");
    let new = &second.network_interfaces[0];
    assert_eq!((new.private_ip.map(last), new.public_ip.map(last)), (Some(8), Some(5)));

    let address =
        NatAddress { private_ip: [10, 0, 0, 5].into(), public_ip: Some([198, 51, 100, 2].into()) };
    let until = Duration::from_secs(350);
    let draining = [Draining { gateway: "nat".to_owned(), address, until }];
    let more = "new: {subnet: a, public_ip: auto}, newer: {subnet: a, public_ip: auto}";
    let newer = |draining: &[Draining]| {
        let third = over(&second, draining, &text(&[a, c, d].join(", "), more));
        let newer = &third.network_interfaces[1];
        (newer.private_ip.map(last), newer.public_ip.map(last))
    };
    assert_eq!((newer(&draining), newer(&[])), ((Some(9), Some(6)), (Some(5), Some(2))));
    let back = over(&second, &draining, &text(&[a, c, d, b].join(", "), ""));
    assert_eq!(pairs(&back)[3], (5, 2), "what comes back is where its connections are");
}

#[test]
fn addresses_go_to_gateways_first_then_to_interfaces_in_file_order() {
    let topology = checked(SMALL);
    let nat = &topology.nat_gateways[0];
    let address = |text: &str| text.parse::<Ipv4Addr>().unwrap();
    let [nat] = nat.addresses[..] else { panic!("{nat:?}") };
    assert_eq!(nat.private_ip, address("10.0.0.5"));
    assert_eq!(nat.public_ip, Some(address("198.51.100.2")));
    let given: Vec<_> = topology
        .network_interfaces
        .iter()
        .map(|it| (it.name.as_str(), it.private_ip, it.public_ip))
        .collect();
    assert_eq!(
        given,
        [
            ("on", Some(address("10.0.0.6")), Some(address("198.51.100.3"))),
            ("yes", Some(address("10.0.0.4")), None),
            ("123", Some(address("10.0.0.7")), Some(address("198.51.100.1"))),
        ]
    );
}

#[test]
fn a_private_nat_gateway_needs_no_internet_gateway_and_has_no_public_address() {
    let topology = checked(
        "vpcs: {main: {cidr_block: 10.0.0.0/16}}
subnets: {a: {vpc: main, cidr_block: 10.0.0.0/24}}
nat_gateways: {nat: {subnet: a, connectivity_type: private}}
",
    );
    let addresses = &topology.nat_gateways[0].addresses;
    assert!(addresses.len() == 1 && addresses[0].public_ip.is_none(), "{addresses:?}");
}

#[test]
fn hosts_without_services_have_a_namespace_and_names_find_both_kinds_of_ends() {
    let topology = checked(SMALL);
    let [served, bare, ..] = &topology.internet_hosts[..] else { panic!() };
    assert_eq!(
        (&served.serves[..], served.namespace),
        (&[Service::Echo, Service::Discard][..], false)
    );
    assert!(bare.namespace && bare.serves.is_empty());
    assert!(matches!(topology.endpoint("on"), Some(Endpoint::NetworkInterface(_))));
    assert!(matches!(topology.endpoint("bare.example"), Some(Endpoint::InternetHost(_))));
    assert_eq!(topology.endpoint("nat"), None);
}

#[test]
fn json_is_read_as_well_and_gives_the_same() {
    let json = "{\n\t\"vpcs\": {\"main\": {\"cidr_block\": \"10.0.0.0/16\"}},\n\t\"network_acls\": {\"n\": {\"vpc\": \"main\",
        \"egress\": [{\"rule\": 7, \"action\": \"deny\", \"protocol\": 47, \"destination\": \"10.0.0.0/8\"}]}}\n}\n";
    let yaml = "
vpcs: {main: {cidr_block: 10.0.0.0/16}}
network_acls:
  n:
    vpc: main
    egress:
    - rule: 7
      action: deny
      protocol: '47'
      destination: 10.0.0.0/8
";
    assert_eq!(checked(json), checked(yaml));
    assert_eq!(checked(json).network_acls[0].egress[0].traffic, Traffic::Other(47));
}

#[test]
fn absent_rules_and_empty_rules_differ() {
    let topology = checked(
        "vpcs: {main: {cidr_block: 10.0.0.0/16}}
security_groups: {open: {vpc: main}, shut: {vpc: main, egress: []}}
network_acls: {shut: {vpc: main}}
",
    );
    let rules = |index: usize| {
        (
            topology.security_groups[index].ingress.len(),
            topology.security_groups[index].egress.len(),
        )
    };
    assert_eq!((rules(0), rules(1)), ((0, 1), (0, 0)));
    assert!(
        topology.network_acls[0].ingress.is_empty() && topology.network_acls[0].egress.is_empty()
    );
}

#[test]
fn a_vpc_may_name_others_for_its_words() {
    let topology = checked(
        "vpcs:
  main:
    cidr_block: 10.0.0.0/16
    default_security_group: shut
    default_network_acl: strict
    main_route_table: void
security_groups: {shut: {vpc: main, ingress: [{protocol: all, source: default}], egress: []}}
network_acls: {strict: {vpc: main}}
route_tables: {void: {vpc: main, routes: [{destination: 0.0.0.0/0, target: blackhole}]}}
subnets: {a: {vpc: main, cidr_block: 10.0.0.0/24, route_table: main, network_acl: default}}
network_interfaces: {app: {subnet: a}}
",
    );
    let vpc = &topology.vpcs[0];
    assert_eq!((topology.security_groups.len(), topology.network_acls.len()), (1, 1));
    assert_eq!(topology.route_tables.len(), 1);
    assert_eq!(topology.network_interfaces[0].security_groups, [vpc.default_group]);
    assert_eq!(topology.security_groups[0].ingress[0].peer, Peer::Group(vpc.default_group));
    assert_eq!(topology[topology.subnets[0].route_table].routes[0].target, RouteTarget::Blackhole);
    assert_eq!(topology[topology.subnets[0].network_acl].name, "strict");
}

#[test]
fn words_mean_the_thing_of_the_vpc_that_uses_them() {
    let topology = checked(
        "vpcs: {red: {cidr_block: 10.0.0.0/16}, blue: {cidr_block: 10.0.0.0/16}}
security_groups: {web: {vpc: blue, ingress: [{protocol: all, source: default}]}}
subnets: {red-a: {vpc: red, cidr_block: 10.0.0.0/24}, blue-a: {vpc: blue, cidr_block: 10.0.0.0/24}}
network_interfaces: {red: {subnet: red-a}, blue: {subnet: blue-a, security_groups: [default, web]}}
",
    );
    let [red, blue] = &topology.vpcs[..] else { panic!() };
    assert_ne!(red.default_group, blue.default_group);
    assert_ne!(topology[red.default_group].id, topology[blue.default_group].id);
    assert_eq!(topology.security_groups[0].ingress[0].peer, Peer::Group(blue.default_group));
    assert_eq!(topology.network_interfaces[1].security_groups[0], blue.default_group);
    assert_eq!(
        topology.network_interfaces[0].private_ip,
        topology.network_interfaces[1].private_ip
    );
}

#[test]
fn platforms_and_interfaces_say_how_long_tracking_lasts() {
    let timers = |profile: &str| {
        let topology = checked(&format!(
            "vpcs: {{main: {{cidr_block: 10.0.0.0/16}}}}
subnets: {{a: {{vpc: main, cidr_block: 10.0.0.0/24}}}}
network_interfaces:
  silent: {{subnet: a}}
  sets:
    subnet: a
    connection_tracking_specification:
      {{tcp_established_timeout: 60, udp_timeout: 60, udp_stream_timeout: 90}}
profile: {{{profile}}}
"
        ));
        compile::compile(&topology, Passing::default(), &mut Names::default(), FIRST_EPOCH)
            .unwrap()
            .tables
            .timers
    };
    for (profile, tcp) in [("", 432_000), ("platform: nitro", 432_000), ("platform: nitro-v6", 350)]
    {
        let timers = timers(profile);
        let seconds = |eni, phase| Device::Eni(EniId(eni)).idle(phase, &timers).millis() / 1000;
        let times = |eni| {
            [Phase::Established, Phase::Request, Phase::Response, Phase::Stream, Phase::SynSent]
                .map(|phase| seconds(eni, phase))
        };
        assert_eq!(times(0), [tcp, 30, 30, 180, 120], "{profile}");
        assert_eq!(times(1), [60, 60, 60, 90, 120], "{profile}");
        let gone = Device::Eni(EniId(9)).idle(Phase::Established, &timers);
        assert_eq!(gone.millis() / 1000, tcp, "one that is gone");
    }
}

#[test]
fn a_translator_is_one_that_can_be() {
    let told = |nat64: &str| {
        let text = format!(
            "vpcs: {{main: {{cidr_block: 10.0.0.0/16}}}}\nprofile: {{nat64: {{{nat64}}}}}\n"
        );
        let report = check::read(&text, "test.yaml").err();
        let faults = report.iter().flat_map(|it| it.faults());
        faults.map(|fault| fault.message.clone()).collect::<Vec<_>>()
    };
    let whole = "
      prefix: 64:ff9b::/96, pool: 192.0.2.2, ports: 1-3000, icmp_source: 203.0.113.8, rules: rfc,
      static: [{protocol: tcp, inside: '[2001:db8::5]:2000', outside: '192.0.2.2:2000'}],
      mappings: [{ipv6: '2001:db8:3::/120', ipv4: 1.0.0.0/24}]";
    assert_eq!(told(whole), [""; 0]);
    for prefix in
        ["2001:db8::/32", "2001:db8:ff00::/40", "2001:db8::/48", "2001:db8::/56", "2001:db8::/64"]
    {
        assert_eq!(told(&format!("pool: none, prefix: '{prefix}'")), [""; 0]);
    }
    let refused = |nat64: &str, fault: &str| {
        assert!(told(nat64).contains(&fault.to_owned()), "{:?}", told(nat64))
    };
    refused("prefix: 64:ff9b::/96", "`profile.nat64` lacks `pool`");
    refused("pool: none, prefix: '2001:db8::/33'", "2001:db8::/33 is no prefix for IPv4");
    refused(
        "pool: none, prefix: '2001:db8:0:0:100::/96'",
        "bits 64 to 71 of 2001:db8:0:0:100::/96 are not zero",
    );
    refused("pool: none, ports: 1-2", "ports of a translator that has none");
    let bound =
        "pool: none, static: [{protocol: udp, inside: '[2001:db8::5]:1', outside: '192.0.2.2:1'}]";
    refused(bound, "192.0.2.2 is not the pool's");
}

#[test]
fn aliases_stand_for_what_they_name() {
    let topology = checked(
        "vpcs: {main: {cidr_block: 10.0.0.0/16}}
security_groups:
  a: {vpc: main, ingress: &rules [{protocol: tcp, ports: 80, source: 0.0.0.0/0}]}
  b: {vpc: main, ingress: *rules}
",
    );
    assert_eq!(topology.security_groups[0].ingress, topology.security_groups[1].ingress);
}

#[test]
fn what_is_no_topology_file_is_told_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("topology.yaml");
    let error = || check::load(&path).unwrap_err().to_string();
    assert!(error().contains("cannot read") && error().contains("No such file"), "{}", error());
    std::fs::write(&path, b"vpcs: \xff").unwrap();
    assert!(error().contains("not UTF-8") && error().contains("offset 6"), "{}", error());
    std::fs::File::create(&path).unwrap().set_len(check::LARGEST_FILE + 1).unwrap();
    assert!(error().contains("larger than 64 MiB"), "{}", error());
}

/// The largest account: 2,500 groups of 60 rules.
fn large() -> String {
    let mut text = String::from("vpcs: {main: {cidr_block: 10.0.0.0/16}}\nsecurity_groups:\n");
    for group in 0..2500 {
        text.push_str(&format!("  group-{group}:\n    vpc: main\n    ingress:\n"));
        for rule in 0..60 {
            let (low, high) = (1024 + rule, 2048 + rule);
            text.push_str(&format!(
                "      - {{protocol: tcp, ports: {low}-{high}, source: 10.{rule}.0.0/16}}\n"
            ));
        }
    }
    text
}

#[test]
fn a_hundred_and_fifty_thousand_rules_are_checked_in_seconds() {
    let text = large();
    let start = Instant::now();
    let topology = checked(&text);
    let took = start.elapsed();
    assert_eq!(
        topology.security_groups[..2500].iter().map(|group| group.ingress.len()).sum::<usize>(),
        150_000
    );
    let limit = Duration::from_secs(if cfg!(debug_assertions) { 60 } else { 4 });
    assert!(took < limit, "{took:?}");
    println!("{} bytes in {took:?}", text.len());
}
