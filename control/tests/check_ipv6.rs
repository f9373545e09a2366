//! Does the check fill in what a file leaves out of IPv6, and keep the families apart?

use std::net::Ipv6Addr;

use control::check::{self, Checked, Peer, RouteTarget, Running, Traffic};
use control::compile::{self, FIRST_EPOCH, Names, Passing};
use dataplane::packet::{Addr, EgressOnlyInternetGatewayId, InternetGatewayId, VpcId};
use dataplane::tables::{Gateway, Public, Tables, Target};

fn checked(text: &str) -> Checked {
    check::read(text, "test.yaml").unwrap_or_else(|report| panic!("{report}")).topology
}

fn tables(topology: &Checked) -> Tables {
    let compiled =
        compile::compile(topology, Passing::default(), &mut Names::default(), FIRST_EPOCH);
    compiled.expect("few things are named").tables
}

fn v6(text: &str) -> Ipv6Addr {
    text.parse().expect("an IPv6 address")
}

fn addr(text: &str) -> Addr {
    text.parse::<std::net::IpAddr>().expect("an address").into()
}

const DUAL: &str = "
vpcs:
  main: {cidr_block: 10.0.0.0/16, ipv6_cidr_block: 2600:1f18:1234:5600::/56}
  plain: {cidr_block: 10.0.0.0/16}
internet_gateways:
  igw: {vpc: main}
egress_only_internet_gateways:
  eigw: {vpc: main}
subnets:
  assigns: {vpc: main, cidr_block: 10.0.0.0/24, ipv6_cidr_block: '2600:1f18:1234:5601::/64', assign_ipv6_address_on_creation: true}
  asks: {vpc: main, cidr_block: 10.0.1.0/24, ipv6_cidr_block: '2600:1f18:1234:5602::/64', route_table: out}
  alone: {vpc: main, ipv6_native: true, ipv6_cidr_block: '2600:1f18:1234:5603::/64'}
  plain: {vpc: plain, cidr_block: 10.0.0.0/24}
route_tables:
  out: {vpc: main, routes: [{destination: '::/0', target: eigw}, {destination: 'fd00::/8', target: blackhole}]}
security_groups:
  new: {vpc: main}
  old: {vpc: plain}
network_interfaces:
  first: {subnet: assigns}
  none: {subnet: assigns, ipv6_addresses: []}
  given: {subnet: assigns, ipv6_addresses: ['2600:1f18:1234:5601::5', '2600:1f18:1234:5601::4']}
  last: {subnet: assigns}
  silent: {subnet: asks}
  chosen: {subnet: asks, ipv6_addresses: ['2600:1f18:1234:5602:1::1']}
  alone: {subnet: alone}
  plain: {subnet: plain}
";

#[test]
fn groups_acls_and_tables_of_a_vpc_with_ipv6_have_what_is_new_of_both_families() {
    let topology = checked(DUAL);
    let blocks = |group: usize| {
        let rules = topology.security_groups[group].egress.iter();
        let blocks = rules.map(|rule| match (rule.traffic, rule.peer) {
            (Traffic::All, Peer::Cidr(block)) => block.to_string(),
            other => panic!("{other:?}"),
        });
        blocks.collect::<Vec<_>>()
    };
    let [main, plain] = &topology.vpcs[..] else { panic!() };
    for (group, expected) in [
        (0, &["0.0.0.0/0", "::/0"][..]),
        (1, &["0.0.0.0/0"]),
        (main.default_group.0, &["0.0.0.0/0", "::/0"]),
        (plain.default_group.0, &["0.0.0.0/0"]),
    ] {
        assert_eq!(blocks(group), expected, "{}", topology.security_groups[group].id);
    }
    for (vpc, expected) in
        [(main, &[(100, "0.0.0.0/0"), (101, "::/0")][..]), (plain, &[(100, "0.0.0.0/0")])]
    {
        let acl = &topology[vpc.default_acl];
        for side in [&acl.ingress, &acl.egress] {
            let rules: Vec<_> = side.iter().map(|it| (it.number, it.cidr.to_string())).collect();
            let expected: Vec<_> =
                expected.iter().map(|&(number, cidr)| (number, cidr.to_owned())).collect();
            assert_eq!(rules, expected, "{}", vpc.name);
        }
    }
    let tables = tables(&topology);
    let main_table = tables.route_tables.at(topology.vpcs[0].main_table.0);
    let (local, target) = main_table.longest(addr("2600:1f18:1234:56ff::1")).unwrap();
    assert_eq!((local.to_string().as_str(), target), ("2600:1f18:1234:5600::/56", Target::Local));
    assert_eq!(main_table.longest(addr("2600:1f18:1234:5700::1")), None);
}

