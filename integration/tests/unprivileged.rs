//! Without root: an unprivileged user with a `/dev/net/tun` that it may open, and without one.

use integration::{Host, hypertun, output, topology};

/// Runs as nobody, with a copy of the binary and a TUN node of mode `$1`, in mounts of its own.
const AS_NOBODY: &str = r#"
    mode=$1; binary=$2; file=$3; shift 3
    mount -t tmpfs -o mode=755 tmpfs /mnt
    mknod /mnt/tun c 10 200
    chmod "$mode" /mnt/tun
    cp "$binary" /mnt/hypertun
    cp "$file" /mnt/vpc.yaml
    mount --bind /mnt/tun /dev/net/tun
    mkdir -m 1777 -p /tmp
    cd /mnt
    exec setpriv --reuid 65534 --regid 65534 --clear-groups env -i PATH="$PATH" sh -euc "$1"
"#;

fn as_nobody(host: &Host, mode: &str, script: &str) -> integration::Output {
    let mut command = host.command("unshare");
    command.args(["--mount", "sh", "-euc", AS_NOBODY, "sh", mode]);
    output(command.arg(hypertun()).arg(topology("nat-gateway.yaml")).arg(script))
}

#[test]
fn every_command_works_where_the_kernel_allows_it() {
    let host = Host::start();
    let script = "
        ./hypertun demo
        ./hypertun run vpc.yaml --in app -- curl -s -m 5 http://203.0.113.80/
        ./hypertun run vpc.yaml --tun compat --in app -- curl -s -m 5 http://203.0.113.80/
        ./hypertun up vpc.yaml -d
        ./hypertun exec app -- curl -s -m 5 http://203.0.113.80/
        ./hypertun explain vpc.yaml --from app --to 203.0.113.80
        ./hypertun down
        echo left; ls /run/netns /tmp/hypertun-65534 2>/dev/null || true";
    let said = as_nobody(&host, "666", script);
    println!("{}", said.out);
    assert_eq!(said.status, 0, "{said:?}");
    let seen = said.out.lines().filter(|line| *line == "198.51.100.10").count();
    assert_eq!(seen, 3, "run, run with plain devices, exec");
    assert!(said.out.contains("checkip.amazonaws.com sees 198.51.100.10"), "demo");
    assert!(said.out.contains("arrives as 203.0.113.80:80 > 10.0.1.10:40000"), "explain");
    let left = said.out.rsplit_once("left\n").map_or("", |(_, left)| left);
    assert_eq!(left, "/tmp/hypertun-65534:\ndefault.log\n");
}

#[test]
fn what_stands_in_the_way_is_named() {
    let host = Host::start();
    let refused = as_nobody(&host, "600", "./hypertun run vpc.yaml --in app -- true");
    assert_eq!(refused.status, 125, "{refused:?}");
    assert!(refused.err.contains("/dev/net/tun may not be opened"), "{refused:?}");
}
