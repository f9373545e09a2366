//! Workers: threads that own a queue of every link and one shard each, and turn.
//!
//! A turn: wait for packets, read a batch, walk it down the path, send it, retire what is due. A
//! worker alone touches its shard; whoever wants to know or change something leaves a message, which
//! is handled between two turns. A packet that belongs to another worker's flow goes to that worker
//! through a bounded ring. Nothing below here reads the clock.

mod courtesy;
mod emit;
mod mailbox;
mod patience;
mod turn;

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::bounded;

use crate::io::{Link, close_all};
use crate::packet::LinkId;
use crate::shared::{Shared, WorkerId};
use crate::state::Shard;
use crate::tables::{Published, Tables};
use crate::time::Clock;

use mailbox::{Mail, Mailbox};
use turn::Turner;

/// What workers begin with.
pub struct Setup {
    /// How many there are: at least one, or one is started.
    pub workers: usize,
    /// What they share.
    pub shared: Arc<Shared>,
    /// The tables.
    pub tables: Published,
    /// Emulated time.
    pub clock: Arc<Clock>,
    /// The most flows that each keeps.
    pub flow_limit: usize,
    /// Seed of hashes and port choice.
    pub seed: u64,
    /// Called when a worker panics, on its thread: half an instance must not go on.
    pub on_panic: Arc<dyn Fn() + Send + Sync>,
}

/// Running workers. Dropping them ends their threads.
#[derive(Debug)]
pub struct Workers {
    mailboxes: Vec<Arc<Mailbox>>,
    /// When one ends, it gives its links back.
    threads: Vec<JoinHandle<Vec<Box<dyn Link>>>>,
}

/// A worker is gone: it has been told to stop, or has panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a worker has ended")]
pub struct Gone;

impl Workers {
    /// Starts workers without links.
    ///
    /// # Errors
    ///
    /// When the process has no descriptors or threads left.
    pub fn start(setup: &Setup) -> io::Result<Self> {
        let count = u16::try_from(setup.workers.max(1)).unwrap_or(u16::MAX);
        let mailboxes: Vec<Arc<Mailbox>> =
            (0..count).map(|_| Ok(Arc::new(Mailbox::new()?))).collect::<io::Result<_>>()?;
        let mut workers = Self { mailboxes, threads: Vec::new() };
        for id in (0..count).map(WorkerId) {
            let mut turner = Turner::new(id, setup, workers.mailboxes.clone())?;
            let on_panic = OnPanic(setup.on_panic.clone());
            let thread = std::thread::Builder::new().name(format!("worker-{}", id.0));
            workers.threads.push(thread.spawn(move || {
                let _on_panic = on_panic;
                turner.turn_until_told()
            })?);
        }
        Ok(workers)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.mailboxes.len()
    }

    /// Gives each worker its queue of a link. What it had before is closed here, not by the worker.
    ///
    /// # Errors
    ///
    /// When a worker is gone, or a queue cannot be polled: that one and those behind it are not given.
    pub fn attach(
        &self,
        id: LinkId,
        queues: impl IntoIterator<Item = Box<dyn Link>>,
    ) -> Result<io::Result<()>, Gone> {
        for (mailbox, queue) in self.mailboxes.iter().zip(queues) {
            let (done, attached) = bounded(1);
            mailbox.send(Mail::Link(id, Some(queue), done));
            let (added, _old) = attached.recv().map_err(|_| Gone)?;
            if let Err(error) = added {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    /// Takes links away from every worker that is there, and closes them.
    ///
    /// # Errors
    ///
    /// When a worker is gone.
    pub fn detach(&self, ids: impl IntoIterator<Item = LinkId>) -> Result<(), Gone> {
        let mut asked = Vec::new();
        for id in ids {
            for mailbox in &self.mailboxes {
                let (done, detached) = bounded(1);
                mailbox.send(Mail::Link(id, None, done));
                asked.push(detached);
            }
        }
        let count = asked.len();
        // Without a link there is nothing that could fail.
        let answers = asked.into_iter().filter_map(|detached| Some(detached.recv().ok()?.1));
        let answers: Vec<Option<Box<dyn Link>>> = answers.collect();
        let all = answers.len() == count;
        close_all(answers.into_iter().flatten().collect());
        if all { Ok(()) } else { Err(Gone) }
    }

    /// Looks at each shard, or changes it, between two turns.
    ///
    /// # Errors
    ///
    /// When a worker is gone.
    pub fn ask<R: Send + 'static>(
        &self,
        question: impl Fn(&mut Shard, &Tables) -> R + Clone + Send + 'static,
    ) -> Result<Vec<R>, Gone> {
        let asked: Vec<_> = self
            .mailboxes
            .iter()
            .map(|mailbox| {
                let (tell, answer) = bounded(1);
                let question = question.clone();
                mailbox.send(Mail::Ask(Box::new(move |shard, tables| {
                    // Whoever asked may have gone.
                    let _ = tell.send(question(shard, tables));
                })));
                answer
            })
            .collect();
        asked.into_iter().map(|answer| answer.recv().map_err(|_| Gone)).collect()
    }

    /// Goes through the flows of all shards, a [page](crate::state::Flows::page) of slots between two turns: `question`
    /// answers for the page that begins at a slot, and says where it is to go on. All workers go on at the lowest of these
    /// slots, so one is asked again about slots behind it. Each item is the answers of all workers, or that one is gone;
    /// then it was the last.
    pub fn go_through<R: Send + 'static>(
        &self,
        question: impl Fn(&mut Shard, &Tables, usize) -> (R, Option<usize>) + Clone + Send + 'static,
    ) -> impl Iterator<Item = Result<Vec<R>, Gone>> {
        let mut from = Some(0);
        std::iter::from_fn(move || {
            let (at, question) = (from.take()?, question.clone());
            let pages = self.ask(move |shard, tables| question(shard, tables, at));
            Some(pages.map(|pages| {
                let (answers, next): (_, Vec<_>) = pages.into_iter().unzip();
                from = next.into_iter().flatten().min();
                answers
            }))
        })
    }

    /// Returns when each worker has reached `until` on the emulated clock and has retired all that
    /// was due by then.
    ///
    /// # Errors
    ///
    /// When a worker is gone.
    pub fn catch_up(&self, until: Duration) -> Result<(), Gone> {
        let asked: Vec<_> = self
            .mailboxes
            .iter()
            .map(|mailbox| {
                let (done, reached) = bounded(1);
                mailbox.send(Mail::CatchUp(until, done));
                reached
            })
            .collect();
        asked.into_iter().try_for_each(|reached| reached.recv().map_err(|_| Gone))
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for mailbox in &self.mailboxes {
            mailbox.send(Mail::Stop);
        }
        // A panic was reported where it happened.
        let ended = self.threads.drain(..).filter_map(|thread| thread.join().ok());
        close_all(ended.flatten().collect());
    }
}

/// Tells that a thread panics, when it does.
struct OnPanic(Arc<dyn Fn() + Send + Sync>);

impl Drop for OnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            (self.0)();
        }
    }
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setup")
            .field("workers", &self.workers)
            .field("flow_limit", &self.flow_limit)
            .finish_non_exhaustive()
    }
}
