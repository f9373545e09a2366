//! Networks of a real engine: which interface each container gets, what it is there, and what is refused.

use integration::{Docker, File, Host, Up, docker, output, topology, wait_until};
use serde_json::Value;

fn start<'a>(host: &'a Host, example: &str, name: &str) -> Up<'a> {
    Up::start(host, &topology(example), name, &["--docker"])
}

/// Which interfaces containers have.
fn given(up: &Up<'_>) -> Vec<String> {
    let status = up.json("status");
    let interfaces = status["network_interfaces"].as_array().expect("an array").iter();
    let given = interfaces.filter(|it| it["attachment"] != Value::Null);
    given.map(|it| it["name"].as_str().expect("a text").to_owned()).collect()
}

#[test]
fn containers_have_the_interface_that_is_named_or_addressed_or_a_new_one() {
    let host = Host::start();
    let up = start(&host, "nat-gateway.yaml", "networks");
    let docker = Docker::start(&host);
    docker.subnet("vpc-private", "private-a");
    // A subnet is known by its block, too, which an engine asks for before it takes a container's address.
    docker.network("vpc-addressed", &["--subnet", "10.0.1.0/24", "--opt", "security_groups=app"]);

    // This client has written the name in lower case.
    let named = "name=vpc-private,driver-opt=hypertun.eni=APP";
    docker.sleeper_in(named, "named", &[]);
    wait_until("it is settled", 5, || docker.addresses("named") == "10.0.1.10/24");
    assert_eq!(docker.seen_as("named"), "198.51.100.10");
    let network = docker.inside("named", "ip link show eth0; ip route");
    assert!(network.contains("mtu 9001") && network.contains(" qdisc noqueue "), "{network}");
    assert!(network.contains("default via 10.0.1.1 dev eth0"), "{network}");
    let links = docker.inside("named", "ip -o link | wc -l");
    assert_eq!(links, "2", "lo and eth0");
    // Its groups are those of the topology, which lets no mail out.
    let mail = docker.inside("named", "nc -w 1 203.0.113.80 25 </dev/null; echo $?");
    assert_eq!(mail, "1");
    assert_eq!(up.dropped("ENI_SG_RULES_MISMATCH"), 1);
    let _ = docker.says(&["rm", "--force", "named"]);
    assert_eq!(given(&up), [""; 0]);
    assert_eq!(up.says("app", &["hostname", "-I"]).trim(), "10.0.1.10", "it is at home");

    docker.sleeper_in("vpc-addressed", "addressed", &["--ip", "10.0.1.10"]);
    assert_eq!(docker.addresses("addressed"), "10.0.1.10/24");
    for (name, address) in [("first", "10.0.1.4/24"), ("second", "10.0.1.5/24")] {
        docker.sleeper_in("vpc-private", name, &[]);
        assert_eq!(docker.addresses(name), address);
        assert_eq!(docker.seen_as(name), "198.51.100.10");
    }
    docker.sleeper_in("vpc-addressed", "wished", &["--ip", "10.0.1.77"]);
    let made = ["private-a.10.0.1.4", "private-a.10.0.1.5", "private-a.10.0.1.77"];
    assert_eq!(given(&up), [&["app"], &made[..]].concat());
    // They are interfaces as any other: in the VPC's own group, or in those of their network.
    let ping = |from: &str, to: &str| {
        docker.inside(from, &format!("ping -c 1 -W 1 {to} >/dev/null; echo $?"))
    };
    assert_eq!(ping("first", "10.0.1.5"), "0", "members of `default` reach each other");
    assert_eq!(ping("first", "10.0.1.77"), "1", "nothing lets them into `app`");
    let said = up.says(made[0], &["curl", "-s", "-m", "5", "http://203.0.113.80/"]);
    assert_eq!(said.trim(), "198.51.100.10", "`exec` goes where the container is");

    // They outlive another topology, but not what they stand on.
    let file = File::copy("nat-gateway.yaml", "networks");
    file.write(&[("[203.0.113.90]", "[203.0.113.91]")]);
    let said = file.apply(&up).success();
    assert_eq!(said, "~ internet.hosts partner.example\n");
    assert_eq!(docker.seen_as("first"), "198.51.100.10");
    file.write(&[("private_ip: 10.0.1.10", "private_ip: 10.0.1.4")]);
    let refused = file.apply(&up);
    assert!(refused.err.contains("10.0.1.4 is taken"), "{refused:?}");
    // An interface that is taken away from a container leaves it without; it may end as it likes.
    file.write(&[("  app:\n    subnet: private-a\n", "  other:\n    subnet: private-a\n")]);
    let _ = file.apply(&up).success();
    assert_eq!(docker.inside("addressed", "ip -o link | wc -l"), "1");
    file.write(&[]);
    let _ = file.apply(&up).success();
    for name in ["addressed", "first", "second", "wished"] {
        let _ = docker.says(&["rm", "--force", name]);
    }
    assert_eq!(given(&up), [""; 0]);
    assert_eq!(up.json("status")["namespaces"].as_array().expect("an array").len(), 3);
    let _ = docker.says(&["network", "rm", "vpc-private", "vpc-addressed"]);
    let kept = host.says("ls", &[integration::STATE]);
    assert_eq!(kept, "", "nothing is kept of what is gone");
    up.down();
}

