//! Names as somebody else reads them: two hundred of a private zone, each asked of the VPC's resolver and of an unbound
//! that has the same zones, and DNS64 (RFC 6147) before its iterator. Codes, records and times to live have to agree,
//! but for what [`agree`] lists.
#![expect(clippy::unwrap_used, reason = "a test says by a panic that its promise is broken")]

mod zone;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Instant;

use integration::{Host, Talker, Up, output, wait_until};

use zone::{HOSTS, LONG, Names, WHOSE, WHOSE_MADE, ZONE};

/// Where unbound listens, on the host.
const PORT: &str = "5300";

/// What each name is asked for.
const TYPES: [&str; 6] = ["A", "AAAA", "MX", "TXT", "SRV", "PTR"];

/// What was answered: times to live by records, as their texts but for those.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Answer {
    code: String,
    records: BTreeMap<String, u32>,
    /// The SOA that says that there are none.
    absence: BTreeMap<String, u32>,
}

#[test]
fn unbound_says_the_same_of_two_hundred_names() {
    let names = Names::generate();
    let folder = Folder::new();
    let topology = folder.file("topology.json", &names.topology().to_string());
    let host = Host::start();
    let up = Up::start(&host, &topology, "unbound", &[]);
    let began = Instant::now();
    let _unbound = unbound(&host, &folder, &names);

    // What unbound and the resolver say.
    let ask = |questions: &[String], options: &[&str]| {
        let file = folder.file("questions", &questions.join("\n"));
        let mut theirs = host.command("dig");
        theirs.args(["@127.0.0.1", "-p", PORT]);
        let mut ours = up.exec("app", "dig");
        ours.arg("@fd00:ec2::253");
        [theirs, ours].map(|mut dig| {
            dig.args(["+noall", "+comments", "+answer", "+authority", "+tries=2"]).args(options);
            let answers = answers(&output(dig.arg("-f").arg(&file)).success());
            assert_eq!(answers.len(), questions.len());
            answers
        })
    };
    let kinds = |name: &String| TYPES.map(|kind| format!("{name} {kind}"));
    let questions: Vec<String> = names.asked.iter().flat_map(kinds).collect();
    // Who checks signatures himself is told of no made address (RFC 6147 s. 5.5).
    for (made, options) in [(true, &[][..]), (false, &["+cdflag", "+dnssec"])] {
        let [theirs, ours] = ask(&questions, options);
        let kept = u32::try_from(began.elapsed().as_secs()).unwrap() + 1;
        let mut wrong = Vec::new();
        for (question, (theirs, ours)) in questions.iter().zip(theirs.iter().zip(&ours)) {
            if !agree(theirs, ours, made && question.ends_with(" AAAA"), kept) {
                wrong.push(format!(
                    "{question} {options:?}:\n  unbound {theirs:?}\n  resolver {ours:?}"
                ));
            }
        }
        let codes: BTreeSet<&str> = theirs.iter().map(|it| &*it.code).collect();
        assert!(codes.iter().eq(&["NOERROR", "NXDOMAIN", "SERVFAIL"]), "{codes:?}");
        assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), questions.len(), wrong.join("\n"));
    }

    // What else differs. Within one zone unbound follows any number of CNAMEs, and eleven from zone to zone.
    let [theirs, ours] = ask(&[format!("{LONG}.{ZONE} A"), format!("{WHOSE_MADE} PTR")], &[]);
    assert_eq!((&*theirs[0].code, theirs[0].records.len()), ("NOERROR", 13));
    assert_eq!((&*ours[0].code, ours[0].records.len()), ("SERVFAIL", 0));
    // Both ways to tell the name of a made address are those of RFC 6147 s. 5.3.1.
    let made = |said: &str| format!("{WHOSE_MADE}. in {said}.");
    assert!(theirs[1].records.keys().eq([&made("ptr four.example")]), "{theirs:?}");
    let both = [made(&format!("cname {WHOSE}")), format!("{WHOSE}. in ptr four.example.")];
    assert!(ours[1].records.keys().eq(&both), "{ours:?}");
}

