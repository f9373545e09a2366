//! What happens at a NAT gateway over minutes, and to the bytes that it does not understand.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a test is nobody's library, and fails by panic"
)]

mod common;

use std::net::Ipv4Addr;

use common::datagram::{ACK, Datagram, FIN, Payload, RST, SYN, tcp, udp};
use common::net::Net;
use common::topology::{APP, DB, INTERNET, Topology, address, address6, nat64};
use dataplane::packet::{Addr, Component, LinkId, NatGatewayId, Reason, SubnetId};
use dataplane::shared::PortRange;
use dataplane::tables::{InternetGateway, NatAddress, NatGateway};
use etherparse::{
    IpNumber, Ipv4Header, Ipv4HeaderSlice, Ipv6Header, TcpHeader, TcpHeaderSlice, TcpOptionElement,
};

/// Opens and closes a connection; whether it got a port.
fn short_connection(net: &mut Net, number: u32) -> bool {
    let (client, server) = (APP, (address(INTERNET), 443));
    let port = u16::try_from(1024 + number % 60_000).unwrap();
    let from = (address(client), port);
    let syn = net.send_datagram(client, &tcp(from, server, SYN, b""));
    let Some(emitted) = syn.emitted else {
        let full = (Reason::NatPortAllocation, Component::NatGateway(NatGatewayId(0)));
        assert_eq!(syn.dropped, Some(full));
        return false;
    };
    let Datagram { src, payload: Payload::Tcp { ports, .. }, .. } = Datagram::read(&emitted.bytes)
    else {
        panic!("a SYN")
    };
    let back = (src, ports.0);
    net.send_datagram(INTERNET, &tcp(server, back, SYN | ACK, b"")).at(client);
    net.send_datagram(client, &tcp(from, server, FIN | ACK, b"")).at(INTERNET);
    net.send_datagram(INTERNET, &tcp(server, back, FIN | ACK, b"")).at(client);
    true
}

#[test]
fn n9_a_thousand_short_connections_a_second_run_out_of_ports_after_55_seconds() {
    let mut net = Net::new(&Topology::default());
    let (mut made, mut first_failure, mut failures) = (0, None, 0);
    for second in 0..70 {
        for _ in 0..1000 {
            let succeeded = short_connection(&mut net, made + failures);
            made += u32::from(succeeded);
            failures += u32::from(!succeeded);
            if !succeeded {
                first_failure.get_or_insert(second);
            }
        }
        net.advance(1);
    }
    net.check();
    assert_eq!(first_failure, Some(55), "55,000 ports at 1,000 a second");
    // From the 61st second on as many ports are free again as were closed a minute before.
    assert_eq!((made, failures), (65_000, 5_000));
}

#[test]
fn a_connection_in_which_one_side_is_silent_for_a_month_ends_350_s_after_the_other() {
    let mut net = Net::new(&Topology::default());
    let (client, server) = ((address(APP), 40_000), (address(INTERNET), 443));
    let syn = net.send_datagram(APP, &tcp(client, server, SYN, b"")).at(INTERNET);
    let Payload::Tcp { ports, .. } = syn.payload else { panic!("a SYN") };
    let answer = tcp(server, (syn.src, ports.0), SYN | ACK, b"");
    net.send_datagram(INTERNET, &answer).at(APP);
    // Times are compared within half of 2^32 ms: 24.8 days.
    for _ in 0..30 * 24 * 3600 / 340 {
        net.send_datagram(APP, &tcp(client, server, ACK, b"")).at(INTERNET);
        net.advance(340);
    }
    assert_eq!(net.shared.ports.total(), 1);
    net.advance(11);
    assert_eq!(net.shared.ports.total(), 0);
}

