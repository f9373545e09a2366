//! What every interface reaches at its own link: the resolver, the instance metadata service and Time Sync, as dig,
//! botocore, curl and ntpdig see them, whatever groups and routes say and whatever is thrown at them.
#![expect(clippy::unwrap_used, reason = "a test says by a panic that its promise is broken")]

use std::fs;

use integration::{File, Host, Output, Talker, Up, output, topology};
use serde_json::Value;

const EXAMPLE: &str = "dns.yaml";
const METADATA: &str = "http://169.254.169.254/latest";
const TOKEN: &str = "X-aws-ec2-metadata-token";
const TOKEN_TTL: &str = "X-aws-ec2-metadata-token-ttl-seconds";

fn tried(up: &Up<'_>, member: &str, command: &[&str]) -> Output {
    output(up.exec(member, command[0]).args(&command[1..]))
}

/// Output of a program of Debian's Python, which has botocore.
fn python(up: &Up<'_>, member: &str, program: &str, arguments: &[&str]) -> String {
    up.says(member, &[&["/usr/bin/python3", "-c", program], arguments].concat()).trim().to_owned()
}

/// A token for IMDSv2 that holds for so many seconds.
fn token(up: &Up<'_>, member: &str, seconds: u32) -> String {
    let ttl = format!("{TOKEN_TTL}: {seconds}");
    let url = format!("{METADATA}/api/token");
    up.says(member, &["curl", "-sS", "-m", "5", "-X", "PUT", "-H", &ttl, &url])
}

/// Status and body of a `GET` below `latest`.
fn shown(up: &Up<'_>, member: &str, path: &str, token: Option<&str>) -> (String, String) {
    let (url, field) = (format!("{METADATA}/{path}"), format!("{TOKEN}: {}", token.unwrap_or("")));
    let curl = ["curl", "-sS", "-m", "5", "-w", "\n%{http_code}", &url];
    let field = ["-H", &field];
    let said =
        up.says(member, &[&curl[..], if token.is_some() { &field[..] } else { &[] }].concat());
    let (body, status) = said.rsplit_once('\n').unwrap();
    (status.to_owned(), body.to_owned())
}

/// How far the time that `server` tells is before this machine's, in seconds.
fn ahead(up: &Up<'_>, member: &str, server: &str) -> f64 {
    let said = up.says(member, &["ntpdig", "-j", "-t", "5", server]);
    let said: Value = serde_json::from_str(said.trim()).unwrap_or_else(|_| panic!("{said}"));
    said["offset"].as_f64().unwrap_or_else(|| panic!("{said}"))
}

#[test]
fn s12_who_may_send_nothing_is_answered_at_his_link_and_nobody_remembers() {
    let host = Host::start();
    let up = Up::start(&host, &topology(EXAMPLE), "s12", &[]);
    for server in ["@10.0.0.2", "@169.254.169.253"] {
        for way in ["+notcp", "+tcp"] {
            let said = up.says("sealed", &["dig", server, way, "+short", "A", "web.corp.internal"]);
            assert_eq!(said, "10.0.0.10\n", "{server} {way}");
        }
    }
    let (status, body) = shown(&up, "sealed", "meta-data/local-ipv4", None);
    assert_eq!((&*status, &*body), ("200", "10.0.1.20"));
    assert!(ahead(&up, "sealed", "169.254.169.123").abs() < 1.0);
    // By IPv6 too, where there is any.
    let said = up.says("both", &["dig", "@fd00:ec2::253", "+short", "A", "web.corp.internal"]);
    assert_eq!(said, "10.0.0.10\n");
    assert!(ahead(&up, "both", "fd00:ec2::123").abs() < 1.0);
    assert_eq!(up.json("flows").to_string(), "[]");
    assert_eq!(up.json("drops").to_string(), "[]");
    let status = up.json("status");
    let interfaces = status["network_interfaces"].as_array().unwrap();
    assert_eq!(interfaces.len(), 5, "{status}");
    assert!(interfaces.iter().all(|it| it["tracked"] == 0), "{status}");
    // What it sends elsewhere is dropped as before.
    let said = tried(&up, "sealed", &["curl", "-s", "-m", "1", "http://checkip.amazonaws.com/"]);
    assert_eq!(said.status, 28, "{said:?}");
    assert!(up.dropped("ENI_SG_RULES_MISMATCH") > 0);
}

/// Sends queries as fast as it can; says how many were answered, and how many whole seconds went by.
const BURST: &str = r#"
import select, socket, sys, time
query = b"\0\1\1\0\0\1\0\0\0\0\0\0\3web\4corp\10internal\0\0\1\0\1"
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.setsockopt(socket.SOL_SOCKET, 33, 1 << 24) # SO_RCVBUFFORCE
client.connect(("10.0.0.2", 53))
answered, began = 0, time.monotonic()
for _ in range(int(sys.argv[1])):
    client.send(query)
