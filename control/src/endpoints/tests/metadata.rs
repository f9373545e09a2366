//! The metadata service, as its clients see it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use smoltcp::socket::tcp::State;
use smoltcp::time::{Duration as NetDuration, Instant};

use super::client::Net;
use super::realm::{address, knowledge, serving};
use crate::endpoints::{MetadataOptions, Service, Surroundings};

const IMDS: [&str; 2] = ["169.254.169.254", "fd00:ec2::254"];
const WEB: &str = "10.0.0.5";
const DB: &str = "10.0.1.20";
const PUT: &str =
    "PUT /latest/api/token HTTP/1.1\r\nX-aws-ec2-metadata-token-ttl-seconds: 60\r\n\r\n";

fn net() -> (Net, Surroundings) {
    serving(Service::Metadata, &IMDS)
}

/// With these options for everybody in `main`.
fn net_with(options: MetadataOptions) -> Net {
    let (net, surroundings) = net();
    let mut knowledge = knowledge();
    knowledge.set_metadata_options(options);
    surroundings.knowledge.store(Arc::new(knowledge));
    net
}

/// What `from` is answered, at the service's address of its family.
fn asked(net: &mut Net, from: &str, request: &str) -> String {
    let from = address(from);
    let service = address(IMDS[usize::from(from.is_ipv6())]);
    let socket = net.client.connect_from(from, service, 80);
    net.settle();
    net.client.send(socket, request.as_bytes());
    net.settle();
    let mut response = net.client.read(socket);
    net.pass(NetDuration::from_millis(20));
    response += &net.client.read(socket);
    assert_eq!(net.client.state(socket), State::CloseWait, "{response}");
    net.client.socket(socket).close();
    net.settle();
    response
}

fn status(response: &str) -> &str {
    response.split(' ').nth(1).unwrap_or("none")
}

fn body(response: &str) -> &str {
    response.split_once("\r\n\r\n").unwrap().1
}

/// What stands at a path for `from`, who shows no token.
fn shown(net: &mut Net, from: &str, path: &str) -> String {
    let response = asked(net, from, &format!("GET {path} HTTP/1.1\r\n\r\n"));
    match status(&response) {
        "200" => body(&response).to_owned(),
        other => other.to_owned(),
    }
}

fn with_token(path: &str, token: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nX-aws-ec2-metadata-token: {token}\r\n\r\n")
}

#[test]
fn a_token_is_given_and_shown() {
    let mut net = net_with(MetadataOptions { tokens_required: true, ..Default::default() });
    let response = asked(&mut net, WEB, PUT);
    assert_eq!(status(&response), "200");
    assert!(response.contains("\r\nX-aws-ec2-metadata-token-ttl-seconds: 60\r\n"), "{response}");
    assert!(response.contains("\r\nContent-Type: text/plain\r\n"), "{response}");
    let token = body(&response);
    assert_eq!(token.len(), 56);

    let path = "/latest/meta-data/local-ipv4";
    let response = asked(&mut net, WEB, &with_token(path, token));
    assert_eq!((status(&response), body(&response)), ("200", WEB));
    let head = with_token(path, token).replace("GET", "HEAD");
    let response = asked(&mut net, WEB, &head);
    assert_eq!((status(&response), body(&response)), ("200", ""));
    assert!(response.contains("\r\nContent-Length: 8\r\n"), "{response}");

    assert_eq!(shown(&mut net, WEB, path), "401", "without one");
    assert_eq!(status(&asked(&mut net, WEB, &with_token(path, &token[1..]))), "401");
    assert_eq!(status(&asked(&mut net, DB, &with_token(path, token))), "401", "another's");
}

#[test]
fn a_token_ends_by_emulated_time() {
    let (mut net, surroundings) = net();
    let response = asked(&mut net, WEB, PUT);
    let request = with_token("/latest/meta-data/mac", body(&response));
    surroundings.clock.advance(Duration::from_millis(59_999));
    assert_eq!(status(&asked(&mut net, WEB, &request)), "200");
    surroundings.clock.advance(Duration::from_millis(1));
    assert_eq!(status(&asked(&mut net, WEB, &request)), "401", "though none is required");
    assert_ne!(shown(&mut net, WEB, "/latest/meta-data/mac"), "401");
}