#[test]
fn what_a_vpc_is_not_is_refused_in_words_and_leaves_nothing() {
    let host = Host::start();
    let up = start(&host, "nat-gateway.yaml", "refusals");
    let docker = Docker::start(&host);
    docker.network("vpc", &["--subnet", "10.0.1.0/24"]);
    docker.sleeper_in("vpc", "holder", &["--ip", "10.0.1.10"]);
    let kept = host.says("sh", &["-c", "cat /run/hypertun-state/*"]);
    let run = |options: &[&str]| {
        let said =
            docker.refuses(&[&["run", "--rm"], options, &[docker::BUSYBOX, "true"]].concat());
        println!("{options:?}: {}", said.trim());
        said
    };
    let option = |option: &str| format!("name=vpc,driver-opt={option}");
    for (options, words) in [
        (
            &["--network", "vpc", "--publish", "8080:80"][..],
            "`hypertun forward PORT private-a.10.0.1.4:PORT`",
        ),
        (&["--network", "vpc", "--mac-address", "02:42:ac:11:00:02"], "leave --mac-address out"),
        (&["--network", "vpc", "--ip", "10.0.1.2"], "AWS keeps 10.0.1.2 of subnet `private-a`"),
        (&["--network", "vpc", "--ip", "10.0.1.10"], "`app` is given to container endpoint"),
        (&["--network", &option("hypertun.eni=app")], "`app` is given to container endpoint"),
        (
            &["--network", &option("hypertun.eni=nobody")],
            "no network interface `nobody` in this subnet; it has: app",
        ),
        (&["--network", &option("hypertun.eni=bastion")], "`bastion` is not of this network"),
        (
            &["--network", &option("hypertun.enni=app")],
            "`hypertun.enni` is no option of --driver-opt",
        ),
        (
            &["--network", &option("hypertun.security_groups=nobody")],
            "no security group `nobody` in this VPC",
        ),
    ] {
        let said = run(options);
        assert!(said.contains(words), "{said}");
    }
    let create = |options: &[&str]| {
        let said =
            docker.refuses(&[&["network", "create", "-d", "hypertun"], options, &["x"]].concat());
        println!("{options:?}: {}", said.trim());
        said
    };
    let ipam = ["--ipam-driver", "hypertun"];
    let with = |options: &[&'static str]| [&ipam[..], options].concat();
    for (options, words) in [
        (vec![], "--ipam-driver hypertun"),
        (with(&[]), "which subnet?"),
        (vec!["--subnet", "10.0.1.0/24"], "--ipam-driver hypertun --ipam-opt subnet=private-a"),
        (with(&["--ipam-opt", "subnet=nix"]), "no subnet `nix`; it has: public-a, private-a"),
        (with(&["--ipam-opt", "workload=web"]), "no workload `web`"),
        (with(&["--ipam-opt", "zone=a"]), "`zone` is no option of --ipam-opt"),
        (
            with(&["--ipam-opt", "subnet=private-a", "--opt", "subnet=public-a"]),
            "they must say the same",
        ),
        (
            with(&["--ipam-opt", "subnet=private-a", "--subnet", "10.0.2.0/24"]),
            "10.0.2.0/24 is not the block",
        ),
        (with(&["--subnet", "10.0.1.0/24", "--ip-range", "10.0.1.128/25"]), "leave --ip-range out"),
        (with(&["--subnet", "10.0.1.0/24", "--gateway", "10.0.1.9"]), "is 10.0.1.1, not 10.0.1.9"),
        (with(&["--subnet", "10.0.1.0/24", "--internal"]), "leave --internal out"),
        (with(&["--subnet", "10.0.1.0/24", "--ipv6", "--subnet", "fd00::/64"]), "leave --ipv6 out"),
        (
            with(&["--subnet", "10.0.1.0/24", "--opt", "security_groups=nix"]),
            "no security group `nix`",
        ),
        (with(&["--subnet", "10.0.1.0/24", "--opt", "mtu=1500"]), "`mtu` is no option of -o"),
    ] {
        let said = create(&options);
        assert!(said.contains(words), "{said}");
    }
    assert_eq!(given(&up), ["app"]);
    assert_eq!(host.says("sh", &["-c", "cat /run/hypertun-state/*"]), kept);
    assert_eq!(host.says("ip", &["-o", "link"]).lines().count(), 1);
    // Another instance cannot serve the same engine; nor is it a crash for the first.
    let second = host.run(&[
        "up",
        topology("private-only.yaml").to_str().expect("a text"),
        "--docker",
        "--name",
        "b",
    ]);
    assert!(second.err.contains("another instance serves Docker already"), "{second:?}");
    assert_eq!(docker.seen_as("holder"), "198.51.100.10");
    // What the user gave away by himself is nobody else's.
    let _ = docker.says(&["rm", "--force", "holder"]);
    docker.sleeper("alone");
    let mut attach = up.hypertun(&["attach", "app", "--container", "alone"]);
    let _ = output(docker::environment(&mut attach)).success();
    let said = run(&["--network", "vpc", "--ip", "10.0.1.10"]);
    assert!(said.contains("`app` is attached to container alone"), "{said}");
}

#[test]
fn a_full_subnet_and_a_name_that_may_be_two_are_told() {
    let host = Host::start();
    let file = File::copy("nat-gateway.yaml", "docker-full");
    let more: String =
        (0..9).map(|number| format!("  app-{number}: {{subnet: private-a}}\n")).collect();
    let more = format!("network_interfaces:\n{more}");
    file.write(&[
        ("    cidr_block: 10.0.1.0/24\n", "    cidr_block: 10.0.1.0/28\n"),
        ("network_interfaces:\n", &more),
    ]);
    let up = Up::start(&host, file.path(), "full", &["--docker"]);
    let docker = Docker::start(&host);
    docker.subnet("vpc", "private-a");
    docker.sleeper_in("vpc", "last", &[]);
    let run = ["run", "--rm", "--network", "vpc", docker::BUSYBOX, "true"];
    let said = docker.refuses(&run);
    assert!(said.contains("subnet `private-a` has no address left"), "{said}");
    assert_eq!(given(&up), ["private-a.10.0.1.14"]);
    let _ = docker.says(&["rm", "--force", "last"]);
    let _ = docker.says(&run);
    // In lower case one cannot tell which was meant, where both are in the network.
    file.write(&[("network_interfaces:\n", "network_interfaces:\n  App: {subnet: private-a}\n")]);
    let _ = file.apply(&up).success();
    let named = ["run", "--rm", "--network", "name=vpc,driver-opt=hypertun.eni=app"];
    let said = docker.refuses(&[&named[..], &[docker::BUSYBOX, "true"]].concat());
    assert!(said.contains("hypertun.eni=app may be any of: App, app"), "{said}");
}
