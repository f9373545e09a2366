//! Packets of IPv6 as somebody draws them, a byte at a time: from those who can send, to anybody, behind
//! whatever chain of extension headers.

use std::net::{Ipv4Addr, Ipv6Addr};

use dataplane::packet::LinkId;
use dataplane::wire::protocol;

use super::datagram::{Datagram, Part, Payload, echo, tcp, udp};
use super::topology::{BASTION_PUBLIC, NAT_PRIVATE, NAT_PUBLIC, SENDERS, address, address6, nat64};

/// Bytes of data: none, few, and about as many as an MTU leaves room for.
const LENGTHS: [usize; 8] = [0, 8, 31, 600, 1432, 1453, 2000, 8470];

/// A packet, and the link that it is sent by.
pub fn draw(byte: &mut impl FnMut() -> u8) -> (LinkId, Datagram) {
    let who = byte();
    let link = SENDERS[usize::from(who % 5)].1;
    let src = match who / 5 {
        48 => address6(SENDERS[0].1),
        49 => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1),
        50 => Ipv6Addr::UNSPECIFIED,
        _ => address6(link),
    };
    let dst = destination(byte());
    let payload = payload(src, dst, byte);
    let mut datagram = Datagram::new(src, dst, payload);
    let how = byte();
    datagram.ttl = if how < 16 { how % 4 } else { 64 };
    datagram.part = match how / 16 {
        13 => Some(Part { id: 7, offset: 0, more: false }),
        14 => Some(Part { id: 7, offset: 0, more: true }),
        15 => Some(Part { id: 7, offset: usize::from(byte()) * 8, more: byte() < 128 }),
        _ => None,
    };
    let headers = match byte() % 16 {
        few @ 0..4 => few,
        15 => 9,
        _ => 0,
    };
    datagram.extensions = (0..headers).map(|_| extension(byte)).collect();
    (link, datagram)
}

/// Somebody's address, or that which NAT64 has for somebody's of IPv4.
fn destination(which: u8) -> Ipv6Addr {
    match which % 16 {
        to @ 0..5 => SENDERS[usize::from(to)].3,
        to @ 5..10 => nat64(SENDERS[usize::from(to) - 5].2),
        10 => nat64(NAT_PRIVATE),
        11 => nat64(NAT_PUBLIC),
        12 => nat64(BASTION_PUBLIC),
        13 => nat64(Ipv4Addr::new(127, 0, 0, which / 16)),
        14 => Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16),
        _ => Ipv6Addr::new(0x2600, 0x1f18, 0x1234, 0x5600, 0, 0, 0, 0xdead),
    }
}

fn payload(src: Ipv6Addr, dst: Ipv6Addr, byte: &mut impl FnMut() -> u8) -> Payload {
    let (what, port) = (byte(), u16::from(byte() % 16));
    let data: Vec<u8> = (0..=u8::MAX).cycle().take(LENGTHS[usize::from(what / 32)]).collect();
    let (from, to) = ((src, port), (dst, 80));
    match what % 8 {
        0 | 1 => tcp(from, to, byte(), &data).payload,
        2 | 3 => udp(from, to, &data).payload,
        4 => echo(src, dst, byte() > 63, port, &data).payload,
        5 => {
            let kinds = [1, 2, 3, 4, 133, 135, 143, 137];
            let word = [0, 0, 5, byte()];
            // About a packet that had been sent to whom it is from.
            let quoted = udp((dst, 80), (src, port), &data[..data.len().min(1100)]).bytes();
            Payload::Error { kind: kinds[usize::from(byte() % 8)], code: byte() % 8, word, quoted }
        }
        6 => {
            // About a packet that came through NAT64, in part.
            let there = nat64(address(SENDERS[0].1));
            let mut quoted = udp((there, 80), (address6(SENDERS[2].1), port), &data).bytes();
            quoted.truncate(40 + usize::from(byte()));
            Payload::Error { kind: 2, code: 0, word: [0, 0, 5, 0], quoted }
        }
        _ => {
            let protocols = [1, 2, 47, 50, 59, 132, 253, protocol::NO_NEXT];
            Payload::Other { protocol: protocols[usize::from(byte() % 8)], data }
        }
    }
}

/// An extension header, whose length may be more than there is.
fn extension(byte: &mut impl FnMut() -> u8) -> (u8, Vec<u8>) {
    let (kind, how) = (byte(), byte());
    let units = usize::from(how % 4);
    let mut rest = vec![0; 8 * (units + 1) - 1];
    rest[0] = if how >= 240 { how } else { how % 4 };
    let number = match kind % 8 {
        0..=2 => protocol::HOP_BY_HOP,
        3 => protocol::ROUTING,
        4 => protocol::FRAGMENT,
        5 => {
            // In words of four bytes, less two (RFC 4302 s. 2.2).
            rest[0] = 2 * (how % 4);
            protocol::AUTHENTICATION
        }
        _ => protocol::DESTINATION_OPTIONS,
    };
    if number == protocol::ROUTING {
        rest[2] = kind / 8 % 2;
    }
    (number, rest)
}