#[test]
fn addresses_are_given_from_the_fourth_on_where_a_subnet_assigns_them() {
    let topology = checked(DUAL);
    let given: Vec<_> = topology
        .network_interfaces
        .iter()
        .map(|it| {
            let ipv6: Vec<_> = it.ipv6_addresses.iter().map(ToString::to_string).collect();
            (it.name.as_str(), it.private_ip.map(|it| it.to_string()), ipv6.join(" "))
        })
        .collect();
    let expected = [
        ("first", Some("10.0.0.4"), "2600:1f18:1234:5601::6"),
        ("none", Some("10.0.0.5"), ""),
        ("given", Some("10.0.0.6"), "2600:1f18:1234:5601::5 2600:1f18:1234:5601::4"),
        ("last", Some("10.0.0.7"), "2600:1f18:1234:5601::7"),
        ("silent", Some("10.0.1.4"), ""),
        ("chosen", Some("10.0.1.5"), "2600:1f18:1234:5602:1::1"),
        ("alone", None, "2600:1f18:1234:5603::4"),
        ("plain", Some("10.0.0.4"), ""),
    ];
    let expected =
        expected.map(|(name, v4, v6)| (name, v4.map(str::to_owned), v6.to_owned())).to_vec();
    assert_eq!(given, expected);
    assert_eq!(topology.vpcs[0].egress_only.map(|it| topology[it].name.as_str()), Some("eigw"));
    assert!(topology.egress_only_internet_gateways[0].id.starts_with("eigw-0"));
    let [assigns, _, alone, plain] = &topology.subnets[..] else { panic!() };
    assert_eq!(assigns.ipv6_router(), Some(v6("2600:1f18:1234:5601::1")));
    assert_eq!((alone.router(), alone.ipv6_router()), (None, Some(v6("2600:1f18:1234:5603::1"))));
    assert_eq!(plain.ipv6_router(), None);
}

#[test]
fn what_runs_keeps_its_ipv6_address_where_nobody_claims_it() {
    let running = checked(DUAL);
    let over = |old: &str, new: &str| {
        assert!(DUAL.contains(old), "{old}");
        let running = Running { topology: &running, draining: &[], born: &[] };
        let sound = check::read_over(running, &DUAL.replace(old, new), "test.yaml");
        sound.unwrap_or_else(|report| panic!("{report}")).topology
    };
    let named = |topology: &Checked, name: &str| {
        let found = topology.network_interfaces.iter().find(|it| it.name == name).unwrap();
        found.ipv6_addresses.clone()
    };
    let grown = over("  first:", "  new: {subnet: assigns}\n  first:");
    assert_eq!(check::readdressed(&running, &grown), [""; 0]);
    assert_eq!(named(&grown, "first"), [v6("2600:1f18:1234:5601::6")]);
    assert_eq!(named(&grown, "new"), [v6("2600:1f18:1234:5601::8")]);
    let claims = "  new: {subnet: assigns, ipv6_addresses: ['2600:1f18:1234:5601::6']}\n  first:";
    let claimed = over("  first:", claims);
    assert_eq!(check::readdressed(&running, &claimed), ["network_interfaces first"]);
    assert_eq!(named(&claimed, "first"), [v6("2600:1f18:1234:5601::8")]);
    let moved = over("  last: {subnet: assigns}", "  last: {subnet: alone}");
    assert_eq!(check::readdressed(&running, &moved), ["network_interfaces last"]);
    assert_eq!(named(&moved, "last"), [v6("2600:1f18:1234:5603::5")]);
    let off =
        over("assign_ipv6_address_on_creation: true", "assign_ipv6_address_on_creation: false");
    assert!(named(&off, "first").is_empty(), "no longer assigned");
}

