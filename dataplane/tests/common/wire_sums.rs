//! Sums worked out the slow way, for tests: complete checksums, partial ones, and cutting. Of packets
//! without extension headers; where they are cut, without IP options.

use dataplane::wire::virtio::{NEEDS_CSUM, VirtioNetHdr, gso};

use crate::common::raw::{is_v6, transport};

/// The ones' complement sum of 16-bit words.
pub fn sum(bytes: &[u8]) -> u16 {
    let mut sum = 0_u64;
    for pair in bytes.chunks(2) {
        sum += u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0));
    }
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    u16::try_from(sum).unwrap()
}

/// The sum of the pseudo-header of a packet (RFC 9293 s. 3.1, RFC 8200 s. 8.1).
pub fn pseudo_header(packet: &[u8]) -> u16 {
    let (start, protocol) = transport(packet);
    let mut pseudo = packet[if is_v6(packet) { 8..40 } else { 12..20 }].to_vec();
    pseudo.extend([0, protocol]);
    pseudo.extend(u16::try_from(packet.len() - start).unwrap().to_be_bytes());
    sum(&pseudo)
}

/// Where the transport checksum of a packet stands.
pub fn checksum_place(packet: &[u8]) -> usize {
    let (start, protocol) = transport(packet);
    start
        + match protocol {
            6 => 16,
            17 => 6,
            _ => 2,
        }
}

/// Leaves the transport checksum to be finished, as a kernel does.
pub fn make_partial(packet: &mut [u8]) -> VirtioNetHdr {
    let (start, at) = (transport(packet).0, checksum_place(packet));
    let partial = pseudo_header(packet);
    packet[at..at + 2].copy_from_slice(&partial.to_be_bytes());
    VirtioNetHdr {
        flags: NEEDS_CSUM,
        csum_start: u16::try_from(start).unwrap(),
        csum_offset: u16::try_from(at - start).unwrap(),
        ..VirtioNetHdr::PLAIN
    }
}

/// Finishes it, as a device does: whatever the field holds is part of the sum.
pub fn complete(packet: &mut [u8]) {
    let (start, protocol) = transport(packet);
    let at = checksum_place(packet);
    let checksum = match !sum(&packet[start..]) {
        0 if protocol == 17 => 0xffff,
        checksum => checksum,
    };
    packet[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
}

/// Gives an IPv4 header without options its checksum.
pub fn sum_header(bytes: &mut [u8]) {
    if let Some(header) = bytes.get_mut(..20) {
        header[10..12].fill(0);
        let checksum = !sum(header);
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
    }
}

/// Cuts a super-packet into the packets that it stands for, with finished checksums (RFC 9293 s. 3.7.1; IP
/// identification as it is).
pub fn cut(packet: &[u8], offload: VirtioNetHdr) -> Vec<Vec<u8>> {
    let (start, is_tcp) = (transport(packet).0, offload.gso_type & !gso::ECN != gso::UDP_L4);
    let headers = start + if is_tcp { usize::from(packet[start + 12] >> 4) * 4 } else { 8 };
    let data = &packet[headers..];
    let size = usize::from(offload.gso_size);
    let segments = data.chunks(size).count();
    let cut = data.chunks(size).enumerate().map(|(index, data)| {
        let mut segment = [&packet[..headers], data].concat();
        let (network, header) = segment.split_at_mut(start);
        let length = u16::try_from(headers - start + data.len()).unwrap();
        if is_tcp {
            let sequence = u32::from_be_bytes(header[4..8].try_into().unwrap());
            let sequence = sequence.wrapping_add(u32::try_from(index * size).unwrap());
            header[4..8].copy_from_slice(&sequence.to_be_bytes());
            // FIN and PSH are the last one's, CWR the first one's.
            header[13] &= if index + 1 < segments { !0x09 } else { !0 };
            header[13] &= if index > 0 { !0x80 } else { !0 };
        } else {
            header[4..6].copy_from_slice(&length.to_be_bytes());
        }
        if is_v6(packet) {
            network[4..6].copy_from_slice(&length.to_be_bytes());
        } else {
            network[2..4].copy_from_slice(&(20 + length).to_be_bytes());
            sum_header(network);
        }
        make_partial(&mut segment);
        complete(&mut segment);
        segment
    });
    cut.collect()
}
