//! Names as programs ask for them: dig, the C library, Python, curl and a static program, by IPv4, by IPv6 and by both.
#![expect(clippy::unwrap_used, reason = "a test says by a panic that its promise is broken")]

use std::collections::BTreeSet;

use integration::{File, Host, Output, Talker, Up, output, topology};
use serde_json::Value;

const NAMES: &str = "dns.yaml";
const IPV6_ONLY: &str = "ipv6-only-nat64.yaml";
/// Of the NAT gateway.
const GATEWAY: &str = "198.51.100.10";
const CHECKIP: &str = "http://checkip.amazonaws.com/";
/// The route that leads to NAT64, in both examples.
const ROUTE: &str = "      - {destination: \"64:ff9b::/96\", target: nat-a}\n";

const WHO: &str = include_str!("who.py");

/// A server in `member` that answers with the address of who asks.
fn who(up: &Up<'_>, member: &str, listens: &str) -> Talker {
    let who = Talker::start(up.exec(member, "python3").args(["-c", WHO, listens]));
    assert_eq!(who.hear(), "ready");
    who
}

fn tried(up: &Up<'_>, member: &str, command: &[&str]) -> Output {
    output(up.exec(member, command[0]).args(&command[1..]))
}

/// What `curl` gets in `member`, which must be something.
fn curl(up: &Up<'_>, member: &str, arguments: &[&str]) -> String {
    let command = [&["curl", "-sS", "-m", "5"], arguments].concat();
    up.says(member, &command).trim().to_owned()
}

/// What `dig +short` says in `member`, in order.
fn dig(up: &Up<'_>, member: &str, question: &str) -> Vec<String> {
    let words: Vec<&str> = question.split_whitespace().collect();
    let said = up.says(member, &[&["dig", "+short", "+tries=1"][..], &words].concat());
    said.lines().map(ToOwned::to_owned).collect()
}

/// The code of an answer, and how many records it has.
fn code(up: &Up<'_>, member: &str, question: &str) -> (String, usize) {
    let words: Vec<&str> = question.split_whitespace().collect();
    let options = ["dig", "+tries=1", "+noall", "+comments", "+answer"];
    let said = up.says(member, &[&options[..], &words].concat());
    let (_, status) = said.split_once("status: ").unwrap_or_else(|| panic!("{question}: {said}"));
    let records = said.lines().filter(|line| !line.starts_with(';') && !line.is_empty());
    (status.split_once(',').unwrap().0.to_owned(), records.count())
}

fn explained(host: &Host, file: &File, question: &[&str]) -> (i32, Value) {
    let path = file.path().to_string_lossy().into_owned();
    let said = host.run(&[&["explain", &path, "--json"], question].concat());
    let walked = serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{said:?}"));
    (said.status, walked)
}

#[test]
fn a_name_with_ipv4_alone_is_reached_by_who_has_ipv6_alone() {
    let host = Host::start();
    let file = File::copy(IPV6_ONLY, "names-nat64");
    let path = file.path().to_string_lossy().into_owned();
    let run =
        |command: &[&str]| host.run(&[&["run", &path, "--in", "app", "--"], command].concat());
    let said = run(&["curl", "-s", "-m", "5", CHECKIP]).success();
    assert_eq!(said.trim(), GATEWAY);
    let said = run(&["dig", "+short", "AAAA", "checkip.amazonaws.com"]).success();
    assert_eq!(said, "64:ff9b::cb00:7150\n");

    // D1: without its route the name still has its address, and nothing is there.
    file.write(&[(ROUTE, "")]);
    let said = run(&["dig", "+short", "AAAA", "checkip.amazonaws.com"]).success();
    assert_eq!(said, "64:ff9b::cb00:7150\n");
    let said = run(&["curl", "-s", "-m", "2", CHECKIP]);
    assert_eq!(said.status, 28, "curl: operation timed out: {said:?}");
    let question = ["--from", "app", "--to", "checkip.amazonaws.com"];
    let (status, walked) = explained(&host, &file, &question);
    assert_eq!(status, 1, "{walked}");
    let first = &walked["hops"][0];
    assert_eq!(
        (&first["component"], &first["stage"]),
        (&"resolver:main".into(), &"gateway".into())
    );
    assert_eq!(first["rule"], "AAAA 64:ff9b::cb00:7150");
    let advice = walked["advice"].as_str().unwrap();
    assert!(advice.contains("route 64:ff9b::/96 by a NAT gateway"), "{walked}");
}