#[test]
fn tokens_are_refused_for_other_times_and_by_way_of_proxies() {
    let (mut net, _) = net();
    let mut put = |fields: &str| {
        let request = format!("PUT /latest/api/token HTTP/1.1\r\n{fields}\r\n");
        status(&asked(&mut net, WEB, &request)).to_owned()
    };
    let ttl = "x-AWS-ec2-metadata-token-ttl-seconds: ";
    assert_eq!(put(""), "400");
    for (seconds, expected) in [
        ("0", "400"),
        ("1", "200"),
        ("21600", "200"),
        ("21601", "400"),
        ("-1", "400"),
        ("1h", "400"),
    ] {
        assert_eq!(put(&format!("{ttl}{seconds}\r\n")), expected, "{seconds}");
    }
    assert_eq!(put(&format!("{ttl}60\r\nX-Forwarded-For: 10.0.0.9\r\n")), "403");
    assert_eq!(put(&format!("{ttl}60\r\nx-forwarded-for:\r\n")), "403");
}

#[test]
fn methods_and_paths_that_are_none() {
    let (mut net, _) = net();
    let ttl = "X-aws-ec2-metadata-token-ttl-seconds: 60\r\n";
    for (line, expected) in [
        ("GET /latest/api/token", "405"),
        ("PUT /latest/meta-data/mac", "405"),
        ("PUT /2001-01-01/api/token", "404"),
        ("PUT /2021-03-23/api/token", "200"),
        ("POST /latest/api/token", "405"),
        ("DELETE /latest/meta-data/", "405"),
        ("GET /2001-01-01/meta-data/", "404"),
        ("GET /1.0/meta-data/", "200"),
        ("GET /latest/user-data", "404"),
        ("GET /latest/meta-data/iam/", "404"),
        ("GET /latest/meta-data/iam/security-credentials/", "404"),
        ("GET /latest/meta-data/tags/instance/", "404"),
        ("GET /latest/meta-data/nothing", "404"),
        ("GET http://169.254.169.254/latest/meta-data/mac?x=y", "200"),
    ] {
        let response = asked(&mut net, WEB, &format!("{line} HTTP/1.1\r\n{ttl}\r\n"));
        assert_eq!(status(&response), expected, "{line}");
        assert_eq!(response.contains("\r\nAllow: "), expected == "405", "{response}");
    }
    let response = asked(&mut net, "10.0.0.9", "GET /latest/meta-data/ HTTP/1.1\r\n\r\n");
    assert_eq!(status(&response), "503", "nobody's address");
    let response = asked(&mut net, "10.0.0.99", "GET /latest/meta-data/ HTTP/1.1\r\n\r\n");
    assert_eq!(status(&response), "503", "of another VPC");
}

/// The TTLs of the packets of the answer to `request`.
fn hop_limits(net: &mut Net, request: &str) -> Vec<u8> {
    let socket = net.client.connect_from(address(WEB), address(IMDS[0]), 80);
    net.settle();
    net.client.send(socket, request.as_bytes());
    net.client.turn(net.now);
    net.host.turn(net.now);
    let answers: Vec<Vec<u8>> = std::iter::from_fn(|| net.client.link.take()).collect();
    assert!(answers.concat().windows(15).any(|it| it == b"HTTP/1.1 200 OK"));
    answers.iter().map(|packet| packet[8]).collect()
}

#[test]
fn the_answer_to_a_put_goes_no_further_than_it_may() {
    let (mut net, _) = net();
    let get = "GET /latest/meta-data/mac HTTP/1.1\r\n\r\n";
    assert!(hop_limits(&mut net, PUT).iter().all(|&hops| hops == 1));
    assert!(hop_limits(&mut net, get).iter().all(|&hops| hops == 64));
    let mut net = net_with(MetadataOptions { put_response_hop_limit: 2, ..Default::default() });
    assert!(hop_limits(&mut net, PUT).iter().all(|&hops| hops == 2));
}

#[test]
fn options_turn_the_service_off() {
    let six = "2600:1f18:1234:5601::6";
    let path = "/latest/meta-data/instance-id";
    let (mut net, _) = net();
    let id = shown(&mut net, WEB, path);
    assert!(id.starts_with("i-0"), "{id}");
    // Whether packets of IPv6 get here is a matter of their way.
    assert_eq!(shown(&mut net, six, path), id, "the same instance");
    let mut net = net_with(MetadataOptions { endpoint: false, ..Default::default() });
    for from in [WEB, six] {
        assert_eq!(shown(&mut net, from, path), "403");
        assert_eq!(status(&asked(&mut net, from, PUT)), "403");
    }
}

