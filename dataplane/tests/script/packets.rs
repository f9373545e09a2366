//! Packets of a script: those that are sent, and those that are expected.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use dataplane::packet::LinkId;
use dataplane::wire::icmpv4::{FRAGMENTATION_NEEDED, kind};

use super::line;
use crate::common::datagram::{ACK, Datagram, FIN, Payload, Quoted, RST, SYN, echo, tcp, udp};
use crate::common::net::Emitted;
use crate::common::topology::address;

type Ports = HashMap<String, u16>;

/// `LINK[:PORT] > ADDRESS[:PORT] PROTOCOL …`, as a packet and the link that it is sent by.
pub fn sent(words: &[&str], ports: &Ports, last: &HashMap<LinkId, Vec<u8>>) -> (LinkId, Datagram) {
    let &[from, ">", to, protocol, ref options @ ..] = words else { panic!("not a packet") };
    let (name, from) = from.split_once(':').unwrap_or((from, "0"));
    let link = line::link(name);
    let options = Options(options.to_vec());
    let src = options.value("from").map_or(address(link), |from| from.parse().unwrap());
    let (dst, to) = endpoint(to);
    let port = |text: &str| match text.strip_prefix('$') {
        Some(name) => ports[name],
        None => text.parse().unwrap(),
    };
    let (src, dst) = ((src, port(from)), (dst, port(to.unwrap_or("0"))));
    let id = || port(options.value("id").expect("an echo has id="));
    let data: Vec<u8> = (0..=u8::MAX).cycle().take(options.number("len", 8)).collect();
    let quoted = || {
        let last = &last[&link];
        let length = if options.after("quoting") == Some("head") { 28 } else { 548 };
        last[..last.len().min(length)].to_vec()
    };
    let error = |kind, code, word| {
        Datagram::new(src.0, dst.0, Payload::Error { kind, code, word, quoted: quoted() })
    };
    let mut datagram = match protocol {
        "tcp" => tcp(src, dst, flags(options.0[0]), if options.has("len") { &data } else { &[] }),
        "udp" => udp(src, dst, &data),
        "ping" => echo(src.0, dst.0, true, id(), &data),
        "pong" => echo(src.0, dst.0, false, id(), &data),
        "frag-needed" => {
            let [high, low] = u16::try_from(options.number("mtu", 0)).unwrap().to_be_bytes();
            error(kind::UNREACHABLE, FRAGMENTATION_NEEDED, [0, 0, high, low])
        }
        "unreachable" => error(kind::UNREACHABLE, 3, [0; 4]),
        "exceeded" => error(kind::TIME_EXCEEDED, 0, [0; 4]),
        query if query.starts_with("icmp=") => {
            let kind = query["icmp=".len()..].parse().unwrap();
            Datagram::new(src.0, dst.0, Payload::Query { kind, id: id(), data: vec![0; 12] })
        }
        other => {
            let protocol = other.strip_prefix("proto=").expect("a protocol").parse().unwrap();
            Datagram::new(src.0, dst.0, Payload::Other { protocol, data })
        }
    };
    datagram.ttl = u8::try_from(options.number("ttl", 64)).unwrap();
    datagram.df = options.has("df");
    datagram.more_fragments = options.has("fragment");
    (link, datagram)
}

