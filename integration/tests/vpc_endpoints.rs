//! VPC endpoints as their users meet them: the names of services, real clients, and what it costs.

use integration::{File, Host, Talker, Up, output, topology};
use serde_json::Value;

const S3: &str = "http://s3.us-east-1.amazonaws.com:443/";
const SECRETS: &str = "http://secretsmanager.us-east-1.amazonaws.com:443/";

fn curl(url: &str) -> [&str; 5] {
    ["curl", "-sS", "-m", "5", url]
}

/// What `status` says of the only thing in a section: bytes and dollars.
fn bill(up: &Up<'_>, section: &str) -> (u64, f64) {
    let status = up.json("status");
    let it: &Value = &status[section][0];
    (it["bytes"].as_u64().expect("bytes are counted"), it["usd"].as_f64().expect("dollars"))
}

/// Connects to a host, and asks on that connection when it is told to.
const PATIENT: &str = r#"
import socket, sys
connection = socket.create_connection((sys.argv[1], 443), 5)
print("connected", flush=True)
sys.stdin.readline()
try:
    connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
    print(connection.makefile().read().split()[-1], flush=True)
except ConnectionError:
    print("reset", flush=True)
"#;

fn patient(up: &Up<'_>, member: &str, host: &str) -> Talker {
    let talker = Talker::start(up.exec(member, "python3").args(["-c", PATIENT, host]));
    assert_eq!(talker.hear(), "connected");
    talker
}

#[test]
fn s3_by_a_gateway_endpoint_passes_no_nat_gateway_and_costs_nothing() {
    let host = Host::start();
    let up = Up::start(&host, &topology("s3-gateway-endpoint.yaml"), "s3", &[]);
    assert_eq!(up.says("app", &curl(S3)), "10.0.1.10\n");
    assert_eq!(
        up.says("app", &curl("http://bucket.s3.us-east-1.amazonaws.com:443/")),
        "10.0.1.10\n"
    );
    assert_eq!(up.says("isolated", &curl(S3)), "10.0.3.10\n");
    let (bytes, usd) = bill(&up, "nat_gateways");
    assert_eq!((bytes, usd), (0, 0.045), "an hour that has begun");
    let (bytes, usd) = bill(&up, "vpc_endpoints");
    assert!(bytes > 500 && usd == 0.0, "{bytes} {usd}");
    // Without it in the route table, it is the NAT gateway's way, and price.
    assert_eq!(up.says("other", &curl(S3)), "198.51.100.10\n");
    up.advance("3600s");
    let (bytes, usd) = bill(&up, "nat_gateways");
    #[expect(clippy::cast_precision_loss, reason = "some hundred bytes")]
    let expected = 2.0 * 0.045 + 0.045 * bytes as f64 / f64::from(1 << 30);
    assert!(bytes > 500 && (usd - expected).abs() < 1e-12, "{bytes} {usd}");
}

#[test]
fn a_gateway_endpoint_that_is_taken_away_cuts_what_flows() {
    let host = Host::start();
    let file = File::copy("s3-gateway-endpoint.yaml", "cut");
    let up = Up::start(&host, file.path(), "cut", &[]);
    let mut open = patient(&up, "app", "s3.us-east-1.amazonaws.com");
    file.write(&[("route_tables: [private, isolated]", "route_tables: [isolated]")]);
    let _ = file.apply(&up).success();
    open.say("go");
    assert_eq!(open.hear(), "reset");
    assert_eq!(up.says("app", &curl(S3)), "198.51.100.10\n");
}

