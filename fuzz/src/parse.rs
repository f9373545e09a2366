//! Whatever bytes come with whatever offload header, over fixed tables: no panic, one end for each packet, and
//! what goes out is as sound as what came in.
//!
//! An input is a list of packets: a control byte, a length (two bytes, big-endian), perhaps an offload header, and
//! so many bytes. The fuzzer cannot guess checksums, translated ports and chains of extension headers, so the
//! control byte says what is done for it; see [`Packet`].

use dataplane::io::fragment::fragment;
use dataplane::io::segment::{complete_checksum, cut};
use dataplane::io::{Frame, HEADROOM, SLOT};
use dataplane::packet::LinkId;
use dataplane::time::Span;
use dataplane::wire::virtio::VirtioNetHdr;
use etherparse::{
    Icmpv4Slice, Icmpv6Slice, IpNumber, Ipv4Header, Ipv4HeaderSlice, Ipv6HeaderSlice, Ipv6Slice,
    TcpSlice, UdpSlice,
};
use zerocopy::FromBytes;

use crate::common::datagram::{Datagram, Payload};
use crate::common::ipv6;
use crate::common::net::{Emitted, Net, Outcome};
use crate::common::raw::{answered, ends, is_v6, places, transport};
use crate::common::topology::Topology;

/// Plays an input.
///
/// # Panics
///
/// When a law is broken.
pub fn judge(mut input: &[u8]) {
    let mut net = Net::with_limit(&Topology::open(), 64, 1);
    // Instead of five days, which cost a fuzzer more than all else.
    net.tables.timers.tracking_tcp_established = Span::seconds(3_600);
    let mut last: Option<Emitted> = None;
    let mut turn: Vec<Packet> = Vec::new();
    while let Some(packet) = Packet::take(&mut input, last.as_ref()) {
        let together = packet.together;
        turn.push(packet);
        if together && turn.len() < 16 {
            continue;
        }
        play(&mut net, &turn, &mut last);
        turn.clear();
    }
    play(&mut net, &turn, &mut last);
    net.advance(7_200);
    net.check();
    assert!(net.shard.flows.is_empty(), "silence ends every flow");
    assert_eq!((net.shared.ports.total(), net.shared.directory.len()), (0, 0));
}

/// A packet of the input.
struct Packet {
    link: LinkId,
    bytes: Vec<u8>,
    offload: VirtioNetHdr,
    /// In one batch with the next.
    together: bool,
}

/// Bits 0 to 2 are the link, or [`control::DRAWN`].
mod control {
    /// The bytes say what a packet of IPv6 is drawn like.
    pub const DRAWN: u8 = 6;
    /// An offload header follows, as the kernel lays it out.
    pub const OFFLOAD: u8 = 0x08;
    /// All checksums are made right.
    pub const SUM: u8 = 0x10;
    /// In one batch with the next packet.
    pub const TOGETHER: u8 = 0x20;
    /// The answer to what was emitted last, by the link that it left by; the bytes are its changes.
    pub const ANSWER: u8 = 0x40;
    /// An ICMP error about what was emitted last; the bytes are its changes. With `ANSWER`: that very packet again.
    pub const ERROR: u8 = 0x80;
}

impl Packet {
    fn take(input: &mut &[u8], last: Option<&Emitted>) -> Option<Self> {
        let (&[control, high, low], rest) = input.split_first_chunk()?;
        *input = rest;
        let mut offload = VirtioNetHdr::PLAIN;
        if control & control::OFFLOAD != 0 {
            (offload, *input) = VirtioNetHdr::read_from_prefix(input).ok()?;
        }
        let length = usize::from(u16::from_be_bytes([high, low])).min(input.len());
        let (given, rest) = input.split_at(length);
        *input = rest;
        let mut link = LinkId(u16::from(control & 7));
        let mut bytes = given.to_vec();
        if control & 7 == control::DRAWN {
            let mut given = given.iter().copied();
            let drawn = ipv6::draw(&mut || given.next().unwrap_or(0));
            (link, bytes) = (drawn.0, drawn.1.bytes());
        }
        if let Some(last) = last {
            let made = match (control & control::ANSWER != 0, control & control::ERROR != 0) {
                (false, false) => None,
                (true, false) => Some(answer(&last.bytes)),
                (false, true) => Some(error(&last.bytes)),
                (true, true) => Some(last.bytes.clone()),
            };
            if let Some(made) = made {
                link = last.link;
                bytes = changed(made, given);
            }
        }
        if control & control::SUM != 0 {
            sum(&mut bytes);
        }
        Some(Self { link, bytes, offload, together: control & control::TOGETHER != 0 })
    }
}