while select.select([client], [], [], 1)[0]:
    client.recv(512)
    answered += 1
print(answered, int(time.monotonic() - began))
"#;

#[test]
fn s13_as_many_packets_a_second_as_aws_lets_through() {
    const SENT: u64 = 10_000;
    let host = Host::start();
    let file = File::copy(EXAMPLE, "s13");
    file.write(&[("\nvpcs:\n", "\nprofile: {link_local_packets_per_second: 1024}\nvpcs:\n")]);
    let up = Up::start(&host, file.path(), "s13", &[]);
    let said = python(&up, "app", BURST, &[&SENT.to_string()]);
    let (answered, took) = said.split_once(' ').unwrap();
    let (answered, took): (u64, u64) = (answered.parse().unwrap(), took.parse().unwrap());
    // A time of so long is part of two seconds of the clock more at most.
    let most = 1024 * (took + 2);
    let (dropped, unread) =
        (up.dropped("LINKLOCAL_ALLOWANCE_EXCEEDED"), up.dropped("WORKER_OVERRUN"));
    println!("{SENT} sent, {answered} answered in {took} s, {dropped} dropped, {unread} unread");
    assert!(answered > 0 && answered <= most, "{said}");
    assert!(dropped + unread >= SENT.saturating_sub(most), "{dropped} dropped: {said}");
    assert!(dropped > 0 && dropped <= SENT - 1024, "{dropped} dropped: {said}");
    // Others have their own, and the next second has its own.
    let dig =
        |member| up.says(member, &["dig", "+tries=5", "+time=1", "+short", "web.corp.internal"]);
    assert_eq!((dig("both"), dig("app")), ("10.0.0.10\n".into(), "10.0.0.10\n".into()));
}

/// What botocore finds out about where it runs.
const BOTOCORE: &str = r#"
import json
from botocore.session import Session
from botocore.utils import IMDSFetcher, InstanceMetadataRegionFetcher, IMDSRegionProvider
class Fetcher(IMDSFetcher):
    def document(self):
        token = self._fetch_metadata_token()
        answer = self._get_request("latest/dynamic/instance-identity/document", None, token)
        return json.loads(answer.text)
document = Fetcher().document()
print(InstanceMetadataRegionFetcher().retrieve_region(), IMDSRegionProvider(Session()).provide(),
      document["region"], document["availabilityZone"], document["privateIp"])
"#;

/// Gets a token and shows it; says how many hops each answer is to go.
const HOPS: &str = r#"
import http.client, socket
tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800)) # ETH_P_IP: what arrives
tap.setblocking(False)
def ask(*request):
    service = http.client.HTTPConnection("169.254.169.254", timeout=5)
    service.request(*request)
    said, hops = service.getresponse().read(), set()
    while True:
        try:
            packet = tap.recv(65535)
        except BlockingIOError:
            return said, sorted(hops)
        segment = packet[(packet[0] & 15) * 4:]
        if packet[12:16] == bytes([169, 254, 169, 254]) and segment[(segment[12] >> 4) * 4:]:
            hops.add(packet[8])
token, put = ask("PUT", "/latest/api/token", None, {"X-aws-ec2-metadata-token-ttl-seconds": "60"})
_, get = ask("GET", "/latest/meta-data/", None, {"X-aws-ec2-metadata-token": token.decode()})
print(put, get)
"#;

#[test]
fn the_metadata_service_is_that_which_sdks_expect() {
    let host = Host::start();
    let file = File::copy(EXAMPLE, "metadata");
    let with = |name: &str, options: &str| {
        (
            format!("  {name}:\n    subnet:"),
            format!("  {name}:\n    metadata_options: {options}\n    subnet:"),
        )
    };
    let changes = [
        with("app", "{http_tokens: required}"),
        with("sealed", "{http_put_response_hop_limit: 2, http_endpoint: enabled}"),
        with("both", "{http_protocol_ipv6: enabled}"),
        with("outsider", "{http_endpoint: disabled}"),
    ];
    file.write(&changes.each_ref().map(|(old, new)| (&**old, &**new)));
    let up = Up::start(&host, file.path(), "metadata", &[]);

    let said = python(&up, "app", BOTOCORE, &[]);
    assert_eq!(said, "us-east-1 us-east-1 us-east-1 us-east-1a 10.0.1.10");
    // IMDSv1 where tokens are required, and where they are not.
    assert_eq!(shown(&up, "app", "meta-data/", None).0, "401");
    assert_eq!(shown(&up, "sealed", "meta-data/", None).0, "200");
    assert_eq!(shown(&up, "outsider", "meta-data/", None).0, "403");
    let document = shown(&up, "sealed", "dynamic/instance-identity/document", None).1;
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!(
        (&document["region"], &document["privateIp"]),
        (&"us-east-1".into(), &"10.0.1.20".into())
    );

    let url = "http://[fd00:ec2::254]/latest/meta-data/ipv6";
    assert_eq!(up.says("both", &["curl", "-sS", "-m", "5", url]), "2600:1f18:1234:5602::10");

    assert_eq!(python(&up, "app", HOPS, &[]), "[1] [64]");
    assert_eq!(python(&up, "sealed", HOPS, &[]), "[2] [64]");

    // A token is one interface's, and holds as long as it was asked for, on the emulated clock.
    let given = token(&up, "app", 21_600);
    assert_eq!(shown(&up, "app", "meta-data/mac", Some(&given)).0, "200");
    assert_eq!(shown(&up, "sealed", "meta-data/mac", Some(&given)).0, "401");
    up.advance("5h59m");
    assert_eq!(shown(&up, "app", "meta-data/mac", Some(&given)).0, "200");
    up.advance("1m");
    assert_eq!(shown(&up, "app", "meta-data/mac", Some(&given)).0, "401");
    let again = token(&up, "app", 21_600);
    assert_eq!(shown(&up, "app", "meta-data/mac", Some(&again)).0, "200");
}

