//! Which of several addresses comes first? Another one in each answer to the same question.
//!
//! The order of records means nothing (RFC 1034 s. 3.6), but clients take the first one, so that name servers let each be
//! that in turn (RFC 1794). Route 53 gives the values of a set in random order (AWS "Simple routing"); here it is the next
//! one's turn, so that whoever asks twice sees it.

use std::cell::Cell;
use std::hash::{DefaultHasher, Hash, Hasher};

use hickory_proto::op::Query;
use hickory_proto::rr::{Record, RecordType};

/// How often addresses of which names were asked for, each family by itself: a count of all would let the same one come
/// first each time to who asks for both by turns. A few names may share a count.
#[derive(Debug)]
pub struct Turns([Cell<usize>; 256]);

impl Default for Turns {
    fn default() -> Self {
        Self([const { Cell::new(0) }; 256])
    }
}

impl Turns {
    /// Puts the addresses of an answer to `question` into their order for this time.
    pub(super) fn turn(&self, question: &Query, answers: &mut [Record]) {
        let count = self.next(question);
        for set in answers.chunk_by_mut(|one, next| one.record_type() == next.record_type()) {
            if let [first, _, ..] = set
                && matches!(first.record_type(), RecordType::A | RecordType::AAAA)
            {
                set.rotate_left(count % set.len());
            }
        }
    }

    /// How often `question` was answered before.
    fn next(&self, question: &Query) -> usize {
        let mut hasher = DefaultHasher::new();
        question.name().to_lowercase().hash(&mut hasher);
        let [place, ..] = hasher.finish().to_le_bytes();
        let family = u8::from(question.query_type() == RecordType::AAAA);
        let count = &self.0[usize::from(place & !1 | family)];
        count.replace(count.get().wrapping_add(1))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use hickory_proto::rr::rdata::{A, CNAME};
    use hickory_proto::rr::{Name, RData};

    use super::*;

    fn question(name: &str, kind: RecordType) -> Query {
        Query::query(Name::from_ascii(name).unwrap(), kind)
    }

    fn asked(turns: &Turns, question: &Query, count: u8) -> Vec<String> {
        let record = |data| Record::from_rdata(question.name().clone(), 60, data);
        let alias = RData::CNAME(CNAME(Name::from_ascii("real.example.").unwrap()));
        let addresses = (1..=count).map(|last| RData::A(A(Ipv4Addr::new(10, 0, 0, last))));
        let mut records: Vec<_> = std::iter::once(alias).chain(addresses).map(record).collect();
        turns.turn(question, &mut records);
        records.iter().map(|it| it.data.to_string()).collect()
    }

    #[test]
    fn each_address_comes_first_in_turn_behind_the_aliases() {
        let (turns, name) = (Turns::default(), question("db.example.", RecordType::A));
        let seen: Vec<_> = (0..4).map(|_| asked(&turns, &name, 3)).collect();
        assert_eq!(seen[0], ["real.example.", "10.0.0.1", "10.0.0.2", "10.0.0.3"]);
        assert_eq!(seen[1], ["real.example.", "10.0.0.2", "10.0.0.3", "10.0.0.1"]);
        assert_eq!(seen[2], ["real.example.", "10.0.0.3", "10.0.0.1", "10.0.0.2"]);
        assert_eq!(seen[3], seen[0]);
        // Letters do not tell names apart.
        let upper = question("DB.example.", RecordType::A);
        assert_eq!(asked(&turns, &upper, 3), seen[1]);
        assert_eq!(asked(&turns, &name, 1).len(), 2);
        assert_eq!(asked(&turns, &name, 0).len(), 1);
    }

    #[test]
    fn who_asks_for_both_families_by_turns_sees_every_order() {
        let turns = Turns::default();
        let kinds = [RecordType::A, RecordType::AAAA];
        let [four, six] = kinds.map(|kind| question("db.example.", kind));
        let firsts: Vec<_> =
            (0..2).map(|_| [&four, &six].map(|it| asked(&turns, it, 2)[1].clone())).collect();
        assert_eq!(firsts, [["10.0.0.1", "10.0.0.1"], ["10.0.0.2", "10.0.0.2"]]);
    }
}
