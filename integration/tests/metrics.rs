//! The metrics of a NAT gateway: a Prometheus scrapes a scripted hour, and each number that it has
//! is what the script implies, as kernels on both sides of the gateway have counted.
#![expect(clippy::unwrap_used, reason = "a test says by a panic that its promise is broken")]

use std::collections::BTreeMap;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use integration::{Host, Prometheus, Talker, Up, output, peer, topology, wait_until};

const NEAR: &str = include_str!("near.py");
const FAR: &str = include_str!("far.py");
const FAR_SIDE: &str = "203.0.113.90";
const TARGET: &str = "127.0.0.1:9464";
/// What a NAT gateway has for one destination.
const PORTS: u64 = 55_000;

/// CloudWatch's sums by their names in snake case, then its maxima.
const SUMS: [&str; 13] = [
    "bytes_in_from_destination",
    "bytes_in_from_source",
    "bytes_out_to_destination",
    "bytes_out_to_source",
    "connection_attempt_count",
    "connection_established_count",
    "error_port_allocation",
    "idle_timeout_count",
    "packets_drop_count",
    "packets_in_from_destination",
    "packets_in_from_source",
    "packets_out_to_destination",
    "packets_out_to_source",
];

/// What a minute's script implies; packets and bytes are counted by the kernels.
#[derive(Clone, Debug, Default)]
struct Implied {
    /// TCP connections begun, and those that were answered.
    attempts: u64,
    established: u64,
    /// The most at once.
    active: u64,
    idle: u64,
    port_errors: u64,
    /// Packets that the gateway answers by a RST, and so drops.
    reset: u64,
    /// Packets from outside that nobody asked for.
    unsolicited: u64,
    /// Where the script alone says so: packets from the near and the far side, and bytes of each.
    exact: Option<[(u64, u64); 2]>,
}

/// What one minute does: lines for the near side, for the far side, and what follows.
fn minute(number: u64, held: &mut Held) -> (Vec<String>, Vec<String>, Implied) {
    let (count, size) = (number % 7 + 1, 100 + 7 * number);
    let line = |verb: &str| vec![format!("{verb} {count} {size}")];
    let volume = count * (28 + size);
    let mut implied = Implied { active: held.active(number), ..Implied::default() };
    let (near, far) = match number % 10 {
        1 => {
            implied.exact = Some([(count, volume), (0, 0)]);
            (line("send"), vec![])
        }
        2 => {
            implied.exact = Some([(count, volume); 2]);
            (line("echo"), vec![])
        }
        3 | 7 => {
            (implied.attempts, implied.established) = (count, count);
            implied.active += 1;
            (line("talk"), vec![])
        }
        4 => {
            // Silent from here on for 350 s: that shows in the sixth minute from now.
            (implied.attempts, implied.established) = (count, count);
            implied.active += count;
            *held = Held { since: number, count, silent: number % 20 == 4 };
            (line("hold"), vec![])
        }
        5 => {
            implied.attempts = count;
            implied.active += 1;
            (line("refused"), vec![])
        }
        6 => {
            implied.unsolicited = count;
            implied.exact = Some([(0, 0), (count, volume)]);
            (vec![], line("scan"))
        }
        8 if !held.silent => (vec![format!("reset {} 0", held.count)], vec![]),
        // Each minute in between is idle, and shows zeros.
        _ => (vec![], vec![]),
    };
    if number.checked_sub(6) == Some(held.since) && held.silent {
        implied.idle = held.count;
    }
    (near, far, implied)
}

/// Connections that stay.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    since: u64,
    count: u64,
    /// Whether nothing is said until the gateway forgets them.
    silent: bool,
}

impl Held {
    /// Those that are active at the beginning of a minute's window.
    fn active(&self, minute: u64) -> u64 {
        let lasts = if self.silent { 6 } else { 4 };
        if minute - self.since <= lasts { self.count } else { 0 }
    }
}

