//! What ends or interrupts the wait: a signal, a descriptor, a deadline? signal(7).

use std::future::poll_fn;
use std::io;
use std::os::fd::BorrowedFd;
use std::task::Poll;
use std::time::Instant;

use rustix::process::Signal;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::Runtime;
use tokio::signal::unix::{self, SignalKind};

/// Those that ask a program to end, or to read its files again.
const CAUGHT: [Signal; 4] = [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT];

/// Catches SIGINT, SIGTERM, SIGHUP and SIGQUIT from its making until the process ends: made before
/// anything that must be undone, so that none of them ends the process half-way. What arrives
/// between two waits is kept, once each.
pub struct Signals {
    runtime: Runtime,
    streams: Vec<(Signal, unix::Signal)>,
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// This signal came.
    Signal(Signal),
    /// The descriptor has something to read.
    Readable,
    /// The time is over.
    Deadline,
}

impl Signals {
    /// Begins to catch them.
    ///
    /// # Errors
    ///
    /// When the process has no descriptor left.
    pub fn catch() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let _inside = runtime.enter();
        let streams = CAUGHT
            .iter()
            .map(|s| Ok((*s, unix::signal(SignalKind::from_raw(s.as_raw()))?)))
            .collect::<io::Result<_>>()?;
        Ok(Self { runtime, streams })
    }

    /// Waits until a signal came, `readable` has something to read, or it is `deadline`: signals
    /// first, then the descriptor.
    ///
    /// # Errors
    ///
    /// When `readable` cannot be polled (a regular file).
    pub fn wait(
        &mut self,
        readable: Option<BorrowedFd<'_>>,
        deadline: Option<Instant>,
    ) -> io::Result<Woken> {
        let Self { runtime, streams } = self;
        runtime.block_on(async {
            // Lets the runtime hear of signals that came since the last wait.
            tokio::task::yield_now().await;
            #[expect(deprecated, reason = "its successor is unsafe, for descriptors that change")]
            let readable =
                readable.map(|fd| AsyncFd::with_interest(fd, Interest::READABLE)).transpose()?;
            let signal = poll_fn(|context| {
                for (signal, stream) in &mut *streams {
                    if stream.poll_recv(context).is_ready() {
                        return Poll::Ready(*signal);
                    }
                }
                Poll::Pending
            });
            let ready = async {
                match &readable {
                    Some(fd) => fd.readable().await.map(drop),
                    None => std::future::pending().await,
                }
            };
            let late = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                signal = signal => Ok(Woken::Signal(signal)),
                ready = ready => ready.map(|()| Woken::Readable),
                () = late => Ok(Woken::Deadline),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::*;
    use crate::runtime::test_host::passes_in_a_process;

    #[test]
    fn each_cause_is_told() {
        passes_in_a_process("runtime::signals::tests::causes");
    }

    #[test]
    #[ignore = "signals are the whole process's: run in one by each_cause_is_told"]
    fn causes() {
        let mut signals = Signals::catch().unwrap();
        let soon = || Some(Instant::now() + Duration::from_millis(20));
        let (reader, mut writer) = UnixStream::pair().unwrap();
        assert_eq!(signals.wait(Some(reader.as_fd()), soon()).unwrap(), Woken::Deadline);
        writer.write_all(b"x").unwrap();
        assert_eq!(signals.wait(Some(reader.as_fd()), soon()).unwrap(), Woken::Readable);
        rustix::process::kill_process(rustix::process::getpid(), Signal::HUP).unwrap();
        std::thread::sleep(Duration::from_millis(50)); // Whichever thread gets it has had it.
        let late = Some(Instant::now() + Duration::from_secs(10));
        assert_eq!(signals.wait(Some(reader.as_fd()), late).unwrap(), Woken::Signal(Signal::HUP));
        assert_eq!(signals.wait(None, soon()).unwrap(), Woken::Deadline);
    }
}
