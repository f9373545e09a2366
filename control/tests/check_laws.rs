//! Does the check survive whatever is fed to it, and give nothing twice?

use std::collections::HashSet;

use control::check;
use proptest::prelude::*;

/// Trees that look like topologies now and then.
fn tree() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "vpcs",
        "main",
        "default",
        "subnets",
        "a",
        "vpc",
        "cidr_block",
        "10.0.0.0/16",
        "10.0.0.0/24",
        "::/0",
        "ipv6_cidr_block",
        "2600:1f18:1234:5600::/56",
        "2600:1f18:1234:5601::/64",
        "ipv6_native",
        "ipv6_addresses",
        "2600:1f18:1234:5601::10",
        "egress_only_internet_gateways",
        "64:ff9b::/96",
        "icmpv6",
        "profile",
        "nat64",
        "pool",
        "internet_gateways",
        "nat_gateways",
        "subnet",
        "route_tables",
        "routes",
        "destination",
        "target",
        "blackhole",
        "nat_gateway/a",
        "security_groups",
        "ingress",
        "egress",
        "protocol",
        "tcp",
        "icmp",
        "ports",
        "1-70000",
        "source",
        "network_acls",
        "rule",
        "action",
        "allow",
        "100",
        "network_interfaces",
        "private_ip",
        "10.0.0.10",
        "public_ip",
        "auto",
        "internet",
        "hosts",
        "addresses",
        "serves",
        "echo",
        "prefix_lists",
        "id",
        "vpc-0",
        "true",
        "~",
        "''",
        "*x",
        "&x a",
        "!t a",
        "\"\\x00\"",
        "é",
        "-1",
        "map_public_ip_on_launch",
    ]);
    let leaf = word.clone().prop_map(str::to_owned);
    leaf.prop_recursive(6, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::vec((word.clone(), inner), 0..6).prop_map(|entries| {
                let entries: Vec<_> =
                    entries.iter().map(|(key, value)| format!("{key}: {value}")).collect();
                format!("{{{}}}", entries.join(", "))
            }),
        ]
    })
}

/// A right topology of any size: two VPCs, subnets of several sizes and families, some addresses declared and some not.
fn population() -> impl Strategy<Value = String> {
    let interface = (0..5usize, prop::option::of(4..12u8), 0..3u8);
    prop::collection::vec(interface, 0..40).prop_map(|interfaces| {
        let mut text = String::from(
            "vpcs:
  red: {cidr_block: 10.0.0.0/16, ipv6_cidr_block: '2600:1f18:1234:5600::/56'}
  blue: {cidr_block: 10.0.0.0/16, ipv6_cidr_block: '2600:1f18:1234:5700::/56'}
internet_gateways: {red: {vpc: red}, blue: {vpc: blue}}
subnets:
  s0: {vpc: red, cidr_block: 10.0.0.0/26}
  s1:
    vpc: red
    cidr_block: 10.0.1.0/24
    map_public_ip_on_launch: true
    ipv6_cidr_block: 2600:1f18:1234:5601::/64
    assign_ipv6_address_on_creation: true
  s2: {vpc: blue, cidr_block: 10.0.0.0/26, ipv6_cidr_block: '2600:1f18:1234:5702::/64'}
  s3: {vpc: blue, cidr_block: 10.0.1.0/24}
  s4: {vpc: blue, ipv6_native: true, ipv6_cidr_block: '2600:1f18:1234:5710::/60'}
nat_gateways: {n0: {subnet: s0}, n2: {subnet: s2, public_ips: [198.51.100.3]}}
network_interfaces:
",
        );
        let mut declared = HashSet::new();
        for (index, (subnet, address, public)) in interfaces.into_iter().enumerate() {
            text.push_str(&format!("  e{index}: {{subnet: s{subnet}"));
            let declared = address.filter(|last| declared.insert((subnet, *last)));
            // Of each subnet: a block of IPv6, and whether there is IPv4.
            let (ipv6, has_ipv4) = [
                (None, true),
                (Some("5601"), true),
                (Some("5702"), true),
                (None, true),
                (Some("5710"), false),
            ][subnet];
            if let Some(last) = declared.filter(|_| has_ipv4) {
                text.push_str(&format!(", private_ip: 10.0.{}.{last}", subnet % 2));
            }
            if let (Some(last), Some(block)) = (declared, ipv6) {
                text.push_str(&format!(", ipv6_addresses: ['2600:1f18:1234:{block}::{last:x}']"));
            }
            if has_ipv4 {
                text.push_str(["", ", public_ip: auto", ", public_ip: none"][usize::from(public)]);
            }
            text.push_str("}\n");
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let text = String::from_utf8_lossy(&bytes);
        let _ = check::read(&text, "test.yaml").map_err(|report| report.to_string());
    }

    #[test]
    fn arbitrary_trees_never_panic(text in tree()) {
        let _ = check::read(&text, "test.yaml").map_err(|report| report.to_string());
    }

    #[test]
    fn a_topology_cut_short_or_spoilt_never_panics(at in 0..1usize << 12, with in "[-\\[\\]{}:,#&*!|>'\"%@` \n\ta1.é]{0,3}") {
        let whole = include_str!("../../topologies/security-groups.yaml");
        let mut text = whole.to_owned();
        let at = whole.floor_char_boundary(at.min(whole.len()));
        text.insert_str(at, &with);
        let _ = check::read(&text, "test.yaml").map_err(|report| report.to_string());
        let _ = check::read(&text[..at + with.len()], "test.yaml").map_err(|report| report.to_string());
    }

    #[test]
    fn automatic_addresses_never_collide(text in population()) {
        let sound = check::read(&text, "test.yaml");
        let topology = sound.unwrap_or_else(|report| panic!("{report}")).topology;
        let (mut private, mut public) = (HashSet::new(), HashSet::new());
        let gateways = topology.nat_gateways.iter().flat_map(|it| {
            it.addresses.iter().map(|address| (it.subnet, Some(address.private_ip), address.public_ip))
        });
        let interfaces = topology.network_interfaces.iter().map(|it| (it.subnet, it.private_ip, it.public_ip));
        for (subnet, inside, outside) in gateways.chain(interfaces) {
            let subnet = &topology[subnet];
            prop_assert_eq!(inside.is_some(), subnet.cidr.is_some());
            let Some((inside, cidr)) = inside.zip(subnet.cidr) else { continue };
            prop_assert!(private.insert((subnet.vpc, inside)), "{inside} twice");
            prop_assert!(cidr.contains(&inside) && inside != cidr.broadcast());
            prop_assert!(u32::from(inside) - u32::from(cidr.network()) >= 4, "{inside} is reserved");
            prop_assert!(outside.is_none_or(|outside| public.insert(outside)), "{outside:?} twice");
        }
        let mut global = HashSet::new();
        for interface in &topology.network_interfaces {
            prop_assert!(interface.addresses().next().is_some(), "{} has no address", interface.name);
            for &address in &interface.ipv6_addresses {
                let cidr = topology[interface.subnet].ipv6_cidr.unwrap();
                prop_assert!(global.insert(address), "{address} twice");
                prop_assert!(cidr.contains(&address) && address != cidr.broadcast());
                prop_assert!(address.to_bits() - cidr.network().to_bits() >= 4, "{address} is reserved");
            }
        }
    }
}
