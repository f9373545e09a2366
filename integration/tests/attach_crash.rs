//! A crash of hypertun takes no interface away from whoever has it: the next start takes it over.

use integration::{File, Host, Output, Snapshot, Up, output, topology, wait_until};
use serde_json::Value;

/// A host with two networks of others: `blue` has nothing, and `green` a default route of its own.
fn host() -> (Host, Snapshot) {
    let host = Host::start();
    let _ = host.says("sh", &["-euc", NETWORKS]);
    let before = Snapshot::of(&host);
    (host, before)
}

const NETWORKS: &str = "ip netns add blue; ip netns add green
    echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad
    ip link add outer type veth peer name eth0 netns green
    ip link set outer up
    ip -n green link set lo up
    ip -n green address add 192.0.2.2/24 dev eth0
    ip -n green link set eth0 up
    ip -n green route add default via 192.0.2.1 dev eth0 metric 7";

fn start<'a>(host: &'a Host, name: &str) -> Up<'a> {
    Up::start(host, &topology("nat-gateway.yaml"), name, &[])
}

fn hypertun(up: &Up<'_>, arguments: &[&str]) -> Output {
    output(&mut up.hypertun(arguments))
}

/// Gives `app` to `green` and `bastion` to `blue`, and crashes.
fn crash(up: Up<'_>) {
    let green = ["attach", "app", "--netns", "/run/netns/green", "--replace-default"];
    assert!(hypertun(&up, &green).success().ends_with(" as eth1\n"));
    let _ = hypertun(&up, &["attach", "bastion", "--netns", "/run/netns/blue"]).success();
    up.kill();
}

fn inside(host: &Host, namespace: &str, command: &[&str]) -> String {
    host.says("ip", &[&["netns", "exec", namespace][..], command].concat())
}

fn seen_as(host: &Host, namespace: &str) -> String {
    let curl = ["curl", "-s", "-m", "5", "http://203.0.113.80/"];
    inside(host, namespace, &curl).trim().to_owned()
}

/// Links and IPv4 routes, as names and text.
fn network(host: &Host, namespace: &str) -> String {
    let links = inside(host, namespace, &["ip", "-br", "address"]);
    let links: Vec<_> = links.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let routes = inside(host, namespace, &["ip", "route", "show", "default"]);
    // While nobody has its queues, a link is there without a carrier.
    format!("{} {}", links.join(" "), routes.replace("linkdown", "").trim())
}

fn attached(up: &Up<'_>) -> usize {
    let status = up.json("status");
    let interfaces = status["network_interfaces"].as_array().expect("an array").iter();
    interfaces.filter(|it| it["attachment"] != Value::Null).count()
}

#[test]
fn the_next_start_of_the_name_takes_it_over() {
    let (host, _) = host();
    let as_it_was = network(&host, "green");
    crash(start(&host, "crashed"));
    // Nobody answers, and all is in its place; another instance leaves it there.
    let waiting = network(&host, "green");
    assert!(waiting.contains(" eth1 default via 10.0.1.1 dev eth1"), "{waiting}");
    start(&host, "another").down();
    assert_eq!(network(&host, "green"), waiting);

    for round in 0..2 {
        let up = start(&host, "crashed");
        assert_eq!(attached(&up), 2, "round {round}");
        assert_eq!(seen_as(&host, "green"), "198.51.100.10");
        assert_eq!(seen_as(&host, "blue"), "198.51.100.20");
        if round == 0 {
            up.kill();
            continue;
        }
        // What was taken over is given back, and ends with its network, as if nothing had been.
        let _ = hypertun(&up, &["detach", "app"]).success();
        assert_eq!(network(&host, "green"), as_it_was);
        let seen = up.says("app", &["curl", "-s", "-m", "5", "http://203.0.113.80/"]);
        assert_eq!(seen.trim(), "198.51.100.10");
        let _ = host.says("ip", &["netns", "del", "blue"]);
        wait_until("it is at home", 10, || attached(&up) == 0);
        let seen = up.says("bastion", &["curl", "-s", "-m", "5", "http://203.0.113.80/"]);
        assert_eq!(seen.trim(), "198.51.100.20");
        up.down();
    }
    let files = host.says("find", &["/run/hypertun", "-type", "f"]);
    assert_eq!(files, "", "nothing is kept");
}

#[test]
fn an_orderly_end_after_a_crash_takes_everything_away() {
    let (host, before) = host();
    let as_it_was = network(&host, "green");
    crash(start(&host, "down"));
    start(&host, "down").down();
    assert_eq!(network(&host, "green"), as_it_was);
    before.assert_same(&host, "a crash, a start and down");

    crash(start(&host, "down"));
    let said = host.run(&["down", "--name", "down"]).success();
    assert_eq!(said, "instance down had crashed: 2 attached interfaces taken back\n");
    assert_eq!(network(&host, "green"), as_it_was);
    assert!(network(&host, "blue").starts_with("lo "));
    before.assert_same(&host, "a crash and down");
    let again = host.run(&["down", "--name", "down"]);
    assert!(again.status == 1 && again.err.contains("no instance `down` is running"), "{again:?}");
}

#[test]
fn what_has_changed_meanwhile_is_heeded() {
    let (host, _) = host();
    let as_it_was = network(&host, "green");
    let file = File::copy("nat-gateway.yaml", "meanwhile");
    crash(start(&host, "meanwhile"));
    // One has another address now, the other's network is gone.
    file.write(&[("private_ip: 10.0.1.10", "private_ip: 10.0.1.77")]);
    let _ = host.says("ip", &["netns", "del", "blue"]);
    let up = Up::start(&host, file.path(), "meanwhile", &[]);
    assert_eq!(attached(&up), 1);
    let address = inside(&host, "green", &["ip", "-br", "address", "show", "eth1"]);
    assert!(address.contains("10.0.1.77/24") && !address.contains("10.0.1.10/"), "{address}");
    assert_eq!(seen_as(&host, "green"), "198.51.100.10");
    let seen = up.says("bastion", &["curl", "-s", "-m", "5", "http://203.0.113.80/"]);
    assert_eq!(seen.trim(), "198.51.100.20");
    up.kill();

    // Nobody of that name any more.
    file.write(&[("  app:\n    subnet: private-a\n", "  other:\n    subnet: private-a\n")]);
    let up = Up::start(&host, file.path(), "meanwhile", &[]);
    assert_eq!(network(&host, "green"), as_it_was);
    assert_eq!(attached(&up), 0);
    up.down();
}

#[test]
fn a_file_that_nobody_can_read_stops_no_start() {
    let (host, _) = host();
    crash(start(&host, "broken"));
    let _ = host.says("sh", &["-c", "echo '{\"version\":1,' > /run/hypertun/broken.attachments"]);
    let up = start(&host, "broken");
    assert_eq!(attached(&up), 0);
    let seen = up.says("app", &["curl", "-s", "-m", "5", "http://203.0.113.80/"]);
    assert_eq!(seen.trim(), "198.51.100.10");
    up.down();
}
