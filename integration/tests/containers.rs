//! Containers of a real engine, which is told nothing.

use integration::{Docker, Host, Output, Up, docker, hypertun, output, topology, wait_until};

fn attach(up: &Up<'_>, container: &str) -> Output {
    let mut command = up.hypertun(&["attach", "app", "--container", container]);
    output(docker::environment(&mut command))
}

fn is_attached(up: &Up<'_>) -> bool {
    up.json("status")["network_interfaces"].to_string().contains("container")
}

#[test]
fn a_container_without_network_gets_the_interface() {
    let host = Host::start();
    let docker = Docker::start(&host);
    let up = Up::start(&host, &topology("nat-gateway.yaml"), "containers", &[]);
    docker.sleeper("web");
    let pid = docker.says(&["container", "inspect", "--format", "{{.State.Pid}}", "web"]);
    let said = attach(&up, "web").success();
    assert_eq!(said, format!("app attached to container web (process {}) as eth0\n", pid.trim()));
    assert_eq!(docker.seen_as("web"), "198.51.100.10");
    let links = docker.says(&["exec", "web", "ip", "address"]);
    assert!(links.contains("inet 10.0.1.10/24") && links.contains("mtu 9001"), "{links}");

    let _ = output(&mut up.hypertun(&["detach", "app"])).success();
    let links = docker.says(&["exec", "web", "ip", "link"]);
    assert!(!links.contains("eth0"), "{links}");

    // By its id, in short; and it may end as it likes.
    let id = docker.says(&["container", "ls", "--quiet", "--filter", "name=web"]);
    let _ = attach(&up, id.trim()).success();
    assert_eq!(docker.seen_as("web"), "198.51.100.10");
    // A crash in between is nothing to it.
    up.kill();
    let up = Up::start(&host, &topology("nat-gateway.yaml"), "containers", &[]);
    assert!(is_attached(&up));
    assert_eq!(docker.seen_as("web"), "198.51.100.10");
    let _ = docker.says(&["restart", "--time", "0", "web"]);
    wait_until("it is at home", 10, || !is_attached(&up));
    let seen = up.says("app", &["curl", "-s", "-m", "5", "http://203.0.113.80/"]);
    assert_eq!(seen.trim(), "198.51.100.10");
    let _ = attach(&up, "web").success();
    assert_eq!(docker.seen_as("web"), "198.51.100.10");
    let _ = docker.says(&["rm", "--force", "web"]);
    wait_until("it is at home again", 10, || !is_attached(&up));

    let unknown = attach(&up, "web");
    assert_eq!(unknown.status, 1, "{unknown:?}");
    assert!(unknown.err.contains("docker has no container `web`"), "{unknown:?}");
    docker.sleeper("stopped");
    let _ = docker.says(&["stop", "--time", "0", "stopped"]);
    let stopped = attach(&up, "stopped");
    assert_eq!(stopped.status, 1, "{stopped:?}");
    assert!(stopped.err.contains("container stopped is not running"), "{stopped:?}");
    let run = ["run", "--detach", "--network", "host", "--name", "host", docker::BUSYBOX];
    let _ = docker.says(&[&run[..], &["sleep", "1007"]].concat());
    let refused = attach(&up, "host");
    assert_eq!(refused.status, 1, "{refused:?}");
    assert!(refused.err.contains("is in the network namespace of the host"), "{refused:?}");
}

#[test]
fn containerd_alone_knows_its_processes_too() {
    let host = Host::start();
    let docker = Docker::start(&host);
    let up = Up::start(&host, &topology("nat-gateway.yaml"), "containerd", &[]);
    docker.sleeper("web");
    let id = docker.says(&["container", "ls", "--quiet", "--no-trunc", "--filter", "name=web"]);
    let ctr = host.says("sh", &["-c", "command -v ctr"]);
    // A machine on which `ctr` is the only command of an engine.
    let only = "mkdir /run/only; ln -s \"$1\" /run/only/ctr";
    let _ = host.says("sh", &["-euc", only, "sh", ctr.trim()]);
    let ask = |container: &str| {
        let mut command = host.command("env");
        command.args(["PATH=/run/only", "HYPERTUN_NAME=containerd", "CONTAINERD_NAMESPACE=moby"]);
        command.arg("CONTAINERD_ADDRESS=/run/docker-test/containerd/containerd.sock");
        command.arg(hypertun()).args(["attach", "app", "--container", container]);
        output(&mut command)
    };
    let unknown = ask("web");
    assert!(unknown.err.contains("ctr has no container `web`"), "{unknown:?}");
    let _ = ask(id.trim()).success();
    assert_eq!(docker.seen_as("web"), "198.51.100.10");
    let _ = output(&mut up.hypertun(&["detach", "app"])).success();
}