/// Whether both say the same of a question, whose answer unbound may have made by DNS64. What is otherwise then:
///
/// - Unbound keeps parts of what it has answered, for up to `kept` seconds by now, and counts down.
/// - An address is made for no longer than there is no real one (RFC 6147 s. 5.1.7), which unbound does not heed.
fn agree(theirs: &Answer, ours: &Answer, made: bool, kept: u32) -> bool {
    let of_zone = |record: &str| record.split(' ').any(|it| it.ends_with(&format!("{ZONE}.")));
    let ttls = |(record, &theirs): (&String, &u32), ours: &u32| {
        let is_made = made && record.contains(" in aaaa 64:ff9b::");
        let longest = match is_made {
            true if of_zone(record) => 900,
            true => 60,
            false => u32::MAX,
        };
        (theirs.min(longest)..=(theirs + kept).min(longest)).contains(ours)
    };
    let sections = [(&theirs.records, &ours.records), (&theirs.absence, &ours.absence)];
    theirs.code == ours.code
        && sections.into_iter().all(|(theirs, ours)| {
            theirs.keys().eq(ours.keys())
                && theirs.iter().zip(ours.values()).all(|(theirs, ours)| ttls(theirs, ours))
        })
}

/// What dig says of each question of a file.
fn answers(said: &str) -> Vec<Answer> {
    let mut answers: Vec<Answer> = Vec::new();
    let mut is_authority = false;
    for line in said.lines() {
        if let Some((_, header)) = line.split_once("->>HEADER<<-") {
            let (_, status) = header.split_once("status: ").unwrap();
            let (code, _) = status.split_once(',').unwrap();
            answers.push(Answer { code: code.to_owned(), ..Answer::default() });
        } else if line.starts_with(';') {
            is_authority = line.contains("AUTHORITY");
        } else if !line.is_empty() {
            let mut words: Vec<&str> = line.split_whitespace().collect();
            let ttl = words.remove(1).parse().unwrap();
            let mut record = words.join(" ");
            // The case of letters says nothing (RFC 4343), and unbound takes it from the question where it can.
            if !words.contains(&"TXT") {
                record.make_ascii_lowercase();
            }
            let answer = answers.last_mut().unwrap();
            let section = if is_authority { &mut answer.absence } else { &mut answer.records };
            let twice = section.insert(record, ttl);
            assert_eq!(twice, None, "{said}");
        }
    }
    answers
}

/// An unbound on the host, which has no network, with the zones that the resolver has.
fn unbound(host: &Host, folder: &Folder, names: &Names) -> Talker {
    let soa = |domain: &str| {
        let below = |label: &str| format!("{label}.{domain}.");
        let (server, person) = match domain {
            "" => ("a.root-servers.net.".to_owned(), "nstld.verisign-grs.com.".to_owned()),
            _ => (below("ns"), below("hostmaster")),
        };
        format!(
            "{domain}. 60 IN SOA {server} {person} 1 7200 900 1209600 60\n{domain}. 60 IN NS {server}\n"
        )
    };
    let whose = format!("{}{WHOSE}. 60 IN PTR four.example.\n", soa("in-addr.arpa"));
    let mut zones = vec![
        (format!("{ZONE}."), names.zone_file()),
        (".".to_owned(), soa("")),
        ("in-addr.arpa.".to_owned(), whose),
    ];
    for (domain, addresses) in HOSTS {
        let mut text = soa(domain);
        for address in addresses {
            let kind = if address.contains(':') { "AAAA" } else { "A" };
            let _ = writeln!(text, "{domain}. 60 IN {kind} {address}");
        }
        zones.push((format!("{domain}."), text));
    }
    let mut config = format!(
        "server:
  do-daemonize: no
  use-syslog: no
  verbosity: 0
  username: \"\"
  chroot: \"\"
  pidfile: \"\"
  directory: \"{folder}\"
  interface: 127.0.0.1@{PORT}
  num-threads: 1
  module-config: \"dns64 iterator\"
  dns64-prefix: 64:ff9b::/96
  unblock-lan-zones: yes
  local-zone: test. nodefault
  rrset-cache-size: 0
  msg-cache-size: 0
remote-control:
  control-enable: no
",
        folder = folder.0.display()
    );
    for (domain, text) in zones {
        let file = folder.file(&format!("zone.{domain}"), &text);
        let _ = writeln!(
            config,
            "auth-zone:\n  name: \"{domain}\"\n  zonefile: \"{}\"\n  for-upstream: yes\n  for-downstream: no\n  fallback-enabled: no",
            file.display()
        );
    }
    let config = folder.file("unbound.conf", &config);
    let mut command = host.command("unbound");
    let unbound = Talker::start(command.arg("-c").arg(config).stderr(Stdio::inherit()));
    wait_until("unbound answers", 10, || {
        let mut dig = host.command("dig");
        dig.args(["@127.0.0.1", "-p", PORT, "+tries=1", "+time=1", "six.example", "AAAA"]);
        output(&mut dig).out.contains("status: NOERROR")
    });
    unbound
}

/// Files of one test, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("hypertun-unbound-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