#[test]
fn an_interface_endpoint_serves_a_vpc_that_has_only_local_routes() {
    let host = Host::start();
    let file = File::copy("interface-endpoint.yaml", "interface");
    let up = Up::start(&host, file.path(), "interface", &[]);
    // The service sees the endpoint.
    assert_eq!(up.says("app", &curl(SECRETS)), "10.0.1.4\n");
    let status = up.json("status");
    let name = status["vpc_endpoints"][0]["dns_name"].as_str().expect("it has a name");
    let zonal = name.replacen(".secretsmanager", "-us-east-1b.secretsmanager", 1);
    assert_eq!(up.says("app", &curl(&format!("http://{zonal}:443/"))), "10.0.2.4\n");
    assert_eq!(up.says("app", &curl(&format!("http://{name}:443/"))), "10.0.1.4\n");
    // Each zone's address comes first in turn.
    let told = || {
        let told = up.says("app", &["dig", "+short", name]);
        told.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let ([one, two], mut other) = ([told(), told()], told());
    other.swap(0, 1);
    assert!(one != two && two == other && one.contains(&two[0]), "{one:?} {two:?}");
    let (bytes, usd) = bill(&up, "vpc_endpoints");
    assert!(bytes > 1500 && usd > 0.02 && usd < 0.020_01, "two zones, {bytes} bytes: {usd}");
    // Other services have their public addresses, and no route leads there.
    assert_ne!(output(up.exec("app", "curl").args(["-m", "2", S3])).status, 0);

    let mut open = patient(&up, "app", "secretsmanager.us-east-1.amazonaws.com");
    file.write(&[(
        "{protocol: tcp, ports: 443, source: app}",
        "{protocol: tcp, ports: 80, source: app}",
    )]);
    let _ = file.apply(&up).success();
    assert_ne!(output(up.exec("app", "curl").args(["-m", "2", SECRETS])).status, 0);
    assert!(up.dropped("ENI_SG_RULES_MISMATCH") > 0);
    open.say("go");
    assert!(["10.0.1.4", "10.0.2.4"].contains(&open.hear().as_str()), "by either zone");
}

#[test]
fn workloads_without_a_way_out_reach_services_by_endpoints() {
    let host = Host::start();
    let up = Up::start(&host, &topology("app-runner-connector-endpoints.yaml"), "workloads", &[]);
    let status = up.json("status");
    let secrets = &status["vpc_endpoints"][1];
    // S3 sees who sends into the VPC; Secrets Manager the endpoint.
    assert_eq!(up.says("web", &curl(S3)), "10.0.1.4\n", "{status}");
    assert_eq!(secrets["private_ips"][0], "10.0.1.5", "{status}");
    assert_eq!(secrets["state"], "available", "{status}");
    let told = output(&mut up.hypertun(&["status"])).success();
    let (_, table) = told.split_once("VPC ENDPOINT").expect("a table of endpoints");
    assert_eq!(table.matches("available").count(), 2, "{told}");
    for member in ["web", "orders"] {
        assert_eq!(up.says(member, &curl(SECRETS)), "10.0.1.5\n", "{member}");
    }
    let tried = |member: &str, url: &str| {
        output(up.exec(member, "curl").args(["-sS", "-m", "2", url])).status
    };
    for (member, url) in [("orders", S3), ("web", "http://203.0.113.80/")] {
        assert_eq!(tried(member, url), 28, "{member} to {url}: curl's time is over");
    }
    assert_eq!(
        up.dropped("NO_ROUTE_TO_DESTINATION"),
        up.json("status")["packets_dropped"].as_u64().unwrap_or(0)
    );
}

#[test]
fn d8_s3_by_dns64_and_nat64_passes_the_nat_gateway_whatever_endpoint_there_is() {
    let host = Host::start();
    let up = Up::start(&host, &topology("s3-by-nat64.yaml"), "d8", &[]);
    assert_eq!(up.says("app", &["curl", "-4", "-sS", "-m", "5", S3]), "10.0.1.10\n");
    assert_eq!(bill(&up, "nat_gateways").0, 0);
    assert_eq!(up.says("app", &["curl", "-6", "-sS", "-m", "5", S3]), "198.51.100.10\n");
    assert!(bill(&up, "nat_gateways").0 > 500);
}