#[test]
fn d2_dns64_without_nat64_hides_names_from_who_has_ipv4_too() {
    let host = Host::start();
    let file = File::copy(NAMES, "names-d2");
    file.write(&[(ROUTE, "")]);
    let up = Up::start(&host, file.path(), "d2", &[]);
    assert_eq!(dig(&up, "both", "AAAA checkip.amazonaws.com"), ["64:ff9b::cb00:7150"]);
    let said = tried(&up, "both", &["curl", "-6", "-s", "-m", "2", CHECKIP]);
    assert_eq!(said.status, 28, "{said:?}");
    assert!(up.dropped("NO_ROUTE_TO_DESTINATION") > 0, "{}", up.json("drops"));
    assert_eq!(curl(&up, "both", &["-4", CHECKIP]), GATEWAY);
}

#[test]
fn d4_a_name_with_ipv6_is_reached_by_ipv6() {
    let host = Host::start();
    let up = Up::start(&host, &topology(IPV6_ONLY), "d4", &[]);
    let _who = who(&up, "partner.example", "::");
    assert_eq!(dig(&up, "app", "AAAA partner.example"), ["2001:db8:90::90"]);
    assert_eq!(curl(&up, "app", &["http://partner.example/"]), "2600:1f18:1234:5601::10");
}

#[test]
fn d8_who_has_both_goes_by_nat64_as_ipv6_is_preferred() {
    let host = Host::start();
    let up = Up::start(&host, &topology(NAMES), "d8", &[]);
    // Packets, and how many bytes longer they came than they left.
    let counted = || {
        let total = |what| up.metric(&format!("hypertun_nat_gateway_{what}_total"), "nat-a");
        let longer = total("bytes_in_from_source") - total("bytes_out_to_destination");
        [total("packets_in_from_source"), longer]
    };
    assert_eq!(curl(&up, "both", &[CHECKIP]), GATEWAY);
    let [packets, longer] = counted();
    assert!(packets >= 4.0, "{packets}");
    // A header of IPv6 is 20 bytes longer.
    assert!((longer - 20.0 * packets).abs() < 0.5, "{packets} packets, {longer} bytes");
    assert_eq!(curl(&up, "both", &["-4", CHECKIP]), GATEWAY);
    let [all, as_before] = counted();
    assert!(all >= packets + 4.0 && (as_before - longer).abs() < 0.5, "{all}, {as_before}");
}

/// What the C library finds by way of Python.
const GETADDRINFO: &str = "import socket, sys
print(*sorted({it[4][0] for it in socket.getaddrinfo(sys.argv[1], 80)}))";

#[test]
fn every_client_resolves_by_every_family() {
    let host = Host::start();
    let both = Up::start(&host, &topology(NAMES), "clients", &[]);
    let six = Up::start(&host, &topology(IPV6_ONLY), "clients6", &[]);
    let (four, made) = ("203.0.113.80", "64:ff9b::cb00:7150");
    // Who asks, what there is, and what he can use of it (getaddrinfo(3), AI_ADDRCONFIG).
    for (up, member, addresses, usable) in [
        (&both, "app", &[four][..], &[four][..]),
        (&both, "both", &[four, made], &[four, made]),
        (&six, "app", &[four, made], &[made]),
    ] {
        let name = "checkip.amazonaws.com";
        for way in ["", "+tcp", "+noedns", "+tcp +noedns"] {
            assert_eq!(dig(up, member, &format!("{way} A {name}")), [four], "{member} {way}");
            let expected = if addresses.contains(&made) { vec![made] } else { vec![] };
            assert_eq!(dig(up, member, &format!("{way} AAAA {name}")), expected, "{member} {way}");
        }
        let said = up.says(member, &["getent", "ahosts", name]);
        let said = said.lines().filter_map(|line| line.split(' ').next());
        assert_eq!(said.collect::<BTreeSet<_>>(), usable.iter().copied().collect(), "{member}");
        let said = up.says(member, &["python3", "-c", GETADDRINFO, name]);
        let said: BTreeSet<&str> = said.split_whitespace().collect();
        assert_eq!(said, addresses.iter().copied().collect(), "{member}");
        assert_eq!(curl(up, member, &[CHECKIP]), GATEWAY, "{member}");
        let said = tried(up, member, &["busybox", "nslookup", name]);
        addresses.iter().for_each(|it| assert!(said.out.contains(it), "{member}: {said:?}"));
        let said = tried(up, member, &["busybox", "wget", "-q", "-O", "-", CHECKIP]);
        assert_eq!(said.out.trim(), GATEWAY, "{member}: {said:?}");
    }
}

