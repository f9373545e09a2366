//! `hypertun forward`: from the host to a port inside, as `kubectl port-forward` does it.

use integration::{
    Docker, Forward, Host, Snapshot, Talker, Up, docker, hypertun, output, peer, topology,
    wait_until,
};
use rustix::process::Signal;

fn up<'a>(host: &'a Host, name: &str) -> Up<'a> {
    Up::start(host, &topology("nat-gateway.yaml"), name, &[])
}

#[test]
fn a_thousand_connections_at_a_time_reach_interface_and_internet_host() {
    let host = Host::start();
    let before = Snapshot::of(&host);
    let up = up(&host, "many");
    for (member, port) in [("app", "7000"), ("partner.example", "7001")] {
        let server = up.talker(member, &["accept", "--port", port]);
        assert_eq!(server.hear(), "ready");
        a_thousand_at_a_time(&up, &format!("{member}:{port}"));
    }
    up.down();
    before.assert_same(&host, "forward and down");
}

fn a_thousand_at_a_time(up: &Up<'_>, inside: &str) {
    let forward = Forward::start(up, "0", inside);
    assert!(forward.address.starts_with("127.0.0.1:"), "{}", forward.address);
    let mut clients = up.host().command(peer());
    clients.args(["connect", "--to", &forward.address]);
    let said = output(clients.args(["--count", "3000", "--parallel", "1000"])).success();
    assert_eq!(said.trim(), r#"{"ok":3000}"#);
    assert_eq!(forward.complaints(), "");
    assert_eq!(forward.end_by(Signal::TERM), 0);
}

#[test]
fn a_thousand_connections_at_a_time_reach_a_container() {
    let host = Host::start();
    let up = Up::start(&host, &topology("nat-gateway.yaml"), "contained", &["--docker"]);
    let docker = Docker::start(&host);
    docker.network("vpc", &["--subnet", "10.0.1.0/24"]);
    let run = ["run", "--rm", "--interactive", "--network", "vpc", "--ip", "10.0.1.10"];
    let mut command = docker.command("docker");
    command.args(run).args(docker::programs_of_the_host());
    command.args([docker::BUSYBOX, "/peer/peer", "accept", "--port", "80"]);
    let server = Talker::start(&mut command);
    assert_eq!(server.hear(), "ready");
    a_thousand_at_a_time(&up, "app:80");
}

#[test]
fn each_direction_ends_by_itself() {
    let host = Host::start();
    let up = up(&host, "halves");
    // Each side counts what came until the other's end, and answers after it.
    let serve = "import socket
s = socket.create_server(('127.0.0.1', 7002)); print('ready', flush=True)
c, _ = s.accept(); n = 0
while d := c.recv(65536): n += len(d)
c.sendall(b'%d' % n * 100000); c.close()";
    let server = Talker::start(up.exec("app", "python3").args(["-c", serve]));
    assert_eq!(server.hear(), "ready");
    let forward = Forward::start(&up, "127.0.0.1:0", "app:7002");
    let (address, port) = forward.address.rsplit_once(':').unwrap();
    let ask = "import socket, sys
c = socket.create_connection((sys.argv[1], int(sys.argv[2])))
c.sendall(b'x' * 10000000); c.shutdown(socket.SHUT_WR); n = 0; first = b''
while d := c.recv(65536): n += len(d); first = first or d[:8]
print(first.decode(), n)";
    let said = output(host.command("python3").args(["-c", ask, address, port])).success();
    assert_eq!(said.trim(), "10000000 800000");
    assert_eq!(forward.end_by(Signal::INT), 0);
}

#[test]
fn a_reset_inside_is_a_reset_outside() {
    let host = Host::start();
    let up = up(&host, "reset");
    let serve = "import socket, struct
s = socket.create_server(('10.0.1.10', 7003)); print('ready', flush=True)
c, _ = s.accept(); c.recv(10); c.sendall(b'half of it'); print('sent', flush=True); input()
c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0)); c.close()";
    // It listens on the interface's address alone.
    let mut server = Talker::start(up.exec("app", "python3").args(["-c", serve]));
    assert_eq!(server.hear(), "ready");
    let forward = Forward::start(&up, "0", "app:7003");
    let mut client = Talker::start(host.command(peer()).args(["dialogue", "to", &forward.address]));
    assert_eq!(client.hear(), "connected");
    client.say("please");
    assert_eq!(server.hear(), "sent");
    server.say("");
    assert_eq!(client.hear(), "error ConnectionReset");
    drop(client);
    assert_eq!(forward.end_by(Signal::TERM), 0);
}

