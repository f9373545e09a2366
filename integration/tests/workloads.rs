//! Workloads outside the VPC, as their users meet them: App Runner services and Lambda functions that send into it by shared
//! Hyperplane ENIs, and the mistakes that are made on the way to the internet.
#![expect(clippy::unwrap_used, reason = "a test says by a panic that its promise is broken")]

use std::collections::BTreeSet;
use std::time::Duration;

use integration::{File, Host, Output, Talker, Up, output, topology};
use serde_json::Value;

const CONNECTOR: &str = "app-runner-connector.yaml";
/// Of the Hyperplane ENI, of the database, and of the NAT gateway.
const ENI: &str = "10.0.1.4";
const DB: &str = "10.0.2.20";
const GATEWAY: &str = "198.51.100.10";
/// Of workloads in public mode.
const PROVIDER: &str = "192.0.2.254";
const CHECKIP: &str = "http://checkip.amazonaws.com/";
const CHECKIP_ADDRESS: &str = "203.0.113.80";

/// Has the example's database listen where `who.py` does.
const BY_HTTP: (&str, &str) = ("ports: 5432", "ports: 80");

const WHO: &str = include_str!("who.py");

/// A server in `member` that answers with the address of who asks.
fn who(up: &Up<'_>, member: &str) -> Talker {
    let who = Talker::start(up.exec(member, "python3").args(["-c", WHO, "0.0.0.0"]));
    assert_eq!(who.hear(), "ready");
    who
}

fn tried(up: &Up<'_>, member: &str, url: &str) -> Output {
    output(up.exec(member, "curl").args(["-sS", "-m", "2", url]))
}

/// What `curl` gets in `member`, which must be something.
fn curl(up: &Up<'_>, member: &str, url: &str) -> String {
    up.says(member, &["curl", "-sS", "-m", "5", url]).trim().to_owned()
}

/// That nothing comes back, neither an answer nor a refusal, and that it was for `reason`.
fn silent(up: &Up<'_>, member: &str, url: &str, reason: &str) {
    let before = up.dropped(reason);
    let said = tried(up, member, url);
    assert_eq!(said.status, 28, "curl: operation timed out: {said:?}");
    assert!(up.dropped(reason) > before, "{}", up.json("drops"));
}

/// What `explain` says of TCP to `to`.
fn explained(host: &Host, file: &File, from: &str, to: &str, port: &str) -> Value {
    let path = file.path().to_string_lossy().into_owned();
    let question = ["--from", from, "--to", to, "--port", port];
    let said = host.run(&[&["explain", &path, "--json"], &question[..]].concat());
    serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{said:?}"))
}

/// Where a walk ends, as `drops` has it.
fn last(walked: &Value) -> (String, String) {
    let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
    let hops = walked["hops"].as_array().unwrap();
    (text(&walked["reason"]), text(&hops.last().unwrap()["component"]))
}

#[test]
fn many_instances_of_two_services_have_one_address_in_the_vpc() {
    for workers in ["1", "4"] {
        let host = Host::start();
        let file = File::copy(CONNECTOR, &format!("workloads-shared-{workers}"));
        file.write(&[
            BY_HTTP,
            ("vpc_connector: shared, instances: 2}", "vpc_connector: shared, instances: 50}"),
            ("jobs: {egress_type: VPC, ", "jobs: {instances: 50, egress_type: VPC, "),
        ]);
        let up = Up::start(&host, file.path(), "shared", &["--workers", workers]);
        let _who = who(&up, "db");
        let instances = ["web", "jobs"].into_iter();
        let instances = instances.flat_map(|name| (0..50).map(move |it| format!("{name}/{it}")));
        let url = format!("http://{DB}/");
        let seen: BTreeSet<String> = instances.map(|it| curl(&up, &it, &url)).collect();
        assert_eq!(seen, BTreeSet::from([ENI.to_owned()]), "{workers} workers");
        // Nor does the internet see more.
        for member in ["web/49", "jobs/0"] {
            assert_eq!(curl(&up, member, CHECKIP), GATEWAY, "{member}, {workers} workers");
        }
        assert_eq!(up.json("drops").to_string(), "[]", "{workers} workers");
    }
}

