//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624).
//!
//! A [`Sum`] is a ones' complement sum of 16-bit words in network order, folded or not. A
//! checksum field holds the complement of such a sum; with a partial checksum (virtio
//! `NEEDS_CSUM`) it holds the sum of the pseudo-header itself, uncomplemented.

use zerocopy::FromZeros;
use zerocopy::network_endian::U16;

/// A ones' complement sum of 16-bit big-endian words.
///
/// The accumulator is wide enough for 2^48 words before it must be folded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum(u64);

impl Sum {
    /// The sum of nothing.
    pub const ZERO: Self = Self(0);

    /// The sum of `bytes`, an odd last byte padded with zero (RFC 1071 s. 1).
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut total = 0_u64;
        let (quads, rest) = bytes.as_chunks::<4>();
        for quad in quads {
            total += u64::from(u32::from_be_bytes(*quad));
        }
        let (pairs, odd) = rest.as_chunks::<2>();
        for pair in pairs {
            total += u64::from(u16::from_be_bytes(*pair));
        }
        if let [last] = odd {
            total += u64::from(*last) << 8;
        }
        Self(total)
    }

    /// Adds one word.
    #[must_use]
    pub const fn word(self, word: u16) -> Self {
        Self(self.0 + word as u64)
    }

    /// Adds as many words of twice the size: a carry between their halves is one like all others.
    #[must_use]
    #[inline]
    pub fn words<const N: usize>(self, words: [u32; N]) -> Self {
        words.into_iter().fold(self, |Self(sum), word| Self(sum + u64::from(word)))
    }

    /// Adds another sum.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0 + other.fold() as u64)
    }

    /// The sum as one word.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "three folds of a 64-bit sum leave at most 16 bits"
    )]
    pub const fn fold(self) -> u16 {
        let sum = (self.0 >> 32) + (self.0 & 0xffff_ffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        ((sum >> 16) + (sum & 0xffff)) as u16
    }

    /// The value for a checksum field over bytes with this sum.
    #[must_use]
    pub const fn checksum(self) -> u16 {
        !self.fold()
    }
}

/// What a rewrite adds to a sum: new words minus old ones, in ones' complement (RFC 1624 s. 3).
///
/// Worked out once for a flow and then applied to each of its packets. It is kept as it would stand in
/// a packet, because sums are the same in any byte order (RFC 1071 s. 2 (B)): nothing is swapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromZeros)]
pub struct Delta(u16);

impl Delta {
    /// No change.
    pub const NONE: Self = Self(0);

    /// The delta that turns a sum over `old` into the sum over `new`.
    #[must_use]
    pub const fn between(old: Sum, new: Sum) -> Self {
        Self(add(new.fold(), !old.fold()).to_be())
    }

    /// The delta that adds a word, as it stands in a packet.
    #[must_use]
    #[inline]
    pub const fn adding(word: [u8; 2]) -> Self {
        Self(u16::from_ne_bytes(word))
    }

    /// Both changes, one after the other.
    #[must_use]
    #[inline]
    pub const fn and(self, other: Self) -> Self {
        Self(add(self.0, other.0))
    }

    /// The delta that undoes this one.
    #[must_use]
    #[inline]
    pub const fn inverse(self) -> Self {
        Self(!self.0)
    }

    /// This one, or its inverse.
    #[must_use]
    #[inline]
    pub const fn inverse_if(self, inverse: bool) -> Self {
        Self(self.0 ^ 0_u16.wrapping_sub(inverse as u16))
    }

    /// Updates a checksum field: `HC' = ~(~HC + delta)` (RFC 1624 eqn. 3), which is `HC - delta`.
    #[must_use]
    #[inline]
    pub const fn apply(self, checksum: U16) -> U16 {
        let (difference, borrow) = word(checksum).overflowing_sub(self.0);
        U16::from_bytes(difference.wrapping_sub(borrow as u16).to_ne_bytes())
    }

    /// Updates a field that holds an uncomplemented sum, as a partial checksum does.
    #[must_use]
    #[inline]
    pub const fn apply_partial(self, sum: U16) -> U16 {
        U16::from_bytes(add(word(sum), self.0).to_ne_bytes())
    }
}

/// A field as the word that it is to this machine.
const fn word(field: U16) -> u16 {
    u16::from_ne_bytes(field.to_bytes())
}

/// The sum of two words, the carry added where it left (RFC 1071 s. 2).
const fn add(a: u16, b: u16) -> u16 {
    let (sum, carry) = a.overflowing_add(b);
    sum + carry as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_the_example_of_rfc_1071() {
        let sum = Sum::of(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum.fold(), 0xddf2);
        assert_eq!(sum.checksum(), 0x220d);
    }

    #[test]
    fn pads_an_odd_byte() {
        assert_eq!(Sum::of(&[0x12, 0x34, 0x56]).fold(), 0x1234 + 0x5600);
    }

    #[test]
    fn sums_words_of_twice_the_size_as_their_halves() {
        let words = [0xffff_fffe, 0x8000_0001, 0x1234_5678];
        let bytes = words.map(u32::to_be_bytes);
        assert_eq!(Sum::ZERO.words(words).fold(), Sum::of(bytes.as_flattened()).fold());
    }

    #[test]
    fn updates_as_the_example_of_rfc_1624() {
        // Section 4: the field 0x5555 becomes 0x3285 in a header whose checksum was 0xdd2f.
        let delta = Delta::between(Sum::ZERO.word(0x5555), Sum::ZERO.word(0x3285));
        assert_eq!(delta.apply(U16::new(0xdd2f)), U16::new(0x0000));
        assert_eq!(delta.inverse().apply(U16::new(0x0000)), U16::new(0xdd2f));
    }
}