#[test]
fn time_sync_tells_emulated_time() {
    let host = Host::start();
    let up = Up::start(&host, &topology(EXAMPLE), "time", &[]);
    for hours in 0..2 {
        for (member, server) in [("app", "169.254.169.123"), ("both", "fd00:ec2::123")] {
            let ahead = ahead(&up, member, server) - 3600.0 * f64::from(hours);
            assert!(ahead.abs() < 2.0, "{member}, {hours} h later: {ahead}");
        }
        up.advance("1h");
    }
}

/// Sends so many datagrams to the resolver from source ports that no socket has: noise, and queries of which a part is
/// noise.
const JUNK: &str = r#"
import random, socket, struct, sys
noise = random.Random(7)
query = b"\0\1\1\0\0\1\0\0\0\0\0\0\3web\4corp\10internal\0\0\1\0\1"
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
raw.connect(("10.0.0.2", 0))
for turn in range(int(sys.argv[1])):
    if turn % 2:
        data = bytearray(query + noise.randbytes(noise.choice([0, 0, 9])))
        for _ in range(turn % 5):
            data[noise.randrange(len(data))] = noise.randrange(256)
    else:
        data = noise.randbytes(noise.randrange(600))
    raw.send(struct.pack("!HHHH", noise.randrange(1, 65536), 53, 8 + len(data), 0) + data)
"#;

/// Opens so many connections to the resolver, some of which begin to speak, and keeps them.
const MUTE: &str = r#"
import socket, sys
kept = [socket.create_connection(("10.0.0.2", 53), 5) for _ in range(int(sys.argv[1]))]
for at, one in enumerate(kept):
    one.send([b"", b"\0", b"\xff\xff" + bytes(100)][at % 3])
print("ready", flush=True)
sys.stdin.read()
"#;

#[test]
fn noise_and_silence_keep_nobody_from_being_answered() {
    let host = Host::start();
    let up = Up::start(&host, &topology(EXAMPLE), "noise", &[]);
    let answers = |when: &str| {
        for way in ["+notcp", "+tcp"] {
            let dig = ["dig", way, "+tries=5", "+time=2", "+short", "web.corp.internal"];
            assert_eq!(up.says("both", &dig), "10.0.0.10\n", "{way} {when}");
            let said = up.says("app", &dig);
            // Who makes the noise has spent his allowance on it: dig remarks on each try that is lost.
            let is_remark = |line: &&str| when == "in noise" && line.starts_with(";;");
            let said: Vec<&str> = said.lines().skip_while(is_remark).collect();
            assert_eq!(said, ["10.0.0.10"], "{way} {when}");
        }
    };
    let resident = || -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", up.pid)).unwrap();
        let (_, size) = status.split_once("VmRSS:").unwrap();
        size.split_whitespace().next().unwrap().parse().unwrap()
    };
    answers("before");
    let before = resident();
    let mute = Talker::start(up.exec("app", "python3").args(["-c", MUTE, "200"]));
    assert_eq!(mute.hear(), "ready");
    answers("beside 200 who do not speak");
    let mut noise = up.exec("app", "python3");
    let mut noise = noise.args(["-c", JUNK, "20000"]).spawn().unwrap();
    while noise.try_wait().unwrap().is_none() {
        answers("in noise");
    }
    assert!(noise.wait().unwrap().success());
    answers("after noise");
    let grown = resident().saturating_sub(before);
    println!("{before} KiB resident, and {grown} more");
    assert!(grown < 64 << 10, "{grown} KiB");
}
