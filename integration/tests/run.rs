//! `hypertun run`: one command on a network of its own, its status, and nothing left.
#![expect(clippy::unwrap_used, reason = "a test says by a panic that its promise is broken")]

use std::process::Stdio;
use std::time::Instant;

use integration::{
    Host, Output, Snapshot, Talker, only_child, output, signal, topology, wait_until,
};
use rustix::process::Signal;
use serde_json::Value;

const CHECKIP: [&str; 7] = [
    "curl",
    "--silent",
    "--max-time",
    "5",
    "--resolve",
    "checkip.amazonaws.com:80:203.0.113.80",
    "http://checkip.amazonaws.com/",
];

fn run_in(host: &Host, file: &str, member: &str, options: &[&str], command: &[&str]) -> Output {
    let file = topology(file);
    let mut arguments = vec!["run", file.to_str().unwrap(), "--in", member];
    arguments.extend(options);
    arguments.push("--");
    arguments.extend(command);
    host.run(&arguments)
}

fn status_of(host: &Host, command: &[&str]) -> i32 {
    run_in(host, "nat-gateway.yaml", "app", &[], command).status
}

#[test]
fn checkip_answers_the_nat_gateways_address() {
    let host = Host::start();
    let before = Snapshot::of(&host);
    let began = Instant::now();
    let said = run_in(&host, "nat-gateway.yaml", "app", &[], &CHECKIP);
    println!("run … curl: {:.2?}: {}", began.elapsed(), said.out.trim());
    assert_eq!(said.success().trim(), "198.51.100.10");
    before.assert_same(&host, "run");
    // A bastion has an address of its own, and --no-gso changes nothing.
    let said = run_in(&host, "nat-gateway.yaml", "bastion", &["--no-gso"], &CHECKIP);
    assert_eq!(said.success().trim(), "198.51.100.20");
}

#[test]
fn without_a_route_it_times_out_and_explain_says_why() {
    let host = Host::start();
    let said = run_in(&host, "private-only.yaml", "app", &[], &CHECKIP);
    assert_eq!(said.status, 28, "curl: operation timed out: {said:?}");

    let file = topology("private-only.yaml");
    let question = ["--from", "app", "--to", "checkip.amazonaws.com", "--json"];
    let said = host.run(&[&["explain", file.to_str().unwrap()][..], &question].concat());
    assert_eq!(said.status, 1);
    let walked: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(walked["verdict"], "dropped");
    assert_eq!(walked["reason"], "NO_ROUTE_TO_DESTINATION");
}

#[test]
fn the_status_is_the_commands_or_says_whose_fault_it_was() {
    let host = Host::start();
    assert_eq!(status_of(&host, &["true"]), 0);
    assert_eq!(status_of(&host, &["sh", "-c", "exit 42"]), 42);
    assert_eq!(status_of(&host, &["sh", "-c", "kill -9 $$"]), 137);
    assert_eq!(status_of(&host, &["/no/such/program"]), 127);
    assert_eq!(status_of(&host, &["no-such-program"]), 127);
    assert_eq!(status_of(&host, &["/etc/passwd"]), 126);
    assert_eq!(status_of(&host, &["/etc"]), 126);

    let began = Instant::now();
    let late = run_in(&host, "nat-gateway.yaml", "app", &["--timeout", "300ms"], &["sleep", "60"]);
    assert_eq!(late.status, 124, "{late:?}");
    assert!(began.elapsed().as_secs() < 10);

    let unknown = run_in(&host, "nat-gateway.yaml", "nobody", &[], &["true"]);
    assert_eq!(unknown.status, 125);
    assert_one_sentence(&unknown, "`nobody` has no network namespace; these have: app, bastion");
    let served = run_in(&host, "nat-gateway.yaml", "echo.example", &[], &["true"]);
    assert_eq!(served.status, 125, "a built-in host has no namespace: {served:?}");
    let absent = host.run(&["run", "/no/such.yaml", "--in", "app", "--", "true"]);
    assert_eq!(absent.status, 125);
    assert_one_sentence(&absent, "/no/such.yaml");
    let wrong = run_in(&host, "refused/dangling-names.yaml", "app", &[], &["true"]);
    assert_eq!(wrong.status, 125);
    assert!(wrong.err.contains("refused/dangling-names.yaml:"), "{wrong:?}");

    for usage in [&["run"][..], &["run", "x.yaml", "--", "true"], &["run", "x", "--in", "app"]] {
        let said = host.run(usage);
        assert_eq!(said.status, 2, "{usage:?}: {said:?}");
    }
}

