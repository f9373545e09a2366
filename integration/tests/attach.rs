//! `hypertun attach` and `detach`: the interface of an ENI for what runs already.
#![expect(clippy::unwrap_used, reason = "a test says by a panic that its promise is broken")]

use std::process::Stdio;

use integration::{File, Host, Output, Snapshot, Talker, Up, output, topology, wait_until};
use rustix::process::Signal;
use serde_json::{Value, json};

fn up<'a>(host: &'a Host, name: &str) -> Up<'a> {
    Up::start(host, &topology("nat-gateway.yaml"), name, &[])
}

fn hypertun(up: &Up<'_>, arguments: &[&str]) -> Output {
    output(&mut up.hypertun(arguments))
}

/// A process in a network namespace of its own, in which nothing is up.
struct Process {
    talker: Talker,
    id: String,
}

impl Process {
    fn start(host: &Host) -> Self {
        let mut command = host.command("unshare");
        let talker = Talker::start(command.args(["--net", "sh", "-c", "echo $$; cat"]));
        let id = talker.hear();
        Self { talker, id }
    }

    /// What a command in its network says, which must succeed.
    fn says(&self, host: &Host, command: &[&str]) -> String {
        host.says("nsenter", &[&["--net", "--target", &self.id, "--"], command].concat())
    }

    /// What a NAT gateway makes of it.
    fn seen_as(&self, host: &Host) -> String {
        let seen = self.says(host, &["curl", "-s", "-m", "5", "http://203.0.113.80/"]);
        seen.trim().to_owned()
    }

    fn links(&self, host: &Host) -> Vec<String> {
        let links = self.says(host, &["ip", "-br", "link"]);
        links.lines().filter_map(|line| line.split_whitespace().next()).map(Into::into).collect()
    }
}

/// What `status` says that `app` is attached to.
fn attachment(up: &Up<'_>) -> Value {
    let status = up.json("status");
    let mut interfaces = status["network_interfaces"].as_array().unwrap().iter();
    interfaces.find(|it| it["name"] == "app").unwrap()["attachment"].clone()
}

fn at_home(up: &Up<'_>) {
    wait_until("it is at home", 10, || attachment(up).is_null());
    let seen = up.says("app", &["curl", "-s", "-m", "5", "http://203.0.113.80/"]);
    assert_eq!(seen.trim(), "198.51.100.10");
    let address = up.says("app", &["ip", "-br", "address", "show", "eth0"]);
    assert!(address.contains("10.0.1.10/24"), "{address}");
}

#[test]
fn a_process_has_the_interface_until_it_is_detached() {
    let host = Host::start();
    let up = up(&host, "process");
    let process = Process::start(&host);
    assert_eq!(process.links(&host), ["lo"]);
    for _ in 0..3 {
        let said = hypertun(&up, &["attach", "app", "--pid", &process.id]).success();
        assert_eq!(said, format!("app attached to process {} as eth0\n", process.id));
        assert_eq!(process.seen_as(&host), "198.51.100.10");
        let addresses = process.says(&host, &["ip", "-br", "address"]);
        let inside: Vec<_> = addresses.split_whitespace().collect();
        assert_eq!(inside[..3], ["lo", "UNKNOWN", "127.0.0.1/8"], "{addresses}");
        assert_eq!(inside[inside.len() - 3..], ["eth0", "UNKNOWN", "10.0.1.10/24"], "{addresses}");
        let link = process.says(&host, &["ip", "link", "show", "eth0"]);
        assert!(link.contains("mtu 9001") && link.contains(",UP,LOWER_UP"), "{link}");
        let routes = process.says(&host, &["ip", "route"]);
        assert!(routes.starts_with("default via 10.0.1.1 dev eth0 "), "{routes}");
        let pid: i64 = process.id.parse().unwrap();
        assert_eq!(attachment(&up), json!({"to": {"pid": pid}, "interface": "eth0"}));
        // `exec` goes where the interface is.
        let inside = up.says("app", &["readlink", "/proc/self/ns/net"]);
        assert_eq!(inside, process.says(&host, &["readlink", "/proc/self/ns/net"]));
        assert!(output(&mut up.hypertun(&["status"])).success().contains(&process.id));

        let again = hypertun(&up, &["attach", "app", "--pid", &process.id]);
        assert_eq!(again.status, 1, "{again:?}");
        let words = format!("`app` is attached to process {}; `hypertun detach app`", process.id);
        assert!(again.err.contains(&words), "{again:?}");
        let said = hypertun(&up, &["detach", "app"]).success();
        assert_eq!(said, format!("app detached from process {}\n", process.id));
        assert_eq!(process.links(&host), ["lo"]);
        at_home(&up);
    }
    let again = hypertun(&up, &["detach", "app"]);
    assert_eq!(again.status, 1, "{again:?}");
    assert!(again.err.contains("`app` is not attached to anything"), "{again:?}");
}

