//! Is every message that comes to a VPC's resolver answered in order, or not at all?

use std::net::IpAddr;
use std::sync::LazyLock;

use control::check::{self, VpcIndex};
use control::endpoints::resolver::{Transport, Turns, View, answer};

/// Two VPCs with all that a resolver knows: one whose subnet has DNS64, and one whose has not.
static VIEWS: LazyLock<[View; 2]> = LazyLock::new(|| {
    let text = include_str!("../../topologies/dns.yaml");
    let topology =
        check::read(text, "dns.yaml").unwrap_or_else(|report| panic!("{report}")).topology;
    [0, 1].map(|vpc| View::of(&topology, VpcIndex(vpc)))
});

/// Who asks: in a subnet with DNS64, in one without, from nowhere.
const CALLERS: [&str; 4] = ["2600:1f18:1234:5602::10", "10.0.2.10", "10.0.1.10", "192.0.2.1"];

/// Bytes of a header (RFC 1035 s. 4.1.1).
const HEADER: usize = 12;

/// Judges what becomes of a message; its first byte says who sends it, and how.
///
/// # Panics
///
/// When the answer is not in order.
pub fn judge(input: &[u8]) {
    let Some((&how, query)) = input.split_first() else { return };
    let caller: IpAddr = CALLERS[usize::from(how & 3)].parse().expect("an address");
    let transport = if how & 4 == 0 { Transport::Udp } else { Transport::Tcp };
    let view = &VIEWS[usize::from(how >> 3 & 1)];
    let answer = |query: &[u8]| answer(query, transport, caller, view, &Turns::default());
    let Some(told) = answer(query) else {
        assert!(query.len() < HEADER || query[2] & 0x80 != 0, "a query is answered");
        return;
    };
    assert!(query.len() >= HEADER && query[2] & 0x80 == 0, "nothing but a query is answered");
    assert_eq!(told[..2], query[..2], "the identification is the query's");
    assert_eq!(told[2] & 0xf9, query[2] & 0x79 | 0x80, "QR is set; opcode and RD are the query's");
    assert_eq!(told[3] & 0xe0, 0x80, "recursion is available, nothing is verified");
    let longest = if transport == Transport::Udp { 4096 } else { 65_535 };
    assert!(told.len() <= longest, "{} bytes", told.len());
    let truncated = told[2] & 2 != 0;
    let answers = u16::from_be_bytes([told[6], told[7]]);
    assert!(
        !truncated || (transport == Transport::Udp && answers == 0),
        "what is cut says nothing"
    );
    // It says the same each time that addresses have the same turn, and never answers itself.
    assert_eq!(answer(query).as_ref(), Some(&told));
    assert_eq!(answer(&told), None);
}
