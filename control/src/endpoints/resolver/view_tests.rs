use std::fmt::Write as _;

use super::*;
use crate::check;
use crate::endpoints::resolver::lookup;

const TOPOLOGY: &str = "
vpcs:
  main:
    cidr_block: 10.0.0.0/16
    ipv6_cidr_block: 2600:1f18:1234:5600::/56
    enable_dns_hostnames: true
  other: {cidr_block: 10.1.0.0/16, enable_dns_hostnames: true}
  plain: {cidr_block: 10.2.0.0/16}
  plainer: {cidr_block: 10.3.0.0/16, enable_dns_hostnames: true}
internet_gateways: {igw: {vpc: main}, igw-other: {vpc: other}, igw-plain: {vpc: plain}}
subnets:
  public: {vpc: main, cidr_block: 10.0.0.0/24}
  both: {vpc: main, cidr_block: 10.0.1.0/24, ipv6_cidr_block: '2600:1f18:1234:5601::/64', enable_dns64: true}
  alone: {vpc: main, ipv6_native: true, ipv6_cidr_block: '2600:1f18:1234:5602::/64', enable_dns64: true}
  other: {vpc: other, cidr_block: 10.1.0.0/24}
  plain: {vpc: plain, cidr_block: 10.2.0.0/24}
nat_gateways: {nat-a: {subnet: public, private_ip: 10.0.0.220, public_ips: [198.51.100.10]}}
network_interfaces:
  web: {subnet: public, private_ip: 10.0.0.5, public_ip: 198.51.100.20}
  app: {subnet: both, private_ip: 10.0.1.5, ipv6_addresses: ['2600:1f18:1234:5601::5']}
  six: {subnet: alone, ipv6_addresses: ['2600:1f18:1234:5602::5']}
  far: {subnet: other, private_ip: 10.1.0.5, public_ip: 198.51.100.30}
  bare: {subnet: plain, private_ip: 10.2.0.5, public_ip: 198.51.100.40}
private_hosted_zones:
  corp.internal:
    vpcs: [main]
    records:
      - {name: db, type: A, records: [10.0.1.20, 10.0.1.21], ttl: 30}
      - {name: cache.corp.internal, type: CNAME, records: [Db.corp.internal]}
      - {name: away, type: CNAME, records: [partner.example.]}
      - {name: nowhere, type: CNAME, records: [missing.example]}
      - {name: loop, type: CNAME, records: [pool.corp.internal]}
      - {name: pool, type: CNAME, records: [loop.corp.internal]}
      - {name: '*.dev', type: A, records: [10.0.1.30]}
      - {name: x.y.dev, type: TXT, records: ['\"a b\" \"c\"']}
      - {name: 'deep.*', type: A, records: [10.0.1.31]}
      - {name: kept, type: A, records: [10.0.1.32], ttl: 3600}
      - {type: MX, records: [10 mail.corp.internal]}
      - {name: _ldap._tcp, type: SRV, records: [0 5 389 db.corp.internal]}
  deeper: {name: eu.corp.internal, vpcs: [main], records: [{name: db, type: AAAA, records: ['2600:1f18:1234:5601::20']}]}
  example: {vpcs: [plainer], records: [{name: partner, type: A, records: [10.3.0.9]}]}
  partner: {name: partner.example, vpcs: [other], records: [{name: api, type: A, records: [10.1.0.7]}]}
internet:
  hosts:
    partner.example: {addresses: [203.0.113.90, '2001:db8:90::90']}
    api.partner.example: {addresses: [203.0.113.91, 203.0.113.92]}
    six.example: {addresses: ['2001:db8:6::6']}
    ec2-203-0-113-99.compute-1.amazonaws.com: {addresses: [203.0.113.99]}
";

const WEB: &str = "10.0.0.5";
const APP: &str = "10.0.1.5";
const SIX: &str = "2600:1f18:1234:5602::5";

fn view(vpc: &str) -> View {
    let topology = check::read(TOPOLOGY, "test").unwrap_or_else(|report| panic!("{report}"));
    let at = topology.topology.vpcs.iter().position(|it| it.name == vpc).unwrap();
    View::of(&topology.topology, VpcIndex(at))
}