#[test]
fn it_comes_home_from_a_process_that_ends() {
    let host = Host::start();
    let up = up(&host, "ends");
    for _ in 0..3 {
        let process = Process::start(&host);
        let _ = hypertun(&up, &["attach", "app", "--pid", &process.id]).success();
        assert_eq!(process.seen_as(&host), "198.51.100.10");
        let _ = host.says("kill", &["-9", &process.id]);
        drop(process.talker);
        at_home(&up);
    }
    // Another may have it at once, whether it is known yet that the first is dead or not.
    let first = Process::start(&host);
    let _ = hypertun(&up, &["attach", "app", "--pid", &first.id]).success();
    let second = Process::start(&host);
    let _ = host.says("kill", &["-9", &first.id]);
    drop(first.talker);
    wait_until("it is dead", 5, || !host.says("ps", &["-e", "-o", "pid="]).contains(&first.id));
    let _ = hypertun(&up, &["attach", "app", "--pid", &second.id]).success();
    assert_eq!(second.seen_as(&host), "198.51.100.10");
}

#[test]
fn processes_that_die_meanwhile_leave_nothing_behind() {
    let host = Host::start();
    let up = up(&host, "dies");
    for delay in 0..12 {
        let process = Process::start(&host);
        let kill = format!("sleep 0.0{delay:02}; kill -9 {}", process.id);
        let mut killer = host.command("sh").args(["-c", &kill]).spawn().unwrap();
        let said = hypertun(&up, &["attach", "app", "--pid", &process.id]);
        let told = said.err.contains("has ended") || said.err.contains("there is no process");
        assert!(said.status == 0 || said.status == 1 && told, "{said:?}");
        assert!(killer.wait().unwrap().success());
        drop(process);
        at_home(&up);
    }
    assert_eq!(up.json("drops").to_string(), "[]");
}

#[test]
fn a_namespace_by_path_may_go_at_any_time() {
    let host = Host::start();
    let _ = host.says("ip", &["netns", "add", "theirs"]);
    let before = Snapshot::of(&host);
    let up = up(&host, "path");
    for _ in 0..2 {
        let _ = host.says("ip", &["netns", "add", "blue"]);
        let said = hypertun(&up, &["attach", "app", "--netns", "/run/netns/blue"]).success();
        assert_eq!(said, "app attached to network namespace /run/netns/blue as eth0\n");
        let curl = ["netns", "exec", "blue", "curl", "-s", "-m", "5", "http://203.0.113.80/"];
        assert_eq!(host.says("ip", &curl).trim(), "198.51.100.10");
        let _ = host.says("ip", &["netns", "del", "blue"]);
        at_home(&up);
    }
    let _ = host.says("ip", &["netns", "add", "blue"]);
    let _ = hypertun(&up, &["attach", "app", "--netns", "/run/netns/blue"]).success();
    // Whoever may administer it there may delete it, too.
    let _ = host.says("ip", &["-n", "blue", "link", "delete", "eth0"]);
    at_home(&up);
    let _ = hypertun(&up, &["attach", "app", "--netns", "/run/netns/blue"]).success();
    let _ = host.says("ip", &["-n", "blue", "link", "set", "eth0", "down", "name", "renamed"]);
    let _ = hypertun(&up, &["detach", "app"]).success();
    at_home(&up);
    let _ = hypertun(&up, &["attach", "app", "--netns", "/run/netns/blue"]).success();
    up.down();
    assert_eq!(host.says("ip", &["-n", "blue", "-br", "link"]).lines().count(), 1, "lo");
    let _ = host.says("ip", &["netns", "del", "blue"]);
    before.assert_same(&host, "attachments and down");
}

#[test]
fn both_families_and_plain_devices_move_too() {
    let host = Host::start();
    let file = topology("dual-stack.yaml");
    for options in [&[][..], &["--tun", "compat"]] {
        let up = Up::start(&host, &file, "both", options);
        let process = Process::start(&host);
        let inside = || {
            let addresses = up.says("web", &["ip", "-br", "address", "show", "eth0"]);
            let v6 = up.says("web", &["ip", "-6", "route", "show", "default"]);
            (addresses, v6, up.says("web", &["ip", "route", "show", "default"]))
        };
        let at_home = inside();
        let _ = hypertun(&up, &["attach", "web", "--pid", &process.id]).success();
        assert_eq!(inside(), at_home);
        for host in ["203.0.113.80", "[2001:db8:80::80]"] {
            let url = format!("http://{host}/");
            let seen = up.says("web", &["curl", "-s", "-m", "5", &url]);
            assert!(!seen.trim().is_empty(), "{url}");
        }
        let _ = hypertun(&up, &["detach", "web"]).success();
        assert_eq!(inside(), at_home);
        // Nothing was said but what was asked for: no solicitations, no reports.
        assert_eq!(up.json("drops").to_string(), "[]");
        up.down();
    }
}