/// Packets and bytes that a member's kernel has sent and got.
fn kernel(up: &Up<'_>, member: &str) -> [u64; 4] {
    let files = ["tx_packets", "tx_bytes", "rx_packets", "rx_bytes"]
        .map(|name| format!("/sys/class/net/eth0/statistics/{name}"));
    let said = up.says(member, &[&["cat"], &files.each_ref().map(String::as_str)[..]].concat());
    let mut numbers = said.lines().map(|line| line.parse().unwrap());
    std::array::from_fn(|_| numbers.next().unwrap())
}

/// Both kernels' counts once they have said all.
fn quiet(up: &Up<'_>) -> [[u64; 4]; 2] {
    let read = || ["app", "partner.example"].map(|member| kernel(up, member));
    let mut last = read();
    let mut same = 0;
    // On a busy machine a packet may lie somewhere for a while.
    while same < 2 {
        // Longer than an acknowledgment is delayed.
        sleep(Duration::from_millis(60));
        let now = read();
        same = if now == last { same + 1 } else { 0 };
        last = now;
    }
    last
}

/// What the gateway must have counted in a minute in which kernels counted so much.
fn expected(
    implied: &Implied,
    before: [[u64; 4]; 2],
    after: [[u64; 4]; 2],
) -> BTreeMap<String, f64> {
    let [near, far]: [[u64; 4]; 2] =
        std::array::from_fn(|side| std::array::from_fn(|at| after[side][at] - before[side][at]));
    if let Some(exact) = implied.exact {
        assert_eq!([(near[0], near[1]), (far[0], far[1])], exact, "what kernels sent");
    }
    // A RST has no data and no options.
    let (resets, reset_bytes) = (implied.reset, implied.reset * 40);
    let drops = implied.port_errors + implied.reset;
    let sums = [
        far[1],
        near[1],
        far[3],
        near[3] - reset_bytes,
        implied.attempts,
        implied.established,
        implied.port_errors,
        implied.idle,
        drops,
        far[0],
        near[0],
        far[2],
        near[2] - resets,
    ];
    // What came in and did not go out.
    assert_eq!(near[0] - far[2], drops);
    assert_eq!(far[0] - (near[2] - resets), implied.unsolicited);
    let mut expected: BTreeMap<String, f64> = SUMS
        .iter()
        .zip(sums)
        .map(|(name, sum)| (format!("aws_natgateway_{name}_sum"), real(sum)))
        .collect();
    let most = [
        ("active_connection_count", real(implied.active)),
        // The clock stands while all of it happens, within ten seconds.
        ("peak_bytes_per_second", real(near[1] + far[1]) / 10.0),
        ("peak_packets_per_second", real(near[0] + far[0]) / 10.0),
    ];
    expected.extend(most.map(|(name, most)| (format!("aws_natgateway_{name}_maximum"), most)));
    expected
}

fn real(number: u64) -> f64 {
    f64::from(u32::try_from(number).unwrap())
}

/// All numbers of `nat-a` in Prometheus whose names match.
fn scraped(prometheus: &Prometheus<'_>, names: &str) -> BTreeMap<String, f64> {
    // What was scraped last, even if a scrape since then has come to nothing on a busy machine.
    let series = format!("{{__name__=~\"{names}\", nat_gateway=\"nat-a\"}}");
    let series = prometheus.query(&format!("last_over_time({series}[1m])"));
    let named = series.into_iter().map(|(labels, value)| {
        assert_eq!(labels["nat_gateway_id"], "nat-0bc9ae70f1c3a0ebd");
        (labels["__name__"].as_str().unwrap().to_owned(), value)
    });
    named.collect()
}

fn tell(talker: &mut Talker, lines: &[String]) {
    for line in lines {
        talker.say(line);
        assert_eq!(talker.hear(), "done", "{line}");
    }
}

/// Takes all ports towards one destination, which nothing else goes to, and asks for some more.
fn exhaust(up: &Up<'_>, more: u64) {
    let send = |first: u64, count: u64| {
        let mut command = up.exec("app", peer());
        command.args(["datagrams", "--to", &format!("{FAR_SIDE}:10")]);
        command.args(["--first-port", &first.to_string(), "--count", &count.to_string()]);
        let _ = output(&mut command).success();
    };
    // What a busy machine loses is sent again.
    wait_until("all ports are taken", 60, || {
        send(1024, PORTS);
        up.json("status")["nat_gateways"][0]["ports_busiest"] == PORTS
    });
    send(60_000, more);
}

