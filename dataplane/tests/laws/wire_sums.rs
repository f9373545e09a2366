//! Sums worked out the slow way, for tests: complete checksums, partial ones, and cutting.

use dataplane::wire::virtio::{NEEDS_CSUM, VirtioNetHdr, gso};

const IPV4: usize = 20;

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

/// The sum of the pseudo-header of a packet without IP options (RFC 9293 s. 3.1).
pub fn pseudo_header(packet: &[u8]) -> u16 {
    let mut pseudo = packet[12..20].to_vec();
    pseudo.extend([0, packet[9]]);
    pseudo.extend(u16::try_from(packet.len() - IPV4).unwrap().to_be_bytes());
    sum(&pseudo)
}

/// Where the transport checksum of a packet without IP options stands.
pub fn checksum_place(packet: &[u8]) -> usize {
    IPV4 + if packet[9] == 6 { 16 } else { 6 }
}

/// Leaves the transport checksum to be finished, as a kernel does.
pub fn make_partial(packet: &mut [u8]) -> VirtioNetHdr {
    let at = checksum_place(packet);
    let partial = pseudo_header(packet);
    packet[at..at + 2].copy_from_slice(&partial.to_be_bytes());
    VirtioNetHdr {
        flags: NEEDS_CSUM,
        csum_start: 20,
        csum_offset: u16::try_from(at - IPV4).unwrap(),
        ..VirtioNetHdr::PLAIN
    }
}

/// Finishes it, as a device does: whatever the field holds is part of the sum.
pub fn complete(packet: &mut [u8]) {
    let at = checksum_place(packet);
    let checksum = match !sum(&packet[IPV4..]) {
        0 if packet[9] == 17 => 0xffff,
        checksum => checksum,
    };
    packet[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
}

/// Cuts a super-packet without IP options into the packets that it stands for, with finished
/// checksums (RFC 9293 s. 3.7.1; IP identification as it is).
pub fn cut(packet: &[u8], offload: VirtioNetHdr) -> Vec<Vec<u8>> {
    let tcp = offload.gso_type == gso::TCPV4;
    let headers = IPV4 + if tcp { usize::from(packet[32] >> 4) * 4 } else { 8 };
    let data = &packet[headers..];
    let size = usize::from(offload.gso_size);
    let segments = data.chunks(size).count();
    let cut = data.chunks(size).enumerate().map(|(index, data)| {
        let mut segment = [&packet[..headers], data].concat();
        let length = u16::try_from(segment.len()).unwrap();
        segment[2..4].copy_from_slice(&length.to_be_bytes());
        if tcp {
            let sequence = u32::from_be_bytes(segment[24..28].try_into().unwrap());
            let sequence = sequence.wrapping_add(u32::try_from(index * size).unwrap());
            segment[24..28].copy_from_slice(&sequence.to_be_bytes());
            // FIN and PSH are the last one's, CWR the first one's.
            segment[33] &= if index + 1 < segments { !0x09 } else { !0 };
            segment[33] &= if index > 0 { !0x80 } else { !0 };
        } else {
            segment[24..26].copy_from_slice(&(length - 20).to_be_bytes());
        }
        segment[10..12].fill(0);
        let header = !sum(&segment[..IPV4]);
        segment[10..12].copy_from_slice(&header.to_be_bytes());
        let partial = pseudo_header(&segment);
        let at = checksum_place(&segment);
        segment[at..at + 2].copy_from_slice(&partial.to_be_bytes());
        complete(&mut segment);
        segment
    });
    cut.collect()
}
