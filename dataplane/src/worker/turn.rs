//! One worker's turn, and the loop that sleeps between turns.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::Sender;
use rustix::event::{Timespec, epoll};

use crate::io::Link;
use crate::packet::{Batch, LinkId, Reason, Verdict};
use crate::path::{self, fragment};
use crate::shared::WorkerId;
use crate::state::Shard;
use crate::tables::Reader;
use crate::time::{Clock, MAX_STEP};
use crate::worker::Setup;
use crate::worker::courtesy::Courtesy;
use crate::worker::emit::{emit, is_crowded};
use crate::worker::mailbox::{Attached, Handed, Mail, Mailbox};
use crate::worker::patience::Patience;

/// A worker on its own thread.
pub(super) struct Turner {
    shard: Shard,
    tables: Reader,
    clock: Arc<Clock>,
    /// Emulated time of the present turn.
    elapsed: Duration,
    /// By [`LinkId`]. One that is gone stays until it is taken away.
    links: Vec<Option<Box<dyn Link>>>,
    batch: Batch,
    /// What has been carried in the present turn.
    carried: Load,
    epoll: OwnedFd,
    /// All workers' mailboxes, by [`WorkerId`].
    mailboxes: Vec<Arc<Mailbox>>,
    /// Who waits for a time to be reached.
    waiting: Vec<(Duration, Sender<()>)>,
    /// How far the wheel's present second was opened for them, if it was.
    prompted: Option<Duration>,
    /// Turns so far.
    turns: usize,
    /// Whether nothing due was left at the end of the last turn.
    caught_up: bool,
    /// How long to look for packets before sleeping.
    patience: Patience,
    /// Whether this turn stands before the clock, and only retires: whoever came now would come
    /// before his time.
    behind: bool,
    stopped: bool,
}

/// What epoll tells of the mailbox; links have their ids.
const MAILBOX: u64 = u64::MAX;

/// How long a worker with flows sleeps at most, in emulated time: a dead flow's port is given back
/// at the latest then.
const NAP: Duration = Duration::from_millis(500);

/// The shortest that such a sleep is, in real time: at a high scale ports are given back later.
const SHORTEST_NAP: Duration = Duration::from_millis(10);

/// Packets, and the bytes of their slots.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Load {
    packets: usize,
    bytes: usize,
}

impl Load {
    /// The clock, flows that end and who has asked for something wait for no more than this.
    const ENOUGH: Self = Self { packets: Batch::PACKETS, bytes: 4 * Batch::BYTES };

    /// Whether a turn that has carried this reads no more.
    const fn is_enough(self) -> bool {
        self.is_many() || self.bytes >= Self::ENOUGH.bytes
    }

    /// Whether these are as many packets as a turn carries. Of super-packets they seldom are, and who receives those
    /// tells the sender when to wait.
    const fn is_many(self) -> bool {
        self.packets >= Self::ENOUGH.packets
    }
}

