//! `examples/compose`, by the docker-compose of Debian 12: a shop with a pool of connections, its PostgreSQL, and a
//! partner on the internet.

use integration::{Docker, File, Forward, Host, Sniffer, Up, example, output, wait_until};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Longer than NAT gateways remember a silent connection.
const IDLE: &str = "351s";

/// The example as it runs.
struct Shop<'a> {
    up: &'a Up<'a>,
    docker: Docker<'a>,
    /// From the host to the shop.
    forward: Forward,
}

impl<'a> Shop<'a> {
    /// Brings it up; `keep_alive` is what its environment says of that.
    fn open(up: &'a Up<'a>, keep_alive: &str) -> Self {
        let docker = Docker::start(up.host());
        let images = example("compose/make-images");
        println!("{}", output(docker.command("sh").arg(images)).success());
        let _ = compose(&docker, keep_alive, &["up", "--detach"]);
        let forward = Forward::start(up, "0", "web:80");
        let shop = Self { up, docker, forward };
        // It tries to reach its database as often as it is asked.
        wait_until("the shop is open", 60, || {
            let mut history = shop.get("/history");
            output(history.arg("--fail")).status == 0
        });
        shop
    }

    fn get(&self, path: &str) -> std::process::Command {
        let mut command = self.up.host().command("curl");
        command.args(["-s", "-m", "30", &format!("http://{}{path}", self.forward.address)]);
        command
    }

    /// What it tells of its attempts to ask the partner, without the ports of its connections, and the last port.
    fn ask(&self) -> (Value, Value) {
        let mut told = self.told("/");
        println!("{told}");
        let mut port = Value::Null;
        for attempt in told.as_array_mut().expect("an array of attempts") {
            let attempt = attempt.as_object_mut().expect("an object");
            port = attempt.remove("port").unwrap_or_default();
        }
        (told, port)
    }

    fn told(&self, path: &str) -> Value {
        serde_json::from_str(&output(&mut self.get(path)).success()).expect("it tells JSON")
    }

    fn close(self) {
        assert_eq!(self.forward.end_by(Signal::TERM), 0);
        let _ = compose(&self.docker, "", &["down", "--timeout", "5"]);
    }
}

fn compose(docker: &Docker<'_>, keep_alive: &str, arguments: &[&str]) -> String {
    let mut command = docker.command("docker-compose");
    command.env("KEEP_ALIVE", keep_alive);
    command.arg("--file").arg(example("compose/docker-compose.yml")).args(arguments);
    let said = output(&mut command);
    println!("{}{}", said.out, said.err);
    said.success()
}

fn answered(reused: bool) -> Value {
    json!({"reused": reused, "you_are": "198.51.100.10"})
}

#[test]
fn the_example_runs_until_its_route_is_gone_and_its_pool_meets_silence() {
    let host = Host::start();
    let sniffer = Sniffer::start(&host);
    let file = File::of(&example("compose/vpc.yaml"), "compose");
    let up = Up::start(&host, file.path(), "compose", &["--docker"]);
    let shop = Shop::open(&up, "");
    // The partner sees the address of the NAT gateway; a connection serves more than one request.
    let (told, first) = shop.ask();
    assert_eq!(told, json!([answered(false)]));
    assert_eq!(shop.ask(), (json!([answered(true)]), first));
    assert_eq!(up.json("drops"), json!([]));

    // A NAT gateway forgets what is silent, and says so to who speaks again.
    up.advance(IDLE);
    let dead = json!({"reused": true, "error": "connection reset by peer"});
    let (told, second) = shop.ask();
    assert_eq!(told, json!([dead, answered(false)]));
    assert_eq!(up.dropped("NAT_IDLE_TIMEOUT"), 1);
    assert_eq!(shop.ask(), (json!([answered(true)]), second));

    // Without its route neither the connection that there is goes on, nor another begins.
    let route = "\n      - {destination: 0.0.0.0/0, target: nat-a}";
    file.write(&[(route, " []")]);
    assert_eq!(file.apply(&up).success(), "~ route_tables app\n");
    assert_eq!(shop.ask().0, json!([{"reused": true, "error": "timed out"}]));
    assert_eq!(shop.ask().0, json!([{"reused": false, "error": "timed out"}]));
    let drops = up.json("drops");
    let drops = drops.as_array().expect("an array").iter();
    let lost: Vec<_> = drops.filter(|it| it["reason"] == "NO_ROUTE_TO_DESTINATION").collect();
    assert!(lost.len() == 1 && lost[0]["component"] == "route-table:app", "{lost:?}");
    file.write(&[]);
    let _ = file.apply(&up).success();
    assert_eq!(shop.ask().0, json!([answered(false)]));
    // The database, in a subnet that leads nowhere, has noted it all.
    let reset = "connection reset by peer, then answered";
    assert_eq!(shop.told("/history"), json!({"answered": 4, (reset): 1, "timed out": 2}));

    shop.close();
    up.down();
    assert_eq!(sniffer.seen(), [""; 0], "no packet of a container but at its device");
}

#[test]
fn its_pool_outlives_silence_with_keep_alive() {
    let host = Host::start();
    let up = Up::start(&host, &example("compose/vpc.yaml"), "compose", &["--docker"]);
    let shop = Shop::open(&up, "1");
    let (told, port) = shop.ask();
    assert_eq!(told, json!([answered(false)]));
    // Keep-alive goes by the time of the kernel: so the same silence passes in two halves, with a probe between.
    let half = |by| {
        let before = sent(&up);
        up.advance(by);
        wait_until("a probe is sent", 10, || sent(&up) > before);
    };
    half("176s");
    half("175s");
    assert_eq!(shop.ask(), (json!([answered(true)]), port.clone()));
    // So does more of it at fifty times the speed of the kernel's time.
    let _ = output(&mut up.hypertun(&["clock", "scale", "50"])).success();
    let began = sent(&up);
    wait_until("probes are sent", 60, || sent(&up) > began + 8);
    let _ = output(&mut up.hypertun(&["clock", "scale", "1"])).success();
    assert_eq!(shop.ask(), (json!([answered(true)]), port));
    assert_eq!(up.json("drops"), json!([]));
    shop.close();
}

/// Packets that the shop has sent to the partner.
fn sent(up: &Up<'_>) -> u64 {
    let flows = up.json("flows");
    let mut flows = flows.as_array().expect("an array of flows").iter();
    let flow = flows.find(|it| it["from"] == "web" && it["to"] == "partner");
    flow.and_then(|it| it["sent"][0].as_u64()).unwrap_or_else(|| panic!("no flow to the partner"))
}
