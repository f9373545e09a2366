use hickory_proto::op::{Query, ResponseCode};
use hickory_proto::rr::RData;

use super::*;
use crate::check::{self, VpcIndex};

const TOPOLOGY: &str = "
vpcs: {main: {cidr_block: 10.0.0.0/16, ipv6_cidr_block: '2600:1f18:1234:5600::/56', enable_dns_hostnames: true}}
subnets:
  six: {vpc: main, cidr_block: 10.0.0.0/24, ipv6_cidr_block: '2600:1f18:1234:5600::/64', enable_dns64: true}
network_interfaces: {app: {subnet: six, private_ip: 10.0.0.5}}
private_hosted_zones:
  corp.internal:
    vpcs: [main]
    records:
      - {name: many, type: TXT, records: [LONG]}
internet: {hosts: {partner.example: {addresses: [203.0.113.90]}, many.example: {addresses: [203.0.113.91, 203.0.113.92]}}}
";

const CALLER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 5));

/// A set of some 6,000 bytes beside what is asked for by name.
fn view() -> View {
    let long: Vec<String> = (0..30).map(|at| format!("'\"{at}{}\"'", "x".repeat(200))).collect();
    let text = TOPOLOGY.replace("LONG", &long.join(", "));
    let sound = check::read(&text, "test").unwrap_or_else(|report| panic!("{report}"));
    View::of(&sound.topology, VpcIndex(0))
}

fn query(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.id = 0x1234;
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message
}

fn with_edns(mut message: Message, payload: u16, dnssec_ok: bool) -> Message {
    let mut edns = Edns::new();
    edns.set_max_payload(payload).set_dnssec_ok(dnssec_ok);
    message.set_edns(edns);
    message
}

fn ask_by(transport: Transport, message: &Message) -> Message {
    let bytes =
        answer(&message.to_vec().unwrap(), transport, CALLER, &view(), &Turns::default()).unwrap();
    Message::from_vec(&bytes).unwrap()
}

fn ask(message: &Message) -> Message {
    ask_by(Transport::Udp, message)
}

#[test]
fn an_answer_repeats_the_question_and_says_that_it_was_resolved() {
    let asked = query("PartNer.example.", RecordType::A);
    let answer = ask(&asked);
    assert_eq!(answer.metadata.id, 0x1234);
    assert_eq!(answer.metadata.message_type, MessageType::Response);
    assert!(answer.metadata.recursion_desired && answer.metadata.recursion_available);
    assert!(!answer.metadata.authoritative && !answer.metadata.truncation);
    assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
    assert!(answer.queries[0].name().eq_case(asked.queries[0].name()), "letter for letter");
    let [record] = answer.answers.as_slice() else { panic!("{answer:?}") };
    assert_eq!(record.data, RData::A("203.0.113.90".parse().unwrap()));
    assert!(answer.edns.is_none(), "nobody asked with it");
}

#[test]
fn edns_is_answered_in_kind_and_by_no_version_but_the_first() {
    let answer = ask(&with_edns(query("partner.example.", RecordType::A), 1232, true));
    let edns = answer.edns.unwrap();
    assert_eq!((edns.version(), edns.max_payload(), edns.flags().dnssec_ok), (0, LONGEST, true));

    let mut message = with_edns(query("partner.example.", RecordType::A), 1232, false);
    message.edns.as_mut().unwrap().set_version(1);
    let answer = ask(&message);
    // The number has two names.
    assert_eq!(u16::from(answer.metadata.response_code), u16::from(ResponseCode::BADVERS));
    assert_eq!((answer.answers.len(), answer.edns.unwrap().version()), (0, 0));
}

#[test]
fn what_is_too_long_is_cut_and_comes_whole_by_tcp() {
    let plain = query("many.corp.internal.", RecordType::TXT);
    for (message, longest) in [
        (plain.clone(), 512),
        (with_edns(plain.clone(), 100, false), 512),
        (with_edns(plain.clone(), 1232, false), 1232),
        (with_edns(plain.clone(), 65_000, false), 4096),
    ] {
        let bytes = message.to_vec().unwrap();
        let bytes = answer(&bytes, Transport::Udp, CALLER, &view(), &Turns::default()).unwrap();
        assert!(bytes.len() <= longest, "{} bytes", bytes.len());
        let answer = Message::from_vec(&bytes).unwrap();
        assert!(answer.metadata.truncation);
        assert_eq!((answer.answers.len(), answer.queries.len()), (0, 1));
    }
    let answer = ask_by(Transport::Tcp, &plain);
    assert!(!answer.metadata.truncation);
    assert_eq!(answer.answers.len(), 30);
}

