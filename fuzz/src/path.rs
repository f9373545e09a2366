//! Whatever is sent by whom, answered, waited for and changed, over small tables: the laws hold after each step, and
//! after a long silence nothing is left.
//!
//! An input is the size of the world (two bytes), then steps: an operation and what it takes, a byte each. Every byte
//! means something, so that each input is a history.

use std::net::IpAddr;

use dataplane::packet::{Addr, GroupId, LinkId};
use dataplane::shared::PortRange;
use dataplane::tables::{
    AclRule, Choices, Column, Eni, Host, IcmpErrors, InternetGateway, NatGateway, Peer, Public,
    Selector, Tables, Target, Vpc,
};
use dataplane::time::Span;
use dataplane::wire::virtio::VirtioNetHdr;

use crate::common::datagram::{ACK, Datagram, FIN, Payload, RST, SYN, echo, tcp, udp};
use crate::common::net::Net;
use crate::common::topology::{
    APP, BASTION, BASTION_PUBLIC, DB, EIGW, IGW, INTERNET, NAT_A, NAT_B, NAT_B_PRIVATE,
    NAT_PRIVATE, NAT_PUBLIC, OTHER, SENDERS, Topology, address, address6, nat64, net,
};

/// Plays an input.
///
/// # Panics
///
/// When a law is broken.
pub fn judge(input: &[u8]) {
    let mut input = Input(input);
    let (size, kind) = (input.byte(), input.byte());
    let ports = PortRange { first: 1001, last: 1001 + u16::from(size % 5), limit: 4 };
    let limit = 3 + usize::from(size / 5);
    let open = if kind % 2 == 0 { Topology::open() } else { Topology::default() };
    let choices = Choices {
        tracking_tcp_pickup: kind & 2 == 0,
        tracking_icmp_errors: if kind & 4 == 0 { IcmpErrors::All } else { IcmpErrors::Documented },
        tracking_connections: (kind & 0x18 == 0x18).then_some(2),
        ..Choices::default()
    };
    let topology = Topology { ports, choices, ..open };
    let net = Net::with_limit(&topology, limit, u64::from(kind));
    let mut play = Play { topology, net, last: None, waiting: Vec::new(), gone: [false; 3] };
    play.swap();
    while !input.0.is_empty() {
        play.step(&mut input);
        play.net.check();
        assert!(play.net.shard.flows.len() <= limit, "more flows than may be");
    }
    play.flush();
    play.net.advance(2 * HOUR);
    play.net.check();
    assert!(play.net.shard.flows.is_empty(), "silence ends every flow");
    assert_eq!((play.net.shared.ports.total(), play.net.shared.directory.len()), (0, 0));
}

struct Play {
    topology: Topology,
    net: Net,
    /// Who got something last, and what.
    last: Option<(LinkId, Datagram)>,
    /// Packets of the turn that has not begun.
    waiting: Vec<(LinkId, Vec<u8>)>,
    /// Which of [`MEMBERS`] have been taken away.
    gone: [bool; 3],
}

/// The links of those who can be taken away and come back: an interface, a host, and `NAT_B`, which has none.
const MEMBERS: [Option<LinkId>; 3] = [Some(DB), Some(OTHER), None];

/// What an established TCP connection may be silent for, instead of five days: those cost a fuzzer more than all else.
const HOUR: u32 = 3_600;

const NETS: [&str; 13] = [
    "0.0.0.0/0",
    "10.0.0.0/16",
    "10.0.1.0/24",
    "10.0.1.20/32",
    "203.0.113.0/24",
    "203.0.113.80/32",
    "198.51.100.0/24",
    "128.0.0.0/1",
    "::/0",
    "64:ff9b::/96",
    "64:ff9b::203.0.113.0/120",
    "2600:1f18:1234:5600::/56",
    "2001:db8::/32",
];

