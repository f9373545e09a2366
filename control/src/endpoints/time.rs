//! What time is it? NTP (RFC 5905) as the Amazon Time Sync Service serves it, in emulated wall time.

use std::time::SystemTime;

/// The length of a header (RFC 5905 s. 7.3), in bytes; extension fields and codes behind it are not read.
const HEADER: usize = 48;

/// The modes of who asks and who answers (RFC 5905 s. 7.3).
const CLIENT: u8 = 3;
const SERVER: u8 = 4;

/// As far from a reference clock as Time Sync says that it is: `chronyc sources` in AWS "Set the time reference on your
/// EC2 instance to use the local Amazon Time Sync Service".
const STRATUM: u8 = 3;

/// Microseconds: 2^-20 s.
const PRECISION: i8 = -20;

/// To the reference clock and back, in 2^-16 s: half a millisecond.
const ROOT_DELAY: u32 = 33;

/// How far off at most, in 2^-16 s: a quarter of a millisecond.
const ROOT_DISPERSION: u32 = 16;

/// Whom the time is from: an address of nobody (RFC 5737).
const REFERENCE_ID: [u8; 4] = [192, 0, 2, 123];

/// Seconds from the begin of NTP's first era, 1900, to 1970.
const UNIX_EPOCH: u64 = 2_208_988_800;

/// The answer to a datagram that came `now`; none to what is no request of NTPv3 or NTPv4.
pub(super) fn answer(request: &[u8], now: SystemTime) -> Option<[u8; HEADER]> {
    let request = request.first_chunk::<HEADER>()?;
    let (version, mode) = (request[0] >> 3 & 7, request[0] & 7);
    if mode != CLIENT || !matches!(version, 3 | 4) {
        return None;
    }
    let now = timestamp(now);
    let mut answer = [0; HEADER];
    // No leap second is announced: Time Sync smears them.
    answer[0] = version << 3 | SERVER;
    answer[1] = STRATUM;
    answer[2] = request[2];
    answer[3] = PRECISION.to_be_bytes()[0];
    answer[4..8].copy_from_slice(&ROOT_DELAY.to_be_bytes());
    answer[8..12].copy_from_slice(&ROOT_DISPERSION.to_be_bytes());
    answer[12..16].copy_from_slice(&REFERENCE_ID);
    // Reference: it was set at the last full second. Origin: what the client sent. Receive and transmit: now.
    answer[16..24].copy_from_slice(&(now & !u64::from(u32::MAX)).to_be_bytes());
    answer[24..32].copy_from_slice(&request[40..48]);
    answer[32..40].copy_from_slice(&now.to_be_bytes());
    answer[40..48].copy_from_slice(&now.to_be_bytes());
    Some(answer)
}

/// Seconds since the begin of the era, in 2^-32 s (RFC 5905 s. 6); an era has 2^32 seconds, and says not which it is.
fn timestamp(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    // What is shifted out is the number of the era.
    since.as_secs().wrapping_add(UNIX_EPOCH) << 32 | fraction
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64, nanoseconds: u32) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds)
    }

    fn request(first: u8) -> [u8; HEADER] {
        let mut request = [0xaa; HEADER];
        request[0] = first;
        request
    }

    #[test]
    fn timestamps_count_from_1900_and_begin_anew_in_2036() {
        assert_eq!(timestamp(at(0, 0)), 0x83aa_7e80_0000_0000);
        assert_eq!(timestamp(at(0, 500_000_000)), 0x83aa_7e80_8000_0000);
        assert_eq!(timestamp(at(0, 999_999_999)), 0x83aa_7e80_ffff_fffb);
        // 2036-02-07T06:28:15Z and the second after it (RFC 5905, figure 4).
        assert_eq!(timestamp(at(2_085_978_495, 0)), 0xffff_ffff_0000_0000);
        assert_eq!(timestamp(at(2_085_978_496, 250_000_000)), 0x0000_0000_4000_0000);
    }

    #[test]
    fn answers_clients_in_their_version() {
        for (first, answered) in [(0o33, 0o34), (0o43, 0o44), (0o343, 0o44)] {
            let mut request = request(first);
            request[2] = 6;
            request[40..48].copy_from_slice(b"transmit");
            let answer = answer(&request, at(0, 500_000_000)).unwrap();
            assert_eq!(answer[..4], [answered, 3, 6, 0xec]);
            assert_eq!(answer[4..16], [0, 0, 0, 33, 0, 0, 0, 16, 192, 0, 2, 123]);
            assert_eq!(answer[16..24], [0x83, 0xaa, 0x7e, 0x80, 0, 0, 0, 0]);
            assert_eq!(&answer[24..32], b"transmit");
            for stamp in [&answer[32..40], &answer[40..48]] {
                assert_eq!(stamp, [0x83, 0xaa, 0x7e, 0x80, 0x80, 0, 0, 0]);
            }
        }
    }

    #[test]
    fn reads_no_further_than_the_header() {
        let mut long = request(0o43).to_vec();
        let plain = answer(&long, at(1, 0));
        long.extend([0xbb; 100]);
        assert!(plain.is_some());
        assert_eq!(answer(&long, at(1, 0)), plain);
    }

    #[test]
    fn answers_nothing_else() {
        for version in 0..8 {
            for mode in 0..8 {
                let said = answer(&request(version << 3 | mode), at(1, 0)).is_some();
                assert_eq!(said, mode == 3 && matches!(version, 3 | 4), "{version} {mode}");
            }
        }
        for length in 0..HEADER {
            assert_eq!(answer(&request(0o43)[..length], at(1, 0)), None, "{length} bytes");
        }
    }
}
