use std::process::Stdio;

use tun_tap::{Iface, Mode};

use super::*;
use crate::runtime::interface::{self, Interface, NAME};
use crate::runtime::test_host::{on_a_host, output, passes_in_a_process, process, snapshot};

/// What a test asks of a process of its own, by the variable in which the test passes it on.
const NAMESPACE: &str = "TEST_NAMESPACE";
const COMMAND: &str = "TEST_COMMAND";

/// What it says before it becomes the command.
const MARK: &str = "and now:\n";

/// A host with one namespace `x:app`, whose commands see `nameserver 10.0.0.2`.
fn on_a_host_with_a_namespace(test: impl FnOnce(Place<'_>) + Send) {
    on_a_host(|| {
        let namespace = Namespace::named("x:app").unwrap();
        interface::prepare(&namespace).unwrap();
        let _tun = namespace.enter(|| Iface::without_packet_info(NAME, Mode::Tun)).unwrap();
        let addresses = vec!["10.0.1.10/24".parse().unwrap()];
        let eth0 = Interface { addresses, gateways: vec![[10, 0, 1, 1].into()], mtu: 9001 };
        interface::configure(&namespace, &eth0).unwrap();
        let resolv_conf = Path::new("/run/resolv.conf");
        fs::write(resolv_conf, "nameserver 10.0.0.2\n").unwrap();
        test(Place { namespace: &namespace, resolv_conf });
    });
}

fn words(text: &str) -> Vec<OsString> {
    text.split(' ').map(OsString::from).collect()
}

fn shell(script: &str) -> Vec<OsString> {
    ["sh", "-c", script].map(OsString::from).to_vec()
}

fn until(what: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !what() {
        assert!(Instant::now() < deadline, "it does not come");
        thread::sleep(Duration::from_millis(5));
    }
}

/// What `exec` of the command prints, and its status.
fn executed(script: &str) -> (String, Option<i32>) {
    let output = process("runtime::process::tests::becomes_a_command")
        .env(NAMESPACE, "/run/netns/x:app")
        .env(COMMAND, script)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    let said = text.split_once(MARK).expect("a test that is there").1;
    (said.to_owned(), output.status.code())
}

#[test]
#[ignore = "becomes another program: started by other tests"]
fn becomes_a_command() {
    let namespace = std::env::var(NAMESPACE).expect("other tests say where");
    let command = std::env::var(COMMAND).expect("other tests say what");
    let namespace = Namespace::open(Path::new(&namespace)).unwrap();
    let place = Place { namespace: &namespace, resolv_conf: Path::new("/run/resolv.conf") };
    print!("{MARK}");
    io::Write::flush(&mut io::stdout()).unwrap();
    let error = exec(place, &words(&command));
    eprintln!("{error}");
    std::process::exit(error.status().into());
}

#[test]
fn exec_sees_one_interface_and_its_own_resolv_conf() {
    on_a_host_with_a_namespace(|_| {
        let before = snapshot();
        let resolv_conf = fs::read_to_string("/etc/resolv.conf").unwrap();
        let (links, status) = executed("ls /sys/class/net");
        assert_eq!((links.as_str(), status), ("eth0\nlo\n", Some(0)));
        let (seen, _) = executed("cat /etc/resolv.conf");
        assert_eq!(seen, "nameserver 10.0.0.2\n");
        let (routes, _) = executed("ip route show default");
        assert_eq!(routes.trim(), "default via 10.0.1.1 dev eth0 proto static");
        assert_eq!(fs::read_to_string("/etc/resolv.conf").unwrap(), resolv_conf);
        assert_eq!(snapshot(), before);
    });
}

#[test]
fn exec_has_the_status_of_its_command_or_says_why_there_is_none() {
    on_a_host_with_a_namespace(|place| {
        assert_eq!(executed("false").1, Some(1));
        assert_eq!(executed("no-such-program").1, Some(127));
        assert_eq!(executed("/etc/passwd").1, Some(126));
        fs::remove_file(place.resolv_conf).unwrap();
        assert_eq!(executed("true").1, Some(125));
    });
}

#[test]
fn control_groups_stay_in_sight() {
    on_a_host_with_a_namespace(|_| {
        let groups = output("ls", &["/sys/fs/cgroup"]);
        assert_eq!(executed("ls /sys/fs/cgroup").0, groups);
    });
}

/// As on hosts where `/etc/resolv.conf` leads into the directory of a resolver's socket.
#[test]
fn resolvers_of_the_host_are_out_of_sight() {
    on_a_host_with_a_namespace(|place| {
        fs::create_dir_all("/run/systemd/resolve").unwrap();
        fs::write("/run/systemd/resolve/stub-resolv.conf", "nameserver 127.0.0.53\n").unwrap();
        fs::write("/run/systemd/resolve/io.systemd.Resolve", "").unwrap();
        fs::create_dir_all("/run/etc").unwrap();
        std::os::unix::fs::symlink(
            "../run/systemd/resolve/stub-resolv.conf",
            "/run/etc/resolv.conf",
        )
        .unwrap();
        rustix::mount::mount_bind("/run/etc", "/etc").unwrap();
        let seen = executed("/bin/cat /etc/resolv.conf").0;
        assert_eq!(seen, "nameserver 10.0.0.2\n");
        assert_eq!(executed("/bin/ls /run/systemd/resolve").0, "stub-resolv.conf\n");
        assert_eq!(
            fs::read_to_string("/etc/resolv.conf").unwrap(),
            "nameserver 127.0.0.53\n",
            "the host's stays"
        );
        assert!(place.resolv_conf.exists());
    });
}

#[test]
fn run_starts_waits_and_ends_commands() {
    passes_in_a_process("runtime::process::tests::statuses_of_run");
}

#[test]
#[ignore = "catches the signals of the whole process: run in one by run_starts_waits_and_ends_commands"]
fn statuses_of_run() {
    let mut signals = Signals::catch().unwrap();
    on_a_host_with_a_namespace(|place| {
        let before = snapshot();
        let mut run = |command: &[OsString], timeout: Option<u64>| {
            let result =
                super::run(place, command, timeout.map(Duration::from_millis), &mut signals);
            result.unwrap_or_else(|error| error.status())
        };
        assert_eq!(run(&words("true"), None), 0);
        assert_eq!(run(&shell("exit 7"), None), 7);
        assert_eq!(run(&shell("kill -9 $$"), None), 137);
        assert_eq!(run(&words("no-such-program"), None), 127);
        assert_eq!(run(&words("/etc/passwd"), None), 126);
        assert_eq!(run(&shell("exit 3"), Some(u64::MAX)), 3);

        let begin = Instant::now();
        assert_eq!(run(&words("sleep 60"), Some(100)), TIMED_OUT);
        assert!(begin.elapsed() < Duration::from_secs(2));
        let begin = Instant::now();
        assert_eq!(run(&shell("trap '' TERM; while :; do sleep 0.1; done"), Some(100)), TIMED_OUT);
        assert!((2..4).contains(&begin.elapsed().as_secs()));

        // One in the background outlives the command, not the run.
        assert_eq!(run(&shell("sleep 4321 & ls /sys/class/net > /run/links"), None), 0);
        assert_eq!(fs::read_to_string("/run/links").unwrap(), "eth0\nlo\n");
        fs::remove_file("/run/links").unwrap();
        assert!(processes_in(place.namespace.identity()).is_empty());

        let gone = Place { resolv_conf: Path::new("/run/absent"), ..place };
        let refused = super::run(gone, &words("true"), None, &mut signals).unwrap_err();
        assert_eq!(refused.status(), 125);
        assert_eq!(snapshot(), before);
    });
}

#[test]
fn run_passes_signals_on() {
    passes_in_a_process("runtime::process::tests::signals_of_run");
}

#[test]
#[ignore = "is sent signals: run in a process of its own by run_passes_signals_on"]
fn signals_of_run() {
    let mut signals = Signals::catch().unwrap();
    let to_ourselves =
        |signal| rustix::process::kill_process(rustix::process::getpid(), signal).unwrap();
    on_a_host_with_a_namespace(|place| {
        for (signal, status) in
            [(Signal::INT, 51), (Signal::TERM, 52), (Signal::HUP, 53), (Signal::QUIT, 54)]
        {
            let _ = fs::remove_file("/run/ready");
            let identity = place.namespace.identity();
            let script = "trap 'exit 51' INT; trap 'exit 52' TERM; trap 'exit 53' HUP
                trap 'exit 54' QUIT; touch /run/ready; while :; do sleep 0.01; done";
            let ended = thread::scope(|scope| {
                scope.spawn(|| {
                    until(|| {
                        Path::new("/run/ready").exists() && !processes_in(identity).is_empty()
                    });
                    to_ourselves(signal);
                });
                run(place, &shell(script), Some(Duration::from_secs(10)), &mut signals)
            });
            assert_eq!(ended.unwrap(), status);
        }
        // One that came too early for the command ends the run before it.
        to_ourselves(Signal::TERM);
        thread::sleep(Duration::from_millis(50));
        let ended = run(place, &shell("touch /run/started"), None, &mut signals);
        assert_eq!(ended.unwrap(), 128 + 15);
        assert!(!Path::new("/run/started").exists());
    });
}

#[test]
fn everything_in_a_namespace_is_ended_and_nothing_else() {
    on_a_host_with_a_namespace(|place| {
        let start = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]).stdout(Stdio::null());
            command.spawn().unwrap()
        };
        let mut outside = start("exec sleep 60");
        let mut inside = place
            .namespace
            .enter(|| {
                let stubborn = start("trap '' TERM; while :; do sleep 0.1; done");
                let stopped = start("kill -STOP $$; sleep 60");
                [stubborn, stopped]
            })
            .unwrap();
        let reaper = thread::spawn(move || inside.each_mut().map(|c| c.wait().unwrap().signal()));
        thread::sleep(Duration::from_millis(100));
        end_all_in(place.namespace);
        assert_eq!(reaper.join().unwrap(), [Some(9), Some(15)]);
        assert_eq!(outside.try_wait().unwrap(), None);
        outside.kill().unwrap();
        outside.wait().unwrap();
    });
}
