//! What is compared, and how each is laid out: a client and a server in network namespaces, and
//! the contender between them, with the same addresses, MTUs and queue lengths for all.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::host::{Host, Process};

/// What stands between client and server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    /// `copy-floor`: the least that forwarding between two TUN devices can cost.
    Floor { gso: bool },
    /// The kernel: veth pairs, nftables' masquerade, a stateful filter.
    Kernel,
    /// The NAT gateway of `topologies/nat-gateway.yaml`.
    Hypertun { workers: u8 },
}

/// In the order of the report.
pub(crate) const CONTENDERS: [Contender; 5] = [
    FLOOR,
    Contender::Floor { gso: false },
    KERNEL,
    Contender::Hypertun { workers: 1 },
    Contender::Hypertun { workers: 2 },
];

/// What the others are measured against.
pub(crate) const FLOOR: Contender = Contender::Floor { gso: true };
pub(crate) const KERNEL: Contender = Contender::Kernel;

impl Contender {
    pub(crate) fn name(self) -> String {
        match self {
            Self::Floor { gso: true } => "copy floor".to_owned(),
            Self::Floor { gso: false } => "copy floor, no offloads".to_owned(),
            Self::Kernel => "kernel, nft masquerade".to_owned(),
            Self::Hypertun { workers: 1 } => "hypertun, 1 worker".to_owned(),
            Self::Hypertun { workers } => format!("hypertun, {workers} workers"),
        }
    }
}

/// The server's address, as the client knows it.
pub(crate) const SERVER: &str = "203.0.113.90";

/// A contender at work, until dropped.
#[derive(Debug)]
pub(crate) struct Layout {
    contender: Contender,
    hypertun: PathBuf,
    _forwarder: Option<Process>,
    host: Host,
}

impl Layout {
    /// Starts a contender out of the folder `programs`.
    pub(crate) fn start(contender: Contender, programs: &Path) -> Result<Self> {
        let host = Host::start()?;
        let hypertun = programs.join("hypertun");
        let forwarder = match contender {
            Contender::Floor { gso } => {
                let mut command = host.command(programs.join("copy-floor"));
                command.args(["--inside", "inside", "--outside", "outside"]);
                command.args(["--inside-address", CLIENT, "--outside-address", TRANSLATED]);
                command.args((!gso).then_some("--no-gso"));
                let floor = Process::start(&mut command, "ready")?;
                host.shell(TUNS)?;
                Some(floor)
            }
            Contender::Kernel => {
                host.shell(VETHS)?;
                None
            }
            Contender::Hypertun { workers } => {
                let mut command = host.command(&hypertun);
                command.arg("up").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(TOPOLOGY));
                command.args(["--workers", &workers.to_string()]);
                Some(Process::start(&mut command, "ready")?)
            }
        };
        Ok(Self { contender, hypertun, _forwarder: forwarder, host })
    }

    /// A command where the client is.
    pub(crate) fn client(&self, program: &str) -> Command {
        self.at("client", "app", program)
    }

    /// A command where the server is.
    pub(crate) fn server(&self, program: &str) -> Command {
        self.at("server", "partner.example", program)
    }

    fn at(&self, namespace: &str, member: &str, program: &str) -> Command {
        let mut command = match self.contender {
            Contender::Floor { .. } | Contender::Kernel => {
                let mut command = self.host.command("ip");
                command.args(["netns", "exec", namespace]);
                command
            }
            Contender::Hypertun { .. } => {
                let mut command = self.host.command(&self.hypertun);
                command.args(["exec", member, "--"]);
                command
            }
        };
        command.arg(program);
        command
    }
}

/// Addresses, and below MTUs and queue lengths, are those that hypertun gives its links in this
/// topology.
const TOPOLOGY: &str = "../topologies/nat-gateway.yaml";
const CLIENT: &str = "10.0.1.10";
const TRANSLATED: &str = "198.51.100.10";

const TUNS: &str = "
    for side in client server; do ip netns add $side; ip -n $side link set lo up; done
    ip link set inside netns client
    ip link set outside netns server
    ip -n client address add 10.0.1.10/24 dev inside
    ip -n client link set inside mtu 9001 txqueuelen 4096 up
    ip -n client route add default dev inside
    ip -n server address add 203.0.113.90/32 dev outside
    ip -n server link set outside mtu 1500 txqueuelen 4096 up
    ip -n server route add default dev outside";

const VETHS: &str = "
    for side in client router server; do ip netns add $side; ip -n $side link set lo up; done
    ip -n router link add inside mtu 9001 txqueuelen 4096 type veth \
        peer inside mtu 9001 txqueuelen 4096 netns client
    ip -n router link add outside mtu 1500 txqueuelen 4096 type veth \
        peer outside mtu 1500 txqueuelen 4096 netns server
    ip -n router address add 10.0.1.1/24 dev inside
    ip -n router link set inside up
    ip -n router address add 198.51.100.10 peer 203.0.113.90 dev outside
    ip -n router link set outside up
    ip netns exec router sysctl --quiet --write net.ipv4.ip_forward=1
    ip netns exec router nft '
        table ip nat {
            chain postrouting {
                type nat hook postrouting priority srcnat
                oifname outside masquerade
            }
        }
        table ip filter {
            chain forward {
                type filter hook forward priority filter; policy drop
                ct state established,related accept
                iifname inside oifname outside accept
            }
        }'
    ip -n client address add 10.0.1.10/24 dev inside
    ip -n client link set inside up
    ip -n client route add default via 10.0.1.1
    ip -n server address add 203.0.113.90 peer 198.51.100.10 dev outside
    ip -n server link set outside up";