#[test]
fn a_body_without_end_is_forgotten_until_the_time_is_up() {
    let (mut net, _) = net();
    let socket = net.client.connect(address(IMDS[0]), 80);
    net.settle();
    net.client
        .send(socket, PUT.replace("\r\n\r\n", "\r\nContent-Length: 1000000000\r\n\r\n").as_bytes());
    let mut sent = 0;
    net.until(|client| {
        sent += client.socket(socket).send_slice(&[b'x'; 4096]).unwrap_or(0);
        sent > 1 << 20
    });
    assert_eq!(status(&net.client.read(socket)), "200");
    while net.now < Instant::from_secs(61) {
        let _ = net.client.socket(socket).send_slice(b"x");
        net.pass(NetDuration::from_millis(500));
    }
    assert_eq!(net.client.state(socket), State::Closed);
    assert_eq!(net.host.connections(), 0);
}

#[test]
fn a_head_that_is_too_long_is_a_bad_request() {
    let (mut net, _) = net();
    let long = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(9000));
    assert_eq!(status(&asked(&mut net, WEB, &long)), "400");
    assert_eq!(status(&asked(&mut net, WEB, &format!("{}\r\n\r\n", &long[..8000]))), "200");
}

/// All paths below `directory` and what stands there; `NIC` for the directory of the interface.
fn walk(net: &mut Net, from: &str, directory: &str) -> Vec<(String, String)> {
    let mut leaves = Vec::new();
    for entry in shown(net, from, directory).lines() {
        let path = format!("{directory}{entry}");
        if entry.ends_with('/') {
            leaves.extend(walk(net, from, &path));
        } else {
            let value = shown(net, from, &path).replace('\n', " ");
            leaves.push((path, value));
        }
    }
    leaves
}

fn meta_data(net: &mut Net, from: &str) -> BTreeMap<String, String> {
    let mac = shown(net, from, "/latest/meta-data/mac");
    let nic = format!("network/interfaces/macs/{mac}");
    let leaves = walk(net, from, "/latest/meta-data/").into_iter();
    let below = |path: &str| path["/latest/meta-data/".len()..].replace(&nic, "NIC");
    leaves.map(|(path, value)| (below(&path), value)).collect()
}

#[test]
fn versions_and_directories_are_listed() {
    let (mut net, _) = net();
    let versions = shown(&mut net, WEB, "/");
    assert!(versions.ends_with("\n2021-03-23\nlatest"), "{versions}");
    for version in versions.lines() {
        assert_eq!(shown(&mut net, WEB, &format!("/{version}/")), "dynamic\nmeta-data");
        assert_eq!(shown(&mut net, WEB, &format!("/{version}")), "dynamic\nmeta-data");
    }
    assert_eq!(shown(&mut net, WEB, "/latest/dynamic/"), "instance-identity/");
    assert_eq!(shown(&mut net, WEB, "/latest/dynamic/instance-identity/"), "document");
}

/// What `web` is told. Ids and the MAC address never change, for people write them down.
const WEB_META_DATA: &str = "\
ami-id = ami-0abcdef1234567890
ami-launch-index = 0
hostname = ip-10-0-0-5.eu-west-1.compute.internal
instance-action = none
instance-id = i-04dec62eccdd6a087
instance-life-cycle = on-demand
instance-type = m5.large
ipv6 = 2600:1f18:1234:5601::5
local-hostname = ip-10-0-0-5.eu-west-1.compute.internal
local-ipv4 = 10.0.0.5
mac = 02:a9:c6:70:82:11
NIC/device-number = 0
NIC/interface-id = eni-0a1b9453a4c57d4c8
NIC/ipv4-associations/198.51.100.20 = 10.0.0.5
NIC/ipv6s = 2600:1f18:1234:5601::5 2600:1f18:1234:5601::6
NIC/local-hostname = ip-10-0-0-5.eu-west-1.compute.internal
NIC/local-ipv4s = 10.0.0.5
NIC/mac = 02:a9:c6:70:82:11
NIC/owner-id = 123456789012
NIC/public-hostname = ec2-198-51-100-20.eu-west-1.compute.amazonaws.com
NIC/public-ipv4s = 198.51.100.20
NIC/security-group-ids = sg-09a46e91bb70492e0 sg-03e7578c7fe878840
NIC/security-groups = web default
NIC/subnet-id = subnet-02eef6d11eeba8c97
NIC/subnet-ipv4-cidr-block = 10.0.0.0/24
NIC/subnet-ipv6-cidr-blocks = 2600:1f18:1234:5601::/64
NIC/vpc-id = vpc-075da9c69efc4cfac
NIC/vpc-ipv4-cidr-block = 10.0.0.0/16
NIC/vpc-ipv4-cidr-blocks = 10.0.0.0/16
NIC/vpc-ipv6-cidr-blocks = 2600:1f18:1234:5600::/56
placement/availability-zone = eu-west-1b
placement/region = eu-west-1
public-hostname = ec2-198-51-100-20.eu-west-1.compute.amazonaws.com
public-ipv4 = 198.51.100.20
reservation-id = r-0a392cb777daaeaf4
security-groups = web default
services/domain = amazonaws.com
services/partition = aws";