impl Play {
    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 16 {
            0..=4 => {
                let (link, datagram) = first(input);
                self.send(link, &datagram, input);
            }
            5..=8 => {
                let flags = flags(input);
                if let Some((link, got)) = self.last.clone()
                    && let Some(reply) = reply(&got, flags)
                {
                    self.send(link, &reply, input);
                }
            }
            9 => {
                let kind = input.byte();
                if let Some((link, got)) = self.last.clone() {
                    let is_v6 = got.src.is_ipv6();
                    let kinds = if is_v6 { [1, 3, 4, 2] } else { [3, 11, 12, 5] };
                    let (kind, code) = (kinds[usize::from(kind % 4)], kind / 4 % 16);
                    // The next hop's MTU, where there is one.
                    let tells = (kind, code) == if is_v6 { (2, 0) } else { (3, 4) };
                    let word = if tells { [0, 0, 5, 0] } else { [0; 4] };
                    let quoted = got.bytes();
                    let own = if is_v6 { address6(link).into() } else { address(link).into() };
                    let from = if input.byte().is_multiple_of(2) { got.dst } else { own };
                    let error = Payload::Error { kind, code, word, quoted };
                    self.send(link, &Datagram::new(from, got.src, error), input);
                }
            }
            10 => self.wait(input),
            11 => {
                let member = usize::from(input.byte() % 3);
                self.flush();
                // Before somebody comes back, what is remembered of him is forgotten.
                self.forget(member);
                self.gone[member] ^= true;
                self.swap();
            }
            12 => self.forget(usize::from(input.byte() % 3)),
            13 => self.swap(),
            _ => {
                self.change(input);
                self.swap();
            }
        }
    }

    fn wait(&mut self, input: &mut Input<'_>) {
        self.flush();
        let seconds = match input.byte() {
            byte @ 0..240 => u32::from(byte) * 2,
            byte => [349, 350, 351, 599, 601, 3_599, 3_601][usize::from(byte % 7)],
        };
        if input.byte().is_multiple_of(2) {
            self.net.advance(seconds);
        } else {
            self.net.jump(seconds);
        }
    }

    /// As an instance does once the new tables are published.
    fn forget(&mut self, member: usize) {
        if let Some(link) = MEMBERS[member].filter(|_| self.gone[member]) {
            let mut next = Some(0);
            while let Some(from) = next {
                next = self.net.shard.forget_links(&[link], from, &self.net.tables.timers);
            }
        }
    }

    /// New rules and routes.
    fn change(&mut self, input: &mut Input<'_>) {
        let (what, which, how) = (input.byte(), usize::from(input.byte() % 3), input.byte());
        let net = net(NETS[usize::from(input.byte()) % NETS.len()]);
        let topology = &mut self.topology;
        match what % 10 {
            0 => topology.groups[which].egress.clear(),
            1 => topology.groups[which].ingress.clear(),
            2 | 3 => {
                let peer = match how % 4 {
                    0 => Peer::Group(GroupId(u16::from(how / 4 % 3))),
                    _ => Peer::Net(net),
                };
                let rule = (selector(input), peer);
                match what % 10 {
                    2 => topology.groups[which].egress.push(rule),
                    _ => topology.groups[which].ingress.push(rule),
                }
            }
            4 | 5 => {
                let number = u16::from(how / 2) + 1;
                let rule = AclRule { number, allow: how % 2 == 0 };
                let acl = &mut topology.acls[which];
                let rules = if what % 10 == 4 { &mut acl.ingress } else { &mut acl.egress };
                rules.retain(|(rule, ..)| rule.number != number);
                rules.push((rule, selector(input), net));
            }
            6..=8 => {
                let target = match how % 6 {
                    0 => Target::Local,
                    1 => Target::InternetGateway(IGW),
                    2 => Target::NatGateway(NAT_A),
                    3 => Target::NatGateway(NAT_B),
                    4 => Target::Blackhole,
                    _ => Target::EgressOnlyInternetGateway(EIGW),
                };
                topology.routes[which].push((net, target));
            }
            _ => {
                let Topology { epoch, ports, choices, .. } = *topology;
                *topology = Topology { epoch, ports, choices, ..Topology::open() };
            }
        }
    }

    /// Publishes tables under the next epoch.
    fn swap(&mut self) {
        self.flush();
        self.topology.epoch += 1;
        let mut topology = self.topology.clone();
        if self.gone[2] {
            let routes = topology.routes.iter_mut().flatten();
            routes
                .filter(|(_, target)| *target == Target::NatGateway(NAT_B))
                .for_each(|(_, target)| *target = Target::Blackhole);
        }
        self.net.tables = without(topology.tables(), self.gone);
        self.net.tables.timers.tracking_tcp_established = Span::seconds(HOUR);
    }

    fn send(&mut self, link: LinkId, datagram: &Datagram, input: &mut Input<'_>) {
        let how = input.byte();
        let mut datagram = datagram.clone();
        datagram.ttl = if how & 0x0c == 0 { how >> 6 } else { 64 };
        datagram.df = how & 2 != 0;
        self.waiting.push((link, datagram.bytes()));
        // Some go together with the next.
        if how & 0x30 != 0x30 || self.waiting.len() >= 8 {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let packets: Vec<_> = self
            .waiting
            .iter()
            .map(|(link, bytes)| (*link, &bytes[..], VirtioNetHdr::PLAIN))
            .collect();
        for outcome in self.net.turn(&packets) {
            assert!(outcome.emitted.is_some() || outcome.dropped.is_some(), "a packet vanished");
            if let Some(emitted) = outcome.emitted {
                // Reading verifies.
                self.last = Some((emitted.link, Datagram::read(&emitted.bytes)));
            }
        }
        self.waiting.clear();
    }
}