#[test]
fn an_unprivileged_user_attaches_what_is_in_the_same_user_namespace() {
    let host = Host::start();
    let script = r#"
        mount -t tmpfs -o mode=755 tmpfs /mnt
        mknod -m 666 /mnt/tun c 10 200
        cp "$1" /mnt/hypertun; cp "$2" /mnt/vpc.yaml
        mount --bind /mnt/tun /dev/net/tun
        mkdir -m 1777 -p /tmp; cd /mnt
        exec setpriv --reuid 65534 --regid 65534 --clear-groups env -i PATH="$PATH" sh -euc '
            ./hypertun up vpc.yaml -d
            sleep 1009 & stranger=$!
            ./hypertun attach app --pid $stranger || true
            kill $stranger
            ./hypertun exec bastion -- unshare --net sleep 1008 & process=$!
            until [ "$(cat /proc/$process/comm)" = sleep ]; do sleep 0.05; done
            ./hypertun attach app --pid $process
            ./hypertun exec app -- curl -s -m 5 http://203.0.113.80/
            kill $process
            ./hypertun down'"#;
    let mut command = host.command("unshare");
    command.args(["--mount", "sh", "-euc", script, "sh"]).arg(integration::hypertun());
    let said = output(command.arg(topology("nat-gateway.yaml")));
    assert_eq!(said.status, 0, "{said:?}");
    assert!(said.err.ends_with("is missing; run as root\n"), "{said:?}");
    let lines: Vec<_> = said.out.lines().collect();
    assert!(lines[1].starts_with("app attached to process "), "{said:?}");
    assert_eq!((lines[0], lines[2]), ("ready", "198.51.100.10"), "{said:?}");
}

/// A namespace with a network of its own, by which everything goes.
const CONNECTED: &str = "ip netns add green
    ip link add outer type veth peer name eth0 netns green
    ip -n green link set lo up
    echo 0 > /proc/sys/net/ipv6/conf/outer/accept_dad
    ip netns exec green sh -c 'echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_dad'
    ip link set outer up
    ip -n green address add 192.0.2.2/24 dev eth0
    ip -n green address add 2001:db8::2/64 dev eth0 nodad
    ip -n green link set eth0 up
    ip -n green route add default via 192.0.2.1 dev eth0 metric 7
    ip -n green -6 route add default via 2001:db8::1 dev eth0";

fn routes(host: &Host) -> String {
    let v6 = host.says("ip", &["-n", "green", "-6", "route"]);
    host.says("ip", &["-n", "green", "route"]) + &v6
}

#[test]
fn a_default_route_is_replaced_on_request_and_comes_back() {
    let host = Host::start();
    let _ = host.says("sh", &["-euc", CONNECTED]);
    let file = File::copy("nat-gateway.yaml", "routes");
    let up = Up::start(&host, file.path(), "routes", &[]);
    let before = routes(&host);
    let attach = ["attach", "app", "--netns", "/run/netns/green"];
    let refused = hypertun(&up, &attach);
    assert_eq!(refused.status, 1, "{refused:?}");
    let words =
        "eth0 has the default route of network namespace /run/netns/green; --replace-default";
    assert!(refused.err.contains(words), "{refused:?}");
    assert_eq!(routes(&host), before);
    at_home(&up);

    let replace = [&attach[..], &["--replace-default"]].concat();
    let attach_again = || {
        let said = hypertun(&up, &replace).success();
        assert!(said.ends_with(" as eth1\n"), "{said}");
        let curl = ["netns", "exec", "green", "curl", "-s", "-m", "5", "http://203.0.113.80/"];
        assert_eq!(host.says("ip", &curl).trim(), "198.51.100.10");
        let defaults: Vec<_> = routes(&host)
            .lines()
            .filter(|it| it.starts_with("default"))
            .map(str::to_owned)
            .collect();
        assert_eq!(defaults, ["default via 10.0.1.1 dev eth1 proto static "]);
    };
    attach_again();
    let _ = hypertun(&up, &["detach", "app"]).success();
    assert_eq!(routes(&host), before, "after detach");
    at_home(&up);

    // A topology without the interface takes it away.
    attach_again();
    file.write(&[("  app:\n    subnet: private-a\n", "  other:\n    subnet: private-a\n")]);
    let _ = file.apply(&up).success();
    wait_until("its routes are back", 5, || routes(&host) == before);
    let gone = hypertun(&up, &["detach", "app"]);
    assert_eq!(gone.status, 1, "{gone:?}");
    assert!(gone.err.contains("the topology has no network interface `app`; it has: "), "{gone:?}");
    let seen = up.says("other", &["curl", "-s", "-m", "5", "http://203.0.113.80/"]);
    assert_eq!(seen.trim(), "198.51.100.10");
    file.write(&[]);
    let _ = file.apply(&up).success();
    at_home(&up);

    attach_again();
    up.end_by(Signal::TERM);
    assert_eq!(routes(&host), before, "after the end of the instance");
}

