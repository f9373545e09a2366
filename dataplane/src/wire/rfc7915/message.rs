//! What of an ICMP error fits the other family: the packet that it quotes, and the extension behind
//! that (RFC 4884).
//!
//! An extension is opaque, and kept or dropped as a whole; it goes before all of the quoted packet
//! but 128 bytes. Messages are no longer than every link carries.

use zerocopy::network_endian::U16;

use crate::wire::checksum::{Delta, Sum};
use crate::wire::icmpv4::{self, Icmpv4};
use crate::wire::rfc7915::Refusal;
use crate::wire::rfc7915::icmp::Error;
use crate::wire::{icmpv6, ipv4, ipv6};

/// Length of an ICMP header, the same in both families.
pub(super) const HEADER: usize = icmpv4::HEADER;

const _: () = assert!(icmpv4::HEADER == icmpv6::HEADER);

/// The fewest bytes before an extension (RFC 4884 s. 3).
const LEAST: usize = 128;

/// How the errors of a family are built.
#[derive(Clone, Copy, Debug)]
pub(super) struct Family {
    /// The most bytes behind an error's header.
    room: usize,
    /// In how many bytes it counts those before an extension (RFC 4884 s. 4).
    unit: usize,
    /// Where in the second word of its header the count stands.
    attribute: usize,
    /// Errors that may have an extension, by type.
    extensible: &'static [u8],
}

/// RFC 4884 s. 4.1 to 4.3; 576 bytes with all headers (RFC 1812 s. 4.3.2.3).
pub(super) const V4: Family = Family {
    room: 576 - ipv4::HEADER - HEADER,
    unit: 4,
    attribute: 1,
    extensible: &[
        icmpv4::kind::UNREACHABLE,
        icmpv4::kind::TIME_EXCEEDED,
        icmpv4::kind::PARAMETER_PROBLEM,
    ],
};

/// RFC 4884 s. 4.4, 4.5; the minimum MTU with all headers (RFC 4443 s. 2.4 (c)).
pub(super) const V6: Family = Family {
    room: ipv6::MINIMUM_MTU as usize - ipv6::HEADER - HEADER,
    unit: 8,
    attribute: 0,
    extensible: &[icmpv6::kind::UNREACHABLE, icmpv6::kind::TIME_EXCEEDED],
};

/// An error message as it came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message {
    pub(super) error: Error,
    /// What stands behind its header.
    pub(super) parts: Layout,
    checksum: U16,
    sum: Sum,
}

impl Message {
    /// Reads `message`, under a pseudo-header of sum `pseudo` if it has one.
    pub(super) fn of(message: &[u8], pseudo: Sum, family: Family) -> Result<Self, Refusal> {
        let header = Icmpv4::of(message).ok_or(Refusal::Malformed)?;
        let word = u32::from(header.identifier.get()) << 16 | u32::from(header.sequence.get());
        let error = Error { kind: header.kind, code: header.code, word: word.to_be_bytes() };
        let attribute = match family.extensible.contains(&error.kind) {
            true => error.word.get(family.attribute).copied().unwrap_or(0),
            false => 0,
        };
        let parts = Layout::of(message.len() - HEADER, attribute, family.unit);
        let sum = Sum::of(message).plus(pseudo);
        Ok(Self { error, parts, checksum: header.checksum, sum })
    }

    /// The parts of the message after the quoted packet has become `quote` bytes long and the message
    /// an `error` of `family`.
    pub(super) fn fit(&self, quote: usize, error: &Error, family: Family) -> Layout {
        self.parts.fit(quote, family.room, family.unit, family.extensible.contains(&error.kind))
    }

    /// Writes the header of an `error` of `family` over the start of `message`, behind which there is
    /// a quoted packet of `quote` bytes with the old extension behind it, and arranges these.
    ///
    /// The checksum changes by as much as what it covers, so that a message that came damaged leaves
    /// damaged.
    pub(super) fn finish(
        &self,
        message: &mut [u8],
        mut error: Error,
        (quote, fit): (usize, Layout),
        pseudo: Sum,
        family: Family,
    ) {
        let Some((header, content)) = message.split_at_mut_checked(HEADER) else { return };
        fit.arrange(content, quote);
        if fit.extension > 0
            && let Some(attribute) = error.word.get_mut(family.attribute)
        {
            *attribute = fit.attribute(family.unit);
        }
        let [a, b, c, d] = error.word;
        if let Some(header) = Icmpv4::of_mut(header) {
            *header = Icmpv4 {
                kind: error.kind,
                code: error.code,
                checksum: self.checksum,
                identifier: U16::from_bytes([a, b]),
                sequence: U16::from_bytes([c, d]),
            };
        }
        let message = message.get_mut(..HEADER + fit.len()).unwrap_or_default();
        let change = Delta::between(self.sum, Sum::of(message).plus(pseudo));
        if let Some(header) = Icmpv4::of_mut(message) {
            header.checksum = change.apply(self.checksum);
        }
    }
}

