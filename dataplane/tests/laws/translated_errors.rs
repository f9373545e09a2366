//! An ICMP error between IPv4 and IPv6 quotes what its receiver has sent (RFC 7915 s. 4.3, 5.3), fits
//! every link, and is not lost for what stands behind the quoted packet.

use dataplane::wire::rfc7915::{Ends, Quoting, to_v4, to_v6};
use dataplane::wire::virtio::VirtioNetHdr;
use proptest::collection::vec;
use proptest::prelude::*;

use super::both_families::{
    Error, Load, Outside, WIDE, ends4, ends6, in_slot, load, outside, v4, v6,
};

prop_compose! {
    /// A packet that crosses, where an error about it comes from, and what else that says.
    fn failed()(load in load(2000))(
        ends in (ends4(&load), ends6(&load)),
        outside in outside(),
        routers in (any::<[u8; 4]>(), any::<[u8; 15]>()),
        quoted in 28..1500_usize,
        extension in prop_oneof![Just(Vec::new()), vec(any::<u8>(), 8..1200)],
        load in Just(load),
    ) -> Failed {
        let ((ends4, ends6), (router4, rest)) = (ends, routers);
        let mut router6 = [0x20; 16];
        router6[1..].copy_from_slice(&rest);
        Failed { load, outside, ends4, ends6, router4, router6, quoted, extension }
    }
}

#[derive(Clone, Debug)]
struct Failed {
    load: Load,
    outside: Outside,
    ends4: Ends<[u8; 4]>,
    ends6: Ends<[u8; 16]>,
    router4: [u8; 4],
    router6: [u8; 16],
    quoted: usize,
    extension: Vec<u8>,
}

impl Failed {
    /// What a router of a family that counts in `unit`s says behind its header: how much it quotes, the
    /// length attribute, and the packet in error with an extension, if any.
    fn content(&self, packet: &[u8], unit: usize) -> (usize, u8, Vec<u8>) {
        // An even number: the half of a checksum, with padding behind it, looks like a whole one.
        let most = (self.quoted & !1).min(packet.len());
        if self.extension.is_empty() {
            return (most, 0, packet[..most].to_vec());
        }
        let most = most.min(255 * unit);
        let mut content = packet[..most].to_vec();
        content.resize(most.max(128).next_multiple_of(unit), 0);
        let attribute = u8::try_from(content.len() / unit).unwrap();
        content.extend(&self.extension);
        (most, attribute, content)
    }

    /// Whether what an error has is `sent`, cut where it must be, then zeros, and then the extension
    /// where that fits `room`: its length attribute counts in `unit`s.
    fn judge(&self, error: &Error, sent: &[u8], attribute: u8, unit: usize, room: usize) {
        let quoted = match attribute {
            0 => error.content.len(),
            _ => usize::from(attribute) * unit,
        };
        let (quote, extension) = error.content.split_at(quoted);
        let kept = !self.extension.is_empty() && self.extension.len() <= room - 128;
        assert_eq!(extension, if kept { &self.extension[..] } else { &[] });
        let common = quote.len().min(sent.len());
        assert!(kept || common == sent.len().min(room));
        let other = quote[..common].iter().zip(sent).position(|(quoted, sent)| quoted != sent);
        assert_eq!(other, None, "of {common} bytes");
        // Where the quote was cut before the checksum, nobody can tell its padding from that.
        let padding = quote[common..].iter().filter(|byte| **byte != 0).count();
        assert!(padding <= 2, "padding, but for a checksum");
        assert!(error.content.len() <= room);
        assert!(!kept || quote.len() >= 128);
    }
}

proptest! {
    #[test]
    fn an_error_from_v4_quotes_what_was_sent_from_v6(it in failed()) {
        let mut sent = v6(&it.ends6, it.outside, 0, &it.load);
        let (mut slot, frame) = in_slot(&sent, VirtioNetHdr::PLAIN);
        let there = to_v4::translate(&mut slot, frame, &it.ends4, &WIDE).unwrap().frame;
        let (most, attribute, content) = it.content(there.packet(&mut slot).unwrap(), 4);
        let error = Error {
            source: it.router4.to_vec(),
            destination: it.ends4.source.to_vec(),
            kind: 3,
            code: 1,
            word: [0, attribute, 0, 0],
            content,
        };
        let (mut slot, frame) = in_slot(&error.bytes(), VirtioNetHdr::PLAIN);
        let (source, destination) = (it.router6, it.ends6.source);
        let ends = Quoting { source, destination, quoted: it.ends6 };
        let back = to_v6::translate_error(&mut slot, frame, &ends, &WIDE).unwrap();
        prop_assert!(back.frame.len <= 1280);
        let back = Error::read(back.frame.packet(&mut slot).unwrap());
        prop_assert_eq!((&back.source[..], &back.destination[..]), (&source[..], &destination[..]));
        prop_assert_eq!((back.kind, back.code), (1, 0));
        // Its hop was counted.
        sent[7] -= 1;
        it.judge(&back, &sent[..most + 20], back.word[0], 8, 1232);
    }

    #[test]
    fn an_error_from_v6_quotes_what_was_sent_from_v4(it in failed(), options in 0..=10_usize) {
        let sent = v4(&it.ends4, it.outside, options, &it.load);
        let (mut slot, frame) = in_slot(&sent, VirtioNetHdr::PLAIN);
        let there = to_v6::translate(&mut slot, frame, &it.ends6, &WIDE).unwrap().frame;
        let (most, attribute, content) = it.content(there.packet(&mut slot).unwrap(), 8);
        let error = Error {
            source: it.router6.to_vec(),
            destination: it.ends6.source.to_vec(),
            kind: 3,
            code: 0,
            word: [attribute, 0, 0, 0],
            content,
        };
        let (mut slot, frame) = in_slot(&error.bytes(), VirtioNetHdr::PLAIN);
        // Both headers of IPv6 must be quoted.
        prop_assume!(it.quoted >= 48);
        let (source, destination) = (it.router4, it.ends4.source);
        let ends = Quoting { source, destination, quoted: it.ends4 };
        let back = to_v4::translate_error(&mut slot, frame, &ends, &WIDE).unwrap();
        prop_assert!(back.frame.len <= 576);
        let mut back = Error::read(back.frame.packet(&mut slot).unwrap());
        prop_assert_eq!((&back.source[..], &back.destination[..]), (&source[..], &destination[..]));
        prop_assert_eq!((back.kind, back.code), (11, 0));
        // What cannot come back: options, identification, and DF.
        let mut plain = v4(&it.ends4, Outside { limit: it.outside.limit - 1, ..it.outside }, 0, &it.load);
        for header in [&mut back.content, &mut plain] {
            header[4..8].fill(0);
            header[10..12].fill(0);
        }
        it.judge(&back, &plain[..most - 20], back.word[1], 4, 548);
    }
}
