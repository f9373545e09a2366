//! However an instance ends, is the host what it was? And do instances leave each other alone?

use integration::{Host, Snapshot, Up, output, topology, wait_until};
use rustix::process::Signal;

/// A host that has something of its own in every place.
fn host() -> (Host, Snapshot) {
    let host = Host::start();
    let _ = host.says("sh", &["-euc", OWN]);
    let before = Snapshot::of(&host);
    (host, before)
}

/// Without duplicate address detection, so that its addresses do not change by themselves.
const OWN: &str = "echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad
    ip netns add theirs
    ip link add theirs type veth peer name others
    ip address add 10.0.1.1/24 dev theirs
    ip link set theirs up
    ip link set others up
    ip route add 203.0.113.0/24 via 10.0.1.2
    ip rule add from 10.0.1.0/24 table 77
    nft add table inet theirs";

fn start<'a>(host: &'a Host, name: &str) -> Up<'a> {
    let up = Up::start(host, &topology("nat-gateway.yaml"), name, &[]);
    answers(&up);
    up
}

fn answers(up: &Up<'_>) {
    let said = up.says("app", &["curl", "--silent", "--max-time", "5", "http://203.0.113.80/"]);
    assert_eq!(said.trim(), "198.51.100.10");
}

#[test]
fn after_down() {
    let (host, before) = host();
    start(&host, "one").down();
    before.assert_same(&host, "down");
}

#[test]
fn after_every_signal_that_asks_to_end() {
    let (host, before) = host();
    for signal in [Signal::INT, Signal::TERM, Signal::QUIT] {
        start(&host, "one").end_by(signal);
        before.assert_same(&host, &format!("{signal:?}"));
    }
}

#[test]
fn after_a_kill_and_another_start_and_stop() {
    let (host, before) = host();
    start(&host, "killed").kill();
    start(&host, "another").down();
    before.assert_same(&host, "SIGKILL and another start and stop");
}

#[test]
fn after_a_kill_the_same_name_starts_again() {
    let (host, before) = host();
    start(&host, "same").kill();
    start(&host, "same").down();
    before.assert_same(&host, "SIGKILL and the same start and stop");
}

#[test]
fn with_commands_still_running_inside() {
    let (host, before) = host();
    let up = start(&host, "one");
    let mut client = up.exec("app", "sleep").arg("1004").spawn().unwrap();
    wait_until("it runs", 5, || host.says("ps", &["-e", "-o", "args="]).contains("\nsleep 1004"));
    up.down();
    // What a user runs by `exec` is the user's own.
    assert!(client.try_wait().unwrap().is_none());
    let _ = host.says("pkill", &["-f", "^sleep 1004"]);
    let _ = client.wait();
    wait_until("its namespace ends", 5, || Snapshot::of(&host) == before);
}

#[test]
fn after_a_refused_start() {
    let (host, before) = host();
    let refused = topology("refused/names.yaml");
    let said = host.run(&["up", refused.to_str().unwrap()]);
    assert_eq!(said.status, 1, "{said:?}");
    before.assert_same(&host, "a wrong topology");
}

#[test]
fn two_instances_live_side_by_side_and_a_name_is_one_instances() {
    let (host, before) = host();
    let (one, two) = (start(&host, "one"), start(&host, "two"));
    let both = Snapshot::of(&host);
    let file = topology("nat-gateway.yaml");
    let clash = host.run(&["up", file.to_str().unwrap(), "--name", "one"]);
    assert_eq!(clash.status, 1, "{clash:?}");
    assert!(clash.err.contains("instance one is already running (pid "), "{clash:?}");
    assert_eq!(clash.err.lines().count(), 1, "{clash:?}");
    both.assert_same(&host, "a name clash");
    answers(&one);
    one.down();
    answers(&two);
    two.down();
    before.assert_same(&host, "two instances");
}

#[test]
fn in_the_background() {
    let (host, before) = host();
    let file = topology("nat-gateway.yaml");
    let up = ["up", file.to_str().unwrap(), "--name", "background", "--detach"];
    assert_eq!(host.run(&up).success(), "ready\n");
    let clash = host.run(&up);
    assert_eq!(clash.status, 1, "{clash:?}");
    assert!(clash.err.contains("already running"), "{clash:?}");
    let mut exec = host.hypertun(&["exec", "--name", "background", "app", "--"]);
    let said = output(exec.args(["curl", "--silent", "http://203.0.113.80/"])).success();
    assert_eq!(said.trim(), "198.51.100.10");
    let _ = host.run(&["down", "--name", "background"]).success();
    // Its log stays, to be read.
    let _ = host.says("rm", &["/run/hypertun/background.log"]);
    before.assert_same(&host, "up -d and down");
}