#[test]
fn whoever_is_refused_inside_is_closed_and_told() {
    let host = Host::start();
    let up = up(&host, "refused");
    let forward = Forward::start(&up, "0", "app:7004");
    let client = Talker::start(host.command(peer()).args(["dialogue", "to", &forward.address]));
    assert_eq!(client.hear(), "connected");
    assert!(matches!(&*client.hear(), "closed" | "error ConnectionReset"));
    let told = ": nothing listens on port 7004 of app\n";
    wait_until("it is told", 5, || forward.complaints().ends_with(told));
    assert!(forward.complaints().starts_with("hypertun: 127.0.0.1:"), "{}", forward.complaints());
    // It goes on.
    let server = up.talker("app", &["accept", "--port", "7004"]);
    assert_eq!(server.hear(), "ready");
    let mut clients = host.command(peer());
    clients.args(["connect", "--to", &forward.address, "--count", "5", "--parallel", "1"]);
    assert_eq!(output(&mut clients).success().trim(), r#"{"ok":5}"#);
    assert_eq!(forward.end_by(Signal::TERM), 0);
}

#[test]
fn what_cannot_be_forwarded_is_told_at_once() {
    let host = Host::start();
    let up = up(&host, "wrong");
    let says = |arguments: &[&str]| output(up.hypertun(&["forward"]).args(arguments));
    let unknown = says(&["0", "nobody:80"]);
    assert_eq!(unknown.status, 1, "{unknown:?}");
    assert!(unknown.err.contains("`nobody` has no network namespace; these have: app"));
    let built_in = says(&["0", "echo.example:7"]);
    assert_eq!(built_in.status, 1, "{built_in:?}");
    let forward = Forward::start(&up, "0", "app:80");
    let taken = says(&[&forward.address, "app:80"]);
    assert_eq!(taken.status, 1, "{taken:?}");
    assert!(taken.err.contains("cannot listen on 127.0.0.1:"), "{taken:?}");
    assert_eq!(taken.err.trim_end().lines().count(), 1, "{taken:?}");
    for usage in [&["80"][..], &["x", "app:80"], &["80", "app"], &["80", "app:0"]] {
        let said = says(usage);
        assert_eq!(said.status, 2, "{usage:?}: {said:?}");
    }
    let absent = host.run(&["forward", "--name", "absent", "0", "app:80"]);
    assert_eq!(absent.status, 1, "{absent:?}");
    assert!(absent.err.contains("no instance `absent` is running"), "{absent:?}");
    assert_eq!(forward.end_by(Signal::TERM), 0);
}

#[test]
fn it_ends_with_the_instance() {
    let host = Host::start();
    let before = Snapshot::of(&host);
    let up = up(&host, "ends");
    let forward = Forward::start(&up, "0", "app:7007");
    up.down();
    let told = "hypertun: instance ends has ended\n";
    wait_until("it is told", 5, || forward.complaints() == told);
    assert_eq!(forward.end(), 1);
    wait_until("its namespace ends", 5, || Snapshot::of(&host) == before);
}

#[test]
fn an_unprivileged_user_forwards_too() {
    let host = Host::start();
    let script = r#"
        mount -t tmpfs -o mode=755 tmpfs /mnt
        mknod -m 666 /mnt/tun c 10 200
        cp "$1" /mnt/hypertun; cp "$2" /mnt/vpc.yaml; cp "$3" /mnt/peer
        mount --bind /mnt/tun /dev/net/tun
        mkdir -m 1777 -p /tmp; cd /mnt
        exec setpriv --reuid 65534 --regid 65534 --clear-groups env -i PATH="$PATH" sh -euc '
            ./hypertun up vpc.yaml -d
            ./hypertun exec app -- ./peer accept --port 7005 < /dev/zero > /tmp/accept & server=$!
            until grep -q ready /tmp/accept; do sleep 0.05; done
            ./hypertun forward 17005 app:7005 > /tmp/forward & forward=$!
            until grep -q forwarding /tmp/forward; do sleep 0.05; done
            ./peer connect --to 127.0.0.1:17005 --count 20 --parallel 4
            kill $forward; wait $forward
            kill $server; ./hypertun down; rm /tmp/accept /tmp/forward'"#;
    let mut command = host.command("unshare");
    command.args(["--mount", "sh", "-euc", script, "sh"]).arg(hypertun());
    let said = output(command.arg(topology("nat-gateway.yaml")).arg(peer()));
    assert_eq!(said.status, 0, "{said:?}");
    assert_eq!(said.out.trim(), "ready\n{\"ok\":20}");
}
