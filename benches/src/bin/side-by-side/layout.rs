//! How a contender is laid out: a client and a server in network namespaces, and the contender between
//! them, with the same addresses and queue lengths for all, and each with the MTU that it is made for.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::contender::{Contender, Topology};
use crate::host::{Host, Process};

/// A contender at work, until dropped.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) contender: Contender,
    hypertun: PathBuf,
    /// Who forwards; the kernel is no process.
    pub(crate) forwarder: Option<Process>,
    host: Host,
}

impl Layout {
    /// Starts a contender out of the folder `programs`.
    pub(crate) fn start(contender: Contender, programs: &Path) -> Result<Self> {
        let host = Host::start()?;
        let hypertun = programs.join("hypertun");
        let forwarder = match contender {
            Contender::Floor { gso, spin } => {
                let options = [(!gso).then_some("--no-gso"), spin.then_some("--spin")];
                let mut command = host.command(programs.join("copy-floor"));
                command.args(["--inside-address", "10.0.1.10"]).args(options.iter().flatten());
                Some(floor(&host, command, TUN_OF_IPV4)?)
            }
            Contender::Nat64Floor => {
                let mut command = host.command(programs.join("copy-floor"));
                command.args(["--inside-address", "2001:db8:1::10"]);
                Some(floor(&host, command, TUN_OF_IPV6)?)
            }
            Contender::Kernel => {
                host.shell(&[OUTSIDE, INSIDE, MASQUERADE].concat())?;
                None
            }
            Contender::Hypertun { topology, workers } => {
                let file = match topology {
                    Topology::NatGateway => "../topologies/nat-gateway.yaml",
                    Topology::PublicSubnet => "../topologies/public-subnet.yaml",
                    Topology::Ipv6Only => "../topologies/ipv6-only-nat64.yaml",
                };
                let mut command = host.command(&hypertun);
                command.arg("up").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(file));
                command.args(["--workers", &workers.to_string()]);
                Some(Process::start(&mut command, "ready")?)
            }
            Contender::Slirp4netns => {
                host.shell(&[OUTSIDE, SOCKETS, BUFFER_SLIRP4NETNS].concat())?;
                Some(host.shell_until(SLIRP4NETNS, "received tapfd")?)
            }
            Contender::Pasta => {
                host.shell(&[OUTSIDE, SOCKETS, BUFFER_PASTA].concat())?;
                let pasta = host.shell_until(PASTA, "")?;
                host.shell(PASTA_READY)?;
                Some(pasta)
            }
            Contender::Tayga => {
                host.shell(&[OUTSIDE, NAT64].concat())?;
                Some(host.shell_until(TAYGA, "")?)
            }
        };
        Ok(Self { contender, hypertun, forwarder, host })
    }

    /// A command where the client is.
    pub(crate) fn client(&self, program: &str) -> Command {
        self.at(true, program)
    }

    /// A command where the server is.
    pub(crate) fn server(&self, program: &str) -> Command {
        self.at(false, program)
    }

    /// A command of hypertun's own.
    pub(crate) fn hypertun(&self) -> Command {
        self.host.command(&self.hypertun)
    }

    fn at(&self, client: bool, program: &str) -> Command {
        let mut command = match self.contender {
            Contender::Hypertun { topology, .. } => {
                let [inside, outside] = match topology {
                    Topology::NatGateway => ["app", "partner.example"],
                    Topology::PublicSubnet => ["web", "visitor.example"],
                    Topology::Ipv6Only => ["app", "partner.example"],
                };
                let mut command = self.hypertun();
                command.args(["exec", if client { inside } else { outside }, "--"]);
                command
            }
            contender => {
                let namespace = match (client, contender) {
                    (false, _) => "server",
                    (true, Contender::Tayga) => "router",
                    (true, _) => "client",
                };
                let mut command = self.host.command("ip");
                command.args(["netns", "exec", namespace]);
                command
            }
        };
        command.arg(program);
        command
    }
}

/// Starts a copy floor, and gives its links addresses.
fn floor(host: &Host, mut command: Command, inside: &str) -> Result<Process> {
    command.args(["--inside", "inside", "--outside", "outside"]);
    command.args(["--outside-address", "198.51.100.10"]);
    let floor = Process::start(&mut command, "ready")?;
    host.shell(&[TUNS, inside].concat())?;
    Ok(floor)
}

/// Addresses, and below MTUs and queue lengths, are those that hypertun gives its links in
/// `topologies/nat-gateway.yaml`; like those, the links have no queue but the device's.
const TUNS: &str = "
    for side in client server; do ip netns add $side; ip -n $side link set lo up; done
    ip link set inside netns client
    ip link set outside netns server
    ip -n client link set inside mtu 9001 txqueuelen 4096
    ip -n server link set outside mtu 1500 txqueuelen 4096
    tc -n client qdisc replace dev inside root noqueue
    tc -n server qdisc replace dev outside root noqueue
    ip -n client link set inside up
    ip -n server address add 203.0.113.90/32 dev outside
    ip -n server link set outside up
    ip -n server route add default dev outside";

