//! Crashes of hypertun, of an engine, of containers and of disks: who has an interface keeps it, and nothing is leaked.

use std::time::{Duration, Instant};

use integration::{Docker, Host, Sniffer, Up, docker, topology, wait_until};
use rustix::process::Signal;
use serde_json::Value;

fn start<'a>(host: &'a Host, name: &str) -> Up<'a> {
    Up::start(host, &topology("nat-gateway.yaml"), name, &["--docker"])
}

fn given(up: &Up<'_>) -> usize {
    let status = up.json("status");
    let interfaces = status["network_interfaces"].as_array().expect("an array").iter();
    interfaces.filter(|it| it["attachment"] != Value::Null).count()
}

/// A network, with a container at an interface of the topology and one at a new one.
fn two(docker: &Docker<'_>) {
    docker.network("vpc", &["--subnet", "10.0.1.0/24"]);
    docker.sleeper_in("vpc", "app", &["--ip", "10.0.1.10", "--restart", "always"]);
    docker.sleeper_in("vpc", "new", &["--restart", "always"]);
}

const BOTH: [&str; 2] = ["app", "new"];

fn both_are_seen(docker: &Docker<'_>) {
    for name in BOTH {
        assert_eq!(docker.seen_as(name), "198.51.100.10", "{name}");
    }
}

#[test]
fn twenty_crashes_in_a_row_are_over_within_two_seconds_each() {
    let host = Host::start();
    let sniffer = Sniffer::start(&host);
    let mut up = start(&host, "crashes");
    let mut docker = Docker::start(&host);
    two(&docker);
    both_are_seen(&docker);
    let mut longest = Duration::ZERO;
    for round in 0..20 {
        up.kill();
        let killed = Instant::now();
        up = start(&host, "crashes");
        for interface in ["app", "private-a.10.0.1.4"] {
            // Where the container is: an engine is in no hurry.
            let seen = up.says(interface, &["curl", "-s", "-m", "2", "http://203.0.113.80/"]);
            assert_eq!(seen.trim(), "198.51.100.10", "{interface}");
        }
        let took = killed.elapsed();
        assert!(took < Duration::from_secs(2), "round {round}: {took:?}");
        longest = longest.max(took);
    }
    println!("20 crashes: back after {longest:?} at most");
    assert_eq!(given(&up), 2);
    both_are_seen(&docker);

    // After all that, an engine does with them what it likes.
    let _ = docker.says(&["restart", "--time", "0", "app", "new"]);
    both_are_seen(&docker);
    let _ = docker.says(&["stop", "--time", "0", "app"]);
    assert_eq!(given(&up), 1);
    let _ = docker.says(&["start", "app"]);
    both_are_seen(&docker);
    up.kill();
    up = start(&host, "crashes");
    for by in [Signal::TERM, Signal::KILL] {
        docker.restart(by);
        wait_until("its containers run again", 30, || {
            docker.says(&["ps", "--quiet"]).lines().count() == 2
        });
        both_are_seen(&docker);
        assert_eq!(given(&up), 2);
    }
    let links = host.says("ip", &["-o", "link"]);
    assert_eq!(links.lines().count(), 1, "nothing is left on the host: {links}");
    assert_eq!(sniffer.seen(), [""; 0], "no packet of a container but at its device");
    let _ = docker.says(&["rm", "--force", "app", "new"]);
    assert_eq!(given(&up), 0);
    assert_eq!(up.json("status")["namespaces"].as_array().expect("an array").len(), 3);
    up.down();
}

#[test]
fn a_container_that_ends_while_nobody_is_there_is_forgotten() {
    let host = Host::start();
    let up = start(&host, "meanwhile");
    let docker = Docker::start(&host);
    two(&docker);
    up.kill();
    // The engine waits for an answer as long as it likes.
    let _ = docker.says(&["rm", "--force", "app"]);
    let up = start(&host, "meanwhile");
    assert_eq!(given(&up), 1);
    assert_eq!(host.says("ip", &["-o", "link"]).lines().count(), 1);
    assert_eq!(docker.seen_as("new"), "198.51.100.10");
    docker.sleeper_in("vpc", "app", &["--ip", "10.0.1.10"]);
    both_are_seen(&docker);
    // One that cannot even begin is gone at once.
    let run = ["run", "--rm", "--network", "vpc", docker::BUSYBOX, "/no/such/program"];
    let said = docker.refuses(&run);
    assert!(said.contains("no such file or directory"), "{said}");
    assert_eq!(given(&up), 2);
    assert_eq!(host.says("ip", &["-o", "link"]).lines().count(), 1);
    // An orderly end takes the interfaces away; networks stay, as the engine's do.
    up.down();
    assert_eq!(docker.inside("new", "ip -o link | wc -l"), "1");
    let up = start(&host, "meanwhile");
    assert_eq!(given(&up), 0);
    let _ = docker.says(&["restart", "--time", "0", "app", "new"]);
    both_are_seen(&docker);
    // After a crash that nobody comes back from, `down` clears up.
    up.kill();
    let said = host.run(&["down", "--name", "meanwhile"]).success();
    assert!(said.ends_with("2 attached interfaces taken back\n"), "{said}");
    assert_eq!(docker.inside("new", "ip -o link | wc -l"), "1");
    // An engine that has nobody to tell of an end waits.
    let up = start(&host, "meanwhile");
    drop(docker);
    up.down();
}

#[test]
fn a_full_disk_is_an_error_and_a_torn_file_a_beginning() {
    let host = Host::start();
    let _ = host.says(
        "sh",
        &[
            "-euc",
            "mkdir /run/hypertun-state; mount -t tmpfs -o size=16k tmpfs /run/hypertun-state",
        ],
    );
    let up = start(&host, "disk");
    let docker = Docker::start(&host);
    two(&docker);
    let fill = "dd if=/dev/zero of=/run/hypertun-state/full bs=4k 2>/dev/null || true";
    let _ = host.says("sh", &["-euc", fill]);
    let run = ["run", "--rm", "--network", "vpc", docker::BUSYBOX, "true"];
    let said = docker.refuses(&run);
    assert!(
        said.contains(
            "cannot keep this in /run/hypertun-state/disk.docker: No space left on device"
        ),
        "{said}"
    );
    assert_eq!(up.json("status")["namespaces"].as_array().expect("an array").len(), 4);
    both_are_seen(&docker);
    // What ends is forgotten, disk or not.
    let _ = docker.says(&["rm", "--force", "new"]);
    assert_eq!(given(&up), 1);
    let _ = host.says("rm", &["/run/hypertun-state/full"]);
    let _ = docker.says(&run);
    docker.sleeper_in("vpc", "new", &[]);
    both_are_seen(&docker);

    up.kill();
    let tear = "cd /run/hypertun-state; head -c 100 disk.docker > torn; mv torn disk.docker";
    let _ = host.says("sh", &["-euc", tear]);
    let up = start(&host, "disk");
    // What the topology declares is known by its device; a new interface is not.
    assert_eq!(given(&up), 1);
    assert_eq!(docker.seen_as("app"), "198.51.100.10");
    let said = docker.refuses(&["restart", "--time", "0", "new"]);
    assert!(said.contains("is none of hypertun's, or of before its state was lost"), "{said}");
    let _ = docker.says(&["rm", "--force", "app", "new"]);
    assert_eq!(given(&up), 0);
    let _ = docker.says(&["network", "rm", "vpc"]);
    two(&docker);
    both_are_seen(&docker);
    drop(docker);
}
