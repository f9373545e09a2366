//! Packets of a script: those that are sent, and those that are expected.

use std::collections::HashMap;
use std::net::IpAddr;

use dataplane::packet::LinkId;
use dataplane::wire::{icmpv4, icmpv6, protocol};

use super::line::{self, endpoint};
use crate::common::datagram::{
    ACK, Datagram, FIN, Part, Payload, Quoted, RST, SYN, echo, tcp, udp,
};
use crate::common::net::Emitted;

type Ports = HashMap<String, u16>;

/// A packet that is sent.
pub struct Sent {
    pub link: LinkId,
    pub datagram: Datagram,
    pub bytes: Vec<u8>,
}

/// `LINK[:PORT] > ADDRESS[:PORT] PROTOCOL …`.
pub fn sent(words: &[&str], ports: &Ports, last: &HashMap<LinkId, Vec<u8>>) -> Sent {
    let &[from, ">", to, protocol, ref options @ ..] = words else { panic!("not a packet") };
    let (name, from) = from.split_once(':').unwrap_or((from, "0"));
    let (link, own) = line::sender(name);
    let options = Options(options.to_vec());
    let src: IpAddr = options.value("from").map_or(own, |from| from.parse().unwrap());
    let (dst, to) = endpoint(to);
    let port = |text: &str| match text.strip_prefix('$') {
        Some(name) => ports[name],
        None => text.parse().unwrap(),
    };
    let (src, dst) = ((src, port(from)), (dst, port(to.unwrap_or("0"))));
    let id = || port(options.value("id").expect("an echo has id="));
    let length = options.number("len", 8);
    let data: Vec<u8> = (0..=u8::MAX).cycle().take(length).collect();
    let mut datagram = match protocol {
        "tcp" => tcp(src, dst, flags(options.0[0]), if options.has("len") { &data } else { &[] }),
        "udp" => udp(src, dst, &data),
        "ping" => echo(src.0, dst.0, true, id(), &data),
        "pong" => echo(src.0, dst.0, false, id(), &data),
        query if query.starts_with("icmp=") && !query.contains('/') => {
            let kind = query["icmp=".len()..].parse().unwrap();
            Datagram::new(src.0, dst.0, Payload::Query { kind, id: id(), data: vec![0; 12] })
        }
        other => {
            let payload = match message(other, src.0, &options) {
                Some((kind, code, word)) => {
                    let quoted = match options.after("quoting") {
                        Some(much) => quoted(last, &options, link, much == "head"),
                        None => data,
                    };
                    Payload::Error { kind, code, word, quoted }
                }
                None => {
                    let protocol = other.strip_prefix("proto=").expect("a protocol");
                    Payload::Other { protocol: protocol.parse().unwrap(), data }
                }
            };
            Datagram::new(src.0, dst.0, payload)
        }
    };
    datagram.ttl = u8::try_from(options.number("ttl", 64)).unwrap();
    datagram.df = options.has("df");
    datagram.part = options.part();
    datagram.extensions = options.extensions();
    let mut bytes = datagram.bytes();
    if options.has("unsummed") {
        let end = bytes.len() - length;
        bytes[end - 2..end].fill(0);
    }
    Sent { link, datagram, bytes }
}

/// What an ICMP error quotes: what somebody got last, as much of it as fits every link, or its headers.
fn quoted(
    last: &HashMap<LinkId, Vec<u8>>,
    options: &Options<'_>,
    link: LinkId,
    head: bool,
) -> Vec<u8> {
    let last = &last[&options.value("of").map_or(link, |name| line::sender(name).0)];
    let length = match (last[0] >> 4, head) {
        (4, true) => 28,
        (4, false) => 548,
        (_, true) => 48,
        (_, false) => 1232,
    };
    last[..last.len().min(length)].to_vec()
}

