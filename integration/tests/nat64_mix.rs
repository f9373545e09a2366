//! Is every checksum right that NAT64 makes? `tshark` reads what receivers get of a mix of traffic.
//!
//! A device may leave a checksum to whoever receives (virtio 1.2 s. 5.1.6.2), and a capture there would call it bad, or
//! take it on trust. So client and server sit behind the namespaces that hypertun gives, on veths that leave nothing:
//! the kernel cuts super-packets and completes partial sums on the way to them, from what NAT64 has made of both, and
//! what is captured is whole.
//!
//! ```text
//! client -- veth -- app's namespace -- TUN -- hypertun -- TUN -- partner's namespace -- veth -- server
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;

use integration::{Host, Talker, Up, output, topology, wait_until};

const MIX: &str = include_str!("mix.py");

/// Namespaces that hypertun gives, what lies behind each, its address, that of the router before it, and options of `ip`.
const SIDES: [[&str; 5]; 2] = [
    ["mix:app", "client", "2600:1f18:1234:5601::10/128", "fe80::1", "-6"],
    ["mix:partner.example", "server", "203.0.113.90/32", "169.254.1.1", "-4"],
];

/// What has a checksum, as `tshark` calls it, and so whether it is right.
const CHECKED: [&str; 5] = ["ip", "tcp", "udp", "icmp", "icmpv6"];

/// Checksums by what has them and whether they are right.
type Sums = BTreeMap<(&'static str, Status), u64>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Status {
    Bad,
    Good,
    /// Of a fragment, of what an error quotes, or one that is not there.
    Unknown,
}

#[test]
fn no_checksum_is_bad_in_seconds_of_all_that_nat64_carries() {
    no_checksum_is_bad("10", &[]);
    no_checksum_is_bad("10", &["--no-gso"]);
}

#[test]
#[ignore = "takes ten minutes: run integration/nat64-mix"]
fn no_checksum_is_bad_in_ten_minutes_of_all_that_nat64_carries() {
    no_checksum_is_bad("600", &[]);
}

fn no_checksum_is_bad(seconds: &str, options: &[&str]) {
    let host = Host::start();
    let up = Up::start(&host, &topology("ipv6-only-nat64.yaml"), "mix", options);
    SIDES.iter().for_each(|side| lay_behind(&host, side));
    let inside = |namespace: &str, program: &[&str]| {
        let mut command = host.command("ip");
        command.args(["netns", "exec", namespace]).args(program);
        command
    };
    let server = Talker::start(&mut inside("server", &["python3", "-c", MIX, "serve"]));
    assert_eq!(server.hear(), "ready");
    let captures: Vec<Capture> =
        SIDES.iter().map(|[_, namespace, ..]| Capture::start(&host, namespace, options)).collect();

    let mut clients: Vec<_> = (0..3)
        .map(|seed: u32| {
            let mut client = inside("client", &["python3", "-c", MIX, "ask", seconds]);
            Talker::start(client.arg(seed.to_string()))
        })
        .collect();
    let patience = std::time::Duration::from_secs(seconds.parse::<u64>().unwrap_or(600) + 60);
    let mut asked: BTreeMap<String, u64> = BTreeMap::new();
    for client in &mut clients {
        let said = client.hear_within(patience).unwrap_or_else(|| panic!("a client has ended"));
        for (kind, count) in said.split_whitespace().filter_map(|it| it.split_once('=')) {
            *asked.entry(kind.to_owned()).or_default() += count.parse::<u64>().unwrap_or(0);
        }
    }
    println!("{seconds} s, {options:?}: answered {asked:?}; dropped {}", up.json("drops"));
    let lost = asked.remove("lost").unwrap_or(0);
    let answered: u64 = asked.values().sum();
    assert!(asked.len() == 8 && asked.values().all(|&count| count > 5), "all kinds: {asked:?}");
    assert!(lost * 50 <= answered, "{lost} were lost, {answered} answered");

    for (capture, mine) in
        captures.into_iter().zip([["tcp", "udp", "icmpv6"], ["ip", "tcp", "udp"]])
    {
        let (name, packets, sums) = capture.read();
        println!("{name}: {packets} packets, {sums:?}");
        let of = |status| sums.iter().filter(move |((_, it), _)| *it == status);
        assert_eq!(of(Status::Bad).count(), 0, "{name}: {sums:?}");
        for what in mine {
            assert!(sums.get(&(what, Status::Good)).is_some_and(|&it| it > 50), "{name}: {sums:?}");
        }
    }
}

