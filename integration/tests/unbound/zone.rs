//! Which names does a zone have that shows every way to be found or not to be?

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::{Value, json};

/// The private zone.
pub(crate) const ZONE: &str = "corp.internal";

/// Hosts of the internet: by IPv4 alone, by IPv6 alone, by both.
pub(crate) const HOSTS: [(&str, &[&str]); 3] = [
    ("four.example", &["203.0.113.4", "203.0.113.5"]),
    ("six.example", &["2001:db8:6::6"]),
    ("both.example", &["203.0.113.46", "2001:db8:46::46"]),
];

/// The name of an address of `four.example`, and the one of what that is by NAT64.
pub(crate) const WHOSE: &str = "4.113.0.203.in-addr.arpa";
pub(crate) const WHOSE_MADE: &str =
    "4.0.1.7.0.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.b.9.f.f.4.6.0.0.ip6.arpa";

/// A name behind twelve others, which is not asked for with the rest.
pub(crate) const LONG: &str = "long";

/// How many names are made up.
const COUNT: u32 = 200;

const SEED: u64 = 0x5eed_0000_0000_0035;

/// All records of one name and type.
struct Set {
    name: String,
    kind: &'static str,
    ttl: u32,
    data: Vec<String>,
}

/// Numbers that are the same in each run (Steele, Lea and Flood, "Fast splittable pseudorandom number generators").
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % limit as u64).unwrap()
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// Private (RFC 1918) or public.
    fn v4(&mut self) -> String {
        let first = self.one(&[[10, 0], [172, 16], [192, 168], [203, 0], [198, 51]]);
        let [third, fourth] = [(); 2].map(|()| u8::try_from(self.below(256)).unwrap());
        Ipv4Addr::new(first[0], first[1], third, fourth).to_string()
    }

    fn v6(&mut self) -> String {
        let host = u16::try_from(self.below(0x1_0000)).unwrap();
        Ipv6Addr::new(0x2001, 0xdb8, 0, self.one(&[0, 7]), 0, 0, 0, host).to_string()
    }
}

/// A private zone, and names to ask for.
pub(crate) struct Names {
    random: Random,
    sets: Vec<Set>,
    /// Those to ask for: of the zone, of hosts, and of nobody.
    pub(crate) asked: Vec<String>,
}

impl Names {
    /// The same each time.
    pub(crate) fn generate() -> Self {
        let mut names = Self { random: Random(SEED), sets: Vec::new(), asked: Vec::new() };
        for number in 0..COUNT {
            names.invent(number);
        }
        let last = names.chain(LONG, 12);
        names.addresses(&last, 1, 0);
        for absent in ["absent", "a.b.absent", "*", "_x._tcp", "n1.n0"] {
            names.ask(absent);
        }
        for (host, _) in HOSTS {
            names.asked.extend([host.to_owned(), format!("absent.{host}")]);
        }
        names.asked.extend([WHOSE, "4.4.4.4.in-addr.arpa"].map(ToOwned::to_owned));
        names.asked.extend(["absent.test".to_owned(), "example".to_owned()]);
        names
    }

