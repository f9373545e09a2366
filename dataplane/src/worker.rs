//! One worker: a thread that owns a queue of every link and one shard, and turns.
//!
//! A turn: wait for packets, read a batch, walk it down the path, send it, retire what is due. The
//! worker alone touches its shard; whoever wants to know or change something leaves a message, which
//! is handled between two turns. This is the only place of the crate that reads the clock.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, bounded, unbounded};
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};

use crate::io::Link;
use crate::io::transmit::transmit;
use crate::packet::{Batch, Component, LinkId, Packet, Reason, Verdict};
use crate::path;
use crate::shared::{Shared, WorkerId};
use crate::state::Shard;
use crate::tables::{Place, Published, Reader, Tables};
use crate::time::{Clock, MAX_STEP, Tick};

/// What a worker begins with.
#[derive(Debug)]
pub struct Setup {
    /// Its place among the workers.
    pub id: WorkerId,
    /// What it shares with them.
    pub shared: Arc<Shared>,
    /// The tables.
    pub tables: Published,
    /// Emulated time.
    pub clock: Arc<Clock>,
    /// The most flows that it keeps.
    pub flow_limit: usize,
    /// Seed of hashes and port choice.
    pub seed: u64,
}

/// A running worker. Dropping it ends the thread.
#[derive(Debug)]
pub struct Worker {
    mail: Sender<Mail>,
    wake: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

/// The worker is gone: it has been told to stop, or has panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the worker has ended")]
pub struct Gone;

impl Worker {
    /// Starts a worker without links.
    ///
    /// # Errors
    ///
    /// When the process has no descriptors or threads left.
    pub fn start(setup: Setup) -> io::Result<Self> {
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let (mail, inbox) = unbounded();
        let mut turner = Turner::new(setup, inbox, wake.clone())?;
        let name = format!("worker-{}", turner.id.0);
        let thread =
            std::thread::Builder::new().name(name).spawn(move || turner.turn_until_told())?;
        Ok(Self { mail, wake, thread: Some(thread) })
    }

    /// Gives the worker its queue of a link, or takes it away.
    ///
    /// # Errors
    ///
    /// When the worker is gone, or the link cannot be polled.
    pub fn attach(&self, id: LinkId, link: Option<Box<dyn Link>>) -> Result<io::Result<()>, Gone> {
        let (done, attached) = bounded(1);
        self.send(Mail::Link(id, link, done))?;
        attached.recv().map_err(|_| Gone)
    }

    /// Looks at the shard, or changes it, between two turns.
    ///
    /// # Errors
    ///
    /// When the worker is gone.
    pub fn ask<R: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Shard, &Tables) -> R + Send + 'static,
    ) -> Result<R, Gone> {
        let (tell, answer) = bounded(1);
        self.send(Mail::Ask(Box::new(move |shard, tables| {
            // Whoever asked may have gone.
            let _ = tell.send(question(shard, tables));
        })))?;
        answer.recv().map_err(|_| Gone)
    }

    /// Returns when the worker has reached `until` on the emulated clock and has retired all that
    /// was due by then.
    ///
    /// # Errors
    ///
    /// When the worker is gone.
    pub fn catch_up(&self, until: Duration) -> Result<(), Gone> {
        let (done, reached) = bounded(1);
        self.send(Mail::CatchUp(until, done))?;
        reached.recv().map_err(|_| Gone)
    }

    fn send(&self, mail: Mail) -> Result<(), Gone> {
        self.mail.send(mail).map_err(|_| Gone)?;
        let _ = rustix::io::write(&*self.wake, &1_u64.to_ne_bytes());
        Ok(())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.send(Mail::Stop);
        if let Some(thread) = self.thread.take() {
            // Its panic was reported where it happened.
            let _ = thread.join();
        }
    }
}

type Question = Box<dyn FnOnce(&mut Shard, &Tables) + Send>;

enum Mail {
    Link(LinkId, Option<Box<dyn Link>>, Sender<io::Result<()>>),
    Ask(Question),
    CatchUp(Duration, Sender<()>),
    Stop,
}

/// The worker's own side.
struct Turner {
    id: WorkerId,
    shard: Shard,
    tables: Reader,
    clock: Arc<Clock>,
    /// Emulated time of the present turn.
    elapsed: Duration,
    /// By [`LinkId`].
    links: Vec<Option<Box<dyn Link>>>,
    batch: Batch,
    epoll: OwnedFd,
    inbox: Receiver<Mail>,
    wake: Arc<OwnedFd>,
    /// Who waits for a time to be reached.
    waiting: Vec<(Duration, Sender<()>)>,
    /// Whether the wheel's present second was opened for them.
    prompted: bool,
    /// Whether nothing due was left at the end of the last turn.
    caught_up: bool,
    stopped: bool,
}

/// What epoll tells of the mailbox; links have their ids.
const MAILBOX: u64 = u64::MAX;

/// How often a worker that was just busy looks again before it sleeps.
const SPINS: u32 = 16;

/// How long a worker with flows sleeps at most: a dead flow's port is given back at the latest then.
const NAP: Duration = Duration::from_millis(500);

impl Turner {
    fn new(setup: Setup, inbox: Receiver<Mail>, wake: Arc<OwnedFd>) -> io::Result<Self> {
        let Setup { id, shared, tables, clock, flow_limit, seed } = setup;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mailbox = epoll::EventData::new_u64(MAILBOX);
        epoll::add(&epoll, &*wake, mailbox, epoll::EventFlags::IN)?;
        Ok(Self {
            id,
            shard: Shard::new(id, shared, flow_limit, seed),
            tables: tables.reader(),
            elapsed: Duration::ZERO,
            clock,
            links: Vec::new(),
            batch: Batch::new(),
            epoll,
            inbox,
            wake,
            waiting: Vec::new(),
            prompted: false,
            caught_up: true,
            stopped: false,
        })
    }

