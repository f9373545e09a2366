use std::time::{Duration, Instant};

use dataplane::io::close_all;
use dataplane::io::tun::{Tun, TunOptions};
use tun_tap::{Iface, Mode};

use super::*;
use crate::runtime::device::{Device, Kind, Workshop};
use crate::runtime::test_host::{on_a_host, output, snapshot};

fn eni() -> Interface {
    interface(&["10.0.1.10/24"], &["10.0.1.1"], 9001)
}

fn dual_stack() -> Interface {
    let addresses = ["10.0.1.10/24", "2600:1f18:1234:5601::10/64", "2600:1f18:1234:5601::11/64"];
    interface(&addresses, &["10.0.1.1", "2600:1f18:1234:5601::1"], 9001)
}

fn ipv6_only() -> Interface {
    interface(&["2600:1f18:1234:5602::10/64"], &["2600:1f18:1234:5602::1"], 9001)
}

fn interface(addresses: &[&str], gateways: &[&str], mtu: u32) -> Interface {
    Interface {
        addresses: addresses.iter().map(|it| it.parse().unwrap()).collect(),
        gateways: gateways.iter().map(|it| it.parse().unwrap()).collect(),
        mtu,
    }
}

/// A TUN born in `home`.
fn tun(home: &Namespace) -> Iface {
    let open =
        || Iface::without_packet_info(NAME, Mode::Tun).expect("this test needs /dev/net/tun");
    home.enter(open).unwrap()
}

/// What `ip` prints inside of `namespace`.
fn ip(namespace: &Namespace, arguments: &[&str]) -> String {
    namespace.enter(|| output("ip", arguments)).unwrap()
}

#[test]
fn an_eni_has_lo_and_eth0_with_its_address_mtu_and_gateway() {
    on_a_host(|| {
        let before = snapshot();
        let target = Namespace::anonymous().unwrap();
        prepare(&target).unwrap();
        let tun = tun(&target);
        configure(&target, &eni()).unwrap();

        let links = ip(&target, &["-br", "link"]);
        let links: Vec<_> = links.lines().map(|l| l.split_whitespace().next().unwrap()).collect();
        assert_eq!(links, ["lo", "eth0"]);
        let eth0 = ip(&target, &["-o", "link", "show", "eth0"]);
        assert!(eth0.contains("mtu 9001") && eth0.contains(",UP,LOWER_UP"), "{eth0}");
        assert!(eth0.contains(" qlen 4096"), "{eth0}");
        let lo = ip(&target, &["-o", "address", "show", "lo"]);
        assert!(lo.contains("127.0.0.1/8") && !lo.contains("inet6"), "{lo}");
        let address = ip(&target, &["-br", "address", "show", "eth0"]);
        assert_eq!(
            address.split_whitespace().collect::<Vec<_>>(),
            ["eth0", "UNKNOWN", "10.0.1.10/24"]
        );
        assert_eq!(
            ip(&target, &["route"]).lines().map(str::trim).collect::<Vec<_>>(),
            [
                "default via 10.0.1.1 dev eth0 proto static",
                "10.0.1.0/24 dev eth0 proto kernel scope link src 10.0.1.10"
            ]
        );
        drop((tun, target));
        assert_eq!(snapshot(), before);
    });
}

/// What `tc` prints of the queues before the device of `namespace`, a line each.
fn queues(namespace: &Namespace) -> Vec<String> {
    let said = namespace.enter(|| output("tc", &["qdisc", "show", "dev", NAME])).unwrap();
    said.lines().map(str::to_owned).collect()
}

fn set_queues(namespace: &Namespace, words: &[&str]) {
    let before = ["qdisc", words[0], "dev", NAME, "root"];
    let _ = namespace.enter(|| output("tc", &[&before, &words[1..]].concat())).unwrap();
}

/// As [`tun`], with room for as many queues as workers may ever want, as hypertun's own devices have.
fn rich_tun(home: &Namespace) -> Tun {
    let open = || Tun::open(NAME, &TunOptions { gso: true }).expect("this test needs /dev/net/tun");
    home.enter(open).unwrap()
}