fn ask(view: &View, client: &str, name: &str, kind: RecordType) -> Resolution {
    let name = Name::from_ascii(name).unwrap();
    lookup(view, client.parse().unwrap(), &name, kind)
}

/// The records in the words of a zone file, or the code and whose SOA speaks.
fn told(resolution: &Resolution) -> String {
    let mut told = String::new();
    for record in &resolution.answers {
        let (kind, data) = (record.record_type(), &record.data);
        let _ = write!(told, "{} {} {kind} {data}; ", record.name, record.ttl);
    }
    if let Some(soa) = &resolution.negative {
        let _ = write!(told, "{} {} {}", resolution.code, soa.name, soa.ttl);
    } else if resolution.answers.is_empty() {
        let _ = write!(told, "{}", resolution.code);
    }
    told.trim_end_matches("; ").to_owned()
}

#[track_caller]
fn says(view: &View, client: &str, name: &str, kind: RecordType, wanted: &str) {
    assert_eq!(told(&ask(view, client, name, kind)), wanted, "{name} {kind}");
}

#[test]
fn hosts_of_the_internet_have_their_addresses_and_whoever_is_unknown_is_not_there() {
    let main = view("main");
    let a = RecordType::A;
    says(&main, WEB, "partner.example.", a, "partner.example. 60 A 203.0.113.90");
    says(&main, WEB, "PARTNER.example.", a, "PARTNER.example. 60 A 203.0.113.90");
    says(
        &main,
        WEB,
        "partner.example.",
        RecordType::AAAA,
        "partner.example. 60 AAAA 2001:db8:90::90",
    );
    says(
        &main,
        WEB,
        "api.partner.example.",
        a,
        "api.partner.example. 60 A 203.0.113.91; api.partner.example. 60 A 203.0.113.92",
    );
    says(&main, WEB, "partner.example.", RecordType::TXT, "No Error partner.example. 60");
    says(&main, WEB, "six.example.", a, "No Error six.example. 60");
    says(&main, WEB, "x.partner.example.", a, "Non-Existent Domain partner.example. 60");
    says(&main, WEB, "nobody.test.", a, "Non-Existent Domain . 60");
    says(&main, WEB, "localhost.", a, "localhost. 60 A 127.0.0.1");
    says(
        &main,
        WEB,
        "90.113.0.203.in-addr.arpa.",
        RecordType::PTR,
        "90.113.0.203.in-addr.arpa. 60 PTR partner.example.",
    );
}

#[test]
fn an_interface_has_both_forms_of_private_names_and_the_name_of_its_address() {
    let main = view("main");
    let (a, aaaa, ptr) = (RecordType::A, RecordType::AAAA, RecordType::PTR);
    let app = format!("{}.ec2.internal.", check::instance_id("app"));
    says(&main, WEB, "ip-10-0-1-5.ec2.internal.", a, "ip-10-0-1-5.ec2.internal. 60 A 10.0.1.5");
    says(&main, WEB, "ip-10-0-1-5.ec2.internal.", aaaa, "No Error ec2.internal. 60");
    says(&main, WEB, &app, a, &format!("{app} 60 A 10.0.1.5"));
    says(&main, WEB, &app, aaaa, &format!("{app} 60 AAAA 2600:1f18:1234:5601::5"));
    says(
        &main,
        WEB,
        "5.1.0.10.in-addr.arpa.",
        ptr,
        "5.1.0.10.in-addr.arpa. 60 PTR ip-10-0-1-5.ec2.internal.",
    );
    let six: Name = Name::from("2600:1f18:1234:5602::5".parse::<std::net::Ipv6Addr>().unwrap());
    let six_name = check::instance_id("six");
    says(&main, WEB, &six.to_ascii(), ptr, &format!("{six} 60 PTR {six_name}.ec2.internal."));
    // Another VPC, or one without host names, knows nothing of them.
    for vpc in ["other", "plain"] {
        let other = ask(&view(vpc), WEB, "ip-10-0-1-5.ec2.internal.", a);
        assert!(other.is_unknown(), "{vpc}: {other:?}");
        let unknown = ask(&view(vpc), WEB, "5.1.0.10.in-addr.arpa.", ptr);
        assert!(unknown.is_unknown(), "{vpc}");
    }
}