#[test]
fn ports_are_those_of_nobody_and_in_no_order() {
    let mut net = Net::new(&Topology::default());
    let ports: Vec<u16> = (4000..4400)
        .map(|port| {
            let sent = udp((address(APP), port), (address(INTERNET), 53), b"x");
            let out = net.send_datagram(APP, &sent).at(INTERNET).ports().0;
            assert!(out >= 1024 && out != port, "{port} is kept");
            out
        })
        .collect();
    let ascending = ports.windows(2).filter(|two| two[0] < two[1]).count();
    assert!((150..250).contains(&ascending), "{ascending} of 399 are followed by a greater one");
    let eighths: std::collections::HashSet<_> = ports.iter().map(|port| port / 8192).collect();
    assert_eq!(eighths.len(), 8, "all of 1024-65535 is used");
}

/// A SYN with the timestamp option (RFC 7323 s. 3).
fn stamped(from: LinkId, port: u16, timestamp: u32) -> Vec<u8> {
    let (src, dst) = (address(from).octets(), address(INTERNET).octets());
    let options =
        [TcpOptionElement::MaximumSegmentSize(1460), TcpOptionElement::Timestamp(timestamp, 0)];
    let builder = etherparse::PacketBuilder::ipv4(src, dst, 64).tcp(port, 80, 1, 1000).syn();
    let builder = builder.options(&options).unwrap();
    let mut bytes = Vec::new();
    builder.write(&mut bytes, &[]).unwrap();
    bytes
}

#[test]
fn n28_two_clients_behind_one_address_keep_their_timestamps() {
    let mut net = Net::new(&Topology::default());
    // The server that takes the address for one host sees time run backwards, and drops the second.
    for (client, timestamp) in [(APP, 4_000_000_000), (DB, 1_000)] {
        let emitted = net.send(client, &stamped(client, 40_000, timestamp)).emitted.unwrap();
        Datagram::read(&emitted.bytes);
        let ip = Ipv4HeaderSlice::from_slice(&emitted.bytes).unwrap();
        assert_eq!(ip.source(), [198, 51, 100, 10], "one address for both");
        let tcp = TcpHeaderSlice::from_slice(&emitted.bytes[20..]).unwrap();
        let options: Vec<_> = tcp.options_iterator().map(Result::unwrap).collect();
        assert!(options.contains(&TcpOptionElement::Timestamp(timestamp, 0)), "{options:?}");
        assert!(options.contains(&TcpOptionElement::MaximumSegmentSize(1460)), "{options:?}");
    }
}

#[test]
fn what_a_gateway_does_not_understand_passes_as_it_is() {
    let mut net = Net::new(&Topology::default());
    let (src, dst) = (address(APP).octets(), address(INTERNET).octets());
    let options = [2, 4, 5, 180, 253, 6, 1, 2, 3, 4, 1, 0];
    // A SYN; then what FTP says before the server connects to the address and port in it, urgently.
    for (data, syn) in [(&b""[..], true), (b"PORT 10,0,1,10,156,64\r\n", false)] {
        let mut header = etherparse::TcpHeader::new(40_000, 21, 1_000_000, 321);
        (header.syn, header.ack, header.psh, header.urg) = (syn, !syn, !syn, !syn);
        (header.ece, header.cwr, header.urgent_pointer) = (true, true, 7);
        if syn {
            header.set_options_raw(&options).unwrap();
        }
        header.checksum = header.calc_checksum_ipv4_raw(src, dst, data).unwrap();
        let length = u16::try_from(header.header_len() + data.len()).unwrap();
        let mut ip = Ipv4Header::new(length, 64, IpNumber::TCP, src, dst).unwrap();
        (ip.dscp, ip.ecn) = (46.try_into().unwrap(), 2.try_into().unwrap());
        (ip.identification, ip.dont_fragment) = (0xbeef, true);
        ip.header_checksum = ip.calc_header_checksum();
        let mut sent = Vec::new();
        ip.write(&mut sent).unwrap();
        header.write(&mut sent).unwrap();
        sent.extend(data);

        let mut seen = net.send(APP, &sent).emitted.unwrap().bytes;
        Datagram::read(&seen);
        assert_ne!(seen, sent);
        // Time to live; header checksum and source; source port; checksum.
        for field in [8..9, 10..16, 20..22, 36..38] {
            seen[field.clone()].copy_from_slice(&sent[field]);
        }
        assert_eq!(seen, sent);
    }
}

