//! Whatever bytes come with whatever offload header, over fixed tables: no panic, one end for each packet, and
//! what goes out is as sound as what came in.
//!
//! An input is a list of packets: a control byte, a length (two bytes, big-endian), perhaps an offload header, and
//! so many bytes. The fuzzer cannot guess checksums and translated ports, so the control byte says what is done for
//! it; see [`Packet`].

use dataplane::io::fragment::fragment;
use dataplane::io::segment::{complete_checksum, cut};
use dataplane::io::{Frame, HEADROOM, SLOT};
use dataplane::packet::LinkId;
use dataplane::time::Span;
use dataplane::wire::virtio::VirtioNetHdr;
use etherparse::{Icmpv4Slice, IpNumber, Ipv4Header, Ipv4HeaderSlice, TcpSlice, UdpSlice};
use zerocopy::FromBytes;

use crate::common::datagram::{Datagram, Payload};
use crate::common::net::{Emitted, Net, Outcome};
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

/// Bits 0 to 2 are the link.
mod control {
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

/// Addresses and ports the other way round.
fn answer(bytes: &[u8]) -> Vec<u8> {
    let mut answer = bytes.to_vec();
    answer[12..16].copy_from_slice(&bytes[16..20]);
    answer[16..20].copy_from_slice(&bytes[12..16]);
    answer[8] = 64;
    let at = header_length(bytes);
    match bytes[9] {
        6 | 17 if bytes.len() >= at + 4 => {
            answer[at..at + 2].copy_from_slice(&bytes[at + 2..at + 4]);
            answer[at + 2..at + 4].copy_from_slice(&bytes[at..at + 2]);
        }
        1 if bytes.len() > at => answer[at] ^= 8,
        _ => {}
    }
    sum(&mut answer);
    answer
}

/// What a router of the receiver says: that its port is unreachable.
fn error(bytes: &[u8]) -> Vec<u8> {
    let quoted = bytes[..bytes.len().min(548)].to_vec();
    let [from, to] = [16, 12].map(|at| {
        let octets: [u8; 4] = std::array::from_fn(|index| bytes[at + index]);
        octets.into()
    });
    Datagram::new(from, to, Payload::Error { kind: 3, code: 3, word: [0; 4], quoted }).bytes()
}

/// `bytes` xored with `changes`, which may make it longer.
fn changed(mut bytes: Vec<u8>, changes: &[u8]) -> Vec<u8> {
    bytes.resize(bytes.len().max(changes.len()), 0);
    bytes.iter_mut().zip(changes).for_each(|(byte, change)| *byte ^= change);
    bytes
}

fn header_length(bytes: &[u8]) -> usize {
    usize::from(bytes[0] & 0xf) * 4
}

/// Gives an IPv4 packet its checksums, where it has the headers for it.
fn sum(bytes: &mut [u8]) {
    let Ok((mut header, _)) = Ipv4Header::from_slice(bytes) else { return };
    header.header_checksum = header.calc_header_checksum();
    bytes[10..12].copy_from_slice(&header.header_checksum.to_be_bytes());
    let (at, end) = (header.header_len(), usize::from(header.total_len).min(bytes.len()));
    let Some(segment) = bytes.get(at..end) else { return };
    let (src, dst) = (header.source, header.destination);
    let found = match header.protocol {
        IpNumber::TCP => TcpSlice::from_slice(segment)
            .ok()
            .and_then(|it| it.calc_checksum_ipv4(src, dst).ok())
            .map(|sum| (16, sum)),
        IpNumber::UDP => UdpSlice::from_slice(segment)
            .ok()
            .and_then(|it| it.to_header().calc_checksum_ipv4_raw(src, dst, it.payload()).ok())
            .map(|sum| (6, sum)),
        IpNumber::ICMP => Icmpv4Slice::from_slice(segment)
            .ok()
            .map(|it| (2, it.icmp_type().calc_checksum(it.payload()))),
        _ => None,
    };
    if let Some((offset, sum)) = found {
        bytes[at + offset..at + offset + 2].copy_from_slice(&sum.to_be_bytes());
    }
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
        Outcome { emitted: None, dropped, held } => {
            assert!(dropped.is_some() != *held, "a packet vanished");
        }
    }
}

fn judge_forwarded(packet: &Packet, emitted: &Emitted) {
    let whole = judge_whole(&emitted.bytes);
    let came = Ipv4HeaderSlice::from_slice(&packet.bytes).expect("parse has believed it");
    let ttl = whole.to_header().time_to_live;
    assert!(ttl > 0 || came.ttl() == 0, "{} became {ttl}", came.ttl());
    assert!(ttl <= came.ttl());
    assert_eq!(emitted.offload, packet.offload);
    let came = &packet.bytes[..usize::from(came.total_len())];
    if packet.offload == VirtioNetHdr::PLAIN && is_sound(came) {
        assert!(is_sound(&emitted.bytes), "{came:x?} became {:x?}", emitted.bytes);
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
fn judge_whole(bytes: &[u8]) -> Ipv4HeaderSlice<'_> {
    let slice = Ipv4HeaderSlice::from_slice(bytes).unwrap_or_else(|e| panic!("{e}: {bytes:x?}"));
    let header = slice.to_header();
    assert_eq!(usize::from(header.total_len), bytes.len(), "{bytes:x?}");
    let zero = |sum| if sum == 0xffff { 0 } else { sum };
    assert_eq!(zero(header.header_checksum), zero(header.calc_header_checksum()), "{bytes:x?}");
    slice
}

/// Whether the transport checksum verifies, that of a whole quoted packet included; a fragment has none
/// that could.
fn is_sound(bytes: &[u8]) -> bool {
    if bytes[6] & 0x3f != 0 || bytes[7] != 0 {
        return false;
    }
    let mut summed = bytes.to_vec();
    sum(&mut summed);
    let at = header_length(bytes);
    let field = match bytes[9] {
        6 => at + 16,
        17 => at + 6,
        1 => at + 2,
        _ => return true,
    };
    let stored = |bytes: &[u8]| match bytes.get(field..field + 2) {
        Some(&[high, low]) => u16::from_be_bytes([high, low]) % 0xffff,
        _ => 0,
    };
    (bytes[9] == 17 && stored(bytes) == 0) || stored(bytes) == stored(&summed)
}