#[test]
fn the_internet_knows_global_addresses_of_vpcs_that_a_gateway_leads_to() {
    let topology = checked(&format!(
        "{DUAL}internet: {{hosts: {{partner.example: {{addresses: ['2001:db8:90::90', 203.0.113.90]}}}}}}"
    ));
    let tables = tables(&topology);
    let of = |text: &str| tables.internet.get(&addr(text)).copied();
    let gateway = Gateway::Internet(InternetGatewayId(0));
    let expected = Some(Public::Ipv6 { vpc: VpcId(0), gateway });
    assert_eq!(of("2600:1f18:1234:5601::6"), expected);
    assert_eq!(of("2600:1f18:1234:5603::4"), expected);
    assert_eq!(of("2600:1f18:1234:5601::1"), None);
    assert!(matches!(of("2001:db8:90::90"), Some(Public::Host(_))));
    assert!(matches!(of("203.0.113.90"), Some(Public::Host(_))));

    let without = DUAL.replace("internet_gateways:\n  igw: {vpc: main}\n", "");
    let tables = self::tables(&checked(&without));
    let gateway = Gateway::EgressOnly(EgressOnlyInternetGatewayId(0));
    let found = tables.internet.get(&addr("2600:1f18:1234:5601::6")).copied();
    assert_eq!(found, Some(Public::Ipv6 { vpc: VpcId(0), gateway }));

    let local = DUAL.replace("2600:1f18:1234:56", "fd12:3456:789a:56");
    let tables = self::tables(&checked(&local));
    let is_known = tables.internet.keys().any(|it| !it.is_v4());
    assert!(!is_known, "unique local addresses are nobody's on the internet");
    assert!(tables.vpc(VpcId(0)).holders.contains_key(&addr("fd12:3456:789a:5601::6")));
}

#[test]
fn routes_of_both_families_are_canonical_and_lead_where_they_may() {
    let sound = check::read(
        "
vpcs: {main: {cidr_block: 10.0.0.0/16, ipv6_cidr_block: '2600:1f18:1234:5600::/56'}}
internet_gateways: {gw: {vpc: main}}
egress_only_internet_gateways: {gw: {vpc: main}}
subnets: {a: {vpc: main, cidr_block: 10.0.0.0/24}}
route_tables:
  out:
    vpc: main
    routes:
      - {destination: '2001:db8::1/33', target: internet_gateway/gw}
      - {destination: '::/0', target: egress_only_internet_gateway/gw}
      - {destination: 0.0.0.0/0, target: internet_gateway/gw}
",
        "test.yaml",
    )
    .unwrap_or_else(|report| panic!("{report}"));
    let message = |fault: &control::diagnostic::Fault| fault.message.clone();
    assert_eq!(
        sound.warnings.faults().iter().map(message).collect::<Vec<_>>(),
        ["2001:db8::1/33 has host bits: 2001:db8::/33 is meant"]
    );
    let routes = &sound.topology.route_tables[0].routes;
    let routes: Vec<_> = routes.iter().map(|it| (it.destination.to_string(), it.target)).collect();
    let internet = RouteTarget::InternetGateway(check::InternetGatewayIndex(0));
    let egress_only =
        RouteTarget::EgressOnlyInternetGateway(check::EgressOnlyInternetGatewayIndex(0));
    let expected = [("2001:db8::/33", internet), ("::/0", egress_only), ("0.0.0.0/0", internet)];
    assert_eq!(routes, expected.map(|(block, target)| (block.to_owned(), target)));
}