/// What the receiver answers.
fn answer(bytes: &[u8]) -> Vec<u8> {
    let mut answer = answered(bytes);
    sum(&mut answer);
    answer
}

/// What a router of the receiver says: that its port is unreachable.
fn error(bytes: &[u8]) -> Vec<u8> {
    let (source, destination) = ends(bytes);
    let (kind, code) = if is_v6(bytes) { (1, 4) } else { (3, 3) };
    let quoted = bytes[..bytes.len().min(548)].to_vec();
    let payload = Payload::Error { kind, code, word: [0; 4], quoted };
    Datagram::new(destination, source, payload).bytes()
}

/// `bytes` xored with `changes`, which may make it longer.
fn changed(mut bytes: Vec<u8>, changes: &[u8]) -> Vec<u8> {
    bytes.resize(bytes.len().max(changes.len()), 0);
    bytes.iter_mut().zip(changes).for_each(|(byte, change)| *byte ^= change);
    bytes
}

/// Gives a packet its checksums, where it has the headers for it.
fn sum(bytes: &mut [u8]) {
    if let Ok((mut header, _)) = Ipv4Header::from_slice(bytes) {
        header.header_checksum = header.calc_header_checksum();
        bytes[10..12].copy_from_slice(&header.header_checksum.to_be_bytes());
    }
    if let Some((at, Some(sum))) = checksum(bytes) {
        bytes[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    }
}

/// Where the transport checksum of a packet stands, and what it is to be; of a packet that has none it says
/// nothing.
fn checksum(bytes: &[u8]) -> Option<(usize, Option<u16>)> {
    if let Ok((header, _)) = Ipv4Header::from_slice(bytes) {
        let (at, end) = (header.header_len(), usize::from(header.total_len).min(bytes.len()));
        let segment = bytes.get(at..end)?;
        let (src, dst) = (header.source, header.destination);
        let (offset, sum) = match header.protocol {
            IpNumber::TCP => {
                let tcp = TcpSlice::from_slice(segment).ok();
                (16, tcp.and_then(|it| it.calc_checksum_ipv4(src, dst).ok()))
            }
            IpNumber::UDP => {
                let udp = UdpSlice::from_slice(segment).ok();
                let sum = |it: UdpSlice<'_>| {
                    it.to_header().calc_checksum_ipv4_raw(src, dst, it.payload()).ok()
                };
                (6, udp.and_then(sum))
            }
            IpNumber::ICMP => {
                let icmp = Icmpv4Slice::from_slice(segment).ok();
                (2, icmp.map(|it| it.icmp_type().calc_checksum(it.payload())))
            }
            _ => return None,
        };
        return Some((at + offset, sum));
    }
    let ip = Ipv6Slice::from_slice(bytes).ok()?;
    let (src, dst) = (ip.header().source(), ip.header().destination());
    let segment = ip.payload().payload;
    let (offset, sum) = match ip.payload().ip_number {
        _ if ip.is_payload_fragmented() => return None,
        IpNumber::TCP => {
            let tcp = TcpSlice::from_slice(segment).ok();
            (16, tcp.and_then(|it| it.calc_checksum_ipv6(src, dst).ok()))
        }
        IpNumber::UDP => {
            let udp = UdpSlice::from_slice(segment).ok();
            let sum = |it: UdpSlice<'_>| {
                it.to_header().calc_checksum_ipv6_raw(src, dst, it.payload()).ok()
            };
            (6, udp.and_then(sum))
        }
        IpNumber::IPV6_ICMP => {
            let icmp = Icmpv6Slice::from_slice(segment).ok();
            let sum =
                |it: Icmpv6Slice<'_>| it.icmp_type().calc_checksum(src, dst, it.payload()).ok();
            (2, icmp.and_then(sum))
        }
        _ => return None,
    };
    Some((40 + ip.extensions().slice().len() + offset, sum))
}

fn play(net: &mut Net, turn: &[Packet], last: &mut Option<Emitted>) {
    let packets: Vec<_> =
        turn.iter().map(|packet| (packet.link, &packet.bytes[..], packet.offload)).collect();
    for (packet, outcome) in turn.iter().zip(net.turn(&packets)) {
        judge_outcome(packet, &outcome);
        *last = outcome.emitted.or(last.take());
    }
    net.check();
}