#[test]
fn a_public_name_leads_to_the_private_address_inside_and_to_the_public_one_outside() {
    let a = RecordType::A;
    let name = "ec2-198-51-100-20.compute-1.amazonaws.com.";
    says(&view("main"), WEB, name, a, &format!("{name} 60 A 10.0.0.5"));
    for vpc in ["other", "plain"] {
        says(&view(vpc), WEB, name, a, &format!("{name} 60 A 198.51.100.20"));
    }
    let host = "ec2-203-0-113-99.compute-1.amazonaws.com.";
    says(&view("main"), WEB, host, a, &format!("{host} 60 A 203.0.113.99"));
    let nat = "ec2-198-51-100-10.compute-1.amazonaws.com.";
    says(&view("main"), WEB, nat, a, &format!("{nat} 60 A 10.0.0.220"));
    says(
        &view("other"),
        WEB,
        "20.100.51.198.in-addr.arpa.",
        RecordType::PTR,
        &format!("20.100.51.198.in-addr.arpa. 60 PTR {name}"),
    );
    // Where the VPC of the instance gives none.
    let none = ask(&view("main"), WEB, "ec2-198-51-100-40.compute-1.amazonaws.com.", a);
    assert!(none.is_unknown(), "{none:?}");
}

#[test]
fn private_hosted_zones_answer_in_their_vpcs_and_the_longest_one_does() {
    let (main, a) = (view("main"), RecordType::A);
    says(
        &main,
        WEB,
        "db.corp.internal.",
        a,
        "db.corp.internal. 30 A 10.0.1.20; db.corp.internal. 30 A 10.0.1.21",
    );
    says(
        &main,
        WEB,
        "cache.corp.internal.",
        RecordType::CNAME,
        "cache.corp.internal. 300 CNAME db.corp.internal.",
    );
    says(
        &main,
        WEB,
        "cache.corp.internal.",
        a,
        "cache.corp.internal. 300 CNAME db.corp.internal.; db.corp.internal. 30 A 10.0.1.20; \
         db.corp.internal. 30 A 10.0.1.21",
    );
    says(
        &main,
        WEB,
        "away.corp.internal.",
        a,
        "away.corp.internal. 300 CNAME partner.example.; partner.example. 60 A 203.0.113.90",
    );
    says(
        &main,
        WEB,
        "nowhere.corp.internal.",
        a,
        "nowhere.corp.internal. 300 CNAME missing.example.; Non-Existent Domain . 60",
    );
    says(&main, WEB, "loop.corp.internal.", a, "Server Failure");
    says(
        &main,
        WEB,
        "corp.internal.",
        RecordType::MX,
        "corp.internal. 300 MX 10 mail.corp.internal.",
    );
    says(
        &main,
        WEB,
        "_ldap._tcp.corp.internal.",
        RecordType::SRV,
        "_ldap._tcp.corp.internal. 300 SRV 0 5 389 db.corp.internal.",
    );
    says(&main, WEB, "db.corp.internal.", RecordType::AAAA, "No Error corp.internal. 900");
    // The zone of eu.corp.internal speaks for all below it.
    says(&main, WEB, "db.eu.corp.internal.", a, "No Error eu.corp.internal. 900");
    says(&main, WEB, "cache.eu.corp.internal.", a, "Non-Existent Domain eu.corp.internal. 900");
    // Nobody else knows it, and nobody hears of the public zone behind one.
    assert!(ask(&view("other"), WEB, "db.corp.internal.", a).is_unknown());
    let other = view("other");
    says(&other, WEB, "api.partner.example.", a, "api.partner.example. 300 A 10.1.0.7");
    says(&other, WEB, "partner.example.", a, "No Error partner.example. 900");
    // However short its domain is.
    let plainer = view("plainer");
    says(&plainer, WEB, "partner.example.", a, "partner.example. 300 A 10.3.0.9");
    says(&plainer, WEB, "six.example.", RecordType::AAAA, "Non-Existent Domain example. 900");
}

