//! Who answers when no process does? Built-in hosts on smoltcp: on the internet `checkip`, `echo` and `discard`, in each
//! VPC its resolver, the metadata service and Time Sync; and all of them ICMP echo.
//!
//! All hosts run on one thread, which sleeps until a packet comes, a timer of TCP is due, or it has
//! orders. Their TCP runs by real time, as that of a machine outside the emulator would; a moved emulated clock
//! does not touch it, but what they tell (the time, how long a token holds) goes by the emulated one. They make and
//! reassemble no IP fragments.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration as StdDuration, Instant as StdInstant};

use crossbeam::channel::{Receiver, Sender, unbounded};
use dataplane::io::memory::Peer;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::io::Errno;
use smoltcp::time::{Duration, Instant};

use self::host::Host;

pub use self::knowledge::Knowledge;
pub use self::metadata::MetadataOptions;
pub use self::service::{Service, UnknownService};
pub use self::surroundings::Surroundings;

mod checkip;
mod connections;
mod echo;
mod framing;
mod host;
mod http;
mod knowledge;
mod link;
mod metadata;
mod outbox;
pub mod resolver;
mod service;
mod surroundings;
mod time;

#[cfg(test)]
mod tests;

/// One host to be run.
#[derive(Debug)]
pub struct HostSpec {
    /// What it is removed by, and called in logs; in the topology if it is an internet host.
    pub name: String,
    /// The VPC that it serves; none on the internet.
    pub vpc: Option<String>,
    /// The addresses that it answers for.
    pub addresses: Vec<IpAddr>,
    /// What it serves on each of them; with none it still answers ICMP echo.
    pub serves: Vec<Service>,
    /// The longest packet that it sends, in bytes.
    pub mtu: u16,
    /// Its end of its link. The other end must deliver whole packets of complete checksums.
    pub peer: Peer,
}

/// The hosts that run. Dropping it ends them.
#[derive(Debug)]
pub struct Endpoints {
    surroundings: Surroundings,
    epoll: Arc<OwnedFd>,
    wake: OwnedFd,
    orders: Sender<Order>,
    origin: StdInstant,
    /// The mark of the next host.
    next: u64,
    thread: Option<JoinHandle<()>>,
}

/// What the thread is to do, once it has been woken.
enum Order {
    /// Run this host from now on. Its descriptor is watched already, under this mark.
    Add(u64, Box<Run>),
    /// Run the host of this name no longer.
    Remove(String),
    /// End.
    Stop,
}

struct Run {
    name: String,
    host: Host,
    /// When it has to turn even if no packet comes.
    due: Option<Instant>,
}

/// The mark of the descriptor that orders come by; hosts have numbers from 0.
const WAKE: u64 = u64::MAX;

impl Endpoints {
    /// Starts a thread that runs no host yet. Its hosts will tell of `surroundings`.
    ///
    /// # Errors
    ///
    /// When the process has no descriptors or threads left.
    pub fn start(surroundings: Surroundings) -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let epoll = Arc::new(epoll::create(CreateFlags::CLOEXEC)?);
        watch(&epoll, &wake, WAKE)?;
        let (orders, receiver) = unbounded();
        let origin = StdInstant::now();
        let (watched, quiet) = (epoll.clone(), wake.try_clone()?);
        let thread = thread::Builder::new()
            .name("endpoints".to_owned())
            .spawn(move || run(&watched, &quiet, &receiver, origin))?;
        Ok(Self { surroundings, epoll, wake, orders, origin, next: 0, thread: Some(thread) })
    }

    /// Runs one host more.
    ///
    /// # Errors
    ///
    /// When the kernel watches no more descriptors for this user.
    pub fn add(&mut self, spec: HostSpec) -> io::Result<()> {
        let HostSpec { name, serves, .. } = &spec;
        tracing::debug!(host = name, ?serves, "built-in host");
        let name = name.clone();
        let now = elapsed(self.origin);
        let host = Host::new(spec, self.surroundings.clone(), now);
        let run = Run { name, host, due: Some(now) };
        watch(&self.epoll, run.host.descriptor(), self.next)?;
        self.order(Order::Add(self.next, Box::new(run)));
        self.next += 1;
        Ok(())
    }

    /// Runs the host `name` no longer; its open connections just fall silent. Nothing happens where
    /// there is none.
    pub fn remove(&self, name: &str) {
        self.order(Order::Remove(name.to_owned()));
    }

    fn order(&self, order: Order) {
        // A thread that has panicked takes no orders, and has said why.
        let _ = self.orders.send(order);
        // A counter at its limit polls readable as it is.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }
}

impl Drop for Endpoints {
    /// Waits for the thread. Open connections just fall silent.
    fn drop(&mut self) {
        self.order(Order::Stop);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the built-in hosts had panicked");
        }
    }
}

fn watch(epoll: &OwnedFd, descriptor: impl AsFd, mark: u64) -> io::Result<()> {
    Ok(epoll::add(epoll, descriptor, EventData::new_u64(mark), EventFlags::IN)?)
}

fn run(epoll: &OwnedFd, wake: &OwnedFd, orders: &Receiver<Order>, origin: StdInstant) {
    let mut runs: BTreeMap<u64, Run> = BTreeMap::new();
    let mut events = Vec::new();
    loop {
        let due = runs.values().filter_map(|run| run.due).min();
        wait(epoll, &mut events, runs.len() + 1, due.map(|due| until(due, elapsed(origin))));
        let now = elapsed(origin);
        for mark in events.iter().map(|event| event.data.u64()) {
            if let Some(run) = runs.get_mut(&mark) {
                run.due = Some(now);
            }
        }
        let _ = rustix::io::read(wake, &mut [0_u8; 8]);
        for order in orders.try_iter() {
            match order {
                Order::Add(mark, run) => drop(runs.insert(mark, *run)),
                Order::Remove(name) => runs.retain(|_, run| {
                    let stays = run.name != name;
                    if !stays {
                        // The other end of the link may keep the descriptor open.
                        let _ = epoll::delete(epoll, run.host.descriptor());
                    }
                    stays
                }),
                Order::Stop => return,
            }
        }
        for run in runs.values_mut().filter(|run| run.due.is_some_and(|due| due <= now)) {
            run.due = run.host.turn(now);
        }
    }
}

/// Sleeps until a descriptor is readable, or for `timeout`; for ever without one.
fn wait(epoll: &OwnedFd, events: &mut Vec<Event>, most: usize, timeout: Option<Timespec>) {
    events.clear();
    events.reserve(most);
    match epoll::wait(epoll, spare_capacity(events), timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => unreachable!("an epoll descriptor of our own does not fail: {error}"),
    }
}

/// At most 24 days: more than a kernel may be asked to wait in milliseconds is not needed.
fn until(due: Instant, now: Instant) -> Timespec {
    let wait = if now < due { due - now } else { Duration::ZERO };
    let wait = StdDuration::from(wait).min(StdDuration::from_hours(24 * 24));
    wait.try_into().expect("24 days fit in a timespec")
}

/// smoltcp's time: microseconds since `origin`, on the monotonic clock.
fn elapsed(origin: StdInstant) -> Instant {
    Instant::from_micros(i64::try_from(origin.elapsed().as_micros()).unwrap_or(i64::MAX))
}
