//! Who answers on the emulated internet when no process does? Built-in hosts on smoltcp:
//! `checkip`, `echo`, `discard`, and ICMP echo.
//!
//! All hosts run on one thread, which sleeps until a packet comes, a timer of TCP is due, or it is
//! to end. They run by real time, as a machine outside the emulator would; a moved emulated clock
//! does not touch them. They reassemble no IP fragments.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::thread::{self, JoinHandle};
use std::time::{Duration as StdDuration, Instant as StdInstant};

use dataplane::io::memory::Peer;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::io::Errno;
use smoltcp::time::{Duration, Instant};

use self::host::Host;

pub use self::service::{Service, UnknownService};

mod checkip;
mod connections;
mod echo;
mod host;
mod link;
mod service;

#[cfg(test)]
mod tests;

/// One internet host to be run.
#[derive(Debug)]
pub struct HostSpec {
    /// The name in the topology, for logs.
    pub name: String,
    /// The addresses that it answers for.
    pub addresses: Vec<IpAddr>,
    /// What it serves on each of them; with none it still answers ICMP echo.
    pub serves: Vec<Service>,
    /// Its end of its link. The other end must deliver whole packets of complete checksums.
    pub peer: Peer,
}

/// The hosts that run. Dropping it ends them.
#[derive(Debug)]
pub struct Endpoints {
    stop: OwnedFd,
    thread: Option<JoinHandle<()>>,
}

impl Endpoints {
    /// Starts `hosts` on a thread of their own.
    ///
    /// # Errors
    ///
    /// When the process has no descriptors or threads left.
    pub fn start(hosts: Vec<HostSpec>) -> io::Result<Self> {
        let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        watch(&epoll, &stop, STOP)?;
        let origin = StdInstant::now();
        let mut runs = Vec::with_capacity(hosts.len());
        for (index, spec) in hosts.into_iter().enumerate() {
            tracing::debug!(host = spec.name, serves = ?spec.serves, "built-in host");
            let host = Host::new(spec, Instant::ZERO);
            watch(&epoll, host.descriptor(), index as u64)?;
            runs.push(Run { host, due: None });
        }
        let thread = thread::Builder::new()
            .name("endpoints".to_owned())
            .spawn(move || run(&epoll, runs, origin))?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Ends the hosts and waits for their thread. Open connections just fall silent.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Endpoints {
    fn drop(&mut self) {
        // The counter was 0: the write cannot fail.
        let _ = rustix::io::write(&self.stop, &1_u64.to_ne_bytes());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the built-in hosts had panicked");
        }
    }
}

/// The mark of the descriptor that ends the thread; hosts have their index.
const STOP: u64 = u64::MAX;

struct Run {
    host: Host,
    /// When it has to turn even if no packet comes.
    due: Option<Instant>,
}

fn watch(epoll: &OwnedFd, descriptor: impl AsFd, mark: u64) -> io::Result<()> {
    Ok(epoll::add(epoll, descriptor, EventData::new_u64(mark), EventFlags::IN)?)
}

fn run(epoll: &OwnedFd, mut runs: Vec<Run>, origin: StdInstant) {
    let mut events = Vec::with_capacity(runs.len() + 1);
    loop {
        let due = runs.iter().filter_map(|run| run.due).min();
        wait(epoll, &mut events, due.map(|due| until(due, elapsed(origin))));
        let now = elapsed(origin);
        for event in &events {
            // A mark that is no host's is `STOP`.
            let index = usize::try_from(event.data.u64()).unwrap_or(usize::MAX);
            let Some(run) = runs.get_mut(index) else { return };
            run.due = Some(now);
        }
        for run in runs.iter_mut().filter(|run| run.due.is_some_and(|due| due <= now)) {
            run.due = run.host.turn(now);
        }
    }
}

/// Sleeps until a descriptor is readable, or for `timeout`; for ever without one.
fn wait(epoll: &OwnedFd, events: &mut Vec<Event>, timeout: Option<Timespec>) {
    events.clear();
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