#[test]
fn who_starts_is_told_the_resolver_and_the_domain_of_short_names() {
    let host = Host::start();
    let up = Up::start(&host, &topology(NAMES), "resolv", &[]);
    let told = |member| up.says(member, &["cat", "/etc/resolv.conf"]);
    assert_eq!(told("app"), "nameserver 10.0.0.2\nsearch corp.internal\n");
    assert_eq!(told("outsider"), "nameserver 10.1.0.2\nsearch ec2.internal\n");
    let _who = who(&up, "web", "0.0.0.0");
    assert_eq!(curl(&up, "app", &["http://web/"]), "10.0.1.10");
    assert_eq!(
        up.says("both", &["getent", "ahostsv4", "www"]).split_whitespace().next(),
        Some("10.0.0.10")
    );
    let said = tried(&up, "app", &["busybox", "wget", "-q", "-O", "-", "http://web/"]);
    assert_eq!(said.out, "10.0.1.10", "{said:?}");
    // A public name leads inside from inside, and outside from elsewhere.
    let public = "ec2-198-51-100-20.compute-1.amazonaws.com";
    assert_eq!(curl(&up, "app", &[&format!("http://{public}/")]), "10.0.1.10");
    assert_eq!(curl(&up, "outsider", &[&format!("http://{public}/")]), "198.51.100.30");
}

#[test]
fn each_vpc_knows_its_own_names_and_all_know_those_of_the_internet() {
    let host = Host::start();
    let up = Up::start(&host, &topology(NAMES), "views", &[]);
    let public = "ec2-198-51-100-20.compute-1.amazonaws.com";
    for (member, question, said) in [
        ("app", "A ip-10-0-1-10.ec2.internal", &["10.0.1.10"][..]),
        ("app", "A ip-10-0-0-220.ec2.internal", &["10.0.0.220"]),
        ("app", "-x 10.0.0.10", &["ip-10-0-0-10.ec2.internal."]),
        ("app", &format!("A {public}"), &["10.0.0.10"]),
        ("outsider", &format!("A {public}"), &["198.51.100.20"]),
        ("app", "-x 198.51.100.20", &[&format!("{public}.")]),
        ("app", "A web.corp.internal", &["10.0.0.10"]),
        ("app", "A WEB.Corp.Internal", &["10.0.0.10"]),
        ("app", "A www.corp.internal", &["web.corp.internal.", "10.0.0.10"]),
        ("app", "A partner.corp.internal", &["partner.example.", "203.0.113.90"]),
        ("both", "AAAA partner.corp.internal", &["partner.example.", "64:ff9b::cb00:715a"]),
        ("app", "AAAA partner.corp.internal", &["partner.example."]),
        ("app", "A pr-17.preview.corp.internal", &["10.0.0.10"]),
        ("app", "SRV _http._tcp.corp.internal", &["0 5 80 web.corp.internal."]),
        ("app", "TXT corp.internal", &["\"the zone of the company\""]),
        ("app", "AAAA echo.example", &["2001:db8:7::7"]),
        ("both", "AAAA echo.example", &["2001:db8:7::7"]),
        ("outsider", "A checkip.amazonaws.com", &["203.0.113.80"]),
        ("outsider", "-x 203.0.113.90", &["partner.example."]),
    ] {
        assert_eq!(dig(&up, member, question), said, "{member}: {question}");
    }
    for (member, question, expected) in [
        // There is no such name; there is one, and it has nothing of the type.
        ("app", "A nobody.corp.internal", "NXDOMAIN"),
        ("app", "AAAA web.corp.internal", "NOERROR"),
        ("app", "A _tcp.corp.internal", "NOERROR"),
        ("app", "A preview.corp.internal", "NOERROR"),
        ("outsider", "A web.corp.internal", "NXDOMAIN"),
        ("outsider", "A ip-10-0-1-10.ec2.internal", "NXDOMAIN"),
        ("outsider", "A ip-10-1-0-10.ec2.internal", "NXDOMAIN"),
        ("app", "-x 10.0.0.77", "NXDOMAIN"),
        ("app", "A no.such.name", "NXDOMAIN"),
    ] {
        assert_eq!(code(&up, member, question), (expected.to_owned(), 0), "{member}: {question}");
    }
    assert_eq!(up.json("drops").to_string(), "[]");
}

#[test]
fn an_answer_that_is_too_long_for_a_datagram_comes_by_tcp() {
    let host = Host::start();
    let file = File::copy(NAMES, "names-long");
    let text = ["x".repeat(250), "y".repeat(250), "z".repeat(250)];
    file.write(&[("the zone of the company", &text.join("\" \""))]);
    let up = Up::start(&host, file.path(), "long", &[]);
    let whole = format!("\"{}\"", text.join("\" \""));
    // 512 bytes without EDNS, as many as are said with it.
    for (way, truncated) in [
        ("+noedns", true),
        ("+bufsize=600", true),
        ("+bufsize=1232", false),
        ("+tcp +noedns", false),
    ] {
        let words = format!("{way} +ignore +noall +comments TXT corp.internal");
        let words: Vec<&str> = words.split_whitespace().collect();
        let said = up.says("app", &[&["dig"][..], &words].concat());
        let (_, flags) = said.split_once("flags: ").unwrap();
        let (flags, _) = flags.split_once(';').unwrap();
        assert_eq!(flags.split(' ').any(|it| it == "tc"), truncated, "{way}: {said}");
        // It comes again by itself.
        assert_eq!(
            dig(&up, "app", &format!("{way} TXT corp.internal")).last(),
            Some(&whole),
            "{way}"
        );
    }
}