/// Lengths of the parts behind an ICMP error's header, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// The quoted packet, or its beginning.
    pub(super) quote: usize,
    /// Zeros behind it.
    padding: usize,
    /// The extension.
    extension: usize,
}

impl Layout {
    /// The parts of `content` bytes behind a header whose length attribute is `attribute` units. One
    /// that cannot be true is none.
    const fn of(content: usize, attribute: u8, unit: usize) -> Self {
        let quote = attribute as usize * unit;
        if quote == 0 || quote >= content {
            return Self { quote: content, padding: 0, extension: 0 };
        }
        Self { quote, padding: 0, extension: content - quote }
    }

    /// The same after the quoted packet has become `quote` bytes long, where there is `room` for all.
    ///
    /// Before an extension it is cut to whole units rather than padded: what is quoted stays what was
    /// sent.
    fn fit(self, quote: usize, room: usize, unit: usize, extensible: bool) -> Self {
        let extension = self.extension;
        if extension == 0 || !extensible || extension > room - LEAST {
            return Self { quote: quote.min(room), padding: 0, extension: 0 };
        }
        let quote = quote.min(room - extension) / unit * unit;
        Self { quote, padding: LEAST.saturating_sub(quote), extension }
    }

    /// The length attribute of a message with an extension.
    fn attribute(self, unit: usize) -> u8 {
        u8::try_from((self.quote + self.padding) / unit).unwrap_or(0)
    }

    /// All parts together.
    pub(super) const fn len(self) -> usize {
        self.quote + self.padding + self.extension
    }

    /// Moves the extension to its place from behind the `quote` bytes that `content` begins with.
    fn arrange(self, content: &mut [u8], quote: usize) {
        let to = self.quote + self.padding;
        if content.len() >= quote + self.extension && content.len() >= self.len() {
            content.copy_within(quote..quote + self.extension, to);
        }
        if let Some(padding) = content.get_mut(self.quote..to) {
            padding.fill(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn layout(quote: usize, padding: usize, extension: usize) -> Layout {
        Layout { quote, padding, extension }
    }

    /// The parts after translation, and the length attribute.
    fn fit(parts: Layout, quote: usize, family: Family) -> (Layout, u8) {
        let fit = parts.fit(quote, family.room, family.unit, true);
        (fit, fit.attribute(family.unit))
    }

    #[test]
    fn rfc_4884_s_4_the_attribute_divides_a_message() {
        assert_eq!(Layout::of(148, 32, V4.unit), layout(128, 0, 20));
        assert_eq!(Layout::of(148, 16, V6.unit), layout(128, 0, 20));
        assert_eq!(Layout::of(148, 0, V4.unit), layout(148, 0, 0), "no extension");
        assert_eq!(Layout::of(148, 37, V4.unit), layout(148, 0, 0), "an empty one");
        assert_eq!(Layout::of(148, 255, V4.unit), layout(148, 0, 0), "beyond the end");
    }

    #[test]
    fn rfc_4884_s_3_at_least_128_bytes_stand_before_an_extension() {
        assert_eq!(fit(layout(128, 0, 20), 108, V4), (layout(108, 20, 20), 32));
        assert_eq!(fit(layout(48, 0, 40), 28, V4), (layout(28, 100, 40), 32));
    }

    #[test]
    fn rfc_4884_s_4_the_quoted_packet_ends_with_a_unit() {
        assert_eq!(fit(layout(128, 0, 20), 148, V6), (layout(144, 0, 20), 18));
    }

    #[test]
    fn s_4_2_and_5_2_the_extension_goes_before_all_but_128_bytes() {
        let largest = V6.room - LEAST;
        assert_eq!(fit(layout(1020, 0, largest), 1040, V6), (layout(128, 0, largest), 16));
        let parts = layout(1020, 0, largest + 1).fit(1040, V6.room, V6.unit, true);
        assert_eq!(parts, layout(1040, 0, 0), "it does not fit");
        let parts = layout(576, 0, 521).fit(556, V4.room, V4.unit, true);
        assert_eq!(parts, layout(548, 0, 0), "nor does all of the packet");
        assert_eq!(fit(layout(528, 0, 40), 508, V4), (layout(508, 0, 40), 127));
        assert_eq!(fit(layout(536, 0, 40), 516, V4), (layout(508, 0, 40), 127));
    }

    #[test]
    fn rfc_4884_s_4_some_messages_have_no_extension() {
        assert_eq!(layout(128, 0, 20).fit(148, V6.room, V6.unit, false), layout(148, 0, 0));
    }

    #[test]
    fn parts_move_to_their_places() {
        let mut content: Vec<u8> = (0..200).collect();
        layout(108, 20, 20).arrange(&mut content, 108);
        assert!(content[..108].iter().copied().eq(0..108));
        assert_eq!(content[108..128], [0; 20]);
        assert!(content[128..148].iter().copied().eq(108..128));
        let mut content: Vec<u8> = (0..200).collect();
        layout(144, 0, 20).arrange(&mut content, 148);
        assert!(content[144..164].iter().copied().eq(148..168));
    }
}
