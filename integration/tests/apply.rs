//! Another topology for a running instance: wholly or not at all, and no packet pays for it.
#![expect(clippy::unwrap_used, reason = "a test says by a panic that its promise is broken")]

use std::process::Stdio;
use std::time::Duration;

use integration::{File, Host, Talker, Up, output, peer, signal, wait_until};
use rustix::process::Signal;
use serde_json::{Value, json};

const PARTNER: &str = "203.0.113.90";

/// An iperf3 server in `partner.example` for one client.
fn iperf3_server(up: &Up<'_>, port: &str) -> Talker {
    let mut command = up.exec("partner.example", "iperf3");
    command.args(["--server", "--one-off", "--forceflush", "--port", port]);
    let server = Talker::start(command.stderr(Stdio::inherit()));
    while !server.hear().contains("Server listening") {}
    server
}

/// Datagrams that were lost of a paced stream of `rate` for ten seconds, while `meanwhile` runs.
fn lost(up: &Up<'_>, rate: &str, meanwhile: impl FnOnce()) -> (u64, u64) {
    let server = iperf3_server(up, "5201");
    let mut client = up.exec("app", "iperf3");
    client.args(["--client", PARTNER, "--udp", "--bitrate", rate, "--length", "1000"]);
    client.args(["--time", "10", "--json"]).stdout(Stdio::piped());
    let client = client.spawn().unwrap();
    meanwhile();
    let said = client.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&said.stdout).unwrap();
    let sum = &report["end"]["sum"];
    let counts = (sum["lost_packets"].as_u64(), sum["packets"].as_u64());
    assert_eq!(server.end(), 0, "iperf3 server");
    (counts.0.unwrap_or_else(|| panic!("no stream: {report}")), counts.1.unwrap())
}

#[test]
fn twenty_applies_lose_no_datagram_and_a_stream_goes_on() {
    let host = Host::start();
    let file = File::copy("nat-gateway.yaml", "applies");
    let up = Up::start(&host, file.path(), "applies", &["--workers", "2"]);
    let apply = || {
        for turn in 0..20 {
            // Both let it pass, each by other rules and routes.
            let route = ["203.0.113.0/24, target: nat-a", "0.0.0.0/0, target: nat-a"][turn % 2];
            file.write(&[("0.0.0.0/0, target: nat-a", route)]);
            assert_eq!(file.apply(&up).success(), "~ route_tables private\n");
            std::thread::sleep(Duration::from_millis(400));
        }
    };
    // The rates that a machine which does other things carries without loss differ from run to run:
    // what loses at this one with applies, and then also without, says nothing of applies.
    let quiet = |rate: &&&str| lost_beside_a_stream(&up, rate, || ()) == 0;
    for rate in ["16M", "8M", "4M", "2M"].iter().filter(quiet) {
        match lost_beside_a_stream(&up, rate, apply) {
            0 => {
                println!("{rate}bit/s: no datagram lost over 20 applies");
                assert_eq!(up.json("drops").to_string(), "[]");
                return;
            }
            lost => assert!(!quiet(&rate), "{lost} lost at {rate}bit/s over 20 applies"),
        }
    }
    panic!("this machine carries no rate without loss for ten seconds, applies or not");
}

/// Datagrams lost of a paced stream, beside a TCP stream that must go on all the time.
fn lost_beside_a_stream(up: &Up<'_>, rate: &str, meanwhile: impl FnOnce()) -> u64 {
    let server = iperf3_server(up, "5202");
    let mut stream = up.exec("app", "iperf3");
    stream.args(["--client", PARTNER, "--port", "5202", "--time", "10", "--bitrate", "50M"]);
    let stream = stream.arg("--json").stdout(Stdio::piped()).spawn().unwrap();
    let (lost, sent) = lost(up, rate, meanwhile);
    println!("{rate}bit/s: {lost} of {sent} datagrams lost");
    let report: Value = serde_json::from_slice(&stream.wait_with_output().unwrap().stdout).unwrap();
    let intervals = report["intervals"].as_array().unwrap();
    assert!(intervals.len() >= 9, "{report}");
    for interval in intervals {
        let bytes = interval["sum"]["bytes"].as_u64().unwrap();
        assert!(bytes > 0, "the stream stood still: {interval}");
    }
    assert_eq!(server.end(), 0, "iperf3 server");
    lost
}

