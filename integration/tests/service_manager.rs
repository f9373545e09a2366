//! Does a service manager learn that packets flow? `packaging/systemd` has it wait for that.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use integration::{Host, only_child, output, signal, topology};
use rustix::process::Signal;

#[test]
fn a_service_manager_is_told_once_packets_flow() {
    let host = Host::start();
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(30))).unwrap();

    let mut up = host.hypertun(&["up", "--name", "managed"]);
    let mut up =
        up.arg(topology("nat-gateway.yaml")).env("NOTIFY_SOCKET", &socket).spawn().unwrap();
    let mut told = [0; 64];
    let length = manager.recv(&mut told).unwrap();
    assert_eq!(told[..length].trim_ascii_end(), b"READY=1");
    let curl =
        ["exec", "--name", "managed", "app", "--", "curl", "-s", "http://checkip.amazonaws.com/"];
    assert_eq!(output(&mut host.hypertun(&curl)).success().trim(), "198.51.100.10");
    signal(only_child(up.id()), Signal::TERM);
    assert!(up.wait().unwrap().success());
}
