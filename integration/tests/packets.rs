//! What does a namespace look like inside, and how do packets of every kind fare from there?
#![expect(clippy::unwrap_used, reason = "a test says by a panic that its promise is broken")]

use std::fs;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use integration::{Host, Output, Talker, Up, output, topology, wait_until};

fn up(host: &Host) -> Up<'_> {
    Up::start(host, &topology("nat-gateway.yaml"), "packets", &[])
}

/// Words separated by single spaces, line by line.
fn lines(text: &str) -> Vec<String> {
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

fn ping(up: &Up<'_>, member: &str, options: &[&str]) -> Output {
    output(up.exec(member, "ping").args(["-n", "-W", "3"]).args(options))
}

#[test]
fn a_namespace_has_lo_and_eth0_and_nothing_else() {
    let host = Host::start();
    let up = up(&host);
    let ask = |member: &str, question: &str| lines(&up.says(member, &["sh", "-c", question]));

    assert_eq!(ask("app", "ls /sys/class/net"), ["eth0", "lo"]);
    assert_eq!(ask("app", "cat /sys/class/net/eth0/mtu"), ["9001"]);
    assert_eq!(
        ask("app", "ip -br address"),
        ["lo UNKNOWN 127.0.0.1/8", "eth0 UNKNOWN 10.0.1.10/24"]
    );
    assert_eq!(
        ask("app", "ip route"),
        [
            "default via 10.0.1.1 dev eth0 proto static",
            "10.0.1.0/24 dev eth0 proto kernel scope link src 10.0.1.10"
        ]
    );
    assert_eq!(ask("app", "cat /etc/resolv.conf"), ["nameserver 10.0.0.2", "search ec2.internal"]);

    assert_eq!(ask("partner.example", "cat /sys/class/net/eth0/mtu"), ["1500"]);
    assert_eq!(
        ask("partner.example", "ip -br address"),
        ["lo UNKNOWN 127.0.0.1/8", "eth0 UNKNOWN 203.0.113.90/32"]
    );
    assert_eq!(ask("partner.example", "ip route"), ["default dev eth0 proto static scope link"]);
    assert!(ask("partner.example", "cat /etc/resolv.conf").is_empty());

    for member in ["app", "bastion", "partner.example"] {
        assert!(ask(member, "ip -6 address; ip -6 route").is_empty(), "no IPv6 in {member}");
        let off = ask(member, "cat /proc/sys/net/ipv6/conf/eth0/disable_ipv6");
        assert_eq!(off, ["1"], "{member}");
    }
}

#[test]
fn nothing_is_sent_or_burnt_while_nothing_happens() {
    let host = Host::start();
    let up = up(&host);
    sleep(Duration::from_millis(500));
    let (began, before) = (Instant::now(), processor_time(up.pid));
    sleep(Duration::from_secs(3));
    let (took, spent) = (began.elapsed(), processor_time(up.pid) - before);
    println!("idle: {spent:?} of processor time in {took:.2?}");
    assert!(spent <= took / 100, "{spent:?} in {took:?}");
    assert_eq!(up.json("drops").to_string(), "[]");
    let status = up.json("status");
    assert_eq!((&status["packets_received"], &status["flows"]), (&0.into(), &0.into()));
}

/// User and system time of a process, proc(5).
fn processor_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks: u64 =
        fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    // A tick is a hundredth of a second wherever Linux runs.
    Duration::from_millis(ticks * 10)
}

#[test]
fn echoes_of_every_protocol_come_back_through_the_nat_gateway() {
    let host = Host::start();
    let up = up(&host);
    for target in ["203.0.113.80", "203.0.113.7", "203.0.113.90"] {
        let said = ping(&up, "app", &["-c", "3", "-i", "0.01", target]).success();
        assert!(said.contains("3 received"), "{said}");
    }
    for options in ["-N -w 3", "-u -w 1"] {
        let script = format!("echo there and back | nc {options} 203.0.113.7 7");
        assert_eq!(up.says("app", &["sh", "-c", &script]), "there and back\n", "{options}");
    }
    assert_eq!(up.json("drops").to_string(), "[]");
    let flows = up.json("flows");
    let flow = |protocol: &str| {
        flows.as_array().unwrap().iter().filter(|flow| flow["protocol"] == protocol).count()
    };
    assert_eq!((flow("icmp"), flow("tcp"), flow("udp")), (3, 1, 1), "{flows}");
}

