//! The first command of the README: does it show the main job, in time, and leave nothing?

use std::time::{Duration, Instant};

use integration::{Host, Snapshot};

#[test]
fn the_demo_shows_the_main_job_within_ten_seconds() {
    let host = Host::start();
    let before = Snapshot::of(&host);
    let began = Instant::now();
    let said = host.run(&["demo"]).success();
    let took = began.elapsed();
    println!("demo: {took:.2?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    before.assert_same(&host, "demo");

    let section = |title: &str| {
        let (_, rest) = said.split_once(&format!("== {title}")).unwrap();
        rest.split("\n== ").next().unwrap().to_owned()
    };
    let walk = section("One packet, hop by hop");
    for hop in ["security-group:app", "route-table:private", "nat-gateway:nat-a", "igw", "reply"] {
        assert!(walk.contains(hop), "{hop} in {walk}");
    }
    let name = section("A name");
    assert!(name.contains("checkip.amazonaws.com is 203.0.113.80"), "{name}");
    let real = section("Now with real packets");
    assert!(real.contains("checkip.amazonaws.com sees 198.51.100.10"), "{real}");
    let dropped = section("What a security group drops");
    assert!(dropped.contains("connect: timed out"), "{dropped}");
    let row = |line: &&str| line.contains("  ENI_SG_RULES_MISMATCH  security-group:app");
    assert!(dropped.lines().any(|line| row(&line)), "{dropped}");
    let flows = section("The flow table");
    let flow = flows.lines().find(|line| line.starts_with("tcp")).unwrap();
    assert!(flow.contains("10.0.1.10:") && flow.contains("198.51.100.10:"), "{flow}");
    assert!(flow.contains("nat-gateway:nat-a :"), "{flow}");
}
