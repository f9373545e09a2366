//! Packets of both families as bytes: where fields stand, and who sent what to whom the other way round.

use std::net::IpAddr;
use std::ops::Range;

pub fn is_v6(bytes: &[u8]) -> bool {
    bytes[0] >> 4 == 6
}

/// Where time to live, source and destination stand.
pub fn places(bytes: &[u8]) -> (usize, Range<usize>, Range<usize>) {
    if is_v6(bytes) { (7, 8..24, 24..40) } else { (8, 12..16, 16..20) }
}

/// Where the transport header stands, if there are no extension headers, and its protocol.
pub fn transport(bytes: &[u8]) -> (usize, u8) {
    if is_v6(bytes) { (40, bytes[6]) } else { (usize::from(bytes[0] & 0xf) * 4, bytes[9]) }
}

/// Source and destination.
pub fn ends(bytes: &[u8]) -> (IpAddr, IpAddr) {
    let (_, source, destination) = places(bytes);
    let address = |place: Range<usize>| match <[u8; 4]>::try_from(&bytes[place.clone()]) {
        Ok(octets) => IpAddr::from(octets),
        Err(_) => <[u8; 16]>::try_from(&bytes[place]).unwrap().into(),
    };
    (address(source), address(destination))
}

/// Addresses and ports the other way round, a request as its reply; checksums stay, and are right but for
/// those of echoes.
pub fn answered(bytes: &[u8]) -> Vec<u8> {
    let mut answer = bytes.to_vec();
    let (limit, source, destination) = places(bytes);
    answer[source.clone()].copy_from_slice(&bytes[destination.clone()]);
    answer[destination].copy_from_slice(&bytes[source]);
    answer[limit] = 64;
    let (at, protocol) = transport(bytes);
    match protocol {
        6 | 17 if bytes.len() >= at + 4 => {
            answer[at..at + 2].copy_from_slice(&bytes[at + 2..at + 4]);
            answer[at + 2..at + 4].copy_from_slice(&bytes[at..at + 2]);
        }
        1 if bytes.len() > at => answer[at] ^= 8,
        58 if bytes.len() > at => answer[at] ^= 1,
        _ => {}
    }
    answer
}