fn judge_outcome(packet: &Packet, outcome: &Outcome) {
    match outcome {
        Outcome { emitted: Some(emitted), dropped: None, .. } => judge_forwarded(packet, emitted),
        Outcome { emitted: Some(answer), dropped: Some(_), .. } => {
            Datagram::read(&answer.bytes);
            assert_eq!((answer.link, answer.fragment), (packet.link, None));
            assert_eq!(answer.offload, VirtioNetHdr::PLAIN);
        }
        &Outcome { emitted: None, dropped, held, ignored } => {
            let ends = [dropped.is_some(), held, ignored];
            assert_eq!(ends.iter().filter(|end| **end).count(), 1, "one end for each packet");
        }
    }
}

fn judge_forwarded(packet: &Packet, emitted: &Emitted) {
    judge_whole(&emitted.bytes);
    let limit = |bytes: &[u8]| bytes[places(bytes).0];
    let (came, left) = (limit(&packet.bytes), limit(&emitted.bytes));
    assert!(left > 0 || came == 0, "{came} became {left}");
    assert!(left <= came);
    let crosses = is_v6(&packet.bytes) != is_v6(&emitted.bytes);
    let (before, after) = (packet.offload, emitted.offload);
    assert_eq!((before.flags, before.gso_size), (after.flags, after.gso_size));
    assert!(crosses || before == after, "{before:?} became {after:?}");
    if crosses && after.needs_csum() {
        assert_eq!(usize::from(after.csum_start), transport(&emitted.bytes).0);
    }
    if packet.offload == VirtioNetHdr::PLAIN && is_sound(&packet.bytes) {
        assert!(is_sound(&emitted.bytes), "{:x?} became {:x?}", packet.bytes, emitted.bytes);
    }
    judge_pieces(emitted);
}

/// What is cut in software is whole packets that fit.
fn judge_pieces(emitted: &Emitted) {
    let mut slot = vec![0; SLOT];
    slot[HEADROOM..HEADROOM + emitted.bytes.len()].copy_from_slice(&emitted.bytes);
    let frame = Frame { start: HEADROOM, len: emitted.bytes.len(), offload: emitted.offload };
    let mut sent = 0;
    let mut piece = |slot: &mut [u8], piece: Frame| {
        judge_whole(piece.packet(slot).expect("it lies in the slot"));
        assert!(emitted.fragment.is_none_or(|mtu| piece.len <= usize::from(mtu)));
        sent += 1;
        Ok(())
    };
    let mut finish = |slot: &mut [u8], mut whole: Frame| {
        complete_checksum(whole.packet(slot).expect("it lies in the slot"), whole.offload)?;
        whole.offload = VirtioNetHdr::PLAIN;
        match emitted.fragment {
            Some(mtu) => fragment(slot, whole, usize::from(mtu), &mut piece),
            None => piece(slot, whole),
        }
    };
    let finished = match emitted.offload.segmented() {
        Some(_) => cut(&mut slot, frame, &mut finish),
        None => finish(&mut slot, frame),
    };
    finished.expect("what the path emits can be finished");
    assert!(sent > 0);
}

/// Lengths that agree and a header checksum that verifies.
fn judge_whole(bytes: &[u8]) {
    if is_v6(bytes) {
        let header =
            Ipv6HeaderSlice::from_slice(bytes).unwrap_or_else(|e| panic!("{e}: {bytes:x?}"));
        assert_eq!(usize::from(header.payload_length()) + 40, bytes.len(), "{bytes:x?}");
    } else {
        let slice =
            Ipv4HeaderSlice::from_slice(bytes).unwrap_or_else(|e| panic!("{e}: {bytes:x?}"));
        let header = slice.to_header();
        assert_eq!(usize::from(header.total_len), bytes.len(), "{bytes:x?}");
        let zero = |sum| if sum == 0xffff { 0 } else { sum };
        let sums = (header.header_checksum, header.calc_header_checksum());
        assert_eq!(zero(sums.0), zero(sums.1), "{bytes:x?}");
    }
}

/// Whether the transport checksum verifies, that of a whole quoted packet included; a fragment has none
/// that could.
fn is_sound(bytes: &[u8]) -> bool {
    let is_v6 = is_v6(bytes);
    if !is_v6 && (bytes[6] & 0x3f != 0 || bytes[7] != 0) {
        return false;
    }
    let Some((at, sum)) = checksum(bytes) else { return !is_v6 };
    let stored = bytes.get(at..at + 2).map(|it| u16::from_be_bytes([it[0], it[1]]));
    match (stored, sum, transport(bytes).1) {
        (Some(0), _, 17) => !is_v6,
        (Some(stored), Some(sum), _) => stored % 0xffff == sum % 0xffff,
        _ => false,
    }
}