#[test]
fn an_instance_with_everything() {
    let (mut net, _) = net();
    let meta_data = meta_data(&mut net, WEB).into_iter();
    let lines: Vec<String> = meta_data.map(|(path, value)| format!("{path} = {value}")).collect();
    let mut expected: Vec<&str> = WEB_META_DATA.lines().collect();
    expected.sort_unstable();
    assert_eq!(lines, expected);
}

#[test]
fn what_an_instance_has_not_is_not_there() {
    let mut net = net_with(MetadataOptions { ipv6: true, ..Default::default() });
    let web = meta_data(&mut net, WEB);
    let lacks = |other: &BTreeMap<String, String>| -> Vec<String> {
        web.keys().filter(|path| !other.contains_key(*path)).cloned().collect()
    };
    let db = meta_data(&mut net, DB);
    let public = [
        "NIC/ipv4-associations/198.51.100.20",
        "NIC/ipv6s",
        "NIC/public-hostname",
        "NIC/public-ipv4s",
        "NIC/subnet-ipv6-cidr-blocks",
        "ipv6",
        "public-hostname",
        "public-ipv4",
    ];
    assert_eq!(lacks(&db), public);
    for name in ["public-ipv4", "public-hostname", "ipv6"] {
        assert_eq!(shown(&mut net, DB, &format!("/latest/meta-data/{name}")), "404");
    }

    let six = meta_data(&mut net, "2600:1f18:1234:5602::5");
    let ipv4 = [
        "NIC/ipv4-associations/198.51.100.20",
        "NIC/local-ipv4s",
        "NIC/public-hostname",
        "NIC/public-ipv4s",
        "NIC/subnet-ipv4-cidr-block",
        "local-ipv4",
        "public-hostname",
        "public-ipv4",
    ];
    assert_eq!(lacks(&six), ipv4);
    assert_eq!(six["hostname"], format!("{}.eu-west-1.compute.internal", six["instance-id"]));
}

#[test]
fn the_identity_document_is_that_of_aws() {
    let (mut net, _) = net();
    let document = shown(&mut net, WEB, "/latest/dynamic/instance-identity/document");
    let expected = r#"{
  "accountId": "123456789012",
  "architecture": "x86_64",
  "availabilityZone": "eu-west-1b",
  "billingProducts": null,
  "devpayProductCodes": null,
  "imageId": "ami-0abcdef1234567890",
  "instanceId": "i-04dec62eccdd6a087",
  "instanceType": "m5.large",
  "kernelId": null,
  "marketplaceProductCodes": null,
  "pendingTime": "1970-01-01T00:00:00Z",
  "privateIp": "10.0.0.5",
  "ramdiskId": null,
  "region": "eu-west-1",
  "version": "2017-09-30"
}"#;
    assert_eq!(document, expected);
}

#[test]
fn every_interface_is_an_instance_of_its_own() {
    let (mut net, _) = net();
    for name in ["mac", "instance-id", "reservation-id"] {
        let path = format!("/latest/meta-data/{name}");
        assert_ne!(shown(&mut net, WEB, &path), shown(&mut net, DB, &path), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is asked, the answer is one of those that AWS's pages name.
    #[test]
    fn no_request_panics(
        method in "GET|HEAD|PUT|POST|[A-Z]{1,8}",
        target in "/latest[!-~]{0,20}|/latest/meta-data/[!-~]{0,20}|[!-~]{1,20}|[^ \r\n]{1,10}",
        field in "X-aws-ec2-metadata-token(-ttl-seconds)?: [^\r\n]{0,60}",
    ) {
        let (mut net, _) = net();
        let request = format!("{method} {target} HTTP/1.1\r\n{field}\r\n\r\n");
        let response = asked(&mut net, WEB, &request);
        prop_assert!(["200", "400", "401", "403", "404", "405"].contains(&status(&response)), "{response}");
    }
}
