//! The ports towards one remote, and ways to them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use smallvec::SmallVec;

use crate::shared::ports::bits::Bits;
use crate::shared::ports::{Lease, Pools, PortRange, Remote, Shard, lock};
use crate::state::prefetch;

/// A way to a pool. What is leased by it holds it, instead of the pool: workers, which go by their own again and again,
/// do not count at one place what each of them holds.
#[derive(Debug)]
pub(in crate::shared) struct Access {
    pool: Arc<Pool>,
    /// The address of the pool's bits, if it had any when a port was last leased: a hint, which nobody follows but to fetch.
    bits: AtomicUsize,
}

impl Access {
    /// Whose ports they are, and towards whom.
    pub(in crate::shared) fn remote(&self) -> &Remote {
        &self.pool.remote
    }

    /// Leases a random free port, if one is left; `None` where the pool was removed.
    pub(in crate::shared) fn lease(
        self: &Arc<Self>,
        range: PortRange,
        random: &mut fastrand::Rng,
    ) -> Option<Option<Lease>> {
        let (port, bits) = self.pool.take(range, random)?;
        self.bits.store(bits, Ordering::Relaxed);
        Some(port.map(|port| Lease::of(self.clone(), port)))
    }

    pub(super) fn give_back(&self, port: u16) {
        let is_last = {
            let mut ports = lock(&self.pool.ports);
            ports.give_back(port);
            ports.leased() == 0
        };
        if is_last {
            self.pool.leave();
        }
    }

    /// Brings what changes with each port that is leased or given back into cache.
    #[inline]
    pub(in crate::shared) fn prefetch(&self) {
        prefetch::own(&self.pool.ports);
    }

    /// Brings the bit of a port into cache, if ports have bits.
    #[inline]
    pub(in crate::shared) fn prefetch_bit(&self, port: impl FnOnce() -> u16) {
        let bits = self.bits.load(Ordering::Relaxed);
        if bits != 0 {
            prefetch::own_line(Bits::place(bits, port()));
        }
    }
}

/// The ports towards one remote.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) remote: Remote,
    home: Arc<Shard>,
    ports: Mutex<Ports>,
}

impl Pool {
    /// One that holds nothing yet, among the pools of `home`.
    pub(super) fn new(remote: Remote, home: Arc<Shard>) -> Self {
        Self { remote, home, ports: Mutex::default() }
    }

    /// As [`Access::lease`], by a way of its own.
    pub(super) fn lease(
        self: &Arc<Self>,
        range: PortRange,
        random: &mut fastrand::Rng,
    ) -> Option<Option<Lease>> {
        let (port, bits) = self.take(range, random)?;
        let access = || Arc::new(Access { pool: self.clone(), bits: AtomicUsize::new(bits) });
        Some(port.map(|port| Lease::of(access(), port)))
    }

    /// A random free port, if one is left, and where the bits lie; `None` where the pool was removed.
    fn take(&self, range: PortRange, random: &mut fastrand::Rng) -> Option<(Option<u16>, usize)> {
        let mut ports = lock(&self.ports);
        if let Ports::Removed = *ports {
            return None;
        }
        Some((ports.take(range, random), ports.address()))
    }

    pub(super) fn leased(&self) -> u32 {
        lock(&self.ports).leased()
    }

    /// Says that it is removed, if it holds nothing.
    fn end(&self) -> bool {
        let mut ports = lock(&self.ports);
        let is_empty = ports.leased() == 0;
        if is_empty {
            *ports = Ports::Removed;
        }
        is_empty
    }

    /// Removes the pool of `remote` if it holds nothing: somebody may have leased in between.
    #[cold]
    fn leave(&self) {
        let mut pools = lock(&self.home);
        let is_empty = |pool: &Arc<Self>| pool.remote == self.remote && pool.end();
        if let Ok(empty) = pools.find_entry(self.remote.hash(), is_empty) {
            empty.remove();
        }
        // What many pools needed is given back when they are gone.
        if pools.is_empty() {
            *pools = Pools::new();
        } else if pools.len() < pools.capacity() / 8 {
            let room = pools.len() * 2;
            pools.shrink_to(room, |pool| pool.remote.hash());
        }
    }
}

/// The ports in use.
#[derive(Debug)]
enum Ports {
    /// In order.
    Few(SmallVec<[u16; 8]>),
    /// A bit each, and how many they are.
    Many(Box<Bits>, u32),
    /// None any more, of a pool that is among those of all workers no more.
    Removed,
}

/// So many ports are a list, and more are bits: these take 8 KiB, which is then no more than 32
/// bytes a port.
const FEW: usize = 256;

impl Ports {
    fn leased(&self) -> u32 {
        match self {
            Self::Few(ports) => ports.len().try_into().unwrap_or(u32::MAX),
            &Self::Many(_, leased) => leased,
            Self::Removed => 0,
        }
    }

    /// Where the bits lie, if there are any.
    fn address(&self) -> usize {
        match self {
            Self::Many(bits, _) => bits.address(),
            Self::Few(_) | Self::Removed => 0,
        }
    }

    fn take(&mut self, range: PortRange, random: &mut fastrand::Rng) -> Option<u16> {
        let span = u32::from(range.last - range.first) + 1;
        if self.leased() >= range.limit.min(span) {
            return None;
        }
        let start = range.start(random);
        match self {
            Self::Few(ports) if ports.len() < FEW => {
                let free = |port| Some((port, ports.binary_search(&port).err()?));
                let (port, place) = cyclic(range, start).find_map(free)?;
                ports.insert(place, port);
                Some(port)
            }
            Self::Few(ports) => {
                *self = Self::Many(Bits::of(ports), self.leased());
                self.take(range, random)
            }
            Self::Many(bits, leased) => {
                let port = bits.first_free(range, start)?;
                bits.set(port);
                *leased += 1;
                Some(port)
            }
            Self::Removed => None,
        }
    }

    fn give_back(&mut self, port: u16) {
        match self {
            Self::Few(ports) => {
                if let Ok(place) = ports.binary_search(&port) {
                    ports.remove(place);
                }
            }
            Self::Many(bits, leased) => {
                bits.clear(port);
                *leased -= 1;
                if *leased as usize == FEW / 4 {
                    *self = Self::Few(bits.ports().collect());
                }
            }
            Self::Removed => {}
        }
    }
}

impl Default for Ports {
    fn default() -> Self {
        Self::Few(SmallVec::new())
    }
}

/// All ports of the range, from `start` on and round.
fn cyclic(range: PortRange, start: u16) -> impl Iterator<Item = u16> {
    (start..=range.last).chain(range.first..start)
}
