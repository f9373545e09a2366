//! Does an instance live without root? Each role below is a process of this program: root on a host
//! of its own (util-linux's unshare), and users of that host without rights.

use std::error::Error;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use control::runtime::instance::{Instance, Paths};
use control::runtime::namespace::Namespace;
use control::runtime::process::{self, Place};
use control::runtime::signals::Signals;
use control::runtime::{interface, rootless};
use rustix::mount::{MountFlags, mount};

type Outcome = Result<(), Box<dyn Error>>;

const SOCKET: &str = "/run/user/65534/hypertun/mine.sock";

fn main() -> Outcome {
    match std::env::args().nth(1).as_deref() {
        Some("a host") => host(),
        Some("makes an instance") => makes_an_instance(),
        Some("holds an instance") => holds_an_instance(),
        Some("joins an instance") => joins_an_instance(),
        _ => passes(role(&["unshare", "--mount", "--net"], "a host")),
    }
}

fn role(through: &[&str], name: &str) -> Command {
    let mut command = Command::new(through[0]);
    command
        .args(&through[1..])
        .arg(std::env::current_exe().expect("a program has a path"))
        .arg(name);
    command
}

fn user(through: &[&str], name: &str) -> Command {
    let unprivileged = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"];
    let this = std::env::current_exe().expect("a program has a path");
    let mut command = Command::new(unprivileged[0]);
    command.args(&unprivileged[1..]).args(through).arg(this).arg(name);
    command.env("XDG_RUNTIME_DIR", "/run/user/65534");
    command
}

fn passes(mut command: Command) -> Outcome {
    println!("{command:?}");
    let status = command.status().map_err(|e| format!("this test needs {command:?}: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}").into()) }
}

fn host() -> Outcome {
    mount("tmpfs", "/run", "tmpfs", MountFlags::empty(), c"mode=755")?;
    fs::create_dir_all("/run/user/65534")?;
    std::os::unix::fs::chown("/run/user/65534", Some(65534), Some(65534))?;
    fs::write("/run/file", "of the host")?;
    std::os::unix::fs::symlink("file", "/run/link")?;
    let _theirs = Namespace::named("theirs")?;
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;

    passes(user(&[], "makes an instance"))?;
    // Users who have made their namespace themselves, with and without mounts in it.
    passes(user(&["unshare", "--user", "--map-root-user", "--net"], "makes an instance"))?;
    passes(user(&["unshare", "--user", "--map-root-user", "--mount"], "makes an instance"))?;

    let mut daemon = user(&[], "holds an instance").stdout(Stdio::null()).spawn()?;
    while !Path::new(SOCKET).exists() {
        assert_eq!(daemon.try_wait()?, None, "the instance must come up");
        sleep(Duration::from_millis(5));
    }
    passes(user(&[], "joins an instance"))?;
    assert!(daemon.wait()?.success());
    assert_eq!(fs::read_dir("/run/user/65534/hypertun")?.count(), 0);

    assert_eq!(fs::read_to_string("/proc/self/mountinfo")?, mounts, "the host's mounts");
    assert!(Path::new("/run/netns/theirs").exists());
    Ok(())
}

fn makes_an_instance() -> Outcome {
    rootless::obtain_rights()?;
    assert_eq!(fs::read_to_string("/run/link")?, "of the host");
    let instance = Instance::start(&"mine".parse()?)?;
    assert!(Path::new("/run/user/65534/hypertun/mine.lock").exists());
    let namespace = Namespace::named("mine:app")?;
    interface::prepare(&namespace)?;
    let seen = Command::new("ip").args(["netns", "list"]).output()?;
    assert_eq!(String::from_utf8(seen.stdout)?.trim(), "mine:app");
    let resolv_conf = instance.write_resolv_conf("app", "nameserver 10.0.0.2\n")?;
    let place = Place { namespace: &namespace, resolv_conf: &resolv_conf };
    let script = "grep -q 10.0.0.2 /etc/resolv.conf && test \"$(ls /sys/class/net)\" = lo";
    let command = ["sh", "-c", script].map(OsString::from);
    assert_eq!(process::run(place, &command, None, &mut Signals::catch()?)?, 0);
    drop(instance);
    assert!(!Path::new("/run/netns/mine:app").exists());
    Ok(())
}

fn holds_an_instance() -> Outcome {
    rootless::obtain_rights()?;
    let instance = Instance::start(&"mine".parse()?)?;
    Namespace::named("mine:app")?;
    File::create(instance.paths().socket())?;
    while instance.paths().socket().exists() {
        sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn joins_an_instance() -> Outcome {
    let paths = Paths::of(&"mine".parse()?);
    let app = paths.namespace_path("app");
    let here = std::env::current_dir()?;
    assert!(Namespace::open(&app).is_err(), "it is not seen from outside");
    rootless::join(paths.process().ok_or("the instance runs")?)?;
    assert_eq!(std::env::current_dir()?, here);
    Namespace::open(&app)?.enter(|| ())?;
    Ok(fs::remove_file(paths.socket())?)
}