#[test]
fn missing_rights_and_a_missing_device_are_one_sentence_each() {
    let host = Host::start();
    let before = Snapshot::of(&host);
    let file = topology("nat-gateway.yaml");
    // A user without rights, in a changed root, where the kernel gives no user namespaces (unshare(2)).
    let (binary, copy) = (integration::hypertun(), "/run/hypertun.test");
    let _ = host.says("install", &["--mode=755", binary.to_str().unwrap(), copy]);
    let mut command = host.command("unshare");
    command.args(["--mount", "sh", "-ec"]);
    command.arg("mount --rbind / /mnt; exec chroot --userspec=65534:65534 /mnt \"$@\"").arg("sh");
    command.arg(copy).arg("run").arg(&file).args(["--in", "app", "--", "true"]);
    let said = output(&mut command);
    assert_eq!(said.status, 125, "{said:?}");
    assert_one_sentence(&said, "run as root");
    let _ = host.says("rm", &[copy]);
    before.assert_same(&host, "a refusal");

    // A container without the device.
    let mut command = host.command("unshare");
    command.args(["--mount", "sh", "-c"]);
    command.arg("mount -t tmpfs none /dev/net && exec \"$@\"").arg("sh");
    command.arg(integration::hypertun()).arg("run").arg(&file).args(["--in", "app", "--", "true"]);
    let said = output(&mut command);
    assert_eq!(said.status, 125, "{said:?}");
    assert_one_sentence(&said, "/dev/net/tun does not exist");
    before.assert_same(&host, "a start without /dev/net/tun");
}

#[test]
fn a_user_without_root_has_a_network_too() {
    let host = Host::start();
    // The device as distributions have it: for everybody.
    let device = "mount -t tmpfs none /dev/net && mknod /dev/net/tun c 10 200";
    let _ = host.says("sh", &["-euc", device]);
    let (binary, copy) = (integration::hypertun(), "/run/hypertun.test");
    let _ = host.says("install", &["--mode=755", binary.to_str().unwrap(), copy]);
    let before = Snapshot::of(&host);
    let run = || {
        let mut command = host.command("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--", copy, "run"]);
        command.arg(topology("nat-gateway.yaml")).args(["--in", "app", "--"]).args(CHECKIP);
        output(command.env_remove("XDG_RUNTIME_DIR"))
    };
    let _ = host.says("chmod", &["600", "/dev/net/tun"]);
    let denied = run();
    assert_eq!(denied.status, 125, "{denied:?}");
    assert_one_sentence(&denied, "/dev/net/tun may not be opened");
    let _ = host.says("chmod", &["666", "/dev/net/tun"]);
    let said = run();
    assert_eq!(said.success().trim(), "198.51.100.10");
    let _ = host.says("chmod", &["644", "/dev/net/tun"]);
    let _ = host.says("rm", &["-rf", "/tmp/hypertun-65534"]);
    before.assert_same(&host, "runs without root");
}

fn assert_one_sentence(said: &Output, words: &str) {
    assert!(said.err.starts_with("hypertun: ") && said.err.contains(words), "{said:?}");
    assert_eq!(said.err.trim_end().lines().count(), 1, "{said:?}");
}

#[test]
fn signals_are_forwarded_and_nothing_is_left_running() {
    let host = Host::start();
    let before = Snapshot::of(&host);
    let file = topology("nat-gateway.yaml");
    // The command ends in its own way, and leaves two behind that do not want to end.
    let script = "trap 'echo told; exit 7' TERM; trap '' HUP
        sh -c 'trap \"\" TERM; sleep 1001' & setsid sleep 1002 & echo ready; while :; do sleep 0.05; done";
    let mut command = host.hypertun(&["run"]);
    command.arg(&file).args(["--in", "app", "--", "sh", "-c", script]).stderr(Stdio::inherit());
    let run = Talker::start(&mut command);
    assert_eq!(run.hear(), "ready");
    let process = only_child(run.id());
    signal(process, Signal::TERM);
    assert_eq!(run.hear(), "told");
    let began = Instant::now();
    assert_eq!(run.end(), 7);
    println!("whatever was left running is gone after {:.2?}", began.elapsed());
    let running = host.says("ps", &["-e", "-o", "args="]);
    assert!(!running.contains("sleep 100"), "{running}");
    before.assert_same(&host, "run");
}

#[test]
fn a_killed_run_leaves_only_what_the_next_start_sweeps() {
    let host = Host::start();
    let before = Snapshot::of(&host);
    let file = topology("nat-gateway.yaml");
    let mut command = host.hypertun(&["run"]);
    command.arg(&file).args(["--in", "app", "--", "sh", "-c", "echo ready; exec sleep 1003"]);
    let run = Talker::start(&mut command);
    assert_eq!(run.hear(), "ready");
    signal(only_child(run.id()), Signal::KILL);
    assert_eq!(run.end(), 137);
    let _ = host.says("pkill", &["-f", "sleep 1003"]);
    wait_until("its command is gone", 5, || !host.says("ps", &["-e"]).contains("sleep"));
    assert_eq!(status_of(&host, &["true"]), 0);
    before.assert_same(&host, "SIGKILL and another run");
}
