//! What does a record say, in the words of a zone file (RFC 1035 s. 5.1) as Route 53 takes them: names are whole, and what
//! stands without quotes in a TXT record is one string.

use std::str::FromStr;

use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, NS, PTR, SRV, TXT};
use hickory_proto::rr::{Name, RData, RecordType};

use crate::model::RecordWord;

/// A name as written, whole whether it ends with a dot or not.
pub(super) fn absolute(text: &str) -> Option<Name> {
    let mut name = Name::from_ascii(text).ok().filter(|_| !text.is_empty())?;
    name.set_fqdn(true);
    Some(name.to_lowercase())
}

impl RecordWord {
    pub(super) const fn record_type(self) -> RecordType {
        match self {
            Self::A => RecordType::A,
            Self::Aaaa => RecordType::AAAA,
            Self::Caa => RecordType::CAA,
            Self::Cname => RecordType::CNAME,
            Self::Mx => RecordType::MX,
            Self::Ns => RecordType::NS,
            Self::Ptr => RecordType::PTR,
            Self::Srv => RecordType::SRV,
            Self::Txt => RecordType::TXT,
        }
    }

    pub(super) const fn example(self) -> &'static str {
        match self {
            Self::A => "10.0.1.20",
            Self::Aaaa => "2600:1f18:1234:5601::20",
            Self::Caa => "0 issue \"amazon.com\"",
            Self::Cname | Self::Ns | Self::Ptr => "db.corp.internal",
            Self::Mx => "10 mail.corp.internal",
            Self::Srv => "1 10 5432 db.corp.internal",
            Self::Txt => "\"one string\" \"and another\"",
        }
    }

    /// What a record of this type says; none where it is not said rightly.
    pub(super) fn data(self, text: &str) -> Option<RData> {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        Some(match (self, words.as_slice()) {
            (Self::A, &[address]) => RData::A(A(address.parse().ok()?)),
            (Self::Aaaa, &[address]) => RData::AAAA(AAAA(address.parse().ok()?)),
            (Self::Cname, &[name]) => RData::CNAME(CNAME(host(name)?)),
            (Self::Ns, &[name]) => RData::NS(NS(host(name)?)),
            (Self::Ptr, &[name]) => RData::PTR(PTR(host(name)?)),
            (Self::Mx, &[preference, name]) => {
                RData::MX(MX::new(number(preference)?, exchange(name)?))
            }
            (Self::Srv, &[priority, weight, port, name]) => {
                let [priority, weight, port] = [priority, weight, port].map(number);
                RData::SRV(SRV::new(priority?, weight?, port?, exchange(name)?))
            }
            (Self::Txt, _) => {
                RData::TXT(TXT::from_bytes(strings(text)?.iter().map(Vec::as_slice).collect()))
            }
            (Self::Caa, &[flags, tag, ..]) => {
                let _: u8 = number(flags)?;
                let (_, value) = text.split_once(tag)?;
                let [_] = quoted(value)?.as_slice() else { return None };
                RData::try_from_str(RecordType::CAA, &format!("{flags} {tag} {}", value.trim()))
                    .ok()?
            }
            _ => return None,
        })
    }
}

/// Digits and nothing else.
fn number<N: FromStr>(text: &str) -> Option<N> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// The name of something that is there.
fn host(text: &str) -> Option<Name> {
    absolute(text).filter(|name| !name.is_root())
}

/// The same, or the root, which says that there is nothing (RFC 7505, RFC 2782).
fn exchange(text: &str) -> Option<Name> {
    absolute(text)
}

/// The most bytes of a string (RFC 1035 s. 3.3).
const LONGEST_STRING: usize = 255;

/// The strings of a TXT record: at least one, of 1 to 255 bytes each.
fn strings(text: &str) -> Option<Vec<Vec<u8>>> {
    let strings = match text.trim_start().starts_with('"') {
        true => quoted(text)?,
        false => vec![text.as_bytes().to_vec()],
    };
    let right = |it: &Vec<u8>| (1..=LONGEST_STRING).contains(&it.len());
    (!strings.is_empty() && strings.iter().all(right)).then_some(strings)
}

