//! MTUs that ICMP errors tell (RFC 7915 s. 4.2, 5.2).

use crate::wire::ipv6::MINIMUM_MTU;
use crate::wire::rfc7915::Hop;

/// What an IPv6 header is longer by than one of IPv4, in bytes.
pub(super) const GROWTH: u16 = 20;

/// Length of an IPv6 fragment header, in bytes.
pub(super) const FRAGMENT: u16 = 8;

/// Every IPv4 link carries packets of so many bytes (RFC 791 s. 3.2).
const MINIMUM_MTU4: u16 = 68;

/// Likely path MTUs that are at least that of IPv6 (RFC 1191 s. 7.1).
const PLATEAUS: [u16; 7] = [65_535, 32_000, 17_914, 8166, 4352, 2002, 1492];

/// What a "packet too big" tells where a "fragmentation needed" told `mtu`, about a packet of `total`
/// bytes (s. 4.2). An old router tells none: then it is the likeliest.
pub(super) fn to_v6(mtu: u16, total: u16, hop: &Hop) -> u16 {
    let mtu = match mtu {
        0 => PLATEAUS.into_iter().find(|&plateau| plateau < total).unwrap_or(0),
        mtu => mtu,
    };
    let path = mtu.saturating_add(GROWTH).min(hop.mtu4.saturating_add(GROWTH));
    path.min(hop.mtu6).max(MINIMUM_MTU)
}

/// What a "fragmentation needed" tells where a "packet too big" told `mtu`, about a packet that had
/// a fragment header of its own if `fragment` (s. 5.2).
///
/// The RFC says to take that header into account, and then gives a formula without it, which some translators follow
/// to the letter. A fragment with DF grows by both headers: told 20 less, its sender would be told again for ever.
pub(super) fn to_v4(mtu: u32, fragment: bool, hop: &Hop) -> u16 {
    let growth = if fragment { GROWTH + FRAGMENT } else { GROWTH };
    let mtu = u16::try_from(mtu).unwrap_or(u16::MAX).saturating_sub(growth);
    mtu.min(hop.mtu4).min(hop.mtu6.saturating_sub(GROWTH)).max(MINIMUM_MTU4)
}

/// What the sender of an IPv6 packet is told that is too long for the IPv4 next hop (s. 1.4).
pub(super) fn for_v6_sender(hop: &Hop) -> u16 {
    hop.mtu4.saturating_add(GROWTH).max(MINIMUM_MTU)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOP: Hop = Hop { hops: 1, mtu4: 1500, mtu6: 9001, lowest_mtu6: 1280, identification: 0 };

    #[test]
    fn s_4_2_longer_by_20_but_never_below_1280() {
        for (told, expected) in [(1400, 1420), (1261, 1281), (1260, 1280), (1259, 1280), (68, 1280)]
        {
            assert_eq!(to_v6(told, 1500, &HOP), expected, "{told}");
        }
    }

    #[test]
    fn s_4_2_bounded_by_both_next_hops() {
        assert_eq!(to_v6(1500, 1500, &HOP), 1520);
        assert_eq!(to_v6(9000, 9000, &HOP), 1520, "the IPv4 next hop");
        assert_eq!(to_v6(1500, 1500, &Hop { mtu6: 1400, ..HOP }), 1400, "the IPv6 next hop");
        assert_eq!(to_v6(65_535, 65_535, &Hop { mtu4: u16::MAX, ..HOP }), 9001);
    }

    #[test]
    fn s_4_2_without_mtu_the_greatest_plateau_below_the_total_length() {
        let hop = Hop { mtu4: u16::MAX, mtu6: u16::MAX, ..HOP };
        for (total, expected) in [
            (65_535, 32_020),
            (32_000, 17_934),
            (17_000, 8186),
            (8000, 4372),
            (4000, 2022),
            (1500, 1512),
            (1492, 1280),
            (100, 1280),
        ] {
            assert_eq!(to_v6(0, total, &hop), expected, "{total}");
        }
    }

    #[test]
    fn s_5_2_shorter_by_20_and_by_a_fragment_header() {
        assert_eq!(to_v4(1280, false, &HOP), 1260);
        assert_eq!(to_v4(1280, true, &HOP), 1252);
        assert_eq!(to_v4(1420, false, &HOP), 1400);
    }

    #[test]
    fn s_5_2_bounded_by_both_next_hops() {
        assert_eq!(to_v4(9000, false, &HOP), 1500, "the IPv4 next hop");
        let hop = Hop { mtu6: 1480, ..HOP };
        assert_eq!(to_v4(9000, false, &hop), 1460, "the IPv6 next hop");
        assert_eq!(to_v4(u32::MAX, false, &HOP), 1500);
        assert_eq!(to_v4(0, false, &HOP), 68, "no link is shorter");
    }

    #[test]
    fn s_1_4_a_sender_is_told_what_fits_after_translation() {
        assert_eq!(for_v6_sender(&Hop { mtu4: 1400, ..HOP }), 1420);
        assert_eq!(for_v6_sender(&Hop { mtu4: 1000, ..HOP }), 1280);
    }
}
