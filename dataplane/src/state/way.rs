//! Which NAT gateways does a packet come to, by which side, and where does it change its family?

use crate::packet::{Direction, NatGatewayId};

/// The side of a gateway by which a packet comes to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Side {
    /// That of clients in the VPC.
    Source,
    /// That of what they talk with.
    Destination,
}

/// A gateway that a packet comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Visit {
    pub(crate) gateway: NatGatewayId,
    pub(crate) side: Side,
    /// How many bytes longer a packet leaves that has nothing between its network header and what it carries.
    pub(crate) growth: i64,
}

/// The gateways that a packet of the original direction comes to, in its order: two translate it, a
/// third may refuse it. In one word: 20 bits each, the first on top.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Way(u64);

impl Visit {
    /// The same gateway, as what goes the other way comes to it.
    pub(crate) const fn back(self) -> Self {
        let side = match self.side {
            Side::Source => Side::Destination,
            Side::Destination => Side::Source,
        };
        Self { side, growth: -self.growth, ..self }
    }
}

impl Way {
    const BITS: u32 = 20;
    const IS_THERE: u64 = 1 << 19;
    const LONGER: u64 = 1 << 18;
    const SHORTER: u64 = 1 << 17;

    /// One gateway more. The first three are kept.
    pub(crate) fn push(&mut self, visit: Visit) {
        let changes = match visit.growth {
            0 => 0,
            1.. => Self::LONGER,
            _ => Self::SHORTER,
        };
        let place = Self::IS_THERE | changes | u64::from(visit.gateway.0) << 1 | visit.side as u64;
        if self.0 >> (2 * Self::BITS) == 0 {
            self.0 = self.0 << Self::BITS | place;
        }
    }

    /// At the last gateway packets of IPv6 become such of IPv4.
    pub(crate) const fn shrink(&mut self) {
        self.0 |= Self::SHORTER;
    }

    /// At the last gateway packets of IPv4 become such of IPv6.
    pub(crate) const fn grow(&mut self) {
        self.0 |= Self::LONGER;
    }

    pub(crate) fn gateways(self) -> impl DoubleEndedIterator<Item = Visit> {
        let places = [2, 1, 0].into_iter().map(move |at| self.0 >> (at * Self::BITS));
        places.filter(|place| place & Self::IS_THERE != 0).map(|place| {
            let [low, middle, ..] = (place >> 1).to_le_bytes();
            Visit {
                gateway: NatGatewayId(u16::from_le_bytes([low, middle])),
                side: if place & 1 == 0 { Side::Source } else { Side::Destination },
                growth: match (place & Self::LONGER, place & Self::SHORTER) {
                    (0, 0) => 0,
                    (0, _) => -GROWTH,
                    _ => GROWTH,
                },
            }
        })
    }

    /// The way of packets of `direction`, from that of the original one, and back.
    pub(crate) fn towards(self, direction: Direction) -> Self {
        if direction == Direction::Original {
            return self;
        }
        let mut way = Self::default();
        self.gateways().rev().for_each(|visit| way.push(visit.back()));
        way
    }
}

/// What the header of IPv6 is longer by than that of IPv4, in bytes (RFC 7915 s. 1.4).
const GROWTH: i64 = 20;