#[test]
fn nothing_waits_before_the_device_unless_somebody_wants_it() {
    let target = Namespace::anonymous().unwrap();
    prepare(&target).unwrap();
    let _tun = rich_tun(&target);
    configure(&target, &eni()).unwrap();
    let none = |queues: &[String]| queues.len() == 1 && queues[0].starts_with("qdisc noqueue ");
    assert!(none(&queues(&target)), "{:?}", queues(&target));
    // Under `apply` they stay away, and what somebody has put there stays.
    reconfigure(&target, &eni(), &dual_stack()).unwrap();
    assert!(none(&queues(&target)), "{:?}", queues(&target));
    set_queues(&target, &["replace", "pfifo", "limit", "77"]);
    reconfigure(&target, &dual_stack(), &eni()).unwrap();
    spare_queues(&target, NAME).unwrap();
    let kept = queues(&target);
    assert!(
        kept.len() == 1 && kept[0].contains("qdisc pfifo ") && kept[0].contains(" 77p"),
        "{kept:?}"
    );
    // What an engine brings up has the kernel's.
    set_queues(&target, &["delete"]);
    assert!(queues(&target)[0].starts_with("qdisc mq "), "{:?}", queues(&target));
    spare_queues(&target, NAME).unwrap();
    assert!(none(&queues(&target)), "{:?}", queues(&target));
}

#[test]
fn an_internet_host_has_all_its_addresses_and_a_default_route_to_the_link() {
    let target = Namespace::anonymous().unwrap();
    prepare(&target).unwrap();
    let _tun = tun(&target);
    let addresses =
        ["203.0.113.90/32", "203.0.113.91/32", "2001:db8:90::90/128", "2001:db8:90::91/128"];
    configure(&target, &interface(&addresses, &[], 1500)).unwrap();
    let address = ip(&target, &["-br", "address", "show", "eth0"]);
    assert!(address.contains("203.0.113.90/32 203.0.113.91/32"), "{address}");
    for v6 in &addresses[2..] {
        assert!(address.contains(v6), "{address}");
    }
    assert_eq!(ip(&target, &["route"]).trim(), "default dev eth0 proto static scope link");
    let route = ip(&target, &["route", "get", "198.51.100.1"]);
    assert!(route.contains("dev eth0 src 203.0.113.90"), "{route}");
    let route = ip(&target, &["-6", "route", "get", "2600:1f18::1"]);
    assert!(route.contains("dev eth0") && !route.contains("via"), "{route}");
}

/// What `ip` prints of the routes and addresses of IPv6, a line each, without what a kernel adds.
fn ipv6_of(namespace: &Namespace) -> (Vec<String>, Vec<String>) {
    let lines = |arguments: &[&str]| {
        let text = ip(namespace, arguments);
        let mut lines: Vec<String> =
            text.lines().map(|it| it.split(" metric").next().unwrap().trim().to_owned()).collect();
        lines.sort();
        lines
    };
    (lines(&["-6", "route"]), lines(&["-6", "-o", "address"]))
}

#[test]
fn ipv6_is_there_where_an_address_is_of_it_and_nothing_but_what_was_given() {
    let target = Namespace::anonymous().unwrap();
    prepare(&target).unwrap();
    let _tun = tun(&target);
    let on_link = |subnet: &str, router: &str| {
        [
            format!("{subnet} dev eth0 proto kernel"),
            format!("default via {router} dev eth0 proto static"),
        ]
    };
    configure(&target, &dual_stack()).unwrap();
    let (routes, addresses) = ipv6_of(&target);
    assert_eq!(routes, on_link("2600:1f18:1234:5601::/64", "2600:1f18:1234:5601::1"));
    let [lo, first, second] = &addresses[..] else { panic!("{addresses:?}") };
    assert!(lo.contains("::1/128"), "{lo}");
    for (line, address) in [(first, "5601::10/64"), (second, "5601::11/64")] {
        assert!(line.contains(address) && line.contains("global"), "{line}");
        assert!(line.contains("nodad") && !line.contains("tentative"), "usable at once: {line}");
    }
    assert!(ip(&target, &["route"]).contains("default via 10.0.1.1"), "and IPv4 beside it");
    // Under `apply`: of IPv6 alone, of both again, of IPv4 alone.
    reconfigure(&target, &dual_stack(), &ipv6_only()).unwrap();
    let (routes, addresses) = ipv6_of(&target);
    assert_eq!(routes, on_link("2600:1f18:1234:5602::/64", "2600:1f18:1234:5602::1"));
    assert!(addresses.len() == 2 && addresses[1].contains("5602::10/64"), "{addresses:?}");
    assert_eq!(ip(&target, &["-4", "-o", "address", "show", "eth0"]), "");
    assert_eq!(ip(&target, &["-4", "route"]), "");
    reconfigure(&target, &ipv6_only(), &dual_stack()).unwrap();
    assert_eq!(ipv6_of(&target).1.len(), 3);
    reconfigure(&target, &dual_stack(), &eni()).unwrap();
    assert_eq!(ipv6_of(&target), (vec![], vec![]));
    assert!(ip(&target, &["route"]).contains("default via 10.0.1.1"));
}

