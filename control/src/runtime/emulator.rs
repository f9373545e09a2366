//! A topology that runs: workers, tables, clock, and the seats around them.

mod births;
mod change;
mod passing;

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use dataplane::io::tun::{TunError, TunOptions};
use dataplane::packet::Reason;
use dataplane::shared::Shared;
use dataplane::state::{Counters, Shard};
use dataplane::tables::{Published, Tables};
use dataplane::time::{Clock, Reading};
use dataplane::worker::{Gone, Setup, Workers};
use rustix::process::{Resource, Rlimit, Signal, getpid, getrlimit, kill_process, setrlimit};

use crate::attach::{self, Attached, Endpoint, Target};
use crate::check::{Born, Checked, Creating, Draining, Sound};
use crate::compile::{self, Compiled, FIRST_EPOCH, Names, Passing, TooMany};
use crate::diagnostic::Report;
use crate::endpoints::{Knowledge, Surroundings};
use crate::model::Outline;
use crate::runtime::device::{Kind, Workshop};
use crate::runtime::instance::{self, Instance};
use crate::runtime::interface;
use crate::runtime::ledger::Ledger;
use crate::runtime::namespace;
use crate::runtime::seats::seats;
use crate::runtime::site::Site;

pub use crate::runtime::emulator::change::Applied;
pub use crate::runtime::site::DeviceStatus;

/// How to run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Worker threads, at least one.
    pub workers: usize,
    /// Whether devices take and give super-packets.
    pub gso: bool,
    /// Which kind of devices.
    pub tun: Kind,
    /// The most flows that each worker keeps.
    pub flow_limit: usize,
}

impl Default for Options {
    fn default() -> Self {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        Self { workers, gso: true, tun: Kind::Auto, flow_limit: 1 << 20 }
    }
}

