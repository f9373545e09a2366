//! What the tests of both directions share: packets built by `etherparse`, and how they are given to
//! a translator.

use etherparse::{IpHeaders, IpNumber, Ipv4Header, Ipv6Header, PacketBuilder};

use crate::io::{Frame, HEADROOM};
use crate::wire::checksum::Sum;
use crate::wire::rfc7915::{Ends, Hop, Refusal, Translated};
use crate::wire::virtio::VirtioNetHdr;

pub(super) const A4: [u8; 4] = [192, 0, 2, 33];
pub(super) const B4: [u8; 4] = [198, 51, 100, 2];
/// 2001:db8:1c0:2:21::
pub(super) const A6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 1, 0xc0, 0, 2, 0, 0x21, 0, 0, 0, 0, 0, 0];
/// 2001:db8:1c6:3364:2::
pub(super) const B6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 1, 0xc6, 0x33, 0x64, 0, 2, 0, 0, 0, 0, 0, 0];

pub(super) const ENDS4: Ends<[u8; 4]> = Ends { source: A4, destination: B4, ports: (2000, 4000) };
pub(super) const ENDS6: Ends<[u8; 16]> = Ends { source: A6, destination: B6, ports: (2000, 4000) };

pub(super) const HOP: Hop =
    Hop { hops: 1, mtu4: 1500, mtu6: 1500, lowest_mtu6: 1280, identification: 0x4321 };

/// UDP with `data` from A to B over IPv4, with DF, and with what `change` makes of its header.
pub(super) fn udp4(data: &[u8], change: impl FnOnce(&mut Ipv4Header)) -> Vec<u8> {
    let mut header = Ipv4Header::new(0, 64, IpNumber::UDP, A4, B4).unwrap();
    change(&mut header);
    built(IpHeaders::Ipv4(header, Default::default()), data)
}

/// UDP with `data` from A to B over IPv6, with what `change` makes of its header.
pub(super) fn udp6(data: &[u8], change: impl FnOnce(&mut Ipv6Header)) -> Vec<u8> {
    let mut header =
        Ipv6Header { source: A6, destination: B6, hop_limit: 64, ..Default::default() };
    change(&mut header);
    built(IpHeaders::Ipv6(header, Default::default()), data)
}

fn built(ip: IpHeaders, data: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ip(ip).udp(2000, 4000).write(&mut packet, data).unwrap();
    packet
}

/// The same packet with extension headers (or any bytes) behind its IPv6 header, the first of which
/// is of number `first`.
pub(super) fn with_headers(packet: &[u8], first: u8, headers: &[u8]) -> Vec<u8> {
    let mut extended = [&packet[..40], headers, &packet[40..]].concat();
    extended[6] = first;
    let length = u16::try_from(extended.len() - 40).unwrap();
    extended[4..6].copy_from_slice(&length.to_be_bytes());
    extended
}

/// The same packet of another protocol, with `payload`.
pub(super) fn carrying(packet: &[u8], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let v4 = packet[0] >> 4 == 4;
    let header = if v4 { 20 } else { 40 };
    let mut other = [&packet[..header], payload].concat();
    let (number, length) = if v4 { (9, 2..4) } else { (6, 4..6) };
    other[number] = protocol;
    let told = u16::try_from(if v4 { other.len() } else { payload.len() }).unwrap();
    other[length].copy_from_slice(&told.to_be_bytes());
    if v4 {
        sum4(&mut other);
    }
    other
}

/// Gives an IPv4 header its checksum.
pub(super) fn sum4(packet: &mut [u8]) {
    let length = usize::from(packet[0] & 15) * 4;
    packet[10..12].fill(0);
    let sum = Sum::of(&packet[..length]).checksum();
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// An ICMP message over the network header of `packet`, with its checksum.
pub(super) fn icmp(packet: &[u8], start: [u8; 8], rest: &[u8]) -> Vec<u8> {
    let v4 = packet[0] >> 4 == 4;
    let mut message = [&start[..], rest].concat();
    message[2..4].fill(0);
    let mut sum = Sum::of(&message);
    if !v4 {
        let length = u16::try_from(message.len()).unwrap();
        sum = sum.plus(Sum::of(&packet[8..40])).word(length).word(58);
    }
    message[2..4].copy_from_slice(&sum.checksum().to_be_bytes());
    carrying(packet, if v4 { 1 } else { 58 }, &message)
}

/// What a translator makes of a packet.
pub(super) type Made = Result<(Vec<u8>, Option<u16>), Refusal>;

/// Lets `translate` translate a packet.
pub(super) fn run(
    packet: &[u8],
    translate: impl FnOnce(&mut [u8], Frame) -> Result<Translated, Refusal>,
) -> Made {
    let mut slot = vec![0xa5; HEADROOM + packet.len() + 128];
    slot[HEADROOM..HEADROOM + packet.len()].copy_from_slice(packet);
    let frame = Frame { start: HEADROOM, len: packet.len(), offload: VirtioNetHdr::PLAIN };
    let Translated { frame, fragment } = translate(&mut slot, frame)?;
    Ok((frame.packet(&mut slot).unwrap().to_vec(), fragment))
}
