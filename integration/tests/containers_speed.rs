//! Is a container as fast as a namespace? iperf3 through the NAT gateway from the one and from the other, in turn.

use integration::{Docker, Host, Talker, Up, docker, output, topology, wait_until};
use serde_json::Value;

const NETWORK: &str = "vpc";

/// The middle one of the ratios of a container's throughput to a namespace's, each from one pair of turns of `seconds`.
fn ratio(pairs: usize, seconds: u32) -> f64 {
    let host = Host::start();
    let up = Up::start(&host, &topology("nat-gateway.yaml"), "speed", &["--docker"]);
    let docker = Docker::start(&host);
    // The groups of `app`, which is the namespace.
    let options = ["--subnet", "10.0.1.0/24", "--opt", "security_groups=app"];
    docker.network(NETWORK, &options);
    let programs = docker::programs_of_the_host();
    let programs: Vec<_> = programs.iter().map(String::as_str).collect();
    docker.sleeper_in(NETWORK, "container", &programs);
    let _server = Talker::start(up.exec("partner.example", "iperf3").arg("--server"));
    wait_until("iperf3 listens", 10, || {
        up.says("partner.example", &["ss", "-Hltn"]).contains(":5201")
    });
    let seconds = seconds.to_string();
    let client = ["iperf3", "--client", "203.0.113.90", "--json", "--time", &seconds];
    let sends = |contained: bool| {
        let said = if contained {
            docker.says(&[&["exec", "container", "/usr/bin/env"], &client[..]].concat())
        } else {
            output(up.exec("app", client[0]).args(&client[1..])).success()
        };
        let report: Value = serde_json::from_str(&said).expect("iperf3 tells JSON");
        let bits = report["end"]["sum_received"]["bits_per_second"].as_f64();
        bits.unwrap_or_else(|| panic!("{said}")) / 1e9
    };
    let mut ratios: Vec<f64> = (0..pairs)
        .map(|pair| {
            // Whoever begins has no advantage of it.
            let first = sends(pair % 2 == 0);
            let second = sends(pair % 2 == 1);
            let (contained, bare) = if pair % 2 == 0 { (first, second) } else { (second, first) };
            println!("{contained:6.2} and {bare:6.2} Gbit/s: {:.3}", contained / bare);
            contained / bare
        })
        .collect();
    ratios.sort_unstable_by(f64::total_cmp);
    let median = ratios[ratios.len() / 2];
    println!("container to namespace, {pairs} pairs of {seconds} s each: {median:.3}");
    median
}

#[test]
fn a_container_is_about_as_fast_as_a_namespace() {
    // On a machine that others use: what would be seen here is something broken.
    assert!(ratio(5, 1) > 0.6);
}

/// `cargo test -p integration --test containers_speed -- --ignored --nocapture`, on a machine of one's own.
#[test]
#[ignore = "a minute and a half of measuring, which takes the machine for itself"]
fn a_container_is_as_fast_as_a_namespace() {
    assert!(ratio(21, 2) > 0.95);
}