    fn turn_until_told(&mut self) {
        let mut events = Vec::with_capacity(64);
        let mut idle_turns = SPINS;
        while !self.stopped {
            let timeout = self.patience(idle_turns);
            events.clear();
            let waited = epoll::wait(
                &self.epoll,
                rustix::buffer::spare_capacity(&mut events),
                timeout.as_ref(),
            );
            if waited.is_err() {
                // Only an interruption is possible: descriptors and buffer are sound.
                continue;
            }
            self.stamp();
            self.batch.clear();
            for event in &events {
                match event.data.u64() {
                    MAILBOX => self.read_mail(),
                    link => self.receive(link),
                }
            }
            idle_turns = if self.batch.is_empty() { idle_turns.saturating_add(1) } else { 0 };
            if !self.batch.is_empty() {
                path::run(&mut self.batch, &mut self.shard, self.tables.load());
                self.send();
            }
            self.caught_up = self.shard.expire(&self.tables.load().timers);
            self.tell_the_waiting();
        }
    }

    /// How long to wait for packets: `None` for ever.
    fn patience(&self, idle_turns: u32) -> Option<Timespec> {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        if idle_turns < SPINS || !self.caught_up || !self.waiting.is_empty() {
            return Some(now);
        }
        let naps = !self.shard.flows.is_empty() || self.shard.resting() > 0;
        naps.then(|| Timespec { tv_nsec: NAP.subsec_nanos().into(), ..now })
    }

    /// Reads the clock for the whole turn. A jump too far for ticks is made in steps, each of which
    /// retires what became due in it.
    fn stamp(&mut self) {
        let target = self.clock.elapsed();
        if target.saturating_sub(self.elapsed) <= MAX_STEP {
            self.elapsed = target;
        } else if self.caught_up {
            self.elapsed += MAX_STEP;
        }
        self.shard.now = Tick::at(self.elapsed);
    }

    fn read_mail(&mut self) {
        let _ = rustix::io::read(&*self.wake, &mut [0_u8; 8]);
        while let Ok(mail) = self.inbox.try_recv() {
            match mail {
                Mail::Link(id, link, done) => {
                    let _ = done.send(self.attach(id, link));
                }
                Mail::Ask(question) => question(&mut self.shard, self.tables.load()),
                Mail::CatchUp(until, done) => self.waiting.push((until, done)),
                Mail::Stop => self.stopped = true,
            }
        }
    }

    fn attach(&mut self, id: LinkId, link: Option<Box<dyn Link>>) -> io::Result<()> {
        if self.links.len() <= id.index() {
            self.links.resize_with(id.index() + 1, || None);
        }
        // A closed descriptor leaves the epoll set by itself.
        self.links[id.index()] = None;
        if let Some(link) = link {
            let data = epoll::EventData::new_u64(u64::from(id.0));
            epoll::add(&self.epoll, link.descriptor(), data, epoll::EventFlags::IN)?;
            self.links[id.index()] = Some(link);
        }
        Ok(())
    }

    /// Reads what waits at a link, as far as the batch has room.
    fn receive(&mut self, link: u64) {
        let Some(id) = u16::try_from(link).ok().map(LinkId) else { return };
        while let Some(slot) = self.batch.next_slot() {
            let Some(Some(link)) = self.links.get_mut(id.index()) else { return };
            match link.receive(slot) {
                Ok(Some(frame)) => self.batch.push(Packet::received(id, frame)),
                Ok(None) => return,
                Err(_) => {
                    // The device is gone, with its namespace; it will not come back.
                    let _ = epoll::delete(&self.epoll, link.descriptor());
                    self.links[id.index()] = None;
                    return;
                }
            }
        }
    }

    fn send(&mut self) {
        for (packet, slot) in self.batch.slots_mut() {
            let Verdict::Emit { link: id, fragment } = packet.verdict else { continue };
            let link = self.links.get_mut(id.index()).and_then(Option::as_mut);
            let reason = match link {
                None => Reason::LinkDown,
                Some(link) => {
                    let mtu = fragment.map(usize::from);
                    match transmit(link.as_mut(), slot, packet.frame(), mtu) {
                        Ok(_) => continue,
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Reason::LinkFull,
                        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                            Reason::Malformed
                        }
                        Err(_) => Reason::LinkDown,
                    }
                }
            };
            let component = match self.tables.load().place(id) {
                Some(Place::Host(host)) => Component::InternetHost(host),
                Some(Place::Eni(eni)) => Component::Eni(eni),
                None => continue,
            };
            self.shard.counters.lose(reason, component, packet.len);
        }
    }

    /// Answers those whose time has come, once all that was due by it is retired; what became due
    /// within the last second is looked for too.
    fn tell_the_waiting(&mut self) {
        let elapsed = self.elapsed;
        if !self.caught_up || !self.waiting.iter().any(|&(until, _)| until <= elapsed) {
            return;
        }
        if !std::mem::replace(&mut self.prompted, true) {
            self.shard.expire_promptly();
            self.caught_up = false;
            return;
        }
        self.prompted = false;
        self.waiting.retain(|(until, done)| {
            if *until <= elapsed {
                // Whoever waited may have gone.
                let _ = done.send(());
            }
            *until > elapsed
        });
    }
}

impl std::fmt::Debug for Turner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turner").field("id", &self.id).field("links", &self.links.len()).finish()
    }
}
