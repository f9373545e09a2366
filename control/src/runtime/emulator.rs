//! A topology that runs: workers, the links in their namespaces, the hosts inside the emulator.
//!
//! One namespace for each network interface and for each internet host without built-in services;
//! the device of each is born in a staging namespace of our own and moved, so that nothing on the
//! host reacts to it.

use std::fmt::Write as _;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataplane::io::memory;
use dataplane::io::tun::{Tun, TunError, TunOptions};
use dataplane::packet::LinkId;
use dataplane::shared::{Shared, WorkerId};
use dataplane::state::Shard;
use dataplane::tables::{INTERNET_MTU, Published, Tables, VPC_MTU};
use dataplane::time::Clock;
use dataplane::worker::{Gone, Setup, Worker};
use ipnet::Ipv4Net;

use crate::check::{Checked, InternetHost, NetworkInterface, NetworkInterfaceIndex};
use crate::compile::{self, Compiled, FIRST_EPOCH, Names};
use crate::endpoints::{Endpoints, HostSpec};
use crate::runtime::instance::{self, Instance};
use crate::runtime::interface::{self, Interface};
use crate::runtime::namespace::{self, Namespace};

/// How to run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether devices take and give super-packets.
    pub gso: bool,
    /// The most flows that are kept.
    pub flow_limit: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { gso: true, flow_limit: 1 << 20 }
    }
}