#[test]
fn who_checks_signatures_himself_hears_of_no_made_address() {
    let made = |checking_disabled, dnssec_ok| {
        let mut message = with_edns(query("partner.example.", RecordType::AAAA), 1232, dnssec_ok);
        message.metadata.checking_disabled = checking_disabled;
        let answer = ask(&message);
        assert_eq!(answer.metadata.checking_disabled, checking_disabled);
        answer.answers.len()
    };
    assert_eq!(
        [made(true, true), made(true, false), made(false, true), made(false, false)],
        [0, 1, 1, 1]
    );
}

#[test]
fn each_of_several_addresses_comes_first_in_turn_made_ones_too() {
    let (view, turns) = (view(), Turns::default());
    let first = |transport, kind| {
        let query = query("many.example.", kind).to_vec().unwrap();
        let told = answer(&query, transport, CALLER, &view, &turns).unwrap();
        let told = Message::from_vec(&told).unwrap();
        assert_eq!(told.answers.len(), 2);
        told.answers[0].data.to_string()
    };
    // As a client asks that wants either family: both move on, over UDP and TCP alike.
    for (transport, four, six) in [
        (Transport::Udp, "203.0.113.91", "64:ff9b::cb00:715b"),
        (Transport::Udp, "203.0.113.92", "64:ff9b::cb00:715c"),
        (Transport::Tcp, "203.0.113.91", "64:ff9b::cb00:715b"),
    ] {
        assert_eq!(first(transport, RecordType::A), four);
        assert_eq!(first(transport, RecordType::AAAA), six);
    }
}

#[test]
fn an_absent_name_comes_with_the_soa_that_says_for_how_long() {
    let answer = ask(&query("nobody.test.", RecordType::A));
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
    let [soa] = answer.authorities.as_slice() else { panic!("{answer:?}") };
    assert_eq!(soa.record_type(), RecordType::SOA);
}

#[test]
fn what_is_no_question_is_refused_in_the_right_words() {
    let code = |message: &Message| ask(message).metadata.response_code;
    for kind in [RecordType::AXFR, RecordType::IXFR] {
        assert_eq!(code(&query("corp.internal.", kind)), ResponseCode::Refused);
    }
    let mut chaos = query("version.bind.", RecordType::TXT);
    chaos.queries[0].set_query_class(DNSClass::CH);
    assert_eq!(code(&chaos), ResponseCode::Refused);
    let mut two = query("partner.example.", RecordType::A);
    two.add_query(two.queries[0].clone());
    assert_eq!(code(&two), ResponseCode::FormErr);
    two.queries = vec![two.queries[0].clone(); 300];
    let bytes = two.to_vec().unwrap();
    let told = answer(&bytes, Transport::Udp, CALLER, &view(), &Turns::default()).unwrap();
    assert!(told.len() <= HEADER, "{} bytes for whoever is said to have asked", told.len());
    let mut none = query("partner.example.", RecordType::A);
    none.queries.clear();
    assert_eq!(code(&none), ResponseCode::FormErr);
    for op_code in [OpCode::Status, OpCode::Notify, OpCode::Update] {
        let mut other = Message::new(7, MessageType::Query, op_code);
        other.add_query(Query::query(Name::from_ascii("corp.internal.").unwrap(), RecordType::SOA));
        assert_eq!(code(&other), ResponseCode::NotImp, "{op_code:?}");
    }
}

#[test]
fn answers_are_not_answered_and_what_is_malformed_is_called_so() {
    let view = view();
    let turns = Turns::default();
    let answer = |bytes: &[u8]| answer(bytes, Transport::Udp, CALLER, &view, &turns);
    let whole = with_edns(query("partner.example.", RecordType::A), 1232, false).to_vec().unwrap();
    let mut response = whole.clone();
    response[2] |= 0x80;
    assert_eq!(answer(&response), None);
    for end in 0..HEADER {
        assert_eq!(answer(&whole[..end]), None, "{end} bytes");
    }
    for end in HEADER..whole.len() {
        let told = Message::from_vec(&answer(&whole[..end]).unwrap()).unwrap();
        let code = (told.metadata.id, told.metadata.response_code);
        assert_eq!(code, (0x1234, ResponseCode::FormErr), "{end} bytes");
    }
    // A name that points to itself, and one that points on and on.
    let header = &whole[..HEADER];
    for name in [&[0xc0, 12][..], &[1, b'a', 0xc0, 12], &[0xc0, 14, 0xc0, 12], &[0xff, 0xff]] {
        let looped = [header, name, &[0, 1, 0, 1]].concat();
        let told = Message::from_vec(&answer(&looped).unwrap()).unwrap();
        assert_eq!(told.metadata.response_code, ResponseCode::FormErr, "{name:?}");
    }
}