#[test]
fn prometheus_sees_an_hour_as_it_was() {
    let host = Host::start();
    let options = ["--workers", "2", "--metrics", TARGET];
    let up = Up::start(&host, &topology("nat-gateway.yaml"), "hour", &options);
    let _ = output(&mut up.hypertun(&["clock", "pause"])).success();
    let mut far = Talker::start(up.exec("partner.example", "python3").args(["-c", FAR]));
    assert_eq!(far.hear(), "ready");
    let mut near =
        Talker::start(up.exec("app", "python3").args(["-c", NEAR]).stderr(Stdio::inherit()));
    let prometheus = Prometheus::start(&host, TARGET);

    let began = Instant::now();
    let mut held = Held::default();
    let mut total: BTreeMap<String, f64> = BTreeMap::new();
    let mut before = quiet(&up);
    for number in 0..60 {
        let (on_near, on_far, mut implied) = minute(number, &mut held);
        tell(&mut near, &on_near);
        tell(&mut far, &on_far);
        if number == 49 {
            exhaust(&up, 5);
            implied.port_errors = 5;
        }
        if number > 6 && number - 7 == held.since && held.silent {
            // Forgotten for a minute: each that goes on gets a RST.
            tell(&mut near, &[format!("late {} 10", held.count)]);
            (implied.reset, implied.exact) = (held.count, None);
        }
        let after = quiet(&up);
        if implied.reset > 0 {
            // Data that is sent again before the RST comes is reset again: kernels know how often.
            let lost = (after[0][0] - before[0][0]) - (after[1][2] - before[1][2]);
            assert!(lost >= implied.reset, "{lost}");
            implied.reset = lost;
        }
        let expected = expected(&implied, before, after);
        before = after;
        prometheus.wait_for_scrape();
        println!("minute {number}: {on_near:?} {on_far:?} {implied:?}");
        assert_eq!(scraped(&prometheus, "aws_natgateway_.*"), expected, "minute {number}");
        for name in SUMS {
            let sum = expected[&format!("aws_natgateway_{name}_sum")];
            *total.entry(format!("hypertun_nat_gateway_{name}_total")).or_default() += sum;
        }
        assert_eq!(scraped(&prometheus, "hypertun_nat_gateway_.*_total"), total, "minute {number}");
        up.advance("60s");
    }
    println!("an hour in {:.1?}: {total:#?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(180), "{:?}", began.elapsed());
    assert!(SUMS.iter().all(|name| total[&format!("hypertun_nat_gateway_{name}_total")] > 0.0));

    // And the hour can be looked at as one of CloudWatch's is.
    prometheus.wait_for_scrape();
    let most = prometheus.query("max_over_time(aws_natgateway_error_port_allocation_sum[1h])");
    assert_eq!(most.iter().map(|(_, value)| *value).collect::<Vec<_>>(), [5.0]);
    let clock = prometheus.query("last_over_time(hypertun_clock_seconds[1m])");
    assert!((3600.0..3700.0).contains(&clock[0].1), "{clock:?}");
}

#[test]
fn the_same_is_told_by_the_command_its_json_and_both_sockets() {
    let host = Host::start();
    let file = topology("nat-gateway-per-az.yaml");
    let up = Up::start(&host, &file, "told", &["--metrics", TARGET]);
    let _ = output(&mut up.hypertun(&["clock", "pause"])).success();
    let text = output(&mut up.hypertun(&["metrics"])).success();
    let curl = |arguments: &[&str]| host.says("curl", &[&["--silent"], arguments].concat());
    let url = format!("http://{TARGET}/metrics");
    assert_eq!(curl(&[&url]), text);
    let socket = "/run/hypertun/told.sock";
    assert_eq!(curl(&["--unix-socket", socket, "http://hypertun/metrics"]), text);
    let headers = curl(&["--head", "--request", "GET", &url]).to_lowercase();
    assert!(
        headers.contains("content-type: application/openmetrics-text; version=1.0.0"),
        "{headers}"
    );
    // Who reaches that address sees, and changes nothing.
    for closed in ["/v1/status", "/v1/down", "/v1/clock"] {
        let status = curl(&[
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code}",
            &format!("http://{TARGET}{closed}"),
        ]);
        assert_eq!(status, "404", "{closed}");
    }

    // A healthy gateway shows zeros.
    let gateways = ["nat-a", "nat-b"];
    let samples = up.json("metrics");
    let samples = samples.as_array().unwrap();
    for sample in samples {
        let mut labels: Vec<_> = sample["labels"].as_object().unwrap().keys().collect();
        labels.sort();
        let (name, value) = (sample["name"].as_str().unwrap(), sample["value"].as_f64().unwrap());
        if name.contains("nat") && name.contains("gateway") {
            assert_eq!(labels, ["nat_gateway", "nat_gateway_id"], "{sample}");
            assert!(gateways.contains(&sample["labels"]["nat_gateway"].as_str().unwrap()));
            assert!(value == 0.0, "{sample}");
        }
        let line = format!("{name}{}", if labels.is_empty() { " " } else { "{" });
        assert!(text.contains(&format!("\n{line}")), "{line} in {text}");
    }
    let lines = text.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(lines, samples.len(), "{text}");
    assert_eq!(text.lines().last(), Some("# EOF"));
    let named = |name: &str| samples.iter().filter(|it| it["name"] == name).count();
    for name in SUMS {
        assert_eq!(named(&format!("aws_natgateway_{name}_sum")), 2, "{name}");
        assert_eq!(named(&format!("hypertun_nat_gateway_{name}_total")), 2, "{name}");
    }
    assert_eq!(named("hypertun_build_info"), 1);
}