#[test]
fn nobody_gets_in_whatever_the_groups_say() {
    let host = Host::start();
    let file = File::copy(CONNECTOR, "workloads-in");
    let open =
        "  connector:\n    vpc: main\n    ingress:\n      - {protocol: all, source: 0.0.0.0/0}\n";
    for groups in ["  connector:\n    vpc: main\n", open] {
        file.write(&[BY_HTTP, ("  connector:\n    vpc: main\n", groups)]);
        let up = Up::start(&host, file.path(), "in", &[]);
        let _who = who(&up, "db");
        let _listens = who(&up, "web");
        assert_eq!(curl(&up, "web", &format!("http://{DB}/")), ENI);
        silent(&up, "db", &format!("http://{ENI}/"), "NAT_UNSOLICITED");
        // Nor do they hear of each other, or of themselves.
        let web = up.says("web", &["hostname", "-I"]);
        for (member, address) in [("jobs", ENI), ("jobs", web.trim()), ("hello", web.trim())] {
            let said = tried(&up, member, &format!("http://{address}/"));
            assert_eq!(said.status, 28, "curl: operation timed out: {said:?}");
        }
    }
    let walked = explained(&host, &file, "db", ENI, "80");
    assert_eq!(walked["reason"], "NAT_UNSOLICITED", "{walked}");
    assert!(walked["advice"].as_str().unwrap().contains("let the workload begin"), "{walked}");
}