    /// A name of one of the kinds that there are, and what belongs to it.
    fn invent(&mut self, number: u32) {
        let name = match number % 7 {
            0 => format!("N{number}"),
            _ => format!("n{number}"),
        };
        let below = |label: &str| format!("{label}.{name}");
        self.ask(&name);
        match number % 16 {
            0 => self.addresses(&name, 1, 0),
            1 => self.addresses(&name, 0, 1),
            2 => self.addresses(&name, 1, 1),
            3 => self.addresses(&name, 4, 0),
            4 => {
                let earlier = self.random.below(number as usize);
                self.alias(&name, &format!("n{earlier}.{ZONE}"));
            }
            5 => {
                let (host, _) = self.random.one(&HOSTS);
                self.alias(&name, host);
            }
            6 => {
                let nowhere = ["absent.corp.internal", "absent.four.example", "absent.test"];
                let target = self.random.one(&nowhere);
                self.alias(&name, target);
            }
            7 => {
                self.alias(&name, &format!("back.{name}.{ZONE}"));
                self.alias(&below("back"), &format!("{name}.{ZONE}"));
            }
            8 => self.wildcard(number, &name),
            9 => {
                self.addresses(&below("a.b"), 1, 0);
                ["b", "a.b", "c", "c.a.b"].iter().for_each(|label| self.ask(&below(label)));
            }
            10 => {
                let [first, second] = [10, 20].map(|it| format!("{it} mail{it}.{ZONE}."));
                self.add(&name, "MX", vec![first, second]);
            }
            11 => {
                let target = format!("0 5 {number} n0.{ZONE}.");
                self.add(&below("_http._tcp"), "SRV", vec![target]);
                ["_tcp", "_http._tcp"].iter().for_each(|label| self.ask(&below(label)));
            }
            12 => {
                let long = "x".repeat(255);
                let texts = [r#""one string""#, r#""two" "strings""#, r#""a \"quote\"; a \\""#];
                let text = self.random.one(&texts).to_owned();
                self.add(&name, "TXT", vec![text, format!("\"{long}\" \"{number}\"")]);
                self.addresses(&name, 1, 0);
            }
            13 => self.add(&name, "PTR", vec![format!("n{number}.example.")]),
            14 => {
                // Up to eleven names, which end with an address or with nothing.
                let length = 1 + number / 16 % 11;
                let last = self.chain(&name, length);
                let ends = [(1, 0), (0, 1), (0, 0)];
                let (fours, sixes) = self.random.one(&ends);
                self.addresses(&last, fours, sixes);
            }
            _ => {
                self.addresses(&name, 2, 0);
                self.add(&name, "CAA", vec!["0 issue \"amazon.com\"".to_owned()]);
                self.ask(&below("no-child"));
            }
        }
    }

    /// `*` below a name, and a name beside it.
    fn wildcard(&mut self, number: u32, name: &str) {
        let star = format!("*.{name}");
        match number / 16 % 4 {
            0 => self.addresses(&star, 1, 0),
            1 => self.addresses(&star, 1, 1),
            2 => self.alias(&star, "four.example"),
            _ => self.add(&star, "TXT", vec!["\"for all\"".to_owned()]),
        }
        self.add(&format!("there.{name}"), "TXT", vec!["\"here\"".to_owned()]);
        for label in ["x", "x.y", "X", "there", "x.there", "*", "x.*"] {
            self.ask(&format!("{label}.{name}"));
        }
    }

    /// Names of which each means the next; the last one means nothing yet.
    fn chain(&mut self, name: &str, length: u32) -> String {
        let step = |number| format!("s{number}.{name}");
        self.alias(name, &whole(&step(1)));
        for number in 1..length {
            self.alias(&step(number), &whole(&step(number + 1)));
        }
        step(length)
    }

    fn addresses(&mut self, name: &str, fours: usize, sixes: usize) {
        let v4 = (0..fours).map(|_| self.random.v4()).collect();
        self.add(name, "A", v4);
        let v6 = (0..sixes).map(|_| self.random.v6()).collect();
        self.add(name, "AAAA", v6);
    }

    fn alias(&mut self, name: &str, target: &str) {
        self.add(name, "CNAME", vec![format!("{target}.")]);
    }

    fn add(&mut self, name: &str, kind: &'static str, data: Vec<String>) {
        let ttl = self.random.one(&[0, 1, 60, 300, 599, 600, 601, 899, 901, 3600, 86_400]);
        if !data.is_empty() {
            self.sets.push(Set { name: whole(name), kind, ttl, data });
        }
    }

    fn ask(&mut self, name: &str) {
        self.asked.push(whole(name));
    }

    /// The zone as unbound reads it, with the SOA and the NS of Route 53.
    pub(crate) fn zone_file(&self) -> String {
        let mut text = format!(
            "{ZONE}. 900 IN SOA ns-1536.awsdns-00.co.uk. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400\n\
             {ZONE}. 172800 IN NS ns-1536.awsdns-00.co.uk.\n"
        );
        for Set { name, kind, ttl, data } in &self.sets {
            for data in data {
                let _ = writeln!(text, "{name}. {ttl} IN {kind} {data}");
            }
        }
        text
    }

    /// A VPC whose subnet has DNS64, with the zone and the hosts; `app` asks.
    pub(crate) fn topology(&self) -> Value {
        let records = self.sets.iter().enumerate().map(|(at, Set { name, kind, ttl, data })| {
            // Names may be written whole, or without the zone's.
            let name = match at % 2 {
                0 => name.as_str(),
                _ => name.strip_suffix(ZONE).unwrap().trim_end_matches('.'),
            };
            json!({"name": name, "type": kind, "ttl": ttl, "records": data})
        });
        let hosts = HOSTS.iter().map(|(host, addresses)| {
            ((*host).to_owned(), json!({"addresses": addresses, "serves": ["echo"]}))
        });
        json!({
            "vpcs": {"main": {
                "cidr_block": "10.0.0.0/16",
                "ipv6_cidr_block": "2600:1f18:1234:5600::/56",
                "enable_dns_hostnames": true,
            }},
            "internet_gateways": {"igw": {"vpc": "main"}},
            "subnets": {
                "public": {"vpc": "main", "cidr_block": "10.0.0.0/24", "route_table": "public"},
                "dual": {
                    "vpc": "main",
                    "cidr_block": "10.0.1.0/24",
                    "ipv6_cidr_block": "2600:1f18:1234:5601::/64",
                    "route_table": "private",
                    "enable_dns64": true,
                },
            },
            "route_tables": {
                "public": {"vpc": "main", "routes": [{"destination": "0.0.0.0/0", "target": "igw"}]},
                "private": {"vpc": "main", "routes": [{"destination": "64:ff9b::/96", "target": "nat"}]},
            },
            "nat_gateways": {"nat": {"subnet": "public"}},
            "network_interfaces": {"app": {
                "subnet": "dual",
                "ipv6_addresses": ["2600:1f18:1234:5601::10"],
            }},
            "private_hosted_zones": {ZONE: {"vpcs": ["main"], "records": records.collect::<Vec<_>>()}},
            "internet": {"hosts": hosts.collect::<serde_json::Map<_, _>>()},
        })
    }
}

fn whole(name: &str) -> String {
    if name.ends_with(ZONE) { name.to_owned() } else { format!("{name}.{ZONE}") }
}