#[test]
fn a_changed_interface_changes_where_it_is() {
    let host = Host::start();
    let file = File::copy("nat-gateway.yaml", "moved");
    let up = Up::start(&host, file.path(), "moved", &[]);
    let process = Process::start(&host);
    let _ = hypertun(&up, &["attach", "app", "--pid", &process.id]).success();
    file.write(&[("private_ip: 10.0.1.10", "private_ip: 10.0.1.77")]);
    let _ = file.apply(&up).success();
    let address = process.says(&host, &["ip", "-br", "address", "show", "eth0"]);
    assert!(address.contains("10.0.1.77/24") && !address.contains("10.0.1.10"), "{address}");
    assert_eq!(process.seen_as(&host), "198.51.100.10");
    let _ = hypertun(&up, &["detach", "app"]).success();
    let address = up.says("app", &["ip", "-br", "address", "show", "eth0"]);
    assert!(address.contains("10.0.1.77/24"), "{address}");
}

#[test]
fn what_cannot_be_attached_is_told_and_changes_nothing() {
    let host = Host::start();
    let up = up(&host, "wrong");
    let before = Snapshot::of(&host);
    let _ = host.says("sh", &["-c", "echo > /run/file"]);
    let home = "/run/netns/wrong:app";
    for (arguments, words) in [
        (&["nobody", "--pid", "1"][..], "no network interface `nobody`; it has: app, bastion"),
        (&["partner.example", "--pid", "1"], "no network interface `partner.example`"),
        (&["app", "--pid", "1"], "process 1 is in the network namespace of the host"),
        (&["app", "--netns", "/proc/1/ns/net"], "is in the network namespace of the host"),
        (&["app", "--pid", "999999"], "there is no process 999999"),
        (&["app", "--netns", "/run/netns/none"], "there is no network namespace /run/netns/none"),
        (&["app", "--netns", "/run/file"], "/run/file is not a network namespace"),
        (&["app", "--netns", home], "it is in the interface's own network namespace"),
        (&["app", "--netns", "/run/netns/wrong:bastion"], "eth0 has the default route of"),
        (&["app", "--container", "web"], "no container engine answers: docker: "),
    ] {
        let mut command = up.hypertun(&["attach"]);
        command.args(arguments).env("DOCKER_HOST", "unix:///run/none.sock");
        let said = output(command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"));
        assert_eq!(said.status, 1, "{arguments:?}: {said:?}");
        assert!(said.err.contains(words), "{arguments:?}: {said:?}");
        assert_eq!(said.err.trim_end().lines().count(), 1, "{said:?}");
    }
    let both = ["app", "--pid", "1", "--netns", "x"];
    for usage in [&["app"][..], &both, &["app", "--pid", "0"], &["app", "--container", "-x"]] {
        let said = output(up.hypertun(&["attach"]).args(usage));
        assert_eq!(said.status, 2, "{usage:?}: {said:?}");
    }
    let _ = host.says("rm", &["/run/file"]);
    before.assert_same(&host, "refusals");
    at_home(&up);
}

#[test]
fn a_server_in_it_is_reached_from_the_host() {
    let host = Host::start();
    let up = up(&host, "forward");
    let process = Process::start(&host);
    let _ = hypertun(&up, &["attach", "app", "--pid", &process.id]).success();
    let mut server = host.command("nsenter");
    server.args(["--net", "--target", &process.id, "--"]).arg(integration::peer());
    let server = Talker::start(server.args(["accept", "--port", "7006"]));
    assert_eq!(server.hear(), "ready");
    let mut forward = up.hypertun(&["forward", "17006", "app:7006"]);
    let forward = Talker::start(forward.stderr(Stdio::inherit()));
    assert_eq!(forward.hear(), "forwarding 127.0.0.1:17006 to app:7006");
    let mut clients = host.command(integration::peer());
    clients.args(["connect", "--to", "127.0.0.1:17006", "--count", "9", "--parallel", "3"]);
    assert_eq!(output(&mut clients).success().trim(), r#"{"ok":9}"#);
}