#[test]
fn dual_stack_workloads_send_ipv6_under_the_address_of_the_eni_that_they_share() {
    let host = Host::start();
    let up = Up::start(&host, &topology("app-runner-connector-dual-stack.yaml"), "dual", &[]);
    let said = |member: &str, family: &str| {
        up.says(member, &["curl", family, "-sS", "-m", "5", CHECKIP]).trim().to_owned()
    };
    assert_eq!(said("web", "-6"), "2600:1f18:1234:5601::4");
    assert_eq!(said("web", "-4"), GATEWAY);
    assert_eq!(said("orders", "-6"), "2600:1f18:1234:5601::5");
    assert_eq!(said("old", "-4"), GATEWAY);
    // `status` tells of both families, in JSON and in words.
    let status = up.json("status");
    let addresses = |kind: &str, name: &str| {
        let all = status[kind].as_array().unwrap().iter();
        all.clone().find(|it| it["name"] == name).unwrap()["ipv6_addresses"].clone()
    };
    let eni = addresses("hyperplane_enis", "app-runner/private-a/workloads");
    assert_eq!(eni.to_string(), r#"["2600:1f18:1234:5601::4"]"#, "{status}");
    assert_eq!(addresses("network_interfaces", "web/0")[0], "fd64::4", "{status}");
    assert_eq!(addresses("network_interfaces", "old/0").to_string(), "[]", "{status}");
    let told = output(&mut up.hypertun(&["status"])).success();
    for heading in ["\nNETWORK INTERFACE ", "\nHYPERPLANE ENI "] {
        let (_, table) = told.split_once(heading).unwrap();
        assert!(table.lines().next().unwrap().contains("IPV6 ADDRESSES"), "{told}");
    }
    assert!(told.contains("2600:1f18:1234:5601::4") && told.contains("fd64::4"), "{told}");
    let none = output(up.exec("old", "curl").args(["-6", "-sS", "-m", "2", CHECKIP]));
    assert_eq!(none.status, 7, "curl: could not connect, for there is no address: {none:?}");
    let ping = ["ping", "-6", "-c", "2", "-i", "0.2", "-W", "2", "2001:db8:80::80"];
    assert!(up.says("web", &ping).contains("2 received"));
    assert_eq!(up.json("drops").to_string(), "[]");
    // Nobody gets in, from the VPC neither.
    let into = ["-6", "-sS", "-m", "2", "http://[2600:1f18:1234:5601::4]/"];
    assert_eq!(output(up.exec("db", "curl").args(into)).status, 28);
    assert!(up.dropped("NAT_UNSOLICITED") > 0);
}

#[test]
fn public_mode_reaches_the_internet_and_nothing_in_a_vpc() {
    let host = Host::start();
    let file = File::copy(CONNECTOR, "workloads-public");
    let zone = "private_hosted_zones:\n  corp.internal:\n    vpcs: [main]\n    records:\n      \
                - {name: db, type: A, records: [10.0.2.20]}\n\ninternet:\n";
    file.write(&[
        BY_HTTP,
        ("{cidr_block: 10.0.0.0/16}", "{cidr_block: 10.0.0.0/16, enable_dns_hostnames: true}"),
        ("internet:\n", zone),
    ]);
    let up = Up::start(&host, file.path(), "public", &[]);
    let _who = who(&up, "db");
    let _partner = who(&up, "partner.example");
    for (member, seen) in [("hello", PROVIDER), ("web/1", GATEWAY)] {
        assert_eq!(curl(&up, member, CHECKIP), seen, "{member}");
        assert_eq!(curl(&up, member, "http://partner.example/"), seen, "{member}");
    }
    let said = tried(&up, "hello", &format!("http://{DB}/"));
    assert_eq!(said.status, 28, "curl: operation timed out: {said:?}");
    let dropped = last(&explained(&host, &file, "hello", DB, "80"));
    assert!(up.dropped(&dropped.0) > 0, "{dropped:?}: {}", up.json("drops"));

    // The VPC's names are for who sends into it.
    for member in ["web", "jobs"] {
        assert_eq!(curl(&up, member, "http://db.corp.internal/"), ENI, "{member}");
    }
    let said = tried(&up, "hello", "http://db.corp.internal/");
    assert_eq!(said.status, 6, "curl: could not resolve host: {said:?}");
}

#[test]
fn a_known_combination_of_groups_is_there_at_once_and_another_is_made_first() {
    let host = Host::start();
    let file = File::copy(CONNECTOR, "workloads-pending");
    file.write(&[BY_HTTP]);
    let up = Up::start(&host, file.path(), "pending", &[]);
    let _who = who(&up, "db");
    let url = format!("http://{DB}/");
    let hello = "  hello: {egress_type: DEFAULT}\n";
    let shared = "  shared: {subnets: [private-a], security_groups: [connector]}\n";
    let connectors = format!(
        "{shared}  alike: {{subnets: [private-a], security_groups: [connector]}}\n  \
         other: {{subnets: [private-a], security_groups: [db, connector]}}\n"
    );
    let services = format!(
        "{hello}  late: {{egress_type: VPC, vpc_connector: shared}}\n  \
         like: {{egress_type: VPC, vpc_connector: alike}}\n  \
         new: {{egress_type: VPC, vpc_connector: other}}\n"
    );
    file.write(&[BY_HTTP, (shared, &connectors), (hello, &services)]);
    let _ = file.apply(&up).success();
    for member in ["late", "like"] {
        assert_eq!(curl(&up, member, &url), ENI, "{member}");
    }
    silent(&up, "new", &url, "HYPERPLANE_ENI_PENDING");
    up.advance("170s");
    silent(&up, "new", &url, "HYPERPLANE_ENI_PENDING");
    up.advance("10s");
    let seen = curl(&up, "new", &url);
    assert!(seen.starts_with("10.0.1.") && seen != ENI, "{seen}");

    // Groups in another order are the same groups.
    let turned = connectors.replace("[db, connector]", "[connector, db]");
    file.write(&[BY_HTTP, (shared, &turned), (hello, &services)]);
    let _ = file.apply(&up).success();
    assert_eq!(curl(&up, "new", &url), seen);
}

/// Connects, waits for a line, sends one, and says how that ends: a segment that nobody acknowledges gives up after 3 s.
const QUIET: &str = "import errno, socket, sys
client = socket.create_connection((sys.argv[1], 80), 5)
client.settimeout(None)
client.setsockopt(socket.IPPROTO_TCP, 18, 3000) # TCP_USER_TIMEOUT
print('connected', flush=True)
for line in sys.stdin:
    try:
        client.sendall(line.encode())
        print('got', client.recv(100).decode().strip(), flush=True)
    except OSError as error:
        print(errno.errorcode[error.errno], flush=True)";

#[test]
fn after_351_s_of_silence_a_connection_is_forgotten_and_nobody_is_told() {
    let host = Host::start();
    let file = File::copy(CONNECTOR, "workloads-idle");
    file.write(&[BY_HTTP]);
    let up = Up::start(&host, file.path(), "idle", &[]);
    let mut server = up.talker("db", &["dialogue", "listen", "80"]);
    assert_eq!(server.hear(), "ready");
    let mut client = Talker::start(up.exec("web", "python3").args(["-c", QUIET, DB]));
    assert_eq!((client.hear(), server.hear()), ("connected".into(), "connected".into()));
    let mut talk = |client: &mut Talker, line: &str| {
        client.say(line);
        assert_eq!(server.hear(), format!("got {line}"));
        server.say(line);
        assert_eq!(client.hear(), format!("got {line}"));
    };
    talk(&mut client, "one");
    up.advance("349s");
    talk(&mut client, "two");
    up.advance("351s");
    client.say("three");
    assert_eq!(client.hear(), "ETIMEDOUT");
    assert!(up.dropped("HYPERPLANE_IDLE_TIMEOUT") > 0, "{}", up.json("drops"));
    // Nor does the other end hear of it.
    server.say("anybody?");
    assert_eq!(server.hear_within(Duration::from_secs(1)), None);
    assert!(up.dropped("NAT_UNSOLICITED") > 0, "{}", up.json("drops"));
}

const PRIVATE: &str =
    "  private:\n    vpc: main\n    routes:\n      - {destination: 0.0.0.0/0, target: nat-a}\n";
const PUBLIC: &str =
    "  public:\n    vpc: main\n    routes:\n      - {destination: 0.0.0.0/0, target: igw}\n";

#[test]
fn each_step_to_the_internet_that_is_missing_has_a_reason_of_its_own() {
    let host = Host::start();
    let file = File::copy(CONNECTOR, "workloads-steps");
    let up = Up::start(&host, file.path(), "steps", &[]);
    let without =
        |table: &str| table.lines().take(2).map(|it| format!("{it}\n")).collect::<String>();
    let (private, public) = (without(PRIVATE), without(PUBLIC));
    let gone = PUBLIC.replace("target: igw", "target: blackhole");
    for (step, replaced, reason, component) in [
        (
            "no NAT gateway",
            &[(PRIVATE, &*private)][..],
            "NO_ROUTE_TO_DESTINATION",
            "route-table:private",
        ),
        (
            "its subnet leads nowhere",
            &[(PUBLIC, &*public)],
            "NO_ROUTE_TO_DESTINATION",
            "route-table:public",
        ),
        (
            "its subnet's route leads to what is gone",
            &[(PUBLIC, &*gone)],
            "BAD_STATE_ROUTE",
            "route-table:public",
        ),
        (
            "it is in the subnet that it is for",
            &[("    subnet: public-a\n    private_ip: 10.0.0.220\n", "    subnet: private-a\n")],
            "FORWARDING_LOOP",
            "route-table:private",
        ),
        (
            "an internet gateway instead of it",
            &[("target: nat-a", "target: igw")],
            "IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS",
            "internet-gateway:igw",
        ),
    ] {
        file.write(replaced);
        let said = last(&explained(&host, &file, "web", CHECKIP_ADDRESS, "80"));
        assert_eq!(said, (reason.to_owned(), component.to_owned()), "{step}");
        let _ = file.apply(&up).success();
        silent(&up, "web", CHECKIP, reason);
        let drops = up.json("drops");
        let mut drops = drops.as_array().unwrap().iter();
        let here = |it: &Value| it["reason"] == reason && it["component"] == component;
        assert!(drops.any(here), "{step}: {}", up.json("drops"));
    }
    // A public NAT gateway needs an internet gateway, or is not made.
    let gateway = "internet_gateways:\n  igw: {vpc: main}\n\n";
    file.write(&[(gateway, ""), (PUBLIC, &public)]);
    let said = file.apply(&up);
    assert_eq!(said.status, 1, "{said:?}");
    assert!(said.err.contains("internet gateway"), "{said:?}");

    file.write(&[]);
    assert_eq!(explained(&host, &file, "web", CHECKIP_ADDRESS, "80")["verdict"], "delivered");
    let _ = file.apply(&up).success();
    assert_eq!(curl(&up, "web", CHECKIP), GATEWAY);
}

#[test]
fn functions_share_an_address_a_subnet_and_a_public_subnet_gives_none() {
    let host = Host::start();
    let file = File::copy("lambda-in-a-vpc.yaml", "workloads-lambda");
    file.write(&[BY_HTTP]);
    let up = Up::start(&host, file.path(), "lambda", &[]);
    let _who = who(&up, "db");
    let asked = |member| curl(&up, member, "http://10.0.1.20/");
    let (a, b) = (asked("orders/0"), asked("orders/1"));
    assert!(a.starts_with("10.0.1.") && b.starts_with("10.0.17."), "{a}, {b}");
    assert_eq!(asked("stock"), a);
    for (member, seen) in
        [("orders/0", "198.51.100.10"), ("orders/1", "198.51.100.11"), ("free", PROVIDER)]
    {
        assert_eq!(curl(&up, member, CHECKIP), seen, "{member}");
    }
    assert!(asked("stuck").starts_with("10.0.0."), "inside the VPC it is as others");
    silent(&up, "stuck", CHECKIP, "IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS");
}

#[test]
fn a_function_that_is_idle_for_14_days_has_to_wait() {
    let host = Host::start();
    let file = File::copy("lambda-in-a-vpc.yaml", "workloads-14-days");
    file.write(&[BY_HTTP]);
    let up = Up::start(&host, file.path(), "days", &[]);
    let _who = who(&up, "db");
    let state = || {
        let status = up.json("status");
        let workloads = status["workloads"].as_array().unwrap().clone();
        workloads.into_iter().find(|it| it["name"] == "orders").unwrap()["state"].clone()
    };
    let url = "http://10.0.1.20/";
    let seen = curl(&up, "orders/0", url);
    assert_eq!(state(), "Active");
    up.advance("1209601s");
    assert_eq!(state(), "Inactive");
    silent(&up, "orders/0", url, "HYPERPLANE_ENI_PENDING");
    assert_eq!(state(), "Pending");
    up.advance("180s");
    assert_eq!(curl(&up, "orders/0", url), seen);
}

#[test]
fn what_the_examples_of_mistakes_say_is_so() {
    let host = Host::start();
    for (example, reason) in [
        ("app-runner-connector-without-nat.yaml", "NO_ROUTE_TO_DESTINATION"),
        ("app-runner-connector-public-subnet.yaml", "IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS"),
    ] {
        let up = Up::start(&host, &topology(example), "mistake", &[]);
        silent(&up, "web", CHECKIP, reason);
    }
}