#[test]
fn a_syn_announces_what_the_profile_lets_it() {
    for (clamp, announced) in [(1200, 1200), (1460, 1460), (8460, 1460)] {
        let mut net = Net::new(&Topology::default());
        net.tables.choices.nat_mss_clamp = clamp;
        let emitted = net.send(APP, &stamped(APP, 40_000, 1)).emitted.unwrap();
        Datagram::read(&emitted.bytes);
        let tcp = TcpHeaderSlice::from_slice(&emitted.bytes[20..]).unwrap();
        let mss = TcpOptionElement::MaximumSegmentSize(announced);
        assert!(tcp.options_iterator().map(Result::unwrap).any(|option| option == mss));
    }
}

/// A SYN, as bytes, that announces how long segments may be.
fn announcing(mss: u16, syn: &Datagram) -> Vec<u8> {
    let bytes = syn.bytes();
    let at = if syn.src.is_ipv4() { Ipv4Header::MIN_LEN } else { Ipv6Header::LEN };
    let (mut header, _) = TcpHeader::from_slice(&bytes[at..]).unwrap();
    header.set_options(&[TcpOptionElement::MaximumSegmentSize(mss)]).unwrap();
    let length = u16::try_from(header.header_len()).unwrap();
    let mut announcing = Vec::new();
    if syn.src.is_ipv4() {
        let (mut ip, _) = Ipv4Header::from_slice(&bytes).unwrap();
        header.checksum = header.calc_checksum_ipv4(&ip, &[]).unwrap();
        ip.set_payload_len(length.into()).unwrap();
        ip.header_checksum = ip.calc_header_checksum();
        ip.write(&mut announcing).unwrap();
    } else {
        let (mut ip, _) = Ipv6Header::from_slice(&bytes).unwrap();
        header.checksum = header.calc_checksum_ipv6(&ip, &[]).unwrap();
        ip.payload_length = length;
        ip.write(&mut announcing).unwrap();
    }
    header.write(&mut announcing).unwrap();
    announcing
}

#[test]
fn by_nat64_an_mss_is_held_down_to_what_passes_in_both_families() {
    let announced = |bytes: &[u8], at: usize| {
        let tcp = TcpHeaderSlice::from_slice(&bytes[at..]).unwrap();
        let mut options = tcp.options_iterator().map(Result::unwrap);
        options.find_map(|option| match option {
            TcpOptionElement::MaximumSegmentSize(mss) => Some(mss),
            _ => None,
        })
    };
    for (mss, passed) in [(8941, 8440), (8441, 8440), (8440, 8440), (1440, 1440)] {
        let mut net = Net::new(&Topology::default());
        let (client, server) = ((address6(APP), 5000), (nat64(address(INTERNET)), 80));
        let out = net.send(APP, &announcing(mss, &tcp(client, server, SYN, &[]))).emitted.unwrap();
        assert_eq!(announced(&out.bytes, Ipv4Header::MIN_LEN), Some(passed), "out, {mss}");
        let out = Datagram::read(&out.bytes);
        let answer = tcp((out.dst, 80), (out.src, out.ports().0), SYN | ACK, &[]);
        let back = net.send(INTERNET, &announcing(mss, &answer)).emitted.unwrap();
        assert_eq!(announced(&back.bytes, Ipv6Header::LEN), Some(passed), "back, {mss}");
        let back = Datagram::read(&back.bytes);
        assert_eq!((back.src, back.dst), (server.0.into(), client.0.into()));
    }
}

/// A flow of UDP through the gateway: the packet that went out, and its answer.
fn asked(net: &mut Net) -> (Datagram, Datagram) {
    let asked = udp((address(APP), 5000), (address(INTERNET), 53), b"question");
    let out = net.send_datagram(APP, &asked).at(INTERNET);
    let answer = udp((out.dst, 53), (out.src, out.ports().0), b"answer");
    net.send_datagram(INTERNET, &answer).at(APP);
    (asked, answer)
}

