//! How fast is TCP through the NAT gateway, measured against the copy floor beside it? At least 0.8
//! of what one thread does that only copies and rewrites (`benches/src/bin/copy-floor/`).

use std::process::{Command, Stdio};

use integration::{Host, Talker, Up, copy_floor, output, topology};
use serde_json::Value;

const PAIRS: usize = 9;
const SECONDS: &str = "3";
const RATIO: f64 = 0.8;

const SERVER: [&str; 4] = ["iperf3", "--server", "--one-off", "--forceflush"];

#[test]
fn tcp_through_the_nat_gateway_runs_near_the_copy_floor() {
    let host = Host::start();
    let up = Up::start(&host, &topology("nat-gateway.yaml"), "floor", &[]);
    let _floor = floor(&host);
    for way in [&[][..], &["--reverse"]] {
        let mut ratios = Vec::new();
        for _ in 0..PAIRS {
            let through = |server: &mut Command, client: &mut Command| rate(server, client, way);
            let floor = through(
                host.command("ip").args(["netns", "exec", "server"]).args(SERVER),
                host.command("ip").args(["netns", "exec", "client", "iperf3"]),
            );
            let nat = through(
                up.exec("partner.example", SERVER[0]).args(&SERVER[1..]),
                &mut up.exec("app", "iperf3"),
            );
            println!("{way:?}: NAT gateway {nat:.2}, floor {floor:.2} Gbit/s: {:.2}", nat / floor);
            ratios.push(nat / floor);
        }
        ratios.sort_by(f64::total_cmp);
        let median = ratios[PAIRS / 2];
        println!("{way:?}: median {median:.2} of the floor");
        assert!(median >= RATIO, "{way:?}: {median:.2} of the floor: {ratios:?}");
    }
}

/// The copy floor between two namespaces, with the same addresses and MTUs as the NAT gateway's.
fn floor(host: &Host) -> Talker {
    let mut command = host.command(copy_floor());
    command.args(["--inside", "inside", "--outside", "outside"]);
    command.args(["--inside-address", "10.0.1.10", "--outside-address", "198.51.100.10"]);
    let floor = Talker::start(&mut command);
    assert_eq!(floor.hear(), "ready");
    let _ = host.says("sh", &["-euc", NAMESPACES]);
    floor
}

const NAMESPACES: &str = "ip netns add client
    ip netns add server
    ip link set inside netns client
    ip link set outside netns server
    ip -n client address add 10.0.1.10/24 dev inside
    tc -n client qdisc replace dev inside root noqueue
    ip -n client link set inside mtu 9001 txqueuelen 4096 up
    ip -n client route add default dev inside
    ip -n server address add 203.0.113.90/32 dev outside
    tc -n server qdisc replace dev outside root noqueue
    ip -n server link set outside mtu 1500 txqueuelen 4096 up
    ip -n server route add default dev outside";

/// Gbit/s that iperf3 sees.
fn rate(server: &mut Command, client: &mut Command, way: &[&str]) -> f64 {
    let server = Talker::start(server.stderr(Stdio::inherit()));
    while !server.hear().contains("Server listening") {}
    client.args(["--client", "203.0.113.90", "--time", SECONDS, "--json"]).args(way);
    let said = output(client);
    let report: Value = serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {said:?}"));
    let rate = report["end"]["sum_received"]["bits_per_second"].as_f64();
    assert_eq!(server.end(), 0, "iperf3 server");
    rate.unwrap_or_else(|| panic!("no stream: {report}")) / 1e9
}