#[test]
fn without_support_nobody_answers_and_without_hostnames_nobody_has_a_name() {
    let host = Host::start();
    let file = File::copy(NAMES, "names-attributes");
    file.write(&[("    enable_dns_hostnames: true\n", "    enable_dns_support: false\n")]);
    let up = Up::start(&host, file.path(), "support", &[]);
    assert_eq!(up.says("app", &["cat", "/etc/resolv.conf"]), "search corp.internal\n");
    for server in ["10.0.0.2", "169.254.169.253"] {
        let at = format!("@{server}");
        let said = tried(&up, "app", &["dig", &at, "+tries=1", "+time=1", "A", "echo.example"]);
        assert_eq!(said.status, 9, "dig: no reply from a server: {said:?}");
        let question = ["--from", "app", "--to", server, "--protocol", "udp", "--port", "53"];
        let (status, walked) = explained(&host, &file, &question);
        assert_eq!(status, 1, "{walked}");
        assert!(walked.to_string().contains("enable_dns_support"), "{walked}");
    }
    let said = tried(&up, "app", &["curl", "-sS", "-m", "5", CHECKIP]);
    assert_eq!(said.status, 6, "curl: could not resolve host: {said:?}");

    // `apply` turns it on, and the next who start are told.
    file.write(&[("    enable_dns_hostnames: true\n", "")]);
    let _ = file.apply(&up).success();
    assert_eq!(curl(&up, "app", &[CHECKIP]), GATEWAY);
    let public = "ec2-198-51-100-20.compute-1.amazonaws.com";
    for name in ["ip-10-0-1-10.ec2.internal", "web.corp.internal", public] {
        assert_eq!(code(&up, "app", &format!("A {name}")).0, "NXDOMAIN", "{name}");
        assert_eq!(code(&up, "outsider", &format!("A {name}")).0, "NXDOMAIN", "{name}");
    }
}

#[test]
fn apply_changes_what_is_answered_and_what_who_starts_is_told() {
    let host = Host::start();
    let file = File::copy(NAMES, "names-apply");
    let up = Up::start(&host, file.path(), "names-apply", &[]);
    let a = |name: &str| dig(&up, "app", &format!("A {name}"));
    assert_eq!(a("web.corp.internal"), ["10.0.0.10"]);
    assert_eq!(a("partner.example"), ["203.0.113.90"]);
    file.write(&[
        ("{name: web, type: A, records: [10.0.0.10]}", "{name: web, type: A, records: [10.0.9.9]}"),
        ("      - {name: www, type: CNAME, records: [web.corp.internal]}\n", ""),
        ("addresses: [203.0.113.90]", "addresses: [203.0.113.91]"),
        ("domain_name: corp.internal", "domain_name: example"),
        ("[AmazonProvidedDNS]", "[AmazonProvidedDNS, 10.0.1.53]"),
    ]);
    let said = file.apply(&up).success();
    for changed in ["dhcp_options corporate", "private_hosted_zones corp.internal"] {
        assert!(said.contains(changed), "{said}");
    }
    assert_eq!(a("web.corp.internal"), ["10.0.9.9"]);
    assert_eq!(code(&up, "app", "A www.corp.internal").0, "NXDOMAIN");
    assert_eq!(a("partner.example"), ["203.0.113.91"]);
    assert_eq!(
        up.says("app", &["cat", "/etc/resolv.conf"]),
        "nameserver 10.0.0.2\nnameserver 10.0.1.53\nsearch example\n"
    );
    assert_eq!(
        up.says("app", &["getent", "ahostsv4", "partner"]).split_whitespace().next(),
        Some("203.0.113.91")
    );

    // No zone, no set, no DNS64.
    assert_eq!(dig(&up, "both", "AAAA checkip.amazonaws.com"), ["64:ff9b::cb00:7150"]);
    file.write(&[
        ("    enable_dns64: true\n", ""),
        ("    dhcp_options: corporate\n", "    dhcp_options: none\n"),
        ("    vpcs: [main]\n    records:", "    vpcs: [lab]\n    records:"),
    ]);
    let _ = file.apply(&up).success();
    assert_eq!(up.says("app", &["cat", "/etc/resolv.conf"]), "");
    assert_eq!(code(&up, "app", "@10.0.0.2 A web.corp.internal").0, "NXDOMAIN");
    let said = code(&up, "both", "@10.0.0.2 AAAA checkip.amazonaws.com");
    assert_eq!(said, ("NOERROR".to_owned(), 0));
}
