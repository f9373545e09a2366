//! What does the VPC's resolver answer? DNS messages (RFC 1035, EDNS of RFC 6891) in, messages out.
//!
//! It knows all names there are: nobody is asked further, nothing is kept. Whoever asks hears what his VPC knows
//! (`view`), and in a subnet with DNS64 what that makes of it (`dns64`), each time in another order (`turns`).

mod dns64;
pub(crate) mod names;
mod population;
mod turns;
mod view;
mod zone;

use std::net::IpAddr;

use hickory_proto::op::{Edns, Header, Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, BinEncodable, BinEncoder};

pub use turns::Turns;
pub use view::View;

pub(crate) use view::Resolution;

/// How a query came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// In a datagram.
    Udp,
    /// Over a connection.
    Tcp,
}

/// The longest datagram without EDNS, in bytes (RFC 1035 s. 4.2.1).
const PLAIN: u16 = 512;

/// The longest datagram that is sent or taken at all, in bytes (RFC 6891 s. 6.2.5).
const LONGEST: u16 = 4096;

/// The bit TC in the third byte of a header (RFC 1035 s. 4.1.1).
const TRUNCATED: u8 = 2;

/// Bytes of a message's header.
const HEADER: usize = 12;

/// The answer to the message `query` (over a connection: without the length before it); none where there is nobody to
/// answer. It says the same each time, but for the order of addresses: that is their turn's.
#[must_use]
pub fn answer(
    query: &[u8],
    transport: Transport,
    caller: IpAddr,
    view: &View,
    turns: &Turns,
) -> Option<Vec<u8>> {
    let header = Header::read(&mut BinDecoder::new(query.get(..HEADER)?)).ok()?;
    // An answer to an answer would be answered in turn.
    if header.metadata.message_type == MessageType::Response {
        return None;
    }
    let mut answer = Message::response(header.metadata.id, header.metadata.op_code);
    answer.metadata.recursion_desired = header.metadata.recursion_desired;
    answer.metadata.recursion_available = true;
    answer.metadata.checking_disabled = header.metadata.checking_disabled;
    let mut longest = PLAIN;
    match Message::from_vec(query) {
        Ok(query) => {
            if let Some(edns) = &query.edns {
                longest = edns.max_payload().clamp(PLAIN, LONGEST);
                let mut own = Edns::new();
                own.set_max_payload(LONGEST).set_dnssec_ok(edns.flags().dnssec_ok);
                answer.set_edns(own);
            }
            reply(&query, caller, (view, turns), &mut answer);
        }
        Err(_) => answer.metadata.response_code = ResponseCode::FormErr,
    }
    if transport == Transport::Tcp {
        longest = u16::MAX;
    }
    written(&answer, longest)
}

/// Fills in what `query` asks for.
fn reply(query: &Message, caller: IpAddr, (view, turns): (&View, &Turns), answer: &mut Message) {
    // Several are refused, and not sent back to whoever is said to have asked.
    if let [question] = query.queries.as_slice() {
        answer.queries.push(question.clone());
    }
    let refuse = |code, answer: &mut Message| answer.metadata.response_code = code;
    if query.metadata.op_code != OpCode::Query {
        return refuse(ResponseCode::NotImp, answer);
    }
    // The only version that there is (RFC 6891 s. 6.1.3).
    if query.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
        return refuse(ResponseCode::BADVERS, answer);
    }
    let [question] = query.queries.as_slice() else {
        return refuse(ResponseCode::FormErr, answer);
    };
    let (name, kind) = (question.name(), question.query_type());
    let transfers = matches!(kind, RecordType::AXFR | RecordType::IXFR);
    if transfers || !matches!(question.query_class(), DNSClass::IN | DNSClass::ANY) {
        return refuse(ResponseCode::Refused, answer);
    }
    // Who checks signatures himself is told no lies (RFC 6147 s. 5.5).
    let checks = query.metadata.checking_disabled
        && query.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok);
    let Resolution { code, mut answers, negative } = match checks {
        true => view.resolve(name, kind),
        false => lookup(view, caller, name, kind),
    };
    turns.turn(question, &mut answers);
    answer.metadata.response_code = code;
    answer.answers = answers;
    answer.authorities.extend(negative);
}

/// What `caller` hears of a name if he checks no signatures.
pub(crate) fn lookup(view: &View, caller: IpAddr, name: &Name, kind: RecordType) -> Resolution {
    match view.is_dns64(caller) {
        true => dns64::resolve(view, name, kind),
        false => view.resolve(name, kind),
    }
}

/// The message, without its records where it would be longer than `longest`: the asker comes again by TCP (RFC 2181
/// s. 9).
fn written(answer: &Message, longest: u16) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    let mut encoder = BinEncoder::new(&mut whole);
    encoder.set_max_size(longest);
    // Of what is longer the encoder makes a part, and says so.
    if answer.emit(&mut encoder).is_ok() && whole.get(2).is_some_and(|flags| flags & TRUNCATED == 0)
    {
        return Some(whole);
    }
    let mut cut = answer.clone();
    cut.answers.clear();
    cut.authorities.clear();
    // What is too long for a connection has no way at all.
    if longest == u16::MAX {
        cut.metadata.response_code = ResponseCode::ServFail;
    } else {
        cut.metadata.truncation = true;
    }
    cut.to_vec().ok()
}

#[cfg(test)]
mod tests;
