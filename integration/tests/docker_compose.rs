//! A compose file, by the docker-compose of Debian 12.

use std::fs;

use integration::{Docker, Host, Up, topology};

const FILE: &str = "
version: '3.7'
networks:
  private:
    driver: hypertun
    driver_opts: {subnet: private-a, security_groups: app}
    ipam:
      driver: hypertun
      config: [{subnet: 10.0.1.0/24}]
      options: {subnet: private-a}
services:
  app:
    image: busybox
    command: sleep 1007
    networks: {private: {ipv4_address: 10.0.1.10}}
    dns: 169.254.169.253
  worker:
    image: busybox
    command: sleep 1007
    networks: [private]
    deploy: {replicas: 2}
";

#[test]
fn compose_brings_up_and_takes_down() {
    let host = Host::start();
    let up = Up::start(&host, &topology("nat-gateway.yaml"), "compose", &["--docker"]);
    let docker = Docker::start(&host);
    let path = std::env::temp_dir().join(format!("compose-{}.yaml", std::process::id()));
    fs::write(&path, FILE).expect("a temporary file can be written");
    let compose = |arguments: &[&str]| {
        let mut command = docker.command("docker-compose");
        command.args(["--project-name", "shop", "--compatibility", "--file"]).arg(&path);
        let said = integration::output(command.args(arguments));
        println!("{}{}", said.out, said.err);
        assert_eq!(said.status, 0, "{arguments:?}");
        said.out
    };
    let _ = compose(&["up", "--detach"]);
    let containers = docker.says(&["ps", "--format", "{{.Names}}"]);
    let mut addresses: Vec<_> = containers.lines().map(|name| docker.addresses(name)).collect();
    addresses.sort_unstable();
    assert_eq!(addresses, ["10.0.1.10/24", "10.0.1.4/24", "10.0.1.5/24"]);
    for name in containers.lines() {
        assert_eq!(docker.seen_as(name), "198.51.100.10", "{name}");
    }
    let app = compose(&["exec", "-T", "app", "nslookup", "checkip.amazonaws.com"]);
    assert!(app.contains("Address: 203.0.113.80"), "{app}");
    let _ = compose(&["restart", "--timeout", "0"]);
    for name in containers.lines() {
        assert_eq!(docker.seen_as(name), "198.51.100.10", "{name}");
    }
    let _ = compose(&["down", "--timeout", "0"]);
    assert_eq!(host.says("ls", &[integration::STATE]), "");
    assert_eq!(up.json("status")["namespaces"].as_array().expect("an array").len(), 3);
    let _ = fs::remove_file(&path);
}