#[test]
fn what_is_wrong_changes_nothing() {
    let host = Host::start();
    let file = File::copy("nat-gateway.yaml", "wrong");
    let up = Up::start(&host, file.path(), "wrong", &[]);
    let says = || up.says("app", &["curl", "-s", "-m", "5", "http://203.0.113.80/"]);
    assert_eq!(says().trim(), "198.51.100.10");

    file.write(&[("route_table: private", "route_table: nonsense")]);
    let refused = file.apply(&up);
    assert_eq!(refused.status, 1, "{refused:?}");
    assert!(refused.err.contains("nonsense") && refused.err.contains(".yaml:"), "{refused:?}");

    std::fs::write(file.path(), vec![b'#'; 65 << 20]).unwrap();
    let refused = file.apply(&up);
    assert_eq!(refused.status, 1, "{refused:?}");
    assert!(refused.err.contains("larger than 64 MiB"), "{refused:?}");

    std::fs::remove_file(file.path()).unwrap();
    let refused = file.apply(&up);
    assert_eq!(refused.status, 1, "{refused:?}");
    // By signal too: the instance says so, and goes on.
    signal(up.pid, Signal::HUP);
    assert_eq!(says().trim(), "198.51.100.10");
}

/// A rule of the example, and what is worth a warning in its place.
const RULE: &str = "      - {protocol: icmp, type: 8, source: bastion}\n";

fn too_many_rules() -> String {
    (1..=61).map(|port| RULE.replace("icmp, type: 8", &format!("tcp, ports: {port}"))).collect()
}

const WARNING: &str = "the default quota is 60";

#[test]
fn what_is_worth_knowing_is_told_beside_what_has_changed() {
    let host = Host::start();
    let file = File::copy("nat-gateway.yaml", "worth");
    let up = Up::start(&host, file.path(), "worth", &[]);
    let many = too_many_rules();
    file.write(&[(RULE, &many)]);
    let said = file.apply(&up);
    assert!(said.status == 0 && said.err.contains(WARNING), "{said:?}");
    assert_eq!(said.out, "~ security_groups app\n");

    let said = output(up.hypertun(&["apply", "--json"]).arg(file.path()));
    assert!(said.status == 0 && said.err.contains(WARNING), "{said:?}");
    assert_eq!(serde_json::from_str::<Value>(&said.out).unwrap(), json!({ "changes": [] }));
}

#[test]
fn a_changed_interface_keeps_its_namespace_and_its_device() {
    let host = Host::start();
    let file = File::copy("nat-gateway.yaml", "changed");
    let up = Up::start(&host, file.path(), "changed", &[]);
    let identity = || {
        let script = "readlink /proc/self/ns/net; cat /sys/class/net/eth0/ifindex";
        up.says("app", &["sh", "-c", script])
    };
    let before = identity();
    let mut lives = up.talker("app", &["agent"]);

    file.write(&[
        ("private_ip: 10.0.1.10", "private_ip: 10.0.1.77"),
        ("  partner.example:", "  other.example:"),
    ]);
    let said = file.apply(&up).success();
    let changes = [
        "+ internet.hosts other.example",
        "~ network_interfaces app",
        "- internet.hosts partner.example",
    ];
    assert_eq!(said, format!("{}\n", changes.join("\n")));
    assert_eq!(identity(), before);
    let address = up.says("app", &["ip", "-br", "address", "show", "eth0"]);
    assert!(address.contains("10.0.1.77/24") && !address.contains("10.0.1.10"), "{address}");
    let seen = up.says("app", &["curl", "-s", "-m", "5", "http://203.0.113.80/"]);
    assert_eq!(seen.trim(), "198.51.100.10");
    lives.say("");

    let gone = output(&mut up.exec("partner.example", "true"));
    assert_eq!(gone.status, 125, "{gone:?}");
    assert!(up.says("other.example", &["ip", "-br", "address"]).contains(PARTNER));
}