/// Type, code and second word of an ICMP message of the family of `src`, by its name.
fn message(name: &str, src: IpAddr, options: &Options<'_>) -> Option<(u8, u8, [u8; 4])> {
    use icmpv4::kind;
    use icmpv6::kind as kind6;
    let word = |name| u32::try_from(options.number(name, 0)).unwrap();
    let (kind, code, word) = match (name, src.is_ipv6()) {
        ("frag-needed", false) => (kind::UNREACHABLE, icmpv4::FRAGMENTATION_NEEDED, word("mtu")),
        ("too-big", true) => (kind6::PACKET_TOO_BIG, 0, word("mtu")),
        ("unreachable", false) => (kind::UNREACHABLE, 3, 0),
        ("unreachable", true) => (kind6::UNREACHABLE, 4, 0),
        ("exceeded", false) => (kind::TIME_EXCEEDED, 0, 0),
        ("exceeded", true) => (kind6::TIME_EXCEEDED, 0, 0),
        ("problem", false) => (kind::PARAMETER_PROBLEM, 0, word("pointer") << 24),
        ("problem", true) => (kind6::PARAMETER_PROBLEM, 0, word("pointer")),
        _ => {
            let (kind, code) = name.strip_prefix("icmp=")?.split_once('/')?;
            (kind.parse().unwrap(), code.parse().unwrap(), 0)
        }
    };
    Some((kind, code, word.to_be_bytes()))
}

/// What must have left.
#[derive(Debug)]
pub struct Expected<'a> {
    link: LinkId,
    src: (IpAddr, Option<&'a str>),
    dst: (IpAddr, Option<&'a str>),
    protocol: &'a str,
    options: Options<'a>,
}

impl<'a> Expected<'a> {
    pub fn of(words: &[&'a str]) -> Self {
        let &[link, src, ">", dst, protocol, ref options @ ..] = words else {
            panic!("not an expected packet: {words:?}")
        };
        Self {
            link: line::sender(link).0,
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
            (&Payload::Error { kind, code, word, ref quoted }, name) => {
                let wanted = message(name, seen.src, &self.options);
                assert_eq!(Some((kind, code, word)), wanted, "ICMP type, code, MTU or pointer");
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

    /// What is carried must arrive as it was sent, or as the other family has it.
    pub fn compare_carried(&self, sent: &Datagram, seen: &Datagram) {
        let crosses = sent.src.is_ipv4() != seen.src.is_ipv4();
        let data = |datagram: &Datagram| match &datagram.payload {
            Payload::Tcp { data, sequence, acknowledgment, .. } => {
                (data.clone(), Some((*sequence, *acknowledgment)))
            }
            Payload::Echo { data, sequence, .. } => (data.clone(), Some((u32::from(*sequence), 0))),
            Payload::Udp { data, .. }
            | Payload::Query { data, .. }
            | Payload::Other { data, .. } => (data.clone(), None),
            Payload::Error { .. } if crosses => (Vec::new(), None),
            Payload::Error { quoted, .. } => (vec![0; quoted.len()], None),
        };
        let place = |part: Option<Part>| part.map_or((0, false), |part| (part.offset, part.more));
        // The judge does not look into first fragments: `tests/fragments.rs` does.
        if !place(sent.part).1 {
            assert_eq!(data(sent), data(seen), "data");
        }
        if crosses {
            assert_eq!(seen.df, self.options.has("df"), "DF");
            assert_eq!(place(seen.part), place(sent.part), "place of a fragment");
            assert_eq!(seen.extensions, [], "extension headers");
        } else {
            assert_eq!((seen.df, seen.part), (sent.df, sent.part), "DF, fragment");
            assert_eq!(seen.extensions, sent.extensions, "extension headers");
        }
    }
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

    /// The extension headers, but for that of a fragment.
    fn extensions(&self) -> Vec<(u8, Vec<u8>)> {
        let header = |word: &&str| {
            let (name, value) = word.split_once('=').unwrap_or((word, "8"));
            match name {
                "hop-by-hop" => Some((protocol::HOP_BY_HOP, padding(value.parse().unwrap()))),
                "options" => Some((protocol::DESTINATION_OPTIONS, padding(value.parse().unwrap()))),
                "routing" => {
                    let left = value.parse().unwrap();
                    Some((protocol::ROUTING, vec![0, 4, left, 0, 0, 0, 0]))
                }
                _ => None,
            }
        };
        self.0.iter().filter_map(header).collect()
    }

    fn part(&self) -> Option<Part> {
        let id = u32::try_from(self.number("datagram", 0)).unwrap();
        let offset = self.number("fragment", 0);
        let more = self.0.contains(&"fragment");
        (more || offset > 0 || self.has("atomic")).then_some(Part { id, offset, more })
    }
}

/// Options that are nothing but padding, `length` bytes with the header (RFC 8200 s. 4.2).
fn padding(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length - 1];
    bytes[0] = u8::try_from(length / 8 - 1).unwrap();
    bytes
}
