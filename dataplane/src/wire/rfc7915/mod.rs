//! What does a packet become on the other side of an IPv4/IPv6 translator (RFC 7915)?
//!
//! Pure functions over a packet in its slot: [`to_v6`] carries out section 4, [`to_v4`] section 5.
//! Which addresses and ports a packet gets is for the caller to say, be it a stateful NAT64
//! (RFC 6146) or a stateless mapping (RFC 7757). A packet is translated where it lies: its transport
//! header stays in place, and the network header before it grows into the headroom or shrinks. A
//! super-packet is translated whole, and its device header with it.
//!
//! A refused packet is as it came, byte for byte, so that an error can quote it. Lengths are checked
//! here again for quoted packets, which nobody has parsed; a device header is believed to agree with
//! its packet.

mod icmp;
mod message;
mod mtu;
#[cfg(test)]
mod test_packets;
pub mod to_v4;
pub mod to_v6;
mod transport;

use crate::io::Frame;
use crate::wire::chain::Broken;
use crate::wire::checksum::{Delta, Sum};
use crate::wire::virtio;
use crate::wire::{icmpv4, icmpv6};

/// Addresses and ports that a packet is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends<A> {
    /// Source address.
    pub source: A,
    /// Destination address.
    pub destination: A,
    /// Source and destination port. The identifier of an echo stands on the side that asked. Of
    /// what has no ports they say nothing.
    pub ports: (u16, u16),
}

/// Addresses that an ICMP error is given, and what it then quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoting<A> {
    /// Source address: where the sender's own has no counterpart, as RFC 6791 has it.
    pub source: A,
    /// Destination address.
    pub destination: A,
    /// What the quoted packet had been before it was translated the other way.
    pub quoted: Ends<A>,
}

/// What a translation adds to sums, worked out once for a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deltas {
    /// To a sum over the addresses. The rest of a pseudo-header sums up to the same in both families.
    pub addresses: Delta,
    /// To a sum over addresses and ports: all that the checksum of TCP and UDP covers.
    pub transport: Delta,
}

impl Deltas {
    /// Those of a translation from `old` to `new`.
    #[must_use]
    pub fn between<A: AsRef<[u8]>, B: AsRef<[u8]>>(old: &Ends<A>, new: &Ends<B>) -> Self {
        let ports = |(source, destination)| Sum::ZERO.word(source).word(destination);
        let addresses = Delta::between(old.addresses(), new.addresses());
        Self {
            addresses,
            transport: addresses.and(Delta::between(ports(old.ports), ports(new.ports))),
        }
    }
}

impl<A: AsRef<[u8]>> Ends<A> {
    fn addresses(&self) -> Sum {
        Sum::of(self.source.as_ref()).plus(Sum::of(self.destination.as_ref()))
    }
}

/// The translator as a router on the packet's way (RFC 7915 s. 1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Hops that the packet's time to live is shorter by afterwards; none where another part of the
    /// way counts them.
    pub hops: u8,
    /// MTU of the IPv4 next hop, in bytes.
    pub mtu4: u16,
    /// MTU of the IPv6 next hop, in bytes.
    pub mtu6: u16,
    /// A packet that may be fragmented leaves in IPv6 packets of at most so many bytes: the
    /// "lowest-ipv6-mtu" of s. 4.1, 1280 where nothing else is known.
    pub lowest_mtu6: u16,
    /// Identification for an IPv4 packet that brings none along; for a super-packet the first of as
    /// many as it has segments.
    pub identification: u16,
}

impl Hop {
    /// A router that shortens nothing.
    const NOWHERE: Self =
        Self { hops: 0, mtu4: u16::MAX, mtu6: u16::MAX, lowest_mtu6: u16::MAX, identification: 0 };

    /// What is left of a time to live.
    const fn limit(&self, ttl: u8) -> Result<u8, Refusal> {
        match ttl.checked_sub(self.hops) {
            Some(0) if self.hops > 0 => Err(Refusal::TimeExceeded),
            Some(left) => Ok(left),
            None => Err(Refusal::TimeExceeded),
        }
    }
}

/// A translated packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translated {
    /// Where it lies now.
    pub frame: Frame,
    /// The most bytes of a fragment, where it has to be cut: IPv6 packets bear the fragment header
    /// for that already. A super-packet is cut into its segments first, and each of them where it has to be.
    pub fragment: Option<u16>,
}