#[test]
fn icmpv6_is_a_protocol_of_its_own_with_types_and_codes() {
    let topology = checked(
        "
vpcs: {main: {cidr_block: 10.0.0.0/16, ipv6_cidr_block: '2600:1f18:1234:5600::/56'}}
security_groups:
  web:
    vpc: main
    ingress:
      - {protocol: icmpv6, source: '::/0'}
      - {protocol: 58, type: 2, source: '::/0'}
      - {protocol: icmpv6, type: 1, code: 4, source: web}
",
    );
    let traffic = |icmp_type, icmp_code| Traffic::Icmpv6 { icmp_type, icmp_code };
    let rules = topology.security_groups[0].ingress.iter();
    assert_eq!(
        rules.map(|rule| rule.traffic).collect::<Vec<_>>(),
        [traffic(None, None), traffic(Some(2), None), traffic(Some(1), Some(4))]
    );
}

#[test]
fn quotas_hold_for_each_family_by_itself() {
    let warnings = |text: &str| {
        let sound = check::read(text, "test.yaml").unwrap_or_else(|report| panic!("{report}"));
        let faults = sound.warnings.faults().iter().map(|fault| fault.message.clone());
        faults.collect::<Vec<_>>()
    };
    let vpc = "vpcs: {main: {cidr_block: 10.0.0.0/16}}\nprefix_lists: {l: ['2001:db8::/48', '2001:db8:1::/48']}\n";
    let rules = |peers: &[(usize, &str)]| {
        let rules = peers.iter().flat_map(|&(count, peer)| {
            (1..=count)
                .map(move |port| format!("{{protocol: tcp, ports: {port}, source: '{peer}'}}"))
        });
        rules.collect::<Vec<_>>().join(", ")
    };
    let group = |peers: &[(usize, &str)]| {
        format!("{vpc}security_groups: {{g: {{vpc: main, ingress: [{}]}}}}\n", rules(peers))
    };
    let told = |family: &str| {
        format!("61 {family} rules of one side of a security group: the default quota is 60")
    };
    let (v4, v6) = ("10.0.0.0/16", "::/0");
    assert_eq!(warnings(&group(&[(60, v4), (60, v6)])), [""; 0]);
    assert_eq!(warnings(&group(&[(60, v4), (61, v6)])), [told("IPv6")]);
    assert_eq!(warnings(&group(&[(58, v6), (1, "l"), (60, v4)])), [""; 0]);
    assert_eq!(warnings(&group(&[(59, v6), (1, "l"), (60, v4)])), [told("IPv6")]);
    assert_eq!(warnings(&group(&[(60, v4), (60, v6), (1, "g")])), [told("IPv4"), told("IPv6")]);

    let acl = |v4: usize, v6: usize| {
        let rule = |number, source| {
            format!("{{rule: {number}, action: deny, protocol: all, source: '{source}'}}")
        };
        let rules = (1..=v4).map(|number| rule(number, "10.0.0.0/8"));
        let rules = rules.chain((101..=100 + v6).map(|number| rule(number, "::/0")));
        let rules = rules.collect::<Vec<_>>().join(", ");
        format!("{vpc}network_acls: {{a: {{vpc: main, ingress: [{rules}]}}}}\n")
    };
    assert_eq!(warnings(&acl(20, 20)), [""; 0]);
    let message = "21 IPv6 rules of one side of a network ACL: the default quota is 20";
    assert_eq!(warnings(&acl(20, 21)), [message]);

    let table = |v6: usize| {
        let route = |block: String| format!("{{destination: '{block}', target: blackhole}}");
        let routes =
            (0..500).map(|index| route(format!("172.{}.{}.0/24", 16 + index / 256, index % 256)));
        let routes = routes.chain((0..v6).map(|index| route(format!("2001:db8:{index:x}::/48"))));
        let routes = routes.collect::<Vec<_>>().join(", ");
        format!("{vpc}route_tables: {{t: {{vpc: main, routes: [{routes}]}}}}\n")
    };
    assert_eq!(warnings(&table(500)), [""; 0]);
    assert_eq!(warnings(&table(501)), ["501 IPv6 routes of a table: the default quota is 500"]);
}