#[test]
fn what_is_left_out_keeps_its_address_whatever_comes_before_it() {
    let host = Host::start();
    let file = File::copy("nat-gateway.yaml", "kept");
    let automatic = ("    private_ip: 10.0.1.10\n", "");
    file.write(&[automatic]);
    let up = Up::start(&host, file.path(), "kept", &[]);
    let address = |member| up.says(member, &["ip", "-br", "address", "show", "eth0"]);
    assert!(address("app").contains("10.0.1.4/24"));
    let other = |keys| format!("network_interfaces:\n  first: {{subnet: private-a{keys}}}\n");
    let section = "network_interfaces:\n";

    file.write(&[automatic, (section, &other(""))]);
    assert_eq!(file.apply(&up).success(), "+ network_interfaces first\n");
    assert!(address("app").contains("10.0.1.4/24") && address("first").contains("10.0.1.5/24"));

    // What the file says goes before what there was.
    file.write(&[automatic, (section, &other(", private_ip: 10.0.1.4"))]);
    let changes =
        ["~ network_interfaces first", "~ network_interfaces app (has another address now)"];
    assert_eq!(file.apply(&up).success(), format!("{}\n", changes.join("\n")));
    assert!(address("app").contains("10.0.1.5/24") && address("first").contains("10.0.1.4/24"));
    let seen = up.says("app", &["curl", "-s", "-m", "5", "http://203.0.113.80/"]);
    assert_eq!(seen.trim(), "198.51.100.10");
}

#[test]
fn what_the_host_refuses_is_told_and_done_by_the_next_apply() {
    let host = Host::start();
    let file = File::copy("nat-gateway.yaml", "partly");
    let up = Up::start(&host, file.path(), "partly", &[]);
    let rename = |from: &str, to: &str| {
        let script = format!("ip link set {from} down; ip link set {from} name {to} up");
        let _ = up.says("app", &["sh", "-c", &script]);
    };
    rename("eth0", "away");
    file.write(&[
        ("private_ip: 10.0.1.10", "private_ip: 10.0.1.77"),
        ("private_ip: 10.0.0.10", "private_ip: 10.0.0.11"),
        (RULE, &too_many_rules()),
    ]);
    let said = file.apply(&up);
    assert_eq!(said.status, 1, "{said:?}");
    assert!(said.err.contains("the new topology holds") && said.err.contains("eth0"), "{said:?}");
    assert!(said.err.contains(WARNING), "{said:?}");
    let address = |member| up.says(member, &["ip", "-br", "address", "show", "eth0"]);
    assert!(address("bastion").contains("10.0.0.11/24"), "the rest was done");

    rename("away", "eth0");
    assert_eq!(file.apply(&up).success(), "nothing has changed\n");
    assert!(address("app").contains("10.0.1.77/24") && !address("app").contains("10.0.1.10/"));
    let seen = up.says("app", &["curl", "-s", "-m", "5", "http://203.0.113.80/"]);
    assert_eq!(seen.trim(), "198.51.100.10");
}

#[test]
fn live_connections_are_judged_by_the_rules_that_hold_for_them() {
    let host = Host::start();
    let file = File::copy("nat-gateway.yaml", "rules");
    let up = Up::start(&host, file.path(), "rules", &[]);
    let server = up.talker("partner.example", &["dialogue", "listen", "5000"]);
    assert_eq!(server.hear(), "ready");
    let mut client = up.talker("app", &["dialogue", "to", &format!("{PARTNER}:5000")]);
    assert_eq!((client.hear(), server.hear()), ("connected".into(), "connected".into()));

    // A rule of a group that is gone does not end what is tracked (AWS "Security group connection
    // tracking"), and lets nothing new begin.
    let narrow =
        ("ports: 26-65535, destination: 0.0.0.0/0", "ports: 26-99, destination: 0.0.0.0/0");
    file.write(&[narrow]);
    assert_eq!(file.apply(&up).success(), "~ security_groups app\n");
    client.say("tracked");
    assert_eq!(server.hear(), "got tracked");
    let refused =
        output(up.exec("app", peer()).args(["connect", "--to", "203.0.113.90:5000"]).args([
            "--count",
            "1",
            "--parallel",
            "1",
        ]));
    assert!(!refused.out.contains(r#""ok":1"#), "{refused:?}");
    assert!(up.dropped("ENI_SG_RULES_MISMATCH") > 0);

    // A route that is gone ends everything, by signal as by command.
    file.write(&[narrow, ("0.0.0.0/0, target: nat-a", "203.0.113.0/28, target: nat-a")]);
    signal(up.pid, Signal::HUP);
    wait_until("the new routes hold", 5, || {
        client.say("lost");
        up.dropped("NO_ROUTE_TO_DESTINATION") > 0
    });
    client.say("late");
    let mut heard = std::iter::from_fn(|| server.hear_within(Duration::from_millis(500)));
    assert!(!heard.any(|line| line == "got late"));
}
