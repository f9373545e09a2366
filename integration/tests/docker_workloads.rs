//! Instances of App Runner services as containers: they send into the VPC by the Hyperplane ENIs that they share.

use integration::{Docker, File, Host, Sniffer, Up, docker};

/// Three of one service and two of another, on one connector.
const INSTANCES: [(&str, &str); 2] = [
    ("vpc_connector: shared, instances: 2}", "vpc_connector: shared, instances: 3}"),
    (
        "jobs: {egress_type: VPC, vpc_connector: shared}",
        "jobs: {egress_type: VPC, vpc_connector: shared, instances: 2}",
    ),
];

const WHOAMI: &str =
    "printf 'GET /cgi-bin/whoami HTTP/1.0\\r\\n\\r\\n' | nc -w 5 10.0.2.20 5432 | tail -n 1";

#[test]
fn a_server_sees_the_hyperplane_enis_of_the_connector_alone() {
    let host = Host::start();
    let file = File::copy("app-runner-connector.yaml", "docker-workloads");
    file.write(&INSTANCES);
    let sniffer = Sniffer::start(&host);
    let up = Up::start(&host, file.path(), "workloads", &["--docker"]);
    let docker = Docker::start(&host);
    docker.network("data", &["--subnet", "10.0.2.0/24"]);
    for service in ["web", "jobs"] {
        let workload = format!("workload={service}");
        docker.network(service, &["--ipam-opt", &workload, "--opt", &workload]);
    }
    // It tells each client as whom it sees it.
    let serve = "mkdir -p /www/cgi-bin; cd /www/cgi-bin
        printf '#!/bin/sh\\necho; echo $REMOTE_ADDR' > whoami; chmod +x whoami
        exec httpd -f -p 5432 -h /www";
    let run = ["run", "--detach", "--network", "data", "--ip", "10.0.2.20", "--name", "db"];
    let _ = docker.says(&[&run[..], &[docker::BUSYBOX, "sh", "-c", serve]].concat());
    let names = ["web-a", "web-b", "web-c", "jobs-a", "jobs-b"];
    for name in names {
        docker.sleeper_in(name.split('-').next().expect("a word"), name, &[]);
    }
    let own: Vec<_> = names.iter().map(|name| docker.addresses(name)).collect();
    let provided = own.iter().all(|it| it.starts_with("100.64.") && it.ends_with("/32"));
    assert!(provided && own.iter().all(|it| own.iter().filter(|other| *other == it).count() == 1));

    let seen_by_db = |name: &str| {
        let seen = docker.inside(name, WHOAMI);
        seen.trim_start_matches("[::ffff:").trim_end_matches(']').to_owned()
    };
    let status = up.json("status");
    let enis = status["hyperplane_enis"].as_array().expect("an array").iter();
    let enis: Vec<_> = enis.filter_map(|it| it["private_ip"].as_str()).collect();
    assert!(!enis.is_empty() && enis.iter().all(|it| it.starts_with("10.0.1.")), "{enis:?}");
    for name in names {
        let seen = seen_by_db(name);
        assert!(enis.contains(&&*seen), "{name} is seen as {seen}, and not as one of {enis:?}");
        // By the NAT gateway of the connector's subnet.
        assert_eq!(docker.seen_as(name), "198.51.100.10");
        assert_eq!(docker.inside(name, "ip route"), "default dev eth0 scope link");
    }
    // A fourth instance is one of the file's, or none; whose place is free is the next's.
    let fourth = docker.refuses(&["run", "--rm", "--network", "web", docker::BUSYBOX, "true"]);
    assert!(fourth.contains("all 3 instances of web run already"), "{fourth}");
    let _ = docker.says(&["rm", "--force", "web-b"]);
    docker.sleeper_in("web", "web-d", &[]);
    assert_eq!(docker.addresses("web-d"), own[1]);
    // By the name that the topology gives it, too.
    let _ = docker.says(&["rm", "--force", "web-a", "web-c"]);
    docker.sleeper_in("name=web,driver-opt=hypertun.eni=web/2", "web-e", &[]);
    integration::wait_until("it is settled", 5, || docker.addresses("web-e") == own[2]);
    assert!(enis.contains(&&*seen_by_db("web-e")));
    assert_eq!(sniffer.seen(), [""; 0], "no packet of a container but at its device");
}