#[test]
fn the_outside_may_keep_a_mapping_alive_or_not() {
    for (refreshes, lives) in [(true, true), (false, false)] {
        let mut net = Net::new(&Topology::open());
        net.tables.choices.nat_outside_refreshes = refreshes;
        let (_, answer) = asked(&mut net);
        for _ in 0..4 {
            net.advance(100);
            let came = net.send_datagram(INTERNET, &answer);
            net.check();
            if lives {
                came.at(APP);
            }
        }
        assert_eq!(net.send_datagram(INTERNET, &answer).emitted.is_some(), lives, "{refreshes}");
    }
}

#[test]
fn a_reset_from_the_outside_ends_a_mapping_or_not() {
    for ends in [true, false] {
        let mut net = Net::new(&Topology::default());
        net.tables.choices.nat_outside_reset_ends = ends;
        let (client, server) = ((address(APP), 4000), (address(INTERNET), 80));
        let out = net.send_datagram(APP, &tcp(client, server, SYN, b"")).at(INTERNET);
        let back = (out.src, out.ports().0);
        net.send_datagram(INTERNET, &tcp(server, back, SYN | ACK, b"")).at(APP);
        net.send_datagram(APP, &tcp(client, server, ACK, b"")).at(INTERNET);
        net.send_datagram(INTERNET, &tcp(server, back, RST, b"")).at(APP);
        net.advance(100);
        let later = net.send_datagram(INTERNET, &tcp(server, back, ACK, b"data"));
        assert_eq!(later.emitted.is_some(), !ends);
        net.check();
    }
}

#[test]
fn an_exhausted_gateway_may_reset_and_its_mtu_may_be_a_black_hole() {
    let mut net = Net::new(&Topology {
        ports: PortRange { first: 2000, last: 2000, limit: 1 },
        ..Topology::default()
    });
    net.tables.choices.nat_resets_exhausted = true;
    net.tables.choices.nat_tells_mtu = false;
    let server = (address(INTERNET), 80);
    net.send_datagram(APP, &tcp((address(APP), 4000), server, SYN, b"")).at(INTERNET);
    let refused = net.send_datagram(APP, &tcp((address(APP), 4001), server, SYN, b""));
    assert_eq!(refused.dropped.unwrap().0, Reason::NatPortAllocation);
    let told = Datagram::read(&refused.emitted.unwrap().bytes);
    assert!(matches!(told.payload, Payload::Tcp { flags, .. } if flags == RST | ACK), "{told:?}");

    let mut large = udp((address(APP), 5000), (address(INTERNET), 53), &[0; 8600]);
    large.df = true;
    let refused = net.send_datagram(APP, &large);
    assert_eq!(refused.dropped.unwrap().0, Reason::MtuExceeded);
    assert_eq!(refused.emitted, None);
}

#[test]
fn the_least_used_address_may_come_first() {
    let mut net = Net::new(&Topology::default());
    let second = NatAddress { address: Addr::v4([10, 0, 0, 221].into()), draining: None };
    let mut gateway = net.tables.nat_gateways.at(0_usize).addresses.clone();
    gateway.push(second);
    let tables = Topology::default().tables();
    let ports = tables.nat_gateways.at(0_usize).ports;
    net.tables.nat_gateways =
        vec![NatGateway { subnet: SubnetId(0), addresses: gateway, ports }].into();
    let igw = &tables.internet_gateways.at(0_usize);
    let mut public = igw.public.clone();
    public.insert(second.address, Addr::v4([198, 51, 100, 99].into()));
    net.tables.internet_gateways = vec![InternetGateway { vpc: igw.vpc, public }].into();
    net.tables.choices.nat_prefers_least_used = true;
    let mut used = [0_u32; 2];
    for port in 4000..4100 {
        let sent = udp((address(APP), port), (address(INTERNET), 53), b"x");
        let out = net.send_datagram(APP, &sent).at(INTERNET);
        used[usize::from(out.src == Ipv4Addr::new(198, 51, 100, 99))] += 1;
        assert!(used[0].abs_diff(used[1]) <= 1, "{used:?}");
    }
}