/// Why a topology could not be brought up, or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is larger than the data plane can name.
    #[error(transparent)]
    TooMany(#[from] TooMany),
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
    /// An interface that is attached to something.
    #[error(transparent)]
    Attach(#[from] Box<attach::Error>),
    /// A worker ended meanwhile.
    #[error(transparent)]
    Worker(#[from] Gone),
    /// The text is no topology.
    #[error("{}", .0.summary())]
    Wrong(Report),
    /// The new topology holds, but the host does not have all of it; with what is worth knowing about it.
    #[error(
        "the new topology holds, but not all of it could be set up ({}); apply it again to try again",
        .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    )]
    Partly(Vec<Self>, Report),
    /// Descriptors or threads.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

impl Error {
    /// What was found in the text, if that is to be told: what is wrong with it, or what is worth knowing about one that
    /// holds.
    #[must_use]
    pub const fn found(&self) -> Option<&Report> {
        match self {
            Self::Wrong(report) | Self::Partly(_, report) => Some(report),
            _ => None,
        }
    }
}

/// A running topology. Dropping it takes down all that it made.
#[derive(Debug)]
pub struct Emulator {
    instance: Instance,
    state: Mutex<State>,
    workers: Workers,
    published: Published,
    shared: Arc<Shared>,
    clock: Arc<Clock>,
    /// Wall time at which the clock began.
    began: SystemTime,
    started: Instant,
    panicked: Arc<AtomicBool>,
}

/// What `apply` changes.
#[derive(Debug)]
struct State {
    topology: Arc<Checked>,
    /// The text of it, and what there is in that.
    source: String,
    outline: Outline,
    /// Network interfaces that it has beside those of the text.
    born: Vec<Born>,
    names: Arc<Names>,
    epoch: u32,
    /// Addresses of NAT gateways that the topology does not have any more.
    draining: Vec<Draining>,
    /// Hyperplane ENIs that are not there yet.
    creating: Vec<Creating>,
    /// What costs by the hour.
    ledger: Ledger,
    site: Site,
}

impl Emulator {
    /// Brings a topology up under the name that `instance` holds; packets flow when it returns.
    ///
    /// # Errors
    ///
    /// When the kernel refuses a device, a namespace or a right; what was made is taken down.
    pub fn start(instance: Instance, sound: Sound, options: Options) -> Result<Self, Error> {
        let Sound { topology, source, outline, born, .. } = sound;
        raise_descriptor_limit();
        let mut names = Names::default();
        let Compiled { tables, ids } =
            compile::compile(&topology, Passing::default(), &mut names, FIRST_EPOCH)?;
        let published = Published::new(tables);
        let shared = Arc::new(Shared::for_workers(options.workers, options.flow_limit));
        let (clock, began) = (Arc::new(Clock::start()), SystemTime::now());
        let panicked = Arc::new(AtomicBool::new(false));
        let tell = panicked.clone();
        let workers = Workers::start(&Setup {
            workers: options.workers,
            shared: shared.clone(),
            tables: published.clone(),
            clock: clock.clone(),
            flow_limit: options.flow_limit,
            seed: fastrand::u64(..),
            on_panic: Arc::new(move || {
                tell.store(true, Ordering::SeqCst);
                // Ends whatever this process does, in its orderly way.
                let _ = kill_process(getpid(), Signal::TERM);
            }),
        })?;
        let tun = TunOptions { gso: options.gso };
        let knowledge = Arc::new(ArcSwap::from_pointee(Knowledge::of(&topology)));
        let surroundings = Surroundings { knowledge, clock: clock.clone(), began };
        let workshop = Workshop::new(options.tun, tun, workers.count());
        let mut site = Site::new(workshop, surroundings, &instance);
        let plan = site.plan(&seats(&topology, &ids));
        site.prepare(&plan, &instance, &workers)?;
        let mut ledger = Ledger::default();
        ledger.note(&topology, Duration::ZERO);
        site.end_left();
        let state = State {
            topology: Arc::new(topology),
            source,
            outline,
            born,
            names: Arc::new(names),
            epoch: FIRST_EPOCH,
            draining: Vec::new(),
            creating: Vec::new(),
            ledger,
            site,
        };
        Ok(Self {
            instance,
            state: Mutex::new(state),
            workers,
            published,
            shared,
            clock,
            began,
            started: Instant::now(),
            panicked,
        })
    }

    /// Gives the network interface `name` to something that runs already. Where another link holds the
    /// default route there, that goes if `replace`.
    ///
    /// # Errors
    ///
    /// When it cannot be given: then all is as it was.
    pub fn attach(
        &self,
        name: &str,
        target: Target,
        replace: bool,
    ) -> Result<Attached, attach::Error> {
        let mut state = self.interface(name)?;
        state.site.attach(name, target, replace, &self.instance, &self.workers)
    }

    /// Gives the network interface `name` to the engine of `endpoint`, which finds it as `link` in its own network
    /// namespace, and places it in a container.
    ///
    /// # Errors
    ///
    /// When it cannot be given: then all is as it was.
    pub fn lend(&self, name: &str, endpoint: Endpoint, link: &str) -> Result<(), attach::Error> {
        let mut state = self.interface(name)?;
        state.site.lend(name, endpoint, link, &self.instance, &self.workers)
    }

    /// Sees to it that a network interface that was lent is what it should be, once its engine has placed it; returns
    /// whether there is nothing left to wait for.
    #[must_use]
    pub fn settle(&self, name: &str) -> bool {
        self.state().site.settle(name)
    }

    /// Takes the network interface `name` back, and returns from whom.
    ///
    /// # Errors
    ///
    /// When nobody has it, or the kernel refuses.
    pub fn detach(&self, name: &str) -> Result<Target, attach::Error> {
        let mut state = self.interface(name)?;
        state.site.detach(name, &self.instance, &self.workers)
    }

    /// Which network interfaces are given to whom.
    #[must_use]
    pub fn attachments(&self) -> BTreeMap<String, Attached> {
        self.state().site.attachments()
    }

    /// Takes back the network interfaces of whoever has ended, and returns whether some are away still.
    pub fn take_back_from_ended(&self) -> bool {
        self.state().site.bring_home_ended(&self.instance, &self.workers)
    }

    /// What holds the network interface `name`.
    fn interface(&self, name: &str) -> Result<MutexGuard<'_, State>, attach::Error> {
        let state = self.state();
        let mut interfaces = state.topology.network_interfaces.iter().map(|it| it.name.clone());
        if interfaces.clone().any(|it| it == name) {
            return Ok(state);
        }
        let interfaces = interfaces.by_ref().collect();
        Err(attach::Error::NoInterface { name: name.to_owned(), interfaces })
    }

    /// The instance's name and files.
    #[must_use]
    pub fn instance(&self) -> &Instance {
        &self.instance
    }

    /// What runs now.
    #[must_use]
    pub fn topology(&self) -> Arc<Checked> {
        self.state().topology.clone()
    }

    /// Hours that have begun of what is counted under this name.
    #[must_use]
    pub fn hours(&self, what: &str) -> u64 {
        self.state().ledger.hours(what, self.clock.elapsed())
    }

    /// What the data plane's ids stand for.
    #[must_use]
    pub fn names(&self) -> Arc<Names> {
        self.state().names.clone()
    }

    /// The names of the Hyperplane ENIs that are still being made.
    #[must_use]
    pub fn creating(&self) -> Vec<String> {
        let now = self.clock.elapsed();
        let state = self.state();
        let left = state.creating.iter().filter(|it| it.until > now);
        left.map(|it| it.hyperplane.clone()).collect()
    }

    /// What workers share.
    #[must_use]
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The devices of its members.
    #[must_use]
    pub fn devices(&self) -> Vec<DeviceStatus> {
        self.state().site.devices()
    }

    /// Workers.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.workers.count()
    }

    /// Real time since packets flow.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// The emulated clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Wall time at which the emulated clock began.
    #[must_use]
    pub const fn began(&self) -> SystemTime {
        self.began
    }

    /// Changes the emulated clock, and returns what it was changed to once every worker has come to
    /// that time and has retired all that was due by then.
    ///
    /// # Errors
    ///
    /// When a worker has ended.
    pub fn change_clock(&self, change: impl FnOnce(&Clock) -> Reading) -> Result<Reading, Gone> {
        let reached = change(&self.clock);
        self.workers.catch_up(reached.elapsed)?;
        Ok(reached)
    }

    /// Asks every worker the same, between two of its turns, once it has retired all that is due.
    ///
    /// # Errors
    ///
    /// When a worker has ended.
    pub fn ask<R: Send + 'static>(
        &self,
        question: impl Fn(&mut Shard, &Tables) -> R + Clone + Send + 'static,
    ) -> Result<Vec<R>, Gone> {
        // A worker that sleeps may not have noticed what time it is.
        self.workers.catch_up(self.clock.elapsed())?;
        self.workers.ask(question)
    }

    /// [Goes through](Workers::go_through) the flows of all workers, once they have retired all that is due.
    ///
    /// # Errors
    ///
    /// When a worker has ended; also in the place of answers.
    pub fn go_through<R: Send + 'static>(
        &self,
        question: impl Fn(&mut Shard, &Tables, usize) -> (R, Option<usize>) + Clone + Send + 'static,
    ) -> Result<impl Iterator<Item = Result<Vec<R>, Gone>>, Gone> {
        self.workers.catch_up(self.clock.elapsed())?;
        Ok(self.workers.go_through(question))
    }

    /// What all workers have counted, and what devices dropped before a worker saw it.
    ///
    /// # Errors
    ///
    /// When a worker has ended.
    pub fn counters(&self) -> Result<Counters, Gone> {
        let mut total = Counters::default();
        for counters in self.ask(|shard, _| shard.counters.clone())? {
            total.add(&counters);
        }
        self.add_overruns(&mut total);
        Ok(total)
    }

    /// Adds what devices dropped before a worker saw it.
    pub fn add_overruns(&self, total: &mut Counters) {
        let tables = self.published.load();
        for (link, packets) in self.state().site.overruns(&self.instance) {
            let at = (Reason::WorkerOverrun, tables.component_at(link));
            *total.drops.entry(at).or_default() += packets;
        }
    }

    /// Whether a worker has panicked: nothing that this instance says is to be trusted.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.panicked.load(Ordering::SeqCst)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds it leaves it half changed but where it says so.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The names of all that have a namespace.
pub fn members(topology: &Checked) -> impl Iterator<Item = &str> {
    let interfaces = topology.network_interfaces.iter().filter(|it| it.is_seat());
    let interfaces = interfaces.map(|interface| interface.name.as_str());
    let hosts = topology.internet_hosts.iter().filter(|host| host.namespace);
    interfaces.chain(hosts.map(|host| host.name.as_str()))
}

/// A descriptor for each queue of each device, or two for each connection, are soon more than the 1,024
/// that a process is given; it may take more (getrlimit(2)).
pub(super) fn raise_descriptor_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Where it is refused, the limit that there is will say so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