/// Why a packet is not translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Lengths contradict each other, or a header is not there.
    Malformed,
    /// The chain of IPv6 headers has no end.
    Chain(Broken),
    /// No packet comes from there (s. 4.1, 5.1: source address; RFC 1812 s. 5.3.7).
    IllegalSource,
    /// An IPv4 source route that is not yet used up (s. 4.1).
    SourceRoute,
    /// An IPv6 routing header that is not yet used up (s. 5.1); where it says so.
    RoutingHeader {
        /// Offset of its Segments Left field from the start of the packet.
        pointer: u32,
    },
    /// An IPv6 extension header inside of what is fragmented (s. 5.1.1).
    FragmentedExtension,
    /// The time to live ends here (s. 4.1, 5.1).
    TimeExceeded,
    /// Longer than the next hop takes, and not to be fragmented (s. 1.4).
    TooBig {
        /// MTU for the sender, in bytes of its own family.
        mtu: u16,
    },
    /// A UDP checksum of zero, where none can be computed (s. 4.5) or none may be (RFC 8200 s. 8.1).
    ZeroChecksum,
    /// A fragment of an ICMP message: what its checksum covers is elsewhere (s. 1.2).
    FragmentedIcmp,
    /// A protocol, an ICMP message, or an error about an error, which the other family does not have
    /// (s. 4.2, 4.3, 5.2, 5.3).
    Untranslatable,
    /// The slot has no room for longer headers.
    NoRoom,
}

/// An ICMP error that the sender of a refused packet is owed, unless that is an ICMP error itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owed {
    /// Type, of the sender's family.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// The second word of the message: MTU or pointer, else zero.
    pub word: u32,
}

impl Refusal {
    /// What the sender of an IPv4 packet is owed (s. 4.1, 4.4); `None`: dropped in silence.
    #[must_use]
    pub const fn icmpv4(self) -> Option<Owed> {
        use icmpv4::kind::{TIME_EXCEEDED, UNREACHABLE};
        let (kind, code, word) = match self {
            Self::TimeExceeded => (TIME_EXCEEDED, 0, 0),
            Self::TooBig { mtu } => (UNREACHABLE, icmpv4::FRAGMENTATION_NEEDED, mtu as u32),
            // Source route failed.
            Self::SourceRoute => (UNREACHABLE, 5, 0),
            // Communication administratively prohibited (s. 4.4).
            Self::ZeroChecksum => (UNREACHABLE, 13, 0),
            _ => return None,
        };
        Some(Owed { kind, code, word })
    }

    /// What the sender of an IPv6 packet is owed (s. 5.1, 5.4); `None`: dropped in silence.
    #[must_use]
    pub const fn icmpv6(self) -> Option<Owed> {
        use icmpv6::kind::{PACKET_TOO_BIG, PARAMETER_PROBLEM, TIME_EXCEEDED, UNREACHABLE};
        let (kind, code, word) = match self {
            Self::TimeExceeded => (TIME_EXCEEDED, 0, 0),
            Self::TooBig { mtu } => (PACKET_TOO_BIG, 0, mtu as u32),
            // Erroneous header field.
            Self::RoutingHeader { pointer } => (PARAMETER_PROBLEM, 0, pointer),
            // Communication administratively prohibited (s. 5.4).
            Self::FragmentedExtension
            | Self::Chain(Broken::HopByHopInside | Broken::FragmentedTwice | Broken::TooLong) => {
                (UNREACHABLE, 1, 0)
            }
            _ => return None,
        };
        Some(Owed { kind, code, word })
    }
}

/// Type and code that an ICMPv6 message has as one of IPv4, in one word; its own where it has none.
#[must_use]
pub fn type_to_v4(message: u16) -> u16 {
    let [kind, code] = message.to_be_bytes();
    let error = icmp::Error { kind, code, word: [0; 4] };
    icmp::query_to_v4(kind)
        .map(|kind| u16::from_be_bytes([kind, 0]))
        .or_else(|| icmp::error_to_v4(error, false, &Hop::NOWHERE).map(icmp::Error::type_and_code))
        .unwrap_or(message)
}

/// Type and code that an ICMP message of IPv4 has as one of IPv6, in one word; its own where it has
/// none.
#[must_use]
pub fn type_to_v6(message: u16) -> u16 {
    let [kind, code] = message.to_be_bytes();
    let error = icmp::Error { kind, code, word: [0; 4] };
    icmp::query_to_v6(kind)
        .map(|kind| u16::from_be_bytes([kind, 0]))
        .or_else(|| icmp::error_to_v6(error, 0, &Hop::NOWHERE).map(icmp::Error::type_and_code))
        .unwrap_or(message)
}

/// The place of a header of `length` bytes that ends where the bytes from `end` on begin, and what
/// follows it: `None` where the slot has no room for it behind a device header.
fn header_before(
    slot: &mut [u8],
    end: usize,
    length: usize,
) -> Option<(usize, &mut [u8], &mut [u8])> {
    let start = end.checked_sub(length).filter(|&start| start >= virtio::HEADER)?;
    let (header, rest) = slot.get_mut(start..)?.split_at_mut_checked(length)?;
    Some((start, header, rest))
}

/// What a header of `old` bytes grew by that is `new` bytes long now. Neither is longer than some
/// hundred.
fn growth(old: usize, new: usize) -> i16 {
    let short = |length| i16::try_from(length).unwrap_or(i16::MAX);
    short(new) - short(old)
}