#[test]
fn ipv6_packets_pass_and_own_addresses_are_reached() {
    let target = Namespace::anonymous().unwrap();
    prepare(&target).unwrap();
    let tun = tun(&target);
    configure(&target, &dual_stack()).unwrap();
    target
        .enter(|| {
            let socket = std::net::UdpSocket::bind("[2600:1f18:1234:5601::10]:4000").unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
            for to in ["[2600:1f18:1234:5601::10]:4000", "[2001:db8::9]:7"] {
                let _ = socket.send_to(b"hello", to);
            }
            let mut bytes = [0; 16];
            assert_eq!(socket.recv(&mut bytes).unwrap(), 5, "by lo");
        })
        .unwrap();
    let mut packet = [0; 2000];
    let length = tun.recv(&mut packet).unwrap();
    assert_eq!((length, packet[0] >> 4), (40 + 8 + 5, 6));
    let address = |at: usize| std::net::Ipv6Addr::from(*packet[at..].first_chunk::<16>().unwrap());
    assert_eq!(address(8), "2600:1f18:1234:5601::10".parse::<std::net::Ipv6Addr>().unwrap());
    assert_eq!(address(24), "2001:db8::9".parse::<std::net::Ipv6Addr>().unwrap());
}

#[test]
fn nothing_leaves_a_namespace_in_which_nothing_runs() {
    let target = Namespace::anonymous().unwrap();
    prepare(&target).unwrap();
    let tun = tun(&target);
    tun.set_non_blocking().unwrap();
    configure(&target, &dual_stack()).unwrap();
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        let mut packet = [0; 2000];
        match tun.recv(&mut packet) {
            Ok(length) => panic!("a packet: {:02x?}", &packet[..length]),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn packets_pass_after_the_move() {
    let (home, target) = (Namespace::anonymous().unwrap(), Namespace::anonymous().unwrap());
    prepare(&target).unwrap();
    let tun = tun(&home);
    adopt(&home, NAME, &target, NAME).unwrap();
    configure(&target, &eni()).unwrap();
    target
        .enter(|| {
            let socket = std::net::UdpSocket::bind("10.0.1.10:4000").unwrap();
            socket.send_to(b"hello", "203.0.113.9:7").unwrap();
        })
        .unwrap();
    let mut packet = [0; 2000];
    let length = tun.recv(&mut packet).unwrap();
    assert_eq!(length, 20 + 8 + 5);
    assert_eq!(packet[12..20], [10, 0, 1, 10, 203, 0, 113, 9]);
}

#[test]
fn what_cannot_be_is_refused_with_a_sentence() {
    let target = Namespace::anonymous().unwrap();
    prepare(&target).unwrap();
    assert!(matches!(configure(&target, &eni()), Err(Error::NoLink(_))));
    let other = Namespace::anonymous().unwrap();
    assert!(matches!(adopt(&other, "tun9", &target, NAME), Err(Error::NoLink(_))));
    let _tun = tun(&target);
    for gateway in ["192.0.2.1", "2001:db8::1"] {
        let target = Namespace::anonymous().unwrap();
        prepare(&target).unwrap();
        let _tun = tun(&target);
        let astray = Interface { gateways: vec![gateway.parse().unwrap()], ..dual_stack() };
        let refused = configure(&target, &astray).unwrap_err().to_string();
        assert!(refused.starts_with("cannot give eth0 a default route: "), "{refused}");
    }
}

/// Nobody waits long for namespaces with a link each, be they made or removed: of forty that the kernel moved there, or took
/// down, one after the other, each would cost 20 ms.
#[test]
fn forty_namespaces_with_a_link_each_are_made_and_removed_in_time() {
    on_a_host(|| {
        let workshop = Workshop::new(Kind::Auto, TunOptions::default(), 2);
        let begin = Instant::now();
        let made: Vec<Device> = (0..40)
            .map(|i| {
                let home = Namespace::named(&format!("many:{i}")).unwrap();
                prepare(&home).unwrap();
                workshop.make(&home, &eni()).unwrap()
            })
            .collect();
        let up = begin.elapsed();
        (0..40).for_each(|i| Namespace::remove(&format!("many:{i}")).unwrap());
        close_all(made);
        let down = begin.elapsed() - up;
        println!("40 namespaces: up in {up:?}, down in {down:?}");
        assert!(up.max(down) < Duration::from_millis(600), "{up:?}, {down:?}");
    });
}