/// Moves the address of a namespace to another behind it.
fn lay_behind(host: &Host, [front, behind, address, router, family]: &[&str; 5]) {
    let script = r#"
        front=$1 behind=$2 address=$3 router=$4 family=$5
        mtu=9001; [ $family = -6 ] || mtu=1500
        ip netns add $behind
        ip -n $front link add inner type veth peer name eth0 netns $behind
        for device in "$front inner" "$behind eth0"; do
            set -- $device
            # hypertun gives no IPv6 to what has none; addresses are used at once.
            ip netns exec $1 sh -c "cd /proc/sys/net/ipv6/conf/$2; echo 0 >disable_ipv6; echo 0 >accept_dad"
            ip -n $1 link set $2 mtu $mtu up
        done
        # The client and the server use whatever offloads there are; to them comes nothing that is left to be done.
        ip netns exec $front ethtool -K inner tx off tso off gso off >/dev/null
        ip netns exec $behind ethtool -K eth0 gro off >/dev/null
        ip -n $behind link set lo up
        ip netns exec $front sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward
            echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'
        # Refusals are not rationed.
        ip netns exec $behind sh -c 'echo 0 >/proc/sys/net/ipv4/icmp_ratelimit'
        ip $family -n $front addr flush dev eth0 scope global
        ip $family -n $front route replace default dev eth0
        ip $family -n $front addr add $router dev inner
        ip $family -n $front route add $address dev inner
        ip $family -n $behind addr add $address dev eth0
        ip $family -n $behind route add $router dev eth0
        ip $family -n $behind route add default via $router dev eth0"#;
    let _ = host.says("sh", &["-euc", script, "sh", front, behind, address, router, family]);
}

/// What comes to a namespace.
struct Capture {
    name: String,
    file: PathBuf,
    tcpdump: Talker,
}

impl Capture {
    fn start(host: &Host, namespace: &str, options: &[&str]) -> Self {
        let (process, many) = (std::process::id(), options.len());
        let file =
            std::env::temp_dir().join(format!("nat64-mix-{process}-{namespace}-{many}.pcap"));
        let mut command = host.command("ip");
        command
            .args(["netns", "exec", namespace, "tcpdump", "-i", "eth0", "-Q", "in", "-Z", "root"]);
        // Each packet at once, so that none is in a buffer at the end.
        command.args(["-U", "-B", "65536", "-w"]).arg(&file).arg("ip or ip6");
        let tcpdump = Talker::start(&mut command);
        wait_until("it captures", 10, || file.metadata().is_ok_and(|it| it.len() >= 24));
        Self { name: namespace.to_owned(), file, tcpdump }
    }

    /// Ends it; how many packets there were, and what checksums.
    fn read(self) -> (String, u64, Sums) {
        drop(self.tcpdump);
        let mut tshark = std::process::Command::new("tshark");
        tshark.arg("-r").arg(&self.file).args(["-T", "fields", "-E", "occurrence=a"]);
        for what in CHECKED {
            tshark.args(["-e", &format!("{what}.checksum.status")]);
            if !what.starts_with("icmp") {
                tshark.args(["-o", &format!("{what}.check_checksum:TRUE")]);
            }
        }
        tshark.args(["-e", "tcp.checksum", "-e", "tcp.checksum_calculated"]);
        let said = output(&mut tshark).success();
        let mut sums = Sums::new();
        for line in said.lines() {
            // Both zeros of ones' complement are one number (RFC 1624 s. 3): of a partial sum the kernel makes the one
            // that tshark does not expect (skb_checksum_help).
            let same = line.ends_with("\t0xffff\t0x0000");
            for (what, statuses) in CHECKED.into_iter().zip(line.split('\t')) {
                for status in statuses.split(',').filter(|it| !it.is_empty()) {
                    // As tshark numbers them: see `tshark -G values`.
                    let status = match status {
                        "0" | "Bad" if what == "tcp" && same => Status::Good,
                        "0" | "Bad" => Status::Bad,
                        "1" | "Good" => Status::Good,
                        _ => Status::Unknown,
                    };
                    *sums.entry((what, status)).or_default() += 1;
                }
            }
        }
        let packets = said.lines().count().try_into().unwrap_or(u64::MAX);
        // What is wrong can be looked at.
        if sums.keys().all(|(_, status)| *status != Status::Bad) {
            let _ = std::fs::remove_file(&self.file);
        }
        (self.name, packets, sums)
    }
}