impl Turner {
    pub(super) fn new(
        id: WorkerId,
        setup: &Setup,
        mailboxes: Vec<Arc<Mailbox>>,
    ) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mailbox = epoll::EventData::new_u64(MAILBOX);
        let own = &mailboxes[usize::from(id.0)];
        epoll::add(&epoll, own.descriptor(), mailbox, epoll::EventFlags::IN)?;
        Ok(Self {
            shard: Shard::new(id, setup.shared.clone(), setup.flow_limit, setup.seed),
            tables: setup.tables.reader(),
            elapsed: Duration::ZERO,
            clock: setup.clock.clone(),
            links: Vec::new(),
            batch: Batch::new(),
            carried: Load::default(),
            epoll,
            mailboxes,
            waiting: Vec::new(),
            prompted: None,
            turns: 0,
            caught_up: true,
            patience: Patience::new(),
            behind: false,
            stopped: false,
        })
    }

    /// Turns until it is told to stop, and gives back its links: to close them is not its work.
    pub(super) fn turn_until_told(&mut self) -> Vec<Box<dyn Link>> {
        let mut events = Vec::with_capacity(64);
        let mut looks = false;
        let mut courtesy = Courtesy::new();
        while !self.stopped {
            let timeout = self.timeout(looks);
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
            self.carried = Load::default();
            // Each link comes first in its turn: one that is always busy starves no other.
            let first = self.turns % events.len().max(1);
            self.turns = self.turns.wrapping_add(1);
            let (later, sooner) = events.split_at(first);
            for event in sooner.iter().chain(later) {
                match event.data.u64() {
                    MAILBOX => self.read_mail(),
                    link if !self.behind => self.receive(link),
                    _ => {}
                }
            }
            let now = Instant::now();
            let none_came = self.batch.is_empty() && self.carried == Load::default();
            looks = if none_came {
                self.patience.goes_on(now)
            } else {
                self.patience.reward(now);
                true
            };
            self.carry();
            self.caught_up = self.shard.expire(&self.tables.load().timers);
            self.tell_the_waiting();
            if self.carried.is_many() {
                courtesy.rest_if_wanted();
            } else if looks && none_came && self.caught_up && !self.behind {
                courtesy.yield_to_senders();
            }
        }
        self.links.drain(..).flatten().collect()
    }

    /// Takes what is in the batch down the path, and sends it.
    fn carry(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        self.carried.packets += self.batch.len();
        self.carried.bytes += self.batch.size();
        path::run(&mut self.batch, &mut self.shard, self.tables.load());
        self.send();
        while path::resume(&mut self.batch, &mut self.shard) {
            path::run(&mut self.batch, &mut self.shard, self.tables.load());
            self.send();
        }
    }

    /// How long to wait for packets: `None` for ever.
    fn timeout(&self, looks: bool) -> Option<Timespec> {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        if looks || !self.caught_up || self.behind || !self.waiting.is_empty() {
            return Some(now);
        }
        if self.shard.is_idle() {
            return None;
        }
        let nap = NAP.div_f64(self.clock.read().pace.scale.max(1.0)).max(SHORTEST_NAP);
        Some(Timespec { tv_nsec: nap.subsec_nanos().into(), ..now })
    }

    /// Reads the clock for the whole turn. A jump too far for ticks is made in steps, each of which
    /// retires what became due in it; whoever remembers nothing makes it at once.
    fn stamp(&mut self) {
        let target = self.clock.elapsed().max(self.elapsed);
        self.behind = target - self.elapsed > MAX_STEP && !self.shard.is_idle();
        if !self.behind {
            self.elapsed = target;
        } else if self.caught_up {
            self.elapsed += MAX_STEP;
        }
        self.shard.stamp(self.elapsed);
        // Seconds that wrap around after a century are as good.
        let second = self.clock.real().as_secs() & u64::from(u32::MAX);
        self.shard.shared.uses.tell(self.elapsed);
        self.shard.shared.allowances.tell(u32::try_from(second).unwrap_or_default());
    }

    fn mailbox(&self) -> Arc<Mailbox> {
        self.mailboxes[usize::from(self.shard.worker().0)].clone()
    }

    fn read_mail(&mut self) {
        let mailbox = self.mailbox();
        mailbox.quiet();
        for mail in mailbox.mail() {
            match mail {
                Mail::Link(id, link, done) => {
                    let _ = done.send(self.attach(id, link));
                }
                Mail::Ask(question) => question(&mut self.shard, self.tables.load()),
                Mail::CatchUp(until, done) => self.waiting.push((until, done)),
                Mail::Stop => self.stopped = true,
            }
        }
        while !self.behind && !self.batch.is_full() {
            let Some(handed) = mailbox.next_handed() else { return };
            let Handed { link, offload, bytes, ports, .. } = handed;
            if let Some(ports) = ports {
                fragment::learn(link, &bytes, ports, &mut self.shard);
            }
            self.batch.push_bytes(link, &bytes, offload);
            self.batch.mark_handed();
        }
        // More may wait than the batch has room for.
        mailbox.wake();
    }

    fn attach(&mut self, id: LinkId, mut link: Option<Box<dyn Link>>) -> Attached {
        if self.links.len() <= id.index() {
            self.links.resize_with(id.index() + 1, || None);
        }
        let data = epoll::EventData::new_u64(u64::from(id.0));
        let added = link.as_ref().map_or(Ok(()), |link| {
            epoll::add(&self.epoll, link.descriptor(), data, epoll::EventFlags::IN)
        });
        if added.is_ok() {
            std::mem::swap(&mut self.links[id.index()], &mut link);
            if let Some(old) = &link {
                // Its descriptor may be shared, and then outlives it; or it is gone already.
                let _ = epoll::delete(&self.epoll, old.descriptor());
            }
        }
        (added.map_err(Into::into), link)
    }

    /// Reads what waits at a link, as far as the batch has room. What fills it goes on at once, while it is in
    /// cache, and more is read until the turn has had enough.
    fn receive(&mut self, link: u64) {
        let Some(id) = u16::try_from(link).ok().map(LinkId) else { return };
        while !self.carried.is_enough() {
            let Some(Some(port)) = self.links.get_mut(id.index()) else { return };
            let mut is_gone = false;
            self.batch.receive(|slot| {
                let received = port.receive(slot);
                is_gone = received.is_err();
                Some((id, received.ok()??))
            });
            if is_gone {
                // The device is gone, deleted or with the namespace that it was moved to; it will not come back. It is
                // closed by who takes it away.
                let _ = epoll::delete(&self.epoll, port.descriptor());
            }
            if !self.batch.is_full() {
                return;
            }
            self.carry();
        }
    }

    fn send(&mut self) {
        let mut woken = 0_u64;
        let crowded = is_crowded(&self.batch);
        let (packets, slots) = self.batch.parts_mut();
        let mut rest = &*packets;
        while let [packet, behind @ ..] = rest {
            rest = behind;
            match packet.verdict {
                Verdict::Emit { link, fragment } => {
                    let port = self.links.get_mut(link.index()).and_then(Option::as_mut);
                    let (joined, lost) = match port {
                        None => (0, Some(Reason::LinkDown)),
                        Some(port) => {
                            emit(port.as_mut(), (packet, behind), slots, fragment, crowded)
                        }
                    };
                    let (joined, behind) = behind.split_at(joined);
                    rest = behind;
                    if let Some(reason) = lost {
                        let component = self.tables.load().component_at(link);
                        for packet in [packet].into_iter().chain(joined) {
                            self.shard.lose(reason, component, packet);
                        }
                    }
                }
                Verdict::HandOver(owner) => {
                    let Some(mailbox) = self.mailboxes.get(usize::from(owner.0)) else { continue };
                    let bytes = slots.get(packet.range());
                    let handed = Handed {
                        link: packet.key.link,
                        sender: self.tables.load().component_at(packet.key.link),
                        offload: packet.offload,
                        ports: fragment::known(packet),
                        bytes: bytes.unwrap_or_default().to_vec(),
                    };
                    if let Some(oldest) = mailbox.hand(handed) {
                        self.shard.counters.drop(Reason::HandOverFull, oldest.sender);
                    }
                    woken |= 1 << (owner.0 % 64);
                }
                Verdict::Pending
                | Verdict::Forward
                | Verdict::Held
                | Verdict::Ignored
                | Verdict::Drop { .. } => {}
            }
        }
        for (id, mailbox) in self.mailboxes.iter().enumerate() {
            if woken & 1 << (id % 64) != 0 {
                mailbox.wake();
            }
        }
    }

    /// Answers those whose time has come, once all that was due by it is retired; what became due
    /// within the last second is looked for too.
    fn tell_the_waiting(&mut self) {
        let elapsed = self.elapsed;
        if !self.caught_up || !self.waiting.iter().any(|&(until, _)| until <= elapsed) {
            return;
        }
        let Some(prompted) = self.prompted.take() else {
            self.prompted = Some(elapsed);
            self.shard.expire_promptly();
            self.caught_up = false;
            return;
        };
        self.waiting.retain(|(until, done)| {
            if *until <= prompted {
                // Whoever waited may have gone.
                let _ = done.send(());
            }
            *until > prompted
        });
    }
}

impl Drop for Turner {
    fn drop(&mut self) {
        self.mailbox().close();
    }
}