const TUN_OF_IPV4: &str = "
    ip -n client address add 10.0.1.10/24 dev inside
    ip -n client route add default dev inside";

const TUN_OF_IPV6: &str = "
    ip -n client address add 2001:db8:1::10/64 dev inside nodad
    ip -n client -6 route add default dev inside";

/// A router, and its way to the server.
const OUTSIDE: &str = "
    for side in client router server; do ip netns add $side; ip -n $side link set lo up; done
    ip -n router link add outside mtu 1500 txqueuelen 4096 type veth \
        peer outside mtu 1500 txqueuelen 4096 netns server
    ip -n router address add 198.51.100.10 peer 203.0.113.90 dev outside
    ip -n router link set outside up
    ip -n server address add 203.0.113.90 peer 198.51.100.10 dev outside
    ip -n server link set outside up
    ip -n server route add default via 198.51.100.10";

/// Its way to the client.
const INSIDE: &str = "
    ip -n router link add inside mtu 9001 txqueuelen 4096 type veth \
        peer inside mtu 9001 txqueuelen 4096 netns client
    ip -n router address add 10.0.1.1/24 dev inside
    ip -n router link set inside up
    ip -n client address add 10.0.1.10/24 dev inside
    ip -n client link set inside up
    ip -n client route add default via 10.0.1.1";

const MASQUERADE: &str = "
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
        }'";

/// Who ends connections sends longer packets to the server, too, where it may. Echo requests go by ping
/// sockets, which the kernel gives to nobody unless told.
const SOCKETS: &str = "
    ip -n router link set outside mtu 65535
    ip -n server link set outside mtu 65535
    ip -n router route add default via 203.0.113.90 dev outside
    ip netns exec router sysctl --quiet --write 'net.ipv4.ping_group_range=0 2147483647'";

/// The most that a client's socket buffers, in bytes. These two lose what their own sockets do not take, or
/// leave it to wait; so that a client that is as far ahead as the kernel lets it by default is slower.
const BUFFER_SLIRP4NETNS: &str = "
    ip netns exec client sysctl --quiet --write 'net.ipv4.tcp_wmem=4096 16384 131072'";

const BUFFER_PASTA: &str = "
    ip netns exec client sysctl --quiet --write 'net.ipv4.tcp_wmem=4096 16384 262144'";

/// The MTU is what its manual recommends for speed.
const SLIRP4NETNS: &str = "exec ip netns exec router slirp4netns --netns-type=path --configure \
    --mtu=65520 --cidr=10.0.1.0/24 --disable-host-loopback --disable-dns /run/netns/client inside 2>&1";

/// The MTU is 65520 by itself. Unless told, it would give the client the server's address, and become
/// nobody, who may not enter the client's namespace.
const PASTA: &str = "exec ip netns exec router pasta --foreground --log-file /run/pasta.log --config-net \
    --ipv4-only --no-map-gw --interface outside --address 10.0.1.10 --netmask 24 --gateway 10.0.1.1 \
    --tcp-ports none --udp-ports none --tcp-ns none --udp-ns none --ns-ifname inside --runas 0:0 \
    --netns /run/netns/client >/run/pasta.said 2>&1";

/// It says nothing when it is ready.
const PASTA_READY: &str = "
    for try in $(seq 100); do
        ip -n client route show default | grep -q default && exit
        sleep 0.05
    done
    cat /run/pasta.said /run/pasta.log; exit 1";

/// The client is on the router itself: a hop less.
const NAT64: &str = "
    ip -n router address add 2001:db8:1::10/128 dev lo
    ip netns exec router sysctl --quiet --write net.ipv4.ip_forward=1 \
        net.ipv6.conf.all.forwarding=1
    mkdir /run/tayga
    cat >/run/tayga.conf <<END
tun-device nat64
ipv4-addr 198.51.100.20
ipv6-addr 2001:db8:2::1
prefix 2001:db8:64::/96
dynamic-pool 198.51.100.32/27
data-dir /run/tayga
END
    ip netns exec router tayga --config /run/tayga.conf --mktun >/dev/null
    ip -n router link set nat64 mtu 1500 txqueuelen 4096 up
    ip -n router route add 198.51.100.20 dev nat64
    ip -n router route add 198.51.100.32/27 dev nat64
    ip -n router route add 2001:db8:64::/96 dev nat64";

const TAYGA: &str = "exec ip netns exec router tayga --config /run/tayga.conf --nodetach";