/// Why a topology could not be brought up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its namespaces.
    #[error(transparent)]
    Namespace(#[from] namespace::Error),
    /// Its devices.
    #[error(transparent)]
    Tun(#[from] TunError),
    /// Their configuration.
    #[error(transparent)]
    Interface(#[from] interface::Error),
    /// Its files.
    #[error(transparent)]
    Instance(#[from] instance::Error),
    /// A worker ended while it was set up.
    #[error(transparent)]
    Worker(#[from] Gone),
    /// Descriptors or threads.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

/// A running topology. Dropping it takes down all that it made.
#[derive(Debug)]
pub struct Emulator {
    // Namespaces go before the descriptors of the devices in them: see `Instance`.
    instance: Instance,
    /// Held for its thread.
    _endpoints: Endpoints,
    workers: Vec<Worker>,
    shared: Arc<Shared>,
    clock: Arc<Clock>,
    names: Names,
    topology: Checked,
    started: Instant,
}

impl Emulator {
    /// Brings `topology` up under the name that `instance` holds; packets flow when it returns.
    ///
    /// # Errors
    ///
    /// When the kernel refuses a device, a namespace or a right; what was made is taken down.
    pub fn start(instance: Instance, topology: Checked, options: Options) -> Result<Self, Error> {
        let Compiled { tables, names } = compile::compile(&topology, FIRST_EPOCH);
        let published = Published::new(tables);
        let shared = Arc::new(Shared::default());
        let clock = Arc::new(Clock::start());
        let worker = Worker::start(Setup {
            id: WorkerId::default(),
            shared: shared.clone(),
            tables: published,
            clock: clock.clone(),
            flow_limit: options.flow_limit,
            seed: fastrand::u64(..),
        })?;
        let mut site = Site { instance, staging: Namespace::anonymous()?, options, worker };
        for (place, interface) in topology.network_interfaces.iter().enumerate() {
            let link = compile::eni_link(NetworkInterfaceIndex(place));
            site.place_interface(link, &topology, interface)?;
        }
        let mut hosts = Vec::new();
        for (place, host) in topology.internet_hosts.iter().enumerate() {
            let link = compile::host_link(&topology, place);
            if host.namespace {
                site.place_host(link, host)?;
            } else {
                hosts.push(site.serve_host(link, host)?);
            }
        }
        let _endpoints = Endpoints::start(hosts)?;
        let Site { instance, worker, .. } = site;
        let started = Instant::now();
        let workers = vec![worker];
        Ok(Self { instance, _endpoints, workers, shared, clock, names, topology, started })
    }

    /// The instance's name and files.
    #[must_use]
    pub fn instance(&self) -> &Instance {
        &self.instance
    }

    /// What runs.
    #[must_use]
    pub fn topology(&self) -> &Checked {
        &self.topology
    }

    /// What the data plane's ids stand for.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// What workers share.
    #[must_use]
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Workers.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// Real time since packets flow.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Emulated time since the instance began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }

    /// Moves the emulated clock forward, and returns the time reached once every worker has come
    /// to it and has retired all that was due by then.
    ///
    /// # Errors
    ///
    /// When a worker has ended.
    pub fn advance(&self, by: Duration) -> Result<Duration, Gone> {
        let reached = self.clock.advance(by);
        for worker in &self.workers {
            worker.catch_up(reached)?;
        }
        Ok(reached)
    }

    /// Asks every worker the same, between two of its turns.
    ///
    /// # Errors
    ///
    /// When a worker has ended.
    pub fn ask<R: Send + 'static>(
        &self,
        question: impl Fn(&mut Shard, &Tables) -> R + Clone + Send + 'static,
    ) -> Result<Vec<R>, Gone> {
        self.workers.iter().map(|worker| worker.ask(question.clone())).collect()
    }

    /// The namespace of `member`, if it has one: an interface's, or that of an internet host
    /// without built-in services.
    #[must_use]
    pub fn has_namespace(&self, member: &str) -> bool {
        members(&self.topology).any(|name| name == member)
    }
}

/// The names of all that have a namespace.
pub fn members(topology: &Checked) -> impl Iterator<Item = &str> {
    let interfaces = topology.network_interfaces.iter().map(|interface| interface.name.as_str());
    let hosts = topology.internet_hosts.iter().filter(|host| host.namespace);
    interfaces.chain(hosts.map(|host| host.name.as_str()))
}

/// An emulator that is being built.
struct Site {
    instance: Instance,
    staging: Namespace,
    options: Options,
    worker: Worker,
}

impl Site {
    fn place_interface(
        &mut self,
        link: LinkId,
        topology: &Checked,
        interface: &NetworkInterface,
    ) -> Result<(), Error> {
        let subnet = &topology[interface.subnet];
        let vpc = &topology[subnet.vpc];
        let base = |cidr: Ipv4Net, offset| Ipv4Addr::from_bits(cidr.network().to_bits() + offset);
        let address = Ipv4Net::new(interface.private_ip, subnet.cidr.prefix_len())
            .expect("the length is one of a checked block");
        let mut resolv_conf = String::new();
        if vpc.dns_support {
            // The resolver is at the VPC's primary block plus two (AWS "DHCP option sets").
            let resolver = base(vpc.cidrs[0], 2);
            let _ = writeln!(resolv_conf, "nameserver {resolver}");
        }
        let device = Interface {
            addresses: vec![address],
            gateway: Some(base(subnet.cidr, 1)),
            mtu: VPC_MTU.into(),
        };
        self.place(link, &interface.name, &device, &resolv_conf)
    }

    fn place_host(&mut self, link: LinkId, host: &InternetHost) -> Result<(), Error> {
        let device = Interface {
            addresses: host.addresses.iter().copied().map(Ipv4Net::from).collect(),
            gateway: None,
            mtu: INTERNET_MTU.into(),
        };
        self.place(link, &host.name, &device, "")
    }

    /// Makes a namespace with one device, which the worker gets.
    fn place(
        &mut self,
        link: LinkId,
        member: &str,
        device: &Interface,
        resolv_conf: &str,
    ) -> Result<(), Error> {
        let paths = self.instance.paths();
        let target = Namespace::named(&paths.namespace(member))?;
        interface::prepare(&target)?;
        // Unique among what is born in the staging namespace and has not moved yet.
        let name = format!("ht{}", link.0);
        let options = TunOptions { gso: self.options.gso };
        let tun = self.staging.enter(|| Tun::open(&name, &options))??;
        interface::adopt(&self.staging, tun.name(), &target)?;
        interface::configure(&target, device)?;
        self.instance.write_resolv_conf(member, resolv_conf)?;
        self.worker.attach(link, Some(Box::new(tun)))??;
        Ok(())
    }

    fn serve_host(&mut self, link: LinkId, host: &InternetHost) -> Result<HostSpec, Error> {
        let (inside, peer) = memory::pair(RING)?;
        self.worker.attach(link, Some(Box::new(inside)))??;
        Ok(HostSpec {
            name: host.name.clone(),
            addresses: host.addresses.iter().copied().map(Into::into).collect(),
            serves: host.serves.clone(),
            peer,
        })
    }
}

/// Packets that wait for a built-in host, or from it, at most.
const RING: usize = 1024;
