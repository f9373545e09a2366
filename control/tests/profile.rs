//! Does each key of `profile` set what it names, in the tables too, and nothing else?

use control::check::{self, Checked, Profile, profile_keys};
use control::compile::{self, FIRST_EPOCH, Names, Passing};
use control::model::{Platform, PortRange};
use dataplane::packet::{EniId, NatGatewayId};
use dataplane::state::{Device, Phase};
use dataplane::tables::{IcmpErrors, Timers};
use dataplane::time::Span;

fn checked(profile: &str) -> Checked {
    let text = format!(
        "
vpcs: {{main: {{cidr_block: 10.0.0.0/16}}}}
internet_gateways: {{igw: {{vpc: main}}}}
subnets: {{a: {{vpc: main, cidr_block: 10.0.0.0/24}}}}
nat_gateways: {{nat: {{subnet: a}}}}
profile: {{{profile}}}
"
    );
    check::read(&text, "test.yaml").unwrap_or_else(|report| panic!("{report}")).topology
}

/// What a key changes.
type Change = fn(&mut Profile);

/// Every key, with another value than its default, and what that changes.
const KEYS: [(&str, &str, Change); 25] = [
    ("platform", "nitro-v6", |it| {
        it.platform = Platform::NitroV6;
        it.timers.tracking_tcp_established = Span::seconds(350);
    }),
    ("nat_udp_idle_timeout", "77", |it| it.timers.nat_udp_idle = Span::seconds(77)),
    ("nat_icmp_idle_timeout", "78", |it| it.timers.nat_icmp_idle = Span::seconds(78)),
    ("nat_port_rest", "79", |it| it.timers.nat_port_rest = Span::seconds(79)),
    ("nat_ports", "2000-2999", |it| it.nat_ports = PortRange { first: 2000, last: 2999 }),
    ("nat_connections_per_destination", "80", |it| it.nat_connections = 80),
    ("nat_resets_unmapped_tcp", "false", |it| it.choices.nat_resets_unmapped = false),
    ("nat_resets_exhausted_tcp", "true", |it| it.choices.nat_resets_exhausted = true),
    ("nat_prefers_least_used_address", "true", |it| it.choices.nat_prefers_least_used = true),
    ("nat_outside_reset_ends_mapping", "false", |it| it.choices.nat_outside_reset_ends = false),
    ("nat_outside_refreshes_mapping", "false", |it| it.choices.nat_outside_refreshes = false),
    ("nat_mss_clamp", "1400", |it| it.choices.nat_mss_clamp = 1400),
    ("nat_path_mtu_discovery", "false", |it| it.choices.nat_tells_mtu = false),
    ("nat_unsolicited_counts_as_drop", "true", |it| it.choices.nat_counts_unsolicited = true),
    ("eigw_idle_timeout", "84", |it| it.timers.egress_only_idle = Span::seconds(84)),
    ("igw_hairpin", "false", |it| it.choices.igw_hairpin = false),
    ("tracking_tcp_transitory_timeout", "81", |it| {
        it.timers.tracking_tcp_transitory = Span::seconds(81);
    }),
    ("tracking_icmp_timeout", "82", |it| it.timers.tracking_icmp = Span::seconds(82)),
    ("tracking_tcp_pickup", "false", |it| it.choices.tracking_tcp_pickup = false),
    ("tracking_icmp_errors", "documented", |it| {
        it.choices.tracking_icmp_errors = IcmpErrors::Documented;
    }),
    ("tracking_connections", "83", |it| it.choices.tracking_connections = Some(83)),
    ("apprunner_refuses_public_subnets", "true", |it| it.refuses_public_subnets = true),
    ("apprunner_idle_reclaim", "true", |it| it.app_runner_reclaims = true),
    ("hyperplane_eni_creation", "120", |it| it.hyperplane_creation = Span::seconds(120)),
    ("link_local_packets_per_second", "1024", |it| {
        it.choices.link_local_packets = Some(1024);
    }),
];

#[test]
fn each_key_sets_what_it_names() {
    let names: Vec<_> = profile_keys().into_iter().map(|key| key.name).collect();
    assert_eq!(names, KEYS.map(|(name, ..)| name));
    assert_eq!(checked("").profile, Profile::default());
    for (name, value, set) in KEYS {
        let mut expected = Profile::default();
        set(&mut expected);
        assert_ne!(expected, Profile::default(), "{name}");
        let topology = checked(&format!("{name}: {value}"));
        assert_eq!(topology.profile, expected, "{name}");

        let compiled =
            compile::compile(&topology, Passing::default(), &mut Names::default(), FIRST_EPOCH);
        let tables = compiled.unwrap().tables;
        let enis = tables.timers.enis.clone();
        assert_eq!(tables.timers, Timers { enis, ..expected.timers }, "{name}");
        assert_eq!(tables.choices, expected.choices, "{name}");
        let ports = tables.nat_gateways.at(0_usize).ports;
        assert_eq!((ports.first, ports.last), (expected.nat_ports.first, expected.nat_ports.last));
        assert_eq!(ports.limit, expected.nat_connections, "{name}");
    }
}

#[test]
fn each_memory_has_its_own_time() {
    let seconds = Span::seconds;
    let timers = Timers {
        nat_tcp_idle: seconds(1),
        nat_udp_idle: seconds(2),
        nat_icmp_idle: seconds(3),
        nat_port_rest: seconds(4),
        tracking_tcp_established: seconds(5),
        tracking_tcp_transitory: seconds(6),
        tracking_udp: seconds(7),
        tracking_udp_stream: seconds(8),
        tracking_icmp: seconds(9),
        tracking_other: seconds(10),
        ..Timers::default()
    };
    let [nat, eni] = [Device::NatGateway(NatGatewayId(0)), Device::Eni(EniId(0))];
    for (phase, at_nat, at_eni) in [
        (Phase::SynSent, 1, 6),
        (Phase::SynReceived, 1, 6),
        (Phase::Established, 1, 5),
        (Phase::OriginalFin, 1, 6),
        (Phase::ReplyFin, 1, 6),
        (Phase::Closed, 4, 6),
        (Phase::Request, 2, 7),
        (Phase::Response, 2, 7),
        (Phase::SecondRequest, 2, 7),
        (Phase::Stream, 2, 8),
        (Phase::Icmp, 3, 9),
        (Phase::Other, 1, 10),
    ] {
        let idle = |device: Device| device.idle(phase, &timers).millis() / 1000;
        assert_eq!((idle(nat), idle(eni)), (at_nat, at_eni), "{phase:?}");
    }
}