#[test]
fn counts_stay_with_a_gateway_that_is_taken_away() {
    let host = Host::start();
    let up = Up::start(&host, &topology("nat-gateway.yaml"), "removed", &[]);
    let _ = output(&mut up.hypertun(&["clock", "pause"])).success();
    let script = "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(3): s.sendto(bytes(72), ('203.0.113.7', 9))
socket.create_connection(('203.0.113.7', 7))";
    let _ = up.says("app", &["python3", "-c", script]);
    let counted = |what: &str| up.metric(what, "nat-a");
    let mut last = 0.0;
    wait_until("all has been said", 10, || {
        sleep(Duration::from_millis(200));
        let before = last;
        last = counted("hypertun_nat_gateway_packets_in_from_source_total");
        // The datagrams, and a SYN, its ACK and a FIN at least.
        last >= 6.0 && (last - before).abs() < 0.5
    });
    let before = counted("hypertun_nat_gateway_bytes_in_from_source_total");
    let without = topology("private-only.yaml");
    let _ = output(&mut up.hypertun(&["apply", without.to_str().unwrap()])).success();
    assert!((counted("hypertun_nat_gateway_bytes_in_from_source_total") - before).abs() < 0.5);
    assert!((counted("hypertun_nat_gateway_connection_attempt_count_total") - 1.0).abs() < 0.5);
    up.advance("10m");
    assert!(counted("aws_natgateway_active_connection_count_maximum") < 0.5);
    assert!(counted("hypertun_nat_gateway_ports") < 0.5);
}

#[test]
fn an_address_that_is_taken_is_said() {
    let host = Host::start();
    let _first = Up::start(&host, &topology("nat-gateway.yaml"), "first", &["--metrics", TARGET]);
    let file = topology("private-only.yaml");
    let said = host.run(&["up", file.to_str().unwrap(), "--name", "second", "--metrics", TARGET]);
    assert_eq!(said.status, 1, "{said:?}");
    assert!(said.err.contains(&format!("cannot serve metrics on {TARGET}")), "{said:?}");
    let said =
        host.run(&["up", file.to_str().unwrap(), "--name", "second", "--metrics", "nowhere"]);
    assert_eq!(said.status, 2, "{said:?}");
}