/// Strings in quotes, with blanks between; `\\` before a quote, a `\\` or three digits.
fn quoted(text: &str) -> Option<Vec<Vec<u8>>> {
    let mut strings = Vec::new();
    let mut rest = text.trim().as_bytes();
    while let Some((quote, mut inside)) = rest.split_first() {
        if *quote != b'"' {
            return None;
        }
        let mut string = Vec::new();
        loop {
            match inside {
                [b'"', behind @ ..] => {
                    rest = behind.trim_ascii_start();
                    // Two strings are apart.
                    if rest.len() == behind.len() && !rest.is_empty() {
                        return None;
                    }
                    break;
                }
                [b'\\', a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', behind @ ..] => {
                    let digits = [a, b, c].map(|digit| u16::from(digit - b'0'));
                    let [a, b, c] = digits;
                    string.push(u8::try_from(a * 100 + b * 10 + c).ok()?);
                    inside = behind;
                }
                [b'\\', byte, behind @ ..] | [byte, behind @ ..] => {
                    string.push(*byte);
                    inside = behind;
                }
                [] => return None,
            }
        }
        strings.push(string);
    }
    Some(strings)
}

#[cfg(test)]
mod tests {
    use hickory_proto::serialize::binary::BinEncodable;

    use super::*;

    #[test]
    fn what_is_said_rightly_is_served_as_it_is() {
        for (kind, text, said) in [
            (RecordWord::A, "10.0.1.20", "10.0.1.20"),
            (RecordWord::Aaaa, "2001:db8::1", "2001:db8::1"),
            (RecordWord::Cname, "Db.corp.internal", "db.corp.internal."),
            (RecordWord::Ns, "ns.corp.internal.", "ns.corp.internal."),
            (RecordWord::Mx, "10 mail.corp.internal", "10 mail.corp.internal."),
            (RecordWord::Mx, "0 .", "0 ."),
            (RecordWord::Srv, "0 5 389 db.corp.internal", "0 5 389 db.corp.internal."),
            (RecordWord::Txt, "v=spf1; all", "v=spf1; all"),
            (RecordWord::Txt, r#""a b" "c\"d\\" "\065""#, r#"a bc"d\A"#),
            (
                RecordWord::Caa,
                r#"0 issue "ca.example; policy=ev""#,
                r#"0 issue "ca.example; policy=ev""#,
            ),
        ] {
            let data = kind.data(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(data.to_string(), said, "{text}");
            assert_eq!(data.record_type(), kind.record_type());
            let bytes = data.to_bytes().unwrap();
            assert!(!bytes.is_empty(), "{text}");
        }
        let data = RecordWord::Txt.data(r#""a b" "c""#).unwrap();
        assert_eq!(data.to_bytes().unwrap(), b"\x03a b\x01c");
    }

    #[test]
    fn what_says_more_or_less_than_one_thing_is_refused() {
        for (kind, text) in [
            (RecordWord::A, "10.0.1.20 10.0.1.21"),
            (RecordWord::A, "10.0.1.20\n10.0.1.21"),
            (RecordWord::A, ""),
            (RecordWord::Aaaa, "10.0.1.20"),
            (RecordWord::Cname, "db corp internal"),
            (RecordWord::Cname, ""),
            (RecordWord::Cname, "."),
            (RecordWord::Cname, "a..b"),
            (RecordWord::Mx, "mail.corp.internal"),
            (RecordWord::Mx, "10 mail.corp.internal 20"),
            (RecordWord::Mx, "+1 mail.corp.internal"),
            (RecordWord::Srv, "0 5 389 db.test extra"),
            (RecordWord::Srv, "0 5 65536 db.test"),
            (RecordWord::Txt, ""),
            (RecordWord::Txt, r#""""#),
            (RecordWord::Txt, r#""a" b"#),
            (RecordWord::Txt, r#""a""b""#),
            (RecordWord::Txt, r#""a"#),
            (RecordWord::Txt, r#""\256""#),
            (RecordWord::Caa, "0 issue"),
            (RecordWord::Caa, r#"256 issue "ca.example""#),
            (RecordWord::Caa, r#"0 issue "a" "b""#),
        ] {
            assert_eq!(kind.data(text), None, "{text:?}");
        }
        assert_eq!(RecordWord::Txt.data(&"x".repeat(256)), None);
        assert!(RecordWord::Txt.data(&"x".repeat(255)).is_some());
    }
}