#[test]
fn a_wildcard_stands_for_what_is_not_there_and_for_nothing_that_is() {
    let (main, a) = (view("main"), RecordType::A);
    says(&main, WEB, "q.dev.corp.internal.", a, "q.dev.corp.internal. 300 A 10.0.1.30");
    says(&main, WEB, "a.b.dev.corp.internal.", a, "a.b.dev.corp.internal. 300 A 10.0.1.30");
    says(&main, WEB, "q.dev.corp.internal.", RecordType::MX, "No Error corp.internal. 900");
    // y.dev is there because x.y.dev is (RFC 4592 s. 2.2.2).
    says(&main, WEB, "y.dev.corp.internal.", a, "No Error corp.internal. 900");
    says(&main, WEB, "z.y.dev.corp.internal.", a, "Non-Existent Domain corp.internal. 900");
    says(&main, WEB, "dev.corp.internal.", a, "No Error corp.internal. 900");
    // The node `*` is there because something is below it, and stands for names without anything.
    says(&main, WEB, "new.corp.internal.", a, "No Error corp.internal. 900");
    says(&main, WEB, "deep.*.corp.internal.", a, "deep.*.corp.internal. 300 A 10.0.1.31");
}

#[test]
fn who_is_in_a_subnet_with_dns64_hears_of_addresses_that_nat64_leads_to() {
    let (main, aaaa) = (view("main"), RecordType::AAAA);
    for client in [APP, SIX] {
        // D4: what has IPv6 is left alone.
        says(&main, client, "partner.example.", aaaa, "partner.example. 60 AAAA 2001:db8:90::90");
        says(
            &main,
            client,
            "api.partner.example.",
            aaaa,
            "api.partner.example. 60 AAAA 64:ff9b::cb00:715b; api.partner.example. 60 AAAA 64:ff9b::cb00:715c",
        );
        // Private addresses too, and the end of a chain.
        says(
            &main,
            client,
            "cache.corp.internal.",
            aaaa,
            "cache.corp.internal. 300 CNAME db.corp.internal.; db.corp.internal. 30 AAAA 64:ff9b::a00:114; \
             db.corp.internal. 30 AAAA 64:ff9b::a00:115",
        );
        // Not longer than there is surely no real one.
        says(
            &main,
            client,
            "kept.corp.internal.",
            aaaa,
            "kept.corp.internal. 900 AAAA 64:ff9b::a00:120",
        );
        says(
            &main,
            client,
            "ip-10-0-0-5.ec2.internal.",
            aaaa,
            "ip-10-0-0-5.ec2.internal. 60 AAAA 64:ff9b::a00:5",
        );
        says(
            &main,
            client,
            "api.partner.example.",
            RecordType::A,
            "api.partner.example. 60 A 203.0.113.91; api.partner.example. 60 A 203.0.113.92",
        );
        says(&main, client, "corp.internal.", aaaa, "No Error corp.internal. 900");
        says(&main, client, "nobody.test.", aaaa, "Non-Existent Domain . 60");
        says(&main, client, "loop.corp.internal.", aaaa, "Server Failure");
        says(
            &main,
            client,
            "ipv4only.arpa.",
            aaaa,
            "ipv4only.arpa. 60 AAAA 64:ff9b::c000:aa; ipv4only.arpa. 60 AAAA 64:ff9b::c000:ab",
        );
    }
    says(&main, WEB, "api.partner.example.", aaaa, "No Error partner.example. 60");
}

#[test]
fn the_name_of_a_made_address_is_that_of_the_real_one() {
    let (main, ptr) = (view("main"), RecordType::PTR);
    let made = Name::from("64:ff9b::203.0.113.90".parse::<std::net::Ipv6Addr>().unwrap());
    says(
        &main,
        SIX,
        &made.to_ascii(),
        ptr,
        &format!(
            "{made} 60 CNAME 90.113.0.203.in-addr.arpa.; \
                  90.113.0.203.in-addr.arpa. 60 PTR partner.example."
        ),
    );
    assert!(ask(&main, WEB, &made.to_ascii(), ptr).is_unknown(), "without DNS64");
}