/// What must have left.
#[derive(Debug)]
pub struct Expected<'a> {
    link: LinkId,
    src: (Ipv4Addr, Option<&'a str>),
    dst: (Ipv4Addr, Option<&'a str>),
    protocol: &'a str,
    options: Options<'a>,
}

impl<'a> Expected<'a> {
    pub fn of(words: &[&'a str]) -> Self {
        let &[link, src, ">", dst, protocol, ref options @ ..] = words else {
            panic!("not an expected packet: {words:?}")
        };
        Self {
            link: line::link(link),
            src: endpoint(src),
            dst: endpoint(dst),
            protocol,
            options: Options(options.to_vec()),
        }
    }

    pub fn compare(&self, emitted: &Emitted, seen: &Datagram, ports: &mut Ports) {
        assert_eq!(emitted.link, self.link, "exit link of {seen:?}");
        assert_eq!((seen.src, seen.dst), (self.src.0, self.dst.0), "addresses");
        let (src_port, dst_port) = match seen.payload {
            Payload::Echo { .. } => (0, 0),
            _ => seen.ports(),
        };
        expect_port(self.src.1, src_port, ports);
        expect_port(self.dst.1, dst_port, ports);
        match (&seen.payload, self.protocol) {
            (Payload::Tcp { flags: seen, acknowledgment, sequence, .. }, "tcp") => {
                assert_eq!(*seen, flags(self.options.0[0]), "TCP flags");
                let number = |name, is: u32| {
                    assert_eq!(self.options.number(name, is as usize), is as usize, "{name}");
                };
                number("seq", *sequence);
                number("ack", *acknowledgment);
            }
            (Payload::Udp { .. }, "udp") => {}
            (Payload::Echo { request, id, .. }, "ping" | "pong") => {
                assert_eq!(*request, self.protocol == "ping", "echo request");
                expect_port(self.options.value("id"), *id, ports);
            }
            (Payload::Query { kind, id, .. }, name) => {
                assert_eq!(name, format!("icmp={kind}"));
                expect_port(self.options.value("id"), *id, ports);
            }
            (&Payload::Error { kind: kind_, code, word, ref quoted }, name) => {
                let wanted = match name {
                    "frag-needed" => (kind::UNREACHABLE, FRAGMENTATION_NEEDED),
                    "unreachable" => (kind::UNREACHABLE, 3),
                    "exceeded" => (kind::TIME_EXCEEDED, 0),
                    other => panic!("an ICMP error instead of {other}"),
                };
                assert_eq!((kind_, code), wanted, "ICMP type and code");
                let mtu = usize::from(u16::from_be_bytes([word[2], word[3]]));
                assert_eq!(mtu, self.options.number("mtu", 0), "next-hop MTU");
                self.compare_quoted(Datagram::read_quoted(quoted), ports);
            }
            (&Payload::Other { protocol, .. }, name) => {
                assert_eq!(name, format!("proto={protocol}"));
            }
            (payload, wanted) => panic!("{payload:?} instead of {wanted}"),
        }
        let ttl = usize::from(seen.ttl);
        assert_eq!(ttl, self.options.number("ttl", ttl), "time to live");
        let fragment = self.options.value("fragment").map(|mtu| mtu.parse().unwrap());
        assert_eq!(emitted.fragment, fragment, "what it is to be cut to");
    }

    fn compare_quoted(&self, quoted: Quoted, ports: &mut Ports) {
        let at = self.options.0.iter().position(|&word| word == "quoting").expect("`quoting`");
        let &[src, ">", dst, ..] = &self.options.0[at + 1..] else { panic!("quoting what?") };
        let ((src, src_port), (dst, dst_port)) = (endpoint(src), endpoint(dst));
        assert_eq!((quoted.src, quoted.dst), (src, dst), "quoted addresses");
        expect_port(src_port, quoted.ports.0, ports);
        expect_port(dst_port, quoted.ports.1, ports);
    }
}

/// What is carried must arrive as it was sent.
pub fn same_data(sent: &Datagram, seen: &Datagram) {
    let data = |datagram: &Datagram| match &datagram.payload {
        Payload::Tcp { data, sequence, acknowledgment, .. } => {
            (data.clone(), Some((*sequence, *acknowledgment)))
        }
        Payload::Echo { data, sequence, .. } => (data.clone(), Some((u32::from(*sequence), 0))),
        Payload::Udp { data, .. } | Payload::Query { data, .. } | Payload::Other { data, .. } => {
            (data.clone(), None)
        }
        Payload::Error { quoted, .. } => (vec![0; quoted.len()], None),
    };
    // The judge does not look into fragments: `laws/fragments.rs` does.
    if !sent.more_fragments {
        assert_eq!(data(sent), data(seen), "data");
    }
    assert_eq!((sent.df, sent.more_fragments), (seen.df, seen.more_fragments), "DF, MF");
}

fn expect_port(pattern: Option<&str>, is: u16, ports: &mut Ports) {
    let pattern = pattern.unwrap_or("0");
    if let Some(name) = pattern.strip_prefix('$') {
        assert_eq!(is, *ports.entry(name.into()).or_insert(is), "port ${name}");
    } else if let Some(name) = pattern.strip_prefix('!') {
        assert_ne!(is, ports[name], "port ${name} once more");
    } else if pattern != "*" {
        assert_eq!(is, pattern.parse::<u16>().unwrap(), "port");
    }
}

fn endpoint(text: &str) -> (Ipv4Addr, Option<&str>) {
    let (address, port) = text.split_once(':').map_or((text, None), |(a, p)| (a, Some(p)));
    (address.parse().unwrap_or_else(|_| panic!("no address: {text}")), port)
}

fn flags(text: &str) -> u8 {
    text.split('+').fold(0, |flags, flag| {
        flags
            | match flag {
                "syn" => SYN,
                "ack" => ACK,
                "fin" => FIN,
                "rst" => RST,
                _ => panic!("no flag {flag}"),
            }
    })
}

#[derive(Debug)]
struct Options<'a>(Vec<&'a str>);

impl<'a> Options<'a> {
    fn has(&self, name: &str) -> bool {
        self.0.contains(&name) || self.value(name).is_some()
    }

    fn value(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    }

    fn number(&self, name: &str, otherwise: usize) -> usize {
        self.value(name).map_or(otherwise, |value| value.parse().unwrap())
    }

    fn after(&self, name: &str) -> Option<&'a str> {
        let at = self.0.iter().position(|&word| word == name)?;
        self.0.get(at + 1).copied()
    }
}