/// A packet that nobody asked for.
fn first(input: &mut Input<'_>) -> (LinkId, Datagram) {
    let (who, what, port) = (input.byte(), input.byte(), input.byte());
    let link = [APP, DB, BASTION, INTERNET, OTHER][usize::from(who % 5)];
    let sender = if who >= 250 { APP } else { link };
    let to = match usize::from(who / 5 % 8) {
        to @ 0..5 => SENDERS[to].2,
        5 => NAT_PUBLIC,
        6 => NAT_PRIVATE,
        _ => BASTION_PUBLIC,
    };
    let ends = match (what & 0x60, usize::from(who / 5 % 8)) {
        (0x40, to @ 0..5) => (address6(sender).into(), SENDERS[to].3.into()),
        (0x40 | 0x60, _) => (address6(sender).into(), nat64(to).into()),
        _ => (address(sender).into(), to.into()),
    };
    (link, between(ends, what, port, input))
}

fn between((src, dst): (IpAddr, IpAddr), what: u8, port: u8, input: &mut Input<'_>) -> Datagram {
    let data = if what & 0x80 == 0 { &[][..] } else { &[7; 2000] };
    let (from, to) = ((src, u16::from(port % 8) + 1), (dst, 1000 + u16::from(port / 8 % 8)));
    match what % 4 {
        0 | 1 => tcp(from, to, flags(input), data),
        2 => udp(from, to, data),
        _ if what & 20 == 16 => {
            let kind = if what & 8 == 0 { 13 } else { 14 };
            Datagram::new(src, dst, Payload::Query { kind, id: from.1, data: vec![0; 12] })
        }
        _ if what & 4 == 0 => echo(src, dst, what & 8 == 0, from.1, data),
        _ => Datagram::new(src, dst, Payload::Other { protocol: 47, data: data.to_vec() }),
    }
}

/// The answer to what somebody got.
fn reply(got: &Datagram, flags: u8) -> Option<Datagram> {
    let (src, dst) = ((got.dst, got.ports().1), (got.src, got.ports().0));
    Some(match &got.payload {
        Payload::Tcp { .. } => tcp(src, dst, flags | ACK, &[]),
        Payload::Udp { .. } => udp(src, dst, &[]),
        Payload::Echo { id, request, .. } => echo(src.0, dst.0, !request, *id, &[]),
        Payload::Query { kind, id, data } => {
            let (kind, id, data) = (if *kind == 13 { 14 } else { 13 }, *id, data.clone());
            Datagram::new(src.0, dst.0, Payload::Query { kind, id, data })
        }
        Payload::Other { .. } => Datagram::new(src.0, dst.0, got.payload.clone()),
        Payload::Error { .. } => return None,
    })
}

