//! A Docker engine of a test's own, on its host: no bridge, no rule of netfilter, no image but busybox.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;

use crate::host::{Host, only_child, output, signal, wait_until};

/// An engine. Dropping it ends it, and its containers.
#[derive(Debug)]
pub struct Docker<'a> {
    host: &'a Host,
    /// `nsenter`, which ends as `dockerd` does.
    engine: Child,
    data: PathBuf,
    /// The control group of its containers.
    group: String,
}

/// The one image that it has.
pub const BUSYBOX: &str = "busybox";

const SOCKET: &str = "unix:///run/docker-test.sock";

/// Makes the image: busybox, which is a program without libraries, under each of its names.
const IMPORT: &str = "bin=$1/image/bin; mkdir -p $bin
    for name in $(/bin/busybox --list); do ln -s busybox $bin/$name; done
    cp --remove-destination /bin/busybox $bin/busybox
    tar --directory $1/image --create . | docker import - busybox";

impl<'a> Docker<'a> {
    /// Needs `dockerd` (docker.io) and `/bin/busybox` (busybox-static).
    #[must_use]
    pub fn start(host: &'a Host) -> Self {
        let group = format!("docker-test-{}", host.id());
        let data = std::env::temp_dir().join(&group);
        let engine = engine(host, &data, &group);
        let docker = Self { host, engine, data, group };
        docker.answers();
        let mut import = docker.command("sh");
        let _ = output(import.args(["-euc", IMPORT, "sh"]).arg(&docker.data)).success();
        docker
    }

    /// Ends the engine by a signal, and starts it again.
    pub fn restart(&mut self, by: Signal) {
        signal(only_child(self.engine.id()), by);
        let _ = self.engine.wait();
        self.engine = engine(self.host, &self.data, &self.group);
        self.answers();
    }

    fn answers(&self) {
        wait_until("dockerd answers", 60, || {
            output(self.command("docker").arg("version")).status == 0
        });
    }

    /// A program that finds the engine.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = self.host.command(program);
        environment(&mut command);
        command
    }

    /// What `docker` says, which must succeed.
    #[must_use]
    pub fn says(&self, arguments: &[&str]) -> String {
        output(self.command("docker").args(arguments)).success()
    }

    /// What `docker` complains of, which must fail.
    #[must_use]
    pub fn refuses(&self, arguments: &[&str]) -> String {
        let said = output(self.command("docker").args(arguments));
        assert_ne!(said.status, 0, "{arguments:?}: {said:?}");
        said.err
    }

    /// Starts a container without a network, which sleeps.
    pub fn sleeper(&self, name: &str) {
        self.sleeper_in("none", name, &[]);
    }

    /// Starts a container in a network, with further options, which sleeps.
    pub fn sleeper_in(&self, network: &str, name: &str, options: &[&str]) {
        let run = ["run", "--detach", "--network", network, "--init=false", "--name", name];
        let _ = self.says(&[&run[..], options, &[BUSYBOX, "sleep", "1007"]].concat());
    }

    /// Makes a network of hypertun, with options.
    pub fn network(&self, name: &str, options: &[&str]) {
        let create = ["network", "create", "--driver", "hypertun", "--ipam-driver", "hypertun"];
        let _ = self.says(&[&create[..], options, &[name]].concat());
    }

    /// Makes the network `name` of a subnet.
    pub fn subnet(&self, name: &str, subnet: &str) {
        let subnet = format!("subnet={subnet}");
        self.network(name, &["--ipam-opt", &subnet, "--opt", &subnet]);
    }

    /// What a shell says in a container.
    #[must_use]
    pub fn inside(&self, container: &str, command: &str) -> String {
        self.says(&["exec", container, "sh", "-c", command]).trim().to_owned()
    }

    /// The address that a host of the internet sees a container come from.
    #[must_use]
    pub fn seen_as(&self, container: &str) -> String {
        let get = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 5 203.0.113.80 80 | tail -n 1";
        self.inside(container, get)
    }

    /// The addresses of a container's interface, each with the length of its prefix.
    #[must_use]
    pub fn addresses(&self, container: &str) -> String {
        let show = "ip address show eth0 | sed -n 's/.* inet6* \\([^ ]*\\) .*/\\1/p'";
        self.inside(container, show).replace('\n', " ")
    }
}

/// Options by which a container of busybox has the programs of the host, and `/peer/peer`; the host's `/usr` is whole.
#[must_use]
pub fn programs_of_the_host() -> Vec<String> {
    let peer = crate::programs::peer();
    let peer = format!("{}:/peer", peer.parent().expect("it is in a folder").display());
    let folders =
        ["/usr:/usr".to_owned(), "/lib:/lib".to_owned(), "/lib64:/lib64".to_owned(), peer];
    let mounts = folders.into_iter().flat_map(|it| ["--volume".to_owned(), format!("{it}:ro")]);
    mounts.chain(["--tmpfs".to_owned(), "/tmp".to_owned()]).collect()
}

fn engine(host: &Host, data: &Path, group: &str) -> Child {
    let mut command = host.command("dockerd");
    command.arg("--data-root").arg(data.join("data")).args(["--host", SOCKET]);
    command.args(["--exec-root", "/run/docker-test", "--pidfile", "/run/docker-test.pid"]);
    command.args(["--bridge=none", "--iptables=false", "--ip6tables=false"]);
    command.args(["--cgroup-parent", &format!("/{group}")]);
    command.args(["--storage-driver", "vfs", "--log-level", "fatal"]);
    let engine = environment(&mut command).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    engine.expect("nsenter was found")
}

/// What finds the engine: of two `docker`s the distribution's, which is its own.
pub fn environment(command: &mut Command) -> &mut Command {
    command.env("DOCKER_HOST", SOCKET).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
}

impl Drop for Docker<'_> {
    fn drop(&mut self) {
        let remove = "docker ps --all --quiet | xargs --no-run-if-empty docker rm --force";
        let _ = output(self.command("sh").args(["-c", remove]));
        if self.engine.try_wait().is_ok_and(|ended| ended.is_none()) {
            signal(only_child(self.engine.id()), Signal::TERM);
        }
        let _ = self.engine.wait();
        let _ = std::fs::remove_dir_all(&self.data);
        // One for each controller, or a single one.
        let remove = ["/sys/fs/cgroup", "-maxdepth", "2", "-name", &self.group, "-delete"];
        let _ = output(self.host.command("find").args(remove));
    }
}