#[test]
fn a_vpc_carries_9001_bytes_and_the_internet_1500() {
    let host = Host::start();
    let up = up(&host);
    // 28 bytes of headers.
    let inside = ["-M", "do", "-c", "1", "-s", "8973", "10.0.1.10"];
    assert!(ping(&up, "bastion", &inside).success().contains("1 received"));
    let beyond = ping(&up, "bastion", &["-M", "do", "-c", "1", "-s", "8974", "10.0.1.10"]);
    assert!(beyond.err.contains("message too long, mtu=9001"), "{beyond:?}");

    let exact = ["-M", "do", "-c", "1", "-s", "1472", "203.0.113.90"];
    assert!(ping(&up, "app", &exact).success().contains("1 received"));
    assert_eq!(up.dropped("MTU_EXCEEDED"), 0);
    let beyond =
        ping(&up, "app", &["-M", "do", "-c", "2", "-i", "0.3", "-s", "2972", "203.0.113.90"]);
    assert!(beyond.out.contains("Frag needed and DF set (mtu = 1500)"), "{beyond:?}");
    // The kernel believes it: the second is not sent any more.
    assert!(beyond.err.contains("message too long, mtu=1500"), "{beyond:?}");
    assert_eq!(up.dropped("MTU_EXCEEDED"), 1);
    let route = up.says("app", &["ip", "route", "get", "203.0.113.90"]);
    assert!(route.contains("mtu 1500"), "{route}");
}

#[test]
fn what_may_be_fragmented_is_cut_for_the_internet() {
    let host = Host::start();
    let up = up(&host);
    let mut sink = up.talker("partner.example", &["sink", "--port", "4000"]);
    assert_eq!(sink.hear(), "ready");
    // IP_MTU_DISCOVER (10) off: without DF.
    let script = "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(0, 10, 0); s.sendto(bytes(4000), ('203.0.113.90', 4000))";
    let _ = up.says("app", &["python3", "-c", script]);
    wait_until("a datagram of three fragments", 5, || {
        sink.say("how many?");
        sink.hear() == "1"
    });
    assert_eq!(up.json("drops").to_string(), "[]");
}

#[test]
fn an_outside_judge_finds_every_checksum_right() {
    let host = Host::start();
    let up = Up::start(&host, &topology("nat-gateway.yaml"), "judged", &["--no-gso"]);
    let mut judge = up.exec("partner.example", "tcpdump");
    judge.args(["-i", "eth0", "-Q", "in", "-n", "-vv", "-l", "ip"]).stderr(Stdio::null());
    let judge = Talker::start(&mut judge);
    let server = up.talker("partner.example", &["serve-http", "--port", "80", "--size", "200000"]);
    assert_eq!(server.hear(), "ready");
    sleep(Duration::from_millis(500));
    let _ = up.says("app", &["curl", "--silent", "--output", "/dev/null", "http://203.0.113.90/"]);
    let _ = ping(&up, "app", &["-c", "3", "-i", "0.01", "203.0.113.90"]).success();
    let (mut right, mut wrong) = (0, Vec::new());
    let mut hear = |wrong: &mut Vec<String>| {
        while let Some(line) = judge.hear_within(Duration::from_secs(1)) {
            right += usize::from(line.contains("(correct)") || line.contains("ICMP echo request"));
            if finds_fault(&line) {
                wrong.push(line);
            }
        }
    };
    hear(&mut wrong);
    assert!(wrong.is_empty(), "{wrong:#?}");

    // What a sender got wrong stays wrong: the judge does look.
    let script = "import socket, struct
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
raw.sendto(struct.pack('!4H', 4000, 4000, 8, 0xbad), ('203.0.113.90', 0))";
    let _ = up.says("app", &["python3", "-c", script]);
    hear(&mut wrong);
    assert!(matches!(&wrong[..], [line] if line.contains("bad udp cksum")), "{wrong:#?}");

    println!("{right} packets");
    assert!(right > 10, "{right} packets");
    let _ = up.says("partner.example", &["pkill", "tcpdump"]);
}

/// Does `tcpdump -vv` say here that a checksum is not what it should be? A right one is printed
/// too, in hexadecimal digits, of which `bad` is three.
fn finds_fault(line: &str) -> bool {
    ["bad cksum", "bad udp cksum", "wrong icmp cksum", "(incorrect"]
        .iter()
        .any(|words| line.contains(words))
}