fn flags(input: &mut Input<'_>) -> u8 {
    [SYN, ACK, FIN | ACK, RST, SYN | ACK, 0][usize::from(input.byte() % 6)]
}

fn selector(input: &mut Input<'_>) -> Selector {
    let protocols = [None, Some(6), Some(17), Some(1), Some(47), Some(58)];
    let protocol = protocols[usize::from(input.byte()) % protocols.len()];
    let ports = input.byte();
    let ports = match protocol {
        Some(6 | 17) => 1000 + u16::from(ports % 8)..=1000 + u16::from(ports / 8),
        Some(1) if ports.is_multiple_of(2) => 0x0800..=0x08ff,
        Some(58) if ports.is_multiple_of(2) => 0x8000..=0x80ff,
        _ => 0..=u16::MAX,
    };
    Selector { protocol, ports }
}

/// Tables in which those who are gone have left holes.
fn without(full: Tables, [db, other, nat_b]: [bool; 3]) -> Tables {
    let gone = [
        (db, address(DB).into()),
        (db, address6(DB).into()),
        (other, address(OTHER).into()),
        (other, address6(OTHER).into()),
        (nat_b, Addr::v4(NAT_B_PRIVATE)),
    ];
    let gone = gone.map(|(gone, who)| gone.then_some(who));
    let is_here = |addr: &Addr| !gone.contains(&Some(*addr));
    // Behind the senders are a service and those who send by Hyperplane ENIs, which stay.
    let stays = |at: usize| SENDERS.get(at).is_none_or(|it| is_here(&Addr::v4(it.2)));
    let links = (0..SENDERS.len() + 3).filter(|&at| stays(at));
    let links = Column::by_id(links.map(|at| (at, *full.links.at(at))));
    let enis = (0..7_usize).map(|at| (at, full.enis.at(at)));
    let enis = enis.filter(|(_, eni)| eni.addresses.iter().all(is_here)).map(|(at, eni)| {
        let (addresses, groups) = (eni.addresses.clone(), eni.groups.clone());
        let (egress, ingress) = (eni.egress.clone(), eni.ingress.clone());
        let services = eni.services.clone();
        (at, Eni { addresses, groups, egress, ingress, services, ..*eni })
    });
    let enis = Column::by_id(enis);
    let hosts = (0..2_usize).map(|at| (at, full.hosts.at(at)));
    let hosts = hosts.filter(|(_, host)| host.addresses.iter().all(is_here));
    let hosts = hosts.map(|(at, host)| (at, Host { addresses: host.addresses.clone(), ..*host }));
    let hosts = Column::by_id(hosts);
    let gateways = (0..2_usize).map(|at| (at, full.nat_gateways.at(at)));
    let gateways = gateways.filter(|(_, gateway)| is_here(&gateway.primary()));
    let nat_gateways = gateways
        .map(|(at, gateway)| (at, NatGateway { addresses: gateway.addresses.clone(), ..*gateway }));
    let nat_gateways = Column::by_id(nat_gateways);
    let holders = full.vpcs.at(0_usize).holders.iter().map(|(addr, holder)| (*addr, *holder));
    let holders = holders.filter(|(addr, _)| is_here(addr)).collect();
    let igw = full.internet_gateways.at(IGW);
    let public = igw.public.iter().map(|(private, public)| (*private, *public));
    let public = public.filter(|(private, _)| is_here(private)).collect();
    let igw = InternetGateway { vpc: igw.vpc, public };
    let mut internet = full.internet.clone();
    internet.retain(|addr, public| {
        is_here(addr) && !matches!(public, Public::Vpc { private, .. } if !is_here(private))
    });
    Tables {
        links,
        enis,
        hosts,
        nat_gateways,
        vpcs: vec![
            Vpc { holders, services: full.vpcs.at(0_usize).services },
            Vpc { holders: full.vpcs.at(1_usize).holders.clone(), services: [None; 3] },
        ]
        .into(),
        internet_gateways: vec![igw].into(),
        internet,
        ..full
    }
}

/// What is left of an input; zeros when nothing is.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&byte, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        byte
    }
}
