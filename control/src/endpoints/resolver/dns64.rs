//! What does a client of IPv6 hear of a name that has only IPv4? RFC 6147, as the VPC resolver has it (AWS "DNS64 and
//! NAT64"): under 64:ff9b::/96 alone, and of private addresses too, against RFC 6052 s. 3.1.

use dataplane::wire::rfc6052::Prefix;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::{AAAA, CNAME};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use ipnet::IpNet;

use super::view::{Resolution, View};

/// What the resolver says of `name` to a client of a subnet with DNS64.
pub(super) fn resolve(view: &View, name: &Name, kind: RecordType) -> Resolution {
    match kind {
        RecordType::AAAA => addresses(view, name),
        RecordType::PTR => owner(view, name),
        _ => view.resolve(name, kind),
    }
}

/// Real addresses if there is one, else made ones (RFC 6147 s. 5.1).
fn addresses(view: &View, name: &Name) -> Resolution {
    let real = view.resolve(name, RecordType::AAAA);
    let has_any = real.answers.iter().any(|it| it.record_type() == RecordType::AAAA);
    if has_any || real.code != ResponseCode::NoError {
        return real;
    }
    let mut made = view.resolve(name, RecordType::A);
    if !made.answers.iter().any(|it| it.record_type() == RecordType::A) {
        return real;
    }
    // No longer than it is sure that there is no real one (RFC 6147 s. 5.1.7).
    let longest = real.negative.map_or(0, |soa| soa.ttl);
    for record in &mut made.answers {
        if let RData::A(address) = record.data {
            let address = AAAA(Prefix::WELL_KNOWN.embed(address.0));
            let ttl = record.ttl.min(longest);
            *record = Record::from_rdata(record.name.clone(), ttl, RData::AAAA(address));
        }
    }
    made
}

/// Who has a made address: whoever has the real one (RFC 6147 s. 5.3.1, second way).
fn owner(view: &View, name: &Name) -> Resolution {
    let Some(real) = real(name) else { return view.resolve(name, RecordType::PTR) };
    let resolution = view.resolve(&real, RecordType::PTR);
    let ttl = resolution.answers.first().or(resolution.negative.as_ref()).map_or(0, |it| it.ttl);
    let alias = Record::from_rdata(name.clone(), ttl, RData::CNAME(CNAME(real)));
    let answers = std::iter::once(alias).chain(resolution.answers).collect();
    Resolution { answers, ..resolution }
}

/// The name in in-addr.arpa of what a name in ip6.arpa stands for, if it is under the prefix.
fn real(name: &Name) -> Option<Name> {
    let IpNet::V6(net) = name.parse_arpa_name().ok()? else { return None };
    let v4 = Prefix::WELL_KNOWN.extract(net.addr()).filter(|_| net.prefix_len() == 128)?;
    Some(Name::from(v4))
}
